"""The tables of a run, from the raw records of the loop (columns and units: docs/run-folder.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from kvandal.energy.plan.stores import hourly_keep, store_flows
from kvandal.ledger.columns import POOL, counted, every, known, named, stands, times_utc
from kvandal.ledger.grants import job_columns
from kvandal.ledger.lives import LIFE, life_columns
from kvandal.ledger.told import Told
from kvandal.scenario.tenants import TIERS
from kvandal.scenario.tree import ROUNDING, limit_steps
from kvandal.twin import account
from kvandal.twin import plant_state as plant
from kvandal.twin.columns import columns_of
from kvandal.twin.records import LOAN, LOAN_REASONS, LOSSES, PARTS_OF_LOSSES, STATES
from kvandal.twin.reliability_state import CAUSES
from kvandal.twin.simulate import Trajectory

Array = Any
ROUNDING_MWH = 1e-9
"""What is left of a sum of sixty ticks by rounding."""

PLANT_MW = {
    "it_power_mw": plant.IT_KW,
    "losses_mw": plant.LOSSES_KW,
    "cooling_mw": plant.COOLING_KW,
    "misc_mw": plant.MISC_KW,
    "site_demand_mw": plant.DEMAND_KW,
    "site_power_mw": plant.SITE_KW,
}
CHAIN_MW = {
    "hv_loss_mw": plant.HV_LOSS_KW,
    "block_loss_mw": plant.BLOCK_LOSS_KW,
    "busway_loss_mw": plant.BUSWAY_LOSS_KW,
    "shelf_loss_mw": plant.SHELF_LOSS_KW,
    "battery_mw": plant.BATTERY_KW,
    "battery_loss_mw": plant.BATTERY_LOSS_KW,
    "battery_mwh": plant.BATTERY_KWH,
    "cdu_pump_mw": plant.CDU_PUMP_KW,
    "fws_pump_mw": plant.FWS_PUMP_KW,
    "rejection_mw": plant.REJECTION_KW,
    "fan_wall_mw": plant.FAN_WALL_KW,
}
PLANT_C = {
    "tcs_supply_c": plant.TCS_SUPPLY_C,
    "tcs_return_c": plant.TCS_RETURN_C,
    "fws_supply_c": plant.FWS_SUPPLY_C,
    "fws_return_c": plant.FWS_RETURN_C,
    "hall_air_c": plant.HALL_AIR_C,
    "junction_c": plant.JUNCTION_C,
}
HEAT_MW = {
    "heat_demand_mw": plant.HEAT_DEMAND_KW,
    "heat_export_mw": plant.HEAT_EXPORT_KW,
    "heat_rejected_mw": plant.REJECTED_KW,
    "heat_building_mw": plant.BUILDING_KW,
    "heat_stored_mw": plant.STORED_KW,
}


TICKS_IN_BLOCK = 16_384
Ticks = dict[str, Callable[[], Any]]
"""How to make each column of a table of ticks."""


def _ticks(run: Trajectory, rows: slice) -> Ticks:
    """Columns of the table of ticks, each to be made when it is wanted."""
    scenario, count = run.scenario, run.outputs.tick_count[rows]
    real = run.outputs.tick_real[rows]

    def mw(index: int) -> Callable[[], Array]:
        return lambda: real[:, index] / 1000

    def as_it_is(table: Array, index: int) -> Callable[[], Array]:
        return lambda: np.ascontiguousarray(table[:, index])

    def allocated() -> Array:
        return count[:, account.TICK_FIRM : account.TICK_LENT + 1].sum(axis=1)

    columns: Ticks = {
        "time_utc": lambda: times_utc(
            scenario.run.start_utc, np.arange(rows.start, rows.stop, dtype=np.int64) * scenario.run.tick_s
        )
    }
    columns |= {name: mw(index) for name, index in PLANT_MW.items()}
    columns |= {name: mw(index) for name, index in CHAIN_MW.items()}
    columns["envelope_mw"] = mw(account.METER_LIMIT_COLUMN)
    columns["it_limit_mw"] = mw(account.IT_LIMIT_COLUMN)
    columns["constraint"] = lambda: named(real[:, account.CONSTRAINT_COLUMN], plant.CONSTRAINTS)
    columns["ambient_c"] = as_it_is(real, account.AMBIENT_COLUMN)
    columns |= {name: as_it_is(real, index) for name, index in PLANT_C.items()}
    columns |= {name: mw(index) for name, index in HEAT_MW.items()}
    columns["water_l"] = as_it_is(real, plant.WATER_L)
    columns["gpu_s_installed"] = as_it_is(count, account.TICK_INSTALLED)
    columns["gpu_s_allocated"] = allocated
    columns["gpu_s_idle"] = lambda: (
        count[:, account.TICK_INSTALLED] - count[:, account.TICK_BROKEN] - allocated()
    )
    columns["gpu_s_broken"] = as_it_is(count, account.TICK_BROKEN)
    columns |= {
        f"gpu_s_{tier}": as_it_is(count, account.TICK_FIRM + index) for index, tier in enumerate(TIERS)
    }
    columns["running_jobs"] = lambda: count[:, account.TICK_RUNNING].astype(np.int32)
    columns["queued_jobs"] = lambda: count[:, account.TICK_QUEUED].astype(np.int32)
    columns["queued_gpus"] = as_it_is(count, account.TICK_QUEUED_GPUS)
    columns |= {
        f"cap_{tier}_fraction": as_it_is(real, account.CAP_COLUMN + index) for index, tier in enumerate(TIERS)
    }
    columns["at_envelope"] = lambda: real[:, account.ENVELOPE_COLUMN] > 0
    columns["balance_error_fraction"] = as_it_is(real, plant.BALANCE_ERROR)
    return columns


def site_told(run: Trajectory) -> Told:
    """Tell the table of ticks: one row each."""

    def make(rows: slice) -> pl.DataFrame:
        return pl.DataFrame({name: column() for name, column in _ticks(run, rows).items()})

    return Told(len(run.outputs.tick_real), make, TICKS_IN_BLOCK)


def site_table(run: Trajectory) -> pl.DataFrame:
    """One row per tick."""
    return site_told(run).whole()


class SiteColumns:
    """The table of ticks, of which only those columns are made that are asked for."""

    def __init__(self, run: Trajectory) -> None:
        self.height = len(run.outputs.tick_real)
        self._ticks = _ticks(run, slice(0, self.height))

    def __getitem__(self, name: str) -> pl.Series:
        """Return a column."""
        return pl.Series(name, self._ticks[name]())


def halls_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour and hall."""
    energy = run.outputs.hall_hour  # kWh in an hour are mean kW
    hours, halls, _ = energy.shape
    built = stands(run.site.hall, halls, run.site.delivered_s, hours)
    tcs_return_c = run.outputs.tick_real[:, plant.TCS_RETURN_C].reshape(hours, -1).mean(axis=1)
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600, halls),
            "hall": np.tile(np.arange(halls, dtype=np.int16), hours),
            "it_power_mw": energy[:, :, 0].ravel() / 1000,
            "liquid_heat_mw": energy[:, :, 1].ravel() / 1000,
            "air_heat_mw": energy[:, :, 2].ravel() / 1000,
            "heat_rejected_mw": energy[:, :, 3].ravel() / 1000,
            "fws_supply_c": known(energy[:, :, 4].ravel(), built),
            "hall_air_c": known(energy[:, :, 5].ravel(), built),
            "tcs_return_c": np.repeat(tcs_return_c, halls),
        }
    )


