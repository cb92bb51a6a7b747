"""Runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvandal.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence


def flatten(summary: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a summary to one level: ``wait_p50_s.uk``.

    >>> flatten({"pue": 1.08, "wait_p50_s": {"uk": 60.0}})
    {'pue': 1.08, 'wait_p50_s.uk': 60.0}
    """
    flat: dict[str, Any] = {}
    for key, value in summary.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def against_first(values: Sequence[float | None]) -> dict[str, list[Any]]:
    """Values of several runs with their differences from the first, absolute and relative; None where one is not known.

    >>> against_first([2.0, 3.0, None])
    {'values': [2.0, 3.0, None], 'differences': [0.0, 1.0, None], 'relative': [0.0, 0.5, None]}
    """
    first = values[0]
    differences = [None if value is None or first is None else _less(value, first) for value in values]
    relative: list[float | None] = []
    for difference in differences:
        if difference is None or first is None or (first == 0 and difference != 0):
            relative.append(None)
        else:
            relative.append(difference / abs(first) if first else 0.0)
    return {"values": list(values), "differences": differences, "relative": relative}


def _less(value: float, first: float) -> float:
    """Difference; what rounding of sums leaves is none."""
    difference = value - first
    return difference if abs(difference) > 1e-12 * max(abs(value), abs(first)) else 0 * difference


def compare_summaries(*summaries: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of ``{name, values, differences, relative}``, the latter three with an entry for each summary.

    >>> compare_summaries({"pue": 1.0}, {"pue": 1.25})
    [{'name': 'pue', 'values': [1.0, 1.25], 'differences': [0.0, 0.25], 'relative': [0.0, 0.25]}]
    """
    flat = [flatten(summary) for summary in summaries]
    rows = []
    for name in dict.fromkeys(name for one in flat for name in one):
        values = [one.get(name) for one in flat]
        if all(_is_number(value) for value in values):
            rows.append({"name": name, **against_first(values)})
    return rows


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def compare(one: Run, *others: Run) -> list[dict[str, Any]]:
    """Compare the summaries of runs with that of the first (see :func:`compare_summaries`)."""
    return compare_summaries(*(run.summary for run in (one, *others)))
