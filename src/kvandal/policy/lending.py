"""Who lends what to whom: a loan is made of parts, and every part has exactly one lender.

A job that borrows runs on one part where one lender has the room, else on several, so that idle shares add up. The
parts of a job are a linked list; a part also bears the number of the record that the books keep of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import GPUS_PER_TRAY
from kvandal.policy.tree import book_loan, common_group, is_within, lendable_gpus, lendable_out

Array = Any

OF_QUOTA, FROM_OUTSIDE = 0, 1
"""Columns of `State.leaving`."""

PART = np.dtype([("lender", "i8"), ("gpus", "i8"), ("next", "i8"), ("record", "i8")], align=True)
"""A part of a loan: its lender, its GPUs, the next part of the job, its record in the books (-1: not written yet)."""


@kernel
def _add_part(state, job, lender, gpus):
    parts = state.parts
    index = parts[-1].next
    parts[-1].next = parts[index].next
    parts[index].lender = lender
    parts[index].gpus = gpus
    parts[index].record = -1
    parts[index].next = state.jobs[job].first_part
    state.jobs[job].first_part = index
    book_loan(state.tenants, lender, state.jobs[job].tenant, gpus)


@kernel
def _drop_first_part(state, job):
    parts = state.parts
    index = state.jobs[job].first_part
    book_loan(state.tenants, parts[index].lender, state.jobs[job].tenant, -parts[index].gpus)
    state.jobs[job].first_part = parts[index].next
    parts[index].next = parts[-1].next
    parts[-1].next = index


@kernel
def give_back(state, job):
    """End all parts of a job's loan; the lenders have their GPUs back."""
    while state.jobs[job].first_part >= 0:
        _drop_first_part(state, job)


@kernel
def _counts(state, job, lender, row, of_quota):
    """Whether a part of a job's loan comes from a row: from its own quota, or else from its subtree to the outside."""
    if of_quota:
        return lender == row
    return is_within(state.tenants, lender, row) and not is_within(state.tenants, state.jobs[job].tenant, row)


@kernel
def lent_by(state, job, row, of_quota):
    """GPUs of a job's loan that come from a row: from its own quota, or else from its subtree to the outside."""
    total = 0
    part = state.jobs[job].first_part
    while part >= 0:
        if _counts(state, job, state.parts[part].lender, row, of_quota):
            total += state.parts[part].gpus
        part = state.parts[part].next
    return total


@large_kernel
def count_leaving(state):
    """Write down in `state.leaving` what comes back at the end of the notices that have been given.

    To every row's own quota, and to its subtree from the outside; it stays true as long as nobody else gets notice.
    """
    leaving, tenants, parts = state.leaving, state.tenants, state.parts
    leaving[:] = 0
    if state.tally[0].draining == 0:
        return
    for index in range(state.tally[0].lent_jobs):
        job = state.jobs[state.lent_jobs[index]]
        if not job.draining:
            continue
        part = job.first_part
        while part >= 0:
            row = parts[part].lender
            leaving[row, OF_QUOTA] += parts[part].gpus
            top = common_group(tenants, row, job.tenant)
            while row != top:
                leaving[row, FROM_OUTSIDE] += parts[part].gpus
                row = tenants[row].parent
            part = parts[part].next


@kernel
def _lendable_soon(state, lender, top):
    """GPUs that a lender can lend below `top` when all who are under notice have left."""
    tenants = state.tenants
    room = _quota_left(state, lender, True)
    row = lender
    while row != top:
        room = min(room, lendable_out(tenants[row]) + state.leaving[row, FROM_OUTSIDE])
        row = tenants[row].parent
    return room


@kernel
def _quota_left(state, lender, soon):
    """GPUs of a lender's own quota that it has not lent, with `soon` those that come back after notice among them."""
    left = state.tenants[lender].quota - state.tenants[lender].lent
    return left + state.leaving[lender, OF_QUOTA] if soon else left


