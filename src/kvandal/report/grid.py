"""Time as drawn: a regular grid of steps, and tables brought onto it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]

FINE_DAYS = 10
"""Runs up to this many days are drawn finer than hourly."""
FINE_POINTS = 3000
COARSE_POINTS = 10_000
FINE_STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600)
COARSE_STEPS_S = (3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 7 * 86_400, 28 * 86_400)


@dataclass(frozen=True, slots=True)
class Grid:
    """Steps of equal length from the start of the run."""

    start: datetime
    step_s: int
    count: int

    @staticmethod
    def fit(start: datetime, seconds: int, tick_s: int) -> Grid:
        """Choose the finest step that keeps a chart readable: whole ticks, hours for long runs."""
        if seconds <= FINE_DAYS * 86_400 and tick_s < 3600:
            steps: tuple[int, ...] = FINE_STEPS_S
            most = FINE_POINTS
        else:
            steps, most = COARSE_STEPS_S, COARSE_POINTS
        fitting = [s for s in steps if s % tick_s == 0 and math.ceil(seconds / s) <= most]
        step = fitting[0] if fitting else (tick_s if seconds / tick_s <= most else steps[-1])
        return Grid(start, step, max(1, math.ceil(seconds / step)))

    def bucket(self, column: str = "time_utc") -> pl.Expr:
        """Return the step that a time falls into."""
        start_ms = int(self.start.timestamp() * 1000)
        return ((pl.col(column).dt.epoch("ms") - start_ms) // (self.step_s * 1000)).cast(pl.Int64)

    def collect(self, frame: pl.LazyFrame, aggregates: Sequence[pl.Expr]) -> dict[str, Floats]:
        """Aggregate a table with a `time_utc` by step; a step without rows is not-a-number."""
        rows = (
            frame.with_columns(_step=self.bucket())
            .filter(pl.col("_step").is_between(0, self.count - 1))
            .group_by("_step")
            .agg(aggregates)
            .collect()
        )
        places = rows["_step"].to_numpy()
        out: dict[str, Floats] = {}
        for name in rows.columns:
            if name == "_step":
                continue
            full = np.full(self.count, np.nan)
            full[places] = rows[name].cast(pl.Float64).to_numpy()
            out[name] = full
        return out

    def collect_by(
        self, frame: pl.LazyFrame, key: str, aggregates: Sequence[pl.Expr]
    ) -> dict[str, dict[str, Floats]]:
        """Aggregate by step and by `key`: key → column → values, keys in order of the table's first mention."""
        rows = (
            frame.with_columns(_step=self.bucket())
            .filter(pl.col("_step").is_between(0, self.count - 1))
            .group_by("_step", key, maintain_order=True)
            .agg(aggregates)
            .collect()
        )
        out: dict[str, dict[str, Floats]] = {}
        for (name,), part in rows.partition_by(key, maintain_order=True, as_dict=True).items():
            places = part["_step"].to_numpy()
            columns: dict[str, Floats] = {}
            for column in part.columns:
                if column not in {"_step", key}:
                    columns[column] = np.full(self.count, np.nan)
                    columns[column][places] = part[column].cast(pl.Float64).to_numpy()
            out[str(name)] = columns
        return out

    def __str__(self) -> str:
        """Say how long a step is: "hourly", "5-minute", ..."""
        for seconds, word in ((7 * 86_400, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")):
            if self.step_s % seconds == 0:
                many = self.step_s // seconds
                if many == 1:
                    return {"week": "weekly", "day": "daily", "hour": "hourly", "minute": "one-minute"}[word]
                return f"{many}-{word}"
        return f"{self.step_s}-second"

    def period_edges(self) -> list[tuple[str, int, int]]:
        """Calendar periods of the run for a printed table: name, first step, step after the last."""
        return _period_edges(self)


@lru_cache(maxsize=4)
def _period_edges(grid: Grid) -> list[tuple[str, int, int]]:
    days = grid.count * grid.step_s / 86_400
    kind = "month" if days > 62 else "week" if days > 16 else "day" if days > 2 else "hour"
    if grid.step_s > 86_400 or days > 20 * 366:
        kind = "year"
    times = [grid.start + timedelta(seconds=grid.step_s * i) for i in range(grid.count)]
    names = [period_name(t, kind) for t in times]
    edges: list[tuple[str, int, int]] = []
    first = 0
    for i in range(1, grid.count + 1):
        if i == grid.count or names[i] != names[first]:
            edges.append((names[first], first, i))
            first = i
    return edges


def period_name(time: datetime, kind: str) -> str:
    """Name the calendar period that a time belongs to."""
    if kind == "year":
        return f"{time:%Y}"
    if kind == "month":
        return f"{time:%b %Y}"
    if kind == "week":
        monday = time - timedelta(days=time.weekday())
        return f"week of {monday.day} {monday:%b}"
    if kind == "day":
        return f"{time.day} {time:%b}"
    return f"{time.day} {time:%b} {time:%H}:00"


def rounded(values: Floats, decimals: int) -> list[Any]:
    """Round for the page; not-a-number becomes null, whole numbers lose their point."""
    clean: list[Any]
    if decimals <= 0:
        finite = np.isfinite(values)
        whole = np.where(finite, np.round(values), 0).astype(np.int64)
        clean = whole.tolist()
    else:
        finite = np.isfinite(values)
        short = np.round(np.where(finite, values, 0.0), decimals) + 0.0
        clean = [int(v) if v == int(v) else v for v in short.tolist()]
    if not finite.all():
        for place in np.flatnonzero(~finite).tolist():
            clean[place] = None
    return clean


def mean(values: Floats) -> float | None:
    """Mean of what is known, or None."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
