"""Backups: one file, always an SQLite database, that is restored into either kind of database.

A backup is one consistent snapshot, taken while others write. It is written under a temporary name, verified (counts of all
tables, audit trail, ledger) and then given its own name, so a file under that name is whole. A restore is all or nothing too.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from sqlalchemy import Connection, MetaData, Table, func, insert, select, text

from kvandal.control.store import schema
from kvandal.control.store.address import address_of, file_of
from kvandal.control.store.connections import WAIT_S, make_private
from kvandal.control.store.database import Store
from kvandal.control.store.errors import StoreBusyError, StoreError, StoreVersionError
from kvandal.control.store.leader import leadership_of
from kvandal.control.store.verification import Verdict, verify
from kvandal.errors import InputError, OutputError

CHUNK = 2000
"""Rows that are copied at once."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a backup or a restore has copied.

    Attributes
    ----------
    version : of the store
    counts : rows by table
    verdict : on the audit trail and the ledger in the copy

    """

    version: str
    counts: dict[str, int]
    verdict: Verdict

    @property
    def rows(self) -> int:
        """Of all tables together."""
        return sum(self.counts.values())


def back_up(store: Store, file: Path) -> Copy:
    """Write a backup of a store to a file that is not there yet.

    Raises
    ------
    OutputError
        The file exists, or cannot be written.
    StoreError
        The store cannot be read, or the copy is not what was read.

    """
    if file.exists():
        raise OutputError(f"{file}: exists; a backup is never written over another file")
    with _temporary(file) as part:
        expected: dict[str, int] | None = None  # a copy of all pages is a copy of all rows
        if store.file is not None:
            _copy_file(store, part)
        else:
            expected = _dump(store, part)
        with Store(address_of(f"sqlite:///{part}")) as copied, copied.read() as tx:
            found = _look(tx)
        if expected is not None and found.counts != expected:
            raise StoreError(f"{file}: the copy holds other rows than the store; nothing was kept")
        _settle(part, file)
    return found


def restore(file: Path, url: str, *, force: bool = False, unverified: bool = False) -> Copy:
    """Put a backup into a database.

    Parameters
    ----------
    file
        Written by :func:`back_up`, by this version of Kvandal or an older one.
    url
        Of a database that is not there yet or holds nothing.
    force
        Replace the store that is there.
    unverified
        Take a backup whose books are not sound.

    Raises
    ------
    InputError
        The file is not a backup, or is not sound.
    StoreError
        The database holds something, is led by a server, or cannot be written. It is as it was before.

    """
    target = address_of(url)
    beside = file_of(target)
    if not file.is_file():
        raise InputError("no such file", file=file)
    if beside is not None:
        beside.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(beside or Path(tempfile.gettempdir()) / "kvandal-restore") as part:
        expected = _read_backup(file, part, unverified=unverified)
        with Store(target) as store:
            leadership = leadership_of(store)
            if (beside is None or beside.exists()) and not _may_replace(store, force=force):
                raise StoreError(f"{store.name}: is not empty; --force replaces all that it holds")
            if not leadership.acquire():
                raise StoreBusyError(f"{store.name}: {leadership.why_not}; stop it first")
            try:
                if beside is None:
                    found = _load(part, store, expected)
                elif beside.exists():
                    found = _overwrite(part, store, expected)
                else:
                    _remove_traces(
                        beside
                    )  # of a database that was there once: SQLite would take its log for ours
                    _settle(part, beside)
                    found = expected
            finally:
                leadership.release()
    return found


def _look(tx: Connection) -> Copy:
    version = schema.revision(tx)
    if version is None:
        raise StoreVersionError("holds no store")
    tables = _tables(tx)
    counts = {
        table.name: tx.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
    }
    return Copy(version, counts, verify(tx))


def _tables(tx: Connection) -> list[Table]:
    """Return the tables of the store in a database, those that others refer to first; an older version's as they are there."""
    known = schema.complete_metadata()
    if schema.revision(tx) == schema.newest():
        return known.sorted_tables
    reflected = MetaData()
    reflected.reflect(tx)
    shared = tx.dialect.name == "postgresql"  # with other programs, whose tables are not ours
    return [
        table
        for table in reflected.sorted_tables
        if table.name != schema.VERSION_TABLE and (not shared or table.name in known.tables)
    ]


def _copy_file(store: Store, part: Path) -> None:
    """Copy an SQLite database page by page, in one step: one snapshot."""
    with store.sqlite() as source, _sqlite(part) as copied:
        source.backup(copied, pages=-1, progress=_giving_up(store.name))
        copied.execute("PRAGMA journal_mode = DELETE")  # all of it in one file


def _dump(store: Store, part: Path) -> dict[str, int]:
    """Copy all rows from PostgreSQL into a new SQLite database of the same version; return how many there are of each table."""
    with Store(address_of(f"sqlite:///{part}")) as copied, store.read() as source:
        version = schema.revision(source)
        assert version is not None
        with copied.begin() as tx:
            command.upgrade(schema.configuration(tx), version)
            tx.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            return _copy_rows(source, tx)


