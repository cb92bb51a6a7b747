"""A run: its summary, its tables, and where everything came from."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kvandal.scenario.model import Scenario
from kvandal.scenario.plausibility import warnings_of

if TYPE_CHECKING:
    import polars as pl

    from kvandal.series import Series
    from kvandal.twin.simulate import Progress, Trajectory

SCHEMA_VERSION = 1
TABLES = ("site", "halls", "racks", "tenants", "jobs", "loans", "energy", "heat", "events")


@dataclass(frozen=True)
class Run:
    """One simulated run.

    Attributes
    ----------
    record : contents of run.json: scenario, summary, inputs, warnings (docs/run-folder.md)
    tables : polars frames by name (docs/run-folder.md)

    Examples
    --------
    >>> import kvandal as kv
    >>> run = kv.simulate(kv.load("stargate-norway-phase-1", {"run.days": 1}))
    >>> run.summary["gpu_hours_installed"]
    219456.0

    """

    record: dict[str, Any]
    tables: dict[str, pl.DataFrame]

    @property
    def summary(self) -> dict[str, Any]:
        """Headline numbers; what is not known is None."""
        summary: dict[str, Any] = self.record["summary"]
        return summary

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return str(self.record["scenario_name"])

    @property
    def queues(self) -> pl.DataFrame:
        """Waits and use by tenant, one row each."""
        import polars as pl

        jobs = self.tables["jobs"]
        return (
            jobs.group_by("tenant", maintain_order=False)
            .agg(
                pl.col("tier").first(),
                pl.len().alias("jobs"),
                pl.col("start_utc").is_not_null().sum().alias("started"),
                pl.col("wait_s").quantile(0.5, "nearest").alias("wait_p50_s"),
                pl.col("wait_s").quantile(0.95, "nearest").alias("wait_p95_s"),
                (pl.col("gpu_s_allocated").sum() / 3600).alias("gpu_hours_allocated"),
                (pl.col("gpu_s_useful").sum() / 3600).alias("gpu_hours_useful"),
                pl.col("recalls").sum(),
                pl.col("failures").sum(),
            )
            .sort("tenant")
        )

    def __getattr__(self, name: str) -> pl.DataFrame:
        """Return a table by its name, e.g. ``run.site``."""
        if name in TABLES:
            return self.tables[name]
        raise AttributeError(name)


def simulate(scenario: Scenario, progress: Progress | None = None) -> Run:
    """Simulate a scenario and account for it.

    Parameters
    ----------
    scenario
        What is asked (:func:`kvandal.load`).
    progress
        Called with the ticks done and the ticks in all, about once per simulated day.

    Raises
    ------
    InputError
        If the scenario or one of its inputs cannot be used.

    """
    from kvandal.ledger import tables
    from kvandal.ledger.energy import energy_table
    from kvandal.ledger.indicators import summarise
    from kvandal.twin import simulate as twin

    trajectory = twin.simulate(scenario, progress)
    site, heat = tables.site_table(trajectory), tables.heat_table(trajectory)
    frames = {
        "site": site,
        "halls": tables.halls_table(trajectory),
        "racks": tables.racks_table(trajectory),
        "tenants": tables.tenants_table(trajectory),
        "jobs": tables.jobs_table(trajectory),
        "loans": tables.loans_table(trajectory),
        "energy": energy_table(trajectory, site, heat),
        "heat": heat,
        "events": tables.events_table(trajectory),
    }
    prices = {name: float(tenant.price_usd_per_gpu_hour) for name, tenant in scenario.tenants.items()}
    summary = summarise(frames, scenario.run.tick_s, prices)
    return Run(record=_record(trajectory, summary), tables=frames)


def _record(trajectory: Trajectory, summary: dict[str, Any]) -> dict[str, Any]:
    import kvandal
    from kvandal.ledger.tables import end_utc

    scenario = trajectory.scenario
    run = scenario.run
    return {
        "schema_version": SCHEMA_VERSION,
        "kvandal_version": kvandal.__version__,
        "scenario_name": scenario.name,
        "title": scenario.site.title,
        "seed": run.seed,
        "start_utc": run.start_utc.isoformat(),
        "end_utc": end_utc(trajectory).isoformat(),
        "days": run.days,
        "tick_s": run.tick_s,
        "summary": summary,
        "warnings": warnings_of(scenario),
        "inputs": _inputs(trajectory),
        "demand": [report.as_dict() for report in trajectory.demand],
        "scenario": scenario.model_dump(mode="json"),
        "versions": versions(),
        "tables": {},
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose numbers a run depends on."""
    import numba
    import numpy as np
    import polars as pl

    return {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "polars": pl.__version__,
    }


def _inputs(trajectory: Trajectory) -> list[dict[str, Any]]:
    weather, prices = trajectory.weather, trajectory.prices
    humidity = trajectory.scenario.climate.relative_humidity_pct
    notes = () if trajectory.wet_bulb_known else (f"humidity unknown: {humidity:g} % assumed (judgement)",)
    entries = [
        _input("weather", weather.name, weather.series, weather.rule, notes),
        _input("prices", prices.name, prices.series, prices.rule, ()),
    ]
    entries += [
        {
            "name": f"demand {report.demand}",
            "kind": "jobs",
            "source": "; ".join(text for text in (report.source, report.credit) if text),
            "licence": report.licence,
            "sha256": report.sha256,
            "synthetic": report.synthetic,
            "rule": None,
            "notes": list(report.notes),
        }
        for report in trajectory.demand
    ]
    return entries


def _input(kind: str, name: str, series: Series, rule: str, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "source": series.source,
        "licence": series.licence,
        "sha256": series.sha256 or hashlib.sha256(series.values.tobytes()).hexdigest(),
        "synthetic": series.synthetic,
        "rule": rule,
        "notes": [*series.notes, *notes],
    }
