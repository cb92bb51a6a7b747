"""Exchangers, dry coolers, sea water and fan walls: forwards, backwards, and at every edge."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kvandal.physics.dry_cooler import dry_cooler_airflow_for, dry_cooler_design, dry_cooler_heat_kw
from kvandal.physics.exchanger_flow import cold_flow_fraction_for
from kvandal.physics.fan_wall import fan_wall_design, fan_wall_power_kw, fan_wall_supply_air_c
from kvandal.physics.heat_exchanger import (
    conductance_one_sided,
    conductance_two_sided,
    design_conductance,
    effectiveness_counterflow,
    effectiveness_crossflow,
    exchanger_heat_kw,
    units_counterflow,
    units_crossflow,
)
from kvandal.physics.seawater import (
    sea_temp_at_depth_c,
    seawater_design,
    seawater_flow_for,
    seawater_heat_kw,
    seawater_pump_kw,
)

AMBIENT_C = st.floats(-40, 50)
LOAD = st.just(0.0) | st.floats(1e-6, 1)
WARM_C = st.floats(20, 70)
RATIO = st.floats(0, 1)
BOTH = pytest.mark.parametrize("effectiveness", [effectiveness_counterflow, effectiveness_crossflow])
NEARLY = 1 + 1e-9


@BOTH
@given(ntu=st.floats(0, 1e4), more=st.floats(0, 100), ratio=RATIO)
def test_effectiveness_is_a_share_that_rises_with_size(effectiveness, ntu, more, ratio):
    """Between 0 and 1, and a larger exchanger is never worse."""
    small, large = effectiveness(ntu, ratio), effectiveness(ntu + more, ratio)

    assert 0 <= small <= large * NEARLY
    assert large <= NEARLY


@BOTH
@given(ntu=st.floats(0, 50), ratio=RATIO, more=st.floats(0, 1))
def test_unequal_streams_make_a_better_exchanger(effectiveness, ntu, ratio, more):
    """The larger the other stream, the more of the smaller one's heat is moved."""
    other = min(1.0, ratio + more)

    assert effectiveness(ntu, other) <= effectiveness(ntu, ratio) * NEARLY + 1e-12


@pytest.mark.parametrize(
    ("ntu", "ratio", "worked"),
    [(1.0, 0.5, 0.565), (2.0, 0.5, 0.775), (3.0, 1.0, 0.75), (1.0, 0.0, 0.632), (5.0, 0.75, 0.909)],
)
def test_counterflow_at_points_worked_by_hand(ntu, ratio, worked):
    """Effectiveness of counterflow exchangers from the closed form, to three digits."""
    assert effectiveness_counterflow(ntu, ratio) == pytest.approx(worked, abs=6e-4)


def test_equal_streams_are_the_limit_of_nearly_equal_ones():
    """No jump and no loss of digits where the capacity rates meet."""
    for ratio in (1 - 1e-6, 1 - 1e-8, 1 - 1e-10, 1.0):
        assert effectiveness_counterflow(3.0, ratio) == pytest.approx(0.75, abs=1e-6)


@given(st.floats(0.01, 8), RATIO)
def test_transfer_units_are_found_back(ntu, ratio):
    """From size to effectiveness and back."""
    assert units_counterflow(effectiveness_counterflow(ntu, ratio), ratio) == pytest.approx(ntu, rel=1e-4)
    assert units_crossflow(effectiveness_crossflow(ntu, ratio), ratio) == pytest.approx(ntu, rel=1e-6)


def test_what_no_exchanger_can_do_is_infinite():
    """Effectiveness of 1 or more, no stream, no difference; and nothing to do needs nothing."""
    assert units_crossflow(1.0, 0.5) == math.inf
    assert units_crossflow(0.0, 0.5) == 0.0
    assert design_conductance(1.0, 1.0, 1.0, 20.0, 20.0) == math.inf
    assert design_conductance(0.0, 1.0, 1.0, 20.0, 20.0) == 0.0
    assert dry_cooler_design(10.0, 1.0, 20.0, 25.0, 10.0)[0] == math.inf
    assert dry_cooler_design(0.0, 1.0, 20.0, 5.0, 10.0) == (0.0, 0.0)
    assert fan_wall_design(1.0, 12.0, 0.0)[0] == math.inf
    assert fan_wall_design(0.0, 12.0, 4.0) == (0.0, 0.0, 0.0)
    assert seawater_design(0.0, 1.0, 12.0, 2.5) == (0.0, 0.0)


@given(st.floats(0, 1e4), st.floats(0, 500), st.floats(0, 500), st.floats(-40, 90), st.floats(-40, 90))
def test_no_temperature_crosses_another(conductance, hot, cold, hot_in_c, cold_in_c):
    """Hot water leaves no colder than cold water comes, and the other way round; both are finite at every edge."""
    hot_in_c, cold_in_c = max(hot_in_c, cold_in_c), min(hot_in_c, cold_in_c)
    heat_kw = exchanger_heat_kw(conductance, hot, cold, hot_in_c, cold_in_c)

    assert math.isfinite(heat_kw)
    assert heat_kw >= 0
    assert heat_kw <= min(hot, cold) * (hot_in_c - cold_in_c) * NEARLY


