"""The linear programme of a plan: against PyPSA, against hand-worked days, and as a bound."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvandal.energy.plan.programme import DOWN, HELD_H, UP, Assets, Outlook, solve
from kvandal.energy.plan.stores import hourly_keep, store_flows
from kvandal.scenario.supply import PRODUCTS

NONE = np.zeros(len(PRODUCTS))
COP = 3.5


def assets(battery_mw=10.0, stores=0, offers=NONE, prices=NONE, **others):
    return Assets(
        battery_mw=battery_mw,
        soc_minimum_mwh=others.get("soc_minimum_mwh", 2.0),
        soc_maximum_mwh=others.get("soc_maximum_mwh", 18.0),
        one_way_efficiency=others.get("one_way_efficiency", np.sqrt(0.88)),
        wear_eur_per_mwh=others.get("wear_eur_per_mwh", 8.0),
        store_mw=np.full(stores, 5.0),
        store_mwh=np.full(stores, 30.0),
        store_keeps=np.full(stores, hourly_keep(0.02)),
        offer_mw=offers,
        offer_eur_per_mw_h=prices,
    )


def outlook(price, stores=0, **others):
    hours = len(price)
    heat_eur = np.repeat(np.asarray(price, float)[:, None] / COP, stores, axis=1)
    return Outlook(
        price_eur_per_mwh=np.asarray(price, float),
        fill_eur_per_mwh=heat_eur,
        draw_eur_per_mwh=heat_eur,
        room_mw=others.get("room_mw", np.full(hours, 1000.0)),
        lent_mw=others.get("lent_mw", np.zeros(hours)),
        lent_eur_per_mwh=np.full(hours, others.get("lent_eur_per_mwh", 500.0)),
        heat_mw=others.get("heat_mw", np.full((hours, stores), 4.0)),
        soc_mwh=others.get("soc_mwh", 10.0),
        store_mwh=np.full(stores, 3.0),
        down_room_mw=others.get("down_room_mw"),
        bought=others.get("bought"),
        spare_heat_mw=others.get("spare_heat_mw"),
        taken_fraction=np.full(stores, 1 - 1 / COP),
        step_h=others.get("step_h", 1.0),
        load_mw=others.get("load_mw"),
        peak_mw=others.get("peak_mw", 0.0),
        peak_eur_per_mw=others.get("peak_eur_per_mw", 0.0),
        called=others.get("called", np.zeros((hours, len(PRODUCTS)))),
        call_eur_per_mwh=others.get("call_eur_per_mwh", np.zeros((hours, len(PRODUCTS)))),
    )


def by_pypsa(mine, theirs):
    """The same system in PyPSA: what its optimum saves against doing nothing [EUR].

    The battery hangs behind links that carry no more than the room of the connection; lent work that gives way is a generator;
    offers, which PyPSA does not know, are variables of its model beside its own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pypsa

        hours, price = len(theirs.price_eur_per_mwh), theirs.price_eur_per_mwh
        net = pypsa.Network()
        net.set_snapshots(range(hours))
        for bus in ("site", "terminals", "battery"):
            net.add("Bus", bus)
        net.add("Generator", "grid", bus="site", p_nom=1e4, marginal_cost=price)
        net.add("Load", "load", bus="site", p_set=100.0)
        net.add(
            "Generator", "lent", bus="site", p_nom=100.0, p_max_pu=theirs.lent_mw / 100.0, marginal_cost=theirs.lent_eur_per_mwh,
        )  # fmt: skip
        room = np.maximum(theirs.room_mw, 0.0)
        net.add("Link", "in", bus0="site", bus1="terminals", p_nom=1e3, p_max_pu=room / 1e3)
        net.add("Link", "out", bus0="terminals", bus1="site", p_nom=1e3)
        eta, power = mine.one_way_efficiency, mine.battery_mw
        net.add("Link", "charge", bus0="terminals", bus1="battery", p_nom=power, efficiency=eta)
        net.add(
            "Link", "discharge", bus0="battery", bus1="terminals", p_nom=power / eta, efficiency=eta,
            marginal_cost=mine.wear_eur_per_mwh * eta,
        )  # fmt: skip
        floor, full, now = mine.soc_minimum_mwh, mine.soc_maximum_mwh, theirs.soc_mwh
        least = np.full(hours, min(floor, now))
        least[[min(23, hours - 1), -1]] = floor, max(floor, now)  # the floor is back within a day
        net.add("Store", "cells", bus="battery", e_nom=full, e_initial=now, e_min_pu=least / full)
        for index in range(len(mine.store_mw)):
            _add_store(net, index, mine, theirs)
        model = net.optimize.create_model(include_objective_constant=False)
        _add_offers(model, mine, theirs)
        net.optimize.solve_model(solver_name="highs", log_to_console=False)
        idle = price.sum() * 100.0 + (price[:, None] * theirs.heat_mw / COP).sum()
        return float(idle) - float(net.objective)


