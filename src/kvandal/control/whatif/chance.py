"""What may come: submissions and failures, drawn once for both sides of a what-if.

Where simulated tenants submit the demand of the scenario, it goes on as that demand would (:mod:`kvandal.demand.futures`). What
else is submitted is drawn from what was: days of the last weeks, for each tenant apart, of the same weekday where four weeks are
known. A site that has lived for less than a day repeats what it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvandal.control.demand import PROJECT
from kvandal.control.loop.site import LiveSite
from kvandal.control.whatif.asked import instant
from kvandal.control.whatif.past import DAY_S, Past, Usual
from kvandal.demand.futures import Futures, Known
from kvandal.demand.jobs import JobTable
from kvandal.randomness import stream
from kvandal.runs.futures import useful_s
from kvandal.scenario.loading import from_resolved
from kvandal.scenario.model import Scenario
from kvandal.twin.failures import draw_failures
from kvandal.twin.grant_list import project_number
from kvandal.twin.records import QUEUED, RUNNING
from kvandal.twin.reliability_state import FAILURE

Array = Any

LEAST_PAST_S = 3600
"""A past that is shorter says nothing of the future."""
USUAL_GPUS, USUAL_WORK_S = 8, 4 * 3600
"""Of a project and a tenant that have never submitted anything."""
MOST_GRANT_JOBS = 20_000
"""Of one grant; beyond that they are larger."""
_GENERATED = ("frontier", "diurnal")


@dataclass(frozen=True)
class Arrivals:
    """Jobs that are submitted after now.

    Attributes
    ----------
    table : the jobs, in order
    limit_s : int64, run time asked for [s]; 0: as its class asks
    project : int64, numbers of the projects

    """

    table: JobTable
    limit_s: Array
    project: Array

    def with_more(self, more: Arrivals) -> Arrivals:
        """Return these and others, in order of submission; at one instant, these first."""
        submit_s = np.concatenate([self.table.submit_s, more.table.submit_s])
        order = np.argsort(submit_s, kind="stable")
        return Arrivals(
            JobTable.merged([self.table, more.table]),
            np.concatenate([self.limit_s, more.limit_s])[order],
            np.concatenate([self.project, more.project])[order],
        )


@dataclass(frozen=True)
class GrantDemand:
    """The demand that a grant brings.

    Attributes
    ----------
    grant, tenant, project, demand : whose, and of which class
    gpus, work_s : of each job
    every_s : time between two submissions [s]
    first_s, last_s : from when to when within the future [s]; none if they do not meet
    from_jobs : jobs from whose sizes they were taken; 0: a guess

    """

    grant: str
    tenant: str
    project: str
    demand: str
    gpus: int
    work_s: int
    every_s: float
    first_s: int
    last_s: int
    from_jobs: int

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        jobs = max(0.0, (self.last_s - self.first_s) / self.every_s)
        return {
            "grant": self.grant,
            "tenant": self.tenant,
            "project": self.project,
            "class": self.demand,
            "gpus_per_job": self.gpus,
            "hours_per_job": round(self.work_s / 3600, 4),
            "jobs": round(jobs, 1),
            "gpu_hours": round(jobs * self.gpus * self.work_s / 3600, 1),
            "sizes_from_jobs": self.from_jobs,
        }


class Chance:
    """Draws futures of a live site.

    Parameters
    ----------
    site : as it stands; its failures are those of the scenario in full, not of the live one
    past : submissions of the last weeks
    simulated : whether simulated tenants submit the demand of the scenario
    until_s : end of the future [s]

    """

    def __init__(self, site: LiveSite, past: Past, until_s: int, *, simulated: bool) -> None:
        self._site, self._past, self._until_s = site, past, until_s
        self._at_s = site.now_s
        self._full = from_resolved(site.document)
        self.drawn_classes = generated_classes(site.scenario) if simulated else ()
        self._futures = None
        if self.drawn_classes:
            self._futures = Futures(site.scenario, _known(site), until_s, self.drawn_classes)

    def arrivals(self, seed: int) -> Arrivals:
        """Draw the submissions of one future."""
        drawn = self._again(seed)
        if self._futures is None:
            return drawn
        table, _ = self._futures.draw(seed)
        number = project_number(PROJECT)
        simulated = Arrivals(table, np.zeros(len(table), np.int64), np.full(len(table), number, np.int64))
        return simulated.with_more(drawn)

    def failures(self, seed: int) -> Array:
        """Draw the failures of one future at the published rates."""
        reliability = self._full.reliability
        if not reliability.failures:
            return np.zeros(0, FAILURE)
        days = math.ceil((self._until_s - self._at_s) / DAY_S)
        found = draw_failures(seed, days, self._site.start.site.gpus, reliability)
        found["time_s"] += self._at_s + 1
        return found[found["time_s"] < self._until_s]

    @property
    def fails(self) -> bool:
        """Whether the scenario has failures."""
        return bool(self._full.reliability.failures)

    def _again(self, seed: int) -> Arrivals:
        """Days of the past once more."""
        past, at_s = self._past, self._at_s
        length_s = at_s - past.first_s
        names = list(self._site.scenario.tenants)
        rows, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        if length_s >= LEAST_PAST_S and len(past.submit_s):
            block_s = min(DAY_S, length_s)
            blocks = np.arange(length_s // block_s)
            for tenant in np.unique(past.tenant).tolist():
                random, mine = stream(seed, names[tenant], "past days"), past.tenant == tenant
                for ahead in range(math.ceil((self._until_s - at_s) / block_s)):
                    alike = blocks[(blocks + ahead + 1) % 7 == 0] if len(blocks) >= 28 else blocks
                    back = int(random.choice(alike))
                    last_s = at_s - back * block_s
                    inside = mine & (past.submit_s > last_s - block_s) & (past.submit_s <= last_s)
                    rows.append(np.flatnonzero(inside))
                    shifts.append(np.full(len(rows[-1]), (ahead + back + 1) * block_s))
        row, shift = np.concatenate(rows), np.concatenate(shifts)
        submit_s = past.submit_s[row] + shift
        order = np.lexsort((row, submit_s))
        order = order[(submit_s[order] > at_s) & (submit_s[order] < self._until_s)]
        row = row[order]
        table = JobTable(
            submit_s[order],
            past.gpus[row].astype(np.int32),
            past.work_s[row],
            past.tenant[row].astype(np.int16),
            past.demand[row].astype(np.int16),
        )
        numbers = np.array([project_number(past.project[one]) for one in row.tolist()], np.int64)
        return Arrivals(table, past.limit_s[row], numbers)


def generated_classes(scenario: Scenario) -> tuple[str, ...]:
    """Classes of demand whose future can be drawn from what they are, not from what they were."""
    return tuple(
        name
        for name, demand in scenario.demand.items()
        if demand.source in _GENERATED or demand.mean_gpus is not None
    )


def demand_of_grant(
    grant: Mapping[str, Any], usual: Usual | None, scenario: Scenario, at_s: int, until_s: int
) -> GrantDemand:
    """Spread the GPU-hours of a grant over its term, in jobs of the size that its project usually submits.

    Of a grant that is there already, only what it would bring more is new demand, from now on.
    """
    tenant = grant["tenant"]
    own = [name for name, demand in scenario.demand.items() if tenant in demand.tenants]
    allowed = [name for name in own if name in (grant.get("demand") or own)] or own or list(scenario.demand)
    start_utc = scenario.run.start_utc
    start_s = int((instant(grant["start_utc"]) - start_utc).total_seconds())
    end_s = int((instant(grant["end_utc"]) - start_utc).total_seconds())
    gpus = usual.gpus if usual is not None else USUAL_GPUS
    work_s = usual.work_s if usual is not None else USUAL_WORK_S
    work_s = max(1, min(work_s, (end_s - start_s) // 2))
    gpu_s = float(grant["gpu_hours"]) * 3600
    if (known := scenario.grants.get(grant["grant"])) is not None:
        gpu_s, start_s = gpu_s - known.gpu_s, max(start_s, at_s)
    if gpu_s <= 0 or end_s <= start_s:
        start_s = end_s = at_s
    gpus = max(gpus, math.ceil(gpu_s / work_s / MOST_GRANT_JOBS))
    first_s = max(start_s, at_s)
    return GrantDemand(
        grant=str(grant["grant"]),
        tenant=tenant,
        project=str(grant.get("project") or ""),
        demand=usual.demand if usual is not None and usual.demand in allowed else allowed[0],
        gpus=gpus,
        work_s=work_s,
        every_s=(end_s - start_s) * gpus * work_s / gpu_s if end_s > start_s else math.inf,
        first_s=first_s,
        last_s=max(first_s, min(end_s, until_s)),
        from_jobs=usual.jobs if usual is not None else 0,
    )


def arrivals_of_grant(one: GrantDemand, scenario: Scenario, seed: int) -> Arrivals:
    """Return the jobs that a grant brings, evenly spread from a random first one."""
    phase = float(stream(seed, one.grant, "grant").random())
    count = math.ceil((one.last_s - one.first_s) / one.every_s)
    submit_s = one.first_s + ((np.arange(count) + phase) * one.every_s).astype(np.int64) + 1
    submit_s = submit_s[submit_s < one.last_s]
    count = len(submit_s)
    table = JobTable(
        submit_s,
        np.full(count, one.gpus, np.int32),
        np.full(count, one.work_s, np.int64),
        np.full(count, list(scenario.tenants).index(one.tenant), np.int16),
        np.full(count, list(scenario.demand).index(one.demand), np.int16),
    )
    return Arrivals(table, np.zeros(count, np.int64), np.full(count, project_number(one.project), np.int64))


def _known(site: LiveSite) -> Known:
    """Tell what waits and runs of the simulated demand; how long it will last is known from its expected run time."""
    count = len(site.ids)
    jobs, grants = site.state.jobs[:count], site.state.job_grants[:count]
    open_now = (jobs["state"] == QUEUED) | (jobs["state"] == RUNNING)
    rows = np.flatnonzero(open_now & (grants["project"] == project_number(PROJECT)))
    table = JobTable(
        jobs["submit_s"][rows].astype(np.int64),
        jobs["asked_gpus"][rows].astype(np.int32),
        jobs["work_s"][rows].astype(np.int64),
        jobs["tenant"][rows].astype(np.int16),
        jobs["demand"][rows].astype(np.int16),
    )
    everyone = np.ones(len(rows), np.bool_)
    return Known(site.now_s, table, everyone, ~everyone, useful_s(site.state)[rows])


def seed_of(seed: int, number: int) -> int:
    """Seed of a future; the same futures whatever is asked."""
    return int(stream(seed, "whatif", "future", number).integers(0, 2**63))
