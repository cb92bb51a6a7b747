"""Energy, money and carbon by the hour."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from kvandal.twin.simulate import Trajectory

Array = Any
MICRO = 1_000_000


def decimals(name: str, micro: Array) -> pl.Series:
    """Whole millionths as exact decimals.

    >>> decimals("cost_eur", np.array([1_500_000])).to_list()
    [Decimal('1.500000')]
    """
    values = [Decimal(int(value)).scaleb(-6) for value in micro]
    return pl.Series(name, values, dtype=pl.Decimal(20, 6))


def micro(amount: Array) -> Array:
    """Amounts in whole millionths, rounded half to even once per entry: int64."""
    return np.rint(np.asarray(amount, np.float64) * MICRO).astype(np.int64)


def carbon_free_mwh(load_mwh: Array, contracted_mwh: Array, grid_share: Array | float) -> Array:
    r"""Energy that is matched with carbon-free supply in its own hour [MWh].

    .. math:: m_h = \min(L_h, C_h) + \max(0, L_h - C_h) \, g_h

    Surplus of one hour is not carried to another (the principle of 24/7 matching).

    >>> carbon_free_mwh(np.array([10.0, 10.0]), np.array([4.0, 15.0]), 0.5).tolist()
    [7.0, 10.0]
    """
    matched: Array = (
        np.minimum(load_mwh, contracted_mwh) + np.maximum(0.0, load_mwh - contracted_mwh) * grid_share
    )
    return matched


def energy_per_step(power_mw: Array, tick_s: int, step_s: int) -> Array:
    """Energy of each price step from the mean power of each tick [MWh]; a tick longer than a step is spread evenly.

    >>> energy_per_step(np.array([60.0, 120.0]), 60, 120).tolist()
    [3.0]
    """
    energy_mwh = power_mw * (tick_s / 3600)
    if tick_s <= step_s:
        summed: Array = energy_mwh.reshape(-1, step_s // tick_s).sum(axis=1)
        return summed
    return np.repeat(energy_mwh * (step_s / tick_s), tick_s // step_s)


def energy_table(run: Trajectory, site: pl.DataFrame, heat: pl.DataFrame) -> pl.DataFrame:
    """One row per hour: energy by source, cost, income from heat, carbon.

    The base-load contract delivers `ppa_mw` in every hour and is paid in full; what the site does not use is sold at
    the spot price. The grid tariff is charged on the highest hour of the run, pro rata of the year.
    """
    scenario, market, carbon = run.scenario, run.scenario.market, run.scenario.carbon
    hours, tick_s = scenario.run.days * 24, scenario.run.tick_s
    step_s = run.prices.step_s
    power_mw = site["site_power_mw"].to_numpy()
    load = energy_per_step(power_mw, tick_s, step_s)
    price = run.prices.eur_per_mwh
    contracted = market.ppa_mw * step_s / 3600

    def hourly(values: Array) -> Array:
        return np.asarray(values).reshape(hours, -1).sum(axis=1)

    used = np.minimum(load, contracted)
    bought, sold = load - used, contracted - used
    load_mwh, used_mwh, bought_mwh = hourly(load), hourly(used), hourly(bought)
    goo_mwh = bought_mwh * market.goo_fraction
    bare_mwh = np.maximum(0.0, bought_mwh - goo_mwh)  # no contract, no guarantee: of the residual mix
    peak_kw = float(load_mwh.max(initial=0.0)) * 1000
    year_share = 1 / (365 * 24)
    tax_ore = (
        market.tax_reduced_ore_per_kwh if market.tax_regime == "reduced" else market.tax_full_ore_per_kwh
    )
    costs = {
        "cost_ppa_eur": micro(np.full(hours, market.ppa_mw * market.ppa_eur_per_mwh)),
        "cost_spot_eur": micro(hourly(bought * price)),
        "income_sold_eur": micro(hourly(sold * price)),
        "cost_goo_eur": micro(goo_mwh * market.goo_eur_per_mwh),
        "cost_tariff_eur": micro(
            np.full(hours, peak_kw * market.tariff_nok_per_kw_year * year_share / market.nok_per_eur)
        ),
        "cost_tax_eur": micro(load_mwh * 1000 * tax_ore / 100 / market.nok_per_eur),
    }
    costs["cost_eur"] = (
        costs["cost_ppa_eur"]
        + costs["cost_spot_eur"]
        - costs["income_sold_eur"]
        + costs["cost_goo_eur"]
        + costs["cost_tariff_eur"]
        + costs["cost_tax_eur"]
    )
    heat_prices = np.array([customer.price_eur_per_mwh for customer in scenario.heat.customers.values()])
    handed_over = heat["source_mwh"].to_numpy().reshape(hours, len(heat_prices))
    costs["income_heat_eur"] = micro(handed_over @ heat_prices if len(heat_prices) else np.zeros(hours))
    it_mwh = site["it_power_mw"].to_numpy().reshape(hours, -1).sum(axis=1) * tick_s / 3600
    return pl.DataFrame(
        {
            "time_utc": site["time_utc"].gather_every(3600 // tick_s),
            "site_mwh": load_mwh,
            "it_mwh": it_mwh,
            "spot_eur_per_mwh": price.reshape(hours, -1).mean(axis=1),
            "ppa_mwh": used_mwh,
            "spot_bought_mwh": bought_mwh,
            "ppa_sold_mwh": hourly(sold),
            "goo_mwh": goo_mwh,
            "carbon_free_mwh": hourly(carbon_free_mwh(load, contracted, carbon.grid_carbon_free_share)),
            **{name: decimals(name, values) for name, values in costs.items()},
            "carbon_location_direct_t": load_mwh * carbon.location_direct_g_per_kwh / 1000,
            "carbon_location_lifecycle_t": load_mwh * carbon.location_lifecycle_g_per_kwh / 1000,
            "carbon_market_direct_t": bare_mwh * carbon.residual_direct_g_per_kwh / 1000,
            "carbon_market_lifecycle_t": (
                bare_mwh * carbon.residual_lifecycle_g_per_kwh
                + (load_mwh - bare_mwh) * carbon.contract_lifecycle_g_per_kwh
            )
            / 1000,
        }
    )