def _add_store(net, index, mine, theirs):
    """Add a heat customer with its pump and its store."""
    heat, tank = f"heat-{index}", f"tank-{index}"
    net.add("Bus", heat)
    net.add("Bus", tank)
    net.add("Link", f"pump-{index}", bus0="site", bus1=heat, p_nom=1e3, efficiency=COP)
    net.add("Load", heat, bus=heat, p_set=theirs.heat_mw[:, index])
    net.add("Link", f"fill-{index}", bus0=heat, bus1=tank, p_nom=mine.store_mw[index])
    net.add("Link", f"draw-{index}", bus0=tank, bus1=heat, p_nom=mine.store_mw[index])
    keeps = mine.store_keeps[index]  # PyPSA lets the first hour lose nothing
    net.add(
        "Store", tank, bus=tank, e_nom=mine.store_mwh[index],
        e_initial=keeps * theirs.store_mwh[index], standing_loss=1 - keeps,
    )  # fmt: skip


def _add_offers(model, mine, theirs):
    """Add offers to PyPSA's model: each takes power, holds energy from the start to the end of its hour, and needs room."""
    hours, eta = len(theirs.price_eur_per_mwh), mine.one_way_efficiency
    flows, cells = model["Link-p"], model["Store-e"].sel(name="cells")
    given = eta * flows.sel(name="discharge") - flows.sel(name="charge")
    bought = np.ones((hours, len(PRODUCTS))) if theirs.bought is None else theirs.bought
    earned = mine.offer_eur_per_mw_h + theirs.called * theirs.call_eur_per_mwh
    offers = {}
    for index, name in enumerate(PRODUCTS):
        most = mine.offer_mw[index] * bought[:, index]
        offers[name] = model.add_variables(0.0, most, coords=[model.variables["Link-p"].indexes["snapshot"]])
        model.objective = model.objective.expression - (offers[name] * earned[:, index]).sum()
    down = offers.pop("fcr_d_down")
    up = sum(1.0 * one for one in offers.values())
    held_h = {"ffr": 0.02, "fcr_d_up": 1 / 3, "afrr_up": 1.0, "mfrr_up": 1.0}
    kept = sum(held_h[name] / eta * one for name, one in offers.items())
    taken = eta / 3 * down
    model.add_constraints(up + given <= mine.battery_mw)
    model.add_constraints(down - given <= mine.battery_mw)
    if theirs.down_room_mw is not None:
        model.add_constraints(down - given <= np.maximum(theirs.down_room_mw, 0.0))
    least, full = min(mine.soc_minimum_mwh, theirs.soc_mwh), mine.soc_maximum_mwh
    before, now = (
        cells.shift(snapshot=1),
        np.zeros(hours),
    )  # nothing before the first hour but what there is now
    now[0] = theirs.soc_mwh
    model.add_constraints(kept - cells <= -least)
    model.add_constraints(kept - before <= now - least)
    model.add_constraints(taken + cells <= full)
    model.add_constraints(taken + before <= full - now)


@pytest.mark.parametrize("stores", [0, 2])
def test_pypsa_finds_the_same_optimum(stores):
    """Battery and heat stores against prices of two days: the same saving in an independent model."""
    price = np.random.default_rng(7).lognormal(3.0, 0.8, 48)
    price[10:13] = -5.0
    mine, theirs = assets(stores=stores), outlook(price, stores=stores)
    assert solve(mine, theirs).earned_eur == pytest.approx(by_pypsa(mine, theirs), rel=1e-6)


