"""Random interruptions, drawn before the run so that nothing else changes them.

A failure interrupts the jobs that it meets. Its cause says what else it does: a *tray* breaks and is repaired, faults of
*host* and *network* break nothing, a *rack* is out of service as a whole until its NVLink switches are repaired. All four
together have the published rate by GPU-hours: correlation moves failures, it adds none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kvandal.randomness import stream
from kvandal.scenario.plant import Reliability
from kvandal.twin.reliability_state import CAUSE_HOST, CAUSE_NETWORK, CAUSE_RACK, FAILURE

Array = Any

DAY_S = 86_400
GPUS_PER_TRAY = 4
TRAYS_PER_RACK = 18
FOLLOW_MEANS = 10
"""Failures are drawn from so many mean delays before the run, so that followers of earlier ones are not missing."""


def failure_table(*rows: tuple[int, ...]) -> Array:
    """Return failures from (time_s, gpu) or (time_s, gpu, cause) or (time_s, gpu, cause, repair_s), in order of time.

    Without a time for the repair it takes the mean time of its kind.
    """
    table = np.zeros(len(rows), FAILURE)
    for record, row in zip(table, rows, strict=True):
        for name, value in zip(("time_s", "gpu", "cause", "repair_s"), row, strict=False):
            record[name] = value
    return table


def lemon_trays(seed: int, trays: int, share: float) -> Array:
    """Trays that fail far more often than the others: bool (trays,), the same in every run of a site and seed."""
    return stream(seed, "failures", "lemons").random(trays) < share


def draw_failures(seed: int, days: int, gpus: int, reliability: Reliability) -> Array:
    """Draw interruptions day by day, so that a shorter run sees the same ones.

    Faults of hosts, networks and racks are Poisson processes, each with its share of the rate. Failures of trays are a
    self-exciting process (A. G. Hawkes, "Spectra of some self-exciting and mutually exciting point processes", Biometrika
    58, 1971): each is followed with probability :math:`p` by one beside it after an exponential delay, so that first
    failures come at :math:`1 - p` of the rate and all of them at the rate. Lemon trays draw more than their part of the
    failures and leave the others less. Repair times are log-normal about their mean.

    Parameters
    ----------
    seed : seed of the run
    days : length of the run [days]
    gpus : GPUs of the finished site; failures of GPUs not yet delivered are ignored by the loop
    reliability : rates, shares, correlation and repair times

    Returns
    -------
    FAILURE table, in order of time.

    """
    rate_per_day = gpus * 24 / reliability.gpu_h_per_interruption
    network, host, rack = (
        reliability.network_fault_share,
        reliability.host_fault_share,
        reliability.rack_fault_share,
    )
    drawn = [np.zeros(0, FAILURE)]
    for cause, name, share in (
        (CAUSE_HOST, "host", host),
        (CAUSE_NETWORK, "network", network),
        (CAUSE_RACK, "rack", rack),
    ):
        for day in range(days):
            random = stream(seed, "failures", name, day)
            found = _of_a_day(random, day, int(random.poisson(rate_per_day * share)))
            found["cause"] = cause
            found["gpu"] = random.integers(0, gpus, len(found))
            found["repair_s"] = _repair_s(random, len(found), reliability.rack_repair_h, reliability)
            drawn.append(found)
    drawn += _tray_failures(seed, days, gpus, rate_per_day * (1.0 - network - host - rack), reliability)
    table = np.concatenate(drawn)
    table = table[(table["time_s"] >= 0) & (table["time_s"] < days * DAY_S)]
    return table[np.lexsort((table["cause"], table["gpu"], table["time_s"]))]


def _of_a_day(random: np.random.Generator, day: int, count: int) -> Array:
    failures = np.zeros(count, FAILURE)
    failures["time_s"] = random.integers(0, DAY_S, count) + day * DAY_S
    return failures


def _repair_s(random: np.random.Generator, count: int, mean_h: float, reliability: Reliability) -> Array:
    """Log-normal times about their mean, one second at least [s]."""
    sigma = reliability.sigma_log_repair_duration
    times_s = 3600 * mean_h * np.exp(sigma * random.standard_normal(count) - sigma**2 / 2)
    return np.maximum(1, np.rint(times_s)).astype(np.int64)


def _tray_failures(
    seed: int, days: int, gpus: int, rate_per_day: float, reliability: Reliability
) -> list[Array]:
    """Failures of trays, those that follow others included."""
    follow = reliability.follow_share
    trays = -(-gpus // GPUS_PER_TRAY)
    lemon = lemon_trays(seed, trays, reliability.lemon_share)
    weight = np.cumsum(np.where(lemon, reliability.lemon_factor, 1.0))
    lead_days = math.ceil(FOLLOW_MEANS * reliability.follow_h / 24) if follow > 0 else 0
    drawn = []
    for day in range(-lead_days, days):
        random = stream(seed, "failures", "gpu", day)
        found = _of_a_day(random, day, int(random.poisson(max(0.0, rate_per_day) * (1.0 - follow))))
        tray = np.searchsorted(weight, random.random(len(found)) * weight[-1], side="right")
        found["gpu"] = np.minimum(
            tray * GPUS_PER_TRAY + random.integers(0, GPUS_PER_TRAY, len(found)), gpus - 1
        )
        found["excess"] = lemon[tray] & (random.random(len(found)) * reliability.lemon_factor >= 1.0)
        found["repair_s"] = _repair_s(random, len(found), reliability.tray_repair_h, reliability)
        while len(found):
            drawn.append(found)
            found = _followers(random, found[random.random(len(found)) < follow], gpus, reliability)
    return drawn


def _followers(random: np.random.Generator, earlier: Array, gpus: int, reliability: Reliability) -> Array:
    """One failure after each of `earlier`, in a tray above or below it in the same rack."""
    found = np.zeros(len(earlier), FAILURE)
    delay_s = random.exponential(3600 * reliability.follow_h, len(earlier))
    found["time_s"] = earlier["time_s"] + np.ceil(delay_s).astype(np.int64)
    rack, place = np.divmod(earlier["gpu"] // GPUS_PER_TRAY, TRAYS_PER_RACK)
    step = np.where(random.random(len(earlier)) < 0.5, -1, 1)
    step = np.where(place + step < 0, 1, np.where(place + step >= TRAYS_PER_RACK, -1, step))
    beside = (rack * TRAYS_PER_RACK + place + step) * GPUS_PER_TRAY
    found["gpu"] = np.minimum(beside + random.integers(0, GPUS_PER_TRAY, len(earlier)), gpus - 1)
    found["repair_s"] = _repair_s(random, len(earlier), reliability.tray_repair_h, reliability)
    return found
