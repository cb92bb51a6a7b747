"""Water and air temperatures; heat exported against what customers asked for."""

from __future__ import annotations

from typing import Any

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


def temperature_section(site: Site, pods: list[Figure]) -> Section:
    """Draw the temperatures of both water loops, the halls and the weather; then those of the pods."""
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
    return Section("temperatures", "Temperatures", parts=[figure, *pods])


HEAT_SUMS = ("demand_mwh", "delivered_mwh", "unmet_mwh", "source_mwh", "pipe_loss_mwh", "heat_pump_mwh")
HEAT_HEADS = (
    "customer", "needs [°C]", "demand [MWh]", "delivered [MWh]", "not met [MWh]", "from the loop [MWh]", "lost in the pipe [MWh]",
    "heat pump, electricity [MWh]", "mean COP", "met", "price [EUR/MWh]", "income [EUR]",
)  # fmt: skip


def _heat_totals(frame: pl.LazyFrame) -> dict[str, dict[str, float]]:
    """Sum the run by customer; `lifted_mwh` is the heat of the hours in which its heat pump ran."""
    lifted = (pl.col("source_mwh") + pl.col("heat_pump_mwh")).filter(pl.col("heat_pump_mwh") > 0).sum()
    found = (
        frame.group_by("customer", maintain_order=True)
        .agg(*(pl.col(name).sum() for name in HEAT_SUMS), lifted.alias("lifted_mwh"))
        .collect()
        .to_dicts()
    )
    return {row.pop("customer"): {name: float(mwh or 0) for name, mwh in row.items()} for row in found}


def _heat_row(name: str, needs_c: Any, sums: dict[str, float], price: Any, income: float | None) -> list[str]:
    """One row of the table of customers."""
    pump_mwh, asked_mwh = sums["heat_pump_mwh"], sums["demand_mwh"]
    return [
        name,
        number(needs_c, 0) if needs_c is not None else "",
        *(number(sums[column], 0) for column in HEAT_SUMS),
        number(sums["lifted_mwh"] / pump_mwh, 1) if pump_mwh > 0 else "no heat pump ran",
        percent(sums["delivered_mwh"] / asked_mwh if asked_mwh else None),
        number(price, 2) if price is not None else "",
        number(income, 0),
    ]


def heat_section(folder: RunFolder, site: Site) -> Section:
    """Draw the heat that customers got, and what they did not get."""
    grid = folder.hour_grid()
    frame = folder.scan("heat", ["time_utc", "customer", *HEAT_SUMS])
    by_customer = grid.collect_by(frame, "customer", [pl.col(name).mean() for name in HEAT_SUMS[:3]])
    totals = _heat_totals(frame)
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
    rows, incomes = [], []
    for name in ordered:
        contract = asked.get(name, {})
        price = contract.get("price_eur_per_mwh")
        income = None if price is None else totals[name]["source_mwh"] * float(price)
        incomes.append(income)
        rows.append(_heat_row(escape(words(name)), contract.get("supply_c"), totals[name], price, income))
    sums = {column: sum(totals[name][column] for name in ordered) for column in (*HEAT_SUMS, "lifted_mwh")}
    known = [income for income in incomes if income is not None]
    total = _heat_row("all", None, sums, None, sum(known) if len(known) == len(incomes) else None)
    energy = site.totals["site_power_mw"]
    caption = (
        f"Customers asked for {amount(sums['demand_mwh'] / 1000, 'GWh')} and got "
        f"{percent(sums['delivered_mwh'] / sums['demand_mwh'] if sums['demand_mwh'] else None)} of it. "
        f"{amount(site.totals['heat_export_mw'] / 1000, 'GWh')} crossed the site's boundary, "
        f"{percent(site.totals['heat_export_mw'] / energy if energy else None)} of the energy that came in (ERF, measured at the "
        f"hand-over before the customers' heat pumps); "
        f"{amount(site.totals['heat_rejected_mw'] / 1000, 'GWh')} went to the air. Means over {grid} steps."
    )
    figure = Figure(
        "heat",
        "Heat delivered to customers",
        caption,
        over_time(grid, lines, ["MW thermal"]),
        period_table(grid, lines, ["MW"], (2, 2)),
    )
    note = (
        '<p class="caption">From the loop and heat pump make delivered and lost in the pipe. The mean COP is heat over electricity '
        "in the hours in which the customer's heat pump ran, also for part of the hour: so it may lie above what the pump does alone. "
        "Its electricity is on the customer's meter. Income is what left the "
        "loop at the price of the contract.</p>"
    )
    customers = table(HEAT_HEADS, rows, right=range(1, len(HEAT_HEADS)), total=total)
    return Section("heat", "Heat", parts=[figure, f"{customers}{note}"])
