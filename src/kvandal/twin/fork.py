"""A run at one instant, copied in milliseconds: only the rows that mean something, to be laid out again elsewhere.

The tables of a large site hold room for what one instant can bring, hundreds of megabytes of which a few are in use. A fork
takes those few, can be sent to another process, and becomes any number of states that go on from there, each its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kvandal.twin.plant_state import Plant
from kvandal.twin.snapshot import GIVEN, PER_JOB, tables_by_name, with_tables
from kvandal.twin.state import State

Array = Any

COUNTED = {
    "loans": "loans",
    "events": "events",
    "stints": "stints",
    "placements": "placements",
    "agenda": "agenda_size",
    "lent_jobs": "lent_jobs",
    "actions": "actions",
}
"""Tables of which the first rows are in use, and the counter that says how many."""


@dataclass(frozen=True)
class Fork:
    """What a state and a plant hold at one instant.

    Attributes
    ----------
    tables : rows in use, by the dotted name of the table
    rows : rows that each table has room for; tables that are not named are held in full

    """

    tables: dict[str, Array]
    rows: dict[str, int]


def forked(state: State, plant: Plant, jobs: int) -> Fork:
    """Copy what is in use.

    Parameters
    ----------
    state, plant : a run between two calls of the loop; nothing of them is changed
    jobs : rows of the table of jobs that are in use

    """
    tables: dict[str, Array] = {}
    rows: dict[str, int] = {}
    for name, table in tables_by_name(state, ""):
        if name in GIVEN or not table.flags.writeable:
            continue
        if name in COUNTED:
            tables[name], rows[name] = table[: int(state.tally[COUNTED[name]][0])].copy(), len(table)
        elif name in PER_JOB:
            tables[name] = table[..., :jobs].copy()
        elif name == "ends":
            running = int(state.speeds["running"].max())
            tables[name], rows[name] = table[:, :running].copy(), table.shape[1]
        else:
            tables[name] = table.copy()
    for name, table in tables_by_name(plant, "plant."):
        if name not in GIVEN and table.flags.writeable:
            tables[name] = table.copy()
    return Fork(tables, rows)


def to_be_packed(fork: Fork, state: State, plant: Plant) -> tuple[State, Plant, dict[str, int]]:
    """Return what was taken as :func:`~kvandal.twin.snapshot.packed` takes it: tables without the room behind them, and that room.

    Parameters
    ----------
    fork : what was taken
    state, plant : as for :func:`laid_out`

    """
    room = dict(fork.rows)
    ends = _with_room("ends", fork.tables["ends"], room.pop("ends"))
    tables = fork.tables | {"ends": ends}
    return with_tables(state, tables, ""), with_tables(plant, tables, "plant."), room


def laid_out(fork: Fork, state: State, plant: Plant) -> tuple[State, Plant]:
    """Return a state and a plant of their own that stand where the fork was taken.

    Parameters
    ----------
    fork : what was taken
    state, plant : of the same scenario; only their tables that the loop never changes are used

    """
    tables = {name: _with_room(name, table, fork.rows.get(name)) for name, table in fork.tables.items()}
    tables["leaving"] = np.zeros_like(state.leaving)
    tables["plant.lanes"] = plant.lanes.copy()
    return with_tables(state, tables, ""), with_tables(plant, tables, "plant.")


def _with_room(name: str, used: Array, rows: int | None) -> Array:
    if rows is None:
        return used.copy()
    table = np.zeros((len(used), rows) if name == "ends" else rows, used.dtype)
    if name == "ends":
        table[:, : used.shape[1]] = used
    else:
        table[: len(used)] = used
    return table
