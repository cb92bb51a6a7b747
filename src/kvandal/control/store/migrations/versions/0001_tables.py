from __future__ import annotations

from alembic import op

from kvandal.control.store.migrations.append_only import protect
from kvandal.control.store.schema import complete_metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    complete_metadata().create_all(op.get_bind())
    protect("audit", "number")
    protect("ledger", "id")
    protect("job_events", "id")
    protect("inbox", "id")
    protect("cycles", "number")
    protect("office_history", "number")
    protect("looks", "number")
