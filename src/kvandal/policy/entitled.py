"""Jobs within what their tenant deserves: they start first, and where there is no room they recall loans or hold racks."""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import (
    NOT_YET,
    OWN_END,
    OWN_GPUS,
    OWN_TENANT,
    begin,
    expected_run_s,
    powered,
)
from kvandal.policy.claims import FAR, awaits_leavers, claim, drop_claims, leaves_earlier, reserve_soonest
from kvandal.policy.loans import restore_ceilings, restore_lender, room_below_ceilings
from kvandal.policy.placement import (
    place_reserved,
)
from kvandal.policy.queues import QUEUED, hold
from kvandal.policy.restarts import may_use_spares, spare_trays_for
from kvandal.policy.rules import (
    CEILING,
    ENTITLED,
    ENVELOPE,
    NO_ROOM,
    NO_SHARE,
    RECALL,
    RESERVED,
)
from kvandal.policy.tree import (
    has_share,
    may_hold,
    share_left,
)
from kvandal.policy.trial import STARTED, backfill, delays_holder, least_gpus, try_entitled

SHORTEST_SHADOW_S = 60
"""A reservation of share is not reckoned anew more often than this [s]."""
NEAR_S = 600
"""So near its last answer a reservation of share is looked for first [s]."""
FEW_JOBS = 32
"""So many jobs at most are put in order by when they should end."""


@large_kernel
def _back_by(own_jobs, count, tenant, late_s):
    """GPUs of its share that the running jobs of a tenant should have given back by an instant, and how many jobs these are."""
    by_s, whose = np.int32(min(late_s, NOT_YET - 1)), np.int32(tenant)
    back, jobs = np.int32(0), np.int32(0)
    for position in range(count):
        ended = (own_jobs[OWN_END, position] <= by_s) & (own_jobs[OWN_TENANT, position] == whose)
        back = np.int32(back + (own_jobs[OWN_GPUS, position] if ended else np.int32(0)))
        jobs = np.int32(jobs + (np.int32(1) if ended else np.int32(0)))
    return np.int64(back), np.int64(jobs)


@kernel
def _last_of(own_jobs, count, tenant, missing, early_s, late_s, ends_s, sizes):
    """End of the job of a tenant with which `missing` GPUs are back, of those that end after `early_s` and by `late_s` [s]."""
    found, back = 0, np.int64(0)
    for position in range(count):
        end_s = own_jobs[OWN_END, position]
        # one rare condition: that of three which come and go at random would be guessed wrong half the time
        if not ((end_s > early_s) & (end_s <= late_s) & (own_jobs[OWN_TENANT, position] == tenant)):
            continue
        if back >= missing and end_s >= ends_s[found - 1]:
            continue
        index = found
        while index > 0 and ends_s[index - 1] > end_s:
            ends_s[index], sizes[index] = ends_s[index - 1], sizes[index - 1]
            index -= 1
        ends_s[index], sizes[index] = end_s, own_jobs[OWN_GPUS, position]
        found += 1
        back += own_jobs[OWN_GPUS, position]
        while back - sizes[found - 1] >= missing:
            found -= 1
            back -= sizes[found]
    return ends_s[found - 1]


@large_kernel
def _free_share_s(state, job, ends_s, sizes, time_s):
    """When the running jobs of a tenant should have given back enough of its share for a waiting one of its jobs [s].

    Who is late should end at any moment. The instant is enclosed, from where the last answer was, until few ends are left
    to be put in order. `ends_s` and `sizes` are int64 (GPUs + 1,), to work in.
    """
    tenant, own_jobs, count = state.jobs[job].tenant, state.own_jobs, state.tally[0].own_jobs
    holder = state.tenants[tenant]
    missing = np.int64(state.jobs[job].gpus - share_left(holder))
    if missing <= 0:
        return np.int64(time_s)
    if missing > holder.own:
        return FAR
    soonest_s = np.int64(time_s + 1)
    near_s = min(holder.shadow_s, np.int64(NOT_YET - 2 * NEAR_S))
    early_s, late_s, step_s = max(soonest_s, near_s - NEAR_S), max(soonest_s, near_s) + NEAR_S, NEAR_S
    back, jobs = _back_by(own_jobs, count, tenant, early_s)  # by `early_s`
    if back >= missing and early_s > soonest_s:
        late_s, by_late, jobs_late = early_s, back, jobs
        early_s = soonest_s
        back, jobs = _back_by(own_jobs, count, tenant, early_s)
    else:
        by_late, jobs_late = _back_by(own_jobs, count, tenant, late_s)
    if back >= missing:
        return early_s
    while by_late < missing:
        if late_s >= NOT_YET - 1:
            return FAR
        early_s, back, jobs = late_s, by_late, jobs_late
        step_s *= 8
        late_s = min(late_s + step_s, np.int64(NOT_YET - 1))
        by_late, jobs_late = _back_by(own_jobs, count, tenant, late_s)
    while jobs_late - jobs > FEW_JOBS and late_s - early_s > 1:
        between_s = early_s + (late_s - early_s) // 2
        by_then, jobs_then = _back_by(own_jobs, count, tenant, between_s)
        if by_then < missing:
            early_s, back, jobs = between_s, by_then, jobs_then
        else:
            late_s, by_late, jobs_late = between_s, by_then, jobs_then
    return _last_of(own_jobs, count, tenant, missing - back, early_s, late_s, ends_s, sizes)


