"""The last day as small charts: power against the envelope, and who used the GPUs. Plain SVG, coloured by the style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

WIDTH, HEIGHT = 1000.0, 200.0
"""Size of the drawing; it is stretched to its place, lines keep their width."""
MOST_POINTS = 288
"""Points of a line; more ticks are averaged [of five minutes over a day]."""
HOURS = 4
"""Hours between two marks of the time axis."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The site in one tick, or on average over several."""

    at_utc: datetime
    site_power_mw: float
    it_power_mw: float
    envelope_mw: float
    gpus: tuple[float, float, float]
    """Firm, assured, lent."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its scale.

    Attributes
    ----------
    title : what it shows
    unit : of its values
    drawing : SVG
    top : value at its upper edge
    hours : share of the width, from the left, and text of each mark of the time axis
    keys : class and name of each line or area
    summary : the same in a sentence

    """

    title: str
    unit: str
    drawing: Markup
    top: float
    hours: tuple[tuple[float, str], ...]
    keys: tuple[tuple[str, str], ...]
    summary: str


def thinned(ticks: Sequence[Tick], most: int = MOST_POINTS) -> list[Tick]:
    """Average neighbours until no more than `most` are left."""
    group = math.ceil(len(ticks) / most) if ticks else 1
    parts = [ticks[start : start + group] for start in range(0, len(ticks), group)]
    return [_mean(part) for part in parts]


def _mean(part: Sequence[Tick]) -> Tick:
    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    return Tick(
        part[0].at_utc,
        mean([one.site_power_mw for one in part]),
        mean([one.it_power_mw for one in part]),
        mean([one.envelope_mw for one in part]),
        (
            mean([one.gpus[0] for one in part]),
            mean([one.gpus[1] for one in part]),
            mean([one.gpus[2] for one in part]),
        ),
    )


def charts(ticks: Sequence[Tick], installed: float | None, zone: ZoneInfo) -> tuple[Chart, ...]:
    """Draw the day; nothing where there are fewer than two ticks."""
    points = thinned(ticks)
    if len(points) < 2:
        return ()
    first, last = points[0].at_utc, points[-1].at_utc
    across = [(one.at_utc - first) / (last - first) * WIDTH for one in points]
    return (_power(points, across, zone), _gpus(points, across, installed, zone))


def _power(points: Sequence[Tick], across: Sequence[float], zone: ZoneInfo) -> Chart:
    site, computers, envelope = (
        [one.site_power_mw for one in points],
        [one.it_power_mw for one in points],
        [one.envelope_mw for one in points],
    )
    top = nice(max(*site, *envelope))
    drawing = _svg(
        [
            _area("it", across, computers, [0.0] * len(points), top),
            _area("cooling", across, site, computers, top),
            _line("envelope", across, envelope, top, steps=True),
        ]
    )
    return Chart(
        "Power",
        "MW",
        drawing,
        top,
        _marks(points, zone),
        (("it", "computers"), ("cooling", "rest of the site"), ("envelope line", "envelope")),
        f"Site power over the last day: {min(site):.1f} to {max(site):.1f} MW, now {site[-1]:.1f} MW; envelope now "
        f"{envelope[-1]:.1f} MW.",
    )


def _gpus(points: Sequence[Tick], across: Sequence[float], installed: float | None, zone: ZoneInfo) -> Chart:
    stacked = [[0.0] * len(points)]
    for tier in range(3):
        stacked.append([below + one.gpus[tier] for below, one in zip(stacked[-1], points, strict=True)])
    top = nice(max(*stacked[-1], installed or 0.0, 1.0))
    areas = [
        _area(name, across, stacked[i + 1], stacked[i], top)
        for i, name in enumerate(("firm", "assured", "lent"))
    ]
    firm, assured, lent = points[-1].gpus
    return Chart(
        "GPUs by tier",
        "GPUs",
        _svg(areas),
        top,
        _marks(points, zone),
        (("firm", "firm"), ("assured", "assured"), ("lent", "lent")),
        f"GPUs in use, now: {firm:.0f} firm, {assured:.0f} assured, {lent:.0f} lent.",
    )


def nice(value: float) -> float:
    """Round a largest value up to a scale that reads well.

    >>> nice(1.51), nice(97_000), nice(0)
    (2.0, 100000.0, 1.0)
    """
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(
        step * size
        for step in (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
        if step * size >= value
    )


def _marks(points: Sequence[Tick], zone: ZoneInfo) -> tuple[tuple[float, str], ...]:
    """Place whole hours of the site's clock on the time axis."""
    first, last = points[0].at_utc, points[-1].at_utc
    hour = first.astimezone(zone).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    marks = []
    while hour <= last:
        if hour.astimezone(zone).hour % HOURS == 0:
            marks.append((round((hour - first) / (last - first), 4), f"{hour.astimezone(zone):%H:%M}"))
        hour += timedelta(hours=1)
    return tuple(marks)


def _svg(parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="plot" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(WIDTH, HEIGHT, Markup().join(parts))


def _down(value: float, top: float) -> float:
    return HEIGHT * (1.0 - min(value, top) / top)


def _area(
    kind: str, across: Sequence[float], upper: Sequence[float], lower: Sequence[float], top: float
) -> Markup:
    there = [f"{x:.1f},{_down(y, top):.1f}" for x, y in zip(across, upper, strict=True)]
    back = [f"{x:.1f},{_down(y, top):.1f}" for x, y in zip(reversed(across), reversed(lower), strict=True)]
    return Markup('<polygon class="{}" points="{}"/>').format(kind, " ".join(there + back))


def _line(kind: str, across: Sequence[float], values: Sequence[float], top: float, *, steps: bool) -> Markup:
    points = []
    for i, (x, y) in enumerate(zip(across, values, strict=True)):
        if steps and i:
            points.append(f"{x:.1f},{_down(values[i - 1], top):.1f}")
        points.append(f"{x:.1f},{_down(y, top):.1f}")
    return Markup('<polyline class="{}" points="{}"/>').format(kind, " ".join(points))
