"""The planner: at the start of each day it plans the next 24 hours from what is known, and writes them into the loop's inputs.

Known are the day-ahead prices of the day, a forecast of the temperatures with an error of its own, the calendar of the generators, what
the site and its lent tenants did until now, and what battery and stores hold. Load is expected as high as on the day before, with the
shape of the days of the last week; heat demand as its customers ask for at the temperatures of the forecast; prices beyond the day as
on that day.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.climate.forecast import temperature_error_k
from kvandal.energy.generators import trial_runs_mwh
from kvandal.energy.plan.book import PlanBook, empty_book
from kvandal.energy.plan.programme import DOWN, ROUNDING_MW, UP, Assets, Outlook, Solution, solve
from kvandal.energy.plan.stores import hourly_keep, store_flows
from kvandal.energy.reserves import bought_hours, called_hours, offered_prices
from kvandal.scenario.model import Scenario
from kvandal.scenario.supply import PRODUCTS
from kvandal.series.regular import Float64
from kvandal.twin import account
from kvandal.twin.account import METER_LIMIT_COLUMN, Inputs, Outputs
from kvandal.twin.inputs import HeatModel
from kvandal.twin.plan_assets import assets_of, lent_terms, moves_battery, planned_stores, tax_eur_per_mwh
from kvandal.twin.plant_state import BATTERY_KW, BATTERY_KWH, DEMAND_KW, SITE_KW, Plant
from kvandal.twin.site import SiteArrays

Array = Any
FIRST_COP = 4.0
"""Heat over electricity of a pump before it has run."""
HEAT_MARGIN = 0.05
"""Part of the loop's heat that is kept from the stores, since load and demand differ from their forecasts."""
PEAK_MARGIN = 0.05
"""Least part by which load may exceed its forecast before charging lifts the highest hour, which the tariff is paid for."""
LOOK_BACK_H = 28 * 24
"""Hours in which the largest excess of load over its forecast is looked for, to keep that much room as well."""


