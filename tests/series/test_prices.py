"""Prices: the seeded generator keeps its promises; real files load, or are refused where they end or break."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from no4_statistics import STATISTICS, generated, generator_row, real

from kvandal.energy.price_generator import prices_eur_per_mwh, unit_year
from kvandal.energy.prices import load_prices
from kvandal.errors import SeriesError
from kvandal.scenario.market import Market
from kvandal.scenario.parameters import curve
from kvandal.series.months import month_index

START = datetime(2027, 1, 1, tzinfo=UTC)
HOURLY = "unclear-licence/prices/dayahead_no1-no5_2020-2022.parquet"
RECENT = "unclear-licence/prices/dayahead_nordic_gb_2025-01_2026-01.parquet"
QUARTERS = "unclear-licence/prices/dayahead_15min_no3_no4_se1_2025-10_2026-01.parquet"


# --- generator ---


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    year=st.integers(1990, 2100),
    mean=st.floats(-100, 2000),
)
def test_law_of_the_mean(seed, year, mean):
    """A calendar year has exactly the asked mean, whatever the mean, seed and length of the year."""
    hours = 8784 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 8760
    found = prices_eur_per_mwh(datetime(year, 1, 1, tzinfo=UTC), hours, mean, seed)
    assert found.mean() == pytest.approx(mean, abs=1e-9 * max(1, abs(mean)))
    assert np.isfinite(found).all()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    start_h=st.integers(0, 20_000),
    hours=st.integers(1, 20_000),
    more_h=st.integers(0, 9000),
)
def test_law_of_the_prefix(seed, start_h, hours, more_h):
    """A run is a cut-out of the years it lies in: neither its start nor its length changes an hour."""
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=start_h)
    part = prices_eur_per_mwh(start, hours, 25, seed)
    longer = prices_eur_per_mwh(start - timedelta(hours=more_h), hours + 2 * more_h, 25, seed)
    assert part.tolist() == longer[more_h : more_h + hours].tolist()


def test_seeds_and_years_differ_and_repeat():
    assert unit_year(2027, 1).tolist() == unit_year.__wrapped__(2027, 1).tolist()
    assert unit_year(2027, 1)[0] != unit_year(2027, 2)[0]
    assert np.corrcoef(unit_year(2027, 1), unit_year(2029, 1))[0, 1] < 0.6


def test_golden_prices():
    """The first hours of seed 1: a change here changes every synthetic run."""
    assert prices_eur_per_mwh(START, 4, 25, 1).round(3).tolist() == GOLDEN


GOLDEN = [13.171, 12.44, 12.378, 12.101]


def test_years_join_without_a_break():
    """Across New Year the price moves no more than from any other hour to the next."""
    jumps = []
    for seed in range(30):
        around = prices_eur_per_mwh(datetime(2027, 12, 31, 22, tzinfo=UTC), 4, 25, seed)
        jumps.append(abs(np.log(max(around[2], 1)) - np.log(max(around[1], 1))))
    assert np.median(jumps) < 0.08


def test_mean_shape_of_months_and_days():
    """Over many seeds the months follow the registry's shape; nights and weekends are cheaper."""
    years = np.mean([unit_year(2027, seed) for seed in range(60)], axis=0)
    month = month_index(int(START.timestamp()) + 3600 * np.arange(8760))
    found = [years[month == m].mean() for m in range(12)]
    assert found == pytest.approx(curve("spot_month_shape"), abs=0.15)
    by_hour = years.reshape(-1, 24).mean(axis=0)
    assert by_hour[1:4].max() < 0.92
    assert by_hour[7:10].min() > 1.05
    weekday = (np.arange(365) + START.weekday()) % 7
    daily = years.reshape(-1, 24).mean(axis=1)
    assert 0.85 < daily[weekday >= 5].mean() / daily[weekday < 5].mean() < 0.97


