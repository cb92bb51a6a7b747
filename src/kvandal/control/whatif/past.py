"""What a store knows that a what-if stands on: who submitted what lately, which trays failed, until when a set-point holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from kvandal.control.demand import PERSON
from kvandal.control.store.tables.loop import JOBS, SITE, SITE_NOW

Array = Any

WEEKS = 4
"""How far back submissions are looked at [weeks]."""
DAY_S = 86_400
MOST_ROWS = 200_000
"""Of the last so many jobs at most."""
USUAL_JOBS = 200
"""Jobs of a project from which its usual size is taken."""
FINISHED = "finished"
_COLUMNS = tuple(
    JOBS.c[name]
    for name in (
        "tenant", "project", "demand", "gpus", "limit_s", "run_time_s", "state", "submitted_utc", "useful_gpu_s",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Past:
    """Submissions of the last weeks, in order; arrays of one length.

    Attributes
    ----------
    first_s, at_s : from when to when they are known [s after second 0]
    submit_s : int64, when [s]
    gpus, work_s, limit_s : int64; work as it turned out, else as its owner expected, else the limit
    tenant, demand : int64, indices into the scenario's
    project : names

    """

    first_s: int
    at_s: int
    submit_s: Array
    gpus: Array
    work_s: Array
    limit_s: Array
    tenant: Array
    demand: Array
    project: tuple[str, ...]


@dataclass(frozen=True)
class Usual:
    """What a project's jobs are like.

    Attributes
    ----------
    gpus, work_s : of half of them at most
    demand : class of most of them
    jobs : how many were looked at

    """

    gpus: int
    work_s: int
    demand: str
    jobs: int


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the state.

    Attributes
    ----------
    down : trays that have failed and will be repaired; those that somebody took out stay out
    set_point_until_s : when the envelope that is set by hand ends [s]; None: it does not, or there is none

    """

    down: tuple[int, ...]
    set_point_until_s: float | None


def read_past(
    tx: Connection,
    epoch_utc: datetime,
    at_s: int,
    tenants: Sequence[str],
    classes: Sequence[str],
    simulated: Collection[str],
) -> Past:
    """Read who submitted what in the last weeks.

    Parameters
    ----------
    tx : transaction of the store
    epoch_utc, at_s : second 0, and now [s after it]
    tenants, classes : names, in the order of the scenario
    simulated : classes whose simulated jobs count as well; all others are left out, as they are drawn elsewhere or will not come

    """
    first_s = max(0, at_s - WEEKS * 7 * DAY_S)
    newest = tx.execute(select(func.max(JOBS.c.number))).scalar() or 0
    since_utc = epoch_utc + timedelta(seconds=first_s)
    query = (
        select(*_COLUMNS)
        .where(
            JOBS.c.number > newest - MOST_ROWS,
            JOBS.c.submitted_utc >= since_utc,
            JOBS.c.submitted_utc <= epoch_utc + timedelta(seconds=at_s),
            (JOBS.c.person != PERSON) | JOBS.c.demand.in_(sorted(simulated)),
        )
        .order_by(JOBS.c.submitted_utc, JOBS.c.number)
    )
    rows = [row for row in tx.execute(query) if row.tenant in tenants and row.demand in classes]
    if newest > MOST_ROWS:
        oldest = tx.execute(
            select(JOBS.c.submitted_utc)
            .where(JOBS.c.number > newest - MOST_ROWS)
            .order_by(JOBS.c.number)
            .limit(1)
        ).scalar_one()
        first_s = max(first_s, int((oldest - epoch_utc).total_seconds()))

    def column(values: Iterable[float]) -> Array:
        return np.array(list(values), np.int64)

    return Past(
        first_s=first_s,
        at_s=at_s,
        submit_s=column((row.submitted_utc - epoch_utc).total_seconds() for row in rows),
        gpus=column(row.gpus for row in rows),
        work_s=column(_work_s(row) for row in rows),
        limit_s=column(row.limit_s for row in rows),
        tenant=column(tenants.index(row.tenant) for row in rows),
        demand=column(classes.index(row.demand) for row in rows),
        project=tuple(row.project for row in rows),
    )


def _work_s(row: Any) -> int:
    if row.state == FINISHED and row.useful_gpu_s >= row.gpus:
        return int(row.useful_gpu_s // row.gpus)
    return int(row.run_time_s or row.limit_s)


def usual_jobs(tx: Connection, tenant: str, project: str) -> Usual | None:
    """Return what the jobs of a project are like, else those of its tenant; None where there were none."""
    for mine in ((JOBS.c.tenant == tenant) & (JOBS.c.project == project), JOBS.c.tenant == tenant):
        query = select(*_COLUMNS).where(mine).order_by(JOBS.c.number.desc()).limit(USUAL_JOBS)
        rows = tx.execute(query).all()
        if rows:
            classes = [row.demand for row in rows]
            return Usual(
                gpus=int(np.median([row.gpus for row in rows])),
                work_s=max(1, int(np.median([_work_s(row) for row in rows]))),
                demand=max(sorted(set(classes)), key=classes.count),
                jobs=len(rows),
            )
    return None


def read_surroundings(tx: Connection, epoch_utc: datetime) -> Surroundings:
    """Read what the loop says of nodes and set-points."""
    nodes = tx.execute(select(SITE.c.nodes)).scalar_one()
    view: Mapping[str, Any] = tx.execute(select(SITE_NOW.c.view)).scalar() or {}
    trays = {name: tray for tray, name in enumerate(nodes)}
    down = tuple(
        trays[one["node"]]
        for one in view.get("nodes_down", ())
        if one["state"] == "down" and one["node"] in trays
    )
    until = view.get("set_point_until_utc")
    until_s = None if until is None else (datetime.fromisoformat(until) - epoch_utc).total_seconds()
    return Surroundings(down, until_s)