def racks_table(run: Trajectory) -> pl.DataFrame:
    """One row per rack."""
    site, racks = run.site, run.state.racks
    horizon_s = run.scenario.run.days * 86_400
    standing_s = np.maximum(0, horizon_s - site.delivered_s)
    return pl.DataFrame(
        {
            "rack": np.arange(site.racks, dtype=np.int32),
            "hall": site.hall,
            "row": site.row,
            "position": site.position,
            "cdu": site.cdu,
            "pod": site.pod,
            "group": site.group,
            "model": named(site.model, site.model_names),
            "it_energy_mwh": racks["energy_kwh"] / 1000,
            "mean_kw": np.divide(
                racks["energy_kwh"] * 3600, standing_s, out=np.zeros(site.racks), where=standing_s > 0
            ),
            "peak_kw": racks["peak_kw"],
            "tdp_kw": site.tdp_kw[site.model],
            "gpu_h_installed": standing_s * 72 / 3600,
            "gpu_h_allocated": racks["gpu_s"] / 3600,
            "gpu_h_broken": racks["broken_gpu_s"] / 3600,
            "failures": racks["failures"].astype(np.int32),
            "trays_replaced": racks["replaced"].astype(np.int32),
            "gpu_h_waiting_repair": racks["waited_gpu_s"] / 3600,
        }
    )


