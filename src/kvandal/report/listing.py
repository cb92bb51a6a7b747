"""Pages of lines in chapters: statements and forms. Each opens offline and prints well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from kvandal.report.text import MINUS, THIN

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1c2733;background:#fff}"
    "h1{margin-bottom:.2rem}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #d5dce3;padding:.3rem .6rem .3rem 0;"
    "text-align:left;vertical-align:top}td:first-child{width:38%}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;width:20%}td.u{white-space:nowrap;width:12%}"
    "td.note,.period{color:#5a6673}tr.sum td{font-weight:600}.missing{color:#a33}a{color:#0b6e99}"
    "@media(max-width:40rem){tr{display:grid;grid-template-columns:1fr auto auto;border-bottom:1px solid #d5dce3}"
    "td,td.n,td.u,td:first-child{border:0;width:auto}td.note{grid-column:1/-1;padding-top:0}td.note:empty{display:none}}"
    "@media(prefers-color-scheme:dark){body{background:#11161c;color:#dde5ec}td,th{border-color:#2c3742}"
    "td.note,.period{color:#93a1af}.missing{color:#f08a8a}a{color:#6cc1e8}}"
    "@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}"
)
LARGE, SMALL = 1000.0, 1e-3
MONEY = frozenset({"EUR", "USD", "NOK"})
"""Units of which two decimals are shown."""


def written(amount: float | None, unit: str, *, rough: bool = False) -> str:
    r"""Write an amount as a person reads it: money to the cent (or euro), the rest with about four digits; None is "not known".

    >>> written(1234.5, "EUR"), written(0.05871, "1"), written(None, "s")
    ('1\u202f234.50', '0.05871', 'not known')
    """
    if amount is None:
        return "not known"
    if unit in MONEY:
        text = f"{abs(amount):,.{0 if rough else 2}f}"
    elif abs(amount) >= LARGE or amount == int(amount):
        text = f"{abs(amount):,.0f}"
    else:
        text = f"{abs(amount):.4g}" if abs(amount) >= SMALL else f"{abs(amount):.2e}"
    return (MINUS if amount < 0 else "") + text.replace(",", THIN)


def listing_page(title: str, note: str, items: Sequence[Mapping[str, Any]]) -> str:
    """Return a page of lines with `chapter`, `what`, `amount`, `unit`, `note`, and a range from `low` to `high`."""
    chapters: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        chapters.setdefault(item["chapter"], []).append(item)
    body = "".join(
        f"<h2>{escape(chapter)}</h2><table>{''.join(map(_row, lines))}</table>"
        for chapter, lines in chapters.items()
    )
    return _page(title, f'<p class="period">{escape(note)}</p>{body}')


def _row(item: Mapping[str, Any]) -> str:
    amount, unit = item["amount"], "" if item["unit"] == "1" else item["unit"]
    spread, rough = "", item["low"] is not None
    if item["low"] is not None and item["low"] != item["high"]:
        spread = " to ".join(written(item[end], item["unit"], rough=True) for end in ("low", "high"))
    note = "; ".join(text for text in (spread, item["note"]) if text)
    kinds = f' class="n{" missing" if amount is None else ""}"'
    total = ' class="sum"' if item["what"] in {"in all", "revenue less expense"} else ""
    return (
        f"<tr{total}><td>{escape(item['what'])}</td><td{kinds}>{written(amount, item['unit'], rough=rough)}</td>"
        f'<td class="u">{escape(unit)}</td><td class="note">{escape(note)}</td></tr>'
    )


def index_page(site: str, links: Iterable[tuple[str, str, str]]) -> str:
    """Return a page that links to others, by period: rows of period, title and place."""
    periods: dict[str, list[str]] = {}
    for period, title, place in links:
        line = f'<li><a href="{escape(place, quote=True)}">{escape(title)}</a></li>'
        periods.setdefault(period, []).append(line)
    body = "".join(f"<h2>{escape(period)}</h2><ul>{''.join(lines)}</ul>" for period, lines in periods.items())
    tables = '<p class="period">All lines: <a href="statements.csv">CSV</a>, <a href="statements.parquet">Parquet</a>.</p>'
    return _page(f"Statements of {site}", tables + body)


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
