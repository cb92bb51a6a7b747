"""The planner: at the start of each day it plans the next 24 hours from what is known, and writes them into the loop's inputs.

Known are the day-ahead prices of the day, what the site, its customers and its lent tenants did until now, and what battery and
stores hold. Everything else is expected to go on as it did: load as the day before, changed as it changed a week ago between
these weekdays; heat demand as the day before (yesterday's weather); prices beyond the day as on that day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kvandal.energy.plan.book import PlanBook, empty_book
from kvandal.energy.plan.programme import UP, Assets, Outlook, Solution, solve
from kvandal.energy.plan.stores import hourly_keep, store_flows
from kvandal.energy.reserves import ACTIVATION_PREMIUM, called_hours, offered_prices
from kvandal.physics.rack import cap_factor, capped_speed
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import value
from kvandal.scenario.supply import PRODUCTS
from kvandal.series.regular import Float64
from kvandal.twin import account
from kvandal.twin.account import Inputs, Outputs
from kvandal.twin.plant_state import BATTERY_KW, BATTERY_KWH, DEMAND_KW, Plant
from kvandal.twin.site import SiteArrays, gpu_load_mw

Array = Any
FIRST_COP = 4.0
"""Heat over electricity of a pump before it has run."""
PEAK_MARGIN = 0.02
"""What load may exceed its forecast before charging lifts the highest hour, which the tariff is paid for."""
PAID = np.array([name in ("afrr_up", "mfrr_up") for name in PRODUCTS])
"""Products whose activated energy is paid."""


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
        customers = list(scenario.heat.customers.values())
        own = scenario.heat.pumps_owned_by == "site" and scenario.plan.heat_stores
        self._stores = [index for index, one in enumerate(customers) if one.store_mwh > 0 and own]
        self._levels = np.zeros(len(customers))
        self._called = called_hours(scenario.supply, hours, scenario.run.seed)
        self._lent_kw, self._lent_eur_per_mwh = lent_terms(scenario, site)
        prices = offered_prices(scenario.supply) if scenario.plan.reserves else np.zeros(len(PRODUCTS))
        self.book = empty_book(self._wanted_mw, len(PRODUCTS), prices, scenario.plan.deviation_eur_per_mwh)

    def plan_day(self, day: int, outputs: Outputs) -> None:
        """Plan a day that begins now; the first day of a run has no plan, since nothing is known yet."""
        if day == 0:
            return
        first, hours = day * 24, min(self._scenario.plan.horizon_h, (self._scenario.run.days - day) * 24)
        self._follow_stores(first, outputs)
        forecast_mw = self._forecast_mw(first, hours, outputs)
        outlook = self._outlook(first, hours, forecast_mw, outputs)
        found = solve(self._assets(first, outputs), outlook)
        self._write(first, forecast_mw, found, outlook)

    def finish(self, outputs: Outputs) -> PlanBook:
        """Close the book: what of the activated energy the battery did not give."""
        actual_mwh = self._hourly(outputs, BATTERY_KW) / 1000 + self._standby_mw
        planned = self.book.battery_mw + self.book.activation_mw
        called = np.abs(self.book.activation_mw)
        missing = np.clip((planned - actual_mwh) * np.sign(self.book.activation_mw), 0.0, called)
        part = np.divide(missing, called, out=np.zeros_like(missing), where=called > 0)
        self.book.undelivered[:] = np.where(self.book.activated_mwh > 0, part[:, None], 0.0)
        self.book.activated_mwh[:] *= 1 - self.book.undelivered
        return self.book

    @property
    def _standby_mw(self) -> float:
        return float(self._plant.design["battery_standby_kw"][0]) / 1000

    def _hourly(self, outputs: Outputs, column: int) -> Array:
        return outputs.tick_real[:, column].reshape(-1, self._ticks_per_hour).mean(axis=1)

    def _past(self, outputs: Outputs, column: int, first: int, last: int) -> Array:
        """Hourly means of a column of the ticks done, from hour to hour."""
        ticks = self._ticks_per_hour
        return outputs.tick_real[first * ticks : last * ticks, column].reshape(-1, ticks).mean(axis=1)

    def _forecast_mw(self, first: int, hours: int, outputs: Outputs) -> Array:
        """Load without the battery: the day before, changed as it changed a week ago between these weekdays."""
        since = max(0, first - 192)
        past_mw = self._past(outputs, DEMAND_KW, since, first) / 1000
        ahead = np.empty(hours)
        for hour in range(hours):
            day_before = past_mw[hour - 24] if hour < 24 else ahead[hour - 24]
            change = past_mw[24 + hour] - past_mw[hour] if first >= 192 and hour + 24 < len(past_mw) else 0.0
            ahead[hour] = max(0.0, day_before + change)
        return ahead + self._standby_mw

    def _outlook(self, first: int, hours: int, forecast_mw: Array, outputs: Outputs) -> Outlook:
        scenario = self._scenario
        market, supply, plan = scenario.market, scenario.supply, scenario.plan
        ore = (
            market.tax_reduced_ore_per_kwh if market.tax_regime == "reduced" else market.tax_full_ore_per_kwh
        )
        known = self._price[first : first + 24]
        price = np.resize(known, hours)
        peak_mw = float(self._past(outputs, DEMAND_KW, 0, first).max()) / 1000
        limit_mw = scenario.site.grid_mw * (1 - scenario.power.site_cap_margin_fraction)
        ticks = self._ticks_per_hour
        lent_gpus = (
            outputs.tick_count[(first - 24) * ticks : first * ticks, account.TICK_LENT]
            .reshape(24, -1)
            .sum(axis=1)
            / 3600
        )
        wanted = self._wanted_mw[first - 24 : first][:, self._stores]
        return Outlook(
            price_eur_per_mwh=price * (1 + supply.marginal_loss_fraction) + ore * 10 / market.nok_per_eur,
            room_mw=min(limit_mw, peak_mw) - forecast_mw * (1 + PEAK_MARGIN),
            lent_mw=np.resize(lent_gpus, hours) * self._lent_kw / 1000 * plan.shift_lent_work,
            lent_eur_per_mwh=np.full(hours, self._lent_eur_per_mwh),
            heat_mw=np.resize(wanted, (hours, len(self._stores))),
            soc_mwh=float(outputs.tick_real[first * ticks - 1, BATTERY_KWH]) / 1000,
            store_mwh=self._levels[self._stores],
            called=np.zeros((hours, len(PRODUCTS))),
            call_eur_per_mwh=np.zeros((hours, len(PRODUCTS))),
        )

    def _assets(self, first: int, outputs: Outputs) -> Assets:
        return assets_of(self._scenario, self._plant, self._stores, self._cop(first, outputs), self.book)

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
        book.planned_import_mwh[day] = forecast_mw[:24] - book.battery_mw[day] - book.lent_shift_mwh[day]
        follow(self._inputs, book, day, battery=moves_battery(self._scenario))


def moves_battery(scenario: Scenario) -> bool:
    """Whether a plan says what the battery does; else it keeps itself ready for the envelope."""
    return scenario.plan.battery or (scenario.plan.reserves and bool(scenario.supply.reserves))


def follow(inputs: Inputs, book: PlanBook, hours: slice, *, battery: bool) -> None:
    """Write what a book plans for some hours into the inputs of the loop; without `battery` it keeps itself ready."""
    if battery:
        inputs.plan[hours, 0] = (book.battery_mw[hours] + book.activation_mw[hours]) * 1000
    inputs.plan[hours, 1] = book.lent_cap[hours]
    flows = book.store_charge_mwh[hours] - book.store_discharge_mwh[hours]
    inputs.heat_demand_kw[hours] = np.maximum(0.0, book.heat_demand_mwh[hours] + flows) * 1000


def assets_of(scenario: Scenario, plant: Plant, stores: list[int], cop: Array, book: PlanBook) -> Assets:
    """Return what the plan of a scenario may move."""
    design, plan = plant.design[0], scenario.plan
    usable = design["soc_maximum"] - design["soc_minimum"]
    capacity_mwh = float(design["battery_capacity_kwh"]) / 1000
    works = moves_battery(scenario)
    customers = list(scenario.heat.customers.values())
    offers = [
        scenario.supply.reserves[name].mw if name in scenario.supply.reserves else 0.0 for name in PRODUCTS
    ]
    return Assets(
        battery_mw=float(design["battery_kw"]) / 1000 if works else 0.0,
        soc_minimum_mwh=capacity_mwh * float(design["soc_minimum"] + usable * plan.battery_floor_fraction),
        soc_maximum_mwh=capacity_mwh * float(design["soc_maximum"]),
        one_way_efficiency=float(np.sqrt(design["battery_efficiency"])),
        wear_eur_per_mwh=plan.wear_eur_per_mwh if plan.battery else 1e6,
        store_mw=np.array([customers[index].store_mw for index in stores]),
        store_mwh=np.array([customers[index].store_mwh for index in stores]),
        store_keeps=np.array([hourly_keep(customers[index].store_loss_fraction) for index in stores]),
        pump_cop=cop,
        offer_mw=np.array(offers) * plan.reserves,
        offer_eur_per_mw_h=book.prices_eur_per_mw_h,
    )


def lent_terms(scenario: Scenario, site: SiteArrays) -> tuple[float, float]:
    """Return what the lowest cap of a plan takes off a lent GPU [kW], and what each MWh saved costs in GPU-hours [EUR/MWh].

    A job that works slower holds its GPUs longer: at the mean price of lent tenants, that is what is given up.
    """
    cap = scenario.plan.lent_cap_minimum
    borrowers = {name: one for name, one in scenario.tenants.items() if one.tier == "lent"}
    classes = [
        index
        for index, one in enumerate(scenario.demand.values())
        if any(name in borrowers for name in one.tenants)
    ]
    prices = [float(one.price_usd_per_gpu_hour) for one in borrowers.values() if one.price_usd_per_gpu_hour]
    if not classes or not prices or cap >= 1.0:
        return 0.0, 0.0
    loads_kw = gpu_load_mw(scenario, site)[classes].mean() / 1e6
    factor = float(cap_factor(site.idle_kw[0], site.tdp_kw[0], site.gpu_kw[0], cap))
    saved_kw = float(loads_kw) * (1.0 - factor)
    policy = scenario.policy
    speed = float(capped_speed(cap, policy.inference_perf_exponent, policy.perf_offset_fraction))
    eur = float(np.mean(prices)) * value("econ.nok_per_usd") / scenario.market.nok_per_eur
    return saved_kw, (1.0 - speed) * eur / saved_kw * 1000 if saved_kw > 0 else 0.0


def bound_of(
    scenario: Scenario, site: SiteArrays, plant: Plant, price_eur_per_mwh: Float64, outputs: Outputs, book: PlanBook,
) -> Solution:  # fmt: skip
    """Plan the whole run at once with perfect foresight of prices, load, heat and calls: what no plan can beat.

    A relaxation of what the loop can do (:func:`solve` with `relaxed`), from the second day on, as plans are.
    """
    run, supply, market = scenario.run, scenario.supply, scenario.market
    hours, ticks = run.days * 24, 3600 // run.tick_s
    price = price_eur_per_mwh.reshape(hours, -1).mean(axis=1)
    own = scenario.heat.pumps_owned_by == "site" and scenario.plan.heat_stores
    stores = [
        index for index, one in enumerate(scenario.heat.customers.values()) if one.store_mwh > 0 and own
    ]
    flows = outputs.heat_hour[24:][:, stores]
    cop = np.divide(
        flows[:, :, 1] + flows[:, :, 4],
        flows[:, :, 3],
        out=np.full(flows.shape[:2], np.inf),
        where=flows[:, :, 3] > 0,
    )
    lent_kw, lent_eur = lent_terms(scenario, site)
    lent_gpus = outputs.tick_count[:, account.TICK_LENT].reshape(hours, -1).sum(axis=1) / 3600
    ore = market.tax_reduced_ore_per_kwh if market.tax_regime == "reduced" else market.tax_full_ore_per_kwh
    spot = np.maximum(price, 0.0)[24:, None]
    premium = np.array([ACTIVATION_PREMIUM[name] for name in PRODUCTS])
    best_cop = np.maximum(1.0, cop.min(axis=0, initial=FIRST_COP))
    assets = assets_of(scenario, plant, stores, best_cop, book)
    assets = replace(
        assets,
        soc_minimum_mwh=float(plant.design["soc_minimum"][0] * plant.design["battery_capacity_kwh"][0])
        / 1000,
    )
    outlook = Outlook(
        price_eur_per_mwh=price[24:] * (1 + supply.marginal_loss_fraction) + ore * 10 / market.nok_per_eur,
        room_mw=np.full(hours - 24, np.inf),
        lent_mw=lent_gpus[24:] * lent_kw / 1000 * scenario.plan.shift_lent_work,
        lent_eur_per_mwh=np.full(hours - 24, lent_eur),
        heat_mw=book.heat_demand_mwh[24:][:, stores],
        soc_mwh=float(outputs.tick_real[24 * ticks - 1, BATTERY_KWH]) / 1000,
        store_mwh=np.zeros(len(stores)),
        called=called_hours(supply, hours, run.seed)[24:],
        call_eur_per_mwh=spot * (1 + premium) * PAID,
    )
    return solve(assets, outlook, relaxed=True)
