"""Tokens made on the database itself: the first operator of a site has nobody to give him a role."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, or_, select

from kvandal.control.identity.people import HERE, give_role, make_person, principal_of
from kvandal.control.identity.permissions import PERMISSIONS
from kvandal.control.identity.sign_in import role_of_text
from kvandal.control.identity.tokens import LONGEST_DAYS, create_token, grantable, revoke_token
from kvandal.control.store.tables.identity import PEOPLE, TOKENS
from kvandal.errors import InputError

BY = "command"
"""Who did it, for the audit trail."""


def create_by_hand(
    tx: Connection,
    *,
    name: str,
    who: str,
    roles: Sequence[str],
    scopes: Sequence[str],
    tenant: str | None,
    project: str | None,
    days: int,
    now: datetime,
) -> tuple[RowMapping, str]:
    """Make a token in somebody's name, and somebody where there is nobody of that name; returns its row and itself.

    Raises
    ------
    InputError
        Names the option, its value and what is allowed.

    """
    if not 1 <= days <= LONGEST_DAYS:
        raise InputError(f"must be 1 to {LONGEST_DAYS}, got {days}", key="--days")
    if project is not None and tenant is None:
        raise InputError(f"needs --tenant beside it, got {project!r}", key="--project")
    person = _person(tx, who, now, new=bool(roles))
    for text in roles:
        try:
            grant = role_of_text(text)
        except ValueError as error:
            raise InputError(str(error), key="--role") from None
        give_role(tx, person["id"], grant, by=BY, now=now, reason="by command")
    allowed = grantable(principal_of(tx, person))
    for scope in scopes:
        if scope not in allowed:
            more = "" if scope in PERMISSIONS else "; there is no such action"
            raise InputError(f"must be one of {', '.join(allowed)}; got {scope!r}{more}", key="--scope")
    return create_token(
        tx,
        person=person["id"],
        name=name,
        scopes=scopes or allowed,
        tenant=tenant,
        project=project,
        expires_utc=now + timedelta(days=days),
        by=BY,
        now=now,
    )


def tokens_by_hand(tx: Connection) -> list[dict[str, Any]]:
    """Return all tokens, the newest first, with the names of their people; never a secret."""
    rows = tx.execute(
        select(TOKENS, PEOPLE.c.name.label("person_name"))
        .join(PEOPLE, PEOPLE.c.id == TOKENS.c.person)
        .order_by(TOKENS.c.id.desc())
    )
    return [{name: value for name, value in row.items() if name != "digest"} for row in rows.mappings()]


def revoke_by_hand(tx: Connection, which: str, *, now: datetime, reason: str) -> RowMapping:
    """Revoke a token by its id or by how it begins.

    Raises
    ------
    InputError
        If there is none, or several.

    """
    start = which[:12] if which.startswith("kvd_") else which  # the whole token will do too
    condition = or_(TOKENS.c.id == which, TOKENS.c.prefix == start)
    found = tx.execute(select(TOKENS).where(condition)).mappings().first()
    if found is None:
        shown = f"{start}..." if which.startswith("kvd_") else which
        raise InputError(f"there is no token {shown!r}; see: kvandal token list", key="TOKEN")
    revoke_token(tx, found, by=BY, now=now, reason=reason)
    return tx.execute(select(TOKENS).where(TOKENS.c.id == found["id"])).mappings().one()


def _person(tx: Connection, who: str, now: datetime, *, new: bool) -> RowMapping:
    condition = or_(
        PEOPLE.c.id == who, PEOPLE.c.email == who, (PEOPLE.c.subject == who) & (PEOPLE.c.issuer == HERE)
    )
    rows = tx.execute(select(PEOPLE).where(condition)).mappings().all()
    if len(rows) > 1:
        raise InputError(
            f"{who!r} are several people: give the id of one ({', '.join(row['id'] for row in rows)})",
            key="--person",
        )
    if rows:
        return rows[0]
    if not new:
        raise InputError(
            f"there is nobody called {who!r}; give --role to make such a person, e.g. --role operator",
            key="--person",
        )
    return make_person(
        tx, issuer=HERE, subject=who, name=who, email=who if "@" in who else "", by=BY, now=now
    )
