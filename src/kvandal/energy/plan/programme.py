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
ROUNDING_MW = 1e-6
"""What the solver's tolerances may leave."""


@dataclass(frozen=True)
class Assets:
    """What a plan may move.

    Attributes
    ----------
    battery_mw : power either way [MW]
    soc_minimum_mwh, soc_maximum_mwh : energy that the plan may use [MWh]
    one_way_efficiency : terminals to store, and back
    wear_eur_per_mwh : of what is discharged
    store_mw, store_mwh, store_keeps : float64 (stores,), power [MW heat], capacity [MWh], part that is left after an hour
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
    offer_mw: Array
    offer_eur_per_mw_h: Array


@dataclass(frozen=True)
class Outlook:
    """What is expected, hour by hour.

    Attributes
    ----------
    price_eur_per_mwh : float64 (hours,), what a MWh more through the meter costs, with losses and tax
    fill_eur_per_mwh, draw_eur_per_mwh : float64 (hours, stores), what a MWh of heat costs that goes into a store, and what one
        saves that comes out
    room_mw : float64 (hours,), by how much import may rise; the heat pumps have a meter of their own
    lent_mw : float64 (hours,), what the lowest cap would take off lent work
    lent_eur_per_mwh : float64 (hours,), what that costs in GPU-hours
    heat_mw : float64 (hours, stores), demand behind each store
    soc_mwh, store_mwh : energy now, float and float64 (stores,)
    called : float64 (hours, products), activated energy per MW offered [MWh/MW]
    call_eur_per_mwh : float64 (hours, products), what activated energy earns beside the energy itself
    down_room_mw : float64 (hours,), by how much import may rise when a reserve is called to consume more; None: without limit
    bought : bool (hours, products), whether each product can be sold; None: always
    spare_heat_mw : float64 (hours,), warm water that nobody else needs; None: without limit
    taken_fraction : float64 (stores,), part of a store's heat that comes from it (the rest is the pump's electricity)
    step_h : length of an "hour" of these arrays, 1 or 1/4 [h]
    load_mw : float64 (hours,), import when nothing is moved; only for the tariff
    peak_mw, peak_eur_per_mw : highest hour so far, and what each MW of the highest hour costs

    """

    price_eur_per_mwh: Array
    fill_eur_per_mwh: Array
    draw_eur_per_mwh: Array
    room_mw: Array
    lent_mw: Array
    lent_eur_per_mwh: Array
    heat_mw: Array
    soc_mwh: float
    store_mwh: Array
    called: Array
    call_eur_per_mwh: Array
    down_room_mw: Array | None = None
    bought: Array | None = None
    spare_heat_mw: Array | None = None
    taken_fraction: Array | None = None
    step_h: float = 1.0
    load_mw: Array | None = None
    peak_mw: float = 0.0
    peak_eur_per_mw: float = 0.0


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
        """Add one row for each entry: the sum of `coefficient * columns` lies within bounds; a first column below 0 is left out."""
        size = len(terms[0][0])
        rows = np.arange(self.count, self.count + size)
        for columns, coefficients in terms:
            first = int(columns[0] < 0)  # the hour before the first one
            self.row.append(rows[first:])
            self.column.append(columns[first:])
            self.value.append(_each(coefficients, size)[first:])
        self.lower.append(_each(lower, size))
        self.upper.append(_each(upper, size))
        self.count += size


def _each(values: Any, size: int) -> Array:
    """Return `values`, one number or `size` of them, as an array."""
    each = np.empty(size)
    each[:] = values
    return each


class _Columns:
    """Columns of a programme: battery, lent work, heat stores, offers, and the highest hour."""

    def __init__(self, hours: int, stores: int) -> None:
        blocks = 4 + 3 * stores + len(PRODUCTS)
        at = np.arange(blocks * hours).reshape(blocks, hours)
        self.charge, self.discharge, self.soc, self.lent = at[:4]
        self.fill, self.draw, self.level = at[4 : 4 + 3 * stores].reshape(3, stores, hours)
        self.offers = at[4 + 3 * stores :]
        self.peak = np.array([at.size])
        self.count = at.size + 1


def solve(assets: Assets, outlook: Outlook, *, relaxed: bool = False) -> Solution:
    r"""Plan the hours of an outlook.

    Minimised is the sum over hours of

    .. math::

        p\,(c - d - w) + p_q q - p_u u + k_{wear} d + k_{lent} w - \sum_k r_k (\pi_k + a_k \epsilon_k)

    with charge :math:`c`, discharge :math:`d`, saved lent power :math:`w`, heat into and out of stores :math:`q, u` (:math:`p_q, p_u`
    are the price over the heat pump's COP) and offers :math:`r_k`, subject to the energy in battery and stores, to power and
    energy that offers keep free before and after each hour, to the room of the connection and to the heat that others leave. The battery ends at least as
    full as it began; what it lacks of its floor is back within a day, as far as there is room. It does not charge and
    discharge at once, not even to burn energy at negative prices.

    Parameters
    ----------
    assets, outlook
        What may be moved, and what is expected.
    relaxed
        As an upper bound of whatever may happen: offers keep no energy free, activated energy takes none of the battery's
        power, the battery may end empty, stores may spill, nothing limits the import; but the highest hour is paid for.

    Raises
    ------
    RuntimeError
        If HiGHS finds no optimum; doing nothing is always possible, so that would be a mistake of this module.

    """
    at = _Columns(len(outlook.price_eur_per_mwh), len(assets.store_mw))
    cost, lower, upper = _bounds(at, assets, outlook, relaxed=relaxed)
    rows = _Rows()
    _battery_rows(rows, at, assets, outlook, relaxed=relaxed)
    if not relaxed:
        _ready_rows(rows, at, assets, outlook, float(upper[at.soc[0]]))
        _heat_rows(rows, at, outlook)
    else:
        _peak_rows(rows, at, outlook)
    for index, keeps in enumerate(assets.store_keeps**outlook.step_h):
        level, before = at.level[index], np.concatenate([[-1], at.level[index][:-1]])
        start = np.zeros(len(level))
        start[0] = keeps * outlook.store_mwh[index]
        moved = [(at.fill[index], -outlook.step_h), (at.draw[index], outlook.step_h)]
        rows.add([(level, 1.0), (before, -keeps), *moved], -np.inf if relaxed else start, start)
    found, objective = _optimum(cost, lower, upper, rows)
    while not relaxed:
        both = np.minimum(found[at.charge], found[at.discharge]) > ROUNDING_MW
        if not both.any():
            break
        smaller = np.where(found[at.charge] < found[at.discharge], at.charge, at.discharge)
        upper[smaller[both]] = 0.0
        found, objective = _optimum(cost, lower, upper, rows)
    through = np.minimum(found[at.fill], found[at.draw])  # in and out at once is nothing
    still = outlook.peak_eur_per_mw * max(outlook.peak_mw, float(_hourly(outlook).max(initial=0.0)))
    return Solution(
        charge_mw=found[at.charge],
        discharge_mw=found[at.discharge],
        soc_mwh=found[at.soc],
        lent_mw=found[at.lent],
        fill_mw=(found[at.fill] - through).T,
        draw_mw=(found[at.draw] - through).T,
        store_mwh=found[at.level].T,
        offered_mw=found[at.offers].T,
        earned_eur=still - objective,
    )


def _bounds(at: _Columns, assets: Assets, outlook: Outlook, *, relaxed: bool) -> tuple[Array, Array, Array]:
    """Cost of every column and its limits."""
    price, step_h = outlook.price_eur_per_mwh, outlook.step_h
    cost, lower, upper = np.zeros(at.count), np.zeros(at.count), np.full(at.count, np.inf)
    cost[at.charge], upper[at.charge] = price, assets.battery_mw
    cost[at.discharge], upper[at.discharge] = assets.wear_eur_per_mwh - price, assets.battery_mw
    floor_mwh, full_mwh = assets.soc_minimum_mwh, max(assets.soc_maximum_mwh, outlook.soc_mwh)
    lower[at.soc], upper[at.soc] = min(floor_mwh, outlook.soc_mwh), full_mwh
    if not relaxed:
        lower[at.soc[-1]] = min(outlook.soc_mwh, assets.soc_maximum_mwh)
        day = min(round(24 / step_h), len(at.soc))
        charge_mw = np.minimum(assets.battery_mw, np.maximum(outlook.room_mw[:day], 0.0))
        reach_mwh = outlook.soc_mwh + assets.one_way_efficiency * float(charge_mw.sum()) * step_h
        back_mwh = max(0.0, min(floor_mwh, reach_mwh - ROUNDING_MW))
        for hour in (day - 1, -1):
            lower[at.soc[hour]] = max(lower[at.soc[hour]], back_mwh)
    cost[at.lent], upper[at.lent] = outlook.lent_eur_per_mwh - price, outlook.lent_mw
    for index in range(len(at.fill)):
        cost[at.fill[index]] = outlook.fill_eur_per_mwh[:, index]
        cost[at.draw[index]] = -outlook.draw_eur_per_mwh[:, index]
        upper[at.fill[index]] = assets.store_mw[index]
        upper[at.draw[index]] = np.minimum(assets.store_mw[index], outlook.heat_mw[:, index])
        upper[at.level[index]] = max(assets.store_mwh[index], outlook.store_mwh[index])
    for index, columns in enumerate(at.offers):
        called = outlook.called[:, index] * outlook.call_eur_per_mwh[:, index]
        cost[columns] = -(assets.offer_eur_per_mw_h[index] + called)
        bought = 1.0 if outlook.bought is None else outlook.bought[:, index]
        upper[columns] = assets.offer_mw[index] * bought
    cost *= step_h
    cost[at.soc] = 0.0
    cost[at.peak] = outlook.peak_eur_per_mw
    lower[at.peak] = outlook.peak_mw
    return cost, lower, upper


def _battery_rows(rows: _Rows, at: _Columns, assets: Assets, outlook: Outlook, *, relaxed: bool) -> None:
    """Energy of the battery, and the power that offers keep free."""
    eta, step_h = assets.one_way_efficiency, outlook.step_h
    before = np.concatenate([[-1], at.soc[:-1]])
    start = np.zeros(len(at.soc))
    start[0] = outlook.soc_mwh
    moved = [(at.charge, -eta * step_h), (at.discharge, step_h / eta)]
    rows.add([(at.soc, 1.0), (before, -1.0), *moved], start, start)
    free = 1.0 - outlook.called if relaxed else np.ones_like(outlook.called)
    up = [(at.offers[index], free[:, index]) for index in np.flatnonzero(UP)]
    down = [(at.offers[index], free[:, index]) for index in np.flatnonzero(DOWN)]
    rows.add([*up, (at.discharge, 1.0), (at.charge, -1.0)], -np.inf, assets.battery_mw)
    rows.add([*down, (at.charge, 1.0), (at.discharge, -1.0)], -np.inf, assets.battery_mw)


def _ready_rows(rows: _Rows, at: _Columns, assets: Assets, outlook: Outlook, full_mwh: float) -> None:
    """Energy that offers keep free, at the start and at the end of their hour; the room of the connection."""
    eta, hours = assets.one_way_efficiency, len(at.soc)
    kept = [(at.offers[index], -HELD_H[index] / eta) for index in np.flatnonzero(UP)]
    taken = [(at.offers[index], HELD_H[index] * eta) for index in np.flatnonzero(DOWN)]
    least = np.full(hours, min(assets.soc_minimum_mwh, outlook.soc_mwh))
    most = np.full(hours, full_mwh)
    rows.add([(at.soc, 1.0), *kept], least, np.inf)
    rows.add([(at.soc, 1.0), *taken], -np.inf, most)
    now = np.zeros(hours)
    now[0] = outlook.soc_mwh
    before = np.concatenate([[-1], at.soc[:-1]])
    rows.add([(before, 1.0), *kept], least - now, np.inf)
    rows.add([(before, 1.0), *taken], -np.inf, most - now)
    charged = [(at.charge, 1.0), (at.discharge, -1.0)]
    rows.add(charged, -np.inf, np.maximum(outlook.room_mw, 0.0))
    if outlook.down_room_mw is not None:
        down = [(at.offers[index], 1.0) for index in np.flatnonzero(DOWN)]
        rows.add([*down, *charged], -np.inf, np.maximum(outlook.down_room_mw, 0.0))


def _heat_rows(rows: _Rows, at: _Columns, outlook: Outlook) -> None:
    """Fill stores only with heat that no other customer needs."""
    if outlook.spare_heat_mw is None or outlook.taken_fraction is None or not len(at.fill):
        return
    terms = [
        (columns[index], sign * outlook.taken_fraction[index])
        for index in range(len(at.fill))
        for columns, sign in ((at.fill, 1.0), (at.draw, -1.0))
    ]
    rows.add(terms, -np.inf, np.maximum(outlook.spare_heat_mw, 0.0))


def _hourly(outlook: Outlook) -> Array:
    """Import of every hour when nothing is moved; empty if unknown."""
    load_mw = np.zeros(0) if outlook.load_mw is None else outlook.load_mw
    return load_mw.reshape(-1, round(1 / outlook.step_h)).mean(axis=1)


def _peak_rows(rows: _Rows, at: _Columns, outlook: Outlook) -> None:
    """Keep the highest hour at or above the import of every hour."""
    count, load_mw = round(1 / outlook.step_h), _hourly(outlook)
    if not len(load_mw):
        return
    terms = [
        (columns[part::count], sign / count)
        for part in range(count)
        for columns, sign in ((at.charge, 1.0), (at.discharge, -1.0), (at.lent, -1.0))
    ]
    rows.add([*terms, (np.repeat(at.peak, len(load_mw)), -1.0)], -np.inf, -load_mw)


def _optimum(cost: Array, lower: Array, upper: Array, rows: _Rows) -> tuple[Array, float]:
    """Columns and objective of the optimum; one thread and a fresh start, so that equal input gives equal output."""
    row, column = np.concatenate(rows.row), np.concatenate(rows.column)
    order = np.lexsort((column, row))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.count))])
    solver = _Solver()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.passModel(
        len(cost), rows.count, len(row), int(highspy.MatrixFormat.kRowwise), int(highspy.ObjSense.kMinimize), 0.0,
        cost, lower, upper, np.concatenate(rows.lower), np.concatenate(rows.upper),
        starts.astype(np.int32), column[order].astype(np.int32), np.concatenate(rows.value)[order],
        np.zeros(len(cost), np.int32),
    )  # fmt: skip
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"no plan: HiGHS says {solver.modelStatusToString(solver.getModelStatus())}")
    return np.array(solver.getSolution().col_value), float(solver.getInfo().objective_function_value)
