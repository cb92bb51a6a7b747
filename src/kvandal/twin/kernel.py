"""The loop over simulated time: observe, envelope, decide, act, account, once per tick and at every event inside it."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import protected_until_s
from kvandal.policy.decide import decide
from kvandal.policy.drawdown import demote_excess, draw_down, take_limits
from kvandal.policy.placement import deliver_rack
from kvandal.policy.queues import hold, link
from kvandal.policy.rules import IN_ORDER
from kvandal.policy.tree import renew_shares
from kvandal.twin.account import account, physics
from kvandal.twin.budgets import count_grants, next_grant_s, take_grants
from kvandal.twin.caps import any_cap, follow_plan, hold_envelope, refresh_it_now, tighten
from kvandal.twin.decisions import carry_out
from kvandal.twin.faults import (
    close_racks,
    end_fault,
    note_throttle,
    power_on,
    return_racks,
    schedule_faults,
    start_fault,
    trip_hot_racks,
    trip_if_it_cannot_run,
    trip_if_still_out,
)
from kvandal.twin.heaps import enter, pop_first
from kvandal.twin.life import DONE, LIMIT_REACHED, close_books, leave, submit, touch
from kvandal.twin.limits import site_limit_kw
from kvandal.twin.log import note_event, note_plant_event
from kvandal.twin.plant import accept_tick
from kvandal.twin.plant_state import (
    CURTAILMENT,
    DEMAND_KW,
    HV_TRANSFORMER,
    IT_KW,
    SITE_KW,
    START_RAMP,
    deliver_to_plant,
    switch_rack,
)
from kvandal.twin.records import (
    DELIVERY,
    DRAW_DOWN,
    EVENT_DELIVERY,
    EVENT_OVERLOAD,
    EVENT_OVERLOAD_OVER,
    FAULT_OVER,
    FAULT_START,
    LIMITS,
    LOST_RECALL,
    POWER_ON,
    POWER_TIERS,
    QUEUED,
    RECALLABLE,
    REPAIR,
    REST,
    RUNNING,
    SPEED_CLASSES,
    THROTTLE,
    TIMEOUT,
    TRIP,
)
from kvandal.twin.recovery import limit_ramp
from kvandal.twin.repairs import close_repairs, end_repair, fail
from kvandal.twin.rooms import give_room, open_rooms
from kvandal.twin.slowdown import count_slowed, follow_limits

FAR = np.int64(2**62)


@large_kernel
def pass_time(state, time_s):
    """Count GPU-seconds up to an instant."""
    tally = state.tally[0]
    passed_s = time_s - tally.now_s
    if passed_s <= 0:
        return
    tally.installed_gpu_s += tally.installed_gpus * passed_s
    tally.broken_gpu_s += tally.broken_gpus * passed_s
    for index in range(POWER_TIERS):
        tier = state.tiers[index]
        tier.gpu_s += tier.gpus * passed_s
    for index in range(state.tenants.shape[0]):
        tenant = state.tenants[index]
        if tenant.is_group:  # its tenants' use stands in their own rows
            tenant.lent_out_gpu_s += tenant.lent * passed_s
            continue
        tenant.held_gpu_s += (tenant.own + tenant.on_loan) * passed_s
        tenant.on_loan_gpu_s += tenant.on_loan * passed_s
        tenant.lent_out_gpu_s += tenant.lent_out * passed_s
    tally.now_s = time_s


@kernel
def _next_end(state):
    """Time of the next end of a job, and its speed class."""
    best_s, best = FAR, -1
    if state.rules[0].told:  # an engine runs the jobs, and tells when they end
        return best_s, best
    for index in range(SPEED_CLASSES):
        speed = state.speeds[index]
        if speed.running == 0 or speed.rate <= 0.0:
            continue
        left_s = (state.ends[index, 0].key - speed.clock_s) / speed.rate
        end_s = max(np.int64(math.ceil(speed.at_s + left_s - 1e-6)), state.tally[0].now_s)
        if end_s < best_s:
            best_s, best = end_s, index
    return best_s, best


@large_kernel
def _deliver(state, plant, rack, time_s):
    """Put a rack into service: it is powered, cooled and may be used from now on."""
    tally = state.tally[0]
    model = state.models[state.racks[rack].model]
    deliver_rack(state.room, rack)
    pod, group = state.racks[rack].pod, state.racks[rack].group
    deliver_to_plant(plant, pod, group, state.racks[rack].model, model.tdp_kw, model.liquid_fraction)
    switch_rack(plant, pod, group, model.idle_kw, model.liquid_fraction, 1)
    state.racks[rack].delivered = True
    touch(state, rack)
    give_room(state, rack, model.tdp_kw - model.idle_kw)  # until the plant has told its limits
    tally.installed_gpus += 72
    renew_shares(state.tenants, tally.installed_gpus)
    tally.shares_renewed = 1
    tally.freed += 1
    tally.base_kw += model.idle_kw + state.rules[0].net_kw
    if time_s > 0:
        note_event(state, time_s, EVENT_DELIVERY, rack, -1, -1, 72, 0)
        trip_if_it_cannot_run(state, plant, rack, time_s)


@large_kernel
def take_agenda(state, plant, now_s):
    """Repairs, deliveries and ends of notice that are due now."""
    tally = state.tally[0]
    while tally.agenda_size > 0 and state.agenda[0].time_s == now_s:
        priority, subject = pop_first(state.agenda, tally)
        if priority == REPAIR:
            end_repair(state, subject, now_s)
        elif priority == DELIVERY:
            _deliver(state, plant, subject, now_s)
            refresh_it_now(state)
        elif priority == REST:
            if state.jobs[subject].state == QUEUED:  # not refused meanwhile
                hold(state, subject, IN_ORDER, now_s)
                link(state, subject, True, now_s)
        elif priority == RECALLABLE:
            if state.jobs[subject].on_loan and protected_until_s(state, subject) == now_s:
                state.jobs[subject].recallable = True
                tally.shares_renewed = 1
                tally.freed += 1
        elif priority == TIMEOUT:
            record = state.jobs[subject]
            if record.state == RUNNING and record.start_s + record.limit_s == now_s:
                leave(state, subject, now_s, LIMIT_REACHED)
        elif priority == DRAW_DOWN:
            draw_down(
                state, state.limit_steps[subject], tally.installed_gpus, state.limit_steps_s[subject], now_s
            )
            carry_out(state, now_s)
        elif priority == LIMITS:
            take_limits(state.tenants, state.limit_steps[subject])
            renew_shares(state.tenants, tally.installed_gpus)
            demote_excess(state, now_s)
            draw_down(state, state.limit_steps[subject], tally.installed_gpus, now_s, now_s)
            carry_out(state, now_s)
            tally.shares_renewed = 1
            tally.freed += 1
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


@large_kernel
def _take_ends(state, now_s):
    """End all jobs that are done now; return how many."""
    ended = 0
    end_s, end_class = _next_end(state)
    while end_s == now_s:
        leave(state, state.ends[end_class, 0].job, now_s, DONE)
        ended += 1
        end_s, end_class = _next_end(state)
    return ended


@large_kernel
def records_run_short(state):
    """Whether loans, events or agenda might not hold what one more instant can bring."""
    tally, spare = state.tally[0], state.rules[0].spare_records
    return (
        state.stints.shape[0] - tally.stints < spare
        or state.placements.shape[0] - tally.placements < spare
        or state.loans.shape[0] - tally.loans < spare
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
        if records_run_short(state):
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
        pass_time(state, now_s)
        _take_ends(state, now_s)
        if next_grant_s(state) <= now_s:
            take_grants(state, now_s)
        if tally.agenda_size > 0 and state.agenda[0].time_s == now_s:
            take_agenda(state, plant, now_s)
        while tally.next_failure < failures.shape[0] and failures[tally.next_failure].time_s == now_s:
            fail(state, tally.next_failure, now_s)
            tally.next_failure += 1
        while tally.next_arrival < jobs.shape[0] and jobs[tally.next_arrival].submit_s == now_s:
            submit(state, tally.next_arrival, now_s)
            tally.next_arrival += 1
        decide(state, scratch, now_s)
        carry_out(state, now_s)


@large_kernel
def begin(state, plant, inputs, scratch, delivered_s):
    """Put up what stands at the start, note later deliveries, and measure the site while it is still empty."""
    for rack in range(delivered_s.shape[0]):
        if delivered_s[rack] <= 0:
            _deliver(state, plant, rack, 0)
        else:
            enter(state.agenda, state.tally[0], delivered_s[rack], DELIVERY, rack)
    schedule_faults(state)
    state.tally[0].all_racks = 1
    schedule_limits(state, 0)
    limit_meter(state, plant)
    physics(state, plant, inputs, scratch, 0)
    _remember(state, plant)
    state.tally[0].wake_s = FAR


@large_kernel
def schedule_limits(state, after_s):
    """Note when limits change after an instant, and when those who would be above them must have their notice."""
    for step in range(1, state.limit_steps_s.shape[0]):
        at_s = state.limit_steps_s[step]
        if at_s <= after_s:
            continue
        enter(state.agenda, state.tally[0], at_s, LIMITS, step)
        for index in range(state.tenants.shape[0]):
            notice_s, known = state.tenants[index].notice_s, False
            for other in range(index):
                known = known or state.tenants[other].notice_s == notice_s
            if not known and at_s - notice_s > after_s and notice_s > 0:
                enter(state.agenda, state.tally[0], at_s - notice_s, DRAW_DOWN, step)


@kernel
def _remember_use(state):
    """Let past use of tenants and groups fade, and count that of the tick just over, as its last instant shows it."""
    rules = state.rules[0]
    if not rules.by_use:
        return
    for index in range(state.tenants.shape[0]):
        tenant = state.tenants[index]
        tenant.used_gpu_s = tenant.used_gpu_s * rules.use_decay + (tenant.own + tenant.on_loan) * rules.tick_s


@large_kernel
def limit_meter(state, plant):
    """Power that the meter may show from now on, and why; and what the battery can add in this tick."""
    tally, design = state.tally[0], plant.design[0]
    spare_kwh = design.battery_kwh - design.soc_minimum * design.battery_capacity_kwh
    hours = state.rules[0].tick_s / 3600.0
    tally.battery_room_kw = min(
        design.battery_kw, max(0.0, spare_kwh) * math.sqrt(design.battery_efficiency) / hours
    )
    most_kw = min(tally.curtailed_kw, tally.set_point_kw)
    tally.meter_limit_kw, tally.meter_constraint = site_limit_kw(plant.design[0], most_kw)
    tally.meter_limit_kw = max(0.0, tally.meter_limit_kw - tally.unexplained_kw)
    tally.site_fault = -1
    if tally.meter_constraint == CURTAILMENT:
        tally.site_fault = tally.curtailment
    elif tally.meter_constraint == HV_TRANSFORMER:
        tally.site_fault = tally.transformer
    plant.nodes[0].fault = tally.site_fault


@large_kernel
def _remember(state, plant):
    """Keep the power of the tick just over, as it was before the battery and as the meter shows it."""
    tally, tick = state.tally[0], plant.tick
    tally.last_it_kw = tick[IT_KW]
    tally.last_site_kw = tick[DEMAND_KW] + plant.design[0].battery_standby_kw
    tally.earlier_meter_kw = tally.last_meter_kw
    tally.last_meter_kw = tick[SITE_KW]


@large_kernel
def open_tick(state, plant, planned_cap, start_s):
    """Begin a tick: what is due at its first instant, then the envelope and its caps."""
    tally = state.tally[0]
    tally.tick_start_s = start_s
    pass_time(state, start_s)
    tally.at_envelope = 0
    due = _take_ends(state, start_s) + tally.power_wait + tally.opened
    if tally.agenda_size > 0 and state.agenda[0].time_s == start_s:
        take_agenda(state, plant, start_s)
        due += 1
    limit_meter(state, plant)
    limit_ramp(state, start_s)
    hold_envelope(state, start_s)
    follow_plan(state, planned_cap, start_s)
    if due > 0:
        tally.wake_s = start_s
        tally.freed += 1
    tally.power_wait = 0
    tally.opened = 0
    tally.wanted_kw = 0.0
    tally.tick_is_open = 1


@large_kernel
def end_run(state, time_s):
    """Settle every job that still runs when the simulated time is over; what ends at that very instant has finished."""
    pass_time(state, time_s)
    _take_ends(state, time_s)
    close_books(state, time_s)
    close_racks(state, time_s)
    close_repairs(state, time_s)


@large_kernel
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
def close_tick(state, plant, inputs, out, scratch, tick):
    """End a tick: what the plant makes of it, the last word of the caps, the books, and what it means for the next."""
    tally, rules = state.tally[0], state.rules[0]
    end_s = (tick + 1) * rules.tick_s
    tally.tick_is_open = 0
    pass_time(state, end_s)
    physics(state, plant, inputs, scratch, tick)
    for _ in range(8):
        over_kw = plant.tick[SITE_KW] - min(tally.meter_limit_kw, tally.ramp_limit_kw)
        if over_kw <= 0.0 or not tighten(state, over_kw, end_s):
            break
        physics(state, plant, inputs, scratch, tick)
    accept_tick(plant)
    _remember(state, plant)
    if tally.power_wait > 0 or any_cap(state):
        tally.at_envelope = 1
    site = plant.nodes[0]
    site.limit_kw, site.constraint = max(0.0, tally.it_envelope_kw), tally.meter_constraint
    if tally.ramp_limit_kw < tally.meter_limit_kw:
        site.constraint = START_RAMP
    site.it_kw, site.is_bound = plant.tick[IT_KW], tally.at_envelope > 0
    _note_overload(state, plant, end_s)
    account(state, plant, inputs, out, scratch, tick)
    count_grants(state, out, tick)
    trip_hot_racks(state, plant, end_s)
    return_racks(state, plant, end_s)
    follow_limits(state, scratch, end_s)
    count_slowed(state, plant)
    open_rooms(state, plant)
    _remember_use(state)


@large_kernel
def advance(state, plant, inputs, out, scratch, first_tick, last_tick):
    """Turn the loop from `first_tick` up to `last_tick`.

    Returns
    -------
    The tick that comes next: `last_tick`, or an earlier one when records run short; calling again with more room for
    them goes on where the loop paused, even inside a tick.

    """
    tally, rules = state.tally[0], state.rules[0]
    tally.all_racks = 1  # there is nothing in `scratch` yet
    for tick in range(first_tick, last_tick):
        start_s = tick * rules.tick_s
        end_s = start_s + rules.tick_s
        if records_run_short(state):
            return tick
        if not tally.tick_is_open:
            open_tick(state, plant, inputs.plan[start_s // 3600, 1], start_s)
        if not _take_events(state, plant, scratch, end_s):
            return tick
        close_tick(state, plant, inputs, out, scratch, tick)
    return last_tick
