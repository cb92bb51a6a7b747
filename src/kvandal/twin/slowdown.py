"""Jobs on racks that the plant leaves less power: they slow down, and somebody is told why."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.twin.limits import limiting_fault
from kvandal.twin.pace import slow_down, slowest_part
from kvandal.twin.records import COST_SLOWED_GPU_S, SPEED_CLASSES

SMALLEST_CHANGE = 1e-6
"""Changes of a rack's part below this do not reach its jobs."""


@large_kernel
def follow_limits(state, scratch, time_s):
    """Let the jobs follow the parts of power that the tick just over left to their racks."""
    tally, room = state.tally[0], state.room
    if tally.limited == 0 and tally.slowed_racks == 0:
        return
    slowed = 0
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        part = scratch.part[index] if tally.limited else 1.0
        if part < 1.0:
            slowed += 1
        if abs(part - rack.part) <= SMALLEST_CHANGE and (part < 1.0 or rack.part == 1.0):
            continue
        rack.part = part
        before = -1
        for tray in range(index * 18, (index + 1) * 18):
            for slot in range(4):
                job = room.slots[tray, slot]
                if job >= 0 and job != before:
                    before = job
                    slow_down(state, job, slowest_part(state, job), time_s)
    tally.slowed_racks = slowed


@kernel
def _fault_of(state, plant, job):
    """Fault behind the rack that slows a job down most, or -1."""
    room = state.room
    slowest, fault = 1.0, -1
    piece = room.first_piece[job]
    while piece >= 0:
        rack = state.racks[room.pieces[piece].rack]
        if rack.part < slowest:
            slowest = rack.part
            fault = limiting_fault(plant, state.faults, rack)
        piece = room.pieces[piece].next
    return fault


@large_kernel
def count_slowed(state, plant):
    """Book the GPU-seconds that jobs lose to slower work in this tick, tenant by tenant, to the faults behind it."""
    tally, jobs = state.tally[0], state.jobs
    if tally.active_faults == 0:
        return
    tick_s = state.rules[0].tick_s
    for speed_class in range(SPEED_CLASSES):
        speed = state.speeds[speed_class]
        if speed.rate >= 1.0 and tally.slowed_racks == 0:
            continue
        for position in range(speed.running):
            job = state.ends[speed_class, position].job
            here = jobs[job].gpus * tick_s * speed.rate
            own = state.demands[jobs[job].demand].speed
            if jobs[job].slow < own:
                fault = _fault_of(state, plant, job)
                if fault >= 0:
                    state.fault_cost[fault, jobs[job].tenant, COST_SLOWED_GPU_S] += here * (
                        own - jobs[job].slow
                    )
            if speed.rate < 1.0 and tally.site_fault >= 0:
                lost = jobs[job].gpus * tick_s * (1.0 - speed.rate)
                state.fault_cost[tally.site_fault, jobs[job].tenant, COST_SLOWED_GPU_S] += lost
