"""Times of stages: told apart, complete, and taken without leaving a trace."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import kvandal as kv
from kvandal.bench import stages, stopwatch

SMALL = str(Path(__file__).parent.parent / "small.toml")


def test_a_stage_inside_another_stops_the_clock_of_the_outer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second passes at every look at the clock: outer 1, inner 1, outer 1 again."""
    now = iter(range(100))
    clock = SimpleNamespace(perf_counter=lambda: float(next(now)), process_time=lambda: 0.0)
    monkeypatch.setattr(stopwatch, "time", clock)
    work = SimpleNamespace(inner=lambda: "done")
    work.outer = lambda: work.inner() + "!"
    with stopwatch.timing((("outer", work, "outer"), ("inner", work, "inner"))) as watch:
        assert work.outer() == "done!"
    assert watch.wall_s == {"outer": 2.0, "inner": 1.0}


def test_what_was_timed_is_put_back_even_after_a_failure() -> None:
    """The functions are those that were there."""

    def fail() -> None:
        raise ZeroDivisionError

    work = SimpleNamespace(fail=fail)
    with pytest.raises(ZeroDivisionError), stopwatch.timing((("fails", work, "fail"),)) as watch:
        work.fail()
    assert work.fail is fail
    assert list(watch.wall_s) == ["fails"]


def test_every_stage_of_a_run_is_found_and_they_sum_to_the_run() -> None:
    """A plan, saved states and a report included; nothing of the run lies outside all stages."""
    scenario = kv.load(SMALL, {"run.days": 2, "plan.enabled": True})
    figures = stages.measured(scenario, machine_too=False)
    assert list(figures["stages"]) == list(stages.STAGES)
    walls = sum(one["wall_s"] for one in figures["stages"].values())
    assert 0.5 * figures["wall_s"] < walls <= figures["wall_s"] + 0.01
    assert figures["simulate_s"] + figures["write_s"] == pytest.approx(figures["wall_s"], abs=0.01)
    assert figures["jobs"] > 0
    for places in stages.STAGES.values():
        for owner, name in places:
            assert "timed" not in getattr(getattr(owner, name), "__qualname__", "")


def test_the_roofline_divides_the_loop_by_the_bare_sweep_of_as_much() -> None:
    """Twice the loop, twice the distance, on the same floor."""
    found = stages.roofline(1_000, 50_000, 1.0)
    assert found["loop_over_floor"] == pytest.approx(1.0 / found["floor_s"], rel=0.5)
    assert found["bandwidth_gb_per_s"] > 0
    assert found["arithmetic_gflop_per_s"] > 0
