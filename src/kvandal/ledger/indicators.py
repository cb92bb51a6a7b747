"""The summary of a run: indicators of ISO/IEC 30134 and the numbers behind them. What is not known is None."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from kvandal.energy.matching import annual_match
from kvandal.ledger.columns import POOL
from kvandal.ledger.grants import grant_summary, refused_by_rule
from kvandal.ledger.lives import deadlines_met
from kvandal.ledger.recalls import latency_by_lender
from kvandal.ledger.room import fragmentation
from kvandal.ledger.shedding import shedding_summary
from kvandal.ledger.site_sums import SiteSums, number
from kvandal.ledger.told import Gathered
from kvandal.twin.records import LOSSES
from kvandal.twin.reliability_state import CAUSES

Jobs = pl.DataFrame | Gathered
OF_JOBS = (
    "tenant", "demand", "state", "submit_utc", "start_utc", "end_utc", "wait_s", "recalls", "sheds", "gpu_s_allocated",
    "gpu_s_useful", "gpu_s_restart_recall", "gpu_s_capped", "gpu_s_stopped", "refused_rule",
    *(f"gpu_s_lost_{cause}" for cause in LOSSES), *(f"failures_{cause}" for cause in CAUSES),
)  # fmt: skip
"""Columns of the table of jobs that a summary is made of."""
OF_TABLES = (
    "loans", "energy", "heat", "events", "racks", "contracts", "nodes", "room", "pods", "faults", "grants",
)  # fmt: skip
"""Tables that a summary is made of, beside those of ticks and jobs."""
LOCATION_BASIS = "location-based, direct emissions, NVE physically delivered mix"
MARKET_BASIS = "market-based, direct emissions: residual mix less PPA and guarantees of origin"


def ratio(part: float | None, whole: float) -> float | None:
    """Quotient; None where there is nothing to divide, or nothing to divide by.

    >>> ratio(1.0, 4.0), ratio(1.0, 0.0), ratio(None, 4.0)
    (0.25, None, None)
    """
    return None if part is None or whole <= 0 else part / whole


def _waits(started: pl.DataFrame, names: list[str]) -> dict[str, dict[str, float | None]]:
    """Median and 95th percentile of the wait by tenant; None for a tenant of whom no job started."""
    shares = {"wait_p50_s": 0.50, "wait_p95_s": 0.95}
    found = started.group_by("tenant").agg(
        pl.col("wait_s").quantile(share, "nearest").alias(key) for key, share in shares.items()
    )
    rows = {row["tenant"]: row for row in found.to_dicts()}
    return {key: {name: number(rows.get(name, {}).get(key)) for name in names} for key in shares}


def summarise(
    site: SiteSums,
    jobs: Jobs,
    tables: Mapping[str, pl.DataFrame],
    tick_s: int,
    tenants: dict[str, float],
    deadlines_h: dict[str, float],
) -> dict[str, Any]:
    """Summarise the tables of a run.

    Parameters
    ----------
    site : sums over the ticks
    jobs : the table of jobs, or its columns OF_JOBS
    tables : the tables of OF_TABLES by name
    tick_s : length of a tick [s]
    tenants : price of an allocated GPU-hour [USD] by tenant, in order
    deadlines_h : time after submission by which jobs should have finished [h], of the classes that have one

    Returns
    -------
    Summary as documented in docs/run-folder.md.

    """
    loans, energy, heat = (tables[name] for name in ("loans", "energy", "heat"))
    hours, mwh, gpu_hours = tick_s / 3600, site.mwh, site.gpu_hours
    it, total, cooling = mwh["it_power_mw"], mwh["site_power_mw"], mwh["cooling_mw"]
    export = mwh["heat_export_mw"]
    goo, ppa = float(energy["goo_mwh"].sum()), float(energy["ppa_clean_mwh"].sum())
    location_t, market_t = (
        float(energy["carbon_location_direct_t"].sum()),
        float(energy["carbon_market_direct_t"].sum()),
    )
    latency = loans.select((pl.col("returned_utc") - pl.col("noticed_utc")).dt.total_seconds())[
        "returned_utc"
    ].drop_nulls()  # of every loan under notice that has come back, whether at its deadline or before
    started = jobs.select("tenant", "wait_s", "start_utc").filter(pl.col("start_utc").is_not_null())
    names = list(tenants)
    end_utc = site.start_utc + timedelta(seconds=tick_s * site.ticks)
    allocated = (
        jobs.select("tenant", "gpu_s_allocated").group_by("tenant").agg(pl.col("gpu_s_allocated").sum())
    )
    used = dict(
        zip(
            allocated["tenant"].cast(pl.String).to_list(), allocated["gpu_s_allocated"].to_list(), strict=True
        )
    )
    return {
        "it_energy_mwh": it,
        "site_energy_mwh": total,
        "losses_mwh": mwh["losses_mw"],
        "cooling_mwh": cooling,
        "misc_mwh": mwh["misc_mw"],
        "peak_site_mw": site.peak_mw,
        "mean_site_mw": site.mean_mw,
        "pue": ratio(total, it),
        "erf": ratio(export, total),
        "ref": ratio(ppa + goo + float(energy["generator_mwh"].sum()), total),
        "cue_kg_per_kwh": ratio(location_t, it),
        "cue_basis": LOCATION_BASIS,
        "wue_l_per_kwh": ratio(site.water_l, it * 1000),
        "cer": ratio(it, cooling),
        "cfe_score": ratio(float(energy["carbon_free_mwh"].sum()), float(energy["site_mwh"].sum())),
        "gpu_hours_installed": gpu_hours["gpu_s_installed"],
        "gpu_hours_allocated": gpu_hours["gpu_s_allocated"],
        "gpu_hours_idle": gpu_hours["gpu_s_idle"],
        "gpu_hours_broken": gpu_hours["gpu_s_broken"],
        "gpu_hours_useful": float(jobs["gpu_s_useful"].sum()) / 3600,
        "gpu_hours_lost": {cause: float(jobs[f"gpu_s_lost_{cause}"].sum()) / 3600 for cause in LOSSES},
        "gpu_hours_lost_by_tenant": _lost_by_tenant(jobs, names),
        "gpu_hours_restart_recall": float(jobs["gpu_s_restart_recall"].sum()) / 3600,
        "goodput": ratio(float(jobs["gpu_s_useful"].sum()), float(jobs["gpu_s_allocated"].sum())),
        "allocation_share": ratio(gpu_hours["gpu_s_allocated"], gpu_hours["gpu_s_installed"]),
        "jobs_submitted": jobs.height,
        "jobs_started": started.height,
        "jobs_finished": int((jobs["state"] == "finished").sum()),
        "jobs_refused": int((jobs["state"] == "refused").sum()),
        "jobs_refused_by_rule": refused_by_rule(jobs),
        "jobs_stopped": int((jobs["state"] == "stopped").sum()),
        **_waits(started, names),
        "deadlines_met": deadlines_met(jobs, deadlines_h, end_utc),
        "loans": loans.height,
        "recalls": int(loans["noticed_utc"].count()),
        "recall_latency_p50_s": number(latency.quantile(0.50, "nearest")),
        "recall_latency_p99_s": number(latency.quantile(0.99, "nearest")),
        "recall_latency_by_lender": latency_by_lender(loans, [*names, POOL]),
        "failures": tables["events"].filter(pl.col("kind") == "failure").height,
        "interruptions": _interruptions(jobs),
        "trays_replaced": int(tables["racks"]["trays_replaced"].sum()),
        "gpu_hours_waiting_repair": float(tables["racks"]["gpu_h_waiting_repair"].sum()),
        "heat_exported_mwh": export,
        "heat_delivered_mwh": float(heat["delivered_mwh"].sum()),
        "heat_unmet_mwh": float(heat["unmet_mwh"].sum()),
        "heat_pump_energy_mwh": float(heat["heat_pump_mwh"].sum()),
        "energy_cost_eur": float(energy["cost_eur"].sum()),
        "heat_income_eur": float(energy["income_heat_eur"].sum()),
        "compute_income_usd": sum(used.get(name, 0) / 3600 * price for name, price in tenants.items()),
        "carbon_location_t": location_t,
        "carbon_location_basis": LOCATION_BASIS,
        "carbon_market_t": market_t,
        "carbon_market_basis": MARKET_BASIS,
        "carbon_location_lifecycle_t": float(energy["carbon_location_lifecycle_t"].sum()),
        "carbon_market_lifecycle_t": float(energy["carbon_market_lifecycle_t"].sum()),
        "annual_match_share": annual_match(
            energy["site_mwh"].to_numpy(), np.array(clean_on_paper_mwh(energy, tables["contracts"]))
        ),
        "balance_error_max": site.balance_error,
        "hours_at_envelope": site.bound_ticks * hours,
        "hours_bound": _hours_bound(tables["nodes"]),
        **shedding_summary(site, jobs, tables, tick_s, tenants),
        **fragmentation(tables["room"]),
        "hot_day_hours": site.hot_ticks * hours,
        "junction_peak_c": site.junction_c,
        "tcs_supply_peak_c": number(tables["pods"]["supply_c"].max()),
        "battery_throughput_mwh": site.discharged_mwh,
        "battery_losses_mwh": mwh["battery_loss_mw"],
        **_faults(tables["faults"]),
        **grant_summary(tables["grants"]),
    }


def clean_on_paper_mwh(energy: pl.DataFrame, contracts: pl.DataFrame) -> float:
    """Sum up what contracts with guarantees of origin delivered, whatever the hour, guarantees cancelled and generators [MWh]."""
    delivered = float(contracts.filter(pl.col("carbon_free"))["delivered_mwh"].sum())
    return delivered + float(energy["goo_mwh"].sum()) + float(energy["generator_mwh"].sum())


def _lost_by_tenant(jobs: Jobs, tenants: list[str]) -> dict[str, dict[str, float]]:
    """GPU-hours lost, by tenant and cause; zero for a tenant that lost nothing."""
    lost = [f"gpu_s_lost_{cause}" for cause in LOSSES]
    some = jobs.select("tenant", *lost).filter(pl.any_horizontal(pl.col(lost) != 0))  # few jobs lose anything
    summed = some.group_by("tenant").agg(pl.col(name).sum() / 3600 for name in lost)
    rows = {row["tenant"]: row for row in summed.to_dicts()}
    return {
        name: {cause: float(rows.get(name, {}).get(f"gpu_s_lost_{cause}", 0.0)) for cause in LOSSES}
        for name in tenants
    }


def _interruptions(jobs: Jobs) -> dict[str, int]:
    """Count interruptions of jobs: failures by what failed, recalls and sheds."""
    counted = {cause: int(jobs[f"failures_{cause}"].sum()) for cause in CAUSES}
    return counted | {"recall": int(jobs["recalls"].sum()), "shed": int(jobs["sheds"].sum())}


def _hours_bound(nodes: pl.DataFrame) -> dict[str, float]:
    """Hours at the most-bound node, by constraint."""
    found = nodes.group_by("constraint").agg(pl.col("hours_bound").max()).sort("constraint")
    return dict(
        zip(found["constraint"].cast(pl.String).to_list(), found["hours_bound"].to_list(), strict=True)
    )


def _faults(faults: pl.DataFrame) -> dict[str, float]:
    """Sum up what all faults of the plant did."""
    return {
        "faults": faults.height,
        "racks_tripped": int(faults["racks_tripped"].sum()),
        "gpu_hours_lost_faults": float(faults["lost_gpu_h"].sum()),
        "gpu_hours_slowed_faults": float(faults["slowed_gpu_h"].sum()),
    }
