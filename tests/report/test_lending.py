"""Loans and free room in the report, by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvandal.report import render
from kvandal.report.folder import RunFolder
from kvandal.report.lending import by_pair, fragmentation_sentence, recall_part


def test_loans_by_pair(made_run: Path) -> None:
    """20 GPUs for 4.025 h, back 90 s after notice; 6 GPUs that are still lent after 46 of 48 hours."""
    first, second = by_pair(RunFolder(made_run))
    assert (first["lender"], first["loans"], first["gpu_hours"]) == ("pool", 1, 6 * 46)
    assert (first["still_lent"], first["recalls"], first["recall_latency_p50_s"]) == (1, 0, None)
    assert (second["lender"], second["borrower"], round(second["gpu_hours"], 9)) == ("offtaker", "uk", 80.5)
    assert (second["recalled"], second["recalls"], second["recall_latency_p99_s"]) == (1, 1, 90.0)


def test_the_page_says_how_fast_loans_came_back_and_how_scattered_room_is(
    made_run: Path, changed: Callable[..., Path]
) -> None:
    """What the summary does not know is not said; a lender that recalled nothing is not listed."""
    assert recall_part(RunFolder(made_run)) == fragmentation_sentence(RunFolder(made_run)) == ""

    def edit(document: dict[str, Any]) -> None:
        document["summary"] |= {
            "fragmentation_trays": 0.0421,
            "fragmentation_segments": 0.3,
            "recall_latency_by_lender": {
                "norway-research": {"recalls": 0, "p50_s": None, "p99_s": None},
                "offtaker": {"recalls": 7, "p50_s": 90.0, "p99_s": 300.0},
            },
        }

    folder = changed(edit)
    page = render(folder).replace("\u00a0", " ").replace("\u202f", " ")
    assert "4.2 % lay in trays that others partly used, and 30.0 % in no segment" in page
    part = recall_part(RunFolder(folder)).replace("\u00a0", " ")
    assert "<td>offtaker</td>" in part
    assert "90 s" in part
    assert "5.0 min" in part
    assert "norway" not in part
    assert part.split("<table")[0] in page.replace(" ", " ")
