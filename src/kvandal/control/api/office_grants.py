"""Grants and what projects are told of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import or_, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.applications import OfficeEvent, WithReason
from kvandal.client.resources.base import Name, Page
from kvandal.client.resources.grants import Grant, GrantState, NewReport, Notice
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.office_desk import GrantId, answer, at_desk, refuse_other_version, tag_of
from kvandal.control.api.office_registry import ListQuery, listed
from kvandal.control.api.paging import paged
from kvandal.control.api.reading import Read
from kvandal.control.api.sight import seen
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.office import awards
from kvandal.control.office.desk import Desk, history
from kvandal.control.store.tables.office import GRANTS, NOTICES, PROJECT_PEOPLE, PROJECTS

router = APIRouter(tags=["access office"])
Reader = Annotated[Principal, require("project.read")]
"""Whoever has a project may read of its grants, also before the site knows him as its member."""


class GrantQuery(ListQuery):
    """Which grants are listed."""

    state: Annotated[list[GrantState], Field(max_length=5)] = Field(default_factory=list)
    tenant: Name | None = None
    project: Name | None = None


class NoticeQuery(ListQuery):
    """Which notices are listed."""

    project: Name | None = None


def _own(caller: Principal) -> Any:
    return select(PROJECT_PEOPLE.c.project).where(PROJECT_PEOPLE.c.person == caller.id)


@router.get("/grants", response_model=Page[Grant])
async def list_grants(
    request: Request, query: Annotated[GrantQuery, Query()], caller: Reader, read: Read
) -> Response:
    """List grants, with what was used of them."""
    places = caller.places("grant.read")
    statement = select(GRANTS).where(
        or_(seen(places, GRANTS.c.tenant, GRANTS.c.project), GRANTS.c.project.in_(_own(caller)))
    )
    for name in ("tenant", "project"):
        if (wanted := getattr(query, name)) is not None:
            statement = statement.where(GRANTS.c[name] == wanted)
    if query.state:
        statement = statement.where(GRANTS.c.state.in_(query.state))
    statement = listed(query, statement, GRANTS)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        found = awards.with_uses(desk.tx, [awards.grant_of(row) for row in rows], desk.now_utc)
        return [grant.model_dump(mode="json") for grant in found], following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.get("/grants/{grant_id}", response_model=Grant)
async def get_grant(request: Request, grant_id: GrantId, caller: Reader, read: Read) -> Response:
    """Tell how a grant stands, and what was used of it."""
    found = await read(at_desk(request, caller, lambda desk: awards.visible_grant(desk, grant_id)))
    return told(request, dumped(found.model_dump(mode="json")), tag_of(found))


@router.get("/grants/{grant_id}/history", response_model=Page[OfficeEvent])
async def get_grant_history(request: Request, grant_id: GrantId, caller: Reader, read: Read) -> Response:
    """Tell every step of a grant."""

    def work(desk: Desk) -> list[OfficeEvent]:
        awards.visible_grant(desk, grant_id)
        return history(desk.tx, grant_id)

    events = await read(at_desk(request, caller, work))
    items = [event.model_dump(mode="json") for event in events]
    return told(request, dumped({"items": items, "next": None}))


@router.post("/grants/{grant_id}/report", response_model=Grant)
async def report_on_grant(
    request: Request,
    grant_id: GrantId,
    report: NewReport,
    caller: Annotated[Principal, require("application.write")],
    write: Once,
) -> Response:
    """Hand in the report of a grant."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, awards.visible_grant(desk, grant_id))
        return answer(awards.report(desk, grant_id, report))

    return await write(at_desk(request, caller, work))


@router.post("/grants/{grant_id}/send-back", response_model=Grant)
async def send_report_back(
    request: Request,
    grant_id: GrantId,
    reason: WithReason,
    caller: Annotated[Principal, require("grant.write")],
    write: Once,
) -> Response:
    """Send the report of a grant back."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, awards.visible_grant(desk, grant_id))
        return answer(awards.send_back(desk, grant_id, reason.reason))

    return await write(at_desk(request, caller, work))


@router.post("/grants/{grant_id}/end", response_model=Grant)
async def end_grant(
    request: Request,
    grant_id: GrantId,
    reason: WithReason,
    caller: Annotated[Principal, require("grant.write")],
    write: Once,
) -> Response:
    """End a grant before its term: nothing more starts on it."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, awards.visible_grant(desk, grant_id))
        return answer(awards.end_early(desk, grant_id, reason.reason))

    return await write(at_desk(request, caller, work))


@router.get("/notices", response_model=Page[Notice])
async def list_notices(
    request: Request, query: Annotated[NoticeQuery, Query()], caller: Reader, read: Read
) -> Response:
    """List what projects were told: decisions, reminders, hours returned, reports due."""
    places = caller.places("project.read")
    visible = select(PROJECTS.c.id).where(
        or_(seen(places, PROJECTS.c.tenant, PROJECTS.c.id), PROJECTS.c.id.in_(_own(caller)))
    )
    statement = select(NOTICES).where(NOTICES.c.project.in_(visible))
    if query.project is not None:
        statement = statement.where(NOTICES.c.project == query.project)
    statement = listed(query, statement, NOTICES)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        return [row._asdict() for row in rows], following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)
