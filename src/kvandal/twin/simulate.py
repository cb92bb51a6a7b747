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
from kvandal.twin import account, kernel
from kvandal.twin.caps import SLOPE
from kvandal.twin.failures import draw_failures
from kvandal.twin.plant import SITE_KW, Plant, build_plant, deliver_to_plant, plant_tick
from kvandal.twin.site import SiteArrays, build_site, month_start_s
from kvandal.twin.state import FAILURE, State, new_events, new_loans, new_state

Array = Any
Progress = Callable[[int, int], None]
"""Called with the ticks done and the ticks in all."""
Watch = Callable[[State, int], None]
"""Called with the state and the ticks done."""


@dataclass(frozen=True)
class Trajectory:
    """What happened in a run, before any bookkeeping.

    Attributes
    ----------
    scenario, site : what was simulated
    state : tables at the end of the run
    outputs : ticks and hours (see :class:`kvandal.twin.account.Outputs`)
    weather, prices, demand : the inputs as they were used, with their provenance
    wet_bulb_known : whether the weather series told the humidity

    """

    scenario: Scenario
    site: SiteArrays
    state: State
    outputs: account.Outputs
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
    jobs, reports = build_demand(scenario)
    return simulate_jobs(scenario, jobs, reports, progress=progress)


def simulate_jobs(
    scenario: Scenario,
    jobs: JobTable,
    reports: list[DemandReport] | None = None,
    failures: Array | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    watch_ticks: int | None = None,
) -> Trajectory:
    """Simulate a scenario with a ready table of jobs.

    Parameters
    ----------
    scenario
        What is asked; its classes of demand only say how the jobs load the GPUs and queue.
    jobs
        The jobs.
    reports
        Where they came from.
    failures
        Failing GPUs (FAILURE table, in order of time); drawn from the scenario's seed when None.
    progress
        Called about once per simulated day.
    watch
        Called with the state and the ticks done, every `watch_ticks` ticks (default: once a day). It must not change
        the state.

    """
    run = scenario.run
    weather = climate.load_weather(scenario.climate, run.start_utc, run.days)
    prices = load_prices(scenario.market, run.start_utc, run.days, run.seed)
    site = build_site(scenario)
    if failures is None:
        failures = np.zeros(0, FAILURE)
        if scenario.reliability.failures:
            failures = draw_failures(
                run.seed, run.days, site.gpus, scenario.reliability.gpu_h_per_interruption
            )
    wet_bulb = weather.wet_bulb_c
    if wet_bulb is None:
        humidity = np.full(weather.temp_c.shape, float(scenario.climate.relative_humidity_pct))
        wet_bulb = wet_bulb_c(weather.temp_c, humidity)
    inputs = account.Inputs(
        ambient_c=weather.temp_c,
        wet_bulb_c=np.asarray(wet_bulb),
        heat_demand_kw=heat_demand_kw(scenario, weather),
    )
    job_kw_maximum = _room_above_idle_kw(scenario, site, inputs) / SLOPE
    intervals_s = checkpoint_intervals_s(scenario, jobs)
    state = new_state(scenario, site, jobs, intervals_s, failures, job_kw_maximum)
    plant = build_plant(scenario, site)
    step = watch_ticks or 86_400 // run.tick_s
    state, outputs = turn_loop(scenario, site, state, plant, inputs, step, progress, watch)
    return Trajectory(
        scenario, site, state, outputs, weather, prices, reports or [], weather.wet_bulb_c is not None
    )


def turn_loop(
    scenario: Scenario,
    site: SiteArrays,
    state: State,
    plant: Plant,
    inputs: account.Inputs,
    step: int,
    progress: Progress | None,
    watch: Watch | None,
) -> tuple[State, account.Outputs]:
    """Turn the loop over the whole run, `step` ticks at a time."""
    hours = scenario.run.days * 24
    tick_s = scenario.run.tick_s
    ticks = hours * 3600 // tick_s
    outputs = account.Outputs(
        tick_real=np.zeros((ticks, account.TICK_REALS)),
        tick_count=np.zeros((ticks, account.TICK_COUNTS), np.int64),
        hall_hour=np.zeros((hours, site.halls, 3)),
        tenant_hour=np.zeros((hours, len(state.tenants), 5), np.int64),
        heat_hour=np.zeros((hours, len(plant.customers), 3)),
    )
    scratch = account.Scratch(
        rack_kw=np.zeros(site.racks),
        chosen=np.zeros(site.racks, np.int32),
        victims=np.zeros(site.gpus + 1, np.int32),
    )
    kernel.begin(state, plant, inputs, scratch, site.delivered_s)
    tick = 0
    while tick < ticks:
        wanted = min(ticks, tick + step)
        reached = kernel.advance(state, plant, inputs, outputs, scratch, tick, wanted)
        if reached < wanted:
            state = _enlarged(state)
        tick = reached
        if progress is not None:
            progress(tick, ticks)
        if watch is not None and reached == wanted:
            watch(state, tick)
    kernel.end_run(state, hours * 3600)
    return state, outputs


def _room_above_idle_kw(scenario: Scenario, site: SiteArrays, inputs: account.Inputs) -> float:
    """Return what the envelope leaves above the idle, finished site in the weather of the first hour [kW]."""
    plant = build_plant(scenario, site)
    it_kw = air_kw = 0.0
    for model, cdu in zip(site.model.tolist(), site.cdu.tolist(), strict=True):
        idle_kw, liquid_fraction = float(site.idle_kw[model]), float(site.liquid_fraction[model])
        deliver_to_plant(plant, cdu, float(site.tdp_kw[model]), liquid_fraction)
        plant.cdus[cdu]["heat_kw"] += idle_kw * liquid_fraction
        it_kw += idle_kw + site.net_kw
        air_kw += idle_kw * (1 - liquid_fraction) + site.net_kw
    tick_s = scenario.run.tick_s
    plant_tick(plant, it_kw, air_kw, float(inputs.ambient_c[0]), float(inputs.wet_bulb_c[0]), tick_s)
    site_kw = float(plant.tick[SITE_KW])
    margin = scenario.power.site_cap_margin_fraction
    envelope_kw = scenario.site.grid_mw * 1000 * (1 - margin)
    if site_kw > envelope_kw:
        raise ScenarioError(
            f"{site.racks:,} racks draw {site_kw / 1000:.1f} MW while idle, but the envelope (grid_mw less its margin) "
            f"is {envelope_kw / 1000:.1f} MW; allowed are at least {site_kw / 1000 / (1 - margin):.1f} MW, or fewer GPUs",
            key="site.grid_mw",
        )
    return envelope_kw - site_kw


def _enlarged(state: State) -> State:
    """Give loans, events and agenda twice the room."""
    loans, events = new_loans(len(state.loans)), new_events(len(state.events))
    agenda = np.zeros(2 * len(state.agenda), state.agenda.dtype)
    agenda[: len(state.agenda)] = state.agenda
    return state._replace(
        loans=np.concatenate([state.loans, loans]),
        events=np.concatenate([state.events, events]),
        agenda=agenda,
    )
