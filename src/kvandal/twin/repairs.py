"""Failures as the loop meets them, the queue for the repair crews, and trays that are replaced because they fail too often.

A *unit* of work is a tray, or a rack whose NVLink switches are out: units of racks are numbered behind those of trays.
"""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import (
    TRAY_BROKEN,
    TRAY_HEALTHY,
    TRAY_OFF,
    TRAYS_PER_RACK,
    break_tray,
    repair_tray,
)
from kvandal.twin.heaps import enter
from kvandal.twin.life import leave
from kvandal.twin.log import note_event
from kvandal.twin.records import (
    EVENT_FAILURE,
    EVENT_HOST_FAULT,
    EVENT_NETWORK_FAULT,
    EVENT_RACK_FAILURE,
    EVENT_RACK_REPAIR,
    EVENT_REPAIR,
    EVENT_REPAIR_BEGINS,
    EVENT_TRAY_REPLACED,
    LOST_FAILURE,
    REPAIR,
)
from kvandal.twin.reliability_state import CAUSE_HOST, CAUSE_NETWORK, CAUSE_RACK, CAUSE_TRAY

TRAY_STRANDED = 4
"""State of a healthy tray whose rack is out of service; the others stand in :mod:`kvandal.policy.placement`."""


@large_kernel
def interrupt(state, job, cause, time_s):
    """Stop a job because of a failure, and count it by cause."""
    state.interruptions[cause, job] += 1
    leave(state, job, time_s, LOST_FAILURE)


@large_kernel
def fail(state, number, time_s):
    """Let failure `number` happen: what it meets is interrupted, and repaired if it breaks."""
    failure = state.failures[number]
    tray = failure.gpu // 4
    rack = tray // TRAYS_PER_RACK
    if failure.cause == CAUSE_RACK:
        _fail_rack(state, rack, failure.repair_s, time_s)
        return
    if state.room.trays[tray].state != TRAY_HEALTHY:
        return
    if failure.cause == CAUSE_HOST or failure.cause == CAUSE_NETWORK:  # noqa: PLR1714 - numba knows no mixed tuples
        for slot in range(4):
            job = state.room.slots[tray, slot]
            if job >= 0 and (failure.cause == CAUSE_HOST or slot == failure.gpu % 4):
                kind = EVENT_HOST_FAULT if failure.cause == CAUSE_HOST else EVENT_NETWORK_FAULT
                note_event(state, time_s, kind, rack, tray, job, state.jobs[job].gpus, 0)
                interrupt(state, job, failure.cause, time_s)
        return
    if not (failure.excess and state.works[tray].replaced):  # the tray that came instead is as good as any
        _fail_tray(state, tray, failure.repair_s, time_s)


@large_kernel
def _fail_tray(state, tray, repair_s, time_s):
    """Break a tray until it is repaired or replaced; its jobs go back to their queues."""
    room, rack = state.room, tray // TRAYS_PER_RACK
    hit = -1
    for slot in range(4):
        job = room.slots[tray, slot]
        if job >= 0:
            hit = job
            interrupt(state, job, CAUSE_TRAY, time_s)
    break_tray(room, tray)
    state.tally[0].broken_gpus += 4
    state.racks[rack].failures += 1
    state.works[tray].out_since_s = time_s
    note_event(state, time_s, EVENT_FAILURE, rack, tray, hit, 4, 0)
    if _fails_too_often(state, tray, time_s):
        state.works[tray].replaced = True
        state.racks[rack].replaced += 1
        note_event(state, time_s, EVENT_TRAY_REPLACED, rack, tray, -1, 4, 0)
        enter(state.agenda, state.tally[0], time_s + state.rules[0].replacement_s, REPAIR, tray)
    else:
        _order(state, tray, repair_s if repair_s > 0 else state.rules[0].repair_s, time_s)


@large_kernel
def _fails_too_often(state, tray, time_s):
    """Count a failure of a tray; whether it was the last that the rule on lemons allows."""
    rules, work = state.rules[0], state.works[tray]
    allowed = rules.lemon_failures
    if allowed == 0:
        return False
    state.recent_s[tray, work.failures % allowed] = time_s
    work.failures += 1
    if (
        work.failures < allowed
        or time_s - state.recent_s[tray, work.failures % allowed] > rules.lemon_window_s
    ):
        return False
    work.failures = 0  # the tray that comes instead starts afresh
    return True


@large_kernel
def _fail_rack(state, rack, repair_s, time_s):
    """Take a whole rack out of service: its NVLink switches are the blast radius of 72 GPUs."""
    room, tally = state.room, state.tally[0]
    unit = room.trays.shape[0] + rack
    if state.racks[rack].is_off or not state.racks[rack].delivered or state.works[unit].is_out:
        return
    told = False
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        for slot in range(4):
            job = room.slots[tray, slot]
            if job >= 0:
                note_event(state, time_s, EVENT_RACK_FAILURE, rack, tray, job, state.jobs[job].gpus, 0)
                interrupt(state, job, CAUSE_RACK, time_s)
                told = True
    if not told:
        note_event(state, time_s, EVENT_RACK_FAILURE, rack, -1, -1, 72, 0)
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if room.trays[tray].state == TRAY_HEALTHY:
            break_tray(room, tray)
            room.trays[tray].state = TRAY_STRANDED
            tally.broken_gpus += 4
            state.works[tray].out_since_s = time_s
    state.racks[rack].failures += 1
    state.works[unit].is_out = True
    _order(state, unit, repair_s if repair_s > 0 else state.rules[0].rack_repair_s, time_s)


