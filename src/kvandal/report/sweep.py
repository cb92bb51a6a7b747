"""A sweep as one self-contained page: what trades off against what, and what each varied key does."""

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
    refused_notice,
    text,
    value_text,
)
from kvandal.report.chart import Figure, Section
from kvandal.report.text import escape, number, table

FRONT, OTHER, SINGLE = "on the front", "other combinations", "single members"
CLOUD = 2000
"""Single members drawn at most."""
TABLED = 400
"""Combinations tabulated at most."""

Point = dict[str, Any]


def render_sweep(folder: Path) -> str:
    """Render a folder of `kvandal sweep` as one page that needs no network and no other file."""
    record, results = read_folder(folder, "sweep.json", "results.parquet")
    result, asked = record["result"], record["asked"]
    kept = results.filter(pl.col("status") == "kept")
    objectives = [Quantity(**one) for one in result["objectives"]]
    shown = [Quantity(**one) for one in result["shown"] if one["key"] in results.columns]
    objectives = [one for one in objectives if one.key in results.columns]
    keys = list(asked["vary"])
    points = _points(results, keys, shown)
    sections = [
        _tradeoffs(points, kept, objectives, result["fronts"], asked["samples"]),
        _keys(kept, asked, shown),
        _all(points, keys, shown),
        _how(record),
    ]
    title = f"{result['title']}: {len(points):,} combinations"
    return batch_page(record, "Sweep", title, _head(record, len(points)), sections)


def _head(record: dict[str, Any], points: int) -> str:
    result, asked = record["result"], record["asked"]
    seeds, samples = asked["seed"], asked["samples"]
    start = escape(result["start_utc"][:16].replace("T", " "))
    listed = facts(
        [
            ("Scenario", f"<code>{escape(asked['name'])}</code>"),
            ("Span", f"{number(result['days'])} {'day' if result['days'] == 1 else 'days'} from {start} UTC"),
            ("Combinations", number(points)),
            ("Seeds", str(seeds) if samples == 1 else f"{samples}, from {seeds} to {seeds + samples - 1}"),
            ("Members", number(result["members"])),
            ("Kvandal", escape(record["kvandal_version"])),
        ]
    )
    values = "; ".join(
        f"<code>{escape(key)}</code> = {escape(', '.join(value_text(value) for value in values))}"
        for key, values in asked["vary"].items()
    )
    return (
        f'<p class="description">{values}</p>{listed}{refused_notice(result["refused"], result["members"])}'
    )


def _points(results: pl.DataFrame, keys: Sequence[str], shown: Sequence[Quantity]) -> list[Point]:
    """List combinations with means and bands of their members."""
    points = []
    for (index,), part in results.group_by(["point"], maintain_order=True):
        kept = part.filter(pl.col("status") == "kept")
        first = part.row(0, named=True)
        points.append(
            {
                "point": index,
                "values": {key: first[key] for key in keys},
                "kept": kept.height,
                "members": part.height,
                "front": bool(part["front"].any()),
                "numbers": {one.key: mean_and_band(kept[one.key].to_list()) for one in shown},
                "complete": {one.key: kept.height and not kept[one.key].null_count() for one in shown},
            }
        )
    return points


def _tradeoffs(
    points: Sequence[Point],
    kept: pl.DataFrame,
    objectives: Sequence[Quantity],
    fronts: dict[str, list[int]],
    samples: int,
) -> Section:
    of_all = [one for one in points if one["front"]]
    means = f"means over {samples} seeds, the same for all combinations" if samples > 1 else "one seed"
    lead = (
        f"{number(len(of_all))} of {number(len(points))} combinations are beaten by no other in all of "
        f"{', '.join(escape(one.label) for one in objectives)} at once ({means}). A wait is that of jobs that started; those "
        "that never did are counted in the tables."
    )
    parts: list[str | Figure] = [_front_table(of_all, objectives), '<div class="pairs">']
    for one, other in combinations(objectives, 2):
        name = f"front.{one.key}.{other.key}"
        parts.append(_pair(points, kept if samples > 1 else None, one, other, fronts.get(name, []), name))
    parts.append("</div>")
    return Section("tradeoffs", "What trades off against what", lead, parts)


def _front_table(of_all: Sequence[Point], objectives: Sequence[Quantity]) -> str:
    if not of_all:
        return '<p class="notice">No combination could be compared.</p>'
    keys = list(of_all[0]["values"])
    return table(
        [*(escape(key) for key in keys), *(one.head for one in objectives)],
        [
            [
                *(escape(value_text(point["values"][key])) for key in keys),
                *(text(one, *point["numbers"][one.key]) for one in objectives),
            ]
            for point in of_all[:TABLED]
        ],
        right=range(len(keys) + len(objectives)),
    )


