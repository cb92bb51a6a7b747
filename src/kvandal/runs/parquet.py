"""Tables as Parquet files: large ones are made and written block by block."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import polars as pl

    from kvandal.ledger.told import Told

OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "statistics": False}
"""Level 3 would make the default year a twentieth smaller, and a quarter slower to write."""


def write_table(table: pl.DataFrame | Told, path: Path) -> str:
    """Write a table and wait until it is on the disk, so that a full disk shows here and not later.

    Returns
    -------
    SHA-256 of the file, in hexadecimal. It depends on the table alone, not on how it came.

    """
    import polars as pl

    from kvandal.ledger.told import BLOCK, Told

    if isinstance(table, pl.DataFrame) and table.height > BLOCK:
        frame = table
        table = Told(frame.height, lambda rows: frame[rows.start : rows.stop])
    with path.open("wb") as file:
        digesting = _Digesting(file)
        try:
            if table.height > BLOCK and isinstance(table, Told):
                _stream(table, digesting)
            else:
                whole = table if isinstance(table, pl.DataFrame) else table.whole()
                whole.write_parquet(digesting, **OPTIONS)  # type: ignore[arg-type]
        except pl.exceptions.PolarsError:
            if digesting.error is not None:
                raise digesting.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
    return digesting.digest.hexdigest()


def _stream(table: Told, file: _Digesting) -> None:
    from polars.io.plugins import register_io_source

    from kvandal.ledger.told import BLOCK

    blocks = table.blocks()
    first = next(blocks)

    def source(*_wanted: object) -> Iterator[pl.DataFrame]:
        yield first
        yield from blocks

    register_io_source(source, schema=first.schema).sink_parquet(file, row_group_size=BLOCK, **OPTIONS)  # type: ignore[call-overload]


class _Digesting:
    """A file that keeps the checksum of what is written, and the error of the system that polars would reword."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, raw: Any) -> int:
        """Write bytes."""
        try:
            self._file.write(raw)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(raw)
        return len(raw)

    def flush(self) -> None:
        """Hand on what has been written."""
        with suppress(ValueError):
            self._file.flush()
