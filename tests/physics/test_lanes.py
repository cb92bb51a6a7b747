"""Many exchangers at once: own logarithm and exponential, and searches from a guess against searches from nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.physics import cooler_lanes, exchanger_lanes
from kvandal.physics.dry_cooler import dry_cooler_airflow_for, dry_cooler_design, dry_cooler_heat_kw
from kvandal.physics.elementary import (
    LARGEST_EXPONENT,
    RELATIVE_ERROR,
    exponential,
    exponential_less_one,
    logarithm,
)
from kvandal.physics.exchanger_flow import TOLERANCE, flow_fraction_at_heat, heat_at_flow_kw

EXACT = np.longdouble
"""Eleven bits more than a double: errors below a rounding of a double can be told."""
MOST = LARGEST_EXPONENT
LEAST_VALVE, WIDE_OPEN = 0.02, 1.0


def relative_error(found, exact):
    """Largest error over the exact values."""
    exact = np.asarray(exact, EXACT)
    return float(np.max(np.abs(np.asarray(found, EXACT) - exact) / np.abs(exact)))


def test_the_reference_has_more_digits_than_what_it_judges():
    assert np.finfo(EXACT).eps < 1e-3 * np.finfo(np.float64).eps


def test_logarithm_is_right_to_fifteen_digits_over_the_whole_range():
    """From the smallest normal number to the largest, densest around 1, where the logarithm passes through 0."""
    random = np.random.default_rng(1)
    numbers = np.concatenate(
        [
            np.ldexp(random.uniform(1, 2, 20_000), random.integers(-1022, 1024, 20_000)),
            random.uniform(0.5, 2, 20_000),
            1 + np.ldexp(random.uniform(-1, 1, 5000), random.integers(-50, -1, 5000)),
            [np.finfo(np.float64).tiny, np.finfo(np.float64).max, np.sqrt(0.5), np.sqrt(2)],
        ]
    )
    numbers = numbers[numbers != 1.0]

    assert relative_error([logarithm(x) for x in numbers], np.log(numbers.astype(EXACT))) <= RELATIVE_ERROR
    assert logarithm(1.0) == 0.0


def test_exponentials_are_right_to_fifteen_digits_over_the_whole_range():
    """Exponents of -700 to 700; less one, down to those that hardly differ from nothing."""
    random = np.random.default_rng(2)
    exponents = np.concatenate(
        [
            random.uniform(-MOST, MOST, 20_000),
            random.uniform(-1, 1, 20_000),
            random.choice([-1, 1], 5000) * np.exp(random.uniform(-200, 0, 5000)),
            [-MOST, MOST, 0.5 * np.log(2), -0.5 * np.log(2)],
        ]
    )
    exact = exponents.astype(EXACT)

    assert relative_error([exponential(x) for x in exponents], np.exp(exact)) <= RELATIVE_ERROR
    assert relative_error([exponential_less_one(x) for x in exponents], np.expm1(exact)) <= RELATIVE_ERROR
    assert exponential_less_one(0.0) == 0.0


def test_exponents_beyond_the_range_are_held():
    assert exponential(1e9) == exponential(MOST) < np.inf
    assert exponential(-1e9) == exponential(-MOST) > 0.0


EXCHANGER = st.tuples(
    st.floats(0.05, 1.5),  # heat of what the difference at the inlets would carry with the design flows
    st.floats(0.02, 1.2),  # hot flow over design
    st.floats(0.2, 3),  # cold capacity rate over the hot one, at design
    st.floats(0.05, 20),  # transfer units at design
    st.floats(0, 1),  # part of the resistance on the cold side
    st.floats(1, 60),  # difference at the inlets
    st.floats(1, 50),  # the guess
)


def counterflow(cases):
    """Solve exchangers in lanes and one by one; heat over what is asked, and flows, for those that lanes take."""
    columns = []
    for load, hot_flow, cold, units, share, difference_k, guess in cases:
        hot, cold_kw_per_k = 100.0 * hot_flow, 100.0 * cold
        heat_kw = load * min(hot, cold_kw_per_k) * difference_k
        if heat_kw >= 0.999 * hot * difference_k:
            continue
        resistance = 1 / (100.0 * units)
        columns.append(
            (heat_kw, hot, difference_k, cold_kw_per_k, resistance * (1 - share), resistance * share, guess)
        )
    table = np.ones((exchanger_lanes.ROWS, exchanger_lanes.width_for(len(columns))))
    for lane, (heat_kw, hot, difference_k, cold_kw_per_k, constant, convective, guess) in enumerate(columns):
        transfer = heat_kw / (difference_k - heat_kw / hot)
        table[: exchanger_lanes.NEXT, lane] = (
            guess,
            transfer,
            1 / hot,
            1 / cold_kw_per_k,
            constant,
            convective,
        )
    exchanger_lanes.settle_counterflow(table, len(columns), LEAST_VALVE, WIDE_OPEN)
    return columns, 1 / table[exchanger_lanes.SLOWNESS, : len(columns)]


@settings(max_examples=300)
@given(st.lists(EXCHANGER, max_size=20))
def test_valves_found_together_are_those_found_one_by_one(cases):
    """Heat is met to the same 1e-10 from any guess; valves stand at their stops where the other search puts them there."""
    columns, flows = counterflow(cases)

    for (heat_kw, *exchanger, _), flow in zip(columns, flows, strict=True):
        alone = flow_fraction_at_heat(heat_kw, *exchanger, 0.7, False, LEAST_VALVE, WIDE_OPEN)
        found_kw, alone_kw = (heat_at_flow_kw(x, *exchanger, 0.7, False) for x in (flow, alone))
        assert LEAST_VALVE <= flow <= WIDE_OPEN
        assert found_kw == pytest.approx(alone_kw, rel=2 * TOLERANCE)
        if LEAST_VALVE < alone < WIDE_OPEN:
            assert found_kw == pytest.approx(heat_kw, rel=TOLERANCE)


@given(st.lists(EXCHANGER, min_size=2, max_size=20), st.randoms(use_true_random=False))
def test_a_lane_does_not_know_its_neighbours(cases, random):
    """The same exchangers in another order, and each alone, give the same bits, in vectors or in what is left of them."""
    columns, flows = counterflow(cases)
    shuffled, others = counterflow(random.sample(cases, len(cases)))
    by_column = dict(zip(shuffled, others.tolist(), strict=True))

    assert [by_column[column] for column in columns] == flows.tolist()
    assert [float(counterflow([case])[1][0]) for case in cases if counterflow([case])[0]] == flows.tolist()


DESIGN = dry_cooler_design(1000.0, 1000.0 / 9, 45.0, 28.0, 10.0)
COOLER = st.tuples(
    st.floats(0.01, 1.2), st.floats(0.2, 1.2), st.floats(25, 60), st.floats(-40, 45), st.floats(0.01, 1.5)
)


@settings(max_examples=300)
@given(st.lists(COOLER, max_size=12))
def test_airflows_found_together_are_those_found_one_by_one(cases):
    """Heat is met to 1e-10 from any guess; what cannot be done with all the air there is says so."""
    conductance, air = DESIGN
    columns = [
        (1000.0 * load, 1000.0 / 9 * flow, water_c, air_c, guess)
        for load, flow, water_c, air_c, guess in cases
        if 1000.0 * load < 0.999 * min(1000.0 / 9 * flow, air) * (water_c - air_c)
    ]
    table = np.ones((cooler_lanes.COOLER_ROWS, exchanger_lanes.width_for(len(columns))))
    for lane, (heat_kw, water, water_c, air_c, guess) in enumerate(columns):
        column = (guess, heat_kw / (water_c - air_c), water, air, conductance)
        table[: cooler_lanes.NEXT_AIRFLOW, lane] = column
    cooler_lanes.settle_dry_coolers(table, len(columns))

    for (heat_kw, water, water_c, air_c, _), airflow in zip(
        columns, table[cooler_lanes.AIRFLOW], strict=False
    ):
        alone = dry_cooler_airflow_for(heat_kw, water, water_c, air_c, conductance, air)
        if alone >= cooler_lanes.TOO_MUCH_AIR:
            assert airflow == pytest.approx(cooler_lanes.TOO_MUCH_AIR)
        else:
            found_kw = dry_cooler_heat_kw(airflow, water, water_c, air_c, conductance, air)
            assert found_kw == pytest.approx(heat_kw, rel=TOLERANCE)
