"""The models of the plant, side by side: which quantity has which models, and what they say at the same points.

A scenario chooses among models of one quantity by name (`key`). The values are worked at reference conditions, so
that two models can be compared; they are not results of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kvandal.physics.dry_cooler import dry_cooler_airflow_for, dry_cooler_design
from kvandal.physics.electrical import (
    busway_loss_kw,
    curve_loss_fraction,
    it_path_efficiency,
    loss_curve,
    transformer_loss_kw,
)
from kvandal.physics.exchanger_flow import cold_flow_fraction_for
from kvandal.physics.heat_exchanger import design_conductance
from kvandal.physics.heat_pump import carnot_cop, lorenz_cop
from kvandal.physics.seawater import seawater_design, seawater_flow_for, seawater_pump_kw
from kvandal.physics.water import (
    dry_cooler_airflow,
    fan_power_fraction,
    pump_power_fraction,
    pump_system_power_fraction,
)
from kvandal.scenario.parameters import curve, value


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a quantity.

    Attributes
    ----------
    name : as a scenario names it
    equation : in one line
    validity : range of validity
    reference : where it comes from, spelled out
    value_at : its value at a reference point of its quantity

    """

    name: str
    equation: str
    validity: str
    reference: str
    value_at: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity with two models or more, and the points at which they are compared.

    Attributes
    ----------
    name : short name
    key : key of the scenario that chooses the model
    what : what is compared, with its unit and the reference conditions
    points : reference points
    point_unit : unit of the points
    models : the models, first the one that says most

    """

    name: str
    key: str
    what: str
    points: tuple[float, ...]
    point_unit: str
    models: tuple[Model, ...]


LOADS_PCT = (25.0, 50.0, 75.0, 100.0)

_KAYS = "W. M. Kays, A. L. London, Compact Heat Exchangers, 3rd edition, 1984"
_INCROPERA = (
    "F. P. Incropera et al., Fundamentals of Heat and Mass Transfer, 7th edition, 2011, equation 11.32"
)

# Reference plant, per kW of heat: technology water 40 to 50 °C, facility water 36 to 45 °C, design air 28 °C.
_TCS_SUPPLY_C, _TCS_RANGE_K = value("cooling.tcs_supply_c"), value("cooling.tcs_delta_t_k")
_WATER_OUT_C, _RANGE_K = _TCS_SUPPLY_C - value("cooling.cdu_approach_k"), value("cooling.fws_delta_t_k")
_WATER_IN_C = _WATER_OUT_C + _RANGE_K
_DESIGN_AIR_C, _AIR_RISE_K = (
    _WATER_OUT_C - value("cooling.drycooler_approach_k"),
    value("cooling.drycooler_air_rise_k"),
)
_LORENZ, _CARNOT, _COP_MAX = (
    value("heat.hp_lorenz_eff"),
    value("heat.hp_carnot_eff"),
    value("heat.hp_cop_max"),
)
_FLOOR = value("cooling.pump_pressure_floor")
_ETA_HV, _ETA_MV = value("power.eta_hv_transformer"), value("power.eta_mv_transformer")
_ETA_UPS, _ETA_BUSWAY = value("power.eta_ups_double"), value("power.eta_busway")


def _ups_loss_pct(curve_name: str, load_pct: float) -> float:
    knots, losses = loss_curve(curve("ups_load"), curve(curve_name))
    return 100 * curve_loss_fraction(load_pct / 100, knots, losses) / (load_pct / 100)


def _path_loss_pct(load_pct: float) -> float:
    """Loss of HV and MV transformer, UPS (double conversion) and busway over the load."""
    load = load_pct / 100
    fraction = load + busway_loss_kw(load, 1.0, _ETA_BUSWAY)
    fraction += curve_loss_fraction(fraction, *loss_curve(curve("ups_load"), curve("ups_eta_double")))
    fraction += curve_loss_fraction(fraction, *loss_curve(curve("mv_tx_load"), curve("mv_tx_eta")))
    fraction += transformer_loss_kw(
        fraction, 1.0, value("power.hv_no_load_fraction"), value("power.hv_load_loss_fraction")
    )
    return 100 * (fraction / load - 1)


def _cooler_airflow_pct(load_pct: float) -> float:
    conductance, air = dry_cooler_design(1.0, 1.0 / _RANGE_K, _WATER_IN_C, _DESIGN_AIR_C, _AIR_RISE_K)
    load = load_pct / 100
    return 100 * dry_cooler_airflow_for(load, load / _RANGE_K, _WATER_IN_C, _DESIGN_AIR_C, conductance, air)


def _difference_airflow_pct(load_pct: float) -> float:
    difference_k = _WATER_IN_C - _DESIGN_AIR_C
    return 100 * dry_cooler_airflow(load_pct / 100, 1.0 / difference_k, difference_k)


def _dry_cooler_w_per_kw(load_pct: float) -> float:
    conductance, air = dry_cooler_design(1.0, 1.0 / _RANGE_K, _WATER_IN_C, _DESIGN_AIR_C, _AIR_RISE_K)
    load = load_pct / 100
    airflow = dry_cooler_airflow_for(load, load / _RANGE_K, _WATER_IN_C, 10.0, conductance, air)
    airflow = max(value("cooling.minimum_airflow_fraction"), airflow)
    return value("cooling.drycooler_fan_kw_per_mw") * fan_power_fraction(airflow) / load


def _sea_w_per_kw(load_pct: float) -> float:
    load = load_pct / 100
    rise_k, sea_c = value("cooling.seawater_rise_k"), value("cooling.seawater_depth_c")
    design = seawater_design(1.0, 1.0 / _RANGE_K, rise_k, value("cooling.seawater_approach_k"))
    flow = seawater_flow_for(load, load / _RANGE_K, _WATER_IN_C, sea_c, *design, rise_k)
    return 1000 * seawater_pump_kw(flow, 1.0, value("cooling.seawater_pump_w_per_kw"), _FLOOR) / load


def _cdu_flow_pct(two_sided: bool, load_pct: float) -> float:
    load, hot, cold = load_pct / 100, 1.0 / _TCS_RANGE_K, 1.0 / _RANGE_K
    hot_in_c = _TCS_SUPPLY_C + _TCS_RANGE_K
    conductance = design_conductance(1.0, hot, cold, hot_in_c, _WATER_OUT_C)
    return 100 * cold_flow_fraction_for(
        load, hot * load, hot_in_c, _WATER_OUT_C, cold, conductance, load, 0.0, 0.0, 2.0, two_sided
    )


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "electrical_losses",
        "power.loss_model",
        "loss from meter to rack over IT power, double conversion [%], at load",
        LOADS_PCT,
        "%",
        (
            Model(
                "curves",
                "P0 + Pk x^2 (HV); x (1/eta(x) - 1) between measured points (MV, UPS); R I^2 (busway)",
                "no load to 110 % load",
                "IEC 60076-1; efficiency points: peaks after UPS makers' claims, the rest judgement",
                _path_loss_pct,
            ),
            Model(
                "constant",
                "1 / (eta_hv eta_mv eta_ups eta_busway) - 1",
                "near full load",
                "typical full-load efficiencies, judgement",
                lambda _: 100 * (1 / it_path_efficiency(_ETA_HV, _ETA_MV, _ETA_UPS, _ETA_BUSWAY) - 1),
            ),
        ),
    ),
    Quantity(
        "ups",
        "power.ups_mode",
        "loss of the UPS over its output [%], at load",
        LOADS_PCT,
        "%",
        (
            Model(
                "double",
                "x (1/eta(x) - 1) between 91.0/95.5/96.8/97.0/96.7 % at 10/25/50/75/100 % load",
                "no load to 110 % load",
                "up to 97 % double conversion: makers' claims (eatonupsus.com); the curve is judgement",
                partial(_ups_loss_pct, "ups_eta_double"),
            ),
            Model(
                "eco",
                "x (1/eta(x) - 1) between 95.5/97.5/98.8/99.0/99.0 % at 10/25/50/75/100 % load",
                "no load to 110 % load",
                "up to 99 % eco mode: makers' claims (schneiderupsus.com); the curve is judgement",
                partial(_ups_loss_pct, "ups_eta_eco"),
            ),
            Model(
                "none",
                "0: racks ride through on their own stored energy",
                "halls without UPS",
                "by definition",
                lambda _: 0.0,
            ),
        ),
    ),
    Quantity(
        "heat_rejection",
        "cooling.heat_rejection",
        "electricity over heat rejected [W/kW], air at 10 °C, sea at 6.5 °C, at heat load",
        LOADS_PCT,
        "%",
        (
            Model(
                "dry_cooler",
                "fans: 20 W/kW a^3 with the airflow a of model effectiveness, at least 10 %",
                "-40 to +50 °C",
                "statistics of dry, hybrid and wet coolers, Energies 16, 2023, article 3661 (mdpi.com)",
                _dry_cooler_w_per_kw,
            ),
            Model(
                "seawater",
                "pumps: 12 W/kW by system curve; flow from eps-NTU counterflow, outfall at most sea + 12 K",
                "sea at 0 to 20 °C",
                f"{_KAYS}; pump power is judgement",
                _sea_w_per_kw,
            ),
        ),
    ),
    Quantity(
        "dry_cooler",
        "cooling.dry_cooler_model",
        "airflow over design [%], water in at 45 °C, air at 28 °C, water flow follows load, at heat load",
        LOADS_PCT,
        "%",
        (
            Model(
                "effectiveness",
                "Q = eps(NTU, Cr) Cmin (Tw,in - Ta,in), crossflow; UA = UA0 a^0.6, Ca = a Ca0",
                "-40 to +50 °C, airflow from 0",
                _INCROPERA,
                _cooler_airflow_pct,
            ),
            Model(
                "temperature_difference",
                "Q = UA0 a^0.6 (Tw,warm - Ta)",
                "near design; flatters low airflow",
                "usual part-load law of cooler makers; exponent is judgement",
                _difference_airflow_pct,
            ),
        ),
    ),
    Quantity(
        "pump",
        "cooling.pump_model",
        "power over design power [%], pressure floor 35 %, at flow",
        LOADS_PCT,
        "%",
        (
            Model(
                "system_curve",
                "s + (1-s) n (f + (1-f) n^1.8) / (1 - 0.35 (1-n)^2), s = 2 %",
                "flow 0 to 120 %",
                "ASHRAE Handbook - HVAC Systems and Equipment, Centrifugal Pumps; efficiency is judgement",
                lambda flow_pct: 100 * pump_system_power_fraction(flow_pct / 100, _FLOOR),
            ),
            Model(
                "affinity",
                "0.1 + 0.9 n^2.6",
                "flow 0 to 100 %",
                "affinity laws with a floor for drive and set-point; judgement",
                lambda flow_pct: 100 * pump_power_fraction(flow_pct / 100),
            ),
        ),
    ),
    Quantity(
        "exchanger",
        "cooling.exchanger_model",
        "facility water of a CDU over design [%], 50 and 36 °C at the inlets, warm flow follows load, at heat load",
        LOADS_PCT,
        "%",
        (
            Model(
                "two_sided",
                "1/UA = (ah^-0.7 + ac^-0.7) / (2 UA0) + Rf",
                "flow from 0 on both sides",
                "R. K. Shah, D. P. Sekulić, Fundamentals of Heat Exchanger Design, Wiley 2003",
                partial(_cdu_flow_pct, True),
            ),
            Model(
                "one_sided",
                "1/UA = ah^-0.7 / UA0 + Rf",
                "cold flow near design",
                "as two_sided, all resistance on the warm side",
                partial(_cdu_flow_pct, False),
            ),
        ),
    ),
    Quantity(
        "heat_pump",
        "heat.heat_pump_model",
        "COP, source 45 to 37 °C, customer's return 25 K below its supply, at supply",
        (65.0, 75.0, 85.0, 95.0),
        "°C",
        (
            Model(
                "lorenz",
                "COP = 0.5 Th / (Th - Tc) with logarithmic mean temperatures of the gliding streams, 1 to 8",
                "every lift",
                "cycle of H. Lorenz, 1894; efficiency 0.4 to 0.6 is judgement",
                lambda supply_c: lorenz_cop(45.0, 37.0, supply_c - 25.0, supply_c, _LORENZ, _COP_MAX),
            ),
            Model(
                "carnot",
                "COP = 0.46 Th / (Th - Tc) between supply and the cooled source, 1 to 8",
                "streams that glide little",
                "0.43 of Carnot: heat pumps of the Mäntsälä data centre, 40 to 85 °C, COP 3.4 (decarbheat.eu)",
                lambda supply_c: carnot_cop(37.0, supply_c, _CARNOT, _COP_MAX),
            ),
        ),
    ),
)
"""Every quantity of the plant with models to choose from; the wet bulb stands in :mod:`kvandal.climate.models`."""
