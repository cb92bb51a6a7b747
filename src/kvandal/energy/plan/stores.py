"""Heat stores behind the hand-over: what went in and out of them, and how full they are."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def hourly_keep(loss_per_day: float) -> float:
    """Part of its energy that a store keeps for an hour.

    >>> round(hourly_keep(0.01), 6)
    0.999581
    """
    return float((1.0 - loss_per_day) ** (1 / 24))


def store_flows(
    start_mwh: float, wanted_mwh: Array, piped_mwh: Array, draw_mwh: Array, capacity_mwh: float, keeps: float
) -> tuple[Array, Array, Array]:
    r"""Heat that went into and out of a store, and what it holds at the end of each hour [MWh].

    Out of it comes what was planned, as far as it holds that much and the customer wants it; into it goes what came through
    the pipe beyond the customer's need. What it cannot hold is lost, as is what leaks through its walls:
    :math:`s_t = \min(s_{max}, k s_{t-1} - u_t + q_t)`.

    Parameters
    ----------
    start_mwh : energy in the store before
    wanted_mwh : what the customer wanted in each hour
    piped_mwh : what came through the pipe
    draw_mwh : planned heat out of the store
    capacity_mwh : what it can hold
    keeps : part that is left after an hour

    Returns
    -------
    Heat in, heat out and level, each float64 (hours,).

    Examples
    --------
    >>> into, out, level = store_flows(
    ...     0.0, np.array([3.0, 3.0]), np.array([5.0, 1.0]), np.array([0.0, 2.5]), 10.0, 0.9
    ... )
    >>> into.tolist(), out.tolist(), level.round(9).tolist()
    ([2.0, 0.0], [0.0, 1.8], [2.0, 0.0])

    """
    hours = len(wanted_mwh)
    into, out, levels = np.zeros(hours), np.zeros(hours), np.zeros(hours)
    level = start_mwh
    for hour in range(hours):
        level *= keeps
        out[hour] = min(draw_mwh[hour], wanted_mwh[hour], level)
        into[hour] = max(0.0, piped_mwh[hour] - (wanted_mwh[hour] - out[hour]))
        level = min(capacity_mwh, level - out[hour] + into[hour])
        levels[hour] = level
    return into, out, levels
