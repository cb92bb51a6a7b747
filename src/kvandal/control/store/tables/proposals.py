"""The table of proposed changes of the policy: what was thought of, what it would do, who applied it."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from kvandal.control.store.tables.metadata import METADATA, UtcTime

POLICY_CHANGES = Table(
    "policy_changes",
    METADATA,
    Column("id", String, primary_key=True),
    Column("changes", JSON, nullable=False),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
    Column("base_version", BigInteger, nullable=False),  # of the policy that it was weighed against
    Column("whatif", JSON),
    Column("confirmation", String, nullable=False),
    Column("expires_utc", UtcTime, nullable=False),
    Column("state", String, nullable=False),  # proposed applied
    Column("applied_by", String),
    Column("applied_utc", UtcTime),
)
