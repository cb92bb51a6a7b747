"""A search as one self-contained page: the best, what each bound costs, every trial, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from kvandal.report.batch import (
    Quantity,
    batch_page,
    facts,
    folded,
    mean_and_band,
    panels_figure,
    read_folder,
    value_text,
)
from kvandal.report.chart import Figure, Section
from kvandal.report.text import DASH, NOT_KNOWN, escape, number, table

SERIES = (
    ("feasible", "keeps all bounds", "it", "other"),
    ("beyond", "beyond a bound", "idle", "other"),
    ("front", "on the front", "assured", "front"),
    ("before", "the scenario as it is", "envelope", "front"),
    ("best", "the best", "useful", "best"),
    ("nearest", "least beyond", "unmet", "best"),
)
"""What marks a trial: key, name, colour, size."""
TABLED = 500
"""Trials tabulated at most."""

Row = dict[str, Any]


def render_optimise(folder: Path) -> str:
    """Render a folder of `kvandal optimise` as one page that needs no network and no other file."""
    record, trials = read_folder(folder, "optimise.json", "trials.parquet")
    result = record["result"]
    objectives = [
        Quantity(f"objective.{one['name']}", one["name"], one["unit"], one["better"])
        for one in result["objectives"]
    ]
    bounds = [
        Quantity(f"bound.{place}.worst", one["name"], one["unit"], -1 if one["below"] else 1)
        for place, one in enumerate(result["bounds"])
    ]
    rows = trials.to_dicts()
    sections = [
        _best(record, objectives, bounds),
        _front(record, rows, objectives, bounds),
        _course(record, rows, objectives),
        _keys(record, trials, rows, objectives),
        _all(record, rows, objectives, bounds),
        _how(record),
    ]
    wanted = ", ".join(
        f"{'most' if one['better'] > 0 else 'least'} {one['name']}" for one in result["objectives"]
    )
    return batch_page(record, "Search", f"{result['title']}: {wanted}", _head(record), sections)


def _head(record: Row) -> str:
    result, asked = record["result"], record["asked"]
    start = escape(result["start_utc"][:16].replace("T", " "))
    listed = facts(
        [
            ("Scenario", f"<code>{escape(asked['name'])}</code>"),
            ("Span", f"{number(result['days'])} {'day' if result['days'] == 1 else 'days'} from {start} UTC"),
            ("Trials", f"{number(asked['trials'])}, {number(result['simulated'])} different"),
            (
                "Seeds",
                str(asked["seed"])
                if asked["samples"] == 1
                else f"{asked['samples']}, from {asked['seed']} to {asked['seed'] + asked['samples'] - 1}",
            ),
            ("Kvandal", escape(record["kvandal_version"])),
        ]
    )
    bounds = "; ".join(escape(one["text"]) for one in result["bounds"])
    subject = f"Subject to {bounds}." if bounds else "Without bounds."
    over = "; ".join(
        f"<code>{escape(key)}</code> {escape(_range(given))}" for key, given in asked["over"].items()
    )
    return f'<p class="description">{subject} Over {over}.</p>{listed}{_verdict(record)}'


def _range(given: Any) -> str:
    if isinstance(given, list):
        return "one of " + ", ".join(value_text(value) for value in given)
    step = f" by {value_text(given['step'])}" if given["step"] is not None else ""
    return f"from {value_text(given['low'])} to {value_text(given['high'])}{step}"


def _verdict(record: Row) -> str:
    result = record["result"]
    counts = ", ".join(f"{number(count)} {escape(status)}" for status, count in result["statuses"].items())
    refused = result["refused"]
    why = (
        ""
        if refused is None
        else f" {number(refused['members'])} trials were refused, e.g. {escape(refused['reason'])}."
    )
    if result["best"] is not None:
        first = result["objectives"][0]
        aim = "the best"
        if len(result["objectives"]) > 1:
            aim = f"the one with the {'most' if first['better'] > 0 else 'least'} {escape(first['name'])}"
        return (
            f'<div class="notice"><b>Trial {result["best"]["trial"]} is {aim} that keeps all bounds.</b> '
            f"Of all trials: {counts}.{why}</div>"
        )
    if result["nearest"] is not None:
        return (
            f'<div class="notice warning"><b>No trial keeps all bounds.</b> Least beyond them is trial {result["nearest"]["trial"]}. '
            f"Of all trials: {counts}.{why}</div>"
        )
    return f'<div class="notice warning"><b>Nothing can be said:</b> no trial has all numbers that are asked for ({counts}).{why}</div>'


def _shown(record: Row) -> Row | None:
    """Return the trial that the page speaks of."""
    found: Row | None = record["result"]["best"] or record["result"]["nearest"]
    return found


def _best(record: Row, objectives: Sequence[Quantity], bounds: Sequence[Quantity]) -> Section:
    result, shown = record["result"], _shown(record)
    if shown is None:
        return Section("best", "The best", "No trial could be compared.")
    before = result["as_it_is"]
    heads = ["", *(["as it is"] if before else []), f"trial {shown['trial']}", "margin", ""]
    body = []
    for key, value in shown["values"].items():
        body.append([f"<code>{escape(key)}</code>", *([escape(value_text(before["values"][key]))] if before else []), escape(value_text(value)), "", ""])  # fmt: skip
    for one in objectives:
        name = one.key.removeprefix("objective.")
        aim = "maximised" if one.better > 0 else "minimised"
        body.append([f"{one.head}, {aim}", *([one.text(before["objectives"][name])] if before else []), f"<b>{one.text(shown['objectives'][name])}</b>", "", ""])  # fmt: skip
    for place, one in enumerate(bounds):
        met = shown["bounds"][place]
        told = '<span class="star">holds</span>' if met["holds"] else '<span class="bad">does not hold</span>'
        unit = "" if one.unit in {"1", "s"} else f" {escape(one.unit)}"
        body.append([
            escape(met["text"]), *([one.text(before["bounds"][place]["value"])] if before else []), f"{one.text(met['value'])}{unit}",
            _margin(one, met["margin"]), told,
        ])  # fmt: skip
    numeric = range(1, len(heads) - 1)
    parts: list[str | Figure] = [table(heads, body, right=numeric, kind="narrow")]
    parts += [_checked(one, objectives, bounds) for one in result["checks"]]
    seeds = record["asked"]["samples"]
    lead = (
        "Objectives are means over the seeds; a bound must hold with each of them, and the worst is shown."
        if seeds > 1
        else "Found with one seed."
    )
    return Section("best", "The best" if result["best"] else "The least beyond", lead, parts)


def _margin(one: Quantity, margin: float | None) -> str:
    if margin is None:
        return NOT_KNOWN
    return one.text(margin) if margin >= 0 else f"\u2212{one.text(-margin)}"


def _checked(check: Row, objectives: Sequence[Quantity], bounds: Sequence[Quantity]) -> str:
    """Tell what a trial comes to with each seed that the search did not know."""
    seeds = check["seeds"]
    if not bounds:
        verdict = f"With {len(seeds)} seeds that the search did not know:"
    else:
        verdict = (
            f"With {check['all_hold']} of {len(seeds)} seeds that the search did not know, all bounds hold."
        )
    rows = []
    kept = len(seeds) - check["refused"]
    for one in objectives:
        values = check["objectives"][one.key.removeprefix("objective.")]
        rows.append([one.head, *_spread(one, values), DASH])
    for place, one in enumerate(bounds):
        found = check["bounds"][place]
        rows.append([escape(found["text"]), *_spread(one, found["values"]), f"{found['holds']} of {kept}"])
    refused = f" {check['refused']} of them were refused." if check["refused"] else ""
    shown = table(["", "least", "mean", "most", "holds"], rows, right=(1, 2, 3, 4), kind="narrow")
    return f"<h3>Trial {check['trial']} again</h3><p>{verdict}{refused}</p>{shown}"


def _spread(one: Quantity, values: Sequence[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    if not known:
        return [NOT_KNOWN] * 3
    return [one.text(min(known)), one.text(sum(known) / len(known)), one.text(max(known))]


def _mark(record: Row, row: Row) -> str:
    """Return what marks a trial in the charts; see `SERIES`."""
    result = record["result"]
    if result["best"] is not None and row["trial"] == result["best"]["trial"]:
        return "best"
    if result["nearest"] is not None and row["trial"] == result["nearest"]["trial"]:
        return "nearest"
    if result["as_it_is"] is not None and row["trial"] == result["as_it_is"]["trial"]:
        return "before"
    if row["front"]:
        return "front"
    return "feasible" if row["status"] == "feasible" else "beyond"


def _scatter(
    record: Row,
    rows: Sequence[Row],
    x: Quantity,
    y: Quantity,
    *,
    name: str,
    title: str,
    caption: str,
    line: Sequence[int] = (),
    limits: Sequence[Row] = (),
    front: bool = True,
) -> Figure:
    """Draw all trials of which both quantities are known; `line` joins trials by their numbers."""
    named = {key: label for key, label, _, _ in SERIES}
    points: list[Row] = []
    place_of: dict[int, int] = {}
    keys = list(record["asked"]["over"])
    for row in rows:
        if row[x.key] is None or row[y.key] is None or isinstance(row[x.key], str):
            continue
        mark = _mark(record, row)
        if mark == "front" and not front:
            mark = "feasible" if row["status"] == "feasible" else "beyond"
        place_of[row["trial"]] = len(points)
        points.append(
            {
                "x": row[x.key],
                "y": row[y.key],
                "series": named[mark],
                "name": f"trial {row['trial']}",
                "values": [[key, value_text(row[key])] for key in keys],
            }
        )
    used = {point["series"] for point in points}
    spec = {
        "kind": "tradeoff", "x": x.axis, "y": y.axis, "points": points, "cloud": [],
        "line": [place_of[trial] for trial in line if trial in place_of],
        "series": [{"name": label, "role": role, "kind": kind} for _, label, role, kind in SERIES if label in used],
        "limits": list(limits),
    }  # fmt: skip
    return Figure(name, title, caption if points else "Not known to any trial.", spec)


def _front(
    record: Row, rows: Sequence[Row], objectives: Sequence[Quantity], bounds: Sequence[Quantity]
) -> Section:
    result = record["result"]
    several = len(objectives) > 1
    on = [row for row in rows if row["front"]]
    if several:
        lead = f"{number(len(on))} trials keep all bounds and are beaten by no other in all objectives."
    elif bounds:
        lead = (
            f"{number(len(on))} trials are beaten by no other in the objective and in what is bounded, whether they keep the bounds "
            "or not: what a bound costs, and what more room would bring."
        )
    else:
        lead = "One objective without bounds has one best trial."
    pairs = [
        *combinations(objectives, 2),
        *((bound, objective) for objective in objectives[:1] for bound in bounds),
    ]
    parts: list[str | Figure] = ['<div class="pairs">']
    for place, (x, y) in enumerate(pairs):
        limits = [
            {"axis": "x", "value": bound["limit"], "name": bound["text"]}
            for number_, bound in enumerate(result["bounds"])
            if x.key == f"bound.{number_}.worst"
        ]
        both = sorted((row for row in on if row[x.key] is not None and row[y.key] is not None), key=lambda row: (row[x.key], row[y.key]))  # fmt: skip
        joined = [row["trial"] for row in both] if len(pairs) == 1 else []
        title = f"{y.label} over {x.label}"
        parts.append(
            _scatter(record, rows, x, y, name=f"pair-{place}", title=title, caption="Every trial is a point.", line=joined, limits=limits)
        )  # fmt: skip
    parts.append("</div>")
    if on and pairs:
        parts.append(
            folded(f"The {number(len(on))} trials of the front", _table(record, on, objectives, bounds))
        )
    return Section("front", "The front", lead, parts)


def _course(record: Row, rows: Sequence[Row], objectives: Sequence[Quantity]) -> Section:
    """Draw the first objective over the trials, and the best so far."""
    one = objectives[0]
    trial = Quantity("trial", "trial", "1", 0)
    line, best = [], None
    for row in rows:
        value = row[one.key]
        if (
            row["status"] == "feasible"
            and value is not None
            and (best is None or one.better * (value - best) > 0)
        ):
            best = value
            line.append(row["trial"])
    figure = _scatter(
        record, rows, trial, one, name="course", title=f"{one.label} by trial", front=False,
        caption="The line joins trials that were the best so far among those that keep all bounds.", line=line,
    )  # fmt: skip
    lead = "The first trial is the scenario as it is, the next are drawn at random; then each is proposed from what those before came to."
    if record["result"]["as_it_is"] is None:
        lead = "The first trials are drawn at random; then each is proposed from what those before came to. The scenario as it is lies outside the ranges."
    return Section("course", "The course of the search", lead, [figure])


def _keys(record: Row, trials: pl.DataFrame, rows: Sequence[Row], objectives: Sequence[Quantity]) -> Section:
    parts: list[str | Figure] = ['<div class="pairs">']
    for place, key in enumerate(record["asked"]["over"]):
        if trials.schema[key].is_numeric():
            axis = Quantity(key, key, "1", 0)
            title = f"{objectives[0].label} over {key}"
            parts.append(
                _scatter(record, rows, axis, objectives[0], name=f"key-{place}", title=title, caption="Every trial is a point.", front=False)
            )  # fmt: skip
            continue
        known = trials.filter(pl.col(objectives[0].key).is_not_null())
        values = known[key].unique(maintain_order=True).to_list()
        bands = [
            [mean_and_band(known.filter(pl.col(key) == value)[one.key].to_list()) for one in objectives]
            for value in values
        ]
        if values:
            parts.append(
                panels_figure(
                    f"key-{place}", key, values, objectives, bands, "Mean and P10 to P90 over the trials."
                )
            )
    parts.append("</div>")
    lead = "Where the trials lie: not a fair sample of the range, for a search looks longest where it found most."
    return Section("keys", "What each key does", lead, parts)


def _table(
    record: Row, rows: Sequence[Row], objectives: Sequence[Quantity], bounds: Sequence[Quantity]
) -> str:
    keys = list(record["asked"]["over"])
    heads = [
        "trial", *(escape(key) for key in keys), *(one.head for one in objectives), *(one.head for one in bounds), "status", "",
    ]  # fmt: skip
    body = [
        [
            str(row["trial"]),
            *(escape(value_text(row[key])) for key in keys),
            *(one.text(row[one.key]) for one in (*objectives, *bounds)),
            escape(row["status"]) + (f": {escape(row['reason'])}" if row["reason"] else ""),
            '<span class="star">front</span>' if row["front"] else "",
        ]
        for row in rows[:TABLED]
    ]
    return table(heads, body, right=range(1 + len(keys) + len(objectives) + len(bounds)))


def _all(
    record: Row, rows: Sequence[Row], objectives: Sequence[Quantity], bounds: Sequence[Quantity]
) -> Section:
    more = (
        f"<p>The first {number(TABLED)} of {number(len(rows))}; all are in trials.parquet.</p>"
        if len(rows) > TABLED
        else ""
    )
    body = folded("Values, objectives and what is bounded", _table(record, rows, objectives, bounds))
    return Section("all", "All trials", parts=[body, more])


def _how(record: Row) -> Section:
    asked = record["asked"]
    seeds = "one seed" if asked["samples"] == 1 else f"the same {asked['samples']} seeds"
    lead = (
        f"Every trial was simulated in full with {seeds}. Values are proposed by Optuna {escape(asked['optuna'])}, a tree-structured "
        f"Parzen estimator with constraints, seed {asked['seed']}; the same whatever the number of workers. A search finds good "
        "values, it does not prove that there are no better ones. All numbers of all trials are in trials.parquet."
    )
    return Section("how", "How this was searched", lead)
