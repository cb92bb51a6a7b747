"""A recorded engine: it tells again what an engine once told, and keeps the orders that it is given instead."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kvandal.engines.live.protocol import EngineEvent, Observation, Order, Share


@dataclass(frozen=True, slots=True)
class RecordedCycle:
    """What an engine showed in one cycle.

    Attributes
    ----------
    at_utc : time of the cycle
    observation : all that was known then; None: as in the cycle before
    events : what had happened since the cycle before

    """

    at_utc: datetime
    observation: Observation | None = None
    events: tuple[EngineEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedOrder:
    """An order that was given, and in which cycle.

    Attributes
    ----------
    cycle : index of the cycle, from 0
    kind : *hold*, *start*, *recall*, *cancel*, *cap* or *drain*
    key, attempt : the job; empty and 0 where none is meant
    detail : the rest of the order

    """

    cycle: int
    kind: str
    key: str = ""
    attempt: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


class RecordedEngine:
    """Tells the events of a recording, cycle by cycle.

    The cursor is the number of cycles that have been told: a cursor of a later cycle goes on from there. Time is that of
    the cycle that was told last, and never that of a clock.

    Parameters
    ----------
    cycles : in order of time; the first one has an observation

    Attributes
    ----------
    orders : what it was told to do, in order; nothing comes of it

    Raises
    ------
    ValueError
        The cycles are not in order of time, or the first has no observation.

    """

    def __init__(self, cycles: Sequence[RecordedCycle]) -> None:
        if not cycles or cycles[0].observation is None:
            raise ValueError("a recording begins with an observation")
        if any(later.at_utc < earlier.at_utc for earlier, later in itertools.pairwise(cycles)):
            raise ValueError("cycles of a recording come in order of time")
        self._cycles = tuple(cycles)
        self._at = 0
        self.orders: list[RecordedOrder] = []

    @property
    def name(self) -> str:
        """Kind of engine."""
        return "recorded"

    @property
    def is_over(self) -> bool:
        """Whether the last cycle has been told."""
        return self._at >= len(self._cycles)

    def now(self) -> datetime:
        """Time of the cycle that is shown."""
        return self._cycles[self._shown()].at_utc

    def observe(self) -> Observation:
        """All that was known in the cycle that is shown."""
        seen = next(
            found
            for cycle in reversed(self._cycles[: self._shown() + 1])
            if (found := cycle.observation) is not None
        )
        return Observation(self.now(), seen.nodes, seen.jobs, seen.site_power_kw, seen.has_meter)

    def events(self, cursor: str) -> tuple[Sequence[EngineEvent], str]:
        """Tell the events of the next cycle; none when the recording is over."""
        self._at = int(cursor) if cursor else 0
        if self.is_over:
            return (), str(self._at)
        told = self._cycles[self._at].events
        self._at += 1
        return told, str(self._at)

    def _shown(self) -> int:
        return max(0, min(self._at, len(self._cycles)) - 1)

    def _take(self, kind: str, order: Order | None = None, attempt: int = 0, **detail: Any) -> None:
        key = "" if order is None else order.key
        self.orders.append(RecordedOrder(self._shown(), kind, key, attempt, detail))

    def hold(self, order: Order, attempt: int) -> None:
        """Keep the order."""
        self._take("hold", order, attempt)

    def start(self, order: Order, attempt: int, shares: Sequence[Share]) -> None:
        """Keep the order."""
        self._take("start", order, attempt, shares=tuple(shares))

    def recall(self, order: Order, attempt: int, deadline_utc: datetime) -> None:
        """Keep the order."""
        self._take("recall", order, attempt, deadline_utc=deadline_utc)

    def cancel(self, order: Order) -> None:
        """Keep the order."""
        self._take("cancel", order)

    def cap(self, caps: Mapping[str, float]) -> None:
        """Keep the order."""
        self._take("cap", caps=dict(caps))

    def drain(self, node: str, reason: str | None) -> None:
        """Keep the order."""
        self._take("drain", node=node, reason=reason)

    def close(self) -> None:
        """Nothing is held."""
