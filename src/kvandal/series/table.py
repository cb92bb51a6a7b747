"""Columns of a CSV or Parquet file, with exact row numbers for errors; nothing is guessed or repaired."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from kvandal.errors import SeriesError
from kvandal.series.regular import Float64, Int64

TIME_COLUMNS = ("time_utc", "time", "timestamp")
"""Names that the time column may have."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST_US = (datetime(2300, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_ZONE_REPAIR = (
    "write UTC with a Z (2027-01-31T13:00Z) or the offset (2027-01-31T14:00+01:00); "
    "local time without a zone loses an hour in March and doubles one in October"
)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one file as read.

    Attributes
    ----------
    file : path as given
    sha256 : checksum of the file
    columns : by name; text for CSV, typed for Parquet
    rows : name of each row for errors (``line 7`` of a CSV, ``row 6`` of a Parquet file)

    """

    file: str
    sha256: str
    columns: dict[str, list[str] | pl.Series]
    rows: list[int]
    row_word: str

    def row(self, index: int) -> str:
        """Name a row for an error."""
        return f"{self.row_word} {self.rows[index]}"


def read_bytes(path: Path) -> bytes:
    """Read a file, or say in one sentence why not."""
    try:
        if path.is_dir():
            raise SeriesError("is a folder, not a file", file=path)
        return path.read_bytes()
    except FileNotFoundError:
        raise SeriesError("no such file", file=path) from None
    except (OSError, ValueError) as error:
        raise SeriesError(f"cannot be read: {error}", file=path) from None


def decode(raw: bytes, path: Path) -> str:
    """Decode UTF-8 text (with or without byte-order mark)."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SeriesError(
            f"not text in UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8",
            file=path,
            key=f"line {line}",
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SeriesError(
            "holds binary data; a series is a text or Parquet file", file=path, key=f"line {line}"
        )
    return text


def read_table(path: Path) -> Table:
    """Read a CSV (comma-separated, UTF-8, one header line) or Parquet file."""
    suffix = path.suffix.lower()
    if suffix not in {".csv", ".parquet"}:
        raise SeriesError(
            f"a series is a .csv or .parquet file, got {path.suffix or 'no suffix'!r}", file=path
        )
    raw = read_bytes(path)
    if not raw:
        raise SeriesError("the file is empty", file=path)
    sha256 = hashlib.sha256(raw).hexdigest()
    return _parquet(raw, path, sha256) if suffix == ".parquet" else _csv(raw, path, sha256)


def _parquet(raw: bytes, path: Path, sha256: str) -> Table:
    try:
        frame = pl.read_parquet(io.BytesIO(raw))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError):
        raise SeriesError("not a Parquet file, or cut short; export it again", file=path) from None
    return Table(
        file=str(path),
        sha256=sha256,
        columns={name: frame[name] for name in frame.columns},
        rows=list(range(1, frame.height + 1)),
        row_word="row",
    )