def _pair(
    points: Sequence[Point],
    kept: pl.DataFrame | None,
    x: Quantity,
    y: Quantity,
    on_front: Sequence[int],
    name: str,
) -> Figure:
    drawn, marked = [], set(on_front)
    for point in points:
        if not (point["complete"][x.key] and point["complete"][y.key]):
            continue
        drawn.append(
            {
                "x": point["numbers"][x.key][0],
                "y": point["numbers"][y.key][0],
                "series": FRONT if point["point"] in marked else OTHER,
                "name": f"combination {point['point']}",
                "values": [[key, value_text(value)] for key, value in point["values"].items()],
            }
        )
    order = sorted(
        (place for place, one in enumerate(drawn) if one["series"] == FRONT), key=lambda place: (drawn[place]["x"], drawn[place]["y"])
    )  # fmt: skip
    series = [
        {"name": FRONT, "role": "assured", "kind": "front"},
        {"name": OTHER, "role": "it", "kind": "other"},
    ]
    cloud: list[list[float]] = []
    if kept is not None and kept.height <= CLOUD:
        rows = kept.select(pl.col(x.key).alias("x"), pl.col(y.key).alias("y")).drop_nulls()
        cloud = [list(row) for row in rows.iter_rows()]
        series.append({"name": SINGLE, "role": "misc", "kind": "single"})
    spec = {
        "kind": "tradeoff", "x": x.axis, "y": y.axis, "points": drawn, "line": order, "cloud": cloud, "series": series,
    }  # fmt: skip
    caption = f"{number(len(order))} on the front of these two alone."
    if not drawn:
        caption = "Not known to any combination."
        spec["points"], spec["cloud"] = [], []
    return Figure(name.replace(".", "-"), f"{_capital(y.label)} over {x.label}", caption, spec)


def _capital(label: str) -> str:
    return label[:1].upper() + label[1:]


def _keys(kept: pl.DataFrame, asked: dict[str, Any], shown: Sequence[Quantity]) -> Section:
    """Say what each value of each key comes to, over all other keys and samples."""
    parts: list[str | Figure] = []
    vary = asked["vary"]
    for place, key in enumerate(vary):
        values = kept[key].unique(maintain_order=True).to_list() if kept.height else []
        if values and all(isinstance(value, float) for value in values):
            values = sorted(values)
        rows = [
            [mean_and_band(kept.filter(pl.col(key) == value)[one.key].to_list()) for one in shown]
            for value in values
        ]
        others = " and all values of the other keys" if len(vary) > 1 else ""
        caption = f"Mean (line) and P10 to P90 (bar) over {'the seeds' if asked['samples'] > 1 else 'the seed'}{others}."
        if values:
            figure = panels_figure(f"key-{place}", key, values, shown, rows, caption)
            parts.append(figure)
    lead = "Each value with the mean over all members that have it, and the range that holds four fifths of them."
    return Section("keys", "What each key does", lead, parts)


def _all(points: Sequence[Point], keys: Sequence[str], shown: Sequence[Quantity]) -> Section:
    rows = [
        [
            str(point["point"]),
            *(escape(value_text(point["values"][key])) for key in keys),
            '<span class="star">front</span>' if point["front"] else "",
            f"{point['kept']} of {point['members']}",
            *(text(one, *point["numbers"][one.key]) for one in shown),
        ]
        for point in points[:TABLED]
    ]
    heads = ["no.", *(escape(key) for key in keys), "", "kept", *(one.head for one in shown)]
    body = table(heads, rows, right=range(3 + len(keys), len(heads)))
    more = (
        f"<p>The first {number(TABLED)} of {number(len(points))}; all are in results.parquet.</p>"
        if len(points) > TABLED
        else ""
    )
    return Section(
        "all", "All combinations", parts=[folded("Means, and P10 to P90 over the seeds", body), more]
    )


def _how(record: dict[str, Any]) -> Section:
    asked, result = record["asked"], record["result"]
    samples = asked["samples"]
    lead = (
        "Every combination was simulated in full"
        + (
            f" with the same {samples} seeds of demand, prices and failures"
            if samples > 1
            else " with one seed"
        )
        + (
            f", each with one draw of {len(result['drawn'])} parameters from their ranges (Latin hypercube, the same draws for all combinations)"
            if result["drawn"]
            else ""
        )
        + ". Every number of every member is in results.parquet; the scenario of any of them runs again with kvandal run."
    )
    parts: list[str | Figure] = []
    if result["drawn"]:
        rows = [
            [f"<code>{escape(one['key'])}</code>", escape(one["name"]), escape(one["unit"]), f"{one['minimum']:g} to {one['maximum']:g}"]
            for one in result["drawn"]
        ]  # fmt: skip
        parts.append(
            folded(
                f"The {len(rows)} parameters that were drawn", table(["key", "name", "unit", "range"], rows)
            )
        )
    return Section("how", "How this was simulated", lead, parts)
