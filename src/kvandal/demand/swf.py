"""Read the Standard Workload Format (Feitelson's Parallel Workloads Archive, version 2.2).

A line is a job of 18 numbers separated by blanks; -1 means unknown; lines that begin with `;` are comments, of which
only ``UnixStartTime`` is used. A job's processors are taken as its GPUs: the requested number (field 8), else the
allocated number (field 5). Fields that Kvandal does not need are not looked at.

References
----------
.. [1] S. Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

from kvandal.demand.columns import numbers_from_text
from kvandal.demand.trace import Column, Rows

FIELDS = 18
_SUBMIT, _RUN, _ALLOCATED, _REQUESTED = 1, 3, 4, 7
_START = re.compile(r"^\s*;\s*UnixStartTime\s*:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


def looks_like_swf(text: str) -> bool:
    """Tell whether the first line that is not blank is a comment of the format or a job of 18 numbers."""
    for line in text.splitlines()[:1000]:
        if not line.strip():
            continue
        fields = line.split()
        return line.lstrip().startswith(";") or (
            len(fields) == FIELDS and not any("," in field for field in fields)
        )
    return False


def swf_rows(text: str) -> tuple[Rows, datetime | None]:
    """Split the text into columns; also the instant of time 0, if the header states it."""
    picked: dict[int, list[str]] = {_SUBMIT: [], _RUN: [], _ALLOCATED: [], _REQUESTED: []}
    place: list[int] = []
    malformed = 0
    example: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";"):
            continue
        if len(fields) != FIELDS:
            malformed += 1
            example = example or (number, f"{len(fields)} fields, expected {FIELDS}")
            continue
        for index, cells in picked.items():
            cells.append(fields[index])
        place.append(number)
    columns = {
        index: _unknown(numbers_from_text(cells, f"field {index + 1}")) for index, cells in picked.items()
    }
    requested, allocated = columns[_REQUESTED], columns[_ALLOCATED]
    known = ~requested.missing
    gpus = Column(
        np.where(known, requested.values, allocated.values),
        requested.missing & allocated.missing,
        lambda row: picked[_REQUESTED if known[row] else _ALLOCATED][row],
        "processors",
    )
    rows = Rows(
        submit=columns[_SUBMIT],
        run=columns[_RUN],
        gpus=gpus,
        place=np.array(place, dtype=np.int64),
        unit="line",
        refused={"not 18 fields": malformed} if malformed else {},
        example=example,
        notes=("processors of the Standard Workload Format are taken as GPUs",),
    )
    return rows, _start(text)


def _unknown(column: Column) -> Column:
    """Mark -1 as missing."""
    return Column(column.values, column.missing | (column.values == -1), column.shown, column.name)


def _start(text: str) -> datetime | None:
    found = _START.search(text)
    if found is None or int(found[1]) == 0:
        return None
    try:
        return datetime.fromtimestamp(int(found[1]), UTC)
    except (OverflowError, ValueError, OSError):
        return None