@large_kernel
def _hold_share(state, job, scratch, time_s):
    """Let the first waiting job of a tenant hold the share that it waits for: later ones must not delay it (B1)."""
    tenant = state.tenants[state.jobs[job].tenant]
    record = state.jobs[job]
    if tenant.holder >= 0 and state.jobs[tenant.holder].state != QUEUED:
        tenant.holder = -1
    if tenant.holder >= 0 and state.jobs[tenant.holder].gpus > tenant.deserved:
        tenant.holder = -1  # its share has fallen: it can only borrow
    if record.gpus > tenant.deserved:
        return
    if tenant.holder >= 0 and tenant.holder != job:
        if state.jobs[tenant.holder].queue != state.jobs[job].queue:
            return
        tenant.holder = -1  # an interrupted job has come before it
    if tenant.holder < 0 or tenant.shadow_s <= time_s:
        tenant.holder = job
        free_s = _free_share_s(state, job, scratch.victims, scratch.removed, time_s)
        tenant.shadow_s = max(free_s, time_s + SHORTEST_SHADOW_S)


@large_kernel
def _claim_more(state, queue, scratch, time_s):
    """Claim for the jobs of a queue in their order, all at once, so that one notice serves them all."""
    jobs, queues, tenants = state.jobs, state.queues, state.tenants
    if not state.rules[0].recall or state.tally[0].lent_jobs == 0:
        return
    tenant = queues[queue].tenant
    last = queues[queue].last_claim
    if last >= 0 and jobs[last].reserved:
        return
    job = queues[queue].head if last < 0 else jobs[last].next_job
    while (
        job >= 0
        and has_share(tenants, tenant, jobs[job].gpus)
        and not delays_holder(state, job, jobs[job].gpus, time_s)
    ):
        full = not may_hold(tenants, tenant, jobs[job].gpus, True)
        if full and room_below_ceilings(state, tenant) < jobs[job].gpus:
            return
        if not powered(state, job, jobs[job].gpus, tenants[tenant].tier):
            return
        if not claim(state, job, queue, scratch.chosen, scratch.victims, time_s):
            return
        hold(state, job, CEILING if full else RECALL, time_s)
        if full:
            restore_ceilings(state, job, time_s)
        elif not awaits_leavers(state, job):
            state.tally[0].wake_s = time_s  # room that others have kept until now: decide again, it can start
        restore_lender(state, tenant, scratch.removed, time_s)
        job = jobs[job].next_job


@large_kernel
def _reserve_more(state, queue, scratch, time_s):
    """Reserve racks for the first jobs of a queue that no recall can help, as many as the policy says (B1)."""
    jobs, queues = state.jobs, state.queues
    last = queues[queue].last_claim
    job, count = queues[queue].head, 0
    while last >= 0 and job >= 0:
        count += 1
        if job == last:
            job = jobs[job].next_job
            break
        job = jobs[job].next_job
    while job >= 0 and count < state.rules[0].reservations:
        if not has_share(state.tenants, queues[queue].tenant, jobs[job].gpus):
            return
        if not reserve_soonest(state, job, queue, scratch, time_s):
            return
        hold(state, job, RESERVED, time_s)
        count += 1
        job = jobs[job].next_job


@large_kernel
def _start_claimed(state, queue, time_s):
    """Start the head of a queue on the racks that it has claimed or reserved; STARTED, or what holds it back, or -1: drop."""
    jobs = state.jobs
    job = state.queues[queue].head
    gpus, tenant = jobs[job].gpus, jobs[job].tenant
    tier = state.tenants[tenant].tier
    if jobs[job].reserved and not has_share(state.tenants, tenant, gpus):
        return NO_SHARE
    if not may_hold(state.tenants, tenant, gpus, False):
        return CEILING
    if not powered(state, job, gpus, tier):
        return ENVELOPE  # a claim is kept: the power that its recalls have freed is its own
    if jobs[job].reserved and not leaves_earlier(state, job):
        return RESERVED
    racks = place_reserved(state.room, job, gpus, state.rules[0].segment_trays, spare_trays_for(state, job))
    if racks == 0:
        if jobs[job].reserved:
            return RESERVED
        return RECALL if awaits_leavers(state, job) else -1  # a claimed rack broke meanwhile: choose anew
    return STARTED if begin(state, job, gpus, tier, racks, ENTITLED, time_s) > 0 else ENVELOPE


