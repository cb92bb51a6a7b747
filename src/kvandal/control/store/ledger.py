"""The ledger: what was used and by whom it is owed, as double entry in whole units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from kvandal.control.store.tables.books import BALANCES, LEDGER

UNITS = ("gpu_s", "wh", "ueur", "g")
"""GPU-seconds, watt-hours, millionths of a euro, grams of CO2."""


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount that goes to an account, or leaves it.

    Attributes
    ----------
    account : e.g. ``grant:ID``, ``tenant:NAME:use``, ``tenant:NAME:lost:recall``, ``site:energy``
    unit : one of :data:`UNITS`
    amount : whole units; below zero: leaves the account

    """

    account: str
    unit: str
    amount: int


class UnbalancedError(ValueError):
    """A transaction that would make something out of nothing."""


def post(tx: Connection, at_utc: datetime, memo: str, postings: Iterable[Posting]) -> int | None:
    """Append one transaction to the ledger.

    Parameters
    ----------
    tx
        Of :meth:`Store.begin`.
    at_utc
        When what is booked happened.
    memo
        What it was, for people.
    postings
        Sum to zero for each unit; those of zero are left out.

    Returns
    -------
    Number of the transaction; None if nothing was left to post.

    Raises
    ------
    UnbalancedError
        They do not sum to zero, or an amount is not whole.

    """
    kept = [posting for posting in postings if posting.amount != 0]
    sums: dict[str, int] = defaultdict(int)
    changes: dict[tuple[str, str], int] = defaultdict(int)
    for posting in kept:
        if posting.unit not in UNITS:
            raise UnbalancedError(f"{posting.unit}: not a unit of the ledger; allowed: {', '.join(UNITS)}")
        if not isinstance(posting.amount, int) or isinstance(posting.amount, bool):
            raise UnbalancedError(
                f"{posting.account}: {posting.amount!r} {posting.unit} is not a whole number"
            )
        sums[posting.unit] += posting.amount
        changes[posting.account, posting.unit] += posting.amount
    for unit, total in sums.items():
        if total != 0:
            raise UnbalancedError(f"{memo}: postings of {unit} sum to {total}, not to zero")
    if not kept:
        return None
    number: int = tx.execute(select(func.coalesce(func.max(LEDGER.c.transaction), 0) + 1)).scalar_one()
    tx.execute(
        insert(LEDGER),
        [
            {
                "transaction": number,
                "at_utc": at_utc,
                "account": posting.account,
                "unit": posting.unit,
                "amount": posting.amount,
                "memo": memo,
            }
            for posting in kept
        ],
    )
    _add_to_balances(tx, changes)
    return number


def balance(tx: Connection, account: str, unit: str) -> int:
    """Return what an account holds of a unit; 0 if nothing was ever posted."""
    found = tx.execute(
        select(BALANCES.c.amount).where(BALANCES.c.account == account, BALANCES.c.unit == unit)
    ).scalar_one_or_none()
    return found or 0


def balances(tx: Connection, prefix: str = "") -> dict[str, dict[str, int]]:
    """Return what accounts hold, by account and unit.

    Parameters
    ----------
    tx
        Any transaction.
    prefix
        Only accounts that begin with it, e.g. ``tenant:uk:``.

    """
    found: dict[str, dict[str, int]] = {}
    for row in sorted(tx.execute(select(BALANCES).where(_begins(BALANCES.c.account, prefix)))):
        found.setdefault(row.account, {})[row.unit] = row.amount
    return found


def statement(tx: Connection, account: str, start_utc: datetime, end_utc: datetime) -> Iterator[Any]:
    """Return the postings of an account from `start_utc` on and before `end_utc`, in order of time."""
    wanted = (
        select(LEDGER)
        .where(LEDGER.c.account == account, LEDGER.c.at_utc >= start_utc, LEDGER.c.at_utc < end_utc)
        .order_by(LEDGER.c.at_utc, LEDGER.c.id)
    )
    yield from tx.execute(wanted)


def turnover(
    tx: Connection, prefix: str, start_utc: datetime, end_utc: datetime
) -> dict[str, dict[str, int]]:
    """Return what was posted in a period to accounts that begin with `prefix`, by account and unit."""
    accounts = select(BALANCES.c.account).where(_begins(BALANCES.c.account, prefix))
    wanted = (
        select(LEDGER.c.account, LEDGER.c.unit, func.sum(LEDGER.c.amount).label("amount"))
        .where(LEDGER.c.account.in_(accounts), LEDGER.c.at_utc >= start_utc, LEDGER.c.at_utc < end_utc)
        .group_by(LEDGER.c.account, LEDGER.c.unit)
    )
    found: dict[str, dict[str, int]] = {}
    for row in sorted(tx.execute(wanted)):
        found.setdefault(row.account, {})[row.unit] = int(row.amount)  # PostgreSQL sums to a decimal
    return found


def _begins(column: Any, prefix: str) -> Any:
    """Compare letter by letter: neither % nor _ nor the order of a language means anything here."""
    return func.substr(column, 1, len(prefix)) == prefix


def _add_to_balances(tx: Connection, changes: dict[tuple[str, str], int]) -> None:
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    adding = dialect.insert(BALANCES).values(
        account=bindparam("account"), unit=bindparam("unit"), amount=bindparam("amount")
    )
    rows: Sequence[dict[str, Any]] = [
        {"account": account, "unit": unit, "amount": amount}
        for (account, unit), amount in sorted(changes.items())
    ]
    tx.execute(
        adding.on_conflict_do_update(
            index_elements=["account", "unit"], set_={"amount": BALANCES.c.amount + adding.excluded.amount}
        ),
        rows,
    )
