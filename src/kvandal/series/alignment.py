"""Lay a series over the time of a run, by an explicit rule at the end of the series."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import numpy as np

from kvandal.errors import SeriesError
from kvandal.series.regular import Float64, Int64, Series, clock, epoch_s

WHOLE_YEAR_S = 8760 * 3600
"""A series may be repeated by calendar if its rows fill at least this long [s]."""

AtEnd = Literal["refuse", "repeat"]
Method = Literal["hold", "linear"]


def on_run(
    series: Series,
    start_utc: datetime,
    duration_s: int,
    step_s: int,
    at_end: AtEnd,
    method: Method,
    *,
    way_out: str = 'or set at_end = "repeat"',
) -> tuple[Float64, str]:
    """Give the values of a series on the grid of a run, and the rule that was applied.

    Parameters
    ----------
    series
        The series.
    start_utc
        Start of the run (aware).
    duration_s, step_s
        Length of the run and of the grid's step [s]; the length is a whole number of steps.
    at_end
        ``"refuse"``: the run must lie inside the series. ``"repeat"``: an instant outside the series takes the
        value of the same month, day and time (UTC) of the last year that the series covers there; 29 February
        takes 28 February where that year has none.
    method
        ``"hold"`` (prices): a value holds for its step; on a coarser grid the mean over the step. Gives
        ``duration_s / step_s`` values. ``"linear"`` (temperatures): a value is true at its instant, linear
        between; after the last row it holds for at most one step. Gives one value more, for the run's end.
    way_out
        What else a user can do about a run that leaves the series, beside moving it.

    Raises
    ------
    SeriesError
        If the run leaves the series (refuse) or the series does not cover a whole year (repeat).

    """
    if duration_s <= 0 or step_s <= 0 or duration_s % step_s:
        raise ValueError(f"duration_s ({duration_s}) must be a positive multiple of step_s ({step_s})")
    run_start_s, steps = epoch_s(start_utc), duration_s // step_s
    run_end_s = run_start_s + duration_s
    inside = series.start_s <= run_start_s and run_end_s <= series.end_s
    if not inside and at_end == "refuse":
        raise SeriesError(
            f"the run lasts from {clock(run_start_s)} to {clock(run_end_s)}, but the {quantity_of(series)} only from "
            f"{clock(series.start_s)} to {clock(series.end_s)}; move or shorten the run, {way_out}",
            file=series.source,
        )
    if not inside and series.end_s - series.start_s < WHOLE_YEAR_S:
        raise SeriesError(
            f"the {quantity_of(series)} lasts from {clock(series.start_s)} to {clock(series.end_s)} "
            f"({(series.end_s - series.start_s) / 3600:g} h); to be repeated by calendar it must cover a whole year "
            f"(8760 h)",
            file=series.source,
        )
    if method == "hold":
        values = _held(series, run_start_s, steps, step_s)
    else:
        values = _interpolated(series, run_start_s + step_s * np.arange(steps + 1, dtype=np.int64), run_end_s)
    return values, rule(series, run_start_s, run_end_s, method)


def rule(series: Series, run_start_s: int, run_end_s: int, method: Method) -> str:
    """Say which rule lays the series over the run."""
    between = "each value held for its step" if method == "hold" else "linear between values"
    if series.start_s <= run_start_s and run_end_s <= series.end_s:
        return f"the run lies inside the series; {between}"
    span = f"{clock(series.start_s)} to {clock(series.end_s)}"
    overlaps = series.start_s < run_end_s and run_start_s < series.end_s
    own = "inside the series its own values, outside " if overlaps else ""
    return (
        f"repeated by calendar: {own}the same month, day and hour (UTC) of the series ({span}), "
        f"28 February for 29 February where it has none; {between}"
    )


def quantity_of(series: Series) -> str:
    """Name the series by what it measures."""
    return f"{series.quantity} series"


def _held(series: Series, run_start_s: int, steps: int, step_s: int) -> Float64:
    fine_s = math.gcd(step_s, series.step_s, (run_start_s - series.start_s) % series.step_s)
    parts = step_s // fine_s
    fine = run_start_s + fine_s * np.arange(steps * parts, dtype=np.int64)
    values = series.values[_rows(series, _calendar(series, fine))]
    return values.reshape(steps, parts).mean(axis=1) if parts > 1 else values


def _interpolated(series: Series, time_s: Int64, run_end_s: int) -> Float64:
    offset_s = (time_s - series.start_s) % series.step_s
    before_s = time_s - offset_s
    after_s = before_s + series.step_s
    if run_end_s <= series.end_s and series.start_s <= int(time_s[0]):
        last_s = series.end_s - series.step_s
        before_s, after_s = np.minimum(before_s, last_s), np.minimum(after_s, last_s)
    before = series.values[_rows(series, _calendar(series, before_s))]
    fraction = offset_s / series.step_s
    if not offset_s.any():
        return before
    after = series.values[_rows(series, _calendar(series, after_s))]
    return np.asarray(before + (after - before) * fraction, dtype=np.float64)


def _rows(series: Series, time_s: Int64) -> Int64:
    return np.asarray((time_s - series.start_s) // series.step_s, dtype=np.int64)


def _calendar(series: Series, time_s: Int64) -> Int64:
    """Map each instant into the series: itself inside, else the latest same calendar moment of the series."""
    outside = (time_s < series.start_s) | (time_s >= series.end_s)
    if not outside.any():
        return time_s
    mapped = time_s.copy()
    asked = time_s[outside]
    last_year = int(np.datetime64(series.end_s - 1, "s").astype("datetime64[Y]").astype(np.int64))
    moment = same_moment_s(asked, last_year)
    late = moment >= series.end_s
    moment[late] = same_moment_s(asked[late], last_year - 1)
    missing = np.flatnonzero(moment < series.start_s)
    if missing.size:
        raise SeriesError(
            f"has no value for the calendar moment of {clock(int(asked[missing[0]]))}; to be repeated by calendar it "
            f"must cover every hour of a year, but it lasts from {clock(series.start_s)} to {clock(series.end_s)}",
            file=series.source,
        )
    mapped[outside] = moment
    return mapped


def same_moment_s(time_s: Int64, year_since_1970: int) -> Int64:
    """Instants of the same month, day and time of day in another year; 29 February may become 28.

    Parameters
    ----------
    time_s
        Instants [s since 1970-01-01 UTC].
    year_since_1970
        The other year, counted from 1970.

    """
    moment = time_s.astype("datetime64[s]")
    months = moment.astype("datetime64[M]")
    month = months.astype(np.int64) % 12
    day = (moment.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    second = time_s % 86_400
    target = (year_since_1970 * 12 + month).astype("datetime64[M]")
    first = target.astype("datetime64[D]").astype(np.int64)
    length = (target + 1).astype("datetime64[D]").astype(np.int64) - first
    return np.asarray((first + np.minimum(day, length - 1)) * 86_400 + second, dtype=np.int64)
