"""What the plan of a scenario may move, and on what terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.energy.plan.programme import Assets
from kvandal.energy.plan.stores import hourly_keep
from kvandal.energy.tariff import tax_ore_per_kwh
from kvandal.physics.rack import cap_factor, capped_speed
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import value
from kvandal.scenario.supply import PRODUCTS
from kvandal.twin.plant_state import Plant
from kvandal.twin.site import SiteArrays, gpu_load_mw

Array = Any
NO_TRADE_EUR_PER_MWH = 1e6
"""Wear that keeps a plan from discharging a battery that it may only offer as a reserve."""


def moves_battery(scenario: Scenario) -> bool:
    """Whether a plan says what the battery does; else it keeps itself ready for the envelope."""
    return scenario.plan.battery or (scenario.plan.reserves and bool(scenario.supply.reserves))


def planned_stores(scenario: Scenario) -> list[int]:
    """Return the heat customers whose stores a plan fills and empties, by their places."""
    own = scenario.heat.pumps_owned_by == "site" and scenario.plan.heat_stores
    return [index for index, one in enumerate(scenario.heat.customers.values()) if one.store_mwh > 0 and own]


def tax_eur_per_mwh(scenario: Scenario) -> float:
    """Electricity tax of the scenario's regime [EUR/MWh]."""
    market = scenario.market
    return tax_ore_per_kwh(market) * 10 / market.nok_per_eur


def assets_of(scenario: Scenario, plant: Plant, stores: list[int], prices_eur_per_mw_h: Array) -> Assets:
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
        wear_eur_per_mwh=plan.wear_eur_per_mwh if plan.battery else NO_TRADE_EUR_PER_MWH,
        store_mw=np.array([customers[index].store_mw for index in stores]),
        store_mwh=np.array([customers[index].store_mwh for index in stores]),
        store_keeps=np.array([hourly_keep(customers[index].store_loss_fraction) for index in stores]),
        offer_mw=np.array(offers) * plan.reserves,
        offer_eur_per_mw_h=prices_eur_per_mw_h,
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
