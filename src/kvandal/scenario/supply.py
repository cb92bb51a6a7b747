"""Where the electricity comes from: the connection, contracts beside the base load, generators, reserves sold."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter

Product = Literal["ffr", "fcr_d_up", "fcr_d_down", "afrr_up", "mfrr_up"]
PRODUCTS: tuple[Product, ...] = ("ffr", "fcr_d_up", "fcr_d_down", "afrr_up", "mfrr_up")
BASE_LOAD = "base-load"
"""Name of the contract that `market.ppa_mw` stands for."""
PROFILES = ("wind-north", "hydro-norway")
"""Profiles that are shipped; any other is a file."""


class Purchase(Part):
    """A contract for electricity, beside the base load of `market.ppa_mw`."""

    kind: Literal["baseload", "pay_as_produced", "shaped"]
    """Constant power, whatever a plant produces, or power in given hours."""
    mw: Annotated[float, Field(gt=0, le=100_000)]
    """Power: constant, installed at the plant, or in the given hours [MW]."""
    eur_per_mwh: Annotated[float, Field(ge=0, le=1000)]
    """Price of what is delivered [EUR/MWh]."""
    profile: str | None = None
    """Of pay-as-produced: `wind-north`, `hydro-norway`, or a CSV or Parquet file with `time_utc` and `fraction`."""
    plant: str = ""
    """Plant behind it; what one plant produces can be sold once only."""
    seller: str = ""
    """Who is paid; without it, the name of the contract."""
    buyer: str = ""
    """Tenant that pays it and whose own consumption it covers first; without one, the site buys."""
    from_utc: AwareDatetime | None = None
    """First instant, a whole hour with its offset; without it, the start of the run."""
    until_utc: AwareDatetime | None = None
    """Instant at which it ends, a whole hour; without it, the end of the run."""
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Field(strict=False)] = ()
    """Of shaped: months in which it delivers, local time; empty means all."""
    hours_local: Annotated[tuple[Annotated[int, Field(ge=0, le=24)], ...], Field(strict=False)] = ()
    """Of shaped: first hour and the hour at which it ends, local time: [6, 22] is the day."""
    carbon_free: bool = True
    """Whether guarantees of origin come with it."""

    @model_validator(mode="after")
    def _holds_together(self) -> Purchase:
        if (self.profile is not None) != (self.kind == "pay_as_produced"):
            raise ValueError(
                "a pay_as_produced contract needs profile: 'wind-north', 'hydro-norway', or a CSV or Parquet file"
                if self.profile is None
                else f"a {self.kind} contract has no profile; only a pay_as_produced one has"
            )
        if (
            self.profile is not None
            and self.profile not in PROFILES
            and Path(self.profile).suffix.lower() not in {".csv", ".parquet"}
        ):
            raise ValueError(
                f"profile must be 'wind-north', 'hydro-norway' or the path of a .csv or .parquet file, got "
                f"{Path(self.profile).name!r}"
            )
        if bool(self.hours_local or self.months) and self.kind != "shaped":
            raise ValueError(f"a {self.kind} contract has no months or hours_local; only a shaped one has")
        if self.kind == "shaped" and not (self.hours_local or self.months):
            raise ValueError("a shaped contract needs hours_local or months")
        if self.hours_local and (len(self.hours_local) != 2 or self.hours_local[0] == self.hours_local[1]):
            raise ValueError("hours_local must be two different hours, e.g. [6, 22]")
        for key in ("from_utc", "until_utc"):
            moment = getattr(self, key)
            if moment is not None and (moment.minute or moment.second or moment.microsecond):
                raise ValueError(f"{key} must be a whole hour, got {moment.isoformat()}")
        if self.from_utc and self.until_utc and self.from_utc >= self.until_utc:
            raise ValueError(f"until_utc ({self.until_utc.isoformat()}) must lie after from_utc")
        return self


class Reserve(Part):
    """A reserve that the site may sell; how much of it in which hour, the day-ahead plan decides."""

    mw: Annotated[float, Field(gt=0, le=10_000)]
    """Prequalified power: no offer is larger [MW]."""
    eur_per_mw_h: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Price of an hour of readiness [EUR/MW/h]; without it, the registry's placeholder of the product."""
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Field(strict=False)] = ()
    """Months in which the system operator buys it, local time; empty means all."""


class Supply(Part):
    """Connection, contracts, generators and reserves (docs/energy.md)."""

    purchases: dict[str, Purchase] = Field(default_factory=dict)
    """Contracts for electricity by name."""
    marginal_loss_fraction: float = parameter("grid.marginal_loss_rate", ge=-0.5, le=0.5)
    """Marginal losses of the grid that consumption at the site causes; below 0 it saves losses."""
    power_factor: float = parameter("supply.power_factor", gt=0.5, le=1)
    reactive_nok_per_kvar_year: float = parameter("supply.reactive_nok_kvar", ge=0, le=1000)
    conditional_mw: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Part of `site.grid_mw` that the grid company may call off [MW]."""
    conditional_hours_per_year: float = parameter("supply.conditional_hours", ge=0, le=8760)
    conditional_event_h: float = parameter("supply.conditional_event_h", gt=0, le=168)
    conditional_notice_min: float = parameter("supply.conditional_notice_min", ge=0, le=1440)
    generators_mw: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Back-up generators on HVO (renewable diesel) [MW electric]."""
    generator_test_h_per_month: float = parameter("supply.generator_test_h", ge=0, le=24)
    generator_test_load_fraction: float = parameter("supply.generator_test_load", ge=0, le=1)
    generator_efficiency: float = parameter("supply.generator_eta", gt=0.1, le=0.6)
    hvo_eur_per_l: float = parameter("supply.hvo_price", ge=0, le=100)
    hvo_fuel_lifecycle_g_per_kwh: float = parameter("supply.hvo_ef_lifecycle", ge=0, le=1000)
    reserves: dict[Product, Reserve] = Field(default_factory=dict)
    """Reserves by product; selling them needs `plan.enabled`."""
    fcr_excursions_per_h: float = parameter("supply.fcr_excursions_per_h", ge=0, le=60)
    ffr_events_per_year: float = parameter("supply.ffr_events_per_year", ge=0, le=1000)
    afrr_active_fraction: float = parameter("supply.afrr_active_frac", ge=0, le=1)
    mfrr_active_fraction: float = parameter("supply.mfrr_active_frac", ge=0, le=1)


