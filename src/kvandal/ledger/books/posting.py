"""From the tables of a run to its journal, month by month. Reads nothing but the run folder."""

from __future__ import annotations

from typing import Any

import polars as pl

from kvandal.ledger.attribution import CARBON, OWNERS, whole_steps
from kvandal.ledger.books.amounts import MONTH, cents, shared
from kvandal.ledger.books.journal import CENT, GPU_S, WH, Journal, Posting
from kvandal.ledger.books.property import enter_property, enter_running_costs, standing
from kvandal.ledger.energy import COSTS, INCOMES
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import TIERS
from kvandal.twin.records import LOSSES
from kvandal.twin.site import build_site

Tables = dict[str, pl.DataFrame]
TABLES: dict[str, list[str] | None] = {
    **dict.fromkeys(("tenant_energy", "tenants", "energy", "contracts", "heat")),
    "site": ["time_utc", "gpu_s_installed", "gpu_s_broken", "at_envelope"],
    "jobs": [
        "tenant", "tier", "gpus", "submit_utc", "start_utc", "end_utc", "wait_s", "state", "gpu_s_allocated",
        *(f"gpu_s_lost_{cause}" for cause in LOSSES),
    ],
    "loans": ["lender", "borrower", "gpus", "start_utc", "noticed_utc", "returned_utc"],
}  # fmt: skip
"""Tables of a run folder that books and statements are made from, and their columns; None: all."""
READ: dict[str, Any] = {
    "tenant_energy": pl.all(),
    "tenants": ["time_utc", "tenant", "deserved_gpus", "gpus_held", "queued_gpus"],
    "cents": pl.all(),
    "contracts": pl.all(),
    "heat": ["time_utc", "customer", "source_mwh"],
    "site": ["time_utc", "gpu_s_installed", "gpu_s_broken"],
}
"""Tables that are posted month by month, and what of them."""


def months_of(tables: Tables) -> list[str]:
    """Months (UTC) that a run touches, in order."""
    return tables["energy"].select(MONTH)["month"].unique(maintain_order=True).to_list()


def journal_of(scenario: Scenario, tables: Tables) -> Journal:
    """Keep the books of a run.

    Parameters
    ----------
    scenario
        What was simulated: prices, owners, terms.
    tables
        Tables of the run folder by name.

    """
    journal = Journal()
    hourly = {**tables, "cents": _hourly_cents(tables)}
    by_month = {name: parted(hourly[name].select(columns)) for name, columns in READ.items()}
    lost = lost_gpu_s(tables)
    racks = standing(build_site(scenario), tables["energy"]["time_utc"])
    for month in months_of(tables):
        mine = {name: parts[month] for name, parts in by_month.items() if month in parts}
        _work(journal, scenario, mine, month)
        _offtaker(journal, scenario, mine, month)
        _losses(journal, scenario, lost, month)
        _energy(journal, mine, month)
        _passed_on(journal, scenario, mine, month)
        _heat(journal, scenario, mine, month)
        enter_property(journal, scenario, racks[month], month)
        enter_running_costs(journal, scenario, racks[month], month)
        close(journal, scenario, month)
    return journal


def parted(table: pl.DataFrame, column: str = "time_utc") -> dict[str, pl.DataFrame]:
    """Part a table by the months (UTC) of one of its instants; rows without one are in the month ``None``."""
    months = table.with_columns(pl.col(column).dt.strftime("%Y-%m").alias("month"))
    parts = months.partition_by("month", as_dict=True, include_key=False)
    return {str(month): part for (month,), part in parts.items()}


def price_eur_per_gpu_h(scenario: Scenario, tenant: str) -> float:
    """Price of a GPU-hour [EUR]."""
    usd = float(scenario.tenants[tenant].price_usd_per_gpu_hour)
    return usd * scenario.finance.nok_per_usd / scenario.market.nok_per_eur


