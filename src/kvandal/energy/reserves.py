"""Reserves that a site sells: how each is activated, and what readiness and activation earn.

The rules are those of the Nordic products: FFR and FCR-D answer the frequency within seconds, aFRR follows a signal within five
minutes, mFRR is called for quarters of an hour. What a call takes of energy is the integral of these rules. When calls come is
drawn: no open record of activations is shipped, so they are synthetic and say so.

References
----------
R44: Fingrid, fast frequency reserve, developers.fingrid.fi/FFR/business_context.
R45: Fingrid, fingrid.fi/en/electricity-market/reserves_and_balancing/frequency-containment-reserves/ (legacy FCR-D: half in 5 s, all in 30 s).
R46: Fingrid, fingrid.fi/en/electricity-market/reserves_and_balancing/automatic-frequency-restoration-reserve/.
R47: Statnett, prequalification for mFRR and mFRR-D (bids of 15 min; the 12.5 min to full activation are still to be verified).

"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from kvandal.randomness import stream
from kvandal.scenario.parameters import value
from kvandal.scenario.supply import PRODUCTS, Supply

Array = Any
FFR_TRIGGER_HZ, FFR_FULL_S = value("grid.ffr_freq_hz"), value("grid.ffr_time_s")
FFR_OPTIONS = {FFR_TRIGGER_HZ: FFR_FULL_S, 49.6: 1.0, 49.5: 0.7}
"""Trigger [Hz] and time to full activation [s] (R44); the first is the one that calls are drawn for."""
PRICE_KEYS = {
    "ffr": "supply.ffr_price",
    "fcr_d_up": "supply.fcr_d_price",
    "fcr_d_down": "supply.fcr_d_price",
    "afrr_up": "supply.afrr_price",
    "mfrr_up": "supply.mfrr_price",
}
FFR_HOLD_S, FFR_READY_S = 30.0, 900.0
"""The longer of the two ways to support (5 s with a slow release, or 30 s), and the time until FFR must be ready again (R44)."""
FCR_D_DEADBAND_HZ, FCR_D_FULL_HZ = 0.1, 0.5
FCR_D_HALF_S, FCR_D_FULL_S = 5.0, 30.0
AFRR_FULL_S, MFRR_FULL_S = value("grid.afrr_fat_s"), value("grid.mfrr_fat_s")
QUARTER_S, HOUR_S = 900.0, 3600.0
EXCURSION_S, EXCURSION_HZ = 45.0, 0.03
"""Mean length of an excursion of the frequency, and its mean depth beyond the dead band; judgement."""
GRID_S = 0.05
"""Step of the integral of a rule."""
ACTIVATION_PREMIUM = {"ffr": 0.0, "fcr_d_up": 0.0, "fcr_d_down": 0.0, "afrr_up": 0.25, "mfrr_up": 0.5}
"""Price of activated energy over spot; judgement. Energy of FFR and FCR-D is too little to be paid."""
PAID = np.array([name in ("afrr_up", "mfrr_up") for name in PRODUCTS])
"""Products whose activated energy is paid."""


def ffr_fraction(seconds: Array, trigger_hz: float = FFR_TRIGGER_HZ) -> Array:
    """Part of FFR that must be active so long after the trigger [s]: all of it from the option's time, for 30 s (R44).

    >>> ffr_fraction(np.array([1.0, 1.3, 31.2, 31.4])).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    full_s = FFR_OPTIONS[trigger_hz]
    active: Array = np.where((seconds >= full_s) & (seconds <= full_s + FFR_HOLD_S), 1.0, 0.0)
    return active


