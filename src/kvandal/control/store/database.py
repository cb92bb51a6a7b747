"""The store: one database, SQLite or PostgreSQL, that one writer at a time changes in whole transactions."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from kvandal.control.store import schema
from kvandal.control.store.address import address_of, file_of, name_of
from kvandal.control.store.connections import (
    WAIT_S,
    engine_of,
    for_reading,
    for_writing,
    lock_for_writing,
    make_private,
)
from kvandal.control.store.errors import StoreBusyError, StoreUnavailableError, StoreVersionError, translated


class Store:
    """A database that holds all that the control plane knows.

    Transactions that write follow each other, on SQLite and on PostgreSQL, in one process and in several: numbers that the
    database counts up are given in the order in which they become visible, so a reader that has seen number 7 has seen all
    before it; what a transaction has read stays true until it ends; and none has to be tried again because of another.

    Attributes
    ----------
    name : what it is called in messages: its URL without the password
    address : its URL as SQLAlchemy knows it, the password in it
    file : of an SQLite database, else None

    """

    def __init__(self, address: URL) -> None:
        self.address = address
        self.name = name_of(address)
        self.file: Path | None = file_of(address)
        self.engine = engine_of(address)
        self._reading = for_reading(self.engine)
        self._writing = for_writing(self.engine)
        self._one_writer = threading.Lock()
        self._writer: int | None = None

    @property
    def dialect(self) -> str:
        """Kind of database: *sqlite* or *postgresql*."""
        return self.engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that writes: kept as a whole on leaving the block, or not at all if an exception leaves it.

        Raises
        ------
        StoreUnavailableError
            The database is gone, busy or full. Nothing was written, unless the error is `in_doubt`.

        """
        if self._writer == threading.get_ident():
            raise RuntimeError("this thread has a transaction of the store open already")
        if not self._one_writer.acquire(timeout=WAIT_S):
            raise StoreBusyError(f"{self.name}: another transaction writes for more than {WAIT_S} s")
        self._writer = threading.get_ident()
        try:
            with self._translating(), self._writing.connect() as tx:
                transaction = tx.begin()
                try:
                    lock_for_writing(tx)
                    yield tx
                except BaseException:
                    with suppress(SQLAlchemyError):  # a connection that is gone has rolled back by itself
                        transaction.rollback()
                    raise
                self._commit(transaction)
        finally:
            self._writer = None
            self._one_writer.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads: one consistent snapshot, whatever is written meanwhile.

        Raises
        ------
        StoreUnavailableError
            The database is gone.

        """
        with self._translating(), self._reading.connect() as tx:
            yield tx

    @contextmanager
    def sqlite(self) -> Iterator[sqlite3.Connection]:
        """Return the driver's own connection to an SQLite database, outside of any transaction."""
        with self._translating(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            try:
                yield driver
            finally:
                connection.invalidate()  # whatever was done to it, nobody else gets it

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _commit(self, transaction: Any) -> None:
        try:
            transaction.commit()
        except DBAPIError as error:
            meant = translated(error, self.name)
            if meant is None:
                raise
            meant.in_doubt = (
                type(meant) is StoreUnavailableError
            )  # busy and full are answers: it was not kept
            raise meant from error

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            meant = translated(error, self.name)
            if meant is None:
                raise
            raise meant from error


def open_store(url: str, *, create: bool = True, older: bool = False) -> Store:
    """Open the store at a URL.

    Parameters
    ----------
    url
        ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/NAME``.
    create
        Make what is missing (the file, the tables) and bring older tables up to date; else both must be as they should.
    older
        Without `create`: a store of an older version will do.

    Raises
    ------
    InputError
        The URL is wrong.
    StoreVersionError
        The store was made by a newer version, or (`create` is False) there is none or an older one.
    StoreUnavailableError
        The database cannot be reached.

    """
    address = address_of(url)
    file = file_of(address)
    if file is not None:
        _prepare_file(file, name_of(address), create=create)
    store = Store(address)
    try:
        if create and file is not None:
            _keep_a_log(store)
        _bring_up_to_date(store, create=create, older=older)
    except BaseException:
        store.close()
        raise
    return store


def _bring_up_to_date(store: Store, *, create: bool, older: bool) -> None:
    with store.read() as tx:
        if schema.check(tx, store.name):
            return
        found = schema.revision(tx)
    if not create:
        if older and found is not None:
            return
        state = "holds no store" if found is None else f"is a store of an older version ({found})"
        raise StoreVersionError(f"{store.name}: {state}; run: kvandal store upgrade --database {store.name}")
    with store.begin() as tx:
        if not schema.check(tx, store.name):  # another process may have been quicker
            schema.migrate(tx)


def _prepare_file(file: Path, name: str, *, create: bool) -> None:
    if file.is_dir():
        raise StoreUnavailableError(f"{name}: {file} is a folder")
    if not create:
        if not file.exists():
            raise StoreUnavailableError(f"{name}: there is no file {file}")
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        make_private(file)
    except OSError as error:
        raise StoreUnavailableError(f"{name}: {error.strerror}: {error.filename}") from None


def _keep_a_log(store: Store) -> None:
    """Turn on SQLite's write-ahead log, for good: readers and the writer then do not wait for each other."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            with store.sqlite() as driver:
                driver.execute("PRAGMA journal_mode = WAL")
        except StoreBusyError:  # another process does the same now
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
