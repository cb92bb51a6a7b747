"""Who drew what: the site's energy, carbon, cost and heat of every hour, followed down to racks, jobs and tenants.

The rule (docs/attribution.md) works from the inside out. The IT energy of a rack in an hour is split over the jobs in it
and its idle GPUs by GPU-seconds times power; network and storage go the same way. What idle GPUs drew is borne by who
worked in that hour, or by the owners. What the site draws beside (losses, cooling, the battery), what it emits and costs
and the heat that it sells follow that IT energy. All amounts are whole: rounding is carried from job to job, so that every
hour adds up to its meter to the last Wh, gram and cent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger import attribution_kernel as kernel
from kvandal.ledger import claims
from kvandal.ledger.columns import every, named, times_utc
from kvandal.ledger.told import Told
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import TIERS
from kvandal.twin.columns import columns_of
from kvandal.twin.records import PLACEMENT
from kvandal.twin.simulate import Trajectory
from kvandal.twin.site import SiteArrays, gpu_load_mw

Array = Any

OWNERS = "owners"
"""Row of what nobody used."""
CARBON = (
    "carbon_location_direct",
    "carbon_location_lifecycle",
    "carbon_market_direct",
    "carbon_market_lifecycle",
)
QUANTITIES = ("it_wh", "idle_wh", "overhead_wh", *(f"{name}_g" for name in CARBON), "cost_cents", "heat_wh")
"""Columns of an attribution, in the order of the kernel's."""
OF_SITE = QUANTITIES.index("overhead_wh") + 1
"""So many of them, the first, make up what the meter shows."""
OF_JOBS = ("it_wh", "site_wh", "carbon_location_direct_g", "carbon_market_direct_g", "energy_cost_cents")
"""What is told of every job: `site_wh` is the sum of the first OF_SITE quantities."""
MICRO = 1_000_000
HOURS_IN_BLOCK = 64


@dataclass(frozen=True)
class Basis:
    """What an attribution starts from, from a run that has just ended or from its folder.

    Attributes
    ----------
    scenario, site : what was simulated
    placements : PLACEMENT table
    rack_wh : int32 (hours, racks), IT energy of each rack
    totals : int64 (hours, 8), IT energy [Wh] and what follows it, see :func:`hourly_totals`
    carbon_free_wh : int64 (hours,), carbon-free energy of each hour
    tenant_of, demand_of : integers (jobs,)
    bought_wh : int64 (hours, tenants + 1), clean energy of the tenants' own contracts; None if they have none

    """

    scenario: Scenario
    site: SiteArrays
    placements: Array
    rack_wh: Array
    totals: Array
    carbon_free_wh: Array
    tenant_of: Array
    demand_of: Array
    bought_wh: Array | None = None


@dataclass(frozen=True)
class Attribution:
    """Who drew what, in whole units.

    Attributes
    ----------
    by_job : int64 (jobs, 5), columns as in OF_JOBS
    by_tenant : int64 (hours, tenants + 1, 9); the last row is the owners'
    gpu_s : int64 (hours, tenants, 3), GPU-seconds firm, assured, lent
    matched_wh : int64 (hours, tenants + 1), what of everybody's energy was matched with carbon-free supply in its hour
    hours, racks, detail : of the watched job: hour, rack and int64 (rows, 9)

    """

    by_job: Array
    by_tenant: Array
    gpu_s: Array
    matched_wh: Array
    hours: Array
    racks: Array
    detail: Array


def whole_steps(amounts: Array) -> Array:
    """Whole units by the step, such that every running total is the rounded running total: int64.

    >>> whole_steps(np.array([0.4, 0.4, 0.4])).tolist()
    [0, 1, 0]
    """
    upto = np.rint(np.cumsum(np.asarray(amounts, np.float64))).astype(np.int64)
    steps: Array = np.diff(upto, prepend=0)
    return steps


def hourly_totals(energy: pl.DataFrame, heat: pl.DataFrame) -> Array:
    """Totals of every hour in whole units, int64 (hours, 8): IT energy and what follows it.

    Columns: IT energy [Wh], the rest of what the meter shows [Wh] (below 0 in hours in which the battery gives more than
    cooling and losses take), four of carbon [g], cost of energy [cent], heat handed over [Wh]. Each hour's energy is the
    meter's, rounded to the Wh; money and carbon are rounded such that running totals are.
    """
    hours = energy.height
    it_wh = np.rint(energy["it_mwh"].to_numpy() * MICRO).astype(np.int64)
    site_wh = np.rint(energy["site_mwh"].to_numpy() * MICRO).astype(np.int64)
    carbon = [whole_steps(energy[f"{name}_t"].to_numpy() * MICRO) for name in CARBON]
    cents = whole_steps(energy["cost_eur"].cast(pl.Float64).to_numpy() * 100)
    heat_mwh = heat["source_mwh"].to_numpy().reshape(hours, -1).sum(axis=1)
    heat_wh = np.rint(heat_mwh * MICRO).astype(np.int64)
    return np.stack([it_wh, site_wh - it_wh, *carbon, cents, heat_wh], axis=1)