@pytest.mark.parametrize("soc_mwh", [1.0, 9.0])
def test_pypsa_finds_the_same_optimum_of_all_that_a_plan_moves(soc_mwh):
    """With lent work, little room, an empty battery that owes its floor, and every reserve: the same saving, and all of it in use."""
    random = np.random.default_rng(11)
    price = random.lognormal(3.0, 0.8, 48)
    price[:24] *= 4.0  # what the battery lacks would be cheaper a day later
    mine = assets(
        stores=1, soc_minimum_mwh=6.0, soc_maximum_mwh=9.5, offers=np.array([3.0, 4.0, 6.0, 3.0, 3.0]), prices=np.array([9.0, 6.0, 6.0, 15.0, 14.0]),
    )  # fmt: skip
    theirs = outlook(
        price,
        stores=1,
        soc_mwh=soc_mwh,
        room_mw=random.uniform(-2.0, 4.0, 48),
        down_room_mw=random.uniform(-1.0, 8.0, 48),
        lent_mw=random.uniform(0.0, 4.0, 48),
        lent_eur_per_mwh=40.0,
        bought=random.uniform(size=(48, len(PRODUCTS))) < 0.7,
        called=random.uniform(0.0, 0.3, (48, len(PRODUCTS))),
        call_eur_per_mwh=price[:, None] * np.array([0.0, 0.0, 0.0, 0.25, 0.5]),
    )
    found = solve(mine, theirs)
    assert found.earned_eur == pytest.approx(by_pypsa(mine, theirs), rel=1e-6)
    assert (found.offered_mw.max(axis=0) > 0.5).all()
    assert (found.offered_mw[~theirs.bought] <= 1e-9).all()
    charged = found.charge_mw - found.discharge_mw
    full = np.maximum(theirs.room_mw, 0.0) - charged < 1e-6
    tight = np.maximum(theirs.down_room_mw, 0.0) - charged - found.offered_mw @ (1.0 * DOWN) < 1e-6
    assert (full & (charged > 0.1)).any()
    assert (tight & (found.offered_mw @ (1.0 * DOWN) > 0.1)).any()
    assert found.lent_mw.max() > 1.0
    assert found.fill_mw.max() > 1.0
    assert found.soc_mwh[23] >= 6.0 - 1e-6


def test_a_day_by_hand():
    """One cheap and one dear hour, no losses, no wear: what fits between the limits is bought in one and sold in the other."""
    found = solve(
        assets(one_way_efficiency=1.0, wear_eur_per_mwh=0.0), outlook([10.0, 50.0, 10.0], soc_mwh=10.0)
    )
    assert found.discharge_mw.round(6).tolist() == [0.0, 10.0, 0.0]  # its power
    assert found.charge_mw.sum() == pytest.approx(10.0)  # as full at the end as at the start
    assert found.charge_mw[0] >= 2.0 - 1e-9  # 10 MWh are in it, 2 must stay
    assert found.earned_eur == pytest.approx(10 * 50 - 10 * 10)


def test_wear_and_losses_must_be_earned():
    """A spread smaller than losses and wear moves nothing."""
    found = solve(assets(), outlook([20.0, 27.0]))
    assert found.charge_mw.max() == pytest.approx(0.0, abs=1e-9)
    assert found.earned_eur == pytest.approx(0.0, abs=1e-9)


def test_lent_work_is_shifted_only_above_its_price():
    """Caps on lent work pay in the hour whose price is above what its GPU-hours are worth."""
    found = solve(assets(battery_mw=0.0), outlook([499.0, 501.0], lent_mw=np.full(2, 3.0)))
    assert found.lent_mw.round(6).tolist() == [0.0, 3.0]
    assert found.earned_eur == pytest.approx(3.0)


def test_offers_keep_power_and_energy_free():
    """FFR and aFRR share 10 MW of power; aFRR needs an hour of energy above the floor, FFR next to none."""
    offers = np.array([20.0, 0.0, 0.0, 20.0, 0.0])
    found = solve(
        assets(offers=offers, prices=np.array([15.0, 0.0, 0.0, 20.0, 0.0]), one_way_efficiency=1.0),
        outlook([30.0, 30.0], soc_mwh=6.0),
    )
    ffr, afrr = found.offered_mw[:, PRODUCTS.index("ffr")], found.offered_mw[:, PRODUCTS.index("afrr_up")]
    assert (ffr + afrr - found.charge_mw + found.discharge_mw <= 10 + 1e-9).all()
    assert (found.soc_mwh >= 2.0 + 0.02 * ffr + 1.0 * afrr - 1e-9).all()


