"""Sessions of browsers: rows of the store, found by the hash of what the browser holds."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from kvandal.control.identity.kept_secrets import digest, new_secret
from kvandal.control.identity.people import principal_of
from kvandal.control.identity.principal import Principal
from kvandal.control.store.tables.identity import PEOPLE, SESSIONS

USE_NOTED = timedelta(minutes=1)
"""How exactly the last use is kept."""


def begin_session(tx: Connection, person: str, *, now: datetime, life: timedelta) -> str:
    """Open a session; returns what the browser is to hold. Sessions that are over are removed meanwhile."""
    secret = new_secret()
    tx.execute(delete(SESSIONS).where(SESSIONS.c.expires_utc <= now))
    tx.execute(
        insert(SESSIONS).values(
            digest=digest(secret), person=person, created_utc=now, used_utc=now, expires_utc=now + life
        )
    )
    return secret


def end_session(tx: Connection, secret: str) -> None:
    """End a session."""
    tx.execute(delete(SESSIONS).where(SESSIONS.c.digest == digest(secret)))


def end_sessions_of(tx: Connection, person: str) -> None:
    """End all sessions of a person."""
    tx.execute(delete(SESSIONS).where(SESSIONS.c.person == person))


def principal_of_session(
    tx: Connection, secret: str, now: datetime, idle: timedelta
) -> tuple[Principal, RowMapping] | None:
    """Return whose session it is, and its row; None where it is unknown, over, idle for too long, or its person locked out."""
    found = tx.execute(select(SESSIONS).where(SESSIONS.c.digest == digest(secret))).mappings().first()
    if found is None or found["expires_utc"] <= now or found["used_utc"] + idle <= now:
        return None
    person = tx.execute(select(PEOPLE).where(PEOPLE.c.id == found["person"])).mappings().one()
    return None if person["disabled"] else (principal_of(tx, person), found)


def note_use(tx: Connection, secret: str, now: datetime) -> None:
    """Keep when a session was last used."""
    tx.execute(update(SESSIONS).where(SESSIONS.c.digest == digest(secret)).values(used_utc=now))
