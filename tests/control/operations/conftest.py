"""A service that is watched: a store with a site in it, a loop that says when it turns, requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvandal.control.operations.metrics import Metrics
from kvandal.control.operations.site_metrics import SiteFigures
from kvandal.control.operations.watch import Watch
from kvandal.control.store.database import Store, open_store


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'kvandal.sqlite'}") as opened:
        yield opened


@pytest.fixture
def watch(clock: Clock, store: Store) -> Watch:
    metrics = Metrics("1.2.3", clock)
    metrics.add(SiteFigures(store))
    metrics.watch_store(store.engine)
    return Watch(metrics)
