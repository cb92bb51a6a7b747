"""Lifting heat to what a customer needs."""

from __future__ import annotations

import math

from kvandal.compiled import kernel

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


@kernel
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