def _work(journal: Journal, scenario: Scenario, tables: Tables, month: str) -> None:
    """GPU-seconds that tenants used, their price, and what is attributed to them."""
    units = [f"{name}_g" for name in CARBON]
    used = tables["tenant_energy"].group_by("tenant", maintain_order=True).agg(pl.exclude("time_utc").sum())
    for row in used.iter_rows(named=True):
        name = str(row["tenant"])
        for tier in TIERS:
            journal.transfer(
                month, f"GPU-seconds, {tier}", f"use:{name}:{tier}", "capacity", row[f"gpu_s_{tier}"], GPU_S
            )
        journal.transfer(month, "energy attributed", f"energy:{name}", "meter", row["site_wh"], WH)
        for unit in units:
            journal.transfer(month, "carbon attributed", f"carbon:{name}", "emitted", row[unit], unit)
        if name != OWNERS:
            gpu_h = sum(row[f"gpu_s_{tier}"] for tier in TIERS) / 3600
            journal.transfer(
                month,
                "GPU-hours",
                f"receivable:{name}",
                "revenue:compute",
                cents(gpu_h * price_eur_per_gpu_h(scenario, name)),
            )


def availability(site: pl.DataFrame) -> float | None:
    """Part of the installed GPU-seconds of some ticks that was not broken; None where nothing stood."""
    installed = int(site["gpu_s_installed"].sum())
    return 1.0 - int(site["gpu_s_broken"].sum()) / installed if installed else None


def taken_or_waited_h(hours: pl.DataFrame) -> float:
    """GPU-hours of a tenant's hours that it took, and those of its share that it waited for and did not get.

    >>> hours = pl.DataFrame({"deserved_gpus": [100, 100], "gpus_held": [80.0, 80.0], "queued_gpus": [0, 50]})
    >>> taken_or_waited_h(hours)
    180.0
    """
    free = (pl.col("deserved_gpus") - pl.col("gpus_held")).clip(lower_bound=0.0)
    return float(
        hours.select((pl.col("gpus_held") + pl.min_horizontal(free, "queued_gpus")).sum()).item() or 0.0
    )


def _offtaker(journal: Journal, scenario: Scenario, tables: Tables, month: str) -> None:
    """Take or pay, and credits where less was available than promised; what the off-taker waited for in vain it need not pay."""
    terms, name = scenario.finance, scenario.finance.offtaker_tenant
    if name is None:
        return
    hours = tables["tenants"].filter(pl.col("tenant").cast(pl.String) == name)
    reserved_h, used_h = float(hours["deserved_gpus"].sum()), float(hours["gpus_held"].sum())
    price = price_eur_per_gpu_h(scenario, name)
    short_h = max(0.0, reserved_h * terms.take_or_pay_fraction - taken_or_waited_h(hours))
    journal.transfer(
        month,
        "take or pay: hours not taken",
        f"receivable:{name}",
        "revenue:take-or-pay",
        cents(short_h * price),
    )
    reached = availability(tables["site"])
    if reached is not None and reached < terms.availability_fraction:
        fee = cents(used_h * price) + cents(short_h * price)
        journal.transfer(
            month, "credit: availability below what was promised", "revenue:credits", f"receivable:{name}",
            round(fee * terms.credit_fraction),
        )  # fmt: skip


def lost_gpu_s(tables: Tables) -> pl.DataFrame:
    """GPU-seconds that jobs lost, by month, tenant and cause: `month`, `tenant`, and a column for each of LOSSES.

    A job's losses are settled in the month in which it ends; those of jobs that are still there when the run ends, in its
    last month.
    """
    last = months_of(tables)[-1]
    ended = pl.col("end_utc").dt.strftime("%Y-%m").fill_null(last)
    return (
        tables["jobs"]
        .filter(pl.col("start_utc").is_not_null())
        .group_by(ended.alias("month"), pl.col("tenant").cast(pl.String))
        .agg(pl.col(f"gpu_s_lost_{cause}").sum().alias(cause) for cause in LOSSES)
        .sort("month", "tenant")
    )


def credited(scenario: Scenario, tenant: str) -> tuple[str, ...]:
    """Causes of loss for which a tenant is given its money back."""
    terms = scenario.finance.credited_losses
    if tenant == scenario.finance.offtaker_tenant:
        return terms.offtaker
    return {"firm": terms.firm, "assured": terms.assured, "lent": terms.lent}[scenario.tenants[tenant].tier]


def _losses(journal: Journal, scenario: Scenario, lost: pl.DataFrame, month: str) -> None:
    """Credits for GPU-hours that were charged and lost through no fault of the tenant."""
    for row in lost.filter(pl.col("month") == month).iter_rows(named=True):
        name = str(row["tenant"])
        for cause in credited(scenario, name):
            amount = cents(float(row[cause]) / 3600 * price_eur_per_gpu_h(scenario, name))
            journal.transfer(
                month, f"credit: GPU-hours lost to {cause}", "revenue:credits", f"receivable:{name}", amount
            )


