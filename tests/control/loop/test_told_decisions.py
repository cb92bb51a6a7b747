"""A site that is told what happens decides as the twin that computes it, whatever it forgets or is restored from."""

from __future__ import annotations

import json

import pytest
from small_sites import check_books, check_room, group, play, small_site, table, tenant
from told_sites import Lockstep, drawn_jobs

from kvandal.control.loop.site import LiveSite

TENANTS = {
    "anchor": tenant("firm", 0.5, 0.2, ceiling=0.9),
    "national": group("assured", ceiling=0.6),
    "startups": tenant("assured", 0.2, 0.05, ceiling=0.5, parent="national"),
    "research": tenant("assured", 0.1, 0.05, ceiling=0.5, parent="national"),
    "abroad": tenant("lent", notice_s=120, minimum_run_s=300),
    "nordics": tenant("lent", notice_s=60, weight=2.0),
}
LEAVES = [0, 2, 3, 4, 5]
END_S = 80_000


def scene(seed, count=120):
    scenario = small_site(TENANTS, racks=2, rest_after_recall_s=300)
    rows = [(s, g, w, LEAVES[t % 5], d) for s, g, w, t, d in drawn_jobs(seed, count, 5)]
    return scenario, rows


def lockstep(scenario, rows, run, site=None):
    told = Lockstep(scenario, table(*rows), site=site)
    told.limits = run.state.jobs["limit_s"]
    return told


def starts_of(told):
    return [(time_s, job) for time_s, do, job, _ in told.actions if do == "start"]


@pytest.mark.parametrize("seed", range(6))
def test_told_and_computed_ends_lead_to_the_same_decisions(seed):
    scenario, rows = scene(seed)
    run = play(scenario, *rows)
    told = lockstep(scenario, rows, run).run(END_S)
    jobs = run.state.jobs
    stints = run.state.stints[: int(run.state.tally["stints"][0])]
    expected = {
        (int(jobs["start_s"][job]), f"job-{job:04d}") for job in range(len(jobs)) if jobs["starts"][job]
    } | {(int(one["start_s"]), f"job-{one['job']:04d}") for one in stints}
    assert len(expected) >= 100
    assert {start for start in expected if start[0] < END_S} == set(starts_of(told))
    taken = sorted((time_s, job) for time_s, do, job, _ in told.actions if do == "take")
    assert taken == sorted((int(one["end_s"]), f"job-{one['job']:04d}") for one in stints)
    assert taken
    check_books(told.site.state)
    check_room(told.site.state)


@pytest.mark.parametrize("every", [1, 7])
def test_forgetting_jobs_that_are_over_changes_no_decision(every):
    scenario, rows = scene(9)
    run = play(scenario, *rows)
    plain, forgetful = (lockstep(scenario, rows, run) for _ in range(2))
    plain.run(END_S)

    def forget(told):
        if len(told.turns) % every == 0:
            told.site.compact()
            check_books(told.site.state)

    forgetful.run(END_S, forget)
    assert forgetful.actions == plain.actions
    one, other = (
        [(now_s, turn.effects) for now_s, _, turn in told.turns if turn.effects]
        for told in (forgetful, plain)
    )  # turns at which nothing happened may be fewer: what the calendar had to say of jobs that are over is forgotten too
    assert one == other
    assert len(forgetful.site.ids) < len(plain.site.ids)


def test_a_site_restored_on_the_way_decides_what_the_other_did():
    scenario, rows = scene(4)
    run = play(scenario, *rows)
    whole = lockstep(scenario, rows, run).run(END_S)
    half = len(whole.turns) // 2
    told = lockstep(scenario, rows, run)
    for now_s, inputs, turn in whole.turns[:half]:
        assert told.site.turn(now_s, inputs) == turn
    content, extra = told.site.kept()
    restored = LiveSite.restored(
        json.loads(json.dumps(told.site.document)), content, json.loads(json.dumps(extra))
    )
    for now_s, inputs, turn in whole.turns[half:]:
        assert restored.turn(now_s, json.loads(json.dumps(inputs))) == turn
    check_books(restored.state)
