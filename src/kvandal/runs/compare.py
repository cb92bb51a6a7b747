"""Two runs side by side."""

from __future__ import annotations

from typing import Any

from kvandal.runs.run import Run


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


def compare_summaries(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of ``{name, one, other, difference, relative}``; None where a side does not know a number.

    >>> compare_summaries({"pue": 1.0}, {"pue": 1.25})
    [{'name': 'pue', 'one': 1.0, 'other': 1.25, 'difference': 0.25, 'relative': 0.25}]
    """
    left, right = flatten(one), flatten(other)
    rows = []
    for name in dict.fromkeys([*left, *right]):
        a, b = left.get(name), right.get(name)
        if not (_is_number(a) and _is_number(b)):
            continue
        difference = relative = None
        if a is not None and b is not None:
            difference = b - a
            relative = difference / abs(a) if a else (0.0 if b == a else None)
        rows.append({"name": name, "one": a, "other": b, "difference": difference, "relative": relative})
    return rows


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def compare(one: Run, other: Run) -> list[dict[str, Any]]:
    """Compare the summaries of two runs (see :func:`compare_summaries`)."""
    return compare_summaries(one.summary, other.summary)
