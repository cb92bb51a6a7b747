"""What the contracts of a site deliver in every step of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from kvandal.energy.profiles import delivered_fraction
from kvandal.errors import SeriesError
from kvandal.scenario.model import Scenario
from kvandal.scenario.supply import BASE_LOAD, Purchase
from kvandal.series.regular import Series

Array = Any


@dataclass(frozen=True)
class Contract:
    """A contract as it delivers.

    Attributes
    ----------
    name, kind, seller : as the scenario says
    carbon_free : whether guarantees of origin come with it
    eur_per_mwh : price of what is delivered
    delivered_mwh : float64 (steps,)
    series : profile behind it, with its provenance; None for constant power
    rule : how the profile was laid over the run
    buyer : tenant that buys it; empty for the site

    """

    name: str
    kind: str
    seller: str
    carbon_free: bool
    eur_per_mwh: float
    delivered_mwh: Array
    series: Series | None = None
    rule: str = ""
    buyer: str = ""


def contracts_of(scenario: Scenario, step_s: int) -> list[Contract]:
    """List the contracts of a scenario with what they deliver in every step of `step_s` seconds.

    Raises
    ------
    SeriesError
        If the profile of a pay-as-produced contract cannot be used.

    """
    run, market = scenario.run, scenario.market
    steps, hours = run.days * 86_400 // step_s, step_s / 3600
    found = []
    if market.ppa_mw > 0:
        constant = np.full(steps, market.ppa_mw * hours)
        found.append(Contract(BASE_LOAD, "baseload", BASE_LOAD, True, market.ppa_eur_per_mwh, constant))
    for name, purchase in scenario.supply.purchases.items():
        fraction, series, rule = np.ones(steps), None, ""
        if purchase.profile is not None:
            try:
                fraction, series, rule = delivered_fraction(purchase.profile, run.start_utc, run.days, step_s)
            except SeriesError as error:
                raise error.of(f"supply.purchases.{name}.profile") from None
        elif purchase.kind == "shaped":
            fraction = _in_shape(purchase, run.start_utc, steps, step_s, scenario.site.time_zone)
        fraction = fraction * _in_force(purchase, run.start_utc, steps, step_s)
        found.append(
            Contract(
                name,
                purchase.kind,
                purchase.seller or name,
                purchase.carbon_free,
                purchase.eur_per_mwh,
                purchase.mw * hours * fraction,
                series,
                rule,
                purchase.buyer,
            )
        )
    return found


def _in_force(purchase: Purchase, start_utc: datetime, steps: int, step_s: int) -> Array:
    """Whether a contract is in force, 0 or 1 for each step."""
    seconds = np.arange(steps) * step_s
    valid = np.ones(steps)
    if purchase.from_utc is not None:
        valid[seconds < (purchase.from_utc - start_utc).total_seconds()] = 0.0
    if purchase.until_utc is not None:
        valid[seconds >= (purchase.until_utc - start_utc).total_seconds()] = 0.0
    return valid


def _in_shape(purchase: Purchase, start_utc: datetime, steps: int, step_s: int, time_zone: str) -> Array:
    """Whether a shaped contract delivers, 0 or 1 for each step, by the clock of the site."""
    zone, per_hour = ZoneInfo(time_zone), 3600 // step_s
    hours = -(-steps // per_hour)
    local = [(start_utc + timedelta(hours=hour)).astimezone(zone) for hour in range(hours)]
    inside = np.ones(hours, bool)
    if purchase.months:
        inside &= np.array([moment.month in purchase.months for moment in local])
    if purchase.hours_local:
        first, last = purchase.hours_local
        clock = np.array([moment.hour for moment in local])
        in_day = (clock >= first) & (clock < last) if first < last else (clock >= first) | (clock < last)
        inside &= in_day
    return np.repeat(inside.astype(np.float64), per_hour)[:steps]
