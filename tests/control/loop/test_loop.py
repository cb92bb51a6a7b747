"""The loop on a store and an engine: what people ask for happens, is written down, and survives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from living import NODES, START, Living
from small_sites import check_books, check_room
from sqlalchemy import select, text, update

from kvandal.control.loop.replay import replay
from kvandal.control.store.ledger import balances
from kvandal.control.store.tables.loop import CYCLES, INTENTIONS, JOB_EVENTS, LOANS, SITE_TICKS
from kvandal.engines.live.protocol import EngineUnreachableError


@pytest.fixture
def living(sqlite_url, tmp_path):
    site = Living(sqlite_url, tmp_path)
    yield site
    site.down()


def test_a_job_is_started_runs_where_it_was_placed_and_ends(living):
    job = living.submit("startups", gpus=8, run_time_s=300)
    living.turn(1)
    row = living.job(job)
    assert (row.state, row.attempt, row.tier, row.reason_rule) == ("running", 1, "assured", "P1")
    assert sum(gpus for _, gpus in row.shares) == 8
    at_engine = living.engine.observe().jobs[job]
    assert [[share.node, share.gpus] for share in at_engine.shares] == row.shares
    living.run(320)
    row = living.job(job)
    assert row.state == "finished"
    assert row.used_gpu_s == pytest.approx(8 * 300, abs=8 * 12)
    with living.store.read() as tx:
        kinds = (
            tx.execute(select(JOB_EVENTS.c.kind).where(JOB_EVENTS.c.job == job).order_by(JOB_EVENTS.c.id))
            .scalars()
            .all()
        )
    assert kinds == ["start", "end"]


def test_a_loan_is_recalled_with_notice_and_its_job_comes_back(living):
    borrowed = [living.submit("abroad", gpus=8, run_time_s=4000) for _ in range(17)]
    living.turn(1)
    assert {living.job(job).tier for job in borrowed} == {"lent"}
    claim = living.submit("startups", gpus=36, run_time_s=600)
    living.turn(1)
    noticed = [job for job in borrowed if living.job(job).state == "recalled"]
    assert 28 <= 8 * len(noticed) <= 40  # as many as make room for the claim, eight being free
    recalled = noticed[0]
    assert (living.job(recalled).deadline_utc - living.now()).total_seconds() == pytest.approx(120, abs=1)
    living.run(125, step=5)
    assert living.job(claim).state == "running"
    assert (living.job(recalled).state, living.job(recalled).recalls) == ("queued", 1)
    assert living.engine.observe().jobs[recalled].state == "held"
    living.run(6000, step=30)
    assert living.job(recalled).state == "finished"
    with living.store.read() as tx:
        loans = tx.execute(select(LOANS).where(LOANS.c.job == recalled).order_by(LOANS.c.id)).all()
    assert loans[0].reason == "recalled"
    assert all(loan.state == "returned" for loan in loans)


def test_what_was_asked_for_is_done_once_over_any_restart(living):
    jobs = [living.submit("startups", gpus=4, run_time_s=200 + 7 * i) for i in range(12)]
    jobs += [living.submit("nordics", gpus=16, run_time_s=500) for _ in range(8)]
    for _ in range(90):
        living.again()
        living.turn(15)
    assert {living.job(job).state for job in jobs} == {"finished"}
    starts = [event for event in living.engine.events("")[0] if event.kind == "started"]
    assert len({(event.key, event.attempt) for event in starts}) == len(starts)
    assert {event.key for event in starts} == set(jobs)
    check_books(living.loop.site.state)
    check_room(living.loop.site.state)
    assert replay(living.store).difference is None


def test_every_recorded_cycle_replays_to_the_same_actions(sqlite_url, tmp_path):
    living = Living(sqlite_url, tmp_path, keyframe_cycles=10)
    for wave in range(6):
        for _ in range(6):
            living.submit("abroad", gpus=24, run_time_s=900)
        living.turn(1)
        for _ in range(2):
            living.submit("startups", gpus=16, run_time_s=400)
        if wave == 3:
            living.ask("envelope", envelope_mw=0.2, until_utc=None, reason="test")
            living.ask("policy", changes={"tenants.nordics.ceiling_share": 0.1}, reason="test")
        living.run(300)
    result = replay(living.store)
    assert result.difference is None
    assert result.cycles == living.cycles()
    assert result.starts > 20
    assert result.recalls > 0
    part = replay(living.store, 25, 40)
    assert (part.difference, part.cycles) == (None, 16)
    living.down()


def test_a_tampered_record_is_found_by_the_replay(living):
    living.submit("startups")
    living.turn(1)
    living.run(100)
    with living.store.begin() as tx:
        for trigger in (
            tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        ):
            tx.execute(text(f"DROP TRIGGER {trigger}"))
        row = tx.execute(select(CYCLES).order_by(CYCLES.c.number)).first()
        actions = [{**one, "rule": "L1"} for one in row.actions]
        tx.execute(update(CYCLES).where(CYCLES.c.number == row.number).values(actions=actions))
    found = replay(living.store).difference
    assert found.cycle == row.number
    assert found.recorded["rule"] == "L1"


def test_a_cancelled_job_ends_wherever_it_is(living):
    runs, waits = living.submit("startups", gpus=72), living.submit("startups", gpus=72)
    held = living.submit("startups", gpus=72)
    living.turn(1)
    for job in (runs, waits, held):
        living.ask("cancel", job=job, reason="test")
    living.turn(1)
    assert {living.job(job).state for job in (runs, waits, held)} == {"cancelled"}
    assert not living.engine.observe().jobs
    assert living.loop.site.state.tally["queued_jobs"][0] == 0
    check_books(living.loop.site.state)


def test_a_failed_node_sends_its_job_back_and_it_starts_anew_elsewhere(living):
    job = living.submit("startups", gpus=8, run_time_s=900)
    living.turn(1)
    node = living.job(job).shares[0][0]
    living.engine._enter(living.engine._seconds() + 5, "down", node, 0)
    living.run(30)
    row = living.job(job)
    assert (row.state, row.attempt) == ("running", 2)
    assert node not in {name for name, _ in row.shares}
    assert {"node": node, "state": "down", "reason": "tray failed"} in living.view()["nodes_down"]


def test_a_drained_node_takes_no_new_job_and_lets_the_old_one_end(living):
    job = living.submit("startups", gpus=4, run_time_s=300)
    living.turn(1)
    node = living.job(job).shares[0][0]
    living.ask("drain", node=node, reason="leak")
    living.turn(1)
    assert living.job(job).state == "running"
    more = [living.submit("anchor", gpus=4, run_time_s=3000) for _ in range(36)]
    living.run(400)
    assert living.job(job).state == "finished"
    assert node not in {name for other in more for name, _ in living.job(other).shares}
    living.ask("drain", node=node, reason=None)
    late = [living.submit("nordics", gpus=4, run_time_s=100) for _ in range(36)]
    living.run(60)
    assert node in {name for other in late for name, _ in living.job(other).shares}
    check_room(living.loop.site.state)


def test_the_envelope_that_is_set_caps_and_sheds_and_ends_with_its_time(living):
    jobs = [living.submit("abroad", gpus=24, run_time_s=20_000) for _ in range(4)]
    living.run(300)
    before_mw = living.view()["site_power_mw"]
    living.ask(
        "envelope",
        envelope_mw=before_mw * 0.8,
        until_utc=(living.now() + timedelta(minutes=20)).isoformat(),
        reason="grid",
    )
    living.turn(1)
    assert living.view()["caps"]["lent"] < 1.0
    living.run(300)
    view = living.view()
    assert view["site_power_mw"] <= before_mw * 0.8 * (1 + 1e-6)
    assert view["envelope_reason"] == "a limit that was set"
    living.run(1200)
    assert living.view()["caps"]["lent"] == 1.0
    assert living.view()["set_point_until_utc"] is None
    assert {living.job(job).state for job in jobs} == {"running"}


def test_a_grant_of_the_office_holds_what_its_project_may_use(living):
    end = "2027-06-01T00:00:00+00:00"
    living.ask(
        "grant", grant="grant_1", tenant="startups", project="solar", gpu_hours=10.0, start_utc=START.isoformat(), end_utc=end,
        expiry="hard", carry_over_fraction=0.0, demand=[],
    )  # fmt: skip
    living.turn(1)
    fits = living.submit("startups", gpus=8, run_time_s=3000, limit_s=3600, project="solar")
    other = living.submit("startups", gpus=8, run_time_s=3000, limit_s=3600, project="wind")
    large = living.submit("startups", gpus=8, run_time_s=3000, limit_s=3600, project="solar")
    living.turn(1)
    assert living.job(fits).state == "running"
    assert living.job(other).state == "running"  # no grant is for its project: it is not limited by one
    assert (living.job(large).state, living.job(large).reason_rule) == ("refused", "G2")
    living.ask("grant_end", grant="grant_1", reason="test")
    living.run(30)
    assert living.job(fits).state == "stopped"
    assert living.job(fits).reason_rule == "G4"
    assert replay(living.store).difference is None


class Broken:
    """An engine that can stop answering."""

    def __init__(self, engine):
        self.engine, self.silent = engine, False
        self.name = engine.name

    def __getattr__(self, name):
        if name == "now":
            return self.engine.now
        if self.silent:
            raise EngineUnreachableError("no answer")
        return getattr(self.engine, name)


def test_an_engine_that_does_not_answer_loses_nothing_and_nothing_new_is_lent(sqlite_url, tmp_path):
    living = Living(sqlite_url, tmp_path, telemetry_timeout_s=60.0)
    broken = living.engine = Broken(living.engine)
    living.again()
    first = living.submit("abroad", gpus=4, run_time_s=5000)
    living.turn(1)
    broken.silent = True
    own, lent = (
        living.submit("startups", gpus=4, run_time_s=400),
        living.submit("nordics", gpus=4, run_time_s=400),
    )
    living.run(100)
    assert living.job(own).state == "running"  # decided, and ordered as soon as somebody answers
    assert "rule E6" in living.view()["fail_safe"]
    late = living.submit("nordics", gpus=4, run_time_s=400)
    living.turn(5)
    assert living.job(late).state == "queued"
    with living.store.read() as tx:
        open_orders = tx.execute(select(INTENTIONS.c.job).where(INTENTIONS.c.state == "open")).scalars().all()
    assert own in open_orders
    broken.silent = False
    living.run(60)
    assert {living.job(job).state for job in (first, own, lent, late)} == {"running"}
    assert living.view()["fail_safe"] is None
    assert set(living.engine.observe().jobs) == {first, own, lent, late}
    living.down()


def test_ticks_are_written_once_whatever_happens(living):
    living.submit("startups", run_time_s=3000)
    for _ in range(10):
        living.run(60)
        living.again()
    with living.store.read() as tx:
        times = tx.execute(select(SITE_TICKS.c.time_s).order_by(SITE_TICKS.c.time_s)).scalars().all()
    assert times == [60 * tick for tick in range(len(times))]
    assert len(times) == 10
    assert len(NODES) == 36


def test_the_books_hold_all_energy_of_the_meter_and_all_gpu_seconds_of_jobs(living):
    for wave in range(8):
        for _ in range(4):
            living.submit("abroad", gpus=24, run_time_s=1900)
        living.turn(1)
        for _ in range(2):
            living.submit("startups", gpus=16, run_time_s=700)
        living.run(900, step=30)
        if wave % 3 == 1:
            living.again()
    living.run(1800, step=30)
    with living.store.read() as tx:
        booked = balances(tx)
        metered_wh = -booked["site:meter"]["wh"]
        hours = living.loop.site.now_s // 3600
        ticks = tx.execute(select(SITE_TICKS).where(SITE_TICKS.c.time_s < hours * 3600)).all()
    assert hours >= 2
    assert metered_wh == pytest.approx(sum(tick.site_power_mw for tick in ticks) * 1e6 / 60, rel=1e-5)
    tenants_wh = sum(
        amount["wh"] for name, amount in booked.items() if name.startswith("tenant:") and "wh" in amount
    )
    assert tenants_wh + booked["site:unused"]["wh"] == metered_wh
    assert booked["site:unused"]["wh"] > 0
    jobs = living.jobs()
    used = sum(
        amount["gpu_s"] for name, amount in booked.items() if name.startswith("tenant:") and "gpu_s" in amount
    )
    assert used == -booked["site:gpus"]["gpu_s"] == sum(job.used_gpu_s for job in jobs)
    lost = sum(amount["gpu_s"] for name, amount in booked.items() if ":lost:" in name)
    assert lost == sum(job.used_gpu_s - job.useful_gpu_s for job in jobs)
    assert lost > 0
    ended = [job for job in jobs if job.state == "finished"]
    assert all(job.energy_wh > 0 for job in ended)
    # one rack's worth of energy for every job: above idle nobody, below TDP and overheads everybody
    for job in ended:
        mean_w = job.energy_wh / (job.used_gpu_s / 3600)
        assert 300 < mean_w < 2500
