"""The first page and those behind it: the site now, tenants, jobs and why they wait, grants, loans."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from kvandal.control.api.problems import not_found
from kvandal.control.api.reading import Read
from kvandal.control.identity.dependencies import public, require
from kvandal.control.identity.principal import Principal
from kvandal.control.operations.reading import SiteNow
from kvandal.control.pages.day_chart import Chart, charts
from kvandal.control.pages.reading import (
    counts_for,
    grants_for,
    job_for,
    jobs_for,
    last_day,
    latest_tick,
    loans_for,
    site_for,
)
from kvandal.control.pages.rendering import ASSETS, PageRoute, asset, page
from kvandal.control.pages.words import clock
from kvandal.scenario.model import Scenario

FEW = 8
"""Rows of each list on the first page."""
Group = Literal["waiting", "running", "ended"]
Before = Annotated[int | None, Query(ge=0, lt=2**63)]
TenantQuery = Annotated[str | None, Query(max_length=200)]

router = APIRouter(route_class=PageRoute, include_in_schema=False)
"""To stand at the top of the application."""


class Day:
    """Charts of the last day, drawn once for each tick, whoever asks."""

    def __init__(self) -> None:
        self._known: tuple[Any, tuple[Chart, ...]] = (None, ())

    def __call__(self, tx: Connection, installed: float | None, zone: ZoneInfo) -> tuple[Chart, ...]:
        """Return the charts of the day before the latest tick."""
        latest = latest_tick(tx)
        if latest is None:
            return ()
        key, found = self._known
        if key != (latest, installed, zone):
            found = charts(last_day(tx, latest[1]), installed, zone)
            self._known = ((latest, installed, zone), found)
        return found


def _day(request: Request) -> Day:
    state = request.app.state
    if not hasattr(state, "pages_day"):
        state.pages_day = Day()
    found: Day = state.pages_day
    return found


def _frame(request: Request, tx: Connection, visitor: Principal) -> dict[str, Any]:
    """Return what every page shows: the name of the site, its clock, the site now."""
    scenario: Scenario = request.app.state.force(tx).scenario
    now = site_for(tx, visitor)
    zone = ZoneInfo(scenario.site.time_zone)
    return {
        "site_title": scenario.site.title,
        "zone": zone.key,
        "clock": clock(zone),
        "now": now,
        "view": _Known(now.view) if now is not None else None,
        "may": visitor.may_somewhere,
        "titles": _titles(now),
    }


class _Known:
    """A part of the view in which whatever is not there is not known."""

    def __init__(self, part: Any) -> None:
        self._part = part if isinstance(part, dict) else {}

    def __getitem__(self, key: str) -> Any:
        found = self._part.get(key)
        return _Known(found) if isinstance(found, dict) else found

    def part(self, key: str) -> _Known:
        """Return a part below, empty where it is not known."""
        return _Known(self._part.get(key))

    def list(self, key: str) -> list[Any]:
        """Return a list, empty where it is not known."""
        found = self._part.get(key)
        return list(found) if isinstance(found, list | tuple) else []


def _titles(now: SiteNow | None) -> dict[str, str]:
    """Return what each tenant that the visitor may see is called."""
    tenants = [] if now is None else now.view.get("tenants") or []
    return {str(one.get("name")): str(one.get("title") or one.get("name")) for one in tenants}


@router.get("/")
async def site_page(
    request: Request, visitor: Annotated[Principal, require("site.read")], read: Read
) -> Response:
    """Show the site now."""

    def look(tx: Connection) -> dict[str, Any]:
        known = _frame(request, tx, visitor)
        view, may = known["view"], known["may"]
        installed = None if view is None else view.part("gpus")["installed"]
        return known | {
            "charts": _day(request)(tx, installed, ZoneInfo(known["zone"])),
            "waiting": jobs_for(tx, visitor, group="waiting", limit=FEW) if may("job.read") else None,
            "loans": loans_for(tx, visitor, open_only=True, limit=FEW) if may("loan.read") else None,
            "grants": grants_for(tx, visitor, limit=FEW) if may("grant.read") else None,
        }

    return page(request, "site.html", await read(look))


@router.get("/tenants/{name}")
async def tenant_page(
    request: Request,
    name: Annotated[str, Path(max_length=200)],
    visitor: Annotated[Principal, require("tenant.read")],
    read: Read,
) -> Response:
    """Show a tenant: its shares, its jobs, its grants, its loans."""

    def look(tx: Connection) -> dict[str, Any]:
        known = _frame(request, tx, visitor)
        tenants = [] if known["view"] is None else known["view"].list("tenants")
        tenant = next((one for one in tenants if one.get("name") == name), None)
        if tenant is None:
            raise not_found("tenant", name)
        may = known["may"]
        return known | {
            "tenant": _Known(tenant),
            "waiting": jobs_for(tx, visitor, tenant=name, group="waiting", limit=FEW)
            if may("job.read")
            else None,
            "running": jobs_for(tx, visitor, tenant=name, group="running", limit=FEW)
            if may("job.read")
            else None,
            "loans": loans_for(tx, visitor, tenant=name, open_only=True, limit=FEW)
            if may("loan.read")
            else None,
            "grants": grants_for(tx, visitor, tenant=name, limit=FEW) if may("grant.read") else None,
        }

    return page(request, "tenant.html", await read(look))


@router.get("/jobs")
async def jobs_page(
    request: Request,
    visitor: Annotated[Principal, require("job.read")],
    read: Read,
    tenant: TenantQuery = None,
    state: Annotated[Group | Literal[""] | None, Query()] = None,
    before: Before = None,
) -> Response:
    """List jobs, and why they wait."""
    group, whose = state or None, tenant or None

    def look(tx: Connection) -> dict[str, Any]:
        return _frame(request, tx, visitor) | {
            "jobs": jobs_for(tx, visitor, tenant=whose, group=group, before=before),
            "counts": counts_for(tx, visitor, whose),
            "tenant": whose,
            "state": group,
            "before": before,
        }

    return page(request, "jobs.html", await read(look))


@router.get("/jobs/{job_id}")
async def job_page(
    request: Request,
    job_id: Annotated[str, Path(max_length=60)],
    visitor: Annotated[Principal, require("job.read")],
    read: Read,
) -> Response:
    """Show a job: what it waits for, what happened to it, by which rules, and where it runs."""

    def look(tx: Connection) -> dict[str, Any]:
        found = job_for(tx, visitor, job_id)
        if found is None:
            raise not_found("job", job_id)
        job, events, loans = found
        return _frame(request, tx, visitor) | {"job": job, "events": events, "loans": loans}

    return page(request, "job.html", await read(look))


@router.get("/grants")
async def grants_page(
    request: Request,
    visitor: Annotated[Principal, require("grant.read")],
    read: Read,
    tenant: TenantQuery = None,
    before: Before = None,
) -> Response:
    """List grants and what was used of them."""

    def look(tx: Connection) -> dict[str, Any]:
        found = grants_for(tx, visitor, tenant=tenant or None, before=before)
        return _frame(request, tx, visitor) | {"grants": found, "tenant": tenant or None, "before": before}

    return page(request, "grants.html", await read(look))


@router.get("/loans")
async def loans_page(
    request: Request,
    visitor: Annotated[Principal, require("loan.read")],
    read: Read,
    tenant: TenantQuery = None,
    state: Annotated[Literal["open", ""] | None, Query()] = None,
    before: Before = None,
) -> Response:
    """List loans: who lends to whom."""

    def look(tx: Connection) -> dict[str, Any]:
        found = loans_for(tx, visitor, tenant=tenant or None, open_only=state == "open", before=before)
        return _frame(request, tx, visitor) | {
            "loans": found,
            "tenant": tenant or None,
            "state": state or None,
            "before": before,
        }

    return page(request, "loans.html", await read(look))


@router.get("/assets/{name}", dependencies=[public])
async def asset_file(request: Request, name: str) -> Response:
    """Send a style sheet or a script; its address changes with its contents, so it may be kept."""
    if name not in ASSETS:
        raise not_found("file", name)
    content, tag = asset(name)
    known = {
        "cache-control": "public, max-age=31536000, immutable",
        "etag": f'"{tag}"',
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(status_code=304, headers=known)
    return Response(content, headers=known, media_type=ASSETS[name][1])
