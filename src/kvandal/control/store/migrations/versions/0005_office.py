from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvandal.control.store.migrations.append_only import protect

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_calls")),
        sa.UniqueConstraint("id", name=op.f("uq_calls_id")),
    )
    op.create_table(
        "office_history",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_office_history")),
    )
    op.create_index("ix_office_history_subject_number", "office_history", ["subject", "number"], unique=False)
    op.create_table(
        "organisations",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("register_number", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_organisations")),
        sa.UniqueConstraint(
            "country", "register_number", name=op.f("uq_organisations_country_register_number")
        ),
        sa.UniqueConstraint("id", name=op.f("uq_organisations_id")),
    )
    op.create_table(
        "organisation_people",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"],
            ["organisations.id"],
            name=op.f("fk_organisation_people_organisation_organisations"),
        ),
        sa.PrimaryKeyConstraint("organisation", "person", name=op.f("pk_organisation_people")),
    )
    op.create_index(op.f("ix_organisation_people_person"), "organisation_people", ["person"], unique=False)
    op.create_table(
        "projects",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_projects_organisation_organisations")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_projects")),
        sa.UniqueConstraint("id", name=op.f("uq_projects_id")),
    )
    op.create_index(op.f("ix_projects_organisation"), "projects", ["organisation"], unique=False)
    op.create_index(op.f("ix_projects_tenant"), "projects", ["tenant"], unique=False)
    op.create_table(
        "applications",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("rung", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("grant", sa.String(), nullable=True),
        sa.Column("applicant", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_utc", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_applications_call_calls")),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_applications_organisation_organisations")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_applications_project_projects")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_applications")),
        sa.UniqueConstraint("id", name=op.f("uq_applications_id")),
    )
    op.create_index(op.f("ix_applications_project"), "applications", ["project"], unique=False)
    op.create_index("ix_applications_state_number", "applications", ["state", "number"], unique=False)
    op.create_index(op.f("ix_applications_tenant"), "applications", ["tenant"], unique=False)
    op.create_table(
        "notices",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_notices_project_projects")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_notices")),
    )
    op.create_index(op.f("ix_notices_project"), "notices", ["project"], unique=False)
    op.create_table(
        "project_people",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_project_people_project_projects")
        ),
        sa.PrimaryKeyConstraint("project", "person", name=op.f("pk_project_people")),
    )
    op.create_index(op.f("ix_project_people_person"), "project_people", ["person"], unique=False)
    op.create_table(
        "grants",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("gpu_hours", sa.BigInteger(), nullable=False),
        sa.Column("start_utc", sa.BigInteger(), nullable=False),
        sa.Column("end_utc", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"], ["applications.id"], name=op.f("fk_grants_application_applications")
        ),
        sa.ForeignKeyConstraint(["call"], ["calls.id"], name=op.f("fk_grants_call_calls")),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.id"], name=op.f("fk_grants_organisation_organisations")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_grants_project_projects")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_grants")),
        sa.UniqueConstraint("application", name=op.f("uq_grants_application")),
        sa.UniqueConstraint("id", name=op.f("uq_grants_id")),
    )
    op.create_index(op.f("ix_grants_call"), "grants", ["call"], unique=False)
    op.create_index(op.f("ix_grants_organisation"), "grants", ["organisation"], unique=False)
    op.create_index(op.f("ix_grants_project"), "grants", ["project"], unique=False)
    op.create_index("ix_grants_state_number", "grants", ["state", "number"], unique=False)
    op.create_index(op.f("ix_grants_tenant"), "grants", ["tenant"], unique=False)
    op.create_table(
        "looks",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("question", sa.JSON(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"], ["applications.id"], name=op.f("fk_looks_application_applications")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_looks")),
        sa.UniqueConstraint("id", name=op.f("uq_looks_id")),
    )
    op.create_index(op.f("ix_looks_application"), "looks", ["application"], unique=False)
    protect("office_history", "number")
    protect("looks", "number")
