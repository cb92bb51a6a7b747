"""Losses between the utility meter and the rack."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kvandal.compiled import kernel, large_kernel

Float64 = npt.NDArray[np.float64]

IDLE_SHARE = 0.1
"""Least loss of idle equipment over its loss at the first point of its efficiency curve."""


def it_path_efficiency(eta_hv: float, eta_mv: float, eta_ups: float, eta_busway: float) -> float:
    """Efficiency from the meter to the rack: HV and MV transformer, UPS, busway in a row.

    The overhead 1/eta - 1 is 1.9 % without UPS, 3.1 % with eco mode, 5.4 % with double conversion:

    >>> [round((1 / it_path_efficiency(0.996, 0.992, ups, 0.993) - 1) * 100, 1) for ups in (1.0, 0.989, 0.967)]
    [1.9, 3.1, 5.4]
    """
    return eta_hv * eta_mv * eta_ups * eta_busway


@kernel
def transformer_loss_kw(
    load_kw: float, rating_kw: float, no_load_fraction: float, load_loss_fraction: float
) -> float:
    r"""Loss of a transformer: iron always, copper with the square of the load [kW].

    .. math:: P_{loss} = S_r \left( p_0 + p_k (S / S_r)^2 \right)

    Valid from no load to short overload at unity power factor; 0 where the rating is 0.

    Parameters
    ----------
    load_kw : power handed on [kW]
    rating_kw : rated power [kW]
    no_load_fraction, load_loss_fraction : no-load loss, and load loss at rated power, over rated power

    References
    ----------
    IEC 60076-1, Power transformers - Part 1: General (no-load loss and load loss); loss fractions are judgement.

    Examples
    --------
    A 132/33 kV transformer of 100 MW with 0.03 % and 0.35 % loses 380 kW (0.38 %) at full load, 118 kW at half:

    >>> [round(transformer_loss_kw(load, 100e3, 0.0003, 0.0035), 1) for load in (100e3, 50e3, 0.0)]
    [380.0, 117.5, 30.0]

    """
    if rating_kw <= 0.0:
        return 0.0
    share = load_kw / rating_kw
    return rating_kw * (no_load_fraction + load_loss_fraction * share * share)


def loss_curve(loads: Sequence[float], efficiencies: Sequence[float]) -> tuple[Float64, Float64]:
    r"""Turn an efficiency curve into a loss curve, with the loss of idle equipment.

    .. math:: l_i = x_i (1 / \eta_i - 1)

    is the loss over the rating at load :math:`x_i` (output over rating). The line through the first two points is
    drawn on to load 0, where it is at least a tenth of the loss at the first point: idle equipment has a loss.

    Parameters
    ----------
    loads : output over rating, rising, above 0
    efficiencies : output over input there, 0 to 1

    Returns
    -------
    Loads with a knot at 0, and losses over the rating at these loads: for :func:`curve_loss_fraction`.

    Raises
    ------
    ValueError
        If there are fewer than two points, if loads do not rise, or if an efficiency is not in (0, 1].

    Examples
    --------
    A UPS of 95.5 % at a quarter and 96.8 % at half load loses 0.7 % of its rating when idle:

    >>> knots, losses = loss_curve([0.25, 0.5], [0.955, 0.968])
    >>> knots.tolist(), losses.round(4).tolist()
    ([0.0, 0.25, 0.5], [0.007, 0.0118, 0.0165])

    """
    x = np.asarray(loads, dtype=np.float64)
    eta = np.asarray(efficiencies, dtype=np.float64)
    if x.ndim != 1 or x.shape != eta.shape or x.size < 2 or x[0] <= 0 or not (np.diff(x) > 0).all():
        raise ValueError("an efficiency curve needs two points or more, at loads above 0 that rise")
    if not ((eta > 0) & (eta <= 1)).all():
        raise ValueError("efficiencies lie above 0 and at most at 1")
    losses = x * (1 / eta - 1)
    idle = losses[0] - x[0] * (losses[1] - losses[0]) / (x[1] - x[0])
    return np.append(0.0, x), np.append(max(idle, IDLE_SHARE * losses[0]), losses)


@large_kernel
def curve_loss_fraction(load_fraction: float, knots: Float64, losses: Float64) -> float:
    """Loss over rating at a load: linear between the knots of :func:`loss_curve`, drawn on above the last.

    Valid from no load to short overload; a load below 0 counts as 0, a loss is never below 0.

    Parameters
    ----------
    load_fraction : output over rating
    knots, losses : from :func:`loss_curve`

    References
    ----------
    Points for UPS, transformers and power shelves stand in ``defaults.toml`` under ``[curves]``; peaks after
    published claims of UPS makers (up to 97 % double conversion, 99 % eco mode), the rest judgement.

    Examples
    --------
    At 75 % load a UPS of 97.0 % loses 0.75 (1/0.97 - 1) = 2.32 % of its rating:

    >>> curve = loss_curve([0.10, 0.25, 0.50, 0.75, 1.00], [0.910, 0.955, 0.968, 0.970, 0.967])
    >>> [round(curve_loss_fraction(load, *curve), 4) for load in (0.0, 0.75, 1.0, 1.1)]
    [0.0086, 0.0232, 0.0341, 0.0385]

    """
    last = knots.shape[0] - 1
    load = max(0.0, load_fraction)
    right = 1
    while right < last and knots[right] < load:
        right += 1
    left = right - 1
    slope = (losses[right] - losses[left]) / (knots[right] - knots[left])
    return max(0.0, float(losses[left] + slope * (load - knots[left])))


@kernel
def busway_loss_kw(load_kw: float, rating_kw: float, full_load_efficiency: float) -> float:
    r"""Ohmic loss of busway and cables, :math:`P = S_r (1/\eta_r - 1) (S/S_r)^2` [kW].

    Valid from no load to overload at constant voltage; 0 where the rating is 0.

    Parameters
    ----------
    load_kw : power handed on [kW]
    rating_kw : rated power [kW]
    full_load_efficiency : output over input at rated power

    References
    ----------
    Joule's law at constant voltage; 99.3 % (98.8 to 99.6) at full load is judgement.

    Examples
    --------
    A busway of 99.3 % loses 7.0 kW at 1 MW and a quarter of it at half load:

    >>> round(busway_loss_kw(1000.0, 1000.0, 0.993), 2), round(busway_loss_kw(500.0, 1000.0, 0.993), 2)
    (7.05, 1.76)

    """
    if rating_kw <= 0.0:
        return 0.0
    return (1.0 / full_load_efficiency - 1.0) * load_kw * load_kw / rating_kw


@large_kernel
def shelf_loss_kw(input_kw: float, rating_kw: float, knots: Float64, losses: Float64) -> float:
    """Loss of the power shelves of a rack that draw `input_kw` of alternating current [kW].

    Inverts :func:`curve_loss_fraction` exactly: input is output plus loss. Input below the idle loss is all loss.

    Parameters
    ----------
    input_kw : alternating-current power of the rack, fans and losses included [kW]
    rating_kw : output of all shelves that share the load [kW]
    knots, losses : efficiency curve of a shelf, from :func:`loss_curve`

    References
    ----------
    20/50/100 % load: 96.0/97.5/97.0 %, as power shelves of Open Rack V3 class (Open Compute Project) claim.

    Examples
    --------
    Eight shelves of 33 kW carry a rack of 132 kW at half load and lose 2.5 % of it:

    >>> curve = loss_curve([0.20, 0.50, 1.00], [0.960, 0.975, 0.970])
    >>> round(shelf_loss_kw(132.0, 264.0, *curve), 2)
    3.33

    """
    if rating_kw <= 0.0:
        return 0.0
    drawn = input_kw / rating_kw
    if drawn <= losses[0]:
        return max(0.0, input_kw)
    last = knots.shape[0] - 1
    right = 1
    while right < last and knots[right] + losses[right] < drawn:
        right += 1
    left = right - 1
    slope = (losses[right] - losses[left]) / (knots[right] - knots[left])
    output = knots[left] + (drawn - knots[left] - losses[left]) / (1.0 + slope)
    return float(rating_kw * (drawn - output))


@kernel
def group_capacity_kw(blocks_working: int, block_rating_kw: float) -> float:
    """Power that the working blocks of a group can carry together [kW].

    Valid where any block can feed any load of the group (distributed redundancy, parallel bus).

    Four blocks of 2.5 MW, one of them in repair:

    >>> group_capacity_kw(3, 2500.0)
    7500.0
    """
    return max(0, blocks_working) * block_rating_kw


@kernel
def firm_capacity_kw(blocks: int, redundant_blocks: int, block_rating_kw: float) -> float:
    """Load that a group may be given so that it survives the loss of its redundant blocks [kW].

    4-to-make-3 has 4 blocks of which 1 is redundant, N+1 has N+1 and 1, 2N has 2N and N, N has none.

    Parameters
    ----------
    blocks : blocks installed
    redundant_blocks : blocks that may fail
    block_rating_kw : rated power of a block [kW]

    References
    ----------
    EN 50600-2-2, Data centre facilities - Power supply and distribution (availability classes and redundancy).

    Examples
    --------
    4-to-make-3, N+1 with N = 9, and 2N with N = 2, in blocks of 2.5 MW:

    >>> firm_capacity_kw(4, 1, 2500.0), firm_capacity_kw(10, 1, 2500.0), firm_capacity_kw(4, 2, 2500.0)
    (7500.0, 22500.0, 5000.0)

    """
    return max(0, blocks - redundant_blocks) * block_rating_kw


@kernel
def survives(load_kw: float, blocks_working: int, block_rating_kw: float) -> bool:
    """Whether the working blocks of a group carry a load; equal up to a billionth counts as carried.

    Valid where any block can feed any load of the group.

    Four blocks of 2.5 MW carry 7.5 MW after one failure but not after two:

    >>> survives(7500.0, 3, 2500.0), survives(7500.0, 2, 2500.0)
    (True, False)
    """
    return load_kw <= max(0, blocks_working) * block_rating_kw * (1.0 + 1e-9)


@kernel
def ride_through_s(stored_kj: float, load_kw: float) -> float:
    """Time that stored energy carries a load, :math:`t = E / P` [s]; infinite without a load.

    Power supplies that store 65 J per GPU carry a rack of 72 GPUs at 132 kW for 35 ms:

    >>> round(ride_through_s(72 * 0.065, 132.0) * 1000, 1)
    35.5
    """
    if load_kw <= 0.0:
        return math.inf
    return max(0.0, stored_kj) / load_kw


@kernel
def dip_ridden_through(
    residual_voltage_pu: float, duration_s: float, voltages: Float64, times: Float64
) -> bool:
    """Whether a voltage dip lies within the fault-ride-through curve: the site stays connected.

    The curve is a staircase: at a residual voltage the time of the highest knot that is not above it holds. A voltage
    below the lowest knot is never ridden through.

    Parameters
    ----------
    residual_voltage_pu : lowest voltage of the dip over nominal
    duration_s : length of the dip [s]
    voltages, times : knots, rising [pu, s]: ``frt_voltage_pu`` and ``frt_time_s`` of ``defaults.toml``

    References
    ----------
    Shape after Commission Regulation (EU) 2016/1388 (demand connection) and 2016/631; the numbers are judgement
    until the connection agreement with Statnett gives them: 0.0 pu 150 ms, 0.4 pu 250 ms, 0.7 pu 1 s, 0.85 pu 10 s.

    Examples
    --------
    Half the voltage for 200 ms is ridden through, for 300 ms it is not:

    >>> curve = np.array([0.0, 0.4, 0.7, 0.85, 0.9]), np.array([0.15, 0.25, 1.0, 10.0, 1e9])
    >>> dip_ridden_through(0.5, 0.2, *curve), dip_ridden_through(0.5, 0.3, *curve)
    (True, False)

    """
    allowed_s = -1.0
    for knot in range(voltages.shape[0]):
        if residual_voltage_pu >= voltages[knot]:
            allowed_s = times[knot]
    return duration_s <= allowed_s
