"""A series lies on the run by an explicit rule: inside, refused beyond its end, or repeated by calendar."""

import calendar
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.errors import SeriesError
from kvandal.series import Series, on_run
from kvandal.series.months import mean_preserving_knots, month_coordinate, month_index, over_months
from kvandal.series.regular import clock, epoch_s, instant

HOUR = timedelta(hours=1)


def series_from(start, values, step_s=3600):
    return Series(
        name="test",
        quantity="price",
        unit="1",
        start_utc=start,
        step_s=step_s,
        values=np.asarray(values, dtype=np.float64),
        source="test.csv",
        licence="",
        sha256="",
        synthetic=True,
    )


def epoch_series(start, hours, step_s=3600):
    """Every value is the instant that it belongs to [s]."""
    return series_from(start, epoch_s(start) + step_s * np.arange(hours * 3600 // step_s), step_s)


JANUARY = datetime(2027, 1, 1, tzinfo=UTC)


def test_hold_gives_each_step_its_value():
    values, rule = on_run(series_from(JANUARY, [1, 2, 3]), JANUARY, 7200, 900, "refuse", "hold")
    assert values.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert rule == "the run lies inside the series; each value held for its step"


def test_hold_on_a_coarser_grid_is_the_mean():
    quarters = series_from(JANUARY, [1, 2, 3, 6, 5, 5, 5, 5], 900)
    assert on_run(quarters, JANUARY, 7200, 3600, "refuse", "hold")[0].tolist() == [3, 5]


def test_hold_between_two_grids_weighs_both_values():
    """A series on the half hour under hourly steps: each step is half of one value and half of the next."""
    late = series_from(JANUARY - HOUR / 2, [0, 2, 4, 6])
    assert on_run(late, JANUARY, 7200, 3600, "refuse", "hold")[0].tolist() == [1, 3]


def test_linear_gives_both_ends_and_holds_the_last_value_for_one_step():
    values, rule = on_run(series_from(JANUARY, [0, 4]), JANUARY, 7200, 1800, "refuse", "linear")
    assert values.tolist() == [0, 2, 4, 4, 4]
    assert rule.endswith("linear between values")


@pytest.mark.parametrize("start", [JANUARY - HOUR, JANUARY + HOUR])
def test_a_run_beyond_the_series_is_refused_with_both_spans(start):
    with pytest.raises(SeriesError) as caught:
        on_run(series_from(JANUARY, [1, 2, 3]), start, 3 * 3600, 3600, "refuse", "hold")

    message = str(caught.value)
    assert message.startswith("test.csv: the run lasts from ")
    assert "only from 2027-01-01 00:00 UTC to 2027-01-01 03:00 UTC" in message
    assert 'at_end = "repeat"' in message


def test_less_than_a_year_cannot_be_repeated():
    with pytest.raises(
        SeriesError, match=r"\(8759 h\); to be repeated by calendar it must cover a whole year"
    ):
        on_run(epoch_series(JANUARY, 8759), JANUARY, 8760 * 3600, 3600, "repeat", "hold")


def test_a_leap_year_short_of_a_day_names_the_moment_that_is_missing():
    """8,760 hours from 1 January 2028 end on 30 December."""
    short = epoch_series(datetime(2028, 1, 1, tzinfo=UTC), 8760)
    with pytest.raises(SeriesError, match="calendar moment of 2029-12-31 00:00 UTC"):
        on_run(short, datetime(2029, 12, 30, tzinfo=UTC), 2 * 86_400, 3600, "repeat", "hold")


def test_uneven_length_is_a_programming_error():
    with pytest.raises(ValueError, match="multiple"):
        on_run(series_from(JANUARY, [1, 2]), JANUARY, 5000, 3600, "refuse", "hold")


def test_the_year_that_starts_an_hour_early():
    """2020-12-31 23:00 to 2021-12-31 22:00: the last hour of the year is the series' first."""
    year = epoch_series(datetime(2020, 12, 31, 23, tzinfo=UTC), 8760)
    values, rule = on_run(year, datetime(2027, 12, 31, 22, tzinfo=UTC), 3 * 3600, 3600, "repeat", "hold")

    assert [instant(int(v)) for v in values] == [
        datetime(2021, 12, 31, 22, tzinfo=UTC),
        datetime(2020, 12, 31, 23, tzinfo=UTC),
        datetime(2021, 1, 1, 0, tzinfo=UTC),
    ]
    assert rule.startswith("repeated by calendar: the same month, day and hour (UTC)")


def test_29_february():
    common, leap = (
        epoch_series(datetime(2021, 1, 1, tzinfo=UTC), 8760),
        epoch_series(datetime(2020, 1, 1, tzinfo=UTC), 8784),
    )
    day = (datetime(2028, 2, 29, tzinfo=UTC), 86_400, 3600, "repeat", "hold")
    assert instant(int(on_run(common, *day)[0][5])) == datetime(2021, 2, 28, 5, tzinfo=UTC)
    assert instant(int(on_run(leap, *day)[0][5])) == datetime(2020, 2, 29, 5, tzinfo=UTC)


def test_instants_inside_keep_their_own_value_and_later_ones_take_the_latest_year():
    three = epoch_series(datetime(2020, 1, 1, tzinfo=UTC), 26_304)
    values, rule = on_run(three, datetime(2021, 12, 31, tzinfo=UTC), 2 * 365 * 86_400, 3600, "repeat", "hold")

    assert instant(int(values[0])) == datetime(2021, 12, 31, tzinfo=UTC)
    assert instant(int(values[24])) == datetime(2022, 1, 1, tzinfo=UTC)
    assert instant(int(values[-1])) == datetime(2022, 12, 30, 23, tzinfo=UTC)
    assert "inside the series its own values" in rule


def calendar_of(moment):
    return (moment.month, moment.day, moment.hour, moment.minute)


@settings(max_examples=150, deadline=None)
@given(
    series_start_h=st.integers(0, 300_000),
    extra_h=st.integers(24, 20_000),
    step_s=st.sampled_from([900, 1800, 3600]),
    run_start_h=st.integers(-100_000, 400_000),
    hours=st.integers(1, 30_000),
)
def test_law_of_repeating(series_start_h, extra_h, step_s, run_start_h, hours):
    """Every instant of any run gets the same calendar moment; 29 February may get 28; inside, itself."""
    start = datetime(1995, 1, 1, tzinfo=UTC) + series_start_h * HOUR
    series = epoch_series(start, 8760 + extra_h, step_s)
    run_start = datetime(2010, 1, 1, tzinfo=UTC) + run_start_h * HOUR
    values, _ = on_run(series, run_start, hours * 3600, 3600, "repeat", "hold")

    assert values.shape == (hours,)
    found = values if step_s == 3600 else values - (3600 - step_s) / 2  # an hour's mean of its quarters
    for index in {0, hours - 1, hours // 2, hours // 3, *range(0, hours, max(1, hours // 40))}:
        asked, given_s = run_start + index * HOUR, found[index]
        assert series.start_s <= given_s < series.end_s
        if series.start_s <= epoch_s(asked) and epoch_s(asked) + 3600 <= series.end_s:
            assert given_s == epoch_s(asked)
        elif (asked.month, asked.day) == (2, 29):
            assert calendar_of(instant(int(given_s)))[1:] in {(28, asked.hour, 0), (29, asked.hour, 0)}
        else:
            assert calendar_of(instant(int(given_s))) == calendar_of(asked)


@settings(max_examples=50, deadline=None)
@given(
    run_start_h=st.integers(0, 200_000), hours=st.integers(1, 5000), step_s=st.sampled_from([60, 900, 3600])
)
def test_law_of_the_prefix_and_of_bounds(run_start_h, hours, step_s):
    """A shorter run is the beginning of a longer one; interpolation never leaves the range of the series."""
    generator = np.random.default_rng(1)
    year = series_from(datetime(2020, 12, 31, 23, tzinfo=UTC), generator.normal(size=8760))
    run_start = datetime(2015, 1, 1, tzinfo=UTC) + run_start_h * HOUR
    whole, _ = on_run(year, run_start, hours * 3600, step_s, "repeat", "linear")
    part, _ = on_run(year, run_start, 3600, step_s, "repeat", "linear")
    beyond = epoch_s(run_start) + hours * 3600 > year.end_s

    assert whole.shape == (hours * 3600 // step_s + 1,)
    assert whole.min() >= year.values.min()
    assert whole.max() <= year.values.max()
    if beyond:
        assert part[:-1].tolist() == whole[: 3600 // step_s].tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1990, 2040), st.lists(st.floats(-30, 30), min_size=12, max_size=12))
def test_law_of_monthly_means(year, means):
    """The continuous curve has exactly the asked mean in every month, leap year or not."""
    hours = 8784 if calendar.isleap(year) else 8760
    time_s = epoch_s(datetime(year, 1, 1, tzinfo=UTC)) + 3600 * np.arange(hours)
    found = over_months(month_coordinate(time_s), mean_preserving_knots(time_s, np.array(means)))

    month = month_index(time_s)
    assert [found[month == m].mean() for m in range(12)] == pytest.approx(means, abs=1e-9)
    assert np.abs(np.diff(found)).max() < 0.5  # at most 60 K·1.5 over about 700 hours


def test_clock_writes_seconds_only_if_there_are_any():
    assert clock(1) == "1970-01-01 00:00:01 UTC"
    assert clock(3600) == "1970-01-01 01:00 UTC"
    with pytest.raises(ValueError, match="offset"):
        epoch_s(datetime(2027, 1, 1))  # noqa: DTZ001
