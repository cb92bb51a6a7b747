"""Laws of grants on every small site, whatever is granted and asked."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import check_books, check_grants, check_room, granted
from test_laws import sites

from kvandal.demand.jobs import JobTable
from kvandal.ledger.grants import grant_hours_table, grants_table
from kvandal.twin.records import RUNNING
from kvandal.twin.simulate import go_on, new_outputs, prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, unpacked

pytestmark = pytest.mark.slow
START = datetime(2027, 3, 31, 12, tzinfo=UTC)
"""Ten hours before a month and a quarter end in Oslo."""
HOUR_S = 3600


def some_grants(random, tenants, gpus):
    """Up to six grants; together they bring about what the site gives in a day, or far too little."""
    found = {}
    for index in range(random.integers(0, 7)):
        begins, ends = sorted(random.integers(-5, 40, 2).tolist())
        grant = {
            "tenant": str(random.choice(tenants)),
            "gpu_hours": float(random.choice([0.01, 0.1, 0.5, 3.0]) * gpus * 8 * random.random() + 0.01),
            "period": str(random.choice(["none", "month", "quarter"])),
            "carry_over_fraction": float(random.choice([0.0, 1.0, random.random()])),
            "expiry": str(random.choice(["hard", "soft"])),
            "demand": tuple(random.choice(["training", "batch"], random.integers(0, 3), replace=False)),
        }
        if random.random() < 0.7:
            grant["end_utc"] = START + timedelta(hours=ends + 1, seconds=int(random.integers(0, 60)))
        if random.random() < 0.5:
            grant["start_utc"] = START + timedelta(hours=begins)
        if random.random() < 0.5:
            lose = {
                "lose_after_fraction": random.uniform(0.01, 0.99),
                "lose_below_fraction": random.uniform(0.1, 1),
            }
            grant |= lose
        found[f"g{index}"] = grant
    return found


@st.composite
def sites_with_grants(draw):
    scenario, jobs = draw(sites())
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scenario = scenario.model_copy(
        update={"run": scenario.run.model_copy(update={"start_utc": START, "days": 2})}
    )
    factor = float(random.choice([1.0, 1.3, 2.0, 5.0]))
    classes = {name: one.model_copy(update={"limit_factor": factor}) for name, one in scenario.demand.items()}
    scenario = scenario.model_copy(update={"demand": classes})
    return granted(scenario, **some_grants(random, list(scenario.tenants), scenario.site.racks * 72)), jobs


def check(state, _=0):
    check_room(state)
    check_books(state)
    check_grants(state)
    grants, mine, running = state.grants, state.job_grants, state.jobs["state"] == RUNNING
    over = grants["is_hard"] & (grants["end_s"] < state.tally["now_s"][0])
    drawn = running & mine["holds"]
    assert not over[mine["grant"][drawn]].any()


@settings(max_examples=60)
@given(sites_with_grants())
def test_every_gpu_second_of_a_grant_is_somewhere(asked):
    """Granted and carried in is spent, committed, left, carried out, expired or withdrawn, at every instant looked at."""
    scenario, jobs = asked
    run = simulate_jobs(scenario, jobs, watch=check, watch_ticks=max(1, 1800 // scenario.run.tick_s))
    check(run.state)
    state, mine = run.state, run.state.job_grants
    table, hours = grants_table(run), grant_hours_table(run)

    assert table["gpu_s_spent"].sum() == mine["charged"].sum() == hours["gpu_s_spent"].sum()
    assert (hours["gpu_s_spent"] >= 0).all()
    used = state.jobs["useful_gpu_s"] + state.lost_gpu_s[3]
    assert (mine["charged"] <= used + 1e-3).all()
    assert (mine["charged"] <= state.jobs["asked_gpus"] * state.jobs["limit_s"].astype(np.int64)).all()
    binding = {
        (grant.tenant, name)
        for grant in scenario.grants.values()
        for name in scenario.demand
        if grant.binds(name)
    }
    tenants, classes = list(scenario.tenants), list(scenario.demand)
    for job, row in enumerate(mine):
        bound = (tenants[state.jobs["tenant"][job]], classes[state.jobs["demand"][job]]) in binding
        rule = state.jobs["refused_rule"][job]
        assert bound or (not row["drew"] and rule in {0, 3})
        assert not bound or row["drew"] or rule > 0


@settings(max_examples=40)
@given(sites_with_grants())
def test_a_refusal_tells_numbers_that_refuse(asked):
    """More is needed than there is, and what is needed is what a hand works out from the job."""
    scenario, jobs = asked
    run = simulate_jobs(scenario, jobs)
    mine, factor = run.state.job_grants, next(iter(scenario.demand.values())).limit_factor
    elastic = next(iter(scenario.demand.values())).elastic_minimum_fraction
    interval_s, dump_s = run.state.jobs["interval_s"].tolist(), round(scenario.reliability.checkpoint_s)
    dumps = [
        (work - 1) // every if every else 0
        for work, every in zip(jobs.work_s.tolist(), interval_s, strict=True)
    ]
    needs_s = [work + count * dump_s for work, count in zip(jobs.work_s.tolist(), dumps, strict=True)]
    limits_s = [math.ceil(need * factor - 1e-9) for need in needs_s]
    for job in np.flatnonzero(run.state.jobs["refused_rule"]).tolist():
        row, gpus = mine[job], int(jobs.gpus[job])
        rule = int(run.state.jobs["refused_rule"][job])
        assert row["refused_needed"] > row["refused_available"] or rule == 33
        if run.state.jobs["starts"][job] == 0:
            least = max(1, math.ceil(gpus * elastic - 1e-9))
            expected = {3: least, 31: gpus * limits_s[job], 32: limits_s[job], 33: gpus * limits_s[job]}[rule]
            assert row["refused_needed"] == expected


@settings(max_examples=15)
@given(sites_with_grants())
def test_a_run_with_grants_can_be_resumed(asked):
    """The second day from the saved state is that of the uninterrupted run: books, jobs and hours."""
    scenario, jobs = asked
    recorder = Recorder(scenario, jobs, every_days=1)
    whole = simulate_jobs(scenario, jobs, recorder=recorder)
    start = prepare(scenario, jobs)
    half = 86_400 // scenario.run.tick_s
    state, plant, tick = unpacked(recorder.snapshots[half], start.state, start.plant, jobs_mark(jobs))
    check_grants_of_the_living(state)
    live = np.flatnonzero(np.isin(state.jobs["state"], [1, 2]))
    outputs = new_outputs(start)
    state = go_on(start, state, plant, outputs, tick, 2 * half)

    assert outputs.grant_hour[24:].tolist() == whole.outputs.grant_hour[24:].tolist()
    again = simulate_jobs(scenario, jobs)
    assert again.state.grant_periods.tobytes() == whole.state.grant_periods.tobytes()
    later = np.union1d(live, np.flatnonzero(jobs.submit_s >= 86_400))
    settled = later[
        state.jobs["state"][later] != RUNNING
    ]  # who runs at the end is charged when the books are closed
    assert state.job_grants[settled].tolist() == whole.state.job_grants[settled].tolist()
    assert state.jobs["state"][later].tolist() == whole.state.jobs["state"][later].tolist()


def check_grants_of_the_living(state):
    """What live jobs hold is what grants have committed; finished jobs are not in a saved state."""
    held = np.zeros(len(state.grants), np.int64)
    mine = state.job_grants[state.job_grants["holds"]]
    np.add.at(held, mine["grant"], mine["committed"])
    for index, grant in enumerate(state.grants):
        if grant["period"] >= 0:
            assert state.grant_periods["committed"][grant["period"]] == held[index]


def test_without_grants_the_tables_are_empty_and_nothing_is_drawn():
    """A site without grants costs a grant nothing."""
    from small_sites import small_site, tenant

    run = simulate_jobs(small_site({"a": tenant("firm", 1.0)}), JobTable.empty())

    assert grants_table(run).is_empty()
    assert len(run.state.job_grants) == 0
