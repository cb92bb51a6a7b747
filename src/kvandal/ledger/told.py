"""Tables that are made when they are asked for: whole, or a block of rows after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

BLOCK = 65_536
"""Rows of a block, and of a group of rows in a file."""


@dataclass(frozen=True)
class Told:
    """A table that does not exist yet: a large one need never be in memory as a whole.

    Attributes
    ----------
    height : its rows
    make : makes some of its rows, from `start` to `stop` of a slice
    block : rows of a block, a part of BLOCK; fewer where a row has many numbers

    """

    height: int
    make: Callable[[slice], pl.DataFrame]
    block: int = BLOCK

    def whole(self) -> pl.DataFrame:
        """Return the table.

        >>> Told(3, lambda rows: pl.DataFrame({"job": range(rows.start, rows.stop)})).whole()["job"].to_list()
        [0, 1, 2]
        """
        return self.make(slice(0, self.height))

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Yield the table block by block.

        >>> [block.height for block in Told(70_000, lambda rows: pl.DataFrame({"job": range(rows.start, rows.stop)})).blocks()]
        [65536, 4464]
        """
        for first in range(0, self.height, self.block):
            yield self.make(slice(first, min(first + self.block, self.height)))


class Gathered:
    """Some columns of a table that is told block by block, each put together when it is asked for."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._blocks: list[pl.DataFrame] = []

    def watch(self, told: Told) -> Told:
        """Return the same table; its blocks are remembered as they are made."""

        def make(rows: slice) -> pl.DataFrame:
            block = told.make(rows)
            self._blocks.append(block.select(self._names))
            return block

        return Told(told.height, make, told.block)

    def complete(self, told: Told | pl.DataFrame) -> None:
        """Take the columns of a table, unless they have come as it was made."""
        if self.height < told.height:
            blocks = [told] if isinstance(told, pl.DataFrame) else told.blocks()
            self._blocks = [block.select(self._names) for block in blocks]

    @property
    def height(self) -> int:
        """Rows so far."""
        return sum(block.height for block in self._blocks)

    def select(self, *names: str) -> pl.DataFrame:
        """Return some columns, as the table has them."""
        return pl.DataFrame([self[name] for name in names])

    def __getitem__(self, name: str) -> pl.Series:
        """Return a column in one piece."""
        return pl.concat([block[name] for block in self._blocks], rechunk=True)
