"""The migrations lead to the tables that the code knows, on both databases; others' databases are left alone."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from kvandal.control.store import schema
from kvandal.control.store.database import open_store
from kvandal.control.store.errors import StoreVersionError


def test_the_migrated_database_is_what_the_code_knows(store):
    """Where this fails after a table was changed: `make migration` writes the next migration."""
    with store.read() as tx:
        context = MigrationContext.configure(
            tx, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, schema.complete_metadata()) == []
        assert len(inspect(tx).get_table_names()) == len(schema.complete_metadata().tables) + 1
        assert schema.revision(tx) == schema.newest()


def test_every_table_that_is_append_only_is_so_in_the_database(store):
    wanted = {
        table.name for table in schema.complete_metadata().sorted_tables if table.info.get("append_only")
    }
    triggers = (
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%_append_only'"
        if store.dialect == "postgresql"
        else "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' GROUP BY tbl_name HAVING count(*) = 3"
    )
    with store.read() as tx:
        assert set(tx.scalars(text(triggers))) == wanted
    assert wanted >= {"audit", "ledger", "job_events", "inbox", "cycles"}


def test_a_change_of_the_tables_becomes_a_migration_that_leads_there(tmp_path, monkeypatch, store_url):
    """A column, an index and a table are added in the code; a store of today is upgraded with all that it holds."""
    import shutil

    from sqlalchemy import Column, Index, Integer, MetaData, String, Table, insert, select

    from kvandal.control.store.migrations import draft
    from kvandal.control.store.tables.metadata import METADATA, UtcTime

    with open_store(store_url) as store, store.begin() as tx:
        tx.execute(insert(METADATA.tables["balances"]).values(account="a", unit="wh", amount=3))
    later = MetaData(naming_convention=METADATA.naming_convention)
    for table in schema.complete_metadata().sorted_tables:
        table.to_metadata(later)
    later.tables["balances"].append_column(Column("until_utc", UtcTime))
    Index("ix_balances_until", later.tables["balances"].c.until_utc)
    Table(
        "weather", later, Column("id", Integer, primary_key=True), Column("what", String(9), nullable=False)
    )
    migrations = shutil.copytree(schema.MIGRATIONS, tmp_path / "migrations")
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema, "METADATA", later)
    monkeypatch.setattr(draft, "VERSIONS", migrations / "versions")
    today = schema.newest()

    drafted = draft.following("Weather, and an end!")
    assert drafted.name == f"{int(today) + 1:04d}_weather_and_an_end.py"
    with pytest.raises(StoreVersionError, match=rf"older version \({today}\); run: kvandal store upgrade"):
        open_store(store_url, create=False)
    with open_store(store_url) as store, store.read() as tx:
        assert schema.revision(tx) == schema.newest() == drafted.name[:4]
        assert [tuple(row) for row in tx.execute(select(later.tables["balances"]))] == [("a", "wh", 3, None)]
    assert draft.following("again") is None


def test_a_store_of_a_newer_version_is_refused_in_one_line(store_url):
    with open_store(store_url) as store, store.begin() as tx:
        tx.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))

    for create in (True, False):
        with pytest.raises(
            StoreVersionError, match=r"made by a newer Kvandal \(store version 9999"
        ) as caught:
            open_store(store_url, create=create)
        assert "\n" not in str(caught.value)


def test_a_database_with_tables_of_something_else_is_left_alone(store_url):
    with open_store(store_url) as store, store.begin() as tx:
        tx.execute(text(f"DROP TABLE {schema.VERSION_TABLE}"))

    with pytest.raises(StoreVersionError, match="holds tables of something else"):
        open_store(store_url)


def test_a_migration_that_fails_leaves_nothing_behind(store_url, monkeypatch):
    """Statements of a migration are one transaction, on SQLite too."""
    migrate = schema.migrate

    def fail(tx):
        migrate(tx)
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(schema, "migrate", fail)
        with pytest.raises(ZeroDivisionError):
            open_store(store_url)

    with open_store(store_url) as store, store.read() as tx:
        assert schema.revision(tx) == schema.newest()


def test_servers_that_start_together_make_the_tables_once(store_url):
    failures = []

    def start():
        try:
            open_store(store_url).close()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
