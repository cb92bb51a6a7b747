"""Statutory forms: every figure follows from the run's tables, and what is not known is said to be missing."""

import csv
import io
import json
from dataclasses import replace

import polars as pl
import pytest
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app
from kvandal.errors import ScenarioError
from kvandal.ledger.forms.eed import cooling_degree_days, eed_lines, installed_kw
from kvandal.ledger.forms.en50600 import en50600_lines
from kvandal.ledger.forms.heat_cba import heat_cba_lines
from kvandal.ledger.forms.heat_value import (
    Terms,
    Year,
    annuity,
    expected_terms,
    net_present_value_eur,
    site_value_eur,
)
from kvandal.ledger.forms.lines import Source
from kvandal.runs.folder import read_run, write_run
from kvandal.runs.forms import COLUMNS
from kvandal.runs.restart import scenario_document
from kvandal.scenario.heat import HeatCustomer

ANNEX_II = (
    "PD_IT", "S_DC", "S_CR", "E_DC", "E_DC-BG", "E_IT", "grid functions", "C_BtG", "W_IN", "W_IN-POT", "E_REUSE", "T_WH", "T_IN",
    "refrigerants", "CDD", "E_RES-TOT", "E_RES-GOO", "E_RES-PPA", "E_RES-OS", "C_SERV", "C_STOR", "B_IN", "B_OUT", "T_IN data",
    "T_OUT data",
)  # fmt: skip
"""Key figures of annex II in its order; `E_DC-BG` stands within point 1(d), and two figures are called T_IN there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("forms") / "run"
    changes = {
        "run.days": 2, "run.tick_s": 600, "supply.generators_mw": 4.0, "registration.operator": "Kvandal <AS>",
        "registration.organisation_number": "974 760 673", "registration.potable_water_fraction": 0.5,
    }  # fmt: skip
    write_run(kv.simulate(kv.load("stargate-norway-phase-1", changes)), path)
    return path


@pytest.fixture(scope="module")
def source(folder):
    run = read_run(folder)
    return Source(run.record, scenario_document(run.record, folder)[1], run.tables)


def asked_otherwise(source, part, **changes):
    """Return the same run under a scenario in which something was asked otherwise."""
    changed = getattr(source.scenario, part).model_copy(update=changes)
    return replace(source, scenario=source.scenario.model_copy(update={part: changed}))


def form(folder, name, kind="json", out=None):
    arguments = ["report", str(folder), "--form", name, "--format", kind, "--json"]
    result = CliRunner().invoke(app, [*arguments, *(["--out", str(out)] if out else [])])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def values(document):
    return {line["code"]: line["value"] for line in document["lines"]}


def test_the_eed_report_follows_from_the_tables(folder):
    """Key figures from the meters' own tables, indicators as the regulation forms them from those figures."""
    found = values(form(folder, "eed"))
    site, energy = (pl.read_parquet(folder / f"{name}.parquet") for name in ("site", "energy"))
    assert found["E_DC"] == pytest.approx(site["site_power_mw"].sum() / 6 * 1000)
    at_ups = (site["it_power_mw"] + site["busway_loss_mw"]).sum() / 6 * 1000
    assert found["E_IT"] == pytest.approx(at_ups)
    assert found["E_DC-BG"] == pytest.approx(2000.0)
    assert found["E_DC"] == pytest.approx((energy["import_mwh"].sum() + 2) * 1000)  # generators are in it
    assert found["W_IN"] == pytest.approx(site["water_l"].sum() / 1000)
    assert found["W_IN-POT"] == found["W_IN"] / 2
    assert found["T_WH"] == pytest.approx(site["fws_return_c"].mean())
    assert found["E_REUSE"] == pytest.approx(
        pl.read_parquet(folder / "heat.parquet")["source_mwh"].sum() * 1000
    )
    assert found["PUE"] == pytest.approx(found["E_DC"] / at_ups)
    assert found["ERF"] == pytest.approx(found["E_REUSE"] / found["E_DC"])
    assert found["E_RES-TOT"] == found["E_RES-GOO"] + found["E_RES-PPA"] + found["E_RES-OS"]
    assert found["REF"] == pytest.approx(found["E_RES-TOT"] / found["E_DC"])
    assert found["REF"] <= 1 + 1e-9
    assert found["PD_IT"] == pytest.approx(127 * (132 + 72 * 0.15))


