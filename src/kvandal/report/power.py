"""The run as megawatts; the energy bought, sold and emitted; the indicators of the standards."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from kvandal.report import carbon, chain, contracts
from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.grid import rounded
from kvandal.report.text import (
    NOT_KNOWN,
    amount,
    day,
    duration,
    escape,
    exact,
    number,
    percent,
    quantity,
    significant,
    stamp,
    table,
)
from kvandal.report.text import formula as write_formula
from kvandal.report.ticks import Site

MONEY = (
    ("cost_ppa_eur", "Contracts for electricity", 1),
    ("cost_spot_eur", "Spot market, bought", 1),
    ("income_sold_eur", "Spot market, sold", -1),
    ("cost_goo_eur", "Guarantees of origin", 1),
    ("cost_tariff_capacity_eur", "Grid tariff, capacity", 1),
    ("cost_tariff_energy_eur", "Grid tariff, marginal losses", 1),
    ("cost_tariff_reactive_eur", "Grid tariff, reactive power", 1),
    ("cost_generator_eur", "Fuel of back-up generators", 1),
    ("cost_heat_pump_eur", "Electricity of the site's heat pumps", 1),
    ("cost_deviation_eur", "Deviations from the day-ahead plan", 1),
    ("income_reserves_eur", "Reserves sold", -1),
    ("cost_tax_eur", "Electricity tax", 1),
)
ENERGY_MEANS = (
    "site_mwh",
    "ppa_mwh",
    "spot_bought_mwh",
    "ppa_sold_mwh",
    "goo_mwh",
    "carbon_free_mwh",
    "spot_eur_per_mwh",
)


def power_section(folder: RunFolder, site: Site) -> Section:
    """Draw the site's power against what it may draw."""
    grid, series = site.grid, site.series
    connection = folder.scenario.get("site", {}).get("grid_mw")
    lines = [
        Line("IT", "it", series["it_power_mw"]),
        Line("Cooling", "cooling", series["cooling_mw"]),
        Line("Losses", "losses", series["losses_mw"]),
        Line("Miscellaneous", "misc", series["misc_mw"]),
        Line("Envelope", "envelope", series["envelope_mw"], "dashed-step"),
    ]
    averaged = grid.step_s > folder.tick_s
    if averaged:
        lines.append(Line(f"Highest {duration(folder.tick_s)} mean", "peak", site.highest, "thin"))
    share = (
        f", {percent(site.peak_mw / connection)} of the {number(connection)}{chr(160)}MW connection"
        if connection and site.peak_mw
        else ""
    )
    resolution = (
        f"Areas are {grid} means; the thin line is the highest {duration(folder.tick_s)} mean within each step, so that averaging hides no peak."
        if averaged
        else f"Every point is one tick ({duration(folder.tick_s)})."
    )
    overhead = (
        None
        if not site.totals["it_power_mw"]
        else site.totals["site_power_mw"] / site.totals["it_power_mw"] - 1
    )
    caption = (
        f"The site drew {amount(site.mean_mw, 'MW')} on average and at most {amount(site.peak_mw, 'MW')} on "
        f"{stamp(site.peak_time)} UTC{share}. Cooling, losses and the rest add {percent(overhead)} to the IT load. {resolution}"
    )
    marks = [(f"connection {number(connection)} MW", float(connection))] if connection else []
    figure = Figure(
        "power",
        "Site power",
        caption,
        over_time(grid, lines, ["MW"], marks=marks),
        period_table(grid, [*lines, Line("Site", "it", series["site_power_mw"])], ["MW"]),
        _zoom_buttons(folder, site),
    )
    heat = Figure(
        "hours",
        "Site power by hour and day",
        _map_caption(folder, "A column is a day, a row an hour of the day"),
        hour_map(folder, "site", "site_power_mw", "MW", "power", 1),
    )
    return Section(
        "power",
        "Power",
        parts=[figure, chain.overhead_figure(site), *chain.battery_figures(folder, site), heat],
    )


def _zoom_buttons(folder: RunFolder, site: Site) -> str:
    if folder.days <= 3:
        return ""
    buttons: list[tuple[str, int | None, int | None]] = [("Whole run", None, None)]
    if site.peak_time is not None:
        span = timedelta(days=7 if folder.days > 14 else 1)
        first = max(folder.start, min(site.peak_time - span / 2, folder.end - span))
        name = "Week of the peak" if folder.days > 14 else "Day of the peak"
        buttons.append((name, int(first.timestamp() * 1000), int((first + span).timestamp() * 1000)))
    if folder.days > 14:
        first = folder.start + timedelta(seconds=folder.seconds / 2)
        buttons.append(
            (
                "A week at mid-run",
                int(first.timestamp() * 1000),
                int((first + timedelta(days=7)).timestamp() * 1000),
            )
        )
    out = "".join(
        f'<button type="button" data-zoom="{"" if first is None else first},{"" if last is None else last}">{name}</button>'
        for name, first, last in buttons
    )
    return f'<div class="controls screen" role="group" aria-label="Zoom of all charts over time">{out}</div>'


