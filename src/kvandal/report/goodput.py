"""What became of allocated GPU-hours: by tenant, by size of job, by cause. From the table of jobs alone."""

from __future__ import annotations

import polars as pl

LOSSES = ("failure", "recall", "shed", "checkpoint", "restart", "expiry")
CAUSES = ("tray", "host", "network", "rack", "plant")
COLUMNS = [
    "tenant", "gpus", "starts", "failures", "recalls", "sheds", "gpu_s_allocated", "gpu_s_useful", "gpu_s_restart_recall",
    *(f"gpu_s_lost_{cause}" for cause in LOSSES), *(f"failures_{cause}" for cause in CAUSES),
]  # fmt: skip
"""Columns of jobs.parquet that are read here."""
SIZES = (8, 72, 512, 2048, 8192, 32_768)
"""Largest jobs of each class of sizes but the last [GPUs]."""


def size_names() -> list[str]:
    """Names of the classes of sizes.

    >>> size_names()[0], size_names()[1], size_names()[-1]
    ('1-8', '9-72', 'over 32,768')
    """
    lowest = [1, *(size + 1 for size in SIZES[:-1])]
    return [f"{low:,}-{high:,}" for low, high in zip(lowest, SIZES, strict=True)] + [f"over {SIZES[-1]:,}"]


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def _hours() -> list[pl.Expr]:
    columns = {"gpu_hours_allocated": "gpu_s_allocated", "gpu_hours_useful": "gpu_s_useful"}
    columns |= {f"gpu_hours_lost_{cause}": f"gpu_s_lost_{cause}" for cause in LOSSES}
    columns["gpu_hours_restart_recall"] = "gpu_s_restart_recall"
    return [
        (pl.col(column).cast(pl.Float64).sum() / 3600).alias(name) for name, column in columns.items()
    ] + [pl.col(name).cast(pl.Int64).sum() for name in ("starts", "failures", "recalls", "sheds")]


def by_tenant(jobs: pl.DataFrame) -> pl.DataFrame:
    """One row per tenant that has jobs: GPU-hours allocated, useful and lost by cause, `goodput`, interruptions."""
    found = jobs.group_by("tenant").agg(pl.len().alias("jobs"), *_hours())
    found = found.with_columns(pl.col("tenant").cast(pl.String))
    return found.with_columns(goodput=_share("gpu_hours_useful", "gpu_hours_allocated")).sort("tenant")


def by_size(jobs: pl.DataFrame) -> pl.DataFrame:
    """One row per class of sizes that has started jobs.

    `ettr` is the effective training time ratio, the useful share of the wall time in which the jobs ran; `goodput` is the same
    by GPU-hours; `gpu_hours_per_failure` is null where nothing failed.
    """
    wall = pl.col("gpu_s_allocated") / pl.col("gpus") / 3600
    useful = pl.col("gpu_s_useful") / pl.col("gpus") / 3600
    names = size_names()
    number = sum((pl.col("gpus") > size).cast(pl.UInt32) for size in SIZES)
    return (
        jobs.lazy()
        .filter(pl.col("starts") > 0)
        .with_columns(number=number)
        .group_by("number")
        .agg(
            pl.len().alias("jobs"),
            wall.sum().alias("hours_running"),
            useful.sum().alias("hours_useful"),
            *_hours(),
        )
        .sort("number")
        .with_columns(
            size=pl.col("number").replace_strict(dict(enumerate(names)), return_dtype=pl.String),
            ettr=_share("hours_useful", "hours_running"),
            goodput=_share("gpu_hours_useful", "gpu_hours_allocated"),
            gpu_hours_per_failure=_share("gpu_hours_allocated", "failures"),
        )
        .drop("number")
        .collect()
    )


def interruptions(jobs: pl.DataFrame) -> dict[str, int]:
    """Count interruptions of jobs: failures by what failed, recalls and sheds."""
    counted = {cause: int(jobs[f"failures_{cause}"].sum()) for cause in CAUSES}
    return counted | {"recall": int(jobs["recalls"].sum()), "shed": int(jobs["sheds"].sum())}
