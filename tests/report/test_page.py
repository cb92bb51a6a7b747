"""The page: which number stands where, what is escaped, what is refused."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib import resources

import polars as pl
import pytest

from kvandal.errors import RunFolderError
from kvandal.report import render
from kvandal.report.folder import RunFolder
from kvandal.report.losses import loss_parts
from kvandal.report.page import asset

TIERS = {"Firm": 150, "Assured": 40, "Lent": 30, "Idle": 60, "Broken": 8, "Installed": 288}
TEMPERATURES = {
    "Ambient": 3, "Facility water, supply": 36, "Facility water, return": 45, "Technology water, supply": 40,
    "Technology water, return": 50, "Hall air": 27,
}  # fmt: skip
POWER = {"IT": 10, "Cooling": 0.5, "Losses": 0.25, "Miscellaneous": 0.125, "Envelope": 12}


def specs(page):
    found = re.search(r'<script type="application/json" id="kvandal-charts">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def constants(spec):
    """Value of each series that never changes."""
    return {s["name"]: s["values"][0] for s in spec["series"] if len(set(s["values"])) == 1}


@pytest.fixture(scope="module")
def page(made_run):
    return render(made_run)


@pytest.mark.parametrize(
    ("chart", "expected"), [("power", POWER), ("tiers", TIERS), ("temperatures", TEMPERATURES)]
)
def test_no_series_takes_the_place_of_another(page, chart, expected):
    """Every column of the hand-made run holds a number of its own; each must come out under its own name."""
    assert expected == constants(specs(page)[chart])


def test_the_queue_shows_queued_gpus_not_jobs(page):
    """Queued GPUs (70), queued jobs (7) and running jobs (11) are three things."""
    assert constants(specs(page)["queue"]) == {"GPUs asked for by queued jobs": 70}


def test_heat_customers_are_reckoned_by_hand(page):
    """Greenhouse, 48 h of 1.25 of 1.5 MWh: 48.75 from the loop, 15 of electricity, 3.75 lost; COP 63.75/15; at 8 EUR/MWh."""
    plain = re.sub(r"<[^>]*>", "|", page[page.index("mean COP") :]).replace("\u2009", " ")
    cells = [cell for cell in plain.split("|") if cell.strip()]
    row = cells[cells.index("greenhouse") :][:12]

    assert row == ["greenhouse", "42", "72", "60", "12", "49", "4", "15", "4.2", "83.3\u00a0%", "8.00", "390"]


def test_energy_heat_and_loans_keep_their_sides(page):
    """Bought, sold, delivered, unmet, lent and borrowed stand under their own names; sold energy lies below zero."""
    found = specs(page)

    assert constants(found["energy"]) == {
        "Contracts, used": 8,
        "Spot, bought": 3,
        "Contracts, sold at spot": -0.5,
    }
    assert constants(found["price"]) == {"Spot price": 20}
    assert constants(found["heat"]) == {"greenhouse": 1.25, "fish farm": 0.25, "not met": 0.5, "demand": 2}
    assert constants(found["loans"]) == {
        "lent by offtaker": 20,
        "lent by norway research": 4,
        "on loan, in all": 30,
    }


def test_averaging_hides_no_peak(made_run, tmp_path):
    """With hourly steps the peak of one tick is drawn and stated."""
    folder = tmp_path / "long"
    shutil.copytree(made_run, folder)
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    document["end_utc"] = "2027-04-20T00:00:00+00:00"  # longer than the tables: the rest is unknown
    (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")

    page = render(folder)

    highest = next(s for s in specs(page)["power"]["series"] if s["name"].startswith("Highest"))
    assert max(v for v in highest["values"] if v is not None) == 11.875
    assert highest["values"][-1] is None
    assert "at most 11.9\u00a0MW on 27 Mar 2027 16:40 UTC" in page


def test_the_floor_holds_every_rack_in_its_place(page):
    floor = specs(page)["floor"]

    assert (floor["hall"], floor["row"], floor["position"]) == ([0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1])
    assert floor["load"] == [0.75, 0.5, 1, None]
    assert floor["failures"] == [0, 3, 0, 0]


def test_hours_of_the_map_are_local(page):
    """The first hour of the run, midnight UTC, is one o'clock in Oslo; the hour that summer time skips is null."""
    spec = specs(page)["hours"]

    assert spec["days"] == ["2027-03-27", "2027-03-28", "2027-03-29"]
    assert spec["values"][0] is None
    assert spec["values"][1] == pytest.approx(10.9)
    assert spec["values"][24 + 2] is None


