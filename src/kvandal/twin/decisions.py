"""Deciding at one instant who starts and whose loan is recalled.

The choices themselves are the policy's (:mod:`kvandal.policy`); here they are carried out on the twin's arrays.
"""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import (
    GPUS_PER_TRAY,
    TRAYS_PER_RACK,
    place,
    place_reserved,
    release,
    reserve,
    segment_trays_for,
    vacate,
)
from kvandal.policy.recall import choose_racks, choose_victims
from kvandal.policy.rules import RECALL, RESTORE
from kvandal.policy.sharing import (
    LENT,
    borrows_before,
    excess_gpus,
    is_entitled,
    lendable_gpus,
    lender_for,
    may_hold,
)
from kvandal.twin.life import (
    MILLIWATT,
    job_power_kw,
    notice,
    open_loan,
    recall_cost_gpu_s,
    start_job,
)
from kvandal.twin.pace import power_tier
from kvandal.twin.queues import dequeue_head
from kvandal.twin.state import LOAN_TRANSFERRED


@kernel
def _least_power_kw(state, job, tier):
    """Power above idle that a job will draw on the thriftiest racks, under the caps of now [kW]."""
    least = -1.0
    tier = power_tier(state, job, tier)
    for model in range(state.models.shape[0]):
        kw = state.load_mw[state.jobs[job].demand, model] * MILLIWATT * state.tier_models[tier, model].factor
        if least < 0.0 or kw < least:
            least = kw
    return least * state.jobs[job].gpus


@kernel
def _powered(state, job, tier):
    """Whether the envelope has room for a job, before it is placed (rule E1)."""
    tally = state.tally[0]
    need_kw = _least_power_kw(state, job, tier)
    if tally.it_now_kw + need_kw <= tally.it_envelope_kw and not (
        tier == LENT and state.tiers[LENT].cap < 1.0
    ):
        return True
    _want_power(state, tier, need_kw)
    return False


@kernel
def _want_power(state, tier, need_kw):
    """Remember that a job waits for power, so that work of a lower tier makes room at the next tick."""
    tally = state.tally[0]
    tally.power_wait = 1
    if tier != LENT and tally.wanted_kw == 0.0:
        tally.wanted_kw = need_kw
        tally.wanted_tier = tier


@kernel
def _leaving_gpus(state, lender):
    """GPUs of a lender that come back at the end of a notice."""
    leaving = 0
    if state.tally[0].draining > 0:
        for index in range(state.tally[0].lent_jobs):
            job = state.lent_jobs[index]
            if state.jobs[job].draining and state.loans[state.jobs[job].loan].lender == lender:
                leaving += state.jobs[job].gpus
    return leaving


@kernel
def _successor(state, lender, borrower, gpus):
    """Other lender with the most to lend, what comes back to it after notice counted; -1: none can take `gpus`."""
    best, most = -1, gpus - 1
    for other in range(state.tenants.shape[0]):
        room = lendable_gpus(state.tenants, other) + _leaving_gpus(state, other)
        if other != lender and other != borrower and room > most:  # noqa: PLR1714 - numba knows no mixed tuples
            best, most = other, room
    return best


@kernel
def _transfer(state, job, other, time_s):
    """Move a loan to another lender; the job runs on (L2)."""
    loan = state.loans[state.jobs[job].loan]
    loan.returned_s = time_s
    loan.reason = LOAN_TRANSFERRED
    state.tenants[loan.lender].lent_out -= state.jobs[job].gpus
    state.tenants[other].lent_out += state.jobs[job].gpus
    open_loan(state, job, other, time_s)


@kernel
def _best_loan(state, lender, excess):
    """Smallest loan of a lender that covers an excess, else its largest; among equals the newest job. -1: none."""
    jobs = state.jobs
    best = -1
    for index in range(state.tally[0].lent_jobs):
        job = state.lent_jobs[index]
        if jobs[job].draining or state.loans[jobs[job].loan].lender != lender:
            continue
        if best < 0:
            best = job
            continue
        covers, best_covers = jobs[job].gpus >= excess, jobs[best].gpus >= excess
        if jobs[job].gpus == jobs[best].gpus:
            better = (jobs[job].start_s, job) > (jobs[best].start_s, best)
        elif covers and best_covers:
            better = jobs[job].gpus < jobs[best].gpus
        else:
            better = jobs[job].gpus > jobs[best].gpus
        if better:
            best = job
    return best


