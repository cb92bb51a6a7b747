"""What a connection to a heat customer is worth: investment, present value, range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kvandal.scenario.parameters import parameters, value

if TYPE_CHECKING:
    from kvandal.scenario.heat import HeatCustomer


def annuity(rate: float, years: float) -> float:
    """Present value of one unit a year.

    >>> round(annuity(0.09, 20), 4)
    9.1285
    """
    return years if rate == 0 else (1 - (1 + rate) ** -years) / rate


@dataclass(frozen=True)
class Terms:
    """Assumptions of one analysis, EUR as in the registry."""

    pipe_eur_per_m: float
    pump_eur_per_kw: float
    exchanger_eur_per_kw: float
    upkeep_fraction: float
    alternative_eur_per_mwh: float
    years: float
    rate: float


SOURCES = {
    "pipe_eur_per_m": "heat_cba.pipe_eur_per_m",
    "pump_eur_per_kw": "heat_cba.pump_eur_per_kw",
    "exchanger_eur_per_kw": "heat_cba.exchanger_eur_per_kw",
    "upkeep_fraction": "heat_cba.upkeep_fraction",
    "alternative_eur_per_mwh": "heat_cba.alternative_eur_per_mwh",
    "years": "heat_cba.years",
    "rate": "heat_cba.social_rate",
}
"""Where each assumption stands in the registry."""
ELECTRICITY = "electricity_eur_per_mwh"
RANGES = {**SOURCES, ELECTRICITY: "market.spot_mean_no4"}
"""What is moved from one end of its range to the other: the assumptions, and the price of electricity, which is the run's."""


def expected_terms() -> Terms:
    """Return the registry's values: those of an analysis for society."""
    return Terms(**{name: value(key) for name, key in SOURCES.items()})


@dataclass(frozen=True)
class Year:
    """A customer's year.

    Attributes
    ----------
    delivered_mwh : heat at the customer's end of the pipe
    pump_mwh : electricity of its heat pump
    electricity_eur_per_mwh : spot price of that electricity, weighted by its use
    source_mwh : heat at the hand-over, which the site is paid for

    """

    delivered_mwh: float
    pump_mwh: float
    electricity_eur_per_mwh: float
    source_mwh: float = 0.0


@dataclass(frozen=True)
class Investment:
    """Cost of connecting a customer [EUR]."""

    pipe_eur: float
    exchanger_eur: float
    pump_eur: float

    @property
    def total_eur(self) -> float:
        """All of it."""
        return self.pipe_eur + self.exchanger_eur + self.pump_eur


def investment(customer: HeatCustomer, year: Year, terms: Terms) -> Investment:
    """Cost of pipes, hand-over and, where the heat must be lifted, a heat pump."""
    peak_kw = customer.peak_mw * 1000
    return Investment(
        pipe_eur=customer.pipe_km * 1000 * terms.pipe_eur_per_m,
        exchanger_eur=peak_kw * terms.exchanger_eur_per_kw,
        pump_eur=peak_kw * terms.pump_eur_per_kw if year.pump_mwh > 0 else 0.0,
    )


def net_present_value_eur(customer: HeatCustomer, year: Year, terms: Terms) -> float:
    r"""Net present value of a connection for both sides together [EUR].

    .. math:: -I + a \left(Q\, c_{alt} - W\, c_{el} - k I\right)

    with investment :math:`I`, annuity factor :math:`a`, heat :math:`Q` that replaces other heat at :math:`c_{alt}`, electricity
    :math:`W` of heat pumps, upkeep :math:`k`. What the customer pays the site, and taxes, move money between parties and are not
    in it.
    """
    invested = investment(customer, year, terms).total_eur
    saved = year.delivered_mwh * terms.alternative_eur_per_mwh - year.pump_mwh * year.electricity_eur_per_mwh
    return -invested + annuity(terms.rate, terms.years) * (saved - terms.upkeep_fraction * invested)


def site_value_eur(
    customer: HeatCustomer, year: Year, terms: Terms, pump_tax_eur_per_mwh: float, *, owns_pumps: bool
) -> float:
    """Net present value for the site, if it pays the whole investment and its upkeep and has the contract's price [EUR]."""
    invested = investment(customer, year, terms).total_eur
    earned = year.source_mwh * customer.price_eur_per_mwh
    if owns_pumps:
        earned -= year.pump_mwh * (year.electricity_eur_per_mwh + pump_tax_eur_per_mwh)
    return -invested + annuity(terms.rate, terms.years) * (earned - terms.upkeep_fraction * invested)


def at_both_ends(customer: HeatCustomer, year: Year, terms: Terms) -> dict[str, tuple[float, float]]:
    """Net present value with each assumption at both ends of its range, the others as they are [EUR]."""
    registry, found = parameters(), {}
    for name, key in RANGES.items():
        entry = registry[key]
        pair = []
        for end in (entry.minimum, entry.maximum):
            if name == ELECTRICITY:
                changed = replace(year, electricity_eur_per_mwh=end)
                pair.append(net_present_value_eur(customer, changed, terms))
            else:
                pair.append(net_present_value_eur(customer, year, replace(terms, **{name: end})))
        found[name] = (pair[0], pair[1])
    return found


def verdict(lowest_eur: float, middle_eur: float, highest_eur: float) -> str:
    """Say whether a connection pays for both sides together.

    >>> verdict(1.0, 2.0, 3.0), verdict(-3.0, -2.0, -1.0)
    ('pays, at both ends of every assumption', 'does not pay, at neither end of any assumption')
    """
    if lowest_eur > 0:
        return "pays, at both ends of every assumption"
    if highest_eur <= 0:
        return "does not pay, at neither end of any assumption"
    return f"{'pays' if middle_eur > 0 else 'does not pay'}; an end of the range of an assumption turns it"
