"""Books and statements from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError
from kvandal.runs.folder import read_run
from kvandal.runs.restart import scenario_document

if TYPE_CHECKING:
    import polars as pl

    from kvandal.scenario.model import Scenario


def opened(folder: Path) -> tuple[Scenario, dict[str, pl.DataFrame]]:
    """Read a run folder: its scenario and its tables."""
    run = read_run(folder)
    _, scenario = scenario_document(run.record, folder)
    return scenario, run.tables


def books_document(folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Keep the books of a run and look at them.

    Returns
    -------
    `balances` (rows of account, unit, amount), `mistakes`, `entries`, `months`, `owners` (result of the run by owner, EUR),
    `investment` (capital, a year's result before depreciation, cash flow, net present value, rate of return); and the journal.

    """
    from kvandal.ledger.books.investment import cash_flow, net_present_value, rate_of_return
    from kvandal.ledger.books.journal import CENT, balances, mistakes
    from kvandal.ledger.books.posting import (
        HOURS_PER_YEAR,
        capital_eur,
        journal_of,
        months_of,
        yearly_costs_eur,
    )
    from kvandal.scenario.parameters import value

    scenario, tables = opened(folder)
    kept = journal_of(scenario, tables)
    journal = kept.table()
    rows = balances(journal).to_dicts()
    standing = {(row["account"], row["unit"]): row["amount"] for row in rows}
    owners = {name: -standing.get((f"equity:{name}", CENT), 0) / 100 for name in scenario.site.owners}
    result = sum(owners.values()) if owners else -standing.get(("equity", CENT), 0) / 100
    years = tables["energy"].height / HOURS_PER_YEAR
    written_off = sum(
        eur for name, eur in yearly_costs_eur(scenario).items() if name.startswith("depreciation")
    )
    yearly = result / years + written_off
    capital, terms = capital_eur(scenario), scenario.finance
    flows = cash_flow(
        capital["facility"], capital["racks"], yearly, terms.site_life_years, terms.gpu_life_years
    )
    rate = value("econ.wacc")
    document = {
        "balances": rows,
        "mistakes": mistakes(journal),
        "entries": kept.entries,
        "months": months_of(tables),
        "owners": owners,
        "result_eur": result,
        "investment": {
            "capital_eur": capital,
            "yearly_before_depreciation_eur": yearly,
            "cash_flow_eur": flows,
            "discount_rate": rate,
            "net_present_value_eur": net_present_value(rate, flows),
            "rate_of_return": rate_of_return(flows),
        },
    }
    return document, journal


def statement_document(folder: Path, tenant: str, month: str | None) -> dict[str, Any]:
    """Write up a tenant's month; without one, the first of the run.

    Raises
    ------
    InputError
        If there is no such tenant or the run does not touch that month.

    """
    from kvandal.ledger.books.posting import months_of
    from kvandal.ledger.books.statement import statement_of
    from kvandal.scenario.tree import groups_of

    scenario, tables = opened(folder)
    leaves = [name for name in scenario.tenants if name not in groups_of(scenario.tenants)]
    if tenant not in leaves:
        raise InputError(
            f"no tenant {tenant!r}; tenants are: {', '.join(leaves)}", file=str(folder), key="--tenant"
        )
    months = months_of(tables)
    chosen = months[0] if month is None else month
    if chosen not in months:
        raise InputError(
            f"the run has no {chosen!r}; its months are: {', '.join(months)}", file=str(folder), key="--month"
        )
    items = [vars(item) for item in statement_of(scenario, tables, tenant, chosen)]
    return {"tenant": tenant, "month": chosen, "title": scenario.site.title, "items": items}