@large_kernel
def start_entitled(state, queue, scratch, time_s):
    """Start the heads of one queue that fit in what their tenant deserves (P1), recalling loans where they must."""
    queues, jobs = state.queues, state.jobs
    tenant = queues[queue].tenant
    in_vain = _is_in_vain(state, queue, time_s)
    if in_vain and queues[queue].vain_tail == queues[queue].tail:
        hold(state, queues[queue].head, queues[queue].vain_held, time_s)
        return
    held = STARTED
    while queues[queue].head >= 0:
        job = queues[queue].head
        if queues[queue].last_claim >= 0:
            held = _start_claimed(state, queue, time_s)
            if held < 0:
                drop_claims(state, queue)
                continue
        else:
            held = try_entitled(state, job, ENTITLED, time_s)
        if held != STARTED:
            hold(state, job, held, time_s)
            break
        if queues[queue].last_claim >= 0 and jobs[queues[queue].head].reserved:
            drop_claims(state, queue)  # who comes next may find sooner room where this one would have been
        restore_lender(state, tenant, scratch.removed, time_s)
    job = queues[queue].head
    if job < 0:
        return
    if held == CEILING and queues[queue].last_claim >= 0 and not jobs[job].reserved:
        restore_ceilings(state, job, time_s)  # others of the group have started meanwhile
    if held in (NO_ROOM, RECALL, CEILING):
        _claim_more(state, queue, scratch, time_s)
        if held != CEILING and queues[queue].last_claim < 0 and state.rules[0].reservations > 0:
            _reserve_more(state, queue, scratch, time_s)
    elif held == RESERVED and jobs[job].reserved:
        _reserve_more(state, queue, scratch, time_s)
    if state.rules[0].reservations > 0 and (held == NO_SHARE or jobs[job].reserved):
        _hold_share(state, job, scratch, time_s)
    queues[queue].vain = False
    if held != ENVELOPE:
        for_share = backfill(state, queue, False, scratch.removed, time_s)
        all_tried = in_vain or state.tally[0].freed != queues[queue].seen_freed
        if for_share and all_tried and _waits_for_share(state, job, held):
            _remember(state, queue, held)


@kernel
def _waits_for_share(state, job, held):
    """Whether a head waits for its tenant's share and for nothing else: it holds no racks, and could run on no fewer GPUs."""
    return (
        held in (NO_SHARE, RESERVED)
        and state.queues[state.jobs[job].queue].last_claim < 0
        and least_gpus(state, job) == state.jobs[job].asked_gpus
    )


@kernel
def _remember(state, queue, held):
    """Remember what a queue waits for, so that it is not looked at again before something counts."""
    row = state.queues[queue]
    tenant = state.tenants[row.tenant]
    row.vain = True
    row.vain_held = held
    row.vain_left = share_left(tenant)
    row.vain_deserved = tenant.deserved
    row.vain_holder = tenant.holder
    row.vain_shadow_s = tenant.shadow_s
    row.vain_changes = row.changes
    row.vain_tail = row.tail


@kernel
def _is_in_vain(state, queue, time_s):
    """Whether all jobs of a queue that were there at its last look still wait for their tenant's share, each by the same rule.

    With less of the share left, or later, who would delay the holder still would; a head that fits beside it still does.
    """
    row = state.queues[queue]
    tenant = state.tenants[row.tenant]
    left = share_left(tenant)
    return (
        row.vain
        and row.vain_changes == row.changes
        and left <= row.vain_left
        and (row.vain_held == NO_SHARE or left >= state.jobs[row.head].gpus)
        and row.vain_deserved == tenant.deserved
        and row.vain_holder == tenant.holder
        and row.vain_shadow_s == tenant.shadow_s
        and (tenant.holder < 0 or time_s < tenant.shadow_s)
    )


@kernel
def _slack_s(state, job, time_s):
    """Time left until a job must start to meet its deadline [s]; FAR without one, or when it is missed anyhow."""
    deadline_s = state.demands[state.jobs[job].demand].deadline_s
    if deadline_s <= 0:
        return FAR
    slack_s = state.jobs[job].submit_s + deadline_s - time_s - expected_run_s(state, job)
    return slack_s if slack_s >= 0 else FAR


@kernel
def entitled_before(state, queue, other, time_s):
    """Order of entitled heads: tier, who was stopped by a failure (F1), the nearest deadline (D1), the oldest, the queue."""
    queues, jobs, tenants = state.queues, state.jobs, state.tenants
    tier, other_tier = tenants[queues[queue].tenant].tier, tenants[queues[other].tenant].tier
    if tier != other_tier:
        return tier < other_tier
    failed = may_use_spares(state, queues[queue].head)
    if failed != may_use_spares(state, queues[other].head):
        return failed
    slack, other_slack = (
        _slack_s(state, queues[queue].head, time_s),
        _slack_s(state, queues[other].head, time_s),
    )
    if slack != other_slack:
        return slack < other_slack
    if jobs[queues[queue].head].submit_s != jobs[queues[other].head].submit_s:
        return jobs[queues[queue].head].submit_s < jobs[queues[other].head].submit_s
    return queue < other
