"""The whole scenario: what is asked of one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator, model_validator

from kvandal.scenario.accounting import Accounting
from kvandal.scenario.base import Part
from kvandal.scenario.cooling import Cooling
from kvandal.scenario.demand import Demand
from kvandal.scenario.faults import Fault
from kvandal.scenario.finance import Finance
from kvandal.scenario.grants import Grant, refuse_unknown
from kvandal.scenario.grid import GridRequirement, Swing
from kvandal.scenario.heat import Heat
from kvandal.scenario.market import Carbon, Market
from kvandal.scenario.plan import Plan
from kvandal.scenario.plant import Climate, Network, Reliability
from kvandal.scenario.power import Power
from kvandal.scenario.reach import refuse_unreachable
from kvandal.scenario.registration import Registration
from kvandal.scenario.site import RackModel, RackModelName, Site, default_rack_models
from kvandal.scenario.supply import Supply, refuse_oversold, refuse_unknown_buyers
from kvandal.scenario.tenants import Policy, Tenant
from kvandal.scenario.tree import (
    groups_of,
    inherited,
    limit_steps,
    refuse_loops,
    refuse_unkeepable,
)

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)
"""A run lies between these; tables hold instants of these years only."""
RESERVED = {"pool": "GPUs that nobody is entitled to", "owners": "energy that no tenant bears"}
MAXIMUM_TICKS = 60_000_000
"""Ticks of one run: a century of minutes."""


class Run(Part):
    """The simulated time."""

    start_utc: AwareDatetime = datetime(2027, 1, 1, tzinfo=UTC)
    """First instant, with its offset from UTC; a whole hour of the years 1900 to 2299."""
    days: Annotated[int, Field(ge=1, le=36_600)] = 365
    """Length of the run [days of 24 h]."""
    tick_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Length of a tick [s]; a whole number of ticks makes an hour."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of all randomness."""

    @field_validator("start_utc")
    @classmethod
    def _in_utc(cls, start_utc: datetime) -> datetime:
        if not EARLIEST.year <= start_utc.year < LATEST.year:
            raise ValueError(
                f"must lie in the years {EARLIEST.year} to {LATEST.year - 1}, got {start_utc.isoformat()}"
            )
        moment = start_utc.astimezone(UTC)
        if (moment.minute, moment.second, moment.microsecond) != (0, 0, 0):
            raise ValueError(f"must be a whole hour of UTC, got {start_utc.isoformat()}")
        return moment

    @model_validator(mode="after")
    def _holds_together(self) -> Run:
        if 3600 % self.tick_s:
            raise ValueError(f"tick_s must divide an hour (3600 s), got {self.tick_s}")
        ticks = self.days * 86_400 // self.tick_s
        if ticks > MAXIMUM_TICKS:
            raise ValueError(
                f"{self.days:,} days of ticks of {self.tick_s} s are {ticks:,} ticks; allowed are {MAXIMUM_TICKS:,}: "
                "give fewer days or a longer tick_s"
            )
        if not self.start_utc >= EARLIEST or self.start_utc + timedelta(days=self.days) > LATEST:
            raise ValueError(
                f"the run must lie in the years {EARLIEST.year} to {LATEST.year - 1}, got {self.days:,} days from "
                f"{self.start_utc.isoformat()}"
            )
        return self


