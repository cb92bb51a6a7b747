"""Errors of the store.

Hierarchy::

    KvandalError
    └── StoreError                  anything that the store could not do
        ├── StoreVersionError       made by another version, or not a store of Kvandal at all
        ├── StoreDamagedError       the database says that its file is damaged
        └── StoreUnavailableError   the database cannot be reached now; trying again may help
            ├── StoreBusyError      somebody else writes for too long
            └── StoreFullError      no room left on its disk
"""

from __future__ import annotations

import sqlite3

import psycopg
from psycopg import errors as postgres
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from kvandal.errors import KvandalError


class StoreError(KvandalError):
    """The store could not do what was asked.

    Attributes
    ----------
    in_doubt : the transaction was about to be committed and no answer came: it may or may not have been kept

    """

    in_doubt: bool = False


class StoreVersionError(StoreError):
    """The database was made by another version, or holds something else."""


class StoreDamagedError(StoreError):
    """The database says that its own file is damaged."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached now; nothing was written unless `in_doubt` says so."""


class StoreBusyError(StoreUnavailableError):
    """Somebody else has been writing for longer than we wait."""


class StoreFullError(StoreUnavailableError):
    """The disk of the database is full; nothing of the transaction was written."""


def translated(error: Exception, name: str) -> StoreError | None:
    """Say what an error of the database means for its user; None where it is not about the database's health.

    Parameters
    ----------
    error
        As SQLAlchemy or the driver raised it.
    name
        What the database is called, without its password.

    """
    if isinstance(error, PoolTimeoutError):
        return StoreBusyError(f"{name}: all connections are in use")
    cause = error.orig if isinstance(error, StatementError) else error
    if not isinstance(cause, sqlite3.Error | psycopg.Error):
        return None
    said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        kind = _of_sqlite(cause)
    elif isinstance(cause, postgres.DiskFull | postgres.OutOfMemory):
        kind = StoreFullError
    elif isinstance(
        cause, postgres.LockNotAvailable | postgres.DeadlockDetected | postgres.TooManyConnections
    ):
        kind = StoreBusyError
    elif isinstance(cause, postgres.DataCorrupted | postgres.IndexCorrupted):
        kind = StoreDamagedError
    else:
        lost = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        kind = StoreUnavailableError if lost else None
    return None if kind is None else kind(f"{name}: {said}")


def _of_sqlite(cause: sqlite3.Error) -> type[StoreError] | None:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreDamagedError
    if code in {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }:
        return StoreUnavailableError
    return None
