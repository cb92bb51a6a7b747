"""A recording tells again what was told, and takes orders without acting on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kvandal.engines.live.protocol import EngineEvent, NodeNow, Observation, Order, Share
from kvandal.engines.live.recorded import RecordedCycle, RecordedEngine, RecordedOrder

START = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
ORDER = Order("k", "startups", "", "assured", "job", 4, 600)


def at(seconds):
    return START + timedelta(seconds=seconds)


def cycles():
    seen = Observation(at(0), (NodeNow("n1", 4, "up"),), {}, 12.5, has_meter=True)
    started, ended = (
        EngineEvent("started", at(1), "k", 1),
        EngineEvent("ended", at(5), "k", 1, outcome="completed"),
    )
    return [
        RecordedCycle(at(0), seen),
        RecordedCycle(at(2), events=(started,)),
        RecordedCycle(at(6), Observation(at(6), (NodeNow("n1", 4, "draining"),), {}), (ended,)),
    ]


def test_it_tells_each_cycle_once_in_its_time():
    engine, cursor, story = RecordedEngine(cycles()), "", []
    while not engine.is_over:
        events, cursor = engine.events(cursor)
        story.append((engine.now(), [event.kind for event in events], engine.observe().nodes[0].state))
    assert story == [(at(0), [], "up"), (at(2), ["started"], "up"), (at(6), ["ended"], "draining")]
    assert engine.events(cursor) == ((), cursor)
    assert engine.observe().at_utc == at(6)


def test_a_cursor_goes_on_where_it_was_and_an_earlier_one_tells_again():
    engine = RecordedEngine(cycles())
    _, first = engine.events("")
    events, _ = engine.events(first)
    again, _ = RecordedEngine(cycles()).events(first)
    assert list(events) == list(again) != []


def test_orders_are_kept_with_their_cycle():
    engine = RecordedEngine(cycles())
    _, cursor = engine.events("")
    engine.hold(ORDER, 0)
    engine.events(cursor)
    engine.start(ORDER, 1, [Share("n1", 4)])
    engine.recall(ORDER, 1, at(30))
    engine.cap({"lent": 0.8})
    engine.drain("n1", "leak")
    engine.cancel(ORDER)
    assert engine.orders == [
        RecordedOrder(0, "hold", "k", 0),
        RecordedOrder(1, "start", "k", 1, {"shares": (Share("n1", 4),)}),
        RecordedOrder(1, "recall", "k", 1, {"deadline_utc": at(30)}),
        RecordedOrder(1, "cap", detail={"caps": {"lent": 0.8}}),
        RecordedOrder(1, "drain", detail={"node": "n1", "reason": "leak"}),
        RecordedOrder(1, "cancel", "k"),
    ]
    assert engine.observe().jobs == {}


def test_a_recording_must_begin_with_an_observation_and_go_forwards():
    with pytest.raises(ValueError, match="begins with an observation"):
        RecordedEngine(cycles()[1:])
    with pytest.raises(ValueError, match="in order of time"):
        RecordedEngine([cycles()[0], *reversed(cycles()[1:])])
