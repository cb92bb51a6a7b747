"""Organisations and projects, calls and the ladder."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import or_, select, true
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Name, Page
from kvandal.client.resources.calls import Call, NewCall, Rung
from kvandal.client.resources.organisations import (
    NewOrganisation,
    NewProject,
    Organisation,
    OrganisationChange,
    Project,
)
from kvandal.client.resources.policy import Rule
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.office_desk import (
    CallId,
    OrganisationId,
    PersonStep,
    ProjectId,
    answer,
    at_desk,
    refuse_other_version,
    tag_of,
)
from kvandal.control.api.paging import MOST_ITEMS, Cursor, decoded, paged
from kvandal.control.api.reading import Read
from kvandal.control.api.sight import seen
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.office import calls, registry
from kvandal.control.office.desk import Desk
from kvandal.control.office.ladder import ladder
from kvandal.control.office.rules import RULES
from kvandal.control.store.tables.office import (
    CALLS,
    ORGANISATION_PEOPLE,
    ORGANISATIONS,
    PROJECT_PEOPLE,
    PROJECTS,
)

router = APIRouter(tags=["access office"])


class ListQuery(BaseModel):
    """How a list is paged."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Cursor | None = None


class ProjectQuery(ListQuery):
    """Which projects are listed."""

    tenant: Name | None = None


def listed(query: ListQuery, statement: Any, table: Any) -> Any:
    """Return the statement of a page, in the order in which things came."""
    if query.cursor is not None:
        statement = statement.where(table.c.number > decoded(query.cursor))
    return statement.order_by(table.c.number).limit(query.limit + 1)


@router.get("/ladder", response_model=Page[Rung])
async def list_rungs(request: Request, caller: Annotated[Principal, require("call.read")]) -> Response:
    """List the rungs of the ladder, the lowest first."""
    del caller
    items = [rung.model_dump(mode="json") for rung in ladder().values()]
    return told(request, dumped({"items": items, "next": None}))


@router.get("/office-rules", response_model=Page[Rule])
async def list_office_rules(request: Request, caller: Annotated[Principal, require("call.read")]) -> Response:
    """List the rules of the office: gates, conflicts of interest, steps, life of a grant."""
    del caller
    items = [{"id": key, "sentence": sentence} for key, sentence in RULES.items()]
    return told(request, dumped({"items": items, "next": None}))


@router.get("/calls", response_model=Page[Call])
async def list_calls(
    request: Request,
    query: Annotated[ListQuery, Query()],
    caller: Annotated[Principal, require("call.read")],
    read: Read,
) -> Response:
    """List calls in the order in which they were opened."""
    statement = listed(query, select(CALLS), CALLS)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        items = [calls.call_of(desk.tx, row, desk.now_utc).model_dump(mode="json") for row in rows]
        return items, following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.post("/calls", status_code=201, response_model=Call)
async def open_call(
    request: Request, call: NewCall, caller: Annotated[Principal, require("call.write")], write: Once
) -> Response:
    """Open a call."""
    return await write(
        at_desk(
            request,
            caller,
            lambda desk: answer(calls.open_call(desk, call), status=201, path=f"/v1/calls/{call.id}"),
        )
    )


@router.get("/calls/{call_id}", response_model=Call)
async def get_call(
    request: Request, call_id: CallId, caller: Annotated[Principal, require("call.read")], read: Read
) -> Response:
    """Tell how a call stands."""
    found = await read(at_desk(request, caller, lambda desk: calls.call(desk.tx, call_id, desk.now_utc)))
    return told(request, dumped(found.model_dump(mode="json")), tag_of(found))


@router.post("/calls/{call_id}/close", response_model=Call)
async def close_call(
    request: Request, call_id: CallId, caller: Annotated[Principal, require("call.write")], write: Once
) -> Response:
    """Close a call for new applications now."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, calls.call(desk.tx, call_id, desk.now_utc))
        return answer(calls.close_call(desk, call_id))

    return await write(at_desk(request, caller, work))


@router.get("/organisations", response_model=Page[Organisation])
async def list_organisations(
    request: Request,
    query: Annotated[ListQuery, Query()],
    caller: Annotated[Principal, require("organisation.read")],
    read: Read,
) -> Response:
    """List organisations: all for the office, else one's own and those of one's tenants."""
    places = caller.places("organisation.read")
    own = select(ORGANISATION_PEOPLE.c.organisation).where(ORGANISATION_PEOPLE.c.person == caller.id)
    through = select(PROJECTS.c.organisation).where(seen(places, PROJECTS.c.tenant))
    wanted = (
        true() if places.everywhere else or_(ORGANISATIONS.c.id.in_(own), ORGANISATIONS.c.id.in_(through))
    )
    statement = listed(query, select(ORGANISATIONS).where(wanted), ORGANISATIONS)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        items = [registry.organisation_of(desk.tx, row).model_dump(mode="json") for row in rows]
        return items, following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.post("/organisations", status_code=201, response_model=Organisation)
async def register_organisation(
    request: Request,
    organisation: NewOrganisation,
    caller: Annotated[Principal, require("organisation.write")],
    write: Once,
) -> Response:
    """Register an organisation; its number is checked by the rules of its country's register."""

    def work(desk: Desk) -> Answer:
        found = registry.register_organisation(desk, organisation)
        return answer(found, status=201, path=f"/v1/organisations/{found.id}")

    return await write(at_desk(request, caller, work))


