"""Dry coolers by effectiveness: air and water in crossflow, both with a finite capacity rate.

The simpler model, :func:`kvandal.physics.water.dry_cooler_airflow` ("temperature_difference"), takes the air for
endless: ``Q = UA_0 a^0.6 (T_warm - T_ambient)``.
"""

from __future__ import annotations

import math

from kvandal.compiled import large_kernel
from kvandal.physics.exchanger_flow import flow_fraction_below, heat_at_flow_kw
from kvandal.physics.heat_exchanger import units_crossflow

AIR_EXPONENT = 0.6
"""Conductance over airflow: the air side governs (fins; judgement, 0.5 to 0.7)."""

MOST_AIRFLOW = 64.0
"""Beyond this airflow over design the answer is "cannot be done"."""


@large_kernel
def dry_cooler_heat_kw(
    airflow_fraction: float,
    water_kw_per_k: float,
    water_in_c: float,
    air_in_c: float,
    design_kw_per_k: float,
    air_design_kw_per_k: float,
) -> float:
    r"""Heat from water to air in a dry cooler ("effectiveness") [kW]; 0 where the air is not colder or stands still.

    .. math:: Q = \varepsilon(N, C_r)\, C_{min} (T_{w,in} - T_{a,in}), \quad UA = UA_0 a^{0.6}, \quad C_a = a\, C_{a,0}

    with the effectiveness of crossflow. Valid for airflows from 0 upwards.

    Parameters
    ----------
    airflow_fraction : airflow a over design
    water_kw_per_k : capacity rate of the water [kW/K]
    water_in_c, air_in_c : temperatures at the inlets, behind an adiabatic pad if there is one [°C]
    design_kw_per_k, air_design_kw_per_k : conductance, and capacity rate of the air, at design airflow [kW/K]

    References
    ----------
    F. P. Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th edition, 2011, chapter 11.

    Examples
    --------
    A cooler for 1 MW between water of 46 °C and air of 28 °C gives 35 % of it at a quarter of the air:

    >>> design = dry_cooler_design(1000.0, 100.0, 46.0, 28.0, 12.0)
    >>> [round(dry_cooler_heat_kw(air, 100.0, 46.0, 28.0, *design)) for air in (1.0, 0.5, 0.25)]
    [1000, 629, 352]

    """
    if airflow_fraction <= 0.0 or design_kw_per_k <= 0.0:
        return 0.0
    difference_k = max(0.0, water_in_c - air_in_c)
    return heat_at_flow_kw(
        airflow_fraction, water_kw_per_k, difference_k, air_design_kw_per_k,
        0.0, 1.0 / design_kw_per_k, AIR_EXPONENT, True,
    )  # fmt: skip


@large_kernel
def dry_cooler_airflow_for(
    heat_kw: float,
    water_kw_per_k: float,
    water_in_c: float,
    air_in_c: float,
    design_kw_per_k: float,
    air_design_kw_per_k: float,
) -> float:
    """Airflow over design that takes `heat_kw` out of the water; above 1 or infinite where it cannot be done.

    Inverse of :func:`dry_cooler_heat_kw` to a relative error of heat of 1e-10, same validity and reference. Infinite
    where the water is not warmer than the air, where it would have to leave as cold as the air, or beyond 64-fold
    airflow.

    Parameters
    ----------
    heat_kw : heat to reject [kW]
    water_kw_per_k : capacity rate of the water [kW/K]
    water_in_c, air_in_c : temperatures at the inlets [°C]
    design_kw_per_k, air_design_kw_per_k : conductance, and capacity rate of the air, at design airflow [kW/K]

    Examples
    --------
    At 0 °C outside the cooler of the example above needs 28 % of its air:

    >>> design = dry_cooler_design(1000.0, 100.0, 46.0, 28.0, 12.0)
    >>> [round(dry_cooler_airflow_for(1000.0, 100.0, 46.0, air_c, *design), 3) for air_c in (28.0, 0.0, 46.0)]
    [1.0, 0.281, inf]

    """
    if heat_kw <= 0.0:
        return 0.0
    difference_k = water_in_c - air_in_c
    if design_kw_per_k <= 0.0 or heat_kw >= water_kw_per_k * difference_k:
        return math.inf
    resistance = 1.0 / design_kw_per_k
    high = 1.0
    while high <= MOST_AIRFLOW:
        most_kw = heat_at_flow_kw(
            high, water_kw_per_k, difference_k, air_design_kw_per_k, 0.0, resistance, AIR_EXPONENT, True
        )
        if most_kw >= heat_kw:
            return flow_fraction_below(
                heat_kw, water_kw_per_k, difference_k, air_design_kw_per_k,
                0.0, resistance, AIR_EXPONENT, True, 0.0, high, most_kw,
            )  # fmt: skip
        high *= 4.0
    return math.inf


@large_kernel
def dry_cooler_design(
    heat_kw: float, water_kw_per_k: float, water_in_c: float, air_in_c: float, air_rise_k: float
) -> tuple[float, float]:
    """Conductance and air of a dry cooler that rejects `heat_kw` on its design day, both [kW/K].

    Infinite conductance where no cooler can (the water would have to leave colder than the air comes in).

    Parameters
    ----------
    heat_kw : heat to reject [kW]
    water_kw_per_k : capacity rate of the water [kW/K]
    water_in_c, air_in_c : temperatures at the inlets on the design day [°C]
    air_rise_k : rise of the air [K], 8 to 16

    Examples
    --------
    Water from 46 to 36 °C by air of 28 °C that rises by 12 K (36 °C is 8 K above the air):

    >>> [round(value, 1) for value in dry_cooler_design(1000.0, 100.0, 46.0, 28.0, 12.0)]
    [176.5, 83.3]

    """
    air_kw_per_k = heat_kw / air_rise_k
    smaller = min(water_kw_per_k, air_kw_per_k)
    if heat_kw <= 0.0:
        return 0.0, 0.0
    if smaller <= 0.0 or water_in_c <= air_in_c:
        return math.inf, air_kw_per_k
    carried = heat_kw / (smaller * (water_in_c - air_in_c))
    units = units_crossflow(carried, smaller / max(water_kw_per_k, air_kw_per_k))
    return units * smaller, air_kw_per_k
