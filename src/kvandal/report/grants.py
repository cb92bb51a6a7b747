"""Grants on the page: how each was used up, period by period."""

from __future__ import annotations

import numpy as np
import polars as pl

from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, escape, number, percent, stamp, table, words

DRAWN = 12
"""Grants that have a chart: the largest."""
BOOKS = (
    "gpu_s_granted", "gpu_s_carried_in", "gpu_s_spent", "gpu_s_committed", "gpu_s_left", "gpu_s_carried_out", "gpu_s_expired",
    "gpu_s_withdrawn",
)  # fmt: skip
COLUMNS = ["grant", "tenant", "period", "start_utc", "end_utc", *BOOKS]
HEADS = (
    "grant", "tenant", "from (UTC)", "until (UTC)", "granted", "carried in", "spent", "committed", "left", "carried out",
    "expired", "withdrawn", "spent of what it had",
)  # fmt: skip


def grant_section(folder: RunFolder) -> Section | None:
    """Draw what is left of each grant over time, and tabulate its periods; None in a run without grants."""
    if not folder.scenario.get("grants"):
        return None
    books = folder.table("grants", COLUMNS)
    if books.is_empty():
        return Section("grants", "Grants", lead="No grant has begun in this run.")
    turned = (
        folder.scan("jobs", ["refused_rule", "state"])
        .filter(pl.col("refused_rule").str.starts_with("G"))
        .group_by("refused_rule")
        .len()
        .sort("refused_rule")
        .collect()
    )
    told = ", ".join(f"{number(count)} by {escape(rule)}" for rule, count in turned.iter_rows())
    granted, spent = (float(books[name].sum()) / 3600 for name in ("gpu_s_granted", "gpu_s_spent"))
    count = books["grant"].n_unique()
    lead = (
        f"{number(count)} grant{'' if count == 1 else 's'} brought {number(granted)} GPU-hours; {number(spent)} of them "
        f"({percent(spent / granted if granted else None)}) were spent. Jobs refused or stopped: {told or 'none'}."
    )
    return Section("grants", "Grants", lead=lead, parts=[*_figures(folder, books), _table(books)])


def _figures(folder: RunFolder, books: pl.DataFrame) -> list[str | Figure]:
    grid = folder.hour_grid()
    largest = (
        books.group_by("grant", maintain_order=True)
        .agg(pl.col("gpu_s_granted").sum())
        .sort("gpu_s_granted", descending=True, maintain_order=True)
    )
    names = largest["grant"].to_list()
    shown = [name for name in books["grant"].unique(maintain_order=True).to_list() if name in names[:DRAWN]]
    hours = folder.scan("grant_hours", ["time_utc", "grant", "gpu_s_spent", "gpu_s_committed", "gpu_s_left"])
    held = grid.collect_by(
        hours.filter(pl.col("grant").is_in(shown)),
        "grant",
        [(pl.col("gpu_s_spent").sum() / 3600).alias("spent")]
        + [(pl.col(f"gpu_s_{name}").last() / 3600).alias(name) for name in ("committed", "left")],
    )
    figures: list[str | Figure] = []
    for place, name in enumerate(shown):
        columns = held[name]
        lines = [
            Line("committed to jobs", "lent", columns["committed"]),
            Line("left", "idle", columns["left"]),
            Line("spent so far", "firm", np.cumsum(np.nan_to_num(columns["spent"])), "line"),
        ]
        figures.append(
            Figure(
                f"grant-{place}",
                f"Grant {words(name)}",
                f"GPU-hours that jobs have reserved and that are left, at the end of {grid} steps. A job is charged when a run of it "
                "ends. The areas rise when a period begins and fall where hours expire or are withdrawn.",
                over_time(grid, lines, ["GPU-h"], decimals=(1, 1)),
                period_table(grid, lines, ["GPU-h"], (1, 1)),
            )
        )
    if len(names) > len(shown):
        figures.append(
            f'<p class="caption">The {number(len(shown))} largest of {number(len(names))} grants; the table has all.</p>'
        )
    return figures


def _table(books: pl.DataFrame) -> str:
    rows = []
    for row in books.to_dicts():
        had = row["gpu_s_granted"] + row["gpu_s_carried_in"]
        rows.append(
            [
                escape(words(row["grant"])),
                escape(words(row["tenant"])),
                stamp(row["start_utc"]),
                stamp(row["end_utc"]),
                *(number(row[name] / 3600, 1) if row[name] else DASH for name in BOOKS),
                percent(row["gpu_s_spent"] / had if had else None),
            ]
        )
    return table(HEADS, rows, right=range(4, 13), kind="limits")
