"""A backup taken while others write is whole, and restores into either kind of database."""

from __future__ import annotations

import shutil
import sqlite3
import threading

import pytest
from alembic import command
from sqlalchemy import insert, select, text

from kvandal.control.store import schema
from kvandal.control.store.address import address_of
from kvandal.control.store.audit import record
from kvandal.control.store.backup import back_up, restore
from kvandal.control.store.database import Store, open_store
from kvandal.control.store.errors import StoreBusyError, StoreError, StoreFullError, StoreVersionError
from kvandal.control.store.leader import leadership_of
from kvandal.control.store.ledger import Posting, balance, post
from kvandal.control.store.tables.books import IDEMPOTENCY
from kvandal.control.store.tables.loop import INBOX, JOB_EVENTS, JOBS, SET_POINTS
from kvandal.control.store.tables.metadata import EPOCH
from kvandal.control.store.verification import verify
from kvandal.errors import InputError, OutputError

BODY = {"text": "é\n\U0001f9ca", "number": 0.1, "large": 2**62, "none": None}


def fill(store):
    """Put something of every kind of column into a store."""
    with store.begin() as tx:
        job = {
            "id": "job_1", "tenant": "uk", "project": "p", "person": "me", "name": "n", "demand": "d", "gpus": 8,
            "limit_s": 60, "state": "accepted", "submitted_utc": EPOCH, "energy_wh": 1 / 3, "used_gpu_s": 2**40,
        }  # fmt: skip
        tx.execute(insert(JOBS), [job])
        tx.execute(
            insert(JOB_EVENTS).values(job="job_1", at_utc=EPOCH, cycle=1, kind="accepted", detail=BODY)
        )
        tx.execute(insert(INBOX), [{"at_utc": EPOCH, "by": "me", "kind": "submit", "body": BODY}] * 3)
        tx.execute(
            insert(SET_POINTS).values(name="envelope_mw", reason="", by="me", at_utc=EPOCH, active=False)
        )
        tx.execute(
            insert(IDEMPOTENCY).values(
                principal="p",
                key="k",
                request_hash="",
                status=200,
                headers={},
                body=bytes(range(256)),
                expires_utc=EPOCH,
            )
        )
        post(tx, EPOCH, "job_1", [Posting("grant:1", "gpu_s", -5), Posting("tenant:uk:use", "gpu_s", 5)])
        record(tx, "me", "job.submit", "job_1", BODY)


def content(store):
    with store.read() as tx:
        return {
            table.name: sorted(map(repr, tx.execute(select(table))))
            for table in schema.complete_metadata().sorted_tables
        }


