"""Charts as handed to the page: what is drawn is data; how it is drawn lives in the assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kvandal.report.grid import Floats, Grid, rounded
from kvandal.report.text import escape, fold, number, table


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time.

    Attributes
    ----------
    role : colour, a key of the palette in ``charts.js``
    style : ``area`` (stacked), ``below`` (stacked downwards), ``line``, ``dashed``, ``thin``, ``step``, ``dashed-step``

    """

    name: str
    role: str
    values: Floats
    style: str = "area"
    axis: int = 0


@dataclass(slots=True)
class Figure:
    """A chart with its title, caption and the same numbers as a table."""

    key: str
    title: str
    caption: str
    spec: dict[str, Any]
    fallback: str = ""
    controls: str = ""

    def html(self) -> str:
        """Write the figure; the page draws the chart into it."""
        name = escape(self.key)
        shown = fold("These numbers as a table", self.fallback, kind="numbers") if self.fallback else ""
        return (
            f'<figure id="figure-{name}" role="group" aria-label="{escape(self.title)}">'
            f"<h3>{escape(self.title)}</h3>"
            f'<figcaption id="caption-{name}">{self.caption}</figcaption>{self.controls}'
            f'<div class="keys" id="keys-{name}"></div>'
            f'<div class="chart {escape(str(self.spec.get("kind", "")))}" id="chart-{name}" data-chart="{name}" role="img" '
            f'aria-label="{escape(self.title)}" aria-describedby="caption-{name}"></div>'
            f"{shown}</figure>"
        )


@dataclass(slots=True)
class Section:
    """One numbered part of the page."""

    key: str
    title: str
    lead: str = ""
    parts: list[str | Figure] = field(default_factory=list)

    def html(self, place: int) -> str:
        """Write the section under its number."""
        body = "".join(part.html() if isinstance(part, Figure) else part for part in self.parts)
        lead = f'<p class="lead">{self.lead}</p>' if self.lead else ""
        return f'<section id="{escape(self.key)}"><h2><span class="place">{place}</span>{escape(self.title)}</h2>{lead}{body}</section>'

    def specs(self) -> dict[str, dict[str, Any]]:
        """Charts of this section by key."""
        return {part.key: part.spec for part in self.parts if isinstance(part, Figure)}


def over_time(
    grid: Grid,
    lines: Sequence[Line],
    units: Sequence[str],
    *,
    decimals: Sequence[int] = (3, 2),
    marks: Sequence[tuple[str, float]] = (),
    from_zero: Sequence[bool] = (True, True),
) -> dict[str, Any]:
    """Describe a chart over time: stacked areas and lines on one or two axes."""
    series = []
    for line in lines:
        places = decimals[line.axis]
        entry: dict[str, Any] = {
            "name": line.name,
            "role": line.role,
            "style": line.style,
            "axis": line.axis,
            "values": rounded(line.values, places),
        }
        series.append(entry)
    return {
        "kind": "time",
        "start": int(grid.start.timestamp() * 1000),
        "step": grid.step_s * 1000,
        "units": list(units),
        "decimals": list(decimals[: len(units)]),
        "zero": list(from_zero[: len(units)]),
        "series": series,
        "marks": [{"name": name, "value": value} for name, value in marks],
    }


def period_table(
    grid: Grid, lines: Sequence[Line], unit_of: Sequence[str], decimals: Sequence[int] = (1, 1)
) -> str:
    """Tabulate the mean of each series by calendar period."""
    heads = ["mean over"] + [f"{escape(line.name)} [{escape(unit_of[line.axis])}]" for line in lines]
    rows = []
    for name, first, after in grid.period_edges():
        cells = [name]
        for line in lines:
            part = line.values[first:after]
            known = part[np.isfinite(part)]
            cells.append(number(float(known.mean()) if known.size else None, decimals[line.axis]))
        rows.append(cells)
    return table(heads, rows, right=range(1, len(heads)))
