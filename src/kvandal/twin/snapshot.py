"""Saved states of a run: all that the loop needs to go on, less what the scenario gives again.

A snapshot holds every table of the state and of the plant. Of the jobs it holds those that are queued or running, of
the loans the open ones, of heaps and lists the part in use, of the event log nothing but its length. The rest is what
a fresh start from the same scenario and the same jobs gives.

The file is a ZIP of three ``.npy`` members that :func:`numpy.load` opens without pickle. Every table is taken apart into
the bytes of its records, sorted by their place in the record (equal bytes side by side pack well). Most places have the
same byte in all records, or in each that of the place before: ``planes`` says so, and ``bytes`` holds those of the other
places, as a zlib stream; ``head`` says what the tables are. The rows that records belong to, each less the one before,
are one more table.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from kvandal.demand.jobs import JobTable
from kvandal.errors import InputError
from kvandal.policy.links import unused_records
from kvandal.scenario.model import Scenario
from kvandal.twin.plant_state import Plant
from kvandal.twin.records import QUEUED, RUNNING
from kvandal.twin.state import State, new_events, new_loans, new_placements, new_stints

Array = Any
Record = TypeVar("Record", bound=NamedTuple)

EVERY_DAYS = 7
"""A state is saved at the start and every so many days [days]."""
FORMAT = 3
"""Version of the file."""
PACKING = (1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
"""How bytes are packed: they are sorted already, so that runs are all there is to find."""
_SAME, _AS_BEFORE, _VARIED = range(3)
"""Bytes of a place in all records: one and the same, those of the place before, or others."""

GIVEN = frozenset({"failures", "limit_steps", "limit_steps_s", "leaving", "plant.lanes"})
"""Tables that the scenario gives and the loop never changes, and two that only hold what is worked on."""
TURNED = frozenset({"lost_gpu_s", "part_gpu_s", "waits", "interruptions"})
"""Tables whose columns are jobs."""
PER_JOB = frozenset({"jobs", *TURNED, "job_grants", "room.first_piece", "room.first_claim"})
"""Tables with one row per job of the run."""
GROWING = {"loans": new_loans, "events": new_events, "stints": new_stints, "placements": new_placements}
"""Tables that are enlarged on the way, and how new rows look."""


class Recorder:
    """Takes snapshots on the way.

    Attributes
    ----------
    snapshots : contents of the files, by the ticks done

    """

    def __init__(self, scenario: Scenario, jobs: JobTable, every_days: int = EVERY_DAYS) -> None:
        self.snapshots: dict[int, bytes] = {}
        self._every_ticks = every_days * 86_400 // scenario.run.tick_s
        self._mark = jobs_mark(jobs)
        self._live = np.zeros(0, np.int64)
        self._seen = 0

    def take(self, state: State, plant: Plant, tick: int) -> None:
        """Save the state if its time has come."""
        if tick % self._every_ticks:
            return
        arrived = int(state.tally["next_arrival"][0])
        candidates = np.concatenate([self._live, np.arange(self._seen, arrived)])
        status = state.jobs["state"][candidates]
        self._live = candidates[(status == QUEUED) | (status == RUNNING)]
        self._seen = arrived
        self.snapshots[tick] = packed(state, plant, tick, self._mark, self._live)


def jobs_mark(jobs: JobTable) -> dict[str, int]:
    """Tell the jobs of a run from those of another: how many, and a checksum."""
    checksum = 0
    for column in (jobs.submit_s, jobs.gpus, jobs.work_s, jobs.tenant, jobs.demand):
        checksum = zlib.crc32(np.ascontiguousarray(column).data, checksum)
    return {"jobs": len(jobs), "crc32": checksum}


def live_jobs(state: State) -> Array:
    """Jobs that are queued or running, in order."""
    status = state.jobs["state"]
    return np.flatnonzero((status == QUEUED) | (status == RUNNING))


def packed(
    state: State,
    plant: Plant,
    tick: int,
    mark: dict[str, int],
    live: Array,
    room: Mapping[str, int] | None = None,
) -> bytes:
    """Return a snapshot as the contents of its file.

    Parameters
    ----------
    state, plant : what is saved
    tick : ticks done
    mark : see :func:`jobs_mark`
    live : jobs that are queued or running, in order
    room : rows that tables have room for, of which only the first are given

    """
    used = _rows_in_use(state, live)
    tables: dict[str, Any] = {}
    parts = _Parts()
    groups: dict[int, tuple[int, Array]] = {}  # tables of jobs share their rows
    for name, table in _tables(state, plant):
        if _is_given(name, table):
            continue
        rows, records = used.get(name), _rows(name, table)
        shape = [(room or {}).get(name, len(table)), *table.shape[1:]]
        entry: dict[str, Any] = {"shape": shape, "type": _layout(table.dtype)}
        if rows is not None:
            records = records[rows]
            entry["rows"] = groups.setdefault(id(rows), (len(groups), rows))[0]
        tables[name] = entry | parts.add(records)
    told = [np.zeros(0, np.int64), *(rows for _, rows in groups.values())]
    steps = np.diff(np.concatenate(told), prepend=0).astype(np.int32)
    ends = np.cumsum([len(rows) for rows in told[1:]]).tolist()
    head = {
        "format": FORMAT,
        "tick": tick,
        **mark,
        "rows": {"ends": ends, "count": len(steps), **parts.add(steps)},
        "tables": tables,
    }
    members = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8), **parts.members()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compresslevel=1) as archive:
        for name, member in members.items():
            place = zipfile.ZipInfo(f"{name}.npy")
            place.compress_type = zipfile.ZIP_STORED if name == "bytes" else zipfile.ZIP_DEFLATED
            with archive.open(place, "w") as opened:
                np.lib.format.write_array(opened, member, allow_pickle=False)
    return file.getvalue()


def unpacked(content: bytes, state: State, plant: Plant, mark: dict[str, int]) -> tuple[State, Plant, int]:
    """Lay a snapshot over a fresh start.

    Parameters
    ----------
    content : contents of the file
    state, plant : a fresh start of the same scenario with the same jobs; they are used up
    mark : see :func:`jobs_mark`

    Returns
    -------
    State, plant and the ticks done.

    Raises
    ------
    InputError
        If the file is damaged, or does not belong to this scenario, these jobs or this version of the program.

    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            if head.get("format") != FORMAT:
                raise InputError("a saved state of another version of kvandal")
            content_of = _Content(archive, head)
            if {key: head.get(key) for key in mark} != mark:
                raise InputError(
                    "the saved state belongs to other jobs: a trace has changed since, or another version of kvandal "
                    "wrote it"
                )
            tables = {
                name: _restored(name, table, head["tables"].get(name), content_of)
                for name, table in _tables(state, plant)
                if not _is_given(name, table)
            }
            tick = int(head["tick"])
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"not a saved state, or damaged: {error}") from None
    return with_tables(state, tables, ""), with_tables(plant, tables, "plant."), tick


