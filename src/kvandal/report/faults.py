"""Faults of the plant on the page: what each did to whom."""

from __future__ import annotations

from typing import Any

import polars as pl

from kvandal.report.chart import Section
from kvandal.report.folder import RunFolder
from kvandal.report.outcomes import COST_COLUMNS, FAULT_COLUMNS, outcomes
from kvandal.report.text import DASH, duration, escape, number, stamp, table, words

SHOWN = 60
"""Faults listed at most: the costliest."""
SUMS = ("racks_tripped", "jobs_hit", "lost_gpu_h", "slowed_gpu_h")
HEADS = (
    "start (UTC)",
    "lasts",
    "fault",
    "where",
    "what happened",
    "jobs hit",
    "lost GPU-h",
    "slowed GPU-h",
    "to whom",
)


def fault_section(folder: RunFolder) -> Section:
    """List the faults of the run."""
    faults = folder.table("faults", FAULT_COLUMNS)
    if faults.is_empty():
        return Section(
            "faults",
            "Faults: what each did to whom",
            lead="The plant had no fault in this run. GPU failures are events of their own.",
        )
    costs = folder.table("fault_costs", COST_COLUMNS)
    cost = pl.col("lost_gpu_h") + pl.col("slowed_gpu_h")
    listed = faults.sort(cost, descending=True, maintain_order=True).head(SHOWN).sort("fault")
    told = outcomes(listed, costs)
    silent = faults.filter((cost == 0) & (pl.col("racks_tripped") == 0) & (pl.col("hours_bound") == 0)).height
    lead = (
        f"{number(faults.height)} faults of the plant, {number(int(faults['drawn'].sum()))} of them drawn at published rates. "
        f"{number(silent)} harmed nobody. A GPU-hour is lost when a job is stopped, slowed when it goes on with less power."
    )
    parts: list[str] = [_by_kind(faults)]
    if costs.height:
        parts.append(_by_tenant(costs))
    if faults.height > SHOWN:
        parts.append(
            f'<p class="caption">The {number(SHOWN)} costliest of {number(faults.height)}; all of them are in <code>faults.parquet</code>.</p>'
        )
    parts.append(table(HEADS, [_row(row) for row in told], right=(5, 6, 7), kind="faults"))
    return Section("faults", "Faults: what each did to whom", lead=lead, parts=[*parts])


def _by_kind(faults: pl.DataFrame) -> str:
    rows = (
        faults.group_by("kind")
        .agg(pl.len().alias("faults"), pl.col("ridden_through").fill_null(value=False).sum(), *(pl.col(name).sum() for name in SUMS))
        .sort("lost_gpu_h", "slowed_gpu_h", "kind", descending=[True, True, False])
        .to_dicts()
    )  # fmt: skip
    return table(
        ["kind", "faults", "ridden through", "racks tripped", "jobs hit", "lost GPU-h", "slowed GPU-h"],
        [
            [
                escape(words(row["kind"])),
                number(row["faults"]),
                number(row["ridden_through"]) if row["kind"] == "grid_dip" else DASH,
                *(number(row[name]) for name in SUMS),
            ]
            for row in rows
        ],
        right=range(1, 7),
    )


def _by_tenant(costs: pl.DataFrame) -> str:
    rows = (
        costs.group_by("tenant")
        .agg(pl.col(name).sum() for name in SUMS[1:])
        .sort("lost_gpu_h", "slowed_gpu_h", "tenant", descending=[True, True, False])
        .to_dicts()
    )
    return table(
        ["tenant", "jobs hit", "lost GPU-h", "slowed GPU-h"],
        [[escape(words(row["tenant"])), *(number(row[name]) for name in SUMS[1:])] for row in rows],
        right=range(1, 4),
        kind="narrow",
    )


def _row(row: dict[str, Any]) -> list[str]:
    lasts_s = (
        row["duration_s"]
        if row["duration_s"] is not None
        else (row["end_utc"] - row["start_utc"]).total_seconds()
    )
    whom = "; ".join(f"{escape(words(cost['tenant']))} {_harm(cost)}" for cost in row["tenants"])
    given = "" if row["drawn"] else ' <span class="tag">given</span>'
    what = f"{words(row['kind'])}{row['amount']}"
    return [
        stamp(row["start_utc"]),
        duration(lasts_s),
        f"{escape(what)}{given}",
        escape(words(row["place"])),
        escape(row["outcome"]),
        number(row["jobs_hit"]) if row["jobs_hit"] else DASH,
        number(row["lost_gpu_h"], 1) if row["lost_gpu_h"] else DASH,
        number(row["slowed_gpu_h"], 1) if row["slowed_gpu_h"] else DASH,
        whom or DASH,
    ]


def _harm(cost: dict[str, Any]) -> str:
    told = []
    if cost["jobs_hit"]:
        told.append("1 job" if cost["jobs_hit"] == 1 else f"{number(cost['jobs_hit'])} jobs")
    if cost["lost_gpu_h"] > 0:
        told.append(f"{number(cost['lost_gpu_h'], 1)} lost")
    if cost["slowed_gpu_h"] > 0:
        told.append(f"{number(cost['slowed_gpu_h'], 1)} slowed")
    return ", ".join(told)