def test_room_of_the_connection_is_kept():
    """Nothing is charged where the connection has no room, and a plan exists even where the load is above it."""
    found = solve(assets(), outlook([1.0, 100.0], room_mw=np.array([3.0, -5.0])))
    assert found.charge_mw[0] <= 3.0 + 1e-9
    assert (found.charge_mw - found.discharge_mw)[1] <= 1e-9


def test_pumps_neither_take_nor_make_room():
    """They have a meter of their own: a full store in use leaves the battery no more room than there is."""
    theirs = outlook([1.0, 100.0, 100.0], stores=1, room_mw=np.zeros(3))
    found = solve(assets(stores=1), theirs)
    assert found.draw_mw.max() > 1.0
    assert found.charge_mw.max() <= 1e-9
    assert found.fill_mw[0, 0] > 1.0


def test_stores_take_only_heat_that_nobody_needs():
    """Of 1 MW of warm water that is left, a store with a pump takes 1.4 MW of heat; of none, none."""
    for spare_mw in (1.0, -2.0):
        theirs = outlook([1.0, 100.0, 100.0], stores=1, spare_heat_mw=np.full(3, spare_mw))
        filled = solve(assets(stores=1), theirs).fill_mw[0, 0]
        assert filled == pytest.approx(max(spare_mw, 0.0) / (1 - 1 / COP), abs=1e-6)


def test_a_battery_does_not_burn_energy_at_negative_prices():
    """At -200 EUR/MWh losses would pay for wear: it charges, or discharges, never both."""
    found = solve(assets(wear_eur_per_mwh=1.0), outlook(np.full(24, -200.0)))
    assert np.minimum(found.charge_mw, found.discharge_mw).max() <= 1e-6
    relaxed = solve(assets(wear_eur_per_mwh=1.0), outlook(np.full(24, -200.0)), relaxed=True)
    assert found.earned_eur <= relaxed.earned_eur + 1e-6


def test_what_the_battery_lacks_of_its_floor_is_back_within_a_day():
    """As far as there is room: 12 MWh, or what a day at 0.1 MW brings."""
    price = np.linspace(50, 10, 48)  # charging later would be cheaper
    low = solve(assets(soc_minimum_mwh=12.0), outlook(price, soc_mwh=3.0))
    assert low.soc_mwh[23] == pytest.approx(12.0, abs=1e-4)
    tight = outlook(price, soc_mwh=3.0, room_mw=np.full(48, 0.1))
    reached = 3.0 + 24 * 0.1 * np.sqrt(0.88)
    assert solve(assets(soc_minimum_mwh=12.0), tight).soc_mwh[23] == pytest.approx(reached, abs=1e-4)


def test_offers_find_their_energy_at_the_start_of_the_hour_too():
    """From the floor on, nothing can be offered in the first hour: what is charged in it comes too late for a call at once."""
    offers, prices = np.array([0.0, 0.0, 0.0, 5.0, 0.0]), np.array([0.0, 0.0, 0.0, 90.0, 0.0])
    found = solve(assets(offers=offers, prices=prices), outlook(np.full(3, 20.0), soc_mwh=2.0))
    afrr = found.offered_mw[:, PRODUCTS.index("afrr_up")]
    assert afrr[0] == pytest.approx(0.0, abs=1e-6)
    assert afrr[1:].min() > 4.9


def test_the_bound_pays_for_the_highest_hour():
    """By hand: 10 MWh shaved off a peak of 30 over 20 at 7 EUR/MW, at no cost of energy."""
    theirs = outlook(
        np.zeros(3),
        load_mw=np.array([20.0, 30.0, 20.0]),
        peak_eur_per_mw=7.0,
        soc_mwh=12.0,
        room_mw=np.zeros(3),
    )
    free = assets(one_way_efficiency=1.0, wear_eur_per_mwh=0.0)
    assert solve(free, theirs, relaxed=True).earned_eur == pytest.approx(10 * 7.0)
    later = outlook(np.zeros(3), load_mw=np.array([20.0, 30.0, 20.0]), peak_eur_per_mw=7.0, peak_mw=28.0)
    assert solve(free, later, relaxed=True).earned_eur == pytest.approx(2 * 7.0)


