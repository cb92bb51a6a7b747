"""What of the reserves can be offered, and what of an offer was ready: months, battery and connection."""

from datetime import UTC, datetime

import pytest
from small_sites import WORK, planned_site, table

from kvandal.energy.reserves import bought_hours
from kvandal.runs.plan_value import plan_value
from kvandal.scenario.supply import PRODUCTS, Reserve, Supply
from kvandal.twin.planning import Planner
from kvandal.twin.plant_state import BATTERY_KW
from kvandal.twin.simulate import new_outputs, prepare, simulate_jobs

FFR, DOWN = PRODUCTS.index("ffr"), PRODUCTS.index("fcr_d_down")


def test_months_are_those_of_the_clock_of_the_site():
    """May begins at 22:00 UTC in Norway; a product without months is bought all year."""
    supply = Supply(reserves={"ffr": Reserve(mw=1.0, months=(5, 9)), "fcr_d_down": Reserve(mw=1.0)})
    bought = bought_hours(supply, datetime(2027, 4, 30, 20, tzinfo=UTC), 4, "Europe/Oslo")
    assert bought[:, FFR].tolist() == [False, False, True, True]
    assert bought[:, DOWN].all()
    in_june = bought_hours(supply, datetime(2027, 6, 15, tzinfo=UTC), 24, "Europe/Oslo")
    assert not in_june[:, FFR].any()


def test_a_reserve_is_offered_only_in_its_months():
    """From 28 April on: nothing until May begins, then FFR; and perfect foresight cannot sell it before either."""
    scenario = planned_site(days=6, reserves={"ffr": Reserve(mw=0.05, months=(5,))})
    begin = datetime(2027, 4, 28, tzinfo=UTC)
    scenario = scenario.model_copy(update={"run": scenario.run.model_copy(update={"start_utc": begin})})
    offered = simulate_jobs(scenario, table(*WORK)).plan.offered_mw[:, FFR]
    assert (offered[: 3 * 24 - 2] == 0).all()
    assert offered[3 * 24 - 2 :].mean() > 0.04
    never = scenario.model_copy(update={"supply": Supply(reserves={"ffr": Reserve(mw=0.05, months=(1,))})})
    without = scenario.model_copy(update={"supply": Supply()})
    assert plan_value(never)["bound_eur"] == pytest.approx(plan_value(without)["bound_eur"])


def test_readiness_that_the_envelope_took_is_not_paid():
    """A battery of 100 kW that gives 60 kW to hold the site below its limit is ready with 40 kW; one that charges, with all."""
    scenario = planned_site(days=2, reserves={"ffr": Reserve(mw=0.1)})
    start = prepare(scenario, table(*WORK))
    planner = Planner(scenario, start.site, start.plant, start.inputs, start.prices.eur_per_mwh)
    outputs = new_outputs(start)
    standby_kw = start.plant.design["battery_standby_kw"][0]
    outputs.tick_real[:, BATTERY_KW] = -standby_kw
    outputs.tick_real[30 * 6 : 31 * 6, BATTERY_KW] += 60.0
    outputs.tick_real[31 * 6 : 32 * 6, BATTERY_KW] -= 60.0
    planner.book.offered_mw[30:32, PRODUCTS.index("ffr")] = 0.1
    planner.book.offered_mw[30:32, PRODUCTS.index("fcr_d_down")] = 0.1
    ready = planner.finish(outputs).offered_mw[30:32]
    assert ready[:, PRODUCTS.index("ffr")] == pytest.approx([0.04, 0.1])
    assert ready[:, PRODUCTS.index("fcr_d_down")] == pytest.approx([0.1, 0.04])
