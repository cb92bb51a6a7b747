"""Reserves that a site sells: how each is activated, and what readiness and activation earn.

The rules are those of the Nordic products (sources in docs/energy.md): FFR and FCR-D answer the frequency within seconds,
aFRR follows a signal within five minutes, mFRR is called for quarters of an hour. When they are called is drawn: no open
record of activations is shipped, so the series is synthetic and says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.randomness import stream
from kvandal.scenario.parameters import value
from kvandal.scenario.supply import PRODUCTS, Supply

Array = Any
FFR_OPTIONS = {49.7: 1.3, 49.6: 1.0, 49.5: 0.7}
"""Trigger [Hz] and time to full activation [s]."""
PRICE_KEYS = {
    "ffr": "supply.ffr_price",
    "fcr_d_up": "supply.fcr_d_price",
    "fcr_d_down": "supply.fcr_d_price",
    "afrr_up": "supply.afrr_price",
    "mfrr_up": "supply.mfrr_price",
}
FFR_HOLD_S = 30.0
FCR_D_DEADBAND_HZ, FCR_D_FULL_HZ = 0.1, 0.5
FCR_D_HALF_S, FCR_D_FULL_S = 5.0, 30.0
AFRR_FULL_S, MFRR_FULL_S = 300.0, 750.0
ACTIVATION_PREMIUM = {"ffr": 0.0, "fcr_d_up": 0.0, "fcr_d_down": 0.0, "afrr_up": 0.25, "mfrr_up": 0.5}
"""Price of activated energy over spot; judgement. Energy of FFR and FCR-D is too little to be paid."""


def ffr_fraction(seconds: Array, trigger_hz: float = 49.7) -> Array:
    """Part of FFR that must be active so long after the trigger [s]: all of it from the option's time, for 30 s.

    >>> ffr_fraction(np.array([1.0, 1.3, 31.2, 31.4])).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    full_s = FFR_OPTIONS[trigger_hz]
    active: Array = np.where((seconds >= full_s) & (seconds <= full_s + FFR_HOLD_S), 1.0, 0.0)
    return active


def fcr_d_fraction(frequency_hz: Array) -> Array:
    """Part of FCR-D that a steady frequency asks for: 0 within 0.1 Hz of 50 Hz, all at 0.5 Hz, linear between.

    Above 0: up (consume less); below 0: down (consume more).

    >>> fcr_d_fraction(np.array([50.0, 49.9, 49.7, 49.4, 50.3])).round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, -0.5]
    """
    off = 50.0 - np.asarray(frequency_hz)
    beyond = (np.abs(off) - FCR_D_DEADBAND_HZ) / (FCR_D_FULL_HZ - FCR_D_DEADBAND_HZ)
    asked: Array = np.sign(off) * np.clip(beyond, 0.0, 1.0) + 0.0
    return asked


def fcr_d_delivered(seconds: Array) -> Array:
    """Least part of what is asked that must be delivered after a step [s]: half after 5 s, all after 30 s, linear.

    >>> fcr_d_delivered(np.array([0.0, 5.0, 30.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    least: Array = np.interp(seconds, [0.0, FCR_D_HALF_S, FCR_D_FULL_S], [0.0, 0.5, 1.0])
    return least


def ramped(asked: Array, seconds: Array, full_s: float) -> Array:
    """Part that is active so long after a call for `asked` of it: a straight ramp within the full activation time.

    >>> ramped(1.0, np.array([0.0, 150.0, 300.0, 400.0]), AFRR_FULL_S).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    active: Array = asked * np.clip(np.asarray(seconds) / full_s, 0.0, 1.0)
    return active


def called_hours(supply: Supply, hours: int, seed: int) -> Array:
    """Activated energy per MW offered, float64 (hours, products) [MWh/MW]; drawn day by day, so that a shorter run sees the same.

    FFR: Poisson events of 30 s. FCR-D: Poisson excursions of exponential length (mean 45 s) and depth (mean 0.03 Hz beyond
    the dead band), each side. aFRR: an hour's signal is exponential with the asked mean. mFRR: each quarter of an hour is called
    with the asked probability, for its length less half of the ramp.
    """
    called = np.zeros((hours, len(PRODUCTS)))
    for day in range(-(-hours // 24)):
        random = stream(seed, "reserves", "calls", day)
        ffr = random.poisson(supply.ffr_events_per_year / 8760, 24) * FFR_HOLD_S / 3600
        sides = []
        for _ in range(2):
            counts = random.poisson(supply.fcr_excursions_per_h, 24)
            hour_of = np.repeat(np.arange(24), counts)
            energy = random.exponential(45.0, len(hour_of)) / 3600
            energy *= np.clip(
                random.exponential(0.03, len(hour_of)) / (FCR_D_FULL_HZ - FCR_D_DEADBAND_HZ), 0, 1
            )
            sides.append(np.bincount(hour_of, energy, 24))
        signal = np.minimum(1.0, random.exponential(max(supply.afrr_active_fraction, 1e-12), 24))
        quarters = random.random((24, 4)) < supply.mfrr_active_fraction
        mfrr = quarters.sum(axis=1) * (900 - MFRR_FULL_S / 2) / 3600
        columns = np.stack([ffr, *sides, signal, mfrr], axis=1)
        part = columns[: hours - day * 24]
        called[day * 24 : day * 24 + len(part)] = part
    return called


def offered_prices(supply: Supply) -> Array:
    """Price of an hour of readiness of every product, 0 where it is not sold, float64 (products,) [EUR/MW/h]."""
    prices = np.zeros(len(PRODUCTS))
    for index, name in enumerate(PRODUCTS):
        if name in supply.reserves:
            given = supply.reserves[name].eur_per_mw_h
            prices[index] = value(PRICE_KEYS[name]) if given is None else given
    return prices
