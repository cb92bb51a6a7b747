"""The plant as tables of plain records: what was built, what it remembers, what it carries in this tick."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled import kernel
from kvandal.compiled.tables import by_reference
from kvandal.physics.coolant import coolant_table
from kvandal.physics.dry_cooler import dry_cooler_design
from kvandal.physics.electrical import loss_curve
from kvandal.physics.exchanger_lanes import ROWS, width_for
from kvandal.physics.fan_wall import fan_wall_design
from kvandal.physics.heat_exchanger import design_conductance
from kvandal.physics.heat_export import order_of_service, pipe_of
from kvandal.physics.seawater import seawater_design
from kvandal.physics.water import dry_cooler_conductance
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import curve, value
from kvandal.twin.site import SiteArrays, banks_of_a_hall, cdus_in_a_pod, connection_kw, month_start_s

Array = Any

CONSTRAINTS = (
    "grid_connection",
    "curtailment",
    "hv_transformer",
    "heat_rejection",
    "hall_air",
    "power_block",
    "cdu",
    "coolant_supply",
    "junction",
    "start_ramp",
)
"""What can limit the IT power of a node of the envelope tree, by name."""
(
    GRID_CONNECTION, CURTAILMENT, HV_TRANSFORMER, HEAT_REJECTION, HALL_AIR, POWER_BLOCK, CDU_RATING, COOLANT_SUPPLY,
    JUNCTION, START_RAMP,
) = range(10)  # fmt: skip

(
    IT_KW, LOSSES_KW, COOLING_KW, MISC_KW, SITE_KW, TCS_SUPPLY_C, TCS_RETURN_C, FWS_SUPPLY_C, FWS_RETURN_C, HALL_AIR_C,
    HEAT_DEMAND_KW, HEAT_EXPORT_KW, REJECTED_KW, BUILDING_KW, STORED_KW, WATER_L, BALANCE_ERROR,
    HV_LOSS_KW, BLOCK_LOSS_KW, BUSWAY_LOSS_KW, SHELF_LOSS_KW, BATTERY_LOSS_KW, BATTERY_KW, BATTERY_KWH,
    CDU_PUMP_KW, FWS_PUMP_KW, REJECTION_KW, FAN_WALL_KW, JUNCTION_C, DEMAND_KW,
) = range(30)  # fmt: skip
"""Columns of a tick. Site power is what the meter shows; demand is what the site draws, before its battery."""
PLANT_COLUMNS = 30

DESIGN = np.dtype(
    [
        ("net_kw", "f8"), ("misc_fraction", "f8"),
        # choices
        ("curves", "?"), ("sea", "?"), ("effectiveness", "?"), ("system_curve", "?"), ("two_sided", "?"),
        ("carnot", "?"), ("has_ups", "?"),
        # electrical chain
        ("hv_units", "i8"), ("hv_out", "i8"), ("hv_rating_kw", "f8"), ("hv_no_load", "f8"), ("hv_load_loss", "f8"),
        ("eta_hv", "f8"), ("eta_mv", "f8"), ("eta_ups", "f8"), ("eta_busway", "f8"),
        ("blocks", "i8"), ("blocks_needed", "i8"), ("block_margin", "f8"), ("limit_kw", "f8"),
        ("shelf_kj", "f8"),  # energy in the power shelves of a rack
        # battery
        ("battery_kw", "f8"), ("battery_capacity_kwh", "f8"), ("battery_kwh", "f8"), ("soc_minimum", "f8"),
        ("soc_maximum", "f8"), ("battery_efficiency", "f8"), ("battery_standby_kw", "f8"),
        # technology loop and CDUs
        ("tcs_supply_c", "f8"), ("tcs_delta_t_k", "f8"), ("fws_delta_t_k", "f8"), ("cdu_approach_k", "f8"),
        ("cdu_capacity_kw", "f8"), ("cdus", "i8"), ("cdus_needed", "i8"), ("pump_out_fraction", "f8"),
        ("cdu_pump_fraction", "f8"), ("fws_pump_fraction", "f8"), ("pressure_floor", "f8"), ("minimum_flow", "f8"),
        ("fouling_k", "f8"),  # fouling over the clean resistance at design, dimensionless
        ("units_tcs", "f8"),  # conductance of the CDU exchanger at design over the capacity rate of the technology loop
        ("tcs_time_s", "f8"), ("fws_time_s", "f8"), ("tcs_maximum_c", "f8"), ("flow_coast_s", "f8"),
        ("natural_flow_fraction", "f8"),
        # heat rejection: design values for 1 kW of liquid heat
        ("cooler_conductance", "f8"), ("cooler_air", "f8"), ("cooler_difference", "f8"), ("fan_fraction", "f8"),
        ("minimum_airflow", "f8"),
        ("least_air_conductance", "f8"),  # of coolers at that airflow, over their conductance at design
        ("banks", "i8"), ("banks_needed", "i8"),
        ("adiabatic_on_c", "f8"), ("adiabatic_effectiveness", "f8"), ("adiabatic_water_l_per_kwh", "f8"),
        ("shore_conductance", "f8"), ("shore_sea", "f8"), ("sea_rise_k", "f8"), ("sea_pump_fraction", "f8"),
        # air side: design values for 1 kW of heat in the air
        ("air_fan_fraction", "f8"), ("hall_air_c", "f8"), ("hall_air_maximum_c", "f8"), ("coil_conductance", "f8"),
        ("coil_air", "f8"), ("coil_water", "f8"), ("air_loop_approach_k", "f8"),
        # heat pumps of customers
        ("lorenz_efficiency", "f8"), ("carnot_efficiency", "f8"), ("cop_maximum", "f8"),
        # racks delivered so far, at TDP
        ("liquid_kw", "f8"), ("air_kw", "f8"), ("it_kw", "f8"),
    ],
    align=True,
)  # fmt: skip
"""Constants of the plant, what has been delivered, and the state of charge (one row)."""

POD = np.dtype(
    [
        ("design_kw", "f8"), ("design_it_kw", "f8"), ("hall", "i8"), ("cdus_out", "i8"), ("pumps_out", "i8"),
        ("idle_kw", "f8"), ("idle_it_kw", "f8"),  # of powered racks: to the water, electric
        ("wanted_kw", "f8"), ("wanted_it_kw", "f8"),  # above idle, before limits of this tick
        ("steady_kw", "f8"), ("steady_it_kw", "f8"), ("steady_air_kw", "f8"),  # the same but for changes inside the tick
        ("heat_kw", "f8"),  # to the water in this tick
        ("hottest_share", "f8"),  # of its powered racks: power above idle over the same at TDP
        ("hottest_model", "i8"), ("hottest_rack", "i8"),
        ("first_rack", "i8"), ("last_rack", "i8"),  # all of its racks stand between these
        ("share", "f8"),  # of the power above idle that the pod's own limits leave
        ("models", "i8"),  # kinds of rack that it holds, one bit each
        ("dry_since_s", "i8"),
        ("rack_share", "f8"),  # of a rack's power above idle at TDP that its GPUs' temperature leaves
        ("start_return_c", "f8"), ("start_supply_c", "f8"),
        ("return_c", "f8"), ("supply_c", "f8"), ("flow", "f8"), ("flow_wanted", "f8"), ("flow_limit", "f8"), ("junction_c", "f8"),
        ("exchanged_kw", "f8"), ("pump_kw", "f8"), ("fws_flow", "f8"),
        ("capacity", "f8"), ("per_step", "f8"), ("next_return_c", "f8"),  # in this step: of stream and loop [kW/K], at its end
        # the valve as it was found last, and for what
        ("known_exchanged_kw", "f8"), ("known_return_c", "f8"), ("known_fws_c", "f8"), ("known_flow", "f8"),
        # what depends on the coolant's flow, the working CDUs and the size: coolant and facility water at design [kW/K],
        # pumps, resistances of the exchangers [K/kW]
        ("rate", "f8"), ("installed", "f8"),
        ("known_coolant_flow", "f8"), ("known_cdus", "i8"), ("known_pump_kw", "f8"), ("known_constant", "f8"),
        ("known_cold", "f8"),
        # rating of the working CDUs, the IT power that it allows [kW], and for which IT power at TDP, idle, and faults
        ("rating_kw", "f8"), ("rated_it_kw", "f8"), ("rated_design_kw", "f8"), ("rated_idle_kw", "f8"),
        ("rated_cdus_out", "i8"), ("rated_pumps_out", "i8"),
        # resistance of the hottest GPUs [K/W], and for which flow and model
        ("known_hottest_flow", "f8"), ("known_model", "i8"), ("known_resistance", "f8"),
    ],
    align=True,
)  # fmt: skip
"""A manifold of coolant with its CDUs and racks. `start_` values hold from tick to tick, once the tick is accepted."""

HALL = np.dtype(
    [
        ("design_kw", "f8"), ("design_air_kw", "f8"), ("design_it_kw", "f8"), ("banks_out", "i8"),
        ("idle_air_kw", "f8"), ("idle_kw", "f8"), ("idle_it_kw", "f8"),
        ("wanted_air_kw", "f8"), ("wanted_kw", "f8"), ("wanted_it_kw", "f8"),
        ("air_kw", "f8"), ("share", "f8"),
        ("exchanged_kw", "f8"), ("flow_kw_per_k", "f8"), ("pump_kw", "f8"),
        ("start_supply_c", "f8"), ("supply_c", "f8"), ("warm_c", "f8"), ("air_c", "f8"),
        ("rejected_kw", "f8"), ("fan_kw", "f8"), ("air_fan_kw", "f8"), ("wet_share", "f8"), ("air_wet_share", "f8"),
        ("taken_kw", "f8"), ("return_c", "f8"), ("drive", "f8"),  # in this step: heat sold, water to the coolers, airflow
        ("known_drive", "f8"),  # airflow as it was found last
        # heat over temperature of the coolers at design flow [kW/K], and for which size and banks
        ("known_limit_kw", "f8"), ("known_banks", "f8"), ("known_slope", "f8"),
        ("known_air_kw", "f8"), ("known_rise_k", "f8"),  # the same of the fan walls: air over water at full load
    ],
    align=True,
)  # fmt: skip
"""A hall: its facility-water loop with dry coolers, and its fan walls."""

GROUP = np.dtype(
    [
        ("design_kw", "f8"), ("hall", "i8"), ("blocks_out", "i8"), ("idle_kw", "f8"), ("wanted_kw", "f8"),
        ("steady_kw", "f8"), ("it_kw", "f8"), ("share", "f8"),
        ("limit_kw", "f8"), ("limited_design_kw", "f8"), ("limited_out", "i8"),  # of its blocks; for which size and faults
        ("busway_kw", "f8"), ("block_kw", "f8"), ("shelf_kw", "f8"),  # losses
        ("known_kw", "f8"), ("known_design_kw", "f8"), ("known_out", "i8"),  # for which load, size and blocks
    ],
    align=True,
)  # fmt: skip
"""Rows that share power blocks."""

NODE = np.dtype(
    [
        ("limit_kw", "f8"), ("it_kw", "f8"), ("constraint", "i8"), ("is_bound", "?"), ("was_bound", "?"), ("fault", "i8"),
    ],
    align=True,
)  # fmt: skip
"""A node of the envelope tree: the largest IT power that it may draw and why. Site, halls, groups, pods."""

CUSTOMER = np.dtype(
    [
        ("supply_c", "f8"), ("return_c", "f8"), ("pinch_k", "f8"), ("pipe_loss_kw", "f8"), ("from_s", "i8"),
        ("pipe_kw", "f8"), ("wanted_kw", "f8"), ("delivered_kw", "f8"),
        ("taken_kw", "f8"), ("pump_kw", "f8"), ("lost_kw", "f8"),
    ],
    align=True,
)  # fmt: skip
"""A heat customer: temperatures, loss of its pipe from its connection on; in this tick: loss that its pipe asks for, heat
wanted, delivered, handed over, its heat pump and its pipe."""


@by_reference
class Curves(NamedTuple):
    """Losses over load of UPS and power shelves (knots, losses over rating), properties of the coolant, voltage dips."""

    ups_knots: Array
    ups_losses: Array
    mv_knots: Array
    mv_losses: Array
    shelf_knots: Array
    shelf_losses: Array
    coolant: Array


@by_reference
class Plant(NamedTuple):
    """The plant: DESIGN (1,), POD, HALL, GROUP, NODE and CUSTOMER tables, curves, and the columns of this tick.

    `order` is the order in which customers are served; `lanes` is room to work in
    (:mod:`kvandal.physics.exchanger_lanes`).
    """

    design: Array
    pods: Array
    halls: Array
    groups: Array
    nodes: Array
    customers: Array
    order: Array
    curves: Curves
    tick: Array
    lanes: Array


def node_names(site: SiteArrays) -> list[str]:
    """Names of the nodes of the envelope tree, in order of their table."""
    return [
        "site",
        *(f"hall-{index}" for index in range(site.halls)),
        *(f"group-{index}" for index in range(site.groups)),
        *(f"pod-{index}" for index in range(site.pods)),
    ]


def node_parents(site: SiteArrays) -> list[str | None]:
    """Name of the node above each node: groups and pods stand in halls, halls on the site."""
    halls = [f"hall-{hall}" for hall in (*site.group_hall.tolist(), *site.pod_hall.tolist())]
    return [None, *["site"] * site.halls, *halls]


def _chain(scenario: Scenario, site: SiteArrays) -> dict[str, Any]:
    """Constants of the electrical chain."""
    power = scenario.power
    return {
        "curves": power.loss_model == "curves",
        "has_ups": power.ups_mode != "none",
        "hv_units": power.hv_transformers,
        "hv_rating_kw": connection_kw(scenario, site) / (power.hv_transformers - 1),
        "hv_no_load": power.hv_no_load_fraction,
        "hv_load_loss": power.hv_load_loss_fraction,
        "eta_hv": power.eta_hv_transformer,
        "eta_mv": power.eta_mv_transformer,
        "eta_ups": {"double": power.eta_ups_double, "eco": power.eta_ups_eco, "none": 1.0}[power.ups_mode],
        "eta_busway": power.eta_busway,
        "blocks": power.blocks_per_group,
        "blocks_needed": power.blocks_needed,
        "shelf_kj": 72 * value("power.psu_storage_j_per_gpu") / 1000,
        "block_margin": power.block_margin_fraction,
        "limit_kw": scenario.site.grid_mw * 1000 * (1 - power.site_cap_margin_fraction),
        "battery_kw": power.bess_power_mw * 1000,
        "battery_capacity_kwh": power.bess_energy_mwh * 1000,
        "battery_kwh": power.bess_energy_mwh * 1000 * power.bess_soc_maximum,
        "soc_minimum": power.bess_soc_minimum,
        "soc_maximum": power.bess_soc_maximum,
        "battery_efficiency": power.bess_round_trip_efficiency,
        "battery_standby_kw": power.bess_power_mw * 1000 * power.bess_standby_fraction,
    }


def _water(scenario: Scenario) -> dict[str, Any]:
    """Constants of water and air; exchangers are laid out for 1 kW and scaled with the racks that are delivered."""
    cooling = scenario.cooling
    tcs, fws = 1.0 / cooling.tcs_delta_t_k, 1.0 / cooling.fws_delta_t_k  # kW/K for 1 kW
    hot_c = cooling.cdu_approach_k + cooling.tcs_delta_t_k  # over the facility-water supply
    # a CDU whose facility water would leave warmer than the technology water comes gets the flow that it needs
    fws = max(fws, 1.0 / (hot_c - 0.25 * cooling.cdu_approach_k))
    conductance = design_conductance(1.0, tcs, fws, hot_c, 0.0)
    fouling_k_per_kw = cooling.fouling_k_per_mw / 1000
    water_in_c = cooling.drycooler_approach_k + cooling.fws_delta_t_k  # over ambient
    air_rise_k = min(cooling.drycooler_air_rise_k, water_in_c - 0.25 * cooling.drycooler_approach_k)
    cooler, cooler_air = dry_cooler_design(1.0, fws, water_in_c, 0.0, air_rise_k)
    shore, shore_sea = seawater_design(1.0, fws, cooling.seawater_rise_k, cooling.seawater_approach_k)
    coil, coil_air, coil_water = fan_wall_design(
        1.0, cooling.fan_wall_air_rise_k, cooling.fan_wall_approach_k
    )
    return {
        "sea": cooling.heat_rejection == "seawater",
        "effectiveness": cooling.dry_cooler_model == "effectiveness",
        "system_curve": cooling.pump_model == "system_curve",
        "two_sided": cooling.exchanger_model == "two_sided",
        "fws_delta_t_k": 1.0 / fws,
        "cdu_capacity_kw": cooling.cdu_capacity_mw * 1000,
        "cdus": cdus_in_a_pod(scenario),
        "cdus_needed": cooling.cdus_per_pod,
        "pump_out_fraction": cooling.cdu_pump_out_fraction,
        "cdu_pump_fraction": cooling.cdu_pump_w_per_kw / 1000,
        "fws_pump_fraction": cooling.fws_pump_w_per_kw / 1000,
        "pressure_floor": cooling.pump_pressure_floor_fraction,
        "minimum_flow": cooling.minimum_flow_fraction,
        "fouling_k": fouling_k_per_kw * cooling.cdu_capacity_mw * 1000 * conductance,
        "units_tcs": conductance / tcs,
        "tcs_maximum_c": cooling.tcs_supply_maximum_c,
        "cooler_conductance": cooler,
        "cooler_air": cooler_air,
        "cooler_difference": 1.0 / water_in_c,
        "fan_fraction": cooling.drycooler_fan_kw_per_mw / 1000,
        "minimum_airflow": cooling.minimum_airflow_fraction,
        "least_air_conductance": dry_cooler_conductance(1.0, cooling.minimum_airflow_fraction),
        "banks": banks_of_a_hall(scenario),
        "banks_needed": cooling.banks_per_hall,
        "shore_conductance": shore,
        "shore_sea": shore_sea,
        "sea_rise_k": cooling.seawater_rise_k,
        "sea_pump_fraction": cooling.seawater_pump_w_per_kw / 1000,
        "air_fan_fraction": cooling.air_fan_w_per_kw / 1000,
        "coil_conductance": coil,
        "coil_air": coil_air,
        "coil_water": coil_water,
    }


def build_plant(scenario: Scenario, site: SiteArrays) -> Plant:
    """Arrange the plant of a scenario; no rack is delivered yet."""
    cooling, heat = scenario.cooling, scenario.heat
    design = np.zeros(1, DESIGN)
    constants = {
        "net_kw": site.net_kw,
        "misc_fraction": scenario.power.misc_fraction,
        "carnot": heat.heat_pump_model == "carnot",
        "lorenz_efficiency": heat.lorenz_efficiency,
        "carnot_efficiency": heat.carnot_efficiency,
        "cop_maximum": heat.cop_maximum,
        **_chain(scenario, site),
        **_water(scenario),
    }
    same_names = (
        "tcs_supply_c", "tcs_delta_t_k", "cdu_approach_k", "tcs_time_s", "fws_time_s", "flow_coast_s", "natural_flow_fraction", "adiabatic_on_c",
        "adiabatic_effectiveness", "adiabatic_water_l_per_kwh", "hall_air_c", "hall_air_maximum_c", "air_loop_approach_k",
    )  # fmt: skip
    for name, content in {**constants, **{name: getattr(cooling, name) for name in same_names}}.items():
        design[name] = content
    pods = np.zeros(site.pods, POD)
    pods["hall"] = site.pod_hall
    pods["share"] = 1.0
    pods["hottest_rack"] = -1
    for number in range(site.pods):
        racks = np.flatnonzero(site.pod == number)
        pods["first_rack"][number], pods["last_rack"][number] = (
            racks.min(initial=site.racks),
            racks.max(initial=-1),
        )
    pods["rack_share"] = 1.0
    pods["start_supply_c"] = pods["supply_c"] = cooling.tcs_supply_c
    pods["start_return_c"] = pods["return_c"] = cooling.tcs_supply_c + cooling.tcs_delta_t_k
    pods["known_exchanged_kw"] = -1.0
    halls = np.zeros(site.halls, HALL)
    halls["share"] = 1.0
    halls["start_supply_c"] = halls["supply_c"] = cooling.tcs_supply_c - cooling.cdu_approach_k
    groups = np.zeros(site.groups, GROUP)
    groups["hall"] = site.group_hall
    groups["share"] = 1.0
    nodes = np.zeros(1 + site.halls + site.groups + site.pods, NODE)
    nodes["fault"] = -1
    customers = np.zeros(len(heat.customers), CUSTOMER)
    customers["supply_c"] = [customer.supply_c for customer in heat.customers.values()]
    customers["return_c"] = [customer.return_c for customer in heat.customers.values()]
    customers["pinch_k"] = [customer.pinch_k for customer in heat.customers.values()]
    customers["pipe_loss_kw"] = [pipe_of(customer) for customer in heat.customers.values()]
    customers["from_s"] = [
        month_start_s(scenario.run.start_utc, customer.from_month) for customer in heat.customers.values()
    ]
    ups = "ups_eta_double" if scenario.power.ups_mode == "double" else "ups_eta_eco"
    return Plant(
        design=design,
        pods=pods,
        halls=halls,
        groups=groups,
        nodes=nodes,
        customers=customers,
        order=np.array(order_of_service([c.priority for c in heat.customers.values()]), np.int64),
        curves=Curves(
            *loss_curve(curve("ups_load"), curve(ups)),
            *loss_curve(curve("mv_tx_load"), curve("mv_tx_eta")),
            *loss_curve(curve("psu_load"), curve("psu_eta")),
            coolant_table(),
        ),
        tick=np.zeros(PLANT_COLUMNS),
        lanes=np.ones((ROWS, width_for(max(site.pods, site.halls)))),
    )


@kernel
def deliver_to_plant(plant, pod, group, model, tdp_kw, liquid_fraction):
    """Enlarge pumps, exchangers, coolers, fan walls and power blocks by what one more rack needs."""
    design = plant.design[0]
    hall = plant.pods[pod].hall
    liquid_kw = tdp_kw * liquid_fraction
    air_kw = tdp_kw - liquid_kw + design.net_kw
    plant.pods[pod].design_kw += liquid_kw
    plant.pods[pod].design_it_kw += tdp_kw
    plant.pods[pod].known_coolant_flow = -1.0
    plant.pods[pod].models |= 1 << model
    plant.halls[hall].design_kw += liquid_kw
    plant.halls[hall].design_air_kw += air_kw
    plant.halls[hall].design_it_kw += tdp_kw + design.net_kw
    plant.halls[hall].idle_air_kw += design.net_kw
    plant.halls[hall].idle_it_kw += design.net_kw
    plant.groups[group].design_kw += tdp_kw + design.net_kw
    plant.groups[group].idle_kw += design.net_kw
    design.liquid_kw += liquid_kw
    design.air_kw += air_kw
    design.it_kw += tdp_kw + design.net_kw


@kernel
def switch_rack(plant, pod, group, idle_kw, liquid_fraction, sign):
    """Power a rack on (1) or off (-1): its idle power joins or leaves the nodes above it."""
    hall = plant.pods[pod].hall
    liquid_kw = idle_kw * liquid_fraction
    plant.pods[pod].idle_kw += sign * liquid_kw
    plant.pods[pod].idle_it_kw += sign * idle_kw
    plant.halls[hall].idle_kw += sign * liquid_kw
    plant.halls[hall].idle_air_kw += sign * (idle_kw - liquid_kw)
    plant.halls[hall].idle_it_kw += sign * idle_kw
    plant.groups[group].idle_kw += sign * idle_kw


@kernel
def working_cdus(design, pod):
    """CDUs of a pod that work."""
    return max(0, design.cdus - pod.cdus_out)


@kernel
def pod_flow_limit(design, pod):
    """Most coolant that the pumps of a pod move, over its design flow."""
    working = working_cdus(design, pod)
    pumps_out = min(pod.pumps_out, 2 * working)
    # a CDU has two pumps: with one out it still moves pump_out_fraction, with both out nothing
    both_out = max(0, pumps_out - working)
    one_out = pumps_out - 2 * both_out
    moving = working - both_out - one_out * (1.0 - design.pump_out_fraction)
    return moving / design.cdus_needed
