"""Jobs that must borrow: who goes first, who holds a reservation, and until nobody can."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import begin, powered
from kvandal.policy.claims import reserve_soonest
from kvandal.policy.lending import borrow, give_back
from kvandal.policy.placement import (
    GPUS_PER_TRAY,
    place_reserved,
)
from kvandal.policy.queues import hold
from kvandal.policy.restarts import may_use_spares, spare_trays_for
from kvandal.policy.rules import (
    AGED,
    CEILING,
    ENVELOPE,
    LOAN,
    NO_ROOM,
    NO_SHARE,
    RESERVED,
)
from kvandal.policy.tree import (
    LENT,
    borrows_before,
    common_group,
    has_share,
    lendable_gpus,
    lendable_without_loans,
    may_hold,
)
from kvandal.policy.trial import STARTED, backfill, try_loan


@kernel
def _is_aged(state, job, time_s):
    """Whether a job has waited for long since it came, or since it last lost its GPUs."""
    since_s = max(state.jobs[job].submit_s, state.jobs[job].left_s)
    return time_s - since_s >= state.rules[0].aging_s


@kernel
def _goes_before(state, queue, best, time_s):
    """Whether the head of a queue borrows before that of another: F1, then who has waited for long (A1), then rule P2."""
    job, other = state.queues[queue].head, state.queues[best].head
    failed = may_use_spares(state, job)
    if failed != may_use_spares(state, other):
        return failed
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
    """Whether lenders could lend enough for a job if nobody else borrowed from them: one of them, or several together."""
    tenants, record = state.tenants, state.jobs[job]
    for lender in range(tenants.shape[0]):
        if lender != record.tenant:
            top = common_group(tenants, lender, record.tenant)
            if lendable_gpus(tenants, lender, top) + tenants[lender].lent >= record.asked_gpus:
                return True
    return lendable_without_loans(tenants, record.tenant, GPUS_PER_TRAY) >= record.asked_gpus


@kernel
def _is_entitled(state, job):
    """Whether a head waits as an entitled one, so that it does not borrow."""
    tenant = state.jobs[job].tenant
    return state.tenants[tenant].tier != LENT and has_share(state.tenants, tenant, state.jobs[job].gpus)


@kernel
def _leaves_what_is_promised(room, job):
    """Whether the racks that are reserved for a job have room for all who hold a reservation there."""
    piece = room.first_claim[job]
    while piece >= 0:
        rack = room.racks[room.pieces[piece].rack]
        if rack.whole < rack.promised:
            return False
        piece = room.pieces[piece].next
    return True


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
    if not _leaves_what_is_promised(state.room, job):
        give_back(state, job)
        return RESERVED
    racks = place_reserved(state.room, job, gpus, state.rules[0].segment_trays, spare_trays_for(state, job))
    if racks > 0 and begin(state, job, gpus, LENT, racks, AGED, time_s) > 0:
        return STARTED
    give_back(state, job)
    return RESERVED if racks == 0 else ENVELOPE


@large_kernel
def start_borrowers(state, scratch, time_s):
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
        if queues[best].last_claim >= 0:
            held = _start_reserved_borrower(state, job, time_s)
        else:
            held = try_loan(state, job, LOAN, time_s)
        if held == STARTED:
            queues[best].blocked = False
            continue
        hold(state, job, held, time_s)
        if _is_aged(state, job, time_s):
            if held == NO_ROOM and queues[best].last_claim < 0 and state.rules[0].reservations > 0:
                reserve_soonest(state, job, best, scratch, time_s)
            if held == NO_SHARE and _loans_would_do(state, job):
                return  # nobody borrows before it
            continue
        if held != ENVELOPE:
            backfill(state, best, True, scratch.removed, time_s)
