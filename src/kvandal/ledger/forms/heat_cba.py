"""Cost-benefit analysis of the use of surplus heat (Energy Act, sections 7-2 to 7-4; FOR-2024-09-25-2263), customer by customer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from kvandal.energy import tariff
from kvandal.ledger.forms import heat_value
from kvandal.ledger.forms.heat_surplus import FWS, surplus_lines
from kvandal.ledger.forms.heat_value import Terms, Year
from kvandal.ledger.forms.lines import HAND_OVER, Line, Source, given, missing, worked_out
from kvandal.ledger.indicators import ratio
from kvandal.scenario.parameters import parameters, value
from kvandal.twin.site import month_start_s

if TYPE_CHECKING:
    from kvandal.scenario.heat import HeatCustomer

LIMIT_MW = 2.0
SCOPE, TERMS, ALL = "Scope", "Assumptions", "All connections"
LIFTED, OTHER = "Alternative: lift the heat that is left", "Effects without a price"
PUMP_METER = "meter of the heat pump"
FAR_END = "customer's end of the pipe"
DAY_S = 86_400


def heat_cba_lines(source: Source) -> list[Line]:
    """Scope, assumptions, surplus heat, every customer, all together, and what else was looked at."""
    terms = heat_value.expected_terms()
    cases = [
        _case(source, name, customer, terms) for name, customer in source.scenario.heat.customers.items()
    ]
    known = [case for case in cases if case is not None]
    lines = [*_scope(source), *_assumptions(source, terms), *surplus_lines(source)]
    for name, case in zip(source.scenario.heat.customers, cases, strict=True):
        lines += _of_customer(source, case, terms) if case is not None else _unconnected(name)
    return [*lines, *_of_all(known), *_lifted(source, known), *_effects(source)]


@dataclass(frozen=True)
class Case:
    """A customer, its year and its value at the middle and at both ends of every assumption [EUR]."""

    name: str
    customer: HeatCustomer
    year: Year
    demand_mwh: float
    unmet_mwh: float
    pipe_loss_mwh: float
    middle_eur: float
    business_eur: float
    site_eur: float
    ends_eur: dict[str, tuple[float, float]]


def _case(source: Source, name: str, customer: HeatCustomer, terms: Terms) -> Case | None:
    """Work out a customer's case; None where it connects after the end of the run."""
    run, market = source.scenario.run, source.scenario.market
    after_s = month_start_s(run.start_utc, customer.from_month) if customer.from_month else 0
    connected_years = (run.days * DAY_S - after_s) / (365 * DAY_S)
    if connected_years <= 0:
        return None
    mine = source.tables["heat"].filter(pl.col("customer").cast(pl.String) == name)
    priced = mine.join(source.tables["energy"].select("time_utc", "spot_eur_per_mwh"), on="time_utc")
    pump = float(mine["heat_pump_mwh"].sum())
    paid = float((priced["heat_pump_mwh"] * priced["spot_eur_per_mwh"]).sum())

    def yearly(column: str) -> float:
        return float(mine[column].sum()) / connected_years

    year = Year(
        delivered_mwh=yearly("delivered_mwh"),
        pump_mwh=pump / connected_years,
        electricity_eur_per_mwh=paid / pump if pump > 0 else 0.0,
        source_mwh=yearly("source_mwh"),
    )
    ore = tariff.tax_ore_per_kwh(market)
    business = replace(terms, rate=value("econ.wacc"))
    return Case(
        name=name,
        customer=customer,
        year=year,
        demand_mwh=yearly("demand_mwh"),
        unmet_mwh=yearly("unmet_mwh"),
        pipe_loss_mwh=yearly("pipe_loss_mwh"),
        middle_eur=heat_value.net_present_value_eur(customer, year, terms),
        business_eur=heat_value.net_present_value_eur(customer, year, business),
        site_eur=heat_value.site_value_eur(
            customer,
            year,
            business,
            float(tariff.tax_eur(1.0, ore, market.nok_per_eur)),
            owns_pumps=source.scenario.heat.pumps_owned_by == "site",
        ),
        ends_eur=heat_value.at_both_ends(customer, year, terms),
    )


