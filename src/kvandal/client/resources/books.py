"""The books: who did what, and what was used by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from kvandal.client.resources.base import Told


class AuditEntry(Told):
    """A row of the audit trail, bound to the one before by its hash."""

    number: int
    at_utc: datetime
    who: str
    what: str
    subject: str
    detail: dict[str, Any] = Field(default_factory=dict)
    previous_hash: str
    hash: str


class Posting(Told):
    """One side of a transaction of the ledger, in whole units."""

    id: int
    transaction: int
    at_utc: datetime
    account: str
    unit: str
    amount: int
    memo: str


class Line(Told):
    """An account over a period: what stood there before, what came and went, what stands there after."""

    account: str
    unit: str
    opening: int
    turnover: int
    closing: int


class Statement(Told):
    """What a tenant's accounts did in a period.

    Attributes
    ----------
    tenant, from_utc, until_utc : whose, and when; the end is not included
    lines : by account and unit

    """

    tenant: str
    from_utc: datetime
    until_utc: datetime
    lines: list[Line]