class Planner:
    """Plans a run day by day.

    Attributes
    ----------
    book : what was planned

    """

    def __init__(
        self, scenario: Scenario, site: SiteArrays, plant: Plant, inputs: Inputs, price_eur_per_mwh: Float64
    ) -> None:
        self._scenario, self._inputs, self._plant = scenario, inputs, plant
        self._ticks_per_hour = 3600 // scenario.run.tick_s
        hours = scenario.run.days * 24
        self._price = price_eur_per_mwh.reshape(hours, -1).mean(axis=1)
        self._wanted_mw = inputs.heat_demand_kw / 1000  # before any store changes it
        self._heat = HeatModel(scenario)
        self._stores = planned_stores(scenario)
        self._levels = np.zeros(len(scenario.heat.customers))
        self._peak_mw = 0.0
        self._came_mw = np.zeros(0)  # load of the hours done, without battery
        self._fed_mwh = trial_runs_mwh(scenario.supply, scenario.run.start_utc, scenario.run.days)
        self._called = called_hours(scenario.supply, hours, scenario.run.seed)
        self._bought = bought_hours(scenario.supply, scenario.run.start_utc, hours, scenario.site.time_zone)
        self._lent_kw, self._lent_eur_per_mwh = lent_terms(scenario, site)
        prices = offered_prices(scenario.supply) if scenario.plan.reserves else np.zeros(len(PRODUCTS))
        self.book = empty_book(self._wanted_mw, len(PRODUCTS), prices, scenario.plan.deviation_eur_per_mwh)
        self._assets: Assets = assets_of(scenario, plant, self._stores, prices)

    def plan_day(self, day: int, outputs: Outputs) -> None:
        """Plan a day that begins now; the first day of a run has no plan, since nothing is known yet."""
        if day == 0:
            return
        self._peak_mw = max(self._peak_mw, self._past_mw(outputs, SITE_KW, day * 24 - 24, day * 24).max())
        self._came_mw = np.append(
            self._came_mw, self._past_mw(outputs, DEMAND_KW, len(self._came_mw), day * 24)
        )
        first, hours = day * 24, min(self._scenario.plan.horizon_h, (self._scenario.run.days - day) * 24)
        self._follow_stores(first, outputs)
        forecast_mw = self._forecast_mw(first, hours)
        outlook = self._outlook(first, hours, forecast_mw, outputs)
        found = solve(self._assets, outlook)
        self._write(first, forecast_mw, found, outlook)

    def finish(self, outputs: Outputs) -> PlanBook:
        """Close the book: what of the activated energy did not come, and what of the offers battery and connection were not ready for.

        Supporting the envelope goes before the plan: what it takes of the battery's power cannot be ready as well, and is not paid. To
        consume more on call (FCR-D down), the connection must have room as well: what the meter may show less what it showed without
        the calls, tick by tick, since a curtailment may begin within the hour.
        """
        book, hours = self.book, len(self.book.battery_mw)
        actual_mw = self._past_mw(outputs, BATTERY_KW, 0, hours) + self._standby_mw
        planned = book.battery_mw + book.activation_mw
        called = np.abs(book.activation_mw)
        missing = np.clip((planned - actual_mw) * np.sign(book.activation_mw), 0.0, called)
        part = np.divide(missing, called, out=np.zeros_like(missing), where=called > 0)
        book.undelivered[:] = np.where(book.activated_mwh > 0, part[:, None], 0.0)
        book.activated_mwh[:] *= 1 - book.undelivered
        base_mw = actual_mw - book.activation_mw * (1 - part)
        power_mw = float(self._plant.design["battery_kw"][0]) / 1000
        up_mw, down_mw = (book.offered_mw[:, side].sum(axis=1) for side in (UP, DOWN))
        book.offered_mw[:, UP] *= _ready_part(up_mw, power_mw - base_mw)[:, None]
        room_mw = self._room_mw(outputs, hours) - (book.activation_mw * (1 - part))[:, None]
        connected = _ready_part(down_mw[:, None], room_mw).mean(axis=1)
        ready = np.minimum(_ready_part(down_mw, power_mw + base_mw), connected)
        book.offered_mw[:, DOWN] *= ready[:, None]
        return book

    def _room_mw(self, outputs: Outputs, hours: int) -> Array:
        """By how much the meter was below what it might show, float64 (hours, ticks of an hour) [MW]."""
        room_kw = outputs.tick_real[:, METER_LIMIT_COLUMN] - outputs.tick_real[:, SITE_KW]
        return room_kw.reshape(hours, -1) / 1000

    @property
    def _standby_mw(self) -> float:
        return float(self._plant.design["battery_standby_kw"][0]) / 1000

    def _past_mw(self, outputs: Outputs, column: int, first: int, last: int) -> Array:
        """Hourly means of a column of the ticks done, from hour to hour [MW]."""
        ticks = self._ticks_per_hour
        return outputs.tick_real[first * ticks : last * ticks, column].reshape(-1, ticks).mean(axis=1) / 1000

    def _forecast_mw(self, first: int, hours: int) -> Array:
        """Load without battery and caps of a plan: as high as the day before, shaped as the days of the last week were.

        Compared over 120 days of both sizes of the site (docs/plan.md): yesterday's hours are further off, and so is yesterday changed as
        it changed a week ago.
        """
        since = max(0, first - 168)
        past_mw = self._came_mw[since:first] + self.book.lent_shift_mwh[since:first]
        days = past_mw.reshape(-1, 24)
        levels = days.mean(axis=1)
        shape = (days - levels[:, None]).mean(axis=0)
        return np.resize(np.maximum(0.0, levels[-1] + shape), hours) + self._standby_mw

    def _margin_mw(self, first: int, forecast_mw: Array) -> Array:
        """Room that charging leaves to load beyond its forecast: as far as it was off in four weeks, and some part of it at least."""
        since = max(24, first - LOOK_BACK_H)
        came_mw = self._came_mw[since:first] + self._standby_mw
        beyond_mw = came_mw + self.book.lent_shift_mwh[since:first] - self.book.forecast_load_mwh[since:first]
        return np.maximum(PEAK_MARGIN * forecast_mw, np.nan_to_num(beyond_mw).max(initial=0.0))

    def _weather_c(self, first: int, hours: int) -> Array:
        """Outdoor air as a forecast issued now would have it [°C]."""
        run, rmse_k = self._scenario.run, self._scenario.plan.weather_error_k
        error_k = temperature_error_k(run.seed, first // 24, hours, rmse_k)
        return self._inputs.ambient_c[first : first + hours] + error_k

    def _outlook(self, first: int, hours: int, forecast_mw: Array, outputs: Outputs) -> Outlook:
        scenario, count = self._scenario, len(self._stores)
        supply, plan = scenario.supply, scenario.plan
        spot = np.resize(self._price[first : first + 24], hours)
        tax = tax_eur_per_mwh(scenario)
        limit_mw = scenario.site.grid_mw * (1 - scenario.power.site_cap_margin_fraction)
        ticks = self._ticks_per_hour
        lent_gpus = (
            outputs.tick_count[(first - 24) * ticks : first * ticks, account.TICK_LENT]
            .reshape(24, -1)
            .sum(axis=1)
            / 3600
        )
        air_c = self._weather_c(first, hours)
        heat_mw = self._heat.demand_kw(air_c, first) / 1000
        self.book.forecast_c[first : first + 24] = air_c[:24]
        self.book.forecast_heat_mwh[first : first + 24] = heat_mw[:24]
        heat_eur = (spot + tax)[:, None] / self._cop(first, outputs)
        spare_mw, taken_fraction = self._spare_heat(first, heat_mw, outputs)
        return Outlook(
            price_eur_per_mwh=spot * (1 + supply.marginal_loss_fraction) + tax,
            fill_eur_per_mwh=heat_eur,
            draw_eur_per_mwh=heat_eur,
            room_mw=min(limit_mw, self._peak_mw) - forecast_mw - self._margin_mw(first, forecast_mw),
            lent_mw=np.resize(lent_gpus, hours) * self._lent_kw / 1000 * plan.shift_lent_work,
            lent_eur_per_mwh=np.full(hours, self._lent_eur_per_mwh),
            heat_mw=heat_mw[:, self._stores].reshape(hours, count),
            soc_mwh=float(outputs.tick_real[first * ticks - 1, BATTERY_KWH]) / 1000,
            store_mwh=self._levels[self._stores],
            called=np.zeros((hours, len(PRODUCTS))),
            call_eur_per_mwh=np.zeros((hours, len(PRODUCTS))),
            down_room_mw=limit_mw - forecast_mw,
            bought=self._bought[first : first + hours],
            spare_heat_mw=spare_mw,
            taken_fraction=taken_fraction,
        )

    def _cop(self, first: int, outputs: Outputs) -> Array:
        """Heat over electricity of each customer's pump on the day before."""
        flows = outputs.heat_hour[first - 24 : first][:, self._stores].sum(axis=0)
        ratio = np.divide(
            flows[:, 1] + flows[:, 4],
            flows[:, 3],
            out=np.full(len(self._stores), FIRST_COP),
            where=flows[:, 3] > 0,
        )
        return np.maximum(ratio, 1.0)

    def _spare_heat(self, first: int, heat_mw: Array, outputs: Outputs) -> tuple[Array, Array]:
        """Warm water that no customer needs [MW], and what part of each store's heat is taken from it.

        The loop gives what it gave the day before, to customers and to the coolers; customers take of it what their forecast demand
        and their pipes need.
        """
        flows = outputs.heat_hour[first - 24 : first]
        made = (flows[:, :, 1] + flows[:, :, 4]).sum(axis=0)
        taken = np.divide(flows[:, :, 2].sum(axis=0), made, out=np.ones(len(made)), where=made > 0)
        warm_mw = (
            outputs.hall_hour[first - 24 : first, :, 3].sum(axis=1) + flows[:, :, 2].sum(axis=1)
        ) / 1000
        pipes_mw = np.resize(flows[:, :, 4], heat_mw.shape) / 1000
        needed_mw = (heat_mw + pipes_mw) @ taken
        return np.resize(warm_mw, len(heat_mw)) * (1 - HEAT_MARGIN) - needed_mw, taken[self._stores]

    def _follow_stores(self, first: int, outputs: Outputs) -> None:
        """Bring the levels of the stores to the end of the day before."""
        day = slice(first - 24, first)
        for index, customer in enumerate(self._scenario.heat.customers.values()):
            if index not in self._stores:
                continue
            _, _, levels = store_flows(
                self._levels[index],
                self._wanted_mw[day, index],
                outputs.heat_hour[day, index, 1] / 1000,
                self.book.store_discharge_mwh[day, index],
                customer.store_mwh,
                hourly_keep(customer.store_loss_fraction),
            )
            self._levels[index] = levels[-1]

    def _write(self, first: int, forecast_mw: Array, found: Solution, outlook: Outlook) -> None:
        """Write a day into the book and into the inputs of the loop."""
        book, day, plan = self.book, slice(first, first + 24), self._scenario.plan
        book.forecast_load_mwh[day] = forecast_mw[:24]
        book.battery_mw[day] = (found.discharge_mw - found.charge_mw)[:24]
        book.lent_shift_mwh[day] = found.lent_mw[:24]
        part = np.divide(
            found.lent_mw, outlook.lent_mw, out=np.zeros_like(found.lent_mw), where=outlook.lent_mw > 0
        )
        book.lent_cap[day] = 1.0 - part[:24] * (1.0 - plan.lent_cap_minimum)
        book.offered_mw[day] = found.offered_mw[:24]
        book.activated_mwh[day] = found.offered_mw[:24] * self._called[day]
        book.activation_mw[day] = book.activated_mwh[day][:, UP].sum(axis=1) - book.activated_mwh[day][
            :, ~UP
        ].sum(axis=1)
        book.store_charge_mwh[day, self._stores] = found.fill_mw[:24]
        book.store_discharge_mwh[day, self._stores] = found.draw_mw[:24]
        bought = forecast_mw[:24] - book.battery_mw[day] - book.lent_shift_mwh[day]
        book.planned_import_mwh[day] = np.maximum(0.0, bought - self._fed_mwh[day])
        book.battery_mwh[day] = found.soc_mwh[:24]
        follow(self._inputs, book, day, battery=moves_battery(self._scenario))


def _ready_part(offered_mw: Array, free_mw: Array) -> Array:
    """Part of an offer that free power covers."""
    free_mw = np.maximum(free_mw, 0.0)
    short = offered_mw > free_mw + ROUNDING_MW
    part: Array = np.where(short, free_mw / np.where(short, offered_mw, 1.0), 1.0)
    return part


def follow(inputs: Inputs, book: PlanBook, hours: slice, *, battery: bool) -> None:
    """Write what a book plans for some hours into the inputs of the loop; without `battery` it keeps itself ready."""
    if battery:
        inputs.plan[hours, 0] = (book.battery_mw[hours] + book.activation_mw[hours]) * 1000
    inputs.plan[hours, 1] = book.lent_cap[hours]
    flows = book.store_charge_mwh[hours] - book.store_discharge_mwh[hours]
    inputs.heat_demand_kw[hours] = np.maximum(0.0, book.heat_demand_mwh[hours] + flows) * 1000
