"""What the pages read of the store, each for one visitor: what he may not see is not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from kvandal.client.resources.grants import Grant
from kvandal.control.api.sight import seen
from kvandal.control.identity.principal import Principal
from kvandal.control.office.awards import grant_of, with_uses
from kvandal.control.operations.reading import SiteNow, site_now
from kvandal.control.pages.day_chart import Tick
from kvandal.control.pages.words import GROUPS
from kvandal.control.store.tables.loop import JOB_EVENTS, JOBS, LOANS, SITE_TICKS
from kvandal.control.store.tables.office import GRANTS

DAY = timedelta(hours=24)
MOST_EVENTS = 200
"""Events of a job that its page shows, the latest ones."""
LISTED = [
    JOBS.c[name]
    for name in (
        "number", "id", "tenant", "project", "name", "demand", "gpus", "state", "reason_rule", "reason", "tier",
        "submitted_utc", "started_utc", "deadline_utc", "ended_utc",
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a list; `before` asks for the next one, None: there is none."""

    rows: Sequence[Any]
    before: int | None


def site_for(tx: Connection, visitor: Principal) -> SiteNow | None:
    """Return the site now with the tenants that the visitor may see; None before the first cycle."""
    now = site_now(tx)
    if now is None:
        return None
    places = visitor.places("tenant.read")
    tenants = [
        one for one in now.view.get("tenants") or () if places.everywhere or one.get("name") in places.tenants
    ]
    return SiteNow(now.version, now.at_utc, {**now.view, "tenants": tenants})


def latest_tick(tx: Connection) -> tuple[int, datetime] | None:
    """Return when the latest tick began: second of the site, and the instant."""
    row = tx.execute(
        select(SITE_TICKS.c.time_s, SITE_TICKS.c.at_utc).order_by(SITE_TICKS.c.time_s.desc()).limit(1)
    ).one_or_none()
    return None if row is None else (row.time_s, row.at_utc)


def last_day(tx: Connection, until: datetime) -> list[Tick]:
    """Return the ticks of the day before an instant."""
    rows = tx.execute(
        select(
            SITE_TICKS.c.at_utc, SITE_TICKS.c.site_power_mw, SITE_TICKS.c.it_power_mw, SITE_TICKS.c.envelope_mw,
            SITE_TICKS.c.gpus_firm, SITE_TICKS.c.gpus_assured, SITE_TICKS.c.gpus_lent,
        )
        .where(SITE_TICKS.c.at_utc > until - DAY, SITE_TICKS.c.at_utc <= until)
        .order_by(SITE_TICKS.c.time_s)
    )  # fmt: skip
    return [
        Tick(at, site, it, envelope, (firm, assured, lent))
        for at, site, it, envelope, firm, assured, lent in rows
    ]


def jobs_for(
    tx: Connection,
    visitor: Principal,
    *,
    tenant: str | None = None,
    group: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Part:
    """Return jobs, those that wait in order of acceptance, all others the newest first."""
    oldest_first = group == "waiting"
    order = JOBS.c.number if oldest_first else JOBS.c.number.desc()
    found = select(*LISTED).where(seen(visitor.places("job.read"), JOBS.c.tenant, JOBS.c.project))
    if tenant is not None:
        found = found.where(JOBS.c.tenant == tenant)
    if group is not None:
        found = found.where(JOBS.c.state.in_(GROUPS[group]))
    if before is not None:
        found = found.where(JOBS.c.number > before if oldest_first else JOBS.c.number < before)
    return _cut(tx.execute(found.order_by(order).limit(limit + 1)).all(), limit, "number")


def counts_for(tx: Connection, visitor: Principal, tenant: str | None) -> dict[str, int]:
    """Count the jobs of each group of states, as far as the visitor may see them."""
    found = select(JOBS.c.state, func.count()).where(
        seen(visitor.places("job.read"), JOBS.c.tenant, JOBS.c.project)
    )
    if tenant is not None:
        found = found.where(JOBS.c.tenant == tenant)
    by_state = {row.state: row[1] for row in tx.execute(found.group_by(JOBS.c.state))}
    return {group: sum(by_state.get(state, 0) for state in states) for group, states in GROUPS.items()}


def job_for(
    tx: Connection, visitor: Principal, job: str
) -> tuple[Row[Any], Sequence[Row[Any]], Sequence[Row[Any]]] | None:
    """Return a job, its latest events and its loans; None where it is none of the visitor's business."""
    row = tx.execute(select(JOBS).where(JOBS.c.id == job)).one_or_none()
    if row is None or not visitor.may("job.read", row.tenant, row.project):
        return None
    events = tx.execute(
        select(JOB_EVENTS).where(JOB_EVENTS.c.job == job).order_by(JOB_EVENTS.c.id.desc()).limit(MOST_EVENTS)
    ).all()
    loans = tx.execute(
        select(LOANS).where(LOANS.c.job == job).order_by(LOANS.c.id.desc()).limit(MOST_EVENTS)
    ).all()
    return row, events, loans


def loans_for(
    tx: Connection,
    visitor: Principal,
    *,
    tenant: str | None = None,
    open_only: bool = False,
    before: int | None = None,
    limit: int = 50,
) -> Part:
    """Return loans, the newest first; a lender is not told which job of another tenant holds its GPUs."""
    places = visitor.places("loan.read")
    found = select(LOANS).order_by(LOANS.c.id.desc()).limit(limit + 1)
    if not places.everywhere:
        mine = sorted(places.tenants)
        found = found.where(or_(LOANS.c.lender.in_(mine), LOANS.c.borrower.in_(mine)))
    if tenant is not None:
        found = found.where(or_(LOANS.c.lender == tenant, LOANS.c.borrower == tenant))
    if open_only:
        found = found.where(LOANS.c.state != "returned")
    if before is not None:
        found = found.where(LOANS.c.id < before)
    part = _cut(tx.execute(found).all(), limit, "id")
    rows = [
        {**row._asdict(), "job": row.job if visitor.may("job.read", row.borrower) else ""}
        for row in part.rows
    ]
    return Part(rows, part.before)


def grants_for(
    tx: Connection,
    visitor: Principal,
    *,
    tenant: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Part:
    """Return grants with what was used of them, the newest first."""
    found = select(GRANTS).where(seen(visitor.places("grant.read"), GRANTS.c.tenant, GRANTS.c.project))
    if tenant is not None:
        found = found.where(GRANTS.c.tenant == tenant)
    if before is not None:
        found = found.where(GRANTS.c.number < before)
    part = _cut(tx.execute(found.order_by(GRANTS.c.number.desc()).limit(limit + 1)).all(), limit, "number")
    grants: list[Grant] = with_uses(tx, [grant_of(row) for row in part.rows]) if part.rows else []
    return Part(grants, part.before)


def _cut(rows: Sequence[Any], limit: int, key: str) -> Part:
    return Part(rows[:limit], getattr(rows[limit - 1], key) if len(rows) > limit else None)