def with_jobs(state: State, fresh: State, kept: int) -> State:
    """Return a state with other jobs to come: the first `kept` jobs as they are, then all of those of `fresh`."""
    of_fresh = dict(tables_by_name(fresh, ""))
    tables = {
        name: np.concatenate([table[..., :kept], of_fresh[name]], axis=-1)
        for name, table in tables_by_name(state, "")
        if name in PER_JOB
    }
    return with_tables(state, tables, "")


def without(state: State, names: Collection[str]) -> State:
    """Return a state whose named tables are empty, so that their memory is free for what is made of them."""
    tables = {
        name: np.zeros((*table.shape[:-1], 0), table.dtype)
        for name, table in tables_by_name(state, "")
        if name in names
    }
    return with_tables(state, tables, "")


def copied(record: Record) -> Record:
    """Return a copy of a state or a plant; tables that nothing can change are shared."""
    tables = {name: table.copy() for name, table in tables_by_name(record, "") if table.flags.writeable}
    return with_tables(record, tables, "")


def _tables(state: State, plant: Plant) -> Iterator[tuple[str, Array]]:
    yield from tables_by_name(state, "")
    yield from tables_by_name(plant, "plant.")


def tables_by_name(record: Any, prefix: str) -> Iterator[tuple[str, Array]]:
    """Tables of a record of tables, by their dotted names."""
    for field in record._fields:
        value = getattr(record, field)
        if hasattr(value, "_fields"):
            yield from tables_by_name(value, f"{prefix}{field}.")
        else:
            yield f"{prefix}{field}", value


