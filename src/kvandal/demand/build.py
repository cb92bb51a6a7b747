"""From the demand of a scenario to the table of jobs that the twin schedules, with a report per class."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kvandal.demand.bootstrap import Drawn, bootstrap
from kvandal.demand.facts import mean_gpus_busy, statistics, synthetic_statistics
from kvandal.demand.generators import Synthetic, diurnal, frontier
from kvandal.demand.jobs import Int16, Int32, JobTable
from kvandal.demand.readers import read_trace
from kvandal.demand.trace import Float64, Trace
from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Scenario

DAY_S = 86_400
GPUS_PER_RACK = 72
GPUS_PER_TRAY = 4

FRONTIER_SOURCE = "synthetic: renewal process of very large jobs"
DIURNAL_SOURCE = "synthetic: replicas that follow the hours of the day"


@dataclass(frozen=True, slots=True)
class DemandReport:
    """What one class of demand was made from, and what came out.

    Attributes
    ----------
    demand : name of the class
    source : where the jobs are from
    synthetic : True where no job was ever observed
    licence, credit : of the trace; None and "" for synthetic demand
    sha256 : checksum of the trace's file, None for synthetic demand
    rows_read : rows in the file, None for synthetic demand
    refused, repaired : rows of the file by reason
    outside_run : jobs of a replayed trace that are submitted after the end of the run
    carried_over : jobs under way at the start, submitted in the first hours with the rest of their work
    jobs : jobs submitted in the run
    gpu_hours_asked : GPU-hours of all jobs, also of what reaches beyond the end [h]
    mean_gpus_asked : GPUs busy on average in the run if every job started at once
    statistics : rows of statistic, unit, trace (as read; None if synthetic), scaled
    notes : anything else

    """

    demand: str
    source: str
    synthetic: bool
    licence: str | None
    credit: str
    sha256: str | None
    rows_read: int | None
    refused: dict[str, int]
    repaired: dict[str, int]
    outside_run: int
    carried_over: int
    jobs: int
    gpu_hours_asked: float
    mean_gpus_asked: float
    statistics: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return asdict(self)


def placeable_gpus(scenario: Scenario) -> int:
    """Largest gang that the site can place [GPUs]: one rack, or a segment of each rack.

    Examples
    --------
    >>> placeable_gpus(Scenario())
    88896

    """
    segment_gpus = scenario.policy.segment_trays * GPUS_PER_TRAY
    return max(GPUS_PER_RACK, scenario.site.racks * segment_gpus)


def build_demand(
    scenario: Scenario, traces: dict[str, Trace] | None = None
) -> tuple[JobTable, list[DemandReport]]:
    """Make the jobs of every class of demand.

    What is read here of the scenario is what :func:`kvandal.demand.reuse.demand_mark` tells apart.

    Parameters
    ----------
    scenario : the scenario; `run` (start, days, seed), `demand`, `demand_multiplier`, `site` and `policy` are used
    traces : traces that were read before, by their path; those read now are added

    Returns
    -------
    JobTable
        All jobs submitted in [0, days * 86,400) s, in order of submission.
    list of DemandReport
        One report per class, in the scenario's order.

    Raises
    ------
    TraceError
        If a trace cannot be read.
    ScenarioError
        If a class asks for an absurd number of jobs, or the time zone is unknown.

    Examples
    --------
    >>> from kvandal.scenario import load
    >>> jobs, reports = build_demand(load("stargate-norway", {"run.days": 1}))
    >>> len(jobs) == sum(report.jobs for report in reports)
    True

    """
    traces = {} if traces is None else traces
    tables, reports = [], []
    for index, (name, demand) in enumerate(scenario.demand.items()):
        if demand.source in {"frontier", "diurnal"}:
            table, report = _synthetic(scenario, name, index, demand)
        else:
            path = demand.path if demand.source == "file" and demand.path is not None else demand.source
            if path not in traces:
                traces[path] = read_trace(path)
            table, report = _traced(scenario, name, index, demand, traces[path])
        tables.append(table)
        reports.append(report)
    return JobTable.merged(tables), reports


def replay(
    trace: Trace, *, days: int, seed: int, name: str, size_multiplier: int, maximum_gpus: int
) -> tuple[Drawn, int]:
    """Take a trace as it is from the start of the run; also the number of jobs submitted after its end."""
    from kvandal.randomness import stream

    inside = int(np.searchsorted(trace.submit_s, days * DAY_S))
    gpus = np.minimum(trace.gpus[:inside].astype(np.int64) * size_multiplier, maximum_gpus).astype(np.int32)
    tenant = (
        np.full(inside, -1, dtype=np.int32)
        if trace.tenant is None
        else trace.tenant[:inside].astype(np.int32)
    )
    draw = stream(seed, name, "tenant").random(inside)
    drawn = Drawn(
        trace.submit_s[:inside], trace.run_s[:inside], gpus, draw, tenant, np.zeros(inside, dtype=np.bool_)
    )
    return drawn, len(trace) - inside


def _traced(
    scenario: Scenario, name: str, index: int, demand: Demand, trace: Trace
) -> tuple[JobTable, DemandReport]:
    days = scenario.run.days
    maximum_gpus = min(demand.maximum_gpus, placeable_gpus(scenario))
    notes = list(trace.notes)
    outside = 0
    if demand.mean_gpus is None:
        drawn, outside = replay(
            trace,
            days=days,
            seed=scenario.run.seed,
            name=name,
            size_multiplier=demand.size_multiplier,
            maximum_gpus=maximum_gpus,
        )
        if scenario.demand_multiplier != 1:
            notes.append(
                "demand_multiplier does not change a trace that is replayed as it is; give mean_gpus to scale it"
            )
    else:
        drawn = bootstrap(
            trace,
            mean_gpus=demand.mean_gpus * scenario.demand_multiplier,
            days=days,
            seed=scenario.run.seed,
            name=name,
            size_multiplier=demand.size_multiplier,
            maximum_gpus=maximum_gpus,
            start_utc=scenario.run.start_utc,
        )
    larger = int((trace.gpus.astype(np.int64) * demand.size_multiplier > maximum_gpus).sum())
    if larger:
        notes.append(
            f"{larger:,} jobs of the trace ask for more than {maximum_gpus:,} GPUs and are cut to that"
        )
    tenant = by_weight(scenario, demand, drawn.tenant_draw)
    if trace.tenant is not None:
        named, unknown = named_tenants(scenario, demand, trace, drawn.tenant)
        tenant = np.where(named >= 0, named, tenant).astype(np.int16)
        if unknown:
            notes.append(
                f"{unknown:,} jobs name a tenant that is not one of this class, or none: assigned by weight"
            )
    table = _table(drawn, tenant, index)
    mean_gpus = mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, days * DAY_S)
    fresh = ~drawn.carried
    report = DemandReport(
        demand=name,
        source=trace.source,
        synthetic=False,
        licence=trace.licence,
        credit=trace.credit,
        sha256=trace.sha256,
        rows_read=trace.rows_read,
        refused=dict(trace.refused),
        repaired=dict(trace.repaired),
        outside_run=outside,
        carried_over=int(drawn.carried.sum()),
        jobs=len(table),
        gpu_hours_asked=float((table.work_s * table.gpus).sum(dtype=np.float64)) / 3600,
        mean_gpus_asked=mean_gpus,
        statistics=statistics(
            trace,
            drawn.submit_s[fresh],
            drawn.work_s[fresh],
            drawn.gpus[fresh],
            days=days,
            mean_gpus=mean_gpus,
        ),
        notes=notes,
    )
    return table, report


def _synthetic(scenario: Scenario, name: str, index: int, demand: Demand) -> tuple[JobTable, DemandReport]:
    run = scenario.run
    mean_gpus = (demand.mean_gpus or 0.0) * scenario.demand_multiplier
    maximum_gpus = min(demand.maximum_gpus, placeable_gpus(scenario))
    if demand.source == "frontier":
        drawn = frontier(
            mean_gpus=mean_gpus,
            sizes_gpus=tuple(min(size, maximum_gpus) for size in demand.sizes_gpus),
            median_duration_h=demand.median_duration_h,
            sigma_log_duration=demand.sigma_log_duration,
            days=run.days,
            seed=run.seed,
            name=name,
        )
    else:
        drawn = diurnal(
            mean_gpus=mean_gpus,
            replica_gpus=min(demand.replica_gpus, maximum_gpus),
            amplitude_fraction=demand.diurnal_amplitude_fraction,
            peak_hour_local=demand.peak_hour_local,
            weekend_fraction=demand.weekend_fraction,
            time_zone=scenario.site.time_zone,
            start_utc=run.start_utc,
            days=run.days,
            seed=run.seed,
            name=name,
        )
    table = _table(drawn, by_weight(scenario, demand, drawn.tenant_draw), index)
    busy = mean_gpus_busy(drawn.submit_s, drawn.work_s, drawn.gpus, run.days * DAY_S)
    report = DemandReport(
        demand=name,
        source=FRONTIER_SOURCE if demand.source == "frontier" else DIURNAL_SOURCE,
        synthetic=True,
        licence=None,
        credit="",
        sha256=None,
        rows_read=None,
        refused={},
        repaired={},
        outside_run=0,
        carried_over=0,
        jobs=len(table),
        gpu_hours_asked=float((table.work_s * table.gpus).sum(dtype=np.float64)) / 3600,
        mean_gpus_asked=busy,
        statistics=synthetic_statistics(
            drawn.submit_s, drawn.work_s, drawn.gpus, days=run.days, mean_gpus=busy
        ),
        notes=list(drawn.notes),
    )
    return table, report


def _table(drawn: Drawn | Synthetic, tenant: Int16, index: int) -> JobTable:
    return JobTable(
        drawn.submit_s, drawn.gpus, drawn.work_s, tenant, np.full(tenant.shape[0], index, dtype=np.int16)
    )


def by_weight(scenario: Scenario, demand: Demand, draw: Float64) -> Int16:
    """Assign jobs to the class's tenants by weight; returns indices into the scenario's tenants."""
    place = {name: position for position, name in enumerate(scenario.tenants)}
    positions = np.array([place[name] for name in demand.tenants], dtype=np.int16)
    weights = np.array(list(demand.tenants.values()), dtype=np.float64)
    bounds = np.cumsum(weights / weights.sum())[:-1]
    return positions[np.searchsorted(bounds, draw, side="right")]


def named_tenants(scenario: Scenario, demand: Demand, trace: Trace, code: Int32) -> tuple[Int32, int]:
    """Tenants that the trace names, where they belong to the class; else -1, and how many."""
    place = {name: position for position, name in enumerate(scenario.tenants)}
    known = [place[name] if name in demand.tenants else -1 for name in trace.tenants]
    named = np.array([*known, -1], dtype=np.int32)[code]  # code -1 reads the last entry
    return named, int((named < 0).sum())
