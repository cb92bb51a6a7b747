"""Deciding again what was decided: from a kept state, with the recorded inputs, cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from kvandal.control.loop.opening import plain
from kvandal.control.loop.site import Document, LiveSite
from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import CYCLES, KEYFRAMES
from kvandal.errors import InputError


@dataclass(frozen=True, slots=True)
class Difference:
    """A cycle that decides otherwise when it is replayed.

    Attributes
    ----------
    cycle : its number
    recorded, replayed : the first effect that differs; None where a side has no more

    """

    cycle: int
    recorded: Document | None
    replayed: Document | None


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went.

    Attributes
    ----------
    first, last : cycles replayed
    cycles, effects, starts, recalls : how many
    difference : the first one; None: everything was decided as recorded

    """

    first: int
    last: int
    cycles: int
    effects: int
    starts: int
    recalls: int
    difference: Difference | None


def replay(
    store: Store,
    first: int | None = None,
    last: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replay:
    """Replay cycles from the kept state at or before `first`, and compare what they decide with what was recorded.

    Parameters
    ----------
    store : of the site
    first, last : cycles to be compared; all that can be
    progress : called with each cycle

    Raises
    ------
    InputError
        If there is no such cycle, or no state from before it.

    """
    with store.read() as tx:
        frames = tx.execute(select(KEYFRAMES.c.cycle).order_by(KEYFRAMES.c.cycle)).scalars().all()
        newest = tx.execute(select(CYCLES.c.number).order_by(CYCLES.c.number.desc()).limit(1)).scalar()
    if newest is None:
        raise InputError("no cycle has been recorded yet")
    last = newest if last is None else last
    first = (frames[0] + 1 if frames else 1) if first is None else first
    before = [cycle for cycle in frames if cycle < first]
    if not before or not first <= last <= newest:
        oldest = f"{frames[0] + 1} to {newest}" if frames else "none"
        raise InputError(
            f"cycles {first} to {last} cannot be replayed; those that can are {oldest}", key="--from"
        )
    with store.read() as tx:
        frame = tx.execute(select(KEYFRAMES).where(KEYFRAMES.c.cycle == before[-1])).one()
    site = LiveSite.restored(frame.scenario, frame.state, frame.extra)
    counts = {"cycles": 0, "effects": 0, "start": 0, "notice": 0}
    at, kept = frame.cycle, set(frames)
    while at < last:
        with store.read() as tx:
            rows = tx.execute(
                select(CYCLES)
                .where(CYCLES.c.number > at, CYCLES.c.number <= last)
                .order_by(CYCLES.c.number)
                .limit(200)
            ).all()
        if not rows:
            break
        for row in rows:
            effects = plain(site.turn(row.time_s, row.inputs).effects)
            if row.number in kept:
                site.compact()
            at = row.number
            if at < first:
                continue
            counts["cycles"] += 1
            counts["effects"] += len(effects)
            for one in effects:
                if one["do"] in counts:
                    counts[one["do"]] += 1
            if progress is not None:
                progress(at)
            if effects != row.actions:
                return _result(first, at, counts, _first_difference(at, row.actions, effects))
    return _result(first, at, counts, None)


def _result(first: int, last: int, counts: dict[str, int], difference: Difference | None) -> Replay:
    return Replay(
        first, last, counts["cycles"], counts["effects"], counts["start"], counts["notice"], difference
    )


def _first_difference(cycle: int, recorded: list[Document], replayed: list[Document]) -> Difference:
    for index in range(max(len(recorded), len(replayed))):
        one = recorded[index] if index < len(recorded) else None
        other = replayed[index] if index < len(replayed) else None
        if one != other:
            return Difference(cycle, one, other)
    raise AssertionError("lists that differ have a first difference")
