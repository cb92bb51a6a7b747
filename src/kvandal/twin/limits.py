"""The envelope tree: the largest IT power that each hall, power group and pod may draw in this tick, and why.

Every node keeps the part of its power above idle that its own limits leave; a rack draws the smallest part of the nodes
above it. The limit of the site itself, the meter, is held by caps on whole tiers (:mod:`kvandal.twin.caps`).
"""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.junction import junction_temp_c, thermal_resistance_k_per_w
from kvandal.twin.electric import group_limit_kw, hv_limit_kw
from kvandal.twin.plant_state import (
    CDU_RATING,
    COOLANT_SUPPLY,
    CURTAILMENT,
    GRID_CONNECTION,
    HALL_AIR,
    HEAT_REJECTION,
    HV_TRANSFORMER,
    JUNCTION,
    POWER_BLOCK,
    pod_flow_limit,
    working_cdus,
)
from kvandal.twin.pods import wide_open_kw_per_k
from kvandal.twin.records import FAULT_BANK
from kvandal.twin.water import hall_air_limit_kw, hall_limit_kw

ALL = 1.0 - 1e-12
"""Shares above this count as everything."""


@kernel
def _share(limit_kw, idle_kw, wanted_kw):
    """Part of the power above idle that a limit leaves."""
    if idle_kw + wanted_kw <= limit_kw or wanted_kw <= 0.0:
        return 1.0
    return max(0.0, (limit_kw - idle_kw) / wanted_kw)


@kernel
def _note(node, limit_kw, constraint, share):
    """Keep the tightest limit of a node."""
    if constraint == node.constraint or limit_kw < node.limit_kw:
        node.limit_kw = limit_kw
        node.constraint = constraint
    if share < ALL:
        node.is_bound = True


@kernel
def _open(node, it_kw):
    """Begin a tick: no limit yet."""
    node.limit_kw = 1e300
    node.constraint = -1
    node.is_bound = False
    node.it_kw = it_kw


@kernel
def site_limit_kw(design, curtailed_kw):
    """Power that the meter may show [kW], and the constraint that says so."""
    limit_kw, constraint = design.limit_kw, GRID_CONNECTION
    if curtailed_kw < limit_kw:
        limit_kw, constraint = curtailed_kw, CURTAILMENT
    transformers_kw = hv_limit_kw(design)
    if transformers_kw < limit_kw:
        limit_kw, constraint = transformers_kw, HV_TRANSFORMER
    return limit_kw, constraint


@kernel
def _limit_hall(plant, index, node, weather):
    """Heat rejection and hall air."""
    hall = plant.halls[index]
    design = plant.design[0]
    _open(node, hall.idle_it_kw + hall.wanted_it_kw)
    hall.share = 1.0
    if hall.design_it_kw <= 0.0:
        node.limit_kw = 0.0
        return
    ambient_c, wet_bulb_c, sea_c = weather[0], weather[1], weather[2]
    if hall.design_kw > 0.0:
        pumps = 1.0 + design.cdu_pump_fraction + design.fws_pump_fraction
        limit_kw = hall_limit_kw(plant, index, ambient_c, wet_bulb_c, sea_c) / pumps
        share = _share(limit_kw, hall.idle_kw, hall.wanted_kw)
        of_it = (
            hall.wanted_kw / hall.wanted_it_kw
            if hall.wanted_it_kw > 0.0
            else hall.design_kw / hall.design_it_kw
        )
        _note(node, hall.idle_it_kw + (limit_kw - hall.idle_kw) / of_it, HEAT_REJECTION, share)
        hall.share = min(hall.share, share)
    if hall.design_air_kw > 0.0:
        air_limit_kw = hall_air_limit_kw(plant, index, ambient_c, wet_bulb_c)
        share = _share(air_limit_kw, hall.idle_air_kw, hall.wanted_air_kw)
        per_it = hall.wanted_air_kw / hall.wanted_it_kw if hall.wanted_it_kw > 0.0 else 0.0
        if per_it > 0.0:
            _note(node, hall.idle_it_kw + (air_limit_kw - hall.idle_air_kw) / per_it, HALL_AIR, share)
            hall.share = min(hall.share, share)


@kernel
def _limit_group(plant, index, node):
    """Power blocks."""
    group = plant.groups[index]
    _open(node, group.idle_kw + group.wanted_kw)
    if group.limited_design_kw != group.design_kw or group.limited_out != group.blocks_out:
        group.limited_design_kw, group.limited_out = group.design_kw, group.blocks_out
        group.limit_kw = group_limit_kw(plant.design[0], group)
    limit_kw = group.limit_kw
    group.share = _share(limit_kw, group.idle_kw, group.wanted_kw)
    _note(node, limit_kw, POWER_BLOCK, group.share)


@kernel
def gpu_power_w(model, part):
    """Power of a GPU at a part of its rack's power above idle [W]."""
    return model.gpu_idle_w + part * (model.gpu_tdp_w - model.gpu_idle_w)


@kernel
def rack_flow(design, part, scarce):
    """Flow that a rack's valve gives it over design: as its own heat asks for, less where the pod's pumps are `scarce`."""
    return scarce * max(design.minimum_flow, part)


@kernel
def rack_junction_c(design, model, supply_c, part, scarce):
    """Temperature of the GPUs of a rack at a part of its power above idle [°C]."""
    flow = rack_flow(design, part, scarce)
    resistance = thermal_resistance_k_per_w(flow, model.junction_k_per_w, model.convective_share)
    return junction_temp_c(supply_c, gpu_power_w(model, part), resistance)


@kernel
def _cool_part(design, model, supply_c, scarce):
    """Part of a rack's power above idle at TDP at which its GPUs just do not throttle (by halving)."""
    if rack_junction_c(design, model, supply_c, 1.0, scarce) <= model.throttle_c:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if rack_junction_c(design, model, supply_c, middle, scarce) <= model.throttle_c:
            low = middle
        else:
            high = middle
    return low


