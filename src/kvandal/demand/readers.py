"""Read traces of jobs: the shipped ones, Kvandal's own schema in CSV and Parquet, and the Standard Workload Format.

The schema is in docs/traces.md. Every row of a file is either a job of the trace or counted in `Trace.refused` by
reason; nothing disappears. A file that holds no usable row at all is a :class:`~kvandal.errors.TraceError`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kvandal.demand import swf
from kvandal.demand.columns import numbers, numbers_from_text, times_from_text
from kvandal.demand.trace import Column, Origin, Rows, Trace, trace_from_rows
from kvandal.errors import TraceError

if TYPE_CHECKING:
    import polars as pl

SHIPPED = ("philly", "lingjun")
"""Names of the traces that come with Kvandal."""

PHILLY = Origin(
    "philly",
    "Microsoft Philly, deep-learning training jobs, August to December 2017 (msr-fiddle/philly-traces, as cut by shuoshuc/RFold)",
    "CC-BY-4.0",
    "Philly traces © Microsoft, CC BY 4.0 (Jeon et al., USENIX ATC 2019)",
)
LINGJUN = Origin(
    "lingjun",
    "Alibaba Lingjun, deep-learning training jobs, August 2023 (alibaba/alibaba-lingjun-dataset-2023, as cut by shuoshuc/RFold)",
    "Apache-2.0",
    "Lingjun dataset © Alibaba, Apache-2.0 (Cao et al., SIGCOMM 2024)",
)

LINGJUN_ZERO_RUN_S = 30
"""Run time of Lingjun's jobs of zero minutes [s]: the middle of "under a minute"."""

ALIASES = {"run_s": ("run_s", "duration_s"), "gpus": ("gpus", "num_gpus")}
"""Accepted names of a column; the second is that of public cuts of the Philly and Lingjun traces."""

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
}


def read_trace(path: str | Path) -> Trace:
    """Read a trace.

    Parameters
    ----------
    path
        ``"philly"`` or ``"lingjun"`` for a shipped trace, else a file: Parquet (told by its content), ``.swf``
        (told by its suffix, or by `;` comments or 18 fields), else CSV.

    Raises
    ------
    TraceError
        If the file is absent, unreadable, packed, truncated, lacks a column, or no row of it can be used.

    Examples
    --------
    >>> trace = read_trace("lingjun")
    >>> len(trace), trace.licence
    (2498, 'Apache-2.0')

    """
    if str(path) in SHIPPED:
        return _read_shipped(str(path))
    file = Path(path)
    content = _content(file)
    sha256 = hashlib.sha256(content).hexdigest()
    origin = Origin(file.stem, f"file {file.name}")
    name = str(path)
    if content[:4] == b"PAR1" or file.suffix.lower() == ".parquet":
        rows = _parquet_rows(content, name)
        return trace_from_rows(rows, origin, file=name, sha256=sha256)
    text = _text(content, name)
    if file.suffix.lower() == ".swf" or swf.looks_like_swf(text):
        rows, start_utc = swf.swf_rows(text)
        return trace_from_rows(rows, origin, file=name, start_utc=start_utc, sha256=sha256)
    return trace_from_rows(_csv_rows(text, name), origin, file=name, sha256=sha256)


def _read_shipped(name: str) -> Trace:
    file = {"philly": "philly_2017.parquet", "lingjun": "lingjun_2023.parquet"}[name]
    content = resources.files("kvandal.demand").joinpath("traces", file).read_bytes()
    return trace_from_rows(
        _parquet_rows(content, file),
        PHILLY if name == "philly" else LINGJUN,
        file=file,
        zero_run_s=LINGJUN_ZERO_RUN_S if name == "lingjun" else None,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise TraceError(
            f"no such file; give a file, or a shipped trace: {', '.join(SHIPPED)}", file=file
        ) from None
    except IsADirectoryError:
        raise TraceError("is a folder; a trace is one file (.csv, .parquet or .swf)", file=file) from None
    except (OSError, ValueError) as error:
        raise TraceError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", file=str(file)
        ) from None
    if not content:
        raise TraceError("is empty; a trace holds one row per job", file=file)
    for magic, kind in _PACKED.items():
        if content.startswith(magic):
            raise TraceError(f"is packed with {kind}; unpack it first", file=file)
    return content


