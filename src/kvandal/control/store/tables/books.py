"""Tables of the books: who did what, what was used and by whom it is owed, answers that may be asked for again."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table

from kvandal.control.store.tables.metadata import APPEND_ONLY, METADATA, SEQUENCE, UtcTime

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without a gap
    Column("at_utc", UtcTime, nullable=False, index=True),
    Column("who", String, nullable=False),  # id of the principal
    Column("what", String, nullable=False),  # verb, e.g. grant.approve
    Column("subject", String, nullable=False, index=True),  # id of what it was done to
    Column("detail", JSON, nullable=False),
    Column("previous_hash", String(64), nullable=False),  # of the row before; zeros for the first
    Column("hash", String(64), nullable=False),  # SHA-256 of all the above
    info=APPEND_ONLY,
)
"""Who did what, each row bound to the one before by its hash; append-only."""

AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""The last row of the audit trail (one row), so that rows cut off its end are missed."""

LEDGER = Table(
    "ledger",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("transaction", BigInteger, nullable=False, index=True),  # 1, 2, 3, ...
    Column("at_utc", UtcTime, nullable=False),
    Column("account", String, nullable=False),  # e.g. grant:ID, tenant:NAME:use, site:energy
    Column("unit", String, nullable=False),  # gpu_s wh ueur g
    Column("amount", BigInteger, nullable=False),  # whole units; a transaction's sum to zero, unit by unit
    Column("memo", String, nullable=False),
    info=APPEND_ONLY,
)
"""Postings of double entry; append-only."""
Index("ix_ledger_account_at_utc", LEDGER.c.account, LEDGER.c.at_utc)

BALANCES = Table(
    "balances",
    METADATA,
    Column("account", String, primary_key=True),
    Column("unit", String, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)
"""Sum of the ledger by account and unit, written with every posting."""

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("principal", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_hash", String(64), nullable=False),  # SHA-256 of method, path and body
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_utc", UtcTime, nullable=False, index=True),
)
"""Answers to requests that wrote something, to be given again to whoever asks again with the same key."""
