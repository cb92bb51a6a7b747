"""Books of a live site in memory: rows for all of its years from the start on, and memory for the last of them alone.

The kernel writes each tick and each hour into a row of its own. What is over stands in the store; its memory goes back to the
system, so that a service that runs for months holds no more than one that has just begun.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from kvandal.twin.account import Outputs

Array = Any

TABLES = ("tick_real", "tick_count", "rack_hour")
"""Tables that grow by more than a few bytes an hour."""
KEPT_S = 2 * 86_400
"""How much of the past stays in memory [s]."""
EVERY_S = 3600


class Past:
    """Gives back the memory of rows that are over.

    Parameters
    ----------
    outputs
        Books of a site that has not begun, all zero.

    Attributes
    ----------
    outputs : the same, in memory that can be given back

    """

    def __init__(self, outputs: Outputs) -> None:
        self._maps: dict[str, mmap.mmap] = {}
        self._given: dict[str, int] = {}
        self._next_s = 0
        self.outputs = outputs
        if hasattr(mmap, "MAP_PRIVATE") and hasattr(mmap, "MADV_DONTNEED"):  # else it stays where it is
            self.outputs = outputs._replace(
                **{name: self._mapped(name, getattr(outputs, name)) for name in TABLES}
            )

    def _mapped(self, name: str, table: Array) -> Array:
        self._maps[name] = mmap.mmap(-1, max(1, table.nbytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._given[name] = 0
        return np.frombuffer(self._maps[name], table.dtype, table.size).reshape(table.shape)

    def forget(self, now_s: int, tick_s: int) -> None:
        """Give back what is older than two days; it reads as zero afterwards.

        Parameters
        ----------
        now_s : now [s after the start]
        tick_s : length of a tick [s]

        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        for name, memory in self._maps.items():
            table: Array = getattr(self.outputs, name)
            row_s = 3600 if name.endswith("_hour") else tick_s
            rows = min(len(table), max(0, (now_s - KEPT_S) // row_s))
            until = rows * table.strides[0] // mmap.PAGESIZE * mmap.PAGESIZE
            if until > self._given[name]:
                memory.madvise(mmap.MADV_DONTNEED, self._given[name], until - self._given[name])
                self._given[name] = until
