"""One step of the water in the halls: facility water, heat rejection, fan walls; controls as in :mod:`~kvandal.twin.pods`."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.cooler_lanes import (
    AIR_KW_PER_K,
    AIRFLOW,
    CONDUCTANCE_KW_PER_K,
    HEAT_KW_PER_K,
    TOO_MUCH_AIR,
    WATER_KW_PER_K,
    settle_dry_coolers,
)
from kvandal.physics.dry_cooler import dry_cooler_heat_kw
from kvandal.physics.fan_wall import fan_wall_supply_air_c
from kvandal.physics.seawater import seawater_flow_for, seawater_heat_kw
from kvandal.physics.water import (
    adiabatic_air_c,
    dry_cooler_airflow,
    dry_cooler_conductance,
    fan_power_fraction,
    pump_power_fraction,
    pump_system_power_fraction,
)


@kernel
def pump_share(design, flow):
    """Electric power of pumps over their design power, by the model that the scenario names."""
    if design.system_curve:
        return pump_system_power_fraction(flow, design.pressure_floor)
    return pump_power_fraction(flow)


@large_kernel
def hall_water(plant, index):
    """Mix the facility water of a hall: its pumps, its flow and its warm end, from what the pods drew and gave."""
    design, hall = plant.design[0], plant.halls[index]
    rate = hall.design_kw / design.fws_delta_t_k
    hall.flow_kw_per_k = max(hall.flow_kw_per_k, design.minimum_flow * rate)
    hall.pump_kw = 0.0
    hall.warm_c = hall.supply_c
    if rate > 0.0:
        flow = hall.flow_kw_per_k / rate
        hall.pump_kw = design.fws_pump_fraction * hall.design_kw * pump_share(design, min(flow, 1.2))
        hall.warm_c = hall.supply_c + (hall.exchanged_kw + hall.pump_kw) / hall.flow_kw_per_k


@kernel
def _air_outside_c(design, ambient_c, wet_bulb_c):
    """Coldest air that the coolers can breathe in [°C]: wet pads cool it down to the ambient at which they start.

    Were it any colder, a warmer day would cool better.
    """
    wet_air_c = adiabatic_air_c(ambient_c, wet_bulb_c, design.adiabatic_effectiveness)
    return min(ambient_c, max(design.adiabatic_on_c, wet_air_c))


@kernel
def _most_kw(design, hall, banks, water_c, air_c):
    """Heat that the coolers of a hall reject at full airflow [kW]; or the shore exchanger, with `air_c` the sea."""
    if design.sea:
        return seawater_heat_kw(
            1.0, hall.flow_kw_per_k, water_c, air_c, hall.design_kw * design.shore_conductance,
            hall.design_kw * design.shore_sea,
        )  # fmt: skip
    size = hall.design_kw * banks
    if design.effectiveness:
        return dry_cooler_heat_kw(
            1.0,
            hall.flow_kw_per_k,
            water_c,
            air_c,
            size * design.cooler_conductance,
            size * design.cooler_air,
        )
    conductance = dry_cooler_conductance(size * design.cooler_difference, 1.0)
    return min(conductance, hall.flow_kw_per_k) * max(0.0, water_c - air_c)


@kernel
def _drive(design, hall, banks, heat_kw, water_c, air_c):
    """Airflow (or sea water) that rejects `heat_kw`, over design; above 1 where that cannot be done."""
    if design.sea:
        return seawater_flow_for(
            heat_kw, hall.flow_kw_per_k, water_c, air_c, hall.design_kw * design.shore_conductance,
            hall.design_kw * design.shore_sea, design.sea_rise_k,
        )  # fmt: skip
    if heat_kw > hall.flow_kw_per_k * (water_c - air_c):
        return TOO_MUCH_AIR  # water would have to leave colder than the air
    return dry_cooler_airflow(heat_kw, hall.design_kw * banks * design.cooler_difference, water_c - air_c)


@kernel
def _seek_airflow(design, lanes, lane, hall, banks, difference_k):
    """Enter the search for the airflow of a hall's coolers into the lanes; return the lane that comes next.

    `hall.drive` receives the airflow, or is below 0 until it is found.
    """
    heat_kw, air = hall.rejected_kw, hall.design_kw * banks * design.cooler_air
    fastest = air * difference_k
    if heat_kw >= fastest or heat_kw >= hall.flow_kw_per_k * difference_k:
        hall.drive = TOO_MUCH_AIR  # even if the air, or the water, took all the other has
        return lane
    lanes[AIRFLOW, lane] = hall.known_drive if hall.known_drive > 0.0 else heat_kw / fastest
    lanes[HEAT_KW_PER_K, lane] = heat_kw / difference_k
    lanes[WATER_KW_PER_K, lane] = hall.flow_kw_per_k
    lanes[AIR_KW_PER_K, lane] = air
    lanes[CONDUCTANCE_KW_PER_K, lane] = hall.design_kw * banks * design.cooler_conductance
    hall.drive = -1.0
    return lane + 1


@kernel
def working_banks(design, hall):
    """Dry-cooler banks of a hall that work, over the banks that it needs on its design day."""
    return max(0, design.banks - hall.banks_out) / design.banks_needed


@kernel
def _thermal_mass(design, hall, step_s):
    """Heat that warms the loop of a hall by 1 K within a step [kW/K]."""
    return design.fws_time_s * hall.design_kw / design.fws_delta_t_k / step_s


@kernel
def _begin_step(plant, index, lane, set_c, taken_kw, sink_c, step_s):
    """Begin the step of a hall: the heat that its coolers should reject; return the lane that comes next."""
    design, hall = plant.design[0], plant.halls[index]
    hall.rejected_kw, hall.drive, hall.taken_kw = 0.0, 0.0, taken_kw
    if hall.design_kw <= 0.0:
        return lane
    banks = 1.0 if design.sea else working_banks(design, hall)
    gain_kw = hall.exchanged_kw + hall.pump_kw - taken_kw
    wanted = gain_kw + _thermal_mass(design, hall, step_s) * (hall.supply_c - set_c)
    hall.return_c = hall.warm_c - taken_kw / hall.flow_kw_per_k
    hall.rejected_kw = max(0.0, wanted)
    if hall.rejected_kw <= 0.0:
        return lane
    if banks <= 0.0:
        hall.drive = TOO_MUCH_AIR
    elif design.effectiveness and not design.sea:
        return _seek_airflow(design, plant.lanes, lane, hall, banks, hall.return_c - sink_c)
    else:
        hall.drive = _drive(design, hall, banks, hall.rejected_kw, hall.return_c, sink_c)
    return lane


@large_kernel
def _end_step(plant, index, set_c, ambient_c, wet_bulb_c, sea_c, step_s):
    """Reject what is left of a hall's heat; return the heat that its loop stores [kW].

    Airflow follows the heat; beyond full airflow the pads are wetted as far as needed, then the water warms up; air
    that is warmer than the water is kept out.
    """
    design, hall = plant.design[0], plant.halls[index]
    hall.fan_kw, hall.wet_share = 0.0, 0.0
    if hall.design_kw <= 0.0:
        return 0.0
    banks = 1.0 if design.sea else working_banks(design, hall)
    per_step = _thermal_mass(design, hall, step_s)
    gain_kw = hall.exchanged_kw + hall.pump_kw - hall.taken_kw
    return_c, rejected, drive = hall.return_c, hall.rejected_kw, hall.drive
    sink_c = sea_c if design.sea else ambient_c
    if drive > 1.0:
        drive = 1.0
        most = _most_kw(design, hall, banks, return_c, sink_c)
        wet_air_c = _air_outside_c(design, ambient_c, wet_bulb_c)
        if not design.sea and wet_air_c < ambient_c and banks > 0.0:
            wet = _most_kw(design, hall, banks, return_c, wet_air_c)
            if wet > most:
                # heat is linear in the air's temperature at full airflow
                hall.wet_share = min(1.0, (rejected - most) / (wet - most))
                sink_c = ambient_c - hall.wet_share * (ambient_c - wet_air_c)
                most = _most_kw(design, hall, banks, return_c, sink_c)
        if most < rejected * (1.0 - 1e-9):
            slope = most / (return_c - sink_c) if return_c > sink_c else 0.0
            if per_step > 0.0:
                # implicit: the water that comes back warms with the supply
                rejected = slope * (return_c - sink_c + gain_kw / per_step) / (1.0 + slope / per_step)
                rejected = max(0.0, rejected)
            else:
                rejected = gain_kw
    hall.rejected_kw = rejected
    if per_step > 0.0:
        hall.supply_c += (gain_kw - rejected) / per_step
    else:
        slope = _most_kw(design, hall, banks, sink_c + 1.0, sink_c)
        rise_k = return_c - hall.supply_c
        hall.supply_c = set_c
        if drive >= 1.0 and slope > 0.0:
            hall.supply_c = max(set_c, sink_c + rejected / slope - rise_k)
    if design.sea:
        hall.fan_kw = design.sea_pump_fraction * hall.design_kw * pump_share(design, drive)
    else:
        airflow = max(design.minimum_airflow, drive)
        hall.fan_kw = design.fan_fraction * hall.design_kw * banks * fan_power_fraction(airflow)
    return gain_kw - rejected


@large_kernel
def halls_step(plant, set_c, sold_kw, gained_kw, ambient_c, wet_bulb_c, sea_c, step_s):
    """Take the facility water of all halls through a step; return the heat that their loops store [kW].

    Of the heat `gained_kw` that pods and pumps gave to the halls, customers took `sold_kw`, from each hall in proportion.
    """
    halls, lanes = plant.halls, plant.lanes
    sink_c = sea_c if plant.design[0].sea else ambient_c
    sought = 0
    for index in range(halls.shape[0]):
        gave_kw = halls[index].exchanged_kw + halls[index].pump_kw
        part = gave_kw / gained_kw if gained_kw > 0.0 else 0.0
        sought = _begin_step(plant, index, sought, set_c, sold_kw * part, sink_c, step_s)
    if sought > 0:
        settle_dry_coolers(lanes, sought)
    stored_kw = 0.0
    lane = 0
    for index in range(halls.shape[0]):
        if halls[index].drive < 0.0:
            halls[index].drive = halls[index].known_drive = lanes[AIRFLOW, lane]
            lane += 1
        stored_kw += _end_step(plant, index, set_c, ambient_c, wet_bulb_c, sea_c, step_s)
    return stored_kw


@kernel
def _full_rise_k(design, hall):
    """Air from a hall's fan walls over the water to them, at full load [K]; it does not depend on the size."""
    if hall.known_air_kw != hall.design_air_kw:
        hall.known_air_kw, size = hall.design_air_kw, hall.design_air_kw
        hall.known_rise_k = fan_wall_supply_air_c(
            size, 1.0, size * design.coil_air, 0.0, size * design.coil_water, size * design.coil_conductance
        )
    return hall.known_rise_k


