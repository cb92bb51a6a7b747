"""A what-if as one self-contained page: who gains, who loses, by how much and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.page import POLICY, asset, embedded
from kvandal.report.text import (
    DASH,
    MINUS,
    NOT_KNOWN,
    duration,
    escape,
    fold,
    number,
    plain,
    significant,
    table,
    words,
)

DRAWN = (
    "wait_p95_s", "wait_p50_s", "gpu_hours_useful", "goodput", "jobs_not_started", "gpu_hours_borrowed", "recalls_suffered",
)  # fmt: skip
"""Metrics of tenants that are drawn where they change; the tables hold all."""
LOST = "gpu_hours_lost_"
CAUSES = ("broken", "lent", "spot", "cooling", "price", "misc")
"""Colours of the causes of losses, by their place."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ROLES = {1: "useful", -1: "unmet", 0: "it"}
"""Colours of a change for the better, for the worse, and of one that is neither."""
SHOWN_CHANGES = 40

Row = dict[str, Any]


def render_whatif(folder: Path) -> str:
    """Render a folder of `kvandal whatif` as one page that needs no network and no other file."""
    record: dict[str, Any] = json.loads((folder / "whatif.json").read_text(encoding="utf-8"))
    base, variant = RunFolder(folder / "base"), RunFolder(folder / "variant")
    sections = [
        _tenants(record),
        _waits(record, base, variant),
        _losses(record),
        _site(record, base, variant),
        _numbers(record),
        _compared(record),
    ]
    specs: dict[str, Any] = {}
    for section in sections:
        specs.update(section.specs())
    title = escape(f"{record['title']}: what if?")
    body = "".join(section.html(place) for place, section in enumerate(sections, start=1))
    contents = "".join(f'<li><a href="#{escape(s.key)}">{escape(s.title)}</a></li>' for s in sections)
    scripts = "".join(
        asset(name) for name in ("palette.js", "charts.js", "floor.js", "whatif.js", "report.js")
    )
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="kvandal {escape(str(record["kvandal_version"]))}">',
            f'<title>{title}</title><link rel="icon" href="data:,">',
            f"<style>\n{asset('report.css')}</style></head>\n<body>",
            '<div id="trouble" role="alert" hidden></div><main>',
            f'<header><p class="kind">What if</p><h1>{title}</h1>{_head(record)}</header>',
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>',
            '<noscript><p class="notice">Charts need JavaScript. Every number stands in the tables.</p></noscript>',
            body,
            "</main>\n",
            f'<script type="application/json" id="kvandal-charts">{embedded(specs)}</script>\n',
            f"<script>{asset('trouble.js')}</script>\n<script>{asset('echarts.min.js')}</script>\n",
            f"<script>{scripts}</script>\n</body></html>\n",
        ]
    )


def _head(record: dict[str, Any]) -> str:
    seeds = record["seeds"]
    facts = [
        ("Base", f"<code>{escape(record['base'])}</code>"),
        ("Variant", f"<code>{escape(record['variant'])}</code>"),
        (
            "Span",
            f"{number(record['days'])} {'day' if record['days'] == 1 else 'days'} from {escape(record['start_utc'][:16].replace('T', ' '))} UTC",
        ),
        ("Seeds", str(seeds[0]) if len(seeds) == 1 else f"{len(seeds)}, from {seeds[0]} to {seeds[-1]}"),
        ("Kvandal", escape(record["kvandal_version"])),
    ]
    listed = "".join(f"<div><dt>{key}</dt><dd>{text}</dd></div>" for key, text in facts)
    verdict = f"{escape(record['gains_text'])} {escape(record['loses_text'])}"
    return f'<p class="description">{verdict}</p><dl class="facts">{listed}</dl>{_changes(record)}{_notices(record)}'


def _changes(record: dict[str, Any]) -> str:
    rows = [
        [f"<code>{escape(one['key'])}</code>", _plain(one["base"]), _plain(one["variant"])]
        for one in record["changes"]
    ]
    if not rows:
        return '<p class="notice">Nothing is changed: both sides are the same scenario.</p>'
    more = len(rows) - SHOWN_CHANGES
    told = f"<p>and {number(more)} more keys</p>" if more > 0 else ""
    return table(["what is changed", "base", "variant"], rows[:SHOWN_CHANGES], kind="narrow") + told


