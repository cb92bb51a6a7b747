"""What `kvandal show RUN --loans` prints: who lent how much to whom, how it ended, how fast it came back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvandal.cli.options import emit, number, print_table

LEFT, RIGHT = "left", "right"
DASH = "-"


def loans_document(folder: Path) -> dict[str, Any]:
    """Read the loans of a run: `loans`, by lender and borrower, and `recall_latency`, by lender."""
    from kvandal.report.folder import RunFolder
    from kvandal.report.lending import by_pair

    run = RunFolder(folder)
    return {"loans": by_pair(run), "recall_latency": run.summary["recall_latency_by_lender"]}


def print_loans(title: str, document: dict[str, Any]) -> None:
    """Print the document as tables."""
    from kvandal.report.lending import REASONS

    if not document["loans"]:
        emit(f"{title}: nothing was lent")
        return
    ends = (*REASONS, "still_lent")
    print_table(
        f"{title}: loans by lender and borrower",
        [
            ("lender", LEFT),
            ("borrower", LEFT),
            ("loans", RIGHT),
            ("GPU-h", RIGHT),
            *((end.replace("_", " "), RIGHT) for end in ends),
        ],
        [
            (
                row["lender"],
                row["borrower"],
                number(row["loans"]),
                number(row["gpu_hours"]),
                *(number(row[end]) if row[end] else DASH for end in ends),
            )
            for row in document["loans"]
        ],
    )
    emit("")
    latency: dict[str, dict[str, Any]] = document["recall_latency"]
    recalled = {name: row for name, row in latency.items() if row["recalls"]}
    if not recalled:
        emit("No loan was called back.")
        return
    print_table(
        "Recalls: time from notice to return",
        [
            ("lender", LEFT),
            ("borrower", LEFT),
            ("given notice", RIGHT),
            ("back after, P50 s", RIGHT),
            ("P99 s", RIGHT),
        ],
        [
            *(
                (name, "all", number(row["recalls"]), _seconds(row["p50_s"]), _seconds(row["p99_s"]))
                for name, row in recalled.items()
            ),
            *(
                (
                    row["lender"],
                    row["borrower"],
                    number(row["recalls"]),
                    _seconds(row["recall_latency_p50_s"]),
                    _seconds(row["recall_latency_p99_s"]),
                )
                for row in document["loans"]
                if row["recalls"]
            ),
        ],
    )


def _seconds(value: float | None) -> str:
    return DASH if value is None else number(value)