@large_kernel
def hall_air(plant, index, set_c, ambient_c, wet_bulb_c):
    """Fan walls of a hall: fans follow the heat, the water of their own dry coolers follows the air outside."""
    design, hall = plant.design[0], plant.halls[index]
    hall.air_c, hall.air_fan_kw, hall.air_wet_share = set_c, 0.0, 0.0
    size = hall.design_air_kw
    if size <= 0.0:
        return
    load = hall.air_kw / size
    flow = min(1.0, max(design.minimum_flow, load))
    loop_k = design.air_loop_approach_k
    # at part load the coils are better than at full load: often that alone tells that the least airflow will do
    spare_k = set_c - ambient_c - loop_k * load - _full_rise_k(design, hall)
    if load <= 1.0 and spare_k > 1e-6 and load < (1.0 + spare_k / loop_k) * design.least_air_conductance:
        hall.air_fan_kw = size * (
            design.air_fan_fraction * fan_power_fraction(flow)
            + design.fan_fraction * fan_power_fraction(min(1.0, design.minimum_airflow))
        )
        return
    supply_c = fan_wall_supply_air_c(
        hall.air_kw,
        flow,
        size * design.coil_air,
        ambient_c + loop_k * load,
        size * design.coil_water,
        size * design.coil_conductance,
    )
    spread_k = ambient_c - _air_outside_c(design, ambient_c, wet_bulb_c)
    if supply_c > set_c and spread_k > 0.0:
        hall.air_wet_share = min(1.0, (supply_c - set_c) / spread_k)
        supply_c -= hall.air_wet_share * spread_k
    hall.air_c = max(set_c, supply_c)
    # the air loop's own coolers slow down as the air outside is colder than needed
    spare_k = max(0.0, set_c - supply_c)
    airflow = dry_cooler_airflow(load, 1.0, 1.0 + spare_k / loop_k)
    fans = min(1.0, max(design.minimum_airflow, airflow))
    hall.air_fan_kw = size * (
        design.air_fan_fraction * fan_power_fraction(flow) + design.fan_fraction * fan_power_fraction(fans)
    )


