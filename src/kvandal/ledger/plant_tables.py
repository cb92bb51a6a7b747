"""What the plant did, as tables: pods, limits of the envelope tree, faults and what they cost (docs/run-folder.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger.columns import POOL, every, known, named, stands, times_utc
from kvandal.scenario.faults import AMOUNTS, PLACES
from kvandal.twin.fault_list import FAULT_KINDS
from kvandal.twin.plant_state import CONSTRAINTS, node_names, node_parents
from kvandal.twin.records import COST_JOBS, COST_LOST_GPU_S, COST_SLOWED_GPU_S
from kvandal.twin.simulate import Trajectory

Array = Any

LEVELS = ("site", "hall", "group", "pod")
"""Levels of the envelope tree."""
CONSTRAINTS_OF = {
    "site": ("grid_connection", "curtailment", "hv_transformer", "start_ramp"),
    "hall": ("heat_rejection", "hall_air"),
    "group": ("power_block",),
    "pod": ("cdu", "coolant_supply", "junction"),
}
"""What can limit the nodes of a level."""
STEP_KW = 0.1
"""Limits are kept to this, so that a limit that does not change stays one row."""

SMALLEST_MW = 1e-9
"""Heat of a pod below this is rounding: none of its racks is powered."""


def pods_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour and pod; null before its first rack stands, and for junctions while no rack is powered."""
    site, values = run.site, run.outputs.pod_hour
    hours, pods, _ = values.shape
    built = stands(site.pod, pods, site.delivered_s, hours)
    heat_mw = values[:, :, 0].ravel() / 1000
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours, 3600, pods),
            "pod": np.tile(np.arange(pods, dtype=np.int16), hours),
            "hall": np.tile(site.pod_hall.astype(np.int16), hours),
            "heat_mw": known(heat_mw, built),
            "supply_c": known(values[:, :, 1].ravel(), built),
            "junction_c": known(values[:, :, 2].ravel(), built & (heat_mw > SMALLEST_MW)),
        }
    )


def limits_table(run: Trajectory) -> pl.DataFrame:
    """One row per node of the envelope tree and hour from which its limit, or the constraint behind it, is another."""
    constraint = run.outputs.node_constraint
    limit_kw = np.round(np.maximum(run.outputs.node_limit_kw, 0.0).astype(np.float64) / STEP_KW) * STEP_KW
    changes = np.ones(constraint.shape, bool)
    changes[1:] = (constraint[1:] != constraint[:-1]) | (
        (limit_kw[1:] != limit_kw[:-1]) & (constraint[1:] >= 0)
    )
    node, hour = np.nonzero(changes.T)
    constraint = constraint[hour, node]
    return pl.DataFrame(
        {
            "time_utc": times_utc(run.scenario.run.start_utc, hour * 3600),
            "node": named(node, node_names(run.site)),
            "limit_mw": known(np.round(limit_kw[hour, node] / 1000, 4), constraint >= 0),
            "constraint": named(constraint, CONSTRAINTS),
        }
    )


def _levels(run: Trajectory) -> list[tuple[str, slice]]:
    """Levels of the tree and the nodes of each."""
    site = run.site
    ends = np.cumsum([1, site.halls, site.groups, site.pods]).tolist()
    return [
        (level, slice(first, after)) for level, first, after in zip(LEVELS, [0, *ends], ends, strict=False)
    ]