def test_what_comes_on_top_is_told_part_by_part(page):
    """Losses and cooling each under their own name."""
    found = constants(specs(page)["overhead"])

    assert {name: found[name] for name in ("HV transformers", "Busways", "CDU pumps", "Fan walls", "Miscellaneous")} == {
        "HV transformers": 0.062, "Busways": 0.038, "CDU pumps": 0.11, "Fan walls": 0.14, "Miscellaneous": 0.125,
    }  # fmt: skip
    assert found["Power blocks (MV transformer, UPS)"] == 0.15
    assert constants(specs(page)["battery"]) == {"Delivered, less what it took": -0.02, "Energy stored": 1.7}


def test_a_site_without_battery_has_no_chart_of_one(made_run, tmp_path):
    folder = tmp_path / "none"
    shutil.copytree(made_run, folder)
    site = pl.read_parquet(folder / "site.parquet")
    zero = [pl.lit(0.0).alias(name) for name in ("battery_mw", "battery_loss_mw", "battery_mwh")]
    site.with_columns(zero).write_parquet(folder / "site.parquet")

    assert "battery" not in specs(render(folder))


def test_limits_stand_in_order_of_their_hours(page):
    """Hall air bound hall-1 for 7.5 h and both halls for 8.75 h; the order bound the site; pods have 1.125 MW left."""
    assert [(bar["name"], bar["value"]) for bar in specs(page)["binding"]["rows"]] == [
        ("hall air (hall)", 7.5),
        ("curtailment (site)", 3.5),
    ]
    limit = {s["name"]: s["values"] for s in specs(page)["limit"]["series"]}
    assert limit["Limit: curtailment"][:24] == [10.5] * 24
    assert set(limit["Limit: curtailment"][24:]) == {None}
    assert set(limit["Limit: grid connection"][:24]) == {None}
    section = page[page.index('<section id="limits">') :]
    rows = [
        re.sub(r"<[^>]*>", "|", row).split("|")
        for row in re.findall(r"<tr>.*?</tr>", section.split("</section>")[0])
    ]
    cells = {row[0]: row for row in ([cell for cell in row if cell] for row in rows)}
    assert cells["hall air"][3:8] == ["2 of 2", "7.5", "hall-1", "8.8", "4.25"]
    assert cells["CDU"][-2:] == ["7.25", "1.12"]
    assert cells["junction"][-1] == "hottest 71.0 °C, throttles at 85 °C"
    assert cells["HV transformer"][-1] == "never the tightest"


def test_a_run_that_nothing_bound_says_so(made_run, tmp_path):
    folder = tmp_path / "free"
    shutil.copytree(made_run, folder)
    nodes = pl.read_parquet(folder / "nodes.parquet")
    nodes.with_columns(hours_bound=pl.lit(0.0)).write_parquet(folder / "nodes.parquet")

    page = render(folder)

    assert "No limit of the plant held anything back" in page
    assert "binding" not in specs(page)


def test_faults_say_what_they_did_to_whom(page):
    section = page[page.index('<section id="faults">') :].split("</section>")[0]
    plain = re.sub(r"<[^>]*>", "|", section)

    assert "3 faults of the plant, 2 of them drawn" in section
    assert "curtailment to 10 MW" in plain
    assert "CDU, 6 units" in plain
    assert "first rack throttled after 24 s, 2 racks off after 5.5 min, work slowed down" in plain
    assert "offtaker 2 jobs, 40.5 lost; norway research 1 job, 15.0 lost, 1.2 slowed" in plain
    assert "ridden through" in plain