def _scope(source: Source) -> list[Line]:
    scenario = source.scenario
    power, customers = scenario.site.grid_mw, scenario.heat.customers
    asked = "must be analysed" if power > LIMIT_MW else "need not be analysed"
    district = [name for name, customer in customers.items() if customer.kind == "district_heating"]
    return [
        given(SCOPE, "power", "Electrical power supplied to the site", power, "MW", "Energy Act, 7-2(e)", "site.grid_mw"),
        Line(SCOPE, "duty", "Whether an analysis is asked for", asked, "", "derived", "connection", f"data centres above {LIMIT_MW:g} MW; approved before building starts; an electric plant cannot be ordered to use the heat", "Energy Act, 7-2(e) and 7-4"),
        Line(SCOPE, "district heating", "Customers that are district heating", ", ".join(district) or "none", "", "given", "", "a data centre with concrete plans, on paper, to deliver to district heating is exempt: whether these are such plans the scenario does not say", "FOR-2024-09-25-2263, 5"),
        given(SCOPE, "asked", "Who was asked to take heat, and the answers", scenario.registration.heat_parties_asked, key="registration.heat_parties_asked"),
        Line(SCOPE, "comparison", "What the connections are compared with", "the site without heat export; each customer makes its heat otherwise", "", "derived", "", "all surplus heat is rejected; no cost of rejection is saved on either side"),
    ]  # fmt: skip


def _assumptions(source: Source, terms: Terms) -> list[Line]:
    registry = parameters()
    keys = [*heat_value.SOURCES.values(), "econ.wacc", "heat_cba.alternative_g_per_kwh"]
    lines = [
        Line(TERMS, key, (entry := registry[key]).name, entry.value, entry.unit, "given", "", f"registry, {entry.label}; {entry.minimum:g} to {entry.maximum:g}")
        for key in keys
    ]  # fmt: skip
    carbon = source.scenario.carbon.location_direct_g_per_kwh
    return [
        *lines,
        Line(TERMS, "life", "First and last year counted", f"1 to {terms.years:g} after the investment", "", "given", "", "every year as the run's, no growth of prices, no value left at the end"),
        given(TERMS, "carbon of electricity", "Emissions of the electricity of heat pumps", carbon, "g/kWh", "", "carbon.location_direct_g_per_kwh: location-based, direct"),
    ]  # fmt: skip


def _unconnected(name: str) -> list[Line]:
    return [missing(name, "NPV", "Net present value", "EUR", "it connects after the end of the run")]


