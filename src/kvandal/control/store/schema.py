"""The tables of the store in a database: made and brought up to date by Alembic."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect

from kvandal.control.store import tables
from kvandal.control.store.errors import StoreVersionError
from kvandal.control.store.tables.metadata import METADATA

VERSION_TABLE = "store_version"
MIGRATIONS = Path(__file__).parent / "migrations"


def complete_metadata() -> MetaData:
    """Return the registry with the tables of all parts of the service in it."""
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    return METADATA


def newest() -> str:
    """Return the revision that this version of Kvandal works with."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def revision(tx: Connection) -> str | None:
    """Return the revision of the tables in a database; None: there are none."""
    return MigrationContext.configure(tx, opts={"version_table": VERSION_TABLE}).get_current_revision()


def check(tx: Connection, name: str) -> bool:
    """Say whether a database holds the tables as this version needs them; False: not yet, migrations lead there.

    Raises
    ------
    StoreVersionError
        It was made by a newer version, or holds tables of something else.

    """
    found = revision(tx)
    if found is None:
        foreign = sorted(set(inspect(tx).get_table_names()) & set(complete_metadata().tables))
        if foreign:
            raise StoreVersionError(
                f"{name}: holds tables of something else ({', '.join(foreign[:3])}); give a database of its own"
            )
        return False
    if found not in {script.revision for script in _scripts().walk_revisions()}:
        raise StoreVersionError(
            f"{name}: was made by a newer Kvandal (store version {found}; this one knows up to {newest()}); install that one"
        )
    return found == newest()


def migrate(tx: Connection) -> None:
    """Make the tables, or bring them up to date, inside a transaction that writes."""
    command.upgrade(configuration(tx), "head")


def configuration(tx: Connection | None = None) -> Config:
    """Configure Alembic for the migrations in this package."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = tx
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration())
