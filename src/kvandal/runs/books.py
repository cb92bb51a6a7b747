"""Books of a run from its folder: trial balance, result of the owners, investment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.runs.folder import read_run
from kvandal.runs.restart import scenario_document

if TYPE_CHECKING:
    import polars as pl

    from kvandal.ledger.statements.item import Account


def opened(folder: Path) -> Account:
    """Read a run folder and keep its books."""
    from kvandal.ledger.books.posting import TABLES, journal_of
    from kvandal.ledger.statements.item import Account

    run = read_run(folder, TABLES)
    _, scenario = scenario_document(run.record, folder)
    return Account(scenario, run.tables, journal_of(scenario, run.tables).table())


def checked(path: Path, kept: pl.DataFrame) -> list[str]:
    """List in what a journal that was written to a file differs from the one that a run gives.

    Raises
    ------
    InputError
        If the file cannot be read as a journal.

    """
    import polars as pl

    from kvandal.errors import InputError
    from kvandal.ledger.books.journal import differences

    try:
        given = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise InputError(f"cannot be read as a journal: {error}", file=str(path), key="--check") from None
    if given.schema != kept.schema:
        raise InputError(
            f"is no journal: columns must be {', '.join(kept.columns)}", file=str(path), key="--check"
        )
    return differences(given, kept)


def books_document(folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Keep the books of a run and look at them.

    Returns
    -------
    `balances` (rows of account, unit, amount), `mistakes`, `entries`, `chain` (checksum of all entries), `months`, `owners` (result of the run by owner, EUR),
    `investment` (capital, a year's result before depreciation, cash flow, net present value, rate of return); and the journal.

    """
    from kvandal.ledger.books.journal import balances, mistakes
    from kvandal.ledger.books.posting import months_of
    from kvandal.ledger.statements.owners import investment, result_cents

    account = opened(folder)
    owners = {name: cents / 100 for name, cents in result_cents(account).items()}
    document = {
        "balances": balances(account.journal).to_dicts(),
        "mistakes": mistakes(account.journal),
        "entries": account.journal["entry"].n_unique(),
        "chain": account.journal["chain"][-1],
        "months": months_of(account.tables),
        "owners": {name: eur for name, eur in owners.items() if name},
        "result_eur": sum(owners.values()),
        "investment": vars(investment(account)),
    }
    return document, account.journal