class Scenario(Part):
    """Everything that is asked of one run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)] = "scenario"
    """Short name: lower-case letters, digits, dot, dash, underscore."""
    description: str = ""
    """What this scenario stands for, and how sure it is."""
    run: Run = Run()
    site: Site = Site()
    rack_models: dict[RackModelName, RackModel] = Field(default_factory=default_rack_models)
    network: Network = Network()
    power: Power = Power()
    cooling: Cooling = Cooling()
    climate: Climate = Climate()
    heat: Heat = Heat()
    reliability: Reliability = Reliability()
    faults: Annotated[tuple[Fault, ...], Field(strict=False)] = ()
    """Things that go wrong at given times."""
    grid: GridRequirement = GridRequirement()
    swing: Swing = Swing()
    market: Annotated[Market, Field(validate_default=True)] = Market()
    supply: Supply = Supply()
    plan: Plan = Plan()
    carbon: Carbon = Carbon()
    accounting: Accounting = Accounting()
    policy: Policy = Policy()
    tenants: dict[str, Tenant] = Field(default_factory=dict)
    """Tenants by name."""
    demand: dict[str, Demand] = Field(default_factory=dict)
    """Classes of demand by name."""
    demand_multiplier: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Multiplies `mean_gpus` of every class of demand."""
    finance: Finance = Finance()
    registration: Registration = Registration()
    grants: dict[str, Grant] = Field(default_factory=dict)
    """GPU-hours that tenants may use, by the name of the grant."""

    @field_validator("rack_models", mode="before")
    @classmethod
    def _over_known_models(cls, given: Any) -> Any:
        """Lay what a scenario says of a rack over what is known of that rack."""
        if not isinstance(given, dict):
            return given
        known = {name: model.model_dump() for name, model in default_rack_models().items()}
        laid = {
            name: {**known[name], **entry} if name in known and isinstance(entry, dict) else entry
            for name, entry in given.items()
        }
        return known | laid

    @field_validator("market", mode="before")
    @classmethod
    def _base_load_fits(cls, given: Any, known: ValidationInfo) -> Any:
        """Let a base load that nobody asks for be no larger than the connection."""
        site = known.data.get("site")
        asked = given if isinstance(given, dict) else getattr(given, "model_fields_set", {"ppa_mw"})
        if site is None or "ppa_mw" in asked:
            return given
        most_mw = min(Market().ppa_mw, site.grid_mw)
        return (
            {**given, "ppa_mw": most_mw}
            if isinstance(given, dict)
            else given.model_copy(update={"ppa_mw": most_mw})
        )

    @field_validator("tenants", mode="before")
    @classmethod
    def _under_their_groups(cls, given: Any) -> Any:
        """Lay what a group says under what its children leave out."""
        return inherited(given)

    @model_validator(mode="after")
    def _holds_together(self) -> Scenario:
        refuse_unreachable(self.heat, self.cooling)
        refuse_oversold(self.supply, self.market.ppa_mw, self.site.grid_mw)
        if self.supply.reserves and not self.plan.enabled:
            raise ValueError(
                "supply.reserves: are offered by the day-ahead plan; allowed with plan.enabled = true only"
            )
        if self.supply.conditional_mw >= self.site.grid_mw:
            raise ValueError(
                f"supply.conditional_mw ({self.supply.conditional_mw:g}) must lie below site.grid_mw "
                f"({self.site.grid_mw:g}): some of the connection must be firm"
            )
        for name, meaning in RESERVED.items():
            if name in self.tenants:
                raise ValueError(
                    f"tenants.{name}: is what the tables call {meaning}; name the tenant otherwise"
                )
        refuse_loops(self.tenants)
        offset = self.policy.perf_offset_fraction
        tree = groups_of(self.tenants)
        offtaker = self.finance.offtaker_tenant
        if offtaker is not None and (offtaker not in self.tenants or offtaker in tree):
            what = f"{offtaker!r} is a group" if offtaker in tree else f"no tenant {offtaker!r}"
            known = ", ".join(name for name in self.tenants if name not in tree)
            raise ValueError(f"finance.offtaker_tenant: {what}; tenants are: {known or 'none'}")
        for name, block in self.site.fleet.items():
            if block.model not in self.rack_models:
                raise ValueError(f"site.fleet.{name}.model: no rack model {block.model!r} in rack_models")
            least = self.rack_models[block.model].cap_minimum_fraction
            if least <= offset:
                raise ValueError(
                    f"rack_models.{block.model}.cap_minimum_fraction ({least:g}) must lie above "
                    f"policy.perf_offset_fraction ({offset:g}): a GPU capped to its offset does no work"
                )
        for name, demand in self.demand.items():
            if demand.gpu_cap_fraction <= offset:
                raise ValueError(
                    f"demand.{name}.gpu_cap_fraction ({demand.gpu_cap_fraction:g}) must lie above "
                    f"policy.perf_offset_fraction ({offset:g}): a GPU capped to its offset does no work; nearest possible "
                    f"value {offset + 0.01:g}"
                )
            for tenant in demand.tenants:
                if tenant not in self.tenants:
                    known = ", ".join(self.tenants) or "none"
                    raise ValueError(f"demand.{name}.tenants: no tenant {tenant!r}; tenants are: {known}")
        for name, demand in self.demand.items():
            for tenant in demand.tenants:
                if tenant in tree:
                    leaves = ", ".join(other for other in self.tenants if other not in tree)
                    raise ValueError(
                        f"demand.{name}.tenants: {tenant!r} is a group and submits no jobs; tenants are: {leaves}"
                    )
        refuse_unknown(self.grants, self.tenants, tree, self.demand)
        refuse_unknown_buyers(self.supply, self.tenants, tree)
        steps = limit_steps(self.tenants, self.run.start_utc, self.run.days, self.site.time_zone)
        for start_s, limits in steps:
            when = f" from {(self.run.start_utc + timedelta(seconds=start_s)).isoformat()}" if start_s else ""
            refuse_unkeepable(self.tenants, limits, self.site.racks, when)
        return self
