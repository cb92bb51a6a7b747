"""Money beside energy: what the site cost, what running it costs, what the off-taker has promised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter

Loss = Literal["failure", "recall", "shed", "restart"]
Causes = Annotated[tuple[Loss, ...], Field(strict=False)]


class CreditedLosses(Part):
    """GPU-hours that are given back, by tier of the tenant and by cause."""

    firm: Causes = ("failure", "recall", "shed", "restart")
    """Of a contract: whatever the site caused."""
    assured: Causes = ("failure", "recall", "shed", "restart")
    """Of priority users: likewise."""
    offtaker: Causes = ("shed",)
    """Of the off-taker: work that was stopped for power; for broken GPUs its remedy is the credit on availability."""
    lent: Causes = ("failure",)
    """Of surplus: being recalled and shed first is in its price."""


class Finance(Part):
    """Terms of the books (docs/books.md)."""

    offtaker_tenant: str | None = None
    """Tenant that takes or pays, and whose availability is promised; left out or empty: nobody."""
    take_or_pay_fraction: float = parameter("finance.take_or_pay", ge=0, le=1)
    availability_fraction: float = parameter("finance.availability", gt=0, le=1)
    credit_fraction: float = parameter("finance.credit", ge=0, le=1)
    credited_losses: CreditedLosses = CreditedLosses()
    """Lost GPU-hours for which a tenant is given its money back."""
    facility_musd_per_mw: float = parameter("econ.capex_facility", ge=0, le=1000)
    further_capital_eur: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    """Investment beside these, e.g. in heat pumps; written off with the facility [EUR]."""
    rack_musd: float = parameter("econ.capex_rack", ge=0, le=1000)
    gpu_life_years: float = parameter("econ.life_gpu_yr", gt=0, le=50)
    facility_life_years: float = parameter("finance.life_facility_yr", gt=0, le=100)
    site_life_years: Annotated[int, Field(ge=1, le=100)] = 15
    """Years over which cash flow and rate of return are reckoned."""
    upkeep_fraction: float = parameter("finance.upkeep_frac", ge=0, le=1)
    insurance_fraction: float = parameter("finance.insurance_frac", ge=0, le=1)
    staff_per_mw: float = parameter("econ.direct_fte_per_mw", ge=0, le=100)
    cost_of_capital_fraction: float = parameter("econ.wacc", ge=0, le=1)
    staff_eur_per_year: float = parameter("finance.staff_cost", ge=0, le=1e7)
    nok_per_usd: float = parameter("econ.nok_per_usd", gt=0, le=1000)

    @field_validator("offtaker_tenant")
    @classmethod
    def _empty_is_nobody(cls, name: str | None) -> str | None:
        return name or None
