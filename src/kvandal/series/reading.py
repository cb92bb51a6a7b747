"""Read a regular series from a file; refuse gaps, doubled hours and local time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvandal.errors import SeriesError
from kvandal.series.regular import ALLOWED_STEPS_S, Int64, Series, clock, instant
from kvandal.series.table import Table, numbers, read_table, time_column, times_s


def split_column(text: str) -> tuple[Path, str | None]:
    """Split ``file.parquet#COLUMN`` into path and column; a file whose name holds a ``#`` stays whole.

    Examples
    --------
    >>> split_column("prices.parquet#NO4_eur_per_mwh")[1]
    'NO4_eur_per_mwh'

    """
    path = Path(text)
    before, mark, column = text.rpartition("#")
    try:
        whole = not mark or path.exists()
    except (OSError, ValueError):
        whole = not mark
    return (path, None) if whole else (Path(before), column)


def read_series(
    path: str | Path,
    columns: Sequence[str],
    *,
    quantity: str,
    unit: str,
    suffix: str | None = None,
    column: str | None = None,
    limits: tuple[float, float] = (-np.inf, np.inf),
    licence: str = "not stated",
) -> Series:
    """Read one regular series from a CSV or Parquet file.

    Parameters
    ----------
    path
        The file. Its time column is ``time_utc``, ``time`` or ``timestamp`` and carries a zone.
    columns
        Names that the value column may have, the preferred one first.
    quantity, unit, licence
        For the provenance.
    suffix
        If none of `columns` is there, a single column that ends so is taken; several are an error.
    column
        The one column to take, whatever the candidates.
    limits
        Smallest and largest value that is possible [unit].

    Raises
    ------
    SeriesError
        If the file cannot be read or the series is not whole, in order, regular and within limits.

    """
    table = read_table(Path(path))
    name = column if column is not None else value_column(table, columns, suffix)
    return _series(table, name, quantity=quantity, unit=unit, limits=limits, licence=licence, time_s=None)


def read_many(
    path: str | Path,
    wanted: Sequence[tuple[Sequence[str], str, str, tuple[float, float]]],
    *,
    licence: str = "not stated",
) -> list[Series | None]:
    """Read several columns of one file, each ``(names, quantity, unit, limits)``; only the first must be there."""
    table = read_table(Path(path))
    out: list[Series | None] = []
    time_s: Int64 | None = None
    for names, quantity, unit, limits in wanted:
        if out and not any(name in table.columns for name in names):
            out.append(None)
            continue
        name = value_column(table, names, None)
        found = _series(
            table, name, quantity=quantity, unit=unit, limits=limits, licence=licence, time_s=time_s
        )
        time_s = found.time_s()
        out.append(found)
    return out


def value_column(table: Table, columns: Sequence[str], suffix: str | None) -> str:
    """Choose the value column by name, or the single one with the suffix."""
    for name in columns:
        if name in table.columns:
            return name
    wanted = " or ".join(columns)
    if suffix is not None:
        ending = [name for name in table.columns if name.endswith(suffix)]
        if len(ending) == 1:
            return ending[0]
        if ending:
            raise SeriesError(
                f"several columns could be meant: {', '.join(ending)}; name one as {Path(table.file).name}#{ending[0]}",
                file=table.file,
            )
        wanted += f" or a single *{suffix}"
    raise SeriesError(
        f"no column {wanted}; columns are: {', '.join(table.columns) or 'none'}", file=table.file
    )


def _series(
    table: Table,
    name: str,
    *,
    quantity: str,
    unit: str,
    limits: tuple[float, float],
    licence: str,
    time_s: Int64 | None,
) -> Series:
    if name not in table.columns or name == time_column(table):
        raise SeriesError(
            f"no value column {name!r}; columns are: {', '.join(table.columns)}", file=table.file
        )
    time_s = times_s(table) if time_s is None else time_s
    step_s = regular_step_s(table, time_s)
    values = numbers(table, name)
    out_of_limits = np.flatnonzero((values < limits[0]) | (values > limits[1]))
    if out_of_limits.size:
        row = int(out_of_limits[0])
        raise SeriesError(
            f"{quantity} must lie in {limits[0]:g} to {limits[1]:g}{'' if unit == '1' else f' {unit}'}, got {values[row]:g}",
            file=table.file,
            key=f"{table.row(row)}, {name}",
        )
    values.flags.writeable = False
    return Series(
        name=f"{Path(table.file).name}#{name}",
        quantity=quantity,
        unit=unit,
        start_utc=instant(int(time_s[0])),
        step_s=step_s,
        values=values,
        source=table.file,
        licence=licence,
        sha256=table.sha256,
        synthetic=False,
    )


def regular_step_s(table: Table, time_s: Int64) -> int:
    """Step of instants that follow each other regularly [s]; anything else is refused, naming row and time."""
    if len(time_s) < 2:
        raise SeriesError(f"a series needs at least 2 rows, got {len(time_s)}", file=table.file)
    gaps_s = np.diff(time_s)
    found, counts = np.unique(gaps_s, return_counts=True)
    step_s = int(found[int(np.argmax(counts))])
    wrong = np.flatnonzero(gaps_s != step_s)
    bad_step = step_s not in ALLOWED_STEPS_S
    if wrong.size and (not bad_step or step_s <= 0):
        row = int(wrong[0])
        raise SeriesError(_irregularity(time_s, row, step_s), file=table.file, key=table.row(row + 1))
    if bad_step:
        raise SeriesError(
            f"rows are {step_s} s apart ({clock(int(time_s[0]))}, then {clock(int(time_s[1]))}); "
            f"allowed are 15, 30 and 60 minutes (900, 1800, 3600 s)",
            file=table.file,
            key=table.row(1),
        )
    return step_s


def _irregularity(time_s: Int64, row: int, step_s: int) -> str:
    before, after = int(time_s[row]), int(time_s[row + 1])
    gap_s = after - before
    if gap_s == 0:
        return f"{clock(after)} occurs twice; a series has one row per step"
    if gap_s < 0:
        return f"{clock(after)} comes after {clock(before)}; rows must be in order of time"
    if step_s > 0 and gap_s % step_s == 0:
        missing = gap_s // step_s - 1
        return (
            f"{missing} rows are missing from {clock(before + step_s)} to {clock(after - step_s)}; "
            f"fill the gap or use the part before or after it"
            if missing > 1
            else f"the row of {clock(before + step_s)} is missing; fill it or use the part before or after it"
        )
    return f"{clock(after)} is {gap_s} s after the row before it, where rows are {step_s} s apart"