def test_pods_keep_their_temperatures(page):
    """Pod 1 has the warmest coolant; its junction is not known and must not be drawn as zero."""
    found = {s["name"]: s["values"] for s in specs(page)["pods"]["series"]}

    assert found == {"Hottest junction": [71, None], "Warmest coolant": [40.5, 41.5]}
    assert constants(specs(page)["junctions"]) == {
        "Hottest junction of any GPU": 71,
        "Warmest coolant of any pod": 41.5,
    }


def test_headline_numbers_agree_with_the_tables(page):
    """Each number that run.json states is reckoned again from the tables."""
    assert "16 of 16 agree" in page
    assert "differs by" not in page


def test_a_summary_that_contradicts_the_tables_is_exposed(changed):
    page = render(changed(lambda run: run["summary"].update(peak_site_mw=9.0)))

    assert "15 of 16 agree" in page
    assert "differs by" in page


def test_national_wait_is_that_of_the_assured_tenants(page):
    """Median of 0, 60 and 120 s; the job that never started is counted beside it, not as zero."""
    card = re.search(r'href="#source-wait50".*?</a>', page, re.DOTALL).group(0)

    assert ">60<" in card
    assert "3 of 4 jobs" in card


def test_percentiles_that_mislead_are_called_out(page):
    """One of four national jobs is still queued: the percentiles of the other three are too good."""
    caption = re.search(r'id="caption-waits">(.*?)</figcaption>', page, re.DOTALL).group(1)

    assert "norway research: 1 of 4 jobs were still queued at the end" in caption
    assert "offtaker" not in caption


def test_null_is_not_known_and_never_zero(changed):
    keys = (
        "wue_l_per_kwh",
        "carbon_market_t",
        "erf",
        "cer",
        "gpu_hours_useful",
        "energy_cost_eur",
        "cue_basis",
        "peak_site_mw",
    )

    page = render(changed(lambda run: run["summary"].update(dict.fromkeys(keys))))

    for key in ("wue", "market", "erf", "useful", "cost", "peak"):
        card = re.search(rf'href="#source-{key}".*?</a>', page, re.DOTALL).group(0)
        assert "not known" in card.split('class="note"')[0]
    assert re.search(r"<b>CER</b></td><td[^>]*><span class=\"value\"><span class=\"unknown\">not known", page)


def test_an_empty_summary_still_gives_a_page(changed):
    assert "not known" in render(
        changed(lambda run: run.update(summary={}, inputs=[], demand={}, warnings=[], tables={}))
    )


def test_hostile_text_is_only_text(changed):
    """Neither the scenario, nor a tenant, nor an input can break out of its place."""
    hostile = '</script><script>alert("x")</script><img src=x onerror=alert(1)>&"\''

    def edit(run):
        run["title"] = run["scenario_name"] = hostile
        run["scenario"]["description"] = hostile
        run["warnings"] = [hostile]
        run["inputs"][0]["name"] = run["inputs"][0]["source"] = hostile
        run["demand"] = {hostile: {"source": hostile, "refused": {hostile: 1}}}
        run["scenario"]["tenants"][hostile] = run["scenario"]["tenants"].pop("uk")

    page = render(changed(edit))

    assert "<script>alert" not in page
    assert "<img" not in page.replace(asset("echarts.min.js"), "")
    assert page.count("</script>") == 4


def test_synthetic_inputs_and_warnings_stand_at_the_head(page):
    head = page.split('class="cards"')[0]

    assert "Synthetic inputs." in head
    assert "prices" in head
    assert "something lies outside its range" in head


def test_costs_are_exact_sums(page):
    """48 hours of 272.000001 EUR, without a rounding error."""
    assert '13\u202f056.00<span class="fraction">0048</span>' in page
    assert "the parts add up to it exactly" in page


def test_parameters_come_with_value_range_and_reference(page):
    assert "<code>cooling.tcs_supply_c</code>" in page
    assert "30 to 45" in page
    assert 'class="tag judgement"' in page


def test_statistics_stand_side_by_side(page):
    assert '<td>jobs per day [1/day]</td><td class="n">812.5</td><td class="n">55.25</td>' in page


