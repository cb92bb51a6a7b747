"""The racks where they stand, and what happened to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from kvandal.report.chart import Figure, Section
from kvandal.report.folder import RunFolder
from kvandal.report.grid import period_name, rounded
from kvandal.report.lending import fragmentation_sentence
from kvandal.report.text import DASH, escape, number, percent, stamp, table, words

RACK_COLUMNS = [
    "rack", "hall", "row", "position", "cdu", "model", "it_energy_mwh", "mean_kw", "peak_kw", "tdp_kw", "gpu_h_installed",
    "gpu_h_allocated", "gpu_h_broken", "failures",
]  # fmt: skip
KINDS = (
    ("failure", "Trays failed", "broken"),
    ("host_fault", "Jobs stopped by hosts or software", "customer-3"),
    ("network_fault", "Jobs stopped by the network", "customer-4"),
    ("rack_failure", "Jobs stopped by a rack's switches", "customer-6"),
    ("repair", "Trays repaired", "useful"),
    ("rack_repair", "Racks repaired", "customer-7"),
    ("repair_begins", "Repairs begun", "sold"),
    ("tray_replaced", "Trays replaced", "misc"),
    ("recall", "Recalls", "lent"),
    ("shed", "Load sheds", "price"),
    ("envelope", "Power limit binding", "losses"),
    ("delivery", "Deliveries", "firm"),
    ("fault", "Faults of the plant", "tcs-return"),
    ("fault_over", "Faults over", "fws-supply"),
    ("throttle", "Racks throttled", "tcs-supply"),
    ("trip", "Jobs stopped by a trip", "unmet"),
    ("power_on", "Racks back", "cooling"),
    ("limit", "Limit of the plant begins to bind", "envelope"),
    ("limit_over", "Limit no longer binds", "idle"),
)
SHOWN_EVENTS = 15


def floor_section(folder: RunFolder) -> Section:
    """Draw every rack in its hall, row and position."""
    frame = folder.table("racks", RACK_COLUMNS).sort("rack")
    load = frame.select((pl.col("mean_kw") / pl.col("tdp_kw")).alias("load"))["load"].cast(pl.Float64)
    peak = frame.select((pl.col("peak_kw") / pl.col("tdp_kw")).alias("peak"))["peak"].cast(pl.Float64)
    halls = frame["hall"].unique(maintain_order=True).to_list()
    models = frame["model"].cast(pl.String).unique(maintain_order=True).to_list()
    place = {name: i for i, name in enumerate(sorted(halls, key=lambda h: (str(type(h)), h)))}
    rows = _dense(frame)
    positions = [int(p) for p in (frame["position"] - frame["position"].min()).to_list()]

    def column(name: str, decimals: int) -> list[Any]:
        return rounded(frame[name].cast(pl.Float64).to_numpy().copy(), decimals)

    spec = {
        "kind": "floor",
        "halls": [str(name) for name in place],
        "models": [str(name) for name in models],
        "hall": [place[h] for h in frame["hall"].to_list()],
        "row": rows,
        "position": positions,
        "rack": [str(r) for r in frame["rack"].to_list()],
        "label_row": [str(r) for r in frame["row"].to_list()],
        "label_position": [str(p) for p in frame["position"].to_list()],
        "cdu": [str(c) for c in frame["cdu"].to_list()],
        "model": [models.index(m) for m in frame["model"].cast(pl.String).to_list()],
        "load": rounded(load.to_numpy().copy(), 4),
        "peak": rounded(peak.to_numpy().copy(), 4),
        "mean_kw": column("mean_kw", 1),
        "peak_kw": column("peak_kw", 1),
        "tdp_kw": column("tdp_kw", 1),
        "broken": column("gpu_h_broken", 1),
        "failures": column("failures", 0),
        "energy": column("it_energy_mwh", 1),
    }
    failures = frame["failures"].sum()
    average = load.mean()
    coldest = load.min()
    hottest = load.max()
    caption = (
        f"{number(frame.height)} racks in {number(len(halls))} halls as seen from above; a rack's colour is its mean load over TDP: "
        f"{percent(_float(average))} on average, from {percent(_float(coldest))} to {percent(_float(hottest))}. "
        f"{number(_float(failures))} failures struck {number(frame.filter(pl.col('failures') > 0).height)} racks."
        f"{fragmentation_sentence(folder)}"
    )
    buttons = "".join(
        f'<button type="button" data-metric="{key}" aria-pressed="{"true" if key == "load" else "false"}">{name}</button>'
        for key, name in (
            ("load", "Mean load"),
            ("peak", "Peak load"),
            ("broken", "GPU-hours broken"),
            ("failures", "Failures"),
        )
    )
    controls = f'<div class="controls screen" role="group" aria-label="Colour of the racks">{buttons}</div>'
    figure = Figure("floor", "Floor plan", caption, spec, _by_hall(frame), controls)
    return Section("floor", "Floor", parts=[figure])


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _dense(frame: pl.DataFrame) -> list[int]:
    """Count the rows of each hall from 0."""
    ranks = frame.select(pl.col("row").rank("dense").over("hall") - 1)["row"]
    return [int(rank) for rank in ranks.to_list()]


def _by_hall(frame: pl.DataFrame) -> str:
    rows = (
        frame.group_by("hall", maintain_order=True)
        .agg(
            pl.len().alias("racks"),
            (pl.col("it_energy_mwh").sum()).alias("energy"),
            (pl.col("mean_kw").sum() / pl.col("tdp_kw").sum()).alias("load"),
            pl.col("gpu_h_broken").sum(),
            pl.col("failures").sum(),
        )
        .to_dicts()
    )
    cells = [
        [
            escape(str(r["hall"])),
            number(r["racks"]),
            number(r["energy"]),
            percent(r["load"]),
            number(r["gpu_h_broken"]),
            number(r["failures"]),
        ]
        for r in rows
    ]
    heads = ["hall", "racks", "IT energy [MWh]", "mean load over TDP", "GPU-hours broken", "failures"]
    return table(heads, cells, right=range(1, 6))


def event_section(folder: RunFolder) -> Section:
    """Count the events by calendar period and list the largest."""
    frame = folder.scan("events", ["time_utc", "kind", "rack", "tray", "job", "gpus", "rule", "text"])
    kind = (
        "year"
        if folder.days > 1500
        else "month"
        if folder.days > 62
        else "week"
        if folder.days > 16
        else "day"
    )
    unit = {"year": "1y", "month": "1mo", "week": "1w", "day": "1d"}[kind]
    counts = (
        frame.group_by(pl.col("time_utc").dt.truncate(unit).alias("period"), "kind")
        .agg(pl.len().alias("n"))
        .sort("period", "kind")
        .collect()
    )
    if counts.is_empty():
        return Section("events", "Events", lead="Nothing failed, was recalled or shed in this run.")
    total = int(counts["n"].sum())
    periods: list[datetime] = counts["period"].unique().sort().to_list()
    known = {key: (name, role) for key, name, role in KINDS}
    kinds = [key for key, _, _ in KINDS if key in counts["kind"].to_list()]
    kinds += sorted(set(counts["kind"].to_list()) - set(kinds))
    place = {period: i for i, period in enumerate(periods)}
    series: list[dict[str, Any]] = []
    for i, key in enumerate(kinds):
        values = [0] * len(periods)
        for row in counts.filter(pl.col("kind") == key).to_dicts():
            values[place[row["period"]]] = row["n"]
        name, role = known.get(key, (words(str(key)), f"customer-{i}"))
        series.append({"name": name, "role": role, "values": values})
    labels = [period_name(period, kind) for period in periods]
    rows = [[label, *(number(s["values"][i]) for s in series)] for i, label in enumerate(labels)]
    sums = ["all", *(number(sum(s["values"])) for s in series)]
    counted = "; ".join(f"{escape(s['name'].lower())} {number(sum(s['values']))}" for s in series)
    figure = Figure(
        "events",
        f"Events by {kind}",
        f"{number(total)} events: {counted}.",
        {"kind": "columns", "labels": labels, "series": series, "unit": "events"},
        table(
            [kind, *(escape(s["name"].lower()) for s in series)],
            rows,
            right=range(1, len(series) + 1),
            total=sums,
        ),
    )
    top = (
        frame.sort(["gpus", "time_utc"], descending=[True, False], nulls_last=True, maintain_order=True)
        .head(SHOWN_EVENTS)
        .collect()
    )
    listed = [
        [
            stamp(r["time_utc"]),
            escape(words(str(r["kind"]))),
            number(r["gpus"]) if r["gpus"] is not None else DASH,
            escape(str(r["rack"])) if r["rack"] is not None else DASH,
            escape(str(r["job"])) if r["job"] is not None else DASH,
            f"<code>{escape(str(r['rule']))}</code>" if r["rule"] else DASH,
            escape(str(r["text"] or "")),
        ]
        for r in top.to_dicts()
    ]
    body = table(["time (UTC)", "kind", "GPUs", "rack", "job", "rule", "what happened"], listed, right=(2,))
    note = f'<p class="caption">The largest events by GPUs, showing {number(len(listed))} of {number(total)}; all of them are in <code>events.parquet</code>.</p>'
    return Section("events", "Events", parts=[figure, note, body])