def test_every_key_figure_of_annex_ii_is_a_line_of_its_own(folder):
    """In the order of the regulation, each with the point that asks for it; no code stands twice."""
    lines = form(folder, "eed")["lines"]
    of_annex = [line["code"] for line in lines if line["part"].startswith("Annex II,")]
    assert [code for code in of_annex if code != "coverage"] == list(ANNEX_II)
    assert len({line["code"] for line in lines}) == len(lines)
    assert all(line["point"] for line in lines)
    points = [line["point"] for line in lines if line["part"].startswith("Annex II, 1")]
    assert points == sorted(points)
    assert points[0] == "Annex II, 1(a)"
    assert points[-1] == "Annex II, 1(r)"
    assert {line["code"]: line["unit"] for line in lines}["C_BtG"] == "kW"


@pytest.mark.parametrize("name", ["eed", "en50600", "heat-cba", "nkom"])
def test_what_is_missing_has_no_value_and_a_reason(folder, name):
    """A line has a value or is missing, never both; numbers have units and say how they were derived."""
    document = form(folder, name)
    for line in document["lines"]:
        assert (line["value"] is None) == (line["status"] == "missing")
        assert line["how"] or line["status"] == "given"
        assert line["unit"] or not isinstance(line["value"], float)
    assert document["missing"] == [line["code"] for line in document["lines"] if line["value"] is None]
    assert "2 days" in document["note"]


def test_what_is_not_known_is_missing_and_never_zero(folder):
    """Floor areas, traffic and server capacity are nobody's guess; a short run says that it is short."""
    document = form(folder, "eed")
    unknown = {"S_DC", "S_CR", "C_SERV", "C_STOR", "B_IN", "B_OUT", "T_IN data", "T_OUT data", "location"}
    assert unknown <= set(document["missing"])
    assert "operator" not in document["missing"]
    assert "not scaled up" in document["note"]


def test_what_the_operator_knows_fills_the_form(source):
    """Given figures stand as they were given; redundancy as told goes before what the scenario builds."""
    told = asked_otherwise(
        source,
        "registration",
        storage_pb=12.5,
        traffic_in_eb=0.0,
        centre_type="colocation",
        centre_structure="structure",
        redundancy_low_voltage="2N",
    )
    found = {line.code: line for line in eed_lines(told)}
    assert found["C_STOR"].value == 12.5
    assert found["T_IN data"].value == 0.0  # told to be nothing: given, not missing
    assert found["T_IN data"].status == "given"
    assert found["type"].value == "colocation data centre, structure"
    assert found["redundancy electrical, low voltage"].value == "2N"
    assert found["redundancy electrical, high voltage"].value == "N+1"


def test_installed_power_is_weighted_by_time(source):
    """A rack that arrives after the run counts nothing."""
    late = kv.load("stargate-norway-phase-1", {"run.days": 31})
    early = installed_kw(late)
    build_out = [{"month": 0, "gpus": 4572}, {"month": 1, "gpus": 4572}]
    halved = kv.load("stargate-norway-phase-1", {"run.days": 31, "site.build_out": build_out})
    assert installed_kw(halved) == pytest.approx(early / 2, rel=0.01)
    assert early == pytest.approx(installed_kw(source.scenario))


def test_battery_capacity_is_what_was_offered(source):
    """Mean over all hours of the run of what all products together offer, in kW."""
    hours = source.tables["energy"]["time_utc"][:2]
    offers = pl.DataFrame({"time_utc": hours, "product": ["ffr", "ffr"], "offered_mw": [1.2, 1.2]})
    sold = replace(source, tables={**source.tables, "reserves": offers})
    assert {line.code: line.value for line in eed_lines(sold)}["C_BtG"] == pytest.approx(2.4 / 48 * 1000)