@large_kernel
def _restore_lender(state, lender, time_s):
    """Give a lender its share back: move its loans to other lenders (L2), else recall what fits best (R3)."""
    jobs, tenants = state.jobs, state.tenants
    if excess_gpus(tenants, lender) <= 0:
        return
    excess = excess_gpus(tenants, lender) - _leaving_gpus(state, lender)
    index = state.tally[0].lent_jobs - 1
    while excess > 0 and index >= 0:
        job = state.lent_jobs[index]
        if state.loans[jobs[job].loan].lender == lender and not jobs[job].draining:
            other = _successor(state, lender, jobs[job].tenant, jobs[job].gpus)
            if other >= 0:
                _transfer(state, job, other, time_s)
                excess -= jobs[job].gpus
        index -= 1
    while excess > 0 and state.rules[0].recall:
        job = _best_loan(state, lender, excess)
        if job < 0:
            return
        notice(state, job, -1, RESTORE, time_s)
        excess -= jobs[job].gpus


@kernel
def _end_claim(state, queue):
    """End the reservation of the head of a queue."""
    job = state.queues[queue].head
    release(state.room, job)
    state.tenants[state.queues[queue].tenant].claimed -= state.jobs[job].gpus
    if state.queues[queue].last_claim == job:
        state.queues[queue].last_claim = -1


@large_kernel
def _drop_claims(state, queue):
    """End all reservations of a queue; who was recalled for them still leaves."""
    job = state.queues[queue].head
    last = state.queues[queue].last_claim
    while last >= 0:
        release(state.room, job)
        state.tenants[state.queues[queue].tenant].claimed -= state.jobs[job].gpus
        if job == last:
            break
        job = state.jobs[job].next_job
    state.queues[queue].last_claim = -1


@kernel
def _awaits_leavers(state, job):
    """Whether somebody under notice still sits in the racks that a job has reserved."""
    room = state.room
    piece = room.first_claim[job]
    while piece >= 0:
        rack = room.pieces[piece].rack
        for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
            for slot in range(GPUS_PER_TRAY):
                other = room.slots[tray, slot]
                if other >= 0 and state.jobs[other].draining:
                    return True
        piece = room.pieces[piece].next
    return False


@kernel
def _estimate_recall(state, rack, time_s):
    """Write down what each loan in a rack would lose if it were recalled now."""
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        for slot in range(GPUS_PER_TRAY):
            job = state.room.slots[tray, slot]
            if job >= 0 and state.jobs[job].recallable:
                state.jobs[job].recall_cost = recall_cost_gpu_s(state, job, time_s)


@large_kernel
def _claim(state, job, queue, chosen, victims, time_s):
    """Reserve racks for an entitled job and recall who stands in the way (R1); false if that cannot help (R2)."""
    rules = state.rules[0]
    jobs, room = state.jobs, state.room
    gpus = jobs[job].gpus
    count = choose_racks(room, jobs, state.racks, gpus, rules.segment_trays, chosen)
    if count == 0:
        return False
    needed = segment_trays_for(gpus, rules.segment_trays)
    recalls = 0
    for index in range(count):
        rack = chosen[index]
        _estimate_recall(state, rack, time_s)
        recalls = choose_victims(room, jobs, rack, needed + room.racks[rack].promised, victims, recalls)
    for index in range(recalls):
        jobs[victims[index]].named = False
        notice(state, victims[index], job, RECALL, time_s)
    for index in range(count):
        reserve(room, chosen[index], job, needed)
    state.queues[queue].last_claim = job
    state.tenants[jobs[job].tenant].claimed += gpus
    _restore_lender(state, jobs[job].tenant, time_s)
    return True


@kernel
def _begin(state, job, tier, lender, racks, time_s):
    """Start a placed job if the envelope holds on the racks that it got; else give them back."""
    tally = state.tally[0]
    jobs = state.jobs
    need_kw = job_power_kw(state, job, state.tiers[power_tier(state, job, tier)].cap)
    if tally.it_now_kw + need_kw > tally.it_envelope_kw:
        vacate(state.room, job)
        _want_power(state, tier, need_kw)
        return False
    if state.queues[jobs[job].queue].last_claim >= 0:
        _end_claim(state, jobs[job].queue)
    dequeue_head(state, jobs[job].queue)
    start_job(state, job, tier, lender, racks, time_s)
    return True


