"""The loop follows its day-ahead plan, pays for deviations, and no plan beats perfect foresight."""

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_sites import INFERENCE, PLANNED_TENANTS, WORK, planned_site, table

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.ledger.energy import energy_table
from kvandal.ledger.plan_table import follow_tables, plan_table
from kvandal.ledger.tables import heat_table, site_table
from kvandal.runs.plan_value import plan_value
from kvandal.scenario.market import Market
from kvandal.scenario.supply import PRODUCTS, Reserve, Supply
from kvandal.twin.planning import Planner
from kvandal.twin.plant_state import BATTERY_KW, BATTERY_KWH, DEMAND_KW, SITE_KW
from kvandal.twin.simulate import go_on, new_outputs, prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, unpacked


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
    assert rows["deviation_mwh"].to_numpy()[24:] == pytest.approx(
        rows["import_mwh"].to_numpy()[24:] - np.maximum(0.0, asked)
    )


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
    switches=st.fixed_dictionaries({"shift_lent_work": st.booleans(), "battery": st.booleans()}),
    grid_mw=st.sampled_from([1000.0, 0.2]),
    conditional=st.booleans(),
    goo=st.booleans(),
)
@example(  # a battery that no plan may move supports a curtailed site, and saves
    seed=45, spot=900.0, offers=[], store_mwh=0.0, switches={"shift_lent_work": False, "battery": False},
    grid_mw=1000.0, conditional=True, goo=False,
)  # fmt: skip
@example(  # so does one on the first day, before any plan
    seed=99, spot=20.0, offers=[], store_mwh=0.0, switches={"shift_lent_work": False, "battery": True},
    grid_mw=1000.0, conditional=True, goo=False,
)  # fmt: skip
def test_no_plan_earns_more_than_perfect_foresight(
    seed, spot, offers, store_mwh, switches, grid_mw, conditional, goo
):
    """In all, deviations and tariff included, whatever the prices, the calls, the assets and the connection."""
    scenario = planned_site(
        days=3,
        plan=switches,
        store_mwh=store_mwh,
        reserves={name: Reserve(mw=0.05) for name in offers},
    )
    market = Market(ppa_mw=0.1 if goo else 0.0, spot_mean_eur_per_mwh=spot, goo_fraction=float(goo))
    changed = {
        "market": market,
        "run": scenario.run.model_copy(update={"seed": seed}),
        "site": scenario.site.model_copy(update={"grid_mw": grid_mw}),
        "supply": scenario.supply.model_copy(
            update={"conditional_mw": conditional * (grid_mw - 0.05), "conditional_hours_per_year": 4000.0}
        ),
    }
    found = plan_value(scenario.model_copy(update=changed))
    assert found["value_eur"] <= found["bound_eur"] + 1e-6 * abs(found["bound_eur"]) + 1e-3
    parts = found["moved_eur"] + found["deviations_saved_eur"] + found["tariff_saved_eur"]
    assert found["value_eur"] == pytest.approx(parts)
    without, planned, best = (case["total_eur"] for case in found["cases"])
    assert (without - planned, without - best) == pytest.approx((found["value_eur"], found["bound_eur"]))


def priced(tmp_path, scenario, eur_per_mwh, step_s):
    """The scenario with prices from a file."""
    start_s = int(scenario.run.start_utc.timestamp())
    times = pl.from_epoch(pl.Series(start_s + step_s * np.arange(len(eur_per_mwh)))).dt.replace_time_zone(
        "UTC"
    )
    path = tmp_path / "prices.parquet"
    pl.DataFrame({"time_utc": times, "eur_per_mwh": np.asarray(eur_per_mwh, float)}).write_parquet(path)
    return scenario.model_copy(update={"market": Market(ppa_mw=0.0, prices=str(path))})


def test_prices_by_the_quarter_and_below_zero(tmp_path):
    """Planned on their hourly means; paid by the quarter; the bound knows the quarters; no energy is burnt at -150 EUR/MWh."""
    hours = np.tile(np.where(np.arange(24) < 8, -150.0, 90.0), 3)
    quarters = (hours[:, None] + [-20.0, 0.0, 0.0, 20.0]).ravel()
    scenario = planned_site(days=3, store_mwh=0.2)
    scenario = scenario.model_copy(update={"run": scenario.run.model_copy(update={"tick_s": 300})})
    scenario = priced(tmp_path, scenario, quarters, 900)
    found = plan_value(scenario)
    assert 0 < found["value_eur"] <= found["bound_eur"]
    work = [(hour * 3600, 60, 3 * 3600, 0, INFERENCE) for hour in range(12, 72, 24)]
    run = simulate_jobs(scenario, table(*work))
    plan = run.plan
    assert plan.battery_mw[32:48].max() > 0.01
    assert plan.battery_mw[48:56].min() < -0.01  # it charges where it is paid for
    assert plan.battery_mw[48:56].max() <= 1e-6
    end_mwh = run.outputs.tick_real[11::12, BATTERY_KWH] / 1000
    assert end_mwh[24:] == pytest.approx(plan.battery_mwh[24:], abs=1e-6)


