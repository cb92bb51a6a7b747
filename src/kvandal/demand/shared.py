"""The same jobs for two scenarios: a change of the site or its tenants must not draw other demand unseen.

What a class of demand draws depends on the site, too: jobs larger than the site are cut to what it can place, and the
number of jobs makes up for that. A class that the change does not concern therefore keeps the jobs of the base; those
that cannot be placed in the changed site are refused there, as they would be.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kvandal.demand.build import DemandReport, build_demand
from kvandal.demand.jobs import JobTable
from kvandal.scenario.model import Scenario

HELD = "the jobs of the base of a what-if; this scenario alone would have drawn others"


@dataclass(frozen=True, slots=True)
class SharedDemand:
    """The demand of a base and of its variant.

    Attributes
    ----------
    base, variant : jobs and where they came from, of either side
    differs : what differs between the sides, one text for each class of demand; empty if nothing does
    held : classes of which the variant alone would have drawn other jobs

    """

    base: tuple[JobTable, list[DemandReport]]
    variant: tuple[JobTable, list[DemandReport]]
    differs: tuple[str, ...]
    held: tuple[str, ...]


def shared_demand(base: Scenario, variant: Scenario) -> SharedDemand:
    """Make the jobs of a base and of its variant, the same wherever the change is not about demand.

    Parameters
    ----------
    base, variant
        Two scenarios of the same time and seed.

    Raises
    ------
    InputError
        If a trace cannot be read, or a class asks for an absurd number of jobs.

    """
    jobs, reports = build_demand(base)
    own_jobs, own_reports = build_demand(variant)
    place = {name: number for number, name in enumerate(variant.tenants)}
    tenant_of = np.array([place.get(name, -1) for name in base.tenants] or [-1], np.int16)
    parts, taken, differs, held = [], [], [], []
    for number, name in enumerate(variant.demand):
        own, report = _of_class(own_jobs, number), own_reports[number]
        before = None
        if name in base.demand:
            old = list(base.demand).index(name)
            before = _of_class(jobs, old)
            before = replace(
                before, tenant=tenant_of[before.tenant], demand=np.full_like(before.demand, number)
            )
            if _untouched(base, variant, name) and not _equal(before, own):
                own, report = before, replace(reports[old], notes=[*reports[old].notes, HELD])
                held.append(name)
        if before is None or not _equal(before, own):
            differs.append(_difference(name, before, own))
        parts.append(own)
        taken.append(report)
    for old, name in enumerate(base.demand):
        if name not in variant.demand:
            differs.append(_difference(name, _of_class(jobs, old), None))
    return SharedDemand((jobs, reports), (JobTable.merged(parts), taken), tuple(differs), tuple(held))


def _of_class(jobs: JobTable, number: int) -> JobTable:
    rows = jobs.demand == number
    columns: dict[str, Any] = {field.name: getattr(jobs, field.name)[rows] for field in fields(jobs)}
    return JobTable(**columns)


def _untouched(base: Scenario, variant: Scenario, name: str) -> bool:
    """Whether a change leaves a class of demand as it is."""
    demand = base.demand[name]
    return (
        demand == variant.demand[name]
        and (demand.mean_gpus is None or base.demand_multiplier == variant.demand_multiplier)
        and all(tenant in variant.tenants for tenant in demand.tenants)
    )


def _equal(one: JobTable, other: JobTable) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(JobTable)
    )


def _difference(name: str, before: JobTable | None, after: JobTable | None) -> str:
    """Say how the jobs of a class differ."""
    alike = before is not None and after is not None and len(before) == len(after)
    if (
        alike
        and before is not None
        and after is not None
        and _equal(before, replace(after, tenant=before.tenant))
    ):
        return f"{name}: the same jobs of other tenants"
    return f"{name}: {_told(after)} instead of {_told(before)}"


def _told(jobs: JobTable | None) -> str:
    if jobs is None or not len(jobs):
        return "no jobs"
    gpu_hours = float((jobs.work_s * jobs.gpus).sum(dtype=np.float64)) / 3600
    return f"{len(jobs):,} jobs asking for {gpu_hours:,.0f} GPU-hours"
