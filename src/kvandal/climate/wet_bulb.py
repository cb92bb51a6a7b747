"""Wet-bulb temperature and dew point from air temperature and relative humidity.

Two models of the wet bulb: :func:`wet_bulb_c` ("stull", a fit) and :func:`wet_bulb_psychrolib_c` ("psychrometric").
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kvandal.series.regular import Float64

if TYPE_CHECKING:
    from types import ModuleType

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


LEAST_HUMIDITY_PCT = 1.0
"""Drier air is taken for air of this humidity: dry air has no dew point."""

PSYCHROMETRIC_LIMITS_C = (-60.0, 60.0)
"""Air temperatures beyond these are held."""


@cache
def _psychrolib() -> ModuleType:
    """Load psychrolib, in SI units, its functions compiled for single numbers and kept on disk.

    As they come they are compiled anew in every process, which takes two seconds.
    """
    import numba
    import psychrolib
    from numba.np.ufunc.dufunc import DUFunc

    from kvandal import compiled

    psychrolib.SetUnitSystem(psychrolib.SI)
    functions = {name: one for name, one in vars(psychrolib).items() if isinstance(one, DUFunc)}
    for name, function in functions.items():
        setattr(psychrolib, name, compiled.kept(function._dispatcher.py_func))  # noqa: SLF001 - no other way to it
    psychrolib.isIP = numba.njit(psychrolib.isIP.py_func)
    module: ModuleType = psychrolib
    return module


def _each(function: Any, *columns: Float64) -> Float64:
    """Results of a function of single numbers for whole columns."""
    return np.array(
        [function(*row) for row in zip(*(one.tolist() for one in columns), strict=True)], np.float64
    )


def station_pressure_pa(elevation_m: float) -> float:
    r"""Air pressure of the standard atmosphere at an elevation [Pa].

    .. math:: p = 101325 \left( 1 - 2.25577 \cdot 10^{-5} z \right)^{5.2559}

    Valid from -5,000 to 11,000 m; held beyond.

    References
    ----------
    ASHRAE Handbook - Fundamentals (2017), chapter 1, equation 3.

    Examples
    --------
    110 m above the sea:

    >>> round(station_pressure_pa(110.0))
    100011

    """
    return float(101_325.0 * (1 - 2.25577e-5 * min(max(elevation_m, -5000.0), 11_000.0)) ** 5.2559)


def wet_bulb_psychrolib_c(
    temp_c: Float64, relative_humidity_pct: Float64, pressure_pa: float = 101_325.0
) -> Float64:
    """Wet-bulb temperature from the psychrometric equations of ASHRAE, through psychrolib [°C].

    Parameters
    ----------
    temp_c
        Air temperature [°C].
    relative_humidity_pct
        Relative humidity [%].
    pressure_pa
        Air pressure [Pa]: :func:`station_pressure_pa`.

    Notes
    -----
    Valid from -60 to +60 °C; temperatures beyond keep the depression of the limit, humidity is held to 1-100 %.
    Below 0 °C it is the temperature over ice. Solved by bisection to 0.001 K; never above the air temperature.

    References
    ----------
    D. Meyer, D. Thevenard, "PsychroLib: a library of psychrometric functions to calculate thermodynamic properties
    of air", Journal of Open Source Software 4(33), 2019, doi:10.21105/joss.01137; ASHRAE Handbook - Fundamentals
    (2017), chapter 1, equations 33 and 35.

    Examples
    --------
    20 °C and 50 % give 13.8 °C (Stull's fit: 13.7 °C):

    >>> round(float(wet_bulb_psychrolib_c(np.array([20.0]), np.array([50.0]))[0]), 1)
    13.8

    """
    air_c = np.asarray(temp_c, dtype=np.float64)
    temp = np.clip(air_c, *PSYCHROMETRIC_LIMITS_C)
    humidity = np.clip(np.asarray(relative_humidity_pct, dtype=np.float64), LEAST_HUMIDITY_PCT, 100.0) / 100
    wet = _each(_psychrolib().GetTWetBulbFromRelHum, temp, humidity, np.full(temp.shape, float(pressure_pa)))
    return np.asarray(air_c - np.maximum(temp - wet, 0.0), dtype=np.float64)


def dew_point_c(temp_c: Float64, relative_humidity_pct: Float64) -> Float64:
    """Dew point of air, through psychrolib [°C].

    Valid from -60 to +60 °C (temperatures beyond keep the distance of the limit), humidity held to 1-100 %; below 0 °C
    the frost point. Never above the air temperature.

    Parameters
    ----------
    temp_c
        Air temperature [°C].
    relative_humidity_pct
        Relative humidity [%].

    References
    ----------
    As for :func:`wet_bulb_psychrolib_c`; ASHRAE Handbook - Fundamentals (2017), chapter 1, equations 5 and 6.

    Examples
    --------
    A hall of 27 °C and 50 % has its dew point at 15.7 °C, far below a coolant of 40 °C:

    >>> round(float(dew_point_c(np.array([27.0]), np.array([50.0]))[0]), 1)
    15.7

    """
    air_c = np.asarray(temp_c, dtype=np.float64)
    temp = np.clip(air_c, *PSYCHROMETRIC_LIMITS_C)
    humidity = np.clip(np.asarray(relative_humidity_pct, dtype=np.float64), LEAST_HUMIDITY_PCT, 100.0) / 100
    dew = _each(_psychrolib().GetTDewPointFromRelHum, temp, humidity)
    return np.asarray(air_c - np.maximum(temp - dew, 0.0), dtype=np.float64)
