"""Who may use the GPUs and how: tiers, entitlements, lending."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter, value

Tier = Literal["firm", "assured", "lent"]
TIERS: tuple[Tier, ...] = ("firm", "assured", "lent")
LIMITS = ("guarantee", "deserved", "ceiling")
INHERITED = (
    "tier",
    "region",
    "residency",
    "notice_s",
    "minimum_run_s",
    "price_usd_per_gpu_hour",
    "curtailable",
)
"""Keys that a tenant takes from its parent where it does not say them itself."""

Share = Annotated[float, Field(ge=0, le=1)]
Gpus = Annotated[int, Field(ge=0, le=5_000_000)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _refuse_two_units(part: Any) -> None:
    for limit in LIMITS:
        if getattr(part, f"{limit}_share") is not None and getattr(part, f"{limit}_gpus") is not None:
            raise ValueError(f"give {limit}_share or {limit}_gpus, not both")


class LimitChange(Part):
    """Limits of a tenant that hold at some times only; later entries override earlier ones."""

    from_utc: AwareDatetime | None = None
    """First instant, a whole hour with its offset from UTC; left out, the start of the run."""
    until_utc: AwareDatetime | None = None
    """Instant at which they end; left out, the end of the run."""
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Field(strict=False)] = ()
    """Months in which they hold, 1 to 12; empty means all."""
    weekdays: Annotated[tuple[Weekday, ...], Field(strict=False)] = ()
    """Days in which they hold, `mon` to `sun`, in local time; empty means all."""
    hours_local: Annotated[tuple[Annotated[int, Field(ge=0, le=24)], ...], Field(strict=False)] = ()
    """First hour and the hour at which they end, in local time: [22, 6] is the night; empty means all hours."""
    guarantee_share: Share | None = None
    """Share of the installed GPUs that is never lent at these times."""
    guarantee_gpus: Gpus | None = None
    """The same as a number of GPUs."""
    deserved_share: Share | None = None
    """Share of the installed GPUs that the tenant can have back at these times."""
    deserved_gpus: Gpus | None = None
    """The same as a number of GPUs."""
    ceiling_share: Share | None = None
    """Largest share of the installed GPUs that the tenant may hold at these times."""
    ceiling_gpus: Gpus | None = None
    """The same as a number of GPUs."""

    @model_validator(mode="after")
    def _holds_together(self) -> LimitChange:
        _refuse_two_units(self)
        if all(getattr(self, f"{limit}_{unit}") is None for limit in LIMITS for unit in ("share", "gpus")):
            raise ValueError("changes nothing; give guarantee, deserved or ceiling, as _share or _gpus")
        if len(self.hours_local) not in {0, 2}:
            raise ValueError(
                f"hours_local must hold two hours, e.g. [22, 6], or none, got {len(self.hours_local)}"
            )
        if self.hours_local and self.hours_local[0] % 24 == self.hours_local[1] % 24:
            raise ValueError(
                f"hours_local must end at another hour than it starts, got {list(self.hours_local)}; "
                "for all hours leave it out"
            )
        if self.from_utc is not None and self.until_utc is not None and self.until_utc <= self.from_utc:
            raise ValueError(
                f"until_utc ({self.until_utc.isoformat()}) must come after from_utc ({self.from_utc.isoformat()})"
            )
        for name in ("from_utc", "until_utc"):
            moment = getattr(self, name)
            if moment is not None and (moment.minute, moment.second, moment.microsecond) != (0, 0, 0):
                raise ValueError(f"{name} must be a whole hour, got {moment.isoformat()}")
        return self


class Tenant(Part):
    """One tenant, or a group of tenants: `guarantee <= deserved <= ceiling`, as shares of the installed GPUs or as GPUs.

    The guarantee is never lent; `deserved - guarantee` is lent while it is idle; the ceiling bounds what the
    tenant may hold in all. A tenant of tier *lent* has no entitlement of its own and lives on loans.

    Tenants form a tree: whoever is named as `parent` is a group. A group submits no jobs; its limits hold for all below
    it together. A group that says no guarantee or deserved share has the sum of its children's; what it deserves beyond
    that sum belongs to the group and is lent, inside the group first.
    """

    parent: str | None = None
    """Group that the tenant belongs to; left out, it stands at the top."""
    tier: Tier
    """*firm* (contract), *assured* (national priority) or *lent* (surplus, recalled on demand)."""
    region: str = "Norway"
    """Where the tenant is from."""
    residency: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Regions in which the tenant's data may be processed, e.g. `["NO", "EEA"]`; empty means anywhere."""
    guarantee_share: Share | None = None
    """Share of the installed GPUs that is never lent; left out, none (a group: the sum of its children's)."""
    guarantee_gpus: Gpus | None = None
    """The same as a number of GPUs."""
    deserved_share: Share | None = None
    """Share of the installed GPUs that the tenant can always have back; left out, none (a group: its children's)."""
    deserved_gpus: Gpus | None = None
    """The same as a number of GPUs."""
    ceiling_share: Share | None = None
    """Largest share of the installed GPUs that the tenant may hold; left out, its parent's, at the top all."""
    ceiling_gpus: Gpus | None = None
    """The same as a number of GPUs."""
    schedule: Annotated[tuple[LimitChange, ...], Field(strict=False)] = ()
    """Limits that hold at some times only."""
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Weight among borrowers beside its siblings."""
    notice_s: Annotated[int, Field(ge=0, le=864_000)] = int(value("access.recall_s"))
    """Notice before a loan of this tenant ends [s]."""
    minimum_run_s: Annotated[int, Field(ge=0, le=864_000)] = int(value("access.minimum_run_s"))
    """Run time that every loan of this tenant is sure of [s]; its notice may run inside it."""
    price_usd_per_gpu_hour: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Price of an allocated GPU-hour [USD]."""
    curtailable: bool | None = None
    """Whether the contract lets the tenant's own work be curtailed with the others of its tier; left out, lent and
    assured work may be, firm work may not: it is capped and shed last of all."""

    @model_validator(mode="after")
    def _holds_together(self) -> Tenant:
        _refuse_two_units(self)
        for unit in ("share", "gpus"):
            given = [(limit, getattr(self, f"{limit}_{unit}")) for limit in LIMITS]
            said = [(limit, number) for limit, number in given if number is not None]
            for (_, low), (_, high) in pairwise(said):
                if low > high:
                    raise ValueError(
                        f"{unit}s must rise: guarantee_{unit} <= deserved_{unit} <= ceiling_{unit}, got "
                        + ", ".join("-" if number is None else f"{number:g}" for _, number in given)
                    )
        if self.curtailable is False and self.tier != "firm":
            raise ValueError(
                f"curtailable must not be false for a tenant of tier {self.tier}: only a firm contract can rule "
                "curtailment out; leave it out, or give tier firm"
            )
        entitled = self.deserved_share or self.deserved_gpus
        entitled = entitled or any(change.deserved_share or change.deserved_gpus for change in self.schedule)
        if self.tier == "lent" and entitled:
            raise ValueError(
                "a tenant of tier lent has no entitlement and lives on loans: deserved_share must be 0, "
                f"got {entitled:g}; for a share of its own give it tier firm or assured"
            )
        return self

    @property
    def may_be_curtailed(self) -> bool:
        """Whether the contract lets the tenant's own work be curtailed."""
        return self.tier != "firm" if self.curtailable is None else self.curtailable


