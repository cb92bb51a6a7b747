"""Deciding at one instant who starts and whose loan is recalled: the entitled first, then borrowers, then backfill.

A pure function of the arrays that it is given: it reads no clock, draws no random number, and writes what it decides as
a list of actions (:mod:`kvandal.policy.acting`), each with the id of its rule.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import begin, expected_run_s, hold, powered
from kvandal.policy.claims import FAR, awaits_leavers, claim, drop_claims, reserve_soonest
from kvandal.policy.lending import borrow, give_back
from kvandal.policy.loans import promote_loans, restore_ceiling, restore_lender
from kvandal.policy.placement import (
    GPUS_PER_RACK,
    GPUS_PER_TRAY,
    place,
    place_in,
    place_reserved,
    spares_kept,
    trays_for,
)
from kvandal.policy.queues import QUEUED
from kvandal.policy.restarts import spare_trays_for
from kvandal.policy.rules import (
    AGED,
    BACKFILL,
    CEILING,
    ELASTIC,
    ENTITLED,
    ENVELOPE,
    LOAN,
    NO_ROOM,
    NO_SHARE,
    RECALL,
    RESERVED,
)
from kvandal.policy.tree import (
    LENT,
    borrows_before,
    common_group,
    has_share,
    lendable_gpus,
    may_hold,
)

SHORTEST_SHADOW_S = 60
"""A reservation of share is not reckoned anew more often than this [s]."""
STARTED = 0
"""Result of a trial: the job runs; otherwise the rule that holds it back."""


@kernel
def _least_gpus(state, job):
    """Fewest GPUs on which a job can run."""
    asked = state.jobs[job].asked_gpus
    return max(1, int(np.ceil(asked * state.demands[state.jobs[job].demand].elastic_minimum - 1e-9)))


@kernel
def _in_reserved_rack(state, job, gpus, leaves_s):
    """Place a job of at most one rack where somebody else has a reservation, if it will have left by then (B2)."""
    room, jobs = state.room, state.jobs
    whole = trays_for(gpus) + spares_kept(gpus, spare_trays_for(state, job))
    for queue in range(state.queues.shape[0]):
        last = state.queues[queue].last_claim
        waiting = state.queues[queue].head
        while last >= 0:
            if jobs[waiting].reserved and jobs[waiting].until_s >= leaves_s and waiting != job:
                piece = room.first_claim[waiting]
                while piece >= 0:
                    rack = room.pieces[piece].rack
                    alone = room.racks[rack].promised * GPUS_PER_TRAY == room.pieces[piece].gpus
                    fits = not room.racks[rack].barred and room.racks[rack].whole >= whole
                    if alone and fits and place_in(room, rack, job, gpus) > 0:
                        return 1
                    piece = room.pieces[piece].next
            if waiting == last:
                break
            waiting = jobs[waiting].next_job
    return 0


@large_kernel
def _find_place(state, job, gpus, on_loan, time_s):
    """Place a job where nobody else is hindered; return its racks, or 0."""
    racks = place(state.room, job, gpus, state.rules[0].segment_trays, spare_trays_for(state, job))
    if racks == 0 and state.tally[0].reservations > 0 and gpus <= GPUS_PER_RACK:
        leaves_s = time_s + _run_s(state, job, gpus)
        if on_loan:
            tenant = state.tenants[state.jobs[job].tenant]
            leaves_s = min(leaves_s, time_s + max(tenant.minimum_run_s, tenant.notice_s))
        racks = _in_reserved_rack(state, job, gpus, leaves_s)
    return racks


@kernel
def _run_s(state, job, gpus):
    """Longest time that a job will run on so many GPUs [s]."""
    return expected_run_s(state, job) * state.jobs[job].gpus // gpus


@kernel
def _delays_holder(state, job, gpus, time_s):
    """Whether a job would take GPUs of its tenant's share from the tenant's job that waits for them (B1)."""
    tenant = state.tenants[state.jobs[job].tenant]
    if tenant.holder < 0 or tenant.holder == job:
        return False
    beside = tenant.own + tenant.claimed + gpus + state.jobs[tenant.holder].gpus <= tenant.deserved
    return not beside and time_s + _run_s(state, job, gpus) > tenant.shadow_s


@large_kernel
def _try_entitled(state, job, rule, time_s):
    """Start a waiting job within its tenant's share if it can (P1); return STARTED or what holds it back."""
    tenants = state.tenants
    tenant = state.jobs[job].tenant
    tier = tenants[tenant].tier
    gpus, least = state.jobs[job].asked_gpus, _least_gpus(state, job)
    first = STARTED
    while True:
        asked = gpus == state.jobs[job].asked_gpus
        if not has_share(tenants, tenant, gpus):
            held = NO_SHARE
        elif _delays_holder(state, job, gpus, time_s):
            held = RESERVED
        elif not may_hold(tenants, tenant, gpus, False):
            held = CEILING
        elif not powered(state, job, gpus, tier):
            held = ENVELOPE
        else:
            held = NO_ROOM
            racks = _find_place(state, job, gpus, False, time_s)
            if racks > 0:
                held = ENVELOPE
                if begin(state, job, gpus, tier, racks, rule if asked else ELASTIC, time_s):
                    return STARTED
        if first == STARTED:
            first = held
        if gpus <= least:
            return first
        gpus = max(least, gpus // 2)


@large_kernel
def _try_loan(state, job, rule, time_s):
    """Start a waiting job on a loan if it can (L1); return STARTED or what holds it back."""
    tenant = state.jobs[job].tenant
    gpus, least = state.jobs[job].asked_gpus, _least_gpus(state, job)
    first = STARTED
    while True:
        asked = gpus == state.jobs[job].asked_gpus
        if not may_hold(state.tenants, tenant, gpus, True):
            held = CEILING
        elif not powered(state, job, gpus, LENT):
            held = ENVELOPE
        elif not borrow(state, job, gpus, -1, False):
            held = NO_SHARE
        else:
            held = NO_ROOM
            racks = _find_place(state, job, gpus, True, time_s)
            if racks > 0:
                held = ENVELOPE
                if begin(state, job, gpus, LENT, racks, rule if asked else ELASTIC, time_s):
                    return STARTED
            give_back(state, job)
        if first == STARTED:
            first = held
        if gpus <= least:
            return first
        gpus = max(least, gpus // 2)


@kernel
def _free_share_s(state, tenant, gpus, time_s):
    """When a tenant's running jobs should have given back enough of its share for `gpus` more [s]."""
    missing = state.tenants[tenant].own + state.tenants[tenant].claimed + gpus
    missing -= state.tenants[tenant].deserved
    low_s = time_s
    while missing > 0:
        # the earliest end after `low_s`, and what comes back at it
        next_s, back = FAR, 0
        for group in range(state.speeds.shape[0]):
            for index in range(state.speeds[group].running):
                job = state.ends[group, index].job
                if state.jobs[job].tenant != tenant or state.jobs[job].on_loan:
                    continue
                until_s = max(state.jobs[job].until_s, time_s + 1)
                if low_s < until_s < next_s:
                    next_s, back = until_s, state.jobs[job].gpus
                elif until_s == next_s:
                    back += state.jobs[job].gpus
        if next_s == FAR:
            return FAR
        low_s = next_s
        missing -= back
    return low_s


@kernel
def _hold_share(state, job, time_s):
    """Let the first waiting job of a tenant hold the share that it waits for: later ones must not delay it (B1)."""
    tenant = state.tenants[state.jobs[job].tenant]
    if tenant.holder >= 0 and state.jobs[tenant.holder].state != QUEUED:
        tenant.holder = -1
    if tenant.holder >= 0 and tenant.holder != job:
        if state.jobs[tenant.holder].queue != state.jobs[job].queue:
            return
        tenant.holder = -1  # an interrupted job has come before it
    if tenant.holder < 0 or tenant.shadow_s <= time_s:
        tenant.holder = job
        free_s = _free_share_s(state, state.jobs[job].tenant, state.jobs[job].gpus, time_s)
        tenant.shadow_s = max(free_s, time_s + SHORTEST_SHADOW_S)


@kernel
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
        and not _delays_holder(state, job, jobs[job].gpus, time_s)
    ):
        if not may_hold(tenants, tenant, jobs[job].gpus, True):
            restore_ceiling(state, tenant, job, jobs[job].gpus, time_s)
            return
        if not powered(state, job, jobs[job].gpus, tenants[tenant].tier):
            return
        if not claim(state, job, queue, scratch.chosen, scratch.victims, time_s):
            return
        hold(state, job, RECALL, time_s)
        restore_lender(state, tenant, scratch.removed, time_s)
        job = jobs[job].next_job


@kernel
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
        if not reserve_soonest(state, job, queue, scratch.free_s, scratch.tray_s, time_s):
            return
        hold(state, job, RESERVED, time_s)
        count += 1
        job = jobs[job].next_job


@kernel
def _start_claimed(state, queue, time_s):
    """Start the head of a queue on the racks that it has claimed or reserved; STARTED, or what holds it back, or -1: drop."""
    jobs = state.jobs
    job = state.queues[queue].head
    gpus, tenant = jobs[job].gpus, jobs[job].tenant
    tier = state.tenants[tenant].tier
    if jobs[job].reserved:
        if time_s >= state.queues[queue].recheck_s:
            return -1
        if not has_share(state.tenants, tenant, gpus):
            return NO_SHARE
    if not may_hold(state.tenants, tenant, gpus, False):
        return CEILING
    if not powered(state, job, gpus, tier):
        return ENVELOPE  # a claim is kept: the power that its recalls have freed is its own
    racks = place_reserved(state.room, job, gpus, state.rules[0].segment_trays)
    if racks == 0:
        if jobs[job].reserved:
            return RESERVED
        return RECALL if awaits_leavers(state, job) else -1  # a claimed rack broke meanwhile: choose anew
    return STARTED if begin(state, job, gpus, tier, racks, ENTITLED, time_s) else ENVELOPE


@large_kernel
def _start_entitled(state, queue, scratch, time_s):
    """Start the heads of one queue that fit in what their tenant deserves (P1), recalling loans where they must."""
    queues, tenants, jobs = state.queues, state.tenants, state.jobs
    tenant = queues[queue].tenant
    held = STARTED
    while queues[queue].head >= 0:
        job = queues[queue].head
        if queues[queue].last_claim >= 0:
            held = _start_claimed(state, queue, time_s)
            if held < 0:
                drop_claims(state, queue)
                continue
        else:
            held = _try_entitled(state, job, ENTITLED, time_s)
        if held != STARTED:
            hold(state, job, held, time_s)
            break
        restore_lender(state, tenant, scratch.removed, time_s)
    job = queues[queue].head
    if job < 0:
        return
    if held in (NO_ROOM, RECALL):
        _claim_more(state, queue, scratch, time_s)
        if queues[queue].last_claim < 0 and state.rules[0].reservations > 0:
            _reserve_more(state, queue, scratch, time_s)
    elif held == RESERVED and jobs[job].reserved:
        _reserve_more(state, queue, scratch, time_s)
    elif held == CEILING:
        restore_ceiling(state, tenant, job, jobs[job].gpus, time_s)
    if state.rules[0].reservations > 0 and (held == NO_SHARE or jobs[job].reserved):
        _hold_share(state, job, time_s)
    if held != ENVELOPE:
        _backfill(state, queue, False, time_s)
    if tenants[tenant].on_loan > 0:
        promote_loans(state, tenant)


@large_kernel
def _backfill(state, queue, on_loan, time_s):
    """Start jobs behind one that waits, where they delay none that holds a reservation (B2)."""
    jobs, tally = state.jobs, state.tally[0]
    behind = (
        state.queues[queue].head if state.queues[queue].last_claim < 0 else state.queues[queue].last_claim
    )
    job = jobs[behind].next_job
    depth = state.rules[0].backfill_depth
    if depth == 0 or job < 0:
        return
    news = tally.freed - state.queues[queue].seen_freed
    fresh = state.queues[queue].scanned
    left = depth
    while job >= 0 and left > 0:
        after = jobs[job].next_job
        # nothing has come free since the last look: only jobs that are new need to be tried
        if news != 0 or job >= fresh:
            if on_loan:
                held = _try_loan(state, job, BACKFILL, time_s)
            else:
                held = _try_entitled(state, job, BACKFILL, time_s)
            if held == ENVELOPE:
                return
        left -= 1
        job = after


@kernel
def _is_aged(state, job, time_s):
    return time_s - state.jobs[job].submit_s >= state.rules[0].aging_s


@kernel
def _goes_before(state, queue, best, time_s):
    """Whether the head of a queue borrows before that of another: who has waited for long first (A1), then rule P2."""
    job, other = state.queues[queue].head, state.queues[best].head
    aged, other_aged = _is_aged(state, job, time_s), _is_aged(state, other, time_s)
    if aged != other_aged:
        return aged
    if aged and state.jobs[job].submit_s != state.jobs[other].submit_s:
        return state.jobs[job].submit_s < state.jobs[other].submit_s
    return borrows_before(
        state.tenants,
        state.queues[queue].tenant,
        state.queues[best].tenant,
        state.jobs[job].gpus,
        state.jobs[other].gpus,
        state.rules[0].by_use,
    )


@kernel
def _loans_would_do(state, job):
    """Whether some lender could lend enough for a job if nobody else borrowed from it."""
    tenants, record = state.tenants, state.jobs[job]
    for lender in range(tenants.shape[0]):
        if lender != record.tenant:
            top = common_group(tenants, lender, record.tenant)
            if lendable_gpus(tenants, lender, top) + tenants[lender].lent >= record.asked_gpus:
                return True
    return False


@kernel
def _is_entitled(state, job):
    """Whether a head waits as an entitled one, so that it does not borrow."""
    tenant = state.jobs[job].tenant
    return state.tenants[tenant].tier != LENT and has_share(state.tenants, tenant, state.jobs[job].gpus)


@large_kernel
def _start_reserved_borrower(state, job, time_s):
    """Start a borrower on the racks that are reserved for it; return STARTED or what holds it back (A1)."""
    gpus = state.jobs[job].gpus
    if not may_hold(state.tenants, state.jobs[job].tenant, gpus, True):
        return CEILING
    if not powered(state, job, gpus, LENT):
        return ENVELOPE
    if not borrow(state, job, gpus, -1, False):
        return NO_SHARE
    racks = place_reserved(state.room, job, gpus, state.rules[0].segment_trays)
    if racks > 0 and begin(state, job, gpus, LENT, racks, AGED, time_s):
        return STARTED
    give_back(state, job)
    return RESERVED if racks == 0 else ENVELOPE


@large_kernel
def _start_borrowers(state, scratch, time_s):
    """Start heads that are not entitled on loans, in the order of rules A1 and P2, until nobody can."""
    jobs, queues = state.jobs, state.queues
    count = queues.shape[0]
    for queue in range(count):
        queues[queue].blocked = False
    while True:
        best = -1
        for queue in range(count):
            job = queues[queue].head
            if job < 0 or queues[queue].blocked:
                continue
            claimed = queues[queue].last_claim >= 0 and not jobs[job].reserved
            if claimed or _is_entitled(state, job):
                continue
            if best < 0 or _goes_before(state, queue, best, time_s):
                best = queue
        if best < 0:
            return
        job = queues[best].head
        queues[best].blocked = True
        held = -1
        if queues[best].last_claim >= 0:
            if time_s >= queues[best].recheck_s:
                drop_claims(state, best)
            else:
                held = _start_reserved_borrower(state, job, time_s)
        if queues[best].last_claim < 0 and held != STARTED:
            held = _try_loan(state, job, LOAN, time_s)
        if held == STARTED:
            queues[best].blocked = False
            continue
        hold(state, job, held, time_s)
        if _is_aged(state, job, time_s):
            if held == NO_ROOM and queues[best].last_claim < 0 and state.rules[0].reservations > 0:
                reserve_soonest(state, job, best, scratch.free_s, scratch.tray_s, time_s)
            if held == NO_SHARE and _loans_would_do(state, job):
                return  # nobody borrows before it
            continue
        if held != ENVELOPE:
            _backfill(state, best, True, time_s)


@kernel
def _entitled_before(state, queue, other, time_s):
    """Order of entitled heads (D1): tier, then the deadline that is nearest, then the oldest, then the order of queues."""
    queues, jobs, tenants = state.queues, state.jobs, state.tenants
    tier, other_tier = tenants[queues[queue].tenant].tier, tenants[queues[other].tenant].tier
    if tier != other_tier:
        return tier < other_tier
    slack, other_slack = (
        _slack_s(state, queues[queue].head, time_s),
        _slack_s(state, queues[other].head, time_s),
    )
    if slack != other_slack:
        return slack < other_slack
    if jobs[queues[queue].head].submit_s != jobs[queues[other].head].submit_s:
        return jobs[queues[queue].head].submit_s < jobs[queues[other].head].submit_s
    return queue < other


@kernel
def _slack_s(state, job, time_s):
    """Time left until a job must start to meet its deadline [s]; FAR without one, or when it is missed anyhow."""
    deadline_s = state.demands[state.jobs[job].demand].deadline_s
    if deadline_s <= 0:
        return FAR
    slack_s = state.jobs[job].submit_s + deadline_s - time_s - expected_run_s(state, job)
    return slack_s if slack_s >= 0 else FAR


@large_kernel
def decide(state, scratch, time_s):
    """Decide who starts now and whose loan is recalled.

    Parameters
    ----------
    state
        Tables of jobs, queues, tenants, racks and trays as they are now; changed as decided. `state.actions` holds what
        was decided, `tally.actions` how many actions there are.
    scratch
        Arrays to work in.
    time_s
        Now [s].

    """
    tally, queues = state.tally[0], state.queues
    tally.actions = 0
    if tally.shares_renewed:
        tally.shares_renewed = 0
        for row in range(state.tenants.shape[0]):
            restore_lender(state, row, scratch.removed, time_s)
    count = 0
    for queue in range(queues.shape[0]):
        if queues[queue].head >= 0 and state.tenants[queues[queue].tenant].tier != LENT:
            place_at = count
            while place_at > 0 and _entitled_before(state, queue, scratch.order[place_at - 1], time_s):
                scratch.order[place_at] = scratch.order[place_at - 1]
                place_at -= 1
            scratch.order[place_at] = queue
            count += 1
    for index in range(count):
        _start_entitled(state, scratch.order[index], scratch, time_s)
    _start_borrowers(state, scratch, time_s)
    for queue in range(queues.shape[0]):
        queues[queue].seen_freed = tally.freed
        queues[queue].scanned = tally.next_arrival
