"""The life of every job: what it waited for, its last run, and the runs that ended before it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger.columns import POOL, counted, known, named, times_utc
from kvandal.ledger.grants import rule_ids
from kvandal.ledger.told import Gathered
from kvandal.policy.rules import HOLDS, RULES
from kvandal.scenario.tenants import TIERS
from kvandal.twin.records import LOSSES, QUEUED, RUNNING
from kvandal.twin.simulate import Trajectory

Array = Any

WAITS = tuple(f"wait_{RULES[rule][0].lower()}_s" for rule in HOLDS)
"""Columns of jobs.parquet that say how long a job waited for what, in the order of the rules that hold jobs back."""


def _stints(run: Trajectory) -> Array:
    return run.state.stints[: int(run.state.tally["stints"][0])]


def _waits_s(run: Trajectory, jobs: dict[str, Array], rows: slice) -> dict[str, pl.Series]:
    """Time that every job has waited, by the rule that held it back: columns WAITS, int64 [s].

    The time of a job that is still queued counts to the end of the run.
    """
    waits = run.state.waits[:, rows]
    queued = np.flatnonzero(jobs["state"] == QUEUED)
    held_by, still_s = jobs["held_by"][queued], run.scenario.run.days * 86_400 - jobs["held_since_s"][queued]
    columns = {}
    for index, rule in enumerate(HOLDS):
        column = waits[index].astype(np.int64)
        column[queued] += np.where(held_by == rule, still_s, 0)
        columns[WAITS[index]] = pl.Series(column)
    return columns


def _last_run(run: Trajectory, jobs: dict[str, Array], rows: slice) -> tuple[Array, Array]:
    """Start [s] and GPUs of the last run of every job; -1 and 0 for a job that never ran.

    An elastic job may have run on fewer GPUs than it asked for: what its earlier runs have not held, the last one has.
    """
    stints = _stints(run)
    stints = stints[(stints["job"] >= rows.start) & (stints["job"] < rows.stop)]
    job = stints["job"] - rows.start
    has_run = jobs["starts"] > 0
    start_s = np.where(has_run, jobs["start_s"], -1)
    gpus = np.where(has_run, jobs["gpus"], 0).astype(np.int64)
    interrupted = np.bincount(job, minlength=len(has_run)) == jobs["starts"]
    gpus[job] = stints["gpus"]  # in order of time: the last one stays
    before = np.zeros(len(has_run), np.int64)
    np.add.at(before, job, stints["gpus"] * (stints["end_s"] - stints["start_s"]))
    end_s = np.where(jobs["state"] == RUNNING, run.scenario.run.days * 86_400, jobs["end_s"])
    length_s = np.where(has_run & ~interrupted, end_s - start_s, 0)
    held = jobs["allocated_gpu_s"] - before
    uninterrupted = np.where(length_s > 0, held // np.maximum(length_s, 1), jobs["gpus"])
    return start_s, np.where(has_run & ~interrupted, uninterrupted, gpus)


LIFE = (
    "state", "held_by", "held_since_s", "starts", "start_s", "end_s", "gpus", "allocated_gpu_s", "limit_s", "start_rule",
)  # fmt: skip
"""Columns of the records of jobs that the life of a job is told from."""


def life_columns(run: Trajectory, jobs: dict[str, Array], rows: slice) -> dict[str, pl.Series]:
    """Columns of the table of jobs: the limit, the last run and its rule, what holds it back, what it waited for.

    `jobs` holds the columns LIFE of those jobs' records.
    """
    start_utc = run.scenario.run.start_utc
    last_s, gpus = _last_run(run, jobs, rows)
    held = (jobs["state"] == QUEUED) & (jobs["held_by"] > 0)
    return {
        "limit_s": pl.Series(jobs["limit_s"]),
        "last_start_utc": times_utc(start_utc, last_s),
        "last_gpus": known(gpus.astype(np.int32), jobs["starts"] > 0),
        "start_rule": named(np.where(jobs["starts"] > 0, jobs["start_rule"], -1), rule_ids()),
        "held_rule": named(np.where(held, jobs["held_by"], -1), rule_ids()),
        **_waits_s(run, jobs, rows),
    }


def interruptions_table(run: Trajectory) -> pl.DataFrame:
    """One row per run of a job that ended before the job did, in order of its end."""
    stints, start_utc = _stints(run), run.scenario.run.start_utc
    return pl.DataFrame(
        {
            "job": np.ascontiguousarray(stints["job"]),
            "start_utc": times_utc(start_utc, stints["start_s"]),
            "end_utc": times_utc(start_utc, stints["end_s"]),
            "gpus": np.ascontiguousarray(stints["gpus"]),
            "rack": counted(stints["rack"]),
            "lender": named(stints["lender"], [*run.scenario.tenants, POOL]),
            "tier": named(stints["tier"], (*TIERS, TIERS[0])),  # protected work is firm
            "start_rule": named(stints["start_rule"], rule_ids()),
            "end_rule": named(stints["end_rule"], rule_ids()),
            "cause": named(stints["cause"], LOSSES),
        }
    )


def deadlines_met(
    jobs: pl.DataFrame | Gathered, deadlines_h: dict[str, float], end_utc: Any
) -> dict[str, float | None]:
    """Share of the jobs of each class that finished by their deadline.

    Counted are the jobs that finished and those whose deadline passed in the run before they did; refused jobs are not.
    None where none is known yet.

    Parameters
    ----------
    jobs : table of jobs
    deadlines_h : time after submission by which the jobs of a class should have finished [h], by class
    end_utc : end of the run

    """
    shares: dict[str, float | None] = {}
    told = jobs.select("demand", "state", "submit_utc", "end_utc")
    for name, deadline_h in deadlines_h.items():
        due = pl.col("submit_utc") + pl.duration(seconds=round(deadline_h * 3600))
        finished = pl.col("state") == "finished"
        found = told.filter((pl.col("demand") == name) & (pl.col("state") != "refused")).select(
            (finished & (pl.col("end_utc") <= due)).sum().alias("met"),
            (finished | (due < end_utc)).sum().alias("known"),
        )
        met, counted_jobs = found.row(0)
        shares[name] = met / counted_jobs if counted_jobs else None
    return shares
