"""Contracts that tenants buy: a day worked by hand, and a run that is attributed again from its folder."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sites import BATCH, small_site, table, tenant
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app
from kvandal.energy.contracts import contracts_of
from kvandal.energy.matching import annual_match
from kvandal.errors import ScenarioError
from kvandal.ledger import attribution, claims
from kvandal.ledger.books import posting
from kvandal.ledger.books.journal import CENT, Journal, balances, mistakes
from kvandal.ledger.energy import contracts_table, energy_table
from kvandal.ledger.flows import flows_of
from kvandal.ledger.tables import heat_table, site_table
from kvandal.runs.books import opened
from kvandal.runs.folder import read_run, write_run
from kvandal.runs.job_energy import job_energy
from kvandal.scenario.market import Carbon, Market
from kvandal.scenario.supply import Purchase, Supply
from kvandal.twin.records import PLACEMENT
from kvandal.twin.simulate import simulate_jobs
from kvandal.twin.site import build_site

FACTORS = Carbon(
    location_direct_g_per_kwh=15.0, residual_direct_g_per_kwh=500.0, location_lifecycle_g_per_kwh=45.0,
    residual_lifecycle_g_per_kwh=560.0, contract_lifecycle_g_per_kwh=8.0, grid_carbon_free_share=0.8,
)  # fmt: skip


def contract(mw, first_h, last_h, **others):
    """Deliver constant power from one hour of the first day to another, for 30 EUR/MWh."""
    last = datetime(2027, 1, 1 + last_h // 24, last_h % 24, tzinfo=UTC)
    first = datetime(2027, 1, 1, first_h, tzinfo=UTC)
    return Purchase(kind="baseload", mw=mw, eur_per_mwh=30.0, from_utc=first, until_utc=last, **others)


PURCHASES = {
    "river": contract(20.0, 0, 24),
    "wind": contract(70.0, 0, 6, buyer="a"),
    "dawn": contract(20.0, 6, 12, buyer="a"),
    "gas": contract(10.0, 12, 18, carbon_free=False),
    "dusk": contract(60.0, 18, 24, buyer="a"),
}


def metered(site_mw, step_s=3600, supply=None, market=None):
    """Tables of a day whose meter shows what is given; three fifths of it go to a, the rest to b."""
    scenario = small_site({"a": tenant("firm", 0.5), "b": tenant("firm", 0.5)}, racks=2, tick_s=step_s)
    scenario = scenario.model_copy(
        update={"supply": supply or Supply(), "market": market or Market(ppa_mw=0.0), "carbon": FACTORS}
    )
    run = simulate_jobs(scenario, table())
    prices = replace(run.prices, step_s=step_s, eur_per_mwh=np.full(86_400 // step_s, 20.0))
    run = replace(run, prices=prices, contracts=contracts_of(scenario, step_s))
    site_mw = np.asarray(site_mw, np.float64)
    site = site_table(run).with_columns(
        site_power_mw=pl.Series(site_mw), it_power_mw=pl.Series(site_mw * 0.8)
    )
    heat = heat_table(run)
    energy, contracts = energy_table(run, site, heat), contracts_table(run, site)
    placements = np.zeros(2, PLACEMENT)
    placements["job"] = placements["rack"] = [0, 1]
    placements["gpus"], placements["end_s"] = 72, 86_400
    basis = replace(
        attribution.basis_of(run, energy, heat, contracts),
        placements=placements,
        rack_wh=np.tile(np.array([60_000, 40_000], np.int32), (24, 1)),
        tenant_of=np.array([0, 1]),
        demand_of=np.array([BATCH, BATCH]),
    )
    found = attribution.attribute(basis)
    return run, site, energy, contracts, attribution.tenant_energy_table(scenario, found)


@pytest.fixture(scope="module")
def day():
    """100 MW until noon, 60 MW after it; guarantees by the hour for half of what no clean contract covers.

    ====== ==== ===== === ==== ====== ========= =========== ==============
    hours  load clean gas goo  bare   matched   a: own, all b: matched
    ====== ==== ===== === ==== ====== ========= =========== ==============
    0-5    100  90    0   5    5      95+4=99   60, 60      39
    6-11   100  40    0   30   30     70+24=94  20, 57      37
    12-17  60   20    10  20   20     40+16=56  0, 33.6     22.4
    18-23  60   60    0   0    0      60        36, 36      24
    ====== ==== ===== === ==== ====== ========= =========== ==============

    In the evening 80 MW are there: dusk gives 45 and sells 15, the river 15 and 5.
    """
    return metered(
        np.repeat([100.0, 60.0], 12),
        supply=Supply(purchases=PURCHASES),
        market=Market(ppa_mw=0.0, goo_fraction=0.5, goo_by_hour=True),
    )


def test_the_day_of_the_site_by_hand(day):
    """CFE score, annual claim and carbon on four bases, in every hour and over the day."""
    _, _, energy, contracts, _ = day
    by_hand = {
        "import_mwh": (100, 100, 60, 60),
        "ppa_clean_mwh": (90, 40, 20, 60),
        "ppa_mwh": (90, 40, 30, 60),
        "spot_bought_mwh": (10, 60, 30, 0),
        "ppa_sold_mwh": (0, 0, 0, 20),
        "goo_mwh": (5, 30, 20, 0),
        "carbon_free_mwh": (99, 94, 56, 60),
        "carbon_location_direct_t": (1.5, 1.5, 0.9, 0.9),
        "carbon_location_lifecycle_t": (4.5, 4.5, 2.7, 2.7),
        "carbon_market_direct_t": (2.5, 15, 10, 0),
        "carbon_market_lifecycle_t": (2.8 + 0.76, 16.8 + 0.56, 11.2 + 0.32, 0.48),
    }
    for name, quarters in by_hand.items():
        assert energy[name].to_numpy() == pytest.approx(np.repeat(np.array(quarters, float), 6)), name
    assert energy["carbon_free_mwh"].sum() / energy["site_mwh"].sum() == pytest.approx(1854 / 1920)
    clean = energy["ppa_clean_mwh"].to_numpy() + energy["goo_mwh"].to_numpy()
    assert annual_match(energy["import_mwh"].to_numpy(), clean) == pytest.approx(1590 / 1920)
    tonnes = [energy[f"{name}_t"].sum() for name in attribution.CARBON]
    assert tonnes == pytest.approx([28.8, 86.4, 165.0, 197.52])
    sums = contracts.group_by("contract").agg(pl.col("delivered_mwh", "used_mwh", "sold_mwh").sum())
    found = {str(name): numbers for name, *numbers in sums.iter_rows()}
    assert found["dusk"] == pytest.approx([360, 270, 90])
    assert found["river"] == pytest.approx([480, 450, 30])
    assert found["gas"] == pytest.approx([60, 60, 0])


def test_the_day_of_the_tenants_by_hand(day):
    """The buyer's contracts count for the buyer first; what is left falls to all that is not covered."""
    tenants = day[4]
    site_wh = {"a": (60, 60, 36, 36), "b": (40, 40, 24, 24)}
    matched = {"a": (60, 57, 33.6, 36), "b": (39, 37, 22.4, 24)}
    direct_t = {"a": (0, 7.5, 6, 0), "b": (2.5, 7.5, 4, 0)}
    lifecycle_t = {"a": (0.48, 0.16 + 8.6, 6.912, 0.288), "b": (3.08, 8.6, 4.608, 0.192)}
    for column, wanted in (
        ("site_wh", site_wh),
        ("matched_wh", matched),
        ("carbon_market_direct_g", direct_t),
        ("carbon_market_lifecycle_g", lifecycle_t),
    ):
        for name, quarters in wanted.items():
            mine = tenants.filter(pl.col("tenant").cast(pl.String) == name)[column].to_numpy() / 1e6
            assert mine == pytest.approx(np.repeat(np.array(quarters, float), 6), abs=2e-6), (column, name)
    sums = tenants.group_by("tenant", maintain_order=True).agg(pl.exclude("time_utc").sum())
    assert (sums["matched_wh"] / sums["site_wh"]).to_list()[:2] == pytest.approx([0.971875, 0.95625])
    assert sums["carbon_market_direct_g"].to_list() == pytest.approx([81e6, 84e6, 0], abs=2)
    assert sums["carbon_market_lifecycle_g"].to_list() == pytest.approx([98.64e6, 98.88e6, 0], abs=2)
    assert sums["carbon_location_direct_g"].to_list() == pytest.approx([17.28e6, 11.52e6, 0], abs=2)


