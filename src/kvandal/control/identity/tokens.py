"""Tokens of programs: for some actions, for a time, in the name of a person, shown once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, insert, select, update

from kvandal.control.identity.kept_secrets import digest, new_token, prefix_of, same
from kvandal.control.identity.people import roles_of
from kvandal.control.identity.permissions import PERMISSIONS
from kvandal.control.identity.principal import LOCAL, Principal
from kvandal.control.store.audit import record
from kvandal.control.store.tables.identity import PEOPLE, TOKENS
from kvandal.control.store.tables.metadata import new_id

LONGEST_DAYS = 366
"""Longest life of a token [d]."""
USUAL_DAYS = 90
USE_NOTED = timedelta(minutes=1)
"""How exactly the last use is kept."""


def grantable(principal: Principal) -> tuple[str, ...]:
    """Return the actions for which somebody can make a token: what he may do himself."""
    return tuple(action for action in PERMISSIONS if principal.may_somewhere(action))


def create_token(
    tx: Connection,
    *,
    person: str,
    name: str,
    scopes: Collection[str],
    expires_utc: datetime,
    by: str,
    now: datetime,
    tenant: str | None = None,
    project: str | None = None,
) -> tuple[RowMapping, str]:
    """Make a token; returns its row, and the token itself, which is kept nowhere."""
    token = new_token()
    prefix = prefix_of(token)
    assert prefix is not None
    key = new_id("token")
    tx.execute(
        insert(TOKENS).values(
            id=key,
            person=person,
            name=name,
            prefix=prefix,
            digest=digest(token),
            scopes=sorted(scopes),
            tenant=tenant or "",
            project=project or "",
            created_utc=now,
            created_by=by,
            expires_utc=expires_utc,
        )
    )
    detail = {
        "name": name,
        "person": person,
        "prefix": prefix,
        "scopes": sorted(scopes),
        "tenant": tenant,
        "project": project,
        "expires_utc": expires_utc.isoformat(),
    }
    record(tx, by, "token.create", key, detail)
    return token_row(tx, key), token


def token_row(tx: Connection, key: str) -> RowMapping:
    """Return a token, without its secret.

    Raises
    ------
    KeyError
        If there is no such token.

    """
    found = tx.execute(select(TOKENS).where(TOKENS.c.id == key)).mappings().first()
    if found is None:
        raise KeyError(key)
    return found


def revoke_token(tx: Connection, row: RowMapping, *, by: str, now: datetime, reason: str = "") -> None:
    """End a token, for good; once is enough."""
    if row["revoked_utc"] is None:
        tx.execute(update(TOKENS).where(TOKENS.c.id == row["id"]).values(revoked_utc=now, revoked_by=by))
        record(
            tx,
            by,
            "token.revoke",
            row["id"],
            {"name": row["name"], "prefix": row["prefix"], "reason": reason},
        )


def principal_of_token(
    tx: Connection, token: str, now: datetime, *, local: bool = False
) -> tuple[Principal, RowMapping] | None:
    """Return who asks with a token, and its row; None where it is unknown, expired, revoked or its person locked out.

    A token of the local principal holds where the site is local, and nowhere else.
    """
    prefix = prefix_of(token)
    if prefix is None:
        return None
    found = tx.execute(select(TOKENS).where(TOKENS.c.prefix == prefix)).mappings().first()
    if found is None or not same(found["digest"], digest(token)):
        return None
    if found["revoked_utc"] is not None or found["expires_utc"] <= now:
        return None
    owner = tx.execute(select(PEOPLE).where(PEOPLE.c.id == found["person"])).mappings().one()
    if owner["disabled"] or (owner["id"] == LOCAL.id and not local):
        return None
    whole = (
        LOCAL if owner["id"] == LOCAL.id else Principal(owner["id"], owner["name"], roles_of(tx, owner["id"]))
    )
    narrowed = whole.narrowed(
        found["id"], frozenset(found["scopes"]), found["tenant"] or None, found["project"] or None
    )
    return narrowed, found


def note_use(tx: Connection, key: str, now: datetime) -> None:
    """Keep when a token was last used."""
    tx.execute(update(TOKENS).where(TOKENS.c.id == key).values(used_utc=now))
