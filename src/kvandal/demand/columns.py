"""Turn the cells of a file into numbers and times, cell by cell, so that a bad cell spoils its row only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from kvandal.demand.trace import Bool, Column

if TYPE_CHECKING:
    import polars as pl


def numbers_from_text(cells: list[str], name: str) -> Column:
    """Read numbers from text, cell by cell: what is no number is NaN, an empty cell is missing."""
    import polars as pl

    return numbers(pl.Series(name, cells, dtype=pl.String), name)


def times_from_text(cells: list[str]) -> tuple[Column, Bool]:
    """Read ISO 8601 times with their zone as seconds since 1970 UTC; also mark the times without a zone."""
    values = np.full(len(cells), np.nan)
    missing = np.zeros(len(cells), dtype=np.bool_)
    zoneless = np.zeros(len(cells), dtype=np.bool_)
    for row, cell in enumerate(cells):
        stripped = cell.strip()
        missing[row] = not stripped
        try:
            instant = datetime.fromisoformat(stripped)
            zoneless[row] = instant.utcoffset() is None
            values[row] = instant.astimezone(UTC).timestamp() if not zoneless[row] else np.nan
        except (ValueError, OverflowError):
            continue
    return Column(values, missing, cells.__getitem__, "submit_utc"), zoneless


def numbers(series: pl.Series, name: str) -> Column:
    """Read numbers from a column of numbers or text: what is no number is NaN, a null or empty cell is missing."""
    import polars as pl

    if series.dtype == pl.String:
        series = series.str.strip_chars()
        missing = (series.is_null() | (series == "").fill_null(value=True)).to_numpy()
    else:
        missing = series.is_null().to_numpy()
    cells = series
    values = series.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    return Column(values, missing, lambda row: str(cells[row]), name)
