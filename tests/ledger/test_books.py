"""The books: every entry balances, nothing can be changed unseen, and all follows from the run folder alone."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import numpy_financial as npf
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app
from kvandal.ledger.attribution import OWNERS
from kvandal.ledger.books.investment import cash_flow, net_present_value, rate_of_return
from kvandal.ledger.books.journal import CENT, GPU_S, WH, Journal, Posting, balances, differences, mistakes
from kvandal.ledger.books.posting import availability, parted, price_eur_per_gpu_h
from kvandal.ledger.books.property import capital_eur, rack_eur, running_costs_eur
from kvandal.ledger.books.property import standing as racks_standing
from kvandal.runs.books import books_document, opened
from kvandal.runs.folder import write_run

CHANGES = {
    "run.days": 3, "run.start_utc": "2027-01-30T00:00:00Z", "run.tick_s": 600, "finance.offtaker_tenant": "offtaker",
    "finance.take_or_pay_fraction": 1.0, "finance.availability_fraction": 0.9999999, "supply.generators_mw": 4.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("books") / "run"
    changes = CHANGES | {"run.start_utc": datetime(2027, 1, 30, tzinfo=UTC)}
    write_run(kv.simulate(kv.load("stargate-norway-phase-1", changes)), path)
    return path


@pytest.fixture(scope="module")
def kept(folder):
    account = opened(folder)
    return account.scenario, account.tables, account.journal


def standing(journal, account, unit=CENT, month=None):
    rows = journal.filter((pl.col("account") == account) & (pl.col("unit") == unit))
    return rows.filter(pl.col("month") == month)["amount"].sum() if month else rows["amount"].sum()


def test_the_books_balance_in_every_month_and_unit(kept):
    """Cents, GPU-seconds, Wh and grams on four bases; two months."""
    journal = kept[2]
    sums = journal.group_by("month", "unit").agg(pl.col("amount").sum())
    assert (sums["amount"] == 0).all()
    assert set(sums["unit"]) >= {CENT, GPU_S, WH, "carbon_location_direct_g", "carbon_market_lifecycle_g"}
    assert sums["month"].n_unique() == 2
    assert mistakes(journal) == []


def test_the_books_say_what_the_tables_say(kept):
    """Meter, carbon, GPU-seconds and energy costs to the last whole unit; revenue by hand."""
    scenario, tables, journal = kept
    attributed = tables["tenant_energy"]
    assert -standing(journal, "meter", WH) == attributed["site_wh"].sum()
    assert (
        -standing(journal, "emitted", "carbon_location_direct_g")
        == attributed["carbon_location_direct_g"].sum()
    )
    used = sum(attributed[f"gpu_s_{tier}"].sum() for tier in ("firm", "assured", "lent"))
    assert -standing(journal, "capacity", GPU_S) == used
    payable = (
        "base-load",
        "power exchange",
        "grid company",
        "registry of guarantees",
        "state",
        "supplier of fuel",
        "balance responsible party",
    )
    owed = -sum(standing(journal, f"payable:{name}") for name in payable)
    sold = standing(journal, "receivable:power exchange") + standing(journal, "receivable:system operator")
    assert standing(journal, "receivable:system operator") > 0
    assert owed - sold == pytest.approx(float(tables["energy"]["cost_eur"].sum()) * 100, abs=10)
    uk = attributed.filter(pl.col("tenant").cast(pl.String) == "uk")["gpu_s_lent"].sum()
    by_hand = uk / 3600 * price_eur_per_gpu_h(scenario, "uk") * 100
    failed = tables["jobs"].filter(pl.col("tenant").cast(pl.String) == "uk")["gpu_s_lost_failure"].sum()
    credit = failed / 3600 * price_eur_per_gpu_h(scenario, "uk") * 100
    assert standing(journal, "receivable:uk") == pytest.approx(by_hand - credit, abs=4)
    assert standing(journal, f"receivable:{OWNERS}") == 0


def test_the_offtaker_takes_or_pays_and_gets_its_credit(kept):
    """Reserved hours less used ones at its price; a month below the promise gives a tenth of the fee back."""
    scenario, tables, journal = kept
    price = price_eur_per_gpu_h(scenario, "offtaker")
    for month in ("2027-01", "2027-02"):
        hours = tables["tenants"].filter(
            (pl.col("tenant").cast(pl.String) == "offtaker")
            & (pl.col("time_utc").dt.strftime("%Y-%m") == month)
        )
        used, reserved = float(hours["gpus_held"].sum()), float(hours["deserved_gpus"].sum())
        waited = sum(
            min(max(0.0, row["deserved_gpus"] - row["gpus_held"]), row["queued_gpus"])
            for row in hours.iter_rows(named=True)
        )
        short = max(0.0, reserved - used - waited)
        took = journal.filter(
            (pl.col("account") == "revenue:take-or-pay") & pl.col("text").str.starts_with("take")
        )
        assert -took.filter(pl.col("month") == month)["amount"].sum() == round(short * price * 100)
        if availability(parted(tables["site"])[month]) < 1:
            credit = journal.filter(
                (pl.col("month") == month) & pl.col("text").str.starts_with("credit: avail")
            )
            fee = used * price * 100 + short * price * 100
            assert credit.filter(pl.col("amount") > 0)["amount"].sum() == pytest.approx(fee * 0.1, abs=2)


def test_the_owners_share_the_result_to_the_last_cent(kept):
    """Half each; both together are revenue less expense."""
    journal = kept[2]
    shares = [-standing(journal, f"equity:{name}") for name in ("Nscale", "Aker")]
    assert abs(shares[0] - shares[1]) <= 2
    entries = journal.filter(~pl.col("text").str.starts_with("result"))
    of_result = entries.filter(pl.col("account").str.contains("^(revenue|expense):"))
    assert sum(shares) == -of_result["amount"].sum()


def test_a_changed_a_missing_and_an_unbalanced_entry_are_seen(kept):
    """The chain is checked entry by entry."""
    journal = kept[2]
    changed = journal.with_columns(
        amount=pl.when(pl.col("entry") == 3).then(pl.col("amount") * 2).otherwise(pl.col("amount"))
    )
    assert "changed" in mistakes(changed)[0]
    assert "missing" in mistakes(journal.filter(pl.col("entry") != 5))[0]
    forged = journal.with_row_index().with_columns(
        text=pl.when(pl.col("index") == 1).then(pl.lit("forged")).otherwise(pl.col("text"))
    )
    assert "changed" in mistakes(forged)[0]
    cut = journal.filter(pl.col("entry") < journal["entry"].max())
    assert mistakes(cut) == []  # a chain that is cut is whole
    assert "entries instead of" in differences(cut, journal)[0]
    assert differences(journal, journal) == []
    first = journal.with_row_index().with_columns(
        amount=pl.when(pl.col("index") == 0).then(pl.col("amount") + 1).otherwise(pl.col("amount"))
    )
    assert "does not balance" in mistakes(first)[0]
    with pytest.raises(ValueError, match="does not balance"):
        Journal().post("2027-01", "wrong", [Posting("a", CENT, 1), Posting("b", WH, -1)])


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.integers(-(10**12), 10**12)),
        max_size=30,
    )
)
def test_any_journal_balances_and_its_chain_holds(moves):
    """Whatever is transferred."""
    journal = Journal()
    for debit, credit, amount in moves:
        journal.transfer("2027-01", "moved", debit, credit, amount)
    table = journal.table()
    assert mistakes(table) == []
    assert balances(table)["amount"].sum() == 0


@settings(max_examples=200)
@given(st.floats(1, 1000), st.lists(st.floats(0.1, 500), min_size=1, max_size=20))
def test_rates_of_return_are_those_of_the_reference(invested, flows):
    """Against numpy-financial, for flows that change their sign once."""
    found = rate_of_return([-invested, *flows])
    expected = npf.irr([-invested, *flows])
    if found is None:
        assert not -0.89 < expected < 9.9
    else:
        assert net_present_value(found, [-invested, *flows]) == pytest.approx(0, abs=1e-3 * invested)
        assert found == pytest.approx(expected, abs=1e-5)


def test_racks_are_bought_anew_when_they_are_worn():
    """Every five years, not in the last."""
    flows = cash_flow(1000.0, 500.0, 400.0, 15, 5.0)
    assert [year for year, flow in enumerate(flows) if flow < 0] == [0, 5, 10]
    assert rate_of_return(flows) == pytest.approx(npf.irr(flows), abs=1e-6)


def test_books_from_the_command_line(folder, tmp_path):
    """JSON alone on standard output; the journal as Parquet."""
    runner = CliRunner()
    result = runner.invoke(app, ["books", str(folder), "--json", "--out", str(tmp_path / "journal.parquet")])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["mistakes"] == []
    assert mistakes(pl.read_parquet(tmp_path / "journal.parquet")) == []
    assert books_document(folder)[0]["entries"] == json.loads(result.stdout)["entries"]
    checking = ["books", str(folder), "--check", str(tmp_path / "journal.parquet")]
    assert "nothing changed" in runner.invoke(app, checking).stdout
    journal = pl.read_parquet(tmp_path / "journal.parquet")
    journal.filter(pl.col("entry") < 9).write_parquet(tmp_path / "journal.parquet")
    short = runner.invoke(app, checking)
    assert short.exit_code == 1
    assert "9 entries instead of" in short.stdout
    (tmp_path / "other.parquet").write_bytes(b"no journal")
    assert "cannot be read as a journal" in str(
        runner.invoke(app, [*checking[:3], str(tmp_path / "other.parquet")]).exception
    )
    assert ".parquet" in str(runner.invoke(app, ["books", str(folder), "--out", "j.csv"]).exception)


def test_what_is_worn_is_bought_anew_however_short_its_life():
    """Twice a year and every second year; nothing at the end. Worked by hand."""
    assert cash_flow(100.0, 50.0, 40.0, 3, 0.5, 2.0) == [-150.0, -60.0, -160.0, -10.0]
    assert cash_flow(100.0, 50.0, 40.0, 2, 5.0, 15.0) == [-150.0, 40.0, 40.0]


def test_racks_are_property_from_when_they_come():
    """60 racks, 30 more in February: bought in their months, written off for the days that they stand."""
    hours = pl.datetime_range(
        datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 28, 23, tzinfo=UTC), "1h", eager=True
    )
    site = SimpleNamespace(delivered_s=np.repeat([0, 31 * 86_400], [60, 30]))
    racks = racks_standing(site, hours)
    assert {month: (one.bought, one.standing_h, one.hours) for month, one in racks.items()} == {
        "2027-01": (60, 60 * 744.0, 744), "2027-02": (30, 90 * 672.0, 672),
    }  # fmt: skip
    scenario = kv.load("stargate-norway-phase-1")
    costs = running_costs_eur(scenario, racks["2027-02"])
    assert costs["depreciation:racks"] == pytest.approx(90 * rack_eur(scenario) * 672 / 8760 / 5)
    assert capital_eur(scenario, racks)["racks"] == pytest.approx(90 * rack_eur(scenario))