def test_categories_of_pue_lie_in_order(folder):
    """The nearer the measuring point to the rack, the higher the PUE; the first is that of the EED."""
    found = values(form(folder, "en50600"))
    assert 1 < found["PUE1"] < found["PUE2"] <= found["PUE3"]
    assert found["PUE1"] == pytest.approx(values(form(folder, "eed"))["PUE"])
    assert found["ERE"] == pytest.approx(found["PUE3"] * (1 - found["ERF"]))
    assert found["REF"] <= 1 + 1e-9


def test_each_category_has_a_line_of_its_own(source):
    """Those that the twin cannot know are missing; CPU utilisation is not the share of GPUs in use."""
    found = {line.code: line.value for line in en50600_lines(source)}
    for name in ("PUE", "CUE", "WUE"):
        assert {f"{name}{number}" for number in (1, 2, 3)} <= set(found)
    assert [found[code] for code in ("ITEEsv", "ITEUsv", "CUE1", "CUE2", "CUE3", "WUE3", "WUE source")] == [
        None
    ] * 7
    assert 0 < found["GPU share"] <= 1
    assert found["CUE market direct"] < found["CUE location direct"] < found["CUE location life cycle"]
    wet = source.tables["site"].with_columns(water_l=pl.lit(100.0))
    rained = {
        line.code: line.value
        for line in en50600_lines(replace(source, tables={**source.tables, "site": wet}))
    }
    assert rained["WUE1"] == pytest.approx(rained["WUE2"] / 2)
    assert rained["WUE2"] == pytest.approx(28_800 / source.summary["it_energy_mwh"] / 1000)


def test_without_a_ups_the_next_point_is_taken(source):
    """E_IT is then measured at the busways, as the regulation allows; there is no category 1."""
    bare = asked_otherwise(source, "power", ups_mode="none")
    found = {line.code: line.value for line in eed_lines(bare)}
    assert found["E_IT"] == pytest.approx(source.summary["it_energy_mwh"] * 1000)
    standard = {line.code: line.value for line in en50600_lines(bare)}
    assert standard["PUE1"] is None
    assert standard["PUE2"] == pytest.approx(found["PUE"])


def test_a_run_of_nothing_divides_by_nothing(source):
    """No IT energy, no jobs: ratios are missing, not infinite and not zero."""
    nothing = {**source.summary, "it_energy_mwh": 0.0, "site_energy_mwh": 0.0, "heat_exported_mwh": 0.0,
               "ref": None, "erf": None, "cer": None, "allocation_share": None}  # fmt: skip
    idle = source.tables["site"].with_columns(it_power_mw=pl.lit(0.0), busway_loss_mw=pl.lit(0.0))
    still = Source({**source.record, "summary": nothing}, source.scenario, {**source.tables, "site": idle})
    for lines, codes in (
        (eed_lines(still), ("PUE", "WUE", "ERF", "REF")),
        (en50600_lines(still), ("PUE1", "PUE2", "PUE3", "REF", "ERF", "CER", "ERE", "WUE2", "GPU share")),
    ):
        found = {line.code: line for line in lines}
        assert all(found[code].value is None and found[code].status == "missing" for code in codes)


def test_the_registration_says_what_the_operator_said(folder):
    """Names as given, spaces of the number apart."""
    found = values(form(folder, "nkom"))
    assert found["operator"] == "Kvandal <AS>"
    assert found["organisation number"] == "974760673"
    assert found["representative"] is None


def test_a_connection_by_hand():
    """1 km at 1,000 EUR/m and 1 MW at 60 EUR/kW; 2,000 MWh a year instead of heat at 55 EUR: worked by hand."""
    customer = HeatCustomer(
        kind="flat", peak_mw=1.0, annual_gwh=2.0, supply_c=35.0, return_c=25.0, pipe_km=1.0
    )
    terms = Terms(1000, 500, 60, 0.02, 55, 20, 0.09)
    by_hand = -1_060_000 + 9.128546 * (2000 * 55 - 0.02 * 1_060_000)
    assert net_present_value_eur(customer, Year(2000, 0, 25), terms) == pytest.approx(by_hand, rel=1e-6)
    lifted = -1_560_000 + 9.128546 * (2000 * 55 - 400 * 25 - 0.02 * 1_560_000)
    assert net_present_value_eur(customer, Year(2000, 400, 25), terms) == pytest.approx(lifted, rel=1e-6)
    assert annuity(0.0, 20) == 20


