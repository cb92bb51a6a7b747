"""From a scenario to what happened: gather the inputs, turn the loop, hand over the raw tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvandal import climate
from kvandal.climate.wet_bulb import wet_bulb_c
from kvandal.demand.build import DemandReport, build_demand
from kvandal.demand.jobs import JobTable
from kvandal.energy.prices import Prices, load_prices
from kvandal.errors import ScenarioError
from kvandal.physics.heat_demand import demand_profile_mw
from kvandal.physics.reliability import daly_interval_s
from kvandal.scenario.model import Scenario
from kvandal.twin import kernel
from kvandal.twin.failures import draw_failures
from kvandal.twin.life import close_books
from kvandal.twin.plant import SITE_KW, Plant, build_plant
from kvandal.twin.site import SiteArrays, build_site, month_start_s
from kvandal.twin.state import FAILURE, SPARE_RECORDS, State, new_events, new_loans, new_state

Array = Any
Progress = Callable[[int, int], None]
"""Called with the ticks done and the ticks in all."""


@dataclass(frozen=True)
class Trajectory:
    """What happened in a run, before any bookkeeping.

    Attributes
    ----------
    scenario, site : what was simulated
    state : tables at the end of the run
    outputs : ticks and hours (see :class:`kvandal.twin.kernel.Outputs`)
    weather, prices, demand : the inputs as they were used, with their provenance
    wet_bulb_known : whether the weather series told the humidity

    """

    scenario: Scenario
    site: SiteArrays
    state: State
    outputs: kernel.Outputs
    weather: climate.Weather
    prices: Prices
    demand: list[DemandReport]
    wet_bulb_known: bool


def checkpoint_intervals_s(scenario: Scenario, jobs: JobTable) -> Array:
    """Work between two checkpoints of every job, by Daly's rule from the job's own size [s]; 0 where none are written."""
    reliability = scenario.reliability
    writes = np.array([demand.checkpoint for demand in scenario.demand.values()] or [False])
    sizes, which = np.unique(jobs.gpus, return_inverse=True)
    checkpoint_s = float(reliability.checkpoint_s)
    by_size = [
        max(1, round(daly_interval_s(checkpoint_s, reliability.gpu_h_per_interruption / int(size) * 3600)))
        for size in sizes
    ]
    intervals = np.array(by_size, np.int64)[which] if len(jobs) else np.zeros(0, np.int64)
    if checkpoint_s == 0:
        intervals[:] = 1
    intervals = np.minimum(intervals, 2**31 - 1)
    return np.where(writes[jobs.demand], intervals, 0) if len(jobs) else intervals


def heat_demand_kw(scenario: Scenario, weather: climate.Weather) -> Array:
    """Heat that each customer wants in each hour, float64 (hours, customers) [kW]."""
    hours = scenario.run.days * 24
    normal_start_utc, normal_temp_c = climate.normal_year()
    demand = np.zeros((hours, len(scenario.heat.customers)))
    for column, (name, customer) in enumerate(scenario.heat.customers.items()):
        demand[:, column] = 1000 * demand_profile_mw(
            customer,
            scenario.run.start_utc,
            weather.temp_c[:-1],
            normal_temp_c,
            normal_start_utc,
            scenario.site.time_zone,
            name,
        )
        if customer.from_month:
            connected_s = month_start_s(scenario.run.start_utc, customer.from_month)
            demand[: connected_s // 3600, column] = 0.0
    return demand


def simulate(scenario: Scenario, progress: Progress | None = None) -> Trajectory:
    """Simulate a scenario.

    Parameters
    ----------
    scenario
        What is asked.
    progress
        Called about once per simulated day.

    Raises
    ------
    InputError
        If an input series or trace cannot be used, or the site cannot even idle behind its connection.

    """
    run = scenario.run
    jobs, reports = build_demand(scenario)
    weather = climate.load_weather(scenario.climate, run.start_utc, run.days)
    prices = load_prices(scenario.market, run.start_utc, run.days, run.seed)
    site = build_site(scenario)
    failures = (
        draw_failures(run.seed, run.days, site.gpus, scenario.reliability.gpu_h_per_interruption)
        if scenario.reliability.failures
        else np.zeros(0, FAILURE)
    )
    wet_bulb = weather.wet_bulb_c
    if wet_bulb is None:
        humidity = np.full(weather.temp_c.shape, float(scenario.climate.relative_humidity_pct))
        wet_bulb = wet_bulb_c(weather.temp_c, humidity)
    inputs = kernel.Inputs(
        ambient_c=weather.temp_c, wet_bulb_c=np.asarray(wet_bulb), heat_demand_kw=heat_demand_kw(scenario, weather)
    )
    state = new_state(scenario, site, jobs, checkpoint_intervals_s(scenario, jobs), failures)
    plant = build_plant(scenario, site)
    state, outputs = turn_loop(scenario, site, state, plant, inputs, progress)
    return Trajectory(scenario, site, state, outputs, weather, prices, reports, weather.wet_bulb_c is not None)


def turn_loop(
    scenario: Scenario, site: SiteArrays, state: State, plant: Plant, inputs: kernel.Inputs, progress: Progress | None
) -> tuple[State, kernel.Outputs]:
    """Turn the loop over the whole run, a day at a time."""
    hours = scenario.run.days * 24
    tick_s = scenario.run.tick_s
    ticks = hours * 3600 // tick_s
    outputs = kernel.Outputs(
        tick_real=np.zeros((ticks, kernel.TICK_REALS)),
        tick_count=np.zeros((ticks, kernel.TICK_COUNTS), np.int64),
        hall_hour=np.zeros((hours, site.halls, 3)),
        tenant_hour=np.zeros((hours, len(state.tenants), 5), np.int64),
        heat_hour=np.zeros((hours, len(plant.customers), 3)),
    )
    scratch = kernel.Scratch(
        rack_kw=np.zeros(site.racks), chosen=np.zeros(site.racks, np.int32), victims=np.zeros(site.gpus + 1, np.int32)
    )
    kernel.begin(state, plant, inputs, scratch, site.delivered_s)
    _refuse_idle_overload(scenario, site, state, float(plant.tick[SITE_KW]))
    tick = 0
    while tick < ticks:
        reached = kernel.advance(state, plant, inputs, outputs, scratch, tick, min(ticks, tick + 86_400 // tick_s))
        if reached == tick:
            state = _enlarged(state)
        tick = reached
        if progress is not None:
            progress(tick, ticks)
    close_books(state, hours * 3600)
    return state, outputs


def _refuse_idle_overload(scenario: Scenario, site: SiteArrays, state: State, site_kw: float) -> None:
    envelope_kw = float(state.rules["envelope_kw"][0])
    standing = max(1, int(state.racks["delivered"].sum()))
    idle_mw = site_kw / 1000 * site.racks / standing
    if idle_mw > envelope_kw / 1000:
        raise ScenarioError(
            f"{site.racks:,} racks draw {idle_mw:.1f} MW while idle, but the envelope (grid_mw less its margin) is "
            f"{envelope_kw / 1000:.1f} MW; allowed are at least "
            f"{idle_mw / (1 - scenario.power.site_cap_margin_fraction):.1f} MW, or fewer GPUs",
            key="site.grid_mw",
        )


def _enlarged(state: State) -> State:
    """Give loans, events and agenda more room."""
    loans, events = new_loans(len(state.loans)), new_events(len(state.events))
    agenda = np.zeros(len(state.agenda) + 2 * SPARE_RECORDS, state.agenda.dtype)
    agenda[: len(state.agenda)] = state.agenda
    return state._replace(
        loans=np.concatenate([state.loans, loans]), events=np.concatenate([state.events, events]), agenda=agenda
    )