class Policy(Part):
    """Rules of placement, order and recall that hold for all tenants."""

    segment_trays: Annotated[int, Field(ge=1, le=18)] = 16
    """Trays per rack that a gang larger than a rack takes: 16 of 18 leaves two hot spares."""
    spare_trays_per_rack: Annotated[int, Field(ge=0, le=17)] = 0
    """Healthy trays of every rack that new work leaves free, for jobs that restart after a failure (hot spares)."""
    rest_after_recall_s: float = parameter("access.rest_after_recall_s", ge=0, le=604_800)
    recall: bool = True
    """Recall loans when their lender needs the room."""
    backfill_depth: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Jobs that are looked at behind one that waits, in its queue; 0: strictly in order."""
    reservations: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Waiting jobs of a queue that hold a reservation: 0 none, 1 EASY backfill, many conservative backfill."""
    aging_h: float = parameter("access.aging_h", ge=0, le=100_000)
    """Wait after which a borrower, too, holds a reservation, so that smaller ones cannot pass it for ever [h]."""
    order: Literal["holdings", "fair_tree"] = "holdings"
    """Order among borrowers of a tier: by what they hold on loan, or by their decayed use of the past (Slurm's fair tree)."""
    half_life_h: float = parameter("access.half_life_h", gt=0, le=100_000)
    """Half-life of past use for `order = "fair_tree"` [h]."""
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
