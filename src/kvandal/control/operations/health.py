"""Health and readiness: is the process alive, and can it do its work, each with words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvandal.control.operations.metrics import Metrics
from kvandal.control.operations.reading import Reads, site_now
from kvandal.control.store.errors import StoreError

LEAST_PATIENCE_S = 30.0
CYCLES_OF_PATIENCE = 10
"""A loop that has not turned for this many cycles, and at least `LEAST_PATIENCE_S`, stands still."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : what
    ok : whether it is as it should be
    words : what was found
    needed : whether requests can be served only if it is

    """

    name: str
    ok: bool
    words: str
    needed: bool = True


def patience_s(cycle_s: float) -> float:
    """Return how long a loop may take for one cycle before it counts as standing still [s].

    >>> patience_s(1.0), patience_s(10.0)
    (30.0, 100.0)
    """
    return max(LEAST_PATIENCE_S, CYCLES_OF_PATIENCE * cycle_s)


def checks(store: Reads, metrics: Metrics, cycle_s: float) -> list[Check]:
    """Look at what the service needs: the store, the loop, the engine.

    Parameters
    ----------
    store : the database
    metrics : what the loop told of itself
    cycle_s : time of one cycle [s]

    """
    try:
        with store.read() as tx:
            now = site_now(tx)
    except StoreError as error:
        return [
            Check("store", False, f"does not answer ({type(error).__name__})"),
            _loop(metrics, cycle_s, None),
        ]
    view: Mapping[str, Any] = now.view if now is not None else {}
    return [Check("store", True, "answers"), _loop(metrics, cycle_s, view.get("leader")), _engine(view)]


def _loop(metrics: Metrics, cycle_s: float, leader: Any) -> Check:
    age = metrics.cycle_age_s()
    if not metrics.leading:
        who = f" ({leader})" if leader else ""
        return Check("loop", True, f"waits: another server leads{who}")
    if not metrics.has_turned:
        return Check("loop", False, f"begins: no cycle yet, for {age:.0f} s")
    if age > patience_s(cycle_s):
        return Check(
            "loop", False, f"stands still: no cycle for {age:.0f} s, one should begin every {cycle_s:g} s"
        )
    return Check("loop", True, f"turns: a cycle {age:.1f} s ago")


def _engine(view: Mapping[str, Any]) -> Check:
    """Judge the engine: without it requests are still taken, and the site is shown as it was."""
    engine = view.get("engine")
    if not isinstance(engine, Mapping):
        return Check("engine", True, "not asked yet: there was no cycle", needed=False)
    name = engine.get("name") or "engine"
    if not engine.get("reachable"):
        since = engine.get("observed_utc")
        return Check(
            "engine", False, f"{name} does not answer{f', last at {since}' if since else ''}", needed=False
        )
    if view.get("fail_safe"):
        return Check("engine", False, f"{name}: fail-safe: {view['fail_safe']}", needed=False)
    return Check("engine", True, f"{name} answers", needed=False)


def report(found: list[Check]) -> tuple[int, dict[str, Any]]:
    """Put checks into an answer: 200 *ready*, 200 *degraded* (it can serve, and something is wrong), 503 *not ready*."""
    wrong = [check for check in found if not check.ok]
    status = "not ready" if any(check.needed for check in wrong) else "degraded" if wrong else "ready"
    document = {
        "status": status,
        "checks": [{"name": check.name, "ok": check.ok, "words": check.words} for check in found],
    }
    return 503 if status == "not ready" else 200, document