@router.get("/organisations/{organisation_id}", response_model=Organisation)
async def get_organisation(
    request: Request,
    organisation_id: OrganisationId,
    caller: Annotated[Principal, require("organisation.read")],
    read: Read,
) -> Response:
    """Tell the particulars of an organisation."""
    found = await read(
        at_desk(request, caller, lambda desk: registry.visible_organisation(desk, organisation_id))
    )
    return told(request, dumped(found.model_dump(mode="json")), tag_of(found))


@router.patch("/organisations/{organisation_id}", response_model=Organisation)
async def change_organisation(
    request: Request,
    organisation_id: OrganisationId,
    change: OrganisationChange,
    caller: Annotated[Principal, require("organisation.write")],
    write: Once,
) -> Response:
    """Change the particulars of an organisation; the office then confirms them anew."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, registry.visible_organisation(desk, organisation_id))
        return answer(registry.change_organisation(desk, organisation_id, change))

    return await write(at_desk(request, caller, work))


@router.post("/organisations/{organisation_id}/approve", response_model=Organisation)
async def approve_organisation(
    request: Request,
    organisation_id: OrganisationId,
    caller: Annotated[Principal, require("application.decide")],
    write: Once,
) -> Response:
    """Confirm the particulars of an organisation."""

    def work(desk: Desk) -> Answer:
        refuse_other_version(request, registry.visible_organisation(desk, organisation_id))
        return answer(registry.approve_organisation(desk, organisation_id))

    return await write(at_desk(request, caller, work))


@router.put("/organisations/{organisation_id}/people/{person_id}", response_model=Organisation)
async def add_person(
    request: Request,
    organisation_id: OrganisationId,
    person_id: PersonStep,
    caller: Annotated[Principal, require("organisation.write")],
    write: Once,
) -> Response:
    """Let somebody belong to an organisation."""
    return await write(
        at_desk(request, caller, lambda desk: answer(registry.add_people(desk, organisation_id, [person_id])))
    )


@router.delete("/organisations/{organisation_id}/people/{person_id}", response_model=Organisation)
async def remove_person(
    request: Request,
    organisation_id: OrganisationId,
    person_id: PersonStep,
    caller: Annotated[Principal, require("organisation.write")],
    write: Once,
) -> Response:
    """Let somebody no longer belong to an organisation."""
    return await write(
        at_desk(
            request, caller, lambda desk: answer(registry.remove_person(desk, organisation_id, person_id))
        )
    )


@router.get("/projects", response_model=Page[Project])
async def list_projects(
    request: Request,
    query: Annotated[ProjectQuery, Query()],
    caller: Annotated[Principal, require("project.read")],
    read: Read,
) -> Response:
    """List projects that the caller may see."""
    own = select(PROJECT_PEOPLE.c.project).where(PROJECT_PEOPLE.c.person == caller.id)
    places = caller.places("project.read")
    statement = select(PROJECTS).where(
        or_(seen(places, PROJECTS.c.tenant, PROJECTS.c.id), PROJECTS.c.id.in_(own))
    )
    if query.tenant is not None:
        statement = statement.where(PROJECTS.c.tenant == query.tenant)
    statement = listed(query, statement, PROJECTS)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        items = [registry.project_of(desk.tx, row).model_dump(mode="json") for row in rows]
        return items, following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.post("/projects", status_code=201, response_model=Project)
async def register_project(
    request: Request, project: NewProject, caller: Annotated[Principal, require("project.write")], write: Once
) -> Response:
    """Register a project of an organisation."""

    def work(desk: Desk) -> Answer:
        found = registry.register_project(desk, project)
        return answer(found, status=201, path=f"/v1/projects/{found.id}")

    return await write(at_desk(request, caller, work))


@router.get("/projects/{project_id}", response_model=Project)
async def get_project(
    request: Request, project_id: ProjectId, caller: Annotated[Principal, require("project.read")], read: Read
) -> Response:
    """Tell how a project stands."""
    found = await read(at_desk(request, caller, lambda desk: registry.visible_project(desk, project_id)))
    return told(request, dumped(found.model_dump(mode="json")), tag_of(found))


@router.put("/projects/{project_id}/members/{person_id}", response_model=Project)
async def add_member(
    request: Request,
    project_id: ProjectId,
    person_id: PersonStep,
    caller: Annotated[Principal, require("project.write")],
    write: Once,
) -> Response:
    """Add somebody to a project that has no grant yet; later a change of the grant is asked for."""
    return await write(
        at_desk(request, caller, lambda desk: answer(registry.add_member(desk, project_id, person_id)))
    )


@router.delete("/projects/{project_id}/members/{person_id}", response_model=Project)
async def remove_member(
    request: Request,
    project_id: ProjectId,
    person_id: PersonStep,
    caller: Annotated[Principal, require("project.write")],
    write: Once,
) -> Response:
    """Take somebody out of a project."""
    return await write(
        at_desk(request, caller, lambda desk: answer(registry.remove_member(desk, project_id, person_id)))
    )
