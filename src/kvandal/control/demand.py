"""Simulated tenants of an emulated site: the demand of its scenario, submitted as people would."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select

from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import INBOX, JOBS
from kvandal.control.store.tables.metadata import new_id
from kvandal.demand.build import build_demand
from kvandal.scenario.loading import from_resolved
from kvandal.twin.state import time_limits_s

PERSON = "simulated"
"""Who submits them."""
PROJECT = "simulated-demand"
BEFORE_DAYS = 14
"""What was submitted in so many days before the start, and would run still, is submitted at the start [days]."""
CHUNK_DAYS = 30
DAY_S = 86_400
MOST = 500
"""Jobs submitted in one turn; a site that begins is full after some turns."""


class SimulatedDemand:
    """Submits the jobs of a scenario's demand when their time has come.

    The jobs are synthetic, or scaled up from traces, as the scenario says; who looks at them sees that they are simulated.

    Parameters
    ----------
    store
        Where jobs are submitted.
    document
        The scenario, as its run begins at the loop's second 0.
    epoch_utc
        Second 0.

    """

    def __init__(self, store: Store, document: dict[str, Any], epoch_utc: datetime) -> None:
        self._store, self._document, self._epoch_utc = store, document, epoch_utc
        self._chunk, self._jobs = 0, self._drawn(0)
        self._due: list[dict[str, Any]] = []
        with store.read() as tx:
            query = select(func.count()).select_from(JOBS).where(JOBS.c.person == PERSON)
            self._next = int(tx.execute(query).scalar_one())
        while self._next >= len(self._jobs[0]):
            self._next -= len(self._jobs[0])
            self._chunk += 1
            self._jobs = self._drawn(self._chunk)

    def submit(self, now_s: int) -> int:
        """Submit what is due by now; return how many jobs. What the store could not take comes again the next time."""
        rows = self._due = self._due or self._due_by(now_s)
        if rows:
            with self._store.begin() as tx:
                there = select(JOBS.c.id).where(JOBS.c.id == rows[0]["id"])
                if tx.execute(there).first() is None:  # else it was written although nobody said so
                    self._write(tx, rows)
            self._due = []
        return len(rows)

    def _due_by(self, now_s: int) -> list[dict[str, Any]]:
        """Return the next jobs that are to be submitted by now."""
        rows: list[dict[str, Any]] = []
        while len(rows) < MOST:
            times_s = self._jobs[0]
            if self._next >= len(times_s):
                self._chunk += 1
                self._jobs, self._next = self._drawn(self._chunk), 0
                continue
            if times_s[self._next] > now_s:
                break
            rows.append(self._row(self._next))
            self._next += 1
        return rows

    @staticmethod
    def _write(tx: Connection, rows: list[dict[str, Any]]) -> None:
        tx.execute(insert(JOBS), rows)
        asked = {"by": PERSON, "kind": "submit"}
        tx.execute(
            insert(INBOX),
            [{"at_utc": row["submitted_utc"], "body": {"job": row["id"]}, **asked} for row in rows],
        )

    def _row(self, index: int) -> dict[str, Any]:
        times_s, gpus, run_s, limit_s, tenants, classes = self._jobs
        return {
            "id": new_id("job"),
            "tenant": tenants[index],
            "project": PROJECT,
            "person": PERSON,
            "name": f"{classes[index]} {self._chunk}-{index}",
            "demand": classes[index],
            "gpus": int(gpus[index]),
            "limit_s": int(limit_s[index]),
            "run_time_s": int(run_s[index]),
            "script": "",
            "environment": {},
            "state": "accepted",
            "submitted_utc": self._epoch_utc + timedelta(seconds=max(0, int(times_s[index]))),
        }

    def _drawn(self, chunk: int) -> tuple[Any, ...]:
        """Draw the jobs of a month; those of the first begin with what would run already."""
        before_days = BEFORE_DAYS if chunk == 0 else 0
        first_s = CHUNK_DAYS * DAY_S * chunk - before_days * DAY_S
        run = {
            **self._document["run"],
            "start_utc": (self._epoch_utc + timedelta(seconds=first_s)).isoformat(),
            "days": CHUNK_DAYS + before_days,
            "seed": int(self._document["run"].get("seed", 1)) + chunk,
        }
        scenario = from_resolved({**self._document, "run": run, "grants": {}})
        table, _ = build_demand(scenario)
        limit_s = time_limits_s(scenario, table, np.zeros(len(table), np.int64)).astype(np.int64)
        submit_s = table.submit_s + first_s
        left_s = np.where(submit_s < 0, submit_s + table.work_s, table.work_s)
        which = np.flatnonzero(left_s > 0)
        names, classes = list(scenario.tenants), list(scenario.demand)
        return (
            np.maximum(0, submit_s[which]),
            table.gpus[which],
            left_s[which],
            np.maximum(limit_s[which] - (table.work_s[which] - left_s[which]), left_s[which]),
            [names[tenant] for tenant in table.tenant[which]],
            [classes[demand] for demand in table.demand[which]],
        )