def _zone(folder: RunFolder) -> str:
    return str(folder.scenario.get("site", {}).get("time_zone") or "UTC")


def _map_caption(folder: RunFolder, what: str) -> str:
    zone = _zone(folder)
    skipped = "" if zone == "UTC" else " The hour that summer time skips is empty."
    return f"{what}. Each cell is the mean of an hour, in local time ({escape(zone)}).{skipped}"


def hour_map(
    folder: RunFolder, name: str, column: str, unit: str, colours: str, decimals: int
) -> dict[str, Any]:
    """Describe a map of hour of day by day; long runs put several days into one column."""
    local = pl.col("time_utc").dt.convert_time_zone(_zone(folder))
    rows = (
        folder.scan(name, ["time_utc", column])
        .with_columns(_day=local.dt.date(), _hour=local.dt.hour().cast(pl.Int64))
        .group_by("_day", "_hour")
        .agg(pl.col(column).mean())
        .sort("_day", "_hour")
        .collect()
    )
    if rows.is_empty():
        return {
            "kind": "map",
            "days": [],
            "values": [],
            "unit": unit,
            "colours": colours,
            "decimals": decimals,
            "per": 1,
        }
    listed: list[date] = rows["_day"].to_list()
    first, last = listed[0], listed[-1]
    count = (last - first).days + 1
    per = -(-count // 400)
    columns = -(-count // per)
    sums, counts = np.zeros((columns, 24)), np.zeros((columns, 24))
    values = rows[column].cast(pl.Float64).to_numpy()
    at = ((rows["_day"] - first).dt.total_days().to_numpy() // per, rows["_hour"].to_numpy())
    known = np.isfinite(values)
    np.add.at(sums, (at[0][known], at[1][known]), values[known])
    np.add.at(counts, (at[0][known], at[1][known]), 1)
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    days = [(first + timedelta(days=i * per)).isoformat() for i in range(columns)]
    return {
        "kind": "map",
        "days": days,
        "values": rounded(means.ravel(), decimals),
        "unit": unit,
        "colours": colours,
        "decimals": decimals,
        "per": per,
    }


def energy_section(folder: RunFolder) -> Section:
    """Draw where the energy came from, what it cost and what it emitted."""
    grid = folder.hour_grid()
    money = [column for column, _, _ in MONEY]
    frame = folder.table(
        "energy", ["time_utc", *ENERGY_MEANS, *money, "cost_eur", "income_heat_eur", *carbon.CARBON]
    )
    series = grid.collect(frame.lazy(), [pl.col(name).mean() for name in ENERGY_MEANS])
    lines = [
        Line("Contracts, used", "ppa", series["ppa_mwh"]),
        Line("Spot, bought", "spot", series["spot_bought_mwh"]),
        Line("Contracts, sold at spot", "sold", -series["ppa_sold_mwh"], "below"),
    ]
    totals = {name: float(frame[name].cast(pl.Float64).sum()) for name in (*ENERGY_MEANS, *carbon.CARBON)}
    site, bought = totals["site_mwh"], totals["spot_bought_mwh"]
    caption = (
        f"Of {amount(site / 1000, 'GWh')} used, {percent(totals['ppa_mwh'] / site if site else None)} came from "
        f"contracts and {percent(bought / site if site else None)} from the spot market; "
        f"{amount(totals['ppa_sold_mwh'] / 1000, 'GWh')} of the contracts were not needed and sold at spot. "
        f"Means over {grid} steps; sold energy is drawn below zero."
    )
    sources = Figure(
        "energy",
        "Energy by source",
        caption,
        over_time(grid, lines, ["MWh/h"]),
        period_table(grid, lines, ["MWh/h"]),
    )
    prices = frame["spot_eur_per_mwh"].cast(pl.Float64)
    low, high = prices.min(), prices.max()
    average = prices.mean()
    weighted = float((prices * frame["site_mwh"].cast(pl.Float64)).sum()) / site if site else None
    price_line = [Line("Spot price", "price", series["spot_eur_per_mwh"], "line")]
    price = Figure(
        "price",
        "Spot price",
        f"From {number(_float(low), 1)} to {quantity(_float(high), 'EUR/MWh', 1)}; mean {number(_float(average), 1)}, weighted by the "
        f"site's consumption {quantity(weighted, 'EUR/MWh', 1)}. Means over {grid} steps.",
        over_time(grid, price_line, ["EUR/MWh"], decimals=(2,), from_zero=(False,)),
        period_table(grid, price_line, ["EUR/MWh"], (2,)),
    )
    price_map = Figure(
        "prices",
        "Spot price by hour and day",
        _map_caption(folder, "Cheap hours are light"),
        hour_map(folder, "energy", "spot_eur_per_mwh", "EUR/MWh", "price", 1),
    )
    return Section(
        "energy",
        "Energy, cost and carbon",
        parts=[
            sources,
            contracts.contracts_block(folder),
            price,
            price_map,
            _costs(folder, frame, site),
            carbon.carbon_block(folder, totals),
        ],
    )


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _decimal(frame: pl.DataFrame, column: str) -> Decimal | None:
    """Sum money without rounding; a column that is nowhere known is not known."""
    found = frame[column]
    if found.len() and found.null_count() == found.len():
        return None
    if found.dtype.is_decimal():
        return Decimal(str(found.sum())) if found.len() else Decimal(0)
    return sum((Decimal(str(v)) for v in found.drop_nulls().to_list()), Decimal(0))


def _costs(folder: RunFolder, frame: pl.DataFrame, site_mwh: float) -> str:
    rows, added = [], Decimal(0)
    total = _decimal(frame, "cost_eur")
    for column, name, sign in MONEY:
        amount = _decimal(frame, column)
        if amount is not None:
            added += sign * amount
        shown = None if amount is None else sign * amount
        each = None if amount is None or not site_mwh else float(shown or 0) / site_mwh
        rows.append([name, f"<code>{column}</code>", exact(shown), number(each, 2)])
    foot = [
        "Electricity, in all",
        "<code>cost_eur</code>",
        exact(total),
        number(float(total) / site_mwh if total is not None and site_mwh else None, 2),
    ]
    check = "the parts add up to it exactly" if total == added else f"the parts add up to {exact(added)}"
    heat = _decimal(frame, "income_heat_eur")
    compute = folder.summary.get("compute_income_usd")
    income = table(
        ["income", "", "amount"],
        [
            [
                "Heat sold",
                "<code>income_heat_eur</code>",
                f"{exact(heat)} EUR" if heat is not None else NOT_KNOWN,
            ],
            [
                "GPU-hours sold, at the tenants' prices",
                "<code>compute_income_usd</code>",
                f"{number(Decimal(str(compute)), 0)} USD" if compute is not None else NOT_KNOWN,
            ],
        ],
        right=(2,),
    )
    body = table(["cost", "column", "EUR", "EUR/MWh of site energy"], rows, right=(2, 3), total=foot)
    return (
        f'<div class="block"><h3>Costs and income</h3><p class="caption">Sums of exact decimals over the hours of '
        f"<code>energy.parquet</code>; {check}.</p>{body}{income}</div>"
    )


INDICATORS = (
    ("PUE", "pue", "ISO/IEC 30134-2", "E_site / E_IT", "Energy at the utility meter over energy at the IT input (category 3 boundary: rack input). Pumps, dry coolers, transformers, UPS and busway count as infrastructure; tray fans and power shelves as IT.", "1", 4),
    ("ERF", "erf", "ISO/IEC 30134-6", "E_reuse / E_site", "Heat handed over to customers at the site boundary over site energy. Lifting by a customer's own heat pump is not counted.", "1", 4),
    ("REF", "ref", "ISO/IEC 30134-3", "E_renewable / E_site", "Energy from the power-purchase agreement and energy with cancelled guarantees of origin over site energy.", "1", 4),
    ("CUE", "cue_kg_per_kwh", "ISO/IEC 30134-8", "m_CO2 / E_IT", "", "kg/kWh", 5),
    ("WUE", "wue_l_per_kwh", "ISO/IEC 30134-9", "V_water / E_IT", "Water evaporated on site by the adiabatic pads over IT energy (category 1).", "L/kWh", 5),
    ("CER", "cer", "ISO/IEC 30134-7", "Q_removed / E_cooling", "Heat removed by the cooling system over the electricity of its pumps and fans.", "1", 1),
    ("CFE score", "cfe_score", "24/7 carbon-free energy", "Σ_h [min(E_site, E_PPA) + max(0, E_site \u2212 E_PPA) · g] / Σ_h E_site", "Consumption matched hour by hour with contracted carbon-free energy; what is bought beyond it counts with the carbon-free share g of the grid; surplus of one hour does not count for another.", "1", 4),
)  # fmt: skip


def indicators_section(folder: RunFolder) -> Section:
    """Tabulate the indicators of the standards with formula, boundary and value."""
    rows = []
    for name, key, standard, formula, boundary, unit, decimals in INDICATORS:
        value = folder.summary.get(key)
        limits = boundary
        if key == "cue_kg_per_kwh":
            basis = folder.summary.get("cue_basis")
            limits = f"Basis: {escape(str(basis)) if basis else NOT_KNOWN}. Emissions of the site's electricity over IT energy."
        shown = (
            number(value, decimals)
            if value is None or abs(value) >= 10.0**-decimals or value == 0
            else significant(value, 3)
        )
        unit_text = "" if value is None or unit == "1" else f" {unit}"
        rows.append(
            [
                f"<b>{name}</b>",
                f'<span class="value">{shown}</span>{unit_text}',
                write_formula(formula),
                limits,
                escape(standard),
            ]
        )
    complete = folder.days >= 364.9
    note = (
        "Sums over the whole run."
        if complete
        else f"The standards ask for twelve months; this run covers {number(folder.days, 0 if folder.days == int(folder.days) else 1)} days "
        f"from {day(folder.start)}, so the values describe this span only."
    )
    return Section(
        "indicators",
        "Indicators",
        lead=note,
        parts=[
            table(
                ["indicator", "value", "formula", "boundary", "standard"], rows, right=(1,), kind="indicators"
            )
        ],
    )
