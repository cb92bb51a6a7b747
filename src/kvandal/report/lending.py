"""Loans by lender and borrower, and how fast each lender had its GPUs back."""

from __future__ import annotations

from typing import Any

import polars as pl

from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, duration, escape, number, table, words

COLUMNS = ["lender", "borrower", "gpus", "start_utc", "noticed_utc", "returned_utc", "reason"]
"""Columns of loans.parquet that are read here."""
REASONS = ("finished", "recalled", "failure", "shed", "expired", "transferred", "promoted")
"""How loans end; one that has not ended is still lent."""


def by_pair(folder: RunFolder) -> list[dict[str, Any]]:
    """One row per lender and borrower, the most GPU-hours first.

    `loans` (parts of loans count apart), `gpu_hours`, `recalls` (given notice), `recall_latency_p50_s` and
    `recall_latency_p99_s` (notice to return; None without one), and the loans by how they ended: `finished` ..., `still_lent`.
    """
    latency_s = (pl.col("returned_utc") - pl.col("noticed_utc")).dt.total_seconds()
    hours = (
        pl.col("returned_utc").fill_null(folder.end) - pl.col("start_utc")
    ).dt.total_milliseconds() / 3_600_000
    rows = (
        folder.scan("loans", COLUMNS, texts=False)
        .group_by("lender", "borrower")
        .agg(
            pl.len().cast(pl.Int64).alias("loans"),
            (pl.col("gpus").cast(pl.Int64) * hours).sum().alias("gpu_hours"),
            pl.col("noticed_utc").count().cast(pl.Int64).alias("recalls"),
            latency_s.quantile(0.50, "nearest").alias("recall_latency_p50_s"),
            latency_s.quantile(0.99, "nearest").alias("recall_latency_p99_s"),
            *((pl.col("reason") == reason).sum().cast(pl.Int64).alias(reason) for reason in REASONS),
            pl.col("reason").null_count().cast(pl.Int64).alias("still_lent"),
        )
        .with_columns(pl.col("lender", "borrower").cast(pl.String))
        .sort(["gpu_hours", "lender", "borrower"], descending=[True, False, False])
    )
    return rows.collect().to_dicts()


def recall_part(folder: RunFolder) -> str:
    """Table of the lenders that called loans back; nothing if none did."""
    found: dict[str, Any] = folder.summary.get("recall_latency_by_lender") or {}
    recalled = {name: row for name, row in found.items() if row["recalls"]}
    if not recalled:
        return ""
    rows = [
        [
            escape(words(name)),
            number(row["recalls"]),
            DASH if row["p50_s"] is None else duration(row["p50_s"]),
            DASH if row["p99_s"] is None else duration(row["p99_s"]),
        ]
        for name, row in sorted(recalled.items(), key=lambda pair: -pair[1]["recalls"])
    ]
    return (
        '<p class="caption">How long lenders waited for what they called back, from notice to return.</p>'
        + table(["lender", "loans recalled", "back after, median", "99th percentile"], rows, right=(1, 2, 3))
    )


def fragmentation_sentence(folder: RunFolder) -> str:
    """Say how much of the free room large jobs could not use; nothing if it is not known."""
    trays = folder.summary.get("fragmentation_trays")
    segments = folder.summary.get("fragmentation_segments")
    if trays is None or segments is None:
        return ""
    return (
        f" Of the GPU-hours that were free, {number(trays * 100, 1)}\u00a0% lay in trays that others partly used, and "
        f"{number(segments * 100, 1)}\u00a0% in no segment that a job of several racks could take."
    )
