"""The file in which the emulated cluster keeps what it knows: each thing that happens is there wholly or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from kvandal.engines.live.protocol import EngineUnreachableError, OrderRefusedError

KEPT_EVENTS = 200_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS about (id INTEGER PRIMARY KEY CHECK (id = 1), start_utc TEXT NOT NULL, wall_s REAL NOT NULL,
    site_s REAL NOT NULL, speed REAL NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (name TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS caps (tier TEXT PRIMARY KEY, cap REAL NOT NULL);
CREATE TABLE IF NOT EXISTS over (key TEXT PRIMARY KEY, attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""


class About(NamedTuple):
    """When the cluster began, and how its time went when it was last written down.

    Attributes
    ----------
    start_utc : its second 0, ISO 8601
    wall_s : real time [s since 1970]
    site_s : its own time then [s]
    speed : seconds of its time in a second of real time

    """

    start_utc: str
    wall_s: float
    site_s: float
    speed: float


class TwinBook:
    """A file of SQLite, written by one process at a time: who opened it last.

    Parameters
    ----------
    file
        Where; None: in memory.

    Raises
    ------
    EngineUnreachableError
        If the file cannot be opened or written.

    """

    def __init__(self, file: Path | None) -> None:
        self._name = str(file) if file is not None else ":memory:"
        self._owner = 0
        try:
            self._file = sqlite3.connect(self._name, check_same_thread=False, isolation_level=None)
            self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + SCHEMA)
            self._file.execute("BEGIN IMMEDIATE")
            self._owner = self._counted() + 1
            self._file.execute(f"PRAGMA user_version = {self._owner}")
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise EngineUnreachableError(f"{self._name}: {error}") from error

    def _counted(self) -> int:
        """How often the file has been opened."""
        return int(self._file.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is written in the block, or nothing of it where the file cannot take it.

        Raises
        ------
        EngineUnreachableError
            If nothing was kept: the disk is full, or another process has opened the file since and goes on from there.

        """
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._refuse_stranger()
            try:
                yield
            except OrderRefusedError:
                self._file.execute("COMMIT")
                raise
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise EngineUnreachableError(f"{self._name}: {error}") from error
        except BaseException:
            self._undo()
            raise

    def _refuse_stranger(self) -> None:
        """Refuse to write what another process has opened since: what this one knows is no longer so."""
        if self._counted() != self._owner:
            raise EngineUnreachableError(f"{self._name}: another server has taken over this cluster")

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # -- what stands in it

    def about(self) -> About | None:
        """When it began and how its time went; None: it is new."""
        row = self._file.execute("SELECT start_utc, wall_s, site_s, speed FROM about").fetchone()
        return None if row is None else About(*row)

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Jobs that have not ended."""
        for (body,) in self._file.execute("SELECT body FROM jobs"):
            yield json.loads(body)

    def nodes(self) -> dict[str, tuple[str, str]]:
        """States and reasons of nodes that are not up."""
        return {name: (state, reason) for name, state, reason in self._file.execute("SELECT * FROM nodes")}

    def caps(self) -> dict[str, float]:
        """Power caps by tier."""
        return dict(self._file.execute("SELECT tier, cap FROM caps").fetchall())

    def events(self, after: int) -> list[tuple[int, dict[str, Any]]]:
        """Events behind a number, with theirs."""
        rows = self._file.execute(
            "SELECT number, body FROM events WHERE number > ? ORDER BY number", (after,)
        ).fetchall()
        return [(number, json.loads(body)) for number, body in rows]

    def last_event_s(self) -> float:
        """When the last event happened [s]; 0: there is none."""
        row = self._file.execute("SELECT body FROM events ORDER BY number DESC LIMIT 1").fetchone()
        return float(json.loads(row[0])["at_s"]) if row else 0.0

    def last_attempt(self, key: str) -> int | None:
        """Last attempt of a job that has ended; None: no job of this key has."""
        row = self._file.execute("SELECT attempt FROM over WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    # -- writing, inside a transaction

    def keep_time(self, about: About) -> None:
        """Note how the time goes."""
        self._file.execute("INSERT OR REPLACE INTO about VALUES (1, ?, ?, ?, ?)", about)

    def keep_jobs(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Write jobs as they are now: keys, and JSON."""
        self._file.executemany("INSERT OR REPLACE INTO jobs VALUES (?, ?)", jobs)

    def end_job(self, key: str, attempt: int) -> None:
        """Take out a job that has ended."""
        self._file.execute("DELETE FROM jobs WHERE key = ?", (key,))
        self._file.execute("INSERT OR REPLACE INTO over VALUES (?, ?)", (key, attempt))

    def keep_node(self, name: str, state: str, reason: str) -> None:
        """Write the state of a node."""
        if state == "up":
            self._file.execute("DELETE FROM nodes WHERE name = ?", (name,))
        else:
            self._file.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (name, state, reason))

    def keep_caps(self, caps: Mapping[str, float]) -> None:
        """Write the caps that hold from now on."""
        self._file.execute("DELETE FROM caps")
        self._file.executemany("INSERT INTO caps VALUES (?, ?)", list(caps.items()))

    def tell(self, body: Mapping[str, Any]) -> None:
        """Append an event."""
        row = self._file.execute("INSERT INTO events (body) VALUES (?)", (json.dumps(body),))
        number = row.lastrowid or 0
        if number % 1000 == 0:
            self._file.execute("DELETE FROM events WHERE number < ?", (number - KEPT_EVENTS,))
