"""The loop, live: observe, envelope, decide, account, act; and again.

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
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from kvandal.control.loop.accounts import Accounts
from kvandal.control.loop.in_force import changed
from kvandal.control.loop.observing import Observer
from kvandal.control.loop.ordering import LeadershipLostError, Orders
from kvandal.control.loop.recording import Record, orders_of, write
from kvandal.control.loop.site import Document, LiveSite, SiteCopy, Turn
from kvandal.control.loop.taking import MOST, commands, submitted, told_by
from kvandal.control.loop.told import Told
from kvandal.control.loop.view import ticks_of, view_of
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import CYCLES, INTENTIONS, SET_POINTS
from kvandal.engines.live.protocol import Engine
from kvandal.errors import InputError

KEYFRAME_CYCLES = 600
"""Cycles written down between two states that are kept."""
MOST_TICKS = 300
"""Ticks that one turn closes; a loop that comes back after long catches up in several."""


@dataclass(frozen=True, slots=True)
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
    more : whether it left something for the next turn, because each stays short

    """

    number: int
    time_s: int
    seconds: Mapping[str, float]
    happened: bool
    effects: Sequence[Document]
    open_intentions: int
    reachable: bool
    fail_safe: str | None
    more: bool = False


class Loop:
    """The loop over a live site.

    Parameters
    ----------
    store, engine, site
        What it connects.
    epoch_utc
        Second 0.
    nodes
        The engine's names of the trays, in order.
    number
        Cycles written down so far.
    inbox_to, cursor
        What has been taken of the inbox and of the engine's events.
    telemetry_timeout_s
        How long engine or meter may be silent.
    keyframe_cycles
        Cycles between two states that are kept.
    clock
        Real time [s], for what is measured.

    Attributes
    ----------
    step : entered around each of the five steps, with its name
    keyframes : states that were kept since it began
    leads : whether this server still leads; asked before each order that the engine is given

    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        site: LiveSite,
        epoch_utc: datetime,
        nodes: Sequence[str],
        *,
        number: int = 0,
        inbox_to: int = 0,
        cursor: str = "",
        telemetry_timeout_s: float = 120.0,
        keyframe_cycles: int = KEYFRAME_CYCLES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.engine, self.site = store, engine, site
        self.epoch_utc, self.nodes = epoch_utc, nodes
        self.number, self.inbox_to, self.cursor = number, inbox_to, cursor
        self.step: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self.leads: Callable[[], bool] = lambda: True
        self._keyframe_cycles, self._clock = keyframe_cycles, clock
        self._trays = {name: tray for tray, name in enumerate(nodes)}
        self._observer = Observer(engine, self._trays, epoch_utc, telemetry_timeout_s, clock)
        with store.read() as tx:
            self._accounts = Accounts(site, tx)
            self._orders = Orders(store, engine, tx)
            self._set_point_until = _set_point_until(tx)
        self._seconds: dict[str, float] = {}
        self._said: tuple[bool, str | None] | None = None
        self._refused: list[Told] = []
        self._packer = ThreadPoolExecutor(1, "kvandal-keeping")
        self._keeping: tuple[int, Future[tuple[SiteCopy, bytes]]] | None = None
        self._unwritten: Record | None = None
        self._ticked = self._late = False
        self.keyframes = 0

    def write_answers(self) -> None:
        """Write down what became of the last orders, which the next turn would do; nothing else."""
        if self._unwritten is None and self._orders.done:
            at_utc, done = self._at(self.site.now_s), dict(self._orders.done)
            self._ticked = False
            self._write(
                Record(
                    self.number, at_utc, self.site.now_s, self.inbox_to, self.cursor, [], [], False, done=done
                )
            )

    def close(self) -> None:
        """Let go of what the loop itself holds; the engine and the store are others'."""
        self._packer.shutdown()

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
            told, cursor = self._observer.observe(self.site, self.cursor, self._orders.jobs())
        now_s = self._now_s()
        with self._step("envelope"):
            with self.store.read() as tx:
                rows = commands(tx, self.inbox_to)
                jobs = submitted(tx, rows)
            from_people, orders = told_by(rows, jobs, now_s, self._trays, self.epoch_utc)
            from_people += self._envelope(from_people, now_s)
            inputs = self._acceptable([*told, *self._refused, *from_people])
            # what is heard late happens now; as it is recorded, since turns between may leave no row
            for one in inputs:
                one["time_s"] = min(max(one["time_s"], self.site.now_s), now_s)
        with self._step("decide"):
            turn = self.site.turn(now_s, inputs)
            self._refused = []
        with self._step("account"):
            self._ticked = self._accounts.tick(self.site)
            self._accounts.follow(self.site, turn.effects)
            inbox_to = int(rows[-1].id) if rows else self.inbox_to
            record = self._record(turn, inputs, orders, now_s, inbox_to, cursor)
            if record.says_something:
                self._unwritten = record
                self._write(record)
        with self._step("act"):
            spent_s = self._seconds["decide"] + self._seconds["account"]
            answered, self._refused = self._orders.give(self.site, self._at, self._clock, self.leads, spent_s)
        seen = self._observer
        seen.reachable = seen.reachable and answered
        return CycleReport(
            self.number,
            now_s,
            self._seconds,
            record.written,
            turn.effects,
            len(self._orders.open),
            seen.reachable,
            seen.fail_safe,
            more=seen.reachable and bool(len(rows) == MOST or self._orders.open or self._late),
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = self._clock()
        try:
            with self.step(name):
                yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._clock() - began

    def _at(self, seconds: float) -> datetime:
        return self.epoch_utc + timedelta(seconds=seconds)

    def _now_s(self) -> int:
        """Second up to which this turn goes: never back, and not too far at once."""
        now_s = int((self.engine.now() - self.epoch_utc).total_seconds())
        latest_s = self.site.now_s + MOST_TICKS * self.site.scenario.run.tick_s
        self._late = now_s > latest_s
        return max(self.site.now_s, min(now_s, latest_s))

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

    # -- account

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
            done=dict(self._orders.done),
            tried=self._orders.tried,
            orders=[*orders, *orders_of(turn.effects, inputs, self.nodes)] if happened else [],
            ticks=ticks_of(self.site, turn.ticks, self.epoch_utc) if turn.ticks else [],
        )
        said = (self._observer.reachable, self._observer.fail_safe)
        if happened or turn.ticks or said != self._said:
            record.view, self._said = self._view(record), said
        if self._keeping is not None and self._keeping[1].done():
            cycle, packing = self._keeping
            copy, content = packing.result()
            self.keyframes += 1
            record.keyframe, self._keeping = (cycle, content, copy.extra, copy.document), None
        if happened and record.number % self._keyframe_cycles == 0 and self._keeping is None:
            copy = self.site.copy()
            self._keeping = record.number, self._packer.submit(lambda: (copy, copy.packed()[0]))
        return record

    def _write(self, record: Record) -> None:
        """Write a turn down; what it says holds from here on."""
        try:
            with self.store.begin() as tx:
                if not record.written:
                    # no number of a cycle is taken: nothing else would stop who leads no more
                    self._refuse_stranger(tx)
                self._accounts.write(tx, self.site, record.effects, record.at_utc, ticked=self._ticked)
                rows = write(tx, record, self.epoch_utc, self.nodes)
        except IntegrityError:
            rows = self._written_already(record)
        self._accounts.written()
        self._orders.written(record.done)
        self.number, self.inbox_to, self.cursor = record.number, record.inbox_to, record.cursor
        self._orders.add(rows, record.orders)
        self._unwritten = None

    def _refuse_stranger(self, tx: Connection) -> None:
        """Refuse to write behind cycles that another server has written."""
        newest = tx.execute(select(func.max(CYCLES.c.number))).scalar() or 0
        if newest > self.number:
            raise LeadershipLostError(f"cycle {newest} has been written by another server")

    def _written_already(self, record: Record) -> list[int]:
        """Return the intentions of a turn that had been written although nobody said so; else somebody else leads."""
        with self.store.read() as tx:
            row = tx.execute(select(CYCLES).where(CYCLES.c.number == record.number)).first()
            if row is None or row.inputs != record.inputs or row.time_s != record.time_s:
                raise LeadershipLostError(f"cycle {record.number} has been written by another server")
            found = (
                select(INTENTIONS.c.id).where(INTENTIONS.c.cycle == record.number).order_by(INTENTIONS.c.id)
            )
            return [int(one.id) for one in tx.execute(found)]

    def _view(self, record: Record) -> Document:
        seen, until = self._observer, self._set_point_until
        return {
            "at_utc": record.at_utc.isoformat(),
            "cycle": record.number,
            "engine": {
                "name": self.engine.name,
                "reachable": seen.reachable,
                "observed_utc": seen.observed_utc.isoformat() if seen.observed_utc else None,
            },
            "fail_safe": seen.fail_safe,
            "set_point_until_utc": until.isoformat() if until else None,
            "nodes_down": [
                {"node": name, "state": state, "reason": reason}
                for name, (state, reason) in sorted(seen.down.items())
            ],
            **view_of(self.site),
        }


def _set_point_until(tx: Connection) -> datetime | None:
    """Return when the set-point in force ends; None: it does not, or there is none."""
    newest = select(SET_POINTS).where(SET_POINTS.c.name == "envelope_mw").order_by(SET_POINTS.c.id.desc())
    last = tx.execute(newest.limit(1)).first()
    until: datetime | None = last.until_utc if last is not None and last.value is not None else None
    return until
