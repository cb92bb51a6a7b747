"""What decisions remember, so as not to look at everything anew, changes none of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from small_sites import table
from test_policy_laws import jobs_of, trees

from kvandal.policy.acting import OWN_END, OWN_GPUS, OWN_JOB, OWN_TENANT
from kvandal.policy.placement import UNKNOWN
from kvandal.twin.records import RUNNING
from kvandal.twin.simulate import simulate_jobs

pytestmark = pytest.mark.slow

WORKED_ON = {"recall_cost", "named", "list_position"}
"""Columns of jobs that hold nothing from one decision to the next, or a place in a list."""


def forget(state):
    """Forget all that has been looked at in vain, and when trays should be free."""
    state.queues["vain"] = False
    state.tenants["looked_loans"] = -1
    state.room.trays["until_s"] = UNKNOWN


@settings(max_examples=40)
@given(trees(tick_s=10))
def test_who_remembers_decides_like_who_looks_at_everything_anew(asked):
    scenario, random = asked
    jobs = table(*jobs_of(random, scenario, 150, 20_000))
    remembered = simulate_jobs(scenario, jobs).state
    anew = simulate_jobs(scenario, jobs, watch=lambda state, _: forget(state), watch_ticks=1).state
    for column in set(remembered.jobs.dtype.names) - WORKED_ON:
        np.testing.assert_array_equal(remembered.jobs[column], anew.jobs[column], column)
    np.testing.assert_array_equal(remembered.waits, anew.waits)
    for name in ("loans", "events", "stints", "placements"):
        one, other = getattr(remembered, name), getattr(anew, name)
        np.testing.assert_array_equal(one[: remembered.tally[name][0]], other[: anew.tally[name][0]], name)


@settings(max_examples=25)
@given(trees(tick_s=600))
def test_lists_of_running_jobs_say_what_the_jobs_say(asked):
    """Every running job stands in one list, with its own end, size and tenant; a tray that knows its end knows the true one."""
    scenario, random = asked

    def watch(state, _):
        count, jobs = int(state.tally["own_jobs"][0]), state.jobs
        own = state.own_jobs[:, :count]
        mine = np.flatnonzero((jobs["state"] == RUNNING) & ~jobs["on_loan"])
        np.testing.assert_array_equal(np.sort(own[OWN_JOB]), mine)
        np.testing.assert_array_equal(jobs["list_position"][own[OWN_JOB]], np.arange(count))
        for row, column in ((OWN_END, "until_s"), (OWN_GPUS, "gpus"), (OWN_TENANT, "tenant")):
            np.testing.assert_array_equal(own[row], jobs[column][own[OWN_JOB]])
        lent = state.lent_jobs[: int(state.tally["lent_jobs"][0])]
        np.testing.assert_array_equal(
            np.sort(lent), np.flatnonzero((jobs["state"] == RUNNING) & jobs["on_loan"])
        )
        for tray in np.flatnonzero(state.room.trays["until_s"] != UNKNOWN):
            seated = state.room.slots[tray][state.room.slots[tray] >= 0]
            assert state.room.trays["until_s"][tray] == jobs["until_s"][seated].max()
            assert not (jobs["on_loan"][seated] | jobs["draining"][seated]).any()

    simulate_jobs(scenario, table(*jobs_of(random, scenario, 150)), watch=watch, watch_ticks=1)
