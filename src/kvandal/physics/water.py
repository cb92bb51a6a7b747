"""Pumps, fans and dry coolers at part load; the first dry-cooler model (air without end)."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel


@kernel
def pump_power_fraction(flow_fraction: float) -> float:
    r"""Electric power of a variable-speed pump over its design power.

    .. math:: P / P_0 = 0.1 + 0.9 (n / n_0)^{2.6}

    A floor for drive and differential-pressure set-point, and a little less than the cube of the affinity laws.
    Valid for flow fractions 0 to 1.

    >>> round(pump_power_fraction(1.0), 3), round(pump_power_fraction(0.5), 3)
    (1.0, 0.248)
    """
    return 0.1 + 0.9 * math.pow(flow_fraction, 2.6)


@large_kernel
def pump_system_power_fraction(flow_fraction: float, floor_fraction: float) -> float:
    r"""Electric power of a variable-speed pump over its design power, from its system curve ("system_curve").

    .. math::

        P / P_0 = s + (1 - s) \frac{n \left( f + (1 - f)\, n^{1.8} \right)}{1 - 0.35\, (1 - n)^2}

    Flow n times pressure (a floor f that the differential-pressure control keeps, and friction), over an efficiency that
    falls to 65 % of its design value as the flow goes to 0; s = 2 % is the standby of drives and controls. Valid for
    flow fractions of 0 to 1.2.

    Parameters
    ----------
    flow_fraction : flow over design
    floor_fraction : pressure that is kept without flow, over the pressure at design flow, 0 to 1

    References
    ----------
    ASHRAE Handbook - HVAC Systems and Equipment, chapter "Centrifugal Pumps" (system curve with control head); exponent
    1.8 of turbulent friction after Blasius; fall of efficiency and standby are judgement.

    Examples
    --------
    With a floor of 30 % half the flow needs 29 % of the power, without one 17 %:

    >>> [round(pump_system_power_fraction(0.5, floor), 3) for floor in (0.3, 0.0)]
    [0.289, 0.174]
    >>> round(pump_system_power_fraction(1.0, 0.3), 3), round(pump_system_power_fraction(0.0, 0.3), 3)
    (1.0, 0.02)

    """
    flow = max(0.0, flow_fraction)
    pressure = floor_fraction + (1.0 - floor_fraction) * math.pow(flow, 1.8)
    short = 1.0 - flow
    return 0.02 + 0.98 * flow * pressure / (1.0 - 0.35 * short * short)


@kernel
def rack_pressure_drop_kpa(flow_fraction: float, design_kpa: float) -> float:
    r"""Pressure drop of a rack at part flow, :math:`\Delta p = \Delta p_0\, n^{1.8}` [kPa].

    Valid for turbulent flow, about 0.2 to 1.2 of design; below that a little too low. Blasius' law of friction; 70 to
    120 kPa at design flow is judgement.

    >>> round(rack_pressure_drop_kpa(0.5, 90.0), 1)
    25.8
    """
    return design_kpa * math.pow(max(0.0, flow_fraction), 1.8)


@kernel
def pump_power_kw(pressure_kpa: float, flow_l_per_s: float, efficiency: float) -> float:
    r"""Electric power of a pump, :math:`P = \Delta p\, \dot V / \eta` [kW].

    Valid for liquids; infinite where the efficiency is 0 and there is flow.

    A CDU of 1.3 MW moves 1,960 L/min against 250 kPa with 60 %: 13.6 kW, about 10 W/kW:

    >>> round(pump_power_kw(250.0, 1960 / 60, 0.60), 1)
    13.6
    """
    if pressure_kpa <= 0.0 or flow_l_per_s <= 0.0:
        return 0.0
    return pressure_kpa * flow_l_per_s / 1000.0 / efficiency


@kernel
def fan_power_fraction(airflow_fraction: float) -> float:
    """Electric power of a fan over its design power: the cube of the airflow (affinity law).

    >>> fan_power_fraction(0.5)
    0.125
    """
    return airflow_fraction * airflow_fraction * airflow_fraction


@kernel
def dry_cooler_conductance(conductance_design: float, airflow_fraction: float) -> float:
    r"""Heat per kelvin between warm water and ambient air, :math:`UA = UA_0 a^{0.6}` (unit of the first argument).

    >>> round(dry_cooler_conductance(10.0, 0.5), 3)
    6.598
    """
    return conductance_design * math.pow(airflow_fraction, 0.6)


@kernel
def dry_cooler_airflow(heat: float, conductance_design: float, difference_k: float) -> float:
    """Airflow fraction that rejects `heat` at a temperature difference; may exceed 1 (then it cannot be done).

    Inverse of :func:`dry_cooler_conductance`. Infinite where water is not warmer than air but heat is to be
    rejected.

    Parameters
    ----------
    heat : heat to reject [MW or kW, as in conductance_design]
    conductance_design : UA at full airflow [the same per K]
    difference_k : warm water less ambient [K]

    Examples
    --------
    >>> round(dry_cooler_airflow(90.0, 10.0, 18.0), 3)
    0.315

    """
    if heat <= 0.0:
        return 0.0
    if difference_k <= 0.0:
        return math.inf
    return math.pow(heat / (conductance_design * difference_k), 1.0 / 0.6)


@kernel
def adiabatic_air_c(ambient_c: float, wet_bulb_c: float, effectiveness: float) -> float:
    """Air temperature behind a wet pad: dry bulb less effectiveness times the wet-bulb depression [°C].

    >>> adiabatic_air_c(30.0, 20.0, 0.75)
    22.5
    """
    return ambient_c - effectiveness * (ambient_c - wet_bulb_c)