def with_tables(record: Record, tables: dict[str, Array], prefix: str) -> Record:
    """Return a record of tables with other tables in it."""
    changed: dict[str, Any] = {}
    for field in record._fields:
        value = getattr(record, field)
        if hasattr(value, "_fields"):
            changed[field] = with_tables(value, tables, f"{prefix}{field}.")
        elif f"{prefix}{field}" in tables:
            changed[field] = tables[f"{prefix}{field}"]
    return record._replace(**changed)


def _is_given(name: str, table: Array) -> bool:
    """Whether a table is part of the start and nothing else: named so, or read-only."""
    return name in GIVEN or not table.flags.writeable


def _rows_in_use(state: State, live: Array) -> dict[str, Array]:
    """Rows of the large tables that mean something now; tables not named are saved in full."""
    tally = state.tally[0]
    loans = _open_records(state, live)
    heap, own = state.ends.shape[1], state.own_jobs.shape[1]
    running = state.speeds["running"].tolist()
    ends = [np.arange(group * heap, group * heap + count) for group, count in enumerate(running)]
    return {
        **dict.fromkeys(PER_JOB, live),
        "loans": loans,
        "events": np.zeros(0, np.int64),
        "stints": np.zeros(0, np.int64),
        "placements": np.zeros(0, np.int64),
        "actions": np.zeros(0, np.int64),
        "agenda": np.arange(tally["agenda_size"]),
        "lent_jobs": np.arange(tally["lent_jobs"]),
        "own_jobs": np.concatenate([row * own + np.arange(tally["own_jobs"]) for row in range(4)]),
        "parts": _touched(state.parts, _unused(state.parts.dtype, len(state.parts) - 1)),
        "room.pieces": _touched(
            state.room.pieces, _unused(state.room.pieces.dtype, len(state.room.pieces) - 1)
        ),
        "ends": np.concatenate(ends),
    }


def _open_records(state: State, live: Array) -> Array:
    """List the records of the loans that jobs run on."""
    records = []
    following = state.jobs["first_part"][live]
    while len(following := following[following >= 0]):
        records.append(state.parts["record"][following])
        following = state.parts["next"][following]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *records])).astype(np.int64)


def _rows(name: str, table: Array) -> Array:
    """View a table by its rows: jobs are rows; heaps, and what is told of jobs on their tenant's share, stand one behind the other."""
    if name in TURNED:
        return table.T
    return table.reshape(-1) if name in ("ends", "own_jobs") else table


def _layout(dtype: np.dtype[Any]) -> Any:
    """Names and kinds of the columns, without padding."""
    if dtype.names is None:
        return dtype.str
    return [[name, dtype[name].str] for name in dtype.names]


def _packed_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.names is None else np.dtype([(name, dtype[name]) for name in dtype.names])


def _sorted_bytes(records: Array) -> Array:
    """Bytes of records without padding, uint8 (bytes of a record, records)."""
    plain = np.ascontiguousarray(records, dtype=_packed_type(records.dtype)).reshape(-1)
    return np.ascontiguousarray(plain.view(np.uint8).reshape(plain.shape[0], plain.dtype.itemsize).T)


