"""Synthetic demand keeps its promises: the mean, the hours, the weekend, the change of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kvandal.demand.facts import mean_gpus_busy
from kvandal.demand.generators import FIRST_START_S, diurnal, diurnal_shape, frontier, lanes, utc_offsets_s
from kvandal.errors import ScenarioError

DAY_S = 86_400
HOUR_S = 3600
START = datetime(2027, 1, 1, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")


def draw_frontier(**changes):
    asked = {
        "mean_gpus": 39_000,
        "sizes_gpus": (4096, 8192, 16_384),
        "median_duration_h": 336.0,
        "sigma_log_duration": 0.6,
    }
    return frontier(**{**asked, "days": 365, "seed": 1, "name": "frontier", **changes})


def draw_diurnal(**changes):
    asked = {
        "mean_gpus": 19_000,
        "replica_gpus": 16,
        "amplitude_fraction": 0.35,
        "peak_hour_local": 15.0,
        "weekend_fraction": 0.8,
    }
    asked |= {"time_zone": "Europe/Oslo", "start_utc": START, "days": 365, "seed": 1, "name": "inference"}
    return diurnal(**{**asked, **changes})


def busy(drawn, days):
    return mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, days * DAY_S)


def replicas_running(drawn, days):
    """Replicas running at every quarter of an hour, counted from the jobs."""
    times_s = np.arange(0, days * DAY_S, 900)
    started = np.searchsorted(drawn.submit_s, times_s, side="right")
    ended = np.searchsorted(np.sort(drawn.submit_s + drawn.work_s), times_s, side="right")
    return times_s, started - ended


@pytest.fixture(scope="module")
def inference_year():
    return draw_diurnal()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mean_gpus", [39_000, 20_000, 4_100])
def test_frontier_mean(mean_gpus, seed):
    assert busy(draw_frontier(mean_gpus=mean_gpus, seed=seed), 365) == pytest.approx(mean_gpus, rel=0.03)


def test_frontier_smaller_than_its_smallest_size_runs_part_of_the_time():
    years = [busy(draw_frontier(mean_gpus=1000, seed=seed, median_duration_h=48.0), 365) for seed in range(5)]

    assert np.mean(years) == pytest.approx(1000, rel=0.05)


def test_frontier_lanes_never_overlap_themselves():
    """At no time does a frontier hold more than the sum of its lanes."""
    drawn = draw_frontier()
    time_s = np.concatenate([drawn.submit_s + drawn.work_s, drawn.submit_s])
    change = np.concatenate([-drawn.gpus, drawn.gpus])
    held = np.cumsum(change[np.argsort(time_s, kind="stable")])

    assert held.max() == 16_384 + 2 * 8192 + 2 * 4096
    assert set(drawn.gpus.tolist()) == {4096, 8192, 16_384}


def test_frontier_begins_staggered_and_in_the_middle_of_jobs():
    first_starts, first_work, later_work = [], [], []
    for seed in range(200):
        drawn = draw_frontier(seed=seed, mean_gpus=16_384 * 0.9, sizes_gpus=(16_384,), days=60)
        first_starts.append(int(drawn.submit_s[0]))
        first_work.append(int(drawn.work_s[0]))
        later_work += drawn.work_s[1:].tolist()

    # a renewal process met at random: mean residual life = E[T^2] / 2 E[T] = m exp(3 s^2 / 2) / 2
    assert np.median(first_starts) < FIRST_START_S
    assert np.mean(first_work) == pytest.approx(336 * HOUR_S * np.exp(1.5 * 0.36) / 2, rel=0.15)
    assert np.median(later_work) == pytest.approx(336 * HOUR_S, rel=0.15)


@pytest.mark.parametrize("mean_gpus", [1.0, 4096.0, 36_864.0, 99_999.5])
def test_lanes_sum_to_the_mean(mean_gpus):
    sizes, shares = lanes(mean_gpus, (4096, 8192, 16_384), 400 * HOUR_S)

    assert np.dot(sizes, shares) == pytest.approx(mean_gpus)
    assert all(0 < share < 1 for share in shares)


def test_lanes_mix_the_sizes():
    assert sorted(lanes(39_000, (4096, 8192, 16_384), 400 * HOUR_S)[0]) == [4096, 4096, 8192, 8192, 16_384]


def test_frontier_without_spread_is_regular():
    drawn = draw_frontier(sigma_log_duration=0.0, median_duration_h=10.0, days=30)

    assert int(drawn.work_s.max()) == 10 * HOUR_S
    assert np.median(drawn.work_s) == 10 * HOUR_S


def test_frontier_of_seconds_is_refused():
    with pytest.raises(ScenarioError, match=r"demand\.frontier\.median_duration_h: would take more than"):
        draw_frontier(median_duration_h=0.001)


def test_inference_mean_over_the_year(inference_year):
    assert busy(inference_year, 365) == pytest.approx(19_000, rel=0.02)
    assert set(inference_year.gpus.tolist()) == {16}


def test_inference_peaks_at_the_local_hour_all_year(inference_year):
    times_s, count = replicas_running(inference_year, 365)
    local = [(START + timedelta(seconds=int(second))).astimezone(OSLO) for second in times_s]
    hour = np.array([moment.hour + moment.minute / 60 for moment in local])
    summer = np.array([moment.dst() != timedelta(0) for moment in local])
    for season in (summer, ~summer):
        mean = np.array([count[season & (hour == quarter / 4)].mean() for quarter in range(96)])
        # the phase of the first harmonic, which noise moves little
        phase = np.angle(np.exp(-2j * np.pi * np.arange(96) / 96) @ mean)

        assert -phase * 24 / (2 * np.pi) % 24 == pytest.approx(15.0, abs=0.2)
        assert mean.max() / mean.min() == pytest.approx(1.35 / 0.65, rel=0.05)  # about 2:1


def test_inference_rests_at_the_weekend(inference_year):
    times_s, count = replicas_running(inference_year, 365)
    local = [(START + timedelta(seconds=int(second))).astimezone(OSLO) for second in times_s]
    midday = np.array([10 <= moment.hour < 20 for moment in local])
    weekend = np.array([moment.weekday() >= 5 for moment in local])

    assert count[midday & weekend].mean() / count[midday & ~weekend].mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("date", "hours", "peak_utc"),
    [
        (datetime(2027, 3, 27, tzinfo=OSLO), 24, 14),
        (datetime(2027, 3, 28, tzinfo=OSLO), 23, 13),
        (datetime(2027, 10, 30, tzinfo=OSLO), 24, 13),
        (datetime(2027, 10, 31, tzinfo=OSLO), 25, 14),
    ],
)
def test_days_when_the_clocks_change(date, hours, peak_utc):
    midnight = date.astimezone(UTC)
    offsets_s = utc_offsets_s(midnight, 900, hours * 4 + 1, "Europe/Oslo")
    monday_s = (midnight.weekday() * 24 + midnight.hour) * HOUR_S
    local_s = monday_s + np.arange(hours * 4 + 1) * 900 + offsets_s
    shape = diurnal_shape(local_s, amplitude_fraction=0.35, peak_hour_local=15.0, weekend_fraction=1.0)
    peak = midnight + timedelta(seconds=int(shape.argmax()) * 900)

    assert (peak.hour, peak.minute) == (peak_utc, 0)
    assert peak.astimezone(OSLO).hour == 15
    # one midnight to the next is the whole local day, be it 23, 24 or 25 hours long
    assert local_s[-1] - local_s[0] == DAY_S


def test_zones_that_change_at_odd_minutes():
    """Lord Howe moves by half an hour, at 15:00 UTC on the first Sunday of April."""
    offsets_s = utc_offsets_s(datetime(2027, 4, 3, tzinfo=UTC), 900, 96, "Australia/Lord_Howe")

    assert offsets_s[59] == 11 * HOUR_S
    assert offsets_s[60] == 10.5 * HOUR_S


def test_shape_has_mean_one_over_a_week():
    shape = diurnal_shape(
        np.arange(0, 7 * DAY_S, 60), amplitude_fraction=0.6, peak_hour_local=9.0, weekend_fraction=0.5
    )

    assert shape.mean() == pytest.approx(1.0, abs=1e-6)


def test_replicas_are_renewed_weekly_and_not_all_at_once(inference_year):
    assert int(inference_year.work_s.max()) == 7 * DAY_S
    whole_weeks = inference_year.submit_s[inference_year.work_s == 7 * DAY_S]
    per_hour = np.bincount(whole_weeks // HOUR_S)

    assert whole_weeks.shape[0] > 20_000
    assert per_hour.max() <= 10


def test_no_level_runs_twice(inference_year):
    """Replicas running = what is needed: 1,187 on average; never more than the peak of the shape and its noise."""
    _, count = replicas_running(inference_year, 365)

    assert count.mean() == pytest.approx(19_000 / 16, rel=0.02)
    assert count.max() < 19_000 / 16 * 1.4318 * 1.15
    assert count.min() > 19_000 / 16 * 0.65 * 0.8 * 0.85


@pytest.mark.parametrize("draw", [draw_frontier, draw_diurnal])
def test_short_run_is_the_beginning_of_a_long_one(draw):
    few, many = draw(days=7), draw(days=30)
    count = few.submit_s.shape[0]

    assert count >= 5
    for column in ("submit_s", "work_s", "gpus", "tenant_draw"):
        assert getattr(few, column).tolist() == getattr(many, column)[:count].tolist()
    assert (many.submit_s[count:] >= 7 * DAY_S).all()


@pytest.mark.parametrize("draw", [draw_frontier, draw_diurnal])
def test_seeds_and_names_change_the_draw(draw):
    first, again = draw(days=7), draw(days=7)

    assert first.work_s.tolist() == again.work_s.tolist()
    assert first.work_s.tolist() != draw(days=7, seed=2).work_s.tolist()
    assert first.work_s.tolist() != draw(days=7, name="other").work_s.tolist()


def test_less_than_half_a_replica_says_so():
    drawn = draw_diurnal(mean_gpus=2.0, days=7)

    assert drawn.submit_s.shape[0] == 0
    assert drawn.notes == ("no jobs: the need never reaches half a replica of 16 GPUs",)


def test_unknown_time_zone_is_named():
    with pytest.raises(ScenarioError, match=r"site\.time_zone: no time zone 'Europe/Narvik'"):
        draw_diurnal(time_zone="Europe/Narvik", days=1)


def test_too_many_replicas_are_refused():
    with pytest.raises(ScenarioError, match=r"demand\.inference\.replica_gpus"):
        draw_diurnal(mean_gpus=5_000_000, replica_gpus=1)