def _plain(value: Any) -> str:
    return "none" if value is None else plain(value)


def _notices(record: dict[str, Any]) -> str:
    out, shared = [], record["shared"]
    if shared["demand_differs"]:
        out.append(f"<b>Demand differs.</b> {escape('; '.join(shared['demand_differs']))}.")
    if shared["demand_held"]:
        held = escape(", ".join(shared["demand_held"]))
        out.append(
            f"<b>Demand is held to that of the base</b> ({held}): the variant alone would draw other jobs, because its "
            "site cuts large jobs to another size."
        )
    names = {
        "failures": "failures",
        "faults": "faults of the plant",
        "weather": "weather",
        "prices": "prices",
    }
    other = [name for key, name in names.items() if not shared[key]]
    if other:
        out.append(f"<b>The change concerns what is drawn:</b> {', '.join(other)} differ between the sides.")
    if len(record["seeds"]) == 1:
        out.append(
            "<b>One seed:</b> how much of a difference is chance is not known; with --seeds 5 it has an interval."
        )
    out += [f"<b>Warning.</b> {escape(text)}" for text in record["warnings"]]
    return "".join(f'<div class="notice">{text}</div>' for text in out)


def _metrics(record: dict[str, Any], of: str) -> dict[str, Row]:
    return {one["key"]: one for one in record["metrics"] if one["of"] == of}


def _is_change(row: Row) -> bool:
    if row["difference"] is None:
        return (row["base"] is None) != (row["variant"] is None)
    return bool(row["difference"] != 0)


def _sure(record: dict[str, Any], row: Row) -> bool:
    if row["low"] is None:
        return len(record["seeds"]) == 1
    return bool(row["low"] > 0 or row["high"] < 0)


def _bar(record: dict[str, Any], name: str, row: Row, better: int, scale: float = 1.0) -> Row:
    """Describe one bar of a chart of differences."""
    gap = row["difference"]
    sign = 0 if not gap else better if gap > 0 else -better
    ends = {key: None if row[key] is None else row[key] * scale for key in ("low", "high")}
    return {
        "name": name, "role": ROLES[sign], "value": None if gap is None else gap * scale, **ends, "sure": _sure(record, row),
        "base": row["base"], "variant": row["variant"], "unit": _unit(row["unit"]),
    }  # fmt: skip


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _tenants(record: dict[str, Any]) -> Section:
    found = {(row["tenant"], row["metric"]): row for row in record["rows"]}
    names = [one["name"] for one in record["tenants"]]
    metrics = _metrics(record, "tenant")
    parts: list[str | Figure] = []
    for key in DRAWN:
        rows = [found[name, key] for name in names] if key in metrics else []
        if not any(row["difference"] for row in rows):
            continue
        metric = metrics[key]
        bars = [_bar(record, words(row["tenant"]), row, metric["better"]) for row in rows]
        spec = {"kind": "deltas", "unit": _unit(metric["unit"]), "rows": bars}
        label = metric["label"][:1].upper() + metric["label"][1:]
        parts.append(
            Figure(
                f"delta-{key}",
                label,
                _caption(record, metric["better"]),
                spec,
                _table(record, rows, by_tenant=True),
            )
        )
    if not parts:
        parts.append("<p>No number of any tenant changed.</p>")
    lead = "Variant less base, tenant by tenant. Numbers that did not change for anybody are not drawn."
    return Section("tenants", "Who gains, who loses", lead, parts)


def _caption(record: dict[str, Any], better: int) -> str:
    colour = {
        1: "Green: more, for the better; red: less.",
        -1: "Green: less, for the better; red: more.",
        0: "",
    }[better]
    if len(record["seeds"]) == 1:
        return f"{colour} One seed."
    return (
        f"{colour} Mean over {len(record['seeds'])} seeds; the line is the {100 * record['confidence']:g}\u00a0% interval of the "
        "paired difference, and a bar is pale where that holds zero or is not known."
    )


