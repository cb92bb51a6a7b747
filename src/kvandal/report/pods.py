"""Coolant and GPU temperatures of the pods."""

from __future__ import annotations

import polars as pl

from kvandal.report.binding import throttle_of
from kvandal.report.chart import Figure, Line, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.grid import rounded
from kvandal.report.text import escape, number, quantity, table

COLUMNS = ["time_utc", "pod", "hall", "heat_mw", "supply_c", "junction_c"]


def pod_figures(folder: RunFolder) -> list[Figure]:
    """Draw the warmest coolant and the hottest junction: over time, and pod by pod."""
    frame = folder.table("pods", COLUMNS)
    if frame.is_empty():
        return []
    grid = folder.hour_grid()
    series = grid.collect(frame.lazy(), [pl.col("supply_c").max(), pl.col("junction_c").max()])
    lines = [
        Line("Hottest junction of any GPU", "tcs-return", series["junction_c"], "line"),
        Line("Warmest coolant of any pod", "tcs-supply", series["supply_c"], "line"),
    ]
    throttle_c = throttle_of(folder.scenario)
    maximum_c = folder.scenario.get("cooling", {}).get("tcs_supply_maximum_c")
    limits = [("GPUs throttle at", throttle_c), ("coolant at most", maximum_c)]
    marks = [(f"{name} {number(c, 0)} °C", float(c)) for name, c in limits if c is not None]
    over = Figure(
        "junctions",
        "Hottest junction and warmest coolant",
        f"The highest of all pods in each step: junctions up to {_peak(frame, 'junction_c')}, coolant up to {_peak(frame, 'supply_c')}.",
        over_time(grid, lines, ["°C"], decimals=(1,), marks=marks, from_zero=[False]),
        period_table(grid, lines, ["°C"], (1,)),
    )
    return [over, _by_pod(frame)]


def _by_pod(frame: pl.DataFrame) -> Figure:
    rows = (
        frame.group_by("pod", "hall")
        .agg(pl.col("heat_mw").mean(), pl.col("supply_c").max(), pl.col("junction_c").max())
        .sort("pod")
    )
    junction_c, supply_c = (
        rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ("junction_c", "supply_c")
    )
    spec = {
        "kind": "columns",
        "labels": [f"pod {pod}" for pod in rows["pod"].to_list()],
        "unit": "°C",
        "decimals": 1,
        "series": [
            {"name": "Hottest junction", "role": "tcs-return", "values": rounded(junction_c, 1)},
            {"name": "Warmest coolant", "role": "tcs-supply", "values": rounded(supply_c, 1)},
        ],
    }
    cells = [
        [
            escape(str(row["pod"])),
            escape(str(row["hall"])),
            number(row["heat_mw"], 3),
            number(row["supply_c"], 1),
            number(row["junction_c"], 1),
        ]
        for row in rows.to_dicts()
    ]
    heads = ["pod", "hall", "mean heat [MW]", "warmest coolant [°C]", "hottest junction [°C]"]
    return Figure(
        "pods",
        "Highest temperatures, pod by pod",
        "The highest of the run for every pod: racks that share CDUs.",
        spec,
        table(heads, cells, right=range(2, 5)),
    )


def _peak(frame: pl.DataFrame, column: str) -> str:
    highest = frame[column].cast(pl.Float64).max()
    return quantity(None if highest is None else float(str(highest)), "°C", 1)
