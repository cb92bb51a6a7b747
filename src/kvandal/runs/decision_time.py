"""How long one decision takes on a full site: thousands of jobs run, thousands wait, and one ends."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from kvandal.demand.build import build_demand
from kvandal.demand.jobs import JobTable
from kvandal.policy import decide as deciding
from kvandal.randomness import stream
from kvandal.scenario.model import Scenario
from kvandal.twin import life
from kvandal.twin.records import RUNNING
from kvandal.twin.simulate import new_scratch, prepare, simulate_jobs
from kvandal.twin.snapshot import copied

Array = Any

decide: Any = deciding.decide
leave: Any = life.leave

TICKS = 3
DAY_S = 86_400
LONG_S = 30 * DAY_S
RACK_GPUS = 72
ATTEMPTS = 8


def decision_times(
    scenario: Scenario, *, running: int = 5000, queued: int = 10_000, repeats: int = 50
) -> dict[str, Any]:
    """Fill the site, let a job end, and time the decision that follows; again and again from the same state.

    Parameters
    ----------
    scenario
        The site and its policy. The jobs are those of its demand that fit in a rack, drawn so that about `running` of them
        fill the site; all are submitted at once and run for long.
    running, queued
        Jobs that should run and wait.
    repeats
        Decisions that are timed.

    Returns
    -------
    dict
        ``decision_running_jobs``, ``decision_queued_jobs`` (as they came to be), ``decision_p50_ms``, ``decision_max_ms``
        and ``decision_starts`` (jobs started by all of them).

    """
    run = scenario.run.model_copy(update={"days": 1})
    site = scenario.site.model_copy(update={"build_out": ()})
    reliability = scenario.reliability.model_copy(update={"failures": False, "plant_faults": False})
    full = scenario.model_copy(update={"run": run, "site": site, "reliability": reliability})
    month = full.model_copy(update={"run": run.model_copy(update={"days": 30})})
    drawn, low, high = build_demand(month)[0], 1.0, float(RACK_GPUS)
    for _ in range(ATTEMPTS):  # small jobs pass large ones that wait: how many run is only known afterwards
        mean_gpus = (low + high) / 2
        jobs = _full_house(drawn, mean_gpus, running + queued, full.run.seed)
        state = _after_some_ticks(full, jobs)
        ending = np.flatnonzero(state.jobs["state"] == RUNNING)
        if abs(len(ending) - running) <= 0.02 * running:
            break
        low, high = (mean_gpus, high) if len(ending) > running else (low, mean_gpus)
    scratch = new_scratch(prepare(full, jobs).site, len(state.queues))
    now_s = int(state.tally["now_s"][0])
    random = stream(full.run.seed, "bench", "decision")
    times_ms, starts = [], 0
    for job in random.choice(ending, repeats + 1):
        fork = copied(state)
        leave(fork, int(job), now_s, life.DONE)
        began = time.perf_counter()
        decide(fork, scratch, now_s)
        times_ms.append((time.perf_counter() - began) * 1000)
        starts += int(fork.tally["actions"][0])
    times_ms = times_ms[1:]  # the first loads the kernels
    return {
        "decision_running_jobs": len(ending),
        "decision_queued_jobs": int(state.tally["queued_jobs"][0]),
        "decision_p50_ms": round(float(np.median(times_ms)), 3),
        "decision_max_ms": round(max(times_ms), 3),
        "decision_actions": starts,
    }


def _after_some_ticks(scenario: Scenario, jobs: JobTable) -> Any:
    found: list[Any] = []
    simulate_jobs(
        scenario,
        jobs,
        watch=lambda state, _: found.append(copied(state)) if not found else None,
        watch_ticks=TICKS,
    )
    return found[0]


def _full_house(drawn: JobTable, mean_gpus: float, count: int, seed: int) -> JobTable:
    """Draw jobs that are submitted at once: those of a demand that fit in a rack, larger ones the oftener, to a mean size."""
    fit = np.flatnonzero(drawn.gpus <= RACK_GPUS)
    sizes = drawn.gpus[fit].astype(float)
    low, high = -4.0, 4.0
    for _ in range(60):
        weights = sizes ** ((low + high) / 2)
        if (weights * sizes).sum() < mean_gpus * weights.sum():
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    rows = stream(seed, "bench", "jobs").choice(fit, count, p=weights / weights.sum())
    return JobTable(
        np.zeros(count, np.int64),
        drawn.gpus[rows],
        np.full(count, LONG_S, np.int64),
        drawn.tenant[rows],
        drawn.demand[rows],
    )
