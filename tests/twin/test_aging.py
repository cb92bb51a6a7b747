"""Rule A1 is about waiting: a job that ran for days and was recalled a minute ago has not waited for days."""

import pytest
from small_sites import TRAINING, play, small_site, tenant, times

from kvandal.policy.rules import IN_ORDER
from kvandal.twin.records import QUEUED

OWNER, LAB = range(2)
HOUR_S = 3600


def story(submit_h, **options):
    """A lab runs 16 GPUs on loan until the owner needs them back after 30 hours; then a small job of the lab comes."""
    site = small_site({"owner": tenant("firm", 0.5), "lab": tenant("assured", 0.5)}, days=2, tick_s=3600)
    return play(
        site,
        (0, 36, 100 * HOUR_S, LAB, TRAINING),
        (submit_h * HOUR_S, 16, 100 * HOUR_S, LAB, TRAINING),
        (30 * HOUR_S, 28, 10 * HOUR_S, OWNER, TRAINING),
        (31 * HOUR_S, 4, HOUR_S, LAB, TRAINING),
        **options,
    )


@pytest.mark.parametrize("submit_h", [1, 29])
def test_a_small_job_passes_one_that_was_recalled_an_hour_ago(submit_h):
    """Eight GPUs are left, the recalled job needs sixteen: however long it ran before, it waits for one hour only."""
    run = story(submit_h)
    assert run.state.jobs["recalls"][1] == 1
    assert times(run, "first_start_s")[3] == 31 * HOUR_S


def test_who_is_passed_by_a_recalled_job_waits_in_order_from_then_on():
    """The head of a queue that gets a recalled job put in front of it waits behind it, not for what it waited for before."""
    held = {}

    def watch(state, tick):
        held[tick] = int(state.jobs["held_by"][2]), int(state.jobs["state"][2]), int(state.jobs["recalls"][1])

    site = small_site({"owner": tenant("firm", 0.5), "lab": tenant("assured", 0.5)}, days=2, tick_s=3600)
    play(
        site,
        (0, 36, 100 * HOUR_S, LAB, TRAINING),
        (HOUR_S, 16, 100 * HOUR_S, LAB, TRAINING),
        (9 * HOUR_S, 32, HOUR_S, LAB, TRAINING),
        (10 * HOUR_S, 28, 10 * HOUR_S, OWNER, TRAINING),
        watch=watch,
        watch_ticks=1,
    )
    rule, state, recalls = held[13]
    assert (state, recalls) == (QUEUED, 1)
    assert rule == IN_ORDER
