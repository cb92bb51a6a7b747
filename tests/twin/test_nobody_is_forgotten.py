"""Stories in which a job could start or a limit would hold, if only somebody looked again, or looked further."""

from datetime import timedelta

import numpy as np
import pytest
from small_sites import BATCH, INFERENCE, TRAINING, failing, play, small_site, table, tenant, times

from kvandal.scenario.faults import Fault
from kvandal.scenario.tenants import LimitChange
from kvandal.twin.records import REFUSED
from kvandal.twin.simulate import simulate_jobs
from kvandal.twin.site import build_site

HOUR_S = 3600
PLAIN = {"tick_s": 3600, "restart_s": 0, "checkpoint_s": 0, "of": {"limit_factor": 1.0}}


def test_a_job_that_power_held_back_is_tried_again_when_there_is_power():
    """Who ends gives its power back at once: the borrower that comes back at 05:30 finds it, after two others have run."""
    who = {"a": tenant("firm", 1.0), "uk": tenant("lent", notice_s=0)}
    rows = [
        (0, 72, 5 * HOUR_S, 1, BATCH),
        (HOUR_S, 72, HOUR_S, 0, BATCH),
        (4 * HOUR_S, 72, 600, 0, BATCH),
    ]
    run = play(small_site(who, tick_s=3600, restart_s=300), *rows)
    assert 0 < times(run, "end_s")[0] <= 10 * HOUR_S + 300


def test_a_loan_becomes_own_use_though_nobody_else_of_its_tenant_waits():
    """Rule L5: after two hours the tenant's own share has room for its job on loan."""
    who = {"a": tenant("firm", 0.5), "b": tenant("firm", 0.5)}
    rows = [(0, 72, 2 * HOUR_S, 0, BATCH), (600, 60, 4 * HOUR_S, 0, TRAINING)]
    run = play(small_site(who, racks=2, tick_s=3600), *rows)
    (loan,) = run.state.loans[: run.state.tally["loans"][0]]
    assert loan["returned_s"] == 2 * HOUR_S


@pytest.mark.parametrize("beside", [[], [(105, 80, HOUR_S, 0, INFERENCE)]])
def test_a_job_above_its_share_does_not_stand_before_one_within_it(beside):
    """A stream of half-rack jobs and one job of a rack, all of one tenant that deserves a rack. The large one is passed by
    none that would delay it (B1), whether or not a job waits beside it that the tenant can only borrow for."""
    who = {"a": tenant("firm", 1 / 3), "b": tenant("firm", 2 / 3)}
    rows = [(0, 72, 40 * HOUR_S, 1, BATCH)] * 2
    rows += [(1800 * index + 100, 36, HOUR_S, 0, BATCH) for index in range(60)]
    rows += [(110, 72, HOUR_S, 0, TRAINING), *beside]
    run = play(small_site(who, racks=3, days=2, aging_h=24.0, **PLAIN), *rows)
    [large] = np.flatnonzero((run.state.jobs["gpus"] == 72) & (run.state.jobs["tenant"] == 0))
    assert times(run, "first_start_s")[large] == 3700


def test_own_loans_do_not_eat_the_share_that_an_older_job_waits_for():
    """A tenant's small jobs borrow from the pool while its large one waits for its share. As its own use they would take the
    share each time some of it comes back (L5): they stay on loan."""
    who = {"a": tenant("firm", 0.5, ceiling=0.75), "b": tenant("firm", 0.25)}
    rows = [(0, 36, 46 * HOUR_S, 1, BATCH), (0, 36, HOUR_S, 0, BATCH), (0, 36, 5400, 0, BATCH)]
    rows += [(600 + 1200 * index, 36, HOUR_S, 0, BATCH) for index in range(100)]
    rows += [(10, 72, HOUR_S, 0, TRAINING)]
    run = play(small_site(who, racks=2, days=2, aging_h=4.0, **PLAIN), *rows)
    [large] = np.flatnonzero((run.state.jobs["gpus"] == 72) & (run.state.jobs["tenant"] == 0))
    assert times(run, "first_start_s")[large] <= 5400 + 1200


