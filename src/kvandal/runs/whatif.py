"""What would happen to everybody if this were changed? A base and its variant over the same demand and the same chance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError, ScenarioError
from kvandal.runs import members
from kvandal.runs.contract import without_nan
from kvandal.runs.folder import refuse_existing, whole_folder, write_durably, write_run
from kvandal.runs.paired import CONFIDENCE, paired, verdict
from kvandal.runs.run import Run, simulate
from kvandal.scenario.changes import differences
from kvandal.scenario.loading import changed, load
from kvandal.scenario.model import Scenario
from kvandal.scenario.plausibility import warnings_of

if TYPE_CHECKING:
    import polars as pl

    from kvandal.demand.build import DemandReport
    from kvandal.demand.jobs import JobTable
    from kvandal.demand.shared import SharedDemand
    from kvandal.runs.metrics import Metric, Values

    Demand = tuple[JobTable, list[DemandReport]]

MOST_SEEDS = 1000
SIDES = ("base", "variant")
SAME_TIME = ("start_utc", "days", "seed")
"""Keys of `run` in which both sides must agree: else they would not see the same demand, weather and failures."""


@dataclass(frozen=True, slots=True)
class Question:
    """Two scenarios to be compared, and the seeds to do it with."""

    base: Scenario
    variant: Scenario
    seeds: tuple[int, ...]
    changes: tuple[tuple[str, Any, Any], ...]
    """Keys that differ, with their values in the base and in the variant."""

    def sides(self, seed: int) -> tuple[Scenario, Scenario]:
        """Both scenarios with one of the seeds."""
        base, variant = (
            one.model_copy(update={"run": one.run.model_copy(update={"seed": seed})})
            for one in (self.base, self.variant)
        )
        return base, variant


@dataclass(frozen=True)
class WhatIf:
    """The answer to a what-if.

    Attributes
    ----------
    record : contents of whatif.json (docs/whatif.md)
    table : one row per tenant (null: the site), metric and seed (null: mean over the seeds): `unit`, `base`, `variant`,
        `difference`, its `low` and `high` (95 % confidence; null with a single seed)
    base, variant : both runs of the first seed

    Examples
    --------
    >>> import kvandal as kv
    >>> found = kv.whatif(kv.load("stargate-norway-phase-1", {"run.days": 1}), {"site.grid_mw": 14})
    >>> [(one["key"], one["base"], one["variant"]) for one in found.record["changes"]]
    [('site.grid_mw', 20.0, 14.0)]

    """

    record: dict[str, Any]
    table: pl.DataFrame
    base: Run = field(repr=False)
    variant: Run = field(repr=False)


def whatif(
    base: Scenario | str | Path,
    changes: Mapping[str, Any] | Scenario,
    *,
    seeds: int = 1,
    workers: int | None = None,
    progress: members.Progress | None = None,
) -> WhatIf:
    """Simulate a scenario as it is and changed, with the same demand and the same random numbers, and compare.

    Parameters
    ----------
    base
        A scenario, a preset's name or the path of a TOML file.
    changes
        Dotted keys with new values, e.g. ``{"tenants.uk.ceiling_share": 0.1}``, or the changed scenario.
    seeds
        Seeds to compare over, the base's and those that follow it; from two on differences have an interval.
    workers
        Processes for the seeds after the first; None: as many as cores and memory allow. The result does not depend
        on it.
    progress
        Called with the simulations done and those in all, for the seeds after the first.

    Raises
    ------
    InputError
        If a key is unknown, a value impossible, or one of the sides cannot be simulated.

    """
    asked = base if isinstance(base, Scenario) else load(base)
    variant = changes if isinstance(changes, Scenario) else changed(asked, changes)
    return answer(ask(asked, variant, seeds), workers=workers, progress=progress)


def ask(base: Scenario, variant: Scenario, seeds: int) -> Question:
    """Check that two scenarios can be compared.

    Raises
    ------
    ScenarioError
        If they cover another time, start from another seed, or `seeds` is out of bounds.

    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise ScenarioError(f"must be from 1 to {MOST_SEEDS:,}, got {seeds:,}", key="--seeds")
    for key in SAME_TIME:
        one, other = getattr(base.run, key), getattr(variant.run, key)
        if one != other:
            option = f"; for both sides give --{key} {other}" if key in {"days", "seed"} else ""
            raise ScenarioError(
                f"both sides have the same time and seed, but the base has {one} and the change {other}{option}",
                key=f"run.{key}",
            )
    if base.run.seed + seeds - 1 >= 2**63:
        raise ScenarioError(f"run.seed = {base.run.seed} leaves no room for {seeds:,} seeds", key="--seeds")
    found = differences(base.model_dump(mode="json"), variant.model_dump(mode="json"))
    seen = tuple(range(base.run.seed, base.run.seed + seeds))
    return Question(base, variant, seen, tuple(one for one in found if one[0] not in {"name", "description"}))


