"""One tick of the plant: from the power of every rack to the water, the air, the heat sold and the meter.

First physics: every loop is in steady state within a tick, except for the heat that the water of the loops holds;
efficiencies of the electrical chain are constant. Units inside: kW, °C, s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.electrical import auxiliary_path_efficiency, it_path_efficiency
from kvandal.physics.heat_pump import lorenz_cop
from kvandal.physics.water import (
    adiabatic_air_c,
    dry_cooler_airflow,
    dry_cooler_conductance,
    fan_power_fraction,
    pump_power_fraction,
)
from kvandal.scenario.model import Scenario
from kvandal.twin.site import SiteArrays

Array = Any

(
    IT_KW, LOSSES_KW, COOLING_KW, MISC_KW, SITE_KW, TCS_SUPPLY_C, TCS_RETURN_C, FWS_SUPPLY_C, FWS_RETURN_C, HALL_AIR_C,
    HEAT_DEMAND_KW, HEAT_EXPORT_KW, REJECTED_KW, BUILDING_KW, STORED_KW, WATER_L, BALANCE_ERROR,
) = range(17)  # fmt: skip
"""Columns of the result of :func:`plant_tick`."""
PLANT_COLUMNS = 17


DESIGN = np.dtype(
    [
        ("net_kw", "f8"), ("it_efficiency", "f8"), ("auxiliary_efficiency", "f8"), ("misc_fraction", "f8"),
        ("tcs_supply_c", "f8"), ("tcs_delta_t_k", "f8"), ("cdu_approach_k", "f8"),
        ("cdu_pump_fraction", "f8"), ("fws_pump_fraction", "f8"), ("drycooler_approach_k", "f8"),
        ("drycooler_fan_fraction", "f8"), ("adiabatic_on_c", "f8"), ("adiabatic_effectiveness", "f8"),
        ("adiabatic_water_l_per_kwh", "f8"), ("air_fan_fraction", "f8"), ("air_approach_k", "f8"), ("hall_air_c", "f8"),
        ("minimum_flow_fraction", "f8"), ("minimum_airflow_fraction", "f8"), ("loop_kj_per_k", "f8"),
        ("lorenz_efficiency", "f8"), ("cop_maximum", "f8"),
        ("liquid_kw", "f8"), ("air_kw", "f8"), ("it_kw", "f8"),  # of the racks delivered so far, at TDP
        ("loop_excess_k", "f8"),  # facility water above its set-point, kept from tick to tick
    ],
    align=True,
)  # fmt: skip
"""Constants of the plant, what has been delivered, and what it remembers (one row)."""

CDU = np.dtype([("design_kw", "f8"), ("heat_kw", "f8"), ("known_kw", "f8"), ("pump_kw", "f8")], align=True)
"""A CDU: heat of its delivered racks at TDP, heat that it carries in this tick; heat for which the pump's power is known,
and that power."""

CUSTOMER = np.dtype(
    [
        ("supply_c", "f8"),
        ("return_c", "f8"),
        ("wanted_kw", "f8"),
        ("delivered_kw", "f8"),
        ("source_kw", "f8"),
    ],
    align=True,
)
"""A heat customer: temperatures; heat wanted, handed over and taken from the loop in this tick."""


class Plant(NamedTuple):
    """The plant: DESIGN (1,), CDU (cdus,), CUSTOMER (customers,), and the columns of this tick."""

    design: Array
    cdus: Array
    customers: Array
    tick: Array


def build_plant(scenario: Scenario, site: SiteArrays) -> Plant:
    """Arrange the plant of a scenario; no rack is delivered yet."""
    power, cooling, heat = scenario.power, scenario.cooling, scenario.heat
    eta_ups = {"double": power.eta_ups_double, "eco": power.eta_ups_eco, "none": 1.0}[power.ups_mode]
    design = np.zeros(1, DESIGN)
    constants = {
        "net_kw": site.net_kw,
        "it_efficiency": it_path_efficiency(
            power.eta_hv_transformer, power.eta_mv_transformer, eta_ups, power.eta_busway
        ),
        "auxiliary_efficiency": auxiliary_path_efficiency(power.eta_hv_transformer, power.eta_mv_transformer),
        "misc_fraction": power.misc_fraction,
        "cdu_pump_fraction": cooling.cdu_pump_w_per_kw / 1000,
        "fws_pump_fraction": cooling.fws_pump_w_per_kw / 1000,
        "drycooler_fan_fraction": cooling.drycooler_fan_kw_per_mw / 1000,
        "air_fan_fraction": cooling.air_fan_w_per_kw / 1000,
        "loop_kj_per_k": cooling.loop_heat_capacity_mwh_per_k * 3.6e6,
        "lorenz_efficiency": heat.lorenz_efficiency,
        "cop_maximum": heat.cop_maximum,
    }
    same_names = (
        "tcs_supply_c", "tcs_delta_t_k", "cdu_approach_k", "drycooler_approach_k", "adiabatic_on_c",
        "adiabatic_effectiveness", "adiabatic_water_l_per_kwh", "air_approach_k", "hall_air_c",
        "minimum_flow_fraction", "minimum_airflow_fraction",
    )  # fmt: skip
    for name, value in {**constants, **{name: getattr(cooling, name) for name in same_names}}.items():
        design[name] = value
    customers = np.zeros(len(heat.customers), CUSTOMER)
    customers["supply_c"] = [customer.supply_c for customer in heat.customers.values()]
    customers["return_c"] = [customer.return_c for customer in heat.customers.values()]
    return Plant(
        design=design, cdus=np.zeros(site.cdus, CDU), customers=customers, tick=np.zeros(PLANT_COLUMNS)
    )


@kernel
def deliver_to_plant(plant, cdu, tdp_kw, liquid_fraction):
    """Enlarge pumps, coolers and fan walls by what one more rack needs."""
    design = plant.design[0]
    plant.cdus[cdu].design_kw += tdp_kw * liquid_fraction
    plant.cdus[cdu].known_kw = -1.0
    design.liquid_kw += tdp_kw * liquid_fraction
    design.air_kw += tdp_kw * (1.0 - liquid_fraction) + design.net_kw
    design.it_kw += tdp_kw + design.net_kw


@kernel
def _excess_k(loop_kj_per_k, excess_k, heat_kw, conductance_kw_per_k, difference_k, tick_s):
    """Excess of the facility water after a tick in which its coolers at full airflow cannot hold the set-point [K].

    Implicit in time, so that it settles at any tick length: `heat_kw` comes in, the coolers take what the water is
    warmer than the air (`difference_k` at the set-point), and nothing where the air is warmer.
    """
    if loop_kj_per_k <= 0.0:
        return max(0.0, heat_kw / conductance_kw_per_k - difference_k)
    gain = tick_s / loop_kj_per_k
    new_k = (excess_k + gain * (heat_kw - conductance_kw_per_k * difference_k)) / (
        1.0 + gain * conductance_kw_per_k
    )
    if new_k + difference_k < 0.0:
        new_k = excess_k + gain * heat_kw
    return max(0.0, new_k)


@large_kernel
def plant_tick(plant, it_kw, air_kw, ambient_c, wet_bulb_c, tick_s):
    """Take the plant through one tick.

    Parameters
    ----------
    plant : `cdus.heat_kw` and `customers.wanted_kw` hold the loads of this tick; `tick`, `customers.delivered_kw` and
        `customers.source_kw` are filled; `loop_excess_k` is read, not changed
    it_kw : IT power of the site, network included [kW]
    air_kw : part of it that warms the air of the halls [kW]
    ambient_c, wet_bulb_c : outdoor air [°C]
    tick_s : length of the tick [s]

    Returns
    -------
    New excess temperature of the facility water over its set-point [K].

    """
    design, cdus, customers, out = plant.design[0], plant.cdus, plant.customers, plant.tick

    # technology cooling system: each CDU follows its heat down to the lowest flow
    capacity_kw = 0.0  # sum of flow times heat capacity, kW/K
    warmth_kw = 0.0  # heat that this flow carries above the supply, kW
    cdu_pump_kw = 0.0
    fws_heat_kw = 0.0
    for index in range(cdus.shape[0]):
        cdu = cdus[index]
        design_kw = cdu.design_kw
        if design_kw <= 0.0:
            continue
        flow = min(1.0, max(design.minimum_flow_fraction, cdu.heat_kw / design_kw))
        if cdu.heat_kw != cdu.known_kw:
            cdu.known_kw = cdu.heat_kw
            cdu.pump_kw = design.cdu_pump_fraction * design_kw * pump_power_fraction(flow)
        capacity_kw += flow * design_kw / design.tcs_delta_t_k
        warmth_kw += cdu.heat_kw
        cdu_pump_kw += cdu.pump_kw
        fws_heat_kw += cdu.heat_kw + cdu.pump_kw

    # facility water
    fws_design_kw = design.liquid_kw * (1.0 + design.cdu_pump_fraction)
    fws_flow = 1.0
    if fws_design_kw > 0.0:
        fws_flow = min(1.0, max(design.minimum_flow_fraction, fws_heat_kw / fws_design_kw))
    fws_pump_kw = design.fws_pump_fraction * design.liquid_kw * pump_power_fraction(fws_flow)
    fws_capacity_kw = fws_flow * fws_design_kw / design.tcs_delta_t_k
    fws_rise_k = (fws_heat_kw + fws_pump_kw) / fws_capacity_kw if fws_capacity_kw > 0.0 else 0.0
    set_supply_c = design.tcs_supply_c - design.cdu_approach_k
    excess_k = design.loop_excess_k
    warm_c = set_supply_c + excess_k + fws_rise_k

    # heat sold, in order of the customers, as long as there is heat in the return
    available_kw = max(0.0, fws_capacity_kw * fws_rise_k)
    heat_demand_kw = 0.0
    heat_export_kw = 0.0
    for index in range(customers.shape[0]):
        customer = customers[index]
        wanted_kw = customer.wanted_kw
        heat_demand_kw += wanted_kw
        source_share = 1.0
        if customer.supply_c > warm_c - 3.0:
            cop = lorenz_cop(
                warm_c, set_supply_c + excess_k, customer.return_c, customer.supply_c,
                design.lorenz_efficiency, design.cop_maximum,
            )  # fmt: skip
            source_share = 1.0 - 1.0 / cop
        taken_kw = min(available_kw, wanted_kw * source_share)
        available_kw -= taken_kw
        customer.source_kw = taken_kw
        customer.delivered_kw = taken_kw / source_share if source_share > 0.0 else wanted_kw
        heat_export_kw += taken_kw

    # heat rejection: airflow follows the heat; beyond full airflow the pad is wetted as far as needed, then the water
    # warms up; air that is warmer than the water is kept out
    to_reject_kw = fws_capacity_kw * fws_rise_k - heat_export_kw
    conductance = design.liquid_kw / (design.tcs_delta_t_k + design.drycooler_approach_k)
    catch_up_kw = design.loop_kj_per_k * excess_k / tick_s
    wanted_kw = to_reject_kw + catch_up_kw
    return_c = set_supply_c + fws_rise_k
    airflow = dry_cooler_airflow(wanted_kw, conductance, return_c - ambient_c)
    wet_share = 0.0
    new_excess_k = 0.0
    rejected_kw = wanted_kw
    if airflow > 1.0:
        full = dry_cooler_conductance(conductance, 1.0)
        air_c = ambient_c
        wet_air_c = adiabatic_air_c(ambient_c, wet_bulb_c, design.adiabatic_effectiveness)
        if ambient_c > design.adiabatic_on_c and wet_air_c < ambient_c:
            air_c = max(wet_air_c, return_c - wanted_kw / full)
            wet_share = (ambient_c - air_c) / (ambient_c - wet_air_c)
        if full * (return_c - air_c) < wanted_kw * (1.0 - 1e-12):
            new_excess_k = _excess_k(
                design.loop_kj_per_k, excess_k, to_reject_kw, full, return_c - air_c, tick_s
            )
            rejected_kw = to_reject_kw - design.loop_kj_per_k * (new_excess_k - excess_k) / tick_s
    airflow = min(1.0, max(design.minimum_airflow_fraction, airflow))
    stored_kw = design.loop_kj_per_k * (new_excess_k - excess_k) / tick_s
    fan_kw = design.drycooler_fan_fraction * design.liquid_kw * fan_power_fraction(airflow)
    water_l = wet_share * rejected_kw * tick_s / 3600.0 * design.adiabatic_water_l_per_kwh

    # fan walls: hall air at its set-point until outdoor air is too warm for that
    hall_air_c = max(design.hall_air_c, ambient_c + design.air_approach_k)
    air_flow = 0.0
    if design.air_kw > 0.0:
        air_flow = min(1.0, max(design.minimum_flow_fraction, air_kw / design.air_kw))
    air_fan_kw = design.air_fan_fraction * design.air_kw * fan_power_fraction(air_flow)

    # the meter
    cooling_kw = cdu_pump_kw + fws_pump_kw + fan_kw + air_fan_kw
    misc_kw = design.misc_fraction * design.it_kw
    losses_kw = it_kw * (1.0 / design.it_efficiency - 1.0) + (cooling_kw + misc_kw) * (
        1.0 / design.auxiliary_efficiency - 1.0
    )
    meter_kw = it_kw / design.it_efficiency + (cooling_kw + misc_kw) / design.auxiliary_efficiency

    outside_kw = rejected_kw + fan_kw + air_kw + air_fan_kw
    building_kw = losses_kw + misc_kw
    leaving_kw = outside_kw + heat_export_kw + building_kw + stored_kw

    supply_c = design.tcs_supply_c + new_excess_k
    out[IT_KW] = it_kw
    out[LOSSES_KW] = losses_kw
    out[COOLING_KW] = cooling_kw
    out[MISC_KW] = misc_kw
    out[SITE_KW] = meter_kw
    out[TCS_SUPPLY_C] = supply_c
    out[TCS_RETURN_C] = supply_c + (warmth_kw / capacity_kw if capacity_kw > 0.0 else 0.0)
    out[FWS_SUPPLY_C] = set_supply_c + new_excess_k
    out[FWS_RETURN_C] = set_supply_c + new_excess_k + fws_rise_k
    out[HALL_AIR_C] = hall_air_c
    out[HEAT_DEMAND_KW] = heat_demand_kw
    out[HEAT_EXPORT_KW] = heat_export_kw
    out[REJECTED_KW] = outside_kw
    out[BUILDING_KW] = building_kw
    out[STORED_KW] = stored_kw
    out[WATER_L] = water_l
    out[BALANCE_ERROR] = abs(meter_kw - leaving_kw) / meter_kw if meter_kw > 0.0 else 0.0
    return new_excess_k
