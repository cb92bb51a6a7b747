"""Grants in the loop, on days worked by hand: 3,600 GPU-seconds are a GPU-hour, and a job asks for twice its need."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from small_sites import (
    BATCH,
    TRAINING,
    check_books,
    check_grants,
    check_room,
    failing,
    granted,
    small_site,
    table,
    tenant,
    times,
)

from kvandal.ledger.grants import grant_hours_table, grants_table, job_columns
from kvandal.ledger.tables import job_records
from kvandal.twin.records import EVENT_EXPIRY, EVENT_EXPIRY_NOTICE, FINISHED, REFUSED, STOPPED
from kvandal.twin.simulate import simulate_jobs

HOUR_S = 3600
START = datetime(2027, 1, 1, tzinfo=UTC)
JANUARY_S = 743 * HOUR_S
"""The run starts at one o'clock in Oslo."""


def hours(count):
    return START + timedelta(hours=count)


def site(days=1, who=None, tick_s=HOUR_S, **options):
    return small_site(
        who or {"a": tenant("firm", 1.0)},
        days=days,
        tick_s=tick_s,
        **{"checkpoint_s": 0, "restart_s": 0, **options},
    )


def played(scenario, *rows, **options):
    """Play jobs given as (submit_s, gpus, work_s, tenant, class); every hour the books must be right."""

    def watch(state, _):
        check_room(state)
        check_books(state)
        check_grants(state)

    run = simulate_jobs(
        scenario, table(*rows), watch=watch, watch_ticks=HOUR_S // scenario.run.tick_s, **options
    )
    check_grants(run.state)
    return run


def books(run, *names):
    """Columns of grants.parquet in GPU-hours, one list per period."""
    frame = grants_table(run)
    return [[value / HOUR_S for value in frame[f"gpu_s_{name}"]] for name in names]


def turned(run):
    """(rule, needed, available) of every job that a rule turned away."""
    columns = job_columns(run, job_records(run))
    rows = zip(
        columns["refused_rule"].cast(str).to_list(),
        columns["refused_needed"].to_list(),
        columns["refused_available"].to_list(),
        strict=True,
    )
    return [row for row in rows if row[0] is not None]


def test_a_job_reserves_its_limit_and_is_charged_its_use():
    """Of 10 GPU-h, 8 and 2 are reserved; the job that needs 8 more is refused with both numbers; later 4 are used."""
    scenario = granted(site(), g={"tenant": "a", "gpu_hours": 10})
    run = played(
        scenario,
        (0, 2, 2 * HOUR_S, 0, TRAINING),
        (10, 1, HOUR_S, 0, TRAINING),
        (20, 4, HOUR_S, 0, TRAINING),
        (3 * HOUR_S, 2, HOUR_S, 0, TRAINING),
    )

    assert times(run, "state") == [FINISHED, FINISHED, REFUSED, FINISHED]
    assert turned(run) == [("G2", 8 * HOUR_S, 0)]
    assert books(run, "granted", "spent", "committed", "left", "expired") == [[10], [7], [0], [3], [0]]
    assert run.state.job_grants["charged"].tolist() == [4 * HOUR_S, HOUR_S, 0, 2 * HOUR_S]
    hourly = grant_hours_table(run)
    assert hourly["gpu_s_spent"].sum() == 7 * HOUR_S
    assert hourly["gpu_s_committed"][0] == 10 * HOUR_S
    assert hourly["gpu_s_left"][-1] == 3 * HOUR_S


