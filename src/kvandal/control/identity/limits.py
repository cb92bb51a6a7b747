"""How often somebody may ask: a bucket of tokens for each caller, that fills again with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

MOST_CALLERS = 20_000
"""Callers that are remembered; of more, those that have not asked for longest are forgotten."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a caller has left."""

    limit: int
    remaining: int
    reset_s: int
    """Time until it may ask as often as at first [s]."""
    retry_after_s: int = 0
    """0: it may ask; else the time until it may [s]."""

    def headers(self) -> dict[str, str]:
        """Return it as headers of an answer."""
        told = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(self.remaining),
            "ratelimit-reset": str(self.reset_s),
        }
        return told | {"retry-after": str(self.retry_after_s)} if self.retry_after_s else told


class Buckets:
    """Buckets of tokens, one for each caller.

    Parameters
    ----------
    per_second
        How fast a bucket fills [1/s].
    burst
        What it holds.
    clock
        Time that only grows [s].

    Examples
    --------
    >>> hours = Buckets(per_second=1 / 3600, burst=2, clock=lambda: 0.0)
    >>> [hours.take("ada").retry_after_s for _ in range(3)]
    [0, 0, 3600]

    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second, self.burst, self.clock = per_second, burst, clock
        self._kept: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def level(self, caller: object) -> float:
        """Return what a caller has left."""
        kept = self._kept.get(caller)
        if kept is None:
            return float(self.burst)
        level, at = kept
        return min(self.burst, level + (self.clock() - at) * self.per_second)

    def take(self, caller: object) -> Quota:
        """Take one, if there is one."""
        level = self.level(caller)
        allowed = level >= 1.0
        if allowed:
            level -= 1.0
            self._kept[caller] = level, self.clock()
            self._kept.move_to_end(caller)
            if len(self._kept) > MOST_CALLERS:
                self._kept.popitem(last=False)
        return self._quota(level, 0 if allowed else max(1, ceil((1.0 - level) / self.per_second)))

    def look(self, caller: object) -> Quota:
        """Tell what is left without taking any."""
        level = self.level(caller)
        return self._quota(level, 0 if level >= 1.0 else max(1, ceil((1.0 - level) / self.per_second)))

    def _quota(self, level: float, retry_after_s: int) -> Quota:
        return Quota(self.burst, int(level), ceil((self.burst - level) / self.per_second), retry_after_s)
