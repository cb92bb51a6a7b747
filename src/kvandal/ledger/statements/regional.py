"""Effects on the region: jobs and value added by published multipliers with their range, and what the books say beside them."""

from __future__ import annotations

from kvandal.energy.tariff import HOURS_PER_YEAR
from kvandal.ledger.books.posting import price_eur_per_gpu_h
from kvandal.ledger.books.property import facility_eur
from kvandal.ledger.statements.item import Account, Item, of
from kvandal.ledger.statements.owners import income_statement
from kvandal.scenario.parameters import parameters
from kvandal.scenario.tenants import TIERS
from kvandal.scenario.tree import groups_of

STAFF = "econ.direct_fte_per_mw"
INTERMEDIATE = (
    "expense:electricity",
    "expense:grid",
    "expense:electricity tax",
    "expense:guarantees",
    "expense:fuel",
    "expense:deviations",
    "expense:upkeep",
    "expense:insurance",
)
"""What the site buys from others, taxes on it included; value added is revenue less these (SNA 2008, 6.8 and 6.64)."""


def regional_items(account: Account) -> list[Item]:
    """Lines of the report; years are the run's, scaled to 365 days."""
    return [*_jobs(account), *_value_added(account), *_users(account)]


def _scaled(
    chapter: str, what: str, base: float, keys: tuple[str, ...], unit: str, note: str, staff_per_mw: float
) -> Item:
    """Return a line whose amount and range are a base times registry entries: all at their value, least and most.

    Staff at the site is what the scenario says; its range is the registry's, and holds what the scenario says.
    """
    amount, low, high = base, base, base
    for key in keys:
        entry = parameters()[key]
        value = staff_per_mw if key == STAFF else entry.value
        amount, low, high = amount * value, low * min(value, entry.minimum), high * max(value, entry.maximum)
    return Item(chapter, what, amount, unit, note, low, high)


def _jobs(account: Account) -> list[Item]:
    scenario = account.scenario
    grid_mw, chapter = scenario.site.grid_mw, "Jobs"
    built = facility_eur(scenario) * scenario.market.nok_per_eur / 1e9
    staff = scenario.finance.staff_per_mw
    all_jobs = ("econ.direct_fte_per_mw", "econ.job_multiplier")
    return [
        _scaled(chapter, "at the site, in operation", grid_mw, all_jobs[:1], "FTE", "per MW of connection", staff),
        _scaled(chapter, "in all, in operation", grid_mw, all_jobs, "FTE", "direct jobs times the multiplier of total over direct jobs", staff),
        _scaled(chapter, "in all, at the rate of older data centres", grid_mw, ("regional.older_fte_per_mw",), "FTE", "Menon, three sites of 30 MW; AI sites have fewer people per MW", staff),
        _scaled(chapter, "in construction", built, ("regional.construction_fte_years_per_bn_nok",), "FTE-years", f"once, for NOK {built:,.1f} bn of buildings and plant; racks are imported", staff),
    ]  # fmt: skip


def _value_added(account: Account) -> list[Item]:
    scenario, chapter = account.scenario, "Value added"
    keys = ("econ.direct_fte_per_mw", "econ.job_multiplier", "regional.value_added_meur_per_fte")
    rows = dict(income_statement(account.whole()).iter_rows())
    revenue = sum(cents for name, cents in rows.items() if name.startswith("revenue:"))
    bought = -sum(rows.get(name, 0) for name in INTERMEDIATE)
    per_year = 100 * account.tables["energy"].height / HOURS_PER_YEAR
    wages = -rows.get("expense:staff", 0) / per_year
    return [
        _scaled(chapter, "of all jobs in a year", scenario.site.grid_mw * 1e6, keys, "EUR", "jobs times value added per job", scenario.finance.staff_per_mw),
        Item(chapter, "of the site itself in a year", (revenue - bought) / per_year, "EUR", "revenue less what is bought from others, from the books: mostly depreciation and the owners' result, wherever they live"),
        Item(chapter, "of it wages", wages, "EUR", "staff at the site"),
        Item(chapter, "beside it, electricity tax", -rows.get("expense:electricity tax", 0) / per_year, "EUR", "to the state"),
    ]  # fmt: skip


def _users(account: Account) -> list[Item]:
    """Tell what priority users get below the list price, and of heat for the region."""
    scenario, chapter = account.scenario, "Users in Norway"
    years = account.tables["energy"].height / HOURS_PER_YEAR
    entry = parameters()["econ.price_list"]
    usd = scenario.finance.nok_per_usd / scenario.market.nok_per_eur
    hours = spared = low = high = 0.0
    for name, tenant in scenario.tenants.items():
        if tenant.tier != "assured" or name in groups_of(scenario.tenants):
            continue
        mine = of(account.tables["tenant_energy"], name)
        used = sum(int(mine[f"gpu_s_{tier}"].sum()) for tier in TIERS) / 3600 / years
        price = price_eur_per_gpu_h(scenario, name)
        hours += used
        spared += used * (entry.value * usd - price)
        low += used * (entry.minimum * usd - price)
        high += used * (entry.maximum * usd - price)
    heat = float(account.tables["heat"]["source_mwh"].sum()) / years
    return [
        Item(chapter, "GPU-hours of priority users in a year", hours, "GPU-h"),
        Item(chapter, "paid less than the list price", spared, "EUR", "in a year, against the on-demand list price", low, high),
        Item(chapter, "heat sold in a year", heat, "MWh", "to customers in the region"),
    ]  # fmt: skip
