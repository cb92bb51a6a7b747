"""Connections to the database of a store, set up so that what is committed stays."""

from __future__ import annotations

import logging
import os
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from kvandal.control.store.address import file_of

WAIT_S = 30
"""How long a writer waits for another before it gives up [s]."""
WRITE_LOCK = 0x6B76_0001
"""Advisory lock of PostgreSQL that the one writer holds; its second key is the schema."""
LEADER_LOCK = 0x6B76_0002
"""The same for the one server that leads."""
SET_UP = (
    f"SET lock_timeout = '{WAIT_S}s'",
    "SET idle_in_transaction_session_timeout = '60s'",  # a stopped server does not keep the others from writing
    "SET timezone = 'UTC'",
    # What is acknowledged is on disk, whatever the server's default.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
)
KEEP_ALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "kvandal",
}
"""A server that is gone is noticed within about ten seconds."""
logging.getLogger("sqlalchemy.pool").setLevel(
    logging.CRITICAL
)  # what it says of lost connections, we say ourselves


def _to_json(value: Any) -> str:
    """Write JSON as both databases take it: what is not a number becomes null."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def engine_of(address: URL) -> Engine:
    """Make the pool of connections to a database; nothing is connected yet."""
    if file_of(address) is not None:
        engine = create_engine(
            address,
            connect_args={"timeout": WAIT_S, "check_same_thread": False},
            pool_size=16,
            max_overflow=32,
            pool_timeout=WAIT_S,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            hide_parameters=True,  # values of rows stand in no error and no log
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        address,
        connect_args={
            key: value
            for key, value in KEEP_ALIVE.items()
            if key not in address.query  # what the URL says goes before
        },
        pool_size=12,
        max_overflow=12,
        pool_timeout=WAIT_S,
        pool_pre_ping=True,  # a connection that the server has closed is replaced, not used
        json_serializer=_to_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_postgres)
    return engine


def for_writing(engine: Engine) -> Engine:
    """Return the same pool for transactions that write."""
    return engine.execution_options(kvandal_writes=True)


def for_reading(engine: Engine) -> Engine:
    """Return the same pool for transactions that only read, each one consistent snapshot."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def lock_for_writing(tx: Connection) -> None:
    """Wait until no other process writes. SQLite does so by itself when the transaction begins."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK}, hashtext(current_schema()))")


def _set_up_postgres(dbapi_connection: Any, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    for statement in SET_UP:
        cursor.execute(statement)
    cursor.close()
    dbapi_connection.commit()


def _set_up_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # transactions begin where we say so, see _begin_sqlite
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(tx: Connection) -> None:
    if tx.get_execution_options().get("kvandal_writes", False):
        tx.exec_driver_sql("BEGIN IMMEDIATE")
    else:  # waits for nobody and cannot fail: the driver alone takes a twentieth of the time
        driver = tx.connection.driver_connection
        assert driver is not None
        driver.execute("BEGIN")


def make_private(path: os.PathLike[str]) -> None:
    """Create the file of a database, readable by its owner alone, unless it is there."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
