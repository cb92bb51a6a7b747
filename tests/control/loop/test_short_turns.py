"""A turn stays short: what has come up at once is taken in several, and nothing of it is lost or done twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from living import Living
from sqlalchemy import func, select

from kvandal.bench.serving import cycles
from kvandal.control.loop import taking
from kvandal.control.loop.replay import replay
from kvandal.control.loop.site import LiveSite
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.loop import INTENTIONS
from kvandal.scenario.loading import load
from kvandal.twin.snapshot import copied, packed


@pytest.fixture
def living(sqlite_url, tmp_path):
    found = Living(sqlite_url, tmp_path)
    yield found
    found.down()


def open_orders(living):
    with living.store.read() as tx:
        return tx.execute(select(func.count()).where(INTENTIONS.c.state == "open")).scalar_one()


def test_a_full_inbox_is_emptied_over_turns_that_follow_at_once(living, monkeypatch):
    monkeypatch.setattr(taking, "MOST", 4)
    monkeypatch.setattr("kvandal.control.loop.loop.MOST", 4)
    jobs = [living.submit("startups", gpus=1, run_time_s=600) for _ in range(10)]
    seen = []
    while living.turn().more:
        seen.append(sum(living.job(job).state == "running" for job in jobs))
    assert seen == [4, 8]
    assert {living.job(job).state for job in jobs} == {"running"}
    assert not living.turn(1).more
    assert replay(living.store).difference is None


def test_long_silence_is_caught_up_with_over_turns_that_follow_at_once(living, monkeypatch):
    monkeypatch.setattr("kvandal.control.loop.loop.MOST_TICKS", 10)
    living.turn(1)
    reports = [living.turn(35 * 60)]
    while reports[-1].more:
        reports.append(living.turn())
    assert len(reports) == 4
    assert living.loop.site.now_s == int((living.now() - living.loop.epoch_utc).total_seconds())


def test_time_for_orders_is_short_and_the_rest_are_given_in_the_next_turn(living, monkeypatch):
    """The clock goes on by a tenth of a second whenever it is looked at."""
    living.turn(1)
    clock = iter(range(10_000))
    monkeypatch.setattr(living.loop, "_clock", lambda: next(clock) / 10)
    jobs = [living.submit("startups", gpus=1, run_time_s=600) for _ in range(3)]
    first = living.turn()
    assert 0 < first.open_intentions < 6
    assert first.more
    while living.turn().more:
        pass
    assert set(jobs) <= {key for key, job in living.engine.observe().jobs.items() if job.state == "running"}


def test_orders_given_together_are_all_carried_out_or_none(living, monkeypatch):
    """The file of the emulated cluster takes two orders and then no more: both are forgotten, and given again."""
    living.turn(1)
    jobs = [living.submit("startups", gpus=1, run_time_s=600) for _ in range(3)]
    keep, kept = living.engine._book.keep_jobs, []

    def full(rows):
        if len(kept) == 2:
            raise sqlite3.OperationalError("database or disk is full")
        kept.append(None)
        keep(rows)

    monkeypatch.setattr(living.engine._book, "keep_jobs", full)
    report = living.turn()
    assert not report.reachable
    assert report.open_intentions == 6
    monkeypatch.setattr(living.engine._book, "keep_jobs", keep)
    assert living.engine.observe().jobs == {}
    living.turn(1)
    assert {
        key: (job.state, job.attempt) for key, job in living.engine.observe().jobs.items()
    } == dict.fromkeys(jobs, ("running", 1))
    living.turn(1)
    assert open_orders(living) == 0
    assert replay(living.store).difference is None


def test_what_is_kept_is_the_whole_state_whatever_happens_while_it_is_packed(living):
    """Packed later from what is in use, it is byte for byte what the whole state would have been packed to at once."""
    for gpus in (4, 8, 72, 100):
        living.submit("anchor", gpus=gpus, run_time_s=900)
        living.submit("nordics", gpus=gpus // 2, run_time_s=400)
        living.run(60)
    site = living.loop.site
    taken = site.copy()
    whole, plant = copied(site.state), copied(site.plant)
    living.run(600)
    content, extra = taken.packed()
    mark = {"jobs": int(extra["capacity"]), "crc32": 0}
    rows = range(len(extra["jobs"]))
    assert len(rows) > 0
    assert content == packed(whole, plant, 0, mark, np.array(rows, np.int64))
    again = LiveSite.restored(taken.document, content, extra)
    assert again.now_s < site.now_s
    assert again.ids == extra["jobs"]


def test_the_engine_shows_jobs_as_they_are_after_every_order(living):
    """It remembers how they look, and forgets it whenever they change; also over a restart from its file."""
    job = living.submit("startups", gpus=4, run_time_s=600)
    living.turn(1)
    first = living.engine.observe().jobs[job]
    assert (first.state, first.attempt, sum(share.gpus for share in first.shares)) == ("running", 1, 4)
    assert living.new_engine().observe().jobs == {job: first}


@pytest.mark.parametrize("speed", [60.0])
def test_cycles_of_a_store_in_postgresql_are_measured_in_a_place_of_their_own(
    postgres_url, small_scenario, speed
):
    """Nothing is left there."""
    figures = cycles.measured(small_scenario, cycles=5, speed=speed, database=postgres_url)
    assert figures["store"] == "postgresql"
    assert figures["cycles_written"] > 0
    with open_store(postgres_url) as store, store.read() as tx:
        names = tx.exec_driver_sql(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'kvandal_bench')"
        ).all()
    assert names == []


@pytest.fixture
def small_scenario():
    return load(str(Path(__file__).parents[2] / "small.toml"))