@kernel
def _limit_pod(design, pod, hall_c, models, node):
    """CDUs, the warmest coolant, and the hottest junctions that are allowed."""
    _open(node, pod.idle_it_kw + pod.wanted_it_kw)
    pod.share = 1.0
    pod.rack_share = 1.0
    if pod.design_kw <= 0.0:
        return  # nothing of it is cooled by water
    if (
        pod.rated_design_kw != pod.design_it_kw
        or pod.rated_idle_kw != pod.idle_it_kw
        or pod.rated_cdus_out != pod.cdus_out
        or pod.rated_pumps_out != pod.pumps_out
    ):
        pod.rated_design_kw, pod.rated_idle_kw = pod.design_it_kw, pod.idle_it_kw
        pod.rated_cdus_out, pod.rated_pumps_out = pod.cdus_out, pod.pumps_out
        pod.flow_limit = pod_flow_limit(design, pod)
        pod.rating_kw = pod.flow_limit * design.cdus_needed * design.cdu_capacity_kw
        of_it = pod.design_kw / pod.design_it_kw
        pod.rated_it_kw = pod.idle_it_kw + (pod.rating_kw - pod.idle_kw) / of_it
    moving = pod.flow_limit
    if moving <= 0.0:
        # standing coolant: racks go on, throttled, until they trip
        node.limit_kw = 0.0
        node.constraint = CDU_RATING
        node.is_bound = pod.wanted_kw > 0.0
        return
    pod.share = _share(pod.rating_kw, pod.idle_kw, pod.wanted_kw)
    _note(node, pod.rated_it_kw, CDU_RATING, pod.share)
    if hall_c > design.tcs_maximum_c - 1.5 * design.cdu_approach_k:
        working = working_cdus(design, pod)
        flow = min(1.0, moving)
        rate = flow * pod.design_kw / design.tcs_delta_t_k
        slope = wide_open_kw_per_k(design, pod, rate, flow, working)
        limit_kw = max(0.0, slope * (design.tcs_maximum_c - hall_c) / max(1e-9, 1.0 - slope / rate))
        share = _share(limit_kw, pod.idle_kw, pod.wanted_kw)
        of_it = pod.design_kw / pod.design_it_kw
        _note(node, pod.idle_it_kw + (limit_kw - pod.idle_kw) / of_it, COOLANT_SUPPLY, share)
        pod.share = min(pod.share, share)
    for number in range(models.shape[0]):
        if pod.models & (1 << number):
            model = models[number]
            part = _cool_part(design, model, pod.start_supply_c, min(1.0, moving))
            if part < ALL:
                pod.rack_share = min(pod.rack_share, part)
                limit_kw = pod.idle_it_kw + part * (pod.design_it_kw - pod.idle_it_kw)
                _note(node, limit_kw, JUNCTION, 0.0 if pod.hottest_share > part else 1.0)


@large_kernel
def limit_nodes(plant, models, weather):
    """Set the shares of halls, groups and pods, and the limits of their nodes; return whether any of them binds."""
    nodes = plant.nodes
    halls, groups = plant.halls.shape[0], plant.groups.shape[0]
    bound = False
    for index in range(halls):
        _limit_hall(plant, index, nodes[1 + index], weather)
        bound = bound or nodes[1 + index].is_bound
    for index in range(groups):
        _limit_group(plant, index, nodes[1 + halls + index])
        bound = bound or nodes[1 + halls + index].is_bound
    design, pods, loops = plant.design[0], plant.pods, plant.halls
    for index in range(pods.shape[0]):
        node = nodes[1 + halls + groups + index]
        _limit_pod(design, pods[index], loops[pods[index].hall].supply_c, models, node)
        bound = bound or node.is_bound
    return bound


@large_kernel
def rack_part(plant, models, rack, above_idle_kw, tick_start_s, tick_s):
    """Part of its power above idle that the nodes above a rack leave it."""
    pod = plant.pods[rack.pod]
    if pod.flow_limit <= 0.0 and models[rack.model].liquid_fraction > 0.0:
        # before the loss of its coolant the rack ran freely
        before = min(1.0, max(0.0, (pod.dry_since_s - tick_start_s) / tick_s))
        return before + (1.0 - before) * rack.dry_part
    part = min(pod.share, plant.groups[rack.group].share, plant.halls[rack.hall].share)
    if pod.rack_share < 1.0 and above_idle_kw > 0.0:
        model = models[rack.model]
        part = min(part, pod.rack_share * (model.tdp_kw - model.idle_kw) / above_idle_kw)
    return min(1.0, part)


@kernel
def fault_behind(plant, faults, number):
    """Fault that may stand behind the limit of a node, or -1: dry coolers do not warm the air of a hall."""
    node = plant.nodes[number]
    if node.fault >= 0 and node.constraint == HALL_AIR and faults[node.fault].kind == FAULT_BANK:
        return -1
    return node.fault


@kernel
def limiting_fault(plant, faults, rack):
    """Fault behind the node that limits a rack most, or -1; of nodes that limit it alike, one with a fault."""
    halls, groups = plant.halls.shape[0], plant.groups.shape[0]
    found = fault_behind(plant, faults, 1 + halls + groups + rack.pod)
    least = plant.pods[rack.pod].share
    hall = plant.halls[rack.hall]
    if hall.share < least or (hall.share == least and found < 0):
        found, least = fault_behind(plant, faults, 1 + rack.hall), hall.share
    group = plant.groups[rack.group]
    if group.share < least or (group.share == least and found < 0):
        found = fault_behind(plant, faults, 1 + halls + rack.group)
    return found