def attribute(basis: Basis, watched: int = -1) -> Attribution:
    """Attribute a run.

    Parameters
    ----------
    basis
        What was placed where, what the racks drew, and what is to be shared out.
    watched
        Job of which every hour and rack is kept, or -1.

    """
    found = _swept(basis, np.zeros((0, 0, 2)), watched)
    site_wh = found.by_tenant[:, :, :OF_SITE].sum(axis=2)
    own = claims.own_wh(site_wh, basis.bought_wh, basis.carbon_free_wh)
    matched = claims.matched_wh(site_wh, own, basis.carbon_free_wh)
    if basis.bought_wh is not None:
        market = basis.totals[:, kernel.MARKET - 1 : kernel.MARKET + 1]
        found = _swept(basis, claims.market_g_per_wh(basis.scenario, site_wh, own, market), watched)
    return replace(found, matched_wh=matched)


def _swept(basis: Basis, market_g_per_wh: Array, watched: int) -> Attribution:
    """Sweep over the hours once; `matched_wh` stays empty."""
    scenario, site = basis.scenario, basis.site
    placements = basis.placements
    idle_w = site.idle_kw / 72 * 1000
    hours, racks = basis.rack_wh.shape
    tenants, jobs = max(len(scenario.tenants), 1), len(basis.tenant_of)
    rows = 0
    if watched >= 0:
        mine = placements[placements["job"] == watched]
        first, last = mine["start_s"].astype(np.int64) // 3600, -(-mine["end_s"].astype(np.int64) // 3600)
        rows = int((last - first).sum())
    found = Attribution(
        by_job=np.zeros((jobs, kernel.TOLD), np.int64),
        by_tenant=np.zeros((hours, tenants + 1, kernel.COLUMNS), np.int64),
        gpu_s=np.zeros((hours, tenants, len(TIERS)), np.int64),
        matched_wh=np.zeros(0, np.int64),
        hours=np.zeros(rows, np.int64),
        racks=np.zeros(rows, np.int64),
        detail=np.zeros((rows, kernel.COLUMNS), np.int64),
    )
    kernel.sweep(  # type: ignore[no-untyped-call]
        placements,
        np.argsort(placements["start_s"], kind="stable"),
        idle_w[None, :] + gpu_load_mw(scenario, site) / 1000,
        idle_w,
        np.asarray(basis.tenant_of, np.int16),
        np.asarray(basis.demand_of, np.int16),
        np.asarray(site.model, np.int64),
        basis.rack_wh,
        np.asarray(site.delivered_s, np.int64),
        basis.totals,
        market_g_per_wh,
        scenario.accounting.idle == "owners",
        watched,
        found.by_job,
        found.by_tenant,
        found.gpu_s,
        found.detail,
        found.hours,
        found.racks,
        np.zeros(len(placements), kernel.ACTIVE),
        np.zeros(racks),
        np.zeros(racks, np.int64),
        np.zeros(kernel.COLUMNS),
        np.zeros(kernel.COLUMNS),
        np.zeros(kernel.COLUMNS),
        np.zeros((tenants, kernel.COLUMNS)),
        np.zeros(2),
        np.zeros(2),
    )
    return found


def rack_wh(run: Trajectory) -> Array:
    """Return the IT energy of every rack in every hour, int32 (hours, racks) [Wh]."""
    energy_kwh = run.outputs.rack_hour
    found = np.empty(energy_kwh.shape, np.int32)
    for first in range(0, len(found), HOURS_IN_BLOCK):  # no second table of floats
        hours = slice(first, first + HOURS_IN_BLOCK)
        found[hours] = np.rint(energy_kwh[hours] * 1000)
    return found


def basis_of(
    run: Trajectory, energy: pl.DataFrame, heat: pl.DataFrame, contracts: pl.DataFrame | None = None
) -> Basis:
    """Take an attribution's basis from a run that has just ended; contracts matter if tenants buy some."""
    jobs = columns_of(run.state.jobs, ("tenant", "demand"))
    return Basis(
        scenario=run.scenario,
        site=run.site,
        placements=run.state.placements[: int(run.state.tally["placements"][0])],
        rack_wh=rack_wh(run),
        totals=hourly_totals(energy, heat),
        carbon_free_wh=_carbon_free_wh(energy),
        bought_wh=claims.bought_wh(run.scenario, contracts),
        tenant_of=jobs["tenant"].astype(np.int16),
        demand_of=jobs["demand"],
    )


