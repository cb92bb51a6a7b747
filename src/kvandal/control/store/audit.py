"""The audit trail: who did what, in a chain of hashes that shows when a row was changed, removed or put in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from kvandal.control.store.tables.books import AUDIT, AUDIT_HEAD
from kvandal.control.store.tables.metadata import EPOCH, MICROSECOND

GENESIS = "0" * 64
"""What the first row names as the hash before it."""
_HEAD = select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash).where(AUDIT_HEAD.c.id == 1)
_APPEND = insert(AUDIT)
_MOVE_HEAD = update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == 1)


def record(
    tx: Connection,
    who: str,
    what: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    *,
    at_utc: datetime | None = None,
) -> str:
    """Append to the audit trail, inside the transaction that does what is told.

    Parameters
    ----------
    tx
        Of :meth:`Store.begin`.
    who
        Id of the principal, or *loop*.
    what
        What was done, as noun and verb: ``grant.approve``.
    subject
        Id of what it was done to.
    detail
        What else is worth knowing, as JSON; never a secret.
    at_utc
        When; now, if not given.

    Returns
    -------
    The hash of the new row.

    """
    head = tx.execute(_HEAD).first()
    number, previous = (1, GENESIS) if head is None else (head.number + 1, head.hash)
    row = {
        "number": number,
        "at_utc": at_utc or datetime.now(UTC),
        "who": who,
        "what": what,
        "subject": subject,
        "detail": orjson.loads(orjson.dumps(dict(detail or {}), option=orjson.OPT_NON_STR_KEYS)),
        "previous_hash": previous,
    }
    digest = hash_of(row)
    tx.execute(_APPEND, {**row, "hash": digest})
    if head is None:
        tx.execute(insert(AUDIT_HEAD).values(id=1, number=number, hash=digest))
    else:
        tx.execute(_MOVE_HEAD, {"number": number, "hash": digest})
    return digest


def entries(
    tx: Connection, *, last: int = 50, subject: str | None = None, who: str | None = None
) -> list[dict[str, Any]]:
    """Return the last rows of the audit trail, in order.

    Parameters
    ----------
    tx
        Any transaction.
    last
        How many at most.
    subject, who
        Only those of this subject, or by this principal.

    """
    wanted = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(last)
    if subject is not None:
        wanted = wanted.where(AUDIT.c.subject == subject)
    if who is not None:
        wanted = wanted.where(AUDIT.c.who == who)
    return [dict(row) for row in tx.execute(wanted).mappings()][::-1]


def hash_of(row: Mapping[str, Any]) -> str:
    """Return the hash of a row of the audit trail, from all its columns but the hash itself."""
    content = [
        row["number"],
        (row["at_utc"] - EPOCH) // MICROSECOND,
        row["who"],
        row["what"],
        row["subject"],
        row["detail"],
        row["previous_hash"],
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
