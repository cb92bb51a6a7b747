"""The whole scenario: what is asked of one run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.demand import Demand
from kvandal.scenario.market import Carbon, Market
from kvandal.scenario.plant import Climate, Cooling, Heat, Network, Power, Reliability
from kvandal.scenario.site import RackModel, RackModelName, Site, default_rack_models
from kvandal.scenario.tenants import Policy, Tenant


class Run(Part):
    """The simulated time."""

    start_utc: AwareDatetime = datetime(2027, 1, 1, tzinfo=UTC)
    """First instant, with its offset from UTC."""
    days: Annotated[int, Field(ge=1, le=36_600)] = 365
    """Length of the run [days of 24 h]."""
    tick_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Length of a tick [s]; a whole number of ticks makes an hour."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of all randomness."""

    @model_validator(mode="after")
    def _holds_together(self) -> Run:
        if 3600 % self.tick_s:
            raise ValueError(f"tick_s must divide an hour (3600 s), got {self.tick_s}")
        if self.start_utc.second or self.start_utc.microsecond or self.start_utc.minute:
            raise ValueError(f"start_utc must be a whole hour, got {self.start_utc.isoformat()}")
        return self


class Scenario(Part):
    """Everything that is asked of one run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "scenario"
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
    market: Market = Market()
    carbon: Carbon = Carbon()
    policy: Policy = Policy()
    tenants: dict[str, Tenant] = {}
    """Tenants by name."""
    demand: dict[str, Demand] = {}
    """Classes of demand by name."""
    demand_multiplier: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Multiplies `mean_gpus` of every class of demand."""

    @model_validator(mode="after")
    def _holds_together(self) -> Scenario:
        for name, block in self.site.fleet.items():
            if block.model not in self.rack_models:
                raise ValueError(f"site.fleet.{name}.model: no rack model {block.model!r} in rack_models")
        for name, demand in self.demand.items():
            for tenant in demand.tenants:
                if tenant not in self.tenants:
                    known = ", ".join(self.tenants) or "none"
                    raise ValueError(f"demand.{name}.tenants: no tenant {tenant!r}; tenants are: {known}")
        deserved = sum(tenant.deserved_share for tenant in self.tenants.values())
        if deserved > 1 + 1e-9:
            parts = " + ".join(f"{name} {t.deserved_share:g}" for name, t in self.tenants.items() if t.deserved_share)
            raise ValueError(f"tenants' deserved_share sum to {deserved:g} ({parts}); they must not exceed 1")
        return self
