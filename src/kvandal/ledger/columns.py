"""Columns that several tables of a run are made of: instants, names, values that may not be known."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

Array = Any
POOL = "pool"


def times_utc(start_utc: datetime, seconds: Array) -> pl.Series:
    """Instants as UTC datetimes; null where a time is negative ("has not come")."""
    start_us = round(start_utc.timestamp() * 1_000_000)
    seconds = np.asarray(seconds).astype(np.int64, copy=False)
    instants = pl.Series("time_utc", seconds * 1_000_000 + start_us).cast(pl.Datetime("us", "UTC"))
    return _where(instants, seconds >= 0)


def every(start_utc: datetime, count: int, step_s: int, times: int = 1) -> pl.Series:
    """Instants from the start of the run, `step_s` apart [s], each of them `times` times."""
    instants = times_utc(start_utc, np.arange(count, dtype=np.int64) * step_s)
    return instants if times == 1 else instants.gather(np.repeat(np.arange(count, dtype=np.uint32), times))


def named(codes: Array, names: list[str] | tuple[str, ...]) -> pl.Series:
    """Codes as categories; null where a code is negative."""
    codes = np.asarray(codes)
    there = codes >= 0
    places = _where(pl.Series(np.where(there, codes, 0).astype(np.uint32)), there)
    return _categories(tuple(names)).gather(places)


@lru_cache(maxsize=64)
def _categories(names: tuple[str, ...]) -> pl.Series:
    return pl.Series(list(names), dtype=pl.Enum(list(dict.fromkeys(names))))


def _where(series: pl.Series, there: Array) -> pl.Series:
    """Return a series, null where something is not there."""
    if there.all():
        return series
    return series.zip_with(pl.Series(there), pl.Series(series.name, [None], dtype=series.dtype))


def known(values: Array, where: Array) -> pl.Series:
    """Values, and null where they are not known.

    >>> known(np.array([1.5, 2.5]), np.array([True, False])).to_list()
    [1.5, None]
    """
    return _where(pl.Series(np.ascontiguousarray(values)), np.asarray(where))


def counted(codes: Array) -> pl.Series:
    """Return indices, null where one is negative."""
    return known(codes, np.asarray(codes) >= 0)


def stands(place: Array, places: int, delivered_s: Array, hours: int) -> Array:
    """Whether anything had been delivered to a place by the end of an hour: bool (hours * places,).

    >>> stands(np.array([0, 1, 1]), 2, np.array([0, 7200, 3600]), 2).tolist()
    [True, False, True, True]
    """
    first_s = np.full(places, np.iinfo(np.int64).max)
    np.minimum.at(first_s, place, delivered_s)
    found: Array = (np.arange(1, hours + 1)[:, None] * 3600 > first_s[None, :]).ravel()
    return found
