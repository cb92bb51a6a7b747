"""A trace of jobs in memory, and the rules by which a row of a file becomes a job or is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kvandal.demand.jobs import Int16, Int32, Int64
from kvandal.errors import TraceError

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

MAXIMUM_RUN_S = 10 * 366 * 86_400
"""Longer run times are refused [s]: ten years."""
MAXIMUM_GPUS = 5_000_000
"""Larger jobs are refused [GPUs]."""
MAXIMUM_SUBMIT_S = 100_000_000_000
"""Later submission times are refused [s]: they are milliseconds, or nonsense."""

ALLOWED = (
    "submit_s is 0 or more seconds (or submit_utc a time with its zone), "
    "run_s is more than 0 and at most ten years in seconds, "
    f"gpus is a whole number from 1 to {MAXIMUM_GPUS:,}"
)
"""What a row must hold, as told to the user."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Jobs of one trace in order of submission; arrays of one length.

    Attributes
    ----------
    name : short name
    submit_s : submission [s after the trace's first submission], ascending
    run_s : run time [s], >= 1
    gpus : GPUs of the job, >= 1
    source : where the jobs are from
    licence : licence of the data, as stated by the source
    credit : line to print beside results
    rows_read : rows in the file, good and bad
    refused : rows left out, by reason
    repaired : rows changed, by what was changed
    notes : anything else the user should know
    start_utc : instant of the first submission, or None where the source does not say
    sha256 : checksum of the file
    tenant : index into `tenants` per job, -1 = not stated; None where the file names no tenants
    tenants : names used by `tenant`
    """

    name: str
    submit_s: Int64
    run_s: Int64
    gpus: Int32
    source: str
    licence: str
    credit: str
    rows_read: int
    refused: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    start_utc: datetime | None = None
    sha256: str | None = None
    tenant: Int16 | None = None
    tenants: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.submit_s.shape[0])

    @property
    def span_s(self) -> int:
        """Time from the first to the last submission [s]."""
        return int(self.submit_s[-1])

    @property
    def gpu_s(self) -> float:
        """GPU-seconds of all jobs; a sum of integers in float64, exact up to 2.5e12 GPU-hours."""
        return float((self.run_s * self.gpus).sum(dtype=np.float64))


class Origin(NamedTuple):
    """Where a trace is from."""

    name: str
    source: str
    licence: str = "not stated"
    credit: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of all rows: numbers (NaN where there is none), rows left empty, and how the file puts it."""

    values: Float64
    missing: Bool
    shown: Callable[[int], str]
    name: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What a reader found: rows that have all their fields, and how many had not.

    `place` numbers the rows as the user sees them (`unit` is ``line`` or ``row``); `refused` counts rows that the
    reader itself could not use; `example` is the first of these, with its place; `zoneless` marks times without a zone.
    """

    submit: Column
    run: Column
    gpus: Column
    place: Int64
    unit: str
    refused: dict[str, int] = field(default_factory=dict)
    example: tuple[int, str] | None = None
    zoneless: Bool | None = None
    absolute: bool = False
    tenant: list[str] | None = None
    notes: tuple[str, ...] = ()


def trace_from_rows(
    rows: Rows,
    origin: Origin,
    *,
    file: str,
    start_utc: datetime | None = None,
    zero_run_s: int | None = None,
    sha256: str | None = None,
) -> Trace:
    """Turn rows into a trace; count every row that is refused or repaired, by reason.

    Parameters
    ----------
    rows : what a reader found
    origin : where the trace is from
    file : name for messages
    start_utc : instant of submission time 0, if known
    zero_run_s : run time given to jobs whose run time is zero [s]; None = refuse them
    sha256 : checksum of the file

    Raises
    ------
    TraceError
        If no row can be used.

    """
    count = rows.place.shape[0]
    reason = np.zeros(count, dtype=np.int16)
    reasons: list[str] = [""]
    first = rows.example

    def refuse(where: Bool, why: str, column: Column) -> None:
        nonlocal first
        fresh = np.flatnonzero(where & (reason == 0))
        if not fresh.shape[0]:
            return
        reasons.append(why)
        reason[fresh] = len(reasons) - 1
        place = int(rows.place[fresh[0]])
        if first is None or place < first[0]:
            first = place, f"{why} ({column.name} = {column.shown(int(fresh[0]))!r})"

    submit, run, gpus = rows.submit.values, rows.run.values, rows.gpus.values
    for column, what in ((rows.submit, "submission time"), (rows.run, "run time"), (rows.gpus, "GPU count")):
        refuse(column.missing, f"{what} is missing", column)
        if column is rows.submit and rows.zoneless is not None:
            refuse(rows.zoneless, "submission time has no zone (write 2027-01-01T00:00:00Z)", column)
        refuse(
            np.isnan(column.values),
            f"{what} is not a {'time' if column is rows.submit and rows.absolute else 'number'}",
            column,
        )
        refuse(np.isinf(column.values), f"{what} is infinite", column)
        if not (column is rows.submit and rows.absolute):
            refuse(column.values < 0, f"{what} is negative", column)
    refuse(
        submit > MAXIMUM_SUBMIT_S, "submission time is not in seconds (above 100,000,000,000)", rows.submit
    )
    zero_run = run == 0
    if zero_run_s is None:
        refuse(zero_run, "run time is zero", rows.run)
    refuse(run > MAXIMUM_RUN_S, "run time is above ten years", rows.run)
    refuse(gpus == 0, "GPU count is zero", rows.gpus)
    refuse(np.floor(gpus) != gpus, "GPU count is not a whole number", rows.gpus)
    refuse(gpus > MAXIMUM_GPUS, f"GPU count is above {MAXIMUM_GPUS:,}", rows.gpus)

    refused = dict(rows.refused)
    for code, why in enumerate(reasons[1:], start=1):
        refused[why] = int((reason == code).sum())
    rows_read = count + sum(rows.refused.values())
    if rows_read == 0:
        raise TraceError(f"holds no jobs; each row is a job: {ALLOWED}", file=file)
    example = "" if first is None else f"{rows.unit} {first[0]}: {first[1]}"
    kept = reason == 0
    if not kept.any():
        counts = ", ".join(
            f"{number:,} x {why}" for why, number in sorted(refused.items(), key=lambda item: -item[1])
        )
        raise TraceError(
            f"none of the {rows_read:,} rows can be used ({counts}); first: {example}; allowed: {ALLOWED}",
            file=file,
        )

    repaired: dict[str, int] = {}
    if zero_run_s is not None and (zero_run & kept).any():
        repaired[f"run time of zero (under a minute) taken as {zero_run_s} s"] = int((zero_run & kept).sum())
        run = np.where(zero_run, float(zero_run_s), run)
    short = kept & (run > 0) & (np.rint(run) < 1)
    if short.any():
        repaired["run time under half a second raised to 1 s"] = int(short.sum())
    submit_whole_s = np.floor(submit[kept]).astype(np.int64)
    order = np.argsort(submit_whole_s, kind="stable")
    submit_whole_s = submit_whole_s[order]
    shift_s = int(submit_whole_s[0])
    notes = list(rows.notes)
    if first is not None:
        notes.append(f"first refused: {example}")
    if shift_s and not rows.absolute:
        notes.append(f"times are counted from the first submission, at {shift_s} s in the file")
    codes, names = _tenant_codes(rows.tenant)
    return Trace(
        name=origin.name,
        submit_s=submit_whole_s - shift_s,
        run_s=np.maximum(np.rint(run[kept]), 1).astype(np.int64)[order],
        gpus=gpus[kept].astype(np.int32)[order],
        source=origin.source,
        licence=origin.licence,
        credit=origin.credit,
        rows_read=rows_read,
        refused=refused,
        repaired=repaired,
        notes=tuple(notes),
        start_utc=_first_instant(start_utc, shift_s, absolute=rows.absolute),
        sha256=sha256,
        tenant=None if codes is None else codes[kept][order],
        tenants=names,
    )


def _first_instant(start_utc: datetime | None, shift_s: int, *, absolute: bool) -> datetime | None:
    """Return the instant of the first submission, where times are absolute or their origin is known."""
    from datetime import UTC, timedelta

    try:
        if absolute:
            return datetime.fromtimestamp(shift_s, UTC)
        return None if start_utc is None else start_utc + timedelta(seconds=shift_s)
    except (OverflowError, ValueError, OSError):
        return None


def _tenant_codes(labels: list[str] | None) -> tuple[Int16 | None, tuple[str, ...]]:
    if labels is None:
        return None, ()
    names = tuple(sorted({label for label in labels if label})[:32_767])
    index = {name: code for code, name in enumerate(names)}
    return np.array([index.get(label, -1) for label in labels], dtype=np.int16), names
