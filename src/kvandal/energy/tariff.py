"""What the grid and the state charge for a connection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kvandal.scenario.market import Market

Array = Any
HOURS_PER_YEAR = 365 * 24


def capacity_eur_per_h(peak_kw: float, nok_per_kw_year: float, nok_per_eur: float) -> float:
    """Capacity charge of one hour, on the highest hour of the run, pro rata of the year [EUR].

    >>> round(capacity_eur_per_h(200_000, 135.0, 11.7) * HOURS_PER_YEAR)
    2307692
    """
    return peak_kw * nok_per_kw_year / HOURS_PER_YEAR / nok_per_eur


def losses_eur(load_mwh: Array, spot_eur_per_mwh: Array, marginal_loss_fraction: float) -> Array:
    """Energy part of the tariff: marginal losses at the area price [EUR]; below 0 where consumption saves losses.

    Statnett's tariff for the transmission grid: weekly marginal-loss rate of the node times the area price.

    >>> losses_eur(np.array([100.0]), np.array([40.0]), -0.01).tolist()
    [-40.0]
    """
    charged: Array = np.asarray(load_mwh) * spot_eur_per_mwh * marginal_loss_fraction
    return charged


def reactive_kvar(power_kw: float, power_factor: float) -> float:
    r"""Reactive power at an active power [kvar], :math:`Q = P \tan\arccos\varphi`.

    >>> round(reactive_kvar(200_000, 0.99))
    28498
    """
    return power_kw * math.tan(math.acos(power_factor))


def tax_ore_per_kwh(market: Market) -> float:
    """Electricity tax of the scenario's regime [øre/kWh]."""
    return market.tax_reduced_ore_per_kwh if market.tax_regime == "reduced" else market.tax_full_ore_per_kwh


def tax_eur(load_mwh: Array, ore_per_kwh: float, nok_per_eur: float) -> Array:
    """Electricity tax [EUR].

    >>> tax_eur(np.array([117.0]), 0.58, 11.7).round(6).tolist()
    [58.0]
    """
    levied: Array = np.asarray(load_mwh) * 1000 * ore_per_kwh / 100 / nok_per_eur
    return levied
