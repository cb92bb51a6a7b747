"""What only the operator of a site knows and statutory forms ask for. All of it may be absent; forms then say *missing*."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, field_validator, model_validator

from kvandal.scenario.base import Part

WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
"""Of the modulus 11 of Norwegian organisation numbers (Brønnøysundregistrene)."""


class Registration(Part):
    """Facts for registrations and reports."""

    operator: str | None = None
    """Legal name of the operator."""
    organisation_number: str | None = None
    """Norwegian organisation number, nine digits."""
    foreign_register: str | None = None
    """Legal form, register and number of an operator that is registered elsewhere in the EEA."""
    operator_address: str | None = None
    """Address of the operator in Norway, or of its head office in the EEA and of its branch."""
    web_address: str | None = None
    """Web address of the operator."""
    address: str | None = None
    """Address of the site."""
    contact: str | None = None
    """How the operator is reached."""
    owner_contact: str | None = None
    """How the owners are reached."""
    representative: str | None = None
    """Who is present, may act for the operator and knows how to follow up the authorities; how they are reached."""
    commissioned_utc: AwareDatetime | None = None
    """When the site entered operation, with its offset."""
    lau_code: str | None = None
    """Local administrative unit of the site, as in Eurostat's newest tables."""
    centre_type: Literal["enterprise", "colocation", "co-hosting"] | None = None
    """Main kind of operation."""
    centre_structure: Literal["structure", "group of structures"] | None = None
    """Whether the data centre is one building or several."""
    also_offers: Literal["none", "colocation", "co-hosting"] | None = None
    """What it offers beside its main kind of operation."""
    redundancy_high_voltage: str | None = None
    """Redundancy at high voltage: N, N+1, 2N; without it, that of the transformers of the scenario."""
    redundancy_low_voltage: str | None = None
    """Redundancy at low voltage; without it, that of the power blocks of the scenario."""
    redundancy_rack: str | None = None
    """Redundancy of power at the rack."""
    redundancy_cooling_room: str | None = None
    """Redundancy of cooling of the rooms; without it, that of CDUs and dry coolers of the scenario."""
    redundancy_cooling_rack: str | None = None
    """Redundancy of cooling at the rack."""
    floor_area_m2: Annotated[float, Field(gt=0, le=1e7)] | None = None
    """Floor area of the data centre [m²]."""
    computer_room_area_m2: Annotated[float, Field(gt=0, le=1e7)] | None = None
    """Floor area of its computer rooms [m²]."""
    potable_water_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Part of the water that is drinking water."""
    refrigerants: str | None = None
    """Refrigerants in use; `none` where there are none."""
    server_score: Annotated[float, Field(ge=0, le=1e15)] | None = None
    """Sum of the active-state performance (SERT) of the servers."""
    storage_pb: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Raw capacity of the storage [PB]."""
    capacity_floor_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Part of the computer rooms' floor that these two capacities cover."""
    bandwidth_in_gb_per_s: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Bandwidth provided for incoming traffic, mean of the year [gigabytes/s]."""
    bandwidth_out_gb_per_s: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Bandwidth provided for outgoing traffic, mean of the year [gigabytes/s]."""
    traffic_in_eb: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Incoming data of the year [EB]."""
    traffic_out_eb: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Outgoing data of the year [EB]."""
    services: str | None = None
    """Services that are sold."""
    public_sector_customers: str | None = None
    """Customers among authorities, bodies and enterprises of state, counties and municipalities."""
    crypto_mining_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Estimated part of the power that goes to mining of crypto assets."""
    heat_parties_asked: str | None = None
    """Who was asked whether they would take heat, and what they answered."""

    @field_validator("*")
    @classmethod
    def _says_something(cls, given: object) -> object:
        if isinstance(given, str) and not given.strip():
            raise ValueError("is empty; leave it out where it is not known, and forms say that it is missing")
        return given

    @model_validator(mode="after")
    def _holds_together(self) -> Registration:
        rooms, whole = self.computer_room_area_m2, self.floor_area_m2
        if rooms is not None and whole is not None and rooms > whole:
            raise ValueError(
                f"computer_room_area_m2 ({rooms:g}) must not exceed floor_area_m2 ({whole:g}): the rooms are in it"
            )
        return self

    @field_validator("organisation_number")
    @classmethod
    def _is_one(cls, number: str | None) -> str | None:
        if number is None:
            return None
        digits = number.replace(" ", "")
        if len(digits) != 9 or not digits.isascii() or not digits.isdigit():
            raise ValueError(f"an organisation number has nine digits, got {number!r}")
        total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, digits, strict=False))
        if -total % 11 != int(digits[8]):
            allowed = -total % 11
            ends = (
                f"its last digit would have to be {allowed}" if allowed < 10 else "no last digit makes it one"
            )
            raise ValueError(f"{number!r} is no organisation number: {ends}")
        return digits