def _copy_rows(source: Connection, target: Connection) -> dict[str, int]:
    into = {table.name: table for table in _tables(target)}
    counts = {}
    for table in _tables(source):
        counts[table.name] = 0
        rows = source.execution_options(yield_per=CHUNK).execute(select(table)).mappings()
        for chunk in rows.partitions():
            target.execute(insert(into[table.name]), [dict(row) for row in chunk])
            counts[table.name] += len(chunk)
    return counts


def _read_backup(file: Path, part: Path, *, unverified: bool) -> Copy:
    """Copy a backup to a temporary file, bring it up to date there and verify it."""
    try:
        with _sqlite(file, read_only=True) as source, _sqlite(part) as copied:
            source.backup(copied, pages=-1)
            damage = [row[0] for row in copied.execute("PRAGMA quick_check(1)")]
    except sqlite3.Error as error:
        raise InputError(f"is not a backup of a store ({error})", file=file) from None
    if damage != ["ok"]:
        raise InputError(f"is damaged: {damage[0]}", file=file)
    with Store(address_of(f"sqlite:///{part}")) as store:
        with store.read() as tx:
            known = schema.revision(tx)
            if known is None:
                raise InputError("is not a backup of a store", file=file)
            schema.check(tx, str(file))
        with store.begin() as tx:
            schema.migrate(tx)
        with store.read() as tx:
            found = _look(tx)
    if not found.verdict.sound and not unverified:
        raise InputError(
            f"is not sound: {found.verdict.findings[0]}; --unverified takes it all the same", file=file
        )
    return found


def _may_replace(store: Store, *, force: bool) -> bool:
    with store.read() as tx:
        schema.check(tx, store.name)  # refuses what is not ours, or newer
        if schema.revision(tx) is None:
            return True
        return force or all(tx.execute(select(table).limit(1)).first() is None for table in _tables(tx))


def _overwrite(part: Path, store: Store, expected: Copy) -> Copy:
    """Replace the content of an SQLite database, in one transaction of its own: other programs may have it open."""
    with store.sqlite() as target, _sqlite(part) as source:
        target.execute("PRAGMA journal_mode = WAL")
        source.backup(target, pages=-1, progress=_giving_up(store.name))
    store.close()  # what is connected knows the old tables
    with store.read() as tx:
        return _agreed(_look(tx), expected, store)


def _load(part: Path, store: Store, expected: Copy) -> Copy:
    """Fill a database of PostgreSQL in one transaction, with what was there dropped first."""
    with (
        Store(address_of(f"sqlite:///{part}")) as copied,
        copied.read() as source,
        store.begin() as tx,
    ):
        if schema.revision(tx) is not None:
            for name in (*(table.name for table in _tables(tx)), schema.VERSION_TABLE):
                tx.execute(text(f'DROP TABLE "{name}" CASCADE'))
        schema.migrate(tx)
        _copy_rows(source, tx)
        for table in _tables(tx):
            _count_on(tx, table)
        return _agreed(_look(tx), expected, store)


def _count_on(tx: Connection, table: Table) -> None:
    """Have PostgreSQL count on behind the last number that was restored."""
    for column in table.primary_key.columns:
        counter = tx.execute(select(func.pg_get_serial_sequence(f'"{table.name}"', column.name))).scalar()
        if counter is not None:
            last = tx.execute(select(func.max(column))).scalar()
            tx.execute(select(func.setval(counter, last or 1, last is not None)))


def _agreed(found: Copy, expected: Copy, store: Store) -> Copy:
    if found.counts != expected.counts or found.verdict != expected.verdict:
        raise StoreError(f"{store.name}: what was restored is not what the backup holds")
    return found


@contextmanager
def _sqlite(file: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}", uri=True, timeout=WAIT_S
    )
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def _temporary(file: Path) -> Iterator[Path]:
    """Return an empty file beside another, under a name of its own; it is removed in the end unless it was renamed."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        make_private(part)
        yield part
    except sqlite3.Error as error:
        raise OutputError(f"{file}: cannot be written: {error}") from None
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
        _remove_traces(part)


def _remove_traces(file: Path) -> None:
    for end in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _settle(part: Path, file: Path) -> None:
    """Give a file that is whole its own name, on disk."""
    for path in (part, part.parent):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    part.rename(file)
    descriptor = os.open(file.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _giving_up(name: str) -> Callable[[int, int, int], None]:
    """Return what ends a copy that waits for a writer who never ends."""
    until = time.monotonic() + WAIT_S

    def watch(status: int, remaining: int, _total: int) -> None:
        if (
            status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            and remaining >= 0
            and time.monotonic() > until
        ):
            raise StoreBusyError(f"{name}: another program writes for more than {WAIT_S} s")

    return watch
