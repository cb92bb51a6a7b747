"""Move a temperature series to the monthly normals of a place."""

from __future__ import annotations

import numpy as np

from kvandal.errors import SeriesError
from kvandal.scenario.parameters import curve
from kvandal.series.alignment import WHOLE_YEAR_S
from kvandal.series.months import mean_preserving_knots, month_coordinate, month_index, over_months
from kvandal.series.regular import Float64, Series, clock


def narvik_normals_c() -> Float64:
    """Give the normal mean temperature of each month in Narvik [°C], January first.

    Mean of the normal daily minimum and maximum, ``(month_air_min_c + month_air_max_c) / 2`` of the registry.
    Their reference period is not stated, they are whole degrees, and the mid-range differs from the mean of 24
    hours by some tenths of a kelvin.
    """
    low, high = np.array(curve("month_air_min_c")), np.array(curve("month_air_max_c"))
    return np.asarray((low + high) / 2, dtype=np.float64)


def monthly_means(series: Series) -> Float64:
    """Mean of the values in each month of the year (UTC); a month without values is NaN."""
    month = month_index(series.time_s())
    count = np.bincount(month, minlength=12)
    total = np.bincount(month, weights=series.values, minlength=12)
    means: Float64 = np.divide(total, count, out=np.full(12, np.nan), where=count > 0)
    return means


def shifted(series: Series, normals_c: Float64) -> Float64:
    r"""Temperatures moved so that every month's mean is its normal [°C].

    A month's shift is :math:`d_j = n_j - \bar T_j` (normal less the month's mean in the series). To have no step
    at the borders of months, the shift is the piecewise-linear curve through mid-months whose mean over each
    month is exactly :math:`d_j` (:func:`kvandal.series.months.mean_preserving_knots`).

    Only means move: the variance, the daily range, the order of warm and cold days and so the distance of the
    extremes from the mean stay those of the original place and year.

    Raises
    ------
    SeriesError
        If the series does not cover a whole year.

    """
    if series.end_s - series.start_s < WHOLE_YEAR_S:
        raise SeriesError(
            f"lasts from {clock(series.start_s)} to {clock(series.end_s)}; to be shifted to monthly normals it must "
            f'cover a whole year (8760 h): use a longer series or set climate.shift_to = "none"',
            file=series.source,
            key="climate.shift_to",
        )
    time_s = series.time_s()
    knots_k = mean_preserving_knots(time_s, normals_c - monthly_means(series))
    return np.asarray(series.values + over_months(month_coordinate(time_s), knots_k), dtype=np.float64)
