"""Coolant, pumps and moist air against the references from which they come."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.climate.wet_bulb import dew_point_c, station_pressure_pa, wet_bulb_c, wet_bulb_psychrolib_c
from kvandal.physics.coolant import (
    conductivity_w_per_m_k,
    coolant_table,
    density_kg_per_m3,
    heat_capacity_kj_per_kg_k,
    viscosity_pa_s,
)
from kvandal.physics.water import (
    pump_power_kw,
    pump_system_power_fraction,
    rack_pressure_drop_kpa,
)

PROPERTIES = [
    ("D", density_kg_per_m3, 1.0),
    ("C", heat_capacity_kj_per_kg_k, 1000.0),
    ("V", viscosity_pa_s, 1.0),
    ("L", conductivity_w_per_m_k, 1.0),
]


@pytest.mark.parametrize(("name", "function", "scale"), PROPERTIES, ids=[name for name, _, _ in PROPERTIES])
def test_coolant_agrees_with_coolprop(name, function, scale):
    """Within 0.1 % of CoolProp from just above freezing to 100 °C, between the rows of the table too."""
    coolprop = pytest.importorskip("CoolProp.CoolProp")
    for temp_c in np.arange(-9.0, 100.01, 0.3):
        expected = coolprop.PropsSI(name, "T", temp_c + 273.15, "P", 4e5, "INCOMP::MPG[0.25]") / scale

        assert function(coolant_table(), float(temp_c)) == pytest.approx(expected, rel=1e-3)


@given(st.floats(-60, 200))
def test_coolant_is_held_at_the_ends_of_its_table(temp_c):
    """Any temperature has an answer between the smallest and the largest of the table."""
    table = coolant_table()
    for column, (_, function, _) in enumerate(PROPERTIES, start=1):
        assert table[:, column].min() <= function(table, temp_c) <= table[:, column].max()


def test_the_coolant_table_cannot_be_changed():
    """One table for all; nobody writes into it."""
    assert coolant_table() is coolant_table()
    with pytest.raises(ValueError, match="read-only"):
        coolant_table()[0, 0] = 1.0


@given(st.floats(0, 1.2), st.floats(0, 0.1), st.floats(0, 1))
def test_pump_power_rises_with_flow_and_never_vanishes(flow, more, floor):
    """Standby at rest, design power at design flow, more flow never less power."""
    power = pump_system_power_fraction(flow, floor)

    assert 0 < power <= pump_system_power_fraction(flow + more, floor) * (1 + 1e-12)
    assert pump_system_power_fraction(1.0, floor) == pytest.approx(1.0)
    assert math.isfinite(rack_pressure_drop_kpa(flow, 90.0))


def test_a_standing_pump_moves_nothing():
    """No pressure or no flow is no power; a rack at design flow has its design pressure drop."""
    assert pump_power_kw(0.0, 10.0, 0.6) == pump_power_kw(250.0, 0.0, 0.6) == 0.0
    assert rack_pressure_drop_kpa(1.0, 90.0) == 90.0
    assert rack_pressure_drop_kpa(-1.0, 90.0) == 0.0


@pytest.mark.parametrize(
    ("temp_c", "humidity_pct"), [(25, 50), (30, 40), (35, 30), (40, 30), (30, 20), (10, 80)]
)
def test_wet_bulb_closes_the_balance_of_a_ventilated_psychrometer(temp_c, humidity_pct):
    """Sprung's formula with the constant of WMO, 6.62e-4 per kelvin, gives the same wet bulb within 0.15 K."""
    wet_c = float(wet_bulb_psychrolib_c(np.array([float(temp_c)]), np.array([float(humidity_pct)]))[0])

    def saturation_hpa(temp_c):
        return 6.112 * math.exp(17.62 * temp_c / (243.12 + temp_c))

    def surplus_hpa(wet_c):
        vapour_hpa = saturation_hpa(wet_c) - 6.62e-4 * 1013.25 * (temp_c - wet_c)
        return vapour_hpa - humidity_pct / 100 * saturation_hpa(temp_c)

    assert surplus_hpa(wet_c - 0.15) < 0 < surplus_hpa(wet_c + 0.15)


def test_both_wet_bulbs_agree_within_the_error_of_the_fit():
    """-1 to +0.65 K as published, up to 35 °C and where air is not both cold and dry."""
    temp, humidity = (
        grid.ravel() for grid in np.meshgrid(np.arange(0.0, 36.0, 5.0), np.arange(30.0, 96.0, 13.0))
    )
    difference = wet_bulb_c(temp, humidity) - wet_bulb_psychrolib_c(temp, humidity)

    assert difference.min() >= -1.0
    assert difference.max() <= 0.65


def test_moist_air_has_an_answer_everywhere():
    """-80 to +70 °C, 0 to 100 %: finite, dew point at most wet bulb at most air (but for the solver's millikelvin)."""
    temp, humidity = (grid.ravel() for grid in np.meshgrid(np.linspace(-80, 70, 61), np.linspace(0, 100, 21)))
    wet = wet_bulb_psychrolib_c(temp, humidity, station_pressure_pa(110.0))
    dew = dew_point_c(temp, humidity)

    assert np.isfinite(wet).all()
    assert np.isfinite(dew).all()
    assert (dew <= temp).all()
    assert (wet <= temp).all()
    assert (dew <= wet + 0.01).all()


def test_station_pressure():
    """1013 hPa at the sea, 899 hPa at 1,000 m; held beyond the standard atmosphere's range."""
    assert station_pressure_pa(0.0) == 101_325.0
    assert station_pressure_pa(1000.0) == pytest.approx(89_875, abs=5)
    assert station_pressure_pa(50_000.0) == station_pressure_pa(11_000.0) > 0
