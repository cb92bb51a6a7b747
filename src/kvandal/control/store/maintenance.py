"""Keeping the store small: what is only of passing use is thinned out. Doing it twice changes nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from kvandal.control.store.tables.books import IDEMPOTENCY
from kvandal.control.store.tables.loop import KEYFRAMES, SITE_TICKS


@dataclass(frozen=True, slots=True)
class Spacing:
    """How far apart rows are kept once they are old.

    Attributes
    ----------
    after_s : age from which on it holds [s]
    every_s : one row is kept of each such stretch of time, its first [s]

    """

    after_s: int
    every_s: int


DAY_S = 86_400
SPACINGS = (Spacing(2 * DAY_S, 900), Spacing(60 * DAY_S, 3600))
"""Every tick for two days, quarters of an hour for two months, hours for ever."""
RECENT_KEYFRAMES = 10
KEYFRAME_EVERY_CYCLES = 86_400


def thin_site_ticks(tx: Connection, now_s: int, spacings: Sequence[Spacing] = SPACINGS) -> int:
    """Thin out the past of the site; return how many rows went.

    Parameters
    ----------
    tx
        Of :meth:`Store.begin`.
    now_s
        Time of the site since its epoch [s].
    spacings
        How, the shortest age first.

    """
    removed = 0
    for spacing in spacings:
        until_s = (now_s - spacing.after_s) // spacing.every_s * spacing.every_s  # whole stretches only
        old = SITE_TICKS.c.time_s < until_s
        stretch = SITE_TICKS.c.time_s // spacing.every_s
        kept = select(func.min(SITE_TICKS.c.time_s)).where(old).group_by(stretch)
        removed += tx.execute(delete(SITE_TICKS).where(old, SITE_TICKS.c.time_s.not_in(kept))).rowcount
    return removed


def forget_answers(tx: Connection, now_utc: datetime) -> int:
    """Remove answers whose idempotency keys have expired; return how many."""
    return tx.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.expires_utc <= now_utc)).rowcount


def thin_keyframes(
    tx: Connection, recent: int = RECENT_KEYFRAMES, every_cycles: int = KEYFRAME_EVERY_CYCLES
) -> int:
    """Remove states from which nobody will start again; return how many.

    Kept are the first, from which everything can be followed again, the `recent` newest, and the first of every
    `every_cycles` cycles: from one of these on, any cycle is reached in so many steps.
    """
    numbers = list(tx.scalars(select(KEYFRAMES.c.cycle).order_by(KEYFRAMES.c.cycle)))
    kept = {*numbers[:1], *numbers[len(numbers) - recent :]} if recent > 0 else {*numbers[:1]}
    stretches: set[int] = set()
    for number in numbers:
        if number // every_cycles not in stretches:
            stretches.add(number // every_cycles)
            kept.add(number)
    gone = [number for number in numbers if number not in kept]
    for start in range(0, len(gone), 500):
        tx.execute(delete(KEYFRAMES).where(KEYFRAMES.c.cycle.in_(gone[start : start + 500])))
    return len(gone)
