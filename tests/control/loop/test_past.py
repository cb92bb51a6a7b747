"""Books of a live site in memory: the recent past can be read, the rest takes no memory any more."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from kvandal.control.loop.past import EVERY_S, KEPT_S, TABLES, Past
from kvandal.control.loop.site import LiveSite
from kvandal.scenario.loading import load, resolved
from kvandal.twin.simulate import new_outputs

TICK_S = 60


@pytest.fixture(scope="module")
def empty():
    """Books of a small site for two years, which nobody writes to."""
    document = resolved(load(str(Path(__file__).parents[2] / "small.toml"), {"run.days": 730}))
    return new_outputs(LiveSite(document).start)


def written(empty):
    past = Past(empty)
    for name in TABLES:
        getattr(past.outputs, name)[:] = 1
    return past


def test_books_are_as_they_would_be_without(empty):
    past = Past(empty)
    for name in empty._fields:
        old, new = getattr(empty, name), getattr(past.outputs, name)
        assert (old.shape, old.dtype, old.flags.c_contiguous) == (
            new.shape,
            new.dtype,
            new.flags.c_contiguous,
        )
        assert new.flags.writeable
        assert np.array_equal(old[:100], new[:100])


def test_two_days_stay_and_what_is_older_goes(empty):
    """A page of memory holds some rows: the last of the old ones may stay, none of the young ones goes."""
    past = written(empty)
    now_s = KEPT_S + 100 * 86_400
    past.forget(now_s, TICK_S)
    for name, row_s in (("tick_real", TICK_S), ("tick_count", TICK_S), ("rack_hour", 3600)):
        table = getattr(past.outputs, name)
        kept = (now_s - KEPT_S) // row_s
        assert (table[kept:] == 1).all()
        there = np.flatnonzero((table[:kept] != 0).any(axis=1))
        assert len(there) <= 4096 // table.strides[0] + 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read as Linux tells it")
def test_memory_goes_back_to_the_system(empty):
    past = written(empty)
    bytes_written = sum(getattr(past.outputs, name).nbytes for name in TABLES)

    def resident():
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * 4096

    before = resident()
    past.forget(700 * 86_400, TICK_S)
    assert before - resident() > 0.8 * bytes_written


def test_it_is_done_once_an_hour(empty):
    past = written(empty)
    past.forget(KEPT_S + 10 * 86_400, TICK_S)
    rows = 12 * 86_400 // TICK_S
    past.outputs.tick_real[:] = 1
    past.forget(KEPT_S + 10 * 86_400 + EVERY_S - 1, TICK_S)
    assert (past.outputs.tick_real[:rows] == 1).all()
