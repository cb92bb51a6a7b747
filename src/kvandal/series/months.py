"""Curves over the months of a year: piecewise linear, continuous, with exact monthly means."""

from __future__ import annotations

import numpy as np

from kvandal.series.regular import Float64, Int64


def month_index(time_s: Int64) -> Int64:
    """Month of the year (UTC), 0 for January."""
    return np.asarray(
        time_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12, dtype=np.int64
    )


def month_coordinate(time_s: Int64) -> Float64:
    """Where in the year an instant lies (UTC), in months: 0 is 1 January, 0.5 mid-January, 11.99… late December.

    Every month is one unit long, whatever its days.
    """
    months = time_s.astype("datetime64[s]").astype("datetime64[M]")
    first_s = months.astype("datetime64[s]").astype(np.int64)
    next_s = (months + 1).astype("datetime64[s]").astype(np.int64)
    return np.asarray(month_index(time_s) + (time_s - first_s) / (next_s - first_s), dtype=np.float64)


def over_months(coordinate: Float64, knots: Float64) -> Float64:
    """Piecewise-linear periodic curve through `knots` at mid-month, at month coordinates."""
    lower, fraction = _segment(coordinate)
    return np.asarray(knots[lower] * (1 - fraction) + knots[(lower + 1) % 12] * fraction, dtype=np.float64)


def mean_preserving_knots(time_s: Int64, monthly_means: Float64) -> Float64:
    r"""Mid-month knots whose piecewise-linear curve has the given mean in every month.

    With :math:`w_{jk}` the mean, over the instants of month *j*, of the weight of knot *k*, the knots solve
    :math:`\sum_k w_{jk} K_k = m_j` (12 equations; for complete months about 1/8, 3/4, 1/8). Plain interpolation
    through the monthly means would flatten the year: its means are off by an eighth of the curvature.

    Parameters
    ----------
    time_s
        Instants [s since 1970-01-01 UTC]; every month must occur.
    monthly_means
        Wanted mean of each month over these instants, January first.

    """
    month = month_index(time_s)
    lower, fraction = _segment(month_coordinate(time_s))
    count = np.bincount(month, minlength=12)
    weight = np.bincount(month * 12 + lower, weights=1 - fraction, minlength=144)
    weight += np.bincount(month * 12 + (lower + 1) % 12, weights=fraction, minlength=144)
    return np.asarray(
        np.linalg.solve(weight.reshape(12, 12) / count[:, None], monthly_means), dtype=np.float64
    )


def _segment(coordinate: Float64) -> tuple[Int64, Float64]:
    shifted = coordinate - 0.5
    lower = np.floor(shifted)
    return (lower.astype(np.int64)) % 12, shifted - lower
