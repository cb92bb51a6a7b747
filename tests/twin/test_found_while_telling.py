"""Found while the lives of jobs were told: what the rules say and the loop does not do yet."""

from small_sites import BATCH, TRAINING, play, small_site, tenant, times

HOUR_S = 3600


def test_a_job_that_power_held_back_is_tried_again_when_there_is_power():
    """Nodes count the power of every start of a tick, also of jobs that have ended since (here: the claimant of 05:00 to 05:10).

    The borrower that comes back at 05:30 therefore finds "no power" (E1) on a site of 1,000 MW. The next tick gives the rack free
    again, but nobody decides then: the job is queued until something else happens, here for ever.
    """
    who = {"a": tenant("firm", 1.0), "uk": tenant("lent", notice_s=0)}
    rows = [
        (0, 72, 5 * HOUR_S, 1, BATCH),
        (HOUR_S, 72, HOUR_S, 0, BATCH),
        (4 * HOUR_S, 72, 600, 0, BATCH),
    ]
    run = play(small_site(who, tick_s=3600, restart_s=300), *rows)
    assert 0 < times(run, "end_s")[0] <= 10 * HOUR_S + 300


def test_a_loan_becomes_own_use_though_nobody_else_of_its_tenant_waits():
    """Rule L5: after two hours the tenant's own share has room for its job on loan; only a waiting job makes the loop look."""
    who = {"a": tenant("firm", 0.5), "b": tenant("firm", 0.5)}
    rows = [(0, 72, 2 * HOUR_S, 0, BATCH), (600, 60, 4 * HOUR_S, 0, TRAINING)]
    run = play(small_site(who, racks=2, tick_s=3600), *rows)
    (loan,) = run.state.loans[: run.state.tally["loans"][0]]
    assert loan["returned_s"] == 2 * HOUR_S
