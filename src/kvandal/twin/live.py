"""The loop over a site whose jobs run on an engine: ends, outages and submissions are told, all else is as in the twin.

Between two turns of the loop time only passes; a turn takes, in order of time, what was told and what the calendar brings,
closes the ticks that are over, and decides once, for the instant at which it is turned.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import end_claim
from kvandal.policy.decide import decide
from kvandal.policy.drawdown import demote_excess, draw_down, take_limits
from kvandal.policy.placement import TRAY_BROKEN, TRAY_HEALTHY, TRAYS_PER_RACK, break_tray, repair_tray
from kvandal.policy.queues import count_out, hold, take_out
from kvandal.policy.rules import REST_RULE, WITHDRAWN
from kvandal.policy.tree import renew_shares
from kvandal.twin import kernel as loop
from kvandal.twin.budgets import next_grant_s, take_grants
from kvandal.twin.caps import hold_envelope
from kvandal.twin.decisions import carry_out
from kvandal.twin.holdings import let_go, turn_away
from kvandal.twin.life import ENDED, LIMIT_REACHED, leave, submit
from kvandal.twin.records import QUEUED, RUNNING
from kvandal.twin.recovery import limit_ramp
from kvandal.twin.reliability_state import CAUSE_HOST, CAUSE_TRAY
from kvandal.twin.repairs import interrupt

TOLD = np.dtype([("time_s", "i8"), ("kind", "i8"), ("subject", "i8"), ("value", "f8")], align=True)
"""Something that the loop is told: when it happened, what, to which job or tray, a number."""
(
    TOLD_ENDED,  # a job has ended of itself
    TOLD_TIMEOUT,  # the engine ended it at its limit
    TOLD_INTERRUPTED,  # it lost its GPUs to a fault
    TOLD_TRAY_DOWN,  # a tray is out; value 1: its jobs are lost, 0: they may end there
    TOLD_TRAY_UP,
    TOLD_CANCEL,  # somebody ends a job
    TOLD_LIMITS,  # other limits of tenants hold from now on: row `subject` of `State.limit_steps`
    TOLD_SET_POINT,  # value: most power that the meter may show [kW]; inf: no more than the connection says
    TOLD_UNEXPLAINED,  # value: what the meter shows above what the model says [kW]
    TOLD_TELEMETRY,  # value 1: what the site draws is not known; 0: it is again
    TOLD_SUBMIT,  # a job has been submitted
) = range(11)
"""Kinds, in the order in which they are taken at one instant."""


@kernel
def _withdraw(state, job, time_s):
    """Take a job that waits out of its queue, for good."""
    rests = state.jobs[job].held_by == REST_RULE
    hold(state, job, 0, time_s)
    if rests:  # it stands in no queue
        count_out(state, job)
    else:
        end_claim(state, job)
        take_out(state, job)
    let_go(state, job)
    turn_away(state, job, WITHDRAWN, 0, 0, time_s)
    state.tally[0].freed += 1


@kernel
def _cancel(state, job, time_s):
    """End a job for good, whether it waits or runs."""
    if state.jobs[job].state == RUNNING:
        state.jobs[job].end_rule = WITHDRAWN
        leave(state, job, time_s, ENDED)
    elif state.jobs[job].state == QUEUED:
        _withdraw(state, job, time_s)


@large_kernel
def _tray_down(state, tray, lost, time_s):
    """Take a tray out of use; its jobs go back to their queues if they are lost."""
    if lost:
        for slot in range(4):
            job = state.room.slots[tray, slot]
            if job >= 0:
                interrupt(state, job, CAUSE_TRAY, time_s)
    if state.room.trays[tray].state == TRAY_HEALTHY:
        break_tray(state.room, tray)
        state.tally[0].broken_gpus += 4
        state.works[tray].out_since_s = time_s


@kernel
def _tray_up(state, tray, time_s):
    """Bring a tray back into use."""
    if state.room.trays[tray].state == TRAY_BROKEN:
        state.racks[tray // TRAYS_PER_RACK].broken_gpu_s += 4 * (time_s - state.works[tray].out_since_s)
        repair_tray(state.room, tray)
        state.tally[0].broken_gpus -= 4
        state.tally[0].freed += 1


@large_kernel
def _take_limits(state, step, time_s):
    """Let other limits of tenants hold from now on."""
    take_limits(state.tenants, state.limit_steps[step])
    renew_shares(state.tenants, state.tally[0].installed_gpus)
    demote_excess(state, time_s)
    draw_down(state, state.limit_steps[step], state.tally[0].installed_gpus, time_s, time_s)
    carry_out(state, time_s)
    state.tally[0].shares_renewed = 1
    state.tally[0].freed += 1


@large_kernel
def _take(state, one, time_s):
    """Take one thing that was told."""
    tally, kind, subject = state.tally[0], one.kind, one.subject
    if kind == TOLD_SUBMIT:
        tally.next_arrival = max(tally.next_arrival, subject + 1)
        submit(state, subject, time_s)
    elif kind == TOLD_TRAY_DOWN:
        _tray_down(state, subject, one.value > 0.0, time_s)
    elif kind == TOLD_TRAY_UP:
        _tray_up(state, subject, time_s)
    elif kind == TOLD_CANCEL:
        _cancel(state, subject, time_s)
    elif kind == TOLD_LIMITS:
        _take_limits(state, subject, time_s)
    elif kind == TOLD_SET_POINT:
        tally.set_point_kw = one.value
    elif kind == TOLD_UNEXPLAINED:
        tally.unexplained_kw = one.value
    elif kind == TOLD_TELEMETRY:
        tally.telemetry_lost = 1 if one.value > 0.0 else 0
        tally.shares_renewed = 1
        tally.freed += 1
    elif state.jobs[subject].state == RUNNING:
        if kind == TOLD_ENDED:
            leave(state, subject, time_s, ENDED)
        elif kind == TOLD_TIMEOUT:
            leave(state, subject, time_s, LIMIT_REACHED)
        elif kind == TOLD_INTERRUPTED:
            interrupt(state, subject, CAUSE_HOST, time_s)
    elif state.jobs[subject].state == QUEUED and kind in (TOLD_ENDED, TOLD_TIMEOUT):
        _withdraw(
            state, subject, time_s
        )  # it ended before it was taken off its nodes, so it does not come back


@kernel
def _sets_power(kind):
    return kind in (TOLD_SET_POINT, TOLD_UNEXPLAINED, TOLD_TELEMETRY)


@large_kernel
def _take_until(state, plant, told, first, until_s):
    """Take what was told and what the calendar brings before `until_s`, in order of time.

    Return the first row of `told` that is still to come, whether anything happened, and whether the envelope changed.
    """
    tally, at, happened, powered = state.tally[0], first, False, False
    while True:
        now_s = min(next_grant_s(state), tally.wake_s)
        if tally.agenda_size > 0:
            now_s = min(now_s, state.agenda[0].time_s)
        if at < told.shape[0]:
            now_s = min(now_s, told[at].time_s)
        if now_s >= until_s:
            return at, happened, powered
        happened = True
        now_s = max(now_s, tally.now_s)
        if tally.wake_s <= now_s:
            tally.wake_s = loop.FAR
        loop.pass_time(state, now_s)
        while at < told.shape[0] and told[at].time_s <= now_s and told[at].kind < TOLD_CANCEL:
            _take(state, told[at], now_s)
            at += 1
        if next_grant_s(state) <= now_s:
            take_grants(state, now_s)
        if tally.agenda_size > 0 and state.agenda[0].time_s <= now_s:
            loop.take_agenda(state, plant, state.agenda[0].time_s)
        while at < told.shape[0] and told[at].time_s <= now_s:
            powered = powered or _sets_power(told[at].kind)
            _take(state, told[at], now_s)
            at += 1


@large_kernel
def open_first_tick(state, plant, inputs):
    """Open the first tick of a site that has just begun."""
    loop.open_tick(state, plant, inputs.plan[0, 1], 0)


@large_kernel
def schedule_limits(state, after_s):
    """Note when limits change after an instant."""
    loop.schedule_limits(state, after_s)


@large_kernel
def turn(state, plant, inputs, out, scratch, told, decided, now_s):
    """Turn the loop once: up to `now_s`, and decide there.

    Parameters
    ----------
    state, plant, inputs, out, scratch
        As in the twin. `state.rules.told` is set, and a tick is open.
    told
        TOLD table, in order of time and kind, none later than `now_s` and none before the last turn.
    decided
        ACTION table; what is decided is copied there.
    now_s
        Now [s after the start].

    Returns
    -------
    Actions decided, whether anything happened (else nothing was decided), and ticks closed.

    """
    tally, rules = state.tally[0], state.rules[0]
    at, happened, powered, closed = 0, False, False, 0
    while now_s >= tally.tick_start_s + rules.tick_s:
        tick = tally.tick_start_s // rules.tick_s
        end_s = tally.tick_start_s + rules.tick_s
        at, some, power = _take_until(state, plant, told, at, end_s)
        happened, powered = happened or some, powered or power
        loop.close_tick(state, plant, inputs, out, scratch, tick)
        while at < told.shape[0] and told[at].time_s <= end_s and told[at].kind < TOLD_CANCEL:
            _take(state, told[at], end_s)
            at += 1
            happened = True
        loop.open_tick(state, plant, inputs.plan[end_s // 3600, 1], end_s)
        closed += 1
    at, some, power = _take_until(state, plant, told, at, now_s + 1)
    happened = happened or some
    loop.pass_time(state, now_s)
    if powered or power:
        loop.limit_meter(state, plant)
        limit_ramp(state, now_s)
        hold_envelope(state, now_s)
    if not happened:
        return 0, False, closed
    tally.wake_s = loop.FAR
    decide(state, scratch, now_s)
    count = tally.actions
    for index in range(count):
        decided[index] = state.actions[index]
    carry_out(state, now_s)
    return count, True, closed
