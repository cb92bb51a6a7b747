"""One step of the technology loops: coolant of the pods, their CDUs, and what these draw from the halls' facility water.

Controls are ideal within their range: a valve or a fan takes the position that brings its temperature to the set-point
at the end of the step, and stays at its end stop when that is not enough. Every loop holds heat; where a control is at
its stop the loop is stepped implicitly, so that any step settles.

All valves are sought together (:mod:`kvandal.physics.exchanger_lanes`), from where they stood; what depends on the coolant's
flow alone is kept while the flow does not change.
"""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.coolant import heat_capacity_kj_per_kg_k
from kvandal.physics.exchanger_lanes import (
    COLD_K_PER_KW,
    CONSTANT_K_PER_KW,
    CONVECTIVE_K_PER_KW,
    HOT_K_PER_KW,
    SLOWNESS,
    TRANSFER_KW_PER_K,
    settle_counterflow,
)
from kvandal.physics.heat_exchanger import (
    conductance_one_sided,
    conductance_two_sided,
    exchanger_heat_kw,
)
from kvandal.twin.plant_state import pod_flow_limit, working_cdus
from kvandal.twin.water import pump_share

REFERENCE_C = 45.0
"""Coolant temperature at which the loops are laid out [°C]."""
LEAST_VALVE = 0.02
"""A valve on facility water does not close further, over its design flow."""
SAME = 1e-7
"""Heat (relative) and temperatures [K] of a pod that differ by less leave its valve where it is."""


@kernel
def _cdu_resistances(design, pod, flow, working):
    """Resistance of a pod's exchangers without and with the facility water's flow [K/kW]; design flow per CDU is 1.

    `units_tcs` was laid out for the design flow of both sides; CDUs beyond the needed ones share the flow.
    """
    clean = design.units_tcs * pod.design_kw / design.tcs_delta_t_k * working / design.cdus_needed
    dirt = design.fouling_k / clean
    hot_flow = flow * design.cdus_needed / working
    if not design.two_sided:
        return 1.0 / conductance_one_sided(clean, hot_flow) + dirt, 0.0
    total = 1.0 / conductance_two_sided(clean, hot_flow, 1.0, 0.0)
    cold = 0.5 / clean
    return total - cold + dirt, cold


@kernel
def facility_kw_per_k(design, pod, working):
    """Capacity rate of facility water through the working CDUs of a pod with their valves wide open [kW/K]."""
    return pod.design_kw / design.fws_delta_t_k * working / design.cdus_needed


@kernel
def wide_open_kw_per_k(design, pod, capacity, flow, working):
    """Heat per kelvin between coolant and facility water that a pod's CDUs carry with their valves wide open [kW/K]."""
    constant, cold = _cdu_resistances(design, pod, flow, working)
    return exchanger_heat_kw(
        1.0 / (constant + cold), capacity, facility_kw_per_k(design, pod, working), 1.0, 0.0
    )


@large_kernel
def _follow_flow(design, pod, flow, working):
    """Renew what depends on the flow of a pod's coolant and on its size: its pumps' power, its exchangers, its streams."""
    pod.known_coolant_flow, pod.known_cdus = flow, working
    pod.rate = pod.design_kw / design.tcs_delta_t_k  # kW/K at design flow and reference temperature
    pod.installed = facility_kw_per_k(design, pod, working)
    pod.known_pump_kw = design.cdu_pump_fraction * pod.design_kw * pump_share(design, flow)
    pod.known_constant, pod.known_cold = _cdu_resistances(design, pod, flow, working)


@kernel
def _seek_valve(lanes, lane, pod, difference_k):
    """Enter the search for the valve of a pod into the lanes, if it is needed; return the lane that comes next.

    `pod.known_flow` receives the position, or is below 0 until it is found.
    """
    heat_kw, capacity = pod.exchanged_kw, pod.capacity
    slowest = pod.installed * difference_k / heat_kw
    if slowest <= 1.0 or heat_kw >= capacity * difference_k:
        pod.known_flow = 1.0
        return lane
    lanes[SLOWNESS, lane] = 1.0 / pod.known_flow if pod.known_flow > 0.0 else slowest
    lanes[TRANSFER_KW_PER_K, lane] = heat_kw / (difference_k - heat_kw / capacity)
    lanes[HOT_K_PER_KW, lane] = 1.0 / capacity
    lanes[COLD_K_PER_KW, lane] = 1.0 / pod.installed
    lanes[CONSTANT_K_PER_KW, lane] = pod.known_constant
    lanes[CONVECTIVE_K_PER_KW, lane] = pod.known_cold
    pod.known_flow = -1.0
    return lane + 1


