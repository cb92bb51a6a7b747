"""Heat exchangers run backwards: the flow at which one takes a given heat."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.heat_exchanger import (
    CONVECTION_EXPONENT,
    effectiveness_counterflow,
    effectiveness_crossflow,
)

TOLERANCE = 1e-10
"""Relative error of heat at which the search for a flow ends."""

LEAST_FLOW = 1e-9
"""A flow over design below which the first guess is the answer: no pump or fan can tell."""

MOST_EVALUATIONS = 120
"""The search for a flow ends here in any case; six to eight evaluations are usual."""

HALVED_AFTER = 12
"""After so many evaluations every other one halves the bracket: close to all the heat that there is, false position crawls."""


@kernel
def heat_at_flow_kw(
    flow_fraction: float,
    hot_kw_per_k: float,
    difference_k: float,
    cold_design_kw_per_k: float,
    constant_k_per_kw: float,
    cold_k_per_kw: float,
    exponent: float,
    crossflow: bool,
) -> float:
    r"""Heat of an exchanger whose cold side runs at a part of its design flow [kW].

    .. math:: UA = 1 / (R + R_c\, b^{-n}), \qquad C_c = b\, C_{c,0}

    Valid for flows from 0 upwards; units and reference as for :func:`exchanger_heat_kw`.

    Parameters
    ----------
    flow_fraction : cold flow b over its design flow
    hot_kw_per_k : capacity rate of the hot stream [kW/K]
    difference_k : hot inlet less cold inlet [K]
    cold_design_kw_per_k : capacity rate of the cold stream at design flow [kW/K]
    constant_k_per_kw, cold_k_per_kw : resistance that does not know the cold flow, and the cold side's at design [K/kW]
    exponent : exponent n of the cold side's convection
    crossflow : crossflow instead of counterflow

    Examples
    --------
    >>> round(heat_at_flow_kw(1.0, 130.0, 14.0, 1300 / 9, 0.0, 1 / 290.3, 0.7, False))
    1300

    """
    cold_kw_per_k = flow_fraction * cold_design_kw_per_k
    smaller = min(hot_kw_per_k, cold_kw_per_k)
    if smaller <= 0.0:
        return 0.0
    resistance = constant_k_per_kw
    if cold_k_per_kw > 0.0:
        # the design flow is asked for at every search: its power is one
        resistance += cold_k_per_kw * (1.0 if flow_fraction == 1.0 else math.pow(flow_fraction, -exponent))
    units = 1.0 / (resistance * smaller)
    ratio = smaller / max(hot_kw_per_k, cold_kw_per_k)
    if crossflow:
        return effectiveness_crossflow(units, ratio) * smaller * difference_k
    return effectiveness_counterflow(units, ratio) * smaller * difference_k


@large_kernel
def flow_fraction_at_heat(
    heat_kw: float,
    hot_kw_per_k: float,
    difference_k: float,
    cold_design_kw_per_k: float,
    constant_k_per_kw: float,
    cold_k_per_kw: float,
    exponent: float,
    crossflow: bool,
    minimum: float,
    maximum: float,
) -> float:
    """Cold flow at which :func:`heat_at_flow_kw` gives `heat_kw`, to a relative error of heat of 1e-10.

    False position after Anderson and Björck on 1/heat over 1/flow, which is nearly a straight line: six to eight
    evaluations; halving of its logarithm where that does not do. The bracket starts where the cold stream would leave as warm as the hot one comes in. `minimum` where
    less flow would do, `maximum` where even that is not enough.

    N. Anderson, Å. Björck, "A new high order method of regula falsi type for computing a root of an equation", BIT 13,
    1973, doi:10.1007/BF01951936.

    >>> flow = flow_fraction_at_heat(800.0, 130.0, 14.0, 1300 / 9, 0.0, 1 / 290.3, 0.7, False, 0.1, 1.0)
    >>> round(flow, 3), round(heat_at_flow_kw(flow, 130.0, 14.0, 1300 / 9, 0.0, 1 / 290.3, 0.7, False), 6)
    (0.478, 800.0)
    """
    most_kw = heat_at_flow_kw(
        maximum, hot_kw_per_k, difference_k, cold_design_kw_per_k,
        constant_k_per_kw, cold_k_per_kw, exponent, crossflow,
    )  # fmt: skip
    return flow_fraction_below(
        heat_kw, hot_kw_per_k, difference_k, cold_design_kw_per_k,
        constant_k_per_kw, cold_k_per_kw, exponent, crossflow, minimum, maximum, most_kw,
    )  # fmt: skip


@large_kernel
def flow_fraction_below(
    heat_kw: float,
    hot_kw_per_k: float,
    difference_k: float,
    cold_design_kw_per_k: float,
    constant_k_per_kw: float,
    cold_k_per_kw: float,
    exponent: float,
    crossflow: bool,
    minimum: float,
    maximum: float,
    high_heat_kw: float,
) -> float:
    """Cold flow as :func:`flow_fraction_at_heat` finds it, where the heat at the `maximum` is known: `high_heat_kw`.

    >>> most_kw = heat_at_flow_kw(1.0, 130.0, 14.0, 1300 / 9, 0.0, 1 / 290.3, 0.7, False)
    >>> flow = flow_fraction_below(800.0, 130.0, 14.0, 1300 / 9, 0.0, 1 / 290.3, 0.7, False, 0.1, 1.0, most_kw)
    >>> round(flow, 3)
    0.478
    """
    if heat_kw <= 0.0:
        return minimum
    if difference_k <= 0.0 or cold_design_kw_per_k <= 0.0:
        return maximum
    low = heat_kw / (cold_design_kw_per_k * difference_k)
    if low >= maximum or heat_kw >= hot_kw_per_k * difference_k:
        return maximum
    low = max(low, minimum)
    low_heat_kw = heat_at_flow_kw(
        low, hot_kw_per_k, difference_k, cold_design_kw_per_k,
        constant_k_per_kw, cold_k_per_kw, exponent, crossflow,
    )  # fmt: skip
    if low_heat_kw >= heat_kw * (1.0 - TOLERANCE):
        return low
    if high_heat_kw <= heat_kw:
        return maximum
    if low < LEAST_FLOW or low_heat_kw <= 0.0:
        return low
    # slowness of flow u = 1/b, and what is missing g = heat/Q - 1: above 0 at the low flow, below 0 at the high one
    u_low, g_low = 1.0 / low, heat_kw / low_heat_kw - 1.0
    u_high, g_high = 1.0 / maximum, heat_kw / high_heat_kw - 1.0
    u = u_high
    side = 0.0  # where the last point fell
    for evaluation in range(MOST_EVALUATIONS):
        u = u_high - g_high * (u_low - u_high) / (g_low - g_high)
        if evaluation >= HALVED_AFTER and evaluation % 2 == 0:
            u = math.sqrt(u_low * u_high)
        found_kw = heat_at_flow_kw(
            1.0 / u, hot_kw_per_k, difference_k, cold_design_kw_per_k,
            constant_k_per_kw, cold_k_per_kw, exponent, crossflow,
        )  # fmt: skip
        g = heat_kw / found_kw - 1.0
        if abs(g) <= TOLERANCE or u_low - u_high <= 1e-15 * u_low:
            break
        if g > 0.0:
            if side > 0.0:
                weight = 1.0 - g / g_low
                g_high *= weight if weight > 0.0 else 0.5
            u_low, g_low, side = u, g, 1.0
        else:
            if side < 0.0:
                weight = 1.0 - g / g_high
                g_low *= weight if weight > 0.0 else 0.5
            u_high, g_high, side = u, g, -1.0
    return 1.0 / u


@large_kernel
def cold_flow_fraction_for(
    heat_kw: float,
    hot_kw_per_k: float,
    hot_in_c: float,
    cold_in_c: float,
    cold_design_kw_per_k: float,
    design_kw_per_k: float,
    hot_flow_fraction: float,
    fouling_k_per_kw: float,
    minimum: float,
    maximum: float,
    two_sided: bool = True,
) -> float:
    r"""Cold flow at which a counterflow exchanger takes exactly `heat_kw`, over the design flow.

    The conductance is :func:`~kvandal.physics.heat_exchanger.conductance_two_sided`; or, without `two_sided`,
    :func:`~kvandal.physics.heat_exchanger.conductance_one_sided` of the hot flow with the fouling in series. Valid for
    all loads and temperatures: `minimum` where less flow would do (or nothing is to be taken), `maximum` where even
    that is not enough, or where the cold stream is not colder. Heat within a relative error of 1e-10.

    Parameters
    ----------
    heat_kw : heat to take out of the hot stream [kW]
    hot_kw_per_k : capacity rate of the hot stream as it flows now [kW/K]
    hot_in_c, cold_in_c : temperatures at the inlets [°C]
    cold_design_kw_per_k : capacity rate of the cold stream at design flow [kW/K]
    design_kw_per_k : clean conductance at design flow on both sides [kW/K]
    hot_flow_fraction : hot flow over its design flow
    fouling_k_per_kw : resistance of dirt [K/kW]
    minimum, maximum : bounds of the answer, 0 or more
    two_sided : resistance on both sides, else all of it on the hot side

    References
    ----------
    W. M. Kays, A. L. London, *Compact Heat Exchangers*, 3rd edition, 1984, chapter 2.

    Examples
    --------
    A CDU at half load and half flow on the warm side needs 44 % of its facility water, with 50 and 36 °C at the inlets:

    >>> flow = cold_flow_fraction_for(650.0, 65.0, 50.0, 36.0, 1300 / 9, 290.3, 0.5, 0.0, 0.1, 1.0)
    >>> round(flow, 3)
    0.435

    """
    constant, cold = fouling_k_per_kw, 0.0
    if hot_flow_fraction <= 0.0 or design_kw_per_k <= 0.0:
        return minimum if heat_kw <= 0.0 else maximum
    hot = math.pow(hot_flow_fraction, -CONVECTION_EXPONENT) / design_kw_per_k
    if two_sided:
        constant += 0.5 * hot
        cold = 0.5 / design_kw_per_k
    else:
        constant += hot
    return flow_fraction_at_heat(
        heat_kw, hot_kw_per_k, hot_in_c - cold_in_c, cold_design_kw_per_k,
        constant, cold, CONVECTION_EXPONENT, False, minimum, maximum,
    )  # fmt: skip