def _csv(raw: bytes, path: Path, sha256: str) -> Table:
    text = decode(raw, path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for fields in reader:
            if fields:
                rows.append([field.strip() for field in fields])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise SeriesError(
            f"not a well-formed CSV: {error}", file=path, key=f"line {reader.line_num}"
        ) from None
    if not rows:
        raise SeriesError("the file is empty", file=path)
    header = rows[0]
    if len(header) == 1 and ";" in header[0]:
        raise SeriesError(
            "columns are separated by ';'; use commas, and a point in decimals", file=path, key="line 1"
        )
    for name in header:
        if header.count(name) > 1:
            raise SeriesError(f"column {name!r} occurs {header.count(name)} times", file=path, key="line 1")
    for line, fields in zip(lines, rows, strict=True):
        if len(fields) != len(header):
            raise SeriesError(
                f"has {len(fields)} fields where the header has {len(header)}", file=path, key=f"line {line}"
            )
    columns: dict[str, list[str] | pl.Series] = {
        name: [fields[position] for fields in rows[1:]] for position, name in enumerate(header)
    }
    return Table(file=str(path), sha256=sha256, columns=columns, rows=lines[1:], row_word="line")


def time_column(table: Table) -> str:
    """Name of the time column."""
    for name in TIME_COLUMNS:
        if name in table.columns:
            return name
    raise SeriesError(
        f"no time column ({', '.join(TIME_COLUMNS)}); columns are: {', '.join(table.columns) or 'none'}",
        file=table.file,
    )


def times_s(table: Table) -> Int64:
    """Instants of the rows [s since 1970-01-01 UTC]; every one must carry its zone."""
    name = time_column(table)
    column = table.columns[name]
    if isinstance(column, list):
        return _text_times(table, name, column)
    if column.dtype == pl.String:
        return _text_times(table, name, [str(entry or "") for entry in column.to_list()])
    if not isinstance(column.dtype, pl.Datetime):
        raise SeriesError(
            f"holds {column.dtype}, not instants; store timestamps with time zone UTC",
            file=table.file,
            key=name,
        )
    if column.dtype.time_zone is None:
        raise SeriesError(f"has no time zone; {_ZONE_REPAIR}", file=table.file, key=name)
    if column.null_count():
        raise SeriesError(
            "the time is empty", file=table.file, key=f"{table.row(_first(column.is_null()))}, {name}"
        )
    exact_us = column.dt.epoch("us").to_numpy().astype(np.int64)
    strange = np.flatnonzero(
        (exact_us < _EARLIEST_US) | (exact_us >= _LATEST_US) | (exact_us % 1_000_000 != 0)
    )
    if strange.size:
        row = int(strange[0])
        raise SeriesError(
            f"times must be whole seconds of the years 1900 to 2299, got {exact_us[row]} microseconds after 1970",
            file=table.file,
            key=f"{table.row(row)}, {name}",
        )
    return np.asarray(exact_us // 1_000_000, dtype=np.int64)


def _text_times(table: Table, name: str, texts: list[str]) -> Int64:
    out = np.empty(len(texts), dtype=np.int64)
    for index, text in enumerate(texts):
        key = f"{table.row(index)}, {name}"
        if not text:
            raise SeriesError("the time is empty", file=table.file, key=key)
        try:
            moment = datetime.fromisoformat(text)
            if moment.utcoffset() is None:
                raise SeriesError(f"{text!r} has no time zone; {_ZONE_REPAIR}", file=table.file, key=key)
            since = moment - _EPOCH
        except (ValueError, OverflowError):
            raise SeriesError(
                f"{text[:60]!r} is not a time; write it as 2027-01-31T13:00Z", file=table.file, key=key
            ) from None
        if since.microseconds or not 1900 <= moment.year < 2300:
            raise SeriesError(
                f"times must be whole seconds of the years 1900 to 2299, got {text!r}",
                file=table.file,
                key=key,
            )
        out[index] = since // timedelta(seconds=1)
    return out


def numbers(table: Table, name: str) -> Float64:
    """Return a column of finite numbers as float64."""
    column = table.columns[name]
    if isinstance(column, list):
        values = _text_numbers(table, name, column)
    else:
        if not column.dtype.is_numeric():
            raise SeriesError(f"holds {column.dtype}, not numbers", file=table.file, key=name)
        if column.null_count():
            raise SeriesError(
                "the cell is empty; fill it or cut the series before it",
                file=table.file,
                key=f"{table.row(_first(column.is_null()))}, {name}",
            )
        values = np.array(column.to_numpy(), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise SeriesError(
            f"must be a finite number, got {values[row]}", file=table.file, key=f"{table.row(row)}, {name}"
        )
    return values


def _text_numbers(table: Table, name: str, texts: list[str]) -> Float64:
    out = np.empty(len(texts), dtype=np.float64)
    for index, text in enumerate(texts):
        key = f"{table.row(index)}, {name}"
        if not text:
            raise SeriesError(
                "the cell is empty; fill it or cut the series before it", file=table.file, key=key
            )
        try:
            out[index] = float(text.replace("_", "?"))  # Python would read 1_000
        except ValueError:
            hint = " (decimals take a point, not a comma)" if "," in text else ""
            raise SeriesError(f"{text[:60]!r} is not a number{hint}", file=table.file, key=key) from None
    return out


def _first(mask: pl.Series) -> int:
    return int(mask.arg_true()[0])
