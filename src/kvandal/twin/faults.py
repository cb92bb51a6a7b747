"""Faults of the plant as the loop meets them: what fails, which racks lose coolant or power, and how they come back."""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.electrical import ride_through_s
from kvandal.physics.junction import flow_loss_times_s
from kvandal.policy.placement import (
    TRAY_HEALTHY,
    TRAY_OFF,
    TRAYS_PER_RACK,
    break_tray,
    repair_tray,
)
from kvandal.twin.electric import hv_limit_kw, working_blocks
from kvandal.twin.heaps import enter
from kvandal.twin.life import leave, rack_above_idle_kw, touch
from kvandal.twin.limits import limiting_fault
from kvandal.twin.log import note_plant_event
from kvandal.twin.plant_state import pod_flow_limit, switch_rack
from kvandal.twin.records import (
    COST_JOBS,
    COST_LOST_GPU_S,
    EVENT_FAULT,
    EVENT_FAULT_OVER,
    EVENT_POWER_ON,
    EVENT_THROTTLE,
    EVENT_TRIP,
    FAULT_BANK,
    FAULT_CDU,
    FAULT_CDU_PUMP,
    FAULT_CURTAILMENT,
    FAULT_GRID_DIP,
    FAULT_HOT_WEEK,
    FAULT_LEAK,
    FAULT_OVER,
    FAULT_START,
    FAULT_TRANSFORMER,
    FAULT_UPS_BLOCK,
    LOST_FAILURE,
    POWER_ON,
    THROTTLE,
    TRIP,
)
from kvandal.twin.recovery import note_dark, note_return, return_time_s
from kvandal.twin.reliability_state import CAUSE_PLANT

SUB_STEP_S = 0.25
"""Sub-step in which a loss of coolant is followed [s]."""
LONGEST_WITHOUT_FLOW_S = 600.0
"""A rack without coolant is switched off after this time however cool it is [s]."""
UNDISTURBED_PU = 0.9
"""Voltage from which power supplies do not notice a dip [pu]."""
SUBJECTS = 1 << 24
"""Racks that a fault can name in one number of the agenda."""


@large_kernel
def refresh_faults(state, plant):
    """Count afresh what is out of order, from the faults that are active now."""
    tally, design = state.tally[0], plant.design[0]
    halls, groups = plant.halls.shape[0], plant.groups.shape[0]
    for index in range(plant.pods.shape[0]):
        plant.pods[index].cdus_out = 0
        plant.pods[index].pumps_out = 0
    for index in range(halls):
        plant.halls[index].banks_out = 0
    for index in range(groups):
        plant.groups[index].blocks_out = 0
    for index in range(plant.nodes.shape[0]):
        plant.nodes[index].fault = -1
    design.hv_out = 0
    tally.curtailed_kw = math.inf
    tally.curtailment = -1
    tally.transformer = -1
    tally.active_faults = 0
    for index in range(state.faults.shape[0]):
        fault = state.faults[index]
        if not fault.active:
            continue
        tally.active_faults += 1
        if fault.kind == FAULT_CDU:
            plant.pods[fault.place].cdus_out += fault.count
            plant.nodes[1 + halls + groups + fault.place].fault = index
        elif fault.kind == FAULT_CDU_PUMP:
            plant.pods[fault.place].pumps_out += fault.count
            plant.nodes[1 + halls + groups + fault.place].fault = index
        elif fault.kind == FAULT_BANK:
            plant.halls[fault.place].banks_out += fault.count
            plant.nodes[1 + fault.place].fault = index
        elif fault.kind == FAULT_UPS_BLOCK:
            plant.groups[fault.place].blocks_out += fault.count
            plant.nodes[1 + halls + fault.place].fault = index
        elif fault.kind == FAULT_TRANSFORMER:
            design.hv_out += fault.count
            tally.transformer = index
        elif fault.kind == FAULT_CURTAILMENT:
            if fault.amount < tally.curtailed_kw:
                tally.curtailed_kw = fault.amount
                tally.curtailment = index
        elif fault.kind == FAULT_HOT_WEEK:
            for node in range(1, 1 + halls):
                if plant.nodes[node].fault < 0:
                    plant.nodes[node].fault = index