def test_without_forecast_error_heat_demand_is_known_and_with_it_only_about():
    """The same model at other temperatures; nothing else is drawn anew."""
    sure, vague = (
        heated(planned_site(days=4, plan={"weather_error_k": error_k}, store_mwh=0.3))
        for error_k in (0.0, 3.0)
    )
    exact, about = (simulate_jobs(one, table(*WORK)) for one in (sure, vague))
    book = exact.plan
    assert np.isnan(book.forecast_heat_mwh[:24]).all()
    assert book.forecast_heat_mwh[24:] == pytest.approx(book.heat_demand_mwh[24:])
    assert book.forecast_c[24:] == pytest.approx(exact.weather.temp_c[24:-1])
    off_k = about.plan.forecast_c[24:] - about.weather.temp_c[24:-1]
    assert 1.0 < np.sqrt((off_k**2).mean()) < 6.0
    assert np.abs(about.plan.forecast_heat_mwh[24:] - about.plan.heat_demand_mwh[24:]).max() > 1e-3
    assert (about.plan.heat_demand_mwh == book.heat_demand_mwh).all()
    assert (about.prices.eur_per_mwh == exact.prices.eur_per_mwh).all()


def heated(scenario):
    """The scenario with a customer whose demand follows the weather."""
    town = scenario.heat.customers["town"].model_copy(update={"kind": "district_heating", "annual_gwh": 0.2})
    return scenario.model_copy(
        update={"heat": scenario.heat.model_copy(update={"customers": {"town": town}})}
    )


def test_a_shorter_run_plans_the_same_days():
    """Up to the day whose horizon its end cuts off: no forecast knows what comes after it but for its stated error."""
    reserves = {"ffr": Reserve(mw=0.02), "afrr_up": Reserve(mw=0.02, eur_per_mw_h=40.0)}
    short, long = (
        simulate_jobs(heated(planned_site(days=days, store_mwh=0.3, reserves=reserves)), table(*WORK)).plan
        for days in (4, 6)
    )
    for name in (
        "planned_import_mwh",
        "battery_mw",
        "forecast_c",
        "forecast_heat_mwh",
        "offered_mw",
        "activation_mw",
    ):
        assert getattr(short, name)[:72] == pytest.approx(getattr(long, name)[:72], nan_ok=True), name
    assert (short.forecast_c[72:] == long.forecast_c[72:96]).all()


def test_days_before_do_not_depend_on_days_after(tmp_path):
    """Two runs whose prices differ from the fourth day on are planned alike until then."""
    base = planned_site(days=5, store_mwh=0.3)
    one = np.tile(np.linspace(20, 120, 24), 5)
    other = np.concatenate([one[:72], 400 - one[72:]])
    books = [
        simulate_jobs(priced(tmp_path, base, prices, 3600), table(*WORK)).plan for prices in (one, other)
    ]
    assert (books[0].battery_mw[:72] == books[1].battery_mw[:72]).all()
    assert (books[0].battery_mw[72:] != books[1].battery_mw[72:]).any()


def test_load_is_expected_as_high_as_yesterday_and_shaped_as_the_last_week():
    """By hand, from three days of 2 MW with 50 MW at noon (4 MW on average), then one of 3 MW all day."""
    scenario = planned_site(days=6)
    start = prepare(scenario, table(*WORK))
    planner = Planner(scenario, start.site, start.plant, start.inputs, start.prices.eur_per_mwh)
    outputs = new_outputs(start)
    day_mw = np.full(24, 2.0)
    day_mw[12] = 50.0
    load_mw = np.concatenate([np.tile(day_mw, 3), np.full(24, 3.0)])
    outputs.tick_real[: 96 * 6, DEMAND_KW] = np.repeat(load_mw, 6) * 1000
    planner.plan_day(4, outputs)
    expected = 3.0 + 0.75 * (day_mw - 4.0)
    standby_mw = start.plant.design["battery_standby_kw"][0] / 1000
    assert planner.book.forecast_load_mwh[96:120] == pytest.approx(np.maximum(0.0, expected) + standby_mw)


def test_charging_leaves_room_for_what_load_exceeded_its_forecast():
    """A cheap hour of the fifth day, a peak of 3 MW so far: with 2 MW forecast and 0.95 MW too little last week, 50 kW are charged."""
    scenario = planned_site(days=6)
    start = prepare(scenario, table(*WORK))
    price = np.tile(np.where(np.arange(24) == 3, 1.0, 500.0), 6)
    standby_mw = start.plant.design["battery_standby_kw"][0] / 1000
    for beyond_mw, charged_mw in ((0.0, 0.1), (0.95, 0.05)):
        planner = Planner(scenario, start.site, start.plant, start.inputs, price)
        outputs = new_outputs(start)
        load_mw = np.full(96, 2.0)
        outputs.tick_real[: 96 * 6, DEMAND_KW] = np.repeat(load_mw, 6) * 1000
        outputs.tick_real[: 96 * 6, BATTERY_KWH] = 100.0
        outputs.tick_real[80 * 6 : 81 * 6, SITE_KW] = 3000.0 + standby_mw * 1000
        planner.book.forecast_load_mwh[24:96] = load_mw[24:] + standby_mw
        planner.book.forecast_load_mwh[50] -= beyond_mw
        planner.plan_day(4, outputs)
        assert -planner.book.battery_mw[96 + 3] == pytest.approx(charged_mw, abs=1e-6)


