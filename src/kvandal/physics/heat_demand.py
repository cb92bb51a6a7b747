"""What heat customers ask for, hour by hour: profiles over weather and calendar, scaled to a normal year.

All functions are pure and answer at any air temperature. The profiles are judgement except where a source is
named; the campus validation of district heating stands in ``docs/series.md``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kvandal.errors import SeriesError
from kvandal.scenario.plant import HeatCustomer

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Kind = Literal["district_heating", "fish_farm", "greenhouse", "drying", "flat"]

HEATING_LIMIT_C = 17.0
"""Air temperature above which district heating serves hot water only [°C]."""
HOT_WATER_SHARE = 0.18
"""Share of domestic hot water in the annual demand of district heating."""
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


def district_heating_shape(temp_c: Float64, normal_temp_c: Float64) -> Float64:
    r"""Demand of a district-heating net over its mean in a normal year.

    .. math:: q = 0.18 + 0.82\, [17 - T]^+ / \overline{[17 - T_n]^+}

    with air temperature :math:`T` and its normal year :math:`T_n` [°C]: hot water is constant and 18 % of the
    normal year, the rest is heating degrees.

    Examples
    --------
    At 17 °C and above only hot water is left:

    >>> float(district_heating_shape(np.array([25.0]), np.array([7.0]))[0])
    0.18

    """
    degrees_k = np.maximum(0.0, HEATING_LIMIT_C - temp_c)
    normal_k = float(np.maximum(0.0, HEATING_LIMIT_C - normal_temp_c).mean())
    if normal_k == 0.0:  # a normal year that is never cold: hot water only
        return np.full(temp_c.shape, 1.0)
    return np.asarray(HOT_WATER_SHARE + (1 - HOT_WATER_SHARE) * degrees_k / normal_k, dtype=np.float64)


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


def shape(kind: Kind, temp_c: Float64, calendar: LocalHours, normal_temp_c: Float64) -> Float64:
    """Unscaled demand of a kind of customer, never negative."""
    if kind == "district_heating":
        return district_heating_shape(temp_c, normal_temp_c)
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


def demand_profile_mw(
    customer: HeatCustomer,
    start_utc: datetime,
    temp_c: Float64,
    normal_temp_c: Float64,
    normal_start_utc: datetime,
    time_zone: str = "Europe/Oslo",
    name: str | None = None,
) -> Float64:
    """Heat demand of a customer in each hour of a run [MW].

    The factor that gives ``annual_gwh`` is found on the normal year, with demand cut at ``peak_mw``; then it is
    applied to the weather of the run. So a cold year asks for more than a mild one, and a week is not blown up to
    a year.

    Parameters
    ----------
    customer
        Kind, peak and annual energy.
    start_utc, temp_c
        Start (aware) and hourly air temperatures of the run [°C]; one value for each hour.
    normal_temp_c, normal_start_utc
        The same for a normal year (8,760 hours): :func:`kvandal.climate.normal_year`.
    time_zone
        Local calendar of the customer.
    name
        Name of the customer, for errors.

    Raises
    ------
    SeriesError
        If the profile asks for heat in too few hours for ``annual_gwh`` to pass a connection of ``peak_mw``.

    """
    if not (np.isfinite(temp_c).all() and np.isfinite(normal_temp_c).all()):
        raise ValueError("air temperatures must be finite")
    normal = shape(
        customer.kind,
        normal_temp_c,
        local_hours(normal_start_utc, len(normal_temp_c), time_zone),
        normal_temp_c,
    )
    factor = scale_to_energy(normal, customer.annual_gwh * 1000, customer.peak_mw)
    if factor is None:
        hours = int(np.count_nonzero(normal))
        raise SeriesError(
            f"annual_gwh ({customer.annual_gwh:g}) cannot pass peak_mw ({customer.peak_mw:g}): {customer.kind} asks for "
            f"heat in {hours} hours of a normal year, so at most {hours * customer.peak_mw / 1000:.3g} GWh",
            key=f"heat.customers.{name}" if name else "heat.customers",
        )
    asked = shape(customer.kind, temp_c, local_hours(start_utc, len(temp_c), time_zone), normal_temp_c)
    return np.minimum(factor * asked, customer.peak_mw)
