"""The grid of a sweep: every combination of the varied values, each with the same seeds and the same draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvandal.errors import ScenarioError
from kvandal.runs import sampling
from kvandal.runs.batch import Base, Member
from kvandal.scenario.changes import conflict, parse_change, split_key
from kvandal.scenario.loading import from_here, from_resolved, resolved
from kvandal.scenario.messages import shown
from kvandal.scenario.model import Scenario

MOST_MEMBERS = 100_000
SEED = "run.seed"
TRIED = 1000
"""Combinations that are tried before a sweep is refused because none is possible."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a sweep simulates.

    Attributes
    ----------
    base : scenario that all members change
    scenario : the same, validated
    vary : values by key, in the order given
    samples : members of every combination
    seed : of the first sample; those that follow it are of the others
    draw : patterns of the parameters that each sample draws from their ranges
    varied, drawn : those parameters, and their values by sample; the same for every combination

    """

    base: Base
    scenario: Scenario
    vary: Mapping[str, tuple[Any, ...]]
    samples: int
    seed: int
    draw: tuple[str, ...] = ()
    varied: Sequence[sampling.Varied] = ()
    drawn: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """Combinations of values."""
        return math.prod(len(values) for values in self.vary.values())

    @property
    def size(self) -> int:
        """Members."""
        return self.points * self.samples

    def point(self, index: int) -> dict[str, Any]:
        """Values of a combination by key; the last key varies fastest."""
        found = {}
        for key, values in reversed(list(self.vary.items())):
            index, place = divmod(index, len(values))
            found[key] = values[place]
        return dict(reversed(found.items()))

    def number(self, point: int, sample: int) -> int:
        """Return the number of a member: by combination, then by sample."""
        return point * self.samples + sample

    def member(self, point: int, sample: int) -> Member:
        """Build a member."""
        draws = tuple((one.steps, self._typed(one, self.drawn[one.key][sample])) for one in self.varied)
        changes = {**self.point(point), SEED: self.seed + sample}
        return Member(member_name(self.number(point, sample)), changes, draws)

    def members(self) -> Iterator[Member]:
        """All members, sample by sample: those of one seed may share their jobs."""
        for sample, point in itertools.product(range(self.samples), range(self.points)):
            yield self.member(point, sample)

    def asked(self) -> dict[str, Any]:
        """All that the members depend on, as JSON values."""
        return {
            "vary": {key: list(values) for key, values in self.vary.items()},
            "samples": self.samples,
            "seed": self.seed,
            "draw": list(self.draw),
            "name": self.base.name,
            "scenario": self.base.document,
        }

    @staticmethod
    def _typed(one: sampling.Varied, value: float) -> float | int:
        return int(value) if one.whole else value


def member_name(number: int) -> str:
    """Name of a member's file.

    >>> member_name(17)
    'member-000017'
    """
    return f"member-{number:06d}"


def parse_vary(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Read ``KEY=a,b,c`` of the command line; each value is TOML, or else a plain word.

    >>> parse_vary(["site.grid_mw=150,230", "market.tax_regime=full,reduced"])
    {'site.grid_mw': (150, 230), 'market.tax_regime': ('full', 'reduced')}
    """
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        key, separator, raw = text.partition("=")
        key = key.strip()
        if not separator or not key or not raw.strip():
            raise ScenarioError(
                f"expected KEY=a,b,c, e.g. site.grid_mw=150,190,230, got {shown(text)}", key="--vary"
            )
        if key in found:
            raise ScenarioError("is given twice; name all its values at once", key=f"--vary {key}")
        parts = split_values(raw)
        if not all(parts):
            raise ScenarioError(f"a value is empty in {shown(raw)}", key=f"--vary {key}")
        found[key] = tuple(parse_change(f"{key}={part}")[1] for part in parts)
    return found


