"""Forgetting jobs that are over: the others move up in the tables, in their order, and everything that names one follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.policy.acting import OWN_JOB
from kvandal.twin.heaps import PRIORITY_SHIFT
from kvandal.twin.records import DRAIN, RECALLABLE, REST, TIMEOUT, spare_records
from kvandal.twin.snapshot import TURNED, live_jobs
from kvandal.twin.state import State, new_loans

Array = Any

OF_JOBS = (DRAIN, REST, TIMEOUT, RECALLABLE)
"""Entries of the agenda whose subject is a job."""


def renumbered(state: State, capacity: int) -> tuple[State, Array, Array]:
    """Return a state without the jobs that are over, and with room for more.

    Every decision that follows is as if nothing had been forgotten.

    Parameters
    ----------
    state : a live state between two turns; it is used up
    capacity : rows of the table of jobs, at least as many as there are live jobs

    Returns
    -------
    The state, the former rows of its jobs, int64 (live jobs,), and the former rows of its loans, int64 (open loans,).

    """
    kept = live_jobs(state)
    new_row = np.full(len(state.jobs) + 1, -1, np.int64)  # the last: -1 stays -1
    new_row[kept] = np.arange(len(kept))

    def follow(rows: Array) -> Array:
        return new_row[rows]

    tables = {name: _moved(getattr(state, name), kept, capacity) for name in (*TURNED, "jobs", "job_grants")}
    room = state.room._replace(
        first_piece=_moved(state.room.first_piece, kept, capacity, -1),
        first_claim=_moved(state.room.first_claim, kept, capacity, -1),
    )
    room.slots[:] = follow(room.slots)
    jobs = tables["jobs"]
    jobs["next_job"] = follow(jobs["next_job"])
    job_grants = tables["job_grants"]
    for name in ("next", "previous"):
        linked = job_grants[name][: len(kept)]
        job_grants[name][: len(kept)] = np.where(job_grants["holds"][: len(kept)], follow(linked), linked)
    state.grants["head"] = follow(state.grants["head"])
    queues, tally = state.queues, state.tally[0]
    for name in ("head", "tail", "last_claim", "vain_holder", "vain_tail"):
        queues[name] = follow(queues[name])
    queues["scanned"] = np.searchsorted(kept, queues["scanned"])
    for name in ("holder", "looked_holder"):
        state.tenants[name] = follow(state.tenants[name])
    for group, running in enumerate(state.speeds["running"].tolist()):
        state.ends[group, :running]["job"] = follow(state.ends[group, :running]["job"])
    state.lent_jobs[: tally["lent_jobs"]] = follow(state.lent_jobs[: tally["lent_jobs"]])
    own = state.own_jobs[OWN_JOB, : tally["own_jobs"]]
    state.own_jobs[OWN_JOB, : tally["own_jobs"]] = follow(own)
    _follow_agenda(state, follow)
    loans, kept_loans = _open_loans(state, jobs[: len(kept)], follow)
    tally["next_arrival"] = len(kept)
    state = state._replace(**tables, room=room, loans=loans)
    return state, kept, kept_loans


def _moved(table: Array, kept: Array, capacity: int, unused: int = 0) -> Array:
    """Rows (or columns, of tables that have jobs there) of the jobs kept, and room behind them."""
    shape = (*table.shape[:-1], capacity)
    moved = np.full(shape, unused, table.dtype) if table.dtype.names is None else np.zeros(shape, table.dtype)
    moved[..., : len(kept)] = table[..., kept]
    return moved


def _follow_agenda(state: State, follow: Any) -> None:
    """Drop entries about jobs that are gone; what is left stands in order of time, which is a heap too."""
    tally = state.tally[0]
    entries = state.agenda[: tally["agenda_size"]].copy()
    about_jobs = np.isin(entries["rank"] >> PRIORITY_SHIFT, OF_JOBS)
    entries["subject"][about_jobs] = follow(entries["subject"][about_jobs])
    entries = entries[~about_jobs | (entries["subject"] >= 0)]
    entries = entries[np.lexsort((entries["rank"], entries["time_s"]))]
    state.agenda[: len(entries)] = entries
    tally["agenda_size"] = len(entries)


def _open_loans(state: State, jobs: Array, follow: Any) -> tuple[Array, Array]:
    """Keep the records of the loans that are open, in their order."""
    tally = state.tally[0]
    records = state.loans[: tally["loans"]]
    kept = np.flatnonzero(records["returned_s"] < 0)
    new_record = np.full(len(records) + 1, -1, np.int64)
    new_record[kept] = np.arange(len(kept))
    loans, still_open = state.loans, records[kept]
    rows = max(2 * spare_records(len(state.racks)), 2 * len(kept))
    if len(loans) == rows:
        records[len(kept) :] = 0  # tens of megabytes, of which few are in use: they stay where they are
    else:
        loans = new_loans(rows)
    loans[: len(kept)] = still_open
    loans["job"][: len(kept)] = follow(loans["job"][: len(kept)])
    loans["claimant"][: len(kept)] = follow(loans["claimant"][: len(kept)])
    jobs["loan"] = new_record[jobs["loan"]]
    for first in jobs["first_part"].tolist():
        part = first
        while part >= 0:
            state.parts["record"][part] = new_record[state.parts["record"][part]]
            part = int(state.parts["next"][part])
    tally["loans"] = len(kept)
    return loans, kept