@kernel
def _may_lend(state, lender, borrower, excluded, of_quota):
    """Whether a row may lend to a tenant at all: `excluded` does not, and, unless `of_quota`, nor does anybody below it."""
    if lender in (borrower, excluded):
        return False
    return excluded < 0 or of_quota or not is_within(state.tenants, lender, excluded)


@kernel
def _lender_for(state, borrower, gpus, excluded, of_quota, soon):
    """Lender that can lend `gpus` at once, or -1; what it can lend; and what all lenders can lend together (rule L1).

    The nearest group first; inside it the lender with the most to lend; ties: first by rank. `soon` counts what comes
    back after notice as there already.
    """
    tenants = state.tenants
    best, most, nearest, together = -1, np.int64(0), -1, np.int64(0)
    for place in range(tenants.shape[0]):
        lender = tenants[place].ranked
        if _quota_left(state, lender, soon) <= 0 or not _may_lend(
            state, lender, borrower, excluded, of_quota
        ):
            continue
        top = common_group(tenants, lender, borrower)
        room = _lendable_soon(state, lender, top) if soon else lendable_gpus(tenants, lender, top)
        if room <= 0:
            continue
        together += room
        depth = tenants[top].depth
        if room >= gpus and (depth > nearest or (depth == nearest and room > most)):
            best, most, nearest = lender, room, depth
    return best, most, together


@large_kernel
def borrow(state, job, gpus, excluded, of_quota):
    """Lend `gpus` to a job: one lender's if one has them, else several lenders' in whole trays (rules K1, L1).

    `excluded` is the row whose loan moves (see :func:`move_from`; others may then count on what
    :func:`count_leaving` has found to come back to them), or -1.
    Return whether the job has them; if not, nothing has changed.
    """
    tenant, before = state.jobs[job].tenant, state.jobs[job].first_part
    moves = excluded >= 0
    lender, _, together = _lender_for(state, tenant, gpus, excluded, of_quota, moves)
    if lender >= 0:
        _add_part(state, job, lender, gpus)
        return True
    if gpus <= GPUS_PER_TRAY or together < gpus:
        return False  # what a lender gives in parts, it has at the start
    left = gpus
    while left > 0:
        lender, room, _ = _lender_for(state, tenant, min(left, GPUS_PER_TRAY), excluded, of_quota, moves)
        if lender < 0:
            while state.jobs[job].first_part != before:
                _drop_first_part(state, job)
            return False
        part = left if room >= left else room - room % GPUS_PER_TRAY
        _add_part(state, job, lender, part)
        left -= part
    return True


@large_kernel
def move_from(state, job, row, of_quota, removed):
    """Move the parts of a loan that come from a row (see :func:`lent_by`) to other lenders, if others have room.

    Return the number of records in `removed` that are to be closed, or -1 when nobody has room and nothing has changed.
    """
    tenants, parts = state.tenants, state.parts
    tenant = state.jobs[job].tenant
    amount = 0
    part = state.jobs[job].first_part
    while part >= 0:
        if _counts(state, job, parts[part].lender, row, of_quota):
            book_loan(tenants, parts[part].lender, tenant, -parts[part].gpus)
            amount += parts[part].gpus
        part = parts[part].next
    moved = borrow(state, job, amount, row, of_quota)
    count, before, part = 0, np.int64(-1), state.jobs[job].first_part
    while part >= 0:
        after = parts[part].next
        if _counts(state, job, parts[part].lender, row, of_quota):
            if not moved:
                book_loan(tenants, parts[part].lender, tenant, parts[part].gpus)
            else:
                removed[count] = parts[part].record
                count += 1
                if before < 0:
                    state.jobs[job].first_part = after
                else:
                    parts[before].next = after
                parts[part].next = parts[-1].next
                parts[-1].next = part
                part = after
                continue
        before = part
        part = after
    return count if moved else -1