def basis_from_tables(scenario: Scenario, site: SiteArrays, tables: dict[str, pl.DataFrame]) -> Basis:
    """Take an attribution's basis from the tables of a run folder."""
    start_s = round(scenario.run.start_utc.timestamp())
    table = tables["placements"]
    placements = np.zeros(table.height, PLACEMENT)
    for column in ("start", "end"):
        placements[f"{column}_s"] = table[f"{column}_utc"].dt.epoch("s").to_numpy() - start_s
    for column in ("job", "rack", "gpus"):
        placements[column] = table[column].to_numpy()
    placements["tier"] = table["tier"].to_physical().to_numpy()
    jobs = tables["jobs"]
    hours = tables["energy"].height
    return Basis(
        scenario=scenario,
        site=site,
        placements=placements,
        rack_wh=tables["rack_hours"]["it_wh"].to_numpy().reshape(hours, -1),
        totals=hourly_totals(tables["energy"], tables["heat"]),
        carbon_free_wh=_carbon_free_wh(tables["energy"]),
        bought_wh=claims.bought_wh(scenario, tables["contracts"]),
        tenant_of=_codes(jobs["tenant"], list(scenario.tenants)),
        demand_of=_codes(jobs["demand"], list(scenario.demand)),
    )


def _carbon_free_wh(energy: pl.DataFrame) -> Array:
    return np.rint(energy["carbon_free_mwh"].to_numpy() * MICRO).astype(np.int64)


def _codes(column: pl.Series, names: list[str]) -> Array:
    """Return indices of names, int64."""
    return (
        column.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
        if names
        else np.zeros(0, np.int64)
    )


def placements_told(run: Trajectory) -> Told:
    """Tell the table of placements: one row for the GPUs of a job in one rack, in order of the time that they were left."""
    start_utc = run.scenario.run.start_utc
    records = run.state.placements[: int(run.state.tally["placements"][0])]

    def make(rows: slice) -> pl.DataFrame:
        placements = columns_of(records[rows], PLACEMENT.names or ())
        return pl.DataFrame(
            {
                **{name: placements[name] for name in ("job", "rack", "gpus")},
                "tier": named(np.where(placements["tier"] < len(TIERS), placements["tier"], 0), TIERS),
                "start_utc": times_utc(start_utc, placements["start_s"].astype(np.int64)),
                "end_utc": times_utc(start_utc, placements["end_s"].astype(np.int64)),
            }
        )

    return Told(len(records), make)


def rack_hours_told(run: Trajectory, of_racks_wh: Array) -> Told:
    """Tell the table of racks by the hour; `of_racks_wh` is :func:`rack_wh`."""
    racks, start_utc = of_racks_wh.shape[1], run.scenario.run.start_utc

    def make(rows: slice) -> pl.DataFrame:
        first, last = rows.start // racks, -(-rows.stop // racks)  # the hours that the rows are in
        mine = slice(rows.start - first * racks, rows.stop - first * racks)
        return pl.DataFrame(
            {
                "time_utc": times_utc(
                    start_utc, np.repeat(np.arange(first, last, dtype=np.int64) * 3600, racks)[mine]
                ),
                "rack": np.tile(np.arange(racks, dtype=np.int16), last - first)[mine],
                "it_wh": of_racks_wh.reshape(-1)[rows],
            }
        )

    return Told(of_racks_wh.size, make)


def tenant_energy_table(scenario: Scenario, found: Attribution) -> pl.DataFrame:
    """One row per hour and tenant, and one per hour for the owners."""
    hours, rows, _ = found.by_tenant.shape
    names = list(scenario.tenants) or [OWNERS]
    amounts = {
        name: np.ascontiguousarray(found.by_tenant[:, :, index]).ravel()
        for index, name in enumerate(QUANTITIES)
    }
    gpu_s = np.concatenate([found.gpu_s, np.zeros((hours, 1, len(TIERS)), np.int64)], axis=1)
    return pl.DataFrame(
        {
            "time_utc": every(scenario.run.start_utc, hours, 3600, rows),
            "tenant": named(np.tile(np.arange(rows), hours), [*names, OWNERS]),
            **{name: amounts[name] for name in ("it_wh", "idle_wh", "overhead_wh")},
            "site_wh": amounts["it_wh"] + amounts["idle_wh"] + amounts["overhead_wh"],
            "matched_wh": np.ascontiguousarray(found.matched_wh).ravel(),
            **{name: amounts[name] for name in QUANTITIES[OF_SITE:]},
            **{
                f"gpu_s_{tier}": np.ascontiguousarray(gpu_s[:, :, index]).ravel()
                for index, tier in enumerate(TIERS)
            },
        }
    )


def job_amounts(found: Attribution, rows: slice) -> list[pl.Series]:
    """Columns of jobs.parquet that say what some of the jobs drew."""
    return [
        pl.Series(name, np.ascontiguousarray(found.by_job[rows, index])) for index, name in enumerate(OF_JOBS)
    ]
