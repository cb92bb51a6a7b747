"""The loop over simulated time: observe, envelope, decide, act, account, once per tick and at every event inside it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled import kernel
from kvandal.policy.placement import TRAY_HEALTHY, TRAYS_PER_RACK, break_tray, deliver_rack, repair_tray
from kvandal.policy.sharing import ASSURED, FIRM, LENT, renew_shares
from kvandal.twin.caps import hold_envelope, refresh_it_now, set_cap
from kvandal.twin.decisions import decide
from kvandal.twin.heaps import enter, pop_first
from kvandal.twin.life import MILLIWATT, leave, note_event, submit
from kvandal.twin.plant import IT_KW, PLANT_COLUMNS, SITE_KW, deliver_to_plant, plant_tick
from kvandal.twin.state import (
    DELIVERY,
    EVENT_DELIVERY,
    EVENT_FAILURE,
    EVENT_REPAIR,
    LOST_FAILURE,
    LOST_RECALL,
    REPAIR,
    SPARE_RECORDS,
    SPEED_CLASSES,
)

Array = Any
FAR = np.int64(2**62)

(TICK_INSTALLED, TICK_BROKEN, TICK_FIRM, TICK_ASSURED, TICK_LENT, TICK_RUNNING, TICK_QUEUED, TICK_QUEUED_GPUS) = range(8)
TICK_COUNTS = 8
CAP_COLUMN = PLANT_COLUMNS
ENVELOPE_COLUMN = PLANT_COLUMNS + 3
AMBIENT_COLUMN = PLANT_COLUMNS + 4
TICK_REALS = PLANT_COLUMNS + 5
"""Plant columns, three caps, whether the envelope held anything back, outdoor temperature."""


class Inputs(NamedTuple):
    """Series of the run.

    Attributes
    ----------
    ambient_c, wet_bulb_c : float64 (hours + 1,), at the hours; linear between them
    heat_demand_kw : float64 (hours, customers)

    """

    ambient_c: Array
    wet_bulb_c: Array
    heat_demand_kw: Array


class Outputs(NamedTuple):
    """What the loop writes.

    Attributes
    ----------
    tick_real : float64 (ticks, TICK_REALS)
    tick_count : int64 (ticks, TICK_COUNTS)
    hall_hour : float64 (hours, halls, 3), kWh of IT, liquid and air heat
    tenant_hour : int64 (hours, tenants + 1, 5), GPU-seconds held, on loan, lent out; queued jobs and GPUs at the end
    heat_hour : float64 (hours, customers, 3), kWh wanted, delivered, taken from the loop

    """

    tick_real: Array
    tick_count: Array
    hall_hour: Array
    tenant_hour: Array
    heat_hour: Array


class Scratch(NamedTuple):
    """Room to work in; holds nothing from tick to tick."""

    rack_kw: Array
    chosen: Array
    victims: Array


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
    """A rack arrives: it is powered, cooled and may be used from now on."""
    tally = state.tally[0]
    model = state.models[state.racks[rack].model]
    deliver_rack(state.room, rack)
    deliver_to_plant(plant, state.racks[rack].cdu, model.tdp_kw, model.liquid_fraction)
    state.racks[rack].delivered = True
    tally.installed_gpus += 72
    renew_shares(state.tenants, tally.installed_gpus)
    tally.base_kw += model.idle_kw + state.rules[0].net_kw
    if time_s > 0:
        note_event(state, time_s, EVENT_DELIVERY, rack, -1, -1, 72, 0)


@kernel
def _fail(state, gpu, time_s):
    """A GPU fails: its tray breaks until it is repaired, its jobs go back to their queues."""
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


@kernel
def _take_agenda(state, plant, now_s):
    """Repairs, deliveries and ends of notice that are due now."""
    tally = state.tally[0]
    while tally.agenda_size > 0 and state.agenda[0].time_s == now_s:
        priority, subject = pop_first(state.agenda, tally)
        if priority == REPAIR:
            repair_tray(state.room, subject)
            tally.broken_gpus -= 4
            note_event(state, now_s, EVENT_REPAIR, subject // TRAYS_PER_RACK, subject, -1, 4, 0)
        elif priority == DELIVERY:
            _deliver(state, plant, subject, now_s)
            refresh_it_now(state)
        elif state.jobs[subject].draining and state.jobs[subject].deadline_s == now_s:
            leave(state, subject, now_s, LOST_RECALL)


@kernel
def _take_events(state, plant, scratch, until_s):
    """Take all events before `until_s` in order of (time, priority, sequence) and decide after each instant."""
    tally = state.tally[0]
    jobs, failures = state.jobs, state.failures
    while True:
        end_s, end_class = _next_end(state)
        now_s = end_s
        if tally.agenda_size > 0:
            now_s = min(now_s, state.agenda[0].time_s)
        if tally.next_failure < failures.shape[0]:
            now_s = min(now_s, failures[tally.next_failure].time_s)
        if tally.next_arrival < jobs.shape[0]:
            now_s = min(now_s, jobs[tally.next_arrival].submit_s)
        if now_s >= until_s:
            return
        _pass_time(state, now_s)
        while end_s == now_s:
            leave(state, state.ends[end_class, 0].job, now_s, -1)
            end_s, end_class = _next_end(state)
        _take_agenda(state, plant, now_s)
        while tally.next_failure < failures.shape[0] and failures[tally.next_failure].time_s == now_s:
            _fail(state, failures[tally.next_failure].gpu, now_s)
            tally.next_failure += 1
        while tally.next_arrival < jobs.shape[0] and jobs[tally.next_arrival].submit_s == now_s:
            submit(state, tally.next_arrival)
            tally.next_arrival += 1
        decide(state, scratch.chosen, scratch.victims, now_s)


@kernel
def _rack_powers(state, rack_kw):
    """Mean power of every rack in this tick [kW], under the caps."""
    for index in range(rack_kw.shape[0]):
        rack = state.racks[index]
        kw = 0.0
        if rack.delivered:
            kw = state.models[rack.model].idle_kw
            for tier in range(3):
                kw += state.rack_tiers[index, tier].mw * MILLIWATT * state.tier_models[tier, rack.model].factor
            if rack.is_touched:
                for tier in range(3):
                    kw += state.rack_tiers[index, tier].tick_kw * state.tier_models[tier, rack.model].factor
        rack_kw[index] = kw


@kernel
def _physics(state, plant, inputs, scratch, tick):
    """Take the plant through a tick; return its new excess temperature."""
    rules = state.rules[0]
    start_s = tick * rules.tick_s
    hour = start_s // 3600
    part = (start_s % 3600 + rules.tick_s / 2) / 3600
    ambient_c = inputs.ambient_c[hour] * (1 - part) + inputs.ambient_c[hour + 1] * part
    wet_bulb_c = inputs.wet_bulb_c[hour] * (1 - part) + inputs.wet_bulb_c[hour + 1] * part
    for customer in range(plant.customers.shape[0]):
        plant.customers[customer].wanted_kw = inputs.heat_demand_kw[hour, customer]
    _rack_powers(state, scratch.rack_kw)
    for cdu in range(plant.cdus.shape[0]):
        plant.cdus[cdu].heat_kw = 0.0
    it_kw = 0.0
    air_kw = 0.0
    for index in range(scratch.rack_kw.shape[0]):
        rack = state.racks[index]
        if rack.delivered:
            kw = scratch.rack_kw[index]
            liquid_kw = state.models[rack.model].liquid_fraction * kw
            plant.cdus[rack.cdu].heat_kw += liquid_kw
            air_kw += kw - liquid_kw + rules.net_kw
            it_kw += kw + rules.net_kw
    return plant_tick(plant, it_kw, air_kw, ambient_c, wet_bulb_c, rules.tick_s)


@kernel
def _account_racks(state, out, scratch, hour, hours):
    """Add this tick to racks and halls, and forget what changed inside it."""
    net_kw = state.rules[0].net_kw
    for index in range(scratch.rack_kw.shape[0]):
        rack = state.racks[index]
        if not rack.delivered:
            continue
        kw = scratch.rack_kw[index]
        rack.energy_kwh += kw * hours
        rack.peak_kw = max(rack.peak_kw, kw)
        liquid_kw = state.models[rack.model].liquid_fraction * kw
        out.hall_hour[hour, rack.hall, 0] += (kw + net_kw) * hours
        out.hall_hour[hour, rack.hall, 1] += liquid_kw * hours
        out.hall_hour[hour, rack.hall, 2] += (kw - liquid_kw + net_kw) * hours
    for position in range(state.tally[0].touched):
        index = state.touched[position]
        state.racks[index].is_touched = False
        for tier in range(3):
            state.rack_tiers[index, tier].tick_kw = 0.0
    state.tally[0].touched = 0


@kernel
def _account(state, plant, inputs, out, scratch, tick):
    """Write down a tick and add it to its hour."""
    tally = state.tally[0]
    tick_s = state.rules[0].tick_s
    hour = tick * tick_s // 3600
    hours = tick_s / 3600.0
    real, count = out.tick_real[tick], out.tick_count[tick]
    for column in range(PLANT_COLUMNS):
        real[column] = plant.tick[column]
    real[ENVELOPE_COLUMN] = tally.at_envelope
    part = (tick * tick_s % 3600 + tick_s / 2) / 3600
    real[AMBIENT_COLUMN] = inputs.ambient_c[hour] * (1 - part) + inputs.ambient_c[hour + 1] * part
    count[TICK_INSTALLED] = tally.installed_gpu_s
    count[TICK_BROKEN] = tally.broken_gpu_s
    tally.installed_gpu_s = 0
    tally.broken_gpu_s = 0
    for index in range(3):
        tier = state.tiers[index]
        real[CAP_COLUMN + index] = tier.cap
        count[TICK_FIRM + index] = tier.gpu_s
        tier.gpu_s = 0
    count[TICK_RUNNING] = tally.running_jobs
    count[TICK_QUEUED] = tally.queued_jobs
    count[TICK_QUEUED_GPUS] = tally.queued_gpus
    _account_racks(state, out, scratch, hour, hours)
    for index in range(plant.customers.shape[0]):
        customer = plant.customers[index]
        out.heat_hour[hour, index, 0] += customer.wanted_kw * hours
        out.heat_hour[hour, index, 1] += customer.delivered_kw * hours
        out.heat_hour[hour, index, 2] += customer.source_kw * hours
    if (tick + 1) * tick_s % 3600 == 0:
        for index in range(state.tenants.shape[0]):
            tenant = state.tenants[index]
            out.tenant_hour[hour, index, 0] = tenant.held_gpu_s
            out.tenant_hour[hour, index, 1] = tenant.on_loan_gpu_s
            out.tenant_hour[hour, index, 2] = tenant.lent_out_gpu_s
            tenant.held_gpu_s = 0
            tenant.on_loan_gpu_s = 0
            tenant.lent_out_gpu_s = 0
        for index in range(state.queues.shape[0]):
            queue = state.queues[index]
            out.tenant_hour[hour, queue.tenant, 3] += queue.jobs
            out.tenant_hour[hour, queue.tenant, 4] += queue.gpus


@kernel
def begin(state, plant, inputs, scratch, delivered_s):
    """Put up what stands at the start, note later deliveries, and measure the site while it is still empty."""
    for rack in range(delivered_s.shape[0]):
        if delivered_s[rack] <= 0:
            _deliver(state, plant, rack, 0)
        else:
            enter(state.agenda, state.tally[0], delivered_s[rack], DELIVERY, rack)
    _physics(state, plant, inputs, scratch, 0)
    state.tally[0].last_it_kw = plant.tick[IT_KW]
    state.tally[0].last_site_kw = plant.tick[SITE_KW]


@kernel
def advance(state, plant, inputs, out, scratch, first_tick, last_tick):
    """Turn the loop from `first_tick` up to `last_tick`.

    Returns
    -------
    The tick that comes next: `last_tick`, or an earlier one when records run short and must be enlarged first.

    """
    tally, rules = state.tally[0], state.rules[0]
    for tick in range(first_tick, last_tick):
        if (
            state.loans.shape[0] - tally.loans < SPARE_RECORDS
            or state.events.shape[0] - tally.events < SPARE_RECORDS
            or state.agenda.shape[0] - tally.agenda_size < SPARE_RECORDS
        ):
            return tick
        start_s = tick * rules.tick_s
        end_s = start_s + rules.tick_s
        tally.tick_start_s = start_s
        _pass_time(state, start_s)
        tally.at_envelope = 0
        hold_envelope(state, start_s)
        if tally.power_wait > 0:
            tally.power_wait = 0
            tally.wanted_kw = 0.0
            decide(state, scratch.chosen, scratch.victims, start_s)
        _take_events(state, plant, scratch, end_s)
        _pass_time(state, end_s)
        excess_k = _physics(state, plant, inputs, scratch, tick)
        for _ in range(8):
            # the weather or an overhead moved inside the tick: caps answer within seconds
            over_kw = plant.tick[SITE_KW] - rules.envelope_kw
            if over_kw <= 0.0 or not _tighten(state, over_kw, end_s):
                break
            excess_k = _physics(state, plant, inputs, scratch, tick)
        plant.design[0].loop_excess_k = excess_k
        tally.last_it_kw = plant.tick[IT_KW]
        tally.last_site_kw = plant.tick[SITE_KW]
        capped = state.tiers[LENT].cap < 1.0 or state.tiers[ASSURED].cap < 1.0 or state.tiers[FIRM].cap < 1.0
        if tally.power_wait > 0 or capped:
            tally.at_envelope = 1
        _account(state, plant, inputs, out, scratch, tick)
    return last_tick


@kernel
def _tighten(state, over_kw, time_s):
    """Lower the caps of this tick by what the site is over, in the order of shedding; false when all are at the floor."""
    rules = state.rules[0]
    left_kw = over_kw
    for step in range(3):
        tier = 2 - step
        if state.tiers[tier].cap <= rules.cap_minimum or left_kw <= 0.0:
            continue
        kw_per_cap = 0.0
        for model in range(state.models.shape[0]):
            rack = state.models[model]
            kw_per_cap += state.tier_models[tier, model].mw * MILLIWATT * rack.gpu_kw / (rack.tdp_kw - rack.idle_kw)
        if kw_per_cap <= 0.0:
            continue
        cap = max(rules.cap_minimum, state.tiers[tier].cap - left_kw / kw_per_cap)
        left_kw -= (state.tiers[tier].cap - cap) * kw_per_cap
        set_cap(state, tier, cap, time_s)
    return left_kw < over_kw
