"""Asking the twin what would happen to everybody."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.policy import Question
from kvandal.control.api.answers import JSON, dumped
from kvandal.control.api.asking import WhatIfDesk
from kvandal.control.api.force import InForce
from kvandal.control.api.idempotency import refuse_other_media
from kvandal.control.api.problems import Refusal, not_valid
from kvandal.control.api.proposals import refuse_changes
from kvandal.control.api.reading import Read
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal

router = APIRouter(tags=["what-if"])


@router.post("/whatif", dependencies=[refuse_other_media], response_model=dict[str, Any])
async def ask_whatif(
    request: Request, question: Question, caller: Annotated[Principal, require("whatif.run")], read: Read
) -> Response:
    """Fork the live state into the twin and tell, tenant by tenant, what a change would do; nothing is changed.

    This writes nothing, so it needs no Idempotency-Key.
    """
    desk: WhatIfDesk = request.app.state.whatifs

    def check(tx: Connection) -> InForce:
        force: InForce = request.app.state.force(tx)
        refuse_changes(force, question.changes)
        return force

    force = await read(check)
    for number, grant in enumerate(question.grants):
        if grant.tenant not in force.leaves:
            raise not_valid(f"body.grants.{number}.tenant", grant.tenant, f"one of {', '.join(force.leaves)}")
        if grant.end_utc <= grant.start_utc:
            raise not_valid(
                f"body.grants.{number}.end_utc",
                grant.end_utc.isoformat(),
                f"after {grant.start_utc.isoformat()}",
            )
    most_mw = force.scenario.site.grid_mw
    if question.envelope_mw is not None and question.envelope_mw > most_mw:
        raise not_valid("body.envelope_mw", question.envelope_mw, f"0 to {most_mw:g} MW")
    if not desk.open:
        raise Refusal(503, "this service answers no what-ifs", kind="no-what-ifs")
    grants = [grant.model_dump(mode="json") for grant in question.grants]
    answer = await desk.ask(caller, question.changes, grants, question.envelope_mw, question.days)
    return Response(dumped(answer), headers={"cache-control": "no-store"}, media_type=JSON)