def tenants_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour and tenant."""
    scenario = run.scenario
    hours = run.outputs.tenant_hour.shape[0]
    tenants = list(scenario.tenants.values())
    count = len(tenants)
    data = run.outputs.tenant_hour[:, :count, :]
    installed = run.outputs.tick_count[:, account.TICK_INSTALLED].reshape(hours, -1).sum(axis=1) / 3600
    deserved, ceiling = _limits_by_hour(run, installed)
    which = np.tile(np.arange(count), hours)
    return pl.DataFrame(
        {
            "time_utc": every(scenario.run.start_utc, hours, 3600, count),
            "tenant": named(which, list(scenario.tenants) or [POOL]),
            "tier": named(np.array([TIERS.index(t.tier) for t in tenants], np.int8)[which], TIERS),
            "gpus_held": data[:, :, 0].ravel() / 3600,
            "gpus_on_loan": data[:, :, 1].ravel() / 3600,
            "gpus_lent_out": data[:, :, 2].ravel() / 3600,
            "deserved_gpus": deserved.ravel(),
            "ceiling_gpus": ceiling.ravel(),
            "queued_jobs": data[:, :, 3].ravel(),
            "queued_gpus": data[:, :, 4].ravel(),
        }
    )


def _limits_by_hour(run: Trajectory, installed: Array) -> tuple[Array, Array]:
    """Deserved GPUs and ceiling of every tenant, by the hour, of the GPUs installed in it."""
    scenario = run.scenario
    steps = limit_steps(scenario.tenants, scenario.run.start_utc, scenario.run.days, scenario.site.time_zone)
    of_hour = (
        np.searchsorted([start_s for start_s, _ in steps], np.arange(len(installed)) * 3600, "right") - 1
    )
    found = []
    for name in ("deserved", "ceiling"):
        limits = [[getattr(limit, name) for limit in step.values()] for _, step in steps]
        share = np.array([[limit.share for limit in row] for row in limits])
        gpus = np.array([[limit.gpus for limit in row] for row in limits])
        found.append(np.floor(share[of_hour] * installed[:, None] + gpus[of_hour] + ROUNDING))
    return found[0], found[1]


JOB_COLUMNS = (
    "demand", "tenant", "asked_gpus", "submit_s", "first_start_s", "end_s", "state", "starts", "failures", "recalls", "sheds",
    "racks", "work_s", "allocated_gpu_s", "useful_gpu_s", "refused_rule",
)  # fmt: skip
"""Columns of the records of jobs that the table of jobs is made from, beside those of their lives."""


def job_records(run: Trajectory) -> dict[str, Array]:
    """Columns of the records of jobs that :func:`jobs_table` asks for; the records themselves are not needed after this."""
    return columns_of(run.state.jobs, dict.fromkeys((*JOB_COLUMNS, *LIFE)))


def jobs_told(
    run: Trajectory, records: dict[str, Array], amounts: Callable[[slice], list[pl.Series]] | None
) -> Told:
    """Tell the table of jobs.

    Parameters
    ----------
    run : what happened; its records of jobs are not needed any more
    records : :func:`job_records`
    amounts : what some of the jobs drew, more columns; None where nobody has reckoned it

    """

    def told(rows: slice) -> pl.DataFrame:
        jobs = _jobs(run, records, rows)
        return jobs if amounts is None else jobs.with_columns(amounts(rows))

    return Told(len(records["demand"]), told)


def jobs_table(run: Trajectory) -> pl.DataFrame:
    """One row per job, without what it drew."""
    records = job_records(run)
    return _jobs(run, records, slice(0, len(records["demand"])))


def _jobs(run: Trajectory, records: dict[str, Array], rows: slice) -> pl.DataFrame:
    jobs = {name: column[rows] for name, column in records.items()}
    parts = [
        _asked(run, jobs, rows),
        _came(run, jobs, rows),
        job_columns(run, jobs, rows),
        life_columns(run, jobs, rows),
    ]
    return pl.DataFrame({name: column for part in parts for name, column in part.items()})


def _asked(run: Trajectory, jobs: dict[str, Array], rows: slice) -> dict[str, pl.Series]:
    """Columns of the table of jobs: what was asked, and when it ran."""
    scenario, start_utc = run.scenario, run.scenario.run.start_utc
    first = jobs["first_start_s"]
    tiers = np.array([TIERS.index(tenant.tier) for tenant in scenario.tenants.values()] or [0], np.int8)
    return {
        "job": pl.Series(np.arange(rows.start, rows.stop, dtype=np.int32)),
        "demand": named(jobs["demand"], list(scenario.demand) or [POOL]),
        "tenant": named(jobs["tenant"], list(scenario.tenants) or [POOL]),
        "tier": named(tiers[jobs["tenant"]], TIERS),
        "gpus": pl.Series(jobs["asked_gpus"].astype(np.int32)),
        "submit_utc": times_utc(start_utc, jobs["submit_s"]),
        "start_utc": times_utc(start_utc, first),
        "end_utc": times_utc(start_utc, jobs["end_s"]),
        "wait_s": counted(np.where(first >= 0, first - jobs["submit_s"], -1).astype(np.int64)),
        "state": named(jobs["state"], STATES),
    }


def _came(run: Trajectory, jobs: dict[str, Array], rows: slice) -> dict[str, pl.Series]:
    """Columns of the table of jobs: what became of each, and of its GPU-seconds."""
    interruptions, lost_gpu_s = run.state.interruptions[:, rows], run.state.lost_gpu_s[:, rows]
    columns = {
        "starts": jobs["starts"],
        "failures": jobs["failures"],
        **dict(zip((f"failures_{cause}" for cause in CAUSES), interruptions, strict=True)),
        "recalls": jobs["recalls"],
        "sheds": jobs["sheds"],
        "racks": jobs["racks"].astype(np.int32),
        "work_s": jobs["work_s"].astype(np.int64),
        "gpu_s_allocated": jobs["allocated_gpu_s"],
        "gpu_s_useful": jobs["useful_gpu_s"],
        **dict(zip((f"gpu_s_lost_{cause}" for cause in LOSSES), lost_gpu_s, strict=True)),
        **dict(
            zip((f"gpu_s_{part}" for part in PARTS_OF_LOSSES), run.state.part_gpu_s[:, rows], strict=True)
        ),
    }
    return {name: pl.Series(column) for name, column in columns.items()}


def loans_table(run: Trajectory) -> pl.DataFrame:
    """One row per loan, or per part of one that several lenders make up."""
    scenario = run.scenario
    loans = columns_of(run.state.loans[: int(run.state.tally["loans"][0])], LOAN.names or ())
    start_utc = scenario.run.start_utc
    notice_s = np.array([tenant.notice_s for tenant in scenario.tenants.values()] or [0], np.int64)
    names = [*scenario.tenants, POOL]
    state = np.where(loans["returned_s"] >= 0, 2, np.where(loans["noticed_s"] >= 0, 1, 0))
    return pl.DataFrame(
        {
            "loan": np.arange(len(state), dtype=np.int32),
            "lender": named(loans["lender"], names),
            "borrower": named(loans["borrower"], names),
            "job": loans["job"],
            "gpus": loans["gpus"],
            "start_utc": times_utc(start_utc, loans["start_s"]),
            "notice_s": notice_s[loans["borrower"]],
            "noticed_utc": times_utc(start_utc, loans["noticed_s"]),
            "deadline_utc": times_utc(start_utc, loans["deadline_s"]),
            "returned_utc": times_utc(start_utc, loans["returned_s"]),
            "state": named(state, ("lent", "noticed", "returned")),
            "reason": named(loans["reason"], LOAN_REASONS),
            "claimant": counted(loans["claimant"]),
        }
    )


def heat_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour and heat customer; what went into a store came through the pipe, what comes out of it did before."""
    hours, customers, _ = run.outputs.heat_hour.shape
    wanted, piped, source, pump, lost = (run.outputs.heat_hour / 1000).transpose(2, 0, 1)
    filled, drawn, level = (np.zeros((hours, customers)) for _ in range(3))
    planned = np.zeros((hours, customers))
    if run.plan is not None:
        wanted, fill, draw = run.plan.heat_demand_mwh, run.plan.store_charge_mwh, run.plan.store_discharge_mwh
        planned = fill - draw
        for index, customer in enumerate(run.scenario.heat.customers.values()):
            keeps = hourly_keep(customer.store_loss_fraction)
            if customer.store_mwh > 0:
                filled[:, index], drawn[:, index], level[:, index] = store_flows(
                    0.0, wanted[:, index], piped[:, index], draw[:, index], customer.store_mwh, keeps
                )
    delivered = piped - filled + drawn
    unmet = wanted - delivered
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600, customers),
            "customer": named(
                np.tile(np.arange(customers), hours), list(run.scenario.heat.customers) or [POOL]
            ),
            "demand_mwh": wanted.ravel(),
            "delivered_mwh": delivered.ravel(),
            "unmet_mwh": np.where(unmet > ROUNDING_MWH, unmet, 0.0).ravel(),
            "source_mwh": source.ravel(),
            "heat_pump_mwh": pump.ravel(),
            "pipe_loss_mwh": lost.ravel(),
            "store_in_mwh": filled.ravel(),
            "store_out_mwh": drawn.ravel(),
            "store_mwh": level.ravel(),
            "store_planned_mwh": planned.ravel(),
        }
    )


def end_utc(run: Trajectory) -> datetime:
    """End of the simulated time."""
    return run.scenario.run.start_utc + timedelta(days=run.scenario.run.days)
