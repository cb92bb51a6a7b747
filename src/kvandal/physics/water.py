"""Pumps, fans and dry coolers at part load."""

from __future__ import annotations

import math

from kvandal.compiled import kernel


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
