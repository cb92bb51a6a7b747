"""Fan walls: the part of the racks' heat that warms the air of the halls, given to water in a coil."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.heat_exchanger import effectiveness_crossflow, units_crossflow
from kvandal.physics.water import fan_power_fraction

AIR_KJ_PER_M3_K = 1.2 * 1.006
"""Heat capacity of air at 20 °C and sea level [kJ/(m³ K)]; ASHRAE Handbook - Fundamentals, chapter 1."""

COIL_EXPONENT = 0.6
"""Conductance over airflow: the fins' side governs (judgement, 0.5 to 0.7)."""

LEAST_AIRFLOW = 0.02
"""Air still moves by buoyancy where the fans stand still, over design (judgement)."""


@kernel
def air_volume_m3_per_s(heat_kw: float, air_rise_k: float) -> float:
    r"""Air that takes `heat_kw` while it warms by `air_rise_k`, :math:`Q / (\rho c_p \Delta T)` [m³/s].

    Valid for dry air near sea level at 0 to 50 °C. Infinite without a rise.

    1 MW at 12 K needs 69 m³/s:

    >>> round(air_volume_m3_per_s(1000.0, 12.0))
    69
    """
    if heat_kw <= 0.0:
        return 0.0
    if air_rise_k <= 0.0:
        return math.inf
    return heat_kw / (AIR_KJ_PER_M3_K * air_rise_k)


@large_kernel
def fan_wall_design(heat_kw: float, air_rise_k: float, approach_k: float) -> tuple[float, float, float]:
    r"""Conductance of the coil, capacity rate of the air, and of the water at design, all [kW/K].

    .. math:: C_a = C_w = Q / \Delta T_{air}, \qquad \varepsilon = \Delta T_{air} / (\Delta T_{air} + \Delta T_{approach})

    The water warms by as much as the air cools. Valid for rises and approaches above 0; infinite conductance without an
    approach.

    Parameters
    ----------
    heat_kw : heat of the air at design [kW]
    air_rise_k : rise of the air through the hall [K]
    approach_k : air to the hall less water to the coil [K]

    References
    ----------
    F. P. Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th edition, 2011, equation 11.32.

    Examples
    --------
    1 MW, air from 39 to 27 °C, water from 20 to 32 °C:

    >>> [round(value, 1) for value in fan_wall_design(1000.0, 12.0, 7.0)]
    [181.9, 83.3, 83.3]

    """
    if heat_kw <= 0.0:
        return 0.0, 0.0, 0.0
    air_kw_per_k = heat_kw / air_rise_k
    if approach_k <= 0.0:
        return math.inf, air_kw_per_k, air_kw_per_k
    return (
        air_kw_per_k * units_crossflow(air_rise_k / (air_rise_k + approach_k), 1.0),
        air_kw_per_k,
        air_kw_per_k,
    )


@large_kernel
def fan_wall_supply_air_c(
    heat_kw: float,
    airflow_fraction: float,
    air_design_kw_per_k: float,
    water_in_c: float,
    water_kw_per_k: float,
    design_kw_per_k: float,
) -> float:
    r"""Air that a fan wall gives to the hall when it takes out all of the hall's heat [°C].

    .. math::

        T_{supply} = T_{w,in} + \frac{Q}{\varepsilon C_{min}} - \frac{Q}{C_a}, \qquad
        UA = UA_0 a^{0.6}, \quad C_a = a\, C_{a,0}

    with the effectiveness of crossflow: in steady state the hall warms up until the coil carries its heat. Valid for
    airflows of 0 to above design; below 2 % buoyancy moves 2 %. Never colder than the water; the water's own temperature
    where there is no heat, infinite where there is heat but no water or no coil.

    Parameters
    ----------
    heat_kw : heat of the hall's air, fans included [kW]
    airflow_fraction : airflow a over design
    air_design_kw_per_k : capacity rate of the air at design [kW/K]
    water_in_c : water to the coil [°C]
    water_kw_per_k : capacity rate of the water [kW/K]
    design_kw_per_k : conductance UA_0 at design airflow [kW/K]

    References
    ----------
    F. P. Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th edition, 2011, chapter 11.

    Examples
    --------
    At design 27 °C; with half the heat and half the air 22.6 °C:

    >>> coil, air, water = fan_wall_design(1000.0, 12.0, 7.0)
    >>> round(fan_wall_supply_air_c(1000.0, 1.0, air, 20.0, water, coil), 2)
    27.0
    >>> round(fan_wall_supply_air_c(500.0, 0.5, air, 20.0, water, coil), 2)
    22.62

    """
    airflow = max(LEAST_AIRFLOW, airflow_fraction)
    air_kw_per_k = airflow * air_design_kw_per_k
    smaller = min(air_kw_per_k, water_kw_per_k)
    if heat_kw <= 0.0:
        return water_in_c
    if smaller <= 0.0 or design_kw_per_k <= 0.0:
        return math.inf
    ratio = smaller / max(air_kw_per_k, water_kw_per_k)
    units = design_kw_per_k * math.pow(airflow, COIL_EXPONENT) / smaller
    carried = effectiveness_crossflow(units, ratio)
    return water_in_c + max(0.0, heat_kw / (carried * smaller) - heat_kw / air_kw_per_k)


@kernel
def fan_wall_power_kw(airflow_fraction: float, design_heat_kw: float, fan_w_per_kw: float) -> float:
    """Power of the fans of a fan wall [kW]: the cube of the airflow.

    Valid for airflows of 0 to 1; affinity laws, ASHRAE Handbook - HVAC Systems and Equipment, chapter 21.

    Parameters
    ----------
    airflow_fraction : airflow over design
    design_heat_kw : heat of the air at design [kW]
    fan_w_per_kw : fan power over heat at design [W/kW], 40 to 60 (judgement)

    Examples
    --------
    >>> round(fan_wall_power_kw(1.0, 1000.0, 50.0), 3), round(fan_wall_power_kw(0.5, 1000.0, 50.0), 3)
    (50.0, 6.25)

    """
    return design_heat_kw * fan_w_per_kw / 1000.0 * fan_power_fraction(airflow_fraction)
