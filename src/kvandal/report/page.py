"""Put the page together: head, numbers, sections, data, scripts."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl

from kvandal.report import (
    compute,
    faults,
    floor,
    grants,
    headline,
    inputs,
    limits,
    oversubscription,
    plan,
    pods,
    power,
    thermal,
    uncertainty,
)
from kvandal.report.chart import Section
from kvandal.report.folder import RunFolder
from kvandal.report.text import day, escape, number, plain, stamp
from kvandal.report.ticks import read_site

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:"
)
"""The browser refuses every request of the page, whatever it holds."""


def asset(name: str) -> str:
    """Read a file that ships with the page."""
    return resources.files("kvandal.report").joinpath("assets", name).read_text(encoding="utf-8")


def embedded(value: Any) -> str:
    """Write JSON that may stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def page(path: Path) -> str:
    """Render the run folder `path` as one page."""
    folder = RunFolder(path)
    site = read_site(folder)
    found = headline.headlines(folder, site)
    sure = uncertainty.uncertainty_section(folder)
    budgets = grants.grant_section(folder)
    planned = plan.plan_section(folder)
    sections: list[Section] = [
        *([sure] if sure is not None else []),
        power.power_section(folder, site),
        limits.limits_section(folder, site),
        oversubscription.oversubscription_section(folder),
        compute.tier_section(site),
        compute.goodput_section(folder),
        compute.queue_section(folder, site),
        compute.loan_section(folder),
        *([budgets] if budgets is not None else []),
        thermal.temperature_section(site, pods.pod_figures(folder)),
        thermal.heat_section(folder, site),
        power.energy_section(folder),
        *([planned] if planned is not None else []),
        power.indicators_section(folder),
        floor.floor_section(folder),
        faults.fault_section(folder),
        floor.event_section(folder),
        inputs.demand_section(folder),
        inputs.input_section(folder),
        headline.sources_section(folder, found),
    ]
    specs: dict[str, Any] = {}
    for section in sections:
        specs.update(section.specs())
    title = escape(str(folder.run.get("title") or folder.run.get("scenario_name") or "Run"))
    contents = "".join(f'<li><a href="#{escape(s.key)}">{escape(s.title)}</a></li>' for s in sections)
    body = "".join(section.html(place) for place, section in enumerate(sections, start=1))
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="kvandal {escape(str(folder.run.get("kvandal_version", "")))}">',
            f'<title>{title} \u2013 run report</title><link rel="icon" href="data:,">',
            f"<style>\n{asset('report.css')}</style></head>\n<body>",
            '<div id="trouble" role="alert" hidden></div><main>',
            _head(folder, title),
            headline.cards(found),
            f'<nav aria-label="Contents"><ol>{contents}</ol></nav>',
            '<noscript><p class="notice">Charts need JavaScript. Every chart has its numbers in a table below it.</p></noscript>',
            body,
            "</main>\n",
            f'<script type="application/json" id="kvandal-charts">{embedded(specs)}</script>\n',
            f"<script>{asset('trouble.js')}</script>\n<script>{asset('echarts.min.js')}</script>\n",
            f"<script>{asset('palette.js')}{asset('charts.js')}{asset('bars.js')}{asset('floor.js')}{asset('ranks.js')}{asset('report.js')}</script>\n</body></html>\n",
        ]
    )


def _head(folder: RunFolder, title: str) -> str:
    run, scenario = folder.run, folder.scenario
    description = str(scenario.get("description") or "")
    name = str(run.get("scenario_name") or scenario.get("name") or "")
    zone = str(scenario.get("site", {}).get("time_zone") or "UTC")
    days = folder.days
    facts = [
        ("Scenario", f"<code>{escape(name)}</code>"),
        (
            "Span",
            f"{stamp(folder.start)} to {stamp(folder.end)} UTC ({number(days, 0 if days == int(days) else 1)} days)",
        ),
        ("Local", _local_span(folder, zone)),
        ("Tick", f"{number(folder.tick_s)} s"),
        ("Seed", plain(run.get("seed")).replace("\u202f", "")),
        ("Kvandal", escape(str(run.get("kvandal_version", "")))),
    ]
    listed = "".join(f"<div><dt>{key}</dt><dd>{text}</dd></div>" for key, text in facts)
    return (
        f'<header><p class="kind">Run report</p><h1>{title}</h1>'
        f'<p class="description">{escape(description)}</p><dl class="facts">{listed}</dl>{_notices(folder)}</header>'
    )


def _local_span(folder: RunFolder, zone: str) -> str:
    """Write both edges of the run in the site's local time."""
    try:
        edges = pl.Series([folder.start, folder.end]).dt.convert_time_zone(zone).to_list()
    except pl.exceptions.PolarsError:
        return f"{escape(zone)}: not a known time zone"
    first, last = edges
    return f"{day(first)} {first:%H:%M} to {day(last)} {last:%H:%M}, {escape(zone)}"


def _notices(folder: RunFolder) -> str:
    out = []
    made = inputs.synthetic_inputs(folder)
    if made:
        names = ", ".join(escape(name) for name in made)
        out.append(
            f'<div class="notice made"><b>Synthetic inputs.</b> These were made up by a seeded generator, not measured: {names}. '
            'What follows from them is plausible, not observed. <a href="#inputs">Inputs</a></div>'
        )
    warnings = run_warnings(folder)
    if warnings:
        items = "".join(f"<li>{escape(text)}</li>" for text in warnings)
        out.append(f'<div class="notice warning"><b>Warnings.</b><ul>{items}</ul></div>')
    return "".join(out)


def run_warnings(folder: RunFolder) -> list[str]:
    """List the warnings of the run."""
    found = folder.run.get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []
