"""The electrical chain as asked for: transformers, power blocks, site battery."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class Power(Part):
    """From the grid connection to the rack: HV transformers, power blocks (MV transformer, UPS), busways, battery."""

    loss_model: Literal["curves", "constant"] = "curves"
    """Losses over load (`curves`), or one efficiency for each element (`constant`)."""
    ups_mode: Literal["double", "eco", "none"] = "eco"
    """UPS operation: double conversion, eco, or none (then GPUs ride through on their own power shelves only)."""
    hv_transformers: Annotated[int, Field(ge=2, le=50)] = 3
    """132/33 kV transformers; with one out, the others carry the whole site (N-1)."""
    hv_no_load_fraction: float = parameter("power.hv_no_load_fraction", ge=0, lt=0.1)
    hv_load_loss_fraction: float = parameter("power.hv_load_loss_fraction", ge=0, lt=0.1)
    eta_hv_transformer: float = parameter("power.eta_hv_transformer", gt=0.5, le=1)
    eta_mv_transformer: float = parameter("power.eta_mv_transformer", gt=0.5, le=1)
    eta_ups_double: float = parameter("power.eta_ups_double", gt=0.5, le=1)
    eta_ups_eco: float = parameter("power.eta_ups_eco", gt=0.5, le=1)
    eta_busway: float = parameter("power.eta_busway", gt=0.5, le=1)
    blocks_per_group: Annotated[int, Field(ge=1, le=20)] = 4
    """Power blocks that feed a group of rows."""
    blocks_needed: Annotated[int, Field(ge=1, le=20)] = 3
    """Blocks that carry the group: 3 of 4 is distributed redundancy, 1 of 2 is 2N, 1 of 1 none."""
    block_margin_fraction: float = parameter("power.block_margin", ge=0, le=2)
    ups_autonomy_min: float = parameter("power.ups_autonomy_min", ge=0, le=600)
    misc_fraction: float = parameter("power.misc_fraction", ge=0, le=0.5)
    site_cap_margin_fraction: float = parameter("power.site_cap_margin", ge=0, lt=1)
    bess_power_mw: float = parameter("power.bess_power_mw", ge=0, le=10_000)
    bess_energy_mwh: float = parameter("power.bess_energy_mwh", ge=0, le=100_000)
    bess_round_trip_efficiency: float = parameter("power.bess_eta_rt", gt=0.3, le=1)
    bess_soc_minimum: float = parameter("power.bess_soc_minimum", ge=0, lt=1)
    bess_soc_maximum: float = parameter("power.bess_soc_maximum", gt=0, le=1)
    bess_standby_fraction: float = parameter("power.bess_standby_fraction", ge=0, le=0.1)

    @model_validator(mode="after")
    def _holds_together(self) -> Power:
        if self.blocks_needed > self.blocks_per_group:
            raise ValueError(
                f"blocks_needed ({self.blocks_needed}) must not exceed blocks_per_group ({self.blocks_per_group})"
            )
        if self.bess_soc_minimum >= self.bess_soc_maximum:
            raise ValueError(
                f"bess_soc_minimum ({self.bess_soc_minimum:g}) must lie below bess_soc_maximum "
                f"({self.bess_soc_maximum:g})"
            )
        return self
