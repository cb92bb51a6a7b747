"""A journal: entries that balance in every unit, each chained to the one before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import polars as pl

CENT, GPU_S, WH = "cent_eur", "gpu_s", "wh"
START = "0" * 64


@dataclass(frozen=True)
class Posting:
    """An amount on an account: above 0 a debit, below 0 a credit, in whole units."""

    account: str
    unit: str
    amount: int


@dataclass
class Journal:
    """Entries in the order in which they were made; nothing is ever changed or taken out, mistakes are reversed.

    Attributes
    ----------
    rows : postings as they stand in the table

    """

    rows: list[tuple[int, str, str, str, int, str, str]] = field(default_factory=list)
    chain: str = START
    entries: int = 0

    def post(self, month: str, text: str, postings: list[Posting]) -> None:
        """Make an entry; postings of nothing are left out, and an entry of nothing is none.

        Raises
        ------
        ValueError
            If the postings of a unit do not sum to zero.

        """
        kept = [one for one in postings if one.amount != 0]
        sums: dict[str, int] = {}
        for one in kept:
            sums[one.unit] = sums.get(one.unit, 0) + one.amount
        if any(sums.values()):
            raise ValueError(f"{month}, {text}: the entry does not balance: {sums}")
        if not kept:
            return
        self.chain = link(self.chain, self.entries, month, text, kept)
        self.rows += [
            (self.entries, month, one.account, one.unit, one.amount, text, self.chain) for one in kept
        ]
        self.entries += 1

    def transfer(self, month: str, text: str, debit: str, credit: str, amount: int, unit: str = CENT) -> None:
        """Make an entry of two postings."""
        self.post(month, text, [Posting(debit, unit, amount), Posting(credit, unit, -amount)])

    def table(self) -> pl.DataFrame:
        """One row per posting."""
        columns = {
            "entry": pl.Int64, "month": pl.String, "account": pl.String, "unit": pl.String, "amount": pl.Int64, "text": pl.String,
            "chain": pl.String,
        }  # fmt: skip
        return pl.DataFrame(self.rows, schema=columns, orient="row")


def link(before: str, entry: int, month: str, text: str, postings: list[Posting]) -> str:
    """Checksum of an entry and of the whole journal before it, SHA-256 in hexadecimal."""
    lines = [before, str(entry), month, text, *(f"{one.account}|{one.unit}|{one.amount}" for one in postings)]
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def mistakes(journal: pl.DataFrame) -> list[str]:
    """List what is wrong with a journal: entries that do not balance, that are missing, or that were changed."""
    found: list[str] = []
    chain = START
    for number, ((entry,), rows) in enumerate(journal.group_by(["entry"], maintain_order=True)):
        if entry != number:
            return [*found, f"entry {number} is missing"]
        for (unit,), part in rows.group_by(["unit"], maintain_order=True):
            if part["amount"].sum() != 0:
                found.append(f"entry {entry} does not balance in {unit}: {part['amount'].sum():+,}")
        first = rows.row(0, named=True)
        if rows.select("month", "text", "chain").n_unique() > 1:
            return [*found, f"entry {entry} or one before it was changed"]
        postings = [Posting(row["account"], row["unit"], row["amount"]) for row in rows.iter_rows(named=True)]
        chain = link(chain, number, first["month"], first["text"], postings)
        if chain != first["chain"]:
            return [*found, f"entry {entry} or one before it was changed"]
    return found


def differences(given: pl.DataFrame, kept: pl.DataFrame) -> list[str]:
    """List in what a journal differs from the one that was kept: mistakes of its own, entries that are absent, another end."""
    found = mistakes(given)
    one, other = (table["entry"].n_unique() for table in (given, kept))
    if one != other:
        found.append(f"{one:,} entries instead of {other:,}")
    elif not found and given.height and given["chain"][-1] != kept["chain"][-1]:
        found.append("its entries are others than those of the run")
    return found


def balances(journal: pl.DataFrame) -> pl.DataFrame:
    """Trial balance: what stands on each account, by unit; each unit sums to zero."""
    return journal.group_by("account", "unit").agg(pl.col("amount").sum()).sort("unit", "account")
