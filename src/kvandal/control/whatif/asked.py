"""What is asked, and what it is asked of: plain values that can be sent to another process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kvandal.control.loop.opening import Kept
from kvandal.control.whatif.past import Past, Surroundings, Usual
from kvandal.errors import InputError
from kvandal.scenario.changes import split_key
from kvandal.scenario.model import Scenario
from kvandal.scenario.tree import groups_of
from kvandal.twin.fork import Fork

SEEDS = 3
"""Futures that both sides are taken through."""
MOST_SEEDS = 20
MOST_DAYS = 28.0
Document = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A change that somebody thinks of.

    Attributes
    ----------
    changes : keys of the scenario and their new values
    grants : that would be given: grant (its id), tenant, project, gpu_hours, start_utc, end_utc, expiry, demand
    envelope_mw : at which the site would be held [MW]; None: as it is
    days : how far to look [days]
    seeds : futures

    """

    changes: Mapping[str, Any]
    grants: Sequence[Mapping[str, Any]]
    envelope_mw: float | None
    days: float
    seeds: int = SEEDS


@dataclass(frozen=True)
class Standing:
    """Where the live site stands.

    Attributes
    ----------
    epoch_utc : second 0
    document, fork, extra, cycle : the scenario in force, and the state after a cycle, as the loop gave it
    kept : the same from the store, where no loop is at hand
    surroundings, past : what the store knows beside
    usual : what jobs of the projects are like that would be given a grant, in the order of the grants
    simulated : whether simulated tenants submit the demand of the scenario

    """

    epoch_utc: datetime
    document: Document | None
    fork: Fork | None
    extra: Document | None
    cycle: int
    kept: Kept | None
    surroundings: Surroundings
    past: Past
    usual: tuple[Usual | None, ...]
    simulated: bool


def checked(question: Question, scenario: Scenario) -> Question:
    """Return a question whose numbers and grants hold together, every grant with an id.

    Raises
    ------
    InputError
        If not; it names the key, the value and what is allowed.

    """
    if not 0 < question.days <= MOST_DAYS:
        raise InputError(f"must be above 0 and at most {MOST_DAYS:g} days, got {question.days:g}", key="days")
    if not 1 <= question.seeds <= MOST_SEEDS:
        raise InputError(f"must be 1 to {MOST_SEEDS}, got {question.seeds}", key="seeds")
    most_mw, envelope_mw = scenario.site.grid_mw, question.envelope_mw
    if envelope_mw is not None and not (math.isfinite(envelope_mw) and 0 <= envelope_mw <= most_mw):
        raise InputError(
            f"must be 0 to {most_mw:g} MW, the connection, got {envelope_mw:g}", key="envelope_mw"
        )
    for key in question.changes:
        steps = split_key(key)
        if steps[0] == "tenants" and len(steps) > 1 and steps[1] not in scenario.tenants:
            raise InputError(f"no tenant {steps[1]!r}; tenants are {', '.join(scenario.tenants)}", key=key)
    groups = groups_of(scenario.tenants)
    leaves = [name for name in scenario.tenants if name not in groups]
    grants = []
    for number, grant in enumerate(question.grants):
        key = f"grants.{number}"
        if grant["tenant"] not in leaves:
            raise InputError(
                f"must be one of {', '.join(leaves)}, got {grant['tenant']!r}", key=f"{key}.tenant"
            )
        unknown = [one for one in grant.get("demand") or () if one not in scenario.demand]
        if unknown:
            raise InputError(
                f"must be classes of {', '.join(scenario.demand)}, got {unknown[0]!r}", key=f"{key}.demand"
            )
        start_utc, end_utc = instant(grant["start_utc"]), instant(grant["end_utc"])
        if end_utc <= start_utc:
            raise InputError(
                f"must come after {start_utc.isoformat()}, got {end_utc.isoformat()}", key=f"{key}.end_utc"
            )
        whole = {
            "start_utc": start_utc.replace(microsecond=0).isoformat(),
            "end_utc": end_utc.replace(microsecond=0).isoformat(),
        }
        grants.append({"grant": f"proposed-{number + 1}"} | dict(grant) | whole)
    return Question(dict(question.changes), grants, envelope_mw, question.days, question.seeds)


def instant(value: str | datetime) -> datetime:
    """Return an instant that may be given as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
