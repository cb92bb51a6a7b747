"""Lifting heat to what a customer needs."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel

KELVIN = 273.15


@kernel
def log_mean_k(warm_c: float, cold_c: float) -> float:
    """Thermodynamic mean temperature of a stream between two temperatures [K].

    >>> round(log_mean_k(75.0, 50.0), 2)
    335.49
    """
    warm, cold = warm_c + KELVIN, cold_c + KELVIN
    if abs(warm - cold) < 1e-6:
        return warm
    return (warm - cold) / math.log(warm / cold)


@large_kernel
def lorenz_cop(
    source_in_c: float,
    source_out_c: float,
    sink_in_c: float,
    sink_out_c: float,
    efficiency: float,
    maximum: float,
) -> float:
    r"""Coefficient of performance of a heat pump between two gliding streams.

    .. math:: COP = \max\left(1, \min\left(COP_{max}, \eta_L \frac{\bar T_h}{\bar T_h - \bar T_c}\right)\right)

    with logarithmic mean temperatures (Lorenz cycle). `maximum` holds where the source is as warm as the sink; 1 is an
    electric heater.

    Parameters
    ----------
    source_in_c, source_out_c : water of the source, before and after [°C]
    sink_in_c, sink_out_c : water of the customer, before and after [°C]
    efficiency : Lorenz efficiency, 0.4 to 0.6 for built machines
    maximum : highest COP of a real machine

    Examples
    --------
    >>> round(lorenz_cop(45.0, 37.0, 50.0, 75.0, 0.5, 20.0), 1)
    7.9

    """
    sink = log_mean_k(sink_out_c, sink_in_c)
    source = log_mean_k(source_in_c, source_out_c)
    lift = sink - source
    if lift <= 0.0:
        return maximum
    return max(1.0, min(maximum, efficiency * sink / lift))


@large_kernel
def carnot_cop(source_c: float, sink_c: float, efficiency: float, maximum: float) -> float:
    r"""Coefficient of performance of a heat pump between two constant temperatures ("carnot").

    .. math:: COP = \max\left(1, \min\left(COP_{max}, \eta_C \frac{T_h}{T_h - T_c}\right)\right)

    Valid for every pair of temperatures; `maximum` where the source is as warm as the sink, 1 is an electric heater.
    Too careful for streams that glide: there use :func:`lorenz_cop`.

    Parameters
    ----------
    source_c : temperature from which the heat is lifted [°C]
    sink_c : temperature to which it is lifted [°C]
    efficiency : efficiency over Carnot, 0.43 to 0.50 for built machines
    maximum : highest COP of a real machine

    References
    ----------
    The heat pumps of the Mäntsälä data centre, 3.6 to 4 MW: decarbheat.eu, celsiuscity.eu.

    Examples
    --------
    Mäntsälä lifts 40 to 85 °C with a COP of 3.4, which is 0.43 of Carnot's 7.96:

    >>> round(carnot_cop(40.0, 85.0, 0.43, 20.0), 1), round(carnot_cop(40.0, 85.0, 1.0, 20.0), 2)
    (3.4, 7.96)

    """
    lift_k = sink_c - source_c
    if lift_k <= 0.0:
        return maximum
    return max(1.0, min(maximum, efficiency * (sink_c + KELVIN) / lift_k))
