from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kvandal.control.store.migrations.append_only import protect

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "cycles",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("time_s", sa.BigInteger(), nullable=False),
        sa.Column("inbox_to", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("state_digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_cycles")),
    )
    op.create_table(
        "inbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
    )
    op.create_table(
        "intentions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("cycle", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("done_utc", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intentions")),
    )
    op.create_index("ix_intentions_state_id", "intentions", ["state", "id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("demand", sa.String(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("limit_s", sa.Integer(), nullable=False),
        sa.Column("run_time_s", sa.Integer(), nullable=True),
        sa.Column("script", sa.String(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason_rule", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("shares", sa.JSON(), nullable=False),
        sa.Column("submitted_utc", sa.BigInteger(), nullable=False),
        sa.Column("started_utc", sa.BigInteger(), nullable=True),
        sa.Column("deadline_utc", sa.BigInteger(), nullable=True),
        sa.Column("ended_utc", sa.BigInteger(), nullable=True),
        sa.Column("used_gpu_s", sa.BigInteger(), nullable=False),
        sa.Column("useful_gpu_s", sa.BigInteger(), nullable=False),
        sa.Column("energy_wh", sa.Float(), nullable=False),
        sa.Column("energy_mark", sa.JSON(), nullable=True),
        sa.Column("recalls", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
    )
    op.create_index("ix_jobs_project_number", "jobs", ["project", "number"], unique=False)
    op.create_index("ix_jobs_state_number", "jobs", ["state", "number"], unique=False)
    op.create_index("ix_jobs_tenant_number", "jobs", ["tenant", "number"], unique=False)
    op.create_table(
        "keyframes",
        sa.Column("cycle", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.Column("scenario", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("cycle", name=op.f("pk_keyframes")),
    )
    op.create_table(
        "set_points",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("until_utc", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_points")),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scenario_name", sa.String(), nullable=False),
        sa.Column("scenario", sa.JSON(), nullable=False),
        sa.Column("epoch_utc", sa.BigInteger(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("nodes", sa.JSON(), nullable=False),
        sa.Column("created_utc", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
    )
    op.create_table(
        "site_now",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("view", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_now")),
    )
    op.create_table(
        "site_ticks",
        sa.Column("time_s", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("site_power_mw", sa.Float(), nullable=False),
        sa.Column("it_power_mw", sa.Float(), nullable=False),
        sa.Column("envelope_mw", sa.Float(), nullable=False),
        sa.Column("heat_export_mw", sa.Float(), nullable=False),
        sa.Column("facility_supply_c", sa.Float(), nullable=True),
        sa.Column("price_eur_per_mwh", sa.Float(), nullable=True),
        sa.Column("carbon_g_per_kwh", sa.Float(), nullable=True),
        sa.Column("gpus_firm", sa.Integer(), nullable=False),
        sa.Column("gpus_assured", sa.Integer(), nullable=False),
        sa.Column("gpus_lent", sa.Integer(), nullable=False),
        sa.Column("queued_gpus", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("time_s", name=op.f("pk_site_ticks")),
    )
    op.create_index(op.f("ix_site_ticks_at_utc"), "site_ticks", ["at_utc"], unique=False)
    op.create_table(
        "job_events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("at_utc", sa.BigInteger(), nullable=False),
        sa.Column("cycle", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_events_job_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_events")),
    )
    op.create_index(op.f("ix_job_events_job"), "job_events", ["job"], unique=False)
    op.create_table(
        "loans",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("lender", sa.String(), nullable=False),
        sa.Column("borrower", sa.String(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("started_utc", sa.BigInteger(), nullable=False),
        sa.Column("noticed_utc", sa.BigInteger(), nullable=True),
        sa.Column("deadline_utc", sa.BigInteger(), nullable=True),
        sa.Column("returned_utc", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_loans_job_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loans")),
    )
    op.create_index(op.f("ix_loans_job"), "loans", ["job"], unique=False)
    op.create_index("ix_loans_state_id", "loans", ["state", "id"], unique=False)
    protect("cycles", "number")
    protect("inbox", "id")
    protect("job_events", "id")
