r"""Many exchangers at once: the cold flow at which each takes its heat, from a guess that is nearly right.

What one exchanger needs, :func:`kvandal.physics.exchanger_flow.flow_fraction_at_heat` finds from nothing in six to eight
evaluations. A plant asks for the same exchangers tick by tick, and they hardly move: Newton's method from the flow of the
tick before is there after two. Each exchanger is a column ("lane") of a table, so that the compiler can work on several at
once; what it does for one does not depend on the others.
"""

from __future__ import annotations

from typing import Any

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.elementary import exponential, exponential_less_one, logarithm
from kvandal.physics.exchanger_flow import flow_fraction_at_heat
from kvandal.physics.heat_exchanger import CONVECTION_EXPONENT

Array = Any

(SLOWNESS, TRANSFER_KW_PER_K, HOT_K_PER_KW, COLD_K_PER_KW, CONSTANT_K_PER_KW, CONVECTIVE_K_PER_KW, NEXT) = (
    range(7)
)
"""Rows of the table of :func:`settle_counterflow`: 1 over the cold flow (a guess goes in, the answer comes out); heat over
the difference of hot outlet and cold inlet; 1 over the capacity rates of the hot stream and of the cold one at design
flow; resistances without and with the cold flow; room to work in."""
ROWS = 8
WIDTH = 8
"""Tables are as wide as a multiple of this."""

SETTLED = 2e-6
"""A relative step of the flow after which heat is met to 1e-10: its error is at most about ten times the step's square, a tenth
of it in the exchangers of a plant (measured over the range that the tests draw from)."""
MOST_STEPS = 12
"""Lanes that need more than so many steps are searched from nothing; two are usual."""


def width_for(lanes: int) -> int:
    """Return the width of a table with room for so many lanes.

    >>> width_for(31), width_for(0)
    (32, 8)
    """
    return max(WIDTH, (lanes + WIDTH - 1) // WIDTH * WIDTH)


@kernel
def _bernoulli(units: float) -> tuple[float, float]:
    r"""Return :math:`w / (e^w - 1)` and its derivative, without loss of digits near 0."""
    is_small = abs(units) < 1e-4
    gone = 1.0 if is_small else exponential_less_one(units)
    over = 1.0 / gone
    value = units * over
    slope = (1.0 - units - value) * over
    if is_small:
        value = 1.0 - units * (0.5 - units * (1.0 / 12.0))
        slope = -0.5 + units * (1.0 / 6.0)
    return value, slope


@kernel
def bent_step(step: float, missing: float) -> float:
    """Relative step of Newton's method, bent to second order along a power law; far off at most halving or doubling.

    >>> bent_step(0.1, 0.2), bent_step(-3.0, 0.2)
    (0.095, -0.5)
    """
    return step + 0.5 * step * (step - missing) if abs(step) < 0.25 else min(max(step, -0.5), 1.0)


@kernel
def start_lanes(moves: Array, lanes: int) -> int:
    """Let all lanes move; return how many the table is wide there."""
    width = (lanes + WIDTH - 1) // WIDTH * WIDTH
    for lane in range(width):
        moves[lane] = 1.0
    return width


@kernel
def take_step(now: Array, following: Array, moves: Array, lanes: int) -> int:
    """Go on to what follows, let those rest that hardly moved, and return how many did move."""
    moving = 0
    for lane in range(lanes):
        if abs(following[lane] - now[lane]) > SETTLED * following[lane]:
            moving += 1
        else:
            moves[lane] = 0.0
        now[lane] = following[lane]
    return moving


@kernel
def _stepped(
    slowness: float,
    transfer: float,
    hot: float,
    cold: float,
    constant: float,
    convective: float,
    least: float,
    most: float,
) -> float:
    r"""Return the slowness after a step of Newton's method.

    With :math:`u = 1/b`, :math:`r = R + R_c u^n` and :math:`w = (1/C_h - u/C_{c,0}) / r` a counterflow exchanger has
    :math:`\Delta T_{out} / Q = r\, w / (e^w - 1)` (from its effectiveness), which hardly curves as a power law of u: so
    the step follows that.
    """
    share = convective * exponential(CONVECTION_EXPONENT * logarithm(slowness))
    resistance = constant + share
    units = (hot - slowness * cold) / resistance
    value, slope = _bernoulli(units)
    steepness = CONVECTION_EXPONENT * share * (value - slope * units) - slope * cold * slowness
    missing = 1.0 - value * resistance * transfer
    step = bent_step(missing / (steepness * transfer), missing)
    return min(max(slowness + slowness * step, least), most)


@large_kernel
def settle_counterflow(table: Array, lanes: int, minimum: float, maximum: float) -> None:
    r"""Find the cold flows of counterflow exchangers, convection on the cold side with exponent 0.7.

    Answers are those of :func:`~kvandal.physics.exchanger_flow.flow_fraction_at_heat` within the same relative error
    of heat, 1e-10, for exchangers that can take their heat at some flow.

    Parameters
    ----------
    table : float64 (ROWS, a multiple of 8); `SLOWNESS` holds guesses above 0 and receives the answers
    lanes : columns in use; what stands in the others does not matter
    minimum, maximum : bounds of the flows over design, above 0

    Examples
    --------
    The exchanger of the example there, 800 kW, from a guess that is far off:

    >>> import numpy as np
    >>> table = np.ones((ROWS, WIDTH))
    >>> table[:NEXT, 0] = [1.0, 800 / (14 - 800 / 130), 1 / 130, 9 / 1300, 0.0, 1 / 290.3]
    >>> settle_counterflow(table, 1, 0.1, 1.0)
    >>> round(1 / float(table[SLOWNESS, 0]), 3)
    0.478

    """
    least, most = 1.0 / maximum, 1.0 / minimum
    slowness, transfer, hot, cold = table[0], table[1], table[2], table[3]
    constant, convective, following = table[4], table[5], table[6]
    moves = table[7]
    width = start_lanes(moves, lanes)
    for _ in range(MOST_STEPS):
        for lane in range(width):
            stepped = _stepped(
                slowness[lane],
                transfer[lane],
                hot[lane],
                cold[lane],
                constant[lane],
                convective[lane],
                least,
                most,
            )
            following[lane] = stepped if moves[lane] > 0.0 else slowness[lane]
        if take_step(slowness, following, moves, lanes) == 0:
            return
    for lane in range(lanes):
        if moves[lane] > 0.0:
            flow = flow_fraction_at_heat(
                1.0, 1.0 / hot[lane], 1.0 / transfer[lane] + hot[lane], 1.0 / cold[lane],
                constant[lane], convective[lane], CONVECTION_EXPONENT, False, minimum, maximum,
            )  # fmt: skip
            slowness[lane] = 1.0 / flow
