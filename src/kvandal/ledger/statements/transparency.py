"""The public report: who got the GPUs, who waited, who was turned away, and what a GPU-hour drew and emitted.

Tenants stay unnamed: figures are by tier and by region.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from kvandal.ledger.attribution import CARBON, OWNERS
from kvandal.ledger.indicators import clean_on_paper_mwh, ratio
from kvandal.ledger.statements.item import Account, Item, carbon_items, quantile
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import TIERS
from kvandal.scenario.tree import groups_of

PROMISED_WAIT_S, PROMISED_GPUS = 1800, 64
"""Wait that nine tenths of priority jobs of at most so many GPUs should not exceed (proposal of the access policy)."""


def regions_of(scenario: Scenario) -> dict[str, str]:
    """Region of every tenant that is not a group."""
    groups = groups_of(scenario.tenants)
    return {name: one.region for name, one in scenario.tenants.items() if name not in groups}


def transparency_items(account: Account) -> list[Item]:
    """Lines of the report."""
    regions = regions_of(account.scenario)
    energy = account.table("tenant_energy").with_columns(
        pl.col("tenant").cast(pl.String).replace_strict(regions, default="").alias("region")
    )
    jobs = account.within("jobs", "submit_utc").with_columns(
        pl.col("tenant").cast(pl.String).replace_strict(regions, default="").alias("region")
    )
    return [
        *_hours(account, energy, regions),
        *_waits(jobs, regions),
        *_loans(account),
        *_site(account, energy),
        *_per_hour(account, energy),
    ]


def _hours(account: Account, energy: pl.DataFrame, regions: dict[str, str]) -> Iterator[Item]:
    """GPU-hours by tier of use and by region."""
    installed = int(account.table("site")["gpu_s_installed"].sum())
    yield Item("GPU-hours", "installed", installed / 3600, "GPU-h")
    used = sum(int(energy[f"gpu_s_{tier}"].sum()) for tier in TIERS)
    yield Item("GPU-hours", "used", used / 3600, "GPU-h")
    yield Item("GPU-hours", "share used", ratio(used, installed), "1")
    for region in sorted(set(regions.values())):
        mine = energy.filter(pl.col("region") == region)
        for tier in TIERS:
            amount = int(mine[f"gpu_s_{tier}"].sum())
            if amount:
                yield Item("GPU-hours by tier and region", f"{tier}, {region}", amount / 3600, "GPU-h",
                           f"{amount / used:.1%} of what was used")  # fmt: skip


def _waits(jobs: pl.DataFrame, regions: dict[str, str]) -> Iterator[Item]:
    """Tell of waits and refusals of jobs submitted in the period, by tier of the tenant and region."""
    submitted = jobs.height
    refused = jobs.filter(pl.col("state") == "refused").height
    yield Item("Requests", "jobs submitted", submitted, "1")
    yield Item("Requests", "share rejected", ratio(refused, submitted), "1", f"{refused:,} jobs")
    for tier in TIERS:
        for region in sorted(set(regions.values())):
            mine = jobs.filter((pl.col("region") == region) & (pl.col("tier").cast(pl.String) == tier))
            if mine.is_empty():
                continue
            waits = mine["wait_s"].drop_nulls()
            name, turned_away = f"{tier}, {region}", mine.filter(pl.col("state") == "refused").height
            yield Item(
                "Waits", f"{name}: half at most", quantile(waits, 0.5), "s", "of the jobs that started"
            )
            yield Item("Waits", f"{name}: nine tenths at most", quantile(waits, 0.9), "s")
            yield Item("Waits", f"{name}: share rejected", ratio(turned_away, mine.height), "1")
    small = jobs.filter((pl.col("tier").cast(pl.String) == "assured") & (pl.col("gpus") <= PROMISED_GPUS))
    waits = small["wait_s"].drop_nulls()
    yield Item(
        "Waits", f"priority jobs of at most {PROMISED_GPUS} GPUs that waited at most 30 min",
        ratio(waits.filter(waits <= PROMISED_WAIT_S).len(), small.height), "1", "nine tenths are aimed at",
    )  # fmt: skip


def _loans(account: Account) -> Iterator[Item]:
    """Loans of the period."""
    loans = account.within("loans", "start_utc")
    recalled = loans.filter(pl.col("noticed_utc").is_not_null())
    latency = recalled.select((pl.col("returned_utc") - pl.col("noticed_utc")).dt.total_seconds()).to_series()
    yield Item("Loans", "parts of loans that began", loans.height, "1")
    yield Item("Loans", "recalled", recalled.height, "1")
    yield Item("Loans", "time from notice to return, 99 % at most", quantile(latency.drop_nulls(), 0.99), "s")


def _site(account: Account, energy: pl.DataFrame) -> Iterator[Item]:
    """Energy, clean energy and heat of the site."""
    supply = account.table("energy")
    site, it = float(supply["site_mwh"].sum()), float(supply["it_mwh"].sum())
    heat = int(energy["heat_wh"].sum()) / 1e6
    yield Item("Site", "energy", site, "MWh", "at the meter, own generators included")
    yield Item("Site", "power usage effectiveness", ratio(site, it), "1", "energy over IT energy")
    clean = float(supply["carbon_free_mwh"].sum())
    yield Item("Site", "matched with carbon-free energy in the same hour", ratio(clean, site), "1")
    paper = clean_on_paper_mwh(supply, account.table("contracts"))
    on_paper = ratio(paper, site)
    yield Item(
        "Site",
        "covered by contracts and guarantees on paper",
        None if on_paper is None else min(1.0, on_paper),
        "1",
    )
    yield Item("Site", "heat sold", heat, "MWh")
    yield Item("Site", "energy reuse factor", ratio(heat, site), "1", "heat sold over energy")


def _per_hour(account: Account, energy: pl.DataFrame) -> Iterator[Item]:
    """Energy and carbon of a GPU-hour that was used; what falls to the owners is not in it."""
    mine = energy.filter(pl.col("tenant").cast(pl.String) != OWNERS)
    used_h = sum(int(mine[f"gpu_s_{tier}"].sum()) for tier in TIERS) / 3600
    chapter = "Of a GPU-hour"
    yield Item(
        chapter,
        "energy",
        ratio(int(mine["site_wh"].sum()) / 1000, used_h),
        "kWh/GPU-h",
        "idle GPUs, cooling and losses included",
    )
    amounts = {name: ratio(int(mine[f"{name}_g"].sum()), used_h) for name in CARBON}
    yield from carbon_items(chapter, amounts, account.scenario, "g CO2e/GPU-h")
