"""Who draws power at an instant: the running jobs of a state, and how they come and go over a few minutes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from kvandal.policy.acting import MILLIWATT
from kvandal.policy.placement import GPUS_PER_RACK, TRAYS_PER_RACK
from kvandal.twin.records import FINISHED
from kvandal.twin.state import State

Array = Any

NEVER_S = float(2**62)
"""A time that does not come [s]."""


@dataclass(frozen=True)
class Running:
    """Jobs (n) that run at some time of a window.

    Attributes
    ----------
    job : int64, their numbers
    kind : int64, 0 training, 1 batch, 2 inference
    gpus : int64
    above_kw : float64, power above idle under the caps [kW]
    idle_kw, peak_kw : float64, their GPUs' share of their racks' power idle, and of the racks' 1-s peak [kW]
    start_s : float64, start of the run of theirs that goes on [s]
    work_s : float64, time between two checkpoints under the caps [s]; 0: none are written
    dump_s : float64, time in which they write a checkpoint [s]
    loan : int64, the loan that they run on, or -1
    on_s, off_s : float64, when they draw power [s]

    """

    job: Array
    kind: Array
    gpus: Array
    above_kw: Array
    idle_kw: Array
    peak_kw: Array
    start_s: Array
    work_s: Array
    dump_s: Array
    loan: Array
    on_s: Array
    off_s: Array

    def __len__(self) -> int:
        return int(self.job.shape[0])


def running_jobs(state: State, peak_kw: Array) -> Running:
    """List the jobs that run now, in order of their numbers.

    Parameters
    ----------
    state : the state
    peak_kw : 1-s peak of a rack by rack model [kW]

    """
    slots = state.room.slots.reshape(-1)
    seats = np.flatnonzero(slots >= 0)
    job, which = np.unique(slots[seats], return_inverse=True)
    model = state.racks["model"][seats // (4 * TRAYS_PER_RACK)]
    demand = state.jobs["demand"][job]
    tier = state.jobs["use_tier"][job]
    factor = state.tier_models["factor"][tier[which], model]
    part = state.racks["part"][seats // (4 * TRAYS_PER_RACK)]
    above_kw = state.load_mw[demand[which], model] * MILLIWATT * factor * part

    def by_job(values: Array) -> Array:
        return np.bincount(which, values, len(job))

    return _running(
        state,
        job,
        by_job(above_kw),
        by_job(state.models["idle_kw"][model] / GPUS_PER_RACK),
        by_job(peak_kw[model] / GPUS_PER_RACK),
    )


def _running(state: State, job: Array, above_kw: Array, idle_kw: Array, peak_kw: Array) -> Running:
    table = state.jobs[job]
    kind = state.demands["kind"][table["demand"]]
    rate = state.speeds["rate"][np.maximum(table["use_tier"], 0) * 3 + kind] * table["slow"]
    start_s = table["start_s"].astype(np.float64)
    return Running(
        job=job.astype(np.int64),
        kind=kind,
        gpus=table["gpus"].astype(np.int64),
        above_kw=above_kw,
        idle_kw=idle_kw,
        peak_kw=peak_kw,
        start_s=start_s,
        work_s=table["interval_s"] / np.maximum(rate, 1e-6),
        dump_s=state.demands["checkpoint_s"][table["demand"]].astype(np.float64),
        loan=table["loan"].astype(np.int64),
        on_s=start_s,
        off_s=np.full(len(job), NEVER_S),
    )


def joined(so_far: Running, state: State, now: Running, time_s: float, first_event: int) -> Running:
    """Bring the list of a window's jobs from one instant to a later one.

    Parameters
    ----------
    so_far : jobs that ran up to the earlier instant
    state, now, time_s : the state at the later instant, the jobs that run then, and when it is [s]
    first_event : events recorded at the earlier instant

    """
    known, running = _runs(so_far), _runs(now)
    gone = (so_far.off_s == NEVER_S) & ~np.isin(known, running)
    new = ~np.isin(running, known)
    off_s = np.where(gone, _left_s(so_far, state, time_s, first_event), so_far.off_s)
    columns = {
        field.name: np.concatenate([getattr(so_far, field.name), getattr(now, field.name)[new]])
        for field in fields(Running)
        if field.name != "off_s"
    }
    return Running(**columns, off_s=np.concatenate([off_s, now.off_s[new]]))


def _runs(running: Running) -> Array:
    """Return a number for every run of a job: the same job that starts anew is another run."""
    return running.job * 2**32 + running.start_s.astype(np.int64)


def _left_s(so_far: Running, state: State, time_s: float, first_event: int) -> Array:
    """When jobs that are gone left: finished, loan returned, hit by an event; else when they were missed [s]."""
    table = state.jobs[so_far.job]
    left_s = np.full(len(so_far), time_s)
    events = state.events[first_event : int(state.tally["events"][0])]
    for event in events[events["job"] >= 0][::-1]:  # the earliest counts
        left_s[so_far.job == event["job"]] = event["time_s"]
    returned_s = state.loans["returned_s"][np.maximum(so_far.loan, 0)]
    left_s = np.where((so_far.loan >= 0) & (returned_s >= 0), returned_s, left_s)
    finished = (table["state"] == FINISHED) & (table["start_s"] == so_far.start_s)
    return np.minimum(np.where(finished, table["end_s"], left_s), time_s)
