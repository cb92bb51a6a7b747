"""What only the operator of a site knows and statutory forms ask for. All of it may be absent; forms then say *missing*."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, field_validator

from kvandal.scenario.base import Part

WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
"""Of the modulus 11 of Norwegian organisation numbers (Brønnøysundregistrene)."""


class Registration(Part):
    """Facts for registrations and reports."""

    operator: str | None = None
    """Legal name of the operator."""
    organisation_number: str | None = None
    """Norwegian organisation number, nine digits."""
    address: str | None = None
    """Address of the site."""
    contact: str | None = None
    """Who answers for it."""
    representative: str | None = None
    """Representative in the EEA, where the operator has no seat there."""
    commissioned_utc: AwareDatetime | None = None
    """When the site entered operation, with its offset."""
    centre_type: str | None = None
    """Enterprise, colocation or co-hosting."""
    redundancy: str | None = None
    """Redundancy of power and cooling, in the words of the regulation."""
    floor_area_m2: Annotated[float, Field(gt=0, le=1e7)] | None = None
    """Floor area of the data centre [m²]."""
    computer_room_area_m2: Annotated[float, Field(gt=0, le=1e7)] | None = None
    """Floor area of its computer rooms [m²]."""
    potable_water_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Part of the water that is drinking water."""
    refrigerants: str | None = None
    """Refrigerants in use; `none` where there are none."""
    services: str | None = None
    """Services that are sold."""
    public_sector_customers: str | None = None
    """Customers of the public sector."""
    crypto_mining_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Estimated part of the power that goes to mining of crypto assets."""

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
