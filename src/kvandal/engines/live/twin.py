"""The twin as an engine: a cluster of the scenario's racks that runs what it is told to, in real time or faster.

It is a cluster of its own, apart from the loop: jobs run on while the loop is down, and what it knows stands in a file of its
own, so that a loop that comes back finds it as it would find a real one. Jobs work for their `run_time_s` at the speed that
the caps of their tier leave, save their state as their class does, and lose what they have not saved; trays fail and are
repaired at the published rates.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson

from kvandal.engines.live.protocol import (
    EngineEvent,
    JobNow,
    JobState,
    NodeNow,
    Observation,
    Order,
    OrderRefusedError,
    Outcome,
    Share,
)
from kvandal.engines.live.twin_book import About, TwinBook

GPUS_PER_NODE = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """An outage that will come: a node is down for so long.

    Attributes
    ----------
    at_s, repair_s : when, after the start, and for how long [s]
    node : which

    """

    at_s: float
    repair_s: float
    node: str


@dataclass(slots=True)
class _Job:
    """A job that has not ended.

    Attributes
    ----------
    done_s : work that is saved
    started_s, since_s : start of this attempt, and from when on it works at `speed`
    worked_s : work of this attempt up to `since_s`

    """

    key: str
    tier: str
    gpus: int
    limit_s: int
    run_time_s: float
    state: JobState = "held"
    attempt: int = 0
    shares: list[list[Any]] = field(default_factory=list)
    done_s: float = 0.0
    started_s: float = 0.0
    since_s: float = 0.0
    worked_s: float = 0.0
    speed: float = 1.0
    warned: bool = False


class TwinEngine:
    """An emulated cluster.

    Parameters
    ----------
    nodes
        Names of its nodes (trays of four GPUs), in order.
    file
        Where it keeps what it knows; None: nowhere, it ends with the process.
    start_utc
        Its time when it is made for the first time.
    speed
        Seconds of its time in a second of real time; what a stopped emulation has missed is made up for.
    speed_at
        Speed of jobs of a tier under a power cap; without, caps slow nobody.
    faults
        Outages to come.
    wall
        Real time [s].

    """

    name = "twin"

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        file: Path | None,
        start_utc: datetime,
        speed: float = 1.0,
        speed_at: Callable[[float], float] | None = None,
        faults: Sequence[Fault] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._lock, self._together = threading.RLock(), False
        self._telling_time = threading.Lock()  # for no longer than that: people ask while orders are given
        self._wall, self._speed_at = wall, speed_at or (lambda _: 1.0)
        self._known = {name: place for place, name in enumerate(nodes)}
        self._all_up = [NodeNow(name, GPUS_PER_NODE, "up") for name in nodes]
        self._faults = tuple(faults)
        self._book = TwinBook(file)
        with self._book.transaction():
            about, now_s, site_s = self._book.about(), wall(), 0.0
            if about is not None:  # its time has gone on meanwhile, and never goes back
                start_utc = datetime.fromisoformat(about.start_utc)
                site_s = about.site_s + max(0.0, now_s - about.wall_s) * about.speed
            self._start_utc, self._speed, self._wall_then, self._site_then = start_utc, speed, now_s, site_s
            self._last_s = 0.0 if about is None else about.site_s
            self._read()
            self._keep_time()

    def _read(self) -> None:
        """Take over what stands in the book."""
        self._stale = False
        with self._telling_time:
            self._last_s = max(self._last_s, self._book.last_event_s())
        self._caps = self._book.caps()
        self._jobs = {one["key"]: _Job(**one) for one in self._book.jobs()}
        self._shown: dict[str, JobNow] = {}
        for job in self._jobs.values():
            self._show(job)
        self._down = self._book.nodes()
        self._agenda: list[tuple[float, int, str, str, int]] = []
        self._sequence = 0
        for job in self._jobs.values():
            if job.state == "running":
                self._expect_end(job)
        for fault in self._faults:
            if fault.at_s + fault.repair_s > self._last_s:
                self._enter(max(fault.at_s, self._last_s), "down", fault.node, 0)
                self._enter(fault.at_s + fault.repair_s, "up", fault.node, 0)

    @contextmanager
    def _acting(self) -> Iterator[float]:
        """Let happen what was to happen by now, and then the block: all of it stands in the book, or nothing has happened.

        Raises
        ------
        EngineUnreachableError
            If the book cannot be written; what is known is read from it again before the next try.

        """
        with self._lock:
            if self._together:
                yield self._advance()
                return
            try:
                with self._book.transaction():
                    if self._stale:
                        self._read()
                    yield self._advance()
            except OrderRefusedError:
                raise
            except BaseException:
                self._stale = True
                raise

    @contextmanager
    def together(self) -> Iterator[None]:
        """Carry out what is ordered in the block as one: afterwards all of it stands in the book, or nothing of it.

        Raises
        ------
        EngineUnreachableError
            If the book cannot be written: nothing has been carried out.

        """
        with self._acting():
            self._together = True
            try:
                yield
            finally:
                self._together = False

    # -- time

    def now(self) -> datetime:
        """Time at the emulated site."""
        return self._at(self._seconds())

    def _seconds(self) -> float:
        """Seconds since its start; they never run backwards, whatever the clock does."""
        with self._telling_time:
            now_s = self._site_then + (self._wall() - self._wall_then) * self._speed
            self._last_s = max(self._last_s, now_s)
            return self._last_s

    def _at(self, seconds: float) -> datetime:
        return self._start_utc + timedelta(seconds=seconds)

    # -- what the loop asks

    def observe(self) -> Observation:
        """All that is known now."""
        with self._acting() as now_s:
            self._keep_time()
            nodes = list(self._all_up)
            for name, (state, reason) in self._down.items():
                nodes[self._known[name]] = NodeNow(name, GPUS_PER_NODE, cast("Any", state), reason)
            return Observation(self._at(now_s), tuple(nodes), dict(self._shown))

    def _show(self, job: _Job) -> None:
        """Note how others see a job, when it changes: thousands of them are looked at again and again."""
        before = self._shown.get(job.key)
        if before is None or before.attempt != job.attempt or before.state != job.state:
            shares = tuple(Share(node, gpus) for node, gpus in job.shares)
            started_utc = self._at(job.started_s) if job.state == "running" else None
            self._shown[job.key] = JobNow(job.key, job.attempt, job.state, shares, started_utc)

    def _state_of(self, name: str) -> tuple[Any, str]:
        return self._down.get(name, ("up", ""))

    def events(self, cursor: str) -> tuple[Sequence[EngineEvent], str]:
        """Tell what happened since a cursor, and the next cursor."""
        with self._acting():
            rows = self._book.events(int(cursor or 0))
            found = [EngineEvent(at_utc=self._at(one.pop("at_s")), **one) for _, one in rows]
            return found, str(rows[-1][0]) if rows else cursor

    def hold(self, order: Order, attempt: int) -> None:
        """See to it that a job is known and waits."""
        with self._acting() as now_s:
            job = self._jobs.get(order.key)
            if job is None:
                if attempt == 0 and self._book.last_attempt(order.key) is None:
                    self._keep(self._new(order))
                return
            if job.state == "running" and job.attempt == attempt:
                self._stop(job, now_s, saved=job.warned)
                job.state, job.shares = "held", []
                self._keep(job)
                self._tell("held", now_s, job)

    @staticmethod
    def _new(order: Order) -> _Job:
        return _Job(order.key, order.tier, order.gpus, order.limit_s, order.run_time_s or order.limit_s)

    def start(self, order: Order, attempt: int, shares: Sequence[Share]) -> None:
        """Start a held job on these nodes, as its `attempt`-th; never a second time."""
        with self._acting() as now_s:
            if order.key not in self._jobs:
                last = self._book.last_attempt(order.key)
                if last is not None and last >= attempt:
                    return
                if last is not None:
                    raise OrderRefusedError(f"job {order.key} has ended with attempt {last}")
                self._keep(self._new(order))
            job = self._jobs[order.key]
            if job.attempt >= attempt:
                return
            for share in shares:
                if share.node not in self._known:
                    raise OrderRefusedError(f"there is no node {share.node}")
            job.tier, job.attempt, job.state = order.tier, attempt, "running"
            job.shares = [[share.node, share.gpus] for share in shares]
            job.started_s = job.since_s = now_s
            job.worked_s, job.warned, job.speed = 0.0, False, self._speed_of(job)
            self._keep(job)
            self._tell("started", now_s, job)
            self._expect_end(job)
            if any(self._state_of(share.node)[0] == "down" for share in shares):
                self._lose(job, now_s)

    def recall(self, order: Order, attempt: int, deadline_utc: datetime) -> None:
        """Tell a running job that it will lose its GPUs at the deadline: it saves its state by then."""
        del deadline_utc
        with self._acting():
            job = self._jobs.get(order.key)
            if job is not None and job.state == "running" and job.attempt == attempt and not job.warned:
                job.warned = True
                self._keep(job)

    def cancel(self, order: Order) -> None:
        """End a job for good."""
        with self._acting() as now_s:
            job = self._jobs.get(order.key)
            if job is not None:
                self._finish(job, now_s, "cancelled")

    def cap(self, caps: Mapping[str, float]) -> None:
        """Cap the GPUs of tiers; their jobs work the slower."""
        with self._acting() as now_s:
            if dict(caps) == self._caps:
                return
            self._caps = dict(caps)
            self._book.keep_caps(caps)
            running = [job for job in self._jobs.values() if job.state == "running"]
            for job in running:
                job.worked_s += (now_s - job.since_s) * job.speed
                job.since_s, job.speed = now_s, self._speed_of(job)
                self._expect_end(job)
            self._keep(*running)

    def drain(self, node: str, reason: str | None) -> None:
        """Take a node out of use for new jobs, or back into use."""
        with self._acting() as now_s:
            if node not in self._known:
                raise OrderRefusedError(f"there is no node {node}")
            state = self._state_of(node)[0]
            if reason is not None and state == "up":
                self._set_node(node, "draining", reason)
                self._tell_node("node_down", now_s, node, reason)
            elif reason is None and state == "draining":
                self._set_node(node, "up", "")
                self._tell_node("node_up", now_s, node, "")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._book.close()

    # -- what happens of itself

    def _enter(self, at_s: float, what: str, subject: str, attempt: int) -> None:
        self._sequence += 1
        heapq.heappush(self._agenda, (at_s, self._sequence, what, subject, attempt))

    def _advance(self) -> float:
        """Let happen what was to happen by now; return now [s]."""
        now_s = self._seconds()
        while self._agenda and self._agenda[0][0] <= now_s:
            at_s, _, what, subject, attempt = heapq.heappop(self._agenda)
            if what == "down" and self._state_of(subject)[0] != "down":
                self._set_node(subject, "down", "tray failed")
                self._tell_node("node_down", at_s, subject, "tray failed")
                for hit in [one for one in self._jobs.values() if any(s[0] == subject for s in one.shares)]:
                    self._lose(hit, at_s)
            elif what == "up" and self._state_of(subject)[0] == "down":
                self._set_node(subject, "up", "")
                self._tell_node("node_up", at_s, subject, "")
            elif what == "end":
                job = self._jobs.get(subject)
                if job is None or job.state != "running" or job.attempt != attempt:
                    continue
                due_s, outcome = self._end_of(job)
                if due_s <= at_s + 1e-6:
                    self._finish(job, at_s, outcome)
        return now_s

    def _speed_of(self, job: _Job) -> float:
        return self._speed_at(self._caps.get(job.tier, 1.0))

    def _end_of(self, job: _Job) -> tuple[float, Outcome]:
        """Tell when a running job ends, and how, if its speed stays what it is."""
        left_s = max(0.0, job.run_time_s - job.done_s - job.worked_s)
        done_s = job.since_s + left_s / max(job.speed, 1e-6)
        limit_s = job.started_s + job.limit_s
        return (done_s, "completed") if done_s <= limit_s else (limit_s, "timeout")

    def _expect_end(self, job: _Job) -> None:
        self._enter(self._end_of(job)[0], "end", job.key, job.attempt)

    def _stop(self, job: _Job, now_s: float, *, saved: bool) -> None:
        """Take a job off its nodes; what it has worked is saved or lost."""
        if saved:
            job.done_s += job.worked_s + (now_s - job.since_s) * job.speed
        job.worked_s = 0.0

    def _lose(self, job: _Job, now_s: float) -> None:
        """End an attempt because a node of it is gone."""
        self._stop(job, now_s, saved=False)
        job.state, job.shares = "held", []
        self._keep(job)
        self._tell("ended", now_s, job, "node_failed")

    def _finish(self, job: _Job, now_s: float, outcome: Outcome) -> None:
        self._tell("ended", now_s, job, outcome)
        del self._jobs[job.key]
        self._shown.pop(job.key, None)
        self._book.end_job(job.key, job.attempt)

    # -- the book

    def _keep(self, *jobs: _Job) -> None:
        for job in jobs:
            self._jobs[job.key] = job
            self._show(job)
        self._book.keep_jobs((job.key, orjson.dumps(job).decode()) for job in jobs)

    def _keep_time(self) -> None:
        """Note how far its time has gone, so that it never goes back, whatever the clock says at the next start."""
        self._book.keep_time(About(self._start_utc.isoformat(), self._wall(), self._seconds(), self._speed))

    def _set_node(self, name: str, state: str, reason: str) -> None:
        if state == "up":
            self._down.pop(name, None)
        else:
            self._down[name] = (state, reason)
        self._book.keep_node(name, state, reason)

    def _tell(self, kind: str, at_s: float, job: _Job, outcome: Outcome | None = None) -> None:
        self._book.tell(
            {"kind": kind, "at_s": at_s, "key": job.key, "attempt": job.attempt, "outcome": outcome}
        )

    def _tell_node(self, kind: str, at_s: float, node: str, reason: str) -> None:
        self._book.tell({"kind": kind, "at_s": at_s, "node": node, "reason": reason})
