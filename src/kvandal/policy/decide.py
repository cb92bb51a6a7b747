"""Deciding at one instant who starts and whose loan is recalled: the entitled first, then borrowers, then backfill.

A pure function of the arrays that it is given: it reads no clock, draws no random number, and writes what it decides as
a list of actions (:mod:`kvandal.policy.acting`), each with the id of its rule.
"""

from __future__ import annotations

from kvandal.compiled import large_kernel
from kvandal.policy.borrowers import start_borrowers
from kvandal.policy.claims import drop_reservations
from kvandal.policy.entitled import entitled_before, start_entitled
from kvandal.policy.loans import has_looked, promote_loans, restore_lender
from kvandal.policy.tree import (
    LENT,
)


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
    for queue in range(queues.shape[0]):
        reserved = queues[queue].last_claim >= 0 and state.jobs[queues[queue].head].reserved
        if reserved and time_s >= queues[queue].recheck_s:
            drop_reservations(state)  # all of them, so that they are made anew in the order of those who wait
    if tally.shares_renewed:
        tally.shares_renewed = 0
        for place in range(state.tenants.shape[0]):
            restore_lender(state, state.tenants[place].ranked, scratch.removed, time_s)
    count = 0
    for queue in range(queues.shape[0]):
        if queues[queue].head >= 0 and state.tenants[queues[queue].tenant].tier != LENT:
            place_at = count
            while place_at > 0 and entitled_before(state, queue, scratch.order[place_at - 1], time_s):
                scratch.order[place_at] = scratch.order[place_at - 1]
                place_at -= 1
            scratch.order[place_at] = queue
            count += 1
    for index in range(count):
        start_entitled(state, scratch.order[index], scratch, time_s)
    for place in range(state.tenants.shape[0]):
        tenant = state.tenants[place].ranked
        one = state.tenants[tenant]
        if one.on_loan > 0 and not one.is_group and not has_looked(one):
            promote_loans(state, tenant, scratch.removed, time_s)
    if not tally.telemetry_lost:  # rule E6
        start_borrowers(state, scratch, time_s)
    for queue in range(queues.shape[0]):
        queues[queue].seen_freed = tally.freed
        queues[queue].scanned = tally.next_arrival
        reserved = queues[queue].last_claim >= 0 and state.jobs[queues[queue].head].reserved
        if reserved and queues[queue].recheck_s > time_s:
            tally.wake_s = min(tally.wake_s, queues[queue].recheck_s)
