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
    LocalHours,
    asked_mw,
    degree_hours_shape,
    drying_shape,
    fish_farm_shape,
    greenhouse_shape,
    local_hours,
    normal_factor_mw,
    scale_to_energy,
    signature_shape,
)
from kvandal.scenario.heat import Heat, HeatCustomer
from kvandal.scenario.plant import Climate

KINDS = ["district_heating", "fish_farm", "greenhouse", "drying", "flat"]
START = datetime(2027, 1, 1, tzinfo=UTC)


def customer(kind, peak_mw=10.0, annual_gwh=20.0):
    return HeatCustomer(kind=kind, peak_mw=peak_mw, annual_gwh=annual_gwh, supply_c=60.0, return_c=40.0)


def demand(kind, start, temp_c, model="signature", **options):
    normal_start, normal_c = normal_year()
    heat, asking = Heat(district_heating_model=model), customer(kind, **options)
    factor = normal_factor_mw(asking, normal_c, normal_start, heat=heat)
    temp_c = np.asarray(temp_c, float)
    return asked_mw(asking, factor, temp_c, local_hours(start, len(temp_c)), normal_c, heat)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    peak_mw=st.floats(0.5, 50),
    share=st.floats(0.01, 0.55),
    model=st.sampled_from(["signature", "degree_hours"]),
)
def test_law_of_the_normal_year(kind, peak_mw, share, model):
    """A normal year asks for annual_gwh to the kWh, also where it is cut at the peak."""
    start, temp_c = normal_year()
    annual_gwh = peak_mw * 8.76 * share
    found = demand(kind, start, temp_c, model, peak_mw=peak_mw, annual_gwh=annual_gwh)

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


def test_degree_hours_by_hand():
    """Normal year of two hours at 7 and 17 °C: 5 K mean; 18 % hot water, and 0.82 (17 - T)/5."""
    found = degree_hours_shape(np.array([17.0, 12.0, -3.0, 30.0]), np.array([7.0, 17.0]), 17.0, 0.18)
    assert found.tolist() == pytest.approx([0.18, 1.0, 0.18 + 0.82 * 4, 0.18])
    assert degree_hours_shape(np.array([5.0]), np.array([20.0]), 17.0, 0.18).tolist() == [1.0]


def test_signature_by_hand():
    """Normal year at 0.25 °C: 10 K. At -4.75 °C 0.12 + 0.88 · 1.5 = 1.44; on a working day 1.3-fold; over 1 + 0.3 · 60/168."""
    week = local_hours(datetime(2027, 1, 3, 23, tzinfo=UTC), 168)  # Monday 2027-01-04, 0 h local
    found = signature_shape(np.full(168, -4.75), week, np.full(8760, 0.25), 10.25, 0.12, 1.3).reshape(7, 24)
    plain = 1.44 / (1 + 0.3 * 60 / 168)

    assert found[:5, 8:20].tolist() == pytest.approx(np.full((5, 12), 1.3 * plain))
    assert found[:5, :8].tolist() == pytest.approx(np.full((5, 8), plain))
    assert found[:5, 20:].tolist() == pytest.approx(np.full((5, 4), plain))
    assert found[5:].tolist() == pytest.approx(np.full((2, 24), plain))
    assert found.mean() == pytest.approx(1.44)


@given(temp_c=st.floats(-40, 50), colder_k=st.floats(0, 30), hour=st.integers(0, 8759))
def test_law_that_cold_is_never_cheaper(temp_c, colder_k, hour):
    """Both models of district heating ask for no less when it is colder."""
    start, normal_c = normal_year()
    calendar = LocalHours(*(part[hour : hour + 1] for part in local_hours(start, 8760)))
    warm, cold = np.array([temp_c]), np.array([temp_c - colder_k])
    by_hours = [degree_hours_shape(t, normal_c, 17.0, 0.18)[0] for t in (warm, cold)]
    by_signature = [signature_shape(t, calendar, normal_c, 10.25, 0.12, 1.3)[0] for t in (warm, cold)]

    assert 0 < by_hours[0] <= by_hours[1]
    assert 0 < by_signature[0] <= by_signature[1]


def test_the_models_of_district_heating_differ():
    start, temp_c = normal_year()
    signature, degree_hours = (
        demand("district_heating", start, temp_c, model) for model in ("signature", "degree_hours")
    )
    assert signature.sum() == pytest.approx(degree_hours.sum())
    assert signature.max() > 1.2 * degree_hours.max()


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
        normal_factor_mw(customer("drying", annual_gwh=80.0), temp_c, start, name="dryer")
    assert scale_to_energy(np.zeros(5), 1.0, 1.0) is None
    assert scale_to_energy(np.ones(5), 5.0, 1.0) == pytest.approx(1.0)


def test_temperatures_must_be_numbers():
    with pytest.raises(ValueError, match="finite"):
        demand("flat", START, [1.0, float("nan")])


