"""Cost-benefit analysis of the use of surplus heat, as Norwegian law asks of data centres above 2 MW (Energy Act, chapter 7)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from kvandal.ledger.forms.lines import HAND_OVER, Line, Source
from kvandal.scenario.heat import HeatCustomer
from kvandal.scenario.parameters import parameters, value

LIMIT_MW = 2.0


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


def expected_terms() -> Terms:
    """Return the registry's values."""
    return Terms(
        pipe_eur_per_m=value("heat_cba.pipe_eur_per_m"),
        pump_eur_per_kw=value("heat_cba.pump_eur_per_kw"),
        exchanger_eur_per_kw=value("heat_cba.exchanger_eur_per_kw"),
        upkeep_fraction=value("heat_cba.upkeep_fraction"),
        alternative_eur_per_mwh=value("heat_cba.alternative_eur_per_mwh"),
        years=value("heat_cba.years"),
        rate=value("econ.wacc"),
    )


@dataclass(frozen=True)
class Year:
    """A customer's year: heat delivered, electricity of its pump [MWh], price of that electricity [EUR/MWh]."""

    delivered_mwh: float
    pump_mwh: float
    electricity_eur_per_mwh: float


def investment_eur(customer: HeatCustomer, lifted: bool, terms: Terms) -> float:
    """Cost of connecting a customer: pipes, hand-over and, where the heat must be lifted, a heat pump [EUR]."""
    per_kw = terms.exchanger_eur_per_kw + (terms.pump_eur_per_kw if lifted else 0.0)
    return customer.pipe_km * 1000 * terms.pipe_eur_per_m + customer.peak_mw * 1000 * per_kw


def net_present_value_eur(customer: HeatCustomer, year: Year, terms: Terms) -> float:
    r"""Net present value of a connection for both sides together [EUR].

    .. math:: -I + a \left(Q\, c_{alt} - W\, c_{el} - k I\right)

    with investment :math:`I`, annuity factor :math:`a`, heat :math:`Q` that replaces other heat at :math:`c_{alt}`, electricity
    :math:`W` of heat pumps, upkeep :math:`k`. What the customer pays the site moves money between them and is not in it.
    """
    invested = investment_eur(customer, year.pump_mwh > 0, terms)
    saved = year.delivered_mwh * terms.alternative_eur_per_mwh - year.pump_mwh * year.electricity_eur_per_mwh
    return -invested + annuity(terms.rate, terms.years) * (saved - terms.upkeep_fraction * invested)


def heat_cba_lines(source: Source) -> list[Line]:
    """Analysis of every customer, and of all together; each year is the run's, scaled to 365 days."""
    scenario, terms = source.scenario, expected_terms()
    obliged = scenario.site.grid_mw > LIMIT_MW
    lines = [
        Line("Scope", "power", "Electrical power of the site", scenario.site.grid_mw, "MW", "given", "connection",
             f"an analysis is asked for above {LIMIT_MW:g} MW: {'yes' if obliged else 'no'}"),
    ]  # fmt: skip
    energy = source.tables["energy"]
    electricity = float(energy["spot_eur_per_mwh"].to_numpy().mean())
    if not scenario.heat.customers:
        return [
            *lines,
            Line(
                "All",
                "NPV",
                "Net present value",
                None,
                "EUR",
                "missing",
                HAND_OVER,
                "no heat customer in the scenario",
            ),
        ]
    total = 0.0
    for name, customer in scenario.heat.customers.items():
        mine = source.tables["heat"].filter(pl.col("customer").cast(pl.String) == name)
        year = Year(
            float(mine["delivered_mwh"].sum()) / source.years,
            float(mine["heat_pump_mwh"].sum()) / source.years,
            electricity,
        )
        found = net_present_value_eur(customer, year, terms)
        total += found
        lines += _of_customer(name, customer, year, terms, found, value("heat_cba.alternative_g_per_kwh"))
    verdict = "pays for both sides together" if total > 0 else "does not pay for both sides together"
    return [
        *lines,
        Line(
            "All", "NPV", "Net present value of all connections", total, "EUR", "derived", HAND_OVER, verdict
        ),
    ]


def _of_customer(
    name: str, customer: HeatCustomer, year: Year, terms: Terms, found: float, alternative_g_per_kwh: float
) -> list[Line]:
    invested = investment_eur(customer, year.pump_mwh > 0, terms)
    derived = "derived"
    lines = [
        Line(name, "Q", "Heat delivered in a year", year.delivered_mwh, "MWh", "simulated", HAND_OVER, "heat.parquet, scaled to 365 days"),
        Line(name, "W", "Electricity of its heat pump in a year", year.pump_mwh, "MWh", "simulated", "meter of the heat pump", "heat.parquet, scaled to 365 days"),
        Line(name, "I", "Investment", invested, "EUR", derived, "", f"{customer.pipe_km:g} km of pipe, {customer.peak_mw:g} MW"),
        Line(name, "income", "What the site is paid in a year", year.delivered_mwh * customer.price_eur_per_mwh, "EUR", derived, HAND_OVER, "at the contract's price; between the parties, not in the NPV"),
        Line(name, "CO2", "Emissions avoided in a year, direct", year.delivered_mwh * alternative_g_per_kwh / 1000, "t", derived, "", f"{alternative_g_per_kwh:g} g/kWh of other heat; the pump's electricity is in the site's accounts"),
        Line(name, "NPV", "Net present value", found, "EUR", derived, "", f"{terms.years:g} years at {terms.rate:.0%}"),
    ]  # fmt: skip
    registry = parameters()
    for key in ("alternative_eur_per_mwh", "pipe_eur_per_m", "pump_eur_per_kw"):
        entry = registry[f"heat_cba.{key}"]
        ends = [
            net_present_value_eur(customer, year, _with(terms, key, end))
            for end in (entry.minimum, entry.maximum)
        ]
        text = f"{min(ends):,.0f} to {max(ends):,.0f} EUR for {entry.minimum:g} to {entry.maximum:g} {entry.unit}"
        lines.append(
            Line(
                name,
                f"NPV / {key}",
                f"Sensitivity to: {entry.name}",
                text,
                "",
                derived,
                "",
                "range of the registry",
            )
        )
    return lines


def _with(terms: Terms, key: str, number: float) -> Terms:
    return Terms(**{**vars(terms), key: number})
