"""When will a job start, and how likely is it to be recalled? Answers from sampled futures of a run (docs/forecast.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError, RunFolderError
from kvandal.runs.folder import STATES, read_record, state_name
from kvandal.runs.restart import instant, planned_tables, saved_state, scenario_document, start_of

if TYPE_CHECKING:
    from kvandal.runs.futures import Fork, Job, Outcome
    from kvandal.scenario.model import Scenario

SAMPLES = 40
"""Futures of a forecast."""
SAMPLES_LEAST, SAMPLES_MOST = 10, 2000
DAYS = 14
"""A job that has not started after so many days is told as such."""
DAYS_MOST = 366
SAMPLES_PER_WORKER = 20
"""Restoring the run takes a process as long as about ten futures: fewer than these are not worth one."""
HOURS_MOST = 10 * 366 * 24
EXAMPLE = "tenant=uk,gpus=64,hours=6,class=surplus"
DAY_S = 86_400

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """A job as it is asked about.

    Attributes
    ----------
    tenant : name of its tenant
    gpus : GPUs
    hours : run time at full speed, without interruption or checkpoint [h]
    demand : name of its class of demand; None: the tenant's first one (of `kind`, where that is given)
    kind : training, batch or inference; None: that of the class

    """

    tenant: str
    gpus: int
    hours: float
    demand: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Question:
    """A forecast that can be made: everything is known to hold together.

    Attributes
    ----------
    folder, record, scenario : the run
    asked, job : the job
    at_utc, at_s : when it is submitted, also as seconds after the start of the run
    days : days that a start is looked for
    samples : futures

    """

    folder: Path
    record: dict[str, Any]
    scenario: Scenario
    asked: Asked
    job: Job
    at_utc: datetime
    at_s: int
    days: int
    samples: int


def forecast(
    run_folder: Path | str,
    job: str | Mapping[str, Any],
    *,
    at: str | datetime | None = None,
    by: str | datetime | None = None,
    samples: int = SAMPLES,
    days: int = DAYS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Forecast when a job would start and end, and how likely it is to be recalled.

    Parameters
    ----------
    run_folder
        Folder of a run, with its saved states.
    job
        ``"tenant=uk,gpus=64,hours=6,class=surplus"``, or the same as a mapping. `class` or `kind` may be left out.
    at
        When it is submitted: ISO time with its offset; default: the end of the run.
    by
        Also give the probability that it has finished by then.
    samples
        Futures that are drawn.
    days
        A start after so many days counts as none.
    workers
        Processes; default: as many as pay. They change nothing but the time that it takes.
    progress
        Called with the futures done and those in all.

    Returns
    -------
    dict
        The forecast (docs/forecast.md): ``start``, ``end``, ``recall``, ``refused``, ``lost_gpu_s``, ``futures``.

    Raises
    ------
    InputError
        If the job, a time or the run folder cannot be used.

    """
    question = ask(run_folder, job, at=at, samples=samples, days=days)
    by_utc = None if by is None else _instant(by, "--by")
    if by_utc is not None and by_utc <= question.at_utc:
        raise InputError(f"must lie after the submission at {question.at_utc.isoformat()}", key="--by")
    if workers is not None and workers < 1:
        raise InputError(f"must be at least 1, got {workers}", key="--workers")
    return answer(question, drawn(question, workers, progress), by_utc)


def ask(
    run_folder: Path | str,
    job: str | Mapping[str, Any],
    *,
    at: str | datetime | None = None,
    samples: int = SAMPLES,
    days: int = DAYS,
) -> Question:
    """Check all that is asked; see :func:`forecast`."""
    folder = Path(run_folder)
    asked = parse_job(job)
    if not SAMPLES_LEAST <= samples <= SAMPLES_MOST:
        raise InputError(f"must be {SAMPLES_LEAST} to {SAMPLES_MOST:,}, got {samples}", key="--samples")
    if not 1 <= days <= DAYS_MOST:
        raise InputError(f"must be 1 to {DAYS_MOST} (days), got {days}", key="--days")
    record = read_record(folder)
    start, end = start_of(record), datetime.fromisoformat(record["end_utc"])
    at_utc = end if at is None else _instant(at, "--at")
    if not start <= at_utc <= end:
        raise InputError(
            f"must lie in the run, {start.isoformat()} to {end.isoformat()}, got {at_utc.isoformat()}",
            key="--at",
        )
    _, scenario = scenario_document(record, folder)
    at_s = math.floor((at_utc - start).total_seconds())
    return Question(
        folder, record, scenario, asked, _job(scenario, asked), start + timedelta(seconds=at_s), at_s, days, samples
    )  # fmt: skip


