"""The scenario in force at a live site: what of a scenario it takes, and what of it can change while it lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvandal.errors import InputError
from kvandal.scenario.changes import apply, split_key
from kvandal.scenario.loading import from_resolved
from kvandal.scenario.model import Scenario

Document = dict[str, Any]

LIVE_CHANGES = ("tenants", "policy", "grants")
"""Parts of a scenario that may change while the site lives: who gets what. What is built does not."""
FIXED_OF_TENANTS = ("parent", "tier")
"""Keys of tenants that stay as they are, because running jobs and loans were entered by them."""


def live_scenario(document: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a live site: it fails as it is told to, not as it would be drawn, and does not plan ahead."""
    scenario = from_resolved(document)
    reliability = scenario.reliability.model_copy(update={"failures": False, "plant_faults": False})
    plan = scenario.plan.model_copy(update={"enabled": False})
    supply = scenario.supply.model_copy(update={"reserves": {}})
    return scenario.model_copy(
        update={"reliability": reliability, "plan": plan, "supply": supply, "faults": ()}
    )


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> tuple[Document, Scenario]:
    """Return a scenario in force with changes, as a document and checked.

    Raises
    ------
    InputError
        If a change is not one that a live site can take, or makes an impossible scenario.

    """
    for key in changes:
        steps = split_key(key)
        if steps[0] not in LIVE_CHANGES or (steps[0] == "tenants" and steps[-1] in FIXED_OF_TENANTS):
            raise InputError(
                f"cannot change while the site runs; allowed are keys of {', '.join(LIVE_CHANGES)}, but for "
                f"{' and '.join(FIXED_OF_TENANTS)} of tenants",
                key=key,
            )
    new = {name: dict(value) if isinstance(value, Mapping) else value for name, value in document.items()}
    for key, value in changes.items():
        apply(new, split_key(key), value, key)
    scenario = live_scenario(new)
    before = live_scenario(document)
    if list(scenario.tenants) != list(before.tenants):
        raise InputError(f"tenants are those of the site: {', '.join(before.tenants)}", key="tenants")
    return new, scenario
