"""Set-points on a schedule, in local time, across summer time."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario import validate
from kvandal.scenario.plausibility import warnings_of
from kvandal.scenario.setpoints import SetPoint
from kvandal.twin.setpoints import holds_in, hourly_setpoints


def setpoints(entries, start, days=1, **changes):
    scenario = kv.load(
        "stargate-norway",
        {"cooling.setpoints": entries, "run.start_utc": start, "run.days": days, **changes},
    )
    return hourly_setpoints(scenario)


def test_without_a_schedule_the_plain_values_hold():
    tcs, air = setpoints([], datetime(2027, 1, 1, tzinfo=UTC), 2)

    assert tcs.tolist() == [40.0] * 48
    assert air.tolist() == [27.0] * 48


def test_months_and_nights_and_the_later_entry_wins():
    """Winter 42 °C, its nights (22 to 6 h local) 44 °C; hall air stays. Norway is at UTC + 1."""
    entries = [
        {"months": [12, 1, 2], "tcs_supply_c": 42.0},
        {"months": [12, 1, 2], "hours_local": [22, 6], "tcs_supply_c": 44.0},
        {"hours_local": [0, 24], "hall_air_c": 25.0},
    ]
    tcs, air = setpoints(entries, datetime(2027, 2, 27, 23, tzinfo=UTC), 2)

    assert tcs[:24].tolist() == [44.0] * 6 + [42.0] * 16 + [44.0] * 2  # 28 February, local
    assert tcs[24:].tolist() == [40.0] * 24  # 1 March
    assert set(air.tolist()) == {25.0}


def test_summer_time_shortens_a_night_and_lengthens_another():
    """From 2 to 4 h: one hour on the last Sunday of March (2 h is skipped), three on that of October (2 h comes twice)."""
    entries = [{"hours_local": [2, 4], "tcs_supply_c": 42.0}]
    march, _ = setpoints(entries, datetime(2027, 3, 27, 23, tzinfo=UTC))
    october, _ = setpoints(entries, datetime(2027, 10, 30, 22, tzinfo=UTC))
    monday, _ = setpoints(entries, datetime(2027, 3, 28, 22, tzinfo=UTC))

    assert (march == 42.0).nonzero()[0].tolist() == [2]
    assert (october == 42.0).nonzero()[0].tolist() == [2, 3, 4]
    assert (monday == 42.0).nonzero()[0].tolist() == [2, 3]


def test_the_time_zone_is_that_of_the_site():
    entries = [{"hours_local": [0, 1], "hall_air_c": 20.0}]
    _, air = setpoints(entries, datetime(2027, 1, 1, tzinfo=UTC), 1, **{"site.time_zone": "Asia/Tokyo"})

    assert (air == 20.0).nonzero()[0].tolist() == [15]


@given(start=st.integers(0, 24), end=st.integers(0, 24), month=st.integers(1, 12))
def test_law_of_the_clock(start, end, month):
    """From a to b and from b to a make a whole day together."""
    if start % 24 == end % 24:
        return
    one = SetPoint(months=(month,), hours_local=(start, end), hall_air_c=20.0)
    other = SetPoint(months=(month,), hours_local=(end, start), hall_air_c=20.0)

    assert [holds_in(one, month, h) + holds_in(other, month, h) for h in range(24)] == [1] * 24
    assert not holds_in(one, month % 12 + 1, start % 24)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"months": [13], "tcs_supply_c": 42.0}, r"setpoints\[0\]\.months\[0\]: must be at most 12, got 13"),
        ({"months": [1.5], "tcs_supply_c": 42.0}, r"must be a whole number, got 1.5"),
        ({"hours_local": [25, 3], "tcs_supply_c": 42.0}, r"hours_local\[0\]: must be at most 24"),
        ({"hours_local": [3], "tcs_supply_c": 42.0}, r"setpoints\[0\]: hours_local must hold two hours"),
        (
            {"hours_local": [6, 6], "tcs_supply_c": 42.0},
            r"must end at another hour than it starts, got \[6, 6\]",
        ),
        ({"months": [1]}, r"sets nothing; give tcs_supply_c, hall_air_c or both"),
        ({"tcs_supply_c": 61.0}, r"setpoints\[0\]\.tcs_supply_c: must be at most 60, got 61"),
        ({"hall_air_c": 4.0}, r"must be at least 5, got 4"),
        ({"hall_c": 24.0}, r"unknown key; did you mean 'hall_air_c'\?"),
    ],
)
def test_a_wrong_entry_is_met_with_one_sentence(entry, expected):
    with pytest.raises(ScenarioError, match=expected):
        validate({"cooling": {"setpoints": [entry]}})


def test_an_unlikely_set_point_is_warned_of():
    """The schedule has the plausible ranges of the plain set-points."""
    scenario = kv.load("stargate-norway", {"cooling.setpoints": [{"months": [1], "tcs_supply_c": 20.0}]})

    assert any(text.startswith("cooling.setpoints[0].tcs_supply_c = 20") for text in warnings_of(scenario))


def test_numbers_of_a_model_that_is_not_chosen_are_warned_of():
    changes = {"heat.signature_limit_c": 12.0, "heat.carnot_efficiency": 0.44}
    idle = warnings_of(kv.load("stargate-norway", changes))
    used = warnings_of(kv.load("stargate-norway", changes | {"heat.heat_pump_model": "carnot"}))

    assert "heat.carnot_efficiency has no effect with heat_pump_model = 'lorenz'" in idle
    assert not [text for text in used if text.startswith("heat.")]