@pytest.mark.parametrize(("gap_s", "work_s"), [(300, 7 * HOUR_S), (60, 2 * HOUR_S)])
@pytest.mark.parametrize("other_notice_s", [120, 900])
def test_a_ceiling_that_falls_is_kept_from_its_first_instant(gap_s, work_s, other_notice_s):
    """Rule K3, whatever notice others have and however many come until the last minute."""
    site = small_site({"owner": tenant("firm", 1.0)}, racks=4, **PLAIN | {"tick_s": 60})
    falls = (LimitChange(from_utc=site.run.start_utc + timedelta(hours=12), ceiling_share=0.25),)
    who = {
        "owner": tenant("firm", 1.0),
        "uk": tenant("lent", schedule=falls),
        "slow": tenant("lent", notice_s=other_notice_s),
    }
    rows = [(gap_s * index + 7, 12, work_s + 13 * (index % 17), 1, BATCH) for index in range(86_000 // gap_s)]
    above = []

    def watch(state, _):
        now = state.tenants[1]
        above.append(int(now["own"] + now["on_loan"] - now["ceiling"]))

    run = simulate_jobs(
        small_site(who, racks=4, **PLAIN | {"tick_s": 60}), table(*rows), watch=watch, watch_ticks=1
    )
    loans = run.state.loans[: run.state.tally["loans"][0]]
    noticed = loans["noticed_s"][loans["noticed_s"] >= 0]
    assert max(above) <= 0
    assert noticed.min() >= 12 * HOUR_S - 120
    assert len(noticed) > 0


def test_a_job_goes_where_there_is_power():
    """Two power groups, one of them short of power by a fault, and idle racks in both: nobody waits (E1)."""
    racks = 16
    site = small_site({"lab": tenant("firm", 1.0)}, racks=racks, **PLAIN | {"tick_s": 60})
    group = build_site(site).group
    site = site.model_copy(
        update={
            "faults": (Fault(kind="ups_block", after_h=2.0, duration_h=20.0, count=3, place=int(group[0])),)
        }
    )
    rows = [(0, 72, 1000, 0, TRAINING)] * racks
    rows += [(3 * HOUR_S + 5 + 600 * index, 72, 9 * HOUR_S, 0, TRAINING) for index in range(3)]
    run = play(site, *rows)
    assert times(run, "first_start_s")[racks:] == [row[0] for row in rows[racks:]]


@pytest.mark.parametrize("later", [[], [(20, 24, 40_000, 1, BATCH)]])
def test_a_later_reservation_leaves_what_an_earlier_one_waits_for(later):
    """One rack, three loans that end one after the other: the first owner starts at 2000 s, whoever reserves after it (B1)."""
    who = {"p": tenant("firm", 2 / 3), "q": tenant("assured", 1 / 3), "uk": tenant("lent")}
    rows = [(0, 24, 1000 * (index + 1), 2, BATCH) for index in range(3)] + [(10, 48, 500, 0, BATCH), *later]
    run = play(small_site(who, recall=False, **PLAIN | {"tick_s": 60}), *rows)
    assert times(run, "first_start_s")[3] == 2000
    assert times(run, "first_start_s")[4:] == [2500] * len(later)


def test_an_elastic_job_is_refused_only_if_its_least_could_never_run():
    """48 GPUs asked, 12 will do, 36 are the tenant's: it runs on 24 (M1, P3); where 48 are the least, it is refused."""
    states = []
    for least in (0.25, 1.0):
        who = {"lab": tenant("firm", 0.5, guarantee=0.5, ceiling=0.5)}
        of = {"limit_factor": 1.0, "elastic_minimum_fraction": least}
        run = play(small_site(who, restart_s=0, of=of), (0, 48, HOUR_S, 0, BATCH))
        states.append((times(run, "state")[0] == REFUSED, times(run, "first_start_s")[0]))
    assert states == [(False, 0), (True, -1)]


def test_a_failed_claim_does_not_leave_others_waiting():
    """A claimed tray breaks while its loan drains: the claim is made anew, and its owner starts."""
    who = {"a": tenant("firm", 1.0), "uk": tenant("lent")}
    rows = [(0, 72, 20 * HOUR_S, 1, BATCH)] * 2 + [(1000, 36, HOUR_S, 0, BATCH)]
    run = play(small_site(who, racks=2, **PLAIN | {"tick_s": 60}), *rows, failures=failing((1010, 0)))
    assert 1000 < times(run, "first_start_s")[2] <= 1000 + 2 * 120
