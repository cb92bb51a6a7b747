"""Statements follow from the run folder alone, agree with the books to the cent, and say what they do not know."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app
from kvandal.ledger.books.journal import CENT
from kvandal.ledger.books.posting import price_eur_per_gpu_h
from kvandal.ledger.statements.item import carbon_items
from kvandal.runs.books import opened
from kvandal.runs.economics import side_by_side
from kvandal.runs.folder import write_run
from kvandal.runs.statements import all_statements, names_of, statement
from kvandal.scenario.parameters import parameters

CHANGES = {
    "run.days": 3, "run.start_utc": datetime(2027, 1, 30, tzinfo=UTC), "run.tick_s": 600, "heat.pumps_owned_by": "site",
    "finance.availability_fraction": 0.9999999, "finance.take_or_pay_fraction": 1.0, "reliability.gpu_h_per_interruption": 2000.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three days over the end of a month, with failures enough that everybody loses something."""
    path = tmp_path_factory.mktemp("statements") / "run"
    write_run(kv.simulate(kv.load("stargate-norway-phase-1", CHANGES)), path)
    return path


@pytest.fixture(scope="module")
def account(folder):
    return opened(folder)


def lines(found):
    return {(item.chapter, item.what): item.amount for item in found.items}


def owned(table, name, column="tenant"):
    return table.filter(pl.col(column).cast(pl.String) == name)


def january(table, column="time_utc"):
    return table.filter(pl.col(column).dt.strftime("%Y-%m") == "2027-01")


def standing(account, name, month=None):
    rows = account.journal.filter((pl.col("account") == name) & (pl.col("unit") == CENT))
    return (rows.filter(pl.col("month") == month) if month else rows)["amount"].sum()


@pytest.mark.parametrize("tenant", ["uk", "norway-research", "sovereign", "offtaker"])
def test_a_tenants_statement_is_recomputed_from_the_tables(account, tenant):
    """Use, energy, carbon, waits, loans and losses by hand from Parquet; the sum is what the books say."""
    found = lines(statement(account, "tenant", tenant, "2027-01"))
    energy = january(owned(account.tables["tenant_energy"], tenant))
    assert found["Energy", "in all"] == energy["site_wh"].sum() / 1000
    assert found["Energy", "its part of the heat sold"] == energy["heat_wh"].sum() / 1000
    assert found["Carbon", "location-based, direct"] == energy["carbon_location_direct_g"].sum() / 1000
    for tier in ("firm", "assured", "lent"):
        assert found["Use", f"GPU-hours, {tier}"] == energy[f"gpu_s_{tier}"].sum() / 3600
    jobs = owned(account.tables["jobs"], tenant)
    assert found["Jobs", "submitted"] == january(jobs, "submit_utc").height
    loans = january(owned(account.tables["loans"], tenant, "borrower"), "start_utc")
    assert found["Loans", "received, GPUs"] == loans["gpus"].sum()
    ended = january(jobs.filter(pl.col("start_utc").is_not_null()), "end_utc")
    for cause in ("failure", "recall", "shed", "checkpoint", "restart", "expiry"):
        assert found["Lost", f"GPU-hours lost to {cause}"] == pytest.approx(
            ended[f"gpu_s_lost_{cause}"].sum() / 3600
        )
    owed = standing(account, f"receivable:{tenant}", "2027-01") / 100
    assert found["Money", "in all"] == owed
    parts = [amount for (chapter, what), amount in found.items()
             if chapter == "Money" and not what.startswith(("price", "in all", "of it"))]  # fmt: skip
    assert sum(parts) == pytest.approx(owed)


