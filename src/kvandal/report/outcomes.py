"""What each fault of the plant did to whom, in words and numbers: from `faults.parquet` and `fault_costs.parquet`."""

from __future__ import annotations

from typing import Any

import polars as pl

FAULT_COLUMNS = [
    "fault", "kind", "place", "start_utc", "end_utc", "count", "limit_mw", "residual_voltage_pu", "warmer_k", "duration_s",
    "drawn", "ridden_through", "racks_tripped", "throttle_s", "trip_s", "hours_bound", "jobs_hit", "lost_gpu_h", "slowed_gpu_h",
]  # fmt: skip
COST_COLUMNS = ["fault", "tenant", "jobs_hit", "lost_gpu_h", "slowed_gpu_h"]


def outcomes(faults: pl.DataFrame, costs: pl.DataFrame) -> list[dict[str, Any]]:
    """Faults in order of time: their columns, `amount` and `outcome` in words, `tenants` with what it cost each."""
    by_fault: dict[int, list[dict[str, Any]]] = {}
    for row in costs.to_dicts():
        by_fault.setdefault(row.pop("fault"), []).append(row)
    return [
        {
            **row,
            "amount": _amount(row),
            "outcome": _outcome(row),
            "tenants": sorted(
                by_fault.get(row["fault"], []), key=lambda cost: -(cost["lost_gpu_h"] + cost["slowed_gpu_h"])
            ),
        }
        for row in faults.to_dicts()
    ]


def _amount(row: dict[str, Any]) -> str:
    """Say how much, to be read after the name of the kind."""
    if row["limit_mw"] is not None:
        return f" to {row['limit_mw']:g} MW"
    if row["residual_voltage_pu"] is not None:
        return f" to {row['residual_voltage_pu']:g} pu, {row['duration_s']:g} s"
    if row["warmer_k"] is not None:
        return f", {row['warmer_k']:+g} K"
    return f", {row['count']} units" if row["count"] > 1 else ""


def _outcome(row: dict[str, Any]) -> str:
    """Say what happened, in a few words."""
    if row["ridden_through"]:
        return "ridden through"
    told = []
    if row["throttle_s"] is not None:
        told.append(f"first rack throttled after {_seconds(row['throttle_s'])}")
    if row["racks_tripped"]:
        racks = "1 rack" if row["racks_tripped"] == 1 else f"{row['racks_tripped']:,} racks"
        told.append(
            f"{racks} off after {_seconds(row['trip_s'])}" if row["trip_s"] else f"{racks} off at once"
        )
    if row["slowed_gpu_h"] > 0:
        told.append("work slowed down")
    elif row["hours_bound"] and not told:
        told.append(f"held work back for {row['hours_bound']:.1f} h")
    return ", ".join(told) or "nothing was held back"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.0f} s"
