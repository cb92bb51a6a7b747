"""Lines of statements, and the books that they are taken from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from kvandal.ledger.books.journal import CENT
from kvandal.ledger.books.posting import Tables, lost_gpu_s, months_of, parted
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import parameters


@dataclass(frozen=True)
class Item:
    """A line of a statement.

    Attributes
    ----------
    chapter, what : where it stands and what it is
    amount : None where it is not known
    unit : unit of the amount
    low, high : range of the amount where it has one
    note : how it came

    """

    chapter: str
    what: str
    amount: float | None
    unit: str
    note: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Account:
    """A run as statements read it: its scenario, its tables and its books.

    Attributes
    ----------
    scenario : what was simulated
    tables : tables of the run folder by name
    journal : :meth:`kvandal.ledger.books.journal.Journal.table`
    month : month of UTC that is told of, ``2027-01``; None: the whole run
    remembered : tables by their months, parted once for all statements of a run

    """

    scenario: Scenario
    tables: Tables
    journal: pl.DataFrame
    month: str | None = None
    remembered: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def period(self) -> str:
        """Month, or first and last month of the run."""
        months = months_of(self.tables)
        whole = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
        return whole if self.month is None else self.month

    def table(self, name: str) -> pl.DataFrame:
        """Rows of a table with `time_utc` that lie in the period."""
        return self.within(name, "time_utc")

    def within(self, name: str, column: str) -> pl.DataFrame:
        """Rows of a table whose `column` (an instant) lies in the period; without a period, all."""
        found = self.tables[name]
        if self.month is None:
            return found
        if (name, column) not in self.remembered:
            self.remembered[name, column] = parted(found, column)
        part: pl.DataFrame = self.remembered[name, column].get(self.month, found.clear())
        return part

    def lost_gpu_s(self) -> pl.DataFrame:
        """GPU-seconds lost in the period (:func:`kvandal.ledger.books.posting.lost_gpu_s`)."""
        if ("jobs", "lost") not in self.remembered:
            self.remembered["jobs", "lost"] = lost_gpu_s(self.tables)
        lost: pl.DataFrame = self.remembered["jobs", "lost"]
        return lost if self.month is None else lost.filter(pl.col("month") == self.month)

    def posted(self, account: str, unit: str = CENT) -> dict[str, int]:
        """Return what was posted to an account in the period, by the text of the entries, in whole units."""
        rows = self.journal.filter((pl.col("account") == account) & (pl.col("unit") == unit))
        if self.month is not None:
            rows = rows.filter(pl.col("month") == self.month)
        summed = rows.group_by("text", maintain_order=True).agg(pl.col("amount").sum())
        return dict(summed.iter_rows())

    def whole(self) -> Account:
        """Tell of the whole run."""
        return replace(self, month=None)

    def owed_eur(self, account: str, chapter: str = "Money") -> list[Item]:
        """Lines of an account of the books, and what they come to [EUR]."""
        posted = self.posted(account)
        lines = [Item(chapter, text, amount / 100, "EUR") for text, amount in posted.items()]
        return [*lines, Item(chapter, "in all", sum(posted.values()) / 100, "EUR", f"account {account}")]

    def hours(self) -> int:
        """Hours of the period."""
        return self.table("energy").height


def of(table: pl.DataFrame, name: str, column: str = "tenant") -> pl.DataFrame:
    """Rows of one tenant, customer or contract."""
    return table.filter(pl.col(column).cast(pl.String) == name)


def quantile(values: pl.Series, share: float) -> float | None:
    """Value that a share of all do not exceed; None where there are none."""
    found: Any = values.quantile(share, "nearest")
    return None if found is None else float(found)


def carbon_name(column: str) -> str:
    """Write a basis of carbon out.

    >>> carbon_name("carbon_market_lifecycle")
    'market-based, life-cycle'
    """
    kind, scope = column.split("_")[1:3]
    return f"{kind}-based, {scope.replace('lifecycle', 'life-cycle')}"


def carbon_items(chapter: str, amounts: dict[str, float | None], scenario: Scenario, unit: str) -> list[Item]:
    """Lines of carbon on four bases with the range that their factors have in the registry.

    Market-based figures have two parts, each with a range of its own: energy at the residual mix, which the direct figure tells,
    and energy under contracts and guarantees.

    Parameters
    ----------
    chapter, unit
        Of the lines.
    amounts
        By basis (:data:`kvandal.ledger.attribution.CARBON`); None where it is not known.
    scenario
        Its factors made the amounts.

    """
    terms = scenario.carbon
    direct, whole = amounts["carbon_market_direct"], amounts["carbon_market_lifecycle"]
    residual = covered = None
    if direct is not None and whole is not None and terms.residual_direct_g_per_kwh > 0:
        residual = direct * terms.residual_lifecycle_g_per_kwh / terms.residual_direct_g_per_kwh
        covered = whole - residual
    parts = {
        "carbon_location_direct": {"carbon.ef_location": amounts["carbon_location_direct"]},
        "carbon_location_lifecycle": {"carbon.ef_location_lifecycle": amounts["carbon_location_lifecycle"]},
        "carbon_market_direct": {"carbon.ef_residual": direct},
        "carbon_market_lifecycle": {
            "carbon.ef_residual_lifecycle": residual,
            "carbon.ef_contract_lifecycle": covered,
        },
    }
    return [
        Item(
            chapter,
            carbon_name(name),
            amounts[name],
            unit,
            "range of the emission factors",
            *_range(parts[name]),
        )
        for name in parts
    ]


def _range(parts: dict[str, float | None]) -> tuple[float | None, float | None]:
    """Least and most of a sum of amounts, each proportional to a parameter of the registry."""
    low = high = 0.0
    for key, amount in parts.items():
        if amount is None:
            return None, None
        entry = parameters()[key]
        low += amount * entry.minimum / entry.value
        high += amount * entry.maximum / entry.value
    return low, high
