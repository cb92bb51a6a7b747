"""The table of jobs that the twin schedules: plain arrays, one row per job."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class JobTable:
    """Jobs in order of submission; arrays of one length n.

    Attributes
    ----------
    submit_s : int64, when the job is submitted [s after the start of the run], ascending, >= 0
    gpus : int32, GPUs of the gang, >= 1
    work_s : int64, run time at full speed without interruption or checkpoint [s], >= 1
    tenant : int16, index into the scenario's tenants (in their order)
    demand : int16, index into the scenario's classes of demand (in their order)

    The row number is the job's id.
    """

    submit_s: Int64
    gpus: Int32
    work_s: Int64
    tenant: Int16
    demand: Int16

    def __post_init__(self) -> None:
        lengths = {getattr(self, field.name).shape for field in fields(self)}
        if len(lengths) != 1:
            raise ValueError(f"all columns of a job table have one length, got {sorted(lengths)}")
        if len(self) and (np.diff(self.submit_s) < 0).any():
            raise ValueError("jobs must be in order of submit_s")

    def __len__(self) -> int:
        return int(self.submit_s.shape[0])

    def rows(self, first: int, last: int) -> JobTable:
        """Return some of the jobs, as a view."""
        return JobTable(*(getattr(self, field.name)[first:last] for field in fields(self)))

    @staticmethod
    def empty() -> JobTable:
        """Return a table without jobs."""
        return JobTable(
            np.empty(0, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int16),
            np.empty(0, np.int16),
        )

    @staticmethod
    def merged(tables: list[JobTable]) -> JobTable:
        """Merge tables into one in order of submission; equal times keep the order of `tables`."""
        if not tables:
            return JobTable.empty()
        submit_s = np.concatenate([table.submit_s for table in tables])
        order = np.argsort(submit_s, kind="stable")
        columns = {
            f.name: np.concatenate([getattr(table, f.name) for table in tables])[order]
            for f in fields(JobTable)
        }
        return JobTable(**columns)
