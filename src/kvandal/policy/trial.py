"""Trying to start one waiting job, within its tenant's share or on a loan, and the jobs behind one that waits."""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import begin, expected_run_s, powered
from kvandal.policy.claims import can_recall
from kvandal.policy.lending import borrow, give_back
from kvandal.policy.loans import restore_lender
from kvandal.policy.placement import (
    GPUS_PER_RACK,
    GPUS_PER_TRAY,
    fits,
    place,
    place_in,
    spares_kept,
    trays_for,
)
from kvandal.policy.queues import takes_held_share
from kvandal.policy.restarts import spare_trays_for
from kvandal.policy.rules import (
    BACKFILL,
    CEILING,
    ELASTIC,
    ENVELOPE,
    NO_ROOM,
    NO_SHARE,
    RESERVED,
)
from kvandal.policy.tree import (
    LENT,
    has_share,
    may_hold,
)

NO_LIMIT = np.int64(2**62)
"""More GPUs than anybody asks for."""
STARTED = 0
"""Result of a trial: the job runs; otherwise the rule that holds it back."""


@kernel
def least_gpus(state, job):
    """Fewest GPUs on which a job can run."""
    asked = state.jobs[job].asked_gpus
    return max(1, int(np.ceil(asked * state.demands[state.jobs[job].demand].elastic_minimum - 1e-9)))


@kernel
def _in_reserved_rack(state, job, gpus, ends_s, recalled_s):
    """Place a job of at most one rack where somebody else has a reservation, if it will have left by then (B2).

    It leaves at `ends_s`, or at `recalled_s` where who has the reservation may recall it.
    """
    room, jobs = state.room, state.jobs
    whole = trays_for(gpus) + spares_kept(gpus, spare_trays_for(state, job))
    for queue in range(state.queues.shape[0]):
        last = state.queues[queue].last_claim
        waiting = state.queues[queue].head
        while last >= 0:
            reserved = jobs[waiting].reserved and waiting != job and jobs[waiting].until_s >= recalled_s
            if reserved and (jobs[waiting].until_s >= ends_s or can_recall(state, waiting)):
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
        ends_s = recalled_s = time_s + _run_s(state, job, gpus)
        if on_loan:
            tenant = state.tenants[state.jobs[job].tenant]
            recalled_s = min(ends_s, time_s + max(tenant.minimum_run_s, tenant.notice_s))
        racks = _in_reserved_rack(state, job, gpus, ends_s, recalled_s)
    return racks


@kernel
def _finds_no_place(state, job, gpus):
    """Whether :func:`_find_place` finds nothing for a job, as far as a glance tells."""
    if fits(state.room, gpus, state.rules[0].segment_trays, spare_trays_for(state, job)):
        return False
    return state.tally[0].reservations == 0 or gpus > GPUS_PER_RACK


@kernel
def _run_s(state, job, gpus):
    """Longest time that a job will run on so many GPUs [s]."""
    return expected_run_s(state, job) * state.jobs[job].gpus // gpus


@kernel
def delays_holder(state, job, gpus, time_s):
    """Whether a job would take GPUs of its tenant's share from the tenant's job that waits for them (B1)."""
    tenant = state.jobs[job].tenant
    if state.tenants[tenant].holder == job:
        return False
    return takes_held_share(state, tenant, gpus, time_s + _run_s(state, job, gpus))


@large_kernel
def _start_somewhere(state, job, gpus, tier, rule, time_s):
    """Place a job and start it; return STARTED or what holds it back. Where a node lacks power, other racks are tried (E1)."""
    held = NO_ROOM
    while True:
        racks = _find_place(state, job, gpus, tier == LENT, time_s)
        if racks == 0:
            return held
        begun = begin(state, job, gpus, tier, racks, rule, time_s)
        if begun > 0:
            return STARTED
        held = ENVELOPE
        if begun == 0:
            return held