def _of_customer(source: Source, case: Case, terms: Terms) -> list[Line]:
    customer, year, name = case.customer, case.year, case.name
    cost = heat_value.investment(customer, year, terms)
    made = year.source_mwh + year.pump_mwh
    price = customer.price_eur_per_mwh
    scaled = "heat.parquet, scaled to 365 days"
    return [
        Line(name, "kind", "Kind of customer", customer.kind, "", "given", "", "heat.customers"),
        Line(name, "supply", "Temperature that it needs", customer.supply_c, "°C", "given", HAND_OVER, "heat.customers.supply_c"),
        Line(name, "return", "Temperature at which its water comes back", customer.return_c, "°C", "given", HAND_OVER, "heat.customers.return_c"),
        Line(name, "distance", "Length of the pipe", customer.pipe_km, "km", "given", "", "heat.customers.pipe_km"),
        Line(name, "peak", "Connected power", customer.peak_mw, "MW", "given", HAND_OVER, "heat.customers.peak_mw"),
        Line(name, "demand", "Heat wanted in a year", case.demand_mwh, "MWh", "simulated", FAR_END, scaled),
        Line(name, "Q", "Heat delivered in a year", year.delivered_mwh, "MWh", "simulated", FAR_END, scaled),
        Line(name, "unmet", "Heat wanted and not delivered in a year", case.unmet_mwh, "MWh", "simulated", FAR_END, scaled),
        Line(name, "source", "Surplus heat used in a year", year.source_mwh, "MWh", "simulated", HAND_OVER, scaled),
        Line(name, "loss", "Heat lost on the way in a year", case.pipe_loss_mwh, "MWh", "simulated", "", scaled),
        Line(name, "W", "Electricity of its heat pump in a year", year.pump_mwh, "MWh", "simulated", PUMP_METER, scaled),
        worked_out(name, "COP", "Heat made over electricity of the heat pump", ratio(made, year.pump_mwh), "1", PUMP_METER, "(source + W) / W, what passes the pump by included; missing where nothing was lifted"),
        Line(name, "I pipe", "Investment: pipe", cost.pipe_eur, "EUR", "derived", "", f"{customer.pipe_km:g} km"),
        Line(name, "I exchanger", "Investment: exchanger and hand-over", cost.exchanger_eur, "EUR", "derived", "", f"{customer.peak_mw:g} MW"),
        Line(name, "I pump", "Investment: heat pump", cost.pump_eur, "EUR", "derived", "", f"{customer.peak_mw:g} MW; none where the run lifted no heat"),
        Line(name, "I", "Investment", cost.total_eur, "EUR", "derived", "", "sum of the three above"),
        Line(name, "upkeep", "Upkeep in a year", terms.upkeep_fraction * cost.total_eur, "EUR", "derived", "", "part of the investment"),
        Line(name, "electricity", "Cost of the electricity of its heat pump in a year", year.pump_mwh * year.electricity_eur_per_mwh, "EUR", "derived", PUMP_METER, "at the spot price of the hours in which it runs, without tax and grid tariff"),
        Line(name, "saved", "Cost of other heat that is saved in a year", year.delivered_mwh * terms.alternative_eur_per_mwh, "EUR", "derived", FAR_END, "heat delivered at heat_cba.alternative_eur_per_mwh"),
        Line(name, "income", "What the site is paid in a year", year.source_mwh * price, "EUR", "derived", HAND_OVER, f"surplus heat used at the contract's {price:g} EUR/MWh; between the parties, not in the NPV of both"),
        *_carbon(source, name, year),
        Line(name, "NPV", "Net present value for society: both sides together", case.middle_eur, "EUR", "derived", "", f"{terms.years:g} years at {terms.rate:.1%}; carbon has no price here"),
        Line(name, "NPV business", "The same at the rate that investors ask", case.business_eur, "EUR", "derived", "", f"{terms.years:g} years at {value('econ.wacc'):.1%} (econ.wacc)"),
        Line(name, "NPV site", "For the site, if it pays the whole investment", case.site_eur, "EUR", "derived", "", "income less upkeep, at econ.wacc; the pump's electricity and tax where heat.pumps_owned_by is the site"),
        *_ranges(name, case.middle_eur, case.ends_eur),
    ]  # fmt: skip


def _carbon(source: Source, name: str, year: Year) -> list[Line]:
    """Emissions on one basis on both sides: direct ones, those of the electricity location-based."""
    other = year.delivered_mwh * value("heat_cba.alternative_g_per_kwh") / 1000
    pump = year.pump_mwh * source.scenario.carbon.location_direct_g_per_kwh / 1000
    basis = "direct emissions"
    return [
        Line(name, "CO2 replaced", "Emissions of the heat that is replaced, in a year", other, "t", "derived", FAR_END, f"{basis}, heat_cba.alternative_g_per_kwh"),
        Line(name, "CO2 pump", "Emissions of the electricity of its heat pump, in a year", pump, "t", "derived", PUMP_METER, f"{basis}, location-based: carbon.location_direct_g_per_kwh"),
        Line(name, "CO2", "Emissions avoided in a year", other - pump, "t", "derived", "", f"replaced less pump, both {basis}"),
    ]  # fmt: skip


