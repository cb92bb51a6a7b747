from __future__ import annotations

from alembic import op

FUNCTION = """
CREATE OR REPLACE FUNCTION kvandal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: its rows are neither changed nor removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


def protect(table: str, key: str) -> None:
    """Have the database refuse to change or remove rows of a table.

    `key` is its primary key: SQLite's INSERT OR REPLACE would remove the old row without asking the other triggers.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION kvandal_append_only()"
        )
        return
    refuse = f"SELECT RAISE(ABORT, '{table} is append-only: its rows are neither changed nor removed')"
    for name, when in (
        ("no_update", f"BEFORE UPDATE ON {table}"),
        ("no_delete", f"BEFORE DELETE ON {table}"),
        (
            "no_replace",
            f"BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})",  # noqa: S608
        ),
    ):
        op.execute(f"CREATE TRIGGER {table}_{name} {when} BEGIN {refuse}; END")