def fcr_d_fraction(frequency_hz: Array) -> Array:
    """Part of FCR-D that a steady frequency asks for: 0 within 0.1 Hz of 50 Hz, all at 0.5 Hz, linear between (R45).

    Above 0: up (consume less); below 0: down (consume more).

    >>> fcr_d_fraction(np.array([50.0, 49.9, 49.7, 49.4, 50.3])).round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, -0.5]
    """
    off = 50.0 - np.asarray(frequency_hz)
    beyond = (np.abs(off) - FCR_D_DEADBAND_HZ) / (FCR_D_FULL_HZ - FCR_D_DEADBAND_HZ)
    asked: Array = np.sign(off) * np.clip(beyond, 0.0, 1.0) + 0.0
    return asked


def fcr_d_delivered(seconds: Array) -> Array:
    """Least part of what is asked that must be delivered after a step [s]: half after 5 s, all after 30 s, linear (R45).

    >>> fcr_d_delivered(np.array([0.0, 5.0, 30.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    least: Array = np.interp(seconds, [0.0, FCR_D_HALF_S, FCR_D_FULL_S], [0.0, 0.5, 1.0])
    return least


def ramped(asked: Array, seconds: Array, full_s: float) -> Array:
    """Part that is active so long after a call for `asked` of it: a straight ramp within the full activation time.

    aFRR has 5 minutes (R46), mFRR 12.5 (R47, to be verified).

    >>> ramped(1.0, np.array([0.0, 150.0, 300.0, 400.0]), AFRR_FULL_S).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    active: Array = asked * np.clip(np.asarray(seconds) / full_s, 0.0, 1.0)
    return active


def held_s(active: Callable[[Array], Array], lengths_s: Array) -> Array:
    """Seconds of full power in a call of each length: the integral of a rule from the call on [s].

    >>> held_s(lambda seconds: ramped(1.0, seconds, AFRR_FULL_S), np.array([300.0, 3600.0])).round(3).tolist()
    [150.0, 3450.0]
    """
    lengths = np.asarray(lengths_s, np.float64)
    ends = np.arange(0.0, float(lengths.max(initial=0.0)) + 2 * GRID_S, GRID_S)
    middles = active((ends[:-1] + ends[1:]) / 2)
    held: Array = np.interp(lengths, ends, np.concatenate([[0.0], np.cumsum(middles) * GRID_S]))
    return held


def ready_events(times_s: Array) -> Array:
    """Events of FFR that count: none within 15 minutes of one that counted, when it need not be ready again (R44).

    >>> ready_events(np.array([0.0, 600.0, 901.0, 1700.0])).tolist()
    [0.0, 901.0]
    """
    counted: list[float] = []
    for time_s in times_s:
        if not counted or time_s - counted[-1] >= FFR_READY_S:
            counted.append(float(time_s))
    return np.array(counted)


