"""The statement of a tenant: what it used, waited, lent, lost, drew, emitted and owes in a month. Reads nothing but the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from kvandal.ledger.attribution import CARBON
from kvandal.ledger.books.posting import MONTH, Tables, price_eur_per_gpu_h
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import parameters
from kvandal.scenario.tenants import TIERS
from kvandal.twin.records import LOSSES

RANGES = {
    "carbon_location_direct": ("carbon.ef_location",),
    "carbon_location_lifecycle": ("carbon.ef_location_lifecycle",),
    "carbon_market_direct": ("carbon.ef_residual",),
    "carbon_market_lifecycle": ("carbon.ef_contract_lifecycle", "carbon.ef_residual_lifecycle"),
}
"""Factors whose range of the registry makes the uncertainty of each figure of carbon."""


@dataclass(frozen=True)
class Item:
    """A line of a statement: chapter, what, amount (None: not known), unit, and how it came."""

    chapter: str
    what: str
    amount: float | None
    unit: str
    note: str = ""


def statement_of(scenario: Scenario, tables: Tables, tenant: str, month: str) -> list[Item]:
    """Items of a tenant's month.

    Parameters
    ----------
    scenario
        What was simulated.
    tables
        Tables of the run folder by name.
    tenant, month
        Of whom, and when: ``2027-01``, a month of UTC.

    """
    energy = _of(tables["tenant_energy"], tenant).filter(month == MONTH)
    gpu_h = {tier: int(energy[f"gpu_s_{tier}"].sum()) / 3600 for tier in TIERS}
    price = price_eur_per_gpu_h(scenario, tenant)
    used = sum(gpu_h.values())
    items = [Item("Use", f"GPU-hours, {tier}", amount, "GPU-h") for tier, amount in gpu_h.items()]
    return [
        *items,
        *_jobs(tables, tenant, month),
        *_loans(tables, tenant, month),
        *_energy(energy),
        Item(
            "Money",
            "GPU-hours at the tenant's price",
            round(used * price, 2),
            "EUR",
            f"{price:.4f} EUR per GPU-hour",
        ),
        Item(
            "Money",
            "of it: energy attributed",
            int(energy["cost_cents"].sum()) / 100,
            "EUR",
            "informative: the price covers it",
        ),
    ]


def _of(table: pl.DataFrame, tenant: str, column: str = "tenant") -> pl.DataFrame:
    return table.filter(pl.col(column).cast(pl.String) == tenant)


def _jobs(tables: Tables, tenant: str, month: str) -> list[Item]:
    """Return waits, refusals and losses of the jobs that were submitted in a month."""
    jobs = _of(tables["jobs"], tenant).filter(pl.col("submit_utc").dt.strftime("%Y-%m") == month)
    waits = jobs["wait_s"].drop_nulls()
    refused = jobs.filter(pl.col("state") == "refused").height
    items = [
        Item("Jobs", "submitted", jobs.height, "1"),
        Item("Jobs", "refused", refused, "1"),
        Item("Jobs", "wait, half of them at most", _quantile(waits, 0.5), "s", "of those that started"),
        Item("Jobs", "wait, 95 % of them at most", _quantile(waits, 0.95), "s", "of those that started"),
    ]
    note = "of jobs submitted in the month, over their whole life"
    items += [
        Item(
            "Lost", f"GPU-hours lost: {cause}", float(jobs[f"gpu_s_lost_{cause}"].sum()) / 3600, "GPU-h", note
        )
        for cause in LOSSES
    ]
    return items


def _quantile(values: pl.Series, share: float) -> float | None:
    found: Any = values.quantile(share, "nearest")
    return None if found is None else float(found)


def _loans(tables: Tables, tenant: str, month: str) -> list[Item]:
    """Loans that began in a month, by side."""
    loans = tables["loans"].filter(pl.col("start_utc").dt.strftime("%Y-%m") == month)
    items = []
    for side, column in (("received", "borrower"), ("given", "lender")):
        mine = _of(loans, tenant, column)
        recalled = mine.filter(pl.col("noticed_utc").is_not_null()).height
        items += [
            Item("Loans", side, mine.height, "1", "parts of loans that began in the month"),
            Item("Loans", f"{side}, recalled", recalled, "1"),
            Item("Loans", f"{side}, GPUs", int(mine["gpus"].sum()), "GPUs", "sum over loans"),
        ]
    return items


def _energy(energy: pl.DataFrame) -> list[Item]:
    """Energy, heat and carbon that fall to a tenant, the latter with the range of its factor."""
    items = [
        Item("Energy", what, int(energy[column].sum()) / 1000, "kWh")
        for what, column in (
            ("drawn by its work", "it_wh"), ("its part of idle GPUs", "idle_wh"), ("its part of cooling and losses", "overhead_wh"),
            ("in all", "site_wh"), ("its part of the heat sold", "heat_wh"),
        )
    ]  # fmt: skip
    registry = parameters()
    for name in CARBON:
        kg = int(energy[f"{name}_g"].sum()) / 1000
        low = min(registry[key].minimum / registry[key].value for key in RANGES[name])
        high = max(registry[key].maximum / registry[key].value for key in RANGES[name])
        basis = " ".join(name.split("_")[1:]).replace("lifecycle", "life-cycle")
        items.append(
            Item(
                "Carbon",
                basis,
                kg,
                "kg CO2e",
                f"{kg * low:,.1f} to {kg * high:,.1f} by the range of the factor",
            )
        )
    return items
