"""What was planned for every hour, and what came of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.energy.plan.book import empty_book
from kvandal.energy.reserves import offered_prices
from kvandal.ledger.columns import every, known
from kvandal.scenario.model import Scenario
from kvandal.scenario.supply import PRODUCTS
from kvandal.twin.account import Inputs
from kvandal.twin.plan_assets import moves_battery
from kvandal.twin.planning import follow
from kvandal.twin.simulate import Trajectory

Array = Any


def plan_table(run: Trajectory, energy: pl.DataFrame, site: pl.DataFrame) -> pl.DataFrame:
    """One row per hour of a run that was planned; none without a plan."""
    plan, hours = run.plan, energy.height if run.plan is not None else 0
    book = plan or empty_book(np.zeros((0, 0)), len(PRODUCTS), np.zeros(len(PRODUCTS)), 0.0)
    imported = energy["import_mwh"].to_numpy()[:hours]
    battery = site["battery_mw"].to_numpy().reshape(energy.height, -1).mean(axis=1)[:hours]
    is_planned = ~np.isnan(book.planned_import_mwh)
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600),
            "forecast_load_mwh": known(book.forecast_load_mwh, is_planned),
            "forecast_ambient_c": known(book.forecast_c, is_planned),
            "forecast_heat_mwh": known(book.forecast_heat_mwh.sum(axis=1), is_planned),
            "planned_import_mwh": known(book.planned_import_mwh, is_planned),
            "import_mwh": imported,
            "deviation_mwh": book.deviation_mwh(imported),
            "battery_planned_mw": book.battery_mw,
            "battery_activated_mw": book.activation_mw,
            "battery_mw": battery,
            "battery_planned_mwh": known(book.battery_mwh, is_planned),
            "lent_cap_fraction": book.lent_cap,
            "lent_shift_mwh": book.lent_shift_mwh,
        }
    )


def follow_tables(inputs: Inputs, scenario: Scenario, tables: dict[str, pl.DataFrame]) -> None:
    """Write what a run was planned to do, as its folder tells, into the inputs of a loop that goes over its hours again."""
    plan, heat = tables["plan"], tables["heat"]
    hours = plan.height
    if not hours:
        return
    demand = heat["demand_mwh"].to_numpy().reshape(hours, -1)
    flows = heat["store_planned_mwh"].to_numpy().reshape(hours, -1)
    book = empty_book(demand, len(PRODUCTS), offered_prices(scenario.supply), 0.0)
    book.battery_mw[:] = plan["battery_planned_mw"].to_numpy()
    book.activation_mw[:] = plan["battery_activated_mw"].to_numpy()
    book.lent_cap[:] = plan["lent_cap_fraction"].to_numpy()
    book.store_charge_mwh[:] = flows
    follow(inputs, book, slice(24, hours), battery=moves_battery(scenario))
