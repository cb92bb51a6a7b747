"""The site as asked for: grid connection, racks, layout and build-out."""

from __future__ import annotations

import math
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter, value

RackModelName = Literal["gb200_nvl72", "gb300_nvl72", "rubin_nvl72"]


class RackModel(Part):
    """One kind of rack. Defaults are the GB300 NVL72."""

    gpus_per_rack: Literal[72] = 72
    """GPUs in a rack (NVL72)."""
    trays_per_rack: Literal[18] = 18
    """Compute trays in a rack; 4 GPUs each."""
    rack_tdp_kw: float = parameter("rack.rack_tdp_kw", gt=0, le=1000)
    rack_peak_kw: float = parameter("rack.rack_peak_kw", gt=0, le=1000)
    rack_idle_kw: float = parameter("rack.rack_idle_kw", ge=0, le=500)
    gpu_tdp_w: float = parameter("gpu.gpu_tdp_w", gt=0, le=10_000)
    gpu_idle_w: float = parameter("gpu.gpu_idle_w", ge=0, le=5000)
    cap_minimum_fraction: float = parameter("gpu.gpu_cap_min_frac", ge=0.15, le=1)
    junction_k_per_w: float = parameter("gpu.rth_junction", gt=0, le=1)
    convective_share: float = parameter("gpu.rth_convective_share", ge=0, le=1)
    throttle_c: float = parameter("gpu.t_throttle_c", gt=0, le=200)
    trip_c: float = parameter("gpu.t_trip_c", gt=0, le=250)
    cold_plate_s: float = parameter("gpu.cold_plate_s", gt=0, le=600)
    rack_loop_s: float = parameter("gpu.rack_loop_s", gt=0, le=3600)
    liquid_fraction: float = parameter("cooling.liquid_fraction", ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> RackModel:
        if not self.rack_idle_kw < self.rack_tdp_kw <= self.rack_peak_kw:
            raise ValueError(
                "rack powers must rise: rack_idle_kw < rack_tdp_kw <= rack_peak_kw, got "
                f"{self.rack_idle_kw:g}, {self.rack_tdp_kw:g}, {self.rack_peak_kw:g}"
            )
        if self.throttle_c >= self.trip_c:
            raise ValueError(f"throttle_c ({self.throttle_c:g}) must lie below trip_c ({self.trip_c:g})")
        if self.gpu_idle_w >= self.gpu_tdp_w:
            raise ValueError(
                f"gpu_idle_w ({self.gpu_idle_w:g}) must lie below gpu_tdp_w ({self.gpu_tdp_w:g})"
            )
        gpus_kw = self.gpus_per_rack * self.gpu_tdp_w / 1000
        if gpus_kw > self.rack_tdp_kw:
            raise ValueError(
                f"{self.gpus_per_rack} GPUs of gpu_tdp_w = {self.gpu_tdp_w:g} draw {gpus_kw:g} kW, "
                f"more than rack_tdp_kw = {self.rack_tdp_kw:g}"
            )
        return self


def default_rack_models() -> dict[RackModelName, RackModel]:
    """Racks known to the product; a scenario may change their numbers."""
    return {
        "gb200_nvl72": RackModel(
            rack_tdp_kw=value("rack.gb200_rack_kw"),
            rack_peak_kw=value("rack.gb200_peak_kw"),
            gpu_tdp_w=value("gpu.gb200_tdp_w"),
        ),
        "gb300_nvl72": RackModel(),
        "rubin_nvl72": RackModel(
            rack_tdp_kw=value("rack.rubin_rack_kw"),
            rack_peak_kw=value("rack.rubin_peak_kw"),
            rack_idle_kw=value("rack.rubin_idle_kw"),
            gpu_tdp_w=value("gpu.rubin_tdp_w"),
            junction_k_per_w=value("gpu.rubin_rth"),
            liquid_fraction=1.0,
        ),
    }


class Fleet(Part):
    """GPUs of one kind. A part of a rack counts as a rack."""

    model: RackModelName = "gb300_nvl72"
    """Kind of rack, a key of `rack_models`."""
    gpus: Annotated[int, Field(ge=1, le=5_000_000)]
    """GPUs asked for; racks = ceil(gpus / 72)."""


class Delivery(Part):
    """Racks that arrive together."""

    month: Annotated[int, Field(ge=0, le=600)]
    """Whole months after the start of the run (0 = there from the start)."""
    gpus: Annotated[int, Field(ge=1)]
    """GPUs that arrive, counted in order of the fleet."""


class Layout(Part):
    """How racks stand in rows and halls."""

    racks_per_row: Annotated[int, Field(ge=1, le=200)] = 18
    """Racks in a row: two CDU groups of nine."""
    rows_per_hall: Annotated[int, Field(ge=1, le=200)] = 10
    """Rows in a hall."""
    racks_per_cdu: Annotated[int, Field(ge=1, le=100)] = 9
    """Duty racks of one row CDU (1.3 MW at 115 kW liquid each)."""
    rows_per_group: Annotated[int, Field(ge=1, le=200)] = 2
    """Rows that share a group of power blocks."""


def _announced_owners() -> dict[str, float]:
    return {"Nscale": 0.5, "Aker": 0.5}


def _announced_fleet() -> dict[str, Fleet]:
    return {"main": Fleet(gpus=100_000)}


class Site(Part):
    """The site: connection to the grid, racks, place and owners."""

    title: str = "Stargate Norway"
    """Name as printed."""
    grid_mw: float = parameter("site.grid_capacity_mw", gt=0, le=100_000)
    latitude_deg: float = parameter("site.latitude_deg", ge=-90, le=90)
    elevation_m: float = parameter("site.site_elevation_m", ge=-430, le=6000)
    time_zone: str = "Europe/Oslo"
    """Local time of the report's edges (IANA name); inside, all is UTC."""
    regions: Annotated[tuple[str, ...], Field(strict=False)] = ("NO", "Nordics", "EEA", "Europe")
    """Regions that the site lies in; a tenant whose data must stay elsewhere is not served (`residency`)."""
    owners: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=_announced_owners)
    """Owners and their shares; the shares sum to 1."""
    offtaker: str = "OpenAI"
    """Name of the off-taker as printed."""
    fleet: dict[str, Fleet] = Field(default_factory=_announced_fleet)
    """GPUs by block."""
    build_out: Annotated[tuple[Delivery, ...], Field(strict=False)] = ()
    """Deliveries; empty means that all racks stand at the start."""
    layout: Layout = Layout()
    """Rows and halls."""

    @property
    def gpus_asked(self) -> int:
        """GPUs asked for, before rounding up to whole racks."""
        return sum(block.gpus for block in self.fleet.values())

    @property
    def racks(self) -> int:
        """Racks: each block rounded up to whole racks."""
        return sum(math.ceil(block.gpus / 72) for block in self.fleet.values())

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {name!r}; give an IANA name such as Europe/Oslo") from None
        return name

    @model_validator(mode="after")
    def _holds_together(self) -> Site:
        if not self.fleet:
            raise ValueError("fleet must hold at least one block of GPUs")
        if self.owners and abs(sum(self.owners.values()) - 1.0) > 1e-6:
            raise ValueError(f"owners' shares must sum to 1, got {sum(self.owners.values()):g}")
        if self.build_out:
            delivered = sum(delivery.gpus for delivery in self.build_out)
            if delivered != self.gpus_asked:
                raise ValueError(
                    f"build_out delivers {delivered:,} GPUs but fleet asks for {self.gpus_asked:,}"
                )
            months = [delivery.month for delivery in self.build_out]
            if months != sorted(months):
                raise ValueError("build_out must be in order of month")
        return self
