"""Heat exchangers by effectiveness and number of transfer units: forwards, backwards, and for design.

Streams are given by their capacity rate, mass flow times heat capacity [kW/K]. The equations are those of W. M. Kays
and A. L. London, *Compact Heat Exchangers*, 3rd edition, McGraw-Hill 1984; see also F. P. Incropera et al.,
*Fundamentals of Heat and Mass Transfer*, chapter 11.
"""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel

CONVECTION_EXPONENT = 0.7
"""Turbulent convection over flow: between plates 0.6 to 0.8 (Kays and London; judgement within)."""


@kernel
def effectiveness_counterflow(ntu: float, ratio: float) -> float:
    r"""Effectiveness of a counterflow exchanger: heat over the most that an endless one would carry.

    .. math::

        \varepsilon = \frac{1 - e^{-N(1-C_r)}}{1 - C_r e^{-N(1-C_r)}}, \qquad C_r = 1: \quad \frac{N}{1+N}

    Valid for every N of 0 and more, and C_r of 0 to 1; without loss of digits as C_r nears 1.

    Parameters
    ----------
    ntu : number of transfer units, UA over the smaller capacity rate
    ratio : smaller over larger capacity rate

    References
    ----------
    W. M. Kays, A. L. London, *Compact Heat Exchangers*, 3rd edition, 1984, table 2-2.

    Examples
    --------
    A range of 10 K with an approach of 4 K is an effectiveness of 10/14 = 0.714, at a ratio of 0.9 by 2.23 units:

    >>> round(effectiveness_counterflow(2.23, 0.9), 3), effectiveness_counterflow(1.0, 1.0)
    (0.714, 0.5)

    """
    if ntu <= 0.0:
        return 0.0
    if 1.0 - ratio < 1e-9:
        return 1.0 / (1.0 + 1.0 / ntu)
    gone = -math.expm1(-ntu * (1.0 - ratio))
    return gone / (1.0 - ratio + ratio * gone)


@large_kernel
def effectiveness_crossflow(ntu: float, ratio: float) -> float:
    r"""Effectiveness of a crossflow exchanger with both streams unmixed (fins and tubes).

    .. math:: \varepsilon = 1 - \exp\left( \frac{N^{0.22}}{C_r} \left( e^{-C_r N^{0.78}} - 1 \right) \right)

    The usual closed form for the series of two unmixed streams, within 1.6 % of the exact series from N of 1 to 6 and 3.8 % below; it stays between
    0 and 1 and rises with N beyond. Valid for N of 0 and more and C_r of 0 to 1.

    Parameters
    ----------
    ntu : number of transfer units, UA over the smaller capacity rate
    ratio : smaller over larger capacity rate

    References
    ----------
    F. P. Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th edition, 2011, equation 11.32.

    Examples
    --------
    One transfer unit of two equal streams carries 47 %, three carry 68 %; endless air makes it 1 - 1/e:

    >>> [round(effectiveness_crossflow(n, r), 3) for n, r in ((1.0, 1.0), (3.0, 1.0), (1.0, 0.0))]
    [0.469, 0.684, 0.632]

    """
    if ntu <= 0.0:
        return 0.0
    if ratio < 1e-9:
        return -math.expm1(-ntu)
    return -math.expm1(math.pow(ntu, 0.22) / ratio * math.expm1(-ratio * math.pow(ntu, 0.78)))


@kernel
def units_counterflow(effectiveness: float, ratio: float) -> float:
    r"""Transfer units of a counterflow exchanger of given effectiveness; infinite from 1 upwards.

    .. math:: N = \frac{1}{1-C_r} \ln \frac{1 - \varepsilon C_r}{1 - \varepsilon}

    Inverse of :func:`effectiveness_counterflow`; same validity and reference.

    >>> round(units_counterflow(10 / 14, 0.9), 2), units_counterflow(1.0, 0.9)
    (2.23, inf)
    """
    if effectiveness <= 0.0:
        return 0.0
    if effectiveness >= 1.0:
        return math.inf
    odds = effectiveness / (1.0 - effectiveness)
    if 1.0 - ratio < 1e-9:
        return odds
    return math.log1p(odds * (1.0 - ratio)) / (1.0 - ratio)


@large_kernel
def units_crossflow(effectiveness: float, ratio: float) -> float:
    """Transfer units of a crossflow exchanger of given effectiveness; infinite from 1 upwards.

    Inverse of :func:`effectiveness_crossflow` by bisection of the logarithm, to fifteen digits; for design, not for
    every tick. Infinite where more than a million units would be needed.

    >>> round(units_crossflow(effectiveness_crossflow(1.5, 0.8), 0.8), 9)
    1.5
    """
    if effectiveness <= 0.0:
        return 0.0
    low, high = -30.0, math.log(1e6)
    if effectiveness >= effectiveness_crossflow(1e6, ratio):
        return math.inf
    for _ in range(70):
        middle = 0.5 * (low + high)
        if effectiveness_crossflow(math.exp(middle), ratio) < effectiveness:
            low = middle
        else:
            high = middle
    return math.exp(0.5 * (low + high))