def test_quarters_of_an_hour_with_one_price_are_an_hour():
    """The same optimum, by hours and by quarters; a price that moves within the hour earns more."""
    price = np.random.default_rng(3).lognormal(3.0, 0.8, 24)
    load = np.linspace(20, 30, 24)
    by_hour = outlook(price, load_mw=load, peak_eur_per_mw=5.0)
    quarters = np.repeat(price, 4)
    by_quarter = outlook(quarters, load_mw=np.repeat(load, 4), peak_eur_per_mw=5.0, step_h=0.25)
    hourly = solve(assets(), by_hour, relaxed=True).earned_eur
    assert solve(assets(), by_quarter, relaxed=True).earned_eur == pytest.approx(hourly)
    moving = outlook(quarters + np.tile([-30, 30, -30, 30], 24), load_mw=np.repeat(load, 4), step_h=0.25)
    assert solve(assets(), moving, relaxed=True).earned_eur > hourly


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_plans_keep_their_limits_and_never_beat_the_bound(data):
    """Any outlook: energies and powers within limits, never a loss against doing nothing, never above the relaxed bound."""
    hours = data.draw(st.integers(2, 30))
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    price = random.normal(30, 40, hours)
    offers, prices = random.uniform(0, 12, len(PRODUCTS)), random.uniform(0, 20, len(PRODUCTS))
    stores = data.draw(st.integers(0, 2))
    mine = assets(stores=stores, offers=offers, prices=prices)
    called = random.uniform(0, 0.5, (hours, len(PRODUCTS)))
    theirs = outlook(
        price, stores=stores, soc_mwh=data.draw(st.floats(0.0, 20.0)), room_mw=random.uniform(-5, 20, hours),
        called=called, call_eur_per_mwh=np.maximum(price, 0.0)[:, None] * np.ones(len(PRODUCTS)),
    )  # fmt: skip
    found = solve(mine, theirs)
    up, down = found.offered_mw[:, UP].sum(axis=1), found.offered_mw[:, DOWN].sum(axis=1)
    net = found.discharge_mw - found.charge_mw
    assert (up + net <= mine.battery_mw + 1e-6).all()
    assert (down - net <= mine.battery_mw + 1e-6).all()
    before = np.concatenate([[theirs.soc_mwh], found.soc_mwh[:-1]])
    moved = mine.one_way_efficiency * found.charge_mw - found.discharge_mw / mine.one_way_efficiency
    assert found.soc_mwh == pytest.approx(before + moved, abs=1e-6)
    held = found.offered_mw @ (HELD_H * UP) / mine.one_way_efficiency
    assert (found.soc_mwh - held >= min(2.0, theirs.soc_mwh) - 1e-6).all()
    assert found.earned_eur >= -1e-6 or theirs.soc_mwh < 2.0  # to restore the floor costs
    assert np.minimum(found.charge_mw, found.discharge_mw).max() <= 1e-5
    assert found.earned_eur <= solve(mine, theirs, relaxed=True).earned_eur + 1e-6


@given(
    st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=1, max_size=30), st.floats(0, 20), st.floats(0.5, 1)
)
def test_a_store_never_gives_more_than_it_took(rows, capacity_mwh, keeps):
    """What comes out and what is left is at most what went in; the customer gets at most what it wants through the store."""
    wanted, piped, draw = (np.array(column) for column in zip(*rows, strict=True))
    start_mwh = capacity_mwh / 2
    into, out, level = store_flows(start_mwh, wanted, piped, draw, capacity_mwh, keeps)
    assert (level >= -1e-9).all()
    assert (level <= capacity_mwh + 1e-9).all()
    assert out.sum() + level[-1] <= start_mwh + into.sum() + 1e-6
    assert (piped - into + out <= np.maximum(wanted, piped) + 1e-9).all()
    assert (out <= draw + 1e-9).all()
