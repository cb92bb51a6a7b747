"""Power that the nodes of the plant have to spare for new jobs: who ends gives it back, whoever waits for it learns of it."""

import pytest
from small_sites import TRAINING, play, small_site, table, tenant, times

from kvandal.twin.simulate import simulate_jobs

LAB = 0


@pytest.mark.parametrize("tick_s", [60, 600, 3600])
def test_short_jobs_one_after_the_other_do_not_use_up_the_power_of_a_rack(tick_s):
    """A job of a whole rack every twenty seconds, each of ten: power and racks are there, so nobody waits."""
    site = small_site({"lab": tenant("firm", 1.0)}, tick_s=tick_s)
    submit_s = [4000 + 20 * number for number in range(60)]
    run = play(site, *[(at_s, 72, 10, LAB, TRAINING) for at_s in submit_s])
    assert times(run, "first_start_s") == submit_s


def test_whoever_was_held_by_power_starts_without_another_event():
    """After many short jobs nothing else happens: a job that was held back must not wait for ever."""
    site = small_site({"lab": tenant("firm", 1.0)})
    rows = [(4000 + 5 * number, 72, 5, LAB, TRAINING) for number in range(40)]
    state = simulate_jobs(site, table(*rows)).state
    assert (state.jobs["end_s"] >= 0).all()
