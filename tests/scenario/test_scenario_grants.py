"""Grants as they are asked for: their periods by the calendar, and what cannot be granted."""

from datetime import UTC, datetime

import pytest

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario import warnings_of
from kvandal.scenario.grants import Grant, periods_of

OSLO = "Europe/Oslo"
HOUR_S = 3600


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def rows(grant, start_utc, days, zone=OSLO):
    return [
        (period.start_s // HOUR_S, period.end_s // HOUR_S, period.gpu_s)
        for period in periods_of(Grant(tenant="a", **grant), start_utc, days, zone)
    ]


def test_months_begin_at_local_midnight_and_summer_time_changes_their_length():
    """March has lost an hour and October gained one; each month brings the same all the same."""
    found = rows({"gpu_hours": 10, "period": "month"}, utc(2026, 12, 31, 23), 365)

    assert len(found) == 12
    assert [end - start for start, end, _ in found] == [
        744, 672, 743, 720, 744, 720, 744, 744, 720, 745, 720, 744
    ]  # fmt: skip
    assert found[0][0] == 0
    assert {gpu_s for _, _, gpu_s in found} == {36_000}
    assert [one[1] for one in found[:-1]] == [other[0] for other in found[1:]]


def test_a_grant_without_start_runs_already_and_its_present_period_is_whole():
    """The run starts an hour into January in Oslo and ends on 10 February: both months are seen in full."""
    found = rows({"gpu_hours": 744, "period": "month"}, utc(2027, 1, 1), 40)

    assert found == [(-1, 743, 744 * HOUR_S), (743, 743 + 672, 744 * HOUR_S)]


def test_a_period_that_the_grant_cuts_brings_its_part():
    """From the 16th of March, 00:00 in Oslo, 383 of the 743 hours of March are left; April ends after 240 of 720."""
    grant = {
        "gpu_hours": 1000,
        "period": "month",
        "start_utc": utc(2027, 3, 15, 23),
        "end_utc": utc(2027, 4, 10, 22),
    }
    found = rows(grant, utc(2027, 1, 1), 365)

    assert [gpu_s for _, _, gpu_s in found] == [3_600_000 * 383 // 743, 3_600_000 * 240 // 720]
    assert [end - start for start, end, _ in found] == [383, 240]


@pytest.mark.parametrize(
    ("period", "starts"),
    [("none", [0]), ("quarter", [-1, 90 * 24 - 2, 181 * 24 - 2, 273 * 24 - 2]), ("year", [-1])],
)
def test_quarters_and_years_are_those_of_the_calendar(period, starts):
    """In hours from the first of January 2027, 00:00 UTC; summer time is two hours ahead of UTC."""
    assert [start for start, _, _ in rows({"gpu_hours": 1, "period": period}, utc(2027, 1, 1), 364)] == starts


def test_a_grant_outside_the_run_has_no_period():
    """Neither one that is over before, nor one that begins after."""
    past = {"gpu_hours": 1, "start_utc": utc(2026, 1, 1), "end_utc": utc(2026, 12, 1)}
    later = {"gpu_hours": 1, "start_utc": utc(2028, 1, 1), "period": "month"}

    assert rows(past, utc(2027, 1, 1), 30) == rows(later, utc(2027, 1, 1), 30) == []


GRANT = {"tenant": "norway-research", "gpu_hours": 1000.0}


def warned(**keys):
    return [
        text
        for text in warnings_of(kv.load("stargate-norway", {"grants": {"g": {**GRANT, **keys}}}))
        if "grants.g" in text
    ]


def test_what_changes_nothing_is_warned_of():
    """And more GPU-hours than the tenant's ceiling could use are, too: 5 % of 100,008 GPUs are 5,000."""
    assert warned() == []
    assert warned(expiry="hard") == ["grants.g.expiry has no effect without end_utc"]
    assert warned(carry_over_fraction=0.5) == [
        'grants.g.carry_over_fraction has no effect with period = "none"'
    ]
    assert warned(start_utc=utc(2029, 1, 1)) == ["grants.g has no effect: it lies outside the run"]
    (text,) = warned(gpu_hours=1e9, period="month")
    assert "1,000,000,000 GPU-h from 2026-12-31 are more than norway-research could use" in text


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"tenant": "atlantis"}, "grants.g.tenant: no tenant 'atlantis'; tenants are: offtaker"),
        ({"demand": ["nonsense"]}, "grants.g.demand: no class 'nonsense'; its classes are: "),
        ({"demand": ["frontier"]}, "norway-research submits no jobs of class 'frontier'"),
        (
            {"start_utc": utc(2027, 3, 1), "end_utc": utc(2027, 2, 1)},
            "end_utc (2027-02-01T00:00:00+00:00) must come after",
        ),
        ({"gpu_hours": 0.0}, "must be above 0, got 0.0"),
        ({"gpu_hours": 1e-9}, "must make at least one GPU-second"),
        ({"period": "week"}, "must be 'none', 'month', 'quarter' or 'year', got 'week'"),
        ({"carry_over_fraction": 1.5}, "must be at most 1, got 1.5"),
        ({"lose_after_fraction": 0.5}, "give lose_after_fraction and lose_below_fraction together"),
        ({"expiry": "never"}, "must be 'hard' or 'soft', got 'never'"),
        ({"end_utc": datetime(2027, 3, 1)}, "must say its offset from UTC"),  # noqa: DTZ001
        ({"gpu_hour": 1.0}, "unknown key; did you mean 'gpu_hours'?"),
    ],
)
def test_what_cannot_be_granted_is_refused_with_one_sentence(keys, expected):
    """The key, the value, what is allowed."""
    with pytest.raises(ScenarioError) as caught:
        kv.load("stargate-norway", {"grants": {"g": {**GRANT, **keys}}})

    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_group_gets_no_grant():
    """Its members do."""
    changes = {
        "tenants.national": {"tier": "assured"},
        "tenants.norway-research.parent": "national",
        "grants.g": {**GRANT, "tenant": "national"},
    }
    with pytest.raises(ScenarioError, match=r"grants.g.tenant: 'national' is a group and submits no jobs"):
        kv.load("stargate-norway", changes)
