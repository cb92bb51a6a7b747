"""The loop follows its day-ahead plan, pays for deviations, and no plan beats perfect foresight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import INFERENCE, small_site, table, tenant

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.ledger.energy import energy_table
from kvandal.ledger.plan_table import follow_tables, plan_table
from kvandal.ledger.tables import heat_table, site_table
from kvandal.runs.plan_value import plan_value
from kvandal.scenario.heat import Heat, HeatCustomer
from kvandal.scenario.market import Market
from kvandal.scenario.plan import Plan
from kvandal.scenario.power import Power
from kvandal.scenario.supply import PRODUCTS, Reserve, Supply
from kvandal.twin.plant_state import BATTERY_KW, BATTERY_KWH
from kvandal.twin.simulate import go_on, new_outputs, prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, unpacked

TENANTS = {"owner": tenant("firm", 0.5), "abroad": tenant("lent", price_usd_per_gpu_hour=1.6)}


def planned_site(days=4, plan=None, reserves=None, store_mwh=0.0, **options):
    """A rack with a battery of half its size, a heat customer whose pump is the site's, and prices that move."""
    scenario = small_site(TENANTS, racks=2, days=days, tick_s=600, **options)
    customer = HeatCustomer(
        kind="flat", peak_mw=0.05, annual_gwh=0.3, supply_c=65.0, return_c=45.0, store_mwh=store_mwh,
        store_mw=0.05 if store_mwh else 0.0,
    )  # fmt: skip
    return scenario.model_copy(
        update={
            "power": Power(site_cap_margin_fraction=0.0, bess_power_mw=0.1, bess_energy_mwh=0.2),
            "market": Market(ppa_mw=0.0, spot_mean_eur_per_mwh=60.0),
            "plan": Plan(enabled=True, **(plan or {})),
            "supply": Supply(reserves=reserves or {}),
            "heat": Heat(pumps_owned_by="site", customers={"town": customer}),
        }
    )


WORK = [(hour * 3600, 40, 5 * 3600, hour % 2, INFERENCE) for hour in range(0, 80, 3)]


@pytest.fixture(scope="module")
def followed():
    reserves = {
        "ffr": Reserve(mw=0.02),
        "afrr_up": Reserve(mw=0.02, eur_per_mw_h=40.0),
        "fcr_d_down": Reserve(mw=0.02),
    }
    scenario = planned_site(reserves=reserves, store_mwh=0.3)
    return simulate_jobs(scenario, table(*WORK))


def test_the_battery_does_what_was_planned(followed):
    """Every hour after the first day, as far as energy is left; reserves that were called come on top."""
    plan, standby_kw = followed.plan, followed.plant.design["battery_standby_kw"][0]
    actual_mw = (followed.outputs.tick_real[:, BATTERY_KW].reshape(-1, 6).mean(axis=1) + standby_kw) / 1000
    wanted_mw = plan.battery_mw + plan.activation_mw
    energy_mwh = followed.outputs.tick_real[5::6, BATTERY_KWH] / 1000
    low, high = 0.2 * 0.15 + 1e-6, 0.2 * 0.85 - 1e-6
    free = (energy_mwh > low) & (energy_mwh < high)
    free[:24] = False
    assert free.sum() > 20
    assert actual_mw[free] == pytest.approx(wanted_mw[free], abs=1e-9)
    assert np.abs(wanted_mw[24:]).max() > 0.01
    assert plan.offered_mw.max() > 0.01
    assert (plan.activated_mwh <= plan.offered_mw + 1e-12).all()


def test_the_first_day_has_no_plan_and_pays_no_deviation(followed):
    """Nothing is known yet."""
    assert np.isnan(followed.plan.planned_import_mwh[:24]).all()
    assert not np.isnan(followed.plan.planned_import_mwh[24:]).any()
    energy = energy_table(followed, site_table(followed), heat_table(followed))
    cost = energy["cost_deviation_eur"].cast(float).to_numpy()
    assert (cost[:24] == 0).all()
    rows = plan_table(followed, energy, site_table(followed))
    spread = followed.scenario.plan.deviation_eur_per_mwh
    assert cost[24:] == pytest.approx(np.abs(rows["deviation_mwh"].to_numpy()[24:]) * spread, abs=1e-6)
    asked = rows["planned_import_mwh"].to_numpy()[24:] - rows["battery_activated_mw"].to_numpy()[24:]
    assert rows["deviation_mwh"].to_numpy()[24:] == pytest.approx(rows["import_mwh"].to_numpy()[24:] - asked)


