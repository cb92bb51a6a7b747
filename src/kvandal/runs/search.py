"""What a search looks for, and where: objectives, bounds, and the range of each key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvandal.errors import ScenarioError
from kvandal.runs import sampling
from kvandal.runs.batch import Base, Member
from kvandal.runs.grid import SEED, refuse_impossible, split_values
from kvandal.runs.quantities import Bound, Quantity, bound, quantity
from kvandal.scenario.changes import conflict, parse_change
from kvandal.scenario.loading import from_here, from_resolved, resolved
from kvandal.scenario.messages import shown
from kvandal.scenario.model import Scenario

LEAST_TRIALS, MOST_TRIALS = 2, 100_000
MOST_SAMPLES = 1000
_RANGE = re.compile(r"^\s*(\S+?)\s*\.\.\s*([^\s:]+?)\s*(?::\s*(\S+?)\s*)?$")

Value = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Range:
    """Where a key may lie.

    Attributes
    ----------
    key : of the scenario
    low, high : ends, both allowed; None for choices
    step : distance of the values from `low` on; None: any value (1 for whole numbers)
    whole : whether only whole numbers are tried
    choices : values to choose from; empty for a range

    """

    key: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    whole: bool = False
    choices: tuple[Value, ...] = ()

    def __str__(self) -> str:
        """As the command line has it."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        step = f":{self.step:g}" if self.step is not None else ""
        return f"{self.low!r}..{self.high!r}{step}"

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that stand for all when the key is tried."""
        return self.choices if self.low is None or self.high is None else (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value is one that may be tried."""
        if self.choices:
            return value in self.choices
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or self.low is None
            or self.high is None
        ):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return (
            self.low <= value <= self.high
            and steps == round(steps)
            and (not self.whole or value == int(value))
        )


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched.

    Attributes
    ----------
    base : scenario that all trials change
    scenario : the same, validated
    ranges : of each key
    objectives : quantities, each with 1 if more is better, -1 if less is
    bounds : what must be kept
    trials : how many
    samples : seeds of each trial: the scenario's and those that follow it
    check : further seeds with which what was found is simulated again

    """

    base: Base
    scenario: Scenario
    ranges: tuple[Range, ...]
    objectives: tuple[tuple[Quantity, int], ...]
    bounds: tuple[Bound, ...]
    trials: int
    samples: int
    check: int

    @property
    def seed(self) -> int:
        """Of the first sample, and of the search itself."""
        return self.scenario.run.seed

    def member(self, trial: int, values: Mapping[str, Value], sample: int) -> Member:
        """Build the simulation of a trial with one seed; samples beyond `samples` are those of the check."""
        return Member(self.name_of(trial, sample), {**values, SEED: self.seed + sample})

    def name_of(self, trial: int, sample: int) -> str:
        """Name of the file of a member."""
        return f"trial-{trial:05d}-{'sample' if sample < self.samples else 'check'}-{sample:03d}"

    def as_it_is(self) -> dict[str, Value] | None:
        """Values of the scenario itself; None if one of them lies outside its range."""
        found: dict[str, Value] = {}
        for one in self.ranges:
            value = sampling.at(self.scenario, one.key)
            if not one.holds(value):
                return None
            found[one.key] = int(value) if one.whole else value
        return found

    def asked(self) -> dict[str, Any]:
        """All that the trials depend on, as JSON values."""
        return {
            "over": {
                one.key: list(one.choices)
                if one.choices
                else {"low": one.low, "high": one.high, "step": one.step, "whole": one.whole}
                for one in self.ranges
            },
            "maximise": [one.name for one, better in self.objectives if better > 0],
            "minimise": [one.name for one, better in self.objectives if better < 0],
            "subject_to": [one.text for one in self.bounds],
            "trials": self.trials,
            "samples": self.samples,
            "check": self.check,
            "seed": self.seed,
            "name": self.base.name,
            "scenario": self.base.document,
        }


def parse_over(texts: Sequence[str]) -> tuple[Range, ...]:
    """Read ``KEY=lo..hi``, ``KEY=lo..hi:step`` or ``KEY=a,b,c``; a range between whole numbers is one of whole numbers.

    >>> parse_over(["site.grid_mw=150..230:10"])[0].ends, parse_over(["market.tax_regime=full,reduced"])[0].choices
    ((150, 230), ('full', 'reduced'))
    """
    found: dict[str, Range] = {}
    for text in texts:
        key, separator, raw = text.partition("=")
        key = key.strip()
        if not separator or not key or not raw.strip():
            raise ScenarioError(
                f"expected KEY=lo..hi or KEY=a,b,c, e.g. site.grid_mw=150..230, got {shown(text)}",
                key="--over",
            )
        if key in found:
            raise ScenarioError("is given twice", key=f"--over {key}")
        found[key] = _range(key, raw.strip())
    return tuple(found.values())


def _range(key: str, raw: str) -> Range:
    where = f"--over {key}"
    match = _RANGE.match(raw)
    if match is None:
        choices = tuple(parse_change(f"{key}={part}")[1] if part else "" for part in split_values(raw))
        if len(choices) < 2 or any(
            one == "" or not isinstance(one, str | int | float | bool) for one in choices
        ):
            raise ScenarioError(
                f"expected lo..hi, lo..hi:step or choices a,b,c (numbers or words), got {shown(raw)}",
                key=where,
            )
        if len(set(choices)) < len(choices):
            raise ScenarioError("a choice is given twice", key=where)
        return Range(key, choices=choices)
    numbers = [None if part is None else _number(part, where) for part in match.groups()]
    low, high, step = numbers
    assert low is not None
    assert high is not None
    whole = all(isinstance(one, int) for one in numbers if one is not None)
    if not low < high:
        raise ScenarioError(f"must go from a lower to a higher number, got {shown(raw)}", key=where)
    if step is not None and not 0 < step <= high - low:
        raise ScenarioError(f"its step must lie above 0 and not beyond the range, got {step:g}", key=where)
    if step is not None:  # the last value is one that the steps reach
        reached = low + step * int((high - low) / step + 1e-9)
        high = int(reached) if whole else reached
    return Range(key, low, high, step, whole)


def _number(text: str, where: str) -> float | int:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        raise ScenarioError(f"expected a number, got {shown(text)}", key=where) from None
    if not math.isfinite(value):
        raise ScenarioError(f"expected a finite number, got {shown(text)}", key=where)
    return value


def plan_search(
    source: str | Path | Scenario,
    over: Sequence[Range],
    *,
    maximise: Sequence[str] = (),
    minimise: Sequence[str] = (),
    subject_to: Sequence[str] = (),
    trials: int = 100,
    samples: int = 1,
    check: int = 5,
    changes: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Search:
    """Check what is asked of a search and lay it out; see :func:`kvandal.runs.optimise.optimise`.

    Raises
    ------
    ScenarioError
        If a key or a quantity is unknown, a range impossible, or a number out of bounds.

    """
    document = resolved(source, changes, labels=labels)
    name = source.name if isinstance(source, Scenario) else str(source)
    return _search(
        Base(document, name), over, maximise, minimise, subject_to, trials, samples, check, set(changes or {})
    )


def search_of(asked: Mapping[str, Any]) -> Search:
    """Lay out again what :meth:`Search.asked` wrote down."""
    ranges = [
        Range(key, choices=tuple(given)) if isinstance(given, list) else Range(key, **given)
        for key, given in asked["over"].items()
    ]
    return _search(
        Base(asked["scenario"], asked["name"]),
        ranges,
        asked["maximise"],
        asked["minimise"],
        asked["subject_to"],
        asked["trials"],
        asked["samples"],
        asked["check"],
        set(),
    )


def _search(
    base: Base,
    over: Sequence[Range],
    maximise: Sequence[str],
    minimise: Sequence[str],
    subject_to: Sequence[str],
    trials: int,
    samples: int,
    check: int,
    changed: set[str],
) -> Search:
    scenario = from_resolved(base.document, name=base.name)
    if not over:
        raise ScenarioError("give at least one key with its range, e.g. site.grid_mw=150..230", key="--over")
    if not maximise and not minimise:
        raise ScenarioError("say what is wanted, e.g. --maximise gpu_hours", key="--maximise")
    for one in over:
        if one.key == SEED:
            raise ScenarioError(
                "is chance, nothing to choose; --samples N averages over it", key=f"--over {one.key}"
            )
        if one.key in changed:
            raise ScenarioError(
                "is searched, so it cannot be set too; give one of the two", key=f"--over {one.key}"
            )
    undone = conflict([one.key for one in over])
    if undone is not None:
        raise ScenarioError(f"would undo --over {undone[0]}; give one of the two", key=f"--over {undone[1]}")
    for option, value, least, most in (
        ("--trials", trials, LEAST_TRIALS, MOST_TRIALS),
        ("--samples", samples, 1, MOST_SAMPLES),
        ("--check", check, 0, MOST_SAMPLES),
    ):
        if not least <= value <= most:
            raise ScenarioError(f"must be from {least} to {most:,}, got {value:,}", key=option)
    if scenario.run.seed + samples + check >= 2**63:
        raise ScenarioError(f"run.seed = {scenario.run.seed} leaves no room for more seeds", key="--samples")
    refuse_impossible(base, {one.key: one.ends for one in over}, "--over")
    ranges = tuple(
        Range(one.key, choices=tuple(from_here(one.key, value) for value in one.choices))
        if one.choices
        else one
        for one in over
    )
    objectives = [
        *((quantity(name, scenario, "--maximise"), 1) for name in maximise),
        *((quantity(name, scenario, "--minimise"), -1) for name in minimise),
    ]
    columns = [one.columns for one, _ in objectives]
    if len(set(columns)) < len(columns):
        raise ScenarioError("the same quantity is asked for twice", key="--maximise")
    bounds = tuple(bound(text, scenario) for text in subject_to)
    return Search(base, scenario, ranges, tuple(objectives), bounds, trials, samples, check)