def answer(
    question: Question,
    *,
    workers: int | None = None,
    progress: members.Progress | None = None,
    simulate_side: Callable[[str, Scenario, Demand], Run] | None = None,
) -> WhatIf:
    """Simulate both sides with every seed and compare.

    Parameters
    ----------
    question
        What :func:`ask` gave.
    workers, progress
        See :func:`whatif`.
    simulate_side
        Simulates "base" or "variant" for the first seed; default: :func:`kvandal.runs.run.simulate`.

    Raises
    ------
    InputError
        If one of the sides cannot be simulated.
    KvandalError
        If a worker process died.

    """
    from kvandal.demand.shared import shared_demand
    from kvandal.runs.metrics import measure

    run_side = simulate_side or (lambda _side, scenario, jobs: simulate(scenario, demand=jobs))
    base, variant = question.sides(question.seeds[0])
    demand = shared_demand(base, variant)
    # The variant goes first: what cannot be simulated is more likely to be the change.
    after = run_side("variant", variant, demand.variant)
    before = run_side("base", base, demand.base)
    tasks = [(question, side, seed) for seed in question.seeds[1:] for side in SIDES]
    measured: dict[tuple[str, int], Values] = {
        ("base", question.seeds[0]): measure(before),
        ("variant", question.seeds[0]): measure(after),
    }
    if tasks:
        count = workers if workers is not None else members.workers_that_fit(len(tasks))
        for (_, side, seed), found in zip(
            tasks, members.in_workers(_measured, tasks, count, progress), strict=True
        ):
            if found is None or isinstance(found, str):
                raise InputError(f"with seed {seed} the {side} cannot be simulated: {found}", key="--seeds")
            measured[side, seed] = found
    return _compared(question, demand, before, after, measured)


def _measured(task: tuple[Question, str, int]) -> Values | str:
    """Simulate one side with one seed in a worker; why it was refused if it was."""
    from kvandal.demand.shared import shared_demand
    from kvandal.runs.metrics import measure

    question, side, seed = task
    base, variant = question.sides(seed)
    try:
        if side == "base":
            return measure(simulate(base))
        return measure(simulate(variant, demand=shared_demand(base, variant).variant))
    except InputError as error:
        return str(error)


