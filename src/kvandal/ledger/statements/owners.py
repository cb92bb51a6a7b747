"""The result of the owners: revenue and expense month by month, what each is due, and the site's life as an investment."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from kvandal.energy.tariff import HOURS_PER_YEAR
from kvandal.ledger.books.investment import cash_flow, net_present_value, rate_of_return
from kvandal.ledger.books.journal import CENT
from kvandal.ledger.books.property import capital_eur, standing
from kvandal.ledger.statements.item import Account, Item
from kvandal.twin.site import build_site

CLOSING = "result to the owners"


@dataclass(frozen=True)
class Investment:
    """A site over its life, from a run scaled to a year [EUR].

    Attributes
    ----------
    capital_eur : `facility` and `racks`
    yearly_eur : what a year leaves before depreciation
    flows_eur : by year, the first of them the investment
    discount_rate : weighted cost of capital
    net_present_value_eur : at that rate
    rate_of_return : internal; None where there is none or more than one

    """

    capital_eur: dict[str, float]
    yearly_eur: float
    flows_eur: list[float]
    discount_rate: float
    net_present_value_eur: float
    rate_of_return: float | None


def result_cents(account: Account) -> dict[str, int]:
    """Return the result by owner, in whole cents; by nobody's name where the scenario names none."""
    closing = account.journal.filter(
        (pl.col("text") == CLOSING) & pl.col("account").str.starts_with("equity") & (pl.col("unit") == CENT)
    )
    if account.month is not None:
        closing = closing.filter(pl.col("month") == account.month)
    names = list(account.scenario.site.owners) or [""]
    summed = dict(closing.group_by("account").agg(pl.col("amount").sum()).iter_rows())
    return {name: -summed.get(f"equity:{name}" if name else "equity", 0) for name in names}


def investment(account: Account) -> Investment:
    """Lay the run's result, scaled to a year, over the life of the site."""
    scenario, terms = account.scenario, account.scenario.finance
    whole = account.whole()
    years = whole.hours() / HOURS_PER_YEAR
    rows = income_statement(whole).filter(pl.col("account").str.starts_with("expense:depreciation"))
    yearly = (sum(result_cents(whole).values()) - int(rows["amount"].sum())) / 100 / years
    racks = standing(build_site(scenario), account.tables["energy"]["time_utc"])
    capital = capital_eur(scenario, racks)
    flows = cash_flow(
        capital["facility"],
        capital["racks"],
        yearly,
        terms.site_life_years,
        terms.gpu_life_years,
        terms.facility_life_years,
    )
    rate = terms.cost_of_capital_fraction
    return Investment(capital, yearly, flows, rate, net_present_value(rate, flows), rate_of_return(flows))


def income_statement(account: Account) -> pl.DataFrame:
    """Revenue and expense of the period by account: `account`, `amount` in whole cents, revenue above 0, expense below."""
    rows = account.journal.filter(
        (pl.col("unit") == CENT)
        & (pl.col("text") != CLOSING)
        & pl.col("account").str.contains("^(revenue|expense):")
    )
    if account.month is not None:
        rows = rows.filter(pl.col("month") == account.month)
    return rows.group_by("account", maintain_order=True).agg(-pl.col("amount").sum())


def owners_items(account: Account) -> list[Item]:
    """Lines of the owners' statement."""
    rows = income_statement(account)
    items = []
    for prefix, chapter in (("revenue:", "Revenue"), ("expense:", "Expense")):
        for name, amount in rows.iter_rows():
            if name.startswith(prefix):
                items.append(Item(chapter, name.removeprefix(prefix).replace(":", ", "), amount / 100, "EUR"))
    items.append(Item("Result", "revenue less expense", int(rows["amount"].sum()) / 100, "EUR"))
    owners = account.scenario.site.owners
    for name, amount in result_cents(account).items():
        share = f"{owners[name]:.0%} of it" if name else "the scenario names no owners"
        items.append(Item("Result", f"of {name}" if name else "of the owners", amount / 100, "EUR", share))
    return [*items, *_investment_items(account)]


def _investment_items(account: Account) -> list[Item]:
    """Cash flow over the life of the site, by year, and what it is worth."""
    found, chapter = investment(account), "Investment"
    whole = account.tables["energy"].height / HOURS_PER_YEAR
    scaled = (
        "the run's result before depreciation, scaled to a year"
        if abs(whole - 1) > 1e-9
        else "the year's result before depreciation"
    )
    if account.scenario.site.build_out:
        scaled += "; the site grew meanwhile, so that years to come will be others: simulate a year after the build-out"
    again = "what is worn is bought anew"
    return [
        *(Item(chapter, f"capital: {name}", eur, "EUR") for name, eur in found.capital_eur.items()),
        Item(chapter, "left by a year", found.yearly_eur, "EUR", scaled),
        Item(chapter, "internal rate of return", found.rate_of_return, "1", "over the life of the site; no interest, no income tax, no residual value"),
        Item(chapter, "net present value", found.net_present_value_eur, "EUR", f"at {found.discount_rate:.0%}"),
        *(Item("Cash flow", f"year {year}", eur, "EUR", again if year and eur < found.yearly_eur - 1 else "") for year, eur in enumerate(found.flows_eur)),
    ]  # fmt: skip