def test_the_site_alone_may_lose_where_both_gain():
    """1,000 MWh at 8 EUR pay no pipe of 1,060,000 EUR; electricity of own pumps and its tax come off: worked by hand."""
    customer = HeatCustomer(
        kind="flat", peak_mw=1.0, annual_gwh=2.0, supply_c=35.0, return_c=25.0, pipe_km=1.0
    )
    terms = Terms(1000, 500, 60, 0.02, 55, 20, 0.09)
    alone = site_value_eur(customer, Year(2000, 0, 25, 1000), terms, 5.0, owns_pumps=True)
    assert alone == pytest.approx(-1_060_000 + 9.128546 * (8000 - 21_200), rel=1e-6)
    lifted = site_value_eur(customer, Year(2000, 100, 25, 1000), terms, 5.0, owns_pumps=True)
    assert lifted == pytest.approx(-1_560_000 + 9.128546 * (8000 - 3000 - 31_200), rel=1e-6)
    theirs = site_value_eur(customer, Year(2000, 100, 25, 1000), terms, 5.0, owns_pumps=False)
    assert theirs == pytest.approx(-1_560_000 + 9.128546 * (8000 - 31_200), rel=1e-6)


def parts(lines):
    found = {}
    for line in lines:
        found.setdefault(line.part, {})[line.code] = line.value
    return found


def test_the_heat_analysis_follows_from_the_tables(source):
    """Energy and money of every customer from the hourly tables; all together is their sum."""
    found = parts(heat_cba_lines(source))
    heat, energy = source.tables["heat"], source.tables["energy"]
    customers = source.scenario.heat.customers
    year = 365 / 2
    for name, customer in customers.items():
        mine = heat.filter(pl.col("customer") == name)
        assert found[name]["Q"] == pytest.approx(mine["delivered_mwh"].sum() * year)
        paid = (mine["heat_pump_mwh"] * energy["spot_eur_per_mwh"]).sum() * year
        assert found[name]["electricity"] == pytest.approx(paid)
        terms = expected_terms()
        saved = found[name]["Q"] * terms.alternative_eur_per_mwh - paid - found[name]["upkeep"]
        by_hand = -found[name]["I"] + saved * (1 - 1.04**-20) / 0.04
        assert found[name]["NPV"] == pytest.approx(by_hand)
        assert found[name]["CO2"] == pytest.approx(found[name]["CO2 replaced"] - found[name]["CO2 pump"])
        assert found[name]["CO2 pump"] == pytest.approx(mine["heat_pump_mwh"].sum() * year * 0.015)
        assert found[name]["NPV lowest"] < found[name]["NPV"] < found[name]["NPV highest"]
        assert found[name]["distance"] == customer.pipe_km
    income = sum(found[name]["income"] for name in customers)
    assert income == pytest.approx(float(energy["income_heat_eur"].sum()) * year, rel=1e-6)
    assert found["All connections"]["NPV"] == pytest.approx(sum(found[name]["NPV"] for name in customers))


def test_surplus_heat_is_used_or_left(source):
    """What the water holds is exported or rejected by the coolers; the rest of what is rejected is air."""
    found = parts(heat_cba_lines(source))
    surplus, months = found["Surplus heat"], found["Surplus heat by month"]
    site, halls = source.tables["site"], source.tables["halls"]
    assert surplus["H used"] == pytest.approx(source.summary["heat_exported_mwh"] * 365 / 2)
    assert surplus["H left"] == pytest.approx(halls["heat_rejected_mw"].sum() * 365 / 2)
    assert surplus["H"] == pytest.approx(surplus["H used"] + surplus["H left"])
    rejected = site["heat_rejected_mw"].sum() / 6 * 365 / 2
    assert surplus["H left"] + surplus["H air"] == pytest.approx(rejected)
    assert surplus["T lowest"] <= surplus["T"] <= surplus["T highest"]
    assert months["H 2027-01"] == pytest.approx(surplus["H"] * 2 / 365)  # a month stands as simulated
    assert months["other months"] is None