def test_equal_folders_give_equal_pages(made_run, page, tmp_path):
    """Neither the clock nor the folder's name leaves a trace."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(made_run, copy)

    assert page == render(copy)


def test_the_page_asks_for_nothing_from_outside(page):
    """No address in any attribute that a browser would load; a policy forbids it besides."""
    shell = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    assert not re.search(r'(?:src|href)="(?!#|data:)', shell)
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in shell


def test_empty_tables_are_said_not_drawn(made_run, tmp_path):
    """A site without loans, events, heat customers and jobs still has a report."""
    folder = tmp_path / "quiet"
    shutil.copytree(made_run, folder)
    for name in ("loans", "events", "heat", "jobs", "pods", "faults", "fault_costs"):
        pl.read_parquet(folder / f"{name}.parquet").clear().write_parquet(folder / f"{name}.parquet")

    page = render(folder)

    assert "Nothing was lent in this run." in page
    assert "No heat customer is connected" in page
    assert "Nothing failed" in page
    assert "The plant had no fault in this run." in page
    assert "pods" not in specs(page)


@pytest.mark.parametrize(
    "missing", ["run.json", "site.parquet", "racks.parquet", "nodes.parquet", "faults.parquet"]
)
def test_an_incomplete_folder_is_refused_by_name(made_run, tmp_path, missing):
    folder = tmp_path / "incomplete"
    shutil.copytree(made_run, folder)
    (folder / missing).unlink()

    with pytest.raises(RunFolderError, match=re.escape(missing)):
        render(folder)


def test_a_missing_column_is_named(made_run, tmp_path):
    folder = tmp_path / "narrow"
    shutil.copytree(made_run, folder)
    pl.read_parquet(folder / "racks.parquet").drop("mean_kw").write_parquet(folder / "racks.parquet")

    with pytest.raises(RunFolderError, match="mean_kw"):
        render(folder)


def test_a_broken_run_json_is_refused(changed):
    folder = changed(lambda run: run.pop("tick_s"))
    with pytest.raises(RunFolderError, match="tick_s"):
        render(folder)

    (folder / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunFolderError, match="not the JSON of a run"):
        render(folder)


def test_importing_the_package_is_light():
    """`kvandal --help` must not wait for polars."""
    code = "import sys, kvandal.report; sys.exit('polars' in sys.modules or 'numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_charting_library_is_the_one_that_is_credited():
    """The vendored file is unmodified: its checksum is the one that DATA.md states."""
    package = resources.files("kvandal")
    checksum = hashlib.sha256(package.joinpath("report", "assets", "echarts.min.js").read_bytes()).hexdigest()

    assert checksum in package.joinpath("DATA.md").read_text(encoding="utf-8")


def test_losses_are_told_by_tenant_size_and_cause(made_run):
    """Sums by hand of the jobs of the made run: GPU-hours, ETTR of the only class of sizes, interruptions."""
    figure, sizes, causes = loss_parts(RunFolder(made_run))
    assert figure.spec["names"] == ["offtaker", "norway research"]
    lost = {series["name"]: series["values"] for series in figure.spec["series"]}
    assert lost["failures"] == [0.0, round(600 / 3600, 1)]
    assert lost["restarts"] == [0.0, round(900 / 3600, 1)]
    assert lost["load shedding and power caps"] == [round(150 / 3600, 1), 0.0]
    assert "97.22" in figure.fallback
    assert "1-8" in sizes
    assert "88.89" in sizes
    assert ">2<" in causes


def test_what_power_cost_is_reckoned_by_hand(page):
    """GPU-hours at the tenants' prices; 287 of 288 ticks at 91 % of the envelope, one at 99 % less a little."""
    section = page[page.index('<section id="oversubscription">') :]
    section = section[: section.index("</section>")]
    cells = [cell for cell in re.sub(r"<[^>]*>", "|", section).split("|") if cell.strip()]

    place = cells.index("Nameplate: every rack at TDP")
    assert (
        cells[place + 1].replace("\u202f", " ").replace("\u00a0", " ") == "0.6 MW"
    )  # (528 + 43.2) kW * 1.088
    place = cells.index("norway research")
    assert cells[place : place + 6] == ["norway research", "assured", "0.3", "0.0", "0.60", "0"]
    place = cells.index("offtaker")
    assert cells[place : place + 6] == ["offtaker", "firm", "0.2", "0.5", "2.70", "2"]  # (0.2 + 0.5) h * 2.70
    chart = specs(page)["duration"]
    hours = dict(zip(chart["labels"], chart["series"][0]["values"], strict=True))
    assert hours["90 to 95 %"] == pytest.approx(8760 * 287 / 288, abs=0.1)
    assert hours["95 to 99 %"] == pytest.approx(8760 / 288, abs=0.1)
    assert sum(hours.values()) == pytest.approx(8760, abs=0.5)


