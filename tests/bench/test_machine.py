"""The yardsticks do the work that they are said to do."""

from __future__ import annotations

import numpy as np

from kvandal.bench import machine


def test_the_bare_sweep_is_first_order_physics_of_every_rack() -> None:
    """The same numbers, to the last bit, as written out with arrays; at length, the steady temperature."""
    supply_c, rise_k = np.array([40.0, 41.0, 39.5]), np.array([5.0, 10.0])
    coolant_c, expected = np.full(2, 40.0), np.full(2, 40.0)
    machine.coolant_sweep(coolant_c, rise_k, supply_c, 0.75)
    for supply in supply_c:
        expected += 0.75 * (supply + rise_k - expected)
    np.testing.assert_array_equal(coolant_c, expected)
    machine.coolant_sweep(coolant_c, rise_k, np.full(200, 40.0), 0.75)
    np.testing.assert_allclose(coolant_c, [45.0, 50.0])


def test_the_loops_for_memory_and_arithmetic_are_what_their_figures_divide_by() -> None:
    """Every row is added, every point is replaced, as often as asked for."""
    target = np.zeros(5)
    machine.streamed(target, np.arange(5.0), np.full(5, 2.0), 0.5)
    np.testing.assert_array_equal(target, np.arange(5.0) + 1.0)
    points = np.array([0.0, 0.5])
    machine.polynomial(points, 2)
    terms = [0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19]
    np.testing.assert_allclose(points, np.polyval(terms, np.polyval(terms, [0.0, 0.5])))
    operations = 2 * (len(terms) - 1)
    assert operations == machine.POINT_FLOPS


def test_the_calibration_loop_does_all_its_steps() -> None:
    """Each step changes the result, so that none can be left out; equal steps give equal results."""
    values = [machine.plain_arithmetic(steps) for steps in (1, 2, 1000, 1001)]
    assert len(set(values)) == 4
    assert machine.plain_arithmetic(1000) == values[2]


def test_a_loop_is_called_once_to_warm_up_and_then_as_often_as_asked() -> None:
    """The first call may compile or load."""
    calls: list[int] = []
    assert machine.best_s(lambda: calls.append(1), repeats=3) >= 0
    assert len(calls) == 4
