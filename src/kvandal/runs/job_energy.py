"""What one job of a run drew, by the hour and the rack, recomputed from the run folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvandal.errors import InputError
from kvandal.runs.folder import read_run
from kvandal.runs.restart import scenario_document


def job_energy(folder: Path, job: int) -> dict[str, Any]:
    """Attribute a run once more and keep what falls to one job.

    Returns
    -------
    `job`, `tenant`, its sums as in jobs.parquet, `hours` (rows that sum over racks) and `racks` (one row per hour and
    rack), in whole units.

    Raises
    ------
    InputError
        If there is no such job.

    """
    import polars as pl

    from kvandal.ledger import attribution
    from kvandal.ledger.columns import times_utc
    from kvandal.twin.site import build_site

    run = read_run(folder)
    jobs = run.tables["jobs"]
    if not 0 <= job < jobs.height:
        raise InputError(
            f"must be from 0 to {jobs.height - 1}, got {job}", file=str(folder), key="--job-energy"
        )
    _, scenario = scenario_document(run.record, folder)
    basis = attribution.basis_from_tables(scenario, build_site(scenario), run.tables)
    found = attribution.attribute(basis, job)
    rows = pl.DataFrame(
        {
            "time_utc": times_utc(scenario.run.start_utc, found.hours * 3600),
            "rack": found.racks,
            **{name: found.detail[:, index] for index, name in enumerate(attribution.QUANTITIES)},
        }
    ).with_columns(site_wh=pl.col("it_wh") + pl.col("idle_wh") + pl.col("overhead_wh"))
    written = rows.filter(pl.any_horizontal(pl.col(pl.Int64).exclude("rack") != 0))
    hours = written.group_by("time_utc", maintain_order=True).agg(
        pl.col("rack").n_unique().alias("racks"), pl.exclude("rack").sum()
    )
    text = pl.col("time_utc").dt.strftime("%Y-%m-%dT%H:%MZ")
    mine = jobs.row(job, named=True)
    sums = {
        name: mine[name]
        for name in (
            "it_wh",
            "site_wh",
            "carbon_location_direct_g",
            "carbon_market_direct_g",
            "energy_cost_cents",
        )
    }
    return {
        "job": job,
        "tenant": mine["tenant"],
        **sums,
        "hours": hours.with_columns(text).to_dicts(),
        "racks": written.with_columns(text).to_dicts(),
    }
