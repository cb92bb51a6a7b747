"""What the store says against what the engine has done and what people were promised; shares no code with the loop."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict

import pytest
from small_sites import check_books, check_room
from sqlalchemy import func, select

from kvandal.client.resources.jobs import ENDED
from kvandal.control.loop.opening import taken_up
from kvandal.control.loop.replay import replay
from kvandal.control.store.database import open_store
from kvandal.control.store.ledger import balance
from kvandal.control.store.tables.accruals import ACCRUALS
from kvandal.control.store.tables.books import IDEMPOTENCY, LEDGER
from kvandal.control.store.tables.loop import CYCLES, INBOX, INTENTIONS, JOBS, LOANS, SET_POINTS, SITE_TICKS
from kvandal.control.store.verification import verify

TICK_S = 60
"""Of the site of these tests [s]."""


def engine_events(folder, file="twin.sqlite"):
    """What the emulated cluster has noted, in order."""
    book = sqlite3.connect(folder / file)
    try:
        return [json.loads(body) for (body,) in book.execute("SELECT body FROM events ORDER BY number")]
    finally:
        book.close()


def check_engine(events, jobs):
    """No attempt was started twice, none before the last one was over, none without a job; each that began has ended."""
    runs, ends, starts, open_runs = defaultdict(list), Counter(), Counter(), {}
    for one in events:
        if one["kind"] == "started":
            assert one["key"] in jobs, "a job runs that nobody has submitted"
            assert one["key"] not in open_runs, "started while it runs"
            open_runs[one["key"]] = one["attempt"]
            starts[one["key"], one["attempt"]] += 1
            runs[one["key"]].append(one["attempt"])
        elif one["kind"] in ("ended", "held") and open_runs.get(one["key"]) == one["attempt"]:
            ends[one["key"], one["attempt"]] += 1
            del open_runs[one["key"]]
    assert set(starts.values()) <= {1}, "an attempt was started twice"
    assert ends == starts, "an attempt did not end, or ended twice"
    assert all(attempts == sorted(attempts) for attempts in runs.values())
    return runs


def check_jobs(jobs, runs, events):
    """Every job has ended, as the engine says."""
    assert {job.state for job in jobs.values()} <= ENDED - {"refused"}
    completed = Counter(
        one["key"] for one in events if one["kind"] == "ended" and one["outcome"] == "completed"
    )
    assert set(completed.values()) <= {1}, "a job was completed twice"
    finished = {job.id for job in jobs.values() if job.state == "finished"}
    assert finished <= set(completed), "finished here and not there"
    otherwise = {jobs[job].state for job in set(completed) - finished}
    assert otherwise <= {"cancelled"}, "completed there and not here, and not cancelled before that was known"
    for job in jobs.values():
        attempts = runs.get(job.id, [0])
        assert attempts[-1] <= job.attempt, "the engine has run what nobody decided"
        assert not job.shares


def check_loans(tx, cycles):
    """Every loan that was decided stands in the books once, and has ended."""
    lent = [one for row in cycles for one in row.actions if one["do"] == "lend"]
    ended = Counter(one["loan"] for row in cycles for one in row.actions if one["do"] == "loan_end")
    rows = tx.execute(select(LOANS).order_by(LOANS.c.id)).all()
    assert [row.id for row in rows] == sorted(one["loan"] for one in lent) == list(range(1, len(lent) + 1))
    assert ended == Counter(row.id for row in rows), "a loan was forgotten, or ended twice"
    assert {row.state for row in rows} <= {"returned"}
    return len(rows)


def check_cycles(tx, cycles):
    """Every cycle once, in order of time; all that was asked for is taken, all that was ordered has an answer."""
    assert [row.number for row in cycles] == list(range(1, len(cycles) + 1))
    for name in ("time_s", "inbox_to"):
        values = [getattr(row, name) for row in cycles]
        assert values == sorted(values), f"{name} went back"
    assert cycles[-1].inbox_to == tx.execute(select(func.max(INBOX.c.id))).scalar_one()
    told = [one["job"] for row in cycles for one in row.inputs if one["kind"] == "submit"]
    assert max(Counter(told).values()) == 1, "a job was submitted twice"
    left = tx.execute(select(INTENTIONS).where(INTENTIONS.c.state == "open")).all()
    # a server that is stopped may leave those of its last turns: who comes next gives them
    late = [(one.cycle, one.kind, one.job) for one in left if one.cycle < len(cycles) - 2]
    assert not late


def check_orders(tx, runs):
    """Nothing was done that was not written down before."""
    columns = INTENTIONS.c.job, INTENTIONS.c.attempt
    written = {tuple(row) for row in tx.execute(select(*columns).where(INTENTIONS.c.kind == "start"))}
    assert {(job, attempt) for job, attempts in runs.items() for attempt in attempts} <= written


def check_promises(tx, people, jobs):
    """Every key has one job, every job a key; what was cancelled has ended; every write that was answered is in the books."""
    promised = [job for person in people for job in person.jobs.values()]
    assert len(set(promised)) == len(promised)
    assert set(promised) == set(jobs), "an accepted job was lost, or one was made twice"
    kept = tx.execute(select(IDEMPOTENCY.c.key, IDEMPOTENCY.c.body).where(IDEMPOTENCY.c.status == 201)).all()
    assert {row.key: json.loads(row.body)["id"] for row in kept} == {
        key: job for person in people for key, job in person.jobs.items()
    }
    asked = {row.body["job"] for row in tx.execute(select(INBOX.c.body).where(INBOX.c.kind == "cancel"))}
    cancelled = {job for person in people for job in person.cancelled}
    assert cancelled == asked, "a cancellation was lost"
    assert {jobs[job].state for job in cancelled} <= {"cancelled", "finished", "timeout"}
    writes = tx.execute(select(func.count()).select_from(IDEMPOTENCY)).scalar_one()
    assert writes == tx.execute(select(func.count()).select_from(INBOX)).scalar_one()
    envelopes = select(func.count()).select_from(INBOX).where(INBOX.c.kind == "envelope")
    assert (
        tx.execute(envelopes).scalar_one()
        == tx.execute(select(func.count()).select_from(SET_POINTS)).scalar_one()
    )


def check_ledger(tx, jobs):
    """What was used is owed once: GPU-seconds as the jobs say, energy as the meter showed."""
    assert balance(tx, "site:gpus", "gpu_s") == -sum(job.used_gpu_s for job in jobs.values())
    accruals = tx.execute(select(ACCRUALS)).one()
    ticks = tx.execute(
        select(SITE_TICKS.c.time_s, SITE_TICKS.c.site_power_mw).order_by(SITE_TICKS.c.time_s)
    ).all()
    assert [row.time_s for row in ticks] == [TICK_S * tick for tick in range(accruals.tick)], (
        "a tick is missing, or twice"
    )
    metered_wh = sum(row.site_power_mw for row in ticks) * 1e6 * TICK_S / 3600
    booked_wh = accruals.body["site_wh"] - balance(tx, "site:meter", "wh")
    memo = LEDGER.c.memo == "energy of an hour"
    hours = tx.execute(
        select(func.count()).where(LEDGER.c.account == "site:meter", LEDGER.c.unit == "wh", memo)
    )
    assert booked_wh == pytest.approx(metered_wh, abs=1.0 * len(ticks))  # rows of ticks are rounded to 100 W
    return hours.scalar_one()


def check_all(url, folder, people=(), engine="twin.sqlite"):
    """Check everything; return how often what happened, so that a test can see that it happened at all."""
    assert not any(person.wrong for person in people)
    with open_store(url) as store:
        events = engine_events(folder, engine)
        with store.read() as tx:
            jobs = {row.id: row for row in tx.execute(select(JOBS))}
            cycles = tx.execute(select(CYCLES).order_by(CYCLES.c.number)).all()
            runs = check_engine(events, jobs)
            check_jobs(jobs, runs, events)
            loans = check_loans(tx, cycles)
            check_cycles(tx, cycles)
            check_orders(tx, runs)
            if people:
                check_promises(tx, people, jobs)
            booked_hours = check_ledger(tx, jobs)
            verdict = verify(tx)
        assert verdict.sound, verdict.findings
        assert verdict.rows >= sum(len(person.jobs) for person in people)
        replayed = replay(store)
        assert replayed.difference is None, replayed.difference
        assert replayed.cycles == len(cycles)
        site, number, _, _ = taken_up(store)
        assert number == len(cycles)
        check_books(site.state)
        check_room(site.state)
        assert not site.running()
    return {
        "jobs": len(jobs),
        "states": dict(Counter(job.state for job in jobs.values())),
        "starts": sum(map(len, runs.values())),
        "loans": loans,
        "recalls": replayed.recalls,
        "cycles": len(cycles),
        "booked_hours": booked_hours,
    }
