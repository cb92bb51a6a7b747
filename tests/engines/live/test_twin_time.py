"""The time of the emulated cluster."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from kvandal.engines.live.twin import TwinEngine


def test_the_time_is_told_while_orders_are_carried_out():
    engine = TwinEngine(["n1"], file=None, start_utc=datetime(2027, 1, 1, tzinfo=UTC), speed=60.0)
    told = []
    asking = threading.Thread(target=lambda: told.append(engine.now()), daemon=True)
    with engine.together():
        asking.start()
        asking.join(10.0)
        assert told, "who asks for the time waits for the orders"
    assert told[0] <= engine.now()