@kernel
def _claim_more(state, queue, chosen, victims, time_s):
    """Claim for the jobs of a queue in their order, all at once, so that one notice serves them all."""
    jobs, queues, tenants = state.jobs, state.queues, state.tenants
    if not state.rules[0].recall or state.tally[0].lent_jobs == 0:
        return
    tenant = queues[queue].tenant
    job = queues[queue].head if queues[queue].last_claim < 0 else jobs[queues[queue].last_claim].next_job
    while (
        job >= 0
        and is_entitled(tenants, tenant, jobs[job].gpus)
        and _powered(state, job, tenants[tenant].tier)
        and _claim(state, job, queue, chosen, victims, time_s)
    ):
        job = jobs[job].next_job


@kernel
def _start_entitled(state, queue, chosen, victims, time_s):
    """Start the heads of one queue that fit in what their tenant deserves (P1), recalling loans where they must."""
    jobs, queues, tenants = state.jobs, state.queues, state.tenants
    segment_trays = state.rules[0].segment_trays
    tenant = queues[queue].tenant
    tier = tenants[tenant].tier
    while queues[queue].head >= 0:
        job = queues[queue].head
        gpus = jobs[job].gpus
        has_claim = queues[queue].last_claim >= 0
        if not has_claim and not is_entitled(tenants, tenant, gpus):
            return
        if not _powered(state, job, tier):
            return  # a claim is kept: the power that its recalls have freed is its own
        if has_claim:
            racks = place_reserved(state.room, job, gpus, segment_trays)
            if racks == 0 and not _awaits_leavers(state, job):
                _drop_claims(state, queue)  # a reserved rack broke meanwhile: choose anew
                continue
        else:
            racks = place(state.room, job, gpus, segment_trays)
        if racks == 0:
            break
        if not _begin(state, job, tier, -1, racks, time_s):
            return
        _restore_lender(state, tenant, time_s)
    _claim_more(state, queue, chosen, victims, time_s)


@kernel
def _start_borrowers(state, time_s):
    """Start heads that are not entitled on loans, in the order of rule P2, until nobody can."""
    rules = state.rules[0]
    jobs, queues, tenants = state.jobs, state.queues, state.tenants
    count = queues.shape[0]
    for queue in range(count):
        queues[queue].blocked = False
    while True:
        best = -1
        for queue in range(count):
            job = queues[queue].head
            if job < 0 or queues[queue].blocked or queues[queue].last_claim >= 0:
                continue
            if is_entitled(tenants, queues[queue].tenant, jobs[job].gpus):
                continue
            if best < 0 or borrows_before(tenants, queues[queue].tenant, queues[best].tenant):
                best = queue
        if best < 0:
            return
        job = queues[best].head
        gpus, tenant = jobs[job].gpus, queues[best].tenant
        queues[best].blocked = True
        if not may_hold(tenants, tenant, gpus):
            continue
        lender = lender_for(tenants, tenant, gpus)
        if lender < 0 or not _powered(state, job, LENT):
            continue
        racks = place(state.room, job, gpus, rules.segment_trays)
        if racks > 0 and _begin(state, job, LENT, lender, racks, time_s):
            queues[best].blocked = False


@kernel
def decide(state, chosen, victims, time_s):
    """Start whoever may start now: the entitled first, then borrowers."""
    if state.tally[0].shares_renewed:
        state.tally[0].shares_renewed = 0
        for lender in range(state.tenants.shape[0]):
            if excess_gpus(state.tenants, lender) > 0:
                _restore_lender(state, lender, time_s)
    for queue in range(state.queues.shape[0]):
        if state.queues[queue].head >= 0 and state.tenants[state.queues[queue].tenant].tier != LENT:
            _start_entitled(state, queue, chosen, victims, time_s)
    _start_borrowers(state, time_s)


@kernel
def lending_is_sound(state):
    """Whether every lender has lent no more than it may, loans under notice aside (an invariant for tests)."""
    tally = state.tally[0]
    for lender in range(state.tenants.shape[0]):
        noticed = 0
        for index in range(tally.lent_jobs):
            job = state.lent_jobs[index]
            if state.jobs[job].draining and state.loans[state.jobs[job].loan].lender == lender:
                noticed += state.jobs[job].gpus
        if lendable_gpus(state.tenants, lender) + noticed < 0:
            return False
    return True
