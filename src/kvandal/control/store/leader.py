"""Which of several servers leads: exactly one turns the loop, the others wait.

Beside an SQLite file, a locked file says so; in PostgreSQL, an advisory lock held by a connection of its own. Either is given
back by the system when the process ends, however it ends. A leader that was cut off may believe for a moment that it still
leads; what it would write then is refused, because the number of its cycle is the primary key of the cycles and taken.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psycopg

from kvandal.control.store.connections import KEEP_ALIVE, LEADER_LOCK
from kvandal.control.store.database import Store
from kvandal.control.store.errors import StoreUnavailableError

ASK_EVERY_S = 5.0
"""How often PostgreSQL is asked whether the lock is still ours; a connection that it closed is noticed at once [s]."""
KEY = f"{LEADER_LOCK}, hashtext(current_schema())"


class Leadership(Protocol):
    """The right to turn the loop of one store.

    Attributes
    ----------
    why_not : who leads instead, or why nobody can be asked; empty for the leader

    """

    why_not: str

    def acquire(self) -> bool:
        """Lead, if nobody else does; say whether this server leads now."""
        ...

    def is_leader(self) -> bool:
        """Say whether this server leads now; False at once when the lock or the connection that holds it is lost."""
        ...

    def release(self) -> None:
        """Let another lead."""
        ...


def leadership_of(store: Store) -> Leadership:
    """Return the right to lead of a store, not acquired yet."""
    if store.file is not None:
        return FileLeadership(store.file)
    return PostgresLeadership(store)


def who_leads(store: Store) -> str | None:
    """Return who leads a store, in words; None: nobody. It is not disturbed.

    Raises
    ------
    StoreUnavailableError
        If the database cannot be asked.

    """
    if store.file is None:
        with store.read() as tx:
            connection = tx.connection.driver_connection
            assert isinstance(connection, psycopg.Connection)
            found = PostgresLeadership._who(connection)  # noqa: SLF001
        return found.strip(" ()") or None
    try:
        descriptor = os.open(FileLeadership(store.file).path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailableError(f"{error.filename}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back at once with the descriptor
    except OSError:
        return os.read(descriptor, 200).decode(errors="replace").strip() or "a server"
    else:
        return None
    finally:
        os.close(descriptor)


class FileLeadership:
    """Leads while it holds the lock on a file beside the database."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}.leader")
        self.why_not = "has not asked yet"
        self._descriptor: int | None = None
        self._one_at_a_time = threading.Lock()

    def acquire(self) -> bool:
        """Lead, if nobody else does; say whether this server leads now."""
        with self._one_at_a_time:
            if self._holds():
                return True
            self._let_go()
            try:
                descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
            except OSError as error:
                self.why_not = f"{self.path}: {error.strerror}"
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                who = os.read(descriptor, 200).decode(errors="replace").strip()
                self.why_not = f"another server leads this store{f' ({who})' if who else ''}"
                os.close(descriptor)
                return False
            self._descriptor = descriptor
            since = datetime.now(UTC).isoformat(timespec="seconds")
            with suppress(OSError):  # who leads is told where there is room for it
                os.ftruncate(descriptor, 0)
                os.pwrite(
                    descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0
                )
            if not self._holds():  # the file was replaced between opening and locking it
                self._let_go()
                self.why_not = f"{self.path}: was replaced"
                return False
            self.why_not = ""
            return True

    def is_leader(self) -> bool:
        """Say whether this server leads now."""
        with self._one_at_a_time:
            held = self._holds()
            if not held and self._descriptor is not None:
                self._let_go()
                self.why_not = f"{self.path}: was removed"
            return held

    def release(self) -> None:
        """Let another lead."""
        with self._one_at_a_time:
            self._let_go()
            self.why_not = "has let go"

    def _holds(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            there = self.path.stat()
        except OSError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # the lock goes with it
            self._descriptor = None


class PostgresLeadership:
    """Leads while its connection to PostgreSQL lives and holds the advisory lock."""

    def __init__(self, store: Store) -> None:
        _, settings = store.engine.dialect.create_connect_args(store.address)
        self.settings = {**KEEP_ALIVE, "application_name": "kvandal leader", **settings}
        self.name = store.name
        self.why_not = "has not asked yet"
        self._connection: psycopg.Connection | None = None
        self._asked_s = 0.0
        self._one_at_a_time = threading.Lock()

    def acquire(self) -> bool:
        """Lead, if nobody else does; say whether this server leads now."""
        with self._one_at_a_time:
            if self._holds():
                return True
            self._let_go()
            try:
                connection = psycopg.connect(**self.settings, autocommit=True)
                self._connection = connection
                row = connection.execute(f"SELECT pg_try_advisory_lock({KEY})").fetchone()
                if row == (True,):
                    self._asked_s = time.monotonic()
                    self.why_not = ""
                    return True
                self.why_not = f"another server leads this store{self._who(connection)}"
            except psycopg.Error as error:
                self.why_not = f"{self.name}: {(str(error).splitlines() or [type(error).__name__])[0]}"
            self._let_go()
            return False

    def is_leader(self) -> bool:
        """Say whether this server leads now."""
        with self._one_at_a_time:
            held = self._holds()
            if not held and self._connection is not None:
                self._let_go()
                self.why_not = f"{self.name}: the connection that held the lead is lost"
            return held

    def release(self) -> None:
        """Let another lead."""
        with self._one_at_a_time:
            self._let_go()
            self.why_not = "has let go"

    def _holds(self) -> bool:
        connection = self._connection
        if connection is None or connection.closed:
            return False
        try:
            # Nothing was asked: what can be read now is the server saying goodbye, or the end of the connection.
            if _has_something_to_read(connection.fileno()) or time.monotonic() - self._asked_s > ASK_EVERY_S:
                found = connection.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
                    "AND classid::bigint = %s",
                    (LEADER_LOCK,),
                ).fetchone()
                self._asked_s = time.monotonic()
                return found is not None and found[0] > 0
        except psycopg.Error:
            return False
        return True

    @staticmethod
    def _who(connection: psycopg.Connection) -> str:
        row = connection.execute(
            "SELECT a.client_addr::text, a.backend_start FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = %s AND l.database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1",
            (LEADER_LOCK,),
        ).fetchone()
        if row is None:
            return ""
        return f" (from {row[0] or 'this machine'}, connected {row[1].astimezone(UTC).isoformat(timespec='seconds')})"

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_something_to_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
