"""The control cycle of a large site: how long one turn of the loop takes, the store's commit included."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, insert, select

from kvandal.bench.serving.generator import spread
from kvandal.bench.serving.server import room_in
from kvandal.control.engines import node_names
from kvandal.control.loop.loop import KEYFRAME_CYCLES, Loop
from kvandal.control.loop.opening import open_loop
from kvandal.control.service import settle
from kvandal.control.store.database import Store, open_store
from kvandal.control.store.tables.loop import CYCLES, INBOX, JOBS
from kvandal.control.store.tables.metadata import new_id
from kvandal.engines.live.twin import TwinEngine
from kvandal.scenario.loading import resolved
from kvandal.scenario.model import Scenario
from kvandal.scenario.tree import groups_of

START_UTC = datetime(2027, 3, 1, 8, tzinfo=UTC)
TRAYS_PER_JOB = 5
"""So many trays have one running job: 5,000 on the reference site."""
QUEUED_PER_RUNNING = 2
MEAN_RUN_S = 4 * 3600
"""Mean length of a job [s]."""
MOST_FILLING = 2000
"""Turns after which a site that does not fill is taken as it is."""
KEYFRAMES = 4
"""States that are kept while it is measured: more often than in service, so that turns with one are among those measured."""


class Clock:
    """A clock of the wall that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = START_UTC.timestamp()

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self.now_s


class Crowd:
    """Submits jobs, so many that the site stays as full as it is to be.

    Parameters
    ----------
    store, scenario
        Where to, of which tenants.
    seed
        Of sizes, lengths and tenants.

    """

    def __init__(self, store: Store, scenario: Scenario, seed: int) -> None:
        groups = groups_of(scenario.tenants)
        self._places = [
            (tenant, name)
            for name, demand in scenario.demand.items()
            for tenant in demand.tenants
            if tenant not in groups
        ]
        trays = 18 * scenario.site.racks
        self.running = max(1, trays // TRAYS_PER_JOB)
        self.live = self.running * (1 + QUEUED_PER_RUNNING)
        self._store, self._chance, self._number = store, np.random.default_rng(seed), 0

    def submit(self, count: int) -> None:
        """Submit so many jobs in one transaction."""
        rows = [self._row() for _ in range(count)]
        if not rows:
            return
        with self._store.begin() as tx:
            tx.execute(insert(JOBS), rows)
            tx.execute(
                insert(INBOX),
                [
                    {"at_utc": START_UTC, "by": "bench", "kind": "submit", "body": {"job": row["id"]}}
                    for row in rows
                ],
            )

    def _row(self) -> dict[str, Any]:
        self._number += 1
        tenant, demand = self._places[self._number % len(self._places)]
        run_s = 600 + int(self._chance.exponential(MEAN_RUN_S))
        return {
            "id": new_id("job"),
            "tenant": tenant,
            "project": "load",
            "person": "bench",
            "name": f"{demand} {self._number}",
            "demand": demand,
            "gpus": 4 * int(self._chance.integers(1, 2 * TRAYS_PER_JOB)),
            "limit_s": 2 * run_s,
            "run_time_s": run_s,
            "script": "",
            "environment": {},
            "state": "accepted",
            "submitted_utc": START_UTC,
        }


def measured(
    scenario: Scenario,
    *,
    cycles: int,
    speed: float,
    database: str | None = None,
    seed: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fill a site, then turn its loop so often while jobs come, start and end.

    Parameters
    ----------
    scenario
        The site.
    cycles
        Turns that are measured.
    speed
        Seconds of the site between two turns.
    database
        URL of PostgreSQL; None: SQLite.
    seed
        Of the jobs.
    progress
        Told what goes on.

    """
    with tempfile.TemporaryDirectory(prefix="kvandal-bench-") as place, room_in(database) as room:
        folder, clock = Path(place), Clock()
        with open_store(room or f"sqlite:///{folder / 'kvandal.sqlite'}") as store:
            engine = TwinEngine(
                node_names(scenario.site.racks), file=folder / "twin.sqlite", start_utc=START_UTC, wall=clock
            )
            loop = open_loop(
                store,
                engine,
                scenario.name,
                resolved(scenario),
                keyframe_cycles=max(1, min(KEYFRAME_CYCLES, cycles // KEYFRAMES)),
            )
            searches = gc.get_threshold()
            settle()
            try:
                return _turned(loop, store, Crowd(store, scenario, seed), clock, cycles, speed, progress) | {
                    "trays": len(loop.nodes),
                    "store": "sqlite" if database is None else "postgresql",
                    "speed": speed,
                }
            finally:
                gc.unfreeze()
                gc.set_threshold(*searches)
                loop.close()
                engine.close()


def _turned(
    loop: Loop,
    store: Store,
    crowd: Crowd,
    clock: Clock,
    cycles: int,
    speed: float,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    crowd.submit(crowd.live)
    progress(f"filling the site with {crowd.live:,} jobs ...")
    filling = Times()
    for _ in range(MOST_FILLING):
        clock.now_s += 1.0
        if not filling.turn(loop) and _live(loop)[0]:
            break
    progress(f"turning its loop {cycles:,} times ...")
    times, started, ended, keyframes = Times(), 0, 0, loop.keyframes
    before = _count(store)
    for _ in range(cycles):
        crowd.submit(max(0, crowd.live - sum(_live(loop))))
        clock.now_s += speed
        times.turn(loop)
        started += times.started
        ended += times.ended
    running, queued = _live(loop)
    return {
        "jobs_running": running,
        "jobs_queued": queued,
        "cycles": cycles,
        "cycles_written": _count(store) - before,
        "jobs_started": started,
        "jobs_ended": ended,
        "keyframes": loop.keyframes - keyframes,
        "cycle_ms": spread(times.wall_s),
        "cycle_cpu_ms": spread(times.cpu_s),
        "step_ms": {name: spread(some) for name, some in times.steps_s.items()},
        "filling": {
            "cycles": len(filling.wall_s),
            "cycle_ms": spread(filling.wall_s),
            "cycle_cpu_ms": spread(filling.cpu_s),
        },
    }


class Times:
    """What turns took."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []
        self.steps_s: dict[str, list[float]] = {}
        self.started = self.ended = 0

    def turn(self, loop: Loop) -> bool:
        """Turn a loop once; tell whether anything happened or is still to be ordered."""
        began_s, cpu_s = time.perf_counter(), time.thread_time()
        report = loop.turn()
        self.wall_s.append(time.perf_counter() - began_s)
        self.cpu_s.append(time.thread_time() - cpu_s)
        for step, seconds in report.seconds.items():
            self.steps_s.setdefault(step, []).append(seconds)
        kinds = [one["do"] for one in report.effects]
        self.started, self.ended = kinds.count("start"), kinds.count("end")
        return bool(report.happened or report.open_intentions)


def _live(loop: Loop) -> tuple[int, int]:
    tally = loop.site.state.tally[0]
    return int(tally["running_jobs"]), int(tally["queued_jobs"])


def _count(store: Store) -> int:
    with store.read() as tx:
        return int(tx.execute(select(func.count()).select_from(CYCLES)).scalar_one())
