"""What `kvandal show RUN --grants` prints: the books of every grant, period by period, and who was turned away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvandal.cli.options import emit, number, print_table

LEFT, RIGHT = "left", "right"
DASH = "-"
BOOKS = (
    "granted", "carried_in", "spent", "committed", "left", "carried_out", "expired", "withdrawn",
)  # fmt: skip
MOST = 20
"""Jobs listed at most."""


def grants_document(folder: Path) -> dict[str, Any]:
    """Read the books of a run's grants in GPU-hours: `grants` by period, and `turned_away`: jobs and the numbers why."""
    import polars as pl

    from kvandal.report.folder import RunFolder

    run = RunFolder(folder)
    columns = ["grant", "tenant", "period", "start_utc", "end_utc", *(f"gpu_s_{name}" for name in BOOKS)]
    books = run.table("grants", columns).with_columns(
        pl.col("start_utc", "end_utc").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        *((pl.col(f"gpu_s_{name}") / 3600).alias(f"{name}_gpu_h") for name in BOOKS),
    )
    turned = run.scan(
        "jobs", ["job", "tenant", "demand", "gpus", "state", "refused_rule", "refused_text"]
    ).filter(pl.col("refused_rule").is_not_null())
    return {
        "grants": books.drop(f"gpu_s_{name}" for name in BOOKS).to_dicts(),
        "turned_away": turned.collect().to_dicts(),
    }


def print_grants(title: str, document: dict[str, Any]) -> None:
    """Print the document as tables."""
    books, turned = document["grants"], document["turned_away"]
    if not books:
        emit(f"{title}: no grants")
        return
    print_table(
        f"{title}: grants in GPU-hours",
        [("grant", LEFT), ("tenant", LEFT), ("from UTC", LEFT), ("until UTC", LEFT)]
        + [(name.replace("_", " "), RIGHT) for name in BOOKS],
        [
            (
                row["grant"],
                row["tenant"],
                row["start_utc"][:16].replace("T", " "),
                row["end_utc"][:16].replace("T", " "),
                *(number(row[f"{name}_gpu_h"]) for name in BOOKS),
            )
            for row in books
        ],
    )
    if not turned:
        return
    emit("")
    more = f"; the first {MOST} of {len(turned):,}" if len(turned) > MOST else ""
    print_table(
        f"Jobs refused or stopped by a rule{more}",
        [("job", RIGHT), ("tenant", LEFT), ("class", LEFT), ("GPUs", RIGHT), ("rule", LEFT), ("why", LEFT)],
        [
            (
                f"{row['job']:,}",
                row["tenant"],
                row["demand"],
                f"{row['gpus']:,}",
                f"{row['refused_rule']} {row['state']}",
                row["refused_text"] or DASH,
            )
            for row in turned[:MOST]
        ],
    )
