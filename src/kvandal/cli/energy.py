"""What `kvandal show RUN --energy` and `--job-energy JOB` print: who drew what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvandal.cli.options import emit, number, print_table

LEFT, RIGHT = "left", "right"
SHOWN = (
    ("it_wh", "IT", "MWh", 1e6),
    ("idle_wh", "idle", "MWh", 1e6),
    ("overhead_wh", "overhead", "MWh", 1e6),
    ("site_wh", "all", "MWh", 1e6),
    ("matched_wh", "matched", "MWh", 1e6),
    ("carbon_location_direct_g", "location, direct", "kg CO2e", 1e3),
    ("carbon_location_lifecycle_g", "location, life-cycle", "kg CO2e", 1e3),
    ("carbon_market_direct_g", "market, direct", "kg CO2e", 1e3),
    ("carbon_market_lifecycle_g", "market, life-cycle", "kg CO2e", 1e3),
    ("cost_cents", "cost", "EUR", 100),
    ("heat_wh", "heat sold", "MWh", 1e6),
)
"""Columns of tenant_energy.parquet as they are printed."""


def energy_document(folder: Path) -> list[dict[str, Any]]:
    """Sum up what is attributed to every tenant, in whole units; the last row is the owners'."""
    import polars as pl

    from kvandal.report.folder import RunFolder

    columns = [name for name, *_ in SHOWN]
    table = RunFolder(folder).table("tenant_energy", ["tenant", *columns])
    return table.group_by("tenant", maintain_order=True).agg(pl.col(columns).sum()).to_dicts()


def print_energy(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the document as a table, and what its rows sum to."""
    total = {name: sum(row[name] for row in rows) for name, *_ in SHOWN}
    print_table(
        f"{title}: who drew what",
        [("tenant", LEFT), *((f"{head} [{unit}]", RIGHT) for _, head, unit, _ in SHOWN)],
        [
            (row["tenant"], *(number(row[name] / scale) for name, _, _, scale in SHOWN))
            for row in [*(row for row in rows if row["site_wh"]), {"tenant": "the site's meter", **total}]
        ],
    )


def print_job_energy(document: dict[str, Any]) -> None:
    """Print the hours of a job."""
    print_table(
        f"Job {document['job']} of {document['tenant']}: what it drew, hour by hour",
        [
            ("hour", LEFT),
            ("racks", RIGHT),
            ("IT [kWh]", RIGHT),
            ("all [kWh]", RIGHT),
            ("CO2e [g]", RIGHT),
            ("EUR", RIGHT),
        ],
        [
            (
                row["time_utc"],
                str(row["racks"]),
                number(row["it_wh"] / 1e3),
                number(row["site_wh"] / 1e3),
                number(row["carbon_location_direct_g"]),
                number(row["cost_cents"] / 100),
            )
            for row in document["hours"]
        ],
    )
    emit(
        f"in all {document['site_wh'] / 1e3:,.3f} kWh, {document['energy_cost_cents'] / 100:,.2f} EUR; each rack of each hour "
        "with --json"
    )