def parse_job(given: str | Mapping[str, Any]) -> Asked:
    """Read a job.

    Examples
    --------
    >>> parse_job("tenant=uk,gpus=64,hours=6")
    Asked(tenant='uk', gpus=64, hours=6.0, demand=None, kind=None)

    """
    key = "--job"
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(",")]
        if any(not (sign and name.strip() and value.strip()) for name, sign, value in pairs):
            raise InputError(f"must be like {EXAMPLE}, got {given!r}", key=key)
        names = [name.strip() for name, _, _ in pairs]
        if len(set(names)) < len(names):
            raise InputError(f"says something twice: {given!r}", key=key)
        values: dict[str, Any] = {name.strip(): value.strip() for name, _, value in pairs}
    else:
        values = dict(given)
    allowed = ("tenant", "gpus", "hours", "class", "kind")
    for name in values:
        if name not in allowed:
            raise InputError(f"no such word {name!r}; allowed are {', '.join(allowed)}", key=key)
    for name in allowed[:3]:
        if name not in values:
            raise InputError(f"lacks {name}; it must be like {EXAMPLE}", key=key)
    if "class" in values and "kind" in values:
        raise InputError("give class or kind, not both", key=key)
    try:
        gpus = int(str(values["gpus"]).replace("_", ""))
    except ValueError:
        raise InputError(f"must be a whole number, got {values['gpus']!r}", key=f"{key} gpus") from None
    try:
        hours = float(values["hours"])
    except (TypeError, ValueError):
        raise InputError(f"must be a number, got {values['hours']!r}", key=f"{key} hours") from None
    if gpus < 1:
        raise InputError(f"must be at least 1, got {gpus}", key=f"{key} gpus")
    if not 0 < hours <= HOURS_MOST:
        raise InputError(f"must be above 0 and at most {HOURS_MOST:,} (h), got {hours:g}", key=f"{key} hours")
    return Asked(str(values["tenant"]), gpus, hours, values.get("class"), values.get("kind"))


