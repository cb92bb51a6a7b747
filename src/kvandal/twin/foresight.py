"""What perfect foresight could have made of a run: one programme over all its hours, in which all that the loop can do is possible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kvandal.energy.plan.programme import Outlook, solve
from kvandal.energy.reserves import activation_eur_per_mwh, bought_hours, called_hours, offered_prices
from kvandal.scenario.model import Scenario
from kvandal.twin import account
from kvandal.twin.account import Outputs
from kvandal.twin.plan_assets import assets_of, lent_terms, planned_stores, tax_eur_per_mwh
from kvandal.twin.plant_state import BATTERY_KWH, Plant
from kvandal.twin.site import SiteArrays

Array = Any


@dataclass(frozen=True)
class Facts:
    """What came in a run, as the programme of foresight takes it; steps are those of the prices.

    Attributes
    ----------
    spot_eur_per_mwh, price_eur_per_mwh : float64 (steps,), spot, and what a MWh more through the meter cost
    load_mw : float64 (steps,), import with the battery standing still, or as it was where no plan moves the battery
    peak_eur_per_mw : tariff for each MW of the run's highest hour
    wanted_mw, unmet_mw : float64 (hours, customers), heat wanted, and missing without a plan
    cop : float64 (runs, hours, customers), heat over electricity of each customer's pump; NaN where it stood still
    lent : whether caps on lent work are left to the programme, or already in the load

    """

    spot_eur_per_mwh: Array
    price_eur_per_mwh: Array
    load_mw: Array
    peak_eur_per_mw: float
    wanted_mw: Array
    unmet_mw: Array
    cop: Array
    lent: bool


def pump_cop(outputs: Outputs) -> Array:
    """Heat over electricity of each customer's pump, float64 (hours, customers); NaN where it stood still."""
    flows = outputs.heat_hour
    heat, pump = flows[:, :, 1] + flows[:, :, 4], flows[:, :, 3]
    return np.divide(heat, pump, out=np.full(pump.shape, np.nan), where=pump > 0)


def foresight_eur(
    scenario: Scenario, site: SiteArrays, plant: Plant, outputs: Outputs, facts: Facts
) -> float:
    """Return what battery, stores, lent work and reserves could have earned against doing nothing [EUR].

    No plan earns more with the load of `facts`: prices, load, heat and calls are known; offers keep no energy free, calls take no power,
    the battery may end empty, stores may spill, and each hour's heat is made at the better of the known COPs. Hours of the
    first day are left out, as they are by plans; their highest is paid for in any case.
    """
    step_h = 24 * scenario.run.days / len(facts.spot_eur_per_mwh)
    per_hour = round(1 / step_h)
    first, ticks = 24 * per_hour, 3600 // scenario.run.tick_s

    def steps(hourly: Array) -> Array:
        return np.repeat(hourly[24:], per_hour, axis=0)

    stores = planned_stores(scenario)
    fill, draw = _heat_eur(facts, steps(facts.cop.transpose(1, 0, 2)), tax_eur_per_mwh(scenario), first)
    missing = steps(facts.unmet_mw) > 0
    boiler = (facts.spot_eur_per_mwh + tax_eur_per_mwh(scenario))[first:, None]
    draw = np.where(missing, np.maximum(draw, boiler), draw)
    lent_kw, lent_eur = lent_terms(scenario, site)
    lent_gpus = outputs.tick_count[:, account.TICK_LENT].reshape(-1, ticks).sum(axis=1) / 3600
    prices = offered_prices(scenario.supply) * scenario.plan.reserves
    design = plant.design[0]
    assets = replace(
        assets_of(scenario, plant, stores, prices),
        soc_minimum_mwh=float(design["soc_minimum"] * design["battery_capacity_kwh"]) / 1000,
        wear_eur_per_mwh=scenario.plan.wear_eur_per_mwh,
    )
    count = len(facts.spot_eur_per_mwh) - first
    supply, run = scenario.supply, scenario.run
    outlook = Outlook(
        price_eur_per_mwh=facts.price_eur_per_mwh[first:],
        fill_eur_per_mwh=fill[:, stores],
        draw_eur_per_mwh=draw[:, stores],
        room_mw=np.full(count, np.inf),
        lent_mw=steps(lent_gpus) * lent_kw / 1000 * (facts.lent and scenario.plan.shift_lent_work),
        lent_eur_per_mwh=np.full(count, lent_eur),
        heat_mw=steps(facts.wanted_mw)[:, stores],
        soc_mwh=float(outputs.tick_real[24 * ticks - 1, BATTERY_KWH]) / 1000,
        store_mwh=np.zeros(len(stores)),
        called=steps(called_hours(supply, run.days * 24, run.seed)),
        call_eur_per_mwh=steps(
            activation_eur_per_mwh(facts.spot_eur_per_mwh.reshape(-1, per_hour).mean(axis=1))
        ),
        bought=steps(bought_hours(supply, run.start_utc, run.days * 24, scenario.site.time_zone)),
        step_h=step_h,
        load_mw=facts.load_mw[first:],
        peak_mw=float(facts.load_mw[:first].reshape(-1, per_hour).mean(axis=1).max()),
        peak_eur_per_mw=facts.peak_eur_per_mw,
    )
    return solve(assets, outlook, relaxed=True).earned_eur


def _heat_eur(facts: Facts, cop: Array, tax_eur: float, first: int) -> tuple[Array, Array]:
    """Least that a MWh of heat into a store can cost and most that one out of it can save, float64 (steps, customers)."""
    lowest, highest = _range(cop)
    price = (facts.spot_eur_per_mwh[first:] + tax_eur)[:, None]
    fill = np.minimum(price / lowest, price / highest)
    draw = np.maximum(price / lowest, price / highest)
    return fill, draw


def _range(cop: Array) -> tuple[Array, Array]:
    """Lowest and highest COP of each step and customer; where none is known, those of the whole run."""
    known = np.isfinite(cop)
    low, high = np.where(known, cop, np.inf).min(axis=1), np.where(known, cop, 1.0).max(axis=1)
    never = ~known.any(axis=1)
    lowest = np.where(np.isfinite(low), low, np.inf).min(axis=0, initial=np.inf)
    least = np.where(np.isfinite(lowest), lowest, 1.0)
    return np.where(never, least, low), np.where(never, high.max(axis=0, initial=1.0), high)