def plan_grid(
    source: str | Path | Scenario,
    vary: Mapping[str, Sequence[Any]],
    samples: int = 1,
    changes: Mapping[str, Any] | None = None,
    *,
    draw: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Grid:
    """Check what is asked of a sweep and lay it out.

    Parameters
    ----------
    source, changes, labels
        As for :func:`kvandal.scenario.loading.load`.
    vary
        Values by key.
    samples
        Seeds for every combination: that of the scenario and those that follow it.
    draw
        Parameters to draw from their ranges, one draw for each sample; keys or patterns.

    Raises
    ------
    ScenarioError
        If a key is unknown, none of its values is possible, or the numbers are out of bounds.

    """
    document = resolved(source, changes, labels=labels)
    name = source.name if isinstance(source, Scenario) else str(source)
    return _grid(Base(document, name), vary, samples, draw, set(changes or {}))


def grid_of(asked: Mapping[str, Any]) -> Grid:
    """Lay out again what :meth:`Grid.asked` wrote down."""
    base = Base(asked["scenario"], asked["name"])
    return _grid(base, asked["vary"], asked["samples"], asked["draw"], set())


def _grid(
    base: Base, vary: Mapping[str, Sequence[Any]], samples: int, draw: Sequence[str], changed: set[str]
) -> Grid:
    scenario = from_resolved(base.document, name=base.name)
    if not vary:
        raise ScenarioError("give at least one key with its values, e.g. site.grid_mw=150,230", key="--vary")
    for key, values in vary.items():
        _refuse_key(key, changed)
        if not values:
            raise ScenarioError("give at least one value", key=f"--vary {key}")
        if any(value in values[:place] for place, value in enumerate(values)):
            raise ScenarioError("a value is given twice", key=f"--vary {key}")
    undone = conflict(list(vary))
    if undone is not None:
        raise ScenarioError(f"would undo --vary {undone[0]}; give one of the two", key=f"--vary {undone[1]}")
    least = 2 if draw else 1
    if samples < least:
        why = ": parameters are drawn, and one draw tells nothing" if draw else ""
        raise ScenarioError(f"must be at least {least}, got {samples:,}{why}", key="--samples")
    size = samples * math.prod(len(values) for values in vary.values())
    if size > MOST_MEMBERS:
        raise ScenarioError(
            f"{size:,} members are asked for, at most {MOST_MEMBERS:,} are simulated: give fewer values or --samples",
            key="--vary",
        )
    if scenario.run.seed + samples - 1 >= 2**63:
        raise ScenarioError(
            f"run.seed = {scenario.run.seed} leaves no room for {samples:,} seeds", key="--samples"
        )
    anchored = {key: tuple(from_here(key, value) for value in values) for key, values in vary.items()}
    refuse_impossible(base, anchored, "--vary")
    varied, drawn = _draws(scenario, draw, samples, anchored)
    return Grid(base, scenario, anchored, samples, scenario.run.seed, tuple(draw), varied, drawn)


def _refuse_key(key: str, changed: set[str]) -> None:
    if key == SEED:
        raise ScenarioError(
            "seeds are varied by --samples N, the same for all combinations", key=f"--vary {key}"
        )
    if key in changed:
        raise ScenarioError("is varied, so it cannot be set too; give one of the two", key=f"--vary {key}")


def refuse_impossible(base: Base, vary: Mapping[str, Sequence[Any]], option: str) -> None:
    """Refuse a key of which no value is possible; a single combination that is not is refused when it is simulated."""
    firsts: list[ScenarioError] = []
    for key, values in vary.items():
        errors = [error for value in values if (error := _mistake(base, {key: value}, option)) is not None]
        if len(errors) == len(values):
            firsts.append(errors[0])
    if not firsts:
        return
    keys = list(vary)
    for point in itertools.islice(itertools.product(*vary.values()), TRIED):  # values may need each other
        if _mistake(base, dict(zip(keys, point, strict=True)), option) is None:
            return
    raise firsts[0]


def _mistake(base: Base, changes: Mapping[str, Any], option: str) -> ScenarioError | None:
    """Return what is wrong with changes, if anything is."""
    try:
        labels = {key: f"{option} {key}" for key in changes}
        from_resolved(base.document, changes, labels=labels, name=base.name)
    except ScenarioError as error:
        return error
    return None


def _draws(
    scenario: Scenario, draw: Sequence[str], samples: int, vary: Mapping[str, Any]
) -> tuple[list[sampling.Varied], dict[str, list[float]]]:
    """Draw parameters for every sample, by the Latin hypercube of ``kvandal run --samples``."""
    if not draw:
        return [], {}
    from kvandal.climate.weather import load_weather

    weather = load_weather(scenario.climate, scenario.run.start_utc, scenario.run.days)
    known = weather.relative_humidity_pct is not None
    try:
        varied, _ = sampling.choose(scenario, draw, humidity_known=known)
    except ScenarioError as error:
        raise ScenarioError(error.message, key=(error.key or "").replace("--vary", "--draw")) from None
    below = [split_key(key) for key in vary]
    kept = [one for one in varied if not any(one.steps[: len(steps)] == steps for steps in below)]
    for one in varied:
        if one not in kept and one.key in draw:
            raise ScenarioError("is varied, so it cannot be drawn too", key=f"--draw {one.key}")
    if not kept:
        raise ScenarioError("nothing is left to draw: all of it is varied", key="--draw")
    return kept, sampling.draws(scenario, kept, samples, scenario.run.seed)


def split_values(text: str) -> list[str]:
    """Split at the commas that stand outside brackets and quotes.

    >>> split_values('1, [2, 3], "a,b"')
    ['1', '[2, 3]', '"a,b"']
    """
    parts, depth, quote, begun = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[begun:place])
            begun = place + 1
    return [part.strip() for part in [*parts, text[begun:]]]
