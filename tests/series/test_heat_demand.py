"""Heat customers: profiles over weather and calendar, scaled on a normal year, cut at the connection."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.climate import load_weather, normal_year
from kvandal.errors import SeriesError
from kvandal.physics.heat_demand import (
    demand_profile_mw,
    district_heating_shape,
    drying_shape,
    fish_farm_shape,
    greenhouse_shape,
    local_hours,
    scale_to_energy,
)
from kvandal.scenario.plant import Climate, HeatCustomer

KINDS = ["district_heating", "fish_farm", "greenhouse", "drying", "flat"]
START = datetime(2027, 1, 1, tzinfo=UTC)


def customer(kind, peak_mw=10.0, annual_gwh=20.0):
    return HeatCustomer(kind=kind, peak_mw=peak_mw, annual_gwh=annual_gwh, supply_c=60.0, return_c=40.0)


def demand(kind, start, temp_c, **options):
    normal_start, normal_c = normal_year()
    return demand_profile_mw(
        customer(kind, **options), start, np.asarray(temp_c, float), normal_c, normal_start
    )


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    peak_mw=st.floats(0.5, 50),
    share=st.floats(0.01, 0.55),
)
def test_law_of_the_normal_year(kind, peak_mw, share):
    """A normal year asks for annual_gwh to the kWh, also where it is cut at the peak."""
    start, temp_c = normal_year()
    annual_gwh = peak_mw * 8.76 * share
    found = demand(kind, start, temp_c, peak_mw=peak_mw, annual_gwh=annual_gwh)

    assert found.sum() / 1000 == pytest.approx(annual_gwh, rel=1e-9)
    assert found.min() >= 0
    assert found.max() <= peak_mw


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_from_minus_40_to_plus_50(kind):
    temp_c = np.linspace(-40, 50, 24 * 7)
    found = demand(kind, START, temp_c)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 10).all()
    assert found.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_week_is_not_blown_up_to_a_year(kind):
    """A week asks for what the same week of the year's run asks for."""
    weather = load_weather(Climate(), START, 365).temp_c[:-1]
    year, week = demand(kind, START, weather), demand(kind, START, weather[:168])
    assert week.tolist() == year[:168].tolist()
    assert week.sum() < 2000


def test_a_cold_year_asks_for_more():
    start, temp_c = normal_year()
    assert demand("district_heating", start, temp_c - 3).sum() > 1.1 * 20_000
    assert demand("flat", start, temp_c - 3).sum() == pytest.approx(20_000)


def test_district_heating_shape_by_hand():
    """Normal year of two hours at 7 and 17 °C: 5 K mean; 18 % hot water, and 0.82 (17 - T)/5."""
    found = district_heating_shape(np.array([17.0, 12.0, -3.0, 30.0]), np.array([7.0, 17.0]))
    assert found.tolist() == pytest.approx([0.18, 1.0, 0.18 + 0.82 * 4, 0.18])
    assert district_heating_shape(np.array([5.0]), np.array([20.0])).tolist() == [1.0]


def test_fish_farm_is_flat_but_for_the_winter():
    found = fish_farm_shape(local_hours(START, 8760))
    assert found.max() == pytest.approx(1.15, abs=0.001)
    assert found.min() == pytest.approx(1.0, abs=0.001)


def test_greenhouse_rests_in_summer_and_asks_more_at_night():
    noon, night = datetime(2027, 3, 1, 11, tzinfo=UTC), datetime(2027, 3, 1, 22, tzinfo=UTC)
    shape = [
        float(greenhouse_shape(np.array([8.0]), local_hours(t, 1))[0])
        for t in (noon, night, noon.replace(month=7))
    ]
    assert shape == pytest.approx([10, 12, 0.5])
    assert float(greenhouse_shape(np.array([18.5]), local_hours(noon, 1))[0]) == 0


def test_drying_runs_in_batches_on_working_days():
    """From Friday's batch (until Saturday 4 h) to Monday 6 h nothing is asked for."""
    calendar = local_hours(datetime(2027, 1, 3, 23, tzinfo=UTC), 7 * 24)  # Monday 2027-01-04, 0 h local
    found = drying_shape(calendar).reshape(7, 24)

    assert calendar.weekday[0] == 1
    assert not found[0, :6].any()
    assert found[0, 6] == 1
    assert found[1, 3] == pytest.approx(0.6)
    assert not found[1, 4:6].any()
    assert found[5, :4].all()
    assert not found[5, 4:].any()
    assert not found[6].any()


def test_local_hours_follow_summer_time():
    march = local_hours(datetime(2027, 3, 27, 23, tzinfo=UTC), 4).hour.tolist()
    october = local_hours(datetime(2027, 10, 30, 22, tzinfo=UTC), 5).hour.tolist()
    assert march == [0, 1, 3, 4]
    assert october == [0, 1, 2, 2, 3]
    with pytest.raises(ValueError, match="offset"):
        local_hours(datetime(2027, 1, 1), 1)  # noqa: DTZ001


def test_energy_that_the_connection_cannot_carry_is_refused():
    """A greenhouse that rests, or a plant that dries on working days only, has fewer hours than a year."""
    start, temp_c = normal_year()
    with pytest.raises(
        SeriesError, match=r"heat.customers.dryer: annual_gwh \(80\) cannot pass peak_mw \(10\): drying asks"
    ):
        demand_profile_mw(customer("drying", annual_gwh=80.0), start, temp_c, temp_c, start, name="dryer")
    assert scale_to_energy(np.zeros(5), 1.0, 1.0) is None
    assert scale_to_energy(np.ones(5), 5.0, 1.0) == pytest.approx(1.0)


def test_temperatures_must_be_numbers():
    with pytest.raises(ValueError, match="finite"):
        demand("flat", START, [1.0, float("nan")])


@pytest.mark.shared_data
def test_district_heating_against_a_measured_campus(shared_data):
    """NTNU Gløshaugen 2017-18: the shape follows the measured load; the numbers stand in docs/series.md."""
    frame = pl.read_parquet(shared_data / "heat/ntnu_gloshaugen_campus_district_heating_hourly.parquet")
    measured = frame["heat_load_total_kw"].to_numpy()
    temp_c = frame["outdoor_temp_c"].to_numpy()
    model = district_heating_shape(temp_c, temp_c) * measured.mean()
    daily_model, daily_measured = (x.reshape(-1, 24).mean(axis=1) for x in (model, measured))

    assert np.corrcoef(model, measured)[0, 1] == pytest.approx(0.957, abs=0.001)
    assert np.corrcoef(daily_model, daily_measured)[0, 1] == pytest.approx(0.979, abs=0.001)
    assert np.sqrt(((model - measured) ** 2).mean()) / measured.mean() == pytest.approx(0.42, abs=0.01)
    assert model.max() / measured.max() == pytest.approx(0.61, abs=0.01)


def test_29_february_takes_the_weather_of_the_28th():
    days = load_weather(Climate(), datetime(2028, 2, 28, tzinfo=UTC), 3)
    found = demand("district_heating", datetime(2028, 2, 28, tzinfo=UTC), days.temp_c[:-1])
    assert found[:24].tolist() == found[24:48].tolist()
