"""Changes of the policy: proposed with what they would do, applied by who has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Page
from kvandal.client.resources.policy import Confirmation, NewPolicyChange, PolicyChange
from kvandal.control.api.answers import dumped, refuse_changed, told
from kvandal.control.api.asking import WhatIfDesk
from kvandal.control.api.force import Force, InForce
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.inbox import ask_loop
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal, fault, not_found, not_valid
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.api.tenants import CHANGEABLE, OF_POLICY, OF_TENANT
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.audit import record
from kvandal.control.store.tables.metadata import new_id
from kvandal.control.store.tables.proposals import POLICY_CHANGES
from kvandal.errors import ScenarioError
from kvandal.scenario.changes import split_key
from kvandal.scenario.loading import changed

router = APIRouter(tags=["policy"], route_class=ReadingRoute)

HOLDS_FOR = timedelta(hours=1)
"""A proposal that is older must be weighed anew."""
MOST_LISTED = 100
ChangeId = Annotated[str, Path(pattern=r"^change_[0-9a-z]{26}$", description="Id of a proposed change.")]


def refuse_changes(force: InForce, changes: Mapping[str, Any]) -> None:
    """Refuse changes of keys that cannot be changed while the site runs, and values that the scenario does not take."""
    faults = []
    for key, value in changes.items():
        try:
            steps = split_key(key)
        except ScenarioError as error:
            faults.append(fault(f"body.changes.{key}", value, "a dotted key", error.message))
            continue
        tenant = len(steps) == 3 and steps[0] == "tenants" and steps[2] in OF_TENANT
        if tenant and steps[1] not in force.scenario.tenants:
            known = f"a tenant: {', '.join(force.scenario.tenants)}"
            faults.append(
                fault(f"body.changes.{key}", value, known, f"no tenant {steps[1]!r}; must be {known}")
            )
        elif not tenant and not (len(steps) == 2 and steps[0] == "policy" and steps[1] in OF_POLICY):
            listed = f"one of {', '.join(CHANGEABLE)}"
            message = f"is not on the list of what may be changed while the site runs: {listed}"
            faults.append(fault(f"body.changes.{key}", value, listed, message))
    if not faults:
        try:
            changed(force.scenario, changes)
        except ScenarioError as error:
            field = f"body.changes.{error.key}" if error.key else "body.changes"
            faults.append(fault(field, changes.get(error.key or ""), error.message, error.message))
    if faults:
        raise Refusal(422, f"{faults[0]['field']}: {faults[0]['message']}", errors=faults)


@router.post("/policy-changes", status_code=201, response_model=PolicyChange)
async def propose_policy_change(
    request: Request,
    proposal: NewPolicyChange,
    caller: Annotated[Principal, require("policy.write")],
    read: Read,
    write: Once,
) -> Response:
    """Propose a change of the policy: it is weighed on the live state, and told what it would do to whom."""
    parts: ServiceParts = request.app.state.parts
    desk: WhatIfDesk = request.app.state.whatifs
    _refuse_partly(caller)
    if (again := await write.again(read)) is not None:
        return again

    def check(tx: Connection) -> InForce:
        held: InForce = request.app.state.force(tx)
        refuse_changes(held, proposal.changes)
        return held

    base = await read(check)
    answer = await desk.ask(caller, proposal.changes, days=proposal.days) if desk.open else None
    now, number = parts.now(), new_id("change")
    seen = dumped([number, base.version, proposal.changes, answer])
    row = {
        "id": number,
        "changes": proposal.changes,
        "reason": proposal.reason,
        "by": caller.id,
        "at_utc": now,
        "base_version": base.version,
        "whatif": answer,
        "confirmation": sha256(seen).hexdigest()[:16],
        "expires_utc": now + HOLDS_FOR,
        "state": "proposed",
        "applied_by": None,
        "applied_utc": None,
    }

    def work(tx: Connection) -> Answer:
        tx.execute(insert(POLICY_CHANGES), row)
        detail = {"changes": proposal.changes, "reason": proposal.reason}
        record(tx, caller.id, "policy.propose", number, detail)
        return Answer(201, row, {"location": f"/v1/policy-changes/{number}", "etag": '"proposed"'})

    return await write(work)


@router.get("/policy-changes", response_model=Page[PolicyChange])
async def list_policy_changes(
    request: Request, caller: Annotated[Principal, require("policy.write")], read: Read
) -> Response:
    """List the last hundred proposed changes, the newest first."""
    _refuse_partly(caller)
    statement = select(POLICY_CHANGES).order_by(POLICY_CHANGES.c.id.desc()).limit(MOST_LISTED)
    rows = await read(lambda tx: tx.execute(statement).all())
    return told(request, dumped({"items": [row._asdict() for row in rows], "next": None}))


@router.get("/policy-changes/{change_id}", response_model=PolicyChange)
async def get_policy_change(
    request: Request, change_id: ChangeId, caller: Annotated[Principal, require("policy.write")], read: Read
) -> Response:
    """Tell a proposed change, what it would do, and whether it was applied."""
    _refuse_partly(caller)
    row = await read(lambda tx: _found(tx, change_id))
    return told(request, dumped(row._asdict()), f'"{row.state}"')


@router.post("/policy-changes/{change_id}/apply", status_code=202, response_model=PolicyChange)
async def apply_policy_change(
    request: Request,
    change_id: ChangeId,
    confirmation: Confirmation,
    caller: Annotated[Principal, require("policy.write")],
    write: Once,
) -> Response:
    """Apply a proposed change: it takes the confirmation that was told with the answer, so that somebody has seen it."""
    parts: ServiceParts = request.app.state.parts
    force: Force = request.app.state.force
    _refuse_partly(caller)

    def work(tx: Connection) -> Answer:
        row = _found(tx, change_id)
        refuse_changed(request, f'"{row.state}"')
        now = parts.now()
        if row.state != "proposed":
            raise Refusal(409, "the change was applied already", kind="change-applied")
        if confirmation.confirmation != row.confirmation:
            raise not_valid(
                "body.confirmation",
                confirmation.confirmation,
                "the confirmation that was told with the proposal",
            )
        if now > row.expires_utc:
            raise Refusal(
                409,
                f"it was weighed before {row.expires_utc - HOLDS_FOR}; propose it again",
                kind="change-old",
            )
        held = force(tx)
        if held.version != row.base_version:
            raise Refusal(
                409, "the policy changed since it was weighed; propose it again", kind="policy-changed"
            )
        refuse_changes(held, row.changes)
        body = {"changes": row.changes, "reason": row.reason}
        ask_loop(tx, parts, caller, "policy", body, what="policy.apply", subject=change_id, detail=body)
        values = {"state": "applied", "applied_by": caller.id, "applied_utc": now}
        tx.execute(update(POLICY_CHANGES).where(POLICY_CHANGES.c.id == change_id).values(**values))
        return Answer(202, row._asdict() | values, {"etag": '"applied"'})

    return await write(work)


def _found(tx: Connection, change_id: str) -> Any:
    row = tx.execute(select(POLICY_CHANGES).where(POLICY_CHANGES.c.id == change_id)).one_or_none()
    if row is None:
        raise not_found("policy change", change_id)
    return row


def _refuse_partly(caller: Principal) -> None:
    if not caller.may("policy.write"):
        raise Refusal(403, f"{caller.name} may not change the policy of the whole site")