@kernel
def _begin_step(design, pod, fws_c, coolant, reference, lanes, lane, set_c, step_s):
    """Begin the step of a pod: its flow, the heat that its exchangers should take; return the lane that comes next."""
    pod.exchanged_kw, pod.pump_kw, pod.fws_flow = 0.0, 0.0, 0.0
    if pod.design_kw <= 0.0:
        return lane
    working = working_cdus(design, pod)
    wanted = min(1.0, max(design.minimum_flow, pod.heat_kw / pod.design_kw))
    flow = min(wanted, pod_flow_limit(design, pod)) if working > 0 else 0.0
    pod.flow, pod.flow_wanted = flow, wanted
    if flow <= 0.0:
        return lane
    if pod.known_coolant_flow != flow or pod.known_cdus != working:
        _follow_flow(design, pod, flow, working)
        pod.known_exchanged_kw = -1.0
    per_step = design.tcs_time_s * pod.rate / step_s
    pod.per_step = per_step
    pod.capacity = flow * pod.rate * (heat_capacity_kj_per_kg_k(coolant, pod.return_c) / reference)
    pod.pump_kw = pod.known_pump_kw
    gain_kw = pod.heat_kw + pod.pump_kw
    # the valve on the facility water brings the supply to its set-point ...
    exchanged = max(0.0, (gain_kw - per_step * (set_c - pod.return_c)) / (1.0 + per_step / pod.capacity))
    pod.next_return_c = set_c + exchanged / pod.capacity
    if per_step > 0.0:
        pod.next_return_c = pod.return_c + (gain_kw - exchanged) / per_step
    pod.exchanged_kw = exchanged
    if exchanged <= 0.0:
        return lane
    if (
        abs(exchanged - pod.known_exchanged_kw) <= SAME * exchanged
        and abs(pod.next_return_c - pod.known_return_c) <= SAME
        and abs(fws_c - pod.known_fws_c) <= SAME
    ):
        return lane
    pod.known_exchanged_kw, pod.known_return_c, pod.known_fws_c = exchanged, pod.next_return_c, fws_c
    return _seek_valve(lanes, lane, pod, pod.next_return_c - fws_c)


@kernel
def _end_step(design, pod, fws_c, step_s):
    """Take a pod to the end of the step; return the heat that its loop stores [kW]."""
    if pod.design_kw <= 0.0:
        return 0.0
    if pod.flow <= 0.0:
        # standing water: what the racks still give warms it
        per_step = design.tcs_time_s * (pod.design_kw / design.tcs_delta_t_k) / step_s
        if per_step > 0.0:
            pod.return_c += pod.heat_kw / per_step
            return pod.heat_kw
        pod.exchanged_kw = pod.heat_kw
        return 0.0
    per_step = pod.per_step
    gain_kw = pod.heat_kw + pod.pump_kw
    exchanged, return_c, capacity = pod.exchanged_kw, pod.next_return_c, pod.capacity
    if exchanged > 0.0:
        position = pod.known_flow
        if position >= 1.0:
            # ... or stands wide open
            slope = wide_open_kw_per_k(design, pod, capacity, pod.flow, working_cdus(design, pod))
            if slope * (return_c - fws_c) < exchanged * (1.0 - 1e-9):
                if per_step > 0.0:
                    return_c = (per_step * pod.return_c + gain_kw + slope * fws_c) / (per_step + slope)
                    exchanged = max(0.0, slope * (return_c - fws_c))
                    return_c = pod.return_c + (gain_kw - exchanged) / per_step
                else:
                    exchanged = gain_kw
                    return_c = fws_c + gain_kw / slope
        pod.fws_flow = position * pod.installed
    pod.exchanged_kw = exchanged
    pod.return_c = return_c
    pod.supply_c = return_c - exchanged / capacity
    return gain_kw - exchanged


@large_kernel
def pods_step(plant, set_c, step_s):
    """Take all pods through a step; return the heat that their loops store and the power of their pumps [kW].

    `pods.heat_kw` comes in; `exchanged_kw`, `pump_kw`, `fws_flow` (capacity rate drawn from the hall's loop, kW/K),
    `supply_c`, `flow` and `return_c` are filled, and what the pods give to and draw from their halls is added there.
    """
    # tables at hand: behind `plant` they would have to be looked up anew for every pod
    design, pods, halls, lanes, coolant = (
        plant.design[0],
        plant.pods,
        plant.halls,
        plant.lanes,
        plant.curves.coolant,
    )
    reference = heat_capacity_kj_per_kg_k(coolant, REFERENCE_C)
    sought = 0
    for index in range(pods.shape[0]):
        pod = pods[index]
        fws_c = halls[pod.hall].supply_c
        sought = _begin_step(design, pod, fws_c, coolant, reference, lanes, sought, set_c, step_s)
    if sought > 0:
        settle_counterflow(lanes, sought, LEAST_VALVE, 1.0)
    stored_kw, pump_kw = 0.0, 0.0
    lane = 0
    for index in range(pods.shape[0]):
        pod = pods[index]
        if pod.known_flow < 0.0:
            pod.known_flow = 1.0 / lanes[SLOWNESS, lane]
            lane += 1
        hall = halls[pod.hall]
        stored_kw += _end_step(design, pod, hall.supply_c, step_s)
        pump_kw += pod.pump_kw
        hall.exchanged_kw += pod.exchanged_kw
        hall.flow_kw_per_k += pod.fws_flow
    return stored_kw, pump_kw
