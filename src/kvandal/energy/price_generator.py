r"""Seeded generator "synthetic NO4 day-ahead": hourly prices with the published statistics of the zone.

A calendar year (UTC) is one block. Its price is :math:`p_t = \mu + s\,(u_t - 1)` with the asked mean :math:`\mu`,
the scale :math:`s = \max(\mu, 5)` EUR/MWh, and a unit price :math:`u_t` of mean exactly 1:

.. math::

   u_t \propto m_t\, h_t\, \exp(\sigma x_t + \sigma_h y_t + b \tanh 2[c_t - \theta_t]^+ - a\,[z_t - \phi_t]^+)
         - d\,[z_t - \phi_t - 1.05]^+

* :math:`m_t`: monthly shape (registry curve ``spot_month_shape``), continuous, with exact monthly means;
* :math:`h_t`: hour of the local day and weekend;
* :math:`x_t, y_t, z_t, c_t`: independent mean-reverting (Ornstein-Uhlenbeck) unit processes: the hydrological and
  fuel situation over weeks, the hours of a day, surplus (full reservoirs, much wind) and scarcity (cold, dear
  neighbours). Surplus and scarcity act only beyond their thresholds, rarer in winter and in summer respectively.

Each year draws from its own stream of the seed, and begins and ends in states that both neighbouring years know
(an Ornstein-Uhlenbeck bridge). The factor that gives the year its exact mean fades to 1 at both ends. So a short run
is the beginning of a long one, and years join without a break.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate

import numpy as np
import polars as pl

from kvandal.randomness import stream
from kvandal.scenario.parameters import curve
from kvandal.series.months import mean_preserving_knots, month_coordinate, over_months
from kvandal.series.regular import Float64, Int64, epoch_s, instant

NAME = "synthetic NO4 day-ahead"
TIME_ZONE = "Europe/Oslo"
SMALLEST_SCALE_EUR_PER_MWH = 5.0
"""Below this mean [EUR/MWh] prices keep their spread and only move down."""

SIGMA = 0.45
"""Standard deviation of the logarithm of daily prices about the monthly shape (registry: 45 %)."""
SIGMA_HOURS = 0.12
MEMORY_H = {"level": 20 * 24.0, "hours": 5.0, "surplus": 108.0, "scarcity": 84.0}
"""Time constants of the processes [h] (judgement, near the real autocorrelation)."""
SURPLUS_NEGATIVE = 1.05
"""Surplus beyond its threshold from which the price falls towards and below zero."""
SURPLUS_THRESHOLD, SURPLUS_SEASON, SURPLUS_SLOPE, SURPLUS_DROP = 1.17, 0.35, 3.5, 0.35
SCARCITY_THRESHOLD, SCARCITY_SEASON, SCARCITY_GAIN = 1.48, 0.35, 1.5
SEASON_OF_REGIMES = 0.14
"""Surplus lowers summers and scarcity raises winters by about this share; the shape is corrected for it."""
WEEKEND = 0.92
"""Price of a Saturday or Sunday over that of a working day."""
MEAN_OF_RAW = 1.105
"""Expected mean of a year before it is levelled (mean over 2,000 years)."""
JOIN_DAYS = 20.0
"""Time over which the levelling of a year fades in and out [days]."""
HOUR_SHAPE = np.array(
    [
        *(0.88, 0.86, 0.85, 0.85, 0.86, 0.90, 0.97, 1.06, 1.11, 1.11, 1.08, 1.06),
        *(1.05, 1.04, 1.04, 1.05, 1.07, 1.10, 1.10, 1.08, 1.05, 1.01, 0.98, 0.92),
    ]
)
"""Price of an hour of the local day over the day's mean (judgement: two small peaks)."""