@large_kernel
def trip_rack(state, plant, index, fault, time_s):
    """Switch a rack off: its jobs go back to their queues, its trays are out of service until it is powered again."""
    tally, room, rack = state.tally[0], state.room, state.racks[index]
    if rack.is_off or not rack.delivered:
        return
    jobs, cost = state.jobs, state.fault_cost
    told = False
    for tray in range(index * TRAYS_PER_RACK, (index + 1) * TRAYS_PER_RACK):
        for slot in range(4):
            job = room.slots[tray, slot]
            if job < 0:
                continue
            before = state.lost_gpu_s[LOST_FAILURE, job]
            note_plant_event(state, time_s, EVENT_TRIP, index, job, jobs[job].gpus, fault, -1, -1)
            told = True
            state.interruptions[CAUSE_PLANT, job] += 1
            leave(state, job, time_s, LOST_FAILURE)
            if fault >= 0:
                cost[fault, jobs[job].tenant, COST_JOBS] += 1.0
                cost[fault, jobs[job].tenant, COST_LOST_GPU_S] += state.lost_gpu_s[LOST_FAILURE, job] - before
    if not told:
        note_plant_event(state, time_s, EVENT_TRIP, index, -1, 72, fault, -1, -1)
    for tray in range(index * TRAYS_PER_RACK, (index + 1) * TRAYS_PER_RACK):
        if room.trays[tray].state == TRAY_HEALTHY:
            break_tray(room, tray)
            room.trays[tray].state = TRAY_OFF
            tally.broken_gpus += 4
    note_dark(state, index)
    rack.is_off = True
    rack.off_since_s = time_s
    tally.dark_racks += 1
    if fault >= 0:
        state.faults[fault].racks_tripped += 1
        if state.faults[fault].trip_s < 0.0:
            state.faults[fault].trip_s = float(time_s - state.faults[fault].start_s)
    _switch(state, plant, index, -1, time_s)


@kernel
def _switch(state, plant, index, sign, time_s):
    """Idle power of a rack joins (1) or leaves (-1); the mean of this tick knows when."""
    rack = state.racks[index]
    model = state.models[rack.model]
    switch_rack(plant, rack.pod, rack.group, model.idle_kw, model.liquid_fraction, sign)
    state.tally[0].base_kw += sign * model.idle_kw
    passed = (time_s - state.tally[0].tick_start_s) / state.rules[0].tick_s
    rack.extra_kw -= sign * model.idle_kw * passed
    touch(state, index)


@large_kernel
def fault_that_keeps_off(state, plant, index):
    """Active fault without whose end a rack cannot run: a leak, no coolant, no power block, no transformer; or -1."""
    rack, design = state.racks[index], plant.design[0]
    wet = state.models[rack.model].liquid_fraction > 0.0
    no_flow = wet and pod_flow_limit(design, plant.pods[rack.pod]) <= 0.0
    no_power = working_blocks(design, plant.groups[rack.group]) == 0
    no_grid = hv_limit_kw(design) <= 0.0
    for number in range(state.faults.shape[0]):
        fault = state.faults[number]
        if not fault.active:
            continue
        if fault.kind == FAULT_LEAK and fault.place == index:
            return number
        if fault.kind <= FAULT_CDU and fault.place == rack.pod and no_flow:
            return number
        if fault.kind == FAULT_UPS_BLOCK and fault.place == rack.group and no_power:
            return number
        if fault.kind == FAULT_TRANSFORMER and no_grid:
            return number
    return -1


@large_kernel
def trip_if_it_cannot_run(state, plant, index, time_s):
    """Switch a rack off again that was delivered where coolant or power is out of order."""
    number = fault_that_keeps_off(state, plant, index)
    if number >= 0:
        trip_rack(state, plant, index, number, time_s)


@large_kernel
def return_racks(state, plant, time_s):
    """Let the racks return whose cause is gone: no fault keeps them off, and their coolant is no warmer than it may be.

    After a trip of many they come back one after the other, so that their idle power keeps the ramp (E4).
    """
    if state.tally[0].dark_racks == 0:
        return
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        if rack.is_off and not rack.returns and _may_run(state, plant, index):
            rack.returns = True
            enter(state.agenda, state.tally[0], return_time_s(state, index, time_s), POWER_ON, index)


