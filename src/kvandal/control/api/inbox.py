"""Commands: what people ask of the loop, written and on the trail in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.principal import Principal
from kvandal.control.store.audit import record
from kvandal.control.store.tables.loop import INBOX

_ASK = insert(INBOX)


def ask_loop(
    tx: Connection,
    parts: ServiceParts,
    caller: Principal,
    kind: str,
    body: Mapping[str, Any],
    *,
    what: str,
    subject: str,
    detail: Mapping[str, Any],
) -> int:
    """Write a command for the loop; returns its number in the inbox.

    Parameters
    ----------
    tx, parts, caller
        Inside which transaction, with which clock, for whom.
    kind, body
        Of the command.
    what, subject, detail
        As the audit trail tells it.

    """
    now = parts.now()
    row = {"at_utc": now, "by": caller.id, "kind": kind, "body": dict(body)}
    key = tx.execute(_ASK, row).inserted_primary_key
    assert key is not None
    number = int(key[0])
    record(tx, caller.id, what, subject, detail)
    return number
