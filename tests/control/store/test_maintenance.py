"""What is of passing use is thinned out, and doing it again changes nothing."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert, select

from kvandal.control.store.maintenance import (
    DAY_S,
    Spacing,
    forget_answers,
    thin_keyframes,
    thin_site_ticks,
)
from kvandal.control.store.tables.books import IDEMPOTENCY
from kvandal.control.store.tables.loop import KEYFRAMES, SITE_TICKS
from kvandal.control.store.tables.metadata import EPOCH


def tick(time_s):
    numbers = dict.fromkeys(
        ("site_power_mw", "it_power_mw", "envelope_mw", "heat_export_mw", "gpus_firm", "gpus_assured", "gpus_lent",
         "queued_gpus"), 1
    )  # fmt: skip
    return {"time_s": time_s, "at_utc": EPOCH + timedelta(seconds=time_s), **numbers}


def test_old_ticks_are_thinned_to_the_first_of_each_stretch(store):
    """Minutes for an hour, then quarters of an hour, hours when they are older than five; ticks do not begin on the hour."""
    spacings = (Spacing(3600, 900), Spacing(5 * 3600, 3600))
    now_s = 8 * 3600
    with store.begin() as tx:
        tx.execute(insert(SITE_TICKS), [tick(time_s) for time_s in range(7, now_s, 60)])
    kept = []
    for _ in range(2):
        with store.begin() as tx:
            thin_site_ticks(tx, now_s, spacings)
        with store.read() as tx:
            kept.append(list(tx.scalars(select(SITE_TICKS.c.time_s).order_by(SITE_TICKS.c.time_s))))

    assert kept[0] == kept[1]
    hours, quarters, minutes = kept[0][:3], kept[0][3:19], kept[0][19:]
    assert hours == [7, 3607, 7207]
    assert quarters == [time_s // 60 * 60 + 7 for time_s in range(3 * 3600, 7 * 3600, 900)]
    assert minutes == list(range(7 * 3600 + 7, now_s, 60))


def test_ticks_that_are_young_stay(store):
    with store.begin() as tx:
        tx.execute(insert(SITE_TICKS), [tick(time_s) for time_s in range(0, DAY_S, 3600)])
        assert thin_site_ticks(tx, DAY_S) == 0


def test_answers_are_forgotten_when_they_expire(store):
    row = {"principal": "p_1", "request_hash": "", "status": 201, "headers": {}, "body": b"{}"}
    with store.begin() as tx:
        tx.execute(
            insert(IDEMPOTENCY),
            [row | {"key": str(hour), "expires_utc": EPOCH + timedelta(hours=hour)} for hour in range(5)],
        )
    now = EPOCH + timedelta(hours=2)
    with store.begin() as tx:
        assert (forget_answers(tx, now), forget_answers(tx, now)) == (3, 0)
        assert list(tx.scalars(select(IDEMPOTENCY.c.key).order_by(IDEMPOTENCY.c.key))) == ["3", "4"]


def test_keyframes_are_kept_at_the_start_far_apart_and_lately(store):
    with store.begin() as tx:
        tx.execute(
            insert(KEYFRAMES),
            [{"cycle": cycle, "state": b"", "extra": {}, "scenario": {}} for cycle in range(50, 1000, 50)],
        )
    with store.begin() as tx:
        assert thin_keyframes(tx, recent=3, every_cycles=400) == 13
        assert thin_keyframes(tx, recent=3, every_cycles=400) == 0
        kept = list(tx.scalars(select(KEYFRAMES.c.cycle).order_by(KEYFRAMES.c.cycle)))
    assert kept == [50, 400, 800, 850, 900, 950]