@pytest.fixture
def full(store):
    fill(store)
    return store


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def target_url(request, tmp_path):
    """Return the URL of a second, empty database, of both kinds in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored' / 'kvandal.db'}"
        return
    server = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop(url)


def test_what_is_restored_is_what_was_there(full, target_url, tmp_path):
    """From either database into either; and the restored store counts on where the old one stood."""
    saved = back_up(full, tmp_path / "backup")
    restored = restore(tmp_path / "backup", target_url)

    assert restored == saved
    assert (saved.verdict.rows, saved.counts["inbox"]) == (1, 3)
    with open_store(target_url, create=False) as store:
        assert content(store) == content(full)
        with store.begin() as tx:
            assert tx.execute(
                insert(INBOX).values(at_utc=EPOCH, by="", kind="", body={})
            ).inserted_primary_key == (4,)
            record(tx, "me", "job.cancel", "job_1")
            post(tx, EPOCH, "job_1", [Posting("grant:1", "gpu_s", -5), Posting("tenant:uk:use", "gpu_s", 5)])
        with store.read() as tx:
            assert verify(tx).sound
            assert balance(tx, "grant:1", "gpu_s") == -10


def test_a_store_of_an_older_version_is_saved_as_it_is_and_brought_up_to_date_when_restored(
    store_url, target_url, tmp_path
):
    with Store(address_of(store_url)) as store:
        with store.begin() as tx:
            command.upgrade(schema.configuration(tx), "0004")
        fill(store)
    with open_store(store_url, create=False, older=True) as store:
        saved = back_up(store, tmp_path / "backup")
    restored = restore(tmp_path / "backup", target_url)

    assert (saved.version, restored.version) == ("0004", schema.newest())
    assert saved.verdict == restored.verdict
    assert {name: restored.counts[name] for name in saved.counts} == saved.counts
    assert saved.counts["audit"] == 1
    assert set(saved.counts) < set(restored.counts)


def test_a_backup_while_others_write_is_one_snapshot(store, tmp_path):
    """Each transaction writes to two tables; in each backup both are equally long, and the books are sound."""
    stop = threading.Event()
    started = threading.Event()

    def write():
        while not stop.is_set():
            with store.begin() as tx:
                tx.execute(insert(INBOX).values(at_utc=EPOCH, by="me", kind="drain", body=BODY))
                record(tx, "me", "node.drain", "n1", BODY)
            started.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    started.wait()
    copies = [back_up(store, tmp_path / f"backup-{number}") for number in range(3)]
    stop.set()
    for writer in writers:
        writer.join()

    for copy in copies:
        assert copy.verdict.sound
        assert copy.counts["inbox"] == copy.counts["audit"] == copy.verdict.rows > 0
    assert copies[0].verdict.rows < copies[2].verdict.rows


def test_a_backup_is_one_file_and_no_other_is_written_over(full, tmp_path):
    (tmp_path / "backups").mkdir()
    back_up(full, tmp_path / "backups" / "one")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["one"]
    with pytest.raises(OutputError, match="exists"):
        back_up(full, tmp_path / "backups" / "one")
    with pytest.raises(OutputError, match="No such file"):
        back_up(full, tmp_path / "absent" / "one")


def test_the_log_of_a_database_that_was_removed_is_not_taken_for_that_of_the_new_one(sqlite_store, tmp_path):
    fill(sqlite_store)
    back_up(sqlite_store, tmp_path / "backup")
    before = content(sqlite_store)
    with sqlite_store.begin() as tx:
        record(tx, "me", "job.cancel", "job_1")
    (tmp_path / "new").mkdir()
    shutil.copy(f"{sqlite_store.file}-wal", tmp_path / "new" / "kvandal.db-wal")
    restore(tmp_path / "backup", f"sqlite:///{tmp_path}/new/kvandal.db")

    with open_store(f"sqlite:///{tmp_path}/new/kvandal.db", create=False) as store:
        assert content(store) == before


def test_a_store_that_holds_something_is_replaced_only_by_force(full, tmp_path, store_url):
    back_up(full, tmp_path / "backup")
    with full.begin() as tx:
        record(tx, "me", "job.cancel", "job_1")
    before = content(full)
    with pytest.raises(StoreError, match="is not empty; --force"):
        restore(tmp_path / "backup", store_url)
    assert content(full) == before

    leadership = leadership_of(full)
    assert leadership.acquire()
    with pytest.raises(StoreBusyError, match="another server leads this store"):
        restore(tmp_path / "backup", store_url, force=True)
    leadership.release()
    assert content(full) == before

    restore(tmp_path / "backup", store_url, force=True)
    assert content(full) != before
    with full.read() as tx:
        assert verify(tx).rows == 1


def test_a_restore_that_fails_leaves_the_store_as_it_was(full, tmp_path, store_url, monkeypatch):
    back_up(full, tmp_path / "backup")
    with full.begin() as tx:
        record(tx, "me", "job.cancel", "job_1")
    before = content(full)

    def fail(*_, **__):
        raise StoreFullError("no room")

    monkeypatch.setattr("kvandal.control.store.backup._count_on", fail)  # PostgreSQL: after all rows
    monkeypatch.setattr("kvandal.control.store.backup._giving_up", fail)  # SQLite: before the copy
    with pytest.raises(StoreFullError):
        restore(tmp_path / "backup", store_url, force=True)
    assert content(full) == before


def test_a_database_with_tables_of_something_else_is_not_replaced_even_by_force(full, tmp_path, target_url):
    back_up(full, tmp_path / "backup")
    with open_store(target_url) as other, other.begin() as tx:
        tx.execute(text(f"DROP TABLE {schema.VERSION_TABLE}"))
    with pytest.raises(StoreVersionError, match="something else"):
        restore(tmp_path / "backup", target_url, force=True)


def test_what_is_not_a_sound_backup_is_refused(sqlite_store, tmp_path):
    fill(sqlite_store)
    backup, url = tmp_path / "backup", f"sqlite:///{tmp_path / 'new.db'}"
    back_up(sqlite_store, backup)
    other = tmp_path / "other"

    with pytest.raises(InputError, match="no such file"):
        restore(other, url)
    other.write_text("hello")
    with pytest.raises(InputError, match="is not a backup of a store"):
        restore(other, url)
    sqlite3.connect(tmp_path / "another").close()
    with pytest.raises(InputError, match="is not a backup of a store"):
        restore(tmp_path / "another", url)
    shutil.copy(backup, other)
    with other.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\0" * 4096)
    with pytest.raises(InputError, match="is damaged"):
        restore(other, url)
    shutil.copy(backup, other)
    changed = sqlite3.connect(other)
    changed.execute("DROP TRIGGER audit_no_update")
    changed.execute("UPDATE audit SET who = 'mallory'")
    changed.commit()
    changed.close()
    with pytest.raises(InputError, match="is not sound: audit: row 1 was changed"):
        restore(other, url)

    assert not (tmp_path / "new.db").exists()
    assert restore(other, url, unverified=True).verdict.findings[0].startswith("audit: row 1 was changed")
    assert not list(tmp_path.glob(".*.part*"))
