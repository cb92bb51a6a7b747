"""The day-ahead plan on the page: what was planned, what came of it, what it earned and what deviations cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.grid import Floats, Grid
from kvandal.report.text import DASH, amount, exact, number, percent, quantity, table

PRODUCTS = {
    "ffr": "FFR",
    "fcr_d_up": "FCR-D\u00a0up",
    "fcr_d_down": "FCR-D\u00a0down",
    "afrr_up": "aFRR\u00a0up",
    "mfrr_up": "mFRR\u00a0up",
}
ROLES = ("firm", "assured", "lent", "ppa", "price")
"""Colours of products, in the order of the table."""
PLAN = [
    "time_utc", "forecast_load_mwh", "forecast_ambient_c", "forecast_heat_mwh", "planned_import_mwh", "import_mwh", "deviation_mwh",
    "battery_planned_mw", "battery_activated_mw", "battery_mw", "battery_planned_mwh", "lent_cap_fraction", "lent_shift_mwh",
]  # fmt: skip
MONEY = ("income_capacity_eur", "income_energy_eur", "penalty_eur")


def plan_section(folder: RunFolder) -> Section | None:
    """Draw the plan against what came of it; None in a run without a plan."""
    if not _terms(folder).get("enabled"):
        return None
    plan, grid = folder.table("plan", PLAN), folder.hour_grid()
    if plan.is_empty():
        return None
    means = grid.collect(plan.lazy(), [pl.col(name).cast(pl.Float64).mean() for name in PLAN[1:]])
    energy = folder.table("energy", ["time_utc", "cost_deviation_eur"])
    heat = folder.table(
        "heat", ["time_utc", "customer", "demand_mwh", "store_in_mwh", "store_out_mwh", "store_mwh"]
    )
    reserves = folder.table("reserves", ["time_utc", "product", "offered_mw", "activated_mwh", *MONEY])
    cost = _money(energy, "cost_deviation_eur")
    parts: list[str | Figure] = [
        _import_figure(grid, means),
        _deviations(folder, grid, plan, energy, cost),
        *_battery(folder, grid, plan, means),
        *_reserves(grid, reserves),
        *_stores(grid, heat),
        _weather(folder, grid, plan, heat),
        *_caps(grid, plan, means),
    ]
    return Section("plan", "Day-ahead plan", lead=_lead(folder, plan, reserves, heat, cost), parts=parts)


def _terms(folder: RunFolder) -> dict[str, Any]:
    found = folder.scenario.get("plan")
    return found if isinstance(found, dict) else {}


def _money(frame: pl.DataFrame, column: str) -> Decimal:
    return Decimal(str(frame[column].sum())) if frame.height else Decimal(0)


def _lead(
    folder: RunFolder, plan: pl.DataFrame, reserves: pl.DataFrame, heat: pl.DataFrame, cost: Decimal
) -> str:
    known = plan.filter(pl.col("planned_import_mwh").is_not_null())
    days = known.height / 24
    bought, drawn = (float(known[name].sum()) for name in ("planned_import_mwh", "import_mwh"))
    first = (
        f"{number(days)} of {number(folder.days)} days were planned at their start (the first day has no plan: nothing is known yet). For "
        f"them {amount(bought / 1000, 'GWh')} were bought the day before and {amount(drawn / 1000, 'GWh')} drawn; deviations either way "
        f"cost {quantity(cost, 'EUR')}."
    )
    sentences = [first]
    power = known["battery_planned_mw"].to_numpy()
    if np.abs(power).max(initial=0.0) > 0:
        sentences.append(
            f"The battery was planned to give {amount(float(np.clip(power, 0, None).sum()), 'MWh')} and to take "
            f"{amount(float(-np.clip(power, None, 0).sum()), 'MWh')}."
        )
    else:
        sentences.append("The battery was not moved for prices.")
    if reserves.height and float(reserves["offered_mw"].sum()) > 0:
        earned = sum((_money(reserves, name) for name in MONEY[:2]), Decimal(0)) - _money(reserves, MONEY[2])
        sentences.append(
            f"Reserves earned {quantity(earned, 'EUR')}: readiness {quantity(_money(reserves, MONEY[0]), 'EUR')}, activated energy "
            f"{quantity(_money(reserves, MONEY[1]), 'EUR', 2)} beyond its spot value, less {quantity(_money(reserves, MONEY[2]), 'EUR', 2)} for "
            "calls that were not followed."
        )
    taken = float(heat["store_in_mwh"].sum()) if heat.height else 0.0
    if taken > 0:
        given = float(heat["store_out_mwh"].sum())
        sentences.append(f"Heat stores took {amount(taken, 'MWh')} and gave {amount(given, 'MWh')}.")
    capped = int((plan["lent_cap_fraction"] < 1.0 - 1e-9).sum())
    shift = float(plan["lent_shift_mwh"].sum())
    sentences.append(
        f"Lent work was capped for prices in {number(capped)} hours, to save {amount(shift, 'MWh')}."
        if capped
        else "No hour was dear enough to cap lent work."
    )
    error_k = _terms(folder).get("weather_error_k")
    sentences.append(
        "<b>Synthetic:</b> when reserves are called, and the error of the weather forecast (root mean square "
        f"{quantity(error_k, 'K', 1)} a day ahead), are drawn from the run's seed, not observed."
    )
    return " ".join(sentences)


def _import_figure(grid: Grid, means: dict[str, Floats]) -> Figure:
    lines = [
        Line("Drawn", "it", means["import_mwh"], "line"),
        Line("Planned", "spot", means["planned_import_mwh"], "dashed"),
    ]
    known = np.isfinite(means["planned_import_mwh"])
    off = means["forecast_load_mwh"][known] - (means["import_mwh"] + means["battery_mw"])[known]
    caption = (
        "Import through the meter as it was bought the day before and as it came. The planned line is the forecast load less what "
        "battery and caps were to give; the forecast is as high as the day before, shaped as the days of the week before "
        f"(root mean square error {amount(_rms(off), 'MW')} over {grid} means)."
    )
    return Figure(
        "plan-import",
        "Import, planned and drawn",
        caption,
        over_time(grid, lines, ["MWh/h"], from_zero=(False,)),
        period_table(grid, lines, ["MWh/h"], (3,)),
    )


def _rms(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if known.size else None


def _deviations(
    folder: RunFolder, grid: Grid, plan: pl.DataFrame, energy: pl.DataFrame, cost: Decimal
) -> str:
    """Tabulate deviations and their cost by calendar period."""
    both = plan.lazy().join(energy.lazy(), on="time_utc")
    off = pl.col("deviation_mwh")
    sums = grid.collect(
        both,
        [
            pl.col("planned_import_mwh").sum().alias("planned"),
            pl.col("import_mwh").filter(pl.col("planned_import_mwh").is_not_null()).sum().alias("drawn"),
            off.clip(lower_bound=0.0).sum().alias("more"),
            (-off.clip(upper_bound=0.0)).sum().alias("less"),
            pl.col("cost_deviation_eur").cast(pl.Float64).sum().alias("cost"),
        ],
    )
    names = ("planned", "drawn", "more", "less", "cost")
    rows = [
        [
            period,
            *(
                number(float(np.nansum(sums[name][first:after])), 2 if name == "cost" else 1)
                for name in names
            ),
        ]
        for period, first, after in grid.period_edges()
    ]
    foot = ["in all", *(number(float(np.nansum(sums[name])), 1) for name in names[:4]), exact(cost)]
    heads = [
        "",
        "planned [MWh]",
        "drawn [MWh]",
        "above [MWh]",
        "below [MWh]",
        "cost [EUR]",
    ]
    spread = _terms(folder).get("deviation_eur_per_mwh")
    body = table(heads, rows, right=range(1, 6), total=foot, kind="limits")
    return (
        f'<div class="block"><h3>Deviations</h3><p class="caption">Every MWh beside the plan, either way, costs '
        f"{quantity(spread, 'EUR', 1)} over its spot value; energy of called reserves is no deviation. Planned days only.</p>"
        f"{body}</div>"
    )


def _battery(
    folder: RunFolder, grid: Grid, plan: pl.DataFrame, means: dict[str, Floats]
) -> list[str | Figure]:
    moved = (
        plan[name].fill_null(0.0).ne(0.0).any() for name in ("battery_planned_mw", "battery_activated_mw")
    )
    if not any(moved):
        return []
    held = folder.scan("site", ["time_utc", "battery_mwh"])
    stored = grid.collect(held, [pl.col("battery_mwh").last()])["battery_mwh"]
    planned = grid.collect(plan.lazy(), [pl.col("battery_planned_mwh").last()])["battery_planned_mwh"]
    lines = [
        Line("Planned", "spot", means["battery_planned_mw"], "dashed"),
        Line(
            "Planned, with calls of reserves",
            "price",
            means["battery_planned_mw"] + means["battery_activated_mw"],
            "thin",
        ),
        Line("Delivered, less standby", "it", means["battery_mw"], "line"),
        Line("Energy stored, right axis", "useful", stored, "thin", 1),
        Line("Energy planned, right axis", "misc", planned, "dashed", 1),
    ]
    called = float(plan["battery_activated_mw"].sum())
    caption = (
        "Above zero the battery delivers. It follows the plan unless the site's limit asks for more; calls of reserves, which no plan "
        f"knows, come on top ({amount(called, 'MWh')} net over the run) and are the reason why stored energy drifts from the plan until "
        f"the next day is planned. {str(grid).capitalize()} means; energy at the end of each step."
    )
    return [
        Figure(
            "plan-battery",
            "Battery, planned and done",
            caption,
            over_time(grid, lines, ["MW", "MWh"], decimals=(4, 3)),
            period_table(grid, lines, ["MW", "MWh"], (4, 2)),
        )
    ]


def _reserves(grid: Grid, reserves: pl.DataFrame) -> list[str | Figure]:
    """Draw what was offered, and tabulate what each product earned."""
    if reserves.is_empty():
        return []
    names = reserves["product"].cast(pl.String).unique(maintain_order=True).to_list()
    offered = grid.collect_by(
        reserves.lazy().with_columns(pl.col("product").cast(pl.String)),
        "product",
        [pl.col("offered_mw").mean()],
    )
    lines = [
        Line(PRODUCTS.get(name, name), ROLES[place % len(ROLES)], offered[name]["offered_mw"])
        for place, name in enumerate(names)
    ]
    rows, totals = [], [Decimal(0)] * 3
    for name in names:
        mine = reserves.filter(pl.col("product").cast(pl.String) == name)
        money = [_money(mine, column) for column in MONEY]
        totals = [had + more for had, more in zip(totals, money, strict=True)]
        megawatts = mine["offered_mw"].to_numpy()
        active = megawatts > 1e-6
        rows.append(
            [
                PRODUCTS.get(name, name),
                number(int(active.sum())),
                number(float(megawatts[active].mean()) if active.any() else None, 2)
                if active.any()
                else DASH,
                number(float(megawatts.sum()), 1),
                number(float(mine["activated_mwh"].sum()), 3),
                *(exact(part) for part in money),
                exact(money[0] + money[1] - money[2]),
            ]
        )
    heads = [
        "product", "hours", "mean [MW]", "offer [MW·h]", "called [MWh]", "ready [EUR]", "called [EUR]", "missed [EUR]", "earned [EUR]",
    ]  # fmt: skip
    foot = [
        "in all",
        *[DASH] * 4,
        *(exact(part) for part in totals),
        exact(totals[0] + totals[1] - totals[2]),
    ]
    note = (
        "Offers are power of the battery that the plan keeps free, with energy for as long as each product must hold: in how many hours, "
        "how much on average, together, and what was called of it. Being ready is paid by the hour; what was called earns what its "
        "price lies above spot, since the spot value itself is what the site did not buy; what was missed costs being ready twice. "
        "When reserves are called is drawn (synthetic)."
    )
    figure = Figure(
        "plan-reserves",
        "Reserves offered",
        f"Power offered by product, {grid} means.",
        over_time(grid, lines, ["MW"]),
        period_table(grid, lines, ["MW"], (2,)),
    )
    body = table(heads, rows, right=range(1, 9), total=foot, kind="limits")
    return [
        figure,
        f'<div class="block"><h3>What reserves earned</h3><p class="caption">{note}</p>{body}</div>',
    ]


def _stores(grid: Grid, heat: pl.DataFrame) -> list[str | Figure]:
    if heat.is_empty() or not float(heat["store_in_mwh"].sum()):
        return []
    hourly = heat.group_by("time_utc", maintain_order=True).agg(
        pl.col("store_in_mwh", "store_out_mwh", "store_mwh").sum()
    )
    flows = grid.collect(
        hourly.lazy(), [pl.col("store_in_mwh", "store_out_mwh").mean(), pl.col("store_mwh").last()]
    )
    lines = [
        Line("Into stores", "tcs-supply", flows["store_in_mwh"]),
        Line("Out of stores", "tcs-return", -flows["store_out_mwh"], "below"),
        Line("Heat stored, right axis", "fws-return", flows["store_mwh"], "thin", 1),
    ]
    caption = (
        "The heat pumps run when power is cheap and the loop has heat that no other customer needs; the customers live on the stores when "
        f"it is dear. What is taken out is drawn below zero. {str(grid).capitalize()} means; heat stored at the end of each step."
    )
    return [
        Figure(
            "plan-stores",
            "Heat stores",
            caption,
            over_time(grid, lines, ["MWh/h", "MWh"], decimals=(3, 2)),
            period_table(grid, lines, ["MWh/h", "MWh"], (3, 1)),
        )
    ]


def _weather(folder: RunFolder, grid: Grid, plan: pl.DataFrame, heat: pl.DataFrame) -> Figure:
    """Draw the temperatures that the plan was told, and those that came."""
    hour = pl.col("time_utc").dt.truncate("1h")
    came = (
        folder.scan("site", ["time_utc", "ambient_c"])
        .group_by(hour, maintain_order=True)
        .agg(pl.col("ambient_c").first())
        .collect()
    )
    wanted = heat.group_by("time_utc", maintain_order=True).agg(pl.col("demand_mwh").sum())
    joined = plan.select("time_utc", "forecast_ambient_c", "forecast_heat_mwh").join(came, on="time_utc")
    off_k = (joined["forecast_ambient_c"] - joined["ambient_c"]).drop_nulls().to_numpy()
    told = ""
    if wanted.height:
        both = joined.join(wanted, on="time_utc")
        off = (both["forecast_heat_mwh"] - both["demand_mwh"]).drop_nulls().to_numpy()
        told = f" The heat demand that follows from it was off by {amount(_rms(off), 'MW')}."
    drawn = grid.collect(joined.lazy(), [pl.col("forecast_ambient_c", "ambient_c").mean()])
    lines = [
        Line("Came", "ambient", drawn["ambient_c"], "line"),
        Line("Forecast the day before", "spot", drawn["forecast_ambient_c"], "dashed"),
    ]
    caption = (
        f"Outdoor air. The forecast is the run's own weather with a drawn error (synthetic): root mean square {amount(_rms(off_k), 'K')} in "
        f"this run.{told}"
    )
    return Figure(
        "plan-weather",
        "Weather, forecast and come",
        caption,
        over_time(grid, lines, ["°C"], decimals=(2,), from_zero=(False,)),
        period_table(grid, lines, ["°C"], (1,)),
    )


def _caps(grid: Grid, plan: pl.DataFrame, means: dict[str, Floats]) -> list[str | Figure]:
    caps = plan["lent_cap_fraction"]
    if not (caps < 1.0 - 1e-9).any():
        return []
    lines = [
        Line("Cap of the plan", "lent", means["lent_cap_fraction"] * 100, "step"),
        Line("Planned saving, right axis", "useful", means["lent_shift_mwh"], "thin", 1),
    ]
    share = float((caps < 1.0 - 1e-9).sum()) / plan.height
    return [
        Figure(
            "plan-caps",
            "Caps on lent work",
            f"GPU power that lent work may use, over TDP, in hours whose energy costs more than the GPU-hours that slower work holds "
            f"({percent(share)} of the hours; rule E5). {str(grid).capitalize()} means.",
            over_time(grid, lines, ["%", "MWh/h"], decimals=(1, 3), from_zero=(False, True)),
            period_table(grid, lines, ["%", "MWh/h"], (1, 3)),
        )
    ]
