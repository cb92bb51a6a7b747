"""The day-ahead plan: what it may move, and what it assumes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class Plan(Part):
    """A plan for each day, made the day before (docs/plan.md)."""

    enabled: bool = False
    """Whether the site buys by a plan, follows it, and pays for deviations; the first day of a run has none."""
    battery: bool = True
    """Whether the plan charges and discharges the battery."""
    heat_stores: bool = True
    """Whether it charges and discharges the stores of heat customers whose pumps belong to the site."""
    shift_lent_work: bool = True
    """Whether it may cap lent work in dear hours."""
    reserves: bool = True
    """Whether it offers the reserves of `supply.reserves`."""
    horizon_h: Annotated[int, Field(ge=24, le=168)] = 48
    """Hours that each day's programme looks ahead; the first 24 are followed."""
    battery_floor_fraction: float = parameter("plan.battery_floor", ge=0, lt=1)
    """Part of the usable energy that stays in the battery for the envelope."""
    wear_eur_per_mwh: float = parameter("plan.battery_wear", ge=0, le=1000)
    lent_cap_minimum: float = parameter("plan.lent_cap_minimum", gt=0, le=1)
    deviation_eur_per_mwh: float = parameter("plan.deviation_spread", ge=0, le=1000)
    weather_error_k: float = parameter("plan.weather_error_k", ge=0, le=20)
