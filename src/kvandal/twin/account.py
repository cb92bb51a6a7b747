"""What a tick adds to the books: power of every rack, the plant behind it, site, halls and customers by tick and hour."""

from __future__ import annotations

from typing import Any, NamedTuple

from kvandal.compiled import kernel, large_kernel
from kvandal.compiled.tables import by_reference
from kvandal.policy.tree import PROTECTED
from kvandal.twin.limits import fault_behind, limit_nodes
from kvandal.twin.loads import apply_limits, book_racks, close_hour, gather_wishes
from kvandal.twin.log import note_plant_event
from kvandal.twin.plant import plant_tick
from kvandal.twin.plant_state import PLANT_COLUMNS
from kvandal.twin.records import EVENT_LIMIT, EVENT_LIMIT_OVER, POWER_TIERS

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
IT_LIMIT_COLUMN = PLANT_COLUMNS + 5
CONSTRAINT_COLUMN = PLANT_COLUMNS + 6
METER_LIMIT_COLUMN = PLANT_COLUMNS + 7
TICK_REALS = PLANT_COLUMNS + 8
"""Plant columns, three caps, whether the envelope held anything back, outdoor temperature; the largest IT power that the
site may draw [kW], the number of the constraint that says so, and the power that the meter may show [kW]."""


@by_reference
class Inputs(NamedTuple):
    """Series of the run.

    Attributes
    ----------
    ambient_c, wet_bulb_c, sea_c : float64 (hours + 1,), at the hours; linear between them
    tcs_supply_c, hall_air_c : float64 (hours,), set-points
    heat_demand_kw : float64 (hours, customers)
    plan : float64 (hours, 2), the day-ahead plan: power of the battery [kW], above 0 discharges, NaN where nothing is planned;
        cap on lent work's GPU power

    """

    ambient_c: Array
    wet_bulb_c: Array
    sea_c: Array
    tcs_supply_c: Array
    hall_air_c: Array
    heat_demand_kw: Array
    plan: Array


@by_reference
class Outputs(NamedTuple):
    """What the loop writes.

    Attributes
    ----------
    tick_real : float64 (ticks, TICK_REALS)
    tick_count : int64 (ticks, TICK_COUNTS)
    hall_hour : float64 (hours, halls, 6), kWh of IT, liquid and air heat, kWh rejected; mean facility-water supply and
        mean air that the racks breathe in [°C]
    pod_hour : float64 (hours, pods, 3), kWh to the coolant, highest supply and highest junction temperature [°C]
    rack_hour : float32 (hours, racks), kWh of IT of each rack
    node_limit_kw : float32 (hours, nodes), smallest limit of each node of the envelope tree
    node_constraint : int8 (hours, nodes), the constraint behind it
    bound_s : int64 (nodes, constraints), time that each constraint bound each node
    room_kw : float64 (nodes, constraints), least room under the limit in the ticks in which it was the tightest
    tenant_hour : int64 (hours, tenants + 1, 5), GPU-seconds held, on loan, lent out; queued jobs and GPUs at the end. Groups
        and the pool (the last) only lend
    heat_hour : float64 (hours, customers, 5), kWh wanted, delivered, handed over, drawn by its heat pump, lost in its pipe
    room_hour : int64 (hours, 3), at the end of each: GPUs that are free, of these in wholly free trays, and in racks that a
        segment of a large gang fits in
    grant_hour : int64 (hours, grants, 3), GPU-seconds spent since the start, committed and left at the end

    """

    tick_real: Array
    tick_count: Array
    hall_hour: Array
    pod_hour: Array
    rack_hour: Array
    node_limit_kw: Array
    node_constraint: Array
    bound_s: Array
    room_kw: Array
    tenant_hour: Array
    heat_hour: Array
    room_hour: Array
    grant_hour: Array


@by_reference
class Scratch(NamedTuple):
    """Room to work in; holds nothing from call to call of the loop.

    Attributes
    ----------
    above_kw, part, share : float64 (racks,), power above idle of the racks and the part left to them; the same power over
        that at TDP, without what was switched on or off inside the tick
    chosen : int64 (racks,), racks chosen for a claim
    victims : int64 (GPUs + 1,), jobs chosen for a recall
    free_s, tray_s : int64 (racks,), (18,), when racks and trays should be free
    order : int64 (queues + 1,), queues in the order in which they are served
    removed : int64 (GPUs + 1,), records of loans that moved

    """

    above_kw: Array
    part: Array
    share: Array
    chosen: Array
    victims: Array
    free_s: Array
    tray_s: Array
    order: Array
    removed: Array


@kernel
def _at_tick(hourly, tick, tick_s):
    """Value of an hourly series in the middle of a tick, linear between the hours."""
    hour = tick * tick_s // 3600
    part = (tick * tick_s % 3600 + tick_s / 2) / 3600
    return hourly[hour] * (1 - part) + hourly[hour + 1] * part


