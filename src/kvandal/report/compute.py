"""Who had the GPUs, who waited, what was lent and recalled, and what came of the GPU-hours."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.lending import recall_part
from kvandal.report.losses import loss_parts
from kvandal.report.text import DASH, NOT_KNOWN, duration, escape, number, percent, table, words
from kvandal.report.ticks import Site

TIERS = (
    ("Firm", "firm", "gpu_s_firm"),
    ("Assured", "assured", "gpu_s_assured"),
    ("Lent", "lent", "gpu_s_lent"),
    ("Idle", "idle", "gpu_s_idle"),
    ("Broken", "broken", "gpu_s_broken"),
)
CAUSES = (
    ("failure", "Lost to failures"),
    ("recall", "Lost to recalls"),
    ("shed", "Lost to load shedding"),
    ("checkpoint", "Spent on checkpoints"),
    ("restart", "Spent on restarts"),
    ("expiry", "Lost to expired grants"),
)
STUCK_SHARE = 0.02
"""Share of a tenant's jobs still queued at the end from which its percentiles mislead."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def tier_section(site: Site) -> Section:
    """Draw the GPUs by what they were doing."""
    grid, series, totals = site.grid, site.series, site.totals
    lines = [Line(name, role, series[column]) for name, role, column in TIERS]
    lines.append(Line("Installed", "envelope", series["gpu_s_installed"], "step"))
    installed = totals["gpu_s_installed"]
    shares = "; ".join(
        f"{name.lower()} {percent(totals[column] / installed if installed else None, 2 if column == 'gpu_s_broken' else 1)}"
        for name, _, column in TIERS
    )
    caption = f"Share of the installed GPU-hours: {shares}. Means over {grid} steps. A borrower's work counts as lent, whatever it runs on."
    figure = Figure(
        "tiers",
        "GPUs by tier",
        caption,
        over_time(grid, lines, ["GPUs"], decimals=(0, 0)),
        period_table(grid, lines, ["GPUs"], (0, 0)),
    )
    return Section("gpus", "GPUs", parts=[figure])


def _tenants(folder: RunFolder, found: list[str]) -> list[str]:
    order = list(folder.scenario.get("tenants", {}))
    return [name for name in order if name in found] + sorted(name for name in found if name not in order)