@large_kernel
def conductance_two_sided(
    design_kw_per_k: float, hot_flow_fraction: float, cold_flow_fraction: float, fouling_k_per_kw: float
) -> float:
    r"""Conductance with half of the clean resistance on either side, and fouling ("two_sided") [kW/K].

    .. math:: \frac1{UA} = \frac1{2\,UA_0} \left( a_h^{-0.7} + a_c^{-0.7} \right) + R_f

    Valid for flows of 0 (no conductance) to above design.

    Parameters
    ----------
    design_kw_per_k : clean conductance UA_0 at design flow on both sides [kW/K]
    hot_flow_fraction, cold_flow_fraction : flow over design flow on either side
    fouling_k_per_kw : resistance of dirt R_f [K/kW]

    References
    ----------
    Resistances in series with turbulent convection, exponent 0.7: R. K. Shah, D. P. Sekulić, *Fundamentals of Heat
    Exchanger Design*, Wiley 2003, chapters 3 and 7; equal halves are judgement.

    Examples
    --------
    With one side at half flow 76 % are left; dirt of a twentieth of the clean resistance takes 5 %:

    >>> round(conductance_two_sided(100.0, 1.0, 0.5, 0.0), 1), round(conductance_two_sided(100.0, 1.0, 1.0, 0.0005), 1)
    (76.2, 95.2)

    """
    if design_kw_per_k <= 0.0 or hot_flow_fraction <= 0.0 or cold_flow_fraction <= 0.0:
        return 0.0
    # the cold side is usually asked for at its design flow: its power is one
    cold = 1.0 if cold_flow_fraction == 1.0 else math.pow(cold_flow_fraction, -CONVECTION_EXPONENT)
    sides = math.pow(hot_flow_fraction, -CONVECTION_EXPONENT) + cold
    return 1.0 / (0.5 * sides / design_kw_per_k + fouling_k_per_kw)


@kernel
def conductance_one_sided(design_kw_per_k: float, flow_fraction: float) -> float:
    r"""Conductance with all resistance on one side ("one_sided"), :math:`UA = UA_0 a^{0.7}` [kW/K].

    Valid for flows of 0 (no conductance) to above design. Reference: turbulent convection as in Shah and Sekulić,
    *Fundamentals of Heat Exchanger Design*, Wiley 2003, chapter 7; exponent 0.7 is judgement.

    >>> round(conductance_one_sided(100.0, 0.5), 1)
    61.6
    """
    if flow_fraction <= 0.0:
        return 0.0
    return design_kw_per_k * math.pow(flow_fraction, CONVECTION_EXPONENT)


@large_kernel
def design_conductance(
    heat_kw: float, hot_kw_per_k: float, cold_kw_per_k: float, hot_in_c: float, cold_in_c: float
) -> float:
    """Conductance at which a counterflow exchanger carries `heat_kw` [kW/K]; infinite where none can.

    Inverse of :func:`exchanger_heat_kw`, same equations and reference.

    Parameters
    ----------
    heat_kw : heat to carry [kW]
    hot_kw_per_k, cold_kw_per_k : capacity rates [kW/K]
    hot_in_c, cold_in_c : temperatures at the inlets [°C]

    Examples
    --------
    A CDU of 1,300 kW, 50 to 40 °C on one side and 36 to 45 °C on the other, needs 290 kW/K:

    >>> round(design_conductance(1300.0, 130.0, 1300 / 9, 50.0, 36.0))
    290

    """
    smaller = min(hot_kw_per_k, cold_kw_per_k)
    larger = max(hot_kw_per_k, cold_kw_per_k)
    if heat_kw <= 0.0:
        return 0.0
    if smaller <= 0.0 or hot_in_c <= cold_in_c:
        return math.inf
    return smaller * units_counterflow(heat_kw / (smaller * (hot_in_c - cold_in_c)), smaller / larger)


@large_kernel
def exchanger_heat_kw(
    conductance_kw_per_k: float,
    hot_kw_per_k: float,
    cold_kw_per_k: float,
    hot_in_c: float,
    cold_in_c: float,
) -> float:
    r"""Heat from the hot to the cold stream of a counterflow exchanger, :math:`\varepsilon C_{min} \Delta T` [kW].

    Below 0 where "hot" is the colder one; 0 where a stream stands still.

    Parameters
    ----------
    conductance_kw_per_k : UA [kW/K]
    hot_kw_per_k, cold_kw_per_k : capacity rates [kW/K]
    hot_in_c, cold_in_c : temperatures at the inlets [°C]

    References
    ----------
    W. M. Kays, A. L. London, *Compact Heat Exchangers*, 3rd edition, 1984, chapter 2.

    Examples
    --------
    >>> round(exchanger_heat_kw(290.3, 130.0, 1300 / 9, 50.0, 36.0))
    1300

    """
    smaller = min(hot_kw_per_k, cold_kw_per_k)
    if smaller <= 0.0:
        return 0.0
    ratio = smaller / max(hot_kw_per_k, cold_kw_per_k)
    carried = effectiveness_counterflow(conductance_kw_per_k / smaller, ratio)
    return carried * smaller * (hot_in_c - cold_in_c)
