"""Handing heat over: nothing is lost from the books, nobody gets more than he wants or there is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.physics.heat_export import order_of_service, pipe_loss_kw, pipe_of, serve_customer
from kvandal.scenario.heat import HeatCustomer

LOOP = {"warm_c": 45.0, "cold_c": 37.0, "pinch_k": 3.0, "carnot_model": False}
PUMP = {"lorenz_efficiency": 0.5, "carnot_efficiency": 0.46, "cop_maximum": 8.0}


def serve(wanted_kw, available_kw, supply_c, return_c, pipe_loss_kw=0.0, **other):
    given_here = {**LOOP, **PUMP, **other}
    return serve_customer(
        wanted_kw,
        available_kw,
        given_here["warm_c"],
        given_here["cold_c"],
        supply_c,
        return_c,
        given_here["pinch_k"],
        pipe_loss_kw,
        given_here["carnot_model"],
        given_here["lorenz_efficiency"],
        given_here["carnot_efficiency"],
        given_here["cop_maximum"],
    )


load_kw = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))
temp_c = st.floats(-40, 120)


@given(
    wanted_kw=load_kw,
    available_kw=load_kw,
    warm_c=temp_c,
    cooled_k=st.floats(0, 40),
    supply_c=temp_c,
    return_k=st.floats(0.1, 60),
    pinch_k=st.floats(0.01, 30),
    loss_kw=load_kw,
    carnot_model=st.booleans(),
    lorenz=st.floats(0.01, 1),
    carnot=st.floats(0.01, 1),
    maximum=st.floats(1.01, 30),
)
def test_law_of_balance(
    wanted_kw, available_kw, warm_c, cooled_k, supply_c, return_k, pinch_k, loss_kw, carnot_model, lorenz, carnot,
    maximum,
):  # fmt: skip
    """Taken and pump sum to delivered and lost; each keeps its bound, for all temperatures and loads."""
    delivered, taken, pump, lost = serve_customer(
        wanted_kw, available_kw, warm_c, warm_c - cooled_k, supply_c, supply_c - return_k, pinch_k, loss_kw, carnot_model,
        lorenz, carnot, maximum,
    )  # fmt: skip

    assert all(math.isfinite(kw) and kw >= 0 for kw in (delivered, taken, pump, lost))
    assert abs(taken + pump - delivered - lost) <= 1e-12 * max(1.0, taken + pump)
    assert taken <= available_kw
    assert delivered <= wanted_kw
    assert lost <= loss_kw
    if supply_c <= warm_c - pinch_k:
        assert pump == 0
    if delivered > 0:  # the pipe is served first
        assert lost == pytest.approx(loss_kw, rel=1e-9)


@given(wanted_kw=st.floats(1, 1e5), supply_c=st.floats(48, 110), carnot_model=st.booleans())
def test_law_that_more_lift_costs_more_electricity(wanted_kw, supply_c, carnot_model):
    """With enough heat, the pump's electricity rises with the customer's temperature and all that is wanted comes."""
    less = serve(wanted_kw, 1e9, supply_c, 30.0, carnot_model=carnot_model)
    more = serve(wanted_kw, 1e9, supply_c + 5, 30.0, carnot_model=carnot_model)

    assert less[0] == pytest.approx(wanted_kw)
    assert more[0] == pytest.approx(wanted_kw)
    assert more[2] >= less[2] * (1 - 1e-12)


def test_direct_exchange_by_hand():
    """42 °C fit under 45 °C less a pinch of 3 K; 42.1 °C do not, and take the best COP: 1/8 is electricity."""
    assert serve(800.0, 5000.0, 42.0, 30.0) == (800.0, 800.0, 0.0, 0.0)
    assert serve(800.0, 5000.0, 42.1, 30.0) == pytest.approx((800.0, 700.0, 100.0, 0.0))


def test_a_warm_return_cannot_cool_the_loop_by_hand():
    """Return 37 °C and a pinch of 3 K: the loop falls from 45 to 40 °C only, 5/8 of what is available."""
    assert serve(9000.0, 800.0, 42.0, 37.0) == pytest.approx((500.0, 500.0, 0.0, 0.0))


def test_a_short_loop_by_hand():
    """COP 8: of 700 kW taken come 800 kW of heat; the pipe has its 50 kW first."""
    assert serve(1000.0, 700.0, 42.1, 30.0, 50.0) == pytest.approx((750.0, 700.0, 100.0, 50.0))


def test_carnot_by_hand():
    """45 to 75 °C: 0.46 · 348.15 / 30 = 5.338; 1 MW takes 812.7 kW and 187.3 kW of electricity."""
    assert serve(1000.0, 5000.0, 75.0, 50.0, carnot_model=True) == pytest.approx(
        (1000.0, 812.674, 187.326, 0.0), abs=0.001
    )


def test_the_pipe_is_kept_warm_without_demand():
    """Nobody wants heat: the pipe still loses its own, and nothing more is taken."""
    assert serve(0.0, 5000.0, 40.0, 30.0, 20.0) == (0.0, 20.0, 0.0, 20.0)
    assert serve(0.0, 5.0, 40.0, 30.0, 20.0) == (0.0, 5.0, 0.0, 5.0)
    assert serve(0.0, 5000.0, 40.0, 30.0) == (0.0, 0.0, 0.0, 0.0)


def test_an_electric_heater_takes_nothing():
    """At COP 1 all heat is electricity, even from an empty loop."""
    assert serve(100.0, 0.0, 110.0, 100.0, lorenz_efficiency=0.01) == (100.0, 0.0, 100.0, 0.0)


def test_pipe_losses_by_hand():
    """2 km at 20 W/m and 60 K above the ground lose 40 kW; half of it at 30 K; a cold pipe loses nothing."""
    assert pipe_loss_kw(2.0, 20.0, 80.0, 50.0, 5.0) == pytest.approx(40.0)
    assert pipe_loss_kw(2.0, 20.0, 45.0, 25.0, 5.0) == pytest.approx(20.0)
    assert pipe_loss_kw(2.0, 20.0, 4.0, 2.0, 5.0) == 0.0


def test_pipe_of_a_customer():
    """Ground at the annual mean of 4.5 °C: (80 + 50)/2 - 4.5 = 60.5 K."""
    customer = HeatCustomer(
        kind="flat",
        peak_mw=1.0,
        annual_gwh=1.0,
        supply_c=80.0,
        return_c=50.0,
        pipe_km=3.0,
        pipe_loss_w_per_m=20.0,
    )
    assert pipe_of(customer) == pytest.approx(60.5)


@given(st.lists(st.integers(0, 5), max_size=12))
def test_law_of_the_order_of_service(priorities):
    """Everybody is served once; lower numbers first, equal ones as they stand in the file."""
    order = order_of_service(priorities).tolist()

    assert order == sorted(range(len(priorities)), key=lambda index: (priorities[index], index))
