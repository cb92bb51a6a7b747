"""Junction temperature, throttling, and what a loss of flow does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.physics.junction import (
    flow_loss_step,
    flow_loss_times_s,
    gpu_power_limit_w,
    junction_temp_c,
    thermal_resistance_k_per_w,
    throttled_power_w,
)
from kvandal.physics.rack import gpu_power_w
from kvandal.scenario.parameters import value


def times(supply_c, power_w, coast_s=None, step_s=0.25):
    return flow_loss_times_s(
        supply_c, power_w, 200.0, value("gpu.rth_junction"), 0.4, 1400 / 10, 3.0, 30.0,
        20.0 if coast_s is None else coast_s, 0.03, 85.0, 95.0, step_s, 900.0,
    )  # fmt: skip


def test_a_loss_of_flow_at_full_power_throttles_within_the_published_time():
    """10 to 25 s at 40 °C and 1,400 W."""
    throttle_s, trip_s, energy_kj = times(40.0, 1400.0)

    assert 10 <= throttle_s <= 25
    assert throttle_s < trip_s
    assert 1.4 * throttle_s < energy_kj < 1.4 * trip_s


def test_the_run_down_of_the_pumps_is_what_gives_time():
    """With pumps that stop dead it is about a second: the reason why pumps stand on a UPS."""
    assert times(40.0, 1400.0, coast_s=0.0)[0] < 2


@given(st.floats(-40, 60), st.floats(0, 1800), st.floats(0.1, 10), st.floats(1, 400))
def test_warmer_or_busier_throttles_sooner(supply_c, power_w, warmer_k, more_w):
    """Finite or "never", in order, and never later for a warmer coolant or a busier GPU."""
    throttle_s, trip_s, energy_kj = times(supply_c, power_w, step_s=0.5)

    assert 0 <= throttle_s <= trip_s
    assert math.isfinite(energy_kj)
    assert 0 <= energy_kj <= power_w * 901 / 1000
    assert times(supply_c + warmer_k, power_w, step_s=0.5)[0] <= throttle_s
    assert times(supply_c, power_w + more_w, step_s=0.5)[0] <= throttle_s


def test_a_gpu_without_load_never_throttles():
    """No power, no heat; and a GPU that starts too warm throttles and trips at once."""
    assert times(40.0, 0.0) == (math.inf, math.inf, 0.0)
    assert times(50.0, 1400.0)[0] == 0.0
    assert times(60.0, 1400.0)[:2] == (0.0, 0.0)


def test_the_step_hardly_matters():
    """Half a second and a twentieth of it agree within half a second."""
    assert times(40.0, 1400.0, step_s=0.5)[0] == pytest.approx(times(40.0, 1400.0, step_s=0.025)[0], abs=0.5)
    assert times(40.0, 1400.0, step_s=60.0) == times(40.0, 1400.0, step_s=0.5)


@given(st.floats(10, 50), st.floats(0, 1800))
def test_full_flow_settles_at_the_junction_temperature(supply_c, power_w):
    """The two masses end where the steady state says."""
    junction_c, excess_k = supply_c, 5.0
    for _ in range(2000):
        junction_c, excess_k = flow_loss_step(
            junction_c, excess_k, 1.0, supply_c, power_w, 0.026, 0.4, 140.0, 3.0, 30.0, 0.5
        )

    assert excess_k == pytest.approx(0.0, abs=1e-6)
    assert junction_c == pytest.approx(junction_temp_c(supply_c, power_w, 0.026), abs=1e-6)


@given(st.floats(-40, 50), st.floats(0, 1.5), st.floats(0, 1800))
def test_power_limit_is_the_inverse_of_the_junction_temperature(coolant_c, flow, power_w):
    """At the power limit the junction sits at its limit; resistance falls with flow and is finite without it."""
    resistance = thermal_resistance_k_per_w(flow, 0.026, 0.4)

    assert resistance >= thermal_resistance_k_per_w(flow + 0.1, 0.026, 0.4) > 0.6 * 0.026
    assert math.isfinite(junction_temp_c(coolant_c, power_w, resistance))
    limit_w = gpu_power_limit_w(coolant_c, 85.0, resistance)
    assert junction_temp_c(coolant_c, limit_w, resistance) == pytest.approx(85.0)
    assert gpu_power_limit_w(90.0, 85.0, resistance) == 0.0
    assert gpu_power_limit_w(40.0, 85.0, 0.0) == math.inf


@given(st.floats(-40, 150), st.floats(0, 1800))
def test_throttling_only_lowers_power(junction_c, power_w):
    """Never more than the load asks for, never below idle unless the load is."""
    left_w = throttled_power_w(junction_c, power_w, 200.0, 85.0, 95.0)

    assert min(power_w, 200.0) - 1e-9 <= left_w <= power_w


@given(st.floats(0, 200))
def test_gpu_power_lies_between_idle_and_tdp(rack_kw):
    """Whatever the rack draws."""
    assert 200 <= gpu_power_w(rack_kw, 27.0, 132.0, 200.0, 1400.0) <= 1400
    assert gpu_power_w(rack_kw, 27.0, 27.0, 200.0, 1400.0) == 200