def _compared(
    question: Question,
    demand: SharedDemand,
    before: Run,
    after: Run,
    measured: Mapping[tuple[str, int], Values],
) -> WhatIf:
    import polars as pl

    from kvandal.runs.metrics import metrics_of, tenants_of

    tiers = tenants_of(after) | tenants_of(before)
    names = [*tenants_of(before), *(name for name in tiers if name not in tenants_of(before))]
    of_tenants = _united(*(metrics_of(run)[0] for run in (before, after)))
    of_site = _united(*(metrics_of(run)[1] for run in (before, after)))
    rows, table = [], []
    for tenant in [*names, None]:
        for metric in of_tenants if tenant is not None else of_site:
            key, seeds = (tenant, metric.key), question.seeds
            one, other = ([measured[side, seed].get(key) for seed in seeds] for side in SIDES)
            head = {"tenant": tenant, "metric": metric.key, "unit": metric.unit}
            rows.append({**head, **paired(one, other)})
            table += [
                rows[-1],
                *(
                    {**head, "seed": seed, **paired([a], [b])}
                    for seed, a, b in zip(seeds, one, other, strict=True)
                ),
            ]
    schema = {
        "tenant": pl.String, "metric": pl.String, "unit": pl.String, "seed": pl.Int64, "seeds": pl.Int32, "base": pl.Float64,
        "variant": pl.Float64, "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    }  # fmt: skip
    record = {
        "kvandal_version": after.record["kvandal_version"],
        "title": before.record["title"],
        "base": question.base.name,
        "variant": question.variant.name,
        "changes": [{"key": key, "base": one, "variant": other} for key, one, other in question.changes],
        "start_utc": before.record["start_utc"],
        "days": question.base.run.days,
        "seeds": list(question.seeds),
        "confidence": CONFIDENCE,
        "shared": _shared(question, demand, before, after),
        "warnings": [
            text for text in warnings_of(question.variant) if text not in warnings_of(question.base)
        ],
        "tenants": [{"name": name, "tier": tiers[name]} for name in names],
        "metrics": [
            {"of": of, "key": one.key, "label": one.label, "unit": one.unit, "better": one.better}
            for of, metrics in (("tenant", of_tenants), ("site", of_site))
            for one in metrics
        ],
        **verdict(rows, len(question.seeds)),
        "rows": rows,
    }
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in table], schema=schema)
    return WhatIf(record, frame, before, after)


def _united(one: Sequence[Metric], other: Sequence[Metric]) -> list[Metric]:
    """Metrics of both sides, in order."""
    return list({metric.key: metric for metric in (*one, *other)}.values())


def _shared(question: Question, demand: SharedDemand, before: Run, after: Run) -> dict[str, Any]:
    """Say what both sides have in common."""
    return {
        "jobs": len(demand.base[0]),
        "demand_differs": list(demand.differs),
        "demand_held": list(demand.held),
        "failures": _failures(question.base) == _failures(question.variant),
        "faults": _faults(before).equals(_faults(after)),
        "weather": _checksums(before, "weather") == _checksums(after, "weather"),
        "prices": _checksums(before, "prices") == _checksums(after, "prices"),
    }


def _failures(scenario: Scenario) -> tuple[Any, ...]:
    """Return what failures of GPUs are drawn from, beside the seed."""
    reliability = scenario.reliability
    return reliability.failures, reliability.gpu_h_per_interruption, scenario.site.racks


def _faults(run: Run) -> pl.DataFrame:
    return run.tables["faults"].select("kind", "place", "start_utc", "end_utc", "count")


def _checksums(run: Run, kind: str) -> list[str]:
    return [entry["sha256"] for entry in run.record["inputs"] if entry["kind"] == kind]


def write_whatif(found: WhatIf, folder: Path) -> None:
    """Write a folder with whatif.json, whatif.parquet, whatif.html and the runs of the first seed; whole or not at all.

    Raises
    ------
    RunFolderError
        If the folder exists already.
    OutputError
        If it cannot be written; nothing is left behind.

    """
    from kvandal.report.whatif import render_whatif

    refuse_existing(folder)
    with whole_folder(folder) as draft:
        text = json.dumps(without_nan(found.record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_durably(text.encode("utf-8"), draft / "whatif.json")
        found.table.write_parquet(draft / "whatif.parquet", compression="zstd", statistics=False)
        for side, run in zip(SIDES, (found.base, found.variant), strict=True):
            write_run(run, draft / side)
        write_durably(render_whatif(draft).encode("utf-8"), draft / "whatif.html")
