"""Grants in the loop: their periods begin and end, what is not used is withdrawn, and at expiry jobs are stopped."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import end_claim
from kvandal.policy.budget import (
    FAR,
    begin_period,
    end_grant,
    left_gpu_s,
    next_instant,
    withdraw_unused,
)
from kvandal.policy.queues import QUEUED, count_out, hold, take_out
from kvandal.policy.rules import GRANT_OVER, GRANT_TOO_SHORT, REST_RULE
from kvandal.twin.holdings import let_go, move, time_needed_s, turn_away
from kvandal.twin.life import leave
from kvandal.twin.log import note_event
from kvandal.twin.records import EVENT_EXPIRY, EVENT_EXPIRY_NOTICE, LOST_EXPIRY, RUNNING


@kernel
def next_grant_s(state):
    """When something next happens to any grant [s]."""
    found = FAR
    for index in range(state.grants.shape[0]):
        found = min(found, state.grants[index].next_s)
    return found


@large_kernel
def _take_out(state, job, time_s):
    """Take a waiting job out of its queue, wherever it stands; what racks it has reserved are free again."""
    rests = state.jobs[job].held_by == REST_RULE
    hold(state, job, 0, time_s)
    if rests:  # it stands in no queue
        count_out(state, job)
        return
    end_claim(state, job)
    take_out(state, job)
    state.tally[0].freed += 1


@large_kernel
def _dismiss(state, job, rule, needed, available, time_s):
    """End a waiting job by a rule."""
    _take_out(state, job, time_s)
    let_go(state, job)
    turn_away(state, job, rule, needed, available, time_s)


@kernel
def _note(state, job, kind, time_s):
    rack = state.room.pieces[state.room.first_piece[job]].rack
    note_event(state, time_s, kind, rack, -1, job, state.jobs[job].gpus, GRANT_OVER)


@large_kernel
def _give_notice(state, index, time_s):
    """Tell who runs on a hard grant that it ends (G4)."""
    job = state.grants[index].head
    while job >= 0:
        if state.jobs[job].state == RUNNING:
            _note(state, job, EVENT_EXPIRY_NOTICE, time_s)
        job = state.job_grants[job].next


@kernel
def _turn(state, index, time_s):
    """Do what the calendar asks of one grant, but for its expiry."""
    grants, periods = state.grants, state.grant_periods
    while not grants[index].is_over:
        if grants[index].period < 0:
            if grants[index].start_s > time_s:
                return
            begin_period(grants, periods, index)
            continue
        row = periods[grants[index].period]
        if row.lose_s <= time_s:
            withdraw_unused(grants, periods, index)
        elif grants[index].notice_s <= time_s:
            grants[index].notice_s = FAR
            _give_notice(state, index, time_s)
        elif row.end_s <= time_s and grants[index].period < grants[index].last:
            begin_period(grants, periods, index)
        else:
            return


@large_kernel
def _expire(state, index, time_s):
    """End a grant (G4): waiting jobs move to another or are refused; a hard end stops what runs."""
    grants = state.grants
    end_grant(grants, state.grant_periods, index)
    grants[index].check_s = FAR
    job = grants[index].head
    while job >= 0:
        following = state.job_grants[job].next
        if state.jobs[job].state == QUEUED:
            if not move(state, job, time_s):
                _dismiss(state, job, GRANT_OVER, state.job_grants[job].committed, 0, time_s)
        elif grants[index].is_hard and not move(state, job, time_s):
            _note(state, job, EVENT_EXPIRY, time_s)
            leave(state, job, time_s, LOST_EXPIRY)
        job = following


@large_kernel
def _dismiss_late(state, index, time_s):
    """Refuse waiting jobs that can no longer end inside a hard grant, unless another takes them (G3)."""
    grant = state.grants[index]
    check_s = FAR
    job = grant.head
    while job >= 0:
        following = state.job_grants[job].next
        if state.jobs[job].state == QUEUED:
            limit_s = time_needed_s(state, job, state.job_grants[job].committed)
            if limit_s <= grant.end_s - time_s:
                check_s = min(check_s, grant.end_s - limit_s + 1)
            elif not move(state, job, time_s):
                _dismiss(state, job, GRANT_TOO_SHORT, limit_s, grant.end_s - time_s, time_s)
        job = following
    grant.check_s = check_s


@large_kernel
def take_grants(state, time_s):
    """Do what is due for the grants: first what begins, then what ends, so that jobs can move on to what has begun."""
    grants = state.grants
    for index in range(grants.shape[0]):
        _turn(state, index, time_s)
    for index in range(grants.shape[0]):
        if not grants[index].is_over and grants[index].end_s <= time_s and grants[index].period >= 0:
            _expire(state, index, time_s)
    for index in range(grants.shape[0]):
        if grants[index].check_s <= time_s:
            _dismiss_late(state, index, time_s)
    for index in range(grants.shape[0]):
        following_s = next_instant(grants, state.grant_periods, index)
        grants[index].next_s = min(following_s, grants[index].check_s)


@large_kernel
def count_grants(state, out, tick):
    """Write down at the end of an hour what has been spent of each grant so far, what is committed and what is left."""
    end_s = (tick + 1) * state.rules[0].tick_s
    if end_s % 3600 != 0:
        return
    hour = end_s // 3600 - 1
    for index in range(state.grants.shape[0]):
        now = state.grants[index].period
        if now < 0:
            continue
        for row in range(state.grants[index].first, now + 1):
            out.grant_hour[hour, index, 0] += state.grant_periods[row].spent
        out.grant_hour[hour, index, 1] = state.grant_periods[now].committed
        out.grant_hour[hour, index, 2] = left_gpu_s(state.grant_periods[now])
