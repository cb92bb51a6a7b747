"""The loop over simulated time: observe, envelope, decide, act, account, once per tick and at every event inside it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import TRAY_HEALTHY, TRAYS_PER_RACK, break_tray, deliver_rack, repair_tray
from kvandal.policy.sharing import ASSURED, FIRM, LENT, renew_shares
from kvandal.twin.account import account, physics
from kvandal.twin.budgets import count_grants, next_grant_s, take_grants
from kvandal.twin.caps import hold_envelope, refresh_it_now, tighten
from kvandal.twin.decisions import decide
from kvandal.twin.faults import (
    close_racks,
    end_fault,
    note_throttle,
    power_on,
    repair_in_dark_rack,
    return_racks,
    schedule_faults,
    start_fault,
    trip_hot_racks,
    trip_if_it_cannot_run,
    trip_if_still_out,
)
from kvandal.twin.heaps import enter, pop_first
from kvandal.twin.life import DONE, close_books, leave, note_event, note_plant_event, submit
from kvandal.twin.limits import site_limit_kw
from kvandal.twin.plant import accept_tick
from kvandal.twin.plant_state import (
    CURTAILMENT,
    DEMAND_KW,
    HV_TRANSFORMER,
    IT_KW,
    SITE_KW,
    deliver_to_plant,
    switch_rack,
)
from kvandal.twin.queues import link
from kvandal.twin.slowdown import count_slowed, follow_limits
from kvandal.twin.state import (
    DELIVERY,
    EVENT_DELIVERY,
    EVENT_FAILURE,
    EVENT_OVERLOAD,
    EVENT_OVERLOAD_OVER,
    EVENT_REPAIR,
    FAULT_OVER,
    FAULT_START,
    LOST_FAILURE,
    LOST_RECALL,
    POWER_ON,
    QUEUED,
    REPAIR,
    REST,
    SPEED_CLASSES,
    THROTTLE,
    TRIP,
)

FAR = np.int64(2**62)


@kernel
def _pass_time(state, time_s):
    """Count GPU-seconds up to an instant."""
    tally = state.tally[0]
    passed_s = time_s - tally.now_s
    if passed_s <= 0:
        return
    tally.installed_gpu_s += tally.installed_gpus * passed_s
    tally.broken_gpu_s += tally.broken_gpus * passed_s
    for index in range(3):
        tier = state.tiers[index]
        tier.gpu_s += tier.gpus * passed_s
    for index in range(state.tenants.shape[0]):
        tenant = state.tenants[index]
        tenant.held_gpu_s += (tenant.own + tenant.on_loan) * passed_s
        tenant.on_loan_gpu_s += tenant.on_loan * passed_s
        tenant.lent_out_gpu_s += tenant.lent_out * passed_s
    tally.now_s = time_s


@kernel
def _next_end(state):
    """Time of the next end of a job, and its speed class."""
    best_s, best = FAR, -1
    for index in range(SPEED_CLASSES):
        speed = state.speeds[index]
        if speed.running == 0 or speed.rate <= 0.0:
            continue
        left_s = (state.ends[index, 0].key - speed.clock_s) / speed.rate
        end_s = max(np.int64(math.ceil(speed.at_s + left_s - 1e-6)), state.tally[0].now_s)
        if end_s < best_s:
            best_s, best = end_s, index
    return best_s, best


@kernel
def _deliver(state, plant, rack, time_s):
    """Put a rack into service: it is powered, cooled and may be used from now on."""
    tally = state.tally[0]
    model = state.models[state.racks[rack].model]
    deliver_rack(state.room, rack)
    pod, group = state.racks[rack].pod, state.racks[rack].group
    deliver_to_plant(plant, pod, group, state.racks[rack].model, model.tdp_kw, model.liquid_fraction)
    switch_rack(plant, pod, group, model.idle_kw, model.liquid_fraction, 1)
    state.racks[rack].delivered = True
    tally.installed_gpus += 72
    renew_shares(state.tenants, tally.installed_gpus)
    tally.shares_renewed = 1
    tally.base_kw += model.idle_kw + state.rules[0].net_kw
    if time_s > 0:
        note_event(state, time_s, EVENT_DELIVERY, rack, -1, -1, 72, 0)
        trip_if_it_cannot_run(state, plant, rack, time_s)


@large_kernel
def _fail(state, gpu, time_s):
    """Break the tray of a failing GPU until it is repaired; its jobs go back to their queues."""
    rules = state.rules[0]
    room = state.room
    tray = gpu // 4
    rack = tray // TRAYS_PER_RACK
    if room.trays[tray].state != TRAY_HEALTHY:
        return
    hit = -1
    for slot in range(4):
        job = room.slots[tray, slot]
        if job >= 0:
            hit = job
            leave(state, job, time_s, LOST_FAILURE)
    break_tray(room, tray)
    state.tally[0].broken_gpus += 4
    state.racks[rack].failures += 1
    state.racks[rack].broken_gpu_s += 4 * min(rules.repair_s, rules.horizon_s - time_s)
    enter(state.agenda, state.tally[0], time_s + rules.repair_s, REPAIR, tray)
    note_event(state, time_s, EVENT_FAILURE, rack, tray, hit, 4, 0)


@large_kernel
def _take_agenda(state, plant, now_s):
    """Repairs, deliveries and ends of notice that are due now."""
    tally = state.tally[0]
    while tally.agenda_size > 0 and state.agenda[0].time_s == now_s:
        priority, subject = pop_first(state.agenda, tally)
        if priority == REPAIR:
            if repair_in_dark_rack(state, subject, now_s):
                continue
            repair_tray(state.room, subject)
            tally.broken_gpus -= 4
            note_event(state, now_s, EVENT_REPAIR, subject // TRAYS_PER_RACK, subject, -1, 4, 0)
        elif priority == DELIVERY:
            _deliver(state, plant, subject, now_s)
            refresh_it_now(state)
        elif priority == REST:
            if state.jobs[subject].state == QUEUED:  # not refused meanwhile
                link(state, subject, True)
        elif priority == FAULT_START:
            start_fault(state, plant, subject, now_s)
            refresh_it_now(state)
        elif priority == FAULT_OVER:
            end_fault(state, plant, subject, now_s)
        elif priority == THROTTLE:
            note_throttle(state, plant, subject, now_s)
        elif priority == TRIP:
            trip_if_still_out(state, plant, subject, now_s)
            refresh_it_now(state)
        elif priority == POWER_ON:
            power_on(state, plant, subject, now_s)
            refresh_it_now(state)
        elif state.jobs[subject].draining and state.jobs[subject].deadline_s == now_s:
            leave(state, subject, now_s, LOST_RECALL)


@kernel
def _take_ends(state, now_s):
    """End all jobs that are done now; return how many."""
    ended = 0
    end_s, end_class = _next_end(state)
    while end_s == now_s:
        leave(state, state.ends[end_class, 0].job, now_s, DONE)
        ended += 1
        end_s, end_class = _next_end(state)
    return ended


@kernel
def _records_run_short(state):
    """Whether loans, events or agenda might not hold what one more instant can bring."""
    tally, spare = state.tally[0], state.rules[0].spare_records
    return (
        state.loans.shape[0] - tally.loans < spare
        or state.events.shape[0] - tally.events < spare
        or state.agenda.shape[0] - tally.agenda_size < spare
    )


@large_kernel
def _take_events(state, plant, scratch, until_s):
    """Take all events before `until_s` in order of (time, priority, sequence) and decide after each instant.

    Return false when records run short before that.
    """
    tally = state.tally[0]
    jobs, failures = state.jobs, state.failures
    while True:
        if _records_run_short(state):
            return False
        end_s, _ = _next_end(state)
        now_s = min(end_s, tally.wake_s, next_grant_s(state))
        if tally.agenda_size > 0:
            now_s = min(now_s, state.agenda[0].time_s)
        if tally.next_failure < failures.shape[0]:
            now_s = min(now_s, failures[tally.next_failure].time_s)
        if tally.next_arrival < jobs.shape[0]:
            now_s = min(now_s, jobs[tally.next_arrival].submit_s)
        if now_s >= until_s:
            return True
        tally.wake_s = FAR
        _pass_time(state, now_s)
        _take_ends(state, now_s)
        if next_grant_s(state) <= now_s:
            take_grants(state, now_s)
        if tally.agenda_size > 0 and state.agenda[0].time_s == now_s:
            _take_agenda(state, plant, now_s)
        while tally.next_failure < failures.shape[0] and failures[tally.next_failure].time_s == now_s:
            _fail(state, failures[tally.next_failure].gpu, now_s)
            tally.next_failure += 1
        while tally.next_arrival < jobs.shape[0] and jobs[tally.next_arrival].submit_s == now_s:
            submit(state, tally.next_arrival)
            tally.next_arrival += 1
        decide(state, scratch.chosen, scratch.victims, now_s)


@large_kernel
def begin(state, plant, inputs, scratch, delivered_s):
    """Put up what stands at the start, note later deliveries, and measure the site while it is still empty."""
    for rack in range(delivered_s.shape[0]):
        if delivered_s[rack] <= 0:
            _deliver(state, plant, rack, 0)
        else:
            enter(state.agenda, state.tally[0], delivered_s[rack], DELIVERY, rack)
    schedule_faults(state)
    _limit_meter(state, plant)
    physics(state, plant, inputs, scratch, 0)
    _remember(state, plant)
    state.tally[0].wake_s = FAR


@kernel
def _limit_meter(state, plant):
    """Power that the meter may show from now on, and why; and what the battery can add in this tick."""
    tally, design = state.tally[0], plant.design[0]
    spare_kwh = design.battery_kwh - design.soc_minimum * design.battery_capacity_kwh
    hours = state.rules[0].tick_s / 3600.0
    tally.battery_room_kw = min(
        design.battery_kw, max(0.0, spare_kwh) * math.sqrt(design.battery_efficiency) / hours
    )
    tally.meter_limit_kw, tally.meter_constraint = site_limit_kw(plant.design[0], tally.curtailed_kw)
    tally.site_fault = -1
    if tally.meter_constraint == CURTAILMENT:
        tally.site_fault = tally.curtailment
    elif tally.meter_constraint == HV_TRANSFORMER:
        tally.site_fault = tally.transformer
    plant.nodes[0].fault = tally.site_fault


@kernel
def _remember(state, plant):
    """Keep the power of the tick just over, as it was before the battery."""
    tally, tick = state.tally[0], plant.tick
    tally.last_it_kw = tick[IT_KW]
    tally.last_site_kw = tick[DEMAND_KW] + plant.design[0].battery_standby_kw


@large_kernel
def _open_tick(state, plant, start_s):
    """Begin a tick: what is due at its first instant, then the envelope and its caps."""
    tally = state.tally[0]
    tally.tick_start_s = start_s
    _pass_time(state, start_s)
    tally.at_envelope = 0
    due = _take_ends(state, start_s) + tally.power_wait
    if tally.agenda_size > 0 and state.agenda[0].time_s == start_s:
        _take_agenda(state, plant, start_s)
        due += 1
    _limit_meter(state, plant)
    hold_envelope(state, start_s)
    if due > 0:
        tally.wake_s = start_s
    tally.power_wait = 0
    tally.wanted_kw = 0.0
    tally.tick_is_open = 1


@large_kernel
def end_run(state, time_s):
    """Settle every job that still runs when the simulated time is over; what ends at that very instant has finished."""
    _pass_time(state, time_s)
    _take_ends(state, time_s)
    close_books(state, time_s)
    close_racks(state, time_s)


@kernel
def _note_overload(state, plant, end_s):
    """Note when the meter begins, or ceases, to show more than it may although everything that can be shed is."""
    tally = state.tally[0]
    over = plant.tick[SITE_KW] > tally.meter_limit_kw * (1.0 + 1e-9)
    if over != (tally.over_limit > 0):
        tally.over_limit = 1 if over else 0
        kind = EVENT_OVERLOAD if over else EVENT_OVERLOAD_OVER
        at_s = end_s - state.rules[0].tick_s
        note_plant_event(state, at_s, kind, -1, -1, 0, tally.site_fault, 0, tally.meter_constraint)


@large_kernel
def advance(state, plant, inputs, out, scratch, first_tick, last_tick):
    """Turn the loop from `first_tick` up to `last_tick`.

    Returns
    -------
    The tick that comes next: `last_tick`, or an earlier one when records run short; calling again with more room for
    them goes on where the loop paused, even inside a tick.

    """
    tally, rules = state.tally[0], state.rules[0]
    for tick in range(first_tick, last_tick):
        start_s = tick * rules.tick_s
        end_s = start_s + rules.tick_s
        if _records_run_short(state):
            return tick
        if not tally.tick_is_open:
            _open_tick(state, plant, start_s)
        if not _take_events(state, plant, scratch, end_s):
            return tick
        tally.tick_is_open = 0
        _pass_time(state, end_s)
        physics(state, plant, inputs, scratch, tick)
        for _ in range(8):
            over_kw = plant.tick[SITE_KW] - tally.meter_limit_kw
            if over_kw <= 0.0 or not tighten(state, over_kw, end_s):
                break
            physics(state, plant, inputs, scratch, tick)
        accept_tick(plant)
        _remember(state, plant)
        capped = state.tiers[LENT].cap < 1.0 or state.tiers[ASSURED].cap < 1.0 or state.tiers[FIRM].cap < 1.0
        if tally.power_wait > 0 or capped:
            tally.at_envelope = 1
        site = plant.nodes[0]
        site.limit_kw, site.constraint = max(0.0, tally.it_envelope_kw), tally.meter_constraint
        site.it_kw, site.is_bound = plant.tick[IT_KW], tally.at_envelope > 0
        _note_overload(state, plant, end_s)
        account(state, plant, inputs, out, scratch, tick)
        count_grants(state, out, tick)
        trip_hot_racks(state, plant, end_s)
        return_racks(state, plant, end_s)
        follow_limits(state, scratch, end_s)
        count_slowed(state, plant)
    return last_tick
