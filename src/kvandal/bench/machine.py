"""What this machine can do, measured by loops of known cost: the yardstick beside which a run is put."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kvandal.compiled import large_kernel

Array = Any

STEPS = 20_000_000
"""Steps of the calibration loop; each multiplies, adds, shifts and compares."""
STREAM_ROWS = 4_000_000
"""Rows of each of the three columns that memory bandwidth is measured with: far more than the caches hold."""
POINTS = 1024
"""Numbers at which a polynomial is worked out to measure arithmetic: they stay in the nearest cache."""
POINT_FLOPS = 16
"""Operations of that polynomial."""
ROUNDS = 20_000
"""How often it is worked out."""
REPEATS = 5
"""The best of so many counts, so that a busy neighbour is not mistaken for a slow machine."""
FLOOR_BYTES = 24
"""Bytes moved per rack and tick of the bare sweep: two numbers of 8 bytes are read and one is written."""
FLOOR_FLOPS = 4
"""Floating-point operations per rack and tick of the bare sweep."""
COOLANT_RATE = 0.75
"""Part of the way to its steady temperature that a rack's water goes in a tick; any number costs the same."""


@large_kernel
def plain_arithmetic(steps: int) -> float:
    """Do a fixed amount of plain dependent arithmetic, whole and floating; the result is only there to be used."""
    value = 1.0
    word = 88172645463325252
    for _ in range(steps):
        word ^= (word << 13) & 0xFFFFFFFFFFFFFFF
        word ^= word >> 7
        value = value * 0.999999 + (word & 1023) * 1e-6
        if value > 2.0:
            value -= 1.0
    return value


@large_kernel
def streamed(target: Array, first: Array, second: Array, factor: float) -> None:
    """Add two columns: 24 bytes a row."""
    for row in range(len(target)):
        target[row] = first[row] + factor * second[row]


@large_kernel
def polynomial(points: Array, rounds: int) -> None:
    """Replace each number by a polynomial of itself, again and again: eight products and eight sums, several points at once."""
    for _ in range(rounds):
        for place in range(len(points)):
            x = points[place]
            total = 0.11 * x + 0.12
            total = total * x + 0.13
            total = total * x + 0.14
            total = total * x + 0.15
            total = total * x + 0.16
            total = total * x + 0.17
            total = total * x + 0.18
            points[place] = total * x + 0.19


@large_kernel
def coolant_sweep(coolant_c: Array, rise_k: Array, supply_c: Array, rate: float) -> None:
    """Bring the water of every rack nearer to its steady temperature, tick by tick: the least that physics per rack can cost.

    First order: ``coolant += rate (supply + rise - coolant)``; racks in the inner loop, so that they are done several at a
    time. 4 operations and 24 bytes per rack and tick.
    """
    for tick in range(len(supply_c)):
        supply = supply_c[tick]
        for rack in range(len(coolant_c)):
            coolant_c[rack] += rate * (supply + rise_k[rack] - coolant_c[rack])


def best_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest processor time of `work` after one call to warm up [s]."""
    work()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def calibration_s() -> float:
    """Processor time of the calibration loop [s]: what a run is divided by to compare machines."""
    return best_s(lambda: plain_arithmetic(STEPS))


def floor_s(racks: int, ticks: int) -> float:
    """Processor time of the bare sweep over a site [s]."""
    coolant_c, rise_k = np.full(racks, 40.0), np.linspace(5.0, 15.0, racks)
    supply_c = 40.0 + np.sin(np.arange(ticks) / 1440)
    return best_s(lambda: coolant_sweep(coolant_c, rise_k, supply_c, COOLANT_RATE), repeats=2)


def bandwidth_gb_per_s() -> float:
    """Memory bandwidth of one core [GB/s]."""
    target, first, second = (np.full(STREAM_ROWS, float(start)) for start in range(3))
    return 24 * STREAM_ROWS / best_s(lambda: streamed(target, first, second, 0.5)) / 1e9


def arithmetic_gflop_per_s() -> float:
    """Floating-point operations of one core [10⁹/s], in double precision, each rounded by itself as the twin does it."""
    points = np.linspace(0.0, 0.5, POINTS)
    operations = POINT_FLOPS * POINTS * ROUNDS
    return operations / best_s(lambda: polynomial(points, ROUNDS), repeats=2) / 1e9
