"""Runs side by side in access, money, heat, carbon and power, as somebody weighs them who has to decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.runs.compare import against_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvandal.ledger.statements.item import Account

Row = tuple[str, str, str, float | None]
"""Chapter, name, unit, value."""


def side_by_side(folders: list[Path]) -> list[dict[str, Any]]:
    """Rows of ``{chapter, name, unit, values, differences, relative}``; what only some runs have is not known to the others.

    Parameters
    ----------
    folders
        Run folders; the others are compared with the first.

    """
    from kvandal.runs.books import opened
    from kvandal.runs.folder import read_record

    found = []
    for folder in folders:
        rows = _rows(read_record(folder), opened(folder))
        found.append({(chapter, name): (unit, value) for chapter, name, unit, value in rows})
    keys = dict.fromkeys(key for one in found for key in one)
    order = {"Access": 0, "Money": 1, "Investment": 2, "Heat": 3, "Carbon": 4, "Power": 5}
    table = []
    for chapter, name in sorted(keys, key=lambda key: order[key[0]]):
        (unit, *_) = (one[chapter, name][0] for one in found if (chapter, name) in one)
        values = [one[chapter, name][1] if (chapter, name) in one else None for one in found]
        table.append({"chapter": chapter, "name": name, "unit": unit, **against_first(values)})
    return table


def _rows(record: dict[str, Any], account: Account) -> Iterator[Row]:
    summary = record["summary"]
    yield from _access(summary, account)
    yield from _money(account, float(summary["gpu_hours_allocated"]))
    for name, unit, key in (
        ("sold", "MWh", "heat_exported_mwh"), ("delivered", "MWh", "heat_delivered_mwh"), ("not delivered", "MWh", "heat_unmet_mwh"),
        ("electricity of heat pumps", "MWh", "heat_pump_energy_mwh"), ("energy reuse factor", "1", "erf"),
    ):  # fmt: skip
        yield "Heat", name, unit, summary[key]
    yield from _carbon(summary)
    for name, unit, key in (
        ("energy of the site", "MWh", "site_energy_mwh"), ("power usage effectiveness", "1", "pue"),
        ("mean power", "MW", "mean_site_mw"), ("highest power", "MW", "peak_site_mw"), ("time at the envelope", "h", "hours_at_envelope"),
    ):  # fmt: skip
        yield "Power", name, unit, summary[key]


def _access(summary: dict[str, Any], account: Account) -> Iterator[Row]:
    """Tell who got the GPUs, by the tier of the tenant, and who waited."""
    import polars as pl

    from kvandal.ledger.indicators import ratio
    from kvandal.ledger.statements.item import quantile
    from kvandal.scenario.tenants import TIERS

    jobs = account.tables["jobs"].select("tier", "wait_s", "state", "gpu_s_allocated")
    yield "Access", "GPU-hours installed", "GPU-h", summary["gpu_hours_installed"]
    yield "Access", "share of GPUs in use", "1", summary["allocation_share"]
    for tier in TIERS:
        mine = jobs.filter(pl.col("tier").cast(pl.String) == tier)
        waits = mine["wait_s"].drop_nulls()
        yield "Access", f"GPU-hours of {tier} tenants", "GPU-h", float(mine["gpu_s_allocated"].sum()) / 3600
        yield "Access", f"wait of {tier} tenants, half at most", "s", quantile(waits, 0.5)
        yield "Access", f"wait of {tier} tenants, 95 % at most", "s", quantile(waits, 0.95)
    refused = jobs.filter(pl.col("state") == "refused").height
    yield "Access", "share of jobs rejected", "1", ratio(refused, jobs.height)
    for name, key in (("parts of loans", "loans"), ("recalls", "recalls")):
        yield "Access", name, "1", summary[key]
    yield "Access", "GPU-hours lost", "GPU-h", sum(summary["gpu_hours_lost"].values())


REVENUE = ("compute", "take-or-pay", "credits", "heat", "reserves", "electricity", "energy passed on")
"""Accounts of revenue."""
ENERGY = ("electricity", "guarantees", "grid", "electricity tax", "fuel", "deviations")
"""Expenses that make up what electricity costs."""


def _money(account: Account, used_h: float) -> Iterator[Row]:
    """Tell what the owners earn and spend, as the books have it."""
    from kvandal.ledger.statements.owners import income_statement, investment, result_cents

    rows = {name: cents / 100 for name, cents in income_statement(account).iter_rows()}
    for name in REVENUE:
        yield "Money", f"revenue, {name}", "EUR", rows.get(f"revenue:{name}", 0.0)
    electricity = -sum(rows.get(f"expense:{name}", 0.0) for name in ENERGY)
    expense = -sum(eur for name, eur in rows.items() if name.startswith("expense:"))
    depreciation = -sum(eur for name, eur in rows.items() if name.startswith("expense:depreciation"))
    yield "Money", "cost of electricity", "EUR", electricity
    yield "Money", "upkeep, insurance, staff", "EUR", expense - electricity - depreciation
    yield "Money", "depreciation", "EUR", depreciation
    owners = result_cents(account)
    yield "Money", "result", "EUR", sum(owners.values()) / 100
    for name, cents in owners.items():
        if name:
            yield "Money", f"result of {name}", "EUR", cents / 100
    yield "Money", "cost of a GPU-hour in use", "EUR/GPU-h", expense / used_h if used_h else None
    life = investment(account)
    yield "Investment", "capital", "EUR", sum(life.capital_eur.values())
    yield "Investment", "left by a year, before depreciation", "EUR", life.yearly_eur
    yield "Investment", "net present value", "EUR", life.net_present_value_eur
    yield "Investment", "internal rate of return", "1", life.rate_of_return


def _carbon(summary: dict[str, Any]) -> Iterator[Row]:
    """Tell of carbon on four bases, and of clean energy by the hour and by the year."""
    used_h = float(summary["gpu_hours_allocated"])
    for name, key in (
        ("location-based, direct", "carbon_location_t"), ("location-based, life-cycle", "carbon_location_lifecycle_t"),
        ("market-based, direct", "carbon_market_t"), ("market-based, life-cycle", "carbon_market_lifecycle_t"),
    ):  # fmt: skip
        yield "Carbon", name, "t CO2e", summary[key]
    per_hour = float(summary["carbon_location_t"]) * 1e6 / used_h if used_h else None
    yield "Carbon", "location-based, direct, of a GPU-hour in use", "g CO2e/GPU-h", per_hour
    yield "Carbon", "matched with clean energy by the hour", "1", summary["cfe_score"]
    yield "Carbon", "covered on paper over the run", "1", summary["annual_match_share"]
