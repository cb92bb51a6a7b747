r"""Many dry coolers at once: the airflow at which each rejects its heat, from a guess that is nearly right.

What :mod:`kvandal.physics.exchanger_lanes` is for counterflow, this is for the crossflow of
:func:`kvandal.physics.dry_cooler.dry_cooler_airflow_for`.
"""

from __future__ import annotations

from typing import Any

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.dry_cooler import AIR_EXPONENT, dry_cooler_airflow_for
from kvandal.physics.elementary import exponential, exponential_less_one, logarithm
from kvandal.physics.exchanger_lanes import MOST_STEPS, bent_step, start_lanes, take_step

Array = Any

(AIRFLOW, HEAT_KW_PER_K, WATER_KW_PER_K, AIR_KW_PER_K, CONDUCTANCE_KW_PER_K, NEXT_AIRFLOW, MOVES) = range(7)
"""Rows of the table of :func:`settle_dry_coolers`: airflow over design (a guess goes in, the answer comes out); heat over
the difference of the inlets; capacity rates of the water, and of the air at design; conductance at design; room to work in."""
COOLER_ROWS = 7

LEAST_AIRFLOW = 1e-6
"""Airflow over design below which no fan can tell."""
TOO_MUCH_AIR = 1.5
"""Airflow over design that stands for "more than there is"."""


@kernel
def _stepped(
    airflow: float, heat: float, water: float, air_design: float, conductance_design: float
) -> float:
    r"""Return the airflow after a step of Newton's method along the power law that touches heat over airflow."""
    air = airflow * air_design
    is_air_smaller = air <= water
    smaller = air if is_air_smaller else water
    larger = water if is_air_smaller else air
    ratio = max(smaller / larger, 1e-9)
    log_units = AIR_EXPONENT * logarithm(airflow) - logarithm(smaller / conductance_design)
    units = exponential(log_units)
    warmed = exponential_less_one(-ratio * exponential(0.78 * log_units))
    exponent = exponential(0.22 * log_units) * warmed / ratio
    gone = exponential_less_one(exponent)  # less the effectiveness
    # slopes over the logarithm of the airflow
    fading = units * (warmed + 1.0)
    by_units = 0.22 * exponent - 0.78 * fading
    by_ratio = -exponent - fading
    slope = (
        (AIR_EXPONENT - 1.0) * by_units + by_ratio if is_air_smaller else AIR_EXPONENT * by_units - by_ratio
    )
    steepness = (1.0 if is_air_smaller else 0.0) + (gone + 1.0) * slope / gone
    missing = -heat / (gone * smaller) - 1.0
    step = bent_step(missing / steepness, missing)
    return min(max(airflow + airflow * step, LEAST_AIRFLOW), TOO_MUCH_AIR)


@large_kernel
def settle_dry_coolers(table: Array, lanes: int) -> None:
    """Find the airflows of dry coolers; :data:`TOO_MUCH_AIR` where even that does not do.

    Answers are those of :func:`~kvandal.physics.dry_cooler.dry_cooler_airflow_for` within the same relative error of
    heat, 1e-10.

    Parameters
    ----------
    table : float64 (COOLER_ROWS, a multiple of 8); `AIRFLOW` holds guesses above 0 and receives the answers
    lanes : columns in use; what stands in the others does not matter

    Examples
    --------
    The cooler of the example there, 1 MW from water of 46 °C at 0 °C outside, from a guess that is far off:

    >>> import numpy as np
    >>> from kvandal.physics.dry_cooler import dry_cooler_design
    >>> conductance, air = dry_cooler_design(1000.0, 100.0, 46.0, 28.0, 12.0)
    >>> table = np.ones((COOLER_ROWS, 8))
    >>> table[:NEXT_AIRFLOW, 0] = [1.0, 1000.0 / 46.0, 100.0, air, conductance]
    >>> settle_dry_coolers(table, 1)
    >>> round(float(table[AIRFLOW, 0]), 3)
    0.281

    """
    airflow, heat, water = table[0], table[1], table[2]
    air, conductance, following = table[3], table[4], table[5]
    moves = table[6]
    width = start_lanes(moves, lanes)
    for _ in range(MOST_STEPS):
        for lane in range(width):
            stepped = _stepped(airflow[lane], heat[lane], water[lane], air[lane], conductance[lane])
            following[lane] = stepped if moves[lane] > 0.0 else airflow[lane]
        if take_step(airflow, following, moves, lanes) == 0:
            return
    for lane in range(lanes):
        if moves[lane] > 0.0:
            found = dry_cooler_airflow_for(heat[lane], water[lane], 1.0, 0.0, conductance[lane], air[lane])
            airflow[lane] = min(TOO_MUCH_AIR, found)
