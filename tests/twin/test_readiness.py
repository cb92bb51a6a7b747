"""What of the reserves can be offered, and what of an offer was ready: months, battery and connection."""

from datetime import UTC, datetime

import numpy as np
import pytest
from small_sites import WORK, planned_site, table

from kvandal.energy.reserves import bought_hours
from kvandal.runs.plan_value import plan_value
from kvandal.scenario.supply import PRODUCTS, Reserve, Supply
from kvandal.twin.account import METER_LIMIT_COLUMN
from kvandal.twin.planning import Planner
from kvandal.twin.plant_state import BATTERY_KW, SITE_KW
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


@pytest.fixture
def hours_done():
    """A planner with 0.1 MW offered each way in two hours of six ticks, the battery still, and 1 MW of room to consume more."""
    scenario = planned_site(days=2, reserves={"ffr": Reserve(mw=0.1), "fcr_d_down": Reserve(mw=0.1)})
    start = prepare(scenario, table(*WORK))
    planner = Planner(scenario, start.site, start.plant, start.inputs, start.prices.eur_per_mwh)
    outputs = new_outputs(start)
    outputs.tick_real[:, BATTERY_KW] = -start.plant.design["battery_standby_kw"][0]
    outputs.tick_real[:, METER_LIMIT_COLUMN] = 3000.0
    outputs.tick_real[:, SITE_KW] = 2000.0
    planner.book.offered_mw[30:32, [FFR, DOWN]] = 0.1
    return planner, outputs


def test_readiness_that_the_envelope_took_is_not_paid(hours_done):
    """A battery of 100 kW that gives 60 kW to hold the site below its limit is ready with 40 kW; one that charges, with all."""
    planner, outputs = hours_done
    outputs.tick_real[30 * 6 : 31 * 6, BATTERY_KW] += 60.0
    outputs.tick_real[31 * 6 : 32 * 6, BATTERY_KW] -= 60.0
    ready = planner.finish(outputs).offered_mw[30:32]
    assert ready[:, FFR] == pytest.approx([0.04, 0.1])
    assert ready[:, DOWN] == pytest.approx([0.1, 0.04])


def test_readiness_that_the_connection_forbids_is_not_paid(hours_done):
    """Curtailed to what it draws in half of an hour, and to 40 kW more in the next: half of 100 kW, and 40 kW."""
    planner, outputs = hours_done
    outputs.tick_real[30 * 6 : 30 * 6 + 3, METER_LIMIT_COLUMN] = 2000.0
    outputs.tick_real[31 * 6 : 32 * 6, METER_LIMIT_COLUMN] = 2040.0
    ready = planner.finish(outputs).offered_mw[30:32]
    assert ready[:, FFR] == pytest.approx([0.1, 0.1])  # to consume less needs no room
    assert ready[:, DOWN] == pytest.approx([0.05, 0.04])


def test_what_a_call_took_of_the_room_was_ready(hours_done):
    """Called to consume 30 kW more, it fills the connection to 10 kW: 40 kW were ready, and so were they for a call to consume less."""
    planner, outputs = hours_done
    called = slice(30 * 6, 31 * 6)
    planner.book.activation_mw[30] = -0.03
    planner.book.activated_mwh[30, DOWN] = 0.03
    outputs.tick_real[called, BATTERY_KW] -= 30.0
    outputs.tick_real[called, SITE_KW] += 30.0
    outputs.tick_real[called, METER_LIMIT_COLUMN] = 2040.0
    book = planner.finish(outputs)
    assert book.undelivered[30, DOWN] == pytest.approx(0.0)
    assert book.offered_mw[30, [FFR, DOWN]] == pytest.approx([0.1, 0.04])


def test_nothing_is_offered_beyond_the_connection():
    """Down offers and charging together fit between the forecast load and the limit; curtailed hours earn no readiness."""
    scenario = planned_site(days=4, reserves={"fcr_d_down": Reserve(mw=0.1)})
    wide = simulate_jobs(scenario, table(*WORK))
    load_mw = wide.outputs.tick_real[24 * 6 :, SITE_KW].mean() / 1000
    narrow = scenario.model_copy(
        update={
            "site": scenario.site.model_copy(update={"grid_mw": 1.2 * load_mw}),
            "supply": scenario.supply.model_copy(
                update={"conditional_mw": 0.7 * load_mw, "conditional_hours_per_year": 4000.0}
            ),
        }
    )
    run = simulate_jobs(narrow, table(*WORK))
    real, book = run.outputs.tick_real, run.plan
    room_mw = (real[:, METER_LIMIT_COLUMN] - real[:, SITE_KW]).reshape(-1, 6).max(axis=1) / 1000
    ready = book.offered_mw[:, DOWN]
    assert (ready <= np.maximum(room_mw - np.minimum(book.activation_mw, 0.0), 0.0) + 1e-6).all()
    assert wide.plan.offered_mw[24:, DOWN].mean() > ready[24:].mean() > 0
    planned = ready - book.battery_mw
    assert (planned <= np.maximum(1.2 * load_mw - book.forecast_load_mwh, 0.0) + 1e-6)[24:].all()
    curtailed = (real[:, METER_LIMIT_COLUMN] < 0.6 * 1000 * load_mw).reshape(-1, 6).all(axis=1)
    full = curtailed & (room_mw < 1e-3)
    assert full[24:].any()
    assert (ready[full] < 0.001 + 1e-6).all()
