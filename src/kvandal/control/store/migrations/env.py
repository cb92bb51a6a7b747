from __future__ import annotations

from alembic import context

from kvandal.control.store.schema import VERSION_TABLE, complete_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=complete_metadata(),
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # all or nothing, on SQLite too: the transaction began before
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
