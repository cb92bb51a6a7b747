"""Times of the stages of a run, taken from outside: the functions that are the stages are wrapped while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stopwatch:
    """Wall and processor time by stage [s]; a stage inside another stops the clock of the outer one."""

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)

    def enter(self, stage: str) -> None:
        """Start a stage, inside the one that runs."""
        self._note()
        self._running.append(stage)

    def leave(self) -> None:
        """End the innermost stage."""
        self._note()
        self._running.pop()

    def _note(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._running:
            stage = self._running[-1]
            self.wall_s[stage] = self.wall_s.get(stage, 0.0) + now[0] - self._since[0]
            self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + now[1] - self._since[1]
        self._since = now

    def wrapped(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, timed as `stage`."""

        def timed(*arguments: Any, **named: Any) -> Any:
            self.enter(stage)
            try:
                return function(*arguments, **named)
            finally:
                self.leave()

        return timed


@contextmanager
def timing(points: tuple[tuple[str, Any, str], ...]) -> Iterator[Stopwatch]:
    """Time functions while the block runs; `points` are (stage, module or class, name of the function)."""
    watch = Stopwatch()
    before = [(owner, name, getattr(owner, name)) for _, owner, name in points]
    try:
        for (stage, owner, name), (_, _, function) in zip(points, before, strict=True):
            setattr(owner, name, watch.wrapped(stage, function))
        yield watch
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