@given(st.floats(0.01, 0.98), st.floats(1, 500), st.floats(1, 500), WARM_C, st.floats(1, 60))
def test_design_and_heat_are_inverse(share, hot, cold, hot_in_c, difference_k):
    """The conductance found for a heat carries that heat."""
    heat_kw = share * min(hot, cold) * difference_k
    conductance = design_conductance(heat_kw, hot, cold, hot_in_c, hot_in_c - difference_k)

    assert exchanger_heat_kw(conductance, hot, cold, hot_in_c, hot_in_c - difference_k) == pytest.approx(
        heat_kw, rel=1e-6
    )


@given(st.floats(0, 1.2), st.floats(0, 1.2), st.floats(0, 0.01))
def test_conductance_never_exceeds_design_by_more_than_its_flow(hot, cold, fouling):
    """More flow is more conductance, dirt is less, no flow is none."""
    value = conductance_two_sided(290.0, hot, cold, fouling)

    assert 0 <= value <= conductance_two_sided(290.0, hot, cold, 0.0) * NEARLY
    assert value <= conductance_two_sided(290.0, hot, cold + 0.1, fouling) * NEARLY
    assert conductance_one_sided(290.0, hot) <= conductance_one_sided(290.0, hot + 0.1)
    assert conductance_two_sided(290.0, hot, 0.0, fouling) == conductance_one_sided(290.0, 0.0) == 0.0
    assert conductance_two_sided(290.0, 0.5, 0.5, 0.0) == pytest.approx(conductance_one_sided(290.0, 0.5))


@given(
    LOAD, LOAD, WARM_C, st.floats(-20, 40), st.floats(0, 0.002),
    st.sampled_from([0.0, 0.1, 0.3]), st.booleans(),
)  # fmt: skip
def test_cold_flow_takes_exactly_the_heat(
    load, hot_flow, hot_in_c, difference_k, fouling, minimum, two_sided
):
    """Between the bounds the exchanger takes the heat to 1e-9; at the bounds it takes more, or cannot."""
    heat_kw, hot, cold_in_c = 1300 * load, 130 * hot_flow, hot_in_c - difference_k
    flow = cold_flow_fraction_for(
        heat_kw, hot, hot_in_c, cold_in_c, 144.0, 290.0, hot_flow, fouling, minimum, 1.0, two_sided
    )

    assert minimum <= flow <= 1.0
    if two_sided:
        conductance = conductance_two_sided(290.0, hot_flow, flow, fouling)
    else:
        clean = conductance_one_sided(290.0, hot_flow)
        conductance = 1 / (1 / clean + fouling) if clean > 0 else 0.0
    taken_kw = exchanger_heat_kw(conductance, hot, 144.0 * flow, hot_in_c, cold_in_c)
    if flow == 1.0:
        assert taken_kw <= heat_kw * NEARLY + 1e-9
    elif flow == minimum:
        assert taken_kw >= heat_kw * (1 - 1e-9) or load == 0
    else:
        assert taken_kw == pytest.approx(heat_kw, rel=1e-9)


@given(st.floats(0, 1e-6), st.floats(0, 1.2), WARM_C, AMBIENT_C)
def test_a_breath_of_heat_needs_a_breath_of_air(load, flow, water_in_c, air_in_c):
    """However little heat or flow there is, the answers are numbers (or infinite, where it cannot be done)."""
    design = dry_cooler_design(1000.0, 100.0, 45.0, 28.0, 10.0)
    sea = seawater_design(1000.0, 100.0, 12.0, 2.5)
    airflow = dry_cooler_airflow_for(1000 * load, 100 * flow, water_in_c, air_in_c, *design)
    water = seawater_flow_for(1000 * load, 100 * flow, water_in_c, air_in_c, *sea, 12.0)
    cold = cold_flow_fraction_for(
        1e3 * load, 100 * flow, water_in_c, air_in_c, 100.0, 300.0, flow, 0.0, 0.0, 1.0
    )

    assert airflow >= 0
    assert water >= 0
    assert 0 <= cold <= 1
    if flow > 0.1 and water_in_c > air_in_c + 1:
        assert max(airflow, water, cold) < 1e-4


@given(LOAD, WARM_C, AMBIENT_C, st.floats(0.05, 1.5))
def test_dry_cooler_airflow_and_heat_are_inverse(load, water_in_c, air_in_c, flow):
    """The airflow found rejects the heat; infinite only where the water cannot get that cold (or 64-fold air fails)."""
    design = dry_cooler_design(1000.0, 100.0, 45.0, 28.0, 10.0)
    heat_kw, water = 1000 * load, 100 * flow
    airflow = dry_cooler_airflow_for(heat_kw, water, water_in_c, air_in_c, *design)

    assert airflow >= 0
    if math.isinf(airflow):
        most_kw = dry_cooler_heat_kw(64.0, water, water_in_c, air_in_c, *design)
        assert most_kw <= heat_kw
    else:
        rejected_kw = dry_cooler_heat_kw(airflow, water, water_in_c, air_in_c, *design)
        assert rejected_kw == pytest.approx(heat_kw, rel=1e-9)