class Campus:
    """NTNU Gløshaugen, June 2017 to June 2018: measured load over its mean, temperature, calendar."""

    def __init__(self, shared_data):
        frame = pl.read_parquet(shared_data / "heat/ntnu_gloshaugen_campus_district_heating_hourly.parquet")
        self.load = frame["heat_load_total_kw"].to_numpy() / frame["heat_load_total_kw"].mean()
        self.temp_c = frame["outdoor_temp_c"].to_numpy()
        day, hour = (frame[name].to_numpy().astype(np.int64) for name in ("day_of_week", "hour_of_day"))
        self.calendar = LocalHours(hour, hour, day, hour)
        self.fitted = np.arange(8760) < 4380
        """The half that the signature was fitted to: 11 June to 10 December 2017."""

    def scaled(self, shape, hours):
        """Shape with the energy that was measured in `hours`."""
        return shape * self.load[hours].mean() / shape[hours].mean()

    def models(self):
        defaults = Heat()
        degree_hours = degree_hours_shape(
            self.temp_c, self.temp_c, defaults.degree_hours_limit_c, defaults.degree_hours_hot_water_share
        )
        return {
            "signature": self.signature(
                defaults.signature_limit_c,
                defaults.signature_hot_water_share,
                defaults.signature_working_factor,
            ),
            "degree_hours": degree_hours,
        }

    def signature(self, limit_c, hot_water_share, working_factor):
        return signature_shape(
            self.temp_c, self.calendar, self.temp_c, limit_c, hot_water_share, working_factor
        )


def compared(model, measured):
    """RMSE, peak, load duration, correlation of hours and of days; errors over the measured mean."""
    ordered = np.abs(np.sort(model) - np.sort(measured)).mean()
    daily = [part[: len(part) // 24 * 24].reshape(-1, 24).mean(axis=1) for part in (model, measured)]
    return [
        np.sqrt(((model - measured) ** 2).mean()) / measured.mean(),
        model.mean() / measured.mean() - 1,
        model.max() / measured.max(),
        ordered / measured.mean(),
        np.corrcoef(model, measured)[0, 1],
        np.corrcoef(*daily)[0, 1],
    ]


NAMES = (
    "root-mean-square error over mean load",
    "energy, model over measurement less 1",
    "model's peak over the measured one",
    "mean error of the load-duration curve over mean load",
    "correlation, hours",
    "correlation, days",
)
CAMPUS = {
    "signature": [0.107, 0.015, 1.147, 0.030, 0.979, 0.993],
    "degree_hours": [0.501, -0.370, 0.447, 0.394, 0.950, 0.982],
}
"""On the half of the year that the signature was not fitted to, scaled to the energy of the other half."""
OWN_ENERGY = {
    "signature": [0.127, 0.0, 1.135, 0.039, 0.988, 0.996],
    "degree_hours": [0.421, 0.0, 0.611, 0.334, 0.957, 0.979],
}
"""On the whole year, scaled to its own energy, as a customer's profile is."""


@pytest.mark.shared_data
def test_district_heating_against_a_measured_campus(shared_data, pytestconfig):
    """The signature follows the half-year that it has not seen; the numbers stand in docs/series.md."""
    campus = Campus(shared_data)
    text = (pytestconfig.rootpath / "docs/series.md").read_text(encoding="utf-8")
    everything = np.ones(8760, bool)
    found = {}
    for name, shape in campus.models().items():
        held_out = compared(campus.scaled(shape, campus.fitted)[~campus.fitted], campus.load[~campus.fitted])
        found[name] = held_out + compared(campus.scaled(shape, everything), campus.load)
        assert held_out == pytest.approx(CAMPUS[name], abs=0.001)
        assert found[name][6:] == pytest.approx(OWN_ENERGY[name], abs=0.001)
    for index, label in enumerate(NAMES):
        cells = [
            f"{found[name][i]:.3f}" for i in (index, index + 6) for name in ("signature", "degree_hours")
        ]
        assert f"| {label} | {' | '.join(cells).replace('-0.000', '0.000')} |" in text


@pytest.mark.shared_data
def test_the_signature_is_the_best_of_its_kind(shared_data):
    """On the half that it was fitted to, no neighbour on the grid is better."""
    campus = Campus(shared_data)

    def error(*numbers):
        model = campus.scaled(campus.signature(*numbers), campus.fitted)
        return float(((model - campus.load)[campus.fitted] ** 2).mean())

    best = error(10.25, 0.12, 1.3)
    for limit_c in (10.0, 10.25, 10.5):
        for share in (0.11, 0.12, 0.13):
            for factor in (1.275, 1.3, 1.325):
                assert error(limit_c, share, factor) >= best


def test_29_february_takes_the_weather_of_the_28th():
    days = load_weather(Climate(), datetime(2028, 2, 28, tzinfo=UTC), 3)
    found = demand("district_heating", datetime(2028, 2, 28, tzinfo=UTC), days.temp_c[:-1])
    assert found[:24].tolist() == found[24:48].tolist()
