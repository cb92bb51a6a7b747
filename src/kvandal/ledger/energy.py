"""Energy, money and carbon by the hour."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.energy import generators, matching, tariff
from kvandal.energy.reserves import activation_eur_per_mwh
from kvandal.ledger.columns import every, named
from kvandal.ledger.flows import flows_of
from kvandal.scenario.model import Scenario
from kvandal.scenario.supply import PRODUCTS
from kvandal.twin.simulate import Trajectory

Array = Any
MICRO = 1_000_000
_EXACT = pl.Decimal(38, 6)


def decimals(name: str, micro: Array) -> pl.Series:
    """Whole millionths as exact decimals.

    >>> decimals("cost_eur", np.array([1_500_000])).to_list()
    [Decimal('1.500000')]
    """
    million = pl.Series([MICRO]).cast(_EXACT)
    return (pl.Series(name, micro).cast(_EXACT) / million).cast(pl.Decimal(20, 6))


def micro(amount: Array) -> Array:
    """Amounts in whole millionths, rounded half to even once per entry: int64."""
    return np.rint(np.asarray(amount, np.float64) * MICRO).astype(np.int64)


COSTS = (
    "cost_ppa_eur", "cost_spot_eur", "cost_goo_eur", "cost_tariff_capacity_eur", "cost_tariff_energy_eur",
    "cost_tariff_reactive_eur", "cost_tax_eur", "cost_generator_eur", "cost_heat_pump_eur", "cost_deviation_eur",
)  # fmt: skip
INCOMES = ("income_sold_eur", "income_reserves_eur")
"""What costs of energy are made of: the former less the latter make `cost_eur`, exactly."""


def energy_table(run: Trajectory, site: pl.DataFrame, heat: pl.DataFrame) -> pl.DataFrame:
    """One row per hour: energy by source, cost, income from heat, carbon.

    Contracts are paid for what they deliver; what the site does not use of it is sold at the spot price. The capacity tariff
    is charged on the highest hour of the run, pro rata of the year.
    """
    scenario, market, supply = run.scenario, run.scenario.market, run.scenario.supply
    hours, tick_s = scenario.run.days * 24, scenario.run.tick_s
    price, flows = run.prices.eur_per_mwh, flows_of(run, site)

    def hourly(values: Array) -> Array:
        return np.asarray(values).reshape(hours, -1).sum(axis=1)

    site_mwh, fed_mwh = hourly(flows.site), hourly(flows.generated)
    pump = np.zeros(hours)
    if scenario.heat.pumps_owned_by == "site":
        pump = heat["heat_pump_mwh"].to_numpy().reshape(hours, -1).sum(axis=1)
    bought, sold = flows.load - flows.used, flows.delivered.sum(axis=1) - flows.used
    load_mwh, bought_mwh = hourly(flows.load), hourly(bought)
    goo = (bought + flows.used - flows.used_clean) * market.goo_fraction
    goo_mwh = hourly(goo)
    covered_mwh = hourly(flows.used_clean) + goo_mwh
    matched = matching.carbon_free_mwh(
        flows.load,
        flows.used_clean + (goo if market.goo_by_hour else 0.0),
        scenario.carbon.grid_carbon_free_share,
    )
    carbon_free_mwh = fed_mwh + hourly(matched)
    back = hourly(flows.fed_back) > 0  # what flows back within an hour was not consumed in it
    carbon_free_mwh[back] = np.minimum(carbon_free_mwh, np.maximum(site_mwh, 0.0))[back]
    peak_kw = float(load_mwh.max(initial=0.0)) * 1000
    tax_ore = tariff.tax_ore_per_kwh(market)
    spot = price.reshape(hours, -1).mean(axis=1)
    fuel_kwh = generators.fuel_kwh(fed_mwh, supply.generator_efficiency)
    reserves = _reserves(run, spot)
    constant = np.ones(hours)
    costs = {
        "cost_ppa_eur": micro(
            sum((hourly(c.delivered_mwh) * c.eur_per_mwh for c in run.contracts), np.zeros(hours))
        ),
        "cost_spot_eur": micro(hourly(bought * price)),
        "cost_goo_eur": micro(goo_mwh * market.goo_eur_per_mwh),
        "cost_tariff_capacity_eur": micro(
            constant * tariff.capacity_eur_per_h(peak_kw, market.tariff_nok_per_kw_year, market.nok_per_eur)
        ),
        "cost_tariff_energy_eur": micro(tariff.losses_eur(load_mwh, spot, supply.marginal_loss_fraction)),
        "cost_tariff_reactive_eur": micro(
            constant
            * tariff.capacity_eur_per_h(
                tariff.reactive_kvar(peak_kw, supply.power_factor),
                supply.reactive_nok_per_kvar_year,
                market.nok_per_eur,
            )
        ),
        "cost_tax_eur": micro(tariff.tax_eur(load_mwh, tax_ore, market.nok_per_eur)),
        "cost_generator_eur": micro(fuel_kwh / generators.HVO_KWH_PER_L * supply.hvo_eur_per_l),
        "cost_heat_pump_eur": micro(pump * spot + tariff.tax_eur(pump, tax_ore, market.nok_per_eur)),
        "cost_deviation_eur": micro(
            np.zeros(hours) if run.plan is None else run.plan.deviation_eur(load_mwh)
        ),
        "income_sold_eur": micro(hourly((sold + flows.fed_back) * price)),
        "income_reserves_eur": micro(
            reserves["income_capacity_eur"] + reserves["income_energy_eur"] - reserves["penalty_eur"]
        ),
    }
    total = sum((costs[name] for name in COSTS), np.zeros(hours, np.int64)) - sum(
        costs[name] for name in INCOMES
    )
    heat_prices = np.array([customer.price_eur_per_mwh for customer in scenario.heat.customers.values()])
    handed_over = heat["source_mwh"].to_numpy().reshape(hours, len(heat_prices))
    it_mwh = site["it_power_mw"].to_numpy().reshape(hours, -1).sum(axis=1) * tick_s / 3600
    return pl.DataFrame(
        {
            "time_utc": site["time_utc"].gather_every(3600 // tick_s),
            "site_mwh": site_mwh,
            "it_mwh": it_mwh,
            "generator_mwh": fed_mwh,
            "import_mwh": load_mwh,
            "heat_pump_mwh": pump,
            "spot_eur_per_mwh": spot,
            "ppa_mwh": hourly(flows.used),
            "ppa_clean_mwh": hourly(flows.used_clean),
            "spot_bought_mwh": bought_mwh,
            "ppa_sold_mwh": hourly(sold),
            "goo_mwh": goo_mwh,
            "carbon_free_mwh": carbon_free_mwh,
            **{name: decimals(name, values) for name, values in costs.items()},
            "cost_eur": decimals("cost_eur", total),
            "income_heat_eur": decimals(
                "income_heat_eur", micro(handed_over @ heat_prices if len(heat_prices) else np.zeros(hours))
            ),
            **_carbon(scenario, load_mwh + pump, covered_mwh, fuel_kwh),
        }
    )


def _carbon(scenario: Scenario, load_mwh: Array, covered_mwh: Array, fuel_kwh: Array) -> dict[str, Array]:
    """Emissions of every hour on all four bases [t]; direct emissions of HVO are biogenic and not counted.

    Heat pumps of the site are its Scope 2 too: their electricity, on meters of their own, is in the load, and no contract covers it.
    """
    carbon = scenario.carbon
    fuel_t = fuel_kwh * scenario.supply.hvo_fuel_lifecycle_g_per_kwh / 1e6
    return {
        "carbon_location_direct_t": matching.location_t(load_mwh, carbon.location_direct_g_per_kwh),
        "carbon_location_lifecycle_t": matching.location_t(load_mwh, carbon.location_lifecycle_g_per_kwh)
        + fuel_t,
        "carbon_market_direct_t": matching.market_t(
            load_mwh, covered_mwh, 0.0, carbon.residual_direct_g_per_kwh
        ),
        "carbon_market_lifecycle_t": matching.market_t(
            load_mwh, covered_mwh, carbon.contract_lifecycle_g_per_kwh, carbon.residual_lifecycle_g_per_kwh
        )
        + fuel_t,
    }


def contracts_table(run: Trajectory, site: pl.DataFrame) -> pl.DataFrame:
    """One row per hour and contract; what all deliver beyond the site's need is sold, the contracts without guarantees first."""
    hours, names = run.scenario.run.days * 24, [one.name for one in run.contracts]
    flows = flows_of(run, site)

    def hourly(values: Array) -> Array:
        return values.reshape(hours, -1, len(names)).sum(axis=1) if names else np.zeros((hours, 0))

    delivered, unused = hourly(flows.delivered), flows.delivered - flows.used_by
    which = np.tile(np.arange(len(names)), hours)
    tenants = list(run.scenario.tenants)
    buyer = np.array([tenants.index(one.buyer) if one.buyer else -1 for one in run.contracts], np.int64)
    cost = delivered * np.array([one.eur_per_mwh for one in run.contracts])
    sold_eur, used_eur = (hourly(part * run.prices.eur_per_mwh[:, None]) for part in (unused, flows.used_by))
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600, len(names)),
            "contract": named(which, names or ["none"]),
            "kind": named(which, [one.kind for one in run.contracts] or ["none"]),
            "seller": named(which, [one.seller for one in run.contracts] or ["none"]),
            "buyer": named(buyer[which], tenants or ["none"]),
            "carbon_free": np.array([one.carbon_free for one in run.contracts], bool)[which],
            "delivered_mwh": delivered.ravel(),
            "used_mwh": hourly(flows.used_by).ravel(),
            "sold_mwh": hourly(unused).ravel(),
            "cost_eur": decimals("cost_eur", micro(cost.ravel())),
            "income_sold_eur": decimals("income_sold_eur", micro(sold_eur.ravel())),
            "used_at_spot_eur": decimals("used_at_spot_eur", micro(used_eur.ravel())),
        }
    )


