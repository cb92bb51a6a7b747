"""Are the books as they were written? The audit trail's chain of hashes, and the sums of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from kvandal.control.store.audit import GENESIS, hash_of
from kvandal.control.store.tables.books import AUDIT, AUDIT_HEAD, BALANCES, LEDGER

MOST_FINDINGS = 1000
"""More than these are not listed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes
    ----------
    rows : of the audit trail
    head_hash : of its last row; to be noted elsewhere, and given as `expect` later
    transactions : of the ledger
    findings : what is wrong, in words that name the row; none: all is well

    """

    rows: int
    head_hash: str
    transactions: int
    findings: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def verify(tx: Connection, expect: str | None = None) -> Verdict:
    """Follow the audit trail from its first row to its last, and add up the ledger.

    Parameters
    ----------
    tx
        A transaction that reads.
    expect
        A hash of a row that was noted earlier, elsewhere: somebody who can write to the database can also write the whole
        chain anew, but not with this hash in it.

    """
    findings: list[str] = []
    rows, head_hash = _follow_audit(tx, expect, findings)
    transactions = _add_up_ledger(tx, findings)
    if len(findings) > MOST_FINDINGS:
        findings = [*findings[:MOST_FINDINGS], f"and {len(findings) - MOST_FINDINGS:,} more"]
    return Verdict(rows, head_hash, transactions, tuple(findings))


def _follow_audit(tx: Connection, expect: str | None, findings: list[str]) -> tuple[int, str]:
    number, previous, rows = 0, GENESIS, 0
    met = expect is None
    broken = False  # whether the row before was found to be changed already
    for row in _stream(tx, select(AUDIT).order_by(AUDIT.c.number)):
        rows += 1
        if row["number"] <= number:  # below the first
            findings.append(f"audit: row {row['number']} was put in")
            continue
        if row["number"] != number + 1:
            gone = (
                f"row {number + 1}"
                if row["number"] == number + 2
                else f"rows {number + 1} to {row['number'] - 1}"
            )
            findings.append(f"audit: {gone} removed")
        changed = hash_of(row) != row["hash"]
        if changed:
            findings.append(f"audit: row {row['number']} was changed ({row['what']} of {row['subject']})")
        elif row["number"] == number + 1 and row["previous_hash"] != previous and not broken:
            findings.append(
                f"audit: row {row['number']} does not follow on row {number}: one of them was put in or written anew"
            )
        number, previous, broken = row["number"], row["hash"], changed
        met = met or row["hash"] == expect
    head = tx.execute(select(AUDIT_HEAD).where(AUDIT_HEAD.c.id == 1)).first()
    kept = (0, GENESIS) if head is None else (head.number, head.hash)
    if kept[0] > number:
        findings.append(f"audit: rows {number + 1} to {kept[0]} removed at the end")
    elif kept[0] < number:
        findings.append(f"audit: rows {kept[0] + 1} to {number} put in at the end")
    elif kept[1] != previous and not broken:
        findings.append(f"audit: row {number} was written anew")
    if not met:
        findings.append(
            f"audit: no row has the hash {expect}: the trail was cut or written anew since it was noted"
        )
    return rows, previous


def _add_up_ledger(tx: Connection, findings: list[str]) -> int:
    total = func.sum(LEDGER.c.amount)
    unbalanced = select(LEDGER.c.transaction, LEDGER.c.unit, total.label("total")).group_by(
        LEDGER.c.transaction, LEDGER.c.unit
    )
    findings.extend(
        f"ledger: transaction {row.transaction} does not balance: {int(row.total):+,} {row.unit}"
        for row in tx.execute(unbalanced.having(total != 0).order_by(LEDGER.c.transaction))
    )
    transactions, last = 0, 0
    for number in tx.scalars(select(LEDGER.c.transaction).distinct().order_by(LEDGER.c.transaction)):
        if number != last + 1:
            gone = (
                f"transaction {last + 1}"
                if number == last + 2
                else f"transactions {last + 1} to {number - 1}"
            )
            findings.append(f"ledger: {gone} removed")
        transactions, last = transactions + 1, number
    sums = {
        (row.account, row.unit): int(row.total)
        for row in tx.execute(
            select(LEDGER.c.account, LEDGER.c.unit, total.label("total")).group_by(
                LEDGER.c.account, LEDGER.c.unit
            )
        )
    }
    kept = {(row.account, row.unit): row.amount for row in tx.execute(select(BALANCES))}
    for account, unit in sorted(sums.keys() | kept.keys()):
        posted, balance = sums.get((account, unit), 0), kept.get((account, unit), 0)
        if posted != balance:
            findings.append(f"ledger: {account} holds {balance:,} {unit}, its postings sum to {posted:,}")
    return transactions


def _stream(tx: Connection, wanted: Any) -> Iterator[dict[str, Any]]:
    for row in tx.execution_options(yield_per=2000).execute(wanted).mappings():
        yield dict(row)