@given(st.floats(0, 2), WARM_C, AMBIENT_C, st.floats(0, 20), st.floats(0, 1.5))
def test_warmer_air_never_takes_more_heat(airflow, water_in_c, air_in_c, warmer_k, flow):
    """More ambient heat, less heat rejection; and water never leaves colder than the air came."""
    design = dry_cooler_design(1000.0, 100.0, 45.0, 28.0, 10.0)
    cool_kw = dry_cooler_heat_kw(airflow, 100 * flow, water_in_c, air_in_c, *design)
    warm_kw = dry_cooler_heat_kw(airflow, 100 * flow, water_in_c, air_in_c + warmer_k, *design)

    assert math.isfinite(cool_kw)
    assert 0 <= warm_kw <= cool_kw * NEARLY
    assert cool_kw <= 100 * flow * max(0.0, water_in_c - air_in_c) * NEARLY


@given(LOAD, WARM_C, AMBIENT_C, st.floats(0.1, 20), st.floats(0.05, 1.2))
def test_warmer_air_never_needs_less_airflow(load, water_in_c, air_in_c, warmer_k, flow):
    """The fans never slow down on a warmer day."""
    design = dry_cooler_design(1000.0, 100.0, 45.0, 28.0, 10.0)
    cool = dry_cooler_airflow_for(1000 * load, 100 * flow, water_in_c, air_in_c, *design)
    warm = dry_cooler_airflow_for(1000 * load, 100 * flow, water_in_c, air_in_c + warmer_k, *design)

    assert warm >= cool * (1 - 1e-8)


@example(0.7229823612791298, 10.0, 2.4765625, 0.9617585008054728)  # 99.9 % of the heat that there is
@given(LOAD, st.floats(10, 60), st.floats(0, 20), st.floats(0.1, 1.2))
def test_sea_water_flow_and_heat_are_inverse(load, water_in_c, sea_c, flow):
    """Without a limit at the outfall the flow found carries the heat; with one it is never less."""
    design = seawater_design(1000.0, 100.0, 12.0, 2.5)
    heat_kw, water = 1000 * load, 100 * flow
    free = seawater_flow_for(heat_kw, water, water_in_c, sea_c, *design, math.inf)
    limited = seawater_flow_for(heat_kw, water, water_in_c, sea_c, *design, 12.0)

    assert 0 <= free <= limited
    if math.isfinite(free):
        assert seawater_heat_kw(free, water, water_in_c, sea_c, *design) == pytest.approx(heat_kw, rel=1e-9)
        assert limited >= load * (1 - 1e-9)
    assert seawater_heat_kw(0.0, water, water_in_c, sea_c, *design) == 0.0
    assert 0 <= seawater_pump_kw(flow, 1000.0, 12.0, 0.3) < 30


def test_sea_at_depth_stays_in_its_band_and_lags_the_surface():
    """5 to 8 °C over the year; warmest two to three months after mid-August, the year joins up."""
    days = np.arange(1, 366)
    temps = np.array([sea_temp_at_depth_c(float(day), 6.5, 1.5, 75.0) for day in days])

    assert temps.min() == pytest.approx(5.0, abs=0.01)
    assert temps.max() == pytest.approx(8.0, abs=0.01)
    assert 60 <= days[temps.argmax()] - 227 <= 92
    assert abs(temps[0] - temps[-1]) < 0.05


@given(LOAD, LOAD, AMBIENT_C, LOAD)
def test_fan_wall_never_cools_below_its_water(load, airflow, water_in_c, water_flow):
    """Finite unless there is heat and no water at all; no hall air colder than the water; fans within their design."""
    coil, air, water = fan_wall_design(1000.0, 12.0, 4.0)
    heat_kw = 1000 * load
    supply_c = fan_wall_supply_air_c(heat_kw, airflow, air, water_in_c, water * water_flow, coil)

    assert math.isfinite(supply_c) or (load > 0 and water_flow == 0)
    assert supply_c >= water_in_c
    assert fan_wall_power_kw(airflow, 1000.0, 50.0) <= 50.0


@given(st.floats(0.01, 1), st.floats(0.05, 0.95), st.floats(-10, 40))
def test_fan_wall_return_air_falls_with_airflow(load, airflow, water_in_c):
    """More air: the air behind the racks is never warmer."""
    coil, air, water = fan_wall_design(1000.0, 12.0, 4.0)
    assume(airflow > 0.02)

    def behind_c(part):
        supply_c = fan_wall_supply_air_c(1000 * load, part, air, water_in_c, water, coil)
        return supply_c + 1000 * load / (part * air)

    assert behind_c(min(1.0, airflow * 1.05)) <= behind_c(airflow) + 1e-9
