"""The site table, read once: series on the grid of the charts and exact totals over the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from kvandal.report.folder import RunFolder
from kvandal.report.grid import Floats, Grid

MEANS = (
    "it_power_mw", "losses_mw", "cooling_mw", "misc_mw", "site_power_mw", "envelope_mw", "ambient_c", "tcs_supply_c",
    "tcs_return_c", "fws_supply_c", "fws_return_c", "hall_air_c", "heat_demand_mw", "heat_export_mw", "heat_rejected_mw",
    "queued_gpus", "queued_jobs", "running_jobs", "hv_loss_mw", "block_loss_mw", "busway_loss_mw", "cdu_pump_mw", "fws_pump_mw",
    "rejection_mw", "fan_wall_mw", "battery_mw", "battery_loss_mw", "battery_mwh",
)  # fmt: skip
GPU_SECONDS = (
    "gpu_s_installed", "gpu_s_allocated", "gpu_s_idle", "gpu_s_broken", "gpu_s_firm", "gpu_s_assured", "gpu_s_lent",
)  # fmt: skip
CAPS = ("cap_firm_fraction", "cap_assured_fraction", "cap_lent_fraction")
REST = ("water_l", "heat_building_mw", "balance_error_fraction")


@dataclass(frozen=True, slots=True)
class Site:
    """The site over the run.

    Attributes
    ----------
    series : column → mean over each step (GPU columns: GPUs, not GPU-seconds; caps: the lowest)
    highest : largest tick of the site power in each step [MW]
    totals : column → sum over all ticks; power columns as energy [MWh]
    peak_time : start of the tick with the largest site power

    """

    grid: Grid
    series: dict[str, Floats]
    highest: Floats
    totals: dict[str, Any]
    peak_mw: float | None
    peak_time: datetime | None
    mean_mw: float | None
    queued_peak: float | None
    balance_error: float | None


def read_site(folder: RunFolder) -> Site:
    """Read the site table of a run."""
    grid, tick = folder.site_grid(), folder.tick_s
    frame = folder.table("site", ["time_utc", *MEANS, *GPU_SECONDS, *CAPS, *REST])
    power = pl.col("site_power_mw")
    series = grid.collect(
        frame.lazy(),
        [
            *(pl.col(name).mean() for name in MEANS),
            *((pl.col(name).mean() / tick).alias(name) for name in GPU_SECONDS),
            *(pl.col(name).min() for name in CAPS),
            power.max().alias("_highest"),
        ],
    )
    hours = tick / 3600
    totals = frame.select(
        *(
            (pl.col(name).sum() * hours).alias(name)
            for name in (*MEANS, "heat_building_mw")
            if name.endswith("_mw")
        ),
        *((pl.col(name).cast(pl.Int64).sum() / 3600).alias(name) for name in GPU_SECONDS),
        pl.col("water_l").sum(),
    ).row(0, named=True)
    edges = frame.select(
        peak=power.max(),
        time=pl.col("time_utc").get(power.arg_max(), null_on_oob=True),
        mean=power.mean(),
        queued=pl.col("queued_gpus").max(),
        error=pl.col("balance_error_fraction").abs().max(),
    ).row(0, named=True)
    highest = series.pop("_highest")
    return Site(
        grid=grid,
        series=series,
        highest=highest,
        totals=totals,
        peak_mw=edges["peak"],
        peak_time=edges["time"],
        mean_mw=edges["mean"],
        queued_peak=edges["queued"],
        balance_error=edges["error"],
    )
