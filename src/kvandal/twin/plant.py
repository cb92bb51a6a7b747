"""One tick of the plant: from the power of every rack to the water, the air, the heat sold and the meter."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.heat_export import serve_customer
from kvandal.physics.junction import junction_temp_c, thermal_resistance_k_per_w
from kvandal.twin.electric import electric_tick
from kvandal.twin.limits import gpu_power_w, rack_flow
from kvandal.twin.plant_state import (
    BALANCE_ERROR,
    BATTERY_KW,
    BATTERY_KWH,
    BATTERY_LOSS_KW,
    BUILDING_KW,
    CDU_PUMP_KW,
    COOLING_KW,
    DEMAND_KW,
    FAN_WALL_KW,
    FWS_PUMP_KW,
    FWS_RETURN_C,
    FWS_SUPPLY_C,
    HALL_AIR_C,
    HEAT_DEMAND_KW,
    HEAT_EXPORT_KW,
    IT_KW,
    JUNCTION_C,
    LOSSES_KW,
    MISC_KW,
    REJECTED_KW,
    REJECTION_KW,
    SITE_KW,
    STORED_KW,
    TCS_RETURN_C,
    TCS_SUPPLY_C,
    WATER_L,
)
from kvandal.twin.pods import pods_step
from kvandal.twin.water import hall_air, hall_water, halls_step

LONGEST_STEP_S = 60.0
"""Loops of water are stepped at most so far at once [s]."""


@kernel
def _sell(plant, share):
    """Serve the customers from the warm facility water; return what they take [kW].

    `share` is the part of the tick that this step is.
    """
    design, customers = plant.design[0], plant.customers
    rate = 0.0
    warm = 0.0
    cold = 0.0
    available_kw = 0.0
    for index in range(plant.halls.shape[0]):
        hall = plant.halls[index]
        rate += hall.flow_kw_per_k
        warm += hall.flow_kw_per_k * hall.warm_c
        cold += hall.flow_kw_per_k * hall.supply_c
        available_kw += hall.exchanged_kw + hall.pump_kw
    if rate <= 0.0:
        return 0.0
    taken_kw = 0.0
    for position in range(customers.shape[0]):
        customer = customers[plant.order[position]]
        delivered, taken, pump, lost = serve_customer(
            customer.wanted_kw, available_kw - taken_kw, warm / rate, cold / rate, customer.supply_c, customer.return_c,
            customer.pinch_k, customer.pipe_kw, design.carnot, design.lorenz_efficiency, design.carnot_efficiency,
            design.cop_maximum,
        )  # fmt: skip
        taken_kw += taken
        customer.delivered_kw += delivered * share
        customer.taken_kw += taken * share
        customer.pump_kw += pump * share
        customer.lost_kw += lost * share
    return taken_kw


@kernel
def _start_step(plant):
    """Forget the step before: nothing flows yet."""
    for index in range(plant.halls.shape[0]):
        hall = plant.halls[index]
        hall.exchanged_kw = 0.0
        hall.flow_kw_per_k = 0.0


@large_kernel
def _restore(plant):
    """Put the loops back to where the tick began."""
    pods, halls = plant.pods, plant.halls
    for index in range(pods.shape[0]):
        pods[index].return_c = pods[index].start_return_c
        pods[index].supply_c = pods[index].start_supply_c
    for index in range(halls.shape[0]):
        halls[index].supply_c = halls[index].start_supply_c
    for index in range(plant.customers.shape[0]):
        customer = plant.customers[index]
        customer.delivered_kw, customer.taken_kw, customer.pump_kw, customer.lost_kw = 0.0, 0.0, 0.0, 0.0


@large_kernel
def accept_tick(plant):
    """Keep what the loops and the battery hold at the end of a tick."""
    pods, halls = plant.pods, plant.halls
    for index in range(pods.shape[0]):
        pods[index].start_return_c = pods[index].return_c
        pods[index].start_supply_c = pods[index].supply_c
    for index in range(halls.shape[0]):
        halls[index].start_supply_c = halls[index].supply_c
    plant.design[0].battery_kwh = plant.tick[BATTERY_KWH]


@kernel
def _temperatures(plant, models):
    """Mean temperatures of the loops, the warmest hall and the hottest junction."""
    design, pods, halls, out = plant.design[0], plant.pods, plant.halls, plant.tick
    tcs_rate, tcs_supply, tcs_return = 0.0, 0.0, 0.0
    junction_c = -273.15
    for index in range(pods.shape[0]):
        pod = pods[index]
        if pod.design_kw <= 0.0:
            continue
        rate = max(pod.flow, 1e-9) * pod.design_kw
        tcs_rate += rate
        tcs_supply += rate * pod.supply_c
        tcs_return += rate * pod.return_c
        model = models[pod.hottest_model]
        scarce = 1.0
        if pod.flow != pod.flow_wanted:
            scarce = pod.flow / pod.flow_wanted if pod.flow_wanted > 0.0 else 0.0
        flow = rack_flow(design, pod.hottest_share, scarce)
        if pod.known_hottest_flow != flow or pod.known_model != pod.hottest_model:
            pod.known_hottest_flow, pod.known_model = flow, pod.hottest_model
            pod.known_resistance = thermal_resistance_k_per_w(
                flow, model.junction_k_per_w, model.convective_share
            )
        power_w = gpu_power_w(model, pod.hottest_share)
        pod.junction_c = junction_temp_c(pod.supply_c, power_w, pod.known_resistance)
        if pod.flow <= 0.0:  # standing coolant is followed in sub-steps to the trip
            pod.junction_c = min(model.trip_c, pod.junction_c)
        if pod.idle_it_kw > 1e-6:  # of racks that are powered
            junction_c = max(junction_c, pod.junction_c)
    fws_rate, fws_supply, fws_return = 0.0, 0.0, 0.0
    air_c = -273.15
    for index in range(halls.shape[0]):
        hall = halls[index]
        if hall.design_kw <= 0.0 and hall.design_air_kw <= 0.0:
            continue
        rate = max(hall.flow_kw_per_k, 1e-9)
        fws_rate += rate
        fws_supply += rate * hall.supply_c
        fws_return += rate * (
            hall.supply_c + (hall.exchanged_kw + hall.pump_kw) / rate
            if hall.flow_kw_per_k > 0.0
            else hall.supply_c
        )
        air_c = max(air_c, hall.air_c)
    out[TCS_SUPPLY_C] = tcs_supply / tcs_rate if tcs_rate > 0.0 else design.tcs_supply_c
    out[TCS_RETURN_C] = tcs_return / tcs_rate if tcs_rate > 0.0 else design.tcs_supply_c
    out[FWS_SUPPLY_C] = (
        fws_supply / fws_rate if fws_rate > 0.0 else design.tcs_supply_c - design.cdu_approach_k
    )
    out[FWS_RETURN_C] = (
        fws_return / fws_rate if fws_rate > 0.0 else design.tcs_supply_c - design.cdu_approach_k
    )
    out[HALL_AIR_C] = air_c if air_c > -273.0 else design.hall_air_c
    out[JUNCTION_C] = junction_c if junction_c > -273.0 else design.tcs_supply_c


@kernel
def _stored_kw(plant, tick_s):
    """Heat that the loops of pods and of halls took up in this tick, from their temperatures [kW]."""
    design, pods, halls = plant.design[0], plant.pods, plant.halls
    pods_kw, halls_kw = 0.0, 0.0
    for index in range(pods.shape[0]):
        pods_kw += pods[index].design_kw * (pods[index].return_c - pods[index].start_return_c)
    for index in range(halls.shape[0]):
        halls_kw += halls[index].design_kw * (halls[index].supply_c - halls[index].start_supply_c)
    pods_kw *= design.tcs_time_s / design.tcs_delta_t_k / tick_s
    halls_kw *= design.fws_time_s / design.fws_delta_t_k / tick_s
    return pods_kw, halls_kw


@large_kernel
def plant_tick(plant, models, it_kw, weather, limit_kw, planned_kw, tick_s):
    """Take the plant through one tick.

    Parameters
    ----------
    plant : loads of this tick in `pods.heat_kw`, `halls.air_kw`, `groups.it_kw` and `customers.wanted_kw`; everything
        else that belongs to a tick is filled. Loops start where the last accepted tick left them (`accept_tick`)
    models : MODEL table of the racks
    it_kw : IT power of the site, network included [kW]
    weather : outdoor air, its wet bulb, sea [°C]; set-points of coolant supply and hall air [°C]
    limit_kw : power that the meter may show; above it the battery helps [kW]
    planned_kw : planned power of the battery, or NaN [kW]
    tick_s : length of the tick [s]

    """
    design, pods, halls, out = plant.design[0], plant.pods, plant.halls, plant.tick
    ambient_c, wet_bulb_c, sea_c, tcs_set_c, air_set_c = weather
    fws_set_c = tcs_set_c - design.cdu_approach_k
    _restore(plant)
    steps = max(1, math.ceil(tick_s / LONGEST_STEP_S))
    step_s = tick_s / steps
    share = 1.0 / steps
    cdu_pump_kw, fws_pump_kw, rejection_kw, air_fan_kw = 0.0, 0.0, 0.0, 0.0
    rejected_kw, stored_kw, taken_kw, water_l = 0.0, 0.0, 0.0, 0.0
    air_kw, exchanged_kw = 0.0, 0.0
    for index in range(halls.shape[0]):
        hall_air(plant, index, air_set_c, ambient_c, wet_bulb_c)
        air_fan_kw += halls[index].air_fan_kw
        air_kw += halls[index].air_kw
        wet_kw = halls[index].air_wet_share * halls[index].air_kw
        water_l += wet_kw * tick_s / 3600.0 * design.adiabatic_water_l_per_kwh
    for _ in range(steps):
        _start_step(plant)
        loops_kw, pumps_kw = pods_step(plant, tcs_set_c, step_s)
        stored_kw += loops_kw * share
        cdu_pump_kw += pumps_kw * share
        for index in range(halls.shape[0]):
            exchanged_kw += halls[index].exchanged_kw * share
        gained_kw = 0.0
        for index in range(halls.shape[0]):
            hall_water(plant, index)
            gained_kw += halls[index].exchanged_kw + halls[index].pump_kw
        sold_kw = _sell(plant, share)
        taken_kw += sold_kw * share
        loops_kw = halls_step(plant, fws_set_c, sold_kw, gained_kw, ambient_c, wet_bulb_c, sea_c, step_s)
        stored_kw += loops_kw * share
        for index in range(halls.shape[0]):
            hall = halls[index]
            rejected_kw += hall.rejected_kw * share
            rejection_kw += hall.fan_kw * share
            fws_pump_kw += hall.pump_kw * share
            water_l += hall.wet_share * hall.rejected_kw * step_s / 3600.0 * design.adiabatic_water_l_per_kwh
    wanted_kw = 0.0
    for index in range(plant.customers.shape[0]):
        wanted_kw += plant.customers[index].wanted_kw

    cooling_kw = cdu_pump_kw + fws_pump_kw + rejection_kw + air_fan_kw
    misc_kw = design.misc_fraction * design.it_kw
    cooling_design_kw = design.liquid_kw * (
        design.cdu_pump_fraction
        + design.fws_pump_fraction
        + max(design.fan_fraction, design.sea_pump_fraction)
    ) + design.air_kw * (design.air_fan_fraction + design.fan_fraction)
    kept_kwh = design.battery_kwh
    energy_kwh = electric_tick(
        plant, it_kw, cooling_kw + misc_kw, 1.25 * (cooling_design_kw + misc_kw), limit_kw, planned_kw, tick_s
    )
    battery_stored_kw = (energy_kwh - kept_kwh) * 3600.0 / tick_s

    outside_kw = rejected_kw + rejection_kw + air_kw + air_fan_kw
    building_kw = out[LOSSES_KW] + out[BATTERY_LOSS_KW] + misc_kw
    leaving_kw = outside_kw + taken_kw + building_kw + stored_kw + battery_stored_kw
    out[IT_KW] = it_kw
    out[COOLING_KW] = cooling_kw
    out[MISC_KW] = misc_kw
    out[HEAT_DEMAND_KW] = wanted_kw
    out[HEAT_EXPORT_KW] = taken_kw
    out[REJECTED_KW] = outside_kw
    out[BUILDING_KW] = building_kw
    out[STORED_KW] = stored_kw + battery_stored_kw
    out[WATER_L] = water_l
    out[CDU_PUMP_KW] = cdu_pump_kw
    out[FWS_PUMP_KW] = fws_pump_kw
    out[REJECTION_KW] = rejection_kw
    out[FAN_WALL_KW] = air_fan_kw
    _temperatures(plant, models)
    meter_kw = out[SITE_KW]
    pods_kw, halls_kw = _stored_kw(plant, tick_s)
    for index in range(pods.shape[0]):
        pods_kw -= pods[index].heat_kw
    residual_kw = max(
        abs(meter_kw - leaving_kw),
        abs(cdu_pump_kw - exchanged_kw - pods_kw),
        abs(exchanged_kw + fws_pump_kw - taken_kw - rejected_kw - halls_kw),
        abs(out[DEMAND_KW] - it_kw - cooling_kw - misc_kw - out[LOSSES_KW]),
        abs(battery_stored_kw + out[BATTERY_KW] + out[BATTERY_LOSS_KW]),
    )
    out[BALANCE_ERROR] = residual_kw / max(abs(meter_kw), it_kw + cooling_kw, 1e-9)
