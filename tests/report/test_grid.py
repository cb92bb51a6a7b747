"""Time as drawn: the choice of the step, and what a step without rows is."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from kvandal.report.grid import Grid, rounded

START = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "tick_s", "step_s"),
    [
        (1, 60, 60),
        (7, 60, 300),
        (10, 60, 300),
        (11, 60, 3600),
        (365, 60, 3600),
        (1, 3600, 3600),
        (2, 600, 600),
        (3650, 60, 43_200),
    ],
)
def test_the_step_is_whole_ticks_and_keeps_charts_readable(days, tick_s, step_s):
    """Short runs are drawn finer than hourly, years hourly, decades coarser; never more than 10,000 points."""
    grid = Grid.fit(START, days * 86_400, tick_s)

    assert step_s == grid.step_s
    assert grid.step_s % tick_s == 0
    assert grid.count <= 10_000
    assert grid.count * grid.step_s >= days * 86_400


def test_means_are_taken_over_each_step_and_holes_stay_holes():
    """A step without rows is not a number, and not a number is null on the page; zero stays zero."""
    frame = pl.LazyFrame(
        {"time_utc": [START, START + timedelta(minutes=30), START + timedelta(hours=2)], "x": [1.0, 4.0, 0.0]}
    )

    found = Grid(START, 3600, 3).collect(frame, [pl.col("x").mean()])["x"]

    assert rounded(found, 2) == [2.5, None, 0]


def test_rows_outside_the_run_are_left_out():
    """A row before the start or after the end changes no step."""
    frame = pl.LazyFrame(
        {"time_utc": [START - timedelta(hours=1), START, START + timedelta(hours=1)], "x": [9.0, 1.0, 9.0]}
    )

    assert Grid(START, 3600, 1).collect(frame, [pl.col("x").sum()])["x"].tolist() == [1.0]


def test_rounding_keeps_no_negative_zero():
    assert rounded(np.array([-0.001, 1.004, np.inf]), 2) == [0, 1, None]


def test_periods_cover_every_step_once():
    """The table under a chart accounts for the whole run."""
    for days in (1, 5, 30, 365):
        grid = Grid(START, 3600, days * 24)
        edges = grid.period_edges()
        assert edges[0][1] == 0
        assert edges[-1][2] == grid.count
        assert all(before[2] == after[1] for before, after in itertools.pairwise(edges))
