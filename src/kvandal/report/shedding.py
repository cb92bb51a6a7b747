"""What power held back and what that cost, by tier and tenant: from the summary, `jobs.parquet` and `site.parquet`."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.report.folder import RunFolder

HOURS_A_YEAR = 8760.0
BANDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Lower ends of the bands of the duration curve: site power over envelope."""


def shedding(folder: RunFolder) -> dict[str, Any]:
    """Nameplate against envelope, share of time by tier, lost GPU-hours and their price by tenant, duration curve.

    Nameplate is every rack at TDP with its network at the run's own PUE. `hours_per_year` of a band are those in which
    site power lay at `from_fraction` of the envelope or above, up to the next band.
    """
    summary = folder.summary
    racks = folder.table("racks", ["tdp_kw"])
    site = folder.table("site", ["site_power_mw", "envelope_mw"])
    net_kw = float(folder.scenario.get("network", {}).get("net_storage_kw_per_gpu") or 0.0)
    it_mw = (float(racks["tdp_kw"].sum()) + racks.height * 72 * net_kw) / 1000
    pue = summary.get("pue")
    nameplate_mw = None if pue is None else it_mw * pue
    envelope_mw = float(site["envelope_mw"].max()) if site.height else None  # type: ignore[arg-type]
    return {
        "gpus": racks.height * 72,
        "nameplate_mw": nameplate_mw,
        "envelope_mw": envelope_mw,
        "oversubscription": nameplate_mw / envelope_mw if nameplate_mw and envelope_mw else None,
        "peak_site_mw": summary.get("peak_site_mw"),
        "mean_site_mw": summary.get("mean_site_mw"),
        "power_bound_time_fraction": summary.get("power_bound_time_fraction"),
        "capped_time_fraction": summary.get("capped_time_fraction") or {},
        "shed_time_fraction": summary.get("shed_time_fraction"),
        "jobs_shed": summary.get("jobs_shed"),
        "recalls_for_power": summary.get("recalls_for_power"),
        "gpu_hours_lost_to_power": summary.get("gpu_hours_lost_to_power") or {},
        "shed_cost_usd": summary.get("shed_cost_usd"),
        "tenants": _by_tenant(folder),
        "bands": _bands(site),
    }


def _by_tenant(folder: RunFolder) -> list[dict[str, Any]]:
    tenants = folder.scenario.get("tenants", {})
    jobs = (
        folder.scan("jobs", ["tenant", "tier", "gpu_s_capped", "gpu_s_stopped"], texts=False)
        .group_by("tenant")
        .agg(
            pl.col("tier").first(), pl.col("gpu_s_capped").sum() / 3600, pl.col("gpu_s_stopped").sum() / 3600
        )
        .with_columns(pl.col("tenant", "tier").cast(pl.String))
        .collect()
    )
    found = {row["tenant"]: row for row in jobs.to_dicts()}
    rows = []
    for name in (name for name in [*tenants, *sorted(set(found) - set(tenants))] if name in found):
        row = found[name]
        price = float(tenants.get(name, {}).get("price_usd_per_gpu_hour") or 0.0)
        lost = row["gpu_s_capped"] + row["gpu_s_stopped"]
        rows.append(
            {
                "tenant": name,
                "tier": row["tier"],
                "capped_gpu_h": row["gpu_s_capped"],
                "stopped_gpu_h": row["gpu_s_stopped"],
                "price_usd_per_gpu_hour": price,
                "cost_usd": lost * price,
            }
        )
    return rows


def _bands(site: pl.DataFrame) -> list[dict[str, float]]:
    load = (site["site_power_mw"] / site["envelope_mw"]).to_numpy()
    above = [*(float(np.mean(load >= share)) if len(load) else 0.0 for share in BANDS[1:]), 0.0]
    below = [1.0 if len(load) else 0.0, *above[:-1]]
    return [
        {"from_fraction": share, "hours_per_year": (more - less) * HOURS_A_YEAR}
        for share, more, less in zip(BANDS, below, above, strict=True)
    ]
