"""What a job needs before its work goes on."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel

LOST_FAILURE = 0
"""Why a run ended: a failure (see :data:`kvandal.twin.records.LOSSES`)."""


@kernel
def may_use_spares(state, job):
    """Whether a job may take the trays that are kept free as hot spares: it was stopped by a failure."""
    return state.jobs[job].resumes and state.jobs[job].last_loss == LOST_FAILURE


@large_kernel
def spare_trays_for(state, job):
    """Healthy trays of each rack that a job must leave free when it is placed."""
    return 0 if may_use_spares(state, job) else state.rules[0].spare_trays


@kernel
def restore_time_s(state, job, time_s):
    """Time from the start of a job's run until its work goes on [s].

    Where hot spares are kept, a job that a failure stopped and that goes on at once has a spare ready: its processes
    wait there, and only its state is fetched.
    """
    rules, jobs = state.rules[0], state.jobs
    if not jobs[job].resumes:
        return 0
    if rules.spare_trays > 0 and may_use_spares(state, job) and jobs[job].left_s == time_s:
        return min(rules.spare_restart_s, state.demands[jobs[job].demand].restart_s)
    return state.demands[jobs[job].demand].restart_s
