"""Tables of identity: people and their roles, tokens, sessions, sign-ins under way. No secret stands in them as it is."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, String, Table, UniqueConstraint

from kvandal.control.store.tables.metadata import METADATA, UtcTime

PEOPLE = Table(
    "people",
    METADATA,
    Column("id", String, primary_key=True),  # person_...
    Column(
        "issuer", String, nullable=False
    ),  # provider that knows him; "kvandal": made here, signs in nowhere
    Column("subject", String, nullable=False),  # his key there
    Column("name", String, nullable=False),
    Column("email", String, nullable=False, default=""),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_utc", UtcTime, nullable=False),
    Column("signed_in_utc", UtcTime),  # last time
    UniqueConstraint("issuer", "subject"),
)
Index("ix_people_email", PEOPLE.c.email)

ROLES = Table(
    "roles",
    METADATA,
    Column("id", String, primary_key=True),  # role_...
    Column("person", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("role", String, nullable=False),
    Column("tenant", String, nullable=False, default=""),  # "": for the site
    Column("project", String, nullable=False, default=""),  # "": for all of the tenant
    Column("source", String, nullable=False),  # given (by somebody), provider (its groups), settings
    Column("by", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
    UniqueConstraint("person", "role", "tenant", "project", "source"),
)
"""Who is what, for the site, a tenant or a project."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String, primary_key=True),  # token_...
    Column("person", String, ForeignKey("people.id"), nullable=False, index=True),  # in whose name
    Column("name", String, nullable=False),
    Column(
        "prefix", String, nullable=False, unique=True
    ),  # its beginning, by which people know it: no secret
    Column("digest", String, nullable=False),  # SHA-256 of the whole: it is random enough
    Column("scopes", JSON, nullable=False),  # actions
    Column("tenant", String, nullable=False, default=""),
    Column("project", String, nullable=False, default=""),
    Column("created_utc", UtcTime, nullable=False),
    Column("created_by", String, nullable=False),
    Column("expires_utc", UtcTime, nullable=False),
    Column("used_utc", UtcTime),  # last time, to the minute
    Column("revoked_utc", UtcTime),
    Column("revoked_by", String),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", String, primary_key=True),  # SHA-256 of what the browser holds
    Column("person", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("created_utc", UtcTime, nullable=False),
    Column("used_utc", UtcTime, nullable=False),  # last time, to the minute
    Column("expires_utc", UtcTime, nullable=False, index=True),
)

SIGN_INS = Table(
    "sign_ins",
    METADATA,
    Column("state", String, primary_key=True),  # SHA-256 of it
    Column("browser", String, nullable=False),  # SHA-256 of the cookie of the browser that began it
    Column("nonce", String, nullable=False),
    Column("verifier", String, nullable=False),  # of PKCE; useless without the provider's code
    Column("return_to", String, nullable=False),
    Column("expires_utc", UtcTime, nullable=False, index=True),
)
"""Sign-ins that were begun and not finished; each can be finished once."""
