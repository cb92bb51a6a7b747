"""The book of a plan: what was planned for every hour, what was offered, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class PlanBook:
    """What was planned for every hour of a run; NaN or zero where there was no plan.

    Attributes
    ----------
    planned_import_mwh : float64 (hours,), what was bought the day before; NaN before the first plan
    forecast_load_mwh : float64 (hours,), what the site was expected to draw without battery and shifts
    forecast_c : float64 (hours,), outdoor air as it was forecast
    forecast_heat_mwh : float64 (hours, customers), heat demand that follows from it
    battery_mwh : float64 (hours,), planned energy in the battery at the end; NaN before the first plan
    battery_mw : float64 (hours,), planned power of the battery at the terminals, above 0 discharges
    activation_mw : float64 (hours,), what activated reserves added to it
    lent_shift_mwh : float64 (hours,), planned saving by caps on lent work
    lent_cap : float64 (hours,), cap on lent work's GPU power, 1 without
    heat_demand_mwh : float64 (hours, customers), what customers wanted
    store_charge_mwh, store_discharge_mwh : float64 (hours, customers), planned heat into and out of the stores
    offered_mw, activated_mwh : float64 (hours, products), at the end of the run what was ready and what came
    undelivered : float64 (hours, products), part of the activated energy that did not come
    prices_eur_per_mw_h : float64 (products,)
    spread_eur_per_mwh : price of a deviation

    """

    planned_import_mwh: Array
    forecast_load_mwh: Array
    forecast_c: Array
    forecast_heat_mwh: Array
    battery_mwh: Array
    battery_mw: Array
    activation_mw: Array
    lent_shift_mwh: Array
    lent_cap: Array
    heat_demand_mwh: Array
    store_charge_mwh: Array
    store_discharge_mwh: Array
    offered_mw: Array
    activated_mwh: Array
    undelivered: Array
    prices_eur_per_mw_h: Array
    spread_eur_per_mwh: float

    def deviation_mwh(self, import_mwh: Array) -> Array:
        """Return import beyond what was bought the day before, activated reserves apart [MWh]; 0 where nothing was planned."""
        ordered = np.where(
            np.isnan(self.planned_import_mwh),
            import_mwh,
            np.maximum(0.0, self.planned_import_mwh - self.activation_mw),
        )
        beyond: Array = import_mwh - ordered
        return beyond

    def deviation_eur(self, import_mwh: Array) -> Array:
        """Cost of deviations [EUR]: either way they are settled at a price that is worse than spot by the spread.

        What is consumed beyond the plan is bought at spot plus spread, what is not consumed is sold at spot less spread; the
        spot value itself is in the cost of what was bought.
        """
        cost: Array = np.abs(self.deviation_mwh(import_mwh)) * self.spread_eur_per_mwh
        return cost


def empty_book(heat_demand_mwh: Array, products: int, prices: Array, spread: float) -> PlanBook:
    """Return a book in which nothing is planned yet."""
    hours, customers = heat_demand_mwh.shape
    return PlanBook(
        planned_import_mwh=np.full(hours, np.nan),
        forecast_load_mwh=np.full(hours, np.nan),
        forecast_c=np.full(hours, np.nan),
        forecast_heat_mwh=np.full((hours, customers), np.nan),
        battery_mwh=np.full(hours, np.nan),
        battery_mw=np.zeros(hours),
        activation_mw=np.zeros(hours),
        lent_shift_mwh=np.zeros(hours),
        lent_cap=np.ones(hours),
        heat_demand_mwh=heat_demand_mwh,
        store_charge_mwh=np.zeros((hours, customers)),
        store_discharge_mwh=np.zeros((hours, customers)),
        offered_mw=np.zeros((hours, products)),
        activated_mwh=np.zeros((hours, products)),
        undelivered=np.zeros((hours, products)),
        prices_eur_per_mw_h=prices,
        spread_eur_per_mwh=spread,
    )
