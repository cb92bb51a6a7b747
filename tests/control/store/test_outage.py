"""The database goes away, is full, is busy: nothing is half-written, and it goes on when it is back."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest
from sqlalchemy import event, func, insert, select, text

from kvandal.control.store.database import open_store
from kvandal.control.store.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
    StoreUnavailableError,
)
from kvandal.control.store.outage import keep_writing
from kvandal.control.store.tables.loop import INBOX
from kvandal.control.store.tables.metadata import EPOCH


def ask(tx, number):
    tx.execute(
        insert(INBOX).values(at_utc=EPOCH, by="me", kind="drain", body={"number": number, "text": "x" * 500})
    )


def ask_much(tx):
    for number in range(2, 200):
        ask(tx, number)


def asked(store):
    with store.read() as tx:
        return [body["number"] for body in tx.scalars(select(INBOX.c.body).order_by(INBOX.c.id))]


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_connections_recover_when_postgres_is_back(postgres, postgres_url, mode):
    with open_store(postgres_url) as store:
        readers = [store.read() for _ in range(3)]  # several connections in the pool
        for reader in readers:
            reader.__enter__().execute(text("SELECT 1"))
        for reader in readers:
            reader.__exit__(None, None, None)
        with store.begin() as tx:
            ask(tx, 1)
        postgres.stop(mode)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError), store.begin() as tx:
                ask(tx, 2)
            with pytest.raises(StoreUnavailableError) as caught:
                asked(store)
            assert "\n" not in str(caught.value)
        postgres.start()

        with store.begin() as tx:  # the first call already
            ask(tx, 3)
        assert asked(store) == [1, 3]


@pytest.mark.postgres
def test_a_transaction_that_was_open_when_postgres_crashed_is_not_kept(postgres, postgres_url):
    def crash(tx):
        ask(tx, 1)
        postgres.stop("immediate")
        ask(tx, 2)

    with open_store(postgres_url) as store:
        with pytest.raises(StoreUnavailableError) as caught, store.begin() as tx:
            crash(tx)
        assert not caught.value.in_doubt
        postgres.start()
        assert asked(store) == []


@pytest.mark.postgres
def test_work_is_done_once_though_postgres_is_away_for_a_while(postgres, postgres_url):
    """It stops while the first transaction is open, and is started again when the third attempt has failed."""
    attempts = []

    def work(tx):
        attempts.append(len(attempts))
        if len(attempts) == 1:
            postgres.stop("immediate")
        ask(tx, 7)
        return "written"

    failures = []

    def waiting(error, wait_s):
        failures.append(wait_s)
        if len(failures) == 3:
            postgres.start()

    with open_store(postgres_url) as store:
        assert keep_writing(store, work, stopped=threading.Event(), waiting=waiting) == "written"
        assert asked(store) == [7]
    assert failures == [0.1, 0.2, 0.4]


@pytest.mark.postgres
@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_without_an_answer_is_looked_up_before_it_is_tried_again(postgres_url, kept):
    with open_store(postgres_url) as store:
        calls = []

        def work(tx):
            calls.append("work")
            ask(tx, 1)
            return "written"

        def done(tx):
            calls.append("done")
            return "was written" if tx.execute(select(func.count()).select_from(INBOX)).scalar_one() else None

        def lose_the_answer(connection):
            if len(calls) > 1:
                return
            if kept:
                connection.connection.driver_connection.commit()
            connection.connection.driver_connection.close()

        event.listen(store.engine, "commit", lose_the_answer)
        answer = keep_writing(store, work, done=done, stopped=threading.Event())

        assert asked(store) == [1]
    assert (answer, calls) == (
        ("was written", ["work", "done"]) if kept else ("written", ["work", "done", "work"])
    )


def test_waiting_ends_when_the_server_is_told_to_stop(sqlite_store):
    stopped = threading.Event()
    stopped.set()

    def work(tx):
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError, match="away"):
        keep_writing(sqlite_store, work, stopped=stopped)


def test_a_full_disk_keeps_nothing_of_a_transaction_and_takes_the_next_when_there_is_room(sqlite_url):
    room = 0

    def bound(connection, _record):
        connection.execute(f"PRAGMA max_page_count = {room or 2**30}")

    with open_store(sqlite_url) as store:
        with store.begin() as tx:
            ask(tx, 1)
        with store.sqlite() as driver:
            room = driver.execute("PRAGMA page_count").fetchone()[0] + 4
        event.listen(store.engine, "connect", bound)
        store.close()
        with pytest.raises(StoreFullError, match="full") as caught, store.begin() as tx:
            ask_much(tx)
        assert not caught.value.in_doubt
        assert asked(store) == [1]

        room = 0
        store.close()
        with store.begin() as tx:
            ask(tx, 2)
        assert asked(store) == [1, 2]


WRITE_UNTIL_FULL = """
import resource, signal, sys
from kvandal.control.store.audit import record
from kvandal.control.store.database import open_store
from kvandal.control.store.errors import StoreUnavailableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
number = 0
try:
    while True:
        with store.begin() as tx:
            record(tx, "me", "write", str(number + 1), {"text": "x" * 5000})
        number += 1
        print(number, flush=True)
except StoreUnavailableError as error:
    print(type(error).__name__, flush=True)
"""


def test_a_log_that_cannot_grow_keeps_all_that_was_acknowledged(sqlite_url):
    """The file system refuses a write in the midst of a transaction: whole transactions are there, and the chain is sound."""
    from kvandal.control.store.verification import verify

    said = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_FULL, sqlite_url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert said[-1] in {"StoreFullError", "StoreUnavailableError"}
    acknowledged = int(said[-2])
    assert acknowledged > 10
    with open_store(sqlite_url) as store, store.read() as tx:
        verdict = verify(tx)
    assert (verdict.rows, verdict.findings) == (acknowledged, ())


def test_a_database_that_another_program_keeps_locked_is_busy(sqlite_url, monkeypatch):
    monkeypatch.setattr("kvandal.control.store.connections.WAIT_S", 0)
    with open_store(sqlite_url) as store:
        other = sqlite3.connect(store.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked"), store.begin() as tx:
            ask(tx, 1)
        assert asked(store) == []  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        with store.begin() as tx:
            ask(tx, 2)
        assert asked(store) == [2]


def test_a_file_that_is_no_database_is_called_damaged(sqlite_url, tmp_path):
    (tmp_path / "kvandal.db").write_bytes(b"something else " * 1000)
    with pytest.raises(StoreDamagedError, match="not a database"):
        open_store(sqlite_url)
