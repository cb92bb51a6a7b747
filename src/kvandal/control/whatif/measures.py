"""What a side of a what-if came to in a future, tenant by tenant and for the site: one table of definitions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kvandal.control.loop.site import LiveSite
from kvandal.control.whatif.playing import HOUR_S, Played
from kvandal.ledger.attribution import Basis, attribute, whole_steps
from kvandal.runs.metrics import Metric
from kvandal.scenario.tree import groups_of
from kvandal.twin.account import ENVELOPE_COLUMN
from kvandal.twin.plant_state import IT_KW, SITE_KW
from kvandal.twin.records import FINISHED, FUTURE, LOSSES, LOST_RECALL, QUEUED, REFUSED, RUNNING, STOPPED
from kvandal.twin.state import State

Array = Any
Values = dict[tuple[str | None, str], float | None]
"""Numbers by tenant (None: the site) and metric; None is "not known"."""

OF_TENANTS = (
    Metric("wait_p50_s", "wait, P50, of jobs that wait still so far", "s", -1),
    Metric("wait_p95_s", "wait, P95, of jobs that wait still so far", "s", -1),
    Metric("jobs_submitted", "jobs submitted", "1", 0),
    Metric("jobs_started", "jobs started for the first time", "1", 1),
    Metric("jobs_finished", "jobs finished", "1", 1),
    Metric("jobs_refused", "jobs refused or stopped by a rule", "1", -1),
    Metric("jobs_waiting", "jobs waiting at the end", "1", -1),
    Metric("recalls_suffered", "jobs recalled", "1", -1),
    Metric("recalls_made", "parts of loans called back by it", "1", 0),
    Metric("gpu_hours_own", "GPU-hours on its own share", "GPU-h", 0),
    Metric("gpu_hours_borrowed", "GPU-hours borrowed", "GPU-h", 0),
    Metric("gpu_hours_lent", "GPU-hours lent out", "GPU-h", 0),
    Metric("gpu_hours_useful", "GPU-hours useful", "GPU-h", 1),
    Metric("gpu_hours_lost", "GPU-hours lost", "GPU-h", -1),
    *(
        Metric(f"gpu_hours_lost_{cause}", f"GPU-hours lost: {cause.replace('_', ' ')}", "GPU-h", -1)
        for cause in LOSSES
    ),
    Metric("power_mean_mw", "share of the site's power, mean", "MW", 0),
    Metric("power_peak_mw", "share of the site's power, highest hour", "MW", 0),
    Metric("energy_mwh", "share of the site's energy", "MWh", 0),
    Metric("energy_cost_eur", "share of the energy at its price", "EUR", -1),
    Metric("carbon_kg", "share of CO2e, location-based, direct", "kg", -1),
)
OF_SITE = (
    *OF_TENANTS[:-5],
    Metric("power_mean_mw", "site power, mean", "MW", 0),
    Metric("power_peak_mw", "site power, highest minute", "MW", -1),
    Metric("it_power_mean_mw", "IT power, mean", "MW", 0),
    Metric("energy_mwh", "site energy", "MWh", 0),
    Metric("energy_cost_eur", "energy at its price", "EUR", -1),
    Metric("carbon_kg", "CO2e, location-based, direct", "kg", -1),
    Metric("hours_at_envelope", "time at the envelope", "h", -1),
)
OF_POOL = ("recalls_made", "gpu_hours_lent")
"""Of the site, what belongs to no tenant counts too: the pool lends."""


@dataclass(frozen=True)
class Before:
    """The site as it stands, for what is counted from now on.

    Attributes
    ----------
    scenario_tenants : names of the tenants, and of these the groups
    state : int8 (jobs,), state of each job
    started : bool (jobs,), whether it has run before
    noticed : bool (loans,), whether it has been given notice
    settled : the state if the books were closed now

    """

    tenants: tuple[str, ...]
    groups: frozenset[str]
    state: Array
    started: Array
    noticed: Array
    settled: State


def before(site: LiveSite, books: State) -> Before:
    """Remember what stands before anything is changed; `books` are the same, settled."""
    jobs = site.state.jobs[: len(site.ids)]
    loans = site.state.loans[: int(site.state.tally["loans"][0])]
    tenants = site.scenario.tenants
    return Before(
        tuple(tenants),
        frozenset(groups_of(tenants)),
        jobs["state"].copy(),
        jobs["starts"] > 0,
        loans["noticed_s"] >= 0,
        books,
    )


def measure(site: LiveSite, earlier: Before, played: Played) -> Values:
    """Measure a future of a side.

    Parameters
    ----------
    site : as it stood, for series and prices
    earlier : see :func:`before`
    played : the future

    """
    counts = {**_of_jobs(earlier, played), **_of_use(earlier, played), **_of_notices(earlier, played)}
    values: Values = {}
    for index, name in enumerate(earlier.tenants):
        if name not in earlier.groups:
            values |= {(name, key): float(column[index]) for key, column in counts.items()}
    leaves = [index for index, name in enumerate(earlier.tenants) if name not in earlier.groups]
    for key, column in counts.items():
        values[None, key] = float(column.sum() if key in OF_POOL else column[leaves].sum())
    return values | _waits(earlier, played) | _of_energy(site, earlier, played)


def starts_s(earlier: Before, played: Played) -> Array:
    """When each job that waited at the beginning started next, float64 (jobs that waited,) [s]; NaN: not within the future."""
    rows = np.flatnonzero(earlier.state == QUEUED)
    jobs = played.state.jobs[rows]
    found = np.where(
        np.isin(jobs["state"], (RUNNING, FINISHED, STOPPED)) & (jobs["start_s"] >= played.at_s),
        jobs["start_s"].astype(np.float64),
        np.nan,
    )
    stints = played.state.stints[: int(played.state.tally["stints"][0])]
    stints = stints[stints["start_s"] >= played.at_s]
    first = np.full(len(earlier.state), np.nan)
    mine = stints["job"] < len(first)
    np.fmin.at(first, stints["job"][mine], stints["start_s"][mine].astype(np.float64))
    return np.fmin(found, first[rows])


def _live(earlier: Before, jobs: Array) -> Array:
    """Whether each job waited or ran at the beginning, or came later."""
    live = np.ones(len(jobs), np.bool_)
    live[: len(earlier.state)] = np.isin(earlier.state, (QUEUED, RUNNING))
    return live & (jobs["state"] != FUTURE)


def _of_jobs(earlier: Before, played: Played) -> dict[str, Array]:
    jobs = played.state.jobs
    live = _live(earlier, jobs)
    ran = np.zeros(len(jobs), np.bool_)
    ran[: len(earlier.started)] = earlier.started
    came = live & (np.arange(len(jobs)) >= len(earlier.state))

    def count(chosen: Array) -> Array:
        return np.bincount(jobs["tenant"][chosen], minlength=len(earlier.tenants) + 1)

    return {
        "jobs_submitted": count(came),
        "jobs_started": count(live & ~ran & (jobs["first_start_s"] >= played.at_s)),
        "jobs_finished": count(live & (jobs["state"] == FINISHED)),
        "jobs_refused": count(live & np.isin(jobs["state"], (REFUSED, STOPPED))),
        "jobs_waiting": count(live & (jobs["state"] == QUEUED)),
    }


def _waits(earlier: Before, played: Played) -> Values:
    """Measure waits of jobs that had never run: until their first start, or so far."""
    jobs = played.state.jobs
    waits = _live(earlier, jobs) & (jobs["state"] != REFUSED)
    waits[: len(earlier.state)] &= (earlier.state == QUEUED) & ~earlier.started
    until_s = np.where(jobs["first_start_s"] >= 0, jobs["first_start_s"], played.until_s)
    wait_s = (until_s - jobs["submit_s"]).astype(np.float64)
    values: Values = {}
    for index, name in [*enumerate(earlier.tenants), (-1, None)]:
        if name in earlier.groups:
            continue
        mine = wait_s[waits & (jobs["tenant"] == index)] if name is not None else wait_s[waits]
        for key, share in (("wait_p50_s", 0.50), ("wait_p95_s", 0.95)):
            values[name, key] = float(np.quantile(mine, share, method="nearest")) if len(mine) else None
    return values


def _of_use(earlier: Before, played: Played) -> dict[str, Array]:
    """GPU-hours by whose share they were, useful and lost."""
    state, rows = played.state, len(earlier.tenants) + 1
    first, last = played.at_s // HOUR_S, played.until_s // HOUR_S
    held = played.outputs.tenant_hour[first:last, :, :3].sum(axis=0) - played.held
    held_h = held / HOUR_S
    jobs, settled = state.jobs, earlier.settled

    def since(now: Array, then: Array) -> Array:
        of_jobs = now.astype(np.float64)
        of_jobs[: len(earlier.state)] -= then[: len(earlier.state)]
        return np.bincount(jobs["tenant"], of_jobs, minlength=rows) / HOUR_S

    lost = {
        f"gpu_hours_lost_{cause}": since(state.lost_gpu_s[index], settled.lost_gpu_s[index])
        for index, cause in enumerate(LOSSES)
    }
    return {
        "gpu_hours_own": held_h[:, 0] - held_h[:, 1],
        "gpu_hours_borrowed": held_h[:, 1],
        "gpu_hours_lent": held_h[:, 2],
        "gpu_hours_useful": since(jobs["useful_gpu_s"], settled.jobs["useful_gpu_s"]),
        "gpu_hours_lost": np.sum(list(lost.values()), axis=0),
        **lost,
    }


def _of_notices(earlier: Before, played: Played) -> dict[str, Array]:
    """Jobs that were recalled, and parts of loans that were called back."""
    state, rows = played.state, len(earlier.tenants) + 1
    stints = state.stints[: int(state.tally["stints"][0])]
    recalled = stints["job"][stints["cause"] == LOST_RECALL]
    loans = state.loans[: int(state.tally["loans"][0])]
    noticed = loans["noticed_s"] >= played.at_s
    noticed[: len(earlier.noticed)] &= ~earlier.noticed
    return {
        "recalls_suffered": np.bincount(state.jobs["tenant"][recalled], minlength=rows),
        "recalls_made": np.bincount(loans["lender"][noticed], minlength=rows),
    }


def _of_energy(site: LiveSite, earlier: Before, played: Played) -> Values:
    """Power, energy, cost and carbon of the site, and what of them is attributed to each tenant (docs/attribution.md)."""
    tick_s = int(played.state.rules["tick_s"][0])
    ticks = np.arange(played.at_s // tick_s, played.until_s // tick_s)
    hours = np.minimum(ticks * tick_s + tick_s - played.at_s, tick_s) / HOUR_S  # the first has begun before
    real = played.outputs.tick_real[ticks]
    site_kwh, it_kwh = real[:, SITE_KW] * hours, real[:, IT_KW] * hours
    prices = site.start.prices
    eur = site_kwh / 1000 * prices.eur_per_mwh[ticks * tick_s // prices.step_s]
    g_per_kwh = site.scenario.carbon.location_direct_g_per_kwh
    hour = ticks * tick_s // HOUR_S - played.at_s // HOUR_S
    count = int(hour[-1]) + 1

    def hourly(column: Array) -> Array:
        return np.bincount(hour, column, minlength=count)

    length_h = float(hours.sum())
    values: Values = {
        (None, "power_mean_mw"): float(site_kwh.sum()) / length_h / 1000,
        (None, "power_peak_mw"): float(real[:, SITE_KW].max()) / 1000,
        (None, "it_power_mean_mw"): float(it_kwh.sum()) / length_h / 1000,
        (None, "energy_mwh"): float(site_kwh.sum()) / 1000,
        (None, "energy_cost_eur"): float(eur.sum()),
        (None, "carbon_kg"): float(site_kwh.sum()) * g_per_kwh / 1000,
        (None, "hours_at_envelope"): float((real[:, ENVELOPE_COLUMN] * hours).sum()),
    }
    totals = np.zeros((count, 8), np.int64)
    totals[:, 0] = np.rint(hourly(it_kwh) * 1000)
    totals[:, 1] = np.rint(hourly(site_kwh) * 1000) - totals[:, 0]
    totals[:, 2] = whole_steps(hourly(site_kwh) * g_per_kwh)
    totals[:, 6] = whole_steps(hourly(eur) * 100)
    shares = attribute(_basis(site, played, totals)).by_tenant
    of_hour_h = hourly(hours)
    for index, name in enumerate(earlier.tenants):
        if name in earlier.groups:
            continue
        drawn_wh = shares[:, index, :3].sum(axis=1)
        values |= {
            (name, "power_mean_mw"): float(drawn_wh.sum()) / 1e6 / length_h,
            (name, "power_peak_mw"): float((drawn_wh / 1e6 / of_hour_h).max()),
            (name, "energy_mwh"): float(drawn_wh.sum()) / 1e6,
            (name, "energy_cost_eur"): float(shares[:, index, 7].sum()) / 100,
            (name, "carbon_kg"): float(shares[:, index, 3].sum()) / 1000,
        }
    return values


def _basis(site: LiveSite, played: Played, totals: Array) -> Basis:
    """Gather what energy is attributed by; hours count from the one in which the future begins."""
    state = played.state
    offset_s = played.at_s // HOUR_S * HOUR_S
    placements = state.placements[: int(state.tally["placements"][0])].copy()
    placements = placements[placements["end_s"] > offset_s]
    for column in ("start_s", "end_s"):
        placements[column] = np.maximum(placements[column].astype(np.int64) - offset_s, 0)
    first = played.at_s // HOUR_S
    arrays = site.start.site
    return Basis(
        scenario=site.scenario,
        site=replace(arrays, delivered_s=np.maximum(arrays.delivered_s - offset_s, 0)),
        placements=placements,
        rack_wh=np.rint(played.outputs.rack_hour[first : first + len(totals)] * 1000).astype(np.int32),
        totals=totals,
        carbon_free_wh=np.zeros(len(totals), np.int64),
        tenant_of=state.jobs["tenant"],
        demand_of=state.jobs["demand"],
    )
