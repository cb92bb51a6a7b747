"""Impossible set-points are refused with the reason and the nearest possible value."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.climate import Weather, load_weather
from kvandal.climate.wet_bulb import dew_point_c
from kvandal.errors import ScenarioError
from kvandal.twin.checks import refuse_condensing

START = datetime(2027, 7, 1, tzinfo=UTC)


def scenario(changes, days=1):
    return kv.load("stargate-norway", {"run.start_utc": START, "run.days": days, **changes})


def weather(temp_c, humidity_pct=None):
    found = load_weather(scenario({}).climate, START, 1)
    temp_c = np.broadcast_to(np.asarray(temp_c, float), 25).copy()
    humidity = None if humidity_pct is None else np.broadcast_to(np.asarray(humidity_pct, float), 25).copy()
    return Weather(found.name, START, temp_c, None, humidity, found.series, found.rule)


def nearest(message):
    return float(message.rsplit("nearest possible value ", 1)[1])


def test_coolant_colder_than_the_dew_point_is_refused_by_hand():
    """20 °C and 50 % have their dew point at 9.3 °C: with 2.5 K margin 11.8 °C is the least."""
    with pytest.raises(ScenarioError) as caught:
        refuse_condensing(scenario({"cooling.tcs_supply_c": 11.5}), weather(20.0, 50.0))

    assert str(caught.value) == (
        "cooling.tcs_supply_c: 11.5 °C lies below the dew point of the halls plus a margin of 2.5 K: in the hour of 2027-07-01 "
        "00:00 UTC air of 20.0 °C and 50 % humidity condenses at 9.3 °C; nearest possible value 11.8"
    )
    refuse_condensing(scenario({"cooling.tcs_supply_c": 11.8}), weather(20.0, 50.0))


def test_the_worst_hour_is_named():
    temps = np.full(25, 10.0)
    temps[14] = 22.0
    with pytest.raises(
        ScenarioError, match=r"in the hour of 2027-07-01 13:00 UTC air of 22.0 °C and 60 % humidity "
    ):
        refuse_condensing(scenario({"cooling.tcs_supply_c": 11.0}), weather(temps, 60.0))


def test_the_entry_of_the_schedule_is_named():
    """Only the hours in which the entry holds count: at night it is drier."""
    night = {"hours_local": [2, 6], "tcs_supply_c": 12.0}
    temps = np.where(np.arange(25) < 6, 10.0, 25.0)  # local time is two hours ahead
    refuse_condensing(scenario({"cooling.setpoints": [night]}), weather(temps, 60.0))
    with pytest.raises(ScenarioError, match=r"^cooling\.setpoints\[1\]\.tcs_supply_c: 12 °C lies below"):
        refuse_condensing(
            scenario({"cooling.setpoints": [night, {**night, "hours_local": [8, 9]}]}), weather(temps, 60.0)
        )


def test_humidity_that_is_not_known_is_assumed_and_says_so():
    with pytest.raises(ScenarioError, match=r"60 % humidity \(assumed\)"):
        refuse_condensing(scenario({"cooling.tcs_supply_c": 8.0}), weather(20.0))


def test_water_of_the_fan_walls_by_hand():
    """Beside the sea a hall of 18 °C has water of 14 °C; air of 25 °C and 60 % needs 16.7 + 2.5, so a hall of 23.3 °C."""
    sea = {"cooling.heat_rejection": "seawater", "cooling.hall_air_c": 18.0}
    with pytest.raises(
        ScenarioError, match=r"^cooling\.hall_air_c: 18 °C gives water of 14.0 °C.* value 23.3$"
    ):
        refuse_condensing(scenario(sea), weather(25.0, 60.0))
    refuse_condensing(
        scenario({"cooling.hall_air_c": 18.0}), weather(25.0, 60.0)
    )  # dry coolers: water of 29 °C


def test_weather_that_no_set_point_can_bear():
    with pytest.raises(ScenarioError, match="no value up to 45 is enough in this weather"):
        refuse_condensing(
            scenario({"cooling.heat_rejection": "seawater", "cooling.tcs_supply_c": 44.0}),
            weather(40.0, 100.0),
        )


@given(
    tcs_c=st.floats(5, 60),
    hall_c=st.floats(5, 34),
    temp_c=st.floats(-40, 36),
    humidity_pct=st.floats(0, 100),
    rejection=st.sampled_from(["dry_cooler", "seawater"]),
)
def test_law_of_the_nearest_value(tcs_c, hall_c, temp_c, humidity_pct, rejection):
    """What is refused is too cold; with the value named it is accepted, and nothing is refused above the dew point."""
    air = weather(temp_c, humidity_pct)
    dew_c = float(dew_point_c(np.array([temp_c]), np.array([humidity_pct]))[0])
    values = {"cooling.tcs_supply_c": min(tcs_c, 44.0), "cooling.hall_air_c": hall_c}
    for _ in range(2):
        refused = refusal({**values, "cooling.heat_rejection": rejection}, air)
        if refused is not None:
            least_c = nearest(refused.message)
            assert values[refused.key] < least_c
            assert values["cooling.tcs_supply_c"] < dew_c + 2.5 or refused.key == "cooling.hall_air_c"
            values[refused.key] = least_c
    if (
        values["cooling.tcs_supply_c"] < 44.9 and values["cooling.hall_air_c"] < 34.9
    ):  # else out of plain limits
        assert refusal({**values, "cooling.heat_rejection": rejection}, air) is None


def refusal(values, air):
    if values["cooling.hall_air_c"] > 34.9:
        return None
    try:
        refuse_condensing(scenario(values), air)
    except ScenarioError as error:
        return error
    return None


def test_a_customer_hotter_than_the_pump_can_reach_is_refused():
    """95 °C against 90 °C; nothing is refused that the loop gives without a heat pump."""
    with pytest.raises(
        ScenarioError,
        match=r"heat\.customers\.drying\.supply_c: 95 °C is out of reach.* at most; nearest possible value 90$",
    ):
        kv.load("stargate-norway", {"heat.customers.drying.supply_c": 95.0})
    with pytest.raises(ScenarioError, match=r"bjerkvik-district-heating\.supply_c: 65 °C is out of reach"):
        kv.load("stargate-norway", {"heat.sink_maximum_c": 60.0})
    kv.load("stargate-norway", {"heat.customers.drying.supply_c": 90.0})
    flat = {"kind": "flat", "peak_mw": 1.0, "annual_gwh": 1.0, "supply_c": 30.0, "return_c": 20.0}
    kv.load("stargate-norway", {"heat.sink_maximum_c": 20.0, "heat.customers": {"pool": flat}})


@pytest.mark.parametrize("key", ["cdu_approach_k", "drycooler_approach_k"])
def test_an_approach_of_nothing_is_refused(key):
    with pytest.raises(
        ScenarioError,
        match=r"must be above 0, got 0 .*nothing is cooled down to what cools it; nearest plausible value",
    ):
        kv.load("stargate-norway", {f"cooling.{key}": 0})
