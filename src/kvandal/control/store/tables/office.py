"""Tables of the access office: organisations, projects, calls, applications and their history, grants, notices."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from kvandal.control.store.tables.metadata import APPEND_ONLY, METADATA, SEQUENCE, UtcTime

ORGANISATIONS = Table(
    "organisations",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),  # organisation_...
    Column("country", String(2), nullable=False),
    Column("register_number", String, nullable=False),  # without spaces
    Column("document", JSON, nullable=False),  # as the API tells it, but its people and its version
    Column("version", Integer, nullable=False, default=1),
    UniqueConstraint("country", "register_number"),
)

ORGANISATION_PEOPLE = Table(
    "organisation_people",
    METADATA,
    Column("organisation", String, ForeignKey("organisations.id"), primary_key=True),
    Column("person", String, primary_key=True, index=True),
)

PROJECTS = Table(
    "projects",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),  # the name under which its jobs run
    Column("organisation", String, ForeignKey("organisations.id"), nullable=False, index=True),
    Column("tenant", String, nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("version", Integer, nullable=False, default=1),
)

PROJECT_PEOPLE = Table(
    "project_people",
    METADATA,
    Column("project", String, ForeignKey("projects.id"), primary_key=True),
    Column("person", String, primary_key=True, index=True),
    Column("part", String, nullable=False),  # investigator member
)

CALLS = Table(
    "calls",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("document", JSON, nullable=False),
    Column("version", Integer, nullable=False, default=1),
)

APPLICATIONS = Table(
    "applications",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),  # application_...
    Column("project", String, ForeignKey("projects.id"), nullable=False, index=True),
    Column("organisation", String, ForeignKey("organisations.id"), nullable=False),
    Column("tenant", String, nullable=False, index=True),
    Column("call", String, ForeignKey("calls.id"), nullable=False),
    Column("rung", String, nullable=False),
    Column("kind", String, nullable=False),  # award change
    Column("grant", String),  # that a change is asked of
    Column("applicant", String, nullable=False),
    Column("state", String, nullable=False),
    Column("due_utc", UtcTime),
    Column("document", JSON, nullable=False),  # what its history comes to
    Column("version", Integer, nullable=False),
)
Index("ix_applications_state_number", APPLICATIONS.c.state, APPLICATIONS.c.number)

OFFICE_HISTORY = Table(
    "office_history",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("subject", String, nullable=False),  # id of an application or a grant
    Column("kind", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
    Column("rule", String, nullable=False),
    Column("reason", String, nullable=False, default=""),
    Column("state", String, nullable=False),  # after it
    Column("body", JSON, nullable=False),
    info=APPEND_ONLY,
)
"""Every step of every application and grant, from which its state follows; append-only."""
Index("ix_office_history_subject_number", OFFICE_HISTORY.c.subject, OFFICE_HISTORY.c.number)

LOOKS = Table(
    "looks",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),  # look_...
    Column("application", String, ForeignKey("applications.id"), nullable=False, index=True),
    Column("by", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
    Column("question", JSON, nullable=False),
    Column("answer", JSON, nullable=False),
    info=APPEND_ONLY,
)
"""What somebody was shown of the consequences before a decision; append-only."""

GRANTS = Table(
    "grants",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),  # grant_...
    Column("application", String, ForeignKey("applications.id"), nullable=False, unique=True),
    Column("project", String, ForeignKey("projects.id"), nullable=False, index=True),
    Column("organisation", String, ForeignKey("organisations.id"), nullable=False, index=True),
    Column("tenant", String, nullable=False, index=True),
    Column("call", String, ForeignKey("calls.id"), nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("gpu_hours", BigInteger, nullable=False),  # that hold now
    Column("start_utc", UtcTime, nullable=False),
    Column("end_utc", UtcTime, nullable=False),
    Column("document", JSON, nullable=False),
    Column("version", Integer, nullable=False),
)
Index("ix_grants_state_number", GRANTS.c.state, GRANTS.c.number)

NOTICES = Table(
    "notices",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),
    Column("project", String, ForeignKey("projects.id"), nullable=False, index=True),
    Column("subject", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("text", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
)
"""What a project was told: decisions, reminders, hours returned, reports due."""