def _text(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        bad = content[error.start]
        raise TraceError(
            f"is not UTF-8 text (byte 0x{bad:02x}); save it as UTF-8, or give a Parquet file",
            file=file,
            key=f"line {line}",
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TraceError(
            "is not text (it holds a zero byte); give CSV, SWF or Parquet", file=file, key=f"line {line}"
        )
    return text


def _named_columns(found: list[str], file: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Find the schema's columns under their names; also the columns that are not used."""
    doubled = sorted({name for name in found if found.count(name) > 1 and name})
    if doubled:
        raise TraceError(f"holds the column {doubled[0]!r} more than once", file=file)
    chosen: dict[str, str] = {}
    for column, names in ALIASES.items():
        for name in names:
            if name in found:
                chosen.setdefault(column, name)
    for name in ("submit_s", "submit_utc"):
        if name in found:
            chosen.setdefault("submit", name)
    if "tenant" in found:
        chosen["tenant"] = "tenant"
    absent = [name for name in ("submit", "run_s", "gpus") if name not in chosen]
    if absent:
        wanted = " and ".join("submit_s (or submit_utc)" if name == "submit" else name for name in absent)
        shown = ", ".join(repr(name) for name in found[:20])
        hint = (
            "; columns must be separated by commas"
            if len(found) == 1 and any(mark in found[0] for mark in ";\t|")
            else ""
        )
        raise TraceError(f"lacks {wanted}; its columns are {shown}{hint}", file=file, key="columns")
    unused = [name for name in found if name not in chosen.values()]
    notes = (f"columns not used: {', '.join(unused)}",) if unused else ()
    return chosen, notes


def _csv_rows(text: str, file: str) -> Rows:
    """Split CSV into columns of text; rows with too few or too many fields are counted, not guessed at."""
    reader = csv.reader(io.StringIO(text, newline=""))
    wanted: list[int] = []
    chosen: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    header: list[str] | None = None
    cells: list[list[str]] = []
    place: list[int] = []
    ragged = 0
    example: tuple[int, str] | None = None
    try:
        for fields in reader:
            if not fields or (len(fields) == 1 and not fields[0].strip()):
                continue
            if header is None:
                header = [name.strip() for name in fields]
                chosen, notes = _named_columns(header, file)
                wanted = [header.index(name) for name in chosen.values()]
                cells = [[] for _ in wanted]
            elif len(fields) != len(header):
                ragged += 1
                example = example or (reader.line_num, f"{len(fields)} fields, expected {len(header)}")
            else:
                for column, index in zip(cells, wanted, strict=True):
                    column.append(fields[index])
                place.append(reader.line_num)
    except csv.Error as error:
        raise TraceError(f"is not CSV: {error}", file=file, key=f"line {reader.line_num}") from None
    if header is None:
        raise TraceError("is empty; a trace holds a header and one row per job", file=file)
    columns = dict(zip(chosen, cells, strict=True))
    absolute = chosen["submit"] == "submit_utc"
    submit, zoneless = (
        times_from_text(columns["submit"])
        if absolute
        else (numbers_from_text(columns["submit"], "submit_s"), None)
    )
    return Rows(
        submit=submit,
        run=numbers_from_text(columns["run_s"], chosen["run_s"]),
        gpus=numbers_from_text(columns["gpus"], chosen["gpus"]),
        place=np.array(place, dtype=np.int64),
        unit="line",
        refused={"wrong number of fields": ragged} if ragged else {},
        example=example,
        zoneless=zoneless,
        absolute=absolute,
        tenant=[label.strip() for label in columns["tenant"]] if "tenant" in columns else None,
        notes=notes,
    )


def _parquet_rows(content: bytes, file: str) -> Rows:
    import polars as pl

    if content[:4] != b"PAR1":
        raise TraceError("is not Parquet (it does not begin with PAR1)", file=file)
    if content[-4:] != b"PAR1":
        raise TraceError("is a truncated Parquet file (it does not end with PAR1)", file=file)
    try:
        names = list(pl.read_parquet_schema(io.BytesIO(content)))
        chosen, notes = _named_columns(names, file)
        frame = pl.read_parquet(io.BytesIO(content), columns=list(chosen.values()))
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise TraceError(f"is a damaged Parquet file: {first_line}", file=file) from None
    absolute = chosen["submit"] == "submit_utc"
    zoneless = None
    series = frame[chosen["submit"]]
    if absolute and series.dtype == pl.String:
        submit, zoneless = times_from_text(["" if cell is None else cell for cell in series.to_list()])
    elif absolute:
        if not isinstance(series.dtype, pl.Datetime) or series.dtype.time_zone is None:
            raise TraceError(
                f"is {series.dtype}, must be a timestamp with a time zone (or text like 2027-01-01T00:00:00Z)",
                file=file,
                key="submit_utc",
            )
        seconds = series.dt.timestamp("ms").cast(pl.Float64) / 1000
        submit = Column(
            seconds.fill_null(np.nan).to_numpy(),
            series.is_null().to_numpy(),
            lambda row: str(series[row]),
            "submit_utc",
        )
    else:
        submit = numbers(_checked(series, file), "submit_s")
    return Rows(
        submit=submit,
        run=numbers(_checked(frame[chosen["run_s"]], file), chosen["run_s"]),
        gpus=numbers(_checked(frame[chosen["gpus"]], file), chosen["gpus"]),
        place=np.arange(1, len(frame) + 1, dtype=np.int64),
        unit="row",
        zoneless=zoneless,
        absolute=absolute,
        tenant=[label or "" for label in frame["tenant"].cast(pl.String).to_list()]
        if "tenant" in chosen
        else None,
        notes=notes,
    )


def _checked(series: pl.Series, file: str) -> pl.Series:
    """Refuse a column that cannot hold numbers at all."""
    import polars as pl

    if not (series.dtype.is_numeric() or series.dtype == pl.String):
        raise TraceError(f"is {series.dtype}, must be a number", file=file, key=series.name)
    return series
