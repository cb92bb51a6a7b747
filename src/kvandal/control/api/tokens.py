"""Tokens of programs: made, listed, revoked; told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Page
from kvandal.client.resources.identity import NewToken, PersonKey, Token, TokenMade
from kvandal.control.api.answers import JSON, dumped, told
from kvandal.control.api.force import Force
from kvandal.control.api.idempotency import REPLAYED, Answer, Once
from kvandal.control.api.paging import MOST_ITEMS, paged_by_id
from kvandal.control.api.parts import utc_now
from kvandal.control.api.problems import Refusal, fault, not_found
from kvandal.control.api.reading import Read
from kvandal.control.identity import tokens
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.people import HERE, make_person, person
from kvandal.control.identity.principal import Principal
from kvandal.control.store.tables.identity import TOKENS

router = APIRouter(tags=["identity"])

TokenId = Annotated[str, Path(pattern=r"^token_[0-9a-z]{26}$", description="Id of a token.")]


class TokenQuery(BaseModel):
    """Which tokens are listed."""

    model_config = ConfigDict(extra="forbid")

    person: PersonKey | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Annotated[str, Field(pattern=r"^token_[0-9a-z]{26}$")] | None = None


@router.get("/tokens", response_model=Page[Token])
async def list_tokens(
    request: Request,
    query: Annotated[TokenQuery, Query()],
    caller: Annotated[Principal, require("token.read")],
    read: Read,
) -> Response:
    """List one's tokens, or all for whoever may; never their secrets."""
    statement = select(TOKENS).order_by(TOKENS.c.id).limit(query.limit + 1)
    if not caller.places("token.read").everywhere:
        statement = statement.where(TOKENS.c.person == caller.id)
    if query.person is not None:
        statement = statement.where(TOKENS.c.person == query.person)
    if query.cursor is not None:
        statement = statement.where(TOKENS.c.id > query.cursor)
    rows = await read(lambda tx: tx.execute(statement).all())
    rows, following, headers = paged_by_id(request, rows, query.limit)
    document = {"items": [_document(row._mapping) for row in rows], "next": following}  # noqa: SLF001
    return told(request, dumped(document), headers=headers)


@router.post("/tokens", status_code=201, response_model=TokenMade)
async def create_token(
    request: Request, wanted: NewToken, caller: Annotated[Principal, require("token.create")], write: Once
) -> Response:
    """Make a token for some of what one may do oneself; its secret is in this answer and nowhere else."""
    force: Force = request.app.state.force
    secrets: list[str] = []

    def work(tx: Connection) -> Answer:
        now = utc_now()
        _check(caller, wanted, force(tx).leaves)
        expires_utc = now + timedelta(days=wanted.days)
        if caller.token is not None:  # a token makes none that outlives it
            expires_utc = min(expires_utc, tokens.token_row(tx, caller.token)["expires_utc"])
        if caller.kind == "local":
            _keep_local(tx, caller)
        row, secret = tokens.create_token(
            tx,
            person=caller.id,
            name=wanted.name,
            scopes=set(wanted.scopes),
            tenant=wanted.tenant or caller.limit[0],
            project=wanted.project or (caller.limit[1] if wanted.tenant in {None, caller.limit[0]} else None),
            expires_utc=expires_utc,
            by=caller.id,
            now=now,
        )
        secrets[:] = [secret]
        return Answer(201, {**_document(row), "token": None}, {"location": f"/v1/tokens/{row['id']}"})

    answer = await write(work)
    if REPLAYED in answer.headers or not secrets:
        return answer
    # Put in behind the answer that is kept for a second try: the secret stands in no table.
    document = {**orjson.loads(bytes(answer.body)), "token": secrets[0]}
    headers = {"location": answer.headers["location"], "cache-control": "no-store"}
    return Response(dumped(document), 201, headers, media_type=JSON)


@router.get("/tokens/{token_id}", response_model=Token)
async def get_token(
    request: Request, token_id: TokenId, caller: Annotated[Principal, require("token.read")], read: Read
) -> Response:
    """Tell of a token, without its secret."""
    row = await read(lambda tx: _visible(tx, caller, "token.read", token_id))
    return told(request, dumped(_document(row)))


@router.delete("/tokens/{token_id}", response_model=Token)
async def revoke_token(
    request: Request,
    token_id: TokenId,
    caller: Annotated[Principal, require("token.revoke")],
    write: Once,
    reason: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Revoke a token, for good; it holds no more in this process at once, in others within seconds."""

    def work(tx: Connection) -> Answer:
        row = _visible(tx, caller, "token.revoke", token_id)
        tokens.revoke_token(tx, row, by=caller.id, now=utc_now(), reason=reason)
        return Answer(200, _document(tokens.token_row(tx, token_id)))

    answer = await write(work)
    _forget(request)
    return answer


def _check(caller: Principal, wanted: NewToken, tenants: tuple[str, ...]) -> None:
    """Refuse a token that may do more than whoever makes it."""
    allowed, faults = tokens.grantable(caller), []
    for index, scope in enumerate(wanted.scopes):
        if scope not in allowed:
            faults.append(fault(f"body.scopes.{index}", scope, f"one of {', '.join(allowed)}"))
    limit_tenant, limit_project = caller.limit
    if limit_tenant is not None and wanted.tenant not in {None, limit_tenant}:
        faults.append(fault("body.tenant", wanted.tenant, f"{limit_tenant}, which this token is made for"))
    elif wanted.tenant is not None and wanted.tenant not in tenants:
        faults.append(fault("body.tenant", wanted.tenant, f"one of {', '.join(_own(caller, tenants))}"))
    if limit_project is not None and wanted.project not in {None, limit_project}:
        faults.append(fault("body.project", wanted.project, f"{limit_project}, which this token is made for"))
    elif wanted.project is not None and (wanted.tenant or limit_tenant) is None:
        faults.append(fault("body.project", wanted.project, "left out, or given with its tenant"))
    if faults:
        raise Refusal(422, f"{faults[0]['field']}: {faults[0]['message']}", errors=faults)


def _own(caller: Principal, tenants: tuple[str, ...]) -> list[str]:
    """Return the tenants that somebody may know of."""
    places = caller.places("tenant.read")
    return [name for name in tenants if places.everywhere or name in places.tenants]


def _keep_local(tx: Connection, caller: Principal) -> None:
    """Keep the local principal as a person, without roles: his tokens hold in local mode alone."""
    try:
        person(tx, caller.id)
    except KeyError:
        make_person(
            tx,
            issuer=HERE,
            subject=caller.id,
            name=caller.name,
            email="",
            by=caller.id,
            now=utc_now(),
            key=caller.id,
        )


def _visible(tx: Connection, caller: Principal, action: str, token_id: str) -> Any:
    try:
        row = tokens.token_row(tx, token_id)
    except KeyError:
        raise not_found("token", token_id) from None
    if not caller.may(action, owner=row["person"]):
        raise not_found("token", token_id)
    return row


def _document(row: Any) -> dict[str, Any]:
    """Tell of a token; neither it nor its hash."""
    document = {name: row[name] for name in Token.model_fields if name != "state"}
    state = "revoked" if row["revoked_utc"] else "expired" if row["expires_utc"] <= utc_now() else "valid"
    return {**document, "tenant": row["tenant"] or None, "project": row["project"] or None, "state": state}


def _forget(request: Request) -> None:
    forget = getattr(request.app.state.identity, "forget", None)
    if forget is not None:
        forget()
