"""The arithmetic of grants on numbers worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.policy import budget


def tables(*brings, carry=0.0, lose_after=0.0, lose_below=0.0):
    """One grant of 100-second periods that bring so many GPU-seconds, the first of them begun."""
    grants, periods = np.zeros(1, budget.GRANT), np.zeros(len(brings), budget.GRANT_PERIOD)
    grants["last"], grants["period"], grants["end_s"] = len(brings) - 1, -1, 100 * len(brings)
    grants["carry_millionths"] = round(carry * 1e6)
    grants["lose_after_millionths"], grants["lose_below_millionths"] = lose_after * 1e6, lose_below * 1e6
    periods["start_s"], periods["end_s"] = np.arange(len(brings)) * 100, np.arange(1, len(brings) + 1) * 100
    periods["lose_s"], periods["brings"] = budget.FAR, brings
    budget.begin_period(grants, periods, 0)
    return grants, periods


def left(grants, periods):
    return int(budget.available_gpu_s(grants, periods, 0))


@given(st.integers(0, 10**16), st.integers(0, 1_000_000))
def test_a_share_is_exact(amount, millionths):
    """As in whole numbers without bound, rounded down."""
    assert budget.share_of(amount, millionths) == amount * millionths // 1_000_000


def test_what_is_left_is_carried_over_by_half():
    """Of 100, 30 are spent and 20 reserved: 25 of the 50 left go on, and the 20 with them; 25 expire."""
    grants, periods = tables(100, 100, carry=0.5)
    budget.commit(grants, periods, 0, 50)
    budget.charge(grants, periods, 0, 30)
    assert left(grants, periods) == 50

    budget.begin_period(grants, periods, 0)

    first, second = periods
    assert (first["carried_out"], first["committed_at_end"], first["expired"]) == (45, 20, 25)
    assert (second["granted"], second["carried_in"], second["committed"]) == (100, 45, 20)
    assert left(grants, periods) == 125


@pytest.mark.parametrize(("ends", "kept"), [(0, 21), (1, 10), (2, 5)])
def test_what_comes_back_late_is_carried_over_late(ends, kept):
    """Reserving at the end of a period saves nothing from expiry: half of it is lost at each end, as of what is left."""
    grants, periods = tables(21, 0, 0, carry=0.5)
    row = budget.commit(grants, periods, 0, 21)
    for _ in range(ends):
        budget.begin_period(grants, periods, 0)
    budget.give_back(grants, periods, 0, row, 21)

    assert left(grants, periods) == kept
    assert periods["expired"].sum() == 21 - kept


@pytest.mark.parametrize(
    ("used", "withdrawn"), [(0, 600), (300, 300), (539, 61), (540, 0), (900, 0)], ids=str
)
def test_use_it_or_lose_it(used, withdrawn):
    """After two thirds of the time less than 60 % of 900 is used: a third of it, for the third left, may be kept."""
    grants, periods = tables(900, lose_after=2 / 3, lose_below=0.6)
    budget.commit(grants, periods, 0, used)
    budget.charge(grants, periods, 0, used // 2)  # what is reserved counts as used
    budget.withdraw_unused(grants, periods, 0)

    assert periods[0]["withdrawn"] == pytest.approx(withdrawn, abs=1)
    assert periods[0]["withdrawn"] <= 900 - used


def test_at_the_end_the_rest_expires_and_commitments_stay():
    """A soft end: 60 of 100 are reserved, 40 expire at once; of the 60, 35 are used in the end."""
    grants, periods = tables(100)
    row = budget.commit(grants, periods, 0, 60)
    budget.end_grant(grants, periods, 0)
    assert (periods[0]["expired"], periods[0]["committed"], left(grants, periods)) == (40, 60, 0)

    budget.charge(grants, periods, 0, 35)
    budget.give_back(grants, periods, 0, row, 25)
    assert (periods[0]["spent"], periods[0]["committed"], periods[0]["expired"]) == (35, 0, 65)


def test_only_a_hard_end_asks_that_jobs_end_in_time():
    """A job of 100 s may start 100 s before a hard end, not 99 s."""
    grants, _ = tables(1)
    assert budget.ends_in_time(grants[0], 99, 100)
    grants["is_hard"] = True
    assert budget.ends_in_time(grants[0], 0, 100)
    assert not budget.ends_in_time(grants[0], 1, 100)