def test_the_buyer_pays_its_contracts_less_the_spot_price(day):
    """70, 20 and 60 MW for six hours at 30 EUR, all of it worth 20 EUR, used or sold: 9,000 EUR."""
    run, contracts = day[0], day[3]
    journal = Journal()
    posting._passed_on(journal, run.scenario, {"contracts": contracts}, "2027-01")
    standing = {row["account"]: row["amount"] for row in balances(journal.table()).to_dicts()}
    assert standing == {"receivable:a": 900_000, "revenue:energy passed on": -900_000}


def test_what_a_contract_without_guarantees_gives_has_the_residual_mix():
    """All of 50 MW come from gas: covered by nothing, so residual; guarantees may still be cancelled for it."""
    gas = Supply(purchases={"gas": contract(80.0, 0, 24, carbon_free=False, buyer="a")})
    for fraction, tonnes in ((0.0, 600.0), (0.5, 300.0)):
        market = Market(ppa_mw=0.0, goo_fraction=fraction)
        _, _, energy, _, tenants = metered(np.full(24, 50.0), supply=gas, market=market)
        assert energy["ppa_clean_mwh"].sum() == 0
        assert energy["spot_bought_mwh"].sum() == 0
        assert energy["carbon_market_direct_t"].sum() == pytest.approx(tonnes)
        assert energy["carbon_free_mwh"].sum() == pytest.approx(0.8 * 1200)
        shares = tenants.group_by("tenant", maintain_order=True).agg(pl.col("matched_wh").sum())
        assert shares["matched_wh"].to_list() == [576_000_000, 384_000_000, 0]  # no claim from gas


