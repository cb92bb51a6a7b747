"""Cash flow of a site over its life, its net present value and rate of return."""

from __future__ import annotations

import math
from itertools import pairwise


def net_present_value(rate: float, flows: list[float]) -> float:
    r"""Present value of yearly flows, the first of them today: :math:`\sum_t F_t (1 + r)^{-t}`.

    >>> round(net_present_value(0.1, [-100.0, 60.0, 60.0]), 2)
    4.13
    """
    return sum(flow * math.pow(1.0 + rate, -year) for year, flow in enumerate(flows))


def rate_of_return(flows: list[float]) -> float | None:
    """Return the internal rate of return: the rate at which the flows are worth nothing today.

    Searched between -90 % and 1,000 %; None where no rate, or more than one, is such (flows that change their sign several
    times can have several).

    >>> round(rate_of_return([-100.0, 60.0, 60.0]), 4)
    0.1307
    >>> rate_of_return([100.0, 60.0]) is None
    True
    """
    steps: list[float] = [0.1 * math.pow(110.0, step / 2000) for step in range(2001)]  # of 1 + rate
    worth = [net_present_value(step - 1, flows) for step in steps]
    crossings = [
        (one - 1, other - 1)
        for (one, before), (other, after) in pairwise(zip(steps, worth, strict=True))
        if (before > 0) != (after > 0)
    ]
    if len(crossings) != 1:
        return None
    low, high = crossings[0]
    is_worth_something = net_present_value(low, flows) > 0
    for _ in range(100):
        middle = (low + high) / 2
        if (net_present_value(middle, flows) > 0) == is_worth_something:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def cash_flow(
    facility_eur: float,
    racks_eur: float,
    yearly_eur: float,
    site_years: int,
    gpu_life_years: float,
    facility_life_years: float = math.inf,
) -> list[float]:
    """Yearly flows: the investment, then what a year leaves before depreciation; what is worn is bought anew.

    Nothing is bought anew at the end of the last year, and nothing is sold then.

    >>> cash_flow(100.0, 50.0, 40.0, 4, 2.0)
    [-150.0, 40.0, -10.0, 40.0, 40.0]
    >>> cash_flow(100.0, 50.0, 40.0, 3, 0.5, 2.0)
    [-150.0, -60.0, -160.0, -10.0]
    """
    flows = [-facility_eur - racks_eur]
    for year in range(1, site_years + 1):
        flow = yearly_eur
        for eur, life_years in ((racks_eur, gpu_life_years), (facility_eur, facility_life_years)):
            flow -= eur * (_worn(year, life_years, site_years) - _worn(year - 1, life_years, site_years))
        flows.append(flow)
    return flows


def _worn(years: float, life_years: float, site_years: int) -> int:
    """How often something was worn by the end of a year and before the end of the site."""
    if math.isinf(life_years):
        return 0
    times = math.floor(years / life_years + 1e-9)
    return times if times * life_years < site_years - 1e-9 else math.ceil(site_years / life_years - 1e-9) - 1
