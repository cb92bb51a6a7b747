"""A real Slurm whose daemons are killed, stopped and started again under the engine."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from live_sites import SlurmSite, answer, unreachable, whole

from kvandal.engines.live import slurm_standing
from kvandal.engines.live.protocol import OrderRefusedError, Share

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm-live")]


SCRIPT = """#!/bin/bash
echo begin $KVANDAL_JOB $SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0} >>LOG
sleep SECONDS
echo end $KVANDAL_JOB >>LOG
"""


def test_a_controller_killed_within_a_second_of_a_start_runs_every_job_once(slurm: SlurmSite, monkeypatch):
    """Jobs of one and seven seconds, released a second before, half a second before and just then; half of them known for long.

    What slurmctld forgets of them is chance: a start, a release, the whole job. Attempts that it lost are started again as
    the loop does; no attempt begins twice, and every job comes to its end once.
    """
    monkeypatch.setattr(slurm_standing, "SETTLED_S", 12.0)  # nodes register within six seconds here
    log = slurm.folder / "log" / f"runs-{time.time_ns()}"
    log.touch()
    log.chmod(0o666)
    script = SCRIPT.replace("LOG", str(log))
    seconds = (1, 7, 1, 7, 1, 7)
    orders = [
        slurm.order(f"job{place}", gpus=4, script=script.replace("SECONDS", str(runs_s)))
        for place, runs_s in enumerate(seconds)
    ]
    places = {order.key: slurm.nodes[place : place + 1] for place, order in enumerate(orders)}
    for order in orders[::2]:
        slurm.engine.hold(order, 0)
    time.sleep(6)  # slurmctld saves at once what comes after a pause, and then not for five seconds
    for order in orders[1::2]:
        slurm.engine.hold(order, 0)
    for pair, pause_s in ((orders[:2], 0.6), (orders[2:4], 0.4), (orders[4:], 0.0)):
        for order in pair:
            slurm.engine.start(order, 1, whole(places[order.key]))
        time.sleep(pause_s)
    slurm.kill("slurmctld")
    assert unreachable(slurm.engine.observe)
    slurm.up()
    slurm.again()
    attempts = dict.fromkeys(places, 1)
    registered = time.monotonic() + 8

    def all_completed() -> bool:
        """Start again what was lost, as the loop does, each time on another node."""
        for order in orders:
            attempt, story, state = attempts[order.key], slurm.story(order), slurm.state(order)
            lost = ("ended", attempt, "node_failed") in story
            gone = state == "absent" and ("ended", attempt, "completed") not in story
            forgot = state == "held" and slurm.job(order).attempt < attempt
            if lost or ((gone or forgot) and time.monotonic() > registered):
                attempts[order.key] = attempt + 1
                place = (slurm.nodes.index(places[order.key][0]) + 3) % len(slurm.nodes)
                places[order.key] = slurm.nodes[place : place + 1]
                slurm.engine.drain(slurm.nodes[place], None)  # Slurm itself drains where it sent a job twice
                slurm.engine.start(order, attempt + 1, whole(places[order.key]))
        return all(
            slurm.story(order)[-1:] == [("ended", attempts[order.key], "completed")] for order in orders
        )

    slurm.wait(all_completed, "all jobs to complete", 60)
    lines = log.read_text().splitlines()
    begun = [line for line in lines if line.startswith("begin")]
    assert len(begun) == len(set(begun))
    assert sorted(line for line in lines if line.startswith("end")) == sorted(
        f"end {order.key}" for order in orders
    )
    for order in orders:
        story = slurm.story(order)
        assert [kind for kind, _, outcome in story if outcome == "completed"] == ["ended"]
        starts = [attempt for kind, attempt, _ in story if kind == "started"]
        assert starts == sorted(set(starts))


def test_orders_wait_for_slurmrestd_to_come_back(slurm: SlurmSite):
    """While it is down every order says so at once; the same engine goes on when it is up."""
    order = slurm.order("patient", gpus=4, runs_s=1)
    slurm.engine.hold(order, 0)
    slurm.kill("slurmrestd")
    assert unreachable(lambda: slurm.engine.start(order, 1, whole(slurm.nodes[:1])))
    assert unreachable(slurm.engine.check)
    assert slurm.state(order) == "held"  # seen without it
    slurm.up()
    slurm.wait(lambda: not unreachable(lambda: slurm.engine.start(order, 1, whole(slurm.nodes[:1]))), "it")
    slurm.engine.check()
    slurm.wait_told(order, "ended", 1)
    assert slurm.story(order) == [("started", 1, None), ("ended", 1, "completed")]


def test_a_hung_slurmrestd_submits_nothing_twice(slurm: SlurmSite):
    """A submission whose answer is lost may be carried out later, after it was given again: one job stays."""
    order = slurm.order("twice", gpus=4)
    slurm.tell()
    slurm.stop("slurmrestd")
    begun = time.monotonic()
    assert unreachable(lambda: slurm.engine.hold(order, 0))
    assert unreachable(lambda: slurm.engine.hold(order, 0))
    waited_s = time.monotonic() - begun
    assert waited_s < 3 * slurm.settings()["timeout_s"]  # neither call waits for what does not come
    slurm.go_on("slurmrestd")
    slurm.wait(lambda: not unreachable(lambda: slurm.engine.hold(order, 0)), "slurmrestd")
    slurm.wait(lambda: len(slurm.numbers(order)) == 1 and slurm.state(order) == "held", "one job")
    assert slurm.story(order) == []
    slurm.started(order, whole(slurm.nodes[:1]))


def test_the_second_of_two_jobs_with_one_key_is_removed(slurm: SlurmSite):
    """Two engines that knew nothing of each other have both submitted: the first job counts, the other never runs."""
    order = slurm.order("same", gpus=4)
    slurm.engine.observe()
    other = slurm.make()
    other.observe()
    slurm.engine.hold(order, 0)
    other.hold(order, 0)
    first, _ = sorted(slurm.numbers(order), key=int)
    slurm.engine.observe()
    slurm.wait(lambda: slurm.numbers(order) == [first], "one job")
    slurm.started(order, whole(slurm.nodes[:1]))
    assert slurm.story(order) == [("started", 1, None)]
    other.close()


def test_a_hung_controller_is_unreachable_and_then_goes_on(slurm: SlurmSite):
    """Every call ends within a few seconds; nothing is lost."""
    order = slurm.order("through it", gpus=4, runs_s=1)
    slurm.engine.hold(order, 0)
    slurm.engine.start(order, 1, whole(slurm.nodes[:1]))
    slurm.stop("slurmctld")
    try:
        assert unreachable(slurm.engine.observe)
        assert unreachable(lambda: slurm.engine.events(slurm.cursor))
        assert unreachable(lambda: slurm.engine.drain(slurm.nodes[0], "test"))
    finally:
        slurm.go_on("slurmctld")
    slurm.wait(lambda: not unreachable(slurm.engine.observe), "slurmctld")
    slurm.wait_told(order, "ended", 1)
    assert slurm.story(order) == [("started", 1, None), ("ended", 1, "completed")]


def test_jobs_run_without_slurmdbd_and_what_ended_unseen_is_told_when_it_is_back(
    slurm: SlurmSite, monkeypatch
):
    """slurmctld has forgotten two jobs, one that had been told of and one that had not: each is told once, when slurmdbd answers.

    Submitting, starting and ending need slurmctld alone.
    """
    orders = [slurm.order(f"unseen{place}", gpus=4, runs_s=1) for place in range(2)]
    slurm.started(orders[0], whole(slurm.nodes[:1]))
    before = slurm.cursor
    slurm.started(orders[1], whole(slurm.nodes[1:2]))
    for order in orders:
        slurm.wait_told(order, "ended", 1)
    jobs = {row.note.key: number for number, row in slurm.engine._look().rows.items()}
    numbers = [jobs[order.key] for order in orders]
    slurm.wait(
        lambda: len(answer(lambda: slurm.engine._view.past(numbers)) or ()) == 2, "the records of both"
    )
    engine = slurm.make()
    look = engine._view.look

    def forgetful():
        """See no job of either."""
        seen = look()
        return replace(
            seen,
            rows={n: row for n, row in seen.rows.items() if n not in numbers},
            standings={n: one for n, one in seen.standings.items() if n not in numbers},
            numbers={key: n for key, n in seen.numbers.items() if n not in numbers},
        )

    monkeypatch.setattr(engine._view, "look", forgetful)
    slurm.kill("slurmdbd")
    third = slurm.order("without", gpus=4, runs_s=1)
    slurm.started(third, whole(slurm.nodes[2:3]))
    slurm.wait_told(third, "ended", 1)
    monkeypatch.setattr("kvandal.engines.live.slurm.GAP_S", 0.0)
    monkeypatch.setattr("kvandal.engines.live.slurm.PAST_EVERY_S", 1.0)
    events, cursor = engine.events(before)
    keys = {order.key for order in orders}
    assert [event for event in events if event.key in keys] == []
    slurm.up()
    told = []

    def all_told() -> bool:
        nonlocal cursor
        found, cursor = engine.events(cursor)
        told.extend(
            (event.kind, event.attempt, event.outcome, event.key) for event in found if event.key in keys
        )
        return len(told) >= 3

    slurm.wait(all_told, "their ends")
    first, second = (order.key for order in orders)
    assert sorted(told, key=str) == sorted(
        [
            ("ended", 1, "completed", first),
            ("started", 1, None, second),
            ("ended", 1, "completed", second),
        ],
        key=str,
    )
    monkeypatch.setattr("kvandal.engines.live.slurm.GAP_S", 60.0)
    assert not [event for event in engine.events(cursor)[0] if event.key in keys]
    engine.close()


def test_what_slurm_will_not_do_is_refused_in_its_words(slurm: SlurmSite):
    """An account that is not there: refused, and the engine can be used as before."""
    nobody = slurm.make(account="nobody")
    with pytest.raises(OrderRefusedError, match=r"Slurm refuses: Invalid account"):
        nobody.hold(slurm.order("refused"), 0)
    with pytest.raises(OrderRefusedError, match=r"Slurm refuses: .*qos"):
        slurm.make(qos={"assured": "golden"}).hold(slurm.order("refused"), 0)
    too_large = slurm.order("too large", gpus=4000)
    with pytest.raises(OrderRefusedError, match=r"Slurm refuses: .*not available"):
        slurm.engine.hold(too_large, 0)
    slurm.started(slurm.order("fine"), [Share(slurm.nodes[0], 1)])


def test_its_owner_cannot_release_a_job(slurm: SlurmSite):
    """A held job is held by the operator."""
    order = slurm.order("eager", gpus=4)
    slurm.engine.hold(order, 0)
    (number,) = slurm.numbers(order)
    with pytest.raises(AssertionError, match="denied"):
        slurm.run("as", "u-startups", "scontrol", "release", number)
    slurm.run("scontrol", "release", number)  # an operator can, and it is held again
    slurm.wait(lambda: slurm.engine.observe() and slurm.state(order) in {"held", "running"}, "a look")
    assert slurm.state(order) in {"held", "running"}


def test_a_failed_job_may_be_started_again_under_its_number(slurm: SlurmSite):
    """Outcome and exit code are told; the next attempt is the same job in Slurm."""
    order = slurm.order("fails", gpus=1, script="test ${SLURM_RESTART_COUNT:-0} -gt 0 || exit 3\n")
    slurm.started(order, [Share(slurm.nodes[0], 1)])
    slurm.wait_told(order, "ended", 1)
    assert slurm.job(order).reason == "exit code 3"
    slurm.again()
    slurm.engine.start(order, 2, [Share(slurm.nodes[1], 1)])
    slurm.wait_told(order, "ended", 2)
    assert slurm.story(order) == [
        ("started", 1, None), ("ended", 1, "failed"), ("started", 2, None), ("ended", 2, "completed"),
    ]  # fmt: skip


def test_a_script_that_listens_is_told_of_its_recall(slurm: SlurmSite):
    """It gets USR1 once, through the shell that started it; one that does not listen runs on (see the suite of the protocol)."""
    log = slurm.folder / "log" / f"notice-{time.time_ns()}"
    log.touch()
    log.chmod(0o666)
    script = f"#!/usr/bin/env python3\nimport signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: print('told', file=open('{log}', 'a'), flush=True))\nwhile True: time.sleep(0.1)\n"
    order = slurm.order("listens", gpus=1, script=script)
    slurm.started(order, [Share(slurm.nodes[0], 1)])
    slurm.engine.recall(order, 1, slurm.engine.now())
    slurm.wait(lambda: slurm.tell() is not None and log.read_text() != "", "the notice")
    slurm.again()
    slurm.engine.recall(order, 1, slurm.engine.now())
    assert slurm.state(order) == "running"
    assert log.read_text() == "told\n"


def test_a_token_that_no_longer_counts_is_renewed(slurm: SlurmSite):
    """Tokens of a second each: orders go on."""
    command = (*slurm.settings()["token_command"][:-1], "lifespan=1")
    engine = slurm.make(token_command=command)
    order = slurm.order("renewed")
    engine.hold(order, 0)
    time.sleep(2.1)
    engine.hold(replace(order, key=slurm.order("again").key), 0)
    engine.close()
    file = slurm.folder / "token"
    file.write_text(slurm.run("scontrol", "token", "username=root", "lifespan=600"))
    by_file = slurm.make(token_command=(), token_file=file)
    by_file.hold(slurm.order("by file"), 0)
    by_file.close()
    file.write_text("SLURM_JWT=nonsense")
    assert unreachable(slurm.make(token_command=(), token_file=file).check)
    assert unreachable(
        lambda: slurm.make(token_command=(), token_file=file / "none").hold(slurm.order("x"), 0)
    )
