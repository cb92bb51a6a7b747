"""Wet-bulb temperature from air temperature and relative humidity."""

from __future__ import annotations

import numpy as np

from kvandal.series.regular import Float64

HUMIDITY_LIMITS_PCT = (5.0, 99.0)
TEMP_LIMITS_C = (-20.0, 50.0)


def wet_bulb_c(temp_c: Float64, relative_humidity_pct: Float64) -> Float64:
    r"""Wet-bulb temperature at sea-level pressure after Stull (2011) [°C].

    .. math::

       T_w = T \arctan(0.151977 \sqrt{RH + 8.313659}) + \arctan(T + RH) - \arctan(RH - 1.676331)
             + 0.00391838\, RH^{3/2} \arctan(0.023101\, RH) - 4.686035

    Parameters
    ----------
    temp_c
        Air temperature [°C].
    relative_humidity_pct
        Relative humidity [%].

    Notes
    -----
    Valid for 5-99 % and -20…+50 °C at 1013.25 hPa, except where air is both cold and dry; error there -1 to
    +0.65 K, mean absolute error 0.28 K. Beyond these limits: humidity is held at its limit, below -20 °C
    (above +50 °C) the depression T - Tw of -20 °C (+50 °C) is kept. The wet bulb never exceeds the air
    temperature. The fit knows no ice: below 0 °C it is the temperature over supercooled water.

    References
    ----------
    R. Stull, "Wet-Bulb Temperature from Relative Humidity and Air Temperature", Journal of Applied Meteorology
    and Climatology 50 (2011) 2267-2269, doi:10.1175/JAMC-D-11-0143.1, equation 1.

    Examples
    --------
    The example of the paper, 20 °C and 50 %, gives 13.7 °C:

    >>> round(float(wet_bulb_c(np.array([20.0]), np.array([50.0]))[0]), 1)
    13.7

    """
    temp = np.clip(temp_c, *TEMP_LIMITS_C)
    humidity = np.clip(relative_humidity_pct, *HUMIDITY_LIMITS_PCT)
    wet = (
        temp * np.arctan(0.151977 * np.sqrt(humidity + 8.313659))
        + np.arctan(temp + humidity)
        - np.arctan(humidity - 1.676331)
        + 0.00391838 * humidity**1.5 * np.arctan(0.023101 * humidity)
        - 4.686035
    )
    return np.asarray(temp_c - np.maximum(temp - wet, 0.0), dtype=np.float64)
