"""Figures of the fidelity page: small SVG files, the same bytes on every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = {
    "ours": "#0b5f8a",
    "reference": "#c8462c",
    "second": "#7a5195",
    "third": "#5b8c3a",
    "grey": "#777777",
}
WIDTH, HEIGHT = 920, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 78
FONT = 'font-family="system-ui, sans-serif" font-size="11.5"'


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a panel: a line, or points where `marks` is set; dashed lines tell models of one kind apart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    role: str = "ours"
    marks: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of axes with their series; a `band` of two values is shaded across the whole width."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    band: tuple[float, float] | None = None
    zero: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """One line of a panel of ranges: what is published, from low to high, and what we say."""

    label: str
    low: float
    high: float
    ours: float


@dataclass(frozen=True, slots=True)
class Spans:
    """Published ranges beside our values, one line each."""

    title: str
    x_label: str
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Figure:
    """One or two panels side by side, and the words for those who cannot see them."""

    name: str
    alt: str
    panels: Sequence[Panel | Spans]

    def svg(self) -> str:
        """Draw the figure."""
        wide = WIDTH / len(self.panels)
        body = [_panel(panel, i * wide, wide) for i, panel in enumerate(self.panels)]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" role="img" aria-label="{escape(self.alt)}" {FONT}>\n'
            f"<title>{escape(self.alt)}</title>\n"
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
        )


@dataclass(slots=True)
class _Axis:
    low: float
    high: float
    start: float
    length: float
    ticks: list[float] = field(default_factory=list)
    step: float = 1.0

    def __post_init__(self) -> None:
        span = self.high - self.low or abs(self.high) or 1.0
        raw = span / 5
        power = 10.0 ** math.floor(math.log10(raw))
        self.step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        self.ticks = [i * self.step for i in range(first, last + 1)]

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * self.length

    def label(self, value: float) -> str:
        places = max(0, -math.floor(math.log10(self.step) + 1e-9))
        return f"{0.0 if abs(value) < self.step / 1e6 else value:.{places}f}".replace("-", "\u2212")


def _text(x: float, y: float, words: str, anchor: str = "middle", extra: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222222"{extra}>{escape(words)}</text>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, colour: str = "#e2e2e2", width: float = 1.0) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _limits(values: Sequence[float], zero: bool) -> tuple[float, float]:
    finite = [v for v in values if math.isfinite(v)] + ([0.0] if zero else [])
    low, high = min(finite), max(finite)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _panel(panel: Panel | Spans, left: float, wide: float) -> str:
    return _spans(panel, left, wide) if isinstance(panel, Spans) else _axes(panel, left, wide)


def _axes(panel: Panel, left: float, wide: float) -> str:
    x0, x1, y0, y1 = left + LEFT, left + wide - RIGHT, HEIGHT - BOTTOM, TOP
    xs = [float(v) for series in panel.series for v in series.x]
    ys = [float(v) for series in panel.series for v in series.y] + list(panel.band or ())
    across = _Axis(min(xs), max(xs), x0, x1 - x0)
    upwards = _Axis(*_limits(ys, panel.zero), y0, y1 - y0)
    out = [_text((x0 + x1) / 2, 18, panel.title, extra=' font-weight="600"')]
    if panel.band:
        high, low = upwards.at(panel.band[1]), upwards.at(panel.band[0])
        out.append(
            f'<rect x="{x0:.1f}" y="{high:.1f}" width="{x1 - x0:.1f}" height="{low - high:.1f}" fill="#f6e3de"/>'
        )
    out += [_line(across.at(t), y0, across.at(t), y1) for t in across.ticks]
    out += [_line(x0, upwards.at(t), x1, upwards.at(t)) for t in upwards.ticks]
    if upwards.low < 0 < upwards.high:
        out.append(_line(x0, upwards.at(0.0), x1, upwards.at(0.0), "#888888"))
    out += [_text(across.at(t), y0 + 16, across.label(t)) for t in across.ticks]
    out += [_text(x0 - 6, upwards.at(t) + 4, upwards.label(t), "end") for t in upwards.ticks]
    out.append(_text((x0 + x1) / 2, y0 + 33, panel.x_label))
    turn = f' transform="rotate(-90 {left + 14:.1f} {(y0 + y1) / 2:.1f})"'
    out.append(_text(left + 14, (y0 + y1) / 2, panel.y_label, extra=turn))
    key_x = x0
    for i, series in enumerate(panel.series):
        out.append(_drawn(series, across, upwards))
        if not series.name:  # said by another series
            continue
        row, key_x = (0, key_x) if i < 3 else (1, x0 if i == 3 else key_x)
        key_y = y0 + 52 + 17 * row
        out.append(_key(series, key_x, key_y))
        key_x += 34 + 6.0 * len(series.name)
    return "\n".join(out)


def _style(series: Series) -> str:
    dash = ' stroke-dasharray="6 4"' if series.dashed else ""
    return f'fill="none" stroke="{COLOURS[series.role]}" stroke-width="2"{dash}'


def _drawn(series: Series, across: _Axis, upwards: _Axis) -> str:
    places = [
        (across.at(float(x)), upwards.at(float(y)))
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(float(y))
    ]
    if series.marks:
        colour = COLOURS[series.role]
        return "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#ffffff" stroke="{colour}" stroke-width="1.6"/>'
            for x, y in places
        )
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" {_style(series)}/>'


def _key(series: Series, x: float, y: float) -> str:
    if series.marks:
        shape = f'<circle cx="{x + 10:.1f}" cy="{y - 4:.1f}" r="3" fill="#ffffff" stroke="{COLOURS[series.role]}" stroke-width="1.6"/>'
    else:
        shape = f'<polyline points="{x:.1f},{y - 4:.1f} {x + 20:.1f},{y - 4:.1f}" {_style(series)}/>'
    return shape + _text(x + 24, y, series.name, "start")


def _spans(panel: Spans, left: float, wide: float) -> str:
    x0, x1, y0, y1 = left + 0.43 * wide, left + wide - RIGHT - 8, HEIGHT - BOTTOM, TOP
    across = _Axis(
        *_limits([v for s in panel.spans for v in (s.low, s.high, s.ours)], zero=False), x0, x1 - x0
    )
    out = [_text((left + x1) / 2, 18, panel.title, extra=' font-weight="600"')]
    out += [_line(across.at(t), y0, across.at(t), y1) for t in across.ticks]
    out += [_text(across.at(t), y0 + 16, across.label(t)) for t in across.ticks]
    out.append(_text((x0 + x1) / 2, y0 + 33, panel.x_label))
    step = (y0 - y1) / len(panel.spans)
    for i, span in enumerate(panel.spans):
        y = y1 + (i + 0.5) * step
        low, high, ours = across.at(span.low), across.at(span.high), across.at(span.ours)
        out.append(_text(x0 - 8, y + 4, span.label, "end"))
        out.append(
            f'<rect x="{low - 3:.1f}" y="{y - 8:.1f}" width="{high - low + 6:.1f}" height="16" rx="3" '
            f'fill="{COLOURS["reference"]}" fill-opacity="0.35"/>'
        )
        out.append(f'<circle cx="{ours:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS["ours"]}"/>')
    out.append(
        f'<rect x="{x0:.1f}" y="{y0 + 44:.1f}" width="20" height="10" rx="3" fill="{COLOURS["reference"]}" fill-opacity="0.35"/>'
    )
    out.append(_text(x0 + 26, y0 + 53, "published", "start"))
    out.append(f'<circle cx="{x0 + 108:.1f}" cy="{y0 + 49:.1f}" r="4.5" fill="{COLOURS["ours"]}"/>')
    out.append(_text(x0 + 118, y0 + 53, "ours", "start"))
    return "\n".join(out)
