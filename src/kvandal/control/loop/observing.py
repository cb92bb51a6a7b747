"""Observing: what the engine tells, what it shows when one looks, and what it means when it is silent (rule E6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from kvandal.control.loop.site import LiveSite
from kvandal.control.loop.taking import differences, told_by_engine
from kvandal.control.loop.told import Told
from kvandal.engines.live.protocol import Engine, EngineUnreachableError, Observation

LOOK_S = 15.0
"""Real time between two comparisons with all that the engine says [s]."""
SETTLE_S = 60.0
"""How long a job may be missing at the engine after its start before it is taken for lost [s]."""


class Observer:
    """Follows an engine.

    Parameters
    ----------
    engine
        The engine.
    trays
        Numbers of the trays by the engine's names.
    epoch_utc
        Second 0 of the loop.
    timeout_s
        How long engine or meter may be silent [s].
    clock
        Real time [s].

    Attributes
    ----------
    reachable : whether the engine answered last
    observed_utc : when it was looked at last
    fail_safe : why nothing new is lent; None: it is
    down : nodes that are not up: (state, reason) by name

    """

    def __init__(
        self,
        engine: Engine,
        trays: Mapping[str, int],
        epoch_utc: datetime,
        timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._engine, self._trays, self._epoch_utc = engine, trays, epoch_utc
        self._timeout_s, self._clock = timeout_s, clock
        self._looked, self._metered = float("-inf"), clock()
        self.reachable = True
        self.observed_utc: datetime | None = None
        self.fail_safe: str | None = None
        self.down: dict[str, tuple[str, str]] = {}

    def observe(
        self, site: LiveSite, cursor: str, ordered: AbstractSet[str | None]
    ) -> tuple[list[Told], str]:
        """Return what the engine tells, and the cursor behind it; nothing where it does not answer.

        Parameters
        ----------
        site : what is known
        cursor : of the events taken so far
        ordered : jobs that some order is under way for

        """
        try:
            seen = self._look(site, ordered) if self._clock() - self._looked >= LOOK_S else []
            events, cursor_behind = self._engine.events(
                cursor
            )  # after the look: what ended since stands in them
        except EngineUnreachableError:
            self.reachable = False
            return self._meter(site, None), cursor
        self.reachable = True
        heard = told_by_engine(events, self._trays, self._epoch_utc)
        ends = (site.end_of(one) if "job" in one else one for one in heard)
        told = [one for one in ends if one is not None]
        known = {one["job"] for one in told if "job" in one}
        return [*told, *(one for one in seen if one.get("job") not in known)], cursor_behind

    def _look(self, site: LiveSite, ordered: AbstractSet[str | None]) -> list[Told]:
        """Compare with all that the engine says: nodes, jobs that are gone, the meter."""
        observation = self._engine.observe()
        self._looked, self.observed_utc = self._clock(), observation.at_utc
        now_s = site.now_s
        told = differences(observation, site.trays_down(), self._trays, now_s)
        self.down = {node.name: (node.state, node.reason) for node in observation.nodes if node.state != "up"}
        settled_s = now_s - max(SETTLE_S, 2 * site.scenario.run.tick_s)
        for job, attempt, start_s in site.running():
            if job in ordered or start_s > settled_s:
                continue
            there = observation.jobs.get(job)
            if (
                there is None
                or there.attempt < attempt
                or (there.state == "held" and there.attempt == attempt)
            ):
                told.append({"kind": "interrupted", "time_s": now_s, "job": job, "attempt": attempt})
        return told + self._meter(site, observation)

    def _meter(self, site: LiveSite, observation: Observation | None) -> list[Told]:
        """Return what the meter says: what it shows above the model, or that nobody has heard of it for too long."""
        tally = site.state.tally[0]
        was_lost, now_s = bool(tally["telemetry_lost"]), site.now_s
        told: list[Told] = []
        if observation is not None and (not observation.has_meter or observation.site_power_kw is not None):
            self._metered, self.fail_safe = self._clock(), None
            if was_lost:
                told.append({"kind": "telemetry", "time_s": now_s, "lost": False})
            if observation.site_power_kw is not None:
                told += _unexplained(tally, observation.site_power_kw, now_s)
        elif self._clock() - self._metered > self._timeout_s:
            what = "the engine does not answer" if observation is None else "the meter is silent"
            self.fail_safe = f"{what}: nothing new is lent, caps stay (rule E6)"
            if not was_lost:
                told.append({"kind": "telemetry", "time_s": now_s, "lost": True})
        return told


def _unexplained(tally: Any, power_kw: float, now_s: int) -> list[Told]:
    """Return what a meter shows above what the model says, where it has changed by more than a hundredth."""
    modelled_kw = float(tally["last_meter_kw"])
    more_kw = max(0.0, float(round(power_kw - modelled_kw)))
    if abs(more_kw - float(tally["unexplained_kw"])) <= 0.01 * max(modelled_kw, 1.0):
        return []
    return [{"kind": "unexplained", "time_s": now_s, "value_kw": more_kw}]
