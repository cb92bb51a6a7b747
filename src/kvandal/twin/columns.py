"""Columns of large tables of records, read and written block by block.

A record of a job is hundreds of bytes long, so that every pass over one column of all jobs reads the whole table. A
block of records stays in the processor's cache while all its columns are read or written.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from typing import Any

import numpy as np

Array = Any

BLOCK = 2048
"""Records in a block."""


def filled(dtype: np.dtype[Any], rows: int, **columns: Any) -> Array:
    """Return a table of records: zeros but for the columns given, each one value for all rows or one per row.

    >>> filled(np.dtype([("job", "i4"), ("end_s", "i8"), ("gpus", "i4")]), 2, end_s=-1, gpus=[4, 8]).tolist()
    [(0, -1, 4), (0, -1, 8)]
    """
    table = np.zeros(rows, dtype)
    record = np.zeros(1, dtype)
    by_row = {}
    for name, values in columns.items():
        if np.ndim(values):
            by_row[name] = np.asarray(values)
        else:
            record[name] = values
    plain = np.dtype((np.void, dtype.itemsize))  # whole records at once, not column by column
    for first in range(0, rows, BLOCK):
        block = table[first : first + BLOCK]
        block.view(plain)[:] = record.view(plain)
        for name, values in by_row.items():
            block[name] = values[first : first + BLOCK]
    return table


def seldom(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return zeros for a table of which little is ever written: only what is takes memory, in the smallest pages.

    numpy asks the system for pages of 2 MiB, of which one number takes a whole.

    >>> seldom((2, 3), np.int32).tolist()
    [[0, 0, 0], [0, 0, 0]]
    """
    kind, rows = np.dtype(dtype), math.prod(np.atleast_1d(shape).tolist())
    size = max(rows * kind.itemsize, 1)
    private = getattr(mmap, "MAP_PRIVATE", None)  # of pages that others might share, reading takes memory too
    pages = mmap.mmap(-1, size) if private is None else mmap.mmap(-1, size, private | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, kind, rows).reshape(shape)


def columns_of(table: Array, names: Iterable[str]) -> dict[str, Array]:
    """Columns of a table of records, each contiguous, by name.

    >>> columns_of(np.array([(1, 2.5), (3, 4.5)], [("job", "i4"), ("kwh", "f8")]), ["kwh"])["kwh"].tolist()
    [2.5, 4.5]
    """
    columns = {name: np.empty(len(table), table.dtype[name]) for name in names}
    for first in range(0, len(table), BLOCK):
        block = table[first : first + BLOCK]
        for name, column in columns.items():
            column[first : first + BLOCK] = block[name]
    return columns
