"""Numbers of a run by name, as people ask for them: what is to be maximised, and bounds with units."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvandal.errors import ScenarioError
from kvandal.runs.batch import NEVER, WAITS
from kvandal.runs.contract import schema
from kvandal.scenario.messages import shown
from kvandal.scenario.model import Scenario
from kvandal.scenario.tree import children_of, groups_of

ALIASES = {
    "gpu_hours": "gpu_hours_useful",
    "peak_mw": "peak_site_mw",
    "mean_mw": "mean_site_mw",
    "energy_mwh": "site_energy_mwh",
    "cost_eur": "energy_cost_eur",
    "carbon_t": "carbon_location_t",
    "wait_p50": "wait_p50_s",
    "wait_p95": "wait_p95_s",
    "recall_latency": "recall_latency_p99_s",
}
"""Short names beside those of the summary."""
OF_TENANTS: Mapping[str, tuple[str, Callable[[Sequence[float]], float], str]] = {
    "wait_p50": ("wait_p50_s", max, "the longest"),
    "wait_p95": ("wait_p95_s", max, "the longest"),
    NEVER: (NEVER, sum, "the sum"),
}
"""Short names that a tenant, a group or the beginning of several tenants' names may follow: ``wait_p95_norway``."""
COUNT = "1"
UNITS: Mapping[str, Mapping[str, float]] = {
    "time": {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0},
    "power": {"kW": 1e-3, "MW": 1.0, "GW": 1e3},
    "energy": {"kWh": 1e-3, "MWh": 1.0, "GWh": 1e3, "TWh": 1e6},
    "GPU-hours": {"GPU-h": 1.0, "kGPU-h": 1e3, "MGPU-h": 1e6},
    "euros": {"EUR": 1.0, "kEUR": 1e3, "MEUR": 1e6},
    "US dollars": {"USD": 1.0, "kUSD": 1e3, "MUSD": 1e6},
    "mass": {"kg": 1e-3, "t": 1.0, "kt": 1e3},
    "temperature": {"°C": 1.0, "C": 1.0},
    "water": {"L/kWh": 1.0},
    "carbon intensity": {"g/kWh": 1e-3, "kg/kWh": 1.0},
    "a number": {COUNT: 1.0, "%": 0.01},
}
"""Units by what they measure, with what one of each comes to."""
BY_ENDING = (
    ("l_per_kwh", "L/kWh"), ("kg_per_kwh", "kg/kWh"), ("mwh", "MWh"), ("mw", "MW"), ("eur", "EUR"), ("usd", "USD"),
    ("s", "s"), ("t", "t"), ("c", "°C"),
)  # fmt: skip
"""Unit of a number by how its name ends."""
BOUND = re.compile(r"^\s*([\w.\-]+)\s*(<=|>=|<|>)\s*([-+]?[\d_]*\.?[\d_]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that can be asked for.

    Attributes
    ----------
    name : as it was asked for
    columns : names in the flat summary
    unit : its unit ("1": none)
    label : in words
    of_several : how the values of several columns become one: ``the longest`` or ``the sum``

    """

    name: str
    columns: tuple[str, ...]
    unit: str
    label: str
    of_several: str = ""

    def value(self, summary: Mapping[str, Any]) -> float | None:
        """Return its value in a flat summary; None if it is not known, as the wait of a tenant none of whose jobs started."""
        for name in self.columns:
            never = f"{NEVER}.{name.partition('.')[2]}"
            if summary.get(name) is None and summary.get(never):
                return None
        known = [float(summary[name]) for name in self.columns if summary.get(name) is not None]
        if not known:
            return None
        return sum(known) if self.of_several == "the sum" else max(known)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a quantity must keep to.

    Attributes
    ----------
    text : as it was asked for
    quantity : the quantity
    sign : 1 if it must stay below the limit, -1 if above
    strict : whether it must not be equal to it
    limit : in the unit of the quantity

    """

    text: str
    quantity: Quantity
    sign: int
    strict: bool
    limit: float

    def worst(self, values: Sequence[float | None]) -> float | None:
        """Return that of several values that lies closest to the limit or farthest beyond; None if one is not known."""
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        return max(known) if self.sign > 0 else min(known)

    def margin(self, value: float | None) -> float | None:
        """Return what is left to the limit, in the unit of the quantity; negative beyond it."""
        return None if value is None else self.sign * (self.limit - value)

    def holds(self, value: float | None) -> bool:
        """Whether a value keeps to it; one that is not known does not."""
        margin = self.margin(value)
        return margin is not None and (margin > 0 or (margin == 0 and not self.strict))

    def violation(self, value: float | None) -> float:
        """Return how far beyond the limit a value is, over the size of the limit; at most 0 if it holds."""
        margin = self.margin(value)
        if margin is None:
            return 1.0
        relative = -margin / (abs(self.limit) or 1.0)
        return max(relative, 1e-9) if not self.holds(value) else relative


def quantity(text: str, scenario: Scenario, option: str) -> Quantity:
    """Find the quantity that a name asks for.

    Parameters
    ----------
    text
        A name of the flat summary (``wait_p95_s.uk``), a short name (``peak_mw``), or ``wait_p95_WHO``, where WHO is a
        tenant, a group, or what the names of several tenants begin with; then the longest of theirs counts.
    scenario
        Whose tenants and grants are meant.
    option
        What errors call the place where it was asked for.

    Raises
    ------
    ScenarioError
        If there is no such quantity.

    """
    name = text.strip()
    known = summary_names(scenario)
    plain = ALIASES.get(name, name)
    head, _, tenant = plain.partition(".")
    if tenant in groups_of(scenario.tenants) and head in {column for column, _, _ in OF_TENANTS.values()}:
        short = next(short for short, (column, _, _) in OF_TENANTS.items() if column == head)
        return _of_tenants(name, short, _below(scenario, tenant))
    if plain in known:
        label = re.sub(r"\s*\[[^\]]*\]\.?", "", known[plain]).rstrip(".")
        return Quantity(name, (plain,), unit_of(plain), label)
    for short in OF_TENANTS:
        if name.startswith(f"{short}_"):
            tenants = _named(scenario, name.removeprefix(f"{short}_"))
            if tenants:
                return _of_tenants(name, short, tenants)
    near = difflib.get_close_matches(name, [*known, *ALIASES, *_examples(scenario)], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ScenarioError(
        f"no quantity {shown(name)}; {hint}Allowed are the numbers of the summary, e.g. wait_p95_s.TENANT "
        f"(docs/run-folder.md), and {', '.join(ALIASES)}, {', '.join(f'{short}_TENANT' for short in OF_TENANTS)}",
        key=option,
    )


def bound(text: str, scenario: Scenario, option: str = "--subject-to") -> Bound:
    """Read a bound such as ``wait_p95_norway < 30 min``.

    Raises
    ------
    ScenarioError
        If it is no bound, there is no such quantity, or its unit is another.

    """
    found = BOUND.match(text)
    if found is None:
        raise ScenarioError(
            f"expected NAME < NUMBER UNIT (or <=, >, >=), e.g. 'wait_p95_norway < 30 min', got {shown(text)}",
            key=option,
        )
    name, sign, number, unit = found.groups()
    wanted = quantity(name, scenario, option)
    limit = float(number.replace("_", "")) * _factor(unit.replace(" ", ""), wanted, f"{option} {text!r}")
    return Bound(" ".join(text.split()), wanted, 1 if "<" in sign else -1, "=" not in sign, limit)


def _factor(unit: str, wanted: Quantity, where: str) -> float:
    """Return what one of a unit comes to in the unit of a quantity."""
    measured = next(what for what, units in UNITS.items() if wanted.unit in units)
    units = UNITS[measured]
    if not unit:
        return 1.0
    if unit in units:
        return units[unit] / units[wanted.unit]
    other = next((what for what, known in UNITS.items() if unit in known), None)
    is_what = f"{unit} measures {other}" if other else f"no unit {unit!r}"
    allowed = ", ".join(name if name != COUNT else "none" for name in units)
    raise ScenarioError(f"{is_what}; {wanted.name} measures {measured}, allowed: {allowed}", key=where)


def summary_names(scenario: Scenario) -> dict[str, str]:
    """Name every number of the flat summary of a scenario's run, with what it is."""
    found: dict[str, str] = {}
    for name, rule in schema()["$defs"]["summary"]["properties"].items():
        found |= _numbers(name, name, rule, scenario, str(rule.get("description", name)))
    shares = {"wait_p50_s": "Median", "wait_p95_s": "95th percentile"}
    found |= {name: f"{shares[name]} of the wait of all started jobs [s]" for name, _ in WAITS}
    found[NEVER] = "Jobs that never started"
    return found | {f"{NEVER}.{tenant}": "Jobs that never started" for tenant in scenario.tenants}


def unit_of(name: str) -> str:
    """Return the unit of a number of the flat summary ("1": none).

    >>> unit_of("wait_p95_s.uk"), unit_of("gpu_hours_lost.recall"), unit_of("recall_latency_by_lender.uk.p50_s")
    ('s', 'GPU-h', 's')
    """
    head, _, rest = name.partition(".")
    if head.startswith("gpu_hours"):
        return "GPU-h"
    if head.startswith("hours_") or head.endswith("_hours"):
        return "h"
    for part in (head, rest.rpartition(".")[2] if head == "recall_latency_by_lender" else head):
        for ending, unit in BY_ENDING:
            if part.endswith(f"_{ending}"):
                return unit
    return COUNT


def _numbers(name: str, head: str, rule: Mapping[str, Any], scenario: Scenario, label: str) -> dict[str, str]:
    """Name the numbers at and below an entry of the schema of the summary."""
    kinds = rule.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    if "object" not in kinds:
        return {} if "string" in kinds else {name: label}
    found: dict[str, str] = {}
    inner = rule.get("properties")
    if inner is None:
        below = rule["additionalProperties"]
        inner = dict.fromkeys(_members(head, scenario), below)
    for key, below in inner.items():
        found |= _numbers(f"{name}.{key}", head, below, scenario, f"{label}: {key}")
    return found


def _members(head: str, scenario: Scenario) -> list[str]:
    """Keys of an entry of the summary that has one number for each of something."""
    if head == "jobs_refused_by_rule":
        from kvandal.ledger.grants import REASONS
        from kvandal.policy.rules import RULES

        return [RULES[rule][0] for rule in REASONS]
    if head == "hours_bound":
        from kvandal.twin.plant_state import CONSTRAINTS

        return list(CONSTRAINTS)
    if head == "deadlines_met":
        return [name for name, demand in scenario.demand.items() if demand.deadline_h is not None]
    if head == "grant_utilisation":
        return list(scenario.grants)
    return [*scenario.tenants, *(["pool"] if head == "recall_latency_by_lender" else [])]


def _of_tenants(name: str, short: str, tenants: Sequence[str]) -> Quantity:
    column, _, how = OF_TENANTS[short]
    label = {"wait_p50_s": "wait, P50 of started jobs", "wait_p95_s": "wait, P95 of started jobs"}.get(
        column, "jobs that never started"
    )
    of_several = how if len(tenants) > 1 else ""
    of_whom = f", {how} of {', '.join(tenants)}" if of_several else f", {tenants[0]}"
    return Quantity(
        name, tuple(f"{column}.{tenant}" for tenant in tenants), unit_of(column), label + of_whom, of_several
    )


def _named(scenario: Scenario, who: str) -> list[str]:
    """Tenants that a word means: one, those of a group, or those whose names begin with it."""
    plain = who.replace("_", "-").lower()
    groups = groups_of(scenario.tenants)
    by_name = {name.replace("_", "-").lower(): name for name in scenario.tenants}
    if plain in by_name:
        name = by_name[plain]
        return _below(scenario, name) if name in groups else [name]
    return [name for key, name in by_name.items() if key.startswith(f"{plain}-") and name not in groups]


def _below(scenario: Scenario, group: str) -> list[str]:
    """Tenants of a group, those of its groups too."""
    found = []
    for name in children_of(scenario.tenants, group):
        below = _below(scenario, name)
        found += below or [name]
    return found


def _examples(scenario: Scenario) -> list[str]:
    return [f"{short}_{name.replace('-', '_')}" for short in OF_TENANTS for name in scenario.tenants]
