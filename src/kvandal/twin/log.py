"""What is written down as it happens: events, records of loans, notices, runs that were interrupted."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import give_notice
from kvandal.policy.rules import (
    FAILED,
    GRANT_OVER,
    POWER_RECALL,
    SHED,
)
from kvandal.twin.heaps import enter
from kvandal.twin.records import (
    DRAIN,
    EVENT_RECALL,
    LOAN_EXPIRED,
    LOAN_FAILURE,
    LOAN_FINISHED,
    LOAN_RECALLED,
    LOAN_SHED,
    LOST_EXPIRY,
    LOST_FAILURE,
    LOST_RECALL,
    LOST_SHED,
)


@large_kernel
def note_event(state, time_s, kind, rack, tray, job, gpus, rule):
    """Write an event down."""
    tally = state.tally[0]
    index = tally.events
    events = state.events
    if index >= events.shape[0]:
        raise IndexError("more events in one tick than were provided for")
    events[index].time_s = time_s
    events[index].kind = kind
    events[index].rack = rack
    events[index].tray = tray
    events[index].job = job
    events[index].gpus = gpus
    events[index].rule = rule
    events[index].fault = -1
    events[index].node = -1
    events[index].constraint = -1
    tally.events = index + 1


@large_kernel
def note_plant_event(state, time_s, kind, rack, job, gpus, fault, node, constraint):
    """Write an event of the plant down."""
    note_event(state, time_s, kind, rack, -1, job, gpus, 0)
    event = state.events[state.tally[0].events - 1]
    event.fault = fault
    event.node = node
    event.constraint = constraint


LONGEST_REST = 24
"""Most times the rest after one recall that a job rests, however often it was recalled."""


@large_kernel
def open_records(state, job, time_s):
    """Write a record of every part of a loan that has none yet."""
    tally = state.tally[0]
    loans, jobs, parts = state.loans, state.jobs, state.parts
    part = jobs[job].first_part
    while part >= 0:
        if parts[part].record < 0:
            index = tally.loans
            if index >= loans.shape[0]:
                raise IndexError("more loans in one tick than were provided for")
            loans[index].lender = parts[part].lender
            loans[index].borrower = jobs[job].tenant
            loans[index].job = job
            loans[index].gpus = parts[part].gpus
            loans[index].start_s = time_s
            loans[index].noticed_s = -1
            loans[index].deadline_s = -1
            loans[index].returned_s = -1
            loans[index].claimant = -1
            loans[index].reason = -1
            parts[part].record = index
            tally.loans = index + 1
        jobs[job].loan = parts[part].record
        part = parts[part].next


@kernel
def note_notice(state, job, claimant, rule, time_s):
    """Carry out a notice that has been given: the record, the deadline."""
    jobs, loans = state.jobs, state.loans
    part = jobs[job].first_part
    while part >= 0:
        loan = loans[state.parts[part].record]
        loan.noticed_s = time_s
        loan.deadline_s = jobs[job].deadline_s
        loan.claimant = claimant
        part = state.parts[part].next
    jobs[job].end_rule = rule
    jobs[job].for_power = rule == POWER_RECALL
    enter(state.agenda, state.tally[0], jobs[job].deadline_s, DRAIN, job)
    rack = state.room.pieces[state.room.first_piece[job]].rack
    note_event(state, time_s, EVENT_RECALL, rack, -1, job, jobs[job].gpus, rule)


@large_kernel
def notice(state, job, claimant, rule, time_s):
    """Give a job notice outside a decision, and carry it out."""
    give_notice(state, job, claimant, rule, time_s)
    note_notice(state, job, claimant, rule, time_s)
    state.tally[0].actions = 0


@kernel
def note_stint(state, job, time_s, cause):
    """Write down a run that ends before its job does."""
    tally, jobs = state.tally[0], state.jobs
    stint = state.stints[tally.stints]
    stint.job = job
    stint.start_s = jobs[job].start_s
    stint.end_s = time_s
    stint.gpus = jobs[job].gpus
    stint.rack = state.room.pieces[state.room.first_piece[job]].rack
    stint.lender = -1
    if jobs[job].on_loan:
        stint.lender = state.parts[jobs[job].first_part].lender
    stint.tier = jobs[job].use_tier
    stint.start_rule = jobs[job].start_rule
    stint.cause = cause
    stint.end_rule = FAILED
    if cause == LOST_RECALL:
        stint.end_rule = jobs[job].end_rule
    elif cause == LOST_SHED:
        stint.end_rule = SHED
    elif cause == LOST_EXPIRY:
        stint.end_rule = GRANT_OVER
    tally.stints += 1


@large_kernel
def note_placement(state, job, time_s):
    """Write down in which racks a job has run, and since when; it leaves them now or changes its tier of use."""
    tally, room = state.tally[0], state.room
    since_s = state.jobs[job].placed_s
    if time_s <= since_s:
        return
    index = tally.placements
    piece = room.first_piece[job]
    while piece >= 0:
        if index >= state.placements.shape[0]:
            raise IndexError("more placements in one tick than were provided for")
        record = state.placements[index]
        record.job = job
        record.rack = room.pieces[piece].rack
        record.gpus = room.pieces[piece].gpus
        record.tier = state.jobs[job].use_tier
        record.start_s = since_s
        record.end_s = time_s
        index += 1
        piece = room.pieces[piece].next
    tally.placements = index


@kernel
def close_loan(state, job, time_s, cause):
    """Close the record of a loan whose job leaves."""
    reason = LOAN_FINISHED
    if cause == LOST_FAILURE:
        reason = LOAN_FAILURE
    elif cause == LOST_RECALL:
        reason = LOAN_RECALLED
    elif cause == LOST_SHED:
        reason = LOAN_SHED
    elif cause == LOST_EXPIRY:
        reason = LOAN_EXPIRED
    part = state.jobs[job].first_part
    while part >= 0:
        close_record(state, state.parts[part].record, reason, time_s)
        part = state.parts[part].next
    state.jobs[job].loan = -1


@kernel
def close_record(state, record, reason, time_s):
    """Close the record of a part of a loan."""
    state.loans[record].returned_s = time_s
    state.loans[record].reason = reason
