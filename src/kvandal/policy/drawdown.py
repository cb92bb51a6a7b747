"""Limits that change with time: who is above a new limit is warned before it holds, or becomes a borrower (rule K3)."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import DEMOTE, act, end_own, give_notice, list_loan, list_own
from kvandal.policy.lending import borrow
from kvandal.policy.placement import forget_ends
from kvandal.policy.rules import DRAWDOWN
from kvandal.policy.tree import LENT, is_within

LIMIT_COLUMNS = 6
"""Shares and fixed numbers of guarantee, deserved and ceiling, in this order."""


@kernel
def take_limits(tenants, limits):
    """Write the limits of a step into the table: float64 (tenants, 6); :func:`renew_shares` turns them into GPUs."""
    for row in range(limits.shape[0]):
        tenants[row].share_guarantee, tenants[row].gpus_guarantee = limits[row, 0], limits[row, 1]
        tenants[row].share_deserved, tenants[row].gpus_deserved = limits[row, 2], limits[row, 3]
        tenants[row].share_ceiling, tenants[row].gpus_ceiling = limits[row, 4], limits[row, 5]


@kernel
def _newest(state, row, on_loan, until_s, notice_s):
    """Find the running job below a row that started last and should run beyond an instant; -1: none.

    Only those whose notice is at least `notice_s` are looked at.
    """
    jobs, newest = state.jobs, -1
    for group in range(state.speeds.shape[0]):
        for index in range(state.speeds[group].running):
            job = state.ends[group, index].job
            record = jobs[job]
            if record.draining or record.on_loan != on_loan or record.until_s <= until_s:
                continue
            if state.tenants[record.tenant].notice_s < notice_s:
                continue
            if not is_within(state.tenants, record.tenant, row):
                continue
            if newest < 0 or (record.start_s, job) > (jobs[newest].start_s, newest):
                newest = job
    return newest


@kernel
def _held_then(state, row, until_s, notice_s):
    """GPUs held below a row that are neither under notice nor expected back by an instant.

    Loans with a shorter notice than `notice_s` do not count: they can be called back in time later.
    """
    held = 0
    for group in range(state.speeds.shape[0]):
        for index in range(state.speeds[group].running):
            record = state.jobs[state.ends[group, index].job]
            if (
                not record.draining
                and record.until_s > until_s
                and not (record.on_loan and state.tenants[record.tenant].notice_s < notice_s)
                and is_within(state.tenants, record.tenant, row)
            ):
                held += record.gpus
    return held


@large_kernel
def draw_down(state, limits, installed_gpus, until_s, time_s):
    """Give notice to who would be above a ceiling that will hold from `until_s` on, loans first, then the newest (K3).

    It is done once for every length of notice, so that all leave at `until_s`, and at `until_s` itself for who has come
    since. Jobs that should have ended by then are left alone: natural churn comes first.
    """
    for place in range(limits.shape[0]):
        row = state.tenants[place].ranked
        ceiling = int(limits[row, 4] * installed_gpus + limits[row, 5] + 1e-9)
        over = _held_then(state, row, until_s, until_s - time_s) - ceiling
        for step in range(2):
            while over > 0:
                job = _newest(state, row, step == 0, until_s, until_s - time_s)
                if job < 0:
                    break
                give_notice(state, job, -1, DRAWDOWN, time_s)
                over -= state.jobs[job].gpus


@large_kernel
def demote_excess(state, time_s):
    """Turn own use above what a tenant now deserves into loans, the newest first, while some lender has room."""
    tenants, jobs = state.tenants, state.jobs
    for place in range(tenants.shape[0] - 1):
        row = tenants[place].ranked
        while not tenants[row].is_group and tenants[row].own > tenants[row].deserved:
            job = _newest(state, row, False, -1, 0)
            if job < 0:
                break
            end_own(state, job)
            if borrow(state, job, jobs[job].gpus, -1, False):
                forget_ends(state.room, job)
                list_loan(state, job, time_s)
                act(state, DEMOTE, job, -1, 0, DRAWDOWN, LENT)
            else:
                list_own(state, job)
                break