def test_months_add_up_to_the_run(account):
    """GPU-hours, energy, losses and money of January and February are those of the whole run, whoever's."""
    for tenant in names_of(account, "tenant"):
        whole, parts = (lines(statement(account, "tenant", tenant)),
                        [lines(statement(account, "tenant", tenant, month)) for month in ("2027-01", "2027-02")])  # fmt: skip
        for key, amount in whole.items():
            if key[0] in {"Use", "Energy", "Lost", "Loans"} and "share" not in key[1]:
                assert amount == pytest.approx(sum(part[key] for part in parts)), key
        assert whole["Money", "in all"] == pytest.approx(sum(part["Money", "in all"] for part in parts))


def test_lost_hours_are_given_back_by_tier_and_contract(account):
    """Failures at the price, recalls to who has a claim and not to who borrows; to the off-taker what was stopped for power."""
    lost = {name: lines(statement(account, "tenant", name)) for name in names_of(account, "tenant")}
    price = price_eur_per_gpu_h(account.scenario, "uk")
    hours = lost["uk"]["Lost", "GPU-hours lost to failure"]
    assert hours > 0
    assert lost["uk"]["Lost", "credit for failure"] == pytest.approx(hours * price, abs=0.02)
    assert ("Lost", "credit for recall") not in lost["uk"]
    assert ("Lost", "credit for recall") in lost["norway-research"]
    by_contract = [
        what for chapter, what in lost["offtaker"] if chapter == "Lost" and what.startswith("credit")
    ]
    assert by_contract == ["credit for shed"]
    research = lost["norway-research"]
    given = sum(amount for (_, what), amount in research.items() if what.startswith("credit for"))
    assert -sum(
        amount for (_, what), amount in research.items() if what.startswith("credit: ")
    ) == pytest.approx(given)


def test_what_is_given_back_is_a_choice_of_the_scenario(account):
    """Without credited losses nobody is given anything back for them."""
    from kvandal.ledger.books.posting import journal_of

    nothing = {"firm": (), "assured": (), "lent": (), "offtaker": ()}
    changed = kv.load("stargate-norway-phase-1", {**CHANGES, "finance.credited_losses": nothing})
    texts = journal_of(changed, account.tables).table()["text"].unique().to_list()
    assert not [text for text in texts if text.startswith("credit: GPU-hours")]


def test_the_settlement_of_the_offtaker_by_hand(account):
    """What is reserved less what is taken, at the price; availability below the promise gives a tenth of the fee back."""
    found = lines(statement(account, "offtaker", "offtaker", "2027-01"))
    hours = january(owned(account.tables["tenants"], "offtaker"))
    reserved, taken = float(hours["deserved_gpus"].sum()), float(hours["gpus_held"].sum())
    assert (found["Take or pay", "reserved"], found["Take or pay", "taken"]) == (reserved, taken)
    waited = found["Take or pay", "waited for in vain"]
    assert 0 <= waited <= hours["queued_gpus"].sum()
    short = max(0.0, reserved - taken - waited)
    assert found["Take or pay", "paid for and not taken"] == pytest.approx(short, abs=0.1)
    site = january(account.tables["site"])
    reached = 1 - site["gpu_s_broken"].sum() / site["gpu_s_installed"].sum()
    assert found["Availability", "reached in 2027-01"] == pytest.approx(reached)
    assert reached < 0.9999999
    used = owned(january(account.tables["tenant_energy"]), "offtaker").select(
        pl.sum_horizontal("gpu_s_firm", "gpu_s_assured", "gpu_s_lent").sum()
    )
    price = price_eur_per_gpu_h(account.scenario, "offtaker")
    owed = used.item() / 3600 * price + short * price - 0.1 * (taken + short) * price
    assert found["Money", "in all"] == pytest.approx(owed, rel=1e-6)


