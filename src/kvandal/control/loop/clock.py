"""A clock that never jumps: it goes with the machine's steady one and is led gently to what the wall clock says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SLEW = 0.005
"""How much faster or slower it runs at most while the wall clock is elsewhere: a notice of two minutes is right to a second."""
STEP_S = 0.5
"""Differences up to this are followed at once, forwards [s]."""


class SteadyClock:
    """Seconds since 1970 that never run backwards and never leap.

    A wall clock that is set while the service runs would end notices too soon, or hold them for hours. A restart takes the
    wall clock as it is.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._steady = wall, steady
        self._now, self._last = wall(), steady()
        self._one_at_a_time = threading.Lock()

    def __call__(self) -> float:
        """Return now [s]."""
        with self._one_at_a_time:  # two who ask together must not both add what has passed
            steady = self._steady()
            passed = max(0.0, steady - self._last)
            self._last = steady
            away = self._wall() - (self._now + passed)
            if 0.0 <= away <= STEP_S:
                self._now += passed + away
            else:
                self._now += passed + max(-SLEW * passed, min(SLEW * passed, away))
            return self._now

    @property
    def away_s(self) -> float:
        """How far the wall clock is ahead [s]; large values say that it has been set."""
        return self._wall() - (self._now + max(0.0, self._steady() - self._last))
