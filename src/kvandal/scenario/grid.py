"""Second by second: what the grid asks of the site, how training swings, and what smooths it."""

from __future__ import annotations

from pydantic import model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class GridRequirement(Part):
    """What `kvandal transient` holds the site to; the meanings of the figures are in docs/transients.md."""

    ramp_limit_mw_per_min: float = parameter("power.ramp_limit_mw_per_min", gt=0, le=10_000)
    start_ramp_mw_per_min: float = parameter("grid.start_ramp_mw_per_min", ge=0, le=10_000)
    """Fastest rise of site power after a trip, until the power before it is reached again; 0: none asked [MW/min]."""
    range_limit_mw: float = parameter("grid.range_limit_mw", gt=0, le=10_000)
    band_energy_fraction: float = parameter("grid.band_energy_frac", gt=0, le=1)
    negligible_fraction: float = parameter("grid.negligible_frac", ge=0, le=1)
    band_limit_mw: float = parameter("grid.band_limit_mw", gt=0, le=10_000)
    band_low_hz: float = parameter("grid.band_low_hz", ge=0.05, le=10)
    band_high_hz: float = parameter("grid.band_high_hz", gt=0.05, le=25)

    @model_validator(mode="after")
    def _holds_together(self) -> GridRequirement:
        if self.band_low_hz >= self.band_high_hz:
            raise ValueError(
                f"band_low_hz ({self.band_low_hz:g}) must lie below band_high_hz ({self.band_high_hz:g})"
            )
        return self


class Swing(Part):
    """How the power of synchronous training swings, and what GPUs, racks and the battery do against it."""

    amplitude_fraction: float = parameter("power.swing_amplitude_frac", ge=0, le=1)
    frequency_hz: float = parameter("power.swing_freq_hz", ge=0.01, le=5)
    compute_share: float = parameter("power.swing_compute_share", ge=0.05, le=0.95)
    edge_s: float = parameter("power.swing_edge_s", ge=0.01, le=5)
    noise_fraction: float = parameter("power.swing_noise_frac", ge=0, le=1)
    floor_fraction: float = parameter("power.gpu_floor_frac", ge=0, le=1)
    storage_j_per_gpu: float = parameter("power.psu_storage_j_per_gpu", ge=0, le=1_000_000)
    battery_response_s: float = parameter("power.bess_response_s", ge=0, le=60)
    battery_smoothing_s: float = parameter("power.bess_smoothing_s", gt=0, le=3600)
