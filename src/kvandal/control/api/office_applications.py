"""Applications: written, handed in, judged; what granting them would do to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import or_, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.applications import (
    Application,
    Assignment,
    Confirmation,
    Consequences,
    Gate,
    LookWanted,
    NewApplication,
    NewDecision,
    NewRecusal,
    NewReview,
    OfficeEvent,
    Proposal,
    State,
    WithReason,
)
from kvandal.client.resources.base import Name, Page
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.asking import WhatIfDesk
from kvandal.control.api.idempotency import Answer, Once, Write
from kvandal.control.api.office_desk import (
    ApplicationId,
    LookId,
    answer,
    at_desk,
    refuse_other_version,
    tag_of,
)
from kvandal.control.api.office_registry import ListQuery, listed
from kvandal.control.api.paging import paged
from kvandal.control.api.problems import Refusal, not_found
from kvandal.control.api.reading import Read
from kvandal.control.api.sight import seen
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.office import applications, consequences
from kvandal.control.office.desk import Desk
from kvandal.control.store.tables.office import APPLICATIONS, PROJECT_PEOPLE

router = APIRouter(tags=["access office"])
Writer = Annotated[Principal, require("application.write")]
Decider = Annotated[Principal, require("application.decide")]
Reader = Annotated[Principal, require("application.read")]


class ApplicationQuery(ListQuery):
    """Which applications are listed."""

    state: Annotated[list[State], Field(max_length=9)] = Field(default_factory=list)
    tenant: Name | None = None
    project: Name | None = None
    call: Name | None = None


@router.get("/applications", response_model=Page[Application])
async def list_applications(
    request: Request, query: Annotated[ApplicationQuery, Query()], caller: Reader, read: Read
) -> Response:
    """List applications that the caller may see; a conflict of interest hides one, so a page may be short."""
    own = select(PROJECT_PEOPLE.c.project).where(PROJECT_PEOPLE.c.person == caller.id)
    places = caller.places("application.read")
    statement = select(APPLICATIONS).where(
        or_(
            seen(places, APPLICATIONS.c.tenant, APPLICATIONS.c.project),
            APPLICATIONS.c.applicant == caller.id,
            APPLICATIONS.c.project.in_(own),
        )
    )
    for name in ("tenant", "project", "call"):
        if (wanted := getattr(query, name)) is not None:
            statement = statement.where(APPLICATIONS.c[name] == wanted)
    if query.state:
        statement = statement.where(APPLICATIONS.c.state.in_(query.state))
    statement = listed(query, statement, APPLICATIONS)

    def work(desk: Desk) -> Any:
        rows, following, headers = paged(request, desk.tx.execute(statement).all(), query.limit, "number")
        visible = (applications.seen(desk, applications.application_of(row)) for row in rows)
        return [one.model_dump(mode="json") for one in visible if one is not None], following, headers

    items, following, headers = await read(at_desk(request, caller, work))
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.post("/applications", status_code=201, response_model=Application)
async def write_application(
    request: Request, application: NewApplication, caller: Writer, write: Once
) -> Response:
    """Write the draft of an application; it is handed in by its step `submit`."""

    def work(desk: Desk) -> Answer:
        found = applications.write(desk, application)
        return answer(found, status=201, path=f"/v1/applications/{found.id}")

    return await write(at_desk(request, caller, work))


@router.get("/applications/{application_id}", response_model=Application)
async def get_application(
    request: Request, application_id: ApplicationId, caller: Reader, read: Read
) -> Response:
    """Tell how an application stands."""
    found = await read(
        at_desk(request, caller, lambda desk: applications.visible_application(desk, application_id))
    )
    return told(request, dumped(found.model_dump(mode="json")), tag_of(found))


@router.get("/applications/{application_id}/history", response_model=Page[OfficeEvent])
async def get_application_history(
    request: Request, application_id: ApplicationId, caller: Reader, read: Read
) -> Response:
    """Tell every step of an application: by whom, when, by which rule, why."""
    events = await read(
        at_desk(request, caller, lambda desk: applications.visible_history(desk, application_id))
    )
    items = [event.model_dump(mode="json") for event in events]
    return told(request, dumped({"items": items, "next": None}))


@router.get("/applications/{application_id}/gates", response_model=Page[Gate])
async def check_application(
    request: Request, application_id: ApplicationId, caller: Reader, read: Read
) -> Response:
    """Check the gates as they would be checked now; nothing is kept."""
    gates = await read(at_desk(request, caller, lambda desk: applications.precheck(desk, application_id)))
    items = [gate.model_dump(mode="json") for gate in gates]
    return told(request, dumped({"items": items, "next": None}))


async def _step(
    request: Request, write: Write, caller: Principal, key: str, kind: str, body: Mapping[str, Any]
) -> Response:
    def work(desk: Desk) -> Answer:
        after = applications.take(
            desk, key, kind, dict(body), refuse_if=lambda found: refuse_other_version(request, found)
        )
        shown = applications.seen(desk, after)
        # whoever recuses himself sees it no more
        return Answer(204) if shown is None else answer(shown)

    return await write(at_desk(request, caller, work))


@router.put("/applications/{application_id}/proposal", response_model=Application)
async def revise_application(
    request: Request, application_id: ApplicationId, proposal: Proposal, caller: Writer, write: Once
) -> Response:
    """Change what a draft asks for."""
    body = {"proposal": proposal.model_dump(mode="json")}
    return await _step(request, write, caller, application_id, "revise", body)


@router.post("/applications/{application_id}/submit", response_model=Application)
async def submit_application(
    request: Request, application_id: ApplicationId, caller: Writer, write: Once
) -> Response:
    """Hand an application in: its gates are checked at once, and a playground application is granted if all are passed."""
    return await _step(request, write, caller, application_id, "submit", {})


@router.post("/applications/{application_id}/withdraw", response_model=Application)
async def withdraw_application(
    request: Request, application_id: ApplicationId, reason: WithReason, caller: Writer, write: Once
) -> Response:
    """Withdraw an application that is not decided yet."""
    return await _step(request, write, caller, application_id, "withdraw", reason.model_dump())


@router.post("/applications/{application_id}/appeal", response_model=Application)
async def appeal(
    request: Request,
    application_id: ApplicationId,
    reason: WithReason,
    caller: Annotated[Principal, require("application.appeal")],
    write: Once,
) -> Response:
    """Appeal against a rejection, once, within three weeks."""
    return await _step(request, write, caller, application_id, "appeal", reason.model_dump())


@router.post("/applications/{application_id}/return", response_model=Application)
async def return_application(
    request: Request, application_id: ApplicationId, reason: WithReason, caller: Decider, write: Once
) -> Response:
    """Send an application back to be improved."""
    return await _step(request, write, caller, application_id, "return", reason.model_dump())


@router.post("/applications/{application_id}/confirm", response_model=Application)
async def confirm_gate(
    request: Request,
    application_id: ApplicationId,
    confirmation: Confirmation,
    caller: Decider,
    write: Once,
) -> Response:
    """Say whether a gate that needs a person is passed."""
    return await _step(request, write, caller, application_id, "confirm", confirmation.model_dump())


@router.post("/applications/{application_id}/reviewers", response_model=Application)
async def assign_reviewer(
    request: Request,
    application_id: ApplicationId,
    assignment: Assignment,
    caller: Annotated[Principal, require("application.assign")],
    write: Once,
) -> Response:
    """Choose somebody to review an application; then only those who were chosen review it."""
    return await _step(request, write, caller, application_id, "assign", assignment.model_dump())


@router.post("/applications/{application_id}/reviews", response_model=Application)
async def review_application(
    request: Request,
    application_id: ApplicationId,
    review: NewReview,
    caller: Annotated[Principal, require("application.review")],
    write: Once,
) -> Response:
    """Review an application."""
    return await _step(request, write, caller, application_id, "review", review.model_dump())


@router.post("/applications/{application_id}/recusals", response_model=Application)
async def recuse(
    request: Request,
    application_id: ApplicationId,
    recusal: NewRecusal,
    caller: Annotated[Principal, require("whatif.run")],
    write: Once,
) -> Response:
    """Declare a conflict of interest; whoever recuses himself sees the application no more (204)."""
    return await _step(request, write, caller, application_id, "recuse", recusal.model_dump())


@router.post("/applications/{application_id}/looks", response_model=Consequences)
async def look_at_consequences(
    request: Request,
    application_id: ApplicationId,
    wanted: LookWanted,
    caller: Annotated[Principal, require("whatif.run")],
    read: Read,
    write: Once,
) -> Response:
    """Ask the twin what granting an application would do to everybody; the answer is kept for the decision."""
    whatifs: WhatIfDesk = request.app.state.whatifs
    if (again := await write.again(read)) is not None:
        return again
    hours = wanted.gpu_hours
    asked = await read(
        at_desk(request, caller, lambda desk: consequences.question(desk, application_id, hours))
    )
    if not whatifs.open:
        raise Refusal(503, "this service answers no what-ifs", kind="no-what-ifs")
    seen_effects = await whatifs.ask(caller, asked["changes"], asked["grants"], None, asked["days"])

    def work(desk: Desk) -> Answer:
        key, _ = consequences.keep_look(desk, application_id, asked, seen_effects, hours)
        return Answer(
            200, Consequences.model_validate(consequences.look(desk.tx, key)).model_dump(mode="json")
        )

    return await write(at_desk(request, caller, work))


@router.get("/applications/{application_id}/looks/{look_id}", response_model=Consequences)
async def get_look(
    request: Request, application_id: ApplicationId, look_id: LookId, caller: Reader, read: Read
) -> Response:
    """Tell what somebody who judged was shown; for those who judge, and auditors."""

    def work(desk: Desk) -> Any:
        applications.visible_application(desk, application_id)
        found = consequences.look(desk.tx, look_id)
        if found["application"] != application_id or not caller.may("application.read"):
            raise not_found("look", look_id)
        return found

    found = await read(at_desk(request, caller, work))
    return told(request, dumped(Consequences.model_validate(found).model_dump(mode="json")))


@router.post("/applications/{application_id}/decision", response_model=Application)
async def decide_application(
    request: Request, application_id: ApplicationId, decision: NewDecision, caller: Decider, write: Once
) -> Response:
    """Decide an application, or an appeal: whoever does has looked at the consequences for the same hours."""
    return await _step(request, write, caller, application_id, "decide", decision.model_dump())
