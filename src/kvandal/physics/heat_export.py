"""Handing heat over to a customer: heat exchanger or heat pump, and the pipe to the customer.

The heat pump stands beside the exchanger at the hand-over and belongs to the customer; the pipe behind it carries water at
the customer's temperatures. What is reused (ERF) is what leaves the loop: before the heat pump's electricity is added and
before the pipe loses any of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kvandal.compiled import kernel
from kvandal.physics.heat_pump import carnot_cop, lorenz_cop
from kvandal.scenario.heat import HeatCustomer
from kvandal.scenario.parameters import value

PIPE_DESIGN_EXCESS_K = 60.0
"""Mean of supply and return above the ground for which pipe losses are stated: 80/50 °C in ground of 5 °C [K]."""


@kernel
def pipe_loss_kw(
    pipe_km: float, design_w_per_m: float, supply_c: float, return_c: float, ground_c: float
) -> float:
    r"""Heat that a pair of buried pipes loses while it is kept warm [kW].

    .. math:: \dot Q = L \, q_0 \, \frac{[(T_s + T_r)/2 - T_g]^+}{60}

    Parameters
    ----------
    pipe_km : length :math:`L` of the pair (W/m times km are kW)
    design_w_per_m : loss :math:`q_0` of the pair at 80/50 °C in ground of 5 °C [W/m]
    supply_c, return_c : water in the two pipes [°C]
    ground_c : ground around them [°C]

    Notes
    -----
    Insulation of constant conductivity, steady state: losses are proportional to the mean of both pipes above the ground, as
    in EN 13941. Valid for 0 to 120 °C; pipes colder than the ground lose nothing (their gain is not counted).

    Examples
    --------
    Narvik over 25 km at 75/45 °C: the pipes lie 55 K above the ground, so 25 km · 20 W/m · 55/60 are lost:

    >>> round(pipe_loss_kw(25.0, 20.0, 75.0, 45.0, 5.0), 1)
    458.3

    """
    excess_k = 0.5 * (supply_c + return_c) - ground_c
    return max(0.0, pipe_km * design_w_per_m * excess_k / PIPE_DESIGN_EXCESS_K)


def pipe_of(customer: HeatCustomer) -> float:
    """Heat that the pipes of a customer lose [kW], in ground at the annual mean of the air (deep ground follows it)."""
    ground_c = value("climate.t_mean_annual_c")
    return float(
        pipe_loss_kw(
            customer.pipe_km, customer.pipe_loss_w_per_m, customer.supply_c, customer.return_c, ground_c
        )
    )


@kernel
def serve_customer(
    wanted_kw: float,
    available_kw: float,
    warm_c: float,
    cold_c: float,
    supply_c: float,
    return_c: float,
    pinch_k: float,
    pipe_loss_kw: float,
    carnot_model: bool,
    lorenz_efficiency: float,
    carnot_efficiency: float,
    cop_maximum: float,
) -> tuple[float, float, float, float]:
    r"""Serve one customer from the warm return of the loop.

    .. math::

       \dot Q_{hand} &= \dot Q_{wanted} + \dot Q_{pipe} \\
       \dot Q_{taken} &= \min\left(\dot Q_{avail},\ \dot Q_{hand} (1 - 1/COP)\right) \\
       \dot Q_{taken} + P_{pump} &= \dot Q_{delivered} + \dot Q_{lost}

    If the loop is warm enough (:math:`T_s \le T_{warm} - \Delta T_{pinch}`) an exchanger does it alone (1/COP = 0); it can
    cool the water down to :math:`T_r + \Delta T_{pinch}` only, so of what is available it reaches the share
    :math:`(T_{warm} - T_r - \Delta T_{pinch}) / (T_{warm} - T_{cold})`. Otherwise a heat pump lifts heat from the loop,
    cooled from :math:`T_{warm}` to :math:`T_{cold}`, to the customer's water, heated from :math:`T_r` to :math:`T_s`.

    Parameters
    ----------
    wanted_kw : heat :math:`\dot Q_{wanted}` that the customer wants at his end of the pipe
    available_kw : heat :math:`\dot Q_{avail}` left in the return above `cold_c`
    warm_c, cold_c : water of the loop before and after it has given its heat [°C]
    supply_c, return_c : water of the customer [°C]
    pinch_k : least temperature difference in the exchanger [K]
    pipe_loss_kw : what the pipe loses (:func:`pipe_loss_kw`); 0 before the customer is connected. The pipe is kept warm in
        hours without demand too
    carnot_model : COP after Carnot (source `warm_c`, sink `supply_c`) instead of Lorenz
    lorenz_efficiency, carnot_efficiency : quality of the heat pump
    cop_maximum : highest COP of a real machine

    Returns
    -------
    delivered_kw : heat at the customer's end of the pipe, at most `wanted_kw`
    taken_kw : heat that left the loop at the hand-over, at most `available_kw`
    pump_kw : electricity of the customer's heat pump (not on the site's meter)
    lost_kw : heat that the pipe lost; served before the customer is

    Notes
    -----
    Answers for any temperatures and loads; negative loads count as none. At COP = 1 (an electric heater) nothing is taken
    and everything delivered.

    References
    ----------
    ISO/IEC 30134-6:2021 (energy reuse factor: reused energy is measured at the boundary of the data centre).

    Examples
    --------
    1 MW wanted at 75/50 °C from a loop of 45 to 37 °C, 40 kW lost on the way: COP 7.86, so 1,040 kW · (1 - 1/7.86) are taken
    and 132 kW of electricity added:

    >>> [round(kw, 1) for kw in serve_customer(1000.0, 5000.0, 45.0, 37.0, 75.0, 50.0, 3.0, 40.0, False, 0.5, 0.46, 8.0)]
    [1000.0, 907.6, 132.4, 40.0]

    A greenhouse at 40/30 °C needs no heat pump:

    >>> serve_customer(500.0, 300.0, 45.0, 37.0, 40.0, 30.0, 3.0, 10.0, False, 0.5, 0.46, 8.0)
    (290.0, 300.0, 0.0, 10.0)

    """
    loss_kw = max(0.0, pipe_loss_kw)
    hand_over_kw = max(0.0, wanted_kw) + loss_kw
    reach_kw = max(0.0, available_kw)
    if supply_c <= warm_c - pinch_k:
        lowest_c = max(cold_c, return_c + pinch_k)
        if lowest_c > cold_c:
            reach_kw *= max(0.0, warm_c - lowest_c) / (warm_c - cold_c)
        taken_kw = min(reach_kw, hand_over_kw)
        handed_kw = taken_kw
        pump_kw = 0.0
    else:
        if carnot_model:
            cop = carnot_cop(warm_c, supply_c, carnot_efficiency, cop_maximum)
        else:
            cop = lorenz_cop(warm_c, cold_c, return_c, supply_c, lorenz_efficiency, cop_maximum)
        share = 1.0 - 1.0 / cop
        taken_kw = hand_over_kw * share
        handed_kw = hand_over_kw
        if taken_kw > reach_kw:
            taken_kw = reach_kw
            handed_kw = taken_kw / share
        pump_kw = handed_kw - taken_kw
    lost_kw = min(loss_kw, handed_kw)
    delivered_kw = min(max(0.0, wanted_kw), handed_kw - lost_kw)
    return delivered_kw, taken_kw, pump_kw, lost_kw


def order_of_service(priorities: Sequence[int]) -> npt.NDArray[np.int64]:
    """Order customers for service: their indices, lowest number first, equals in the order given.

    >>> order_of_service([100, 5, 100, 1]).tolist()
    [3, 1, 0, 2]
    """
    return np.argsort(np.asarray(priorities, np.int64), kind="stable").astype(np.int64)