def called_hours(supply: Supply, hours: int, seed: int) -> Array:
    """Activated energy per MW offered, float64 (hours, products) [MWh/MW]; drawn day by day, so that a shorter run sees the same.

    FFR: Poisson events, each held for 30 s; of two within 15 minutes one counts. FCR-D: Poisson excursions of exponential length
    and depth, each side. aFRR: the signal of an hour is exponential with the asked mean and reached by a ramp from the hour
    before. mFRR: each quarter of an hour is called with the asked probability; the first of a row begins with a ramp.
    """
    days = -(-hours // 24)
    columns = [
        _ffr_hours(supply, days, seed),
        _fcr_d_hours(supply, days, seed, "up"),
        _fcr_d_hours(supply, days, seed, "down"),
        _afrr_hours(supply, days, seed),
        _mfrr_hours(supply, days, seed),
    ]
    called: Array = np.stack(columns, axis=1)[:hours]
    return called


def _ffr_hours(supply: Supply, days: int, seed: int) -> Array:
    times = []
    for day in range(days):
        random = stream(seed, "reserves", "ffr", day)
        count = random.poisson(supply.ffr_events_per_year / 365)
        times.append(day * 24 * HOUR_S + np.sort(random.random(count)) * 24 * HOUR_S)
    events = ready_events(np.concatenate([np.zeros(0), *times]))
    each_s = held_s(ffr_fraction, np.array([FFR_FULL_S + FFR_HOLD_S + 1.0]))[0]
    return np.bincount((events // HOUR_S).astype(np.int64), minlength=days * 24) * each_s / HOUR_S


def _fcr_d_hours(supply: Supply, days: int, seed: int, side: str) -> Array:
    energy = np.zeros(days * 24)
    sign = -1.0 if side == "up" else 1.0
    for day in range(days):
        random = stream(seed, "reserves", f"fcr-d {side}", day)
        counts = random.poisson(supply.fcr_excursions_per_h, 24)
        lengths_s = random.exponential(EXCURSION_S, counts.sum())
        beyond_hz = random.exponential(EXCURSION_HZ, counts.sum())
        asked = np.abs(fcr_d_fraction(50.0 + sign * (FCR_D_DEADBAND_HZ + beyond_hz)))
        each_h = asked * held_s(fcr_d_delivered, lengths_s) / HOUR_S
        energy[day * 24 : day * 24 + 24] = np.bincount(np.repeat(np.arange(24), counts), each_h, 24)
    return energy


def _afrr_hours(supply: Supply, days: int, seed: int) -> Array:
    mean = max(supply.afrr_active_fraction, 1e-12)
    signals = [stream(seed, "reserves", "afrr", day).exponential(mean, 24) for day in range(days)]
    signal = np.minimum(1.0, np.concatenate([np.zeros(1), *signals]))
    reached = float(held_s(lambda seconds: ramped(1.0, seconds, AFRR_FULL_S), np.array([HOUR_S]))[0]) / HOUR_S
    energy: Array = signal[:-1] + np.diff(signal) * reached
    return energy


def _mfrr_hours(supply: Supply, days: int, seed: int) -> Array:
    drawn = [stream(seed, "reserves", "mfrr", day).random(96) for day in range(days)]
    called = np.concatenate([np.ones(1), *drawn]) < supply.mfrr_active_fraction
    first_s, full_s = (
        held_s(lambda seconds: ramped(1.0, seconds, MFRR_FULL_S), np.array([QUARTER_S]))[0],
        QUARTER_S,
    )
    held = np.where(called[1:], np.where(called[:-1], full_s, first_s), 0.0)
    energy: Array = held.reshape(-1, 4).sum(axis=1) / HOUR_S
    return energy


def activation_eur_per_mwh(spot_eur_per_mwh: Array) -> Array:
    """Income from a MWh activated beside its spot value, float64 (hours, products) [EUR/MWh].

    Activated energy of aFRR and mFRR is settled at spot plus a premium (at the premium over nothing where spot is below 0). Its spot
    value is in the bill already: what the battery gives, the site does not buy. So only the difference is income.
    """
    spot = np.asarray(spot_eur_per_mwh)[:, None]
    premium = np.array([ACTIVATION_PREMIUM[name] for name in PRODUCTS])
    beyond: Array = (np.maximum(spot, 0.0) * (1 + premium) - spot) * PAID
    return beyond


def bought_hours(supply: Supply, start_utc: datetime, hours: int, time_zone: str) -> Array:
    """Whether the system operator buys each product, bool (hours, products); months are those of the site's clock."""
    bought, zone = np.ones((hours, len(PRODUCTS)), bool), ZoneInfo(time_zone)
    month = np.array([(start_utc + timedelta(hours=hour)).astimezone(zone).month for hour in range(hours)])
    for name, one in supply.reserves.items():
        if one.months:
            bought[:, PRODUCTS.index(name)] = np.isin(month, one.months)
    return bought


def offered_prices(supply: Supply) -> Array:
    """Price of an hour of readiness of every product, 0 where it is not sold, float64 (products,) [EUR/MW/h]."""
    prices = np.zeros(len(PRODUCTS))
    for index, name in enumerate(PRODUCTS):
        if name in supply.reserves:
            given = supply.reserves[name].eur_per_mw_h
            prices[index] = value(PRICE_KEYS[name]) if given is None else given
    return prices
