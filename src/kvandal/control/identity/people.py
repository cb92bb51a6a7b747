"""People and what they are: found again at each sign-in, given roles by operators and by their tenant's administrators."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from kvandal.control.identity.permissions import TENANT_ROLES, Role
from kvandal.control.identity.principal import Principal, RoleGrant
from kvandal.control.store.audit import record
from kvandal.control.store.tables.identity import PEOPLE, ROLES
from kvandal.control.store.tables.metadata import new_id

HERE = "kvandal"
"""Issuer of people who were made by command and sign in nowhere."""
GIVEN_IN_TENANTS = frozenset({Role.TENANT_ADMIN, Role.MEMBER, Role.AUDITOR})
"""Roles that a tenant's administrator may give inside of it."""


def fault_of(grant: RoleGrant, tenants: Collection[str]) -> tuple[str, str] | None:
    """Say what is wrong with a role that somebody is to be given: the field, and what is allowed there."""
    if grant.role is Role.ANYONE:
        return "role", "a role that can be given"
    if grant.role in TENANT_ROLES and grant.tenant is None:
        return "tenant", f"one of the site's tenants for the role {grant.role}: {', '.join(sorted(tenants))}"
    if grant.tenant is not None and grant.role not in GIVEN_IN_TENANTS:
        return "tenant", f"left out: {grant.role} is a role of the site"
    if grant.tenant is not None and grant.tenant not in tenants:
        return "tenant", f"one of {', '.join(sorted(tenants))}"
    if grant.project is not None and grant.role is not Role.MEMBER:
        return "project", "left out: only members are given for a project"
    return None


def may_give(principal: Principal, grant: RoleGrant) -> bool:
    """Return whether somebody may give or take a role: operators any, a tenant's administrator those of his tenant."""
    if principal.places("role.write").everywhere:
        return True
    return grant.role in GIVEN_IN_TENANTS and principal.may("role.write", grant.tenant, grant.project)


def person_signed_in(
    tx: Connection, *, issuer: str, subject: str, name: str, email: str, now: datetime
) -> RowMapping:
    """Return the person that a provider tells of, who is made at his first sign-in."""
    found = (
        tx.execute(select(PEOPLE).where(PEOPLE.c.issuer == issuer, PEOPLE.c.subject == subject))
        .mappings()
        .first()
    )
    if found is None:
        return make_person(tx, issuer=issuer, subject=subject, name=name, email=email, by=subject, now=now)
    tx.execute(
        update(PEOPLE).where(PEOPLE.c.id == found["id"]).values(name=name, email=email, signed_in_utc=now)
    )
    return person(tx, found["id"])


def make_person(
    tx: Connection,
    *,
    issuer: str,
    subject: str,
    name: str,
    email: str,
    by: str,
    now: datetime,
    key: str | None = None,
) -> RowMapping:
    """Add a person."""
    key = key or new_id("person")
    tx.execute(
        insert(PEOPLE).values(
            id=key,
            issuer=issuer,
            subject=subject,
            name=name,
            email=email,
            created_utc=now,
            signed_in_utc=None if issuer == HERE else now,
        )
    )
    record(tx, by, "person.add", key, {"issuer": issuer, "subject": subject, "name": name})
    return person(tx, key)


def person(tx: Connection, key: str) -> RowMapping:
    """Return a person.

    Raises
    ------
    KeyError
        If there is no such person.

    """
    found = tx.execute(select(PEOPLE).where(PEOPLE.c.id == key)).mappings().first()
    if found is None:
        raise KeyError(key)
    return found


def set_disabled(tx: Connection, key: str, *, disabled: bool, reason: str, by: str) -> None:
    """Lock somebody out, with all his tokens and sessions, or let him in again."""
    tx.execute(update(PEOPLE).where(PEOPLE.c.id == key).values(disabled=disabled))
    record(tx, by, "person.disable" if disabled else "person.enable", key, {"reason": reason})


def roles_of(tx: Connection, key: str) -> tuple[RoleGrant, ...]:
    """Return what somebody is, by whatever source, each once."""
    rows = tx.execute(
        select(ROLES.c.role, ROLES.c.tenant, ROLES.c.project)
        .where(ROLES.c.person == key)
        .distinct()
        .order_by(ROLES.c.role, ROLES.c.tenant, ROLES.c.project)
    )
    return tuple(RoleGrant(Role(role), tenant or None, project or None) for role, tenant, project in rows)


def principal_of(tx: Connection, row: RowMapping) -> Principal:
    """Return a person as one who asks."""
    return Principal(row["id"], row["name"], roles_of(tx, row["id"]))


def give_role(
    tx: Connection,
    key: str,
    grant: RoleGrant,
    *,
    by: str,
    now: datetime,
    reason: str = "",
    source: str = "given",
) -> tuple[str, bool]:
    """Give somebody a role; returns its id and whether it is new."""
    same = select(ROLES.c.id).where(
        ROLES.c.person == key,
        ROLES.c.role == grant.role.value,
        ROLES.c.tenant == (grant.tenant or ""),
        ROLES.c.project == (grant.project or ""),
        ROLES.c.source == source,
    )
    found = tx.execute(same).scalar()
    if found is not None:
        return str(found), False
    role = new_id("role")
    tx.execute(
        insert(ROLES).values(
            id=role,
            person=key,
            role=grant.role.value,
            tenant=grant.tenant or "",
            project=grant.project or "",
            source=source,
            by=by,
            at_utc=now,
        )
    )
    record(tx, by, "role.give", key, {**_told(grant), "source": source, "reason": reason})
    return role, True


def take_role(tx: Connection, row: RowMapping, *, by: str, reason: str = "") -> None:
    """Take a role from somebody."""
    tx.execute(delete(ROLES).where(ROLES.c.id == row["id"]))
    grant = RoleGrant(Role(row["role"]), row["tenant"] or None, row["project"] or None)
    record(tx, by, "role.take", row["person"], {**_told(grant), "source": row["source"], "reason": reason})


def roles_from(tx: Connection, key: str, grants: Iterable[RoleGrant], *, source: str, now: datetime) -> None:
    """Make the roles that somebody has by one source (the provider's groups, the settings) those of this sign-in."""
    wanted = set(grants)
    rows = tx.execute(select(ROLES).where(ROLES.c.person == key, ROLES.c.source == source)).mappings().all()
    for row in rows:
        if RoleGrant(Role(row["role"]), row["tenant"] or None, row["project"] or None) not in wanted:
            take_role(tx, row, by=source, reason="no longer told at sign-in")
    for grant in sorted(wanted, key=str):
        give_role(tx, key, grant, by=source, now=now, reason="told at sign-in", source=source)


def _told(grant: RoleGrant) -> dict[str, Any]:
    return {"role": grant.role.value, "tenant": grant.tenant, "project": grant.project}