def plain_text(page):
    """Text of a page, numbers without the space between groups of digits and without what follows the cents."""
    bare = re.sub(r'<span class="fraction">[0-9]*</span>', "", page)
    bare = re.sub(r"<[^>]*>", " ", bare).replace("\u202f", "").replace("&amp;", "&")
    return re.sub(r"\s+", " ", bare)


def test_contracts_are_listed_with_their_mean_price(page):
    """48 h of 8.5 MWh, of which 8 were used, at 32 EUR/MWh."""
    assert "base load baseload river & sons the site 408.0 384.0 24.0 32.00 13056.00" in plain_text(page)


def test_a_run_without_a_plan_has_no_section_on_it(page):
    assert 'id="plan"' not in page


@pytest.fixture(scope="module")
def planned(made_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned") / "run"
    shutil.copytree(made_run, folder)
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    document["scenario"]["plan"]["enabled"] = True
    (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_the_plan_is_drawn_beside_what_came(planned):
    """No series takes the place of another: planned 10.5, drawn 10.875 less 0.25 ...; the first day has no plan."""
    found = specs(render(planned))
    last = {
        key: {s["name"]: s["values"][-1] for s in found[key]["series"]}
        for key in (
            "plan-import",
            "plan-battery",
            "plan-reserves",
            "plan-stores",
            "plan-weather",
            "plan-caps",
        )
    }
    assert last["plan-import"] == {"Drawn": 11, "Planned": 10.5}
    assert last["plan-battery"] == {
        "Planned": 0.5, "Planned, with calls of reserves": 0.75, "Delivered, less standby": 0.6875,
        "Energy stored, right axis": 1.7, "Energy planned, right axis": 1.5,
    }  # fmt: skip
    assert last["plan-reserves"] == {"FFR": 2, "aFRR\u00a0up": 1}
    assert last["plan-stores"] == {"Into stores": 0.5, "Out of stores": -0.25, "Heat stored, right axis": 6}
    assert last["plan-weather"] == {"Came": 3, "Forecast the day before": 4.5}
    assert last["plan-caps"] == {"Cap of the plan": 80, "Planned saving, right axis": 0.125}
    assert found["plan-import"]["series"][1]["values"][0] is None


def test_the_plan_in_words_and_what_is_drawn_is_named(planned):
    """By hand: 24 h of 0.25 MWh above the plan; readiness 48 h of 30 and 10 EUR; activation 48 h of 5; missed 48 h of 2."""
    shown = plain_text(render(planned))
    shown = shown[shown.index("Day-ahead plan", shown.index("Guarantees were cancelled")) :]
    assert "1 of 2 days were planned" in shown
    assert "Reserves earned 2064 EUR" in shown
    assert "Lent work was capped for prices in 24 hours, to save 3.00 MWh" in shown
    assert "Synthetic: when reserves are called, and the error of the weather forecast" in shown
    assert "in all 252.0 264.0 6.0 0.0 48.00" in shown
    assert "FFR 48 2.00 96.0 0.000 1440.00 0.00 0.00 1440.00" in shown
    assert "aFRR up 48 1.00 48.0 12.000 480.00 240.00 96.00 624.00" in shown


def test_the_first_day_of_a_plan_is_a_page_too(tmp_path):
    """Nothing is planned on it, nothing offered: the section says so and does not fail."""
    import kvandal as kv

    run = kv.simulate(kv.load("stargate-norway-phase-1", {"run.days": 1, "run.tick_s": 3600}))
    assert run.record["scenario"]["plan"]["enabled"]
    kv.write_run(run, tmp_path / "day")
    assert 'id="plan"' in (tmp_path / "day" / "report.html").read_text(encoding="utf-8")