@kernel
def _order(state, unit, repair_s, time_s):
    """Ask for a crew: it comes at once if one is free, else in its turn."""
    tally, crews = state.tally[0], state.rules[0].repair_crews
    work = state.works[unit]
    work.repair_s = repair_s
    work.ordered_s = time_s
    work.next_unit = -1
    if crews == 0 or tally.crews_busy < crews:
        _begin(state, unit, time_s)
        return
    queue = state.repair_queues[1 if unit < state.room.trays.shape[0] else 0]
    if queue.tail >= 0:
        state.works[queue.tail].next_unit = unit
    else:
        queue.head = unit
    queue.tail = unit
    tally.repairs_waiting += 1


@large_kernel
def _begin(state, unit, time_s):
    """Let a crew begin with a unit."""
    work, trays = state.works[unit], state.room.trays.shape[0]
    enter(state.agenda, state.tally[0], time_s + work.repair_s, REPAIR, unit)
    if state.rules[0].repair_crews > 0:
        work.has_crew = True
        state.tally[0].crews_busy += 1
        rack = unit // TRAYS_PER_RACK if unit < trays else unit - trays
        _count_wait(state, unit, time_s)
        tray, gpus = (unit, 4) if unit < trays else (-1, 72)
        note_event(state, time_s, EVENT_REPAIR_BEGINS, rack, tray, -1, gpus, 0)


@kernel
def _count_wait(state, unit, time_s):
    """Count how long the GPUs of a unit were out of service for want of a crew; a rack's broken trays count as trays."""
    trays, ordered_s = state.room.trays.shape[0], state.works[unit].ordered_s
    if unit < trays:
        state.racks[unit // TRAYS_PER_RACK].waited_gpu_s += 4 * (time_s - ordered_s)
        return
    rack = unit - trays
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if state.room.trays[tray].state == TRAY_STRANDED:
            since_s = max(ordered_s, state.works[tray].out_since_s)
            state.racks[rack].waited_gpu_s += 4 * (time_s - since_s)


@kernel
def _next_unit(state):
    """Take the unit out of its queue that has waited longest, racks before trays."""
    queue = state.repair_queues[0 if state.repair_queues[0].head >= 0 else 1]
    unit = queue.head
    queue.head = state.works[unit].next_unit
    if queue.head < 0:
        queue.tail = -1
    state.tally[0].repairs_waiting -= 1
    return unit


@large_kernel
def end_repair(state, unit, time_s):
    """Bring a unit back into service; its crew goes on to the next."""
    tally, trays = state.tally[0], state.room.trays.shape[0]
    if unit < trays:
        _return_tray(state, unit, time_s)
    else:
        _return_rack(state, unit - trays, time_s)
    tally.freed += 1
    if state.works[unit].has_crew:
        state.works[unit].has_crew = False
        tally.crews_busy -= 1
        if tally.repairs_waiting > 0:
            _begin(state, _next_unit(state), time_s)


@kernel
def _count_outage(state, tray, time_s):
    """Count how long a tray was out of service, and count afresh from now on."""
    state.racks[tray // TRAYS_PER_RACK].broken_gpu_s += 4 * (time_s - state.works[tray].out_since_s)
    state.works[tray].out_since_s = time_s


@kernel
def _switch_on(state, tray, time_s):
    """Give a tray without a fault back to its rack; in a rack that is off it comes back with the rack. Return GPUs gained."""
    rack = state.racks[tray // TRAYS_PER_RACK]
    if rack.is_off:
        state.room.trays[tray].state = TRAY_OFF
        rack.broken_gpu_s -= 4 * (time_s - rack.off_since_s)  # counted from there on when the rack comes back
        return 0
    repair_tray(state.room, tray)
    state.tally[0].broken_gpus -= 4
    return 4


@large_kernel
def _return_tray(state, tray, time_s):
    rack = tray // TRAYS_PER_RACK
    _count_outage(state, tray, time_s)
    gained = 0
    if state.works[state.room.trays.shape[0] + rack].is_out:
        state.room.trays[tray].state = TRAY_STRANDED
    else:
        gained = _switch_on(state, tray, time_s)
    note_event(state, time_s, EVENT_REPAIR, rack, tray, -1, gained, 0)


@large_kernel
def _return_rack(state, rack, time_s):
    state.works[state.room.trays.shape[0] + rack].is_out = False
    gained = 0
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if state.room.trays[tray].state == TRAY_STRANDED:
            _count_outage(state, tray, time_s)
            gained += _switch_on(state, tray, time_s)
    note_event(state, time_s, EVENT_RACK_REPAIR, rack, -1, -1, gained, 0)


@large_kernel
def close_repairs(state, time_s):
    """Count what is still out of service at the end."""
    for index in range(2):
        unit = state.repair_queues[index].head
        while unit >= 0:
            _count_wait(state, unit, time_s)
            unit = state.works[unit].next_unit
    for tray in range(state.room.trays.shape[0]):
        if state.room.trays[tray].state in (TRAY_BROKEN, TRAY_STRANDED):
            _count_outage(state, tray, time_s)