def queue_section(folder: RunFolder, site: Site) -> Section:
    """Draw how long jobs waited, by tenant, and how many GPUs were waited for."""
    wait = pl.col("wait_s").cast(pl.Float64)
    jobs = (
        folder.scan("jobs", ["tenant", "wait_s", "state", "gpu_s_allocated"], texts=False)
        .group_by("tenant")
        .agg(
            pl.len().alias("jobs"),
            wait.count().alias("started"),
            (pl.col("state") == "queued").sum().alias("queued"),
            (pl.col("state") == "refused").sum().alias("refused"),
            (pl.col("state") == "finished").sum().alias("finished"),
            (pl.col("gpu_s_allocated").cast(pl.Int64).sum() / 3600).alias("gpu_h"),
            *(wait.quantile(q, "linear").alias(f"q{int(q * 100)}") for q in QUANTILES),
        )
        .with_columns(pl.col("tenant").cast(pl.String))
        .collect()
    )
    loans = {
        row["tenant"]: row["hours"]
        for row in folder.scan("tenants", ["tenant", "gpus_on_loan"])
        .group_by("tenant")
        .agg(pl.col("gpus_on_loan").sum().alias("hours"))
        .collect()
        .to_dicts()
    }
    rows_by = {row["tenant"]: row for row in jobs.to_dicts()}
    tiers = folder.scenario.get("tenants", {})
    names = _tenants(folder, list(rows_by))
    rows, boxes = [], []
    for name in names:
        row = rows_by[name]
        p50, p95 = row["q50"], row["q95"]
        rows.append(
            [
                escape(words(name)), escape(str(tiers.get(name, {}).get("tier", ""))) or NOT_KNOWN, number(row["jobs"]),
                number(row["started"]), number(row["queued"]), duration(p50), duration(p95), number(row["gpu_h"]),
                number(loans.get(name)),
            ]
        )  # fmt: skip
        if row["started"]:
            boxes.append(
                {
                    "name": words(name),
                    "tier": tiers.get(name, {}).get("tier", "firm"),
                    "q": [round(row[f"q{int(q * 100)}"], 1) for q in QUANTILES],
                }
            )
    silent = [words(name) for name in tiers if name not in rows_by]
    note = f" No job of: {escape(', '.join(silent))}." if silent else ""
    stuck = [name for name in names if rows_by[name]["queued"] > STUCK_SHARE * rows_by[name]["jobs"]]
    if stuck:
        told = "; ".join(
            f"{escape(words(name))}: {number(rows_by[name]['queued'])} of {number(rows_by[name]['jobs'])} jobs were still queued at the end"
            for name in stuck
        )
        note += f' <b class="bad">{told}. Waits of these tenants are longer than the percentiles of the started jobs say.</b>'
    heads = [
        "tenant",
        "tier",
        "jobs",
        "started",
        "still queued",
        "wait P50",
        "wait P95",
        "GPU-hours",
        "of these on loan",
    ]
    left = sum(row["queued"] for row in rows_by.values())
    box = Figure(
        "waits",
        "Wait from submission to first start",
        "Boxes hold the middle half of the started jobs, with the median as a line; whiskers reach from the 5th to the 95th percentile. "
        f"The axis is logarithmic; waits under a second are drawn at one second. Every queue is first in, first out: a job also waits for larger ones before it. {number(left)} jobs were queued at the end "
        f"of the run; those that never started are in no box.{note}",
        {"kind": "boxes", "boxes": boxes},
    )
    grid, queued = site.grid, site.series["queued_gpus"]
    lines = [Line("GPUs asked for by queued jobs", "lent", queued)]
    total = np.nanmean(queued) if np.isfinite(queued).any() else None
    figure = Figure(
        "queue",
        "GPUs waited for",
        f"Sum of the GPUs of all jobs in the queue: {number(None if total is None else float(total))} on average, "
        f"{number(site.queued_peak)} at most. Means over {grid} steps.",
        over_time(grid, lines, ["GPUs"], decimals=(0, 0)),
        period_table(grid, lines, ["GPUs"], (0, 0)),
    )
    return Section("queues", "Queues", parts=[box, table(heads, rows, right=range(2, len(heads))), figure])


def goodput_section(folder: RunFolder) -> Section:
    """Draw what became of the installed GPU-hours."""
    s = folder.summary
    lost: dict[str, Any] = s.get("gpu_hours_lost") or {}
    installed, useful = s.get("gpu_hours_installed"), s.get("gpu_hours_useful")
    names = dict(CAUSES)
    steps: list[tuple[str, str, float | None, str]] = [
        ("Installed", "envelope", installed, "total"),
        ("Broken", "broken", s.get("gpu_hours_broken"), "less"),
        ("Idle", "idle", s.get("gpu_hours_idle"), "less"),
        ("Allocated", "firm", s.get("gpu_hours_allocated"), "total"),
        *(
            (names.get(cause, f"Lost: {words(cause)}"), "unmet", amount, "less")
            for cause, amount in lost.items()
        ),
        ("Useful", "useful", useful, "total"),
    ]
    rows = [
        [
            escape(name),
            number(amount),
            percent(amount / installed if amount is not None and installed else None, 2),
        ]
        for name, _, amount, _ in steps
    ]
    allocated = s.get("gpu_hours_allocated")
    caption = (
        f"Of the GPU-hours installed, {percent(allocated / installed if allocated is not None and installed else None)} were allocated; of those, "
        f"{percent(useful / allocated if useful is not None and allocated else None, 2)} went into work that counts. "
        "Bars that hang are what is taken away from the bar above."
    )
    spec = {
        "kind": "waterfall",
        "unit": "GPU-hours",
        "steps": [
            {"name": name, "role": role, "value": None if amount is None else round(amount, 1), "kind": kind}
            for name, role, amount, kind in steps
        ],
    }
    figure = Figure(
        "goodput",
        "From installed to useful GPU-hours",
        caption,
        spec,
        table(["", "GPU-hours", "of installed"], rows, right=(1, 2)),
    )
    return Section("goodput", "Goodput", parts=[figure, *loss_parts(folder)])