def drawn(question: Question, workers: int | None = None, progress: Progress | None = None) -> list[Outcome]:
    """Draw the futures of a question and play them."""
    from kvandal.runs.futures import play
    from kvandal.runs.members import in_workers, workers_that_fit

    fork = _fork(question)
    count = workers_that_fit(max(1, question.samples // SAMPLES_PER_WORKER)) if workers is None else workers
    if count == 1:
        outcomes = []
        for number in range(question.samples):
            outcomes.append(play(fork, question.job, seed_of(question.scenario.run.seed, number)))
            if progress is not None:
                progress(number + 1, question.samples)
        return outcomes
    del fork  # it was opened to see that it can be: each worker has its own
    numbers = list(range(question.samples))
    played = in_workers(_play, numbers, count, progress, (_open, (question,)))
    return [one for one in played if one is not None]


def answer(question: Question, outcomes: Sequence[Outcome], by_utc: datetime | None = None) -> dict[str, Any]:
    """Sum up futures.

    The quantile p of n futures is their k-th, k = p (n + 1) rounded up: the true value is a draw like the futures, so
    that it falls at or below the k-th with probability k / (n + 1) >= p. A quantile that lies beyond the future is None.
    """
    record, scenario, asked, job = question.record, question.scenario, question.asked, question.job
    taken = [one for one in outcomes if one.refused_rule == 0]
    starts = [one.start_s if one.start_s is not None and one.start_s <= question.days * DAY_S else None for one in taken]  # fmt: skip
    ends = [one.end_s for one in taken]
    names, classes = list(scenario.tenants), list(scenario.demand)
    demand = scenario.demand[classes[job.demand]]
    causes = list(outcomes[0].lost_gpu_s)

    def share(chosen: Sequence[bool]) -> float | None:
        return sum(chosen) / len(taken) if taken else None

    def times(found: Sequence[int | None]) -> dict[str, Any]:
        quantiles = {"p50_s": quantile(found, 0.5), "p90_s": quantile(found, 0.9)}
        at = question.at_utc
        return quantiles | {
            name.replace("_s", "_utc"): None if after is None else (at + timedelta(seconds=after)).isoformat()
            for name, after in quantiles.items()
        }

    def within(found: Sequence[int | None], limit_s: float) -> float | None:
        return share([one is not None and one <= limit_s for one in found])

    by = None
    if by_utc is not None:
        limit_s = (by_utc - question.at_utc).total_seconds()
        by = {"time_utc": by_utc.isoformat(), "probability": within(ends, limit_s)}
    from kvandal.policy.rules import RULES

    return {
        "scenario_name": record["scenario_name"],
        "title": record["title"],
        "kvandal_version": record["kvandal_version"],
        "at_utc": question.at_utc.isoformat(),
        "job": {
            "tenant": names[job.tenant],
            "tier": scenario.tenants[names[job.tenant]].tier,
            "class": classes[job.demand],
            "kind": demand.kind,
            "gpus": job.gpus,
            "hours": asked.hours,
        },
        "samples": len(outcomes),
        "days": question.days,
        "refused": sum(one.refused_rule > 0 for one in outcomes) / len(outcomes),
        "refused_by": sorted({RULES[one.refused_rule][0] for one in outcomes if one.refused_rule > 0}),
        "start": {
            **times(starts),
            "within_1_minute": within(starts, 60),
            "within_1_hour": within(starts, 3600),
            "within_1_day": within(starts, DAY_S),
            "within_days": within(starts, question.days * DAY_S),
        },
        "end": {**times(ends), "by": by},
        "recall": {
            "probability": share([one.recalls > 0 for one in taken]),
            "mean": sum(one.recalls for one in taken) / len(taken) if taken else None,
        },
        "failure_probability": share([one.failures > 0 for one in taken]),
        "shed_probability": share([one.sheds > 0 for one in taken]),
        "lost_gpu_s": {
            cause: sum(one.lost_gpu_s[cause] for one in taken) / len(taken) if taken else None
            for cause in causes
        },
        "futures": [asdict(one) for one in outcomes],
    }


def quantile(found: Sequence[int | None], share: float) -> int | None:
    """Return the k-th of n values, k = share (n + 1) rounded up; None, which is later than all, where it is not known.

    Examples
    --------
    >>> quantile([3, 1, None, 2], 0.5), quantile([3, 1, None, 2], 0.9), quantile([], 0.5)
    (3, None, None)

    """
    place = math.ceil(share * (len(found) + 1) - 1e-9)
    ordered = sorted(math.inf if one is None else one for one in found)
    return int(ordered[place - 1]) if place <= len(ordered) and math.isfinite(ordered[place - 1]) else None


def seed_of(seed: int, number: int) -> int:
    """Seed of a future: the same futures for every job that is asked about."""
    from kvandal.randomness import stream

    return int(stream(seed, "forecast", "future", number).integers(0, 2**63))


def _instant(given: str | datetime, key: str) -> datetime:
    if isinstance(given, str):
        return instant(given, key)
    if given.tzinfo is None:
        raise InputError(f"must say its offset from UTC, got {given.isoformat()}", key=key)
    return given.astimezone(UTC)


def _job(scenario: Scenario, asked: Asked) -> Job:
    """Give a job its place in the scenario; refuse what the site does not know or can never hold."""
    from kvandal.demand.build import placeable_gpus
    from kvandal.runs.futures import Job

    if asked.tenant not in scenario.tenants:
        known = ", ".join(scenario.tenants) or "none"
        raise InputError(f"no tenant {asked.tenant!r}; tenants are: {known}", key="--job tenant")
    own = {name: demand for name, demand in scenario.demand.items() if asked.tenant in demand.tenants}
    listed = ", ".join(f"{name} ({demand.kind})" for name, demand in own.items()) or "none"
    if asked.demand is not None:
        fitting = [name for name in own if name == asked.demand]
        key, wanted = "--job class", f"class {asked.demand!r}"
    else:
        fitting = [name for name, demand in own.items() if asked.kind in {None, demand.kind}]
        key, wanted = (
            ("--job kind", f"class of kind {asked.kind!r}") if asked.kind else ("--job tenant", "class")
        )
    if not fitting:
        raise InputError(f"{asked.tenant} has no {wanted}; its classes are: {listed}", key=key)
    most = placeable_gpus(scenario)
    if asked.gpus > most:
        raise InputError(
            f"{asked.gpus:,} GPUs can never be placed: a job takes one rack, or a segment of each; at most {most:,}",
            key="--job gpus",
        )
    work_s = max(1, round(asked.hours * 3600))
    return Job(
        list(scenario.tenants).index(asked.tenant), list(scenario.demand).index(fitting[0]), asked.gpus, work_s
    )  # fmt: skip


def _fork(question: Question) -> Fork:
    """Restore the run at the instant."""
    from kvandal.runs.futures import open_fork

    tick, saved = saved_state(question.folder, question.at_s // question.scenario.run.tick_s)
    until_s = question.at_s + question.days * DAY_S + question.job.work_s
    try:
        return open_fork(question.scenario, saved, question.at_s, until_s, planned_tables(question.folder))
    except InputError as error:
        if error.file is not None or error.key is not None:  # not the state: a series that is too short
            raise
        raise RunFolderError(error.message, file=question.folder / STATES / state_name(tick)) from None


_forks: list[tuple[Fork, Question]] = []
"""What a worker process plays futures from."""


def _open(question: Question) -> None:
    _forks[:] = [(_fork(question), question)]


def _play(number: int) -> Outcome:
    from kvandal.runs.futures import play

    fork, question = _forks[0]
    return play(fork, question.job, seed_of(question.scenario.run.seed, number))
