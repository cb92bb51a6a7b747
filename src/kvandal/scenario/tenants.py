"""Who may use the GPUs and how: tiers, entitlements, lending."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter, value

Tier = Literal["firm", "assured", "lent"]
TIERS: tuple[Tier, ...] = ("firm", "assured", "lent")

Share = Annotated[float, Field(ge=0, le=1)]


class Tenant(Part):
    """One tenant: `guarantee <= deserved <= ceiling`, as shares of the installed GPUs.

    The guarantee is never lent; `deserved - guarantee` is lent while it is idle; the ceiling bounds what the
    tenant may hold in all. A tenant of tier *lent* has no entitlement of its own and lives on loans.
    """

    tier: Tier
    """*firm* (contract), *assured* (national priority) or *lent* (surplus, recalled on demand)."""
    region: str = "Norway"
    """Where the tenant is from."""
    guarantee_share: Share = 0.0
    """Share of the installed GPUs that is never lent."""
    deserved_share: Share = 0.0
    """Share of the installed GPUs that the tenant can always have back."""
    ceiling_share: Share = 1.0
    """Largest share of the installed GPUs that the tenant may hold."""
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Weight among borrowers."""
    notice_s: Annotated[int, Field(ge=0, le=864_000)] = int(value("access.recall_s"))
    """Notice before a loan of this tenant ends [s]."""
    price_usd_per_gpu_hour: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Price of an allocated GPU-hour [USD]."""

    @model_validator(mode="after")
    def _holds_together(self) -> Tenant:
        if not self.guarantee_share <= self.deserved_share <= self.ceiling_share:
            raise ValueError(
                "shares must rise: guarantee_share <= deserved_share <= ceiling_share, got "
                f"{self.guarantee_share:g}, {self.deserved_share:g}, {self.ceiling_share:g}"
            )
        if self.tier == "lent" and self.deserved_share > 0:
            raise ValueError(
                "a tenant of tier lent has no entitlement and lives on loans: deserved_share must be 0, "
                f"got {self.deserved_share:g}; for a share of its own give it tier firm or assured"
            )
        return self


class Policy(Part):
    """Rules of placement and recall that hold for all tenants."""

    segment_trays: Annotated[int, Field(ge=1, le=18)] = 16
    """Trays per rack that a gang larger than a rack takes: 16 of 18 leaves two hot spares."""
    spare_trays_per_rack: Annotated[int, Field(ge=0, le=17)] = 0
    """Healthy trays of every rack that new work leaves free, for jobs that restart after a failure (hot spares)."""
    rest_after_recall_s: float = parameter("access.rest_after_recall_s", ge=0, le=604_800)
    recall: bool = True
    """Recall loans when their lender needs the room."""
    inference_perf_exponent: float = parameter("gpu.perf_beta_infer", gt=0, le=2)
    training_perf_exponent: float = parameter("gpu.perf_beta_train", gt=0, le=2)
    perf_offset_fraction: float = parameter("gpu.perf_p0", ge=0, lt=0.43)

    @model_validator(mode="after")
    def _holds_together(self) -> Policy:
        if self.segment_trays + self.spare_trays_per_rack > 18:
            raise ValueError(
                "segment_trays + spare_trays_per_rack must not exceed the 18 trays of a rack, got "
                f"{self.segment_trays} + {self.spare_trays_per_rack}"
            )
        return self
