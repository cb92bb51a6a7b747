"""Transactions are whole, follow each other, and survive; what was written once in an append-only table stays."""

from __future__ import annotations

import stat
import threading

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from kvandal.control.store.database import open_store
from kvandal.control.store.errors import StoreUnavailableError, StoreVersionError
from kvandal.control.store.tables.loop import INBOX
from kvandal.control.store.tables.metadata import EPOCH
from kvandal.errors import InputError


def request(number):
    return {"at_utc": EPOCH, "by": "me", "kind": "drain", "body": {"node": f"n{number}"}}


def fail_after(_done):
    raise ZeroDivisionError


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(store):
    with store.begin() as tx:
        tx.execute(insert(INBOX), [request(1), request(2)])
    with pytest.raises(ZeroDivisionError), store.begin() as tx:
        fail_after(tx.execute(insert(INBOX), [request(3)]))

    with store.read() as tx:
        assert [row.body["node"] for row in tx.execute(select(INBOX).order_by(INBOX.c.id))] == ["n1", "n2"]


def test_what_was_committed_is_there_when_the_store_is_opened_again(store_url):
    with open_store(store_url) as store, store.begin() as tx:
        tx.execute(insert(INBOX), [request(1)])

    with open_store(store_url, create=False) as store, store.read() as tx:
        row = tx.execute(select(INBOX)).one()
    assert (row.at_utc, row.body) == (EPOCH, {"node": "n1"})


def test_a_reader_sees_one_snapshot_while_others_write(store):
    with store.begin() as tx:
        tx.execute(insert(INBOX), [request(1)])
    with store.read() as reading:
        before = reading.execute(select(func.count()).select_from(INBOX)).scalar_one()
        with store.begin() as tx:
            tx.execute(insert(INBOX), [request(2)])
        assert (before, reading.execute(select(func.count()).select_from(INBOX)).scalar_one()) == (1, 1)


def test_numbers_become_visible_in_the_order_in_which_they_are_given(store_url):
    """A reader that has seen a number has seen all before it, whoever wrote them: two processes' stores, four threads."""
    stores = [open_store(store_url) for _ in range(2)]
    done = threading.Event()

    def write(store):
        for number in range(25):
            with store.begin() as tx:
                tx.execute(insert(INBOX), [request(number)])
                tx.execute(select(func.count()).select_from(INBOX)).scalar_one()

    seen, missed = 0, []

    def watch():
        nonlocal seen
        while True:
            last = done.is_set()
            with stores[0].read() as tx:
                numbers = list(tx.scalars(select(INBOX.c.id).where(INBOX.c.id > seen).order_by(INBOX.c.id)))
            if numbers and numbers != list(range(seen + 1, seen + len(numbers) + 1)):
                missed.append((seen, numbers))
            seen = numbers[-1] if numbers else seen
            if last:
                return

    writers = [threading.Thread(target=write, args=(store,)) for store in stores * 2]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    for store in stores:
        store.close()

    assert (seen, missed) == (100, [])


def test_a_transaction_within_a_transaction_of_the_same_thread_is_a_mistake(sqlite_store):
    with sqlite_store.begin(), pytest.raises(RuntimeError, match="open already"), sqlite_store.begin():
        pass


@pytest.mark.parametrize("table", ["audit", "ledger", "job_events", "inbox", "cycles"])
def test_rows_of_append_only_tables_are_neither_changed_nor_removed(store, table):
    from kvandal.control.store.tables.loop import CYCLES, JOB_EVENTS, JOBS

    key = {"audit": "number", "cycles": "number"}.get(table, "id")
    with store.begin() as tx:
        from kvandal.control.store.audit import record
        from kvandal.control.store.ledger import Posting, post

        record(tx, "me", "test.run", "this")
        post(tx, EPOCH, "a test", [Posting("a", "wh", 1), Posting("b", "wh", -1)])
        tx.execute(insert(INBOX), [request(1)])
        tx.execute(
            insert(JOBS).values(
                id="job_1",
                tenant="uk",
                project="p",
                person="me",
                name="n",
                demand="d",
                gpus=1,
                limit_s=1,
                state="accepted",
                submitted_utc=EPOCH,
            )
        )
        tx.execute(insert(JOB_EVENTS).values(job="job_1", at_utc=EPOCH, cycle=1, kind="accepted"))
        tx.execute(
            insert(CYCLES).values(
                number=1,
                at_utc=EPOCH,
                time_s=0,
                inbox_to=0,
                cursor="",
                inputs=[],
                actions=[],
                state_digest="",
            )
        )
    orders = [f"UPDATE {table} SET at_utc = 1", f"DELETE FROM {table}"]
    if store.dialect == "postgresql":
        orders += [
            f"TRUNCATE {table} CASCADE",
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}) DO UPDATE SET at_utc = 1",
        ]
    else:
        orders += [f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"]
    for order in orders:
        with pytest.raises(IntegrityError, match=f"{table} is append-only"), store.begin() as tx:
            tx.execute(text(order))


def test_a_file_of_a_store_is_its_owners_alone(sqlite_url, tmp_path):
    with open_store(sqlite_url):
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kvandal.db", "database: is not the URL of a database; allowed: sqlite:///FILE or postgresql://"),
        ("mysql://root:secret@host/x", "mysql:// is not a database that a store can be in"),
        ("sqlite://", "a store is kept in a file"),
        ("postgresql://host", "names no database"),
    ],
)
def test_a_wrong_url_is_refused_in_one_line_without_its_password(url, message):
    with pytest.raises(InputError) as caught:
        open_store(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_cannot_be_reached_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for url in (
        "postgresql://me:secret@127.0.0.1:1/x",
        f"sqlite:///{tmp_path}/file/kvandal.db",
        f"sqlite:///{tmp_path}",
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            open_store(url)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


def test_without_create_nothing_is_made(store_url, tmp_path):
    with pytest.raises(
        (StoreUnavailableError, StoreVersionError), match=r"no file|holds no store; run: kvandal store"
    ):
        open_store(store_url, create=False)
    assert list(tmp_path.iterdir()) == []
