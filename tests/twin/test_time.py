"""Time, ticks and energy: a job takes as long as it takes, whatever the clock that counts it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, TRAINING, failing, play, small_site, table, tenant, times

import kvandal as kv
from kvandal.demand.jobs import JobTable
from kvandal.errors import ScenarioError
from kvandal.twin import account
from kvandal.twin import plant_state as plant
from kvandal.twin.simulate import simulate_jobs

OWNER = {"owner": tenant("firm", 1.0)}
GPU_KW = (0.85 * 132 - 27) / 72
"""Power above idle of one GPU in training, by hand."""


@settings(max_examples=40)
@given(st.integers(0, 86_400 - 3600), st.sampled_from([1, 60, 300, 3600]))
def test_a_job_of_3600_seconds_occupies_3600_seconds(submit_s, tick_s):
    """Mistake "every job runs one tick too long": start, end and GPU-seconds are exact at any tick length."""
    run = play(small_site(OWNER, tick_s=tick_s), (submit_s, 5, 3600, 0, BATCH))

    assert times(run, "first_start_s") == [submit_s]
    assert times(run, "end_s") == [submit_s + 3600]
    assert run.outputs.tick_count[:, account.TICK_FIRM].sum() == 5 * 3600
    assert run.state.racks["gpu_s"].sum() == 5 * 3600


@pytest.mark.parametrize("tick_s", [1, 60, 300, 3600])
@pytest.mark.parametrize("submit_s", [0, 7, 59, 3599, 7200])
def test_a_job_between_two_ticks_draws_its_power(tick_s, submit_s):
    """Mistake "a job between two ticks draws no power": ten seconds of eight GPUs are metered at any tick length."""
    scenario = small_site(OWNER, tick_s=tick_s)
    run, empty = play(scenario, (submit_s, 8, 10, 0, TRAINING)), play(scenario)
    more_kwh = run.state.racks["energy_kwh"].sum() - empty.state.racks["energy_kwh"].sum()

    assert more_kwh == pytest.approx(8 * GPU_KW * 10 / 3600, rel=1e-5)
    kw = run.outputs.tick_real[:, plant.IT_KW] - empty.outputs.tick_real[:, plant.IT_KW]
    assert kw.sum() * tick_s / 3600 == pytest.approx(8 * GPU_KW * 10 / 3600, rel=1e-5)


def test_results_converge_as_ticks_shrink():
    """The same jobs take the same GPU-seconds at any tick length, and nearly the same energy at the meter."""
    random = np.random.default_rng(3)
    rows = [
        (
            int(random.integers(0, 80_000)),
            int(random.integers(1, 40)),
            int(random.integers(10, 9000)),
            0,
            TRAINING,
        )
        for _ in range(60)
    ]
    runs = [play(small_site(OWNER, racks=4, tick_s=tick_s), *rows) for tick_s in (1, 60, 300, 3600)]
    site = [run.outputs.tick_real[:, plant.SITE_KW].sum() * run.scenario.run.tick_s for run in runs]
    racks = [run.state.racks["energy_kwh"].sum() for run in runs]

    assert racks == pytest.approx([racks[0]] * 4, rel=1e-9)
    assert site == pytest.approx([site[0]] * 4, rel=2e-3)
    assert site[1] == pytest.approx(site[0], rel=1e-5)
    for run in runs[1:]:
        assert times(run, "end_s") == times(runs[0], "end_s")


def test_rows_are_ticks():
    """Mistakes "memory" and "clock": the tables grow with the ticks, not with racks or events."""
    for tick_s in (60, 3600):
        run = play(small_site(OWNER, racks=3, days=2, tick_s=tick_s), (0, 9, 10, 0, TRAINING))

        assert len(run.outputs.tick_real) == 2 * 86_400 // tick_s
        assert run.outputs.hall_hour.shape[0] == 48


def test_a_job_that_ends_with_the_run_has_finished():
    """The last instant belongs to the run: a job that ends there is done, one second more is not."""
    run = play(small_site(OWNER), (82_800, 1, 3600, 0, BATCH), (82_800, 1, 3601, 0, BATCH))

    assert times(run, "end_s") == [86_400, -1]
    assert times(run, "useful_gpu_s") == [3600, 3600]


def test_edges_of_demand():
    """No job, no tenant, no class of demand: an idle site, not an error."""
    run = simulate_jobs(small_site({"a": tenant("firm", 1.0)}), JobTable.empty())
    assert run.outputs.tick_count[:, account.TICK_FIRM].sum() == 0
    scenario = kv.load("stargate-norway-phase-1", {"run.days": 1})
    nobody = scenario.model_copy(update={"tenants": {}, "demand": {}})
    run = simulate_jobs(nobody, JobTable.empty())
    assert run.outputs.tick_real[:, plant.BALANCE_ERROR].max() < 1e-9


def test_more_loans_in_one_instant_than_were_provided_for():
    """Mistake "a job crashes the whole run": fifty thousand short loans in one tick make the records grow."""
    borrower = {"owner": tenant("firm", 1.0), "uk": tenant("lent")}
    scenario = small_site(borrower, racks=2, tick_s=3600)
    run = play(scenario, *[(0, 1, 1, 1, BATCH)] * 50_000)

    assert run.state.tally["loans"][0] == 50_000
    assert set(times(run, "state")) == {3}
    assert times(run, "end_s")[-1] == -(-50_000 // 144)


def test_a_site_that_cannot_idle_is_refused():
    """A connection below the idle power of the finished site is an error that says how much is needed."""
    with pytest.raises(ScenarioError, match="allowed are at least"):
        play(small_site(OWNER, racks=10, grid_mw=0.3))


def test_jobs_that_could_never_start_are_refused_and_hold_up_nobody():
    """Rule P3: too large for the ceiling, for any loan, for the racks, for the power; the next job starts at once."""
    who = {"small": tenant("firm", 0.25, 0, 0.5), "other": tenant("firm", 0.75, 0.5)}
    rows = [(0, 145, 10, 0, BATCH), (1, 73, 10, 0, BATCH), (2, 10, 10, 0, BATCH), (3, 217, 10, 1, BATCH)]
    run = play(small_site(who, racks=4), *rows)
    assert times(run, "state") == [4, 4, 3, 4]
    assert times(run, "first_start_s")[2] == 2
    run = play(small_site(OWNER, racks=4, segment_trays=12), (0, 193, 10, 0, BATCH), (0, 192, 10, 0, BATCH))
    assert times(run, "state") == [4, 3]
    run = play(small_site(OWNER, racks=4, grid_mw=0.3), (0, 250, 10, 0, BATCH), (1, 10, 10, 0, BATCH))
    assert times(run, "state") == [4, 3]


def test_a_job_larger_than_its_tenants_share_does_not_hold_up_smaller_ones():
    """A job that needs a loan waits for one alone; the share is used meanwhile."""
    who = {"small": tenant("firm", 0.25), "other": tenant("firm", 0.75)}
    rows = [(0, 72, 80_000, 1, BATCH)] * 3 + [(1, 100, 10, 0, BATCH), (2, 10, 10, 0, BATCH)]
    run = play(small_site(who, racks=4), *rows)

    assert times(run, "first_start_s") == [0, 0, 0, 80_000, 2]


def test_failures_at_the_first_instant_and_on_broken_and_absent_trays():
    """A failure at time 0 breaks a tray before anybody sits there; a second one there, or before delivery, is nothing."""
    site = small_site(OWNER, racks=2, build_out=((0, 72), (1, 72)), days=32, tray_repair_h=1.0, tick_s=3600)
    run = play(site, (0, 72, 100, 0, BATCH), failures=failing((0, 0), (0, 1), (10, 100)))

    assert run.state.racks["failures"].tolist() == [1, 0]
    assert run.outputs.tick_count[:, account.TICK_BROKEN].sum() == 4 * 3600
    assert times(run, "first_start_s") == [3600]


def test_everything_delivered_later():
    """Before the first delivery there is nothing to use and nothing to power; afterwards shares are those of the racks."""
    site = small_site(
        {"a": tenant("firm", 0.5), "b": tenant("lent")}, racks=2, build_out=((1, 144),), days=32, tick_s=3600
    )
    run = play(site, (0, 72, 100, 0, BATCH), (0, 72, 100, 1, BATCH))

    assert times(run, "first_start_s") == [31 * 86_400] * 2
    assert run.outputs.tick_real[0, plant.IT_KW] == 0.0
    assert (
        run.outputs.tick_real[0, plant.SITE_KW] == run.outputs.tick_real[0, plant.HV_LOSS_KW]
    )  # energised already
    assert run.outputs.tick_real[-1, plant.SITE_KW] > 0.0
    assert run.outputs.tick_count[:, account.TICK_INSTALLED].sum() == 144 * 86_400


def test_job_tables_in_disorder_are_an_error():
    """Mistake "known waits": jobs come in order of their submission."""
    with pytest.raises(ValueError, match="in order of submit_s"):
        JobTable(np.array([5, 1]), *([np.ones(2, np.int32)] * 4))
    assert len(table()) == 0
