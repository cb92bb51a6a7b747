"""Trials of a search: what Optuna proposes, what came of it, and how it is told; the same for any number of workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvandal.errors import KvandalError, RunFolderError
from kvandal.runs.batch import Member, Workers
from kvandal.runs.batch_folder import BatchFolder
from kvandal.runs.gathered import mean
from kvandal.runs.members import Progress
from kvandal.runs.search import Range, Search, Value

LEAST_BATCH, MOST_BATCH = 4, 32
"""Trials that are proposed together: an eighth of all, within these. It does not depend on the workers."""
LEAST_RANDOM = 10
"""Trials at least before what was learned counts."""
FEASIBLE, BEYOND, UNKNOWN, REFUSED = "feasible", "beyond a bound", "not known", "refused"


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of values, and what it came to.

    Attributes
    ----------
    number : in order of proposal
    values : by key
    status : `FEASIBLE`, `BEYOND`, `UNKNOWN` (a quantity is not known) or `REFUSED` (its scenario is impossible)
    reason : why it was refused
    same_as : number of the trial with the same values that was simulated; itself, if it was
    objectives : means over the samples
    bounded : the worst of the samples for each bound

    """

    number: int
    values: Mapping[str, Value]
    status: str
    reason: str | None
    same_as: int
    objectives: tuple[float | None, ...]
    bounded: tuple[float | None, ...]

    @property
    def known(self) -> bool:
        """Whether its numbers can be compared."""
        return self.status in {FEASIBLE, BEYOND}

    def violation(self, search: Search) -> float:
        """How far it lies beyond its bounds in all, each over the size of its limit."""
        pairs = zip(search.bounds, self.bounded, strict=True)
        return sum(max(0.0, one.violation(value)) for one, value in pairs)