@large_kernel
def hall_air_limit_kw(plant, index, ambient_c, wet_bulb_c):
    """Heat in the air of a hall at which the air that the racks breathe in reaches its limit [kW]."""
    design, size = plant.design[0], plant.halls[index].design_air_kw
    if size <= 0.0:
        return 0.0
    outside_c = _air_outside_c(design, ambient_c, wet_bulb_c)
    rise_k = design.air_loop_approach_k + _full_rise_k(design, plant.halls[index])
    return size * max(0.0, (design.hall_air_maximum_c - outside_c) / rise_k) if rise_k > 0.0 else 10.0 * size


@large_kernel
def hall_limit_kw(plant, index, ambient_c, wet_bulb_c, sea_c):
    """Heat that a hall's coolers reject for good with its water as warm as the racks bear [kW to the water]."""
    design, hall = plant.design[0], plant.halls[index]
    if hall.design_kw <= 0.0:
        return 0.0
    banks = 1.0 if design.sea else working_banks(design, hall)
    if banks <= 0.0:
        return 0.0
    sink_c = sea_c if design.sea else _air_outside_c(design, ambient_c, wet_bulb_c)
    rate = hall.design_kw / design.fws_delta_t_k
    supply_c = design.tcs_maximum_c - design.cdu_approach_k
    # heat is linear in the water's temperature, and the water's rise in the heat
    if hall.known_limit_kw != hall.design_kw or hall.known_banks != banks:
        hall.known_limit_kw, hall.known_banks = hall.design_kw, banks
        kept = hall.flow_kw_per_k
        hall.flow_kw_per_k = rate
        hall.known_slope = _most_kw(design, hall, banks, 1.0, 0.0)
        hall.flow_kw_per_k = kept
    slope = hall.known_slope
    return max(0.0, slope * (supply_c - sink_c) / max(1e-9, 1.0 - slope / rate))