@large_kernel
def physics(state, plant, inputs, scratch, tick):
    """Take the plant through a tick: what racks want, what the tree of limits leaves, what the plant makes of it."""
    rules, tally = state.rules[0], state.tally[0]
    hour = tick * rules.tick_s // 3600
    weather = (
        _at_tick(inputs.ambient_c, tick, rules.tick_s),
        _at_tick(inputs.wet_bulb_c, tick, rules.tick_s),
        _at_tick(inputs.sea_c, tick, rules.tick_s),
        inputs.tcs_supply_c[hour],
        inputs.hall_air_c[hour],
    )
    for customer in range(plant.customers.shape[0]):
        buyer = plant.customers[customer]
        buyer.wanted_kw = inputs.heat_demand_kw[hour, customer]
        buyer.pipe_kw = buyer.pipe_loss_kw if tick * rules.tick_s >= buyer.from_s else 0.0
    gather_wishes(state, plant, scratch)
    tally.limited = 0
    if limit_nodes(plant, state.models, weather):
        tally.limited = 1
        apply_limits(state, plant, scratch, tick * rules.tick_s)
    it_kw = 0.0
    for index in range(plant.pods.shape[0]):
        pod = plant.pods[index]
        pod.heat_kw = max(0.0, pod.idle_kw + pod.wanted_kw)
    for index in range(plant.halls.shape[0]):
        hall = plant.halls[index]
        hall.air_kw = max(0.0, hall.idle_air_kw + hall.wanted_air_kw)
    for index in range(plant.groups.shape[0]):
        group = plant.groups[index]
        group.it_kw = max(0.0, group.idle_kw + group.wanted_kw)
        it_kw += group.it_kw
    limit_kw = min(tally.meter_limit_kw, tally.ramp_limit_kw)
    plant_tick(plant, state.models, it_kw, weather, limit_kw, inputs.plan[hour, 0], rules.tick_s)


@kernel
def _account_plant(plant, out, hour, hours):
    """Add this tick to halls and pods."""
    for index in range(plant.halls.shape[0]):
        hall = plant.halls[index]
        row = out.hall_hour[hour, index]
        row[0] += (hall.idle_it_kw + hall.wanted_it_kw) * hours
        row[1] += (hall.idle_kw + hall.wanted_kw) * hours
        row[2] += hall.air_kw * hours
        row[3] += hall.rejected_kw * hours
        row[4] += hall.supply_c * hours
        row[5] += hall.air_c * hours
    for index in range(plant.pods.shape[0]):
        pod = plant.pods[index]
        row = out.pod_hour[hour, index]
        row[0] += pod.heat_kw * hours
        row[1] = max(row[1], pod.supply_c)
        row[2] = max(row[2], pod.junction_c)


@large_kernel
def _account_nodes(state, plant, out, hour, tick_s, end_s):
    """Write down the limits of the envelope tree, and where one begins or ceases to bind."""
    tally = state.tally[0]
    for index in range(plant.nodes.shape[0]):
        node = plant.nodes[index]
        if node.constraint < 0:
            continue
        if out.node_constraint[hour, index] < 0 or node.limit_kw < out.node_limit_kw[hour, index]:
            out.node_limit_kw[hour, index] = node.limit_kw
            out.node_constraint[hour, index] = node.constraint
        room_kw = max(0.0, node.limit_kw - node.it_kw)
        out.room_kw[index, node.constraint] = min(out.room_kw[index, node.constraint], room_kw)
        if node.is_bound:
            out.bound_s[index, node.constraint] += tick_s
            behind = fault_behind(plant, state.faults, index)
            if behind >= 0 and state.faults[behind].bound_until_s != end_s:
                state.faults[behind].bound_until_s = end_s  # once a tick, however many nodes it binds
                state.faults[behind].bound_s += tick_s
        if node.is_bound != node.was_bound:
            kind = EVENT_LIMIT if node.is_bound else EVENT_LIMIT_OVER
            if tally.events < state.events.shape[0] - 1:
                fault = fault_behind(plant, state.faults, index)
                note_plant_event(state, end_s, kind, -1, -1, 0, fault, index, node.constraint)
            node.was_bound = node.is_bound


@large_kernel
def _account_room(state, row):
    """Write down how the free GPUs lie: in trays of which parts are taken, in free trays, in racks with a segment free."""
    segment_trays = state.rules[0].segment_trays
    for rack in range(state.room.racks.shape[0]):
        whole = state.room.racks[rack].whole
        row[1] += 4 * whole
        if whole >= segment_trays:
            row[2] += 4 * segment_trays
    used = 0
    for tier in range(POWER_TIERS):
        used += state.tiers[tier].gpus
    row[0] = state.tally[0].installed_gpus - state.tally[0].broken_gpus - used


@large_kernel
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
    real[IT_LIMIT_COLUMN] = plant.nodes[0].limit_kw
    real[CONSTRAINT_COLUMN] = plant.nodes[0].constraint
    real[METER_LIMIT_COLUMN] = tally.meter_limit_kw
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
    protected = state.tiers[PROTECTED]
    real[CAP_COLUMN] = min(real[CAP_COLUMN], protected.cap)
    count[TICK_FIRM] += protected.gpu_s
    protected.gpu_s = 0
    count[TICK_RUNNING] = tally.running_jobs
    count[TICK_QUEUED] = tally.queued_jobs
    count[TICK_QUEUED_GPUS] = tally.queued_gpus
    book_racks(state, plant, scratch, tick, hours)
    _account_plant(plant, out, hour, hours)
    _account_nodes(state, plant, out, hour, tick_s, (tick + 1) * tick_s)
    for index in range(plant.customers.shape[0]):
        customer = plant.customers[index]
        out.heat_hour[hour, index, 0] += customer.wanted_kw * hours
        out.heat_hour[hour, index, 1] += customer.delivered_kw * hours
        out.heat_hour[hour, index, 2] += customer.taken_kw * hours
        out.heat_hour[hour, index, 3] += customer.pump_kw * hours
        out.heat_hour[hour, index, 4] += customer.lost_kw * hours
    if (tick + 1) * tick_s % 3600 == 0:
        _account_room(state, out.room_hour[hour])
        close_hour(state, out.rack_hour[hour], tick + 1, hours)
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
