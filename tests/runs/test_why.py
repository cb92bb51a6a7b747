"""The life of a job, word by word, on sites so small that it can be worked out by hand. Oslo is an hour ahead of UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from small_sites import BATCH, TRAINING, failing, granted, play, small_site, tenant

import kvandal as kv
from kvandal.ledger import plant_tables, tables
from kvandal.ledger.events import events_table
from kvandal.ledger.lives import interruptions_table
from kvandal.runs.run import Run
from kvandal.scenario.faults import Fault

HOUR_S = 3600
OFTEN = {"tick_s": 3600, "checkpoint_s": 30, "restart_s": 300}
END = "2 January 01:00"
ALONE = {"a": tenant("firm", 1.0)}


def lives(scenario: Any, *rows: Any, **options: Any) -> list[kv.Why]:
    """Play jobs on a site and tell the life of each."""
    run = play(scenario, *rows, **options)
    record = {
        "title": "Site",
        "end_utc": tables.end_utc(run).isoformat(),
        "scenario": run.scenario.model_dump(mode="json"),
    }
    frames = {
        "jobs": tables.jobs_table(run),
        "interruptions": interruptions_table(run),
        "loans": tables.loans_table(run),
        "events": events_table(run),
        "faults": plant_tables.faults_table(run),
    }
    told = [kv.why(Run(record, frames), job) for job in range(len(rows))]
    for one in told:
        instants = [sentence.time_utc for sentence in one.sentences]
        assert instants == sorted(instants)
        assert set(one.rules) == {rule for sentence in one.sentences for rule in sentence.rules}
        for sentence in one.sentences:
            assert all(f"({rule})" in sentence.text for rule in sentence.rules)
    return told


def texts(why: kv.Why) -> list[str]:
    return [sentence.text for sentence in why.sentences]


def test_a_job_that_waits_behind_others_and_at_the_ceiling() -> None:
    """One rack: the first job holds it for two hours, the second for one; the third stands behind both."""
    site = small_site(ALONE, tick_s=3600)
    rows = [(0, 72, 7200, 0, BATCH), (600, 72, 3600, 0, BATCH), (900, 72, 3600, 0, BATCH)]
    first, second, third = lives(site, *rows)

    assert texts(first) == [
        "Submitted 1 January 2027 01:00 by a (firm): 72 GPUs, batch of the class batch, asks for 4 h.",
        "Started 01:00 on 72 GPUs of its tenant's own share (P1), in 1 rack.",
        "Finished 03:00 after 2 h.",
        "In all: never waited, ran 2 h, was never interrupted; held 144.00 GPU-h, 144.00 GPU-h of them useful.",
    ]
    assert texts(second)[1:3] == [
        "Waited 1 h 50 min because its tenant, or a group above it, was at its ceiling (K1).",
        "Started 03:00 on 72 GPUs of its tenant's own share (P1), in 1 rack.",
    ]
    assert texts(third)[1:3] == [
        (
            "Waited 2 h 45 min: 1 h 45 min because earlier jobs of its tenant and class stood before it (Q1), "
            "1 h because its tenant, or a group above it, was at its ceiling (K1)."
        ),
        "Started 04:00 on 72 GPUs of its tenant's own share (P1), in 1 rack.",
    ]
    assert third.waits_s == {"Q1": 6300, "K1": 3600}
    assert third.rules["K1"] == "A tenant, and every group above it, stays within its ceiling."
    assert str(first).startswith("Submitted 1 January 2027 01:00 by a (firm)")


def test_a_loan_of_three_lenders_recalled_for_a_claim() -> None:
    """60 of 72 GPUs are lent; at 03:00 the owner wants its 36.

    Two minutes of notice, a checkpoint of 30 s on 60 GPUs (0.5 GPU-h), 15 min of rest, and until 04:02 no share for it;
    a restart of 5 min (5 GPU-h) and the two hours that are left, less 90 s in which it had worked on under notice.
    """
    who = {"a": tenant("firm", 0.5), "b": tenant("assured", 0.25), "uk": tenant("lent", notice_s=120)}
    rows = [(0, 60, 4 * HOUR_S, 2, TRAINING), (2 * HOUR_S, 36, HOUR_S, 0, BATCH)]
    borrower, owner = lives(small_site(who, **OFTEN), *rows)

    parts = "36 GPUs from a, 16 GPUs from b and 8 GPUs from the pool (L1)"
    assert texts(borrower) == [
        "Submitted 1 January 2027 01:00 by uk (lent): 60 GPUs, training of the class training, asks for 8 h 1 min.",
        f"Started 01:00 on a loan of {parts}.",
        "Recalled 03:00 after 2 h for job 1 of a, which needed 36 GPUs (R1); left 03:02.",
        "That lost 0.50 GPU-h for a last checkpoint: 60 GPUs for 30 s.",
        "Rested 15 min before it could borrow again (L3).",
        "Then waited 45 min because neither its tenant's own share nor any lender's idle share had room for it (K2).",
        f"Started again 04:02 on a loan of {parts}, in 1 rack.",
        "Finished 06:05:30 after 2 h 3 min 30 s.",
        (
            "In all: waited 1 h, ran 4 h 5 min 30 s, was interrupted by 1 recall; held 245.50 GPU-h, 240.00 GPU-h of them "
            "useful; lost 0.50 GPU-h to recalls and 5.00 GPU-h to restarts."
        ),
    ]
    assert texts(owner)[1:3] == [
        "Waited 2 min because borrowers under notice had still to leave the racks that it claimed (R1).",
        "Started 03:02 on 36 GPUs of its tenant's own share (P1), in 1 rack.",
    ]


def test_each_rest_is_told_and_the_waits_are_split_at_the_end() -> None:
    """Two recalls: the first rest takes 15 min, the second 30; what else it waited for cannot be told apart by gap."""
    who = {"a": tenant("firm", 1.0), "uk": tenant("lent", notice_s=0)}
    rows = [(0, 72, 5 * HOUR_S, 1, BATCH), (HOUR_S, 72, HOUR_S, 0, BATCH), (4 * HOUR_S, 72, 600, 0, BATCH)]
    borrower, *_ = lives(small_site(who, **OFTEN | {"tick_s": 60}), *rows)

    assert texts(borrower)[2:] == [
        "Recalled 02:00 after 1 h for job 1 of a, which needed 72 GPUs (R1); left at once.",
        "Rested 15 min before it could borrow again (L3).",
        "Then waited 45 min.",
        "Started again 03:00 on a loan of 72 GPUs from a (L1).",
        "Recalled 05:00 after 2 h for job 2 of a, which needed 72 GPUs (R1); left at once.",
        "Rested 30 min before it could borrow again (L3).",
        "Started again 05:30 on a loan of 72 GPUs from a (L1), in 1 rack.",
        "Finished 10:35 after 5 h 5 min.",
        (
            "In all: waited 1 h 30 min: 45 min because neither its tenant's own share nor any lender's idle share had room "
            "for it (K2), 45 min because it had to rest after a recall (L3); ran 8 h 5 min, was interrupted by 2 recalls; "
            "held 582.00 GPU-h, 360.00 GPU-h of them useful; lost 210.00 GPU-h to recalls and 12.00 GPU-h to restarts."
        ),
    ]


def test_failures_name_what_broke_and_who_repairs_it() -> None:
    """One crew: the second tray waits for it until 04:00, two hours each; the job needs the whole rack."""
    site = small_site(ALONE, **OFTEN, repair_crews=1, tray_repair_h=2.0, gpu_h_per_interruption=50_700)
    (told,) = lives(site, (0, 72, 4 * HOUR_S, 0, BATCH), failures=failing((HOUR_S, 5), (HOUR_S + 60, 60)))
    assert texts(told)[2:] == [
        "Lost its GPUs 02:00 after 1 h: tray 1 in rack 0 broke (F1); a repair crew began 02:00, it was back in service 04:00.",
        "That lost 72.00 GPU-h: 72 GPUs for 1 h.",
        "Waited 4 h because too few whole trays were free together (T1).",
        "Started again 06:00 on 72 GPUs of its tenant's own share (P1), in 1 rack.",
        "Finished 10:05 after 4 h 5 min.",
        (
            "In all: waited 4 h, ran 5 h 5 min, was interrupted by 1 failure; held 366.00 GPU-h, 288.00 GPU-h of them useful; "
            "lost 72.00 GPU-h to failures and 6.00 GPU-h to restarts."
        ),
    ]
    rows = [(0, 72, 4 * HOUR_S, 0, BATCH)] * 2
    broken = failing((HOUR_S, 5, 1), (2 * HOUR_S, 100, 3, 30 * HOUR_S))
    by_rack, by_host = lives(small_site(ALONE, racks=2, **OFTEN), *rows, failures=broken)
    assert texts(by_rack)[2].endswith(
        "after 2 h: the NVLink switches of rack 1 failed (F1); it stayed out of service until the run ended."
    )
    assert texts(by_host)[2:5] == [
        "Lost its GPUs 02:00 after 1 h: the software or the host of tray 1 in rack 0 failed (F1).",
        "That lost 72.00 GPU-h: 72 GPUs for 1 h.",
        "Started again at once on 72 GPUs of its tenant's own share (P1), in 1 rack.",
    ]


def test_two_jobs_of_a_tray_that_breaks_both_know_why() -> None:
    """The event names one of them alone; the other is told by the rack and the instant."""
    rows = [(0, 2, 4 * HOUR_S, 0, BATCH)] * 2
    told = lives(small_site(ALONE, **OFTEN), *rows, failures=failing((HOUR_S, 0)))
    assert [texts(one)[2].split(" (F1)")[0] for one in told] == [
        "Lost its GPUs 02:00 after 1 h: tray 0 in rack 0 broke"
    ] * 2


def test_a_leak_switches_a_rack_off_and_a_curtailment_sheds() -> None:
    """Who loses the coolant or the power is told by which fault; a shed names its rule."""
    leak = Fault(kind="leak", after_h=2.0, place=0, duration_h=10.0)
    site = small_site(ALONE, **OFTEN).model_copy(update={"faults": (leak,)})
    (told,) = lives(site, (0, 72, 30 * HOUR_S, 0, BATCH))
    assert texts(told)[2] == (
        "Lost its GPUs 03:00 after 2 h: rack 0 was switched off by fault 0 of the plant (leak at rack-0) (F1); "
        "it was back in service 13:30."
    )
    order = Fault(kind="curtailment", after_h=2.0, duration_h=2.0, limit_mw=0.01)
    site = small_site(ALONE, **OFTEN).model_copy(update={"faults": (order,)})
    (told,) = lives(site, (0, 72, 30 * HOUR_S, 0, BATCH))
    (shed,) = [text for text in texts(told) if text.startswith("Shed")]
    assert shed.endswith(", for caps alone could not hold the power envelope (E2).")
    assert "was interrupted by 1 shed" in texts(told)[-1]


def test_refusals_give_the_numbers() -> None:
    """At once: 300 GPUs are more than 72. While it waited: a grant whose hard end comes too near."""
    (told,) = lives(small_site(ALONE, tick_s=3600), (0, 300, 60, 0, TRAINING))
    assert texts(told) == [
        "Submitted 1 January 2027 01:00 by a (firm): 300 GPUs, training of the class training, asks for 2 min.",
        "Refused at once (P3): needs 300 GPUs, at most 72 can be had.",
    ]
    end_utc = datetime(2027, 1, 1, 6, tzinfo=UTC)
    site = granted(
        small_site(ALONE, tick_s=3600),
        grant={"tenant": "a", "gpu_hours": 5000, "end_utc": end_utc, "expiry": "hard"},
    )
    rows = [(0, 72, 3 * HOUR_S, 0, BATCH), (600, 72, 2 * HOUR_S, 0, BATCH)]
    _, late = lives(site, *rows)
    # it may run four hours: from 03:00:01 (Oslo) on it could no longer end by 07:00
    assert texts(late)[1:] == [
        "Waited 1 h 50 min 1 s because its tenant, or a group above it, was at its ceiling (K1).",
        "Refused 03:00:01 while it waited (G3): may run 4.00 h, its grant ends in 4.00 h.",
    ]


def test_a_time_limit_and_deadlines() -> None:
    """Two hours are allowed; deadlines are three hours after submission, or one."""
    rows = [(0, 72, 9 * HOUR_S, 0, TRAINING), (600, 72, HOUR_S, 0, TRAINING)]
    site = small_site(ALONE, tick_s=3600, of={"time_limit_h": 2.0, "deadline_h": 3.0})
    stopped, finished = lives(site, *rows)
    assert texts(stopped)[0].endswith("may run 2 h (T2), to be done by 04:00 (D1).")
    assert texts(stopped)[2] == (
        "Stopped 03:00 after 2 h (T2): had 7.00 h of work left at its time limit of 2.00 h."
    )
    assert texts(finished)[3] == "Finished 04:00 after 1 h, in time."
    site = small_site(ALONE, tick_s=3600, of={"time_limit_h": 2.0, "deadline_h": 1.0})
    assert texts(lives(site, *rows)[1])[3] == "Finished 04:00 after 1 h, 1 h 50 min late."


def test_an_elastic_job_starts_on_fewer_gpus() -> None:
    """Of 72 GPUs 40 are taken: half of 64 fit, and its hour of work takes two."""
    site = small_site(ALONE, tick_s=3600, of={"elastic_minimum_fraction": 0.25})
    _, told = lives(site, (0, 40, 3 * HOUR_S, 0, BATCH), (600, 64, HOUR_S, 0, TRAINING))
    assert texts(told)[1:3] == [
        "Started 01:10 with 32 of the 64 GPUs that it asked for (M1) on 32 GPUs of its tenant's own share (P1), in 1 rack.",
        "Finished 03:10 after 2 h.",
    ]


def test_a_loan_becomes_own_use_or_moves() -> None:
    """Its tenant's first job ends at 03:00 while another waits to borrow: the loan is its own from then on (L5).

    A loan from the firm owner moves to the others when the owner wants its share (L2).
    """
    who = {"a": tenant("firm", 0.4), "b": tenant("firm", 0.6)}
    rows = [(0, 57, 7200, 0, BATCH), (600, 52, 4 * HOUR_S, 0, BATCH), (1200, 60, HOUR_S, 0, BATCH)]
    _, told, _ = lives(small_site(who, racks=2, tick_s=3600), *rows)
    assert texts(told)[1:3] == [
        "Started 01:10 on a loan of 52 GPUs from b (L1), in 1 rack.",
        "Its loan of 52 GPUs from b became its tenant's own use 03:00, whose share had room again (L5).",
    ]
    who = {"a": tenant("firm", 0.5), "b": tenant("assured", 0.25), "uk": tenant("lent")}
    rows = [(0, 72, 4 * HOUR_S, 2, BATCH), (HOUR_S, 72, HOUR_S, 0, BATCH)]
    told, _ = lives(small_site(who, racks=2, tick_s=3600), *rows)
    assert texts(told)[2] == (
        "Its loan moved 02:00: 36 GPUs from b and 36 GPUs from the pool instead of 72 GPUs from a (L2)."
    )


def test_what_still_runs_or_waits_at_the_end() -> None:
    """A job of thirty hours fills the only rack: it runs on, and who comes behind it is queued."""
    site = small_site(ALONE, tick_s=3600, backfill_depth=0)
    rows = [(0, 72, 30 * HOUR_S, 0, BATCH), (HOUR_S, 4, HOUR_S, 0, BATCH), (2 * HOUR_S, 4, HOUR_S, 0, BATCH)]
    running, head, behind = lives(site, *rows)
    assert texts(running)[2] == f"Still ran when the run ended, {END}, after 1 d."
    assert texts(head)[1:] == [
        "Waited 23 h because its tenant, or a group above it, was at its ceiling (K1).",
        f"Still queued when the run ended, {END} (K1).",
    ]
    assert texts(behind)[1:] == [
        "Waited 22 h because earlier jobs of its tenant and class stood before it (Q1).",
        f"Still queued when the run ended, {END} (Q1).",
    ]


@pytest.mark.parametrize(("job", "there"), [(-1, "its jobs are 0 to 0"), (1, "its jobs are 0 to 0")])
def test_a_job_that_is_not_there(job: int, there: str) -> None:
    """The message names the range."""
    run = play(small_site(ALONE, tick_s=3600), (0, 4, 60, 0, BATCH))
    with pytest.raises(kv.InputError, match=f"JOB: this run has no job {job}; {there}"):
        kv.why(Run({}, {"jobs": tables.jobs_table(run)}), job)
    nobody = tables.jobs_table(run).clear()
    with pytest.raises(kv.InputError, match="it has no jobs"):
        kv.why(Run({}, {"jobs": nobody}), 0)
