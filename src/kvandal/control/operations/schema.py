"""Which tables a database refuses to change: its triggers, and those that a new store has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlalchemy import Connection, text

from kvandal.control.store.database import open_store

SUFFIX = "_no_update"
"""Ends the name of the trigger by which SQLite keeps the rows of a table; see the migrations."""


def triggers(tx: Connection) -> set[str]:
    """Return the names of all triggers that are in force."""
    if tx.dialect.name == "postgresql":
        found = tx.execute(
            text(
                "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = "
                "c.relnamespace WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND n.nspname = current_schema()"
            )
        )
    else:
        found = tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
    return {str(row[0]) for row in found}


def expected_triggers(dialect: str) -> set[str]:
    """Return the names of the triggers of a new store of this version."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'new.sqlite'}") as new,
        new.read() as tx,
    ):
        names = triggers(tx)
    if dialect != "postgresql":
        return names
    return {f"{name.removesuffix(SUFFIX)}_append_only" for name in names if name.endswith(SUFFIX)}