class _Parts:
    """Tables taken apart into the bytes of their records."""

    def __init__(self) -> None:
        self._planes = [np.zeros((0, 2), np.uint8)]
        self._varied = [np.zeros(0, np.uint8)]
        self._places = self._bytes = 0

    def add(self, records: Array) -> dict[str, Any]:
        """Add a table; return where it stands."""
        bytes_of, at = _sorted_bytes(records), [self._places, self._bytes]
        self._planes.append(_planes(bytes_of))
        self._varied.append(bytes_of[self._planes[-1][:, 0] == _VARIED].reshape(-1))
        self._places += len(bytes_of)
        self._bytes += len(self._varied[-1])
        return {"at": at}

    def members(self) -> dict[str, Array]:
        """Return the members of the file that hold all that was added."""
        packer = zlib.compressobj(*PACKING)
        packed = packer.compress(np.concatenate(self._varied).data) + packer.flush()
        return {"planes": np.concatenate(self._planes), "bytes": np.frombuffer(packed, np.uint8)}


def _planes(bytes_of: Array) -> Array:
    """Say what the bytes of every place in a record are: uint8 (places, 2), a constant of `_SAME` to `_VARIED` and the lowest byte."""
    planes = np.zeros((len(bytes_of), 2), np.uint8)
    if bytes_of.shape[1]:
        planes[:, 1] = bytes_of.min(axis=1)
        differ = bytes_of.max(axis=1) != planes[:, 1]
        planes[differ, 0] = _VARIED
        after = np.flatnonzero(differ[1:] & differ[:-1]) + 1
        planes[after[(bytes_of[after] == bytes_of[after - 1]).all(axis=1)], 0] = _AS_BEFORE
    return planes


def _touched(table: Array, fresh: Array) -> Array:
    """Rows that are no longer as they were at the start."""
    one, other = (records.view(np.int32).reshape(len(records), -1) for records in (table, fresh))
    return np.flatnonzero((one != other).any(axis=1))


@lru_cache(maxsize=2)
def _unused(dtype: np.dtype[Any], rows: int) -> Array:
    """Return a table of which nothing has been used, the same one when asked again; nobody must write to it."""
    return unused_records(dtype, rows)


class _Content:
    """What a file holds of the tables."""

    def __init__(self, archive: Any, head: dict[str, Any]) -> None:
        self._planes = archive["planes"]
        self._bytes = np.frombuffer(zlib.decompress(archive["bytes"]), np.uint8)
        steps = self.records(head["rows"], np.dtype(np.int32), head["rows"]["count"])
        self._groups = np.split(np.cumsum(steps), head["rows"]["ends"])

    def rows(self, entry: dict[str, Any]) -> Array | None:
        """Rows that were saved of a table; None: all."""
        return self._groups[entry["rows"]] if "rows" in entry else None

    def records(self, entry: dict[str, Any], dtype: np.dtype[Any], count: int) -> Array:
        """Return the records that were saved of a table."""
        first, at = entry["at"]
        planes = self._planes[first : first + dtype.itemsize]
        differ, bytes_of = planes[:, 0] == _VARIED, np.empty((dtype.itemsize, count), np.uint8)
        bytes_of[:] = planes[:, 1:]
        varied = int(differ.sum())
        bytes_of[differ] = self._bytes[at : at + varied * count].reshape(varied, count)
        for place in np.flatnonzero(planes[:, 0] == _AS_BEFORE):
            bytes_of[place] = bytes_of[place - 1]
        return np.ascontiguousarray(bytes_of.T).reshape(-1).view(dtype)


def _restored(name: str, table: Array, entry: dict[str, Any] | None, content: _Content) -> Array:
    """Return a table of a fresh start with what was saved of it."""
    if entry is None or entry["type"] != _layout(table.dtype):
        raise InputError(f"a saved state of another version of kvandal ({name})")
    shape = tuple(entry["shape"])
    if shape != table.shape:
        if name in GROWING:
            table = GROWING[name](shape[0])
        elif name == "agenda":
            table = np.zeros(shape, table.dtype)
        else:
            raise InputError(f"the saved state belongs to another site or another scenario ({name})")
    view, rows = _rows(name, table), content.rows(entry)
    shape = view.shape if rows is None else (len(rows), *view.shape[1:])
    records = (
        content.records(entry, _packed_type(table.dtype), math.prod(shape)).astype(table.dtype).reshape(shape)
    )
    view[... if rows is None else rows] = records
    return table
