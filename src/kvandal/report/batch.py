"""The frame of pages about many members, and what their sections have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from kvandal.report.chart import Figure, Section
from kvandal.report.page import POLICY, asset, embedded
from kvandal.report.text import NOT_KNOWN, duration, escape, fold, number, significant, table

STYLE = (
    ".pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 0 30px; } "
    ".pairs figure { min-width: 0; } .star { color: var(--good); font-weight: 650; } "
    ".verdict { font-size: 15px; max-width: 60em; } td.key, th.key { white-space: nowrap; }"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that is drawn: column of the results, label, unit ("1": none), and 1 if more is better, -1 if less."""

    key: str
    label: str
    unit: str
    better: int

    @property
    def axis(self) -> dict[str, Any]:
        """As a chart takes it."""
        return {"name": self.label, "unit": "" if self.unit == "1" else self.unit, "better": self.better}

    @property
    def head(self) -> str:
        """Head of a column."""
        unit = f" [{self.unit}]" if self.unit not in {"1", "s"} else ""
        return escape(f"{self.label}{unit}")

    def text(self, value: float | None) -> str:
        """Write a value."""
        return duration(value) if self.unit == "s" else significant(value, 5)


def batch_page(
    record: Mapping[str, Any], kind: str, title: str, head: str, sections: Sequence[Section]
) -> str:
    """Put a page together that needs no network and no other file."""
    specs: dict[str, Any] = {}
    for section in sections:
        specs.update(section.specs())
    body = "".join(section.html(place) for place, section in enumerate(sections, start=1))
    contents = "".join(f'<li><a href="#{escape(s.key)}">{escape(s.title)}</a></li>' for s in sections)
    scripts = "".join(
        asset(name) for name in ("palette.js", "charts.js", "floor.js", "tradeoffs.js", "report.js")
    )
    named = escape(title)
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="kvandal {escape(str(record["kvandal_version"]))}">',
            f'<title>{named}</title><link rel="icon" href="data:,">',
            f"<style>\n{asset('report.css')}{STYLE}</style></head>\n<body>",
            '<div id="trouble" role="alert" hidden></div><main>',
            f'<header><p class="kind">{escape(kind)}</p><h1>{named}</h1>{head}</header>',
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>',
            '<noscript><p class="notice">Charts need JavaScript. Every number stands in the tables.</p></noscript>',
            body,
            "</main>\n",
            f'<script type="application/json" id="kvandal-charts">{embedded(specs)}</script>\n',
            f"<script>{asset('trouble.js')}</script>\n<script>{asset('echarts.min.js')}</script>\n",
            f"<script>{scripts}</script>\n</body></html>\n",
        ]
    )


def read_folder(folder: Path, manifest: str, results: str) -> tuple[dict[str, Any], pl.DataFrame]:
    """Read the manifest and the table of a folder."""
    record: dict[str, Any] = json.loads((folder / manifest).read_text(encoding="utf-8"))
    return record, pl.read_parquet(folder / results, glob=False)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """List facts of the head; the values are HTML."""
    listed = "".join(f"<div><dt>{escape(key)}</dt><dd>{text}</dd></div>" for key, text in pairs)
    return f'<dl class="facts">{listed}</dl>'


def refused_notice(refused: Sequence[Mapping[str, Any]], members: int) -> str:
    """Say which members were refused and why; nothing if none were."""
    count = sum(one["members"] for one in refused)
    if not count:
        return ""
    items = "".join(f"<li>{number(one['members'])}: {escape(one['reason'])}</li>" for one in refused[:5])
    more = f"<li>and {number(len(refused) - 5)} more reasons</li>" if len(refused) > 5 else ""
    return (
        f'<div class="notice warning"><b>{number(count)} of {number(members)} members were refused:</b> their scenario is '
        f"impossible. They are missing from all numbers below.<ul>{items}{more}</ul></div>"
    )


def value_text(value: Any) -> str:
    """Write the value of a changed key, as plain text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def mean_and_band(values: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """Mean, P10 and P90 of the values that are known; no band for fewer than two."""
    known = pl.Series([value for value in values if value is not None], dtype=pl.Float64)
    if not len(known):
        return None, None, None
    mean: Any = known.mean()
    if len(known) < 2:
        return float(mean), None, None
    low: Any = known.quantile(0.1, "linear")
    high: Any = known.quantile(0.9, "linear")
    return float(mean), float(low), float(high)


def panels_figure(
    key: str,
    name: str,
    values: Sequence[Any],
    quantities: Sequence[Quantity],
    rows: Sequence[Sequence[tuple[float | None, float | None, float | None]]],
    caption: str,
) -> Figure:
    """Draw what each value of a key comes to, a panel for each quantity, and tabulate the same.

    Parameters
    ----------
    key, name, caption
        Of the figure.
    values
        Of the changed key.
    quantities
        What is drawn.
    rows
        Mean, P10 and P90 by value and quantity.

    """
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    panels = [
        {
            **one.axis,
            "mean": [row[place][0] for row in rows],
            "p10": [row[place][1] for row in rows],
            "p90": [row[place][2] for row in rows],
        }
        for place, one in enumerate(quantities)
        if any(row[place][0] is not None for row in rows)
    ]
    spec = {
        "kind": "panels",
        "key": name,
        "values": [value_text(value) for value in values],
        "places": list(values) if numeric else None,
        "panels": panels,
    }
    body = [
        [
            escape(value_text(value)),
            *(text(one, *cell) for one, cell in zip(quantities, row, strict=True)),
        ]
        for value, row in zip(values, rows, strict=True)
    ]
    shown = table(
        [escape(name), *(one.head for one in quantities)], body, right=range(1, len(quantities) + 1)
    )
    figure = Figure(key, name, caption, spec)
    figure.fallback = shown
    return figure


def text(one: Quantity, mean: float | None, low: float | None, high: float | None) -> str:
    """Write a mean with its band below."""
    if mean is None:
        return NOT_KNOWN
    band = "" if low is None else f"<br><small>{one.text(low)} to {one.text(high)}</small>"
    return f"{one.text(mean)}{band}"


def folded(summary: str, body: str) -> str:
    """Write a part that a reader unfolds."""
    return fold(summary, body)
