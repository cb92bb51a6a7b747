"""The loop, live: observe, envelope, decide, write down, act; and again.

What is decided is written down with its inputs before anything is done about it, in one transaction. Orders to the engine are
given afterwards and may be given twice; they name attempts, so that nothing is started twice. A loop that comes back takes
the last state that was kept, follows what was written since, gives the orders that have no answer yet, and compares with
what the engine says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from kvandal.control.loop.recording import Record, orders_of, write
from kvandal.control.loop.site import Document, LiveSite, SiteCopy, Turn, changed
from kvandal.control.loop.taking import commands, differences, submitted, told_by, told_by_engine
from kvandal.control.loop.told import Told
from kvandal.control.loop.view import ticks_of, view_of
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import CYCLES, INTENTIONS, JOBS, SET_POINTS
from kvandal.engines.live.protocol import Engine, EngineUnreachableError, Order, OrderRefusedError, Share
from kvandal.errors import InputError

KEYFRAME_CYCLES = 600
"""Cycles written down between two states that are kept."""
LOOK_S = 15.0
"""Real time between two comparisons with all that the engine says [s]."""
SETTLE_S = 60.0
"""How long a job may be missing at the engine after its start before it is taken for lost [s]."""
ACT_S = 0.5
"""Real time that a turn gives orders for; the rest is given in the next [s]."""
BATCH = 200
ORDERED = (
    "id", "tenant", "project", "name", "gpus", "limit_s", "run_time_s", "script", "environment",
)  # fmt: skip
MOST_TICKS = 2000
"""Ticks that one turn closes; a loop that comes back after long catches up in several."""


class LeadershipLostError(Exception):
    """Another server has written the cycle that this one was to write."""


@dataclass(slots=True)
class CycleReport:
    """How a turn went.

    Attributes
    ----------
    number : the cycle
    time_s : of the site [s]
    seconds : what each step took in real time, by its name
    happened : whether anything was written down
    effects : what changed
    open_intentions : orders without an answer
    reachable : whether the engine answered
    fail_safe : why nothing new is lent; None: it is

    """

    number: int
    time_s: int
    seconds: dict[str, float]
    happened: bool
    effects: Sequence[Document]
    open_intentions: int
    reachable: bool
    fail_safe: str | None


@dataclass(slots=True)
class _Intention:
    row: int
    kind: str
    job: str | None
    attempt: int
    body: Document
    tries: int = 0


@dataclass(slots=True)
class Loop:
    """The loop over a live site.

    Attributes
    ----------
    store, engine, site : what it connects
    epoch_utc : second 0
    nodes : the engine's names of the trays, in order
    number : cycles written down so far
    inbox_to, cursor : what has been taken of the inbox and of the engine's events
    telemetry_timeout_s : how long a meter may be silent
    keyframe_cycles : cycles between two states that are kept
    step : entered around each of the five steps, with its name
    clock : real time [s], for what is measured

    """

    store: Store
    engine: Engine
    site: LiveSite
    epoch_utc: datetime
    nodes: Sequence[str]
    number: int = 0
    inbox_to: int = 0
    cursor: str = ""
    telemetry_timeout_s: float = 120.0
    keyframe_cycles: int = KEYFRAME_CYCLES
    step: Callable[[str], AbstractContextManager[Any]] = nullcontext
    clock: Callable[[], float] = time.monotonic
    _open: dict[int, _Intention] = field(default_factory=dict)
    _done: dict[int, tuple[str, str]] = field(default_factory=dict)
    _tried: list[int] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)
    _said: tuple[bool, str | None] | None = None
    _packer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "kvandal-keeping"))
    _keeping: tuple[int, Future[tuple[SiteCopy, bytes]]] | None = None
    _unwritten: Record | None = None
    _set_point_until: datetime | None = None
    _set_point_reason: str = ""
    _looked: float = float("-inf")
    _metered: float = float("-inf")
    _reachable: bool = True
    _observed_utc: datetime | None = None
    _fail_safe: str | None = None
    _down: dict[str, tuple[str, str]] = field(default_factory=dict)
    _trays: dict[str, int] = field(default_factory=dict)
    _pending: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._trays = {name: tray for tray, name in enumerate(self.nodes)}
        self._metered = self.clock()
        with self.store.read() as tx:
            rows = tx.execute(
                select(INTENTIONS).where(INTENTIONS.c.state == "open").order_by(INTENTIONS.c.id)
            )
            for row in rows:
                self._open[row.id] = _Intention(row.id, row.kind, row.job, row.attempt, row.body, row.tries)
            last = tx.execute(
                select(SET_POINTS)
                .where(SET_POINTS.c.name == "envelope_mw")
                .order_by(SET_POINTS.c.id.desc())
                .limit(1)
            ).first()
        if last is not None and last.value is not None:
            self._set_point_until, self._set_point_reason = last.until_utc, last.reason

    # -- one turn

    def turn(self) -> CycleReport:
        """Turn the loop once.

        Raises
        ------
        StoreUnavailableError
            The store is gone; the turn is kept and written when it is back, nothing is done before.
        LeadershipLostError
            Another server leads.

        """
        self._seconds = {}
        if self._unwritten is not None:
            with self._step("account"):
                self._write(self._unwritten)
        with self._step("observe"):
            told, cursor = self._observe()
        now_s = self._now_s()
        with self._step("envelope"):
            with self.store.read() as tx:
                rows = commands(tx, self.inbox_to)
                jobs = submitted(tx, rows)
            from_people, orders = told_by(rows, jobs, now_s, self._trays, self.epoch_utc)
            from_people += self._envelope(from_people, now_s)
            inputs = self._acceptable([*told, *self._pending, *from_people])
        with self._step("decide"):
            turn = self.site.turn(now_s, inputs)
            self._pending = []
        with self._step("account"):
            record = self._record(turn, inputs, orders, now_s, rows[-1].id if rows else self.inbox_to, cursor)
            if (
                record.written
                or record.ticks
                or record.done
                or record.view is not None
                or record.tried
                or record.keyframe
            ):
                self._unwritten = record
                self._write(record)
        with self._step("act"):
            self._act()
        return CycleReport(
            self.number,
            now_s,
            self._seconds,
            record.written,
            turn.effects,
            len(self._open),
            self._reachable,
            self._fail_safe,
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = self.clock()
        try:
            with self.step(name):
                yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self.clock() - began

    def _record(
        self, turn: Turn, inputs: list[Told], orders: list[Document], now_s: int, inbox_to: int, cursor: str
    ) -> Record:
        """Gather what a turn writes down."""
        happened = bool(
            turn.happened or inputs or orders or inbox_to != self.inbox_to or cursor != self.cursor
        )
        record = Record(
            number=self.number + 1 if happened else self.number,
            at_utc=self._at(now_s),
            time_s=now_s,
            inbox_to=inbox_to,
            cursor=cursor,
            inputs=inputs,
            effects=turn.effects,
            written=happened,
            done=dict(self._done),
            tried=self._tried,
            orders=[*orders, *orders_of(turn.effects, inputs, self.nodes)] if happened else [],
            ticks=ticks_of(self.site, turn.ticks, self.epoch_utc) if turn.ticks else [],
        )
        said = (self._reachable, self._fail_safe)
        if happened or turn.ticks or said != self._said:
            record.view, self._said = self._view(record), said
        if self._keeping is not None and self._keeping[1].done():
            cycle, packing = self._keeping
            copy, content = packing.result()
            record.keyframe, self._keeping = (cycle, content, copy.extra, copy.document), None
        if happened and record.number % self.keyframe_cycles == 0 and self._keeping is None:
            copy = self.site.copy()
            self._keeping = record.number, self._packer.submit(lambda: (copy, copy.packed()[0]))
        return record

    def close(self) -> None:
        """Let go of what the loop itself holds; the engine and the store are others'."""
        self._packer.shutdown()

    def _at(self, seconds: float) -> datetime:
        return self.epoch_utc + timedelta(seconds=seconds)

    def _now_s(self) -> int:
        """Second up to which this turn goes: never back, and not too far at once."""
        now_s = int((self.engine.now() - self.epoch_utc).total_seconds())
        tick_s = self.site.scenario.run.tick_s
        return max(self.site.now_s, min(now_s, self.site.now_s + MOST_TICKS * tick_s))

    # -- observe

    def _observe(self) -> tuple[list[Told], str]:
        """Return what the engine tells, and the cursor behind it; nothing where it does not answer."""
        try:
            seen = self._look() if self.clock() - self._looked >= LOOK_S else []
            events, cursor = self.engine.events(
                self.cursor
            )  # after the look: what ended since stands in them
            told = [
                one
                for one in told_by_engine(events, self._trays, self.epoch_utc)
                if "job" not in one or self.site.runs(one["job"], one["attempt"])
            ]
            known = {one["job"] for one in told if "job" in one}
            told += [one for one in seen if one.get("job") not in known]
        except EngineUnreachableError:
            self._reachable = False
            return self._telemetry(None, silent=True), self.cursor
        self._reachable = True
        return told, cursor

    def _look(self) -> list[Told]:
        """Compare with all that the engine says: nodes, jobs that are gone, the meter."""
        observation = self.engine.observe()
        self._looked, self._observed_utc = self.clock(), observation.at_utc
        now_s = self.site.now_s
        told = differences(observation, self.site.trays_down(), self._trays, now_s)
        self._down = {
            node.name: (node.state, node.reason) for node in observation.nodes if node.state != "up"
        }
        ordered = {one.job for one in self._open.values()}
        settled_s = now_s - max(SETTLE_S, 2 * self.site.scenario.run.tick_s)
        for job, attempt, start_s in self.site.running():
            if job in ordered or start_s > settled_s:
                continue
            at_engine = observation.jobs.get(job)
            if (
                at_engine is None
                or at_engine.attempt < attempt
                or (at_engine.state == "held" and at_engine.attempt == attempt)
            ):
                told.append({"kind": "interrupted", "time_s": now_s, "job": job, "attempt": attempt})
        return told + self._telemetry(
            observation.site_power_kw, silent=False, has_meter=observation.has_meter
        )

    def _telemetry(self, power_kw: float | None, *, silent: bool, has_meter: bool = True) -> list[Told]:
        """Return what the meter says: what it shows above the model, or that it has been silent for too long (rule E6)."""
        now_s, told = self.site.now_s, []
        was_lost = bool(self.site.state.tally["telemetry_lost"][0])
        if not silent and (not has_meter or power_kw is not None):
            self._metered = self.clock()
            if was_lost:
                told.append({"kind": "telemetry", "time_s": now_s, "lost": False})
            if power_kw is not None:
                modelled_kw = float(self.site.state.tally["last_meter_kw"][0])
                known_kw = float(self.site.state.tally["unexplained_kw"][0])
                more_kw = max(0.0, round(power_kw - modelled_kw, 0))
                if abs(more_kw - known_kw) > 0.01 * max(modelled_kw, 1.0):
                    told.append({"kind": "unexplained", "time_s": now_s, "value_kw": more_kw})
            self._fail_safe = None
        elif self.clock() - self._metered > self.telemetry_timeout_s:
            what = "the engine does not answer" if silent else "the meter is silent"
            self._fail_safe = f"{what}: nothing new is lent, caps stay (rule E6)"
            if not was_lost:
                told.append({"kind": "telemetry", "time_s": now_s, "lost": True})
        return told

    # -- envelope

    def _envelope(self, told: Sequence[Mapping[str, Any]], now_s: int) -> list[Told]:
        """Return the end of a set-point whose time is over; remember what was set."""
        for one in told:
            if one["kind"] == "set_point":
                until = one.get("until_utc")
                self._set_point_until = datetime.fromisoformat(until) if until else None
        if self._set_point_until is not None and self._at(now_s) >= self._set_point_until:
            self._set_point_until = None
            return [{"kind": "set_point", "time_s": now_s, "value_kw": None}]
        return []

    def _acceptable(self, told: Sequence[Told]) -> list[Told]:
        """Leave out changes of the scenario that turn out to be impossible by now; they were checked when they were asked for."""
        found, document = [], self.site.document
        for one in told:
            if one["kind"] == "change":
                try:
                    document, _ = changed(document, one["changes"])
                except InputError:
                    continue
            found.append(one)
        return found

    # -- write down

    def _write(self, record: Record) -> None:
        """Write a turn down; what it says holds from here on."""
        try:
            with self.store.begin() as tx:
                ids = write(tx, record, self.epoch_utc, self.nodes)
        except IntegrityError:
            ids = self._written_already(record)
        for row in record.done:
            self._done.pop(row, None)
        self._tried = []
        self.number, self.inbox_to, self.cursor = record.number, record.inbox_to, record.cursor
        for row, order in zip(ids, record.orders, strict=True):
            self._open[row] = _Intention(row, order["kind"], order["job"], order["attempt"], order["body"])
        self._unwritten = None

    def _written_already(self, record: Record) -> list[int]:
        """Return the intentions of a turn that had been written although nobody said so; else somebody else leads."""
        with self.store.read() as tx:
            row = tx.execute(select(CYCLES).where(CYCLES.c.number == record.number)).first()
            if row is None or row.inputs != record.inputs or row.time_s != record.time_s:
                raise LeadershipLostError(f"cycle {record.number} has been written by another server")
            found = tx.execute(
                select(INTENTIONS.c.id).where(INTENTIONS.c.cycle == record.number).order_by(INTENTIONS.c.id)
            )
            return [int(one.id) for one in found]

    def _view(self, record: Record) -> Document:
        view = view_of(self.site)
        until = self._set_point_until
        return {
            "at_utc": record.at_utc.isoformat(),
            "cycle": record.number,
            "engine": {
                "name": self.engine.name,
                "reachable": self._reachable,
                "observed_utc": self._observed_utc.isoformat() if self._observed_utc else None,
            },
            "fail_safe": self._fail_safe,
            "set_point_until_utc": until.isoformat() if until else None,
            "nodes_down": [
                {"node": name, "state": state, "reason": reason}
                for name, (state, reason) in sorted(self._down.items())
            ],
            **view,
        }

    # -- act

    def _act(self) -> None:
        """Give the orders that have no answer yet, in order; what cannot be given now is given in the next turn."""
        until = self.clock() + ACT_S
        given = list(self._open.values())
        for first in range(0, len(given), BATCH):
            some = given[first : first + BATCH]
            jobs = self._jobs_of(some)
            for one in some:
                try:
                    answer = self._give(one, jobs)
                except OrderRefusedError as error:
                    answer = ("refused", str(error))
                    if one.kind in ("submit", "start") and one.job is not None:
                        self._pending.append({"kind": "cancel", "time_s": self.site.now_s, "job": one.job})
                except EngineUnreachableError:
                    self._reachable = False
                    self._tried.append(one.row)
                    return
                del self._open[one.row]
                self._done[one.row] = answer
            if self.clock() > until:
                return

    def _jobs_of(self, intentions: Sequence[_Intention]) -> dict[str, Any]:
        """Return the jobs that orders are about, by their ids."""
        ids = {one.job for one in intentions if one.job is not None}
        if not ids:
            return {}
        with self.store.read() as tx:
            columns = [JOBS.c[name] for name in ORDERED]
            return {row.id: row for row in tx.execute(select(*columns).where(JOBS.c.id.in_(ids)))}

    def _give(self, one: _Intention, jobs: Mapping[str, Any]) -> tuple[str, str]:
        """Give one order; return what became of it, and the answer."""
        engine = self.engine
        if one.kind == "cap":
            engine.cap({tier: float(cap) for tier, cap in one.body.items()})
            return "done", ""
        if one.kind == "drain":
            engine.drain(one.body["node"], one.body["reason"])
            return "done", ""
        assert one.job is not None
        order = self._order(jobs[one.job], one.body.get("tier"))
        if one.kind == "submit":
            engine.hold(order, 0)
        elif one.kind == "cancel":
            engine.cancel(order)
        elif one.kind == "hold":
            engine.hold(order, one.attempt)
        elif not self.site.runs(one.job, one.attempt):
            return "obsolete", "it has ended meanwhile"
        elif one.kind == "start":
            engine.start(order, one.attempt, [Share(node, gpus) for node, gpus in one.body["shares"]])
        else:
            engine.recall(order, one.attempt, self._at(one.body["deadline_s"]))
        return "done", ""

    def _order(self, row: Any, tier: str | None) -> Order:
        """Return a job as the engine is to know it."""
        tenant = self.site.scenario.tenants[row.tenant]
        return Order(
            key=row.id,
            tenant=row.tenant,
            project=row.project,
            tier=tier or tenant.tier or "lent",
            name=row.name,
            gpus=row.gpus,
            limit_s=row.limit_s,
            run_time_s=row.run_time_s,
            script=row.script,
            environment=row.environment,
            notice_s=int(tenant.notice_s),
        )
