"""One side of a what-if: the live site after a change, handed to the twin, taken through one future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvandal.control.loop.site import LiveSite
from kvandal.control.loop.told import Told
from kvandal.control.whatif.chance import Arrivals
from kvandal.control.whatif.past import Surroundings
from kvandal.policy.placement import TRAY_BROKEN, TRAYS_PER_RACK
from kvandal.twin import kernel as kernels
from kvandal.twin.account import Outputs
from kvandal.twin.fork import Fork
from kvandal.twin.heaps import ENTRY, PRIORITY_SHIFT
from kvandal.twin.plant_state import Plant
from kvandal.twin.records import REPAIR, RUNNING, TIMEOUT
from kvandal.twin.simulate import go_on, new_outputs
from kvandal.twin.snapshot import TURNED, with_tables
from kvandal.twin.state import State

Array = Any
kernel: Any = kernels

HOUR_S = 3600


@dataclass(frozen=True)
class Side:
    """The site after a change, or after none.

    Attributes
    ----------
    site : a live site; what follows goes on from copies of it
    fork, extra : its state, as it can be laid out again and again
    set_point_until_s : when the envelope that is set by hand ends; None: it does not

    """

    site: LiveSite
    fork: Fork
    extra: dict[str, Any]
    set_point_until_s: float | None


@dataclass(frozen=True)
class Played:
    """A side after a future.

    Attributes
    ----------
    state, plant, outputs : as the twin leaves them; every run is settled
    held : int64 (rows of tenants, 3), GPU-seconds held, on loan and lent out of the hour that had begun before
    at_s, until_s : the future [s]

    """

    state: State
    plant: Plant
    outputs: Outputs
    held: Array
    at_s: int
    until_s: int


def side_of(site: LiveSite, told: Sequence[Told], set_point_until_s: float | None) -> Side:
    """Let a live site be told something now, as its loop would be; the site itself is used up."""
    site.turn(site.now_s, told)
    return Side(site, *site.forked(), set_point_until_s)


def settled(site: LiveSite) -> State:
    """Return the state as if the books were closed now; the site stays as it is."""
    fork, extra = site.forked()
    state = site.at(fork, extra).state
    kernel.end_run(state, site.now_s)
    return state


def play(side: Side, arrivals: Arrivals, failures: Array, surroundings: Surroundings, until_s: int) -> Played:
    """Take a side through a future.

    Parameters
    ----------
    side : the site
    arrivals, failures : what comes
    surroundings : what failed and is being repaired
    until_s : end of the future, a whole hour [s]

    """
    site = side.site
    at_s, start = site.now_s, site.start
    fresh = site.at(side.fork, side.extra)
    plant = fresh.plant
    state = _with_arrivals(fresh, arrivals)._replace(failures=failures)
    tally, tick_s = state.tally[0], int(state.rules["tick_s"][0])
    state.rules["told"] = False
    tally["telemetry_lost"] = 0
    tally["next_failure"] = 0
    held = np.stack([state.tenants[name] for name in ("held_gpu_s", "on_loan_gpu_s", "lent_out_gpu_s")], 1)
    _schedule(state, [*_timeouts(state, len(fresh.ids)), *_repairs(state, surroundings.down, at_s)])
    outputs = new_outputs(start)
    outputs = outputs._replace(grant_hour=np.zeros((len(outputs.grant_hour), len(state.grants), 3), np.int64))
    tick, last = int(tally["tick_start_s"]) // tick_s, until_s // tick_s
    if side.set_point_until_s is not None:
        over = min(last, max(tick, -(-int(side.set_point_until_s) // tick_s)))
        state = go_on(start, state, plant, outputs, tick, over)
        state.tally["set_point_kw"] = np.inf
        tick = over
    state = go_on(start, state, plant, outputs, tick, last)
    kernel.end_run(state, until_s)
    return Played(state, plant, outputs, held, at_s, until_s)


def _with_arrivals(site: LiveSite, arrivals: Arrivals) -> State:
    """Return the state with jobs that will be submitted behind those that are there."""
    state, table = site.state, arrivals.table
    records = site.records_of(table)
    given = arrivals.limit_s > 0
    records["limit_s"][given] = arrivals.limit_s[given]
    count = len(table)
    grants = np.zeros(count, state.job_grants.dtype)
    grants["project"] = arrivals.project
    nowhere = np.full(count, -1, np.int32)
    more = {
        "jobs": records,
        "job_grants": grants,
        "room.first_piece": nowhere,
        "room.first_claim": nowhere,
    }
    for name in sorted(TURNED):
        of_jobs = getattr(state, name)
        more[name] = np.zeros((len(of_jobs), count), of_jobs.dtype)
    tables = {
        name: np.concatenate([_table(state, name)[..., : len(site.ids)], rows], axis=-1)
        for name, rows in more.items()
    }
    return with_tables(state, tables, "")


def _table(state: State, name: str) -> Array:
    found: Any = state
    for step in name.split("."):
        found = getattr(found, step)
    return found


def _timeouts(state: State, jobs: int) -> list[tuple[int, int, int]]:
    """List ends of running jobs at their limits, in classes in which the twin ends jobs there."""
    table = state.jobs[:jobs]
    rows = np.flatnonzero((table["state"] == RUNNING) & state.demands["timed"][table["demand"]])
    now_s = int(state.tally["now_s"][0])
    ends_s = np.maximum(table["start_s"][rows].astype(np.int64) + table["limit_s"][rows], now_s)
    return [(int(end_s), TIMEOUT, int(row)) for end_s, row in zip(ends_s, rows, strict=True)]


def _repairs(state: State, down: Sequence[int], at_s: int) -> list[tuple[int, int, int]]:
    """List ends of repairs: after the mean time from the failure on; what takes longer is taken for a repair that begins now."""
    broken = state.room.trays["state"] == TRAY_BROKEN
    found = []
    for tray in down:
        if not broken[tray]:
            continue
        rack = tray // TRAYS_PER_RACK
        whole = bool(broken[rack * TRAYS_PER_RACK : (rack + 1) * TRAYS_PER_RACK].all())
        repair_s = int(state.rules["rack_repair_s" if whole else "repair_s"][0])
        due_s = int(state.works["out_since_s"][tray]) + repair_s
        found.append((due_s if due_s > at_s else at_s + repair_s, REPAIR, tray))
    return found


def _schedule(state: State, entries: Sequence[tuple[int, int, int]]) -> None:
    """Note what will happen at known instants."""
    if not entries:
        return
    tally = state.tally[0]
    size = int(tally["agenda_size"])
    new = np.zeros(len(entries), ENTRY)
    for number, (time_s, priority, subject) in enumerate(entries):
        rank = (priority << PRIORITY_SHIFT) + int(tally["agenda_sequence"]) + number
        new[number] = (time_s, rank, subject)
    merged = np.concatenate([state.agenda[:size], new])
    state.agenda[: len(merged)] = merged[np.lexsort((merged["rank"], merged["time_s"]))]
    tally["agenda_size"] = len(merged)
    tally["agenda_sequence"] += len(new)
