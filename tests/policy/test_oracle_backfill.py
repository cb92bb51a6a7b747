"""EASY and conservative backfill on queues worked by hand.

EASY: D. Lifka, "The ANL/IBM SP scheduling system" (JSSPP 1995), and A. Mu'alem and D. Feitelson, IEEE TPDS 12 (2001): the
first waiting job holds a reservation, and a later one may start now if it does not delay it. Conservative: all that wait
hold one, and none may be delayed. flux-framework/flux-sched, issue 224, makes them one family by the number of
reservations: none, one, all. Here that is `policy.reservations`, and Slurm's bf_max_job_test is `policy.backfill_depth`.

Where the two differ:

- A reservation here is for named racks, those that fall free soonest, idle ones included. A long job that EASY would start
  because the head leaves room for it *at its start* starts here only on racks (or within the tenant's share) that the head
  does not hold now. Nobody is ever delayed by that; some backfill is lost.
- A gang of several racks does not pass into reserved racks, however short it is.
- A rack is reserved for one job after the other, not for several at different times: with many reservations a job that
  finds all racks promised holds none yet.
- A head that waits for its tenant's share, not for racks, holds the share from the instant at which it should be free; then
  one job per tenant holds a reservation, and more reservations change nothing.
"""

import pytest
from small_sites import BATCH, failing, play, small_site, tenant, times

LONG_S = 5000


def machine(racks, **options):
    """Racks of one tenant, whose jobs ask for exactly the time that they need."""
    return small_site({"all": tenant("firm", 1.0)}, racks=racks, tick_s=3600, segment_trays=18, of={"limit_factor": 1.0}, **options)  # fmt: skip


def starts(site, *rows, **options):
    """Start of each job of (submit_s, gpus, work_s)."""
    run = play(site, *((submit_s, gpus, work_s, 0, BATCH) for submit_s, gpus, work_s in rows), **options)
    return times(run, "first_start_s")


FOUR_RACKS = [
    (0, 216, 1000),  # three racks until 1000
    (10, 288, 500),  # the head: all four, from 1000
    (20, 72, 900),  # would end at 920
    (30, 72, 1500),  # would end at 1530 at the earliest
    (40, 72, 900),  # fits, but the fourth rack is taken until 920
]


@pytest.mark.parametrize(
    ("reservations", "depth", "expected"),
    [
        (1, 16, [0, 1000, 20, 1500, 1500]),  # EASY
        (5, 16, [0, 1000, 20, 1500, 1500]),
        (1, 0, [0, 1000, 1500, 1500, 1500]),  # strictly in order
        (0, 16, [0, 2420, 20, 920, 1000]),  # anything that fits: the head starves until the racks meet
    ],
)
def test_a_later_job_passes_only_if_it_does_not_delay_the_head(reservations, depth, expected):
    """Three of four racks are busy until 1000 and the head needs all four. A job of 900 s passes at 20; one of 1500 s and
    one that would end after 1000 do not."""
    site = machine(4, reservations=reservations, backfill_depth=depth)
    assert starts(site, *FOUR_RACKS) == expected


@pytest.mark.parametrize(("work_s", "start_s"), [(979, 20), (980, 20), (981, 1500)])
def test_a_job_may_end_at_the_very_instant_at_which_the_head_starts(work_s, start_s):
    """Shadow time to the second: submitted at 20, a job of 980 s ends as the head starts; one of 981 s would delay it."""
    rows = [*FOUR_RACKS[:2], (20, 72, work_s)]
    assert starts(machine(4), *rows) == [0, 1000, start_s]


def test_the_time_that_counts_is_the_limit_that_was_asked_for():
    """Slurm needs good time limits. With limits of twice the need the head's shadow lies at 2000: a job of 981 s, 1962 by
    its limit, passes at 20 and in truth delays the head by a second; one of 1000 s does not pass."""
    slack = small_site(
        {"all": tenant("firm", 1.0)}, racks=4, tick_s=3600, segment_trays=18, of={"limit_factor": 2.0}
    )
    rows = [*FOUR_RACKS[:2], (20, 72, 981), (30, 72, 1000)]
    assert starts(machine(4), *rows) == [0, 1000, 1500, 1500]
    assert starts(slack, *rows) == [0, 1001, 20, 1501]


@pytest.mark.parametrize(("depth", "start_s"), [(1, 1500), (2, 30), (16, 30)])
def test_only_so_many_jobs_behind_the_head_are_looked_at(depth, start_s):
    """`policy.backfill_depth`: the second job behind the head could pass, and is seen only from a depth of two on."""
    rows = [*FOUR_RACKS[:2], (20, 72, 1500), (30, 72, 900)]
    assert starts(machine(4, backfill_depth=depth), *rows)[3] == start_s


TWO_RACKS = [
    (0, 40, 1000),  # half of one rack until 1000
    (0, 40, 2000),  # half of the other until 2000
    (10, 72, LONG_S),  # the head: a whole rack
    (20, 72, 100),  # the second: a whole rack
    (30, 32, 3000),  # these fit beside either
    (40, 32, 3000),
]
"""Shares are ample and racks are not: two of the four racks are out of service."""


@pytest.mark.parametrize(
    ("reservations", "expected"),
    [
        (0, [0, 0, 3030, 3040, 30, 40]),
        (1, [0, 0, 1000, 3030, 30, 3130]),
        (9, [0, 0, 1000, 2000, 2100, 2100]),
    ],
)
def test_the_family_from_no_reservation_to_one_for_everybody(reservations, expected):
    """flux-sched, issue 224: reserve-depth 0, 1 and all. Without a reservation both later jobs start at once and the two
    heads wait for them; with one (EASY) the first head starts at 1000, but the second is delayed by a job that passed it;
    with many (conservative) both start when the racks fall free, and whoever would delay either waits."""
    site = machine(4, reservations=reservations, tray_repair_h=1000.0)
    broken = failing(*((0, gpu) for gpu in range(144, 288, 4)))
    assert starts(site, *TWO_RACKS, failures=broken) == expected


def test_a_short_job_passes_two_reservations():
    """Conservative backfill is not first come, first served: a job that is over before either rack is needed starts at once,
    and delays neither."""
    rows = [*TWO_RACKS[:4], (30, 32, 900)]
    site = machine(4, reservations=9, tray_repair_h=1000.0)
    broken = failing(*((0, gpu) for gpu in range(144, 288, 4)))
    assert starts(site, *rows, failures=broken) == [0, 0, 1000, 2000, 30]


def test_a_reserved_rack_is_passed_only_by_who_leaves_in_time():
    """Of two racks with half of each free, the head holds the one that is free at 1000: a long job goes beside it into the
    other, a second long one waits although the first rack still has room, a short one uses that room."""
    rows = [*TWO_RACKS[:3], (30, 32, 3000), (40, 32, 3000), (50, 32, 900)]
    site = machine(4, reservations=1, tray_repair_h=1000.0)
    broken = failing(*((0, gpu) for gpu in range(144, 288, 4)))
    found = starts(site, *rows, failures=broken)
    assert found[2:4] == [1000, 30]
    assert found[4] >= 2000
    assert found[5] == 50