def loan_section(folder: RunFolder) -> Section:
    """Draw what tenants lent to others, and how fast it came back."""
    grid = folder.hour_grid()
    s = folder.summary
    frame = folder.scan("tenants", ["time_utc", "tenant", "gpus_on_loan", "gpus_lent_out"])
    by_tenant = grid.collect_by(
        frame, "tenant", [pl.col("gpus_on_loan").mean(), pl.col("gpus_lent_out").mean()]
    )
    loans = folder.scan(
        "loans",
        ["lender", "borrower", "gpus", "start_utc", "noticed_utc", "returned_utc", "reason"],
        texts=False,
    )
    latency = (pl.col("returned_utc") - pl.col("noticed_utc")).dt.total_milliseconds() / 1000
    held = (
        pl.col("returned_utc").fill_null(folder.end) - pl.col("start_utc")
    ).dt.total_milliseconds() / 3_600_000
    recalled = pl.col("noticed_utc").is_not_null() & pl.col("returned_utc").is_not_null()
    pairs = (
        loans.group_by("lender", "borrower")
        .agg(
            pl.len().alias("loans"),
            (pl.col("gpus").cast(pl.Int64) * held).sum().alias("gpu_h"),
            pl.col("noticed_utc").is_not_null().sum().alias("recalled"),
            latency.filter(recalled).max().alias("slowest"),
        )
        .with_columns(pl.col("lender", "borrower").cast(pl.String))
        .sort(["gpu_h", "lender", "borrower"], descending=[True, False, False])
        .collect()
    )
    if pairs.is_empty():
        return Section("loans", "Loans and recalls", lead="Nothing was lent in this run.")
    lenders = [
        name for name in _tenants(folder, list(by_tenant)) if np.nansum(by_tenant[name]["gpus_lent_out"]) > 0
    ]
    lines = [
        Line(f"lent by {words(name)}", f"customer-{i}", by_tenant[name]["gpus_lent_out"])
        for i, name in enumerate(lenders)
    ]
    on_loan = np.sum([np.nan_to_num(columns["gpus_on_loan"]) for columns in by_tenant.values()], axis=0)
    lines.append(Line("on loan, in all", "envelope", on_loan, "thin"))
    caption = (
        f"{number(s.get('loans'))} loans, {number(s.get('recalls'))} recalls. A recalled loan came back after "
        f"{duration(s.get('recall_latency_p50_s'))} (median) and {duration(s.get('recall_latency_p99_s'))} (99th percentile). "
        "Areas are GPUs of a tenant's own entitlement in others' hands; the line counts all borrowed GPUs, so what lies between "
        f"came from the pool that nobody is entitled to. Means over {grid} steps."
    )
    figure = Figure(
        "loans",
        "GPUs lent out, by lender",
        caption,
        over_time(grid, lines, ["GPUs"], decimals=(0, 0)),
        period_table(grid, lines, ["GPUs"], (0, 0)),
    )
    most = 15
    rows = [
        [
            escape(words(str(r["lender"]))),
            escape(words(str(r["borrower"]))),
            number(r["loans"]),
            number(r["gpu_h"]),
            number(r["recalled"]),
            duration(r["slowest"]) if r["recalled"] else DASH,
        ]
        for r in pairs.head(most).to_dicts()
    ]
    shown = (
        f"Showing {len(rows)} of {pairs.height} pairs, by GPU-hours."
        if pairs.height > most
        else "All pairs, by GPU-hours."
    )
    reasons = (
        loans.group_by("reason")
        .agg(pl.len().alias("n"))
        .with_columns(pl.col("reason").cast(pl.String))
        .sort(["n", "reason"], descending=[True, False])
        .collect()
        .to_dicts()
    )
    ended = ", ".join(
        f"{escape(str(r['reason']) if r['reason'] else 'still lent at the end')} {number(r['n'])}"
        for r in reasons
    )
    body = table(
        ["lender", "borrower", "loans", "GPU-hours", "recalled", "slowest return"], rows, right=(2, 3, 4, 5)
    )
    return Section(
        "loans",
        "Loans and recalls",
        parts=[
            figure,
            f'<p class="caption">How loans ended: {ended}. {shown}</p>',
            body,
            recall_part(folder),
        ],
    )