def nodes_table(run: Trajectory) -> pl.DataFrame:
    """One row per node of the envelope tree and constraint that can limit it."""
    outputs, names, parents = run.outputs, node_names(run.site), node_parents(run.site)
    rows: list[dict[str, Any]] = []
    for level, nodes in _levels(run):
        limit_kw = np.maximum(outputs.node_limit_kw[:, nodes], 0.0).astype(np.float64)
        for name in CONSTRAINTS_OF[level]:
            code = CONSTRAINTS.index(name)
            tightest = outputs.node_constraint[:, nodes] == code
            lowest_kw = np.where(tightest, limit_kw, np.inf).min(axis=0)
            rows += [
                {
                    "node": names[node],
                    "level": level,
                    "parent": parents[node],
                    "constraint": name,
                    "hours_tightest": int(tightest[:, place].sum()),
                    "hours_bound": float(outputs.bound_s[node, code]) / 3600,
                    "lowest_limit_mw": _mw(lowest_kw[place]),
                    "least_headroom_mw": _mw(outputs.room_kw[node, code]),
                }
                for place, node in enumerate(range(nodes.start, nodes.stop))
            ]
    enums: dict[str, Any] = {
        "node": pl.Enum(names),
        "level": pl.Enum(LEVELS),
        "parent": pl.Enum(names),
        "constraint": pl.Enum(CONSTRAINTS),
        "hours_tightest": pl.Int32,
        "hours_bound": pl.Float64,
        "lowest_limit_mw": pl.Float64,
        "least_headroom_mw": pl.Float64,
    }
    return pl.DataFrame(rows, schema=enums).sort("node", "constraint")


def _mw(kw: float) -> float | None:
    return round(float(kw), 4) / 1000 if np.isfinite(kw) else None


def faults_table(run: Trajectory) -> pl.DataFrame:
    """One row per fault of the plant, in order of time, and what it did."""
    faults, cost, start_utc = run.state.faults, run.state.fault_cost, run.scenario.run.start_utc
    kinds = [FAULT_KINDS[kind] for kind in faults["kind"].tolist()]
    places = [
        f"{PLACES[kind]}-{place}" if kind in PLACES else "site"
        for kind, place in zip(kinds, faults["place"].tolist(), strict=True)
    ]
    kind = np.array(kinds, dtype=object)
    dip = kind == "grid_dip"
    amounts = {}
    for of_kind, column in AMOUNTS.items():
        size = 1000.0 if column == "limit_mw" else 1.0
        amounts[column] = known(faults["amount"] / size, kind == of_kind)
    return pl.DataFrame(
        {
            "fault": np.arange(len(faults), dtype=np.int32),
            "kind": named(faults["kind"], FAULT_KINDS),
            "place": pl.Series(places, dtype=pl.String),
            "start_utc": times_utc(start_utc, faults["start_s"]),
            "end_utc": times_utc(start_utc, faults["end_s"]),
            "count": faults["count"].astype(np.int32),
            **{column: amounts[column] for column in ("limit_mw", "residual_voltage_pu", "warmer_k")},
            "duration_s": known(faults["seconds"], dip),
            "drawn": faults["drawn"].copy(),
            "ridden_through": known(faults["ridden_through"], dip),
            "racks_tripped": faults["racks_tripped"].astype(np.int32),
            "throttle_s": known(faults["throttle_s"], faults["throttle_s"] >= 0),
            "trip_s": known(faults["trip_s"], (faults["trip_s"] >= 0) & (faults["racks_tripped"] > 0)),
            "hours_bound": faults["bound_s"] / 3600,
            "jobs_hit": cost[:, :, COST_JOBS].sum(axis=1).astype(np.int32),
            "lost_gpu_h": cost[:, :, COST_LOST_GPU_S].sum(axis=1) / 3600,
            "slowed_gpu_h": cost[:, :, COST_SLOWED_GPU_S].sum(axis=1) / 3600,
        }
    )


def fault_costs_table(run: Trajectory) -> pl.DataFrame:
    """One row per fault and tenant whom it cost something."""
    cost = run.state.fault_cost
    fault, tenant = np.nonzero((cost > 0).any(axis=2))
    return pl.DataFrame(
        {
            "fault": fault.astype(np.int32),
            "tenant": named(tenant, [*run.scenario.tenants, POOL]),
            "jobs_hit": cost[fault, tenant, COST_JOBS].astype(np.int32),
            "lost_gpu_h": cost[fault, tenant, COST_LOST_GPU_S] / 3600,
            "slowed_gpu_h": cost[fault, tenant, COST_SLOWED_GPU_S] / 3600,
        }
    )