def test_the_owners_statement_adds_up(account):
    """Revenue less expense is the result; the owners' parts are all of it; cash flows begin with the capital."""
    found = statement(account, "owners")
    by_name = lines(found)
    revenue, expense = (
        sum(amount for (chapter, _), amount in by_name.items() if chapter == name)
        for name in ("Revenue", "Expense")
    )
    result = by_name["Result", "revenue less expense"]
    assert result == pytest.approx(revenue + expense)
    assert by_name["Result", "of Nscale"] + by_name["Result", "of Aker"] == pytest.approx(result)
    assert abs(by_name["Result", "of Nscale"] - by_name["Result", "of Aker"]) <= 0.03
    capital = sum(amount for (_, what), amount in by_name.items() if what.startswith("capital"))
    assert by_name["Cash flow", "year 0"] == pytest.approx(-capital)
    written_off = sum(amount for (_, what), amount in by_name.items() if what.startswith("depreciation"))
    yearly = (result - written_off) * 365 / 3
    assert by_name["Investment", "left by a year"] == pytest.approx(yearly, rel=1e-6)


def test_heat_bills_are_what_the_books_charge(account):
    """Each customer pays for what was handed over; all bills together are the revenue of heat."""
    bills = {name: lines(statement(account, "heat", name)) for name in names_of(account, "heat")}
    for name, bill in bills.items():
        rows = owned(account.tables["heat"], name, "customer")
        assert bill["Heat", "handed over by the site"] == pytest.approx(rows["source_mwh"].sum())
        price = account.scenario.heat.customers[name].price_eur_per_mwh
        assert bill["Money", "in all"] == pytest.approx(rows["source_mwh"].sum() * price, abs=0.011)
    revenue = lines(statement(account, "owners"))["Revenue", "heat"]
    assert sum(bill["Money", "in all"] for bill in bills.values()) == pytest.approx(revenue)


def test_the_transparency_report_names_no_tenant_and_adds_up(account):
    """By tier and region, never by tenant; regions sum to what was used; energy and carbon of a GPU-hour by hand."""
    found = statement(account, "transparency", month="2027-01")
    text = found.page() + found.table().write_csv()
    assert not [
        name for name in ("offtaker", "norway-research", "northern-europe", "sovereign") if name in text
    ]
    by_name = lines(found)
    energy = january(account.tables["tenant_energy"]).filter(pl.col("tenant").cast(pl.String) != "owners")
    used = sum(energy[f"gpu_s_{tier}"].sum() for tier in ("firm", "assured", "lent")) / 3600
    by_region = [
        amount for (chapter, _), amount in by_name.items() if chapter == "GPU-hours by tier and region"
    ]
    assert sum(by_region) == pytest.approx(used)
    assert by_name["GPU-hours", "used"] == pytest.approx(used)
    assert by_name["Of a GPU-hour", "energy"] == pytest.approx(energy["site_wh"].sum() / 1000 / used)
    grams = energy["carbon_market_lifecycle_g"].sum() / used
    assert by_name["Of a GPU-hour", "market-based, life-cycle"] == pytest.approx(grams)
    jobs = january(account.tables["jobs"], "submit_utc")
    assert (
        by_name["Requests", "share rejected"]
        == jobs.filter(pl.col("state") == "refused").height / jobs.height
    )
    small = jobs.filter((pl.col("tier").cast(pl.String) == "assured") & (pl.col("gpus") <= 64))
    (promise,) = (amount for (_, what), amount in by_name.items() if what.startswith("priority jobs"))
    assert promise == small.filter(pl.col("wait_s") <= 1800).height / small.height


def test_effects_on_the_region_carry_the_range_of_their_multipliers(account):
    """Jobs of 20 MW by hand, least and most; the site's value added from the books; nobody's number without a range."""
    found = {(item.chapter, item.what): item for item in statement(account, "regional").items}
    jobs = found["Jobs", "in all, in operation"]
    assert (jobs.low, jobs.amount, jobs.high) == pytest.approx(
        (20 * 0.3 * 1.5, 20 * 0.6 * 2.0, 20 * 1.0 * 2.7)
    )
    value = parameters()["regional.value_added_meur_per_fte"]
    added = found["Value added", "of all jobs in a year"]
    assert added.amount == pytest.approx(jobs.amount * value.value * 1e6)
    assert added.low < added.amount < added.high
    staff = -lines(statement(account, "owners"))["Expense", "staff"] * 365 / 3
    assert found["Value added", "of it wages"].amount == pytest.approx(staff, rel=1e-6)
    spared = found["Users in Norway", "paid less than the list price"]
    assert spared.low < spared.amount < spared.high


