"""What the site cost, what running it costs beside energy, and what is written off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from kvandal.energy.tariff import HOURS_PER_YEAR
from kvandal.ledger.books.amounts import MONTH, cents, shared
from kvandal.ledger.books.journal import CENT, Journal, Posting
from kvandal.scenario.model import Scenario
from kvandal.twin.site import SiteArrays


@dataclass(frozen=True)
class Racks:
    """Racks of a month.

    Attributes
    ----------
    bought : racks that came in it; in the first month, those that stood before too
    standing_h : hours of the month in which racks stood, summed over racks
    hours : hours of the month

    """

    bought: int
    standing_h: float
    hours: int


def standing(site: SiteArrays, hours_utc: pl.Series) -> dict[str, Racks]:
    """Count racks by the month (UTC) of a run.

    Parameters
    ----------
    site
        Racks, and when each came.
    hours_utc
        Starts of all hours of the run.

    """
    months = pl.DataFrame({"time_utc": hours_utc}).group_by(MONTH, maintain_order=True).len()
    delivered_h = np.asarray(site.delivered_s) / 3600
    found, first = {}, 0
    for month, hours in months.iter_rows():
        last = first + hours
        came = (delivered_h < last) & ((delivered_h >= first) | (first == 0))
        stood_h = np.clip(last - np.maximum(delivered_h, first), 0, None).sum()
        found[str(month)] = Racks(int(came.sum()), float(stood_h), int(hours))
        first = last
    return found


def facility_eur(scenario: Scenario) -> float:
    """Return what buildings, power and cooling cost, further investment included [EUR]."""
    terms = scenario.finance
    usd = terms.nok_per_usd / scenario.market.nok_per_eur
    return terms.facility_musd_per_mw * scenario.site.grid_mw * 1e6 * usd + terms.further_capital_eur


def rack_eur(scenario: Scenario) -> float:
    """Return what a rack costs [EUR]."""
    return scenario.finance.rack_musd * 1e6 * scenario.finance.nok_per_usd / scenario.market.nok_per_eur


def capital_eur(scenario: Scenario, racks: dict[str, Racks]) -> dict[str, float]:
    """Return what has been bought by the end of a run: `facility` and `racks` [EUR]."""
    count = sum(one.bought for one in racks.values())
    return {"facility": facility_eur(scenario), "racks": rack_eur(scenario) * count}


def enter_property(journal: Journal, scenario: Scenario, racks: Racks, month: str) -> None:
    """Enter what was bought in a month as property, paid by the owners; the facility in the first."""
    first = not journal.rows or journal.rows[0][1] == month
    bought = {
        "facility": cents(facility_eur(scenario)) if first else 0,
        "racks": cents(rack_eur(scenario) * racks.bought),
    }
    journal.post(
        month,
        "property bought",
        [
            *(Posting(f"property:{name}", CENT, amount) for name, amount in bought.items()),
            *shared(scenario, "capital", -sum(bought.values())),
        ],
    )


def running_costs_eur(scenario: Scenario, racks: Racks) -> dict[str, float]:
    """Return what a month costs beside energy [EUR]: upkeep, insurance, staff, depreciation; racks from when they stand."""
    terms, part = scenario.finance, racks.hours / HOURS_PER_YEAR
    facility = facility_eur(scenario) * part
    standing_racks = rack_eur(scenario) * racks.standing_h / HOURS_PER_YEAR
    staff = terms.staff_per_mw * scenario.site.grid_mw
    return {
        "upkeep": terms.upkeep_fraction * facility,
        "insurance": terms.insurance_fraction * (facility + standing_racks),
        "staff": staff * terms.staff_eur_per_year * part,
        "depreciation:facility": facility / terms.facility_life_years,
        "depreciation:racks": standing_racks / terms.gpu_life_years,
    }


def enter_running_costs(journal: Journal, scenario: Scenario, racks: Racks, month: str) -> None:
    """Enter upkeep, insurance, staff and depreciation of a month."""
    for name, eur in running_costs_eur(scenario, racks).items():
        credit = f"accumulated {name}" if name.startswith("depreciation") else f"payable:{name}"
        journal.transfer(month, name, f"expense:{name}", credit, cents(eur))
