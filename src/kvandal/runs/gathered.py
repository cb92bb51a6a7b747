"""What all members of a folder came to, as columns: the parent of a thousand years holds numbers, nothing else."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kvandal.errors import RunFolderError
from kvandal.runs.batch_folder import BatchFolder

if TYPE_CHECKING:
    import polars as pl

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Results of members, in their order.

    Attributes
    ----------
    numbers : float64 by name of the flat summary; NaN where it is not known, or the member was refused
    reasons : why a member was refused; None if it was not

    """

    numbers: dict[str, Floats]
    reasons: list[str | None]

    def known(self, name: str, rows: Sequence[int] | range) -> list[float | None]:
        """Values of a number for some members; None where it is not known."""
        column = self.numbers.get(name)
        if column is None:
            return [None] * len(rows)
        return [None if math.isnan(column[row]) else float(column[row]) for row in rows]

    def columns(self) -> list[pl.Series]:
        """All numbers as columns of a table."""
        import polars as pl

        return [
            pl.Series(name, column, dtype=pl.Float64).fill_nan(None) for name, column in self.numbers.items()
        ]

    def status(self) -> list[pl.Series]:
        """Whether each member was kept or refused, and why."""
        import polars as pl

        told = ["kept" if reason is None else "refused" for reason in self.reasons]
        return [
            pl.Series("status", told, dtype=pl.String),
            pl.Series("reason", self.reasons, dtype=pl.String),
        ]

    def refused(self) -> list[dict[str, Any]]:
        """Reasons of refusal with the number of members, the most frequent first."""
        counted = Counter(reason for reason in self.reasons if reason is not None)
        ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
        return [{"reason": reason, "members": count} for reason, count in ordered]


def gather(folder: BatchFolder, names: Sequence[str]) -> Gathered:
    """Read the files of members.

    Raises
    ------
    RunFolderError
        If one is missing or damaged.

    """
    numbers: dict[str, Floats] = {}
    reasons: list[str | None] = []
    for row, name in enumerate(names):
        found = folder.read(name)
        if found is None:
            raise RunFolderError(
                f"{name} is missing or damaged; run the same command again", file=folder.path
            )
        reasons.append(found.reason)
        for key, value in (found.summary or {}).items():
            if key not in numbers:
                numbers[key] = np.full(len(names), np.nan)
            if value is not None:
                numbers[key][row] = value
    return Gathered(numbers, reasons)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of values; None if one of them is not known, or there is none.

    >>> mean([1.0, 2.0]), mean([1.0, None]), mean([])
    (1.5, None, None)
    """
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def column_of(key: str, values: Sequence[Any]) -> pl.Series:
    """Column of the values of a changed key: numbers where all are, else texts."""
    import polars as pl

    if all(isinstance(value, bool) for value in values):
        return pl.Series(key, values, dtype=pl.Boolean)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return pl.Series(key, [float(value) for value in values], dtype=pl.Float64)
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    return pl.Series(key, texts, dtype=pl.String)