@kernel
def _may_run(state, plant, index):
    """Whether nothing keeps a rack off."""
    pod = plant.pods[state.racks[index].pod]
    cool = pod.supply_c <= plant.design[0].tcs_maximum_c
    return cool and fault_that_keeps_off(state, plant, index) < 0


@large_kernel
def power_on(state, plant, index, time_s):
    """Bring a rack back, unless something else keeps it off by now."""
    tally, room, rack = state.tally[0], state.room, state.racks[index]
    if not rack.is_off:
        return
    rack.returns = False
    if not _may_run(state, plant, index):
        return
    for tray in range(index * TRAYS_PER_RACK, (index + 1) * TRAYS_PER_RACK):
        if room.trays[tray].state == TRAY_OFF:
            repair_tray(room, tray)
            tally.broken_gpus -= 4
            rack.broken_gpu_s += 4 * (time_s - rack.off_since_s)
    note_return(state, index, time_s)
    rack.is_off = False
    tally.dark_racks -= 1
    tally.freed += 1
    _switch(state, plant, index, 1, time_s)
    note_plant_event(state, time_s, EVENT_POWER_ON, index, -1, 72, -1, -1, -1)


@large_kernel
def trip_hot_racks(state, plant, time_s):
    """Switch the racks off whose GPUs are too hot although they are throttled to the utmost: their coolant is too warm."""
    for number in range(plant.pods.shape[0]):
        pod = plant.pods[number]
        if pod.flow <= 0.0 or pod.idle_it_kw <= 1e-6:
            continue
        if pod.junction_c < state.models[pod.known_model].trip_c:  # as it was reckoned
            continue
        for index in range(state.racks.shape[0]):
            rack = state.racks[index]
            if rack.pod == number and state.models[rack.model].liquid_fraction > 0.0:
                trip_rack(state, plant, index, limiting_fault(plant, state.faults, rack), time_s)


@large_kernel
def close_racks(state, time_s):
    """Count what racks that are still off at the end were out of service."""
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        if rack.is_off:
            for tray in range(index * TRAYS_PER_RACK, (index + 1) * TRAYS_PER_RACK):
                if state.room.trays[tray].state == TRAY_OFF:
                    rack.broken_gpu_s += 4 * (time_s - rack.off_since_s)


@large_kernel
def _lose_flow(state, plant, pod, number, time_s):
    """Coolant of a pod stands still: follow every rack in sub-steps to where it throttles and trips."""
    design = plant.design[0]
    supply_c = plant.pods[pod].start_supply_c
    plant.pods[pod].dry_since_s = time_s
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        model = state.models[rack.model]
        if rack.pod != pod or rack.is_off or not rack.delivered or model.liquid_fraction <= 0.0:
            continue
        above_kw = rack.part * rack_above_idle_kw(state, index)
        share = min(1.0, above_kw / (model.tdp_kw - model.idle_kw))
        power_w = model.gpu_idle_w + share * (model.gpu_tdp_w - model.gpu_idle_w)
        throttle_s, trip_s, energy_kj = flow_loss_times_s(
            supply_c, power_w, model.gpu_idle_w, model.junction_k_per_w, model.convective_share,
            model.gpu_tdp_w / design.tcs_delta_t_k, model.cold_plate_s, model.rack_loop_s, design.flow_coast_s,
            design.natural_flow_fraction,
            model.throttle_c, model.trip_c, SUB_STEP_S, LONGEST_WITHOUT_FLOW_S,
        )  # fmt: skip
        trip_s = min(trip_s, LONGEST_WITHOUT_FLOW_S)
        rack.dry_part = 1.0
        if power_w > model.gpu_idle_w:
            mean_w = energy_kj * 1000.0 / trip_s
            rack.dry_part = min(1.0, max(0.0, (mean_w - model.gpu_idle_w) / (power_w - model.gpu_idle_w)))
        if throttle_s < trip_s:
            at_s = time_s + np.int64(math.ceil(throttle_s))
            enter(state.agenda, state.tally[0], at_s, THROTTLE, number * SUBJECTS + index)
        at_s = time_s + np.int64(math.ceil(trip_s))
        enter(state.agenda, state.tally[0], at_s, TRIP, number * SUBJECTS + index)