def _reserves(run: Trajectory, spot: Array) -> dict[str, Array]:
    """Income of all reserves by the hour [EUR]."""
    table = reserve_amounts(run, spot)
    return {
        name: table[name].sum(axis=1) for name in ("income_capacity_eur", "income_energy_eur", "penalty_eur")
    }


def reserve_amounts(run: Trajectory, spot: Array) -> dict[str, Array]:
    """Return what each product earned in each hour, float64 (hours, products); zero where none was offered.

    Readiness is paid at the product's price for what was offered and ready. Activated energy of aFRR and mFRR is settled at spot
    with a premium; since its spot value is already not bought, the difference is income. What was activated and not delivered costs readiness of its hour twice.
    """
    hours = len(spot)
    nothing = np.zeros((hours, len(PRODUCTS)))
    if run.plan is None or not run.scenario.supply.reserves:
        return dict.fromkeys(
            ("offered_mw", "activated_mwh", "income_capacity_eur", "income_energy_eur", "penalty_eur"),
            nothing,
        )
    plan = run.plan
    ready = plan.offered_mw * plan.prices_eur_per_mw_h
    return {
        "offered_mw": plan.offered_mw,
        "activated_mwh": plan.activated_mwh,
        "income_capacity_eur": ready,
        "income_energy_eur": plan.activated_mwh * activation_eur_per_mwh(spot),
        "penalty_eur": 2 * ready * plan.undelivered,
    }


def reserves_table(run: Trajectory, energy: pl.DataFrame) -> pl.DataFrame:
    """One row per hour and product that the site may sell."""
    amounts = reserve_amounts(run, energy["spot_eur_per_mwh"].to_numpy())
    sold = [index for index, name in enumerate(PRODUCTS) if name in run.scenario.supply.reserves]
    hours = energy.height
    columns = {name: np.ascontiguousarray(values[:, sold]).ravel() for name, values in amounts.items()}
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600, len(sold)),
            "product": named(np.tile(np.array(sold, np.int64), hours), PRODUCTS),
            "offered_mw": columns["offered_mw"],
            "activated_mwh": columns["activated_mwh"],
            **{
                name: decimals(name, micro(columns[name]))
                for name in ("income_capacity_eur", "income_energy_eur", "penalty_eur")
            },
        }
    )
