"""Tables of the loop: what was asked, what was decided and why, what was meant to be done, what it came to."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from kvandal.control.store.tables.metadata import APPEND_ONLY, METADATA, SEQUENCE, UtcTime

SITE = Table(
    "site",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1
    Column("scenario_name", String, nullable=False),
    Column("scenario", JSON, nullable=False),  # in full, as it was when the store was made
    Column("epoch_utc", UtcTime, nullable=False),  # second 0 of the loop
    Column("engine", String, nullable=False),
    Column("nodes", JSON, nullable=False),  # the engine's names of the trays, in order of racks
    Column("created_utc", UtcTime, nullable=False),
)
"""The site that this store belongs to (one row)."""

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", SEQUENCE, primary_key=True, autoincrement=True),  # order of acceptance
    Column("id", String, nullable=False, unique=True),  # key at the engine; job_...
    Column("tenant", String, nullable=False),
    Column("project", String, nullable=False),
    Column("person", String, nullable=False),  # who submitted it
    Column("name", String, nullable=False),
    Column("demand", String, nullable=False),  # class of work of the scenario
    Column("gpus", Integer, nullable=False),
    Column("limit_s", Integer, nullable=False),
    Column("run_time_s", Integer),  # expected by its owner
    Column("script", String, nullable=False, default=""),
    Column("environment", JSON, nullable=False, default=dict),
    Column(
        "state", String, nullable=False
    ),  # accepted queued running recalled finished failed cancelled timeout refused stopped
    Column(
        "reason_rule", String, nullable=False, default=""
    ),  # id of the rule that holds, started, stopped or refused it
    Column("reason", String, nullable=False, default=""),  # the same in words and numbers
    Column("tier", String, nullable=False, default=""),  # of use, while it runs: firm assured lent
    Column("attempt", Integer, nullable=False, default=0),  # times that it was started
    Column("shares", JSON, nullable=False, default=list),  # [[node, gpus], ...] while it runs
    Column("submitted_utc", UtcTime, nullable=False),
    Column("started_utc", UtcTime),  # of the present or last attempt
    Column("deadline_utc", UtcTime),  # end of its notice
    Column("ended_utc", UtcTime),
    Column("used_gpu_s", BigInteger, nullable=False, default=0),
    Column("useful_gpu_s", BigInteger, nullable=False, default=0),
    Column("energy_wh", Float, nullable=False, default=0.0),
    Column("energy_mark", JSON),  # while it runs: what its energy is reckoned from
    Column("recalls", Integer, nullable=False, default=0),
    Column("version", Integer, nullable=False, default=1),  # grows with every change: the ETag
)
Index("ix_jobs_tenant_number", JOBS.c.tenant, JOBS.c.number)
Index("ix_jobs_project_number", JOBS.c.project, JOBS.c.number)
Index("ix_jobs_state_number", JOBS.c.state, JOBS.c.number)

JOB_EVENTS = Table(
    "job_events",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("job", String, ForeignKey("jobs.id"), nullable=False, index=True),
    Column("at_utc", UtcTime, nullable=False),
    Column("cycle", BigInteger, nullable=False),
    Column(
        "kind", String, nullable=False
    ),  # accepted queued held started noticed moved promoted demoted taken ended refused
    Column("rule", String, nullable=False, default=""),
    Column("detail", JSON, nullable=False, default=dict),
    info=APPEND_ONLY,
)
"""What happened to a job and by which rule; append-only."""

INBOX = Table(
    "inbox",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_utc", UtcTime, nullable=False),
    Column("by", String, nullable=False),
    Column("kind", String, nullable=False),  # submit cancel envelope grant grant_end policy drain
    Column("body", JSON, nullable=False),
    info=APPEND_ONLY,
)
"""What people asked the loop for, acknowledged once it stands here; the loop takes it in this order; append-only."""

CYCLES = Table(
    "cycles",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_utc", UtcTime, nullable=False),
    Column("time_s", BigInteger, nullable=False),  # of the site since its epoch
    Column("inbox_to", BigInteger, nullable=False),  # last row of the inbox that it has taken
    Column("cursor", String, nullable=False),  # of the engine's events that it has taken
    Column("inputs", JSON, nullable=False),  # all that was told to the state, in order
    Column("actions", JSON, nullable=False),  # all that was decided, in order, with the rules
    Column(
        "state_digest", String, nullable=False
    ),  # SHA-256 of the state after it, "" where it was not taken
    info=APPEND_ONLY,
)
"""One row for each turn of the loop that changed or decided something; append-only."""

KEYFRAMES = Table(
    "keyframes",
    METADATA,
    Column("cycle", BigInteger, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),  # the state after that cycle
    Column("extra", JSON, nullable=False),  # what belongs to the state: ids of its jobs and loans
    Column("scenario", JSON, nullable=False),  # in force from here on
)
"""States from which the cycles behind them can be followed again."""

INTENTIONS = Table(
    "intentions",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("cycle", BigInteger, nullable=False),
    Column("kind", String, nullable=False),  # submit start recall hold cancel cap drain
    Column("job", String),
    Column("attempt", Integer, nullable=False, default=0),
    Column("body", JSON, nullable=False),
    Column("state", String, nullable=False),  # open done refused obsolete
    Column("tries", Integer, nullable=False, default=0),
    Column("answer", String, nullable=False, default=""),
    Column("done_utc", UtcTime),
)
Index("ix_intentions_state_id", INTENTIONS.c.state, INTENTIONS.c.id)

LOANS = Table(
    "loans",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("job", String, ForeignKey("jobs.id"), nullable=False, index=True),
    Column("lender", String, nullable=False),
    Column("borrower", String, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("state", String, nullable=False),  # lent noticed returned
    Column("reason", String, nullable=False, default=""),  # why it ended
    Column("started_utc", UtcTime, nullable=False),
    Column("noticed_utc", UtcTime),
    Column("deadline_utc", UtcTime),
    Column("returned_utc", UtcTime),
)
Index("ix_loans_state_id", LOANS.c.state, LOANS.c.id)

SET_POINTS = Table(
    "set_points",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),  # of the allow-list: envelope_mw
    Column("value", Float),  # None: back to what the scenario says
    Column("until_utc", UtcTime),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at_utc", UtcTime, nullable=False),
    Column("active", Boolean, nullable=False, default=True),
)

SITE_NOW = Table(
    "site_now",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1
    Column("version", BigInteger, nullable=False),  # grows with every change
    Column("at_utc", UtcTime, nullable=False),
    Column("view", JSON, nullable=False),
)
"""The site as the loop last saw it (one row)."""

SITE_TICKS = Table(
    "site_ticks",
    METADATA,
    Column("time_s", BigInteger, primary_key=True, autoincrement=False),  # start of the tick
    Column("at_utc", UtcTime, nullable=False, index=True),
    Column("site_power_mw", Float, nullable=False),
    Column("it_power_mw", Float, nullable=False),
    Column("envelope_mw", Float, nullable=False),
    Column("heat_export_mw", Float, nullable=False),
    Column("facility_supply_c", Float),
    Column("price_eur_per_mwh", Float),
    Column("carbon_g_per_kwh", Float),
    Column("gpus_firm", Integer, nullable=False),
    Column("gpus_assured", Integer, nullable=False),
    Column("gpus_lent", Integer, nullable=False),
    Column("queued_gpus", Integer, nullable=False),
)
"""The recent past of the site, one row a tick; older rows are thinned out."""
