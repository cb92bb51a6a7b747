"""The audit trail shows what was changed, removed or put in, and where."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select, text

from kvandal.control.store.audit import GENESIS, hash_of, record
from kvandal.control.store.database import open_store
from kvandal.control.store.ledger import Posting, post
from kvandal.control.store.tables.books import AUDIT
from kvandal.control.store.tables.metadata import EPOCH
from kvandal.control.store.verification import verify

TEXTS = {
    "what": 'naïve \U0001f9ca\n"quoted"',
    "number": 2**53 + 1,
    "third": 1 / 3,
    "one": 1.0,
    "none": None,
    "list": [1, [True]],
}


@pytest.fixture
def five(store):
    """Return a store with five rows in its audit trail and two transactions in its ledger."""
    for number in range(1, 6):
        with store.begin() as tx:
            record(tx, "alice", "grant.approve", f"g_{number}", TEXTS | {3: number})
    with store.begin() as tx:
        post(tx, EPOCH, "job_1", [Posting("grant:1", "gpu_s", -5), Posting("tenant:uk:use", "gpu_s", 5)])
        post(tx, EPOCH, "job_2", [Posting("site:energy", "wh", -7), Posting("tenant:uk:use", "wh", 7)])
    return store


def tamper(store, *orders):
    """Do what somebody does who has the database's password: the triggers are his to remove."""
    with store.begin() as tx:
        for table in ("audit", "ledger"):
            if store.dialect == "postgresql":
                tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            else:
                for name in ("no_update", "no_delete", "no_replace"):
                    tx.execute(text(f"DROP TRIGGER IF EXISTS {table}_{name}"))
        for order in orders:
            tx.execute(text(order) if isinstance(order, str) else order)


def findings(store, expect=None):
    with store.read() as tx:
        return list(verify(tx, expect).findings)


def test_an_untouched_trail_is_sound(five):
    with five.read() as tx:
        verdict = verify(tx)
        rows = tx.execute(select(AUDIT).order_by(AUDIT.c.number)).all()

    assert (verdict.sound, verdict.rows, verdict.transactions) == (True, 5, 2)
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].previous_hash == GENESIS
    assert verdict.head_hash == rows[-1].hash
    assert rows[2].detail == TEXTS | {"3": 3}


def fail_after(_done):
    raise ZeroDivisionError


def test_what_is_rolled_back_leaves_no_trace(five):
    with pytest.raises(ZeroDivisionError), five.begin() as tx:
        fail_after(record(tx, "bob", "job.cancel", "j"))
    with five.begin() as tx:
        record(tx, "bob", "job.cancel", "j")
    assert findings(five) == []


@pytest.mark.parametrize("column", ["who", "what", "subject", "detail", "at_utc"])
def test_a_changed_row_is_named(five, column):
    value = {"detail": "'{}'", "at_utc": "1"}.get(column, "'mallory'")
    tamper(five, f"UPDATE audit SET {column} = {value} WHERE number = 3")

    (finding,) = findings(five)
    assert finding.startswith("audit: row 3 was changed (")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("DELETE FROM audit WHERE number = 2", ["audit: row 2 removed"]),
        (
            "DELETE FROM audit WHERE number IN (1, 2, 4)",
            ["audit: rows 1 to 2 removed", "audit: row 4 removed"],
        ),
        ("DELETE FROM audit WHERE number > 3", ["audit: rows 4 to 5 removed at the end"]),
        ("DELETE FROM audit", ["audit: rows 1 to 5 removed at the end"]),
    ],
)
def test_removed_rows_are_named(five, order, expected):
    tamper(five, order)
    assert findings(five) == expected


def forged(store, number, subject="forged"):
    """Return a row whose hash is right, behind the row before it."""
    with store.read() as tx:
        before = tx.execute(select(AUDIT).where(AUDIT.c.number == number - 1)).mappings().first()
    row = {
        "number": number,
        "at_utc": EPOCH,
        "who": "mallory",
        "what": "grant.approve",
        "subject": subject,
        "detail": {},
        "previous_hash": GENESIS if before is None else before["hash"],
    }
    return row | {"hash": hash_of(row)}


def test_rows_that_were_put_in_are_named(five):
    tamper(five, insert(AUDIT).values(**forged(five, 6)), insert(AUDIT).values(**forged(five, 0)))
    assert findings(five) == ["audit: row 0 was put in", "audit: rows 6 to 6 put in at the end"]


def test_a_row_written_anew_with_a_right_hash_is_named(five):
    tamper(five, "DELETE FROM audit WHERE number = 3", insert(AUDIT).values(**forged(five, 3)))
    assert findings(five) == ["audit: row 4 does not follow on row 3: one of them was put in or written anew"]

    tamper(five, "DELETE FROM audit WHERE number = 5", insert(AUDIT).values(**forged(five, 5)))
    assert findings(five)[-1] == "audit: row 5 was written anew"


def test_a_chain_written_anew_as_a_whole_does_not_hold_the_hash_that_was_noted(five):
    with five.read() as tx:
        noted = verify(tx).head_hash
    with five.begin() as tx:
        record(tx, "alice", "grant.end", "g_1")
    assert findings(five, noted) == []

    tamper(five, "DELETE FROM audit", "DELETE FROM audit_head")
    with five.begin() as tx:
        record(tx, "mallory", "grant.approve", "g_9")
    assert findings(five) == []
    assert findings(five, noted) == [
        f"audit: no row has the hash {noted}: the trail was cut or written anew since it was noted"
    ]


def test_a_ledger_that_was_tampered_with_is_named(five):
    tamper(five, "UPDATE ledger SET amount = 6 WHERE account = 'tenant:uk:use' AND unit = 'gpu_s'")
    assert findings(five) == [
        "ledger: transaction 1 does not balance: +1 gpu_s",
        "ledger: tenant:uk:use holds 5 gpu_s, its postings sum to 6",
    ]

    tamper(five, 'DELETE FROM ledger WHERE "transaction" = 1')
    assert findings(five)[0] == "ledger: transaction 1 removed"


def test_many_writers_at_once_make_one_chain(store_url):
    stores = [open_store(store_url) for _ in range(2)]  # as two servers have

    def write(store, who):
        for number in range(20):
            with store.begin() as tx:
                record(tx, who, "job.submit", f"{who}-{number}")

    threads = [threading.Thread(target=write, args=(stores[n % 2], f"person-{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].read() as tx:
        verdict = verify(tx)
        subjects = list(tx.scalars(select(AUDIT.c.subject)))
    for store in stores:
        store.close()

    assert (verdict.rows, verdict.findings) == (80, ())
    assert len(set(subjects)) == 80
