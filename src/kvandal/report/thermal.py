"""Water and air temperatures; heat exported against what customers asked for."""

from __future__ import annotations

import numpy as np
import polars as pl

from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.text import amount, escape, number, percent, quantity, table, words
from kvandal.report.ticks import Site

TEMPERATURES = (
    ("Ambient", "ambient", "ambient_c"),
    ("Facility water, supply", "fws-supply", "fws_supply_c"),
    ("Facility water, return", "fws-return", "fws_return_c"),
    ("Technology water, supply", "tcs-supply", "tcs_supply_c"),
    ("Technology water, return", "tcs-return", "tcs_return_c"),
    ("Hall air", "air", "hall_air_c"),
)


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], unit: str = "°C") -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "not known"
    return f"{number(float(known.min()), 1)} to {quantity(float(known.max()), unit, 1)}"


def temperature_section(site: Site) -> Section:
    """Draw the temperatures of both water loops, the halls and the weather."""
    grid, series = site.grid, site.series
    lines = [Line(name, role, series[column], "line") for name, role, column in TEMPERATURES]
    caption = (
        f"{str(grid).capitalize()} means. Outside it was {_range(series['ambient_c'])}; the racks got water of "
        f"{_range(series['tcs_supply_c'])} and gave it back at {_range(series['tcs_return_c'])}; halls were held at "
        f"{_range(series['hall_air_c'])}."
    )
    figure = Figure(
        "temperatures",
        "Temperatures from the weather to the cold plate",
        caption,
        over_time(grid, lines, ["°C"], from_zero=[False]),
        period_table(grid, lines, ["°C"]),
    )
    return Section("temperatures", "Temperatures", parts=[figure])


def heat_section(folder: RunFolder, site: Site) -> Section:
    """Draw the heat that customers got, and what they did not get."""
    grid = folder.hour_grid()
    columns = ["demand_mwh", "delivered_mwh", "unmet_mwh", "source_mwh", "heat_pump_mwh"]
    frame = folder.scan("heat", ["time_utc", "customer", *columns])
    by_customer = grid.collect_by(frame, "customer", [pl.col(name).mean() for name in columns[:3]])
    totals = {
        row["customer"]: row
        for row in frame.group_by("customer", maintain_order=True)
        .agg(pl.col(name).sum() for name in columns)
        .collect()
        .to_dicts()
    }
    if not totals:
        return Section(
            "heat",
            "Heat",
            lead="No heat customer is connected in this run: all heat went to the dry coolers.",
        )
    asked = folder.scenario.get("heat", {}).get("customers", {})
    ordered = [name for name in asked if name in totals] + sorted(
        name for name in totals if name not in asked
    )
    lines = [
        Line(words(name), f"customer-{i}", by_customer[name]["delivered_mwh"])
        for i, name in enumerate(ordered)
    ]
    unmet = np.sum([np.nan_to_num(by_customer[name]["unmet_mwh"]) for name in ordered], axis=0)
    demand = np.sum([np.nan_to_num(by_customer[name]["demand_mwh"]) for name in ordered], axis=0)
    lines += [Line("not met", "unmet", unmet), Line("demand", "envelope", demand, "thin")]
    rows, sums = [], dict.fromkeys(columns, 0.0)
    for name in ordered:
        found = totals[name]
        for column in columns:
            sums[column] += float(found[column] or 0)
        contract = asked.get(name, {})
        rows.append(
            [
                escape(words(name)),
                number(contract.get("supply_c"), 0),
                *(number(found[column], 0) for column in columns),
                percent(found["delivered_mwh"] / found["demand_mwh"] if found["demand_mwh"] else None),
            ]
        )
    total = [
        "all",
        "",
        *(number(sums[c], 0) for c in columns),
        percent(sums["delivered_mwh"] / sums["demand_mwh"] if sums["demand_mwh"] else None),
    ]
    energy = site.totals["site_power_mw"]
    caption = (
        f"Customers asked for {amount(sums['demand_mwh'] / 1000, 'GWh')} and got "
        f"{percent(sums['delivered_mwh'] / sums['demand_mwh'] if sums['demand_mwh'] else None)} of it. "
        f"{amount(site.totals['heat_export_mw'] / 1000, 'GWh')} crossed the site's boundary, "
        f"{percent(site.totals['heat_export_mw'] / energy if energy else None)} of the energy that came in; "
        f"{amount(site.totals['heat_rejected_mw'] / 1000, 'GWh')} went to the air. Means over {grid} steps."
    )
    figure = Figure(
        "heat",
        "Heat delivered to customers",
        caption,
        over_time(grid, lines, ["MW thermal"]),
        period_table(grid, lines, ["MW"], (2, 2)),
    )
    heads = [
        "customer", "needs [°C]", "demand [MWh]", "delivered [MWh]", "not met [MWh]", "from the loop [MWh]",
        "heat pump, electricity [MWh]", "met",
    ]  # fmt: skip
    return Section(
        "heat", "Heat", parts=[figure, table(heads, rows, right=range(1, len(heads)), total=total)]
    )