def test_months_with_half_of_the_rest_carried_over():
    """The example of docs/grants.md: 100 GPU-h a month in Oslo's calendar, half of what is left goes on."""
    scenario = granted(
        site(days=62), g={"tenant": "a", "gpu_hours": 100, "period": "month", "carry_over_fraction": 0.5}
    )
    run = played(
        scenario,
        (0, 10, 2 * HOUR_S, 0, TRAINING),  # reserves 40, uses 20: 80 are left, 40 go on
        (JANUARY_S - HOUR_S, 2, 10 * HOUR_S, 0, TRAINING),  # reserves 40 of the 80: 20 of the other 40 go on
        (JANUARY_S - 1, 41, HOUR_S // 2, 0, TRAINING),  # 41 are more than the 40 left
        (JANUARY_S, 60, HOUR_S, 0, TRAINING),  # 120 are what February has: 100 and 20
    )

    assert times(run, "state") == [FINISHED, FINISHED, REFUSED, FINISHED]
    assert turned(run) == [("G2", 41 * HOUR_S, 40 * HOUR_S)]
    names = ("granted", "carried_in", "spent", "committed_at_end", "carried_out", "expired", "left")
    january, february, march = zip(*books(run, *names), strict=True)
    assert january == (100, 0, 20, 40, 60, 20, 0)
    # of the 40 that went on for the second job 20 are used; half of the other 20 had expired with January
    # the fourth job uses 60 of its 120; what is left, 10 + 60, goes on by half
    assert february == (100, 60, 80, 0, 35, 45, 0)
    assert march == (100, 35, 0, 0, 0, 0, 135)


def test_a_month_of_summer_time_ends_at_local_midnight():
    """On 28 March the clocks go forward: April begins 743 hours after March did."""
    scenario = site(days=32)
    run_of = scenario.run.model_copy(update={"start_utc": datetime(2027, 2, 28, 23, tzinfo=UTC)})
    scenario = granted(
        scenario.model_copy(update={"run": run_of}), g={"tenant": "a", "gpu_hours": 10, "period": "month"}
    )
    job = (5, HOUR_S, 0, TRAINING)  # 10 GPU-h: all of a month
    run = played(scenario, (0, *job), (743 * HOUR_S - 1, *job), (743 * HOUR_S, *job))

    assert times(run, "state") == [FINISHED, REFUSED, FINISHED]
    ends = [moment.isoformat() for moment in grants_table(run)["end_utc"]]
    assert ends == ["2027-03-31T22:00:00+00:00", "2027-04-30T22:00:00+00:00"]


def test_what_is_not_used_is_lost():
    """24 hours, 24 GPU-h: after 16 hours only 4 are used, so 8 for the 8 hours left are kept of the 20."""
    lose = {"lose_after_fraction": 2 / 3, "lose_below_fraction": 0.6}
    scenario = granted(site(), g={"tenant": "a", "gpu_hours": 24, **lose})
    idle = played(scenario, (0, 4, HOUR_S, 0, TRAINING), (17 * HOUR_S, 5, HOUR_S, 0, TRAINING))
    busy = played(
        scenario,
        (0, 12, HOUR_S, 0, TRAINING),
        (2 * HOUR_S, 3, HOUR_S, 0, TRAINING),
        (17 * HOUR_S, 4, HOUR_S, 0, TRAINING),
    )

    (withdrawn,) = books(idle, "withdrawn")
    assert withdrawn[0] == pytest.approx(12, abs=0.01)
    assert [rule for rule, *_ in turned(idle)] == ["G2"]
    assert turned(idle)[0][2] == pytest.approx(8 * HOUR_S, abs=36)
    assert books(busy, "withdrawn", "spent") == [[0], [19]]  # 15 of 24 are above 60 %


def test_a_job_that_would_outlast_a_hard_grant_is_refused_with_the_seconds():
    """A run-time limit of 8 h does not fit in the 5 h left; a soft grant lets it finish."""
    grant = {"tenant": "a", "gpu_hours": 100, "end_utc": hours(6)}
    job = (HOUR_S, 2, 4 * HOUR_S, 0, TRAINING)
    hard = played(granted(site(), g={**grant, "expiry": "hard"}), job)
    soft = played(granted(site(), g={**grant, "expiry": "soft"}), job)

    assert turned(hard) == [("G3", 8 * HOUR_S, 5 * HOUR_S)]
    assert job_columns(hard, job_records(hard))["refused_text"].to_list() == [
        "may run 8.00 h, its grant ends in 5.00 h"
    ]
    assert times(soft, "state") == [FINISHED]
    assert books(soft, "spent", "expired", "committed") == [[8], [92], [0]]


def test_a_hard_end_stops_what_still_runs_after_notice():
    """A power cap makes the job slower than its limit allows: it is told two minutes before, and stopped at the hour."""
    scenario = site(tick_s=60)
    classes = {
        name: demand.model_copy(update={"gpu_cap_fraction": 0.43, "limit_factor": 1.0})
        for name, demand in scenario.demand.items()
    }
    scenario = granted(
        scenario.model_copy(update={"demand": classes}),
        g={"tenant": "a", "gpu_hours": 100, "end_utc": hours(3), "expiry": "hard"},
    )
    run = played(scenario, (0, 4, 3 * HOUR_S, 0, TRAINING), (0, 4, HOUR_S, 0, TRAINING))
    events = run.state.events[: run.state.tally["events"][0]]

    assert times(run, "state") == [STOPPED, FINISHED]
    assert times(run, "end_s")[0] == 3 * HOUR_S
    told = [(int(event["time_s"]), int(event["job"]), int(event["kind"])) for event in events]
    assert told == [(3 * HOUR_S - 120, 0, EVENT_EXPIRY_NOTICE), (3 * HOUR_S, 0, EVENT_EXPIRY)]
    assert {int(event["rule"]) for event in events} == {33}
    used = float(run.state.jobs["useful_gpu_s"][0])
    assert 0 < used < 4 * 3 * HOUR_S
    assert run.state.job_grants["charged"][0] == used
    assert turned(run) == [("G4", 12 * HOUR_S - used, 0)]
    assert books(run, "committed", "left") == [[0], [0]]


def test_a_job_that_has_waited_too_long_is_refused_when_it_could_not_end_any_more():
    """72 GPUs are busy until hour 4. A limit of 6 h would still fit at hour 3 of 9, not a second later."""
    grant = {"tenant": "a", "gpu_hours": 1000, "end_utc": hours(9), "expiry": "hard"}
    run = played(
        granted(site(), g=grant),
        (0, 72, 4 * HOUR_S, 0, TRAINING),
        (60, 2, 3 * HOUR_S, 0, TRAINING),
        (60, 2, 2 * HOUR_S, 0, TRAINING),
    )

    assert times(run, "state") == [FINISHED, REFUSED, FINISHED]
    assert turned(run) == [("G3", 6 * HOUR_S, 6 * HOUR_S - 1)]
    assert books(run, "spent", "expired") == [[72 * 4 + 4], [1000 - 72 * 4 - 4]]


def test_who_waits_when_a_grant_ends_is_refused_or_draws_on_the_next():
    """The first grant ends at hour 2 while both jobs wait; the second brings 8 GPU-h, enough for one of them."""
    first = {"tenant": "a", "gpu_hours": 1000, "end_utc": hours(2)}
    second = {"tenant": "a", "gpu_hours": 8, "start_utc": hours(2), "end_utc": hours(20)}
    run = played(
        granted(site(), first=first, second=second),
        (0, 72, 4 * HOUR_S, 0, TRAINING),
        (60, 4, HOUR_S, 0, TRAINING),
        (60, 3, HOUR_S, 0, TRAINING),
    )

    assert sorted(times(run, "state")) == sorted([FINISHED, FINISHED, REFUSED])
    ((rule, needed, available),) = turned(run)
    assert (rule, available) == ("G4", 0)
    assert needed in {6 * HOUR_S, 8 * HOUR_S}
    assert run.state.job_grants["grant"][0] == 0  # it runs on: the end is soft
    spent = books(run, "spent")[0]
    assert spent[0] == 72 * 4
    assert spent[1] in {3, 4}


def test_the_grant_that_expires_first_is_drawn_first():
    """The later one is left alone until the earlier holds too little; one without end comes last."""
    run = played(
        granted(
            site(),
            open={"tenant": "a", "gpu_hours": 50},
            late={"tenant": "a", "gpu_hours": 4, "end_utc": hours(20)},
            soon={"tenant": "a", "gpu_hours": 4, "end_utc": hours(10)},
        ),
        *[(60 * i, 1, HOUR_S, 0, TRAINING) for i in range(5)],
    )

    assert job_columns(run, job_records(run))["grant"].cast(str).to_list() == [
        "soon",
        "soon",
        "late",
        "late",
        "open",
    ]


def test_only_the_named_classes_and_tenants_draw_on_a_grant():
    """Batch work of the tenant and all work of the other are not limited."""
    scenario = granted(
        site(who={"a": tenant("firm", 0.5), "b": tenant("firm", 0.5)}),
        g={"tenant": "a", "gpu_hours": 1, "demand": ["training"]},
    )
    run = played(
        scenario,
        (0, 9, HOUR_S, 0, TRAINING),
        (0, 9, HOUR_S, 0, BATCH),
        (0, 9, HOUR_S, 1, TRAINING),
    )

    assert times(run, "state") == [REFUSED, FINISHED, FINISHED]
    assert turned(run) == [("G2", 18 * HOUR_S, HOUR_S)]
    assert not run.state.job_grants["drew"].any()


def test_what_a_failure_destroys_is_not_charged():
    """Checkpoints are: six hours of work on one GPU with its dumps; the work since the last dump is credited."""
    scenario = granted(
        site(tick_s=60, checkpoint_s=300, restart_s=60, gpu_h_per_interruption=10, tray_repair_h=1),
        g={"tenant": "a", "gpu_hours": 100},
    )
    run = played(scenario, (0, 1, 6 * HOUR_S, 0, TRAINING), failures=failing((2 * HOUR_S + 11, 0)))
    job, lost = run.state.jobs[0], run.state.lost_gpu_s[:, 0]

    assert (job["state"], job["failures"]) == (FINISHED, 1)
    assert lost[0] > 0
    assert lost[3] > 0
    assert run.state.job_grants["charged"][0] == 6 * HOUR_S + int(lost[3])
    assert run.state.job_grants["charged"][0] < job["allocated_gpu_s"]
    assert books(run, "left") == [[(100 * HOUR_S - 6 * HOUR_S - int(lost[3])) / HOUR_S]]


def test_an_interrupted_job_that_can_no_longer_end_in_time_is_stopped():
    """A failure at hour 5 of 6 destroys unsaved work: the 10 h that it may still take do not fit in the hour left."""
    grant = {"tenant": "a", "gpu_hours": 100, "end_utc": hours(10), "expiry": "hard"}
    run = played(
        granted(site(tick_s=60), g=grant), (0, 1, 5 * HOUR_S, 0, BATCH), failures=failing((4 * HOUR_S, 0))
    )

    assert times(run, "state") == [STOPPED]
    assert turned(run) == [("G3", 10 * HOUR_S, 6 * HOUR_S)]
    assert books(run, "spent", "left", "expired") == [[0], [0], [100]]


def test_a_refusal_by_size_tells_its_numbers_too():
    """One rack holds 72 GPUs (P3); without grants nothing else is refused."""
    run = played(site(), (0, 100, HOUR_S, 0, TRAINING), (0, 72, HOUR_S, 0, TRAINING))

    assert turned(run) == [("P3", 100, 72)]
    assert job_columns(run, job_records(run))["refused_text"].to_list() == [
        "needs 100 GPUs, at most 72 can be had",
        None,
    ]
    assert grants_table(run).is_empty()
    assert grant_hours_table(run).is_empty()
    assert np.isnan(run.state.lost_gpu_s).sum() == 0
