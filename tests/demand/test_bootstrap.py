"""Laws of the block bootstrap: what it promises to preserve, it preserves."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.demand.bootstrap import JITTER_S, block_length_s, bootstrap
from kvandal.demand.facts import mean_gpus_busy
from kvandal.demand.jobs import JobTable
from kvandal.demand.readers import read_trace
from kvandal.demand.trace import Trace
from kvandal.errors import ScenarioError

DAY_S = 86_400
HOUR_S = 3600


def trace_of(rows, **more):
    submit_s, run_s, gpus = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return Trace(
        name="made", submit_s=submit_s.astype(np.int64) - submit_s[0], run_s=run_s.astype(np.int64),
        gpus=gpus.astype(np.int32), source="test", licence="none", credit="", rows_read=len(rows), **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def philly():
    return read_trace("philly")


@pytest.fixture(scope="module")
def lingjun():
    return read_trace("lingjun")


@pytest.fixture(scope="module")
def philly_year(philly):
    return bootstrap(philly, mean_gpus=3900, days=365, seed=1, name="national")


@pytest.fixture(scope="module")
def lingjun_year(lingjun):
    return bootstrap(lingjun, mean_gpus=7000, days=365, seed=1, name="tuning", size_multiplier=4)


@pytest.mark.parametrize(("name", "mean_gpus"), [("philly", 3900), ("lingjun", 7000)])
def test_mean_busy_is_what_was_asked(name, mean_gpus):
    """There is no bias: eight years together come to 1.5 %. A single year scatters (standard deviation about 2 % for
    Philly), for it is no whole number of rounds through the trace, whose weeks differ twenty-fold in GPU-hours."""
    trace = read_trace(name)
    busy = []
    for seed in range(1, 9):
        drawn = bootstrap(trace, mean_gpus=mean_gpus, days=365, seed=seed, name="x")
        busy.append(mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, 365 * DAY_S))

    assert busy == pytest.approx([mean_gpus] * 8, rel=0.08)
    assert np.mean(busy) == pytest.approx(mean_gpus, rel=0.015)


def test_run_starts_in_the_middle_of_things(philly):
    """Without the jobs under way, the first week would have far less than the mean: GPU-hours sit in jobs of weeks."""
    week = 7 * DAY_S
    with_carried, without = [], []
    for seed in range(6):
        drawn = bootstrap(philly, mean_gpus=3900, days=7, seed=seed, name="national")
        fresh = ~drawn.carried
        with_carried.append(mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, week))
        without.append(mean_gpus_busy(drawn.submit_s[fresh], drawn.work_s[fresh], drawn.gpus[fresh], week))
        assert int(drawn.submit_s[drawn.carried].max()) < HOUR_S

    # a week is one draw of 3.3 blocks from 19: its mean scatters by a quarter
    assert np.mean(with_carried) == pytest.approx(3900, rel=0.25)
    assert np.mean(without) < 0.6 * np.mean(with_carried)


def test_joint_distribution_of_size_and_run_time_is_kept(philly, philly_year):
    fresh = ~philly_year.carried
    run_s, gpus = philly_year.work_s[fresh], philly_year.gpus[fresh]
    for percent in (50, 90, 99):
        assert np.percentile(run_s, percent) == pytest.approx(np.percentile(philly.run_s, percent), rel=0.1)
        assert np.percentile(gpus, percent) == np.percentile(philly.gpus, percent)
    pairs = set(zip(philly.run_s.tolist(), philly.gpus.tolist(), strict=True))
    assert set(zip(run_s.tolist(), gpus.tolist(), strict=True)) <= pairs


def test_shares_of_gpu_hours_by_size_are_kept(philly, philly_year):
    fresh = ~philly_year.carried
    edges = [1, 2, 5, 9, 17]

    def shares(run_s, gpus):
        return np.histogram(gpus, [*edges, 10_000], weights=(run_s * gpus) / (run_s * gpus).sum())[0]

    ours = shares(philly_year.work_s[fresh], philly_year.gpus[fresh])
    assert ours == pytest.approx(shares(philly.run_s, philly.gpus), abs=0.02)


def test_hours_of_the_day_are_kept(lingjun, lingjun_year):
    fresh = lingjun_year.submit_s[~lingjun_year.carried]
    ours = np.bincount(fresh // HOUR_S % 24, minlength=24) / fresh.shape[0]
    theirs = np.bincount(lingjun.submit_s // HOUR_S % 24, minlength=24) / len(lingjun)

    assert ours == pytest.approx(theirs, abs=0.01)


def test_sizes_are_multiplied_then_cut(lingjun):
    drawn = bootstrap(
        lingjun, mean_gpus=7000, days=365, seed=1, name="x", size_multiplier=4, maximum_gpus=1000
    )

    assert set(drawn.gpus.tolist()) == {min(4 * size, 1000) for size in set(lingjun.gpus.tolist())}
    assert mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, 365 * DAY_S) == pytest.approx(
        7000, rel=0.03
    )


def same(first, second):
    return all(
        getattr(first, column).tolist() == getattr(second, column).tolist() for column in first.__slots__
    )


def test_equal_seeds_equal_jobs(lingjun):
    def draw(seed, name):
        return bootstrap(lingjun, mean_gpus=2000, days=10, seed=seed, name=name)

    assert same(draw(1, "a"), draw(1, "a"))
    assert not same(draw(1, "a"), draw(2, "a"))
    assert not same(draw(1, "a"), draw(1, "b"))


@pytest.mark.parametrize(("short", "long"), [(1, 2), (7, 30), (10, 365)])
def test_short_run_is_the_beginning_of_a_long_one(philly, lingjun, short, long):
    for trace in (philly, lingjun):
        few = bootstrap(trace, mean_gpus=3000, days=short, seed=5, name="x")
        many = bootstrap(trace, mean_gpus=3000, days=long, seed=5, name="x")
        count = few.submit_s.shape[0]

        assert count > 0
        assert int(many.submit_s[count]) >= short * DAY_S
        for column in few.__slots__:
            assert getattr(few, column).tolist() == getattr(many, column)[:count].tolist()


def test_more_demand_only_adds_jobs(lingjun):
    def jobs(mean_gpus):
        drawn = bootstrap(lingjun, mean_gpus=mean_gpus, days=20, seed=1, name="x")
        return set(
            zip(
                *(
                    getattr(drawn, column).tolist()
                    for column in ("submit_s", "work_s", "gpus", "tenant_draw")
                ),
                strict=True,
            )
        )

    assert jobs(700) < jobs(900) < jobs(1500) < jobs(4000)


def test_copies_of_a_job_do_not_coincide():
    trace = trace_of([(0, 600, 8), (23 * HOUR_S, 600, 8), (26 * HOUR_S, 60, 1)])
    drawn = bootstrap(trace, mean_gpus=50, days=2, seed=1, name="x")
    fresh = drawn.submit_s[~drawn.carried]

    assert fresh.shape[0] > 100
    assert np.unique(fresh).shape[0] > 0.5 * fresh.shape[0]
    offsets = np.array([0, 2 * HOUR_S, 23 * HOUR_S])
    assert ((fresh[:, None] % DAY_S - offsets) % DAY_S < JITTER_S).any(axis=1).all()


def test_hours_are_aligned_where_the_trace_states_its_instant():
    """A trace that begins at 18:00 UTC keeps its evening in a run that begins at noon."""
    rows = [(day * DAY_S, 600, 4) for day in range(10)]
    trace = replace(trace_of(rows), start_utc=datetime(2020, 5, 6, 18, tzinfo=UTC))
    drawn = bootstrap(
        trace, mean_gpus=1, days=5, seed=1, name="x", start_utc=datetime(2027, 1, 1, 12, tzinfo=UTC)
    )
    fresh = drawn.submit_s[~drawn.carried]

    assert fresh.shape[0] > 50
    assert set((fresh // HOUR_S % 24).tolist()) == {6}


def test_weekdays_are_aligned_for_weekly_blocks():
    """A month of Mondays stays on Mondays; the run begins on a Friday."""
    rows = [(week * 7 * DAY_S, 600, 4) for week in range(6)]
    trace = replace(trace_of(rows), start_utc=datetime(2020, 5, 4, 9, tzinfo=UTC))
    start_utc = datetime(2027, 1, 1, tzinfo=UTC)
    drawn = bootstrap(trace, mean_gpus=1, days=28, seed=1, name="x", start_utc=start_utc)
    fresh = drawn.submit_s[~drawn.carried]

    assert fresh.shape[0] > 50
    assert {(start_utc.weekday() + day) % 7 for day in (fresh // DAY_S).tolist()} == {0}


def test_blocks():
    assert block_length_s(read_trace("philly")) == 7 * DAY_S
    assert block_length_s(read_trace("lingjun")) == DAY_S
    assert block_length_s(trace_of([(0, 60, 1)])) == HOUR_S
    assert block_length_s(trace_of([(0, 60, 1), (2 * HOUR_S, 60, 1)])) == 3 * HOUR_S


def test_absurd_scale_is_refused_with_its_key():
    trace = trace_of([(0, 1, 1)])
    with pytest.raises(
        ScenarioError, match=r"demand\.tiny\.mean_gpus: would take .* jobs .* at most 50,000,000"
    ):
        bootstrap(trace, mean_gpus=5_000_000, days=365, seed=1, name="tiny")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 40 * DAY_S), st.integers(1, 30 * DAY_S), st.integers(1, 100_000)),
        min_size=1,
        max_size=30,
    ),
    copies=st.floats(0.05, 6),
    days=st.integers(1, 9),
    multiplier=st.integers(1, 64),
    maximum=st.integers(1, 50_000),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_trace_gives_a_valid_table(rows, copies, days, multiplier, maximum, seed):
    trace = trace_of(rows)
    cut = np.minimum(trace.gpus.astype(np.int64) * multiplier, maximum)
    block_s = block_length_s(trace)
    blocks = trace.span_s // block_s + 1
    mean_gpus = copies * float((trace.run_s * cut).sum()) / (blocks * block_s)
    drawn = bootstrap(
        trace,
        mean_gpus=mean_gpus,
        days=days,
        seed=seed,
        name="any",
        size_multiplier=multiplier,
        maximum_gpus=maximum,
    )
    zeros = np.zeros(drawn.submit_s.shape[0], dtype=np.int16)
    table = JobTable(drawn.submit_s, drawn.gpus, drawn.work_s, zeros, zeros)  # refuses what is out of order

    assert (table.submit_s.dtype, table.gpus.dtype, table.work_s.dtype) == (np.int64, np.int32, np.int64)
    if len(table):
        assert table.submit_s.min() >= 0
        assert table.submit_s.max() < days * DAY_S
        assert 1 <= table.gpus.min() <= table.gpus.max() <= maximum
        assert 1 <= table.work_s.min() <= table.work_s.max() <= trace.run_s.max()
        assert 0 <= drawn.tenant_draw.min() <= drawn.tenant_draw.max() < 1
