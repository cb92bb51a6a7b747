"""Network, climate and reliability as asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

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
    spare_restart_s: float = parameter("reliab.spare_restart_s", ge=0, le=864_000)
    """Instead of `restart_s` where `policy.spare_trays_per_rack` are kept and the job can go on at once."""
    network_fault_share: float = parameter("reliab.network_fault_share", ge=0, le=1)
    host_fault_share: float = parameter("reliab.host_fault_share", ge=0, le=1)
    rack_fault_share: float = parameter("reliab.rack_fault_share", ge=0, le=1)
    follow_share: float = parameter("reliab.follow_share", ge=0, le=0.9)
    follow_h: float = parameter("reliab.follow_h", gt=0, le=168)
    lemon_share: float = parameter("reliab.lemon_share", ge=0, le=1)
    lemon_factor: float = parameter("reliab.lemon_factor", ge=1, le=1_000_000)
    lemon_failures: int = parameter("reliab.lemon_failures", ge=0, le=100)
    lemon_window_days: float = parameter("reliab.lemon_window_days", gt=0, le=100_000)
    tray_replacement_days: float = parameter("reliab.tray_replacement_days", gt=0, le=100_000)
    repair_crews: int = parameter("reliab.repair_crews", ge=0, le=100_000)
    """Crews for trays and racks, first come first served, racks first; 0: every repair begins at once."""
    tray_repair_h: float = parameter("reliab.tray_repair_h", gt=0, le=100_000)
    rack_repair_h: float = parameter("reliab.rack_repair_h", gt=0, le=100_000)
    sigma_log_repair_duration: float = parameter("reliab.sigma_log_repair_duration", ge=0, le=3)
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

    @model_validator(mode="after")
    def _holds_together(self) -> Reliability:
        shares = self.network_fault_share + self.host_fault_share + self.rack_fault_share
        if shares > 1 + 1e-9:
            raise ValueError(
                "network_fault_share + host_fault_share + rack_fault_share must not exceed 1 (the rest are faults of "
                f"trays), got {shares:g}"
            )
        return self
