"""What a tick adds to the books: power of every rack, the plant behind it, site, halls and customers by tick and hour."""

from __future__ import annotations

from typing import Any, NamedTuple

from kvandal.compiled import kernel
from kvandal.twin.life import MILLIWATT
from kvandal.twin.plant import PLANT_COLUMNS, plant_tick

Array = Any

(
    TICK_INSTALLED,
    TICK_BROKEN,
    TICK_FIRM,
    TICK_ASSURED,
    TICK_LENT,
    TICK_RUNNING,
    TICK_QUEUED,
    TICK_QUEUED_GPUS,
) = range(8)
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
def _rack_powers(state, rack_kw):
    """Mean power of every rack in this tick [kW], under the caps."""
    for index in range(rack_kw.shape[0]):
        rack = state.racks[index]
        kw = 0.0
        if rack.delivered:
            kw = state.models[rack.model].idle_kw
            for tier in range(3):
                kw += (
                    state.rack_tiers[index, tier].mw * MILLIWATT * state.tier_models[tier, rack.model].factor
                )
            if rack.is_touched:
                for tier in range(3):
                    kw += state.rack_tiers[index, tier].tick_kw * state.tier_models[tier, rack.model].factor
        rack_kw[index] = kw


@kernel
def _at_tick(hourly, tick, tick_s):
    """Value of an hourly series in the middle of a tick, linear between the hours."""
    hour = tick * tick_s // 3600
    part = (tick * tick_s % 3600 + tick_s / 2) / 3600
    return hourly[hour] * (1 - part) + hourly[hour + 1] * part


@kernel
def physics(state, plant, inputs, scratch, tick):
    """Take the plant through a tick; return its new excess temperature."""
    rules = state.rules[0]
    hour = tick * rules.tick_s // 3600
    ambient_c = _at_tick(inputs.ambient_c, tick, rules.tick_s)
    wet_bulb_c = _at_tick(inputs.wet_bulb_c, tick, rules.tick_s)
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
def account(state, plant, inputs, out, scratch, tick):
    """Write down a tick and add it to its hour."""
    tally = state.tally[0]
    tick_s = state.rules[0].tick_s
    hour = tick * tick_s // 3600
    hours = tick_s / 3600.0
    real, count = out.tick_real[tick], out.tick_count[tick]
    for column in range(PLANT_COLUMNS):
        real[column] = plant.tick[column]
    real[ENVELOPE_COLUMN] = tally.at_envelope
    real[AMBIENT_COLUMN] = _at_tick(inputs.ambient_c, tick, tick_s)
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
