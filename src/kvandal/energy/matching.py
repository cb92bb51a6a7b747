"""Clean energy, hour by hour and over the year, and carbon on every basis."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def carbon_free_mwh(load_mwh: Array, contracted_mwh: Array, grid_share: Array | float) -> Array:
    r"""Energy that is matched with carbon-free supply in its own hour [MWh].

    .. math:: m_h = \min(L_h, C_h) + \max(0, L_h - C_h) \, g_h

    Surplus of one hour is not carried to another (the principle of 24/7 matching). An hour without consumption, or in which
    energy flows back, matches nothing.

    >>> carbon_free_mwh(np.array([10.0, 10.0]), np.array([4.0, 15.0]), 0.5).tolist()
    [7.0, 10.0]
    """
    load = np.maximum(load_mwh, 0.0)
    matched: Array = np.minimum(load, contracted_mwh) + np.maximum(0.0, load - contracted_mwh) * grid_share
    return matched


def annual_match(load_mwh: Array, clean_mwh: Array) -> float | None:
    r"""Return the share of a period's consumption that its guarantees and clean contracts cover on paper.

    .. math:: \min\left(1, \sum_h C_h / \sum_h L_h\right)

    The claim of today's annual accounting: a surplus in June covers a deficit in January. None without consumption.

    >>> annual_match(np.array([10.0, 10.0]), np.array([0.0, 30.0]))
    1.0
    """
    load = float(np.sum(load_mwh))
    return min(1.0, float(np.sum(clean_mwh)) / load) if load > 0 else None


def location_t(load_mwh: Array, grid_g_per_kwh: float) -> Array:
    """Emissions by location [t]: all consumption at the factor of the grid's delivered mix (GHG Protocol, Scope 2).

    Energy that flows back is no consumption and takes no emission away.

    >>> location_t(np.array([100.0]), 15.0).tolist()
    [1.5]
    """
    emitted: Array = np.maximum(load_mwh, 0.0) * grid_g_per_kwh / 1000
    return emitted


def market_t(
    load_mwh: Array, covered_mwh: Array, contract_g_per_kwh: float, residual_g_per_kwh: float
) -> Array:
    r"""Emissions by market [t]: what contracts and cancelled guarantees cover at their factor, the rest at the residual mix.

    .. math:: E_h = (L_h - C_h)\, f_{residual} + C_h\, f_{contract}, \quad C_h \le L_h

    GHG Protocol, Scope 2 Guidance (2015), quality criteria taken as met. A contract that conveys no certificates covers
    nothing: its energy has the residual mix. Energy that flows back is no consumption.

    >>> market_t(np.array([100.0]), np.array([75.0]), 0.0, 500.0).tolist()
    [12.5]
    """
    load = np.maximum(load_mwh, 0.0)
    covered = np.minimum(load, covered_mwh)
    emitted: Array = ((load - covered) * residual_g_per_kwh + covered * contract_g_per_kwh) / 1000
    return emitted
