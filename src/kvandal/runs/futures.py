"""Futures of a run: from what is known at an instant, what may come is drawn and the loop goes on.

Known at the instant are the state of the site (who runs where, who waits, what is broken and until when), the past, and
the weather and prices of the scenario. Not known, and drawn anew, are the jobs that are submitted later, how long the
unfinished ones will last (:mod:`kvandal.demand.futures`), which GPUs fail and what fails in the plant. Faults that the
scenario gives for later are not known either, and left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from kvandal.demand.build import build_demand
from kvandal.demand.futures import Futures, Known
from kvandal.demand.jobs import JobTable
from kvandal.ledger.plan_table import follow_tables
from kvandal.scenario.model import Scenario
from kvandal.twin.account import Outputs
from kvandal.twin.failures import draw_failures
from kvandal.twin.fault_list import list_faults
from kvandal.twin.heaps import ENTRY, PRIORITY_SHIFT
from kvandal.twin.plant_state import Plant
from kvandal.twin.records import (
    FAULT_OVER,
    FAULT_START,
    FINISHED,
    FUTURE,
    LOSSES,
    QUEUED,
    REFUSED,
    RUNNING,
    SPEED_CLASSES,
    STOPPED,
)
from kvandal.twin.simulate import Start, checkpoint_intervals_s, go_on, new_outputs, prepare
from kvandal.twin.snapshot import copied, jobs_mark, unpacked, with_jobs
from kvandal.twin.state import State, new_state

Array = Any

DAY_S = 86_400
COARSE_S = 3600
"""Tick of a future [s]: jobs start and end at whole seconds whatever the tick; the plant follows by the hour."""
LONGEST_S = 2**31 - 1
CHUNK_TICKS = 6
"""Ticks between two looks at the job."""


@dataclass(frozen=True)
class Job:
    """A job that is not there yet.

    Attributes
    ----------
    tenant, demand : indices of its tenant and its class of demand
    gpus : its GPUs
    work_s : its run time at full speed [s]

    """

    tenant: int
    demand: int
    gpus: int
    work_s: int


@dataclass(frozen=True)
class Outcome:
    """What became of the job in one future; times in seconds after its submission, None: not within the future.

    Attributes
    ----------
    start_s, end_s : its first start and its end
    refused_rule : number of the rule that turned it away; 0: it was taken in
    recalls, failures, sheds : how often it was interrupted, and by what
    lost_gpu_s : GPU-seconds lost, by cause

    """

    start_s: int | None
    end_s: int | None
    refused_rule: int
    recalls: int
    failures: int
    sheds: int
    lost_gpu_s: dict[str, float]


@dataclass(frozen=True)
class Fork:
    """A run at an instant, from which futures part.

    Attributes
    ----------
    start : what the run starts from, with series that reach to the end of the futures
    state, plant, tick : the run at the last tick that begins no later than the instant
    at_s : the instant [s after the start of the run]
    until_s : end of the futures
    known : what is known at the instant
    draws : draws the demand that may come
    fine, coarse : books that nobody reads, by ticks of the run and of a future

    """

    start: Start
    state: State
    plant: Plant
    tick: int
    at_s: int
    until_s: int
    known: Known
    draws: Futures
    fine: Outputs
    coarse: Outputs


def open_fork(
    scenario: Scenario, saved: bytes, at_s: int, until_s: int, planned: dict[str, pl.DataFrame] | None = None
) -> Fork:
    """Restore a saved state and play the run on, as it was, up to an instant.

    Parameters
    ----------
    scenario : the run's scenario
    saved : contents of a saved state from before the instant
    at_s, until_s : the instant and the end of the futures [s after the start of the run]
    planned : what was planned for the hours of the run, as its folder tells; None: nothing

    Raises
    ------
    InputError
        If the saved state does not belong to the run.

    """
    run = scenario.run
    jobs, _ = build_demand(scenario)
    start = prepare(scenario, jobs)
    state, plant, tick = unpacked(saved, start.state, start.plant, jobs_mark(jobs))
    start = _longer(start, until_s)
    if planned is not None:
        follow_tables(start.inputs, scenario, planned)
    fine = new_outputs(start)
    last = at_s // run.tick_s
    state = go_on(start, state, plant, fine, tick, last)
    known = _known(state, jobs, at_s)
    coarse = new_outputs(_with_tick(start, max(COARSE_S, run.tick_s)))
    return Fork(
        start, state, plant, last, at_s, until_s, known, Futures(scenario, known, until_s), fine, coarse
    )


def play(fork: Fork, job: Job, seed: int) -> Outcome:
    """Draw one future, submit the job at the instant and go on until it has ended or the future is over."""
    state, plant = _drawn(fork, job, seed), copied(fork.plant)
    row, tick_s = len(fork.known.jobs), fork.start.scenario.run.tick_s
    coarse_s = max(COARSE_S, tick_s)
    hour = -(-fork.tick * tick_s // coarse_s)
    state = go_on(fork.start, state, plant, fork.fine, fork.tick, hour * coarse_s // tick_s)
    state.rules["tick_s"] = coarse_s
    last = fork.until_s // coarse_s
    while hour < last and state.jobs["state"][row] in {FUTURE, QUEUED, RUNNING}:
        following = min(hour + CHUNK_TICKS, last)
        state = go_on(fork.start, state, plant, fork.coarse, hour, following)
        hour = following
    own = state.jobs[row]
    return Outcome(
        start_s=int(own["first_start_s"]) - fork.at_s if own["first_start_s"] >= 0 else None,
        end_s=int(own["end_s"]) - fork.at_s if own["state"] == FINISHED else None,
        refused_rule=int(own["refused_rule"]) if own["state"] == REFUSED else 0,
        recalls=int(own["recalls"]),
        failures=int(own["failures"]),
        sheds=int(own["sheds"]),
        lost_gpu_s=dict(zip(LOSSES, state.lost_gpu_s[:, row].tolist(), strict=True)),
    )


def _with_tick(start: Start, tick_s: int) -> Start:
    scenario = start.scenario
    run = scenario.run.model_copy(update={"tick_s": tick_s})
    return replace(start, scenario=scenario.model_copy(update={"run": run}))


def _longer(start: Start, until_s: int) -> Start:
    """Let the series reach to the end of the futures; one that is too short is an error that names it."""
    scenario = start.scenario
    days = -(-until_s // DAY_S)
    if days <= scenario.run.days:
        return start
    longer = scenario.model_copy(update={"run": scenario.run.model_copy(update={"days": days})})
    inputs = prepare(longer, JobTable.empty(), start.state.failures[:0]).inputs
    return replace(start, scenario=longer, inputs=inputs)


def _known(state: State, jobs: JobTable, at_s: int) -> Known:
    """Read from a state what is known of the jobs submitted by now."""
    rows = int(np.searchsorted(jobs.submit_s, at_s, side="right"))
    table = state.jobs[:rows]
    arrived = np.arange(rows) < int(state.tally["next_arrival"][0])
    # of jobs that had ended when the state was saved it says nothing: they look as if they were still to come
    ended = np.isin(table["state"], (FINISHED, STOPPED)) | ((table["state"] == FUTURE) & arrived)
    return Known(
        at_s=at_s,
        jobs=JobTable(
            jobs.submit_s[:rows], jobs.gpus[:rows], jobs.work_s[:rows], jobs.tenant[:rows], jobs.demand[:rows]
        ),
        open=~ended & (table["state"] != REFUSED),
        finished=ended,
        done_s=useful_s(state)[:rows],
    )


def useful_s(state: State) -> Array:
    """Return the useful work that each job holds, float64 (jobs,) [s]: what is saved and what this run has added.

    The split of a run into restoring, working and writing checkpoints is that of :mod:`kvandal.twin.life`.
    """
    table = state.jobs
    done_s = (table["work_s"] - table["remaining_s"]).astype(np.float64)
    rows = np.flatnonzero(table["state"] == RUNNING)
    job = table[rows]
    speed = state.speeds[job["use_tier"].astype(np.int64) * 3 + state.demands["kind"][job["demand"]]]
    now_s = int(state.tally["now_s"][0])
    clock_s = speed["clock_s"] + speed["rate"] * (now_s - speed["at_s"])
    worked_s = np.minimum(now_s - job["start_s"], (clock_s - job["virtual_start_s"]) * job["slow"])
    left_s = np.maximum(worked_s - job["restore_s"], 0.0)
    interval_s = job["interval_s"].astype(np.float64)
    cycle_s = interval_s + state.demands["checkpoint_s"][job["demand"]]
    cycles = np.floor(left_s / np.maximum(cycle_s, 1.0))
    partial_s = left_s - cycles * cycle_s
    kept_s = np.where(interval_s > 0, cycles * interval_s + np.minimum(partial_s, interval_s), left_s)
    done_s[rows] += kept_s * job["gpus"] / job["asked_gpus"]
    return done_s


def _drawn(fork: Fork, job: Job, seed: int) -> State:
    """Return the state of the fork with one future laid before it."""
    scenario, site, at_s = fork.start.scenario, fork.start.site, fork.at_s
    arrivals, work_s = fork.draws.draw(seed)
    asked = JobTable(
        np.array([at_s], np.int64),
        np.array([job.gpus], np.int32),
        np.array([job.work_s], np.int64),
        np.array([job.tenant], np.int16),
        np.array([job.demand], np.int16),
    )
    coming = JobTable.merged([asked, arrivals])
    failures, faults = _breakdowns(fork, seed)
    fresh = new_state(
        scenario,
        site,
        coming,
        checkpoint_intervals_s(scenario, coming),
        failures,
        faults,
        float(fork.state.rules["job_kw_maximum"][0]),
    )
    state = with_jobs(copied(fork.state), fresh, len(fork.known.jobs))
    with_work(state, fork.known.open, work_s)
    state = _with_faults(state, faults, at_s)
    past = fork.state.failures[fork.state.failures["time_s"] <= at_s]
    return state._replace(failures=np.concatenate([past, failures]))


def _breakdowns(fork: Fork, seed: int) -> tuple[Array, Array]:
    """Failing GPUs and faults of the plant after the instant: Poisson processes, so that any stretch will do."""
    scenario, site, at_s = fork.start.scenario, fork.start.site, fork.at_s
    days = -(-(fork.until_s - at_s) // DAY_S)
    run = scenario.run.model_copy(update={"days": days, "seed": seed})
    failures = fork.state.failures[:0]
    if scenario.reliability.failures:
        failures = draw_failures(seed, days, site.gpus, scenario.reliability)
    faults = list_faults(scenario.model_copy(update={"run": run, "faults": ()}), site)
    failures["time_s"] += at_s + 1
    for column in ("start_s", "end_s"):
        faults[column] += at_s + 1
    return failures, faults


def with_work(state: State, changed: Array, work_s: Array) -> None:
    """Give jobs other run times, in place; the ends of those that run move with them, and so do the times they asked for.

    Parameters
    ----------
    state : the state
    changed : bool (jobs known,)
    work_s : int64 (jobs known,), run times of the changed ones [s], each above its useful work so far

    """
    table, demands = state.jobs, state.demands
    rows = np.flatnonzero(changed)
    checkpoint_s = demands["checkpoint_s"][table["demand"][rows]]
    asked_over_used = table["asked_gpus"][rows] / table["gpus"][rows]
    more_s = work_s[rows] - table["work_s"][rows]
    interval_s = table["interval_s"][rows].astype(np.int64)

    def length_s() -> Array:
        left_s = np.ceil(table["remaining_s"][rows] * asked_over_used).astype(np.int64)
        dumps = np.where(interval_s > 0, (left_s - 1) // np.maximum(interval_s, 1), 0)
        return left_s + dumps * checkpoint_s

    before_s = length_s()
    open_limit = ~demands["timed"][table["demand"][rows]]
    limit_s = table["limit_s"][rows] * (work_s[rows] / table["work_s"][rows])
    table["limit_s"][rows] = np.where(
        open_limit, np.clip(np.ceil(limit_s), 1, LONGEST_S), table["limit_s"][rows]
    )
    table["work_s"][rows] += more_s
    table["remaining_s"][rows] += more_s
    moved_s = np.zeros(len(table))
    moved_s[rows] = (length_s() - before_s) / table["slow"][rows]
    table["until_s"][rows] += np.where(table["state"][rows] == RUNNING, moved_s[rows], 0.0).astype(np.int64)
    for group in range(SPEED_CLASSES):
        running = int(state.speeds["running"][group])
        ends = state.ends[group, :running].copy()
        ends["key"] += moved_s[ends["job"]]
        ends = ends[np.lexsort((ends["job"], ends["key"]))]  # in order, hence a heap
        state.ends[group, :running] = ends
        table["heap_position"][ends["job"]] = np.arange(running)


def _with_faults(state: State, faults: Array, at_s: int) -> State:
    """Replace the faults that begin after an instant, and what the agenda says of them."""
    tally = state.tally[0]
    kept = int((state.faults["start_s"] <= at_s).sum())
    entries = state.agenda[: int(tally["agenda_size"])]
    priority = entries["rank"] >> PRIORITY_SHIFT
    of_fault = (priority == FAULT_START) | (priority == FAULT_OVER)
    entries = entries[~(of_fault & (entries["subject"] >= kept))]
    numbers = np.repeat(np.arange(kept, kept + len(faults)), 2)
    new = np.zeros(2 * len(faults), ENTRY)
    new["subject"] = numbers
    new["time_s"] = np.stack([faults["start_s"], faults["end_s"]], axis=1).reshape(-1)
    sequence = int(tally["agenda_sequence"]) + np.arange(len(new))
    new["rank"] = (np.tile([FAULT_START, FAULT_OVER], len(faults)) << PRIORITY_SHIFT) + sequence
    entries = np.concatenate([entries, new])
    state.agenda[: len(entries)] = entries[np.lexsort((entries["rank"], entries["time_s"]))]
    state.tally["agenda_size"] = len(entries)
    state.tally["agenda_sequence"] += len(new)
    return state._replace(
        faults=np.concatenate([state.faults[:kept], faults]),
        fault_cost=np.concatenate(
            [state.fault_cost[:kept], np.zeros((len(faults), *state.fault_cost.shape[1:]))]
        ),
    )
