"""Loans over their life: whom they move to, which are called back when a lender, a group or a limit needs it."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import PROMOTE, act, close_parts, end_loan, give_notice, list_own, move_loan
from kvandal.policy.lending import FROM_OUTSIDE, OF_QUOTA, count_leaving, lent_by
from kvandal.policy.queues import takes_held_share
from kvandal.policy.rules import GROUP_CEILING, PROMOTION, RESTORE
from kvandal.policy.tree import (
    excess_gpus,
    has_share,
    is_within,
    share_left,
)


@kernel
def _better_loan(jobs, job, gpus, best, best_gpus, excess):
    """Whether one loan fits an excess better than another: the smallest that covers it, else the largest, else the newest."""
    if best < 0:
        return True
    if gpus == best_gpus:
        return (jobs[job].start_s, job) > (jobs[best].start_s, best)
    if gpus >= excess and best_gpus >= excess:
        return gpus < best_gpus
    return gpus > best_gpus


@kernel
def _best_loan(state, row, of_quota, excess):
    """Loan of a row that fits an excess best, and its GPUs; or -1."""
    best, best_gpus = -1, 0
    for index in range(state.tally[0].lent_jobs):
        job = state.lent_jobs[index]
        if not state.jobs[job].recallable or state.jobs[job].draining:
            continue
        gpus = lent_by(state, job, row, of_quota)
        if gpus > 0 and _better_loan(state.jobs, job, gpus, best, best_gpus, excess):
            best, best_gpus = job, gpus
    return best, best_gpus


@large_kernel
def restore_lender(state, row, removed, time_s):
    """Give a lender its share back: move its loans to other lenders (L2), else recall what fits best (R3).

    A group must have back what it lent above its own quota, any row what its subtree lent to the outside above its share.
    """
    if state.tenants[row].is_group:
        _restore(state, row, True, removed, time_s)
    if state.tenants[row].parent >= 0:
        _restore(state, row, False, removed, time_s)


@large_kernel
def _restore(state, row, of_quota, removed, time_s):
    jobs = state.jobs
    excess = excess_gpus(state.tenants, row, of_quota)
    if excess <= 0:
        return
    count_leaving(state)
    excess -= state.leaving[row, OF_QUOTA if of_quota else FROM_OUTSIDE]
    index = state.tally[0].lent_jobs - 1
    while excess > 0 and index >= 0:
        job = state.lent_jobs[index]
        gpus = 0 if jobs[job].draining else lent_by(state, job, row, of_quota)
        if gpus > 0 and move_loan(state, job, row, of_quota, removed):
            excess -= gpus
        index -= 1
    while excess > 0 and state.rules[0].recall:
        job, gpus = _best_loan(state, row, of_quota, excess)
        if job < 0:
            return
        give_notice(state, job, -1, RESTORE, time_s)
        excess -= gpus


@large_kernel
def room_below_ceilings(state, tenant):
    """GPUs that a tenant can have below every ceiling above it, if all loans in its way leave that may be recalled (R2)."""
    tenants, root = state.tenants, state.tenants.shape[0] - 1
    row, least = tenant, tenants[root].deserved
    while row != root:
        room = tenants[row].ceiling - tenants[row].own - tenants[row].on_loan - tenants[row].claimed
        for index in range(state.tally[0].lent_jobs):
            job = state.lent_jobs[index]
            leaves = state.jobs[job].draining or state.jobs[job].recallable
            if leaves and is_within(tenants, state.jobs[job].tenant, row):
                room += state.jobs[job].gpus
        least = min(least, room)
        row = tenants[row].parent
    return least


@large_kernel
def restore_ceilings(state, claimant, time_s):
    """Recall loans that tenants of full groups hold, until all that is claimed fits below every ceiling (R4).

    Who is under notice counts as gone, so that one notice serves all claims.
    """
    row, root = state.jobs[claimant].tenant, state.tenants.shape[0] - 1
    while row != root:
        _make_room_below(state, row, claimant, time_s)
        row = state.tenants[row].parent


@large_kernel
def _make_room_below(state, row, claimant, time_s):
    """Recall loans of one group until all that is claimed below it fits under its ceiling."""
    jobs, tenants = state.jobs, state.tenants
    over = tenants[row].own + tenants[row].on_loan + tenants[row].claimed - tenants[row].ceiling
    if over <= 0:
        return
    for index in range(state.tally[0].lent_jobs):
        job = state.lent_jobs[index]
        if jobs[job].draining and is_within(tenants, jobs[job].tenant, row):
            over -= jobs[job].gpus
    while over > 0:
        best, best_gpus = -1, 0
        for index in range(state.tally[0].lent_jobs):
            job = state.lent_jobs[index]
            if (
                jobs[job].draining
                or not jobs[job].recallable
                or not is_within(tenants, jobs[job].tenant, row)
            ):
                continue
            if _better_loan(jobs, job, jobs[job].gpus, best, best_gpus, over):
                best, best_gpus = job, jobs[job].gpus
        if best < 0:
            return
        give_notice(state, best, claimant, GROUP_CEILING, time_s)
        over -= jobs[best].gpus


@large_kernel
def promote_loans(state, tenant, removed, time_s):
    """Make loans to a tenant its own use while its own share has room for them (L5), the oldest in the list first."""
    jobs, tenants, tally, lent_jobs = state.jobs, state.tenants, state.tally[0], state.lent_jobs
    index = 0
    while index < tally.lent_jobs and tenants[tenant].on_loan > 0 and has_share(tenants, tenant, 1):
        job = lent_jobs[index]
        if (
            jobs[job].tenant == tenant
            and not jobs[job].draining
            and has_share(tenants, tenant, jobs[job].gpus)
            and not takes_held_share(state, tenant, jobs[job].gpus, max(jobs[job].until_s, time_s + 1))
        ):
            close_parts(state, job, PROMOTION)
            end_loan(state, job)
            list_own(state, job)
            act(state, PROMOTE, job, -1, 0, PROMOTION, tenants[tenant].tier)
            restore_lender(state, tenant, removed, time_s)
            index = 0  # loans may have moved in the list
        else:
            index += 1
    holder = tenants[tenant]
    holder.looked_left = share_left(holder)
    holder.looked_holder = holder.holder
    holder.looked_shadow_s = holder.shadow_s
    holder.looked_loans = holder.loans


@kernel
def has_looked(tenant):
    """Whether no loan of a tenant could become its own use at the last look, and nothing that counts has come since.

    Loans end, but new ones are counted; a share with less room, or time that passes, lets no loan in that was kept out.
    """
    return (
        tenant.looked_loans == tenant.loans
        and tenant.looked_left >= share_left(tenant)
        and tenant.looked_holder == tenant.holder
        and tenant.looked_shadow_s == tenant.shadow_s
    )
