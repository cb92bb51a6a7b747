"""Deciding at one instant who starts and whose loan is recalled.

The choices themselves are the policy's (:mod:`kvandal.policy`); here they are carried out on the twin's arrays.
"""

from __future__ import annotations

from kvandal.compiled import kernel
from kvandal.policy.placement import (
    GPUS_PER_RACK,
    place,
    place_reserved,
    release_rack,
    reserve_rack,
    trays_for,
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
from kvandal.twin.life import MILLIWATT, dequeue_head, job_power_kw, notice, open_loan, start_job
from kvandal.twin.state import LOAN_TRANSFERRED


@kernel
def _least_power_kw(state, job, tier):
    """Power above idle that a job will draw on the thriftiest racks, under the caps of now [kW]."""
    least = -1.0
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
    if tally.it_now_kw + need_kw <= tally.it_envelope_kw and not (tier == LENT and state.tiers[LENT].cap < 1.0):
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
def _begin(state, job, tier, lender, racks, time_s):
    """Start a placed job if the envelope holds on the racks that it got; else give them back."""
    tally = state.tally[0]
    jobs = state.jobs
    jobs[job].use_tier = tier
    need_kw = job_power_kw(state, job)
    if tally.it_now_kw + need_kw > tally.it_envelope_kw:
        vacate(state.room, job)
        _want_power(state, tier, need_kw)
        return False
    dequeue_head(state, jobs[job].queue)
    start_job(state, job, tier, lender, racks, time_s)
    return True


@kernel
def _restore_lender(state, lender, time_s):
    """Give a lender its share back: move its loans to other lenders (L2), else recall the newest (R3)."""
    tally = state.tally[0]
    rules = state.rules[0]
    jobs, tenants, loans = state.jobs, state.tenants, state.loans
    for wish in range(2):
        index = tally.lent_jobs - 1
        noticed = 0
        while index >= 0:
            excess = excess_gpus(tenants, lender) - noticed
            if excess <= 0:
                return
            job = state.lent_jobs[index]
            index -= 1
            loan = jobs[job].loan
            if loans[loan].lender != lender:
                continue
            if jobs[job].draining:
                noticed += jobs[job].gpus
                continue
            if wish == 0:
                other = lender_for(tenants, jobs[job].tenant, jobs[job].gpus)
                if other >= 0 and other != lender:
                    loans[loan].returned_s = time_s
                    loans[loan].reason = LOAN_TRANSFERRED
                    tenants[lender].lent_out -= jobs[job].gpus
                    tenants[other].lent_out += jobs[job].gpus
                    open_loan(state, job, other, time_s)
            elif rules.recall:
                notice(state, job, -1, -1, RESTORE, time_s)
                noticed += jobs[job].gpus


@kernel
def _drop_claim(state, queue):
    """End the reservation of a queue's head."""
    if state.queues[queue].claim_job < 0:
        return
    state.queues[queue].claim_job = -1
    for rack in range(state.room.racks.shape[0]):
        if state.room.racks[rack].claim == queue:
            release_rack(state.room, rack)


@kernel
def _claim(state, job, queue, chosen, victims, time_s):
    """Reserve racks for an entitled job and recall who stands in the way (R1); nothing if that cannot help (R2)."""
    rules = state.rules[0]
    jobs, room = state.jobs, state.room
    gpus = jobs[job].gpus
    count = choose_racks(room, jobs, state.racks, gpus, rules.segment_trays, chosen)
    if count == 0:
        return
    needed = trays_for(gpus) if gpus <= GPUS_PER_RACK else rules.segment_trays
    recalls = 0
    for index in range(count):
        recalls = choose_victims(room, jobs, chosen[index], needed, victims, recalls)
    for index in range(recalls):
        jobs[victims[index]].named = False
        notice(state, victims[index], queue, job, RECALL, time_s)
    for index in range(count):
        reserve_rack(room, chosen[index], queue)
    state.queues[queue].claim_job = job
    state.queues[queue].claim_pending = recalls


@kernel
def _start_entitled(state, queue, chosen, victims, time_s):
    """Start the heads of one queue that fit in what their tenant deserves (P1), recalling loans where they must."""
    tally = state.tally[0]
    rules = state.rules[0]
    jobs, queues, tenants = state.jobs, state.queues, state.tenants
    tenant = queues[queue].tenant
    tier = tenants[tenant].tier
    while queues[queue].head >= 0:
        job = queues[queue].head
        gpus = jobs[job].gpus
        if queues[queue].claim_job >= 0 and queues[queue].claim_job != job:
            _drop_claim(state, queue)
        if not is_entitled(tenants, tenant, gpus):
            _drop_claim(state, queue)
            return
        if not _powered(state, job, tier):
            return
        racks = 0
        if queues[queue].claim_job == job:
            if queues[queue].claim_pending == 0:
                racks = place_reserved(state.room, job, gpus, rules.segment_trays, queue)
                if racks == 0 and tally.draining == 0:
                    _drop_claim(state, queue)  # a reserved rack broke meanwhile: choose anew
                    continue
        else:
            racks = place(state.room, job, gpus, rules.segment_trays)
            if racks == 0 and rules.recall and tally.lent_jobs > 0:
                _claim(state, job, queue, chosen, victims, time_s)
                if queues[queue].claim_job == job and queues[queue].claim_pending == 0 and tally.draining == 0:
                    continue
        if racks == 0 or not _begin(state, job, tier, -1, racks, time_s):
            return
        _drop_claim(state, queue)
        _restore_lender(state, tenant, time_s)


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
            if job < 0 or queues[queue].blocked or queues[queue].claim_job == job:
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
