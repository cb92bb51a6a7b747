"""The statement of a tenant: what it used, waited, lent, lost, drew, emitted and owes."""

from __future__ import annotations

import polars as pl

from kvandal.ledger.attribution import CARBON
from kvandal.ledger.books.posting import credited, price_eur_per_gpu_h
from kvandal.ledger.indicators import ratio
from kvandal.ledger.statements.item import Account, Item, carbon_items, of, quantile
from kvandal.scenario.tenants import TIERS
from kvandal.twin.records import LOSSES


def tenant_items(account: Account, tenant: str) -> list[Item]:
    """Lines of a tenant's statement."""
    energy = of(account.table("tenant_energy"), tenant)
    use = [
        Item("Use", f"GPU-hours, {tier}", int(energy[f"gpu_s_{tier}"].sum()) / 3600, "GPU-h")
        for tier in TIERS
    ]
    return [
        *use,
        *_jobs(account, tenant),
        *_loans(account, tenant),
        *_losses(account, tenant),
        *_energy(energy),
        *clean_energy_items(account, tenant, energy),
        *carbon_items(
            "Carbon",
            {name: int(energy[f"{name}_g"].sum()) / 1000 for name in CARBON},
            account.scenario,
            "kg CO2e",
        ),
        *_money(account, tenant, energy),
    ]


def _jobs(account: Account, tenant: str) -> list[Item]:
    """Tell of waits and refusals of the jobs that were submitted in the period."""
    jobs = of(account.within("jobs", "submit_utc"), tenant)
    waits = jobs["wait_s"].drop_nulls()
    refused = jobs.filter(pl.col("state") == "refused").height
    note = "of those submitted in the period that started"
    return [
        Item("Jobs", "submitted", jobs.height, "1"),
        Item("Jobs", "refused", refused, "1"),
        Item("Jobs", "wait, half of them at most", quantile(waits, 0.5), "s", note),
        Item("Jobs", "wait, 95 % of them at most", quantile(waits, 0.95), "s", note),
    ]


def _loans(account: Account, tenant: str) -> list[Item]:
    """Loans that began in the period, by side."""
    loans = account.within("loans", "start_utc")
    items = []
    for side, column in (("received", "borrower"), ("given", "lender")):
        mine = of(loans, tenant, column)
        recalled = mine.filter(pl.col("noticed_utc").is_not_null()).height
        items += [
            Item("Loans", side, mine.height, "1", "parts of loans that began in the period"),
            Item("Loans", f"{side}, recalled", recalled, "1"),
            Item("Loans", f"{side}, GPUs", int(mine["gpus"].sum()), "GPUs", "sum over loans"),
        ]
    return items


def _losses(account: Account, tenant: str) -> list[Item]:
    """GPU-hours that jobs lost by cause, and what is given back for them."""
    lost = of(account.lost_gpu_s(), tenant)
    posted = account.posted(f"receivable:{tenant}")
    given_back = credited(account.scenario, tenant)
    items = []
    for cause in LOSSES:
        hours = float(lost[cause].sum()) / 3600
        items.append(
            Item("Lost", f"GPU-hours lost to {cause}", hours, "GPU-h", "of jobs that ended in the period")
        )
        if cause in given_back:
            credit = -posted.get(f"credit: GPU-hours lost to {cause}", 0) / 100
            items.append(Item("Lost", f"credit for {cause}", credit, "EUR", "taken off under Money"))
    return items


def _energy(energy: pl.DataFrame) -> list[Item]:
    """Energy and heat that fall to a tenant."""
    site_wh = int(energy["site_wh"].sum())
    items = [
        Item("Energy", what, int(energy[column].sum()) / 1000, "kWh")
        for what, column in (
            ("drawn by its work", "it_wh"), ("its part of idle GPUs", "idle_wh"), ("its part of cooling and losses", "overhead_wh"),
            ("in all", "site_wh"), ("its part of the heat sold", "heat_wh"),
        )
    ]  # fmt: skip
    share = int(energy["heat_wh"].sum()) / site_wh if site_wh else None
    items.append(
        Item("Energy", "share of its energy that heats somebody", share, "1", "heat over energy in all")
    )
    return items


def clean_energy_items(account: Account, tenant: str, energy: pl.DataFrame) -> list[Item]:
    """Tell what of a tenant's energy is matched by the hour, and what contracts of its own delivered."""
    chapter, matched, drawn = "Clean energy", int(energy["matched_wh"].sum()), int(energy["site_wh"].sum())
    own = of(account.table("contracts"), tenant, "buyer")
    items = [
        Item(chapter, f"{what} by contracts of its own", float(own[column].sum()), "MWh")
        for what, column in (("delivered", "delivered_mwh"), ("used", "used_mwh"), ("sold", "sold_mwh"))
        if own.height
    ]
    return [
        *items,
        Item(chapter, "matched by the hour", matched / 1000, "kWh", "contracts of its own first, then its part of the site's"),
        Item(chapter, "share matched by the hour", ratio(matched, drawn), "1"),
    ]  # fmt: skip


def _money(account: Account, tenant: str, energy: pl.DataFrame) -> list[Item]:
    """Tell what the tenant owes, as the books have it."""
    price = price_eur_per_gpu_h(account.scenario, tenant)
    return [
        Item("Money", "price of a GPU-hour", price, "EUR/GPU-h"),
        *account.owed_eur(f"receivable:{tenant}"),
        Item("Money", "of it: energy attributed", int(energy["cost_cents"].sum()) / 100, "EUR", "informative: the price of a GPU-hour is meant to cover it"),
    ]  # fmt: skip
