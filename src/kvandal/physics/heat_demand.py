"""What heat customers ask for, hour by hour: profiles over weather and calendar, scaled to a normal year.

All functions are pure and answer at any air temperature. The profiles are judgement except where a source is named. Two
models of district heating stand side by side; both are compared with a measured campus in ``docs/series.md``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kvandal.errors import SeriesError
from kvandal.scenario.heat import Heat, HeatCustomer

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Kind = Literal["district_heating", "fish_farm", "greenhouse", "drying", "flat"]

WORKING_HOURS = (8, 20)
"""Local hours of working days in which a campus asks for more."""
GREENHOUSE_LIMIT_C = 18.0
GREENHOUSE_NIGHT_FACTOR = 1.2
GREENHOUSE_SUMMER_FACTOR = 0.05
FISH_FARM_WINTER_SHARE = 0.15
BATCH_START_H = 6
BATCH_LENGTH_H = 22
BATCH_END_SHARE = 0.6


class LocalHours(NamedTuple):
    """Local calendar of consecutive hours: month 1-12, day of the year 1-366, weekday 1 (Monday)-7, hour 0-23."""

    month: Int64
    day_of_year: Int64
    weekday: Int64
    hour: Int64


def local_hours(start_utc: datetime, hours: int, time_zone: str = "Europe/Oslo") -> LocalHours:
    """Local calendar of `hours` consecutive hours from an aware instant; summer time is followed.

    Examples
    --------
    Norway is one hour ahead of UTC in winter:

    >>> from datetime import UTC
    >>> local_hours(datetime(2027, 1, 1, tzinfo=UTC), 2).hour.tolist()
    [1, 2]

    """
    if start_utc.utcoffset() is None:
        raise ValueError(f"start_utc must carry its offset from UTC, got {start_utc.isoformat()}")
    start_s = int(start_utc.timestamp())
    seconds = pl.Series(start_s + 3600 * np.arange(hours, dtype=np.int64))
    local = pl.from_epoch(seconds, time_unit="s").dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone)
    return LocalHours(
        month=local.dt.month().to_numpy().astype(np.int64),
        day_of_year=local.dt.ordinal_day().to_numpy().astype(np.int64),
        weekday=local.dt.weekday().to_numpy().astype(np.int64),
        hour=local.dt.hour().to_numpy().astype(np.int64),
    )


def heating_degrees_k(temp_c: Float64, limit_c: float) -> Float64:
    """Kelvin below the heating limit: ``max(0, limit - T)``."""
    return np.maximum(0.0, limit_c - temp_c)


def degree_hours_shape(
    temp_c: Float64, normal_temp_c: Float64, limit_c: float, hot_water_share: float
) -> Float64:
    r"""Demand of a district-heating net over its mean in a normal year, by degree-hours.

    .. math:: q = f + (1 - f)\, [T_l - T]^+ / \overline{[T_l - T_n]^+}

    with air temperature :math:`T` and its normal year :math:`T_n`: hot water is constant and the share :math:`f` of the
    normal year, the rest is heating degrees. A textbook town of dwellings (judgement): 17 °C and 0.18.

    Parameters
    ----------
    temp_c, normal_temp_c : hourly air temperatures of the run and of a normal year [°C]
    limit_c : heating limit :math:`T_l`, 13 to 17 °C
    hot_water_share : :math:`f`, 0.1 to 0.3

    Examples
    --------
    At 17 °C and above only hot water is left:

    >>> float(degree_hours_shape(np.array([25.0]), np.array([7.0]), 17.0, 0.18)[0])
    0.18

    """
    normal_k = float(heating_degrees_k(normal_temp_c, limit_c).mean())
    if normal_k == 0.0:  # a normal year that is never cold: hot water only
        return np.full(temp_c.shape, 1.0)
    degrees_k = heating_degrees_k(temp_c, limit_c)
    return np.asarray(hot_water_share + (1 - hot_water_share) * degrees_k / normal_k, dtype=np.float64)


def signature_shape(
    temp_c: Float64,
    calendar: LocalHours,
    normal_temp_c: Float64,
    limit_c: float,
    hot_water_share: float,
    working_factor: float,
) -> Float64:
    r"""Demand of a district-heating net over its mean in a normal year, by an energy signature with working hours.

    .. math:: q = \varphi\,\left(f + (1 - f)\, [T_l - T]^+ / \overline{[T_l - T_n]^+}\right) / \bar\varphi

    with :math:`\varphi` = `working_factor` on Monday to Friday from 8 to 20 h and 1 otherwise, and its weekly mean
    :math:`\bar\varphi = 1 + (\varphi - 1) \cdot 60/168`.

    Parameters
    ----------
    temp_c, normal_temp_c : hourly air temperatures of the run and of a normal year [°C]
    calendar : local hours of the run
    limit_c : heating limit :math:`T_l`, 9 to 14 °C
    hot_water_share : :math:`f`, 0.08 to 0.2
    working_factor : :math:`\varphi`, 1 to 1.4

    Notes
    -----
    Fitted (least squares on a grid of the three numbers and of the working hours) to the first half of NTNU's campus year, 11
    June to 10 December 2017; compared with the other half in ``docs/series.md``. Smoothing the temperature over 3 to 48 h
    made the fit worse, so the building's inertia is not modelled. Measured range -14 to 21 °C; linear beyond.

    References
    ----------
    Data: H. Li, github.com/haoranli1988/Modelica-district-heating-optimization-MPC (BSD-3-Clause). Form: energy signature
    of EN 15603 annex B.

    Examples
    --------
    Hot water only, on a Saturday (0.12 over 1 + 0.3 · 60/168):

    >>> from datetime import UTC
    >>> saturday = local_hours(datetime(2027, 7, 3, tzinfo=UTC), 1)
    >>> round(float(signature_shape(np.array([20.0]), saturday, np.array([5.0]), 10.25, 0.12, 1.3)[0]), 4)
    0.1084

    """
    start, end = WORKING_HOURS
    working = (calendar.weekday <= 5) & (calendar.hour >= start) & (calendar.hour < end)
    factor = np.where(working, working_factor, 1.0) / (1 + (working_factor - 1) * 5 * (end - start) / 168)
    return np.asarray(
        factor * degree_hours_shape(temp_c, normal_temp_c, limit_c, hot_water_share), dtype=np.float64
    )


def fish_farm_shape(calendar: LocalHours) -> Float64:
    """Demand of a land-based fish farm, 1 in mid-July and 1.15 in mid-January: make-up water is colder then."""
    winter = (1 + np.cos(2 * np.pi * (calendar.day_of_year - 15) / 365)) / 2
    return np.asarray(1 + FISH_FARM_WINTER_SHARE * winter, dtype=np.float64)


def greenhouse_shape(temp_c: Float64, calendar: LocalHours) -> Float64:
    """Demand of a greenhouse: ``max(0, 18 - T)``, at night (20-6 h) 1.2-fold, in June and July one twentieth."""
    night = (calendar.hour >= 20) | (calendar.hour < 6)
    summer = (calendar.month == 6) | (calendar.month == 7)
    factor = np.where(night, GREENHOUSE_NIGHT_FACTOR, 1.0) * np.where(summer, GREENHOUSE_SUMMER_FACTOR, 1.0)
    return np.asarray(np.maximum(0.0, GREENHOUSE_LIMIT_C - temp_c) * factor, dtype=np.float64)


def drying_shape(calendar: LocalHours) -> Float64:
    """Demand of a drying plant: a batch of 22 h from 6 h on each working day; falls from 1 to 0.6 as goods dry."""
    age_h = (calendar.hour - BATCH_START_H) % 24
    started_on = np.where(calendar.hour >= BATCH_START_H, calendar.weekday, (calendar.weekday - 2) % 7 + 1)
    running = (started_on <= 5) & (age_h < BATCH_LENGTH_H)
    load = 1 - (1 - BATCH_END_SHARE) * age_h / (BATCH_LENGTH_H - 1)
    return np.asarray(np.where(running, load, 0.0), dtype=np.float64)


def shape(kind: Kind, temp_c: Float64, calendar: LocalHours, normal_temp_c: Float64, heat: Heat) -> Float64:
    """Unscaled demand of a kind of customer, never negative."""
    if kind == "district_heating":
        if heat.district_heating_model == "degree_hours":
            return degree_hours_shape(
                temp_c, normal_temp_c, heat.degree_hours_limit_c, heat.degree_hours_hot_water_share
            )
        return signature_shape(
            temp_c,
            calendar,
            normal_temp_c,
            heat.signature_limit_c,
            heat.signature_hot_water_share,
            heat.signature_working_factor,
        )
    if kind == "fish_farm":
        return fish_farm_shape(calendar)
    if kind == "greenhouse":
        return greenhouse_shape(temp_c, calendar)
    if kind == "drying":
        return drying_shape(calendar)
    return np.ones(temp_c.shape, dtype=np.float64)


def scale_to_energy(normal_shape: Float64, annual_mwh: float, peak_mw: float) -> float | None:
    r"""Factor :math:`s` with :math:`\sum_h \min(s\, q_h, P) = E` over the hours of a normal year.

    Parameters
    ----------
    normal_shape
        Unscaled demand :math:`q_h >= 0` in each hour.
    annual_mwh
        Energy :math:`E` of the year [MWh].
    peak_mw
        Connected power :math:`P` [MW].

    Returns
    -------
    float or None
        The factor [MW]; None if the connection cannot carry the energy in the hours that ask for heat.

    Examples
    --------
    Half the hours ask twice as much; they are cut at 3 MW, so the others must ask 2 MW:

    >>> scale_to_energy(np.array([1.0, 2.0]), annual_mwh=5.0, peak_mw=3.0)
    2.0

    """
    falling = np.sort(normal_shape)[::-1]
    below = np.append(np.cumsum(falling[::-1])[::-1], 0.0)  # sum of all but the n largest
    for clipped in range(int(np.count_nonzero(falling)) + 1):
        if below[clipped] <= 0:
            break
        factor = (annual_mwh - clipped * peak_mw) / float(below[clipped])
        if factor * falling[clipped] <= peak_mw:
            return factor
    return None


def normal_factor_mw(
    customer: HeatCustomer,
    normal_temp_c: Float64,
    normal_start_utc: datetime,
    time_zone: str = "Europe/Oslo",
    name: str | None = None,
    heat: Heat | None = None,
) -> float:
    """Factor from a customer's unscaled demand to its demand [MW].

    It gives ``annual_gwh`` in a normal year, with demand cut at ``peak_mw``; :func:`asked_mw` applies it to any weather. So a cold
    year asks for more than a mild one, and a week is not blown up to a year.

    Parameters
    ----------
    customer
        Kind, peak and annual energy.
    normal_temp_c, normal_start_utc
        Hourly air temperatures of a normal year (8,760 hours) [°C] and its start: :func:`kvandal.climate.normal_year`.
    time_zone
        Local calendar of the customer.
    name
        Name of the customer, for errors.
    heat
        Which model of district heating, and its numbers; the defaults when None.

    Raises
    ------
    SeriesError
        If the profile asks for heat in too few hours for ``annual_gwh`` to pass a connection of ``peak_mw``.

    """
    if not np.isfinite(normal_temp_c).all():
        raise ValueError("air temperatures must be finite")
    calendar = local_hours(normal_start_utc, len(normal_temp_c), time_zone)
    normal = shape(customer.kind, normal_temp_c, calendar, normal_temp_c, heat or Heat())
    factor = scale_to_energy(normal, customer.annual_gwh * 1000, customer.peak_mw)
    if factor is None:
        hours = int(np.count_nonzero(normal))
        raise SeriesError(
            f"annual_gwh ({customer.annual_gwh:g}) cannot pass peak_mw ({customer.peak_mw:g}): {customer.kind} asks for "
            f"heat in {hours} hours of a normal year, so at most {hours * customer.peak_mw / 1000:.3g} GWh",
            key=f"heat.customers.{name}" if name else "heat.customers",
        )
    return factor


def asked_mw(
    customer: HeatCustomer,
    factor_mw: float,
    temp_c: Float64,
    calendar: LocalHours,
    normal_temp_c: Float64,
    heat: Heat,
) -> Float64:
    """Heat demand of a customer at given temperatures and hours, with the factor of :func:`normal_factor_mw` [MW]."""
    if not np.isfinite(temp_c).all():
        raise ValueError("air temperatures must be finite")
    return np.minimum(
        factor_mw * shape(customer.kind, temp_c, calendar, normal_temp_c, heat), customer.peak_mw
    )
