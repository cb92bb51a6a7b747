"""What a summary needs of the table of ticks, column by column: the table itself need not be there any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import polars as pl

from kvandal.scenario.tenants import TIERS

POWERS = ("it_power_mw", "losses_mw", "cooling_mw", "misc_mw", "heat_export_mw", "battery_loss_mw")
GPU_SECONDS = ("gpu_s_installed", "gpu_s_allocated", "gpu_s_idle", "gpu_s_broken")
HOURS_A_YEAR = 8760.0
NEAR = {"90_pct": 0.90, "95_pct": 0.95, "99_pct": 0.99}
"""Shares of the envelope above which the duration curve is told."""


class Columns(Protocol):
    """A table, or something that makes its columns."""

    @property
    def height(self) -> int:
        """Rows."""

    def __getitem__(self, name: str) -> pl.Series:
        """Return a column."""


@dataclass(frozen=True)
class SiteSums:
    """Sums and extremes over the ticks of a run.

    Attributes
    ----------
    start_utc, ticks : of the run
    mwh : energy by the name of its power [MWh]
    gpu_hours : by the name of the GPU-seconds [h]
    peak_mw, mean_mw : power of the site [MW]
    water_l : in all
    balance_error : largest, relative
    bound_ticks, hot_ticks : ticks at the envelope; with outdoor air above the temperature of a hot day
    junction_c : highest
    discharged_mwh : by the battery
    capped_time_fraction : share of ticks in which work of a tier was capped, by tier
    bound_time_fraction : share of ticks at the envelope
    near_envelope_h : hours a year above a share of the envelope, by NEAR

    """

    start_utc: datetime
    ticks: int
    mwh: dict[str, float]
    gpu_hours: dict[str, float]
    peak_mw: float | None
    mean_mw: float | None
    water_l: float
    balance_error: float | None
    bound_ticks: float
    hot_ticks: float
    junction_c: float | None
    discharged_mwh: float
    capped_time_fraction: dict[str, float]
    bound_time_fraction: float
    near_envelope_h: dict[str, float]


def site_sums(site: Columns, tick_s: int, hot_day_c: float) -> SiteSums:
    """Sum the table of ticks up.

    Parameters
    ----------
    site : table of ticks
    tick_s : length of a tick [s]
    hot_day_c : outdoor temperature above which a day counts as hot [°C]

    """
    hours = tick_s / 3600
    power, at_envelope = site["site_power_mw"], site["at_envelope"]
    load = (power / site["envelope_mw"]).to_numpy()
    return SiteSums(
        start_utc=site["time_utc"][0],
        ticks=site.height,
        mwh={
            "site_power_mw": float(power.sum()) * hours,
            **{name: float(site[name].sum()) * hours for name in POWERS},
        },
        gpu_hours={name: float(site[name].sum()) / 3600 for name in GPU_SECONDS},
        peak_mw=number(power.max()),
        mean_mw=number(power.mean()),
        water_l=float(site["water_l"].sum()),
        balance_error=number(site["balance_error_fraction"].max()),
        bound_ticks=float(at_envelope.sum()),
        hot_ticks=float((site["ambient_c"] > hot_day_c).sum()),
        junction_c=number(site["junction_c"].max()),
        discharged_mwh=float(site["battery_mw"].clip(lower_bound=0.0).sum()) * hours,
        capped_time_fraction={
            tier: float(((site[f"cap_{tier}_fraction"] < 1) & (site[f"gpu_s_{tier}"] > 0)).to_numpy().mean())
            for tier in TIERS
        },
        bound_time_fraction=float(at_envelope.to_numpy().mean()),
        near_envelope_h={name: float(np.mean(load > share)) * HOURS_A_YEAR for name, share in NEAR.items()},
    )


def number(value: Any) -> float | None:
    """Return a number, or None where there is none."""
    return None if value is None else float(value)