def test_every_statement_of_every_month_is_written(account, folder, tmp_path):
    """One page each, an index that leads to all of them, and all lines in two tables that hold the same."""
    result = CliRunner().invoke(
        app, ["statement", str(folder), "all", "--out", str(tmp_path / "all"), "--json"]
    )
    assert result.exit_code == 0, result.output
    wanted = list(all_statements(account))
    assert json.loads(result.stdout)["statements"] == len(wanted)
    pages = {str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*/*.html")}
    index = (tmp_path / "all" / "index.html").read_text(encoding="utf-8")
    assert len(pages) == len(wanted)
    assert all(f'href="{page}"' in index for page in pages)
    rows = sum(len(one.items) for one in wanted)
    table = pl.read_parquet(tmp_path / "all" / "statements.parquet")
    assert table.height == pl.read_csv(tmp_path / "all" / "statements.csv", infer_schema=False).height == rows
    assert set(table["kind"]) == {"tenant", "offtaker", "owners", "heat", "transparency", "regional"}


@pytest.mark.parametrize("kind", ["html", "csv", "parquet"])
def test_a_statement_as_a_file(folder, tmp_path, kind):
    """A page, a table, a table; the page opens offline."""
    path = tmp_path / f"one.{kind}"
    result = CliRunner().invoke(app, ["statement", str(folder), "tenant", "uk", "--out", str(path)])
    assert result.exit_code == 0, result.output
    if kind == "html":
        page = path.read_text(encoding="utf-8")
        assert "<h1>Statement of uk</h1>" in page
        assert "http://" not in page.replace("http://www.w3.org", "")
    else:
        table = pl.read_csv(path) if kind == "csv" else pl.read_parquet(path)
        assert set(table.columns) == {
            "kind", "name", "period", "scope", "chapter", "what", "amount", "unit", "low", "high", "note",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["tenant", "nobody"], "tenants are: offtaker"),
        (["tenant", "national"], "tenants are: offtaker"),
        (["tenant"], "needs a name"),
        (["heat", "nobody"], "heat customers are: "),
        (["owners", "Aker"], "takes no name"),
        (["tenant", "uk", "--month", "2030-01"], "its months are: 2027-01, 2027-02"),
        (["regional", "--month", "2027-01"], "whole run"),
        (["tenant", "uk", "--out", "one.doc"], ".html, .csv or .parquet"),
        (["all", "uk"], "every statement"),
        (["everything"], "regional"),
    ],
)
def test_bad_questions_are_answered_with_what_is_allowed(folder, arguments, what):
    """One message, nothing written."""
    result = CliRunner().invoke(app, ["statement", str(folder), *arguments])
    assert result.exit_code != 0
    assert what in str(result.exception) + result.output


def test_a_folder_that_is_taken_is_refused(folder, tmp_path):
    """Nothing is overwritten."""
    result = CliRunner().invoke(app, ["statement", str(folder), "all", "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert "exists already" in str(result.exception)


def test_without_an_offtaker_there_is_no_settlement(tmp_path):
    """And a site without jobs, heat or owners has statements all the same."""
    bare = kv.load("stargate-norway-phase-1", {
        "run.days": 1, "run.tick_s": 3600, "finance.offtaker_tenant": None, "heat.customers": {}, "site.owners": {}, "demand": {},
    })  # fmt: skip
    write_run(kv.simulate(bare), tmp_path / "bare")
    account = opened(tmp_path / "bare")
    assert {one.kind for one in all_statements(account)} == {"tenant", "owners", "transparency", "regional"}
    result = CliRunner().invoke(app, ["statement", str(tmp_path / "bare"), "offtaker"])
    assert "finance.offtaker_tenant" in str(result.exception)
    report = lines(statement(account, "transparency"))
    assert report["Of a GPU-hour", "energy"] is None
    assert report["Requests", "share rejected"] is None


def test_runs_side_by_side_say_what_books_and_summary_say(account, folder):
    """Money is the owners' statement, the rest the summary; a run against itself differs by nothing."""
    rows = {(row["chapter"], row["name"]): row for row in side_by_side([folder, folder])}
    assert all(set(row["differences"]) <= {0, None} for row in rows.values())
    owners = lines(statement(account, "owners"))
    assert rows["Money", "result"]["values"][0] == pytest.approx(owners["Result", "revenue less expense"])
    assert rows["Money", "result of Aker"]["values"][0] == pytest.approx(owners["Result", "of Aker"])
    expense = -sum(amount for (chapter, _), amount in owners.items() if chapter == "Expense")
    parts = ("cost of electricity", "upkeep, insurance, staff", "depreciation")
    assert sum(rows["Money", name]["values"][0] for name in parts) == pytest.approx(expense)
    jobs = account.tables["jobs"].with_columns(pl.col("tier").cast(pl.String))
    for tier in ("firm", "assured", "lent"):
        held = jobs.filter(pl.col("tier") == tier)["gpu_s_allocated"].sum() / 3600
        assert rows["Access", f"GPU-hours of {tier} tenants"]["values"][0] == pytest.approx(held)
    summary = json.loads((folder / "run.json").read_text(encoding="utf-8"))["summary"]
    assert rows["Carbon", "market-based, life-cycle"]["values"][0] == summary["carbon_market_lifecycle_t"]
    assert rows["Heat", "sold"]["values"][0] == summary["heat_exported_mwh"]


def test_ranges_of_carbon_follow_what_the_energy_is():
    """All at the residual mix: the residual's range; all under contracts: the contracts'; half and half: both, by hand."""
    scenario = kv.load("stargate-norway-phase-1")
    registry = parameters()

    def spread(residual_kwh, covered_kwh):
        grams = {
            "carbon_location_direct": 1.0, "carbon_location_lifecycle": 1.0, "carbon_market_direct": residual_kwh * 500.0,
            "carbon_market_lifecycle": residual_kwh * 560.0 + covered_kwh * 8.0,
        }  # fmt: skip
        return carbon_items("Carbon", grams, scenario, "g")[3]

    residual, contract = registry["carbon.ef_residual_lifecycle"], registry["carbon.ef_contract_lifecycle"]
    for one, other in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)):
        item = spread(one, other)
        assert item.low == pytest.approx(one * residual.minimum + other * contract.minimum)
        assert item.high == pytest.approx(one * residual.maximum + other * contract.maximum)


def test_a_run_within_a_month_says_everything_once(tmp_path):
    """No line stands twice, and what is of a month is told from what is of the run."""
    run = kv.simulate(kv.load("stargate-norway-phase-1", {"run.days": 1, "run.tick_s": 3600}))
    write_run(run, tmp_path / "day")
    found = list(all_statements(opened(tmp_path / "day")))
    assert len({(one.kind, one.name, one.period) for one in found}) == len(found)
    assert {one.table()["scope"][0] for one in found} == {"month", "run"}


def test_every_account_of_revenue_is_compared(account, folder):
    """What the books call revenue is a row, also where nobody paid."""
    known = {
        name.removeprefix("revenue:")
        for name in account.journal["account"].unique()
        if name.startswith("revenue:")
    }
    rows = {
        row["name"].removeprefix("revenue, ")
        for row in side_by_side([folder, folder])
        if row["name"].startswith("revenue, ")
    }
    assert known <= rows
