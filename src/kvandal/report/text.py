"""Numbers, times and tables as a person reads them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

THIN = "\u202f"
"""Narrow no-break space between groups of three digits."""
SPACE = "\u00a0"
MINUS = "\u2212"
DASH = "\u2013"
"""Stands where a cell has nothing to say."""
STACKED = frozenset({"sources", "inputs", "parameters", "indicators", "faults", "limits"})
"""Tables whose rows become small lists on a phone."""
NOT_KNOWN = '<span class="unknown">not known</span>'

escape = html.escape


def number(value: float | Decimal | None, decimals: int = 0) -> str:
    """Write a number with groups of three digits; None is "not known", never 0."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_KNOWN
    text = f"{abs(value):,.{decimals}f}".replace(",", THIN)
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return f"{MINUS}{text}" if negative else text


def significant(value: float | None, digits: int = 4) -> str:
    """Write a number with about `digits` significant digits and no exponent where it can be avoided."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4:
        mantissa = value / 10.0**magnitude
        return f"{number(mantissa, 1)} \u00d7 10<sup>{MINUS}{-magnitude}</sup>"
    text = number(value, max(0, digits - 1 - magnitude))
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float | Decimal | None, unit: str, decimals: int = 0) -> str:
    """Write a number with its unit."""
    text = number(value, decimals)
    return text if text == NOT_KNOWN or not unit else f"{text}{SPACE}{unit}"


def amount(value: float | None, unit: str) -> str:
    """Write a number with its unit, with as many decimals as its size asks for."""
    size = abs(value) if value is not None and math.isfinite(value) else 0.0
    if value is not None and size < 0.0005 and math.isfinite(value):
        return quantity(0, unit)
    return quantity(value, unit, 1 if size >= 10 or size == 0 else 2 if size >= 1 else 3)


def percent(share: float | None, decimals: int = 1) -> str:
    """Write a share of 1 in percent."""
    return quantity(None if share is None else share * 100, "%", decimals)


def duration(seconds: float | None) -> str:
    """Write a time span in the unit that fits it."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_KNOWN
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= 120):
            return quantity(seconds / size, unit, 1)
    return quantity(seconds, "s", 0 if seconds >= 10 or seconds == int(seconds) else 1)


def stamp(time: datetime | None) -> str:
    """Write an instant in UTC."""
    return NOT_KNOWN if time is None else f"{day(time.astimezone(UTC))} {time.astimezone(UTC):%H:%M}"


def day(time: datetime) -> str:
    """Write a day."""
    return f"{time.day} {time:%b %Y}"


def exact(value: Decimal | None) -> str:
    """Write a sum of money with every digit that the tables hold; those after the cents are muted."""
    if value is None:
        return NOT_KNOWN
    text = f"{abs(value):,f}".replace(",", THIN)
    whole, _, part = text.partition(".")
    sign = MINUS if value < 0 else ""
    if not part:
        return f"{sign}{whole}"
    muted = f'<span class="fraction">{part[2:]}</span>' if part[2:] else ""
    return f"{sign}{whole}.{part[:2]}{muted}"


def plain(value: Any) -> str:
    """Write any JSON value for a table cell, escaped; None is "not known"."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    if isinstance(value, dict):
        return "<br>".join(f"{escape(str(k))}: {plain(v)}" for k, v in value.items()) or "none"
    return escape(str(value))


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    total: Sequence[str] | None = None,
    kind: str = "",
) -> str:
    """Write a table whose cells are HTML already; columns `right` hold numbers."""
    numeric = set(right)
    plain_heads = [re.sub(r"<[^>]*>", "", head) for head in heads]

    def line(cells: Sequence[str], tag: str) -> str:
        out = []
        for i, cell in enumerate(cells):
            style = ' class="n"' if i in numeric else ""
            named = f' data-head="{plain_heads[i]}"' if kind in STACKED and tag == "td" else ""
            out.append(f"<{tag}{style}{named}>{cell}</{tag}>")
        return "<tr>" + "".join(out) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    foot = "" if total is None else f"<tfoot>{line(total, 'td')}</tfoot>"
    style = f' class="{kind}"' if kind else ""
    return f'<div class="scroll"><table{style}><thead>{line(heads, "th")}</thead><tbody>{body}</tbody>{foot}</table></div>'


def fold(summary: str, body: str, *, opened: bool = False, kind: str = "") -> str:
    """Write a part that a reader unfolds."""
    style = f' class="{kind}"' if kind else ""
    return f"<details{style}{' open' if opened else ''}><summary>{summary}</summary>{body}</details>"


def formula(text: str) -> str:
    """Write a formula with its indices set low."""
    return re.sub(r"_([A-Za-z0-9-]+)", r"<sub>\1</sub>", escape(text))


def words(key: str) -> str:
    """Turn an identifier into words."""
    plain_words = key.replace("_", " ").replace("-", " ")
    return re.sub(r"\b(gpu|cdu|ups|hv)(s?)\b", lambda found: found[1].upper() + found[2], plain_words)
