"""A search for the best values of a scenario's keys under bounds, with the evidence: all trials, margins, other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import RunFolderError
from kvandal.runs.batch import Watch
from kvandal.runs.batch_folder import BatchFolder, files_of, read_batch, workers_for
from kvandal.runs.folder import next_folder, write_whole
from kvandal.runs.gathered import column_of, gather, mean
from kvandal.runs.members import Progress
from kvandal.runs.pareto import front
from kvandal.runs.search import Search, parse_over, plan_search, search_of
from kvandal.runs.trials import FEASIBLE, REFUSED, Trial, installed, run_trials, summaries
from kvandal.scenario.model import Scenario

if TYPE_CHECKING:
    import polars as pl

CHECKED = 5
"""Trials at most that are simulated again with other seeds, where several objectives give a front."""
RESULTS = "trials.parquet"
PAGE = "optimise.html"
PARENT = "searches"
"""Folder of the folders that were not named."""


@dataclass(frozen=True)
class Optimum:
    """A finished search.

    Attributes
    ----------
    folder : where it lies
    record : contents of optimise.json (docs/sweeps.md)
    trials : one row per trial

    """

    folder: Path
    record: dict[str, Any]
    trials: pl.DataFrame

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial that keeps all bounds, of the first objective; None if none does."""
        found: dict[str, Any] | None = self.record["result"]["best"]
        return found