@large_kernel
def try_entitled(state, job, rule, time_s):
    """Start a waiting job within its tenant's share if it can (P1); return STARTED or what holds it back."""
    tenants = state.tenants
    tenant = state.jobs[job].tenant
    tier = tenants[tenant].tier
    gpus, least = state.jobs[job].asked_gpus, least_gpus(state, job)
    first = STARTED
    while True:
        asked = gpus == state.jobs[job].asked_gpus
        if not has_share(tenants, tenant, gpus):
            held = NO_SHARE
        elif delays_holder(state, job, gpus, time_s):
            held = RESERVED
        elif not may_hold(tenants, tenant, gpus, False):
            held = CEILING
        elif not powered(state, job, gpus, tier):
            held = ENVELOPE
        else:
            held = _start_somewhere(state, job, gpus, tier, rule if asked else ELASTIC, time_s)
            if held == STARTED:
                return STARTED
        if first == STARTED:
            first = held
        if gpus <= least:
            return first
        gpus = max(least, gpus // 2)


@large_kernel
def try_loan(state, job, rule, time_s, lean=NO_LIMIT, room_first=False):
    """Start a waiting job on a loan if it can (L1); return STARTED or what holds it back.

    `lean` is a number of GPUs that nobody can lend its tenant now, as has been found before; who asks for more asks in vain.
    With `room_first` a job that finds no racks is not told whether anybody would have lent.
    """
    tenant = state.jobs[job].tenant
    gpus, least = state.jobs[job].asked_gpus, least_gpus(state, job)
    first = STARTED
    while True:
        asked = gpus == state.jobs[job].asked_gpus
        if not may_hold(state.tenants, tenant, gpus, True):
            held = CEILING
        elif not powered(state, job, gpus, LENT):
            held = ENVELOPE
        elif room_first and _finds_no_place(state, job, gpus):
            held = NO_ROOM
        elif gpus >= lean or not borrow(state, job, gpus, -1, False):
            held = NO_SHARE
        else:
            held = _start_somewhere(state, job, gpus, LENT, rule if asked else ELASTIC, time_s)
            if held == STARTED:
                return STARTED
            give_back(state, job)
        if first == STARTED:
            first = held
        if gpus <= least:
            return first
        gpus = max(least, gpus // 2)


@large_kernel
def backfill(state, queue, on_loan, removed, time_s):
    """Start jobs behind one that waits, where they delay none that holds a reservation (B2).

    `removed` is int64 (GPUs + 1,), filled with the records of loans that move. Return whether all that were looked at wait
    for their tenant's share and for nothing else, as far as they were tried now.
    """
    jobs, tally = state.jobs, state.tally[0]
    behind = (
        state.queues[queue].head if state.queues[queue].last_claim < 0 else state.queues[queue].last_claim
    )
    job = jobs[behind].next_job
    depth = state.rules[0].backfill_depth
    if depth == 0 or job < 0:
        return True
    if not on_loan and not has_share(state.tenants, jobs[job].tenant, 1):
        return True  # the queue is one tenant's
    news = tally.freed - state.queues[queue].seen_freed
    fresh = state.queues[queue].scanned
    left, lean, for_share = depth, NO_LIMIT, True
    while job >= 0 and left > 0:
        after = jobs[job].next_job
        # nothing has come free since the last look: only jobs that are new need to be tried
        if news != 0 or job >= fresh:
            rigid = least_gpus(state, job) == jobs[job].asked_gpus
            if on_loan:
                held = try_loan(state, job, BACKFILL, time_s, lean, True)
                if held == NO_SHARE and rigid:
                    lean = min(lean, np.int64(jobs[job].asked_gpus))
            else:
                held = try_entitled(state, job, BACKFILL, time_s)
                if held == STARTED:
                    restore_lender(state, state.jobs[job].tenant, removed, time_s)
            for_share = for_share and rigid and (held in (NO_SHARE, RESERVED))
            if held == ENVELOPE:
                return False
        left -= 1
        job = after
    return for_share