@large_kernel
def _dip(state, plant, number, time_s):
    """Voltage dip: power blocks with UPS carry it on batteries; without them, the racks' own shelves must."""
    fault, rules, design = state.faults[number], state.rules[0], plant.design[0]
    fault.ridden_through = fault.amount >= UNDISTURBED_PU
    if design.has_ups and fault.seconds <= rules.ups_autonomy_s:
        fault.ridden_through = True
    if not design.has_ups:
        shortest_s = math.inf
        for number_of_model in range(state.models.shape[0]):
            shortest_s = min(
                shortest_s, ride_through_s(design.shelf_kj, state.models[number_of_model].tdp_kw)
            )
        fault.ridden_through = fault.ridden_through or fault.seconds <= shortest_s
    if not fault.ridden_through:
        for index in range(state.racks.shape[0]):
            trip_rack(state, plant, index, number, time_s)


@large_kernel
def start_fault(state, plant, number, time_s):
    """Begin a fault: racks that can no longer run are switched off, at once or as their coolant and batteries let them."""
    fault, design = state.faults[number], plant.design[0]
    fault.active = True
    was_dry = fault.kind <= FAULT_CDU and pod_flow_limit(design, plant.pods[fault.place]) <= 0.0
    refresh_faults(state, plant)
    note_plant_event(state, time_s, EVENT_FAULT, -1, -1, 0, number, -1, -1)
    if fault.kind == FAULT_GRID_DIP:
        _dip(state, plant, number, time_s)
    elif fault.kind <= FAULT_CDU:
        if not was_dry and pod_flow_limit(design, plant.pods[fault.place]) <= 0.0:
            _lose_flow(state, plant, fault.place, number, time_s)
    elif fault.kind == FAULT_TRANSFORMER:
        if hv_limit_kw(design) <= 0.0:
            for index in range(state.racks.shape[0]):
                trip_rack(state, plant, index, number, time_s)
    elif fault.kind == FAULT_LEAK:
        trip_rack(state, plant, fault.place, number, time_s)
    elif fault.kind == FAULT_UPS_BLOCK and working_blocks(design, plant.groups[fault.place]) == 0:
        for index in range(state.racks.shape[0]):
            if state.racks[index].group == fault.place:
                trip_rack(state, plant, index, number, time_s)


@large_kernel
def end_fault(state, plant, number, time_s):
    """End a fault: the racks that can run again are brought back after the restart time of a rack."""
    state.faults[number].active = False
    refresh_faults(state, plant)
    note_plant_event(state, time_s, EVENT_FAULT_OVER, -1, -1, 0, number, -1, -1)
    return_racks(state, plant, time_s)


@kernel
def _still_out(state, plant, subject):
    """Whether the fault of an entry of the agenda is active, and its rack still cannot run."""
    if not state.faults[subject // SUBJECTS].active:
        return False
    return fault_that_keeps_off(state, plant, subject % SUBJECTS) >= 0


@large_kernel
def note_throttle(state, plant, subject, time_s):
    """Note that the GPUs of a rack without coolant begin to throttle, unless the coolant is back."""
    if _still_out(state, plant, subject):
        number = subject // SUBJECTS
        fault = state.faults[number]
        if fault.throttle_s < 0.0:
            fault.throttle_s = float(time_s - fault.start_s)
        note_plant_event(state, time_s, EVENT_THROTTLE, subject % SUBJECTS, -1, 72, number, -1, -1)


@large_kernel
def trip_if_still_out(state, plant, subject, time_s):
    """Trip a rack whose coolant stood still for too long."""
    if _still_out(state, plant, subject):
        trip_rack(state, plant, subject % SUBJECTS, subject // SUBJECTS, time_s)


@large_kernel
def schedule_faults(state):
    """Note the beginnings and ends of all faults."""
    for number in range(state.faults.shape[0]):
        enter(state.agenda, state.tally[0], state.faults[number].start_s, FAULT_START, number)
        enter(state.agenda, state.tally[0], state.faults[number].end_s, FAULT_OVER, number)