def optimise(
    source: str | Path | Scenario,
    over: Sequence[str],
    *,
    maximise: Sequence[str] = (),
    minimise: Sequence[str] = (),
    subject_to: Sequence[str] = (),
    trials: int = 100,
    samples: int = 1,
    check: int = 5,
    changes: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Optimum:
    """Search the values of some keys that are best under bounds, by Optuna's tree-structured Parzen estimator.

    Parameters
    ----------
    source, changes
        As for :func:`kvandal.load`.
    over
        Where to search: ``KEY=lo..hi``, ``KEY=lo..hi:step`` or ``KEY=a,b,c``.
    maximise, minimise
        Names of quantities; with several, no trial of the result is beaten in all of them.
    subject_to
        Bounds such as ``"wait_p95_norway < 30 min"``; they must hold with every seed.
    trials
        How many choices of values are tried.
    samples
        Seeds with which each is simulated; objectives are means over them.
    check
        Further seeds with which the best is simulated again.
    out, workers, ray, progress
        As for :func:`kvandal.sweep`.

    Raises
    ------
    InputError
        If a key or quantity is unknown, a unit is another, or the folder holds something else.
    KvandalError
        If Optuna is not installed, or the workers died again and again; finished members are kept.

    """
    search = plan_search(
        source, parse_over(over), maximise=maximise, minimise=minimise, subject_to=subject_to, trials=trials,
        samples=samples, check=check, changes=changes,
    )  # fmt: skip
    place = Path(out) if out is not None else None
    return run_search(search, place, workers=workers, ray=ray, progress=progress)


def run_search(
    search: Search,
    out: Path | None,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    watch: Watch = lambda: None,
) -> Optimum:
    """Search into a folder; see :func:`optimise`."""
    folder = opened(search, out)
    with folder.locked():
        with workers_for(search.base, workers, ray, watch) as at_work:
            trials = run_trials(search, folder, at_work, progress)
            checked = _to_check(search, trials)
            further = range(search.samples, search.samples + search.check)
            folder.simulate(
                lambda: (
                    search.member(one.same_as, one.values, sample) for sample in further for one in checked
                ),
                at_work,
            )
        return _finished(search, folder, trials, checked)


def opened(search: Search, out: Path | None) -> BatchFolder:
    """Make the folder of a search, or open the one that holds it already."""
    path = out if out is not None else next_folder(search.scenario.name, PARENT)
    changes = [{one.key: choice} for one in search.ranges for choice in one.choices]
    asked = search.asked() | {"optuna": str(installed().__version__)}
    return BatchFolder.opened(path, "optimise", asked, files_of(search.base.document, changes))


def search_in(folder: Path) -> Search:
    """Lay out again the search that a folder holds.

    Raises
    ------
    RunFolderError
        If it holds none.

    """
    record = read_batch(folder)
    if record["kind"] != "optimise":
        raise RunFolderError("holds a sweep, no search of kvandal optimise", file=folder)
    return search_of(record["asked"])


def _finished(
    search: Search, folder: BatchFolder, trials: Sequence[Trial], checked: Sequence[Trial]
) -> Optimum:
    from kvandal.report.optimise import render_optimise

    feasible = _fronts(search, trials)
    table = _table(search, folder, trials, feasible)
    folder.write_results(table, RESULTS)
    best = _best(search, trials)
    nearest = None if best is not None else _nearest(search, trials)
    scenario = search.scenario
    refused = [one for one in trials if one.status == REFUSED]
    folder.finish(
        {
            "title": scenario.site.title,
            "days": scenario.run.days,
            "start_utc": scenario.run.start_utc.isoformat(),
            "statuses": {status: sum(one.status == status for one in trials) for status in sorted({one.status for one in trials})},
            "refused": None if not refused else {"members": len(refused), "reason": refused[0].reason},
            "simulated": sum(one.number == one.same_as for one in trials),
            "objectives": [
                {"name": one.name, "label": one.label, "unit": one.unit, "better": better} for one, better in search.objectives
            ],
            "bounds": [
                {
                    "text": one.text, "name": one.quantity.name, "label": one.quantity.label, "unit": one.quantity.unit,
                    "limit": one.limit, "below": one.sign > 0,
                }
                for one in search.bounds
            ],
            "as_it_is": _told(search, trials[0]) if search.as_it_is() is not None else None,
            "best": None if best is None else _told(search, best),
            "nearest": None if nearest is None else _told(search, nearest),
            "front": [one.number for one, on in zip(trials, feasible, strict=True) if on],
            "checks": [_check(search, folder, one) for one in checked] if search.check else [],
        }
    )  # fmt: skip
    write_whole(render_optimise(folder.path), folder.path / PAGE)
    return Optimum(folder.path, folder.record, table)


def _best(search: Search, trials: Sequence[Trial]) -> Trial | None:
    """Return the best feasible trial of the first objective, the first of equals."""
    found = [one for one in trials if one.status == FEASIBLE]
    return min(found, key=lambda one: (_badness(search, one), one.number), default=None)


def _nearest(search: Search, trials: Sequence[Trial]) -> Trial | None:
    """Return the trial that lies least beyond its bounds."""
    known = [one for one in trials if one.known]
    return min(known, key=lambda one: (one.violation(search), one.number), default=None)


def _badness(search: Search, trial: Trial) -> tuple[float, ...]:
    pairs = zip(search.objectives, trial.objectives, strict=True)
    return tuple(-better * value for (_, better), value in pairs if value is not None)


def _fronts(search: Search, trials: Sequence[Trial]) -> list[bool]:
    """Tell which trials are beaten by no other.

    With several objectives: among the feasible, in all objectives. With one: among all trials, in the objective and in
    every quantity that has a bound, so that it shows what each bound costs.
    """
    several = len(search.objectives) > 1 or not search.bounds
    values: list[tuple[float | None, ...]] = []
    for one in trials:
        if one.number != one.same_as or not one.known or (several and one.status != FEASIBLE):
            values.append((None,))
        else:
            values.append(one.objectives if several else (*one.objectives, *one.bounded))
    directions = [better for _, better in search.objectives]
    if not several:
        directions += [-one.sign for one in search.bounds]
    wide = [one if len(one) == len(directions) else (None,) * len(directions) for one in values]
    return front(wide, directions)


def _to_check(search: Search, trials: Sequence[Trial]) -> list[Trial]:
    """List what is simulated again with other seeds: the best; of several objectives, trials spread over the front."""
    if not search.check:
        return []
    best = _best(search, trials) or _nearest(search, trials)
    if best is None:
        return []
    if len(search.objectives) == 1 or best.status != FEASIBLE:
        return [trials[best.same_as]]
    on = [one for one, lies in zip(trials, _fronts(search, trials), strict=True) if lies]
    on.sort(key=lambda one: (_badness(search, one), one.number))
    if len(on) <= CHECKED:
        return on
    places = sorted({round(place * (len(on) - 1) / (CHECKED - 1)) for place in range(CHECKED)})
    return [on[place] for place in places]


def _told(search: Search, trial: Trial) -> dict[str, Any]:
    """Describe a trial as JSON values."""
    bounds = zip(search.bounds, trial.bounded, strict=True)
    return {
        "trial": trial.number,
        "values": dict(trial.values),
        "status": trial.status,
        "objectives": {
            one.name: value for (one, _), value in zip(search.objectives, trial.objectives, strict=True)
        },
        "bounds": [
            {"text": one.text, "value": value, "margin": one.margin(value), "holds": one.holds(value)}
            for one, value in bounds
        ],
    }


def _check(search: Search, folder: BatchFolder, trial: Trial) -> dict[str, Any]:
    """Say what a trial comes to with the seeds that the search did not know."""
    further = range(search.samples, search.samples + search.check)
    told = summaries(search, folder, trial.same_as, further)
    kept = [one for one in told if not isinstance(one, str)]
    kept_bounds = [[one.quantity.value(summary) for summary in kept] for one in search.bounds]
    holding = [
        [one.holds(value) for value in values] for one, values in zip(search.bounds, kept_bounds, strict=True)
    ]
    every = [all(column) for column in zip(*holding, strict=True)] if holding else [True] * len(kept)
    return {
        "trial": trial.number,
        "values": dict(trial.values),
        "seeds": [search.seed + sample for sample in further],
        "refused": len(told) - len(kept),
        "objectives": {one.name: [one.value(summary) for summary in kept] for one, _ in search.objectives},
        "bounds": [
            {"text": one.text, "values": values, "holds": sum(held)}
            for one, values, held in zip(search.bounds, kept_bounds, holding, strict=True)
        ],
        "all_hold": sum(every),
    }


def _table(
    search: Search, folder: BatchFolder, trials: Sequence[Trial], on_front: Sequence[bool]
) -> pl.DataFrame:
    """One row per trial: what it chose, its objectives and margins, and the means of all other numbers over its samples."""
    import polars as pl

    names = [search.name_of(one.same_as, sample) for one in trials for sample in range(search.samples)]
    found = gather(folder, names)
    means = {}
    for name in found.numbers:
        rows = [range(place * search.samples, (place + 1) * search.samples) for place in range(len(trials))]
        known = [found.known(name, row) for row in rows]
        means[name] = [mean(values) for values in known]
    columns = [
        pl.Series("trial", [one.number for one in trials], dtype=pl.Int32),
        *(column_of(one.key, [trial.values[one.key] for trial in trials]) for one in search.ranges),
        pl.Series("status", [one.status for one in trials], dtype=pl.String),
        pl.Series("reason", [one.reason for one in trials], dtype=pl.String),
        pl.Series("same_as", [one.same_as for one in trials], dtype=pl.Int32),
        pl.Series("front", on_front, dtype=pl.Boolean),
        *(
            pl.Series(
                f"objective.{one.name}", [trial.objectives[place] for trial in trials], dtype=pl.Float64
            )
            for place, (one, _) in enumerate(search.objectives)
        ),
        *(
            pl.Series(f"bound.{place}.worst", [trial.bounded[place] for trial in trials], dtype=pl.Float64)
            for place in range(len(search.bounds))
        ),
        *(
            pl.Series(
                f"bound.{place}.margin",
                [one.margin(trial.bounded[place]) for trial in trials],
                dtype=pl.Float64,
            )
            for place, one in enumerate(search.bounds)
        ),
        pl.Series(
            "violation", [one.violation(search) if one.known else None for one in trials], dtype=pl.Float64
        ),
        *(pl.Series(name, values, dtype=pl.Float64) for name, values in means.items()),
    ]
    return pl.DataFrame(columns)
