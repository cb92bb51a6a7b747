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
Jobs = pl.DataFrame | pl.LazyFrame
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


RARE = (*(f"gpu_s_lost_{cause}" for cause in LOSSES), "gpu_s_restart_recall", "failures", "recalls", "sheds")
"""Columns that are zero for nearly all jobs."""


def _hours(column: str, name: str) -> pl.Expr:
    return (pl.col(column).cast(pl.Float64).sum() / 3600).alias(name)


def _sums(jobs: pl.LazyFrame, key: str, *more: pl.Expr) -> pl.DataFrame:
    """Sum up by a key: GPU-hours allocated, useful and lost by cause, what happened how often, and `more`."""
    every = jobs.group_by(key).agg(
        pl.len().alias("jobs"),
        *more,
        _hours("gpu_s_allocated", "gpu_hours_allocated"),
        _hours("gpu_s_useful", "gpu_hours_useful"),
        pl.col("starts").cast(pl.Int64).sum(),
    )
    lost = [_hours(f"gpu_s_lost_{cause}", f"gpu_hours_lost_{cause}") for cause in LOSSES]
    some = (
        jobs.select(key, *RARE)
        .filter(pl.any_horizontal(pl.col(RARE) != 0))
        .group_by(key)
        .agg(
            *lost,
            _hours("gpu_s_restart_recall", "gpu_hours_restart_recall"),
            *(pl.col(name).cast(pl.Int64).sum() for name in ("failures", "recalls", "sheds")),
        )
        .collect()
    )
    rare = [name for name in some.columns if name != key]
    together = every.collect().join(some, on=key, how="left").with_columns(pl.col(rare).fill_null(0))
    return together.select(pl.exclude("starts", *rare), *rare[:-3], "starts", *rare[-3:])


def by_tenant(jobs: Jobs) -> pl.DataFrame:
    """One row per tenant that has jobs: GPU-hours allocated, useful and lost by cause, `goodput`, interruptions."""
    found = _sums(jobs.lazy(), "tenant").with_columns(pl.col("tenant").cast(pl.String))
    return found.with_columns(goodput=_share("gpu_hours_useful", "gpu_hours_allocated")).sort("tenant")


def by_size(jobs: Jobs) -> pl.DataFrame:
    """One row per class of sizes that has started jobs.

    `ettr` is the effective training time ratio, the useful share of the wall time in which the jobs ran; `goodput` is the same
    by GPU-hours; `gpu_hours_per_failure` is null where nothing failed.
    """
    wall = pl.col("gpu_s_allocated") / pl.col("gpus") / 3600
    useful = pl.col("gpu_s_useful") / pl.col("gpus") / 3600
    names = size_names()
    number = sum((pl.col("gpus") > size).cast(pl.UInt32) for size in SIZES)
    started = jobs.lazy().filter(pl.col("starts") > 0).with_columns(number=number)
    sums = _sums(started, "number", wall.sum().alias("hours_running"), useful.sum().alias("hours_useful"))
    return (
        sums.sort("number")
        .with_columns(
            size=pl.col("number").replace_strict(dict(enumerate(names)), return_dtype=pl.String),
            ettr=_share("hours_useful", "hours_running"),
            goodput=_share("gpu_hours_useful", "gpu_hours_allocated"),
            gpu_hours_per_failure=_share("gpu_hours_allocated", "failures"),
        )
        .drop("number")
    )


def interruptions(jobs: Jobs) -> dict[str, int]:
    """Count interruptions of jobs: failures by what failed, recalls and sheds."""
    columns = {f"failures_{cause}": cause for cause in CAUSES} | {"recalls": "recall", "sheds": "shed"}
    counted = jobs.lazy().select(pl.col(list(columns)).cast(pl.Int64).sum()).collect()
    return {name: counted[column].item() for column, name in columns.items()}
