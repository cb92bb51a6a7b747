"""Who draws power: what the jobs of a state add up to, and how they come and go."""

from pathlib import Path

import numpy as np
import pytest
from small_sites import failing, small_site, table, tenant

import kvandal as kv
from kvandal.demand.build import build_demand
from kvandal.twin.running import NEVER_S, running_jobs
from kvandal.twin.simulate import prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, unpacked
from kvandal.twin.transient import open_window

SMALL = Path(__file__).parent.parent / "small.toml"


def window(scenario, jobs, begin_s, seconds, failures=None):
    """A window of a run, from the state at the run's start."""
    recorder = Recorder(scenario, jobs)
    simulate_jobs(scenario, jobs, failures=failures, recorder=recorder)
    start = prepare(scenario, jobs, failures)
    state, plant, tick = unpacked(recorder.snapshots[0], start.state, start.plant, jobs_mark(jobs))
    return open_window(start, state, plant, tick, begin_s, seconds, 0.1)


def test_jobs_and_idle_racks_are_the_power_of_the_state():
    """Power above idle of the running jobs and the base are the IT power that the twin itself holds to."""
    scenario = kv.load(SMALL)
    jobs, _ = build_demand(scenario)
    seen = []

    def watch(state, _):
        running = running_jobs(state, np.full(len(state.models), 142.0))
        above_kw = (state.rack_tiers["mw"].sum(axis=0) * 1e-6 * state.tier_models["factor"][:, 0]).sum()
        seen.append((running.above_kw.sum(), above_kw, running.gpus.sum(), state.tiers["gpus"].sum()))

    simulate_jobs(scenario, jobs, watch=watch, watch_ticks=60)
    assert len(seen) == 72
    for jobs_kw, racks_kw, gpus, busy in seen:
        assert jobs_kw == pytest.approx(racks_kw, rel=1e-9, abs=1e-9)
        assert gpus == busy


def test_jobs_come_and_go_to_the_second():
    """One runs throughout, one ends, one starts, one is hit by a failure; one that lives within a tick is not seen."""
    scenario = small_site({"a": tenant("firm", 1.0)}, racks=2, restart_s=0)
    jobs = table(
        (0, 8, 50_000, 0, 2), (0, 8, 3700, 0, 2), (0, 72, 50_000, 0, 1), (3650, 4, 50_000, 0, 1), (3662, 4, 30, 0, 1)
    )  # fmt: skip
    hit = failing((3705, 0), (3705, 72), (3705, 100))
    asked = window(scenario, jobs, 3600.0, 240, hit)
    runs = sorted(
        (int(job), float(on_s), float(off_s) if off_s < NEVER_S else None)
        for job, on_s, off_s in zip(asked.running.job, asked.running.on_s, asked.running.off_s, strict=True)
    )

    assert (1, 0.0, 3700.0) in runs
    assert any(run[0] == 3 and run[1] == 3650.0 for run in runs)
    assert [run[2] for run in runs if run[:2] == (2, 0.0)] == [3705.0]
    assert 4 not in {run[0] for run in runs}
