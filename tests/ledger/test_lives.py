"""Lives of jobs in the tables: what they waited for, the runs that ended before they did, room, recalls, deadlines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, failing, group, play, small_site, tenant

from kvandal.ledger import tables
from kvandal.ledger.lives import WAITS, deadlines_met, interruptions_table
from kvandal.ledger.recalls import latency_by_lender
from kvandal.ledger.room import fragmentation, room_table
from kvandal.policy.rules import HOLDS, RULES

DAY_S = 86_400
WHO = {
    "owner": tenant("firm", 0.4, 0.1),
    "lab": tenant("assured", 0.3, ceiling=0.6, parent="nation"),
    "school": tenant("assured", 0.1, ceiling=0.7, parent="nation"),
    "nation": group("assured", 0.7),
    "uk": tenant("lent", notice_s=300),
    "north": tenant("lent", notice_s=0, minimum_run_s=3600),
}
ASKING = (0, 1, 2, 4, 5)


def random_run(seed: int) -> Any:
    """Three racks for a day, too much asked of them; trays, hosts, networks and racks fail; some jobs are elastic or timed."""
    random = np.random.default_rng(seed)
    of = [{}, {"elastic_minimum_fraction": 0.25}, {"time_limit_h": 2.0}, {"limit_factor": 1.0}][
        random.integers(0, 4)
    ]
    site = small_site(
        WHO, racks=3, tick_s=300, of=of, tray_repair_h=1.0, gpu_h_per_interruption=200, checkpoint_s=30, restart_s=60,
        segment_trays=int(random.choice([6, 18])), grid_mw=float(random.choice([1000.0, 0.4])),
    )  # fmt: skip
    rows = [
        (
            int(random.integers(0, DAY_S)), int(random.choice([1, 4, 8, 36, 72, 144])), int(random.integers(60, 30_000)),
            int(random.choice(ASKING)), int(random.integers(0, 3)),
        )
        for _ in range(60)
    ]  # fmt: skip
    broken = sorted(
        (int(random.integers(0, DAY_S)), int(random.integers(0, 216)), int(random.integers(0, 4)))
        for _ in range(12)
    )
    return play(site, *rows, failures=failing(*broken))


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_waits_and_runs_make_the_life_of_a_job(seed: int) -> None:
    """From submission to the end a job runs or waits for something; its runs hold what it was allocated."""
    run = random_run(seed)
    jobs, ended = tables.jobs_table(run), interruptions_table(run)
    over_utc = tables.end_utc(run)
    seconds = (pl.col("end_utc") - pl.col("start_utc")).dt.total_seconds()
    before = ended.group_by("job").agg(
        seconds.sum().alias("ran_s"),
        (seconds * pl.col("gpus")).sum().alias("held"),
        pl.len().alias("interruptions"),
        *((pl.col("cause") == cause).sum().alias(cause) for cause in ("failure", "recall", "shed")),
    )
    lives = jobs.join(before, on="job", how="left", maintain_order="left").with_columns(
        pl.col("ran_s", "held", "interruptions", "failure", "recall", "shed").fill_null(0)
    )
    for life in lives.to_dicts():
        in_peace = life["starts"] - life["interruptions"]
        assert in_peace in {0, 1}
        if life["state"] in {"finished", "running"}:
            assert in_peace == 1
        end_utc = life["end_utc"] or over_utc
        last_s = in_peace and (end_utc - life["last_start_utc"]).total_seconds()
        waited_s = sum(life[name] for name in WAITS)
        if life["state"] != "refused":
            assert waited_s + life["ran_s"] + last_s == (end_utc - life["submit_utc"]).total_seconds()
        assert life["held"] + last_s * (life["last_gpus"] or 0) == life["gpu_s_allocated"]
        assert (life["failure"], life["recall"], life["shed"]) == (
            life["failures"], life["recalls"], life["sheds"]
        )  # fmt: skip
        assert (life["held_rule"] is not None) == (life["state"] == "queued")
        assert (life["start_rule"] is not None) == (life["starts"] > 0)
        assert life["last_gpus"] is None or 0 < life["last_gpus"] <= life["gpus"]
    assert (ended["lender"].is_not_null() == (ended["tier"] == "lent")).all()
    assert ended["end_utc"].is_sorted()


def test_waits_are_counted_by_the_rules_that_hold() -> None:
    """A column for each, named by its id; a job that still queues waits until the end."""
    assert [name.removeprefix("wait_").removesuffix("_s").upper() for name in WAITS] == [
        RULES[rule][0] for rule in HOLDS
    ]
    site = small_site({"a": tenant("firm", 1.0)}, tick_s=3600, backfill_depth=0)
    rows = [(0, 72, 30 * 3600, 0, BATCH), (3600, 4, 60, 0, BATCH), (7200, 4, 60, 0, BATCH)]
    jobs = tables.jobs_table(play(site, *rows))
    waited = jobs.select(WAITS).to_dicts()
    nothing = dict.fromkeys(WAITS, 0)
    assert waited == [
        nothing, nothing | {"wait_k1_s": DAY_S - 3600}, nothing | {"wait_q1_s": DAY_S - 7200}
    ]  # fmt: skip
    assert jobs["held_rule"].to_list() == [None, "K1", "Q1"]
    assert jobs["limit_s"].to_list() == [60 * 3600, 120, 120]


def test_an_elastic_job_keeps_what_it_asked_for_beside_what_it_had() -> None:
    """Half of 64 GPUs fit beside 40; while it runs and when it is over, the table says both numbers."""
    site = small_site({"a": tenant("firm", 1.0)}, tick_s=3600, of={"elastic_minimum_fraction": 0.25})
    for work_s in (3600, 50_000):
        jobs = tables.jobs_table(play(site, (0, 40, 2 * DAY_S, 0, BATCH), (600, 64, work_s, 0, BATCH)))
        assert jobs["gpus"].to_list() == [40, 64]
        assert jobs["last_gpus"].to_list() == [40, 32]
    assert jobs["state"].to_list() == ["running", "running"]


def test_room_by_hand() -> None:
    """Three racks, the third comes in hour 744: a job of 70 GPUs leaves 2 loose ones and a rack; segments take 16 of 18 trays."""
    site = small_site(
        {"a": tenant("firm", 1.0)}, racks=3, days=32, tick_s=3600, build_out=((0, 144), (1, 72)), segment_trays=16
    )  # fmt: skip
    run = play(site, (3600, 70, 7200, 0, BATCH))
    room = room_table(run)
    assert room.columns == ["time_utc", "free_gpus", "free_tray_gpus", "free_segment_gpus"]
    assert room.row(0) == (datetime(2027, 1, 1, tzinfo=UTC), 144, 144, 128)
    assert room.row(1)[1:] == (74, 72, 64)
    assert room.row(743)[1:] == (144, 144, 128)
    assert room.row(744)[1:] == (216, 216, 192)


def test_fragmentation_is_not_known_where_nothing_is_free() -> None:
    zero = {"free_gpus": [0, 0], "free_tray_gpus": [0, 0], "free_segment_gpus": [0, 0]}
    assert fragmentation(pl.DataFrame(zero)) == {"fragmentation_trays": None, "fragmentation_segments": None}
    some = {"free_gpus": [0, 80], "free_tray_gpus": [0, 72], "free_segment_gpus": [0, 64]}
    found = fragmentation(pl.DataFrame(some))
    assert found == {"fragmentation_trays": pytest.approx(0.1), "fragmentation_segments": pytest.approx(0.2)}


def test_recalls_by_lender() -> None:
    """The time from notice to return; a loan under notice that is not back yet counts, but has no latency."""

    def at(minutes: int | None) -> datetime | None:
        return None if minutes is None else datetime(2027, 1, 1, 1, minutes, tzinfo=UTC)

    rows = [
        ("a", 0, 2),
        ("a", 0, 4),
        ("a", 0, 3),
        ("a", 10, None),
        ("a", None, 50),
        ("pool", None, None),
        ("b", 5, None),
    ]
    loans = pl.DataFrame(
        {
            "lender": [row[0] for row in rows],
            "noticed_utc": [at(row[1]) for row in rows],
            "returned_utc": [at(row[2]) for row in rows],
        }
    )
    assert latency_by_lender(loans, ["a", "b", "c", "pool"]) == {
        "a": {"recalls": 4, "p50_s": 180.0, "p99_s": 240.0},
        "b": {"recalls": 1, "p50_s": None, "p99_s": None},
        "c": {"recalls": 0, "p50_s": None, "p99_s": None},
        "pool": {"recalls": 0, "p50_s": None, "p99_s": None},
    }


def test_deadlines() -> None:
    """Two hours each: met to the second, missed, overdue at the end, not yet due, refused."""
    hour = [datetime(2027, 1, 1, hour, tzinfo=UTC) for hour in range(24)]
    jobs = pl.DataFrame(
        {
            "demand": ["x"] * 5 + ["y"],
            "submit_utc": [hour[0], hour[0], hour[0], hour[22], hour[0], hour[23]],
            "end_utc": [hour[2], hour[3], None, None, None, None],
            "state": ["finished", "finished", "queued", "queued", "refused", "running"],
        }
    )
    over_utc = hour[23]
    assert deadlines_met(jobs, {"x": 2.0, "y": 2.0}, over_utc) == {"x": pytest.approx(1 / 3), "y": None}
    assert deadlines_met(jobs, {}, over_utc) == {}
