"""Loss curves, redundancy, ride-through, fault-ride-through and the battery."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.physics.battery import battery_step
from kvandal.physics.electrical import (
    busway_loss_kw,
    curve_loss_fraction,
    dip_ridden_through,
    firm_capacity_kw,
    group_capacity_kw,
    loss_curve,
    ride_through_s,
    shelf_loss_kw,
    survives,
    transformer_loss_kw,
)
from kvandal.scenario.parameters import curve

CURVES = [("ups_load", "ups_eta_double"), ("ups_load", "ups_eta_eco"), ("mv_tx_load", "mv_tx_eta"), ("psu_load", "psu_eta")]  # fmt: skip
EACH_CURVE = pytest.mark.parametrize(("loads", "efficiencies"), CURVES, ids=[name for _, name in CURVES])
FRT = np.array(curve("frt_voltage_pu")), np.array(curve("frt_time_s"))


@EACH_CURVE
def test_loss_curves_reproduce_the_published_points(loads, efficiencies):
    """Output over input at each published load is the published efficiency."""
    knots, losses = loss_curve(curve(loads), curve(efficiencies))
    for load, efficiency in zip(curve(loads), curve(efficiencies), strict=True):
        loss = curve_loss_fraction(load, knots, losses)

        assert load / (load + loss) == pytest.approx(efficiency, rel=1e-12)


@EACH_CURVE
@given(load=st.floats(0, 1.2), more=st.floats(0, 0.2))
def test_losses_are_positive_and_rise_with_load(loads, efficiencies, load, more):
    """Idle equipment has a loss, and so has every load; more load has more, except in eco mode (as in its points)."""
    knots, losses = loss_curve(curve(loads), curve(efficiencies))
    loss = curve_loss_fraction(load, knots, losses)

    assert 0 < losses[0] <= loss * (1 + 1e-12)
    if efficiencies != "ups_eta_eco":
        assert loss <= curve_loss_fraction(load + more, knots, losses) * (1 + 1e-12)
    assert curve_loss_fraction(-load, knots, losses) == losses[0]


@given(st.floats(0, 1.1))
def test_shelves_by_their_input_agree_with_shelves_by_their_output(load):
    """Input is output plus loss, whichever of the two is known."""
    knots, losses = loss_curve(curve("psu_load"), curve("psu_eta"))
    loss_kw = 264 * curve_loss_fraction(load, knots, losses)

    assert shelf_loss_kw(264 * load + loss_kw, 264.0, knots, losses) == pytest.approx(loss_kw, rel=1e-9)


def test_shelves_at_the_edges():
    """Without input there is no loss; below the idle loss all is loss; without shelves nothing."""
    shelf = loss_curve(curve("psu_load"), curve("psu_eta"))
    assert shelf_loss_kw(0.0, 264.0, *shelf) == 0.0
    assert shelf_loss_kw(1.0, 264.0, *shelf) == 1.0
    assert shelf_loss_kw(5.0, 0.0, *shelf) == 0.0


def test_an_idle_loss_is_never_negative():
    """A steep curve still leaves a tenth of the first loss at no load."""
    knots, losses = loss_curve([0.25, 0.5], [0.99, 0.95])
    assert losses[0] == pytest.approx(0.1 * losses[1])
    assert knots.tolist() == [0.0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("loads", "efficiencies"),
    [([0.5], [0.9]), ([0.5, 0.5], [0.9, 0.9]), ([0.0, 0.5], [0.9, 0.9]), ([0.2, 0.5], [0.9, 1.1]), ([0.2, 0.5], [0.9])],
)  # fmt: skip
def test_what_is_no_efficiency_curve_is_refused(loads, efficiencies):
    """Too few points, loads that do not rise, efficiencies beyond 1."""
    with pytest.raises(ValueError, match="efficienc"):
        loss_curve(loads, efficiencies)


@given(st.floats(0, 2e5), st.floats(0, 1e5))
def test_transformer_and_busway_are_finite_and_rise(load_kw, rating_kw):
    """Also without load and without a rating."""
    for loss in (
        transformer_loss_kw(load_kw, rating_kw, 0.0003, 0.0035) if rating_kw > 1 else 0.0,
        busway_loss_kw(load_kw, rating_kw, 0.993) if rating_kw > 1 else 0.0,
        transformer_loss_kw(load_kw, 0.0, 0.0003, 0.0035),
        busway_loss_kw(load_kw, 0.0, 0.993),
    ):
        assert math.isfinite(loss)
        assert loss >= 0


def test_redundancy_carries_what_it_promises():
    """4-to-make-3 survives one failure, N+1 one, 2N half; one failure more is too many."""
    for blocks, redundant in ((4, 1), (10, 1), (6, 3)):
        firm_kw = firm_capacity_kw(blocks, redundant, 2500.0)
        assert firm_kw == group_capacity_kw(blocks - redundant, 2500.0)
        assert survives(firm_kw, blocks - redundant, 2500.0)
        assert not survives(firm_kw, blocks - redundant - 1, 2500.0)
    assert firm_capacity_kw(1, 2, 2500.0) == group_capacity_kw(-1, 2500.0) == 0.0
    assert survives(0.0, 0, 2500.0)


def test_ride_through():
    """Five minutes of a 2.5 MW block; without load for ever, without energy not at all."""
    assert ride_through_s(2500.0 * 300, 2500.0) == 300.0
    assert ride_through_s(1.0, 0.0) == math.inf
    assert ride_through_s(-1.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("voltage", "seconds", "stays"),
    [
        (0.0, 0.15, True), (0.0, 0.16, False), (0.39, 0.2, False), (0.4, 0.25, True), (0.7, 1.0, True),
        (0.7, 1.1, False), (0.85, 10.0, True), (0.89, 11.0, False), (0.9, 1e6, True), (-0.1, 0.01, False),
    ],
)  # fmt: skip
def test_fault_ride_through(voltage, seconds, stays):
    """Every knot of the curve, just inside and just outside."""
    assert dip_ridden_through(voltage, seconds, *FRT) == stays


@given(
    st.floats(0, 20e3), st.floats(-60e3, 60e3), st.sampled_from([0.0, 10e3, 40e3]), st.sampled_from([0.0, 20e3]),
    st.floats(0.5, 1), st.floats(0, 200), st.sampled_from([0.0, 1 / 3600, 1 / 60, 1.0]),
)  # fmt: skip
def test_battery_balances(energy_kwh, wanted_kw, power_kw, capacity_kwh, efficiency, standby_kw, hours):
    """What leaves the store is delivered or lost; power and energy stay within their limits; losses are losses."""
    after_kwh, delivered_kw, loss_kw = battery_step(
        energy_kwh, wanted_kw, power_kw, capacity_kwh, 0.15, 0.85, efficiency, standby_kw, hours
    )
    drawn = standby_kw if power_kw * capacity_kwh * hours > 0 else 0.0

    assert after_kwh - energy_kwh == pytest.approx(-(delivered_kw + loss_kw) * hours, abs=1e-8)
    assert loss_kw >= drawn * (1 - 1e-12) - 1e-9
    assert abs(delivered_kw + drawn) <= min(power_kw, abs(wanted_kw)) * (1 + 1e-12) + 1e-9
    assert (delivered_kw + drawn) * wanted_kw >= -1e-6
    if wanted_kw > 0:
        assert min(energy_kwh, 0.15 * capacity_kwh) - 1e-8 <= after_kwh <= energy_kwh
    else:
        assert energy_kwh - 1e-8 <= after_kwh <= max(energy_kwh, 0.85 * capacity_kwh) + 1e-8


def test_a_round_trip_gives_its_efficiency():
    """A battery that is charged and discharged by the same energy gives back 88 %."""
    energy_kwh, charged_kw, _ = battery_step(10e3, -5e3, 40e3, 20e3, 0.15, 0.85, 0.88, 0.0, 1.0)
    hours = 1.0
    gained_kwh = energy_kwh - 10e3
    _, given_kw, _ = battery_step(
        energy_kwh, gained_kwh * math.sqrt(0.88), 40e3, 20e3, 0.15, 0.85, 0.88, 0.0, hours
    )

    assert given_kw / -charged_kw == pytest.approx(0.88, rel=1e-12)
