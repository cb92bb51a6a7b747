"""Heat export as asked for: customers, their contracts and pipes, heat pumps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class HeatCustomer(Part):
    """Somebody who buys heat."""

    kind: Literal["district_heating", "fish_farm", "greenhouse", "drying", "flat"]
    """Demand profile over weather and calendar."""
    peak_mw: Annotated[float, Field(gt=0, le=10_000)]
    """Connected power [MW thermal]: demand never exceeds it."""
    annual_gwh: Annotated[float, Field(gt=0, le=100_000)]
    """Demand of a normal year [GWh thermal]; the profile is scaled to it."""
    supply_c: Annotated[float, Field(ge=0, le=120)]
    """Temperature that the customer needs [°C]; above what the loop gives, a heat pump lifts it."""
    return_c: Annotated[float, Field(ge=-10, le=110)]
    """Temperature at which the customer's water comes back [°C]."""
    price_eur_per_mwh: Annotated[float, Field(ge=0, le=1000)] = 8.0
    """Price of the heat at the hand-over [EUR/MWh]."""
    from_month: Annotated[int, Field(ge=0, le=600)] = 0
    """Whole months after the start of the run when the customer connects."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    """Place in the queue when heat is short: lower numbers first, equal ones in the order of the file."""
    pipe_km: Annotated[float, Field(ge=0, le=200)] = 0.0
    """Length of the pipe pair from the site to the customer [km]; it is kept warm once the customer is connected."""
    pipe_loss_w_per_m: float = parameter("heat.pipe_loss_w_per_m", ge=0, le=500)
    pinch_k: float = parameter("heat.exchanger_pinch_k", gt=0, le=30)

    store_mwh: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Heat store behind the hand-over [MWh]; the day-ahead plan fills and empties it."""
    store_mw: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Largest power into and out of the store [MW]."""
    store_loss_fraction: float = parameter("heat.store_loss_per_day", ge=0, lt=1)

    @model_validator(mode="after")
    def _holds_together(self) -> HeatCustomer:
        if self.return_c >= self.supply_c:
            raise ValueError(
                f"return_c ({self.return_c:g}) must lie below supply_c ({self.supply_c:g}): heat is given off on the "
                f"way; nearest possible value {self.supply_c - 1:g}"
            )
        if (self.store_mwh > 0) != (self.store_mw > 0):
            raise ValueError("a heat store needs both store_mwh and store_mw")
        if self.annual_gwh * 1000 > self.peak_mw * 8760:
            raise ValueError(
                f"{self.annual_gwh:g} GWh a year need at least {self.annual_gwh * 1000 / 8760:.2f} MW, "
                f"but peak_mw is {self.peak_mw:g}"
            )
        return self


class Heat(Part):
    """Heat export."""

    district_heating_model: Literal["signature", "degree_hours"] = "signature"
    """Profile of district heating: energy signature fitted to a measured campus, or degree-hours of a textbook town."""
    signature_limit_c: float = parameter("heat.signature_limit_c", ge=-30, le=40)
    signature_hot_water_share: float = parameter("heat.signature_hot_water_share", ge=0, le=1)
    signature_working_factor: float = parameter("heat.signature_working_factor", gt=0, le=10)
    degree_hours_limit_c: float = parameter("heat.degree_hours_limit_c", ge=-30, le=40)
    degree_hours_hot_water_share: float = parameter("heat.degree_hours_hot_water_share", ge=0, le=1)
    heat_pump_model: Literal["lorenz", "carnot"] = "lorenz"
    """Ideal cycle that the heat pumps are measured against: gliding streams (Lorenz) or two temperatures (Carnot)."""
    lorenz_efficiency: float = parameter("heat.hp_lorenz_eff", gt=0, le=1)
    carnot_efficiency: float = parameter("heat.hp_carnot_eff", gt=0, le=1)
    cop_maximum: float = parameter("heat.hp_cop_max", gt=1, le=30)
    sink_maximum_c: float = parameter("heat.hp_sink_max_c", ge=20, le=150)
    pumps_owned_by: Literal["customer", "site"] = "customer"
    """Who owns the heat pumps at the hand-over, and pays their electricity; they have meters of their own."""
    customers: dict[str, HeatCustomer] = Field(default_factory=dict)
    """Customers by name."""
