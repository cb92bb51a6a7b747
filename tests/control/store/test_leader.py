"""Exactly one of several servers leads; who has lost the lock knows it at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from kvandal.control.store.database import open_store
from kvandal.control.store.leader import leadership_of
from kvandal.control.store.tables.loop import CYCLES
from kvandal.control.store.tables.metadata import EPOCH


@pytest.fixture
def two(store_url):
    """Return the stores of two servers on one database."""
    with open_store(store_url) as one, open_store(store_url) as other:
        yield one, other


def test_one_leads_and_the_other_follows_when_it_lets_go(two):
    one, other = map(leadership_of, two)
    assert not one.is_leader()

    assert (one.acquire(), other.acquire(), one.acquire()) == (True, False, True)
    assert (one.is_leader(), other.is_leader()) == (True, False)
    assert other.why_not.startswith("another server leads this store (")

    one.release()
    assert not one.is_leader()
    assert other.acquire()
    other.release()


LEAD = """
import sys, time
from kvandal.control.store.database import open_store
from kvandal.control.store.leader import leadership_of
leadership = leadership_of(open_store(sys.argv[1]))
print(leadership.acquire(), flush=True)
time.sleep(600)
"""


def test_a_leader_that_was_killed_leads_no_more(store):
    url = store.address.render_as_string(hide_password=False)
    with subprocess.Popen([sys.executable, "-c", LEAD, url], stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout.readline() == "True\n"
        other = leadership_of(store)
        assert not other.acquire()
        leader.kill()
        leader.wait()
    for _ in range(100):  # PostgreSQL notices in its own time
        if other.acquire():
            break
    assert other.is_leader()
    other.release()


def test_a_lock_file_that_was_removed_holds_nothing(sqlite_store):
    leadership = leadership_of(sqlite_store)
    assert leadership.acquire()
    leadership.path.unlink()

    assert not leadership.is_leader()
    assert "was removed" in leadership.why_not
    assert leadership.acquire()
    leadership.release()


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_leader_whose_database_stopped_leads_no_more(postgres, postgres_url, mode):
    with open_store(postgres_url) as store:
        leadership = leadership_of(store)
        assert leadership.acquire()
        postgres.stop(mode)

        assert not leadership.is_leader()
        assert "the connection that held the lead is lost" in leadership.why_not
        assert not leadership.acquire()
        assert "refused" in leadership.why_not

        postgres.start()
        assert not leadership.is_leader()
        assert leadership.acquire()
        leadership.release()


@pytest.mark.postgres
def test_a_lock_that_postgres_has_taken_away_is_missed_when_it_is_asked(postgres_url, monkeypatch):
    monkeypatch.setattr("kvandal.control.store.leader.ASK_EVERY_S", 0.0)
    with open_store(postgres_url) as store:
        leadership = leadership_of(store)
        assert leadership.acquire()
        assert leadership.is_leader()
        leadership._connection.execute("SELECT pg_advisory_unlock_all()")

        assert not leadership.is_leader()
        other = leadership_of(store)
        assert other.acquire()
        other.release()


def test_two_that_both_believe_they_lead_cannot_both_write_a_cycle(two):
    """The number of a cycle is taken once; what came with the second is not kept either."""
    one, other = two
    cycle = {
        "number": 8, "at_utc": EPOCH, "time_s": 8, "inbox_to": 0, "cursor": "", "inputs": [], "actions": [],
        "state_digest": "",
    }  # fmt: skip
    with one.begin() as tx:
        tx.execute(insert(CYCLES), [cycle])
    with pytest.raises(IntegrityError), other.begin() as tx:
        tx.execute(insert(CYCLES), [cycle | {"number": 9}, cycle])
    with other.read() as tx:
        assert list(tx.scalars(select(CYCLES.c.number))) == [8]
