"""What a job holds of a grant: drawn at submission, charged as runs end, given back when it has ended (rules G1 to G4)."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.budget import (
    available_gpu_s,
    charge,
    commit,
    ends_in_time,
    give_back,
    is_for,
    is_in_force,
)
from kvandal.policy.rules import GRANT_OVER, GRANT_TOO_SHORT, GRANT_TOO_SMALL
from kvandal.twin.records import LOST_CHECKPOINT, REFUSED, STOPPED


@kernel
def needed_gpu_s(state, job):
    """GPU-seconds that a job asks its grants for: its GPUs times its run-time limit."""
    return state.jobs[job].asked_gpus * state.jobs[job].limit_s


@kernel
def time_needed_s(state, job, gpu_s):
    """Run time that so many GPU-seconds give a job, rounded up [s]."""
    gpus = state.jobs[job].asked_gpus
    return (gpu_s + gpus - 1) // gpus


@large_kernel
def turn_away(state, job, rule, needed, available, time_s):
    """End a job by a rule, with the numbers that say so: *refused* when it never ran, else *stopped*."""
    jobs, mine = state.jobs, state.job_grants[job]
    jobs[job].refused_rule = rule
    mine.refused_needed = needed
    mine.refused_available = available
    if jobs[job].starts == 0:
        jobs[job].state = REFUSED
    else:
        jobs[job].state = STOPPED
        jobs[job].end_s = time_s


@kernel
def _chosen(state, job, gpu_s, time_s):
    """Grant that a job draws on: of those that hold enough and last long enough, the first to expire (G1); -1: none."""
    tenant, demand = state.jobs[job].tenant, state.jobs[job].demand
    limit_s = time_needed_s(state, job, gpu_s)
    for index in range(state.grant_order.shape[2]):
        grant = state.grant_order[tenant, demand, index]
        if grant < 0:
            break
        if (
            is_in_force(state.grants[grant])
            and is_for(state.grants[grant], state.job_grants[job].project)
            and available_gpu_s(state.grants, state.grant_periods, grant) >= gpu_s
            and ends_in_time(state.grants[grant], time_s, limit_s)
        ):
            return grant
    return -1


@large_kernel
def _refuse(state, job, gpu_s, time_s):
    """Refuse a new job that no grant can hold: too large for what is left (G2), or too long (G3)."""
    tenant, demand = state.jobs[job].tenant, state.jobs[job].demand
    largest, longest_s = np.int64(0), np.int64(-1)
    for index in range(state.grant_order.shape[2]):
        grant = state.grant_order[tenant, demand, index]
        if grant < 0:
            break
        if is_in_force(state.grants[grant]) and is_for(state.grants[grant], state.job_grants[job].project):
            held = available_gpu_s(state.grants, state.grant_periods, grant)
            largest = max(largest, held)
            if held >= gpu_s:
                longest_s = max(longest_s, state.grants[grant].end_s - time_s)
    if longest_s >= 0:
        turn_away(state, job, GRANT_TOO_SHORT, time_needed_s(state, job, gpu_s), longest_s, time_s)
    else:
        turn_away(state, job, GRANT_TOO_SMALL, gpu_s, largest, time_s)


@kernel
def _hold(state, job, grant, gpu_s):
    """Reserve GPU-seconds of a grant for a job that waits or runs."""
    mine = state.job_grants[job]
    mine.grant = grant
    mine.drew = True
    mine.period = commit(state.grants, state.grant_periods, grant, gpu_s)
    mine.committed = gpu_s
    mine.holds = True
    mine.previous = -1
    mine.next = state.grants[grant].head
    if mine.next >= 0:
        state.job_grants[mine.next].previous = job
    state.grants[grant].head = job
    _watch(state, job)


@kernel
def _watch(state, job):
    """Note from when on a waiting job could no longer end inside its hard grant."""
    mine = state.job_grants[job]
    grant = state.grants[mine.grant]
    if grant.is_hard:
        late_s = grant.end_s - time_needed_s(state, job, mine.committed) + 1
        grant.check_s = min(grant.check_s, late_s)
        grant.next_s = min(grant.next_s, late_s)


@large_kernel
def let_go(state, job):
    """Give back what a job still holds of its grant."""
    mine = state.job_grants[job]
    if not mine.holds:
        return
    give_back(state.grants, state.grant_periods, mine.grant, mine.period, mine.committed)
    if mine.previous >= 0:
        state.job_grants[mine.previous].next = mine.next
    else:
        state.grants[mine.grant].head = mine.next
    if mine.next >= 0:
        state.job_grants[mine.next].previous = mine.previous
    mine.next = -1
    mine.previous = -1
    mine.committed = 0
    mine.holds = False


@large_kernel
def move(state, job, time_s):
    """Let a job draw on another grant for what it still needs; false if none can hold it."""
    gpu_s = state.job_grants[job].committed
    other = _chosen(state, job, gpu_s, time_s)
    if other < 0:
        return False
    let_go(state, job)
    _hold(state, job, other, gpu_s)
    return True


@kernel
def _is_limited(state, job):
    """Whether there is, was or will be a grant for a job's tenant and class, of its project or of any."""
    tenant, demand, limited = state.jobs[job].tenant, state.jobs[job].demand, False
    for index in range(state.grant_order.shape[2]):
        grant = state.grant_order[tenant, demand, index]
        if grant < 0:
            break
        limited = limited or is_for(state.grants[grant], state.job_grants[job].project)
    return limited


@large_kernel
def admit(state, job, time_s):
    """Let a new job draw on a grant of its tenant (G1); false if it is refused. Whom no grant is for is not limited by one."""
    if not _is_limited(state, job):
        return True
    gpu_s = needed_gpu_s(state, job)
    grant = _chosen(state, job, gpu_s, time_s)
    if grant < 0:
        _refuse(state, job, gpu_s, time_s)
        return False
    _hold(state, job, grant, gpu_s)
    return True


@kernel
def charge_run(state, job):
    """Charge what a run that ends has come to: useful work and checkpoints, never more than is reserved.

    What was lost to failures, recalls, load shedding and restarts is not charged.
    """
    mine = state.job_grants[job]
    if not mine.holds:
        return
    used = state.jobs[job].useful_gpu_s + state.lost_gpu_s[LOST_CHECKPOINT, job]
    gpu_s = min(np.int64(math.floor(used + 1e-6)) - mine.charged, mine.committed)
    if gpu_s > 0:
        charge(state.grants, state.grant_periods, mine.grant, gpu_s)
        mine.charged += gpu_s
        mine.committed -= gpu_s


@large_kernel
def may_wait(state, job, time_s):
    """Whether an interrupted job may run again: its grant goes on long enough, or another takes it; else it is stopped."""
    mine = state.job_grants[job]
    if not mine.holds:
        return True
    grant = state.grants[mine.grant]
    limit_s = time_needed_s(state, job, mine.committed)
    if is_in_force(grant) and ends_in_time(grant, time_s, limit_s):
        _watch(state, job)
        return True
    if move(state, job, time_s):
        return True
    needed = mine.committed
    let_go(state, job)
    if grant.is_over:
        turn_away(state, job, GRANT_OVER, needed, 0, time_s)
    else:
        turn_away(state, job, GRANT_TOO_SHORT, limit_s, grant.end_s - time_s, time_s)
    return False
