"""A battery at the site: what it gives, what it takes, what it loses."""

from __future__ import annotations

import math

from kvandal.compiled import large_kernel


@large_kernel
def battery_step(
    energy_kwh: float,
    wanted_kw: float,
    power_kw: float,
    capacity_kwh: float,
    soc_minimum: float,
    soc_maximum: float,
    round_trip_efficiency: float,
    standby_kw: float,
    hours: float,
) -> tuple[float, float, float]:
    r"""One step of a battery: it follows `wanted_kw` as far as its power and its energy allow.

    .. math::

        E' = E - (P_{delivered} + P_{loss})\, h, \qquad
        P_{loss} = P_{standby} + P \left(\tfrac{1}{\sqrt\eta} - 1\right) \ (P > 0), \quad
        P_{standby} + |P| (1 - \sqrt\eta) \ (P < 0)

    with :math:`P` between converter and terminals and :math:`P_{delivered} = P - P_{standby}`: standby (controls,
    air conditioning) is drawn from the terminals, never from the store, so an empty battery keeps its energy. The
    loss of a round trip is split evenly between charging and discharging.

    Valid for steps of any length; a battery without capacity or power stands still and draws nothing.

    Parameters
    ----------
    energy_kwh : energy stored [kWh]
    wanted_kw : power of the converter wanted at the terminals: above 0 discharges, below 0 charges [kW]
    power_kw : rated power of the converter, either way [kW]
    capacity_kwh : capacity of the store [kWh]
    soc_minimum, soc_maximum : lowest and highest state of charge that operation uses, over capacity
    round_trip_efficiency : energy got back over energy put in, terminals to terminals, above 0
    standby_kw : power of controls and air conditioning [kW]
    hours : length of the step [h]

    Returns
    -------
    Energy stored after the step [kWh], mean power delivered at the terminals (below 0: drawn) and mean loss [kW].

    References
    ----------
    Energy-reservoir model as in D. M. Rosewater et al., "Battery Energy Storage Models for Optimal Control", IEEE
    Access 7, 2019, doi:10.1109/ACCESS.2019.2957698; 0.88 round trip and 15 to 85 % are judgement.

    Examples
    --------
    40 MW for a quarter of an hour take 10.66 MWh out of the store; from 13 MWh of 20 only 10 are above 15 %:

    >>> energy_kwh, delivered_kw, loss_kw = battery_step(17e3, 40e3, 40e3, 20e3, 0.15, 0.85, 0.88, 0.0, 0.25)
    >>> round(energy_kwh, 1), round(delivered_kw, 1), round(loss_kw, 1)
    (6340.0, 40000.0, 2640.1)
    >>> round(battery_step(13e3, 40e3, 40e3, 20e3, 0.15, 0.85, 0.88, 0.0, 0.25)[1], 1)
    37523.3

    """
    if capacity_kwh <= 0.0 or power_kw <= 0.0 or hours <= 0.0:
        return energy_kwh, 0.0, 0.0
    one_way = math.sqrt(round_trip_efficiency)
    if wanted_kw >= 0.0:
        above_kwh = max(0.0, energy_kwh - soc_minimum * capacity_kwh)
        power = min(wanted_kw, power_kw, above_kwh * one_way / hours)
        store_kw = power / one_way
    else:
        below_kwh = max(0.0, soc_maximum * capacity_kwh - energy_kwh)
        power = -min(-wanted_kw, power_kw, below_kwh / one_way / hours)
        store_kw = power * one_way
    loss_kw = store_kw - power + standby_kw
    return energy_kwh - store_kw * hours, power - standby_kw, loss_kw