def test_caps_of_yesterday_are_not_expected_twice():
    """Where lent work is capped every day, the load of tomorrow without caps is expected, and then what caps save is taken off."""
    scenario = planned_site(days=5, plan={"battery": False})
    dear = scenario.model_copy(update={"market": Market(ppa_mw=0.0, spot_mean_eur_per_mwh=2000.0)})
    work = [(0, 60, 6 * 86_400, 1, INFERENCE)]
    run = simulate_jobs(dear, table(*work))
    plan = run.plan
    assert (plan.lent_shift_mwh[24:] > 0).all()
    energy = energy_table(run, site_table(run), heat_table(run))
    off_mwh = np.abs(plan.deviation_mwh(energy["import_mwh"].to_numpy()))[30:]
    assert off_mwh.max() < 0.25 * plan.lent_shift_mwh[24:].mean()


def test_test_runs_of_generators_are_in_the_calendar():
    """They feed the site on the first of the month; the plan buys less, and nothing deviates."""
    scenario = planned_site(days=4, plan={"battery": False})
    month = scenario.run.model_copy(update={"start_utc": scenario.run.start_utc.replace(day=30)})
    scenario = scenario.model_copy(update={"run": month, "supply": Supply(generators_mw=0.04)})
    run = simulate_jobs(scenario, table((0, 60, 6 * 86_400, 0, INFERENCE)))
    energy = energy_table(run, site_table(run), heat_table(run))
    fed = energy["generator_mwh"].to_numpy()
    hour = int(np.flatnonzero(fed)[-1])
    assert hour >= 24
    bought = run.plan.planned_import_mwh
    assert bought[hour] == pytest.approx(run.plan.forecast_load_mwh[hour] - fed[hour])
    assert abs(run.plan.deviation_mwh(energy["import_mwh"].to_numpy())[hour]) < 0.1 * fed[hour]


@pytest.mark.parametrize("tick_s", [600, 3600])
@pytest.mark.parametrize("battery_mw", [0.0, 0.1])
def test_sites_without_battery_or_borrowers_are_planned_too(tick_s, battery_mw):
    """No battery: nothing moves and nothing is offered. No borrowers: no caps. Ten days: more than the week that a forecast looks back."""
    reserves = {name: Reserve(mw=0.2) for name in PRODUCTS}
    scenario = planned_site(days=10, reserves=reserves, tenants={"owner": PLANNED_TENANTS["owner"]})
    power = scenario.power.model_copy(update={"bess_power_mw": battery_mw, "bess_energy_mwh": 2 * battery_mw})
    run = scenario.run.model_copy(update={"tick_s": tick_s})
    scenario = scenario.model_copy(update={"power": power, "run": run})
    plan = simulate_jobs(scenario, table((0, 40, 20 * 86_400, 0, INFERENCE))).plan
    assert (plan.lent_shift_mwh == 0).all()
    assert (plan.lent_cap == 1).all()
    up = plan.offered_mw[:, [name != "fcr_d_down" for name in PRODUCTS]].sum(axis=1)
    down = plan.offered_mw[:, PRODUCTS.index("fcr_d_down")]
    assert (up + plan.battery_mw <= battery_mw + 1e-6).all()
    assert (down - plan.battery_mw <= battery_mw + 1e-6).all()
    assert (plan.offered_mw.max() > 0.01) == (battery_mw > 0)


def test_filling_a_store_takes_no_heat_that_others_need():
    """Phase 1 in winter, its heat nearly all sold: with a store the other customers get what they got without."""
    changes = {
        "run.days": 4, "run.tick_s": 3600, "plan.enabled": True, "heat.pumps_owned_by": "site",
        "heat.customers.bjerkvik-district-heating.store_mwh": 20.0,
        "heat.customers.bjerkvik-district-heating.store_mw": 2.0,
    }  # fmt: skip
    unmet = []
    for stores in (True, False):
        run = kv.simulate(kv.load("stargate-norway-phase-1", {**changes, "plan.heat_stores": stores}))
        unmet.append(float(run.heat["unmet_mwh"].sum()))
    assert unmet[0] <= unmet[1] + 0.01 * float(run.heat["demand_mwh"].sum())


def test_a_run_of_one_day_has_nothing_to_plan():
    """It is refused, with what would do."""
    with pytest.raises(ScenarioError, match="at least 2 days"):
        plan_value(planned_site(days=1))


def test_a_run_without_a_plan_has_an_empty_table():
    """No plan: no rows, no offers, no deviations."""
    run = kv.simulate(kv.load("stargate-norway-phase-1", {
        "run.days": 1, "run.tick_s": 3600, "plan.enabled": False, "supply.reserves": {},
    }))  # fmt: skip
    assert run.plan.height == 0
    assert run.reserves.height == 0
    assert float(run.energy["cost_deviation_eur"].sum()) == 0
