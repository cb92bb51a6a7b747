"""What jobs have used of grants, and whether a project may submit another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, or_, select

from kvandal.client.resources.grants import Grant, Use
from kvandal.client.resources.jobs import ENDED
from kvandal.control.store.tables.loop import JOBS, SITE_NOW
from kvandal.control.store.tables.office import GRANTS, PROJECTS

SECONDS = 3600


RUNS = ("running", "recalled")


def uses(tx: Connection, grants: Iterable[Grant], now_utc: datetime | None = None) -> dict[str, Use]:
    """Return what was used of grants: each job draws on one of its project, see :func:`drawn`.

    What a job holds now counts from its start up to `now_utc` (left out: as the loop last told the site): it is entered with
    the job only when a run of it ends.
    """
    now_utc = now_utc or tx.execute(select(SITE_NOW.c.at_utc)).scalar()
    by_project: dict[str, list[Grant]] = defaultdict(list)
    for grant in grants:
        by_project[grant.project].append(grant)
    found: dict[str, Use] = {}
    for project, own in by_project.items():
        jobs = tx.execute(
            select(*(JOBS.c[name] for name in _READ))
            .where(JOBS.c.project == project, JOBS.c.tenant == own[0].tenant)
            .where(or_(JOBS.c.used_gpu_s > 0, JOBS.c.state.in_(RUNS)))
            .where(JOBS.c.submitted_utc >= min(grant.start_utc for grant in own))
            .order_by(JOBS.c.number)
        ).all()
        found |= drawn(own, [_with_what_it_holds(job, now_utc) for job in jobs])
    return found


_READ = (
    "submitted_utc",
    "demand",
    "used_gpu_s",
    "useful_gpu_s",
    "state",
    "started_utc",
    "gpus",
    "shares",
)


@dataclass(frozen=True, slots=True)
class JobUse:
    """What a job has used: of which class, submitted when, GPU-seconds held and those of them not lost."""

    submitted_utc: datetime
    demand: str
    used_gpu_s: int
    useful_gpu_s: int


def _with_what_it_holds(job: Any, now_utc: datetime | None) -> JobUse:
    held_s = 0
    if job.state in RUNS and None not in {job.started_utc, now_utc}:
        gpus = sum(gpus for _, gpus in job.shares) or job.gpus
        held_s = max(int(gpus * (now_utc - job.started_utc).total_seconds()), 0)
    return JobUse(job.submitted_utc, job.demand, job.used_gpu_s + held_s, job.useful_gpu_s)


def drawn(grants: Sequence[Grant], jobs: Iterable[JobUse]) -> dict[str, Use]:
    """Let each job draw on the grant of its project that ends first, of those in force with hours left (G1).

    Parameters
    ----------
    grants
        Of one project.
    jobs
        In order of submission.

    """
    order = sorted(grants, key=lambda grant: (grant.end_utc, grant.start_utc, grant.id))
    used, useful = (
        dict.fromkeys((grant.id for grant in grants), 0),
        dict.fromkeys((grant.id for grant in grants), 0),
    )
    for job in jobs:
        fitting = [
            grant
            for grant in order
            if grant.start_utc <= job.submitted_utc < grant.end_utc
            and (not grant.demand or job.demand in grant.demand)
        ]
        if not fitting:
            continue
        with_room = (grant for grant in fitting if used[grant.id] < grant.gpu_hours * SECONDS)
        taken = next(with_room, fitting[-1])
        used[taken.id] += job.used_gpu_s
        useful[taken.id] += job.useful_gpu_s
    return {key: Use(used_gpu_s=used[key], useful_gpu_s=useful[key]) for key in used}


def lacks(
    tx: Connection, tenant: str, project: str, gpus: int, limit_s: int, now_utc: datetime
) -> str | None:
    """Say what a project lacks to submit a job; None where nothing.

    A project that the office does not know needs no grant: the roles of its people, and the tenant's share, bound it. What
    counts as left is what grants in force hold, less what ended jobs have usefully used and what open ones may need yet.
    """
    own = tx.execute(select(PROJECTS.c.tenant).where(PROJECTS.c.id == project)).scalar()
    if own is None:
        return None
    if own != tenant:
        return f"{project} is a project of {own}, not of {tenant}"
    hours, first = tx.execute(
        select(func.sum(GRANTS.c.gpu_hours), func.min(GRANTS.c.start_utc)).where(
            GRANTS.c.project == project,
            GRANTS.c.state.in_(("planned", "active")),
            GRANTS.c.start_utc <= now_utc,
            GRANTS.c.end_utc > now_utc,
        )
    ).one()
    if hours is None:
        return f"{project} has no grant in force; apply for one"
    ended = JOBS.c.state.in_(sorted(ENDED))
    need = case((ended, JOBS.c.useful_gpu_s), else_=JOBS.c.gpus * JOBS.c.limit_s)
    taken = tx.execute(
        select(func.coalesce(func.sum(need), 0)).where(
            JOBS.c.project == project, JOBS.c.tenant == tenant, JOBS.c.submitted_utc >= first
        )
    ).scalar_one()
    left_s, needed_s = int(hours) * SECONDS - int(taken), gpus * limit_s
    if needed_s <= left_s:
        return None
    return (
        f"the grants of {project} have {max(left_s, 0) / SECONDS:,.1f} GPU-h left, the job may need "
        f"{needed_s / SECONDS:,.1f}"
    )