def refuse_oversold(supply: Supply, base_mw: float, grid_mw: float) -> None:
    """Refuse contracts that deliver more at one time than the connection carries, or sell a plant's output twice."""
    if base_mw > 0 and BASE_LOAD in supply.purchases:
        raise ValueError(
            f"supply.purchases.{BASE_LOAD}: is what the tables call the contract of market.ppa_mw; name it otherwise, or set "
            "market.ppa_mw = 0"
        )
    entries = list(supply.purchases.items())
    for index, (name, one) in enumerate(entries):
        for other_name, other in entries[:index]:
            if one.plant and one.plant == other.plant and overlap(one, other):
                raise ValueError(
                    f"supply.purchases.{name}: overlaps with {other_name!r}, which has the output of plant {one.plant!r} "
                    f"{_span(other)}; allowed is a time outside that, or another plant"
                )
    if base_mw > grid_mw * (1 + 1e-9):
        raise ValueError(
            f"market.ppa_mw: {base_mw:g} MW are more than the connection (site.grid_mw) carries; allowed is at most {grid_mw:g} MW"
        )
    for name, one in entries:
        volume_mw = base_mw + together_mw(one, supply.purchases.values())
        if volume_mw > grid_mw * (1 + 1e-9):
            most_mw = grid_mw - volume_mw + one.mw
            allowed = f"at most {most_mw:g} MW" if most_mw > 0 else "nothing: the others fill the connection"
            raise ValueError(
                f"supply.purchases.{name}.mw: {one.mw:g} MW make {volume_mw:g} MW together with market.ppa_mw and the "
                f"contracts of the same time, but the connection (site.grid_mw) carries {grid_mw:g} MW; allowed is {allowed}"
            )


def refuse_unknown_buyers(supply: Supply, tenants: Iterable[str], groups: Container[str]) -> None:
    """Refuse a contract whose buyer is no tenant, or a group: a group draws nothing that could be matched."""
    leaves = [name for name in tenants if name not in groups]
    for name, one in supply.purchases.items():
        if one.buyer and one.buyer not in leaves:
            what = (
                f"{one.buyer!r} is a group and draws nothing"
                if one.buyer in groups
                else f"no tenant {one.buyer!r}"
            )
            known = f"one of {', '.join(leaves)}" if leaves else "none, for there are no tenants"
            raise ValueError(
                f"supply.purchases.{name}.buyer: {what}; allowed is {known}; leave it out if the site buys"
            )


def overlap(one: Purchase, other: Purchase) -> bool:
    """Whether two contracts deliver at the same time (a contract overlaps with itself)."""
    starts_before: bool = one.from_utc is None or other.until_utc is None or one.from_utc < other.until_utc
    ends_after: bool = one.until_utc is None or other.from_utc is None or other.from_utc < one.until_utc
    return starts_before and ends_after and bool(_hours(one) & _hours(other))


def together_mw(one: Purchase, purchases: Iterable[Purchase]) -> float:
    """Most power that contracts deliver at one instant at which one of them does, its own included [MW].

    What is in force changes only where a contract begins, and what delivers only with the month and the hour of the day.
    """
    others = [other for other in purchases if overlap(one, other)]
    starts = {
        other.from_utc for other in others if other.from_utc is not None and _in_force(one, other.from_utc)
    }
    most_mw = 0.0
    for start in [one.from_utc, *starts]:
        standing = [other for other in others if _in_force(other, start)]
        for cell in _hours(one):
            most_mw = max(most_mw, sum(other.mw for other in standing if cell in _hours(other)))
    return most_mw


def _in_force(one: Purchase, instant: datetime | None) -> bool:
    """Whether a contract is in force at an instant; None is the start of the run."""
    if instant is None:
        return one.from_utc is None
    begun = one.from_utc is None or one.from_utc <= instant
    return begun and (one.until_utc is None or instant < one.until_utc)


@cache
def _cells(months: tuple[int, ...], hours: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    first, last = hours or (0, 24)
    clock = range(first, last) if first < last else [*range(first, 24), *range(last)]
    return frozenset((month, hour) for month in months or range(1, 13) for hour in clock)


def _hours(one: Purchase) -> frozenset[tuple[int, int]]:
    """Months and hours of the day, local time, in which a contract delivers."""
    return _cells(one.months, one.hours_local)


def _span(one: Any) -> str:
    start = "from the start" if one.from_utc is None else f"from {one.from_utc.isoformat()}"
    return f"{start} {'to the end' if one.until_utc is None else f'to {one.until_utc.isoformat()}'}"
