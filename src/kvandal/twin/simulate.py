"""From a scenario to what happened: gather the inputs, turn the loop, hand over the raw tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kvandal import climate
from kvandal.demand import build as demands
from kvandal.demand.build import DemandReport
from kvandal.demand.jobs import JobTable
from kvandal.energy.contracts import Contract, contracts_of
from kvandal.energy.plan.book import PlanBook
from kvandal.energy.prices import Prices, load_prices
from kvandal.errors import ScenarioError
from kvandal.physics.reliability import daly_interval_s
from kvandal.policy.placement import TRAYS_PER_RACK
from kvandal.scenario.model import Scenario
from kvandal.twin import account, kernel
from kvandal.twin.caps import SLOPE
from kvandal.twin.checks import refuse_condensing
from kvandal.twin.failures import draw_failures
from kvandal.twin.fault_list import list_faults
from kvandal.twin.heaps import ENTRY
from kvandal.twin.inputs import gather_inputs, with_hot_weeks
from kvandal.twin.memory import give_back_freed
from kvandal.twin.planning import Planner
from kvandal.twin.plant_state import CONSTRAINTS, DEMAND_KW, Plant, build_plant
from kvandal.twin.records import FAULT
from kvandal.twin.reliability_state import FAILURE, checkpoint_s
from kvandal.twin.site import SiteArrays, build_site
from kvandal.twin.snapshot import Recorder
from kvandal.twin.state import State, new_events, new_loans, new_placements, new_state, new_stints

Array = Any
Progress = Callable[[int, int], None]
"""Called with the ticks done and the ticks in all."""
Watch = Callable[[State, int], None]
"""Called with the state and the ticks done."""


GROWTH: dict[str, tuple[str, Callable[[int], Array]]] = {
    "loans": ("loans", new_loans),
    "events": ("events", new_events),
    "stints": ("stints", new_stints),
    "placements": ("placements", new_placements),
    "agenda": ("agenda_size", lambda rows: np.zeros(rows, ENTRY)),
}
"""Tables that are enlarged on the way: the counter of rows in use, and how new rows look."""


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
    contracts : what the contracts for electricity delivered
    plan : what was planned day by day, and followed; None without a plan
    plant : the plant at the end of the run
    snapshots : states on the way, by the ticks done, as they are saved (:mod:`kvandal.twin.snapshot`)

    """

    scenario: Scenario
    site: SiteArrays
    state: State
    outputs: account.Outputs
    weather: climate.Weather
    prices: Prices
    demand: list[DemandReport]
    wet_bulb_known: bool
    contracts: list[Contract]
    plan: PlanBook | None
    plant: Plant
    snapshots: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """A run before its first tick: the site, its inputs, and state and plant as they start."""

    scenario: Scenario
    site: SiteArrays
    state: State
    plant: Plant
    inputs: account.Inputs
    weather: climate.Weather
    prices: Prices
    contracts: list[Contract]
    humidity_known: bool


def checkpoint_intervals_s(scenario: Scenario, jobs: JobTable) -> Array:
    """Work between two checkpoints of every job [s]; 0 where none are written.

    It is what the job's class asks for, else Daly's rule from the job's own size and its class's time of a checkpoint.
    """
    reliability = scenario.reliability
    intervals = np.zeros(len(jobs), np.int64)
    for index, demand in enumerate(scenario.demand.values()):
        mine = jobs.demand == index
        if not demand.checkpoint or not mine.any():
            continue
        if demand.checkpoint_interval_s is not None:
            intervals[mine] = demand.checkpoint_interval_s
            continue
        dump_s = checkpoint_s(demand, reliability)
        gpus = jobs.gpus[mine]
        sizes = np.flatnonzero(np.bincount(gpus))
        mean_times_s = [reliability.gpu_h_per_interruption / int(size) * 3600 for size in sizes]
        by_size = np.zeros(sizes[-1] + 1, np.int64)
        by_size[sizes] = np.minimum(
            [max(1, round(daly_interval_s(dump_s, mean_s))) if dump_s > 0 else 1 for mean_s in mean_times_s],
            2**31 - 1,
        )
        intervals[mine] = by_size[gpus]
    return intervals