def test_generators_and_a_battery_that_give_more_than_the_site_draws():
    """A test run of 2 MW beside quarters of 1 MW; a quarter in which the meter runs backwards; a whole hour in which it does."""
    site_mw = np.full(96, 4.0)
    site_mw[40:44] = [1.0, 1.0, 1.0, 13.0]  # the hour of the test run
    site_mw[48] = -6.0
    site_mw[52:56] = -2.0
    supply = Supply(generators_mw=4.0, purchases={"river": contract(3.0, 0, 24, buyer="b")})
    run, site, energy, contracts, tenants = metered(
        site_mw, 900, supply, Market(ppa_mw=0.0, goo_by_hour=True)
    )
    flows = flows_of(run, site)
    assert flows.generated[40:44].tolist() == [0.25, 0.25, 0.25, 0.5]
    assert flows.load.min() == 0.0
    assert energy["generator_mwh"][10] == 1.25
    assert energy["import_mwh"].to_list()[10:14] == [2.75, 4.0, 3.0, 0.0]
    assert energy["carbon_free_mwh"].to_list()[10:14] == [4.0, 4.0, 1.5, 0.0]
    assert contracts["sold_mwh"].to_list()[12:14] == [0.75, 3.0]
    assert float(energy["income_sold_eur"][12]) == 20 * (0.75 + 1.5)
    covered = energy["ppa_clean_mwh"].to_numpy() + energy["goo_mwh"].to_numpy()
    assert (covered <= energy["import_mwh"].to_numpy() + 1e-12).all()
    assert energy["carbon_location_direct_t"].min() == energy["carbon_market_direct_t"].min() == 0.0
    hours = tenants.group_by("time_utc", maintain_order=True).agg(pl.col("matched_wh", "site_wh").sum())
    assert hours["matched_wh"].to_list() == np.rint(energy["carbon_free_mwh"].to_numpy() * 1e6).tolist()
    assert tenants.filter(pl.col("matched_wh") > pl.max_horizontal("site_wh", 0)).height == 0


