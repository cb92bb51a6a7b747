"""People and their roles: who may give which to whom."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, and_, exists, or_, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Name, Page, Reason
from kvandal.client.resources.identity import NewRole, Person, PersonChange, PersonFound, PersonKey
from kvandal.client.resources.identity import Role as RoleTold
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.force import Force
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.paging import MOST_ITEMS, paged_by_id
from kvandal.control.api.parts import utc_now
from kvandal.control.api.problems import Refusal, not_found, not_valid
from kvandal.control.api.reading import Read
from kvandal.control.api.sight import seen
from kvandal.control.api.tokens import _forget
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.people import fault_of, give_role, may_give, person, set_disabled, take_role
from kvandal.control.identity.permissions import Role
from kvandal.control.identity.principal import Principal, RoleGrant
from kvandal.control.identity.sessions import end_sessions_of
from kvandal.control.store.tables.identity import PEOPLE, ROLES

router = APIRouter(tags=["identity"])

PersonId = Annotated[str, Path(pattern=r"^(person_[0-9a-z]{26}|local)$", description="Id of a person.")]
RoleId = Annotated[
    str, Path(pattern=r"^role_[0-9a-z]{26}$", description="Id of a role that somebody was given.")
]


class PersonQuery(BaseModel):
    """Which people are listed."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(max_length=254)] | None = None
    tenant: Name | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Annotated[str, Field(pattern=r"^(person_[0-9a-z]{26}|local)$")] | None = None


class RoleQuery(BaseModel):
    """Which roles are listed."""

    model_config = ConfigDict(extra="forbid")

    person: PersonKey | None = None
    tenant: Name | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Annotated[str, Field(pattern=r"^role_[0-9a-z]{26}$")] | None = None


@router.get("/people", response_model=Page[Person])
async def list_people(
    request: Request,
    query: Annotated[PersonQuery, Query()],
    caller: Annotated[Principal, require("person.read")],
    read: Read,
) -> Response:
    """List people: all for the site, those of the tenant for its administrator."""
    statement = select(PEOPLE).where(_in_sight(caller)).order_by(PEOPLE.c.id).limit(query.limit + 1)
    if query.email is not None:
        statement = statement.where(PEOPLE.c.email == query.email)
    if query.tenant is not None:
        statement = statement.where(
            exists().where(ROLES.c.person == PEOPLE.c.id, ROLES.c.tenant == query.tenant)
        )
    if query.cursor is not None:
        statement = statement.where(PEOPLE.c.id > query.cursor)

    def work(tx: Connection) -> tuple[list[dict[str, Any]], str | None, dict[str, str]]:
        rows, following, headers = paged_by_id(request, tx.execute(statement).all(), query.limit)
        return [_document(tx, caller, row._mapping) for row in rows], following, headers  # noqa: SLF001

    items, following, headers = await read(work)
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.get("/people/find", response_model=PersonFound)
async def find_person(
    request: Request,
    email: Annotated[str, Query(min_length=3, max_length=254)],
    caller: Annotated[Principal, require("role.write")],
    read: Read,
) -> Response:
    """Find somebody by his whole address, to give him a role: who has none yet is in nobody's list."""
    del caller
    statement = (
        select(PEOPLE.c.id, PEOPLE.c.name).where(PEOPLE.c.email == email).order_by(PEOPLE.c.id).limit(1)
    )
    row = await read(lambda tx: tx.execute(statement).one_or_none())
    if row is None:
        raise not_found("person", email)
    return told(request, dumped(row._asdict()))


@router.get("/people/{person_id}", response_model=Person)
async def get_person(
    request: Request, person_id: PersonId, caller: Annotated[Principal, require("person.read")], read: Read
) -> Response:
    """Tell who somebody is."""
    return told(
        request, dumped(await read(lambda tx: _document(tx, caller, _visible(tx, caller, person_id))))
    )


@router.patch("/people/{person_id}", response_model=Person)
async def change_person(
    request: Request,
    person_id: PersonId,
    change: PersonChange,
    caller: Annotated[Principal, require("person.write")],
    write: Once,
) -> Response:
    """Lock somebody out at once, with all his sessions and tokens, or let him in again; operators alone."""

    def work(tx: Connection) -> Answer:
        _visible(tx, caller, person_id)
        set_disabled(tx, person_id, disabled=change.disabled, reason=change.reason, by=caller.id)
        if change.disabled:
            end_sessions_of(tx, person_id)
        return Answer(200, _document(tx, caller, person(tx, person_id)))

    answer = await write(work)
    _forget(request)
    return answer


