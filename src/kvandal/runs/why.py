"""Why did this happen to my job? Its life in sentences, from the tables of a run alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kvandal.errors import InputError, RunFolderError
from kvandal.runs.run import Run
from kvandal.runs.story import Records, Row, Why

if TYPE_CHECKING:
    import polars as pl

JOB_COLUMNS = (
    "job", "demand", "tenant", "tier", "gpus", "submit_utc", "start_utc", "end_utc", "state", "starts", "failures", "recalls",
    "sheds", "racks", "gpu_s_allocated", "gpu_s_useful", "refused_rule", "refused_text", "limit_s", "last_start_utc", "last_gpus",
    "start_rule", "held_rule",
)  # fmt: skip
"""Columns of jobs.parquet that a life is told from; the waits by rule and the losses by cause come on top."""
INTERRUPTION_COLUMNS = (
    "job", "start_utc", "end_utc", "gpus", "rack", "lender", "tier", "start_rule", "end_rule", "cause",
)  # fmt: skip
LOAN_COLUMNS = ("job", "lender", "gpus", "start_utc", "noticed_utc", "returned_utc", "reason", "claimant")
EVENT_COLUMNS = ("time_utc", "kind", "rack", "tray", "job", "fault", "rule")
FAILURES = ("failure", "host_fault", "network_fault", "rack_failure", "trip")
"""Kinds of event that take a job's GPUs because something broke."""
REPAIRS = ("repair_begins", "tray_replaced", "repair", "rack_repair", "power_on")
"""Kinds of event that bring what broke back into service."""


def why(run: Run | Path | str, job: int) -> Why:
    """Tell the life of a job: what it waited for, on whose GPUs it ran, what took them, and what came of it.

    Only the rows that it needs are read.

    Parameters
    ----------
    run
        A run, or its folder.
    job
        Number of the job, as in the table of jobs.

    Raises
    ------
    RunFolderError
        If the folder is not there, or damaged.
    InputError
        If the run has no such job.

    """
    from kvandal.runs.folder import read_record
    from kvandal.runs.life import tell

    if isinstance(run, Run):
        return tell(run.record, _records(partial(_of_run, run), job, None))
    folder = Path(run)
    return tell(read_record(folder), _records(partial(_of_folder, folder), job, folder))


Scan = Callable[[str, tuple[str, ...]], "pl.LazyFrame"]


def _of_run(run: Run, name: str, columns: tuple[str, ...]) -> pl.LazyFrame:
    return run.tables[name].lazy().select(columns)


def _of_folder(folder: Path, name: str, columns: tuple[str, ...]) -> pl.LazyFrame:
    import polars as pl

    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise RunFolderError("this table is missing from the run folder", file=path)
    try:
        frame = pl.scan_parquet(path, glob=False)
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunFolderError(f"not a Parquet file: {error}", file=path) from None
    missing = [column for column in columns if column not in schema]
    if missing:
        raise RunFolderError("the table lacks this column", file=path, key=", ".join(missing))
    return frame.select(columns)


def _records(scan: Scan, job: int, folder: Path | None) -> Records:
    """Read what the tables hold of one job."""
    import polars as pl

    from kvandal.ledger.lives import WAITS
    from kvandal.runs.metrics import LOST
    from kvandal.twin.records import LOSSES

    count = int(scan("jobs", ("job",)).select(pl.len()).collect().item())
    if not 0 <= job < count:
        there = f"its jobs are 0 to {count - 1:,}" if count else "it has no jobs"
        raise InputError(f"this run has no job {job}; {there}", file=folder, key="JOB")
    columns = (*JOB_COLUMNS, *WAITS, *(f"{LOST}{cause}" for cause in LOSSES))
    (row,) = scan("jobs", columns).slice(job, 1).collect().to_dicts()
    mine = pl.col("job") == job
    runs = scan("interruptions", INTERRUPTION_COLUMNS).filter(mine).collect().to_dicts()
    loans = scan("loans", LOAN_COLUMNS).filter(mine).collect().to_dicts()
    failures = _failures(scan, row, [one["end_utc"] for one in runs if one["cause"] == "failure"])
    racks = {one["rack"] for one in failures}
    events, kinds = scan("events", EVENT_COLUMNS), pl.col("kind").cast(pl.String)
    notices = events.filter(mine & (kinds == "recall")).collect().to_dicts()
    repairs = events.filter(kinds.is_in(REPAIRS) & pl.col("rack").is_in(sorted(racks))) if racks else None
    claimants = sorted({loan["claimant"] for loan in loans if loan["claimant"] is not None})
    others = scan("jobs", ("job", "tenant", "gpus")).filter(pl.col("job").is_in(claimants))
    faults = sorted({one["fault"] for one in failures if one["fault"] is not None})
    places = scan("faults", ("fault", "kind", "place")).filter(pl.col("fault").is_in(faults))
    return Records(
        job=row,
        runs=runs,
        loans=loans,
        notices=notices,
        failures=failures,
        repairs=[] if repairs is None else repairs.collect().to_dicts(),
        claimants={one["job"]: one for one in others.collect().to_dicts()} if claimants else {},
        places={one["fault"]: one for one in places.collect().to_dicts()} if faults else {},
    )


def _failures(scan: Scan, job: Row, ends_utc: list[datetime]) -> list[Row]:
    """Events at the instants at which a job lost its GPUs to failures; of a tray with several jobs one alone is named."""
    import polars as pl

    if not ends_utc:
        return []
    events = scan("events", EVENT_COLUMNS)
    there = pl.col("kind").cast(pl.String).is_in(FAILURES) & pl.col("time_utc").is_in(ends_utc)
    found: list[Row] = events.filter(there).collect().to_dicts()
    named = {one["time_utc"] for one in found if one["job"] == job["job"]}
    return [
        one
        for one in found
        if one["job"] == job["job"] or (one["time_utc"] not in named and one["kind"] == "failure")
    ]
