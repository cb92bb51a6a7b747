"""Whose energy was carbon-free: contracts of tenants count for their buyers first, what is left for everybody alike.

The rule (docs/attribution.md) goes by the hour. A buyer's contracts cover its own consumption, at most all of it. Whatever
else was carbon-free in the hour falls to all consumption that is not covered so, in proportion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.scenario.model import Scenario

Array = Any
MICRO = 1_000_000


def bought_wh(scenario: Scenario, contracts: pl.DataFrame | None) -> Array | None:
    """Return the clean energy that each tenant bought and the site used, whole Wh rounded down: int64 (hours, tenants + 1).

    None if no tenant buys any.

    Parameters
    ----------
    scenario
        Who buys what.
    contracts
        The run's table of contracts by the hour; not looked at if no tenant buys.

    """
    buyers = {name: one.buyer for name, one in scenario.supply.purchases.items() if one.buyer}
    if contracts is None or not any(scenario.supply.purchases[name].carbon_free for name in buyers):
        return None
    tenants, hours = list(scenario.tenants), scenario.run.days * 24
    used_mwh = np.zeros((hours, len(tenants) + 1))
    for name, buyer in buyers.items():
        mine = contracts.filter((pl.col("contract").cast(pl.String) == name) & pl.col("carbon_free"))
        if mine.height:
            used_mwh[:, tenants.index(buyer)] += mine["used_mwh"].to_numpy()
    whole: Array = np.floor(used_mwh * MICRO).astype(np.int64)
    return whole


def own_wh(site_wh: Array, bought: Array | None, carbon_free_wh: Array) -> Array:
    """Return what of everybody's consumption its own contracts cover, int64 (hours, tenants + 1).

    >>> own_wh(np.array([[60, 30, 10]]), np.array([[80, 10, 0]]), np.array([95])).tolist()
    [[60, 10, 0]]
    """
    if bought is None:
        return np.zeros_like(site_wh)
    own = np.minimum(bought, np.maximum(site_wh, 0))
    upto = np.minimum(np.cumsum(own, axis=1), carbon_free_wh[:, None])
    covered: Array = np.diff(upto, axis=1, prepend=0)
    return covered


def matched_wh(site_wh: Array, own: Array, carbon_free_wh: Array) -> Array:
    """Return everybody's part of an hour's carbon-free energy: its own, and of the rest in proportion to what that leaves.

    Whole Wh, int64 (hours, tenants + 1); every hour sums to its carbon-free energy, and nobody has more than it consumed.

    Parameters
    ----------
    site_wh : consumption of the tenants and the owners
    own : covered by own contracts
    carbon_free_wh : int64 (hours,), at most the consumption of the hour

    Examples
    --------
    60, 30 and 10 Wh; the first has covered 40 of its own, 32 of the other 60 are carbon-free:

    >>> matched_wh(np.array([[60, 30, 10]]), np.array([[40, 0, 0]]), np.array([72])).tolist()
    [[51, 16, 5]]

    """
    open_wh = np.maximum(site_wh, 0) - own
    upto = np.cumsum(open_wh, axis=1)
    whole, rest = upto[:, -1:], np.minimum((carbon_free_wh - own.sum(axis=1))[:, None], upto[:, -1:])
    # whole numbers of any size: a product of two energies may not fit into 64 bits
    numerator = 2 * rest.astype(object) * upto.astype(object) + whole
    shared = (numerator // (2 * np.maximum(whole, 1).astype(object))).astype(np.int64)
    matched: Array = own + np.diff(shared, axis=1, prepend=0)
    return matched


def market_g_per_wh(scenario: Scenario, site_wh: Array, own: Array, totals_g: Array) -> Array:
    """Return market-based carbon of everybody's energy, direct and life-cycle, float64 (hours, tenants + 1, 2) [g/Wh].

    What own contracts cover has the factor of contracts, everything else the mean of what is left of the hour.

    Parameters
    ----------
    scenario : factors of contracts
    site_wh, own : as for :func:`matched_wh`
    totals_g : (hours, 2), market-based carbon of the site

    """
    drawn = np.maximum(site_wh, 0).astype(np.float64)
    contract = np.array([0.0, scenario.carbon.contract_lifecycle_g_per_kwh / 1000])
    covered = own.sum(axis=1, keepdims=True).astype(np.float64)
    left_wh = drawn.sum(axis=1, keepdims=True) - covered
    left_g = np.maximum(totals_g - covered * contract, 0.0)
    mean = np.divide(left_g, left_wh, out=np.zeros_like(left_g), where=left_wh > 0)[:, None, :]
    share = np.divide(own, drawn, out=np.zeros_like(drawn), where=drawn > 0)[:, :, None]
    factor: Array = share * contract + (1.0 - share) * mean
    return factor
