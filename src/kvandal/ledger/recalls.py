"""How fast loans came back when their lenders called them back."""

from __future__ import annotations

from typing import Any

import polars as pl


def latency_s() -> pl.Expr:
    """Time from notice to return of a loan [s]; null for one without notice or not back yet."""
    return (pl.col("returned_utc") - pl.col("noticed_utc")).dt.total_seconds()


def latency_by_lender(loans: pl.DataFrame, lenders: list[str]) -> dict[str, dict[str, Any]]:
    """Loans given notice by lender, and the median and 99th percentile of the time until they were back [s].

    Parameters
    ----------
    loans : table of loans
    lenders : names to list; one without a recall has no latency (None)

    """
    found = (
        loans.group_by("lender")
        .agg(
            pl.col("noticed_utc").count().alias("recalls"),
            latency_s().quantile(0.50, "nearest").alias("p50_s"),
            latency_s().quantile(0.99, "nearest").alias("p99_s"),
        )
        .with_columns(pl.col("lender").cast(pl.String))
    )
    known = {row.pop("lender"): row for row in found.to_dicts()}
    return {name: known.get(name, {"recalls": 0, "p50_s": None, "p99_s": None}) for name in lenders}