def simulate(scenario: Scenario, progress: Progress | None = None, *, record: bool = True) -> Trajectory:
    """Simulate a scenario; its jobs are let go before the first tick, when the state has them.

    Parameters
    ----------
    scenario
        What is asked.
    progress
        Called about once per simulated day.
    record
        Also save the state now and then.

    Raises
    ------
    InputError
        If an input series or trace cannot be used, or the site cannot even idle behind its connection.

    """
    jobs, reports = demands.build_demand(scenario)
    recorder, start = Recorder(scenario, jobs) if record else None, prepare(scenario, jobs)
    del jobs
    give_back_freed()
    return _simulated(start, reports, progress, None, None, recorder)


def simulate_jobs(
    scenario: Scenario,
    jobs: JobTable,
    reports: list[DemandReport] | None = None,
    failures: Array | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    watch_ticks: int | None = None,
    recorder: Recorder | None = None,
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
    recorder
        Saves the state now and then, wherever the loop stops for `watch`.

    """
    start = prepare(scenario, jobs, failures)
    return _simulated(start, reports or [], progress, watch, watch_ticks, recorder)


def _simulated(
    start: Start,
    reports: list[DemandReport],
    progress: Progress | None,
    watch: Watch | None,
    watch_ticks: int | None,
    recorder: Recorder | None,
) -> Trajectory:
    scenario = start.scenario
    step = watch_ticks or 86_400 // scenario.run.tick_s
    planner = None
    if scenario.plan.enabled:
        planner = Planner(scenario, start.site, start.plant, start.inputs, start.prices.eur_per_mwh)
    state, outputs = turn_loop(start, step, progress, watch, recorder, planner)
    return Trajectory(
        scenario,
        start.site,
        state,
        outputs,
        start.weather,
        start.prices,
        reports,
        start.humidity_known,
        start.contracts,
        planner.finish(outputs) if planner is not None else None,
        start.plant,
        recorder.snapshots if recorder is not None else {},
    )


def prepare(scenario: Scenario, jobs: JobTable, failures: Array | None = None) -> Start:
    """Gather what a run starts from.

    Parameters
    ----------
    scenario
        What is asked.
    jobs
        The jobs.
    failures
        Failing GPUs (FAILURE table, in order of time); drawn from the scenario's seed when None.

    """
    run = scenario.run
    site = build_site(scenario)
    faults = list_faults(scenario, site)
    weather = climate.load_weather(scenario.climate, run.start_utc, run.days)
    humidity_known = weather.relative_humidity_pct is not None
    weather = with_hot_weeks(weather, faults)
    refuse_condensing(scenario, weather)
    prices = load_prices(scenario.market, run.start_utc, run.days, run.seed)
    contracts = contracts_of(scenario, prices.step_s)
    if failures is None:
        failures = np.zeros(0, FAILURE)
        if scenario.reliability.failures:
            failures = draw_failures(run.seed, run.days, site.gpus, scenario.reliability)
    inputs = gather_inputs(scenario, weather)
    job_kw_maximum = _room_above_idle_kw(scenario, site, inputs) / SLOPE
    intervals_s = checkpoint_intervals_s(scenario, jobs)
    state = new_state(scenario, site, jobs, intervals_s, failures, faults, job_kw_maximum)
    plant = build_plant(scenario, site)
    return Start(scenario, site, state, plant, inputs, weather, prices, contracts, humidity_known)


def turn_loop(
    start: Start,
    step: int,
    progress: Progress | None,
    watch: Watch | None,
    recorder: Recorder | None = None,
    planner: Planner | None = None,
) -> tuple[State, account.Outputs]:
    """Turn the loop over the whole run, `step` ticks at a time; a planner is asked at the start of every day."""
    state, plant, run = start.state, start.plant, start.scenario.run
    ticks = run.days * 86_400 // run.tick_s
    outputs, scratch = new_outputs(start), new_scratch(start.site, len(start.state.queues))
    kernel.begin(state, plant, start.inputs, scratch, start.site.delivered_s)
    if recorder is not None:
        recorder.take(state, plant, 0)
    day_ticks = 86_400 // run.tick_s
    tick = planned = 0
    while tick < ticks:
        if planner is not None and tick == planned * day_ticks:
            planner.plan_day(planned, outputs)
            planned += 1
        wanted = min(ticks, (tick // step + 1) * step)
        if planner is not None:
            wanted = min(wanted, planned * day_ticks)
        reached = kernel.advance(state, plant, start.inputs, outputs, scratch, tick, wanted)
        if reached < wanted:
            state = _enlarged(state)
        tick = reached
        if progress is not None:
            progress(tick, ticks)
        if reached == wanted:
            if watch is not None and (tick % step == 0 or tick == ticks):
                watch(state, tick)
            if recorder is not None and tick < ticks:
                recorder.take(state, plant, tick)
    kernel.end_run(state, ticks * run.tick_s)
    return state, outputs


def go_on(
    start: Start, state: State, plant: Plant, outputs: account.Outputs, first_tick: int, last_tick: int
) -> State:
    """Turn the loop from a state that is under way; what happens is written into `state`, `plant` and `outputs`.

    Returns
    -------
    The state at `last_tick`: `state` itself, or one with more room for records.

    """
    scratch = new_scratch(start.site, len(state.queues))
    tick = first_tick
    while tick < last_tick:
        reached = kernel.advance(state, plant, start.inputs, outputs, scratch, tick, last_tick)
        if reached < last_tick:
            state = _enlarged(state)
        tick = reached
    return state


def new_outputs(start: Start) -> account.Outputs:
    """Empty books of a run."""
    run, site, state, plant = start.scenario.run, start.site, start.state, start.plant
    hours = run.days * 24
    ticks = hours * 3600 // run.tick_s
    nodes = len(plant.nodes)
    return account.Outputs(
        tick_real=np.zeros((ticks, account.TICK_REALS)),
        tick_count=np.zeros((ticks, account.TICK_COUNTS), np.int64),
        hall_hour=np.zeros((hours, site.halls, 6)),
        pod_hour=np.full((hours, site.pods, 3), [0.0, -273.15, -273.15]),
        rack_hour=np.zeros((hours, site.racks), np.float32),
        node_limit_kw=np.zeros((hours, nodes), np.float32),
        node_constraint=np.full((hours, nodes), -1, np.int8),
        bound_s=np.zeros((nodes, len(CONSTRAINTS)), np.int64),
        room_kw=np.full((nodes, len(CONSTRAINTS)), np.inf),
        tenant_hour=np.zeros((hours, len(state.tenants), 5), np.int64),
        heat_hour=np.zeros((hours, len(plant.customers), 5)),
        room_hour=np.zeros((hours, 3), np.int64),
        grant_hour=np.zeros((hours, len(state.grants), 3), np.int64),
    )


def new_scratch(site: SiteArrays, queues: int) -> account.Scratch:
    """Return arrays for the loop to work in."""
    return account.Scratch(
        above_kw=np.zeros(site.racks),
        part=np.ones(site.racks),
        share=np.zeros(site.racks),
        chosen=np.zeros(2 * site.racks, np.int64),
        victims=np.zeros(site.gpus + 1, np.int64),
        free_s=np.zeros(site.racks, np.int64),
        tray_s=np.zeros(TRAYS_PER_RACK, np.int64),
        order=np.zeros(queues + 1, np.int64),
        removed=np.zeros(site.gpus + 1, np.int64),
    )


def _room_above_idle_kw(scenario: Scenario, site: SiteArrays, inputs: account.Inputs) -> float:
    """Return what the envelope leaves above the idle, finished site in the weather of the first hour [kW]."""
    plant = build_plant(scenario, site)
    state = new_state(
        scenario, site, JobTable.empty(), np.zeros(0, np.int64), np.zeros(0, FAILURE), np.zeros(0, FAULT), 0.0
    )
    kernel.begin(state, plant, inputs, new_scratch(site, len(state.queues)), np.zeros(site.racks, np.int64))
    site_kw = float(plant.tick[DEMAND_KW])
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
    """Give what runs short of loans, events, interrupted runs, placements and agenda twice the room."""
    tally, spare = state.tally[0], state.rules["spare_records"][0]
    more: dict[str, Array] = {}
    for name, (used, fresh) in GROWTH.items():
        table = getattr(state, name)
        if len(table) - tally[used] < spare:
            more[name] = fresh(2 * len(table))
            more[name][: len(table)] = table
    return state._replace(**more)