@router.get("/roles", response_model=Page[RoleTold])
async def list_roles(
    request: Request,
    query: Annotated[RoleQuery, Query()],
    caller: Annotated[Principal, require("person.read")],
    read: Read,
) -> Response:
    """List who was given which role, for the site or for the tenants that one may see."""
    places = caller.places("person.read")
    statement = select(ROLES).where(seen(places, ROLES.c.tenant)).order_by(ROLES.c.id).limit(query.limit + 1)
    for name in ("person", "tenant"):
        if (wanted := getattr(query, name)) is not None:
            statement = statement.where(ROLES.c[name] == wanted)
    if query.cursor is not None:
        statement = statement.where(ROLES.c.id > query.cursor)
    rows = await read(lambda tx: tx.execute(statement).all())
    rows, following, headers = paged_by_id(request, rows, query.limit)
    document = {"items": [_role(row._mapping) for row in rows], "next": following}  # noqa: SLF001
    return told(request, dumped(document), headers=headers)


@router.post("/roles", status_code=201, response_model=RoleTold)
async def give(
    request: Request, wanted: NewRole, caller: Annotated[Principal, require("role.write")], write: Once
) -> Response:
    """Give somebody a role: operators any, a tenant's administrator those of his tenant."""
    force: Force = request.app.state.force

    def work(tx: Connection) -> Answer:
        leaves = force(tx).leaves
        places = caller.places("role.write")
        mine = [name for name in leaves if places.everywhere or name in places.tenants]
        grant = RoleGrant(Role(wanted.role), wanted.tenant, wanted.project)
        fault = fault_of(grant, mine)
        if fault is not None:
            raise not_valid(f"body.{fault[0]}", getattr(wanted, fault[0]), fault[1])
        if not may_give(caller, grant):
            raise Refusal(403, f"{caller.name} may not give the role {grant.role}: operators of the site may")
        try:
            person(tx, wanted.person)
        except KeyError:
            raise not_valid("body.person", wanted.person, "the id of a person who has signed in") from None
        if wanted.person == "local":
            raise not_valid("body.person", wanted.person, "a person; whoever is local may do everything")
        key, _ = give_role(tx, wanted.person, grant, by=caller.id, now=utc_now(), reason=wanted.reason)
        row = tx.execute(select(ROLES).where(ROLES.c.id == key)).mappings().one()
        return Answer(201, _role(row), {"location": f"/v1/roles/{key}"})

    answer = await write(work)
    _forget(request)
    return answer


@router.get("/roles/{role_id}", response_model=RoleTold)
async def get_role(
    request: Request, role_id: RoleId, caller: Annotated[Principal, require("person.read")], read: Read
) -> Response:
    """Tell of a role that somebody was given."""
    return told(request, dumped(_role(await read(lambda tx: _visible_role(tx, caller, role_id)))))


@router.delete("/roles/{role_id}", status_code=204)
async def take(
    request: Request,
    role_id: RoleId,
    reason: Annotated[Reason, Query()],
    caller: Annotated[Principal, require("role.write")],
    write: Once,
) -> Response:
    """Take a role from somebody; one by the provider's groups or the settings comes back at his next sign-in."""

    def work(tx: Connection) -> Answer:
        row = _visible_role(tx, caller, role_id)
        if not may_give(caller, RoleGrant(Role(row["role"]), row["tenant"] or None, row["project"] or None)):
            raise Refusal(
                403, f"{caller.name} may not take the role {row['role']}: operators of the site may"
            )
        take_role(tx, row, by=caller.id, reason=reason)
        return Answer(204)

    answer = await write(work)
    _forget(request)
    return answer


def _in_sight(caller: Principal) -> Any:
    """Return the condition for people that somebody may see: himself, and those with a role in his tenants."""
    places = caller.places("person.read")
    in_places = exists().where(and_(ROLES.c.person == PEOPLE.c.id, seen(places, ROLES.c.tenant)))
    return (PEOPLE.c.id == PEOPLE.c.id) if places.everywhere else or_(PEOPLE.c.id == caller.id, in_places)


def _visible(tx: Connection, caller: Principal, person_id: str) -> Any:
    row = (
        tx.execute(select(PEOPLE).where(PEOPLE.c.id == person_id, _in_sight(caller))).mappings().one_or_none()
    )
    if row is None:
        raise not_found("person", person_id)
    return row


def _visible_role(tx: Connection, caller: Principal, role_id: str) -> Any:
    row = tx.execute(select(ROLES).where(ROLES.c.id == role_id)).mappings().one_or_none()
    if row is None or not caller.may("person.read", row["tenant"] or None, row["project"] or None):
        raise not_found("role", role_id)
    return row


def _document(tx: Connection, caller: Principal, row: Any) -> dict[str, Any]:
    """Tell of a person, and of those of his roles that the caller may know."""
    condition = and_(ROLES.c.person == row["id"], seen(caller.places("person.read"), ROLES.c.tenant))
    roles = tx.execute(select(ROLES).where(condition).order_by(ROLES.c.id)).mappings()
    document = {name: row[name] for name in Person.model_fields if name != "roles"}
    return {**document, "roles": [_role(role) for role in roles]}


def _role(row: Any) -> dict[str, Any]:
    document = {name: row[name] for name in RoleTold.model_fields}
    return {**document, "tenant": row["tenant"] or None, "project": row["project"] or None}