def _waits(record: dict[str, Any], base: RunFolder, variant: RunFolder) -> Section:
    sides = [_wait_quantiles(folder) for folder in (base, variant)]
    boxes: list[Row] = []
    unstarted: list[str] = []
    for one in record["tenants"]:
        name = one["name"]
        for side, quantiles in zip(("base", "changed"), sides, strict=True):
            if name in quantiles:
                colour = "misc" if side == "base" else one["tier"]
                boxes.append({"name": f"{words(name)}, {side}", "tier": colour, "q": quantiles[name]})
            else:
                unstarted.append(f"{words(name)}, {side}")
    silent = f" No job started: {escape('; '.join(unstarted))}." if unstarted else ""
    figure = Figure(
        "waits",
        "Wait from submission to first start",
        f"Started jobs of seed {record['seeds'][0]}, on a logarithmic scale (waits below a second stand at 1 s): the box holds the "
        f"middle half, its line is the median, the whiskers reach from the 5th to the 95th percentile. Grey: base.{silent}",
        {"kind": "boxes", "boxes": boxes},
        table(
            ["", *(f"P{100 * share:g}" for share in QUANTILES)],
            [[escape(box["name"]), *(duration(value) for value in box["q"])] for box in boxes],
            right=range(1, 6),
        ),
    )
    return Section("waits-section", "Waits", parts=[figure])


def _wait_quantiles(folder: RunFolder) -> dict[str, list[float]]:
    """Quantiles of the waits of started jobs, by tenant [s]."""
    wait = pl.col("wait_s").cast(pl.Float64)
    found = (
        folder.scan("jobs", ["tenant", "wait_s"])
        .filter(pl.col("wait_s").is_not_null())
        .group_by("tenant")
        .agg(wait.quantile(share, "linear").alias(str(share)) for share in QUANTILES)
        .collect()
    )
    return {row["tenant"]: [round(row[str(share)], 1) for share in QUANTILES] for row in found.to_dicts()}


def _losses(record: dict[str, Any]) -> Section:
    found = {(row["tenant"], row["metric"]): row for row in record["rows"]}
    causes = {key: one for key, one in _metrics(record, "tenant").items() if key.startswith(LOST)}
    names = [one["name"] for one in record["tenants"]]
    series = [
        {"name": words(key.removeprefix(LOST)), "role": CAUSES[place % len(CAUSES)], "values": values}
        for place, key in enumerate(causes)
        if any(values := [found[name, key]["difference"] for name in names])
    ]
    if not series:
        return Section("losses", "Lost GPU-hours", parts=["<p>No loss of any tenant changed.</p>"])
    spec = {
        "kind": "shifts",
        "unit": "GPU-h",
        "series": series,
        "rows": [{"name": words(name)} for name in names],
    }
    rows = [found[name, key] for name in names for key in causes if _is_change(found[name, key])]
    figure = Figure(
        "losses",
        "Lost GPU-hours by cause, variant less base",
        "Right of zero more is lost than in the base, left of it less. Allocated and not useful: work lost to failures, recalls "
        "and sheds, time spent on checkpoints and restarts.",
        spec,
        _table(record, rows, by_tenant=True),
    )
    return Section("losses-section", "Lost GPU-hours", parts=[figure])