@given(
    st.lists(
        st.tuples(st.integers(-50, 10**7), st.integers(0, 10**7)), min_size=1, max_size=6
    ),
    st.integers(0, 10**9),
)  # fmt: skip
def test_nobody_is_matched_with_more_than_it_drew(tenants, ppm):
    """Whatever is bought; carbon-free energy of the hour is between what the contracts cover and all that was drawn."""
    site_wh, bought = (np.array([column]) for column in zip(*tenants, strict=True))
    drawn = np.maximum(site_wh, 0)
    least = np.minimum(bought, drawn).sum()
    carbon_free = np.array([least + (drawn.sum() - least) * ppm // 10**9])
    own = claims.own_wh(site_wh, bought, carbon_free)
    assert (own == np.minimum(bought, drawn)).all()
    matched = claims.matched_wh(site_wh, own, carbon_free)
    assert matched.sum() == carbon_free[0]
    assert (own <= matched).all()
    assert (matched <= drawn).all()
    assert claims.own_wh(site_wh, bought, carbon_free // 2).sum() <= carbon_free[0] // 2
    factors = claims.market_g_per_wh(kv.load("stargate-norway-phase-1"), site_wh, own, np.array([[7.0, 1e6]]))
    assert (factors >= 0).all()


@pytest.mark.parametrize(
    ("buyer", "what"),
    [("nobody", "no tenant 'nobody'; allowed is one of offtaker,"), ("national", "'national' is a group")],
)
def test_only_a_tenant_can_buy(buyer, what):
    """The message names the key and the tenants."""
    purchase = {"kind": "baseload", "mw": 1.0, "eur_per_mwh": 30.0, "buyer": buyer}
    with pytest.raises(ScenarioError) as caught:
        kv.load("stargate-norway-phase-1", {"supply.purchases": {"own": purchase}})
    assert "supply.purchases.own.buyer: " in str(caught.value) or "own.buyer: " in str(caught.value)
    assert what in str(caught.value)


@pytest.fixture(scope="module")
def bought(tmp_path_factory):
    """Two days in which the off-taker buys wind and the UK a little water; the owners bear idle GPUs."""
    changes = {
        "run.days": 2, "run.tick_s": 600, "market.ppa_mw": 2.0, "market.goo_fraction": 0.3, "accounting.idle": "owners",
        "supply.purchases": {
            "wind": {"kind": "pay_as_produced", "mw": 9.0, "eur_per_mwh": 28.0, "profile": "wind-north", "buyer": "offtaker"},
            "water": {"kind": "baseload", "mw": 1.0, "eur_per_mwh": 31.0, "buyer": "uk", "seller": "wind"},
        },
    }  # fmt: skip
    run = kv.simulate(kv.load("stargate-norway-phase-1", changes))
    folder = tmp_path_factory.mktemp("bought") / "run"
    write_run(run, folder)
    return run, folder


def test_a_run_folder_says_the_same_as_the_run(bought):
    """Attributed again from the tables, for tenants and for a job by the hour."""
    run, folder = bought
    scenario, tables = opened(folder).scenario, read_run(folder).tables
    basis = attribution.basis_from_tables(scenario, build_site(scenario), tables)
    again = attribution.tenant_energy_table(scenario, attribution.attribute(basis))
    assert again.equals(run.tables["tenant_energy"])
    jobs = tables["jobs"]
    job = int(jobs["carbon_market_direct_g"].arg_max())
    document = job_energy(folder, job)
    for column in ("site_wh", "carbon_market_direct_g"):
        assert sum(row[column] for row in document["hours"]) == jobs[column][job]


def test_the_buyer_emits_less_than_others_and_all_adds_up(bought):
    """Each column sums to the hour; a buyer has less market carbon for its energy and more that is matched."""
    run, folder = bought
    tenants, energy = run.tables["tenant_energy"], run.tables["energy"]
    hours = tenants.group_by("time_utc", maintain_order=True).agg(pl.exclude("tenant").sum())
    assert hours["matched_wh"].to_list() == np.rint(energy["carbon_free_mwh"].to_numpy() * 1e6).tolist()
    for name in attribution.CARBON:
        whole = attribution.whole_steps(energy[f"{name}_t"].to_numpy() * 1e6)
        assert hours[f"{name}_g"].to_list() == whole.tolist()
    sums = tenants.with_columns(pl.col("tenant").cast(pl.String)).group_by("tenant").agg(
        pl.exclude("time_utc").sum()
    )  # fmt: skip
    per_wh = {
        row["tenant"]: (row["carbon_market_direct_g"] / row["site_wh"], row["matched_wh"] / row["site_wh"])
        for row in sums.to_dicts()
        if row["site_wh"] > 0
    }
    others = [name for name in per_wh if name not in ("offtaker", "uk")]
    assert attribution.OWNERS in others
    assert all(per_wh["offtaker"][0] < per_wh[name][0] for name in others)
    assert all(per_wh["offtaker"][1] > per_wh[name][1] for name in others)
    result = CliRunner().invoke(app, ["show", str(folder), "--energy"])
    assert result.exit_code == 0


def test_the_owners_do_not_bear_what_tenants_buy(bought):
    """Buyers bear the cost of their contracts less the spot price of what was delivered, to the cent; the books balance."""
    _, folder = bought
    account = opened(folder)
    tables, journal = account.tables, account.journal
    assert mistakes(journal) == []
    contracts = tables["contracts"].with_columns(pl.col("buyer").cast(pl.String)).drop_nulls("buyer")
    assert set(contracts["buyer"]) == {"offtaker", "uk"}
    at_spot = contracts.join(tables["energy"], on="time_utc").select(
        (pl.col("delivered_mwh") * pl.col("spot_eur_per_mwh")).sum()
    )
    net = (float(contracts["cost_eur"].sum()) - at_spot.item()) * 100
    passed = journal.filter(
        (pl.col("account") == "revenue:energy passed on")
        & (pl.col("unit") == CENT)
        & ~pl.col("text").str.starts_with("result")
    )
    assert -passed["amount"].sum() == pytest.approx(net, abs=2)
    sold = tables["contracts"]["income_sold_eur"].sum()
    assert float(sold) == pytest.approx(float(tables["energy"]["income_sold_eur"].sum()), abs=1e-3)
