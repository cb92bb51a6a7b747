"""An uncertain run: the run as asked, and what its numbers come to over the ranges of its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvandal.errors import InputError, ScenarioError
from kvandal.runs import bands, members, sampling
from kvandal.runs.compare import flatten
from kvandal.runs.run import SAMPLES, Run
from kvandal.scenario.model import Scenario

LEAST, MOST = 2, 10_000
FEW = 10
"""Below so many members bands are hardly more than their extremes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn, and the scenario of every member; None with a reason where it does not hold together."""

    scenario: Scenario
    varied: list[sampling.Varied]
    fixed: list[sampling.Fixed]
    drawn: dict[str, list[float]]
    scenarios: list[Scenario | None]
    reasons: list[str | None]

    @property
    def samples(self) -> int:
        """Members asked for."""
        return len(self.scenarios)


def plan(scenario: Scenario, samples: int, vary: Sequence[str] = ()) -> Plan:
    """Draw the members of a run; its seed seeds the draws too.

    Raises
    ------
    InputError
        If `samples` is out of bounds or `vary` selects nothing.

    """
    if not LEAST <= samples <= MOST:
        raise ScenarioError(f"must be from {LEAST} to {MOST:,} members, got {samples:,}", key="--samples")
    from kvandal.climate.weather import load_weather

    run = scenario.run
    weather = load_weather(scenario.climate, run.start_utc, run.days)
    varied, fixed = sampling.choose(scenario, vary, humidity_known=weather.relative_humidity_pct is not None)
    drawn = sampling.draws(scenario, varied, samples, run.seed)
    scenarios: list[Scenario | None] = []
    reasons: list[str | None] = []
    for index in range(samples):
        try:
            scenarios.append(sampling.member(scenario, varied, drawn, index))
            reasons.append(None)
        except ScenarioError as error:
            scenarios.append(None)
            reasons.append(str(error))
    _refuse_too_few(reasons)
    return Plan(scenario, varied, fixed, drawn, scenarios, reasons)


def sampled(
    run: Run, planned: Plan, workers: int | None = None, progress: members.Progress | None = None
) -> Run:
    """Simulate the members of a plan and add what they came to.

    Parameters
    ----------
    run
        The run as asked, simulated already (so the kernels are compiled).
    planned
        What :func:`plan` gave for its scenario.
    workers
        Worker processes; None: as many as cores and memory allow.
    progress
        See :func:`kvandal.runs.members.simulate_members`.

    Raises
    ------
    InputError
        If fewer than two members could be simulated.
    KvandalError
        If a worker process died.

    """
    count = workers if workers is not None else members.workers_that_fit(planned.samples)
    outcomes = members.simulate_members(planned.scenarios, count, progress)
    reasons = [
        reason if outcome is None else outcome.reason
        for reason, outcome in zip(planned.reasons, outcomes, strict=True)
    ]
    summaries = [None if outcome is None else outcome.summary for outcome in outcomes]
    _refuse_too_few(reasons)
    base = flatten(run.summary)
    refused = Counter(reason for reason in reasons if reason is not None)
    section = {
        "samples": planned.samples,
        "seed": planned.scenario.run.seed,
        "kept": planned.samples - refused.total(),
        "refused": [
            {"reason": reason, "members": count}
            for reason, count in sorted(refused.items(), key=lambda item: (-item[1], item[0]))
        ],
        "quantiles": bands.QUANTILE_RULE,
        "confidence": bands.CONFIDENCE,
        "varied": [
            {
                "key": one.key,
                "name": one.parameter.name,
                "unit": one.parameter.unit,
                "label": one.parameter.label,
                "base": one.base,
                "minimum": one.minimum,
                "maximum": one.maximum,
            }
            for one in planned.varied
        ],
        "fixed": [
            {"key": one.key, "value": one.value, "reason": one.reason}
            for one in planned.fixed
            if not one.idle
        ],
        **bands.statistics(planned.drawn, summaries, base),
    }
    tables = {**run.tables, SAMPLES: _table(planned, reasons, summaries, base)}
    return replace(run, record={**run.record, "uncertainty": section}, tables=tables)


def _refuse_too_few(reasons: Sequence[str | None]) -> None:
    """Refuse a batch of which hardly anything is left."""
    if sum(reason is None for reason in reasons) < LEAST:
        raise InputError(
            f"{len(reasons):,} members were drawn and fewer than {LEAST} can be simulated; the first: "
            f"{next(reason for reason in reasons if reason)}",
            key="--samples",
        )


def _table(
    planned: Plan, reasons: list[str | None], summaries: list[dict[str, Any] | None], base: dict[str, Any]
) -> Any:
    """One row per member: what was drawn, and what came of it."""
    import polars as pl

    names = bands.numbers(base, summaries)
    columns = [
        pl.Series("member", range(planned.samples), dtype=pl.Int32),
        pl.Series("status", ["kept" if reason is None else "refused" for reason in reasons], dtype=pl.String),
        pl.Series("reason", reasons, dtype=pl.String),
        *(pl.Series(one.key, planned.drawn[one.key], dtype=pl.Float64) for one in planned.varied),
        *(
            pl.Series(
                name,
                [None if one is None or one.get(name) is None else float(one[name]) for one in summaries],
                dtype=pl.Float64,
            )
            for name in names
        ),
    ]
    return pl.DataFrame(columns)