def _hourly_cents(tables: Tables) -> pl.DataFrame:
    """Costs and incomes of energy in whole cents by the hour, such that running totals are rounded ones."""
    energy = tables["energy"]
    columns = {
        name: whole_steps(energy[name].cast(pl.Float64).to_numpy() * 100) for name in (*COSTS, *INCOMES)
    }
    return pl.DataFrame({"time_utc": energy["time_utc"], **columns})


def _energy(journal: Journal, tables: Tables, month: str) -> None:
    """Energy bought and sold: contracts to their sellers, the rest to market, grid and state."""
    total = {name: int(tables["cents"][name].sum()) for name in (*COSTS, *INCOMES)}
    contracts = tables.get("contracts")
    if contracts is not None:
        by_seller = contracts.group_by("seller", maintain_order=True).agg(
            pl.col("cost_eur").cast(pl.Float64).sum()
        )
        amounts = whole_steps(by_seller["cost_eur"].to_numpy() * 100)
        amounts[-1] += total["cost_ppa_eur"] - int(amounts.sum())  # cents of the month's rounding
        for seller, amount in zip(by_seller["seller"].to_list(), amounts.tolist(), strict=True):
            journal.transfer(
                month, "contract for electricity", "expense:electricity", f"payable:{seller}", amount
            )
    for name, account, creditor in (
        ("cost_spot_eur", "electricity", "power exchange"),
        ("cost_heat_pump_eur", "electricity", "power exchange"),
        ("cost_deviation_eur", "deviations", "balance responsible party"),
        ("cost_goo_eur", "guarantees", "registry of guarantees"),
        ("cost_tariff_capacity_eur", "grid", "grid company"),
        ("cost_tariff_energy_eur", "grid", "grid company"),
        ("cost_tariff_reactive_eur", "grid", "grid company"),
        ("cost_tax_eur", "electricity tax", "state"),
        ("cost_generator_eur", "fuel", "supplier of fuel"),
    ):
        journal.transfer(
            month,
            name.removeprefix("cost_").removesuffix("_eur"),
            f"expense:{account}",
            f"payable:{creditor}",
            total[name],
        )
    journal.transfer(
        month,
        "electricity sold",
        "receivable:power exchange",
        "revenue:electricity",
        total["income_sold_eur"],
    )
    journal.transfer(
        month, "reserves sold", "receivable:system operator", "revenue:reserves", total["income_reserves_eur"]
    )


def _passed_on(journal: Journal, scenario: Scenario, tables: Tables, month: str) -> None:
    """Settle contracts that tenants buy: they bear the cost, and are given the spot price of whatever was delivered."""
    buyers = dict.fromkeys(one.buyer for one in scenario.supply.purchases.values() if one.buyer)
    for buyer in buyers:
        mine = tables["contracts"].filter(pl.col("buyer").cast(pl.String) == buyer)
        account, passed = f"receivable:{buyer}", "revenue:energy passed on"
        for text, column, debit, credit in (
            ("contract of its own, at cost", "cost_eur", account, passed),
            ("sold of its contract", "income_sold_eur", passed, account),
            ("used of its contract, at spot", "used_at_spot_eur", passed, account),
        ):
            journal.transfer(month, text, debit, credit, cents(float(mine[column].sum())))


def _heat(journal: Journal, scenario: Scenario, tables: Tables, month: str) -> None:
    """Heat handed over, at each customer's price."""
    for name, customer in scenario.heat.customers.items():
        mine = tables["heat"].filter(pl.col("customer").cast(pl.String) == name)
        sold_mwh = float(mine["source_mwh"].sum())
        amount = cents(sold_mwh * customer.price_eur_per_mwh)
        journal.transfer(month, "heat", f"receivable:heat:{name}", "revenue:heat", amount)


def close(journal: Journal, scenario: Scenario, month: str) -> None:
    """Close a month: revenue and expense go to the owners by their shares, to the last cent."""
    totals: dict[str, int] = {}
    for _, row_month, account, unit, amount, *_ in journal.rows:
        if row_month == month and unit == CENT and account.split(":")[0] in ("revenue", "expense"):
            totals[account] = totals.get(account, 0) + amount
    owners = shared(scenario, "equity", sum(totals.values()))
    journal.post(
        month,
        "result to the owners",
        [*(Posting(name, CENT, -amount) for name, amount in totals.items()), *owners],
    )