def prices_eur_per_mwh(start_utc: datetime, hours: int, mean_eur_per_mwh: float, seed: int) -> Float64:
    """Hourly prices of a run [EUR/MWh].

    Parameters
    ----------
    start_utc
        A whole hour (aware).
    hours
        Length of the run [h].
    mean_eur_per_mwh
        Mean of every calendar year (UTC) [EUR/MWh]; a run that is not whole years has another mean.
    seed
        Seed of the run.

    Examples
    --------
    >>> year = prices_eur_per_mwh(datetime(2027, 1, 1, tzinfo=UTC), 8760, 25.0, 1)
    >>> round(float(year.mean()), 9)
    25.0

    """
    start_s = epoch_s(start_utc)
    end_s = start_s + hours * 3600
    first, last = instant(start_s).year, instant(end_s - 3600).year
    unit = np.concatenate([unit_year(year, seed) for year in range(first, last + 1)])
    skip = (start_s - epoch_s(datetime(first, 1, 1, tzinfo=UTC))) // 3600
    scale = max(mean_eur_per_mwh, SMALLEST_SCALE_EUR_PER_MWH)
    prices: Float64 = mean_eur_per_mwh + scale * (unit[skip : skip + hours] - 1)
    return prices


@lru_cache(maxsize=128)
def unit_year(year: int, seed: int) -> Float64:
    """Give unit prices of one calendar year (UTC), hourly; their mean is 1."""
    hours = 8784 if calendar.isleap(year) else 8760
    time_s = epoch_s(datetime(year, 1, 1, tzinfo=UTC)) + 3600 * np.arange(hours, dtype=np.int64)
    state = {name: _process(name, year, hours, seed) for name in MEMORY_H}
    months = month_coordinate(time_s)
    shape = np.array(curve("spot_month_shape"))
    season = over_months(months, mean_preserving_knots(time_s, shape / shape.mean()))
    summer = -np.cos(2 * np.pi * (months - 0.5) / 12)  # -1 in mid-January, 1 in mid-July
    season = season * (1 + SEASON_OF_REGIMES * summer)
    surplus = np.maximum(state["surplus"] - (SURPLUS_THRESHOLD - SURPLUS_SEASON * summer), 0)
    scarcity = np.maximum(state["scarcity"] - (SCARCITY_THRESHOLD + SCARCITY_SEASON * summer), 0)
    exponent = (
        SIGMA * state["level"]
        + SIGMA_HOURS * state["hours"]
        + SCARCITY_GAIN * np.tanh(2 * scarcity)
        - SURPLUS_SLOPE * surplus
    )
    unit: Float64 = season * _calendar_shape(time_s) * np.exp(exponent) - SURPLUS_DROP * np.maximum(
        surplus - SURPLUS_NEGATIVE, 0
    )
    unit /= MEAN_OF_RAW
    day = np.arange(hours) / 24
    ramp = np.clip(np.minimum(day, day[::-1]) / JOIN_DAYS, 0, 1)
    unit *= 1 + ramp * (1 - unit.mean()) / (unit * ramp).mean()
    unit.flags.writeable = False
    return unit


def _calendar_shape(time_s: Int64) -> Float64:
    """Factor of the local hour and of the weekend."""
    local = (
        pl.from_epoch(pl.Series(time_s), time_unit="s")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(TIME_ZONE)
    )
    weekend = local.dt.weekday().to_numpy() >= 6
    return np.asarray(
        HOUR_SHAPE[local.dt.hour().to_numpy()] * np.where(weekend, WEEKEND, 1.0), dtype=np.float64
    )


def _process(name: str, year: int, hours: int, seed: int) -> Float64:
    """Draw a unit Ornstein-Uhlenbeck process over a year, tied to the states at both ends."""
    factor = float(np.exp(-1 / MEMORY_H[name]))
    noise = stream(seed, "prices", f"{name}/{year}").standard_normal(hours) * np.sqrt(1 - factor * factor)
    begin, end = _boundary(name, year, seed), _boundary(name, year + 1, seed)
    free = np.fromiter(
        accumulate(noise.tolist(), lambda state, step: factor * state + step, initial=begin),
        np.float64,
        hours + 1,
    )
    after = np.arange(hours + 1, dtype=np.float64)
    weight = factor ** (hours - after) * (1 - factor ** (2 * after)) / (1 - factor ** (2 * hours))
    tied: Float64 = free + (end - free[-1]) * weight
    return tied[:-1]


def _boundary(name: str, year: int, seed: int) -> float:
    return float(stream(seed, "prices", f"{name}/start-of-{year}").standard_normal())