def test_a_customer_that_connects_later_is_not_scored(source):
    """Nothing is known of it, so that nothing is said to be lost; without customers there is no value at all."""
    customers = source.scenario.heat.customers
    name = next(iter(customers))
    later = {**customers, name: customers[name].model_copy(update={"from_month": 1})}
    found = parts(heat_cba_lines(asked_otherwise(source, "heat", customers=later)))
    assert found[name] == {"NPV": None}
    rest = sum(found[other]["NPV"] for other in customers if other != name)
    assert found["All connections"]["NPV"] == pytest.approx(rest)
    alone = parts(heat_cba_lines(asked_otherwise(source, "heat", customers={})))
    assert alone["All connections"] == {"NPV": None, "verdict": None}
    assert alone["Alternative: lift the heat that is left"] == {"W": None}


def test_a_heat_analysis_scales_and_says_so(folder):
    """Other seasons are missing; every assumption of the registry has its range."""
    document = form(folder, "heat-cba")
    assert "other seasons are missing" in document["note"]
    ranges = [line for line in document["lines"] if line["code"].startswith("NPV /")]
    assert len(ranges) == 8 * (len({line["part"] for line in ranges}))
    assert all("registry" in line["how"] for line in ranges)


def test_cooling_degree_days_of_eurostat():
    """24 °C counts 3, 23.9 nothing."""
    assert cooling_degree_days(pl.Series([24.0, 23.9, 10.0])) == 3.0


def test_a_form_is_a_page_a_table_and_a_document(folder, tmp_path):
    """Text of others is escaped; CSV and JSON hold the same lines; nothing but what was asked for is written."""
    form(folder, "nkom", "html", tmp_path / "nkom.html")
    page = (tmp_path / "nkom.html").read_text(encoding="utf-8")
    assert "Kvandal &lt;AS&gt;" in page
    assert 'class="n missing">missing' in page
    form(folder, "nkom", "csv", tmp_path / "nkom.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "nkom.csv").read_text(encoding="utf-8"))))
    form(folder, "nkom", "json", tmp_path / "nkom.json")
    assert len(rows) == len(json.loads((tmp_path / "nkom.json").read_text(encoding="utf-8"))["lines"])
    assert {row["code"]: row["value"] for row in rows}["operator"] == "Kvandal <AS>"
    assert list(rows[0]) == list(COLUMNS)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--format", "csv"], "--form"),
        (["--form", "tax"], "tax"),
        (["--form", "eed", "--out", "/nowhere/x"], "/nowhere"),
    ],
)
def test_bad_questions_are_refused(folder, arguments, what):
    """Exit code 2 and one message."""
    result = CliRunner().invoke(app, ["report", str(folder), *arguments])
    assert result.exit_code != 0
    assert what in str(result.exception) + result.output


@pytest.mark.parametrize(
    ("number", "what"),
    [
        ("974760674", "last digit would have to be 3"),
        ("12345", "nine digits"),
        ("97476067x", "nine digits"),
        (" ", "is empty"),
    ],
)
def test_a_wrong_organisation_number_is_refused(number, what):
    """The check digit is worked out (modulus 11)."""
    with pytest.raises(ScenarioError, match=what):
        kv.load("stargate-norway-phase-1", {"registration.organisation_number": number})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"centre_type": "hyperscale"}, "co-hosting"),
        ({"operator": ""}, "is empty"),
        ({"floor_area_m2": 10.0, "computer_room_area_m2": 20.0}, "must not exceed floor_area_m2"),
        ({"potable_water_fraction": 1.5}, "at most 1"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(changes, what):
    """One message that says what is allowed."""
    asked = {f"registration.{key}": content for key, content in changes.items()}
    with pytest.raises(ScenarioError, match=what):
        kv.load("stargate-norway-phase-1", asked)
