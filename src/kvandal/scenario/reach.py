"""Whether heat customers can be served at all by the loop and their heat pumps."""

from __future__ import annotations

from kvandal.scenario.cooling import Cooling
from kvandal.scenario.heat import Heat


def refuse_unreachable(heat: Heat, cooling: Cooling) -> None:
    """Refuse customers whom neither the loop nor a heat pump can serve.

    The loop gives the return of its facility water at design, with the coldest set-point of the schedule.

    Raises
    ------
    ValueError
        With the key of the customer, the reason and the nearest possible value.

    """
    set_c = [entry.tcs_supply_c for entry in cooling.setpoints if entry.tcs_supply_c is not None]
    loop_c = min([cooling.tcs_supply_c, *set_c]) - cooling.cdu_approach_k + cooling.fws_delta_t_k
    for name, customer in heat.customers.items():
        nearest_c = max(heat.sink_maximum_c, loop_c - customer.pinch_k)
        if customer.supply_c > nearest_c:
            raise ValueError(
                f"heat.customers.{name}.supply_c: {customer.supply_c:g} °C is out of reach: the loop gives {loop_c:g} °C and "
                f"a heat pump lifts to heat.sink_maximum_c = {heat.sink_maximum_c:g} °C at most; nearest possible value "
                f"{nearest_c:g}"
            )
