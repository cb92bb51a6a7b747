"""What `kvandal show RUN --goodput` prints: what became of the allocated GPU-hours, by tenant, size of job and cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvandal.cli.options import emit, number, print_table

LEFT, RIGHT = "left", "right"


def goodput_document(folder: Path) -> dict[str, Any]:
    """Read the jobs of a run: `tenants`, `sizes` (lists of rows) and `interruptions` (by cause)."""
    from kvandal.report import goodput
    from kvandal.report.folder import RunFolder

    jobs = RunFolder(folder).scan("jobs", goodput.COLUMNS, texts=False)
    return {
        "tenants": goodput.by_tenant(jobs).to_dicts(),
        "sizes": goodput.by_size(jobs).to_dicts(),
        "interruptions": goodput.interruptions(jobs),
    }


def print_goodput(title: str, document: dict[str, Any]) -> None:
    """Print the document as tables."""
    from kvandal.report.goodput import LOSSES

    print_table(
        f"{title}: GPU-hours by tenant and cause of loss",
        [
            ("tenant", LEFT),
            ("allocated", RIGHT),
            ("useful", RIGHT),
            *((cause, RIGHT) for cause in LOSSES),
            ("restart after recall", RIGHT),
            ("goodput", RIGHT),
        ],
        [
            (
                row["tenant"],
                number(row["gpu_hours_allocated"]),
                number(row["gpu_hours_useful"]),
                *(number(row[f"gpu_hours_lost_{cause}"]) for cause in LOSSES),
                number(row["gpu_hours_restart_recall"]),
                _share(row["goodput"]),
            )
            for row in document["tenants"]
        ],
    )
    emit("")
    print_table(
        "Useful share of the time in which jobs ran (ETTR), by size of job",
        [
            ("GPUs", LEFT),
            ("jobs", RIGHT),
            ("hours running", RIGHT),
            ("ETTR", RIGHT),
            ("goodput", RIGHT),
            ("failures", RIGHT),
            ("GPU-h per failure", RIGHT),
        ],
        [
            (
                row["size"],
                number(row["jobs"]),
                number(row["hours_running"]),
                _share(row["ettr"]),
                _share(row["goodput"]),
                number(row["failures"]),
                number(row["gpu_hours_per_failure"]),
            )
            for row in document["sizes"]
        ],
    )
    emit("")
    print_table(
        "Interruptions",
        [("cause", LEFT), ("interruptions", RIGHT)],
        [(cause, number(count)) for cause, count in document["interruptions"].items()],
    )


def _share(value: float | None) -> str:
    return number(None) if value is None else f"{value:.4f}"
