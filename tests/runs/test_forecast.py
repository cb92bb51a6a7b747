"""Forecasts: a future that repeats what happened gives what happened, nothing is peeked at, and intervals are honest."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import kvandal as kv
from forecast_calibration import Case, covered, forecast_one, picked, recall_table, waited
from kvandal.demand.build import build_demand
from kvandal.demand.jobs import JobTable
from kvandal.runs import futures
from kvandal.runs.forecast import Asked, parse_job, quantile, seed_of
from kvandal.runs.futures import Fork, Job, open_fork, play, useful_s
from kvandal.twin.records import FINISHED, REFUSED, RUNNING
from kvandal.twin.simulate import simulate_jobs
from kvandal.twin.snapshot import Recorder

SMALL = Path(__file__).parent.parent / "small.toml"
DAY_S = 86_400
AT_S = DAY_S + 14 * 3600 + 17 * 60 + 5
"""In the middle of a tick, of an hour and of a day."""


@pytest.fixture(scope="module")
def past() -> tuple[kv.Scenario, JobTable, Any]:
    """The small site with what it did, and its states."""
    scenario = kv.load(SMALL)
    jobs, _ = build_demand(scenario)
    return scenario, jobs, simulate_jobs(scenario, jobs, recorder=Recorder(scenario, jobs, every_days=1))


@pytest.fixture(scope="module")
def fork(past: Any) -> Fork:
    scenario, _, run = past
    return open_fork(scenario, run.snapshots[1440], AT_S, 3 * DAY_S)


def test_a_future_that_repeats_what_happened_gives_what_happened(
    past: Any, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each later job, asked about with all else as it was: it starts and ends in the second in which it did."""
    _, jobs, run = past
    truth = run.state.jobs
    later = np.flatnonzero((jobs.submit_s > AT_S) & (jobs.submit_s <= AT_S + 6 * 3600))
    failures = run.state.failures[run.state.failures["time_s"] > AT_S]
    monkeypatch.setattr(futures, "_breakdowns", lambda *_: (failures, fork.state.faults[:0]))

    class Repeat:
        def __init__(self, without: int) -> None:
            self.rows = np.setdiff1d(np.flatnonzero(jobs.submit_s > AT_S), [without])

        def draw(self, _seed: int) -> tuple[JobTable, Any]:
            columns = {
                name: getattr(jobs, name)[self.rows]
                for name in ("submit_s", "gpus", "work_s", "tenant", "demand")
            }
            return JobTable(**columns), fork.known.jobs.work_s

    compared = 0
    for row in later[:: max(1, len(later) // 5)].tolist():
        own = replace(fork, draws=Repeat(row))
        job = Job(int(jobs.tenant[row]), int(jobs.demand[row]), int(jobs.gpus[row]), int(jobs.work_s[row]))
        # it is submitted at the instant here, and waited for nobody then: it starts at once, as it did
        found = play(own, job, 0)
        assert truth["first_start_s"][row] == jobs.submit_s[row]
        assert found.start_s == 0
        if (
            truth["state"][row] == FINISHED
            and truth["starts"][row] == 1 == 1 + found.recalls + found.failures
        ):
            assert found.end_s == truth["end_s"][row] - truth["first_start_s"][row]
            compared += 1
    assert compared >= 1


def test_everybody_else_does_what_he_did(past: Any, fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the run's own future, hourly ticks and all, every job starts in the second in which it did."""
    _, jobs, run = past
    failures = run.state.failures[run.state.failures["time_s"] > AT_S]
    monkeypatch.setattr(futures, "_breakdowns", lambda *_: (failures, fork.state.faults[:0]))
    rows = np.flatnonzero(jobs.submit_s > AT_S)
    columns = {name: getattr(jobs, name)[rows] for name in ("submit_s", "gpus", "work_s", "tenant", "demand")}

    class Repeat:
        def draw(self, _seed: int) -> tuple[JobTable, Any]:
            return JobTable(**columns), fork.known.jobs.work_s

    seen = []
    go_on = futures.go_on
    monkeypatch.setattr(futures, "go_on", lambda *args: seen.append(go_on(*args)) or seen[-1])
    nobody = Job(0, int(jobs.demand[0]), 720_000, 1)  # refused: it is larger than the site
    own = replace(fork, draws=Repeat())
    monkeypatch.setattr(futures, "REFUSED", -1)  # hence the future is played to its end
    monkeypatch.setattr(futures, "QUEUED", 4)
    play(own, nobody, 0)
    known = len(fork.known.jobs)
    found = np.delete(seen[-1].jobs["first_start_s"], known)
    truth = run.state.jobs["first_start_s"]
    here = np.flatnonzero(
        (truth >= 86_400) | (jobs.submit_s > 86_400)
    )  # the saved state is of the end of the first day
    np.testing.assert_array_equal(found[here], truth[here])
    assert (found[known:] >= 0).sum() > 60


def test_nothing_is_peeked_at(past: Any, fork: Fork) -> None:
    """The true run times of open jobs, and all that comes later, can be anything: the same futures are drawn."""
    scenario, _, _ = past
    hidden = fork.known.jobs.work_s.copy()
    hidden[fork.known.open] = 987_654_321
    other = replace(fork.known, jobs=replace(fork.known.jobs, work_s=hidden))
    arrivals, work_s = fork.draws.draw(5)
    again, again_s = futures.Futures(scenario, other, fork.until_s).draw(5)
    assert fork.known.open.sum() > 30
    np.testing.assert_array_equal(work_s[fork.known.open], again_s[fork.known.open])
    np.testing.assert_array_equal(arrivals.submit_s, again.submit_s)
    np.testing.assert_array_equal(arrivals.work_s, again.work_s)


def test_futures_differ_and_keep_to_what_is_known(fork: Fork) -> None:
    """Open jobs last longer than they have, finished ones as long as they did; new ones come later; seeds differ."""
    drawn = [fork.draws.draw(seed) for seed in range(4)]
    for arrivals, work_s in drawn:
        known = fork.known
        np.testing.assert_array_equal(work_s[~known.open], known.jobs.work_s[~known.open])
        assert (work_s[known.open] > known.done_s[known.open]).all()
        assert arrivals.submit_s.min() > AT_S
        assert arrivals.submit_s.max() < fork.until_s
    assert len({len(arrivals) for arrivals, _ in drawn}) > 1
    assert seed_of(1, 0) != seed_of(1, 1) != seed_of(2, 1)


def test_demand_goes_on_at_the_level_that_it_had(past: Any, fork: Fork) -> None:
    """GPUs busy, if every job started at once, at the end of a future: about what the run has then."""
    _, jobs, _ = past
    end_s = 3 * DAY_S - 1

    def busy(table: JobTable) -> float:
        on = (table.submit_s <= end_s) & (table.submit_s + table.work_s > end_s)
        return float(table.gpus[on].sum())

    levels = []
    for seed in range(20):
        arrivals, work_s = fork.draws.draw(seed)
        known = replace(fork.known.jobs, work_s=work_s)
        levels.append(busy(known) + busy(arrivals))
    assert 0.7 * busy(jobs) < np.mean(levels) < 1.3 * busy(jobs)


def test_open_jobs_are_those_that_wait_or_run(past: Any, fork: Fork) -> None:
    """By the run's own record, also of jobs that had ended when the state was saved."""
    _, jobs, run = past
    truth = run.state.jobs[: len(fork.known.jobs)]
    still = ((truth["end_s"] < 0) & (truth["state"] != REFUSED)) | (truth["end_s"] > AT_S)
    submitted = jobs.submit_s[: len(truth)] <= AT_S
    # the tick of the instant has not been played: who ends inside it still runs
    unsure = (truth["end_s"] > AT_S - 60) & (truth["end_s"] <= AT_S)
    assert (fork.known.open == (still & submitted))[~unsure].all()
    assert fork.known.finished.sum() > 20


def test_work_so_far_is_what_the_books_say_later(past: Any, fork: Fork) -> None:
    """Of a job that runs through, work so far and work left make its run time; nobody holds more than he asks for."""
    done_s = useful_s(fork.state)
    table = fork.state.jobs
    running = table["state"] == RUNNING
    assert running.sum() > 20
    assert (done_s[running] >= 0).all()
    assert (done_s[running] <= table["work_s"][running]).all()
    plain = running & (table["starts"] == 1) & (table["interval_s"] == 0)
    wall_s = fork.state.tally["now_s"][0] - table["start_s"][plain]
    np.testing.assert_allclose(done_s[plain], wall_s, atol=1.0)


def test_equal_questions_have_equal_answers_whatever_the_workers(small_run: Path) -> None:
    """The count of workers changes nothing."""
    job = {"tenant": "uk", "gpus": 16, "hours": 4.0}
    one, two = (
        kv.forecast(small_run, job, at="2027-01-02T10:00Z", samples=10, days=2, workers=workers)
        for workers in (1, 2)
    )
    assert one == two
    assert one["job"]["class"] == "surplus"


def test_a_job_that_the_site_refuses_is_told_as_refused(small_run: Path) -> None:
    """It fits the site but not the ceiling of its tenant (3 % of 720 GPUs): rule P3, in every future."""
    found = kv.forecast(small_run, "tenant=norway-public,gpus=64,hours=1", at="2027-01-02T10:00Z", samples=10)
    assert found["refused"] == 1
    assert found["start"]["p50_s"] is None
    assert found["recall"]["probability"] is None


def test_a_quantile_beyond_the_future_is_not_known() -> None:
    """The 37th of 40 is P90: with 36 known values it is not known, with 37 it is the last."""
    assert quantile([*range(36), None, None, None, None], 0.9) is None
    assert quantile([*range(37), None, None, None], 0.9) == 36
    assert quantile(list(range(40)), 0.5) == 20


def test_a_job_is_read_as_text_or_as_a_mapping() -> None:
    """Order and blanks do not matter."""
    assert parse_job(" hours=0.5, tenant=uk ,gpus=1_024,kind=batch") == Asked("uk", 1024, 0.5, None, "batch")
    assert parse_job({"tenant": "uk", "gpus": 8, "hours": 2, "class": "surplus"}) == Asked(
        "uk", 8, 2.0, "surplus"
    )


def case(start_s: float, starts_s: list[float], recall: float = 0.0, recalled: bool = False) -> Case:
    ordered = sorted(starts_s)
    return Case(
        "d", "lent", tuple(starts_s), ordered[len(ordered) // 2], ordered[-1], recall, start_s, recalled
    )


def test_the_measure_of_calibration_sees_what_is_wrong() -> None:
    """Honest, too early and too late forecasts of exponential waits, and recall probabilities without knowledge."""
    random = np.random.default_rng(3)
    waits = random.exponential(1.0, (400, 20))
    honest = covered([case(float(random.exponential()), row.tolist()) for row in waits])
    early = covered([case(float(random.exponential(5.0)), row.tolist()) for row in waits])
    assert abs(honest["place_90"] - 0.9) < 4 * math.sqrt(0.09 / 400)
    assert abs(honest["place_50"] - 0.5) < 4 * math.sqrt(0.25 / 400)
    assert early["place_90"] < 0.6
    knowing = [case(0, [0], 0.9, True), case(0, [0], 0.1, False)] * 20
    blind = [case(0, [0], 0.5, True), case(0, [0], 0.5, False)] * 20
    assert recall_table(knowing)["brier"] == pytest.approx(0.01)
    assert recall_table(blind)["brier"] == recall_table(blind)["brier_base"] == 0.25


BUSY = """
extends = "{small}"
name = "busy"
demand_multiplier = 0.0072
[run]
days = 42
tick_s = 300
[demand.rollouts]
maximum_gpus = 64
[demand.fine-tuning]
maximum_gpus = 64
[demand.sovereign-training]
maximum_gpus = 32
[demand.surplus]
maximum_gpus = 64
"""


@pytest.mark.slow
def test_intervals_cover_what_they_say(tmp_path: Path) -> None:
    """A small site with queues: true starts of jobs of its fourth and fifth week lie in the intervals as often as they should."""
    file = tmp_path / "busy.toml"
    file.write_text(BUSY.format(small=SMALL), encoding="utf-8")
    kv.write_run(kv.simulate(kv.load(file)), tmp_path / "run")
    jobs = picked(tmp_path / "run", 21, 35, 24)
    assert pl.DataFrame(jobs)["wait_s"].max() > 3600
    cases = [forecast_one(tmp_path / "run", job, samples=19, days=4) for job in jobs]
    counted = covered(cases)
    number = len(cases)
    assert sum(waited(one) for one in cases) > number / 4
    assert binomial_at_most(round(counted["place_90"] * number), number, 0.9) > 0.002
    assert 0.002 < binomial_at_most(round(counted["place_50"] * number), number, 0.5) < 0.998


def binomial_at_most(successes: int, number: int, probability: float) -> float:
    return sum(
        math.comb(number, k) * probability**k * (1 - probability) ** (number - k)
        for k in range(successes + 1)
    )