def _ranges(part: str, middle_eur: float, ends_eur: dict[str, tuple[float, float]]) -> list[Line]:
    registry = parameters()
    lines = []
    for key, pair in ends_eur.items():
        entry = registry[heat_value.RANGES[key]]
        text = f"{min(pair):,.0f} to {max(pair):,.0f} EUR"
        how = f"{entry.minimum:g} to {entry.maximum:g} {entry.unit} (registry, {entry.label}), all else as above"
        lines.append(
            Line(part, f"NPV / {key}", f"Sensitivity to: {entry.name}", text, "", "derived", "", how)
        )
    every = [end for pair in ends_eur.values() for end in pair]
    lowest, highest = min(every), max(every)
    said = heat_value.verdict(lowest, middle_eur, highest)
    one = "one assumption at an end of its range"
    return [
        *lines,
        Line(part, "NPV lowest", "Lowest net present value", lowest, "EUR", "derived", "", one),
        Line(part, "NPV highest", "Highest net present value", highest, "EUR", "derived", "", one),
        Line(part, "verdict", "Verdict", said, "", "derived", "", "for both sides together, at the rate of public analyses"),
    ]  # fmt: skip


def _of_all(cases: list[Case]) -> list[Line]:
    if not cases:
        why = "no heat customer is connected in the run"
        return [missing(ALL, code, name, unit, why) for code, name, unit in (("NPV", "Net present value of all connections", "EUR"), ("verdict", "Verdict", ""))]  # fmt: skip
    total = sum(case.middle_eur for case in cases)
    sums = {
        key: (sum(case.ends_eur[key][0] for case in cases), sum(case.ends_eur[key][1] for case in cases))
        for key in heat_value.RANGES
    }
    worth = ", ".join(case.name for case in cases if case.middle_eur > 0) or "none"
    return [
        Line(ALL, "NPV", "Net present value of all connections", total, "EUR", "derived", "", "sum over the customers"),
        Line(ALL, "NPV business", "The same at the rate that investors ask", sum(case.business_eur for case in cases), "EUR", "derived", "", "sum over the customers"),
        Line(ALL, "NPV site", "For the site, if it pays all investments", sum(case.site_eur for case in cases), "EUR", "derived", "", "sum over the customers"),
        *_ranges(ALL, total, sums),
        Line(ALL, "worth it", "Connections that pay by themselves", worth, "", "derived", "", "net present value above 0"),
    ]  # fmt: skip


def _lifted(source: Source, cases: list[Case]) -> list[Line]:
    """Electricity that the unused heat would need at the highest temperature that a customer's pump made in the run."""
    lifting = [case for case in cases if case.year.pump_mwh > 0]
    if not lifting:
        return [missing(LIFTED, "W", "Electricity to lift the heat that is left", "MWh", "no heat pump ran: how well one would do is not known")]  # fmt: skip
    top = max(lifting, key=lambda case: case.customer.supply_c)
    cop = (top.year.source_mwh + top.year.pump_mwh) / top.year.pump_mwh
    left = next(line.value for line in surplus_lines(source) if line.code == "H left")
    electricity = float(left or 0.0) / (cop - 1) if cop > 1 else None
    return [
        Line(LIFTED, "temperature", "Highest temperature that a heat pump made in the run", top.customer.supply_c, "°C", "given", HAND_OVER, f"that of {top.name}"),
        worked_out(LIFTED, "W", "Electricity to lift the heat that is left to it, in a year", electricity, "MWh", FWS, f"heat left over COP - 1, with the COP of {top.name}, {cop:.3g}"),
        missing(LIFTED, "demand", "Demand for it", "MWh", "no further customer stands in the scenario, so that there is no benefit to set against the cost"),
    ]  # fmt: skip


def _effects(source: Source) -> list[Line]:
    used = float(source.summary["heat_exported_mwh"]) / source.years
    return [
        Line(OTHER, "rejected", "Heat that need not be rejected, in a year", used, "MWh", "simulated", HAND_OVER, "surplus heat used, scaled to 365 days; carbon stands with each customer"),
        missing(OTHER, "other", "Land, noise, jobs, relief of the grid", "", "not simulated"),
    ]  # fmt: skip
