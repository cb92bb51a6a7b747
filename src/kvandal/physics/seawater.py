"""Sea water as heat sink: the fjord at depth, a plate exchanger at the shore, the pumps."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.exchanger_flow import flow_fraction_at_heat, heat_at_flow_kw
from kvandal.physics.heat_exchanger import CONVECTION_EXPONENT
from kvandal.physics.water import pump_system_power_fraction

HEAT_CAPACITY_KJ_PER_KG_K = 3.99
"""Sea water of 35 g/kg at 5 to 20 °C; K. G. Nayar et al., Desalination 390, 2016, doi:10.1016/j.desal.2016.02.024."""

DENSITY_KG_PER_M3 = 1027.0
"""Sea water of 35 g/kg at 8 °C; same source."""

SURFACE_WARMEST_DAY = 227
"""Day of the year on which the sea surface at Narvik is warmest (mid-August, from its monthly means)."""


@kernel
def sea_temp_at_depth_c(day_of_year: float, mean_c: float, amplitude_k: float, lag_days: float) -> float:
    r"""Sea temperature at the depth of the intake [°C], a yearly wave that lags behind the surface.

    .. math:: T = \bar T + A \cos\left( 2\pi \frac{d - 227 - \Delta}{365.25} \right)

    Valid for 60 to 100 m in a deep fjord.

    Parameters
    ----------
    day_of_year : 1 to 366, parts of a day too
    mean_c : mean of the year [°C], 5 to 8
    amplitude_k : half of the range over the year [K]
    lag_days : time from the warmest surface (mid-August) to the warmest water at depth [days], 60 to 90

    References
    ----------
    Surface means of Narvik (climatestotravel.com) and the coastal station Sognesjøen of Havforskningsinstituttet
    (imr.no), about 7 °C at depth all year; amplitude and lag are judgement.

    Examples
    --------
    Warmest at the end of October, coldest at the end of April:

    >>> [round(sea_temp_at_depth_c(day, 6.5, 1.5, 75.0), 1) for day in (302.0, 119.0, 15.0)]
    [8.0, 5.0, 6.8]

    """
    return mean_c + amplitude_k * math.cos(
        2.0 * math.pi * (day_of_year - SURFACE_WARMEST_DAY - lag_days) / 365.25
    )


@kernel
def seawater_volume_m3_per_s(heat_kw: float, rise_k: float) -> float:
    r"""Sea water that takes `heat_kw` while it warms by `rise_k`, :math:`Q / (\rho c_p \Delta T)` [m³/s].

    Valid for open sea at 0 to 30 °C. Infinite without a rise.

    200 MW at 12 K need 4.1 m³/s:

    >>> round(seawater_volume_m3_per_s(200e3, 12.0), 2)
    4.07
    """
    if heat_kw <= 0.0:
        return 0.0
    if rise_k <= 0.0:
        return math.inf
    return heat_kw / (DENSITY_KG_PER_M3 * HEAT_CAPACITY_KJ_PER_KG_K * rise_k)


@large_kernel
def seawater_design(
    heat_kw: float, water_kw_per_k: float, rise_k: float, approach_k: float
) -> tuple[float, float]:
    r"""Conductance of the plate exchanger at the shore and capacity rate of the sea water, both [kW/K].

    .. math:: UA_0 = Q / \Delta T_{lm}, \qquad C_{sea} = Q / \Delta T_{sea}

    The approach is the smaller of the temperature differences at the two ends, so every rise has an exchanger.

    Parameters
    ----------
    heat_kw : heat to reject at design [kW]
    water_kw_per_k : capacity rate of the facility water [kW/K]
    rise_k : warming of the sea water at design [K]
    approach_k : smallest difference between the streams at design [K], 2 to 3

    References
    ----------
    Logarithmic mean temperature difference of counterflow: Kays and London, *Compact Heat Exchangers*, 1984.

    Examples
    --------
    200 MW, facility water that cools by 10 K, sea water that warms by 12 K, 2.5 K apart at the warm end:

    >>> [round(value) for value in seawater_design(200e3, 20e3, 12.0, 2.5)]
    [58779, 16667]

    """
    if heat_kw <= 0.0 or water_kw_per_k <= 0.0:
        return 0.0, 0.0
    spread_k = abs(rise_k - heat_kw / water_kw_per_k)
    mean_k = approach_k
    if spread_k > 1e-9 * approach_k:
        mean_k = spread_k / math.log1p(spread_k / approach_k)
    return heat_kw / mean_k, heat_kw / rise_k


@large_kernel
def seawater_heat_kw(
    flow_fraction: float,
    water_kw_per_k: float,
    water_in_c: float,
    sea_in_c: float,
    design_kw_per_k: float,
    sea_design_kw_per_k: float,
) -> float:
    r"""Heat from facility water to sea water in a counterflow exchanger [kW]; 0 where the sea is not colder.

    .. math:: Q = \varepsilon(N, C_r)\, C_{min} (T_{w,in} - T_{sea}), \quad UA = UA_0\, b^{0.7}

    Valid for flows from 0 upwards.

    Parameters
    ----------
    flow_fraction : flow b of sea water over design
    water_kw_per_k : capacity rate of the facility water [kW/K]
    water_in_c, sea_in_c : temperatures at the inlets [°C]
    design_kw_per_k, sea_design_kw_per_k : conductance and sea water of :func:`seawater_design` [kW/K]

    References
    ----------
    W. M. Kays, A. L. London, *Compact Heat Exchangers*, 3rd edition, 1984, chapter 2.

    Examples
    --------
    At design: water of 6.5 + 12 + 2.5 = 21 °C gives 200 MW:

    >>> round(seawater_heat_kw(1.0, 20e3, 21.0, 6.5, *seawater_design(200e3, 20e3, 12.0, 2.5)))
    200000

    """
    if flow_fraction <= 0.0 or design_kw_per_k <= 0.0:
        return 0.0
    difference_k = max(0.0, water_in_c - sea_in_c)
    return heat_at_flow_kw(
        flow_fraction, water_kw_per_k, difference_k, sea_design_kw_per_k,
        0.0, 1.0 / design_kw_per_k, CONVECTION_EXPONENT, False,
    )  # fmt: skip


@large_kernel
def seawater_flow_for(
    heat_kw: float,
    water_kw_per_k: float,
    water_in_c: float,
    sea_in_c: float,
    design_kw_per_k: float,
    sea_design_kw_per_k: float,
    rise_limit_k: float,
) -> float:
    """Flow of sea water over design that takes `heat_kw`; above 1 or infinite where it cannot be done.

    The flow that the exchanger needs, but at least the flow that keeps the outfall within `rise_limit_k` of the sea
    (then part of the facility water passes the exchanger by). Inverse of :func:`seawater_heat_kw`, same reference.

    Parameters
    ----------
    heat_kw : heat to reject [kW]
    water_kw_per_k : capacity rate of the facility water [kW/K]
    water_in_c, sea_in_c : temperatures at the inlets [°C]
    design_kw_per_k, sea_design_kw_per_k : conductance and sea water of :func:`seawater_design` [kW/K]
    rise_limit_k : highest warming of the sea water, by discharge permit [K]; infinite: no limit

    Examples
    --------
    Warm water of 46 °C would need 31 % of the flow, but the outfall may not be warmer than sea plus 12 K:

    >>> design = seawater_design(200e3, 20e3, 12.0, 2.5)
    >>> [round(seawater_flow_for(200e3, 20e3, 46.0, 6.5, *design, rise), 2) for rise in (math.inf, 12.0)]
    [0.31, 1.0]

    """
    if heat_kw <= 0.0:
        return 0.0
    difference_k = water_in_c - sea_in_c
    if design_kw_per_k <= 0.0 or heat_kw >= water_kw_per_k * difference_k:
        return math.inf
    high = 64.0
    resistance = 1.0 / design_kw_per_k
    flow = flow_fraction_at_heat(
        heat_kw, water_kw_per_k, difference_k, sea_design_kw_per_k,
        0.0, resistance, CONVECTION_EXPONENT, False, 0.0, high,
    )  # fmt: skip
    if flow >= high:
        return math.inf
    return max(flow, heat_kw / (sea_design_kw_per_k * rise_limit_k))


@kernel
def seawater_pump_kw(
    flow_fraction: float, design_heat_kw: float, pump_w_per_kw: float, floor_fraction: float
) -> float:
    """Power of the sea-water pumps at part flow [kW]: a siphon keeps the lift small, friction is most of it.

    Valid for flows of 0 to 1. Pressure and efficiency at part flow as in
    :func:`kvandal.physics.water.pump_system_power_fraction`.

    Parameters
    ----------
    flow_fraction : flow over design
    design_heat_kw : heat rejected at design flow [kW]
    pump_w_per_kw : pump power over heat at design [W/kW], 8 to 15 (judgement)
    floor_fraction : static part of the pressure at design flow

    Examples
    --------
    12 W/kW are 2.4 MW for 200 MW:

    >>> round(seawater_pump_kw(1.0, 200e3, 12.0, 0.2))
    2400

    """
    return design_heat_kw * pump_w_per_kw / 1000.0 * pump_system_power_fraction(flow_fraction, floor_fraction)
