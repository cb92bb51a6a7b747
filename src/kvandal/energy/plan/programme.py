"""The linear programme of a plan: battery, heat stores, lent work and reserves against prices, solved by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from kvandal.scenario.supply import PRODUCTS

Array = Any
_Solver: Any = highspy.Highs.__base__
"""HiGHS without callbacks: setting them up prints a banner on standard output."""
UP = np.array([name != "fcr_d_down" for name in PRODUCTS])
DOWN = ~UP
HELD_H = np.array([0.02, 1 / 3, 1 / 3, 1.0, 1.0])
"""How long a product must be held from the battery's energy [h]: FFR about a minute, FCR-D 20 min (units of limited
energy), aFRR and mFRR the hour that they are offered for."""


@dataclass(frozen=True)
class Assets:
    """What a plan may move.

    Attributes
    ----------
    battery_mw : power either way [MW]
    soc_minimum_mwh, soc_maximum_mwh : energy that the plan may use [MWh]
    one_way_efficiency : terminals to store, and back
    wear_eur_per_mwh : of what is discharged
    store_mw, store_mwh, store_keeps, pump_cop : float64 (stores,), power [MW heat], capacity [MWh], part that is left after an hour,
        heat over electricity of the pump that fills it
    offer_mw, offer_eur_per_mw_h : float64 (products,), largest offers and their prices

    """

    battery_mw: float
    soc_minimum_mwh: float
    soc_maximum_mwh: float
    one_way_efficiency: float
    wear_eur_per_mwh: float
    store_mw: Array
    store_mwh: Array
    store_keeps: Array
    pump_cop: Array
    offer_mw: Array
    offer_eur_per_mw_h: Array


@dataclass(frozen=True)
class Outlook:
    """What is expected, hour by hour.

    Attributes
    ----------
    price_eur_per_mwh : float64 (hours,), what a MWh more costs, with losses and tax
    room_mw : float64 (hours,), by how much import may rise
    lent_mw : float64 (hours,), what the lowest cap would take off lent work
    lent_eur_per_mwh : float64 (hours,), what that costs in GPU-hours
    heat_mw : float64 (hours, stores), demand behind each store
    soc_mwh, store_mwh : energy now, float and float64 (stores,)
    called : float64 (hours, products), activated energy per MW offered [MWh/MW]
    call_eur_per_mwh : float64 (hours, products), price of activated energy

    """

    price_eur_per_mwh: Array
    room_mw: Array
    lent_mw: Array
    lent_eur_per_mwh: Array
    heat_mw: Array
    soc_mwh: float
    store_mwh: Array
    called: Array
    call_eur_per_mwh: Array


@dataclass(frozen=True)
class Solution:
    """What to do, hour by hour.

    Attributes
    ----------
    charge_mw, discharge_mw, soc_mwh, lent_mw : float64 (hours,)
    fill_mw, draw_mw, store_mwh : float64 (hours, stores)
    offered_mw : float64 (hours, products)
    earned_eur : what all this earns against doing nothing

    """

    charge_mw: Array
    discharge_mw: Array
    soc_mwh: Array
    lent_mw: Array
    fill_mw: Array
    draw_mw: Array
    store_mwh: Array
    offered_mw: Array
    earned_eur: float


class _Rows:
    """Rows of a programme as triplets."""

    def __init__(self) -> None:
        self.row: list[Array] = []
        self.column: list[Array] = []
        self.value: list[Array] = []
        self.lower: list[Array] = []
        self.upper: list[Array] = []
        self.count = 0

    def add(self, terms: list[tuple[Array, Any]], lower: Any, upper: Any) -> None:
        """Add one row for each entry: the sum of `coefficient * columns` lies within bounds; columns below 0 are left out."""
        size = len(terms[0][0])
        rows = np.arange(self.count, self.count + size)
        for columns, coefficients in terms:
            known = columns >= 0
            self.row.append(rows[known])
            self.column.append(columns[known])
            self.value.append(np.broadcast_to(np.asarray(coefficients, np.float64), size)[known])
        self.lower.append(np.broadcast_to(np.asarray(lower, np.float64), size))
        self.upper.append(np.broadcast_to(np.asarray(upper, np.float64), size))
        self.count += size


def solve(assets: Assets, outlook: Outlook, *, relaxed: bool = False) -> Solution:
    r"""Plan the hours of an outlook.

    Minimised is the sum over hours of

    .. math:: p\,(c - d - w + \tfrac{q-u}{COP}) + k_{wear} d + k_{lent} w - \sum_k r_k (\pi_k + a_k \epsilon_k)

    with charge :math:`c`, discharge :math:`d`, saved lent power :math:`w`, heat into and out of stores :math:`q, u` and offers
    :math:`r_k`, subject to the energy in battery and stores, to power and energy that offers keep free, and to the room of the
    connection. The battery ends at least as full as it began.

    Parameters
    ----------
    assets, outlook
        What may be moved, and what is expected.
    relaxed
        As an upper bound of whatever may happen: offers keep no energy free, activated energy takes none of the battery's
        power, and the battery may end empty.

    Raises
    ------
    RuntimeError
        If HiGHS finds no optimum; doing nothing is always possible, so that would be a mistake of this module.

    """
    hours, stores, products = len(outlook.price_eur_per_mwh), len(assets.store_mw), len(PRODUCTS)
    blocks = 4 + 3 * stores + products
    at = np.arange(blocks * hours).reshape(blocks, hours)
    charge, discharge, soc, lent = at[:4]
    fill, draw, level = (
        at[4 : 4 + stores],
        at[4 + stores : 4 + 2 * stores],
        at[4 + 2 * stores : 4 + 3 * stores],
    )
    offers = at[4 + 3 * stores :]
    price, eta = outlook.price_eur_per_mwh, assets.one_way_efficiency
    cost, lower, upper = np.zeros(at.size), np.zeros(at.size), np.full(at.size, np.inf)
    cost[charge], upper[charge] = price, assets.battery_mw
    cost[discharge], upper[discharge] = assets.wear_eur_per_mwh - price, assets.battery_mw
    lower[soc], upper[soc] = (
        min(assets.soc_minimum_mwh, outlook.soc_mwh),
        max(assets.soc_maximum_mwh, outlook.soc_mwh),
    )
    if not relaxed:
        lower[soc[-1]] = min(outlook.soc_mwh, assets.soc_maximum_mwh)
    cost[lent], upper[lent] = outlook.lent_eur_per_mwh - price, outlook.lent_mw
    for index in range(stores):
        cost[fill[index]], upper[fill[index]] = price / assets.pump_cop[index], assets.store_mw[index]
        cost[draw[index]] = -price / assets.pump_cop[index]
        upper[draw[index]] = np.minimum(assets.store_mw[index], outlook.heat_mw[:, index])
        upper[level[index]] = max(assets.store_mwh[index], outlook.store_mwh[index])
    for index in range(products):
        ready = (
            assets.offer_eur_per_mw_h[index] + outlook.called[:, index] * outlook.call_eur_per_mwh[:, index]
        )
        cost[offers[index]], upper[offers[index]] = -ready, assets.offer_mw[index]

    rows = _Rows()
    before = np.concatenate([[-1], soc[:-1]])
    start = np.zeros(hours)
    start[0] = outlook.soc_mwh
    rows.add([(soc, 1.0), (before, -1.0), (charge, -eta), (discharge, 1 / eta)], start, start)
    free = 1.0 - outlook.called if relaxed else np.ones_like(outlook.called)
    up = [(offers[index], free[:, index]) for index in np.flatnonzero(UP)]
    down = [(offers[index], free[:, index]) for index in np.flatnonzero(DOWN)]
    rows.add([*up, (discharge, 1.0), (charge, -1.0)], -np.inf, assets.battery_mw)
    rows.add([*down, (charge, 1.0), (discharge, -1.0)], -np.inf, assets.battery_mw)
    if not relaxed:
        kept = [(offers[index], -HELD_H[index] / eta) for index in np.flatnonzero(UP)]
        taken = [(offers[index], HELD_H[index] * eta) for index in np.flatnonzero(DOWN)]
        rows.add([(soc, 1.0), *kept], np.minimum(assets.soc_minimum_mwh, lower[soc]), np.inf)
        rows.add([(soc, 1.0), *taken], -np.inf, upper[soc])
        pumps = [
            term
            for index in range(stores)
            for term in (
                (fill[index], 1 / assets.pump_cop[index]),
                (draw[index], -1 / assets.pump_cop[index]),
            )
        ]
        rows.add([(charge, 1.0), (discharge, -1.0), *pumps], -np.inf, np.maximum(outlook.room_mw, 0.0))
    for index in range(stores):
        before, keeps = np.concatenate([[-1], level[index][:-1]]), assets.store_keeps[index]
        start = np.zeros(hours)
        start[0] = keeps * outlook.store_mwh[index]
        rows.add(
            [(level[index], 1.0), (before, -keeps), (fill[index], -1.0), (draw[index], 1.0)], start, start
        )

    found, objective = _optimum(cost, lower, upper, rows)
    shaped = found.reshape(blocks, hours)
    return Solution(
        charge_mw=shaped[0],
        discharge_mw=shaped[1],
        soc_mwh=shaped[2],
        lent_mw=shaped[3],
        fill_mw=shaped[4 : 4 + stores].T,
        draw_mw=shaped[4 + stores : 4 + 2 * stores].T,
        store_mwh=shaped[4 + 2 * stores : 4 + 3 * stores].T,
        offered_mw=shaped[4 + 3 * stores :].T,
        earned_eur=-objective,
    )


def _optimum(cost: Array, lower: Array, upper: Array, rows: _Rows) -> tuple[Array, float]:
    """Columns and objective of the optimum; one thread and a fresh start, so that equal input gives equal output."""
    row, column = np.concatenate(rows.row), np.concatenate(rows.column)
    order = np.lexsort((column, row))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(cost), rows.count
    model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
    model.row_lower_, model.row_upper_ = np.concatenate(rows.lower), np.concatenate(rows.upper)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.count))])
    model.a_matrix_.index_, model.a_matrix_.value_ = column[order], np.concatenate(rows.value)[order]
    solver = _Solver()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"no plan: HiGHS says {solver.modelStatusToString(solver.getModelStatus())}")
    return np.array(solver.getSolution().col_value), float(solver.getInfo().objective_function_value)
