"""Where the electricity of every price step came from and what of it was clean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kvandal.energy import generators
from kvandal.twin.simulate import Trajectory

Array = Any


@dataclass(frozen=True)
class Flows:
    """Energy by the price step, float64 (steps,) [MWh].

    Attributes
    ----------
    site : what the meter shows; below 0 where the battery gives more than the site takes
    generated : fed by test runs of the generators, at most what the site draws
    load : through the connection, at least 0
    fed_back : into the grid, where the battery gives more than the site takes
    used : of what contracts deliver
    used_clean : of it with guarantees of origin; what is not needed is sold from the others first
    delivered, used_by : float64 (steps, contracts), what each contract delivered and what of it was used

    """

    site: Array
    generated: Array
    load: Array
    fed_back: Array
    used: Array
    used_clean: Array
    delivered: Array
    used_by: Array


def energy_per_step(power_mw: Array, tick_s: int, step_s: int) -> Array:
    """Energy of each price step from the mean power of each tick [MWh]; what lies in two steps is split by time.

    >>> energy_per_step(np.array([60.0, 120.0]), 60, 120).tolist()
    [3.0]
    >>> energy_per_step(np.array([6.0, 12.0, 18.0]), 600, 900).tolist()
    [2.0, 4.0]
    """
    energy_mwh = power_mw * (tick_s / 3600)
    if step_s % tick_s == 0:
        summed: Array = energy_mwh.reshape(-1, step_s // tick_s).sum(axis=1)
        return summed
    common_s = math.gcd(tick_s, step_s)
    parts = np.repeat(energy_mwh * (common_s / tick_s), tick_s // common_s)
    return parts.reshape(-1, step_s // common_s).sum(axis=1)


def flows_of(run: Trajectory, site: pl.DataFrame) -> Flows:
    """Follow the site's electricity to its sources, step by step.

    Generators feed what their test runs give, at most what the site draws in the step. What the connection carries then
    is met by contracts with guarantees of origin, by the other contracts, and by the market, in this order; contracts of a
    kind share what is used in proportion to what they deliver.
    """
    scenario, step_s = run.scenario, run.prices.step_s
    site_mwh = energy_per_step(site["site_power_mw"].to_numpy(), scenario.run.tick_s, step_s)
    drawn = np.maximum(site_mwh, 0.0)
    trials = generators.trial_runs_mwh(scenario.supply, scenario.run.start_utc, scenario.run.days)
    generated = np.minimum(np.repeat(trials, 3600 // step_s) * step_s / 3600, drawn)
    load = drawn - generated
    clean = np.array([one.carbon_free for one in run.contracts], bool)
    delivered = np.zeros((len(load), len(run.contracts)))
    for index, one in enumerate(run.contracts):
        delivered[:, index] = one.delivered_mwh
    clean_delivered = delivered[:, clean].sum(axis=1)
    used = np.minimum(load, delivered.sum(axis=1))
    used_clean = np.minimum(load, clean_delivered)
    used_by = np.zeros_like(delivered)
    for which, amount in ((clean, used_clean), (~clean, used - used_clean)):
        of_kind = delivered[:, which]
        together = of_kind.sum(axis=1, keepdims=True)
        part = np.divide(of_kind, together, out=np.zeros_like(of_kind), where=together > 0)
        used_by[:, which] = amount[:, None] * part
    return Flows(
        site=site_mwh,
        generated=generated,
        load=load,
        fed_back=drawn - site_mwh,
        used=used,
        used_clean=used_clean,
        delivered=delivered,
        used_by=np.minimum(used_by, delivered),
    )