def run_trials(
    search: Search, folder: BatchFolder, workers: Workers, progress: Progress | None = None
) -> list[Trial]:
    """Propose, simulate and tell all trials; those that the folder holds already are told again, not simulated again.

    Parameters
    ----------
    search
        What is searched.
    folder
        Where its members lie.
    workers
        Who simulates.
    progress
        Called with members done and members to do, at most.

    """
    study, distributions = _study(search)
    batch = max(LEAST_BATCH, min(MOST_BATCH, search.trials // 8))
    found: list[Trial] = []
    first_with: dict[str, int] = {}
    shown = _Shown(search, folder, progress)
    while len(found) < search.trials:
        proposed = [study.ask(distributions) for _ in range(min(batch, search.trials - len(found)))]
        chosen = [
            {one.key: _as_asked(one, trial.params[one.key]) for one in search.ranges} for trial in proposed
        ]
        numbers = range(len(found), len(found) + len(chosen))
        same = [
            first_with.setdefault(json.dumps(values, sort_keys=True), number)
            for number, values in zip(numbers, chosen, strict=True)
        ]

        folder.simulate(_members(search, list(zip(numbers, chosen, same, strict=True))), workers, shown.part)
        shown.batch(len(found) + len(chosen))
        for trial, number, values, simulated in zip(proposed, numbers, chosen, same, strict=True):
            one = _outcome(search, folder, number, values, simulated)
            found.append(one)
            _tell(study, trial, search, one)
    return found


def _members(
    search: Search, chosen: Sequence[tuple[int, Mapping[str, Value], int]]
) -> Callable[[], Iterator[Member]]:
    """Members of a batch, sample by sample; the values that were tried before are not tried again."""

    def members() -> Iterator[Member]:
        for sample in range(search.samples):
            for number, values, same in chosen:
                if same == number:
                    yield search.member(number, values, sample)

    return members


def summaries(search: Search, folder: BatchFolder, trial: int, samples: range) -> list[dict[str, Any] | str]:
    """Flat summary of a trial for each of some samples; a text is why it was refused."""
    found: list[dict[str, Any] | str] = []
    for sample in samples:
        name = search.name_of(trial, sample)
        simulated = folder.read(name)
        if simulated is None:
            raise RunFolderError(
                f"{name} is missing or damaged; run the same command again", file=folder.path
            )
        found.append(simulated.reason or "" if simulated.summary is None else simulated.summary)
    return found


def _outcome(
    search: Search, folder: BatchFolder, number: int, values: Mapping[str, Value], simulated: int
) -> Trial:
    told = summaries(search, folder, simulated, range(search.samples))
    refused = [one for one in told if isinstance(one, str)]
    kept = [one for one in told if not isinstance(one, str)]
    unknown: tuple[None, ...] = (None,) * len(search.objectives)
    if refused:
        return Trial(number, values, REFUSED, refused[0], simulated, unknown, (None,) * len(search.bounds))
    objectives = tuple(mean([one.value(summary) for summary in kept]) for one, _ in search.objectives)
    bounded = tuple(one.worst([one.quantity.value(summary) for summary in kept]) for one in search.bounds)
    if any(value is None for value in (*objectives, *bounded)):
        status = UNKNOWN
    else:
        holds = all(one.holds(value) for one, value in zip(search.bounds, bounded, strict=True))
        status = FEASIBLE if holds else BEYOND
    return Trial(number, values, status, None, simulated, objectives, bounded)


def _tell(study: Any, trial: Any, search: Search, one: Trial) -> None:
    """Tell Optuna what came of a trial; one without numbers lies beyond every bound."""
    trial.set_constraint("simulated", -1.0 if one.known else 1.0)
    for place, (limit, value) in enumerate(zip(search.bounds, one.bounded, strict=True)):
        trial.set_constraint(f"bound {place}", limit.violation(value) if one.known else 1.0)
    study.tell(trial, [0.0 if value is None or not one.known else value for value in one.objectives])


def installed() -> Any:
    """Return Optuna.

    Raises
    ------
    KvandalError
        If it is not installed.

    """
    try:
        import optuna
    except ImportError:
        raise KvandalError(
            "optimise: the package optuna is not installed; pip install 'kvandal[optimise]'"
        ) from None
    return optuna


def _study(search: Search) -> tuple[Any, dict[str, Any]]:
    """Begin a study in memory, and describe the ranges to it; the scenario as it is comes first."""
    optuna = installed()
    import warnings

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of what is experimental there; the version is part of the folder's mark
        sampler = optuna.samplers.TPESampler(
            seed=search.seed % 2**32,
            multivariate=True,
            constant_liar=True,
            n_startup_trials=max(LEAST_RANDOM, search.trials // 10),
        )
    study = optuna.create_study(
        directions=["maximize" if better > 0 else "minimize" for _, better in search.objectives],
        sampler=sampler,
    )
    distributions: dict[str, Any] = {}
    for one in search.ranges:
        if one.choices:
            distributions[one.key] = optuna.distributions.CategoricalDistribution(one.choices)
        elif one.whole:
            step = int(one.step or 1)
            distributions[one.key] = optuna.distributions.IntDistribution(one.low, one.high, step=step)
        else:
            distributions[one.key] = optuna.distributions.FloatDistribution(one.low, one.high, step=one.step)
    first = search.as_it_is()
    if first is not None:
        study.enqueue_trial(first)
    return study, distributions


def _as_asked(one: Range, value: Any) -> Value:
    """Return a proposed value as a plain one."""
    if one.choices:
        return next(choice for choice in one.choices if choice == value and type(choice) is type(value))
    return int(value) if one.whole else float(value)


class _Shown:
    """Progress over all batches: what was finished before does not count as speed."""

    def __init__(self, search: Search, folder: BatchFolder, progress: Progress | None) -> None:
        self._search, self._progress = search, progress
        self._before = sum(
            folder.finished(search.name_of(trial, sample))
            for trial in range(search.trials)
            for sample in range(search.samples)
        )
        self._total = search.trials * search.samples - self._before
        self._done = self._in_batch = 0

    def part(self, done: int, _total: int) -> None:
        """Count within a batch."""
        self._in_batch = done
        self._show(self._done + done)

    def batch(self, trials: int) -> None:
        """Count a batch; trials that were not simulated again are done too."""
        least = self._done + self._in_batch
        self._done, self._in_batch = max(least, trials * self._search.samples - self._before), 0
        self._show(self._done)

    def _show(self, done: int) -> None:
        if self._progress is not None:
            self._progress(max(0, min(done, self._total)), self._total)