def test_shares_meet_the_published_targets():
    """About 3 % of hours below 1 EUR and 1 % above 120 EUR at the default mean; negative hours occur."""
    years = generated(range(100, 160))
    below, above, negative = (
        np.mean([year[name] for year in years])
        for name in ("share below 1 EUR", "share above 120 EUR", "share below 0 EUR")
    )
    assert 0.02 < below < 0.04
    assert 0.006 < above < 0.014
    assert 0.003 < negative < 0.02
    assert np.mean([year["std of log daily mean"] for year in years]) < 1.0
    assert all(year["smallest [EUR/MWh]"] > -100 and year["largest [EUR/MWh]"] < 1000 for year in years)


def test_documented_table_is_the_generators(pytestconfig):
    """docs/series.md shows what the generator gives."""
    text = (pytestconfig.rootpath / "docs/series.md").read_text(encoding="utf-8")
    years = generated()
    for name in STATISTICS:
        assert f"| {name} | {generator_row(name, years)} |" in text


BANDS = {  # how far the seeds' mean may lie outside the span of the real years, as a factor
    "std of log daily mean": 1.0,
    "std of its daily change": 1.0,
    "correlation of log price at 24 h": 1.05,
    "correlation of price at 24 h": 1.05,
    "std of log price in a day": 1.0,
    "share below 1 EUR": 1.0,
    "share above 120 EUR": 1.0,
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", BANDS)
def test_generator_lies_in_the_span_of_real_years(shared_data, name):
    measured = [year[name] for year in real(shared_data).values()]
    found = np.mean([year[name] for year in generated()])
    assert min(measured) / BANDS[name] <= found <= max(measured) * BANDS[name]


# --- loading ---


def test_synthetic_prices_say_so():
    found = load_prices(Market(), START, 7, 1)

    assert found.synthetic
    assert found.series.synthetic
    assert found.name == "synthetic NO4 day-ahead"
    assert found.step_s == 3600
    assert found.eur_per_mwh.shape == (168,)
    assert "seed 1, yearly mean 25 EUR/MWh" in found.series.source
    assert load_prices(Market(), START, 365, 1).eur_per_mwh[:168].tolist() == found.eur_per_mwh.tolist()
    assert load_prices(Market(), START, 7, 2).series.sha256 != found.series.sha256


def write_prices(folder, step_min, count):
    path = folder / "own.csv"
    rows = [f"{START + timedelta(minutes=step_min * i):%Y-%m-%dT%H:%MZ},{i}" for i in range(count)]
    path.write_text("time_utc,eur_per_mwh\n" + "\n".join(rows))
    return str(path)


@pytest.mark.parametrize(("step_min", "step_s"), [(60, 3600), (30, 900), (15, 900)])
def test_own_prices_keep_their_step(tmp_path, step_min, step_s):
    path = write_prices(tmp_path, step_min, 24 * 60 // step_min)
    found = load_prices(Market(prices=path), START, 1, 1)

    assert found.step_s == step_s
    assert found.eur_per_mwh.shape == (86_400 // step_s,)
    assert not found.synthetic
    assert found.eur_per_mwh.mean() == pytest.approx((24 * 60 / step_min - 1) / 2)
    with pytest.raises(SeriesError, match="the run lasts from 2027-01-01 00:00 UTC to 2027-01-03 00:00 UTC"):
        load_prices(Market(prices=path), START, 2, 1)


def test_wrong_prices_are_refused(tmp_path):
    with pytest.raises(SeriesError, match=r"market.prices: no such prices; give 'synthetic-no4'"):
        load_prices(Market(prices="nordpool"), START, 1, 1)
    with pytest.raises(SeriesError, match=r"name a column .*_eur_per_mwh, got 'NO4_nok_per_mwh'"):
        load_prices(Market(prices="x.parquet#NO4_nok_per_mwh"), START, 1, 1)
    with pytest.raises(SeriesError, match="no such file"):
        load_prices(Market(prices=str(tmp_path / "x.parquet")), START, 1, 1)


@pytest.mark.shared_data
def test_real_years_over_both_clock_changes(shared_data):
    """2025-03-30 and 2025-10-26: 24 UTC hours each, none lost, none doubled."""
    start = datetime(2025, 2, 1, tzinfo=UTC)
    found = load_prices(Market(prices=f"{shared_data / RECENT}#NO4_eur_per_mwh"), start, 300, 1)
    frame = pl.read_parquet(shared_data / RECENT).filter(
        pl.col("time_utc").is_between(start, start + timedelta(days=300), closed="left")
    )
    assert found.eur_per_mwh.tolist() == frame["NO4_eur_per_mwh"].to_list()
    assert found.rule == "the run lies inside the series; each value held for its step"


@pytest.mark.shared_data
def test_real_file_ends(shared_data):
    market = Market(prices=f"{shared_data / RECENT}#NO4_eur_per_mwh")
    with pytest.raises(
        SeriesError, match=r"2026-01-20 00:00 UTC to 2026-02-19 00:00 UTC.* to 2026-01-24 00:00 UTC"
    ):
        load_prices(market, datetime(2026, 1, 20, tzinfo=UTC), 30, 1)
    repeated = load_prices(
        market.model_copy(update={"at_end": "repeat"}), datetime(2026, 1, 20, tzinfo=UTC), 800, 1
    )
    assert repeated.eur_per_mwh.shape == (800 * 24,)
    assert "repeated by calendar" in repeated.rule


@pytest.mark.shared_data
def test_the_missing_leap_day_is_named(shared_data):
    """2020-01-29 is missing in the source."""
    market = Market(prices=f"{shared_data / HOURLY}#NO4_eur_per_mwh")
    with pytest.raises(
        SeriesError, match=r"row 673: 24 rows are missing from 2020-01-28 23:00 UTC to 2020-01-29 22:00 UTC"
    ):
        load_prices(market, datetime(2021, 1, 1, tzinfo=UTC), 7, 1)


@pytest.mark.shared_data
def test_real_prices_from_after_the_gap(shared_data, tmp_path):
    """The part after the gap loads: 2021 and 2022 whole."""
    path = tmp_path / "no4.parquet"
    frame = pl.read_parquet(shared_data / HOURLY).filter(
        pl.col("time_utc") >= datetime(2020, 2, 1, tzinfo=UTC)
    )
    frame.select("time_utc", "NO4_eur_per_mwh").write_parquet(path)
    found = load_prices(Market(prices=str(path)), datetime(2021, 1, 1, tzinfo=UTC), 365, 1)
    assert found.eur_per_mwh.mean() == pytest.approx(35.0, abs=0.5)


@pytest.mark.shared_data
def test_several_zones_must_be_named(shared_data):
    with pytest.raises(SeriesError, match="several columns could be meant: FI_eur_per_mwh, GB_eur_per_mwh"):
        load_prices(Market(prices=str(shared_data / RECENT)), START, 1, 1)


@pytest.mark.shared_data
def test_real_quarter_hours(shared_data):
    """The 15-minute file lacks the second 02:00 hour of 2025-10-26; the part after it loads at its own step."""
    market = Market(prices=f"{shared_data / QUARTERS}#NO4_eur_per_mwh")
    with pytest.raises(
        SeriesError, match="4 rows are missing from 2025-10-26 01:00 UTC to 2025-10-26 01:45 UTC"
    ):
        load_prices(market, datetime(2025, 11, 1, tzinfo=UTC), 7, 1)


@pytest.mark.shared_data
def test_real_quarter_hours_after_the_gap(shared_data, tmp_path):
    path = tmp_path / "quarters.parquet"
    pl.read_parquet(shared_data / QUARTERS).filter(
        pl.col("time_utc") >= datetime(2025, 11, 1, tzinfo=UTC)
    ).write_parquet(path)
    found = load_prices(Market(prices=f"{path}#NO4_eur_per_mwh"), datetime(2025, 11, 1, tzinfo=UTC), 60, 1)
    assert found.step_s == 900
    assert found.eur_per_mwh.shape == (60 * 96,)