def _site(record: dict[str, Any], base: RunFolder, variant: RunFolder) -> Section:
    metrics = _metrics(record, "site")
    rows = [row for row in record["rows"] if row["tenant"] is None]
    moved = [row for row in rows if row["relative"] and row["base"]]
    parts: list[str | Figure] = []
    if moved:
        bars = [
            _bar(
                record,
                metrics[row["metric"]]["label"],
                row,
                metrics[row["metric"]]["better"],
                100 / abs(row["base"]),
            )
            for row in moved
        ]
        parts.append(
            Figure(
                "site-deltas",
                "The site, relative to the base",
                _caption(record, 1).replace(
                    "more, for the better; red: less.", "for the better; red: for the worse; blue: neither."
                ),
                {"kind": "deltas", "unit": "%", "rows": bars},
            )
        )
    grid = variant.site_grid()
    lines = []
    for name, role, style, folder in (("base", "misc", "line", base), ("variant", "it", "line", variant)):
        means = grid.collect(
            folder.scan("site", ["time_utc", "site_power_mw"]), [pl.col("site_power_mw").mean()]
        )
        lines.append(Line(name, role, means["site_power_mw"], style))
    parts.append(
        Figure(
            "power",
            "Site power",
            f"At the meter, seed {record['seeds'][0]}; means over {grid} steps.",
            over_time(grid, lines, ["MW"], from_zero=(False,)),
            period_table(grid, lines, ["MW"], (3, 1)),
        )
    )
    parts.append(_table(record, rows, by_tenant=False))
    return Section("site", "The site", parts=parts)


def _numbers(record: dict[str, Any]) -> Section:
    parts: list[str | Figure] = []
    for one in record["tenants"]:
        rows = [row for row in record["rows"] if row["tenant"] == one["name"]]
        changed = sum(_is_change(row) for row in rows)
        head = (
            f"{escape(words(one['name']))} ({escape(one['tier'])}): {changed} of {len(rows)} numbers changed"
        )
        parts.append(fold(head, _table(record, rows, by_tenant=False)))
    return Section("numbers", "All numbers of all tenants", parts=parts)


def _table(record: dict[str, Any], rows: Sequence[Row], *, by_tenant: bool) -> str:
    """Tabulate rows; tenants are named where the table holds several."""
    several = len(record["seeds"]) > 1
    body = []
    for row in rows:
        metric = _metrics(record, "site" if row["tenant"] is None else "tenant")[row["metric"]]
        unit = _unit(row["unit"])
        name = metric["label"] if unit in {"", "s", "GPU-h"} else f"{metric['label']} [{unit}]"
        head = [escape(words(row["tenant"]))] if by_tenant else []
        share = DASH if not row["relative"] else f"{_signed(100 * row['relative'], '')}\u00a0%"
        cells = [
            escape(name),
            _amount(row["base"], unit),
            _amount(row["variant"], unit),
            _signed(row["difference"], unit),
            share,
        ]
        if several:
            cells.append(
                f"known to {row['seeds']} of {len(record['seeds'])} seeds"
                if row["low"] is None
                else f"{_signed(row['low'], unit)} to {_signed(row['high'], unit)}"
            )
        body.append([*head, *cells])
    heads = [*(["tenant"] if by_tenant else []), "number", "base", "variant", "difference", ""]
    heads += [f"{100 * record['confidence']:g}\u00a0% interval"] if several else []
    first = 2 if by_tenant else 1
    return table(heads, body, right=range(first, len(heads)))


def _amount(value: float | None, unit: str) -> str:
    return duration(value) if unit == "s" else significant(value, 5)


def _signed(value: float | None, unit: str) -> str:
    if value is None:
        return NOT_KNOWN
    if value == 0:
        return "0"
    size = abs(value)
    return f"{MINUS if value < 0 else '+'}{duration(size) if unit == 's' else significant(size, 4)}"


def _compared(record: dict[str, Any]) -> Section:
    same = [
        name
        for key, name in (
            ("failures", "failures of GPUs"),
            ("faults", "faults of the plant"),
            ("weather", "weather"),
            ("prices", "prices"),
        )
        if record["shared"][key]
    ]
    jobs = [] if record["shared"]["demand_differs"] else [f"{number(record['shared']['jobs'])} jobs"]
    lead = (
        f"Both sides were simulated in full with the same {', '.join([*jobs, *same]) or 'span of time'}. With several seeds a "
        "difference is taken for each seed, and its interval is that of Student's t over the seeds. Waits are those of jobs "
        "that started; a job that never starts has none, and is counted as never started."
    )
    links = '<p><a href="base/report.html">Report of the base</a> \u00b7 <a href="variant/report.html">report of the variant</a></p>'
    return Section("compared", "How this was compared", lead, [links])
