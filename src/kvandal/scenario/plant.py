"""Network, climate and reliability as asked for."""

from __future__ import annotations

from typing import Literal

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class Network(Part):
    """Scale-out network, storage and management: nearly independent of load."""

    net_storage_kw_per_gpu: float = parameter("net.net_storage_kw_per_gpu", ge=0, le=5)


class Climate(Part):
    """Weather that drives cooling and heat demand."""

    weather: str = "tromso-2021-era5"
    """A series shipped with the product, or a path to an EPW, CSV or Parquet file (relative to the scenario file)."""
    shift_to: Literal["none", "narvik"] = "narvik"
    """Shift each month's mean to the monthly normals of a place; the name in reports says so."""
    wet_bulb_model: Literal["psychrometric", "stull"] = "psychrometric"
    """Wet bulb by the ASHRAE equations (psychrolib), or by Stull's fit."""
    relative_humidity_pct: float = parameter("climate.relative_humidity_pct", ge=0, le=100)
    at_end: Literal["refuse", "repeat"] = "repeat"
    """What to do when the run is longer than the series: refuse it, or repeat by calendar."""


class Reliability(Part):
    """Failures and repairs at published rates."""

    failures: bool = True
    """Switch failures off for a run without them."""
    gpu_h_per_interruption: float = parameter("reliab.gpu_h_per_interruption", gt=0)
    checkpoint_s: float = parameter("reliab.checkpoint_s", ge=0, le=86_400)
    restart_s: float = parameter("reliab.restart_s", ge=0, le=864_000)
    tray_repair_h: float = parameter("reliab.tray_repair_h", gt=0, le=100_000)
    leak_repair_h: float = parameter("reliab.leak_repair_h", gt=0, le=100_000)
    rack_restart_min: float = parameter("reliab.rack_restart_min", ge=0, le=10_000)
    plant_faults: bool = True
    """Draw faults of pumps, CDUs, coolers, transformers, power blocks, leaks and grid dips at the rates below."""
    cdu_pump_per_year: float = parameter("reliab.cdu_pump_per_year", ge=0, le=1000)
    cdu_per_year: float = parameter("reliab.cdu_per_year", ge=0, le=1000)
    bank_per_year: float = parameter("reliab.bank_per_year", ge=0, le=1000)
    transformer_per_year: float = parameter("reliab.transformer_per_year", ge=0, le=1000)
    ups_block_per_year: float = parameter("reliab.ups_block_per_year", ge=0, le=1000)
    rack_leak_per_year: float = parameter("reliab.rack_leak_per_year", ge=0, le=1000)
    grid_dip_per_year: float = parameter("reliab.grid_dip_per_year", ge=0, le=10_000)
    cdu_repair_h: float = parameter("reliab.cdu_repair_h", gt=0, le=100_000)
    bank_repair_h: float = parameter("reliab.bank_repair_h", gt=0, le=100_000)
    transformer_repair_h: float = parameter("reliab.transformer_repair_h", gt=0, le=100_000)
    ups_block_repair_h: float = parameter("reliab.ups_block_repair_h", gt=0, le=100_000)
