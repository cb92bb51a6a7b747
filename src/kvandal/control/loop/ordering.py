"""Orders to the engine: given after they are written down, in order, until each has an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from kvandal.control.loop.site import Document, LiveSite
from kvandal.control.loop.told import Told
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import INTENTIONS, JOBS
from kvandal.engines.live.protocol import Engine, EngineUnreachableError, Order, OrderRefusedError, Share

LONGEST_S = 0.1
"""Real time that a turn gives orders for, at most; the rest is given in the next, at once [s]."""
SHORTEST_S = 0.02
"""Real time that a turn gives orders for, however long it took to decide and to write that down [s]."""
TURN_S = 0.2
"""What deciding, writing down and giving orders take together, where deciding and writing leave it to the orders [s]."""
BATCH = 200
COLUMNS = ("id", "tenant", "project", "name", "gpus", "limit_s", "run_time_s", "script", "environment")


class LeadershipLostError(Exception):
    """Another server leads: it has written a cycle that this one does not know of, or holds the right to lead."""


@dataclass(slots=True)
class Intention:
    """An order that has no answer yet: a row of INTENTIONS."""

    row: int
    kind: str
    job: str | None
    attempt: int
    body: Document


class Orders:
    """What is to be done about decisions.

    Parameters
    ----------
    store, engine
        Where jobs stand, and who takes orders.
    tx
        Orders without an answer are read from.

    Attributes
    ----------
    open : orders without an answer, by their row, in order
    done : answers that are not written down yet: (state, words) by row
    tried : orders that could not be given, not written down yet

    """

    def __init__(self, store: Store, engine: Engine, tx: Connection) -> None:
        self._store, self._engine = store, engine
        rows = tx.execute(select(INTENTIONS).where(INTENTIONS.c.state == "open").order_by(INTENTIONS.c.id))
        self.open = {row.id: Intention(row.id, row.kind, row.job, row.attempt, row.body) for row in rows}
        self.done: dict[int, tuple[str, str]] = {}
        self.tried: list[int] = []

    def add(self, rows: Sequence[int], orders: Sequence[Mapping[str, Any]]) -> None:
        """Take over orders that have been written down."""
        for row, order in zip(rows, orders, strict=True):
            self.open[row] = Intention(row, order["kind"], order["job"], order["attempt"], order["body"])

    def written(self, done: Mapping[int, Any]) -> None:
        """Forget answers that have been written down."""
        for row in done:
            self.done.pop(row, None)
        self.tried = []

    def jobs(self) -> set[str | None]:
        """Jobs that some order is about."""
        return {one.job for one in self.open.values()}

    def give(
        self,
        site: LiveSite,
        at: Callable[[float], datetime],
        clock: Callable[[], float],
        leads: Callable[[], bool],
        spent_s: float = 0.0,
    ) -> tuple[bool, list[Told]]:
        """Give the orders that have no answer yet, in order, until the engine does not answer or time is up.

        Parameters
        ----------
        site : which attempts run
        at : instants by their second
        clock : real time [s]
        leads : whether this server still leads
        spent_s : real time that this turn took to decide and to write that down [s]

        Returns
        -------
        Whether the engine answered, and what refusals tell the state.

        Raises
        ------
        LeadershipLostError
            This server leads no more.

        """
        until = clock() + max(SHORTEST_S, min(LONGEST_S, TURN_S - spent_s))
        told: list[Told] = []
        given = list(self.open.values())
        for first in range(0, len(given), BATCH):
            some = given[first : first + BATCH]
            jobs = self._jobs_of(some)
            answers: dict[int, tuple[str, str]] = {}
            failed: int | None = None
            try:
                with getattr(self._engine, "together", nullcontext)():
                    for one in some:
                        if not leads():
                            raise LeadershipLostError("the right to lead was lost while orders were given")
                        try:
                            answers[one.row] = self._give(one, jobs, site, at)
                        except OrderRefusedError as error:
                            answers[one.row] = ("refused", str(error))
                        except EngineUnreachableError:
                            failed = one.row
                            break
                        if clock() > until:
                            break
            except EngineUnreachableError:  # none of them was carried out
                answers, failed = {}, some[0].row
            for row, answer in answers.items():
                one = self.open.pop(row)
                self.done[row] = answer
                if answer[0] == "refused" and one.kind in ("submit", "start") and one.job is not None:
                    about = {"time_s": site.now_s, "job": one.job}
                    told.append({"kind": "failed", **about, "attempt": one.attempt})
                    told.append({"kind": "cancel", **about})
            if failed is not None:
                self.tried.append(failed)
                return False, told
            if len(answers) < len(some):
                break
        return True, told

    def _jobs_of(self, intentions: Sequence[Intention]) -> dict[str, Any]:
        """Return the jobs that orders are about, by their ids."""
        ids = {one.job for one in intentions if one.job is not None}
        if not ids:
            return {}
        with self._store.read() as tx:
            columns = [JOBS.c[name] for name in COLUMNS]
            return {row.id: row for row in tx.execute(select(*columns).where(JOBS.c.id.in_(ids)))}

    def _give(
        self, one: Intention, jobs: Mapping[str, Any], site: LiveSite, at: Callable[[float], datetime]
    ) -> tuple[str, str]:
        """Give one order; return what became of it, and words."""
        engine = self._engine
        if one.kind == "cap":
            engine.cap({tier: float(cap) for tier, cap in one.body.items()})
            return "done", ""
        if one.kind == "drain":
            engine.drain(one.body["node"], one.body["reason"])
            return "done", ""
        assert one.job is not None
        order = order_of(jobs[one.job], one.body.get("tier"), site)
        if one.kind == "submit":
            engine.hold(order, 0)
        elif one.kind == "cancel":
            engine.cancel(order)
        elif one.kind == "hold":
            engine.hold(order, one.attempt)
        elif not site.runs(one.job, one.attempt):
            return "obsolete", "it has ended meanwhile"
        elif one.kind == "start":
            engine.start(order, one.attempt, [Share(node, gpus) for node, gpus in one.body["shares"]])
        else:
            engine.recall(order, one.attempt, at(one.body["deadline_s"]))
        return "done", ""


def order_of(row: Any, tier: str | None, site: LiveSite) -> Order:
    """Return a job as the engine is to know it."""
    tenant = site.scenario.tenants[row.tenant]
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