def test_heat_goes_in_and_out_of_the_store(followed):
    """The customer gets what it wants, through the store or past it; what the store loses is small and its own."""
    heat = heat_table(followed)
    into, out, level = (heat[name].to_numpy() for name in ("store_in_mwh", "store_out_mwh", "store_mwh"))
    assert out.sum() > 0.1
    assert level.max() <= 0.3 + 1e-9
    lost = into.sum() - out.sum() - level[-1]
    assert 0 <= lost < 0.2 * into.sum()
    assert (heat["delivered_mwh"] <= heat["demand_mwh"] + 1e-9).all()
    piped = followed.outputs.heat_hour[:, 0, 1] / 1000
    assert heat["delivered_mwh"].to_numpy() + into == pytest.approx(piped + out)


def test_the_balance_holds_under_a_plan(followed):
    """Electricity in is heat out and stored, whatever the battery was told."""
    assert site_table(followed)["balance_error_fraction"].max() < 1e-9


def test_lent_work_is_capped_in_dear_hours_only():
    """Where a MWh costs more than the GPU-hours behind it, lent work is capped by rule E5 and nobody else is."""
    scenario = planned_site(plan={"battery": False})
    dear = scenario.model_copy(update={"market": Market(ppa_mw=0.0, spot_mean_eur_per_mwh=1500.0)})
    run = simulate_jobs(dear, table(*WORK))
    lent, firm = (site_table(run)[f"cap_{tier}_fraction"].to_numpy() for tier in ("lent", "firm"))
    assert lent[144:].min() == pytest.approx(0.8)
    assert (firm == 1.0).all()
    assert (run.state.events["rule"][: run.state.tally["events"][0]] == 34).any()
    cheap = simulate_jobs(scenario, table(*WORK))
    assert (site_table(cheap)["cap_lent_fraction"] == 1.0).all()


@pytest.mark.parametrize(
    ("plan", "reserves"),
    [
        ({}, {}),
        ({"battery": False}, {"afrr_up": Reserve(mw=0.02)}),
        ({"battery": False}, {}),
        ({"reserves": False, "battery": False}, {"ffr": Reserve(mw=0.02)}),
    ],
)
def test_a_run_goes_on_from_a_saved_state_as_it_was_planned(plan, reserves):
    """From the state of the second day, with what the tables say was planned: the same ticks, bit by bit."""
    scenario = planned_site(plan=plan, reserves=reserves, store_mwh=0.3)
    jobs = table(*WORK)
    recorder = Recorder(scenario, jobs, every_days=2)
    whole = simulate_jobs(scenario, jobs, recorder=recorder)
    site, heat = site_table(whole), heat_table(whole)
    energy = energy_table(whole, site, heat)
    start = prepare(scenario, jobs)
    follow_tables(start.inputs, scenario, {"plan": plan_table(whole, energy, site), "heat": heat})
    state, plant, tick = unpacked(recorder.snapshots[288], start.state, start.plant, jobs_mark(jobs))
    outputs = new_outputs(start)
    go_on(start, state, plant, outputs, tick, len(outputs.tick_real))
    assert outputs.tick_real[288:].tobytes() == whole.outputs.tick_real[288:].tobytes()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    spot=st.sampled_from([20.0, 80.0, 900.0]),
    offers=st.lists(st.sampled_from(PRODUCTS), unique=True),
    store_mwh=st.sampled_from([0.0, 0.2]),
    shift=st.booleans(),
)
def test_no_plan_earns_more_than_perfect_foresight(seed, spot, offers, store_mwh, shift):
    """Whatever the prices, the calls and the assets."""
    scenario = planned_site(
        days=3,
        plan={"shift_lent_work": shift},
        store_mwh=store_mwh,
        reserves={name: Reserve(mw=0.05) for name in offers},
    )
    market = Market(ppa_mw=0.0, spot_mean_eur_per_mwh=spot)
    scenario = scenario.model_copy(
        update={"market": market, "run": scenario.run.model_copy(update={"seed": seed})}
    )
    found = plan_value(scenario)
    assert found["value_eur"] <= found["bound_eur"] + 1e-3 * abs(found["bound_eur"]) + 1e-3


def test_a_run_of_one_day_has_nothing_to_plan():
    """It is refused, with what would do."""
    with pytest.raises(ScenarioError, match="at least 2 days"):
        plan_value(planned_site(days=1))


def test_a_run_without_a_plan_has_an_empty_table():
    """No plan: no rows, no offers, no deviations."""
    run = kv.simulate(kv.load("stargate-norway-phase-1", {"run.days": 1, "run.tick_s": 3600}))
    assert run.plan.height == 0
    assert run.reserves.height == 0
    assert float(run.energy["cost_deviation_eur"].sum()) == 0
