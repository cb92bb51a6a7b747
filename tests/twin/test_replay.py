"""Recorded jobs on clusters of their own size: nothing is lost on the way, and lending and backfill do what they promise."""

import numpy as np
import pytest

from fidelity import replay
from kvandal.demand.readers import read_trace
from kvandal.twin.records import FINISHED, QUEUED, RUNNING

DAYS = 78
"""Philly from its first job to the end of October, with the six busiest weeks."""


@pytest.mark.slow
def test_every_recorded_job_of_lingjun_runs_for_as_long_as_recorded():
    found, recorded = replay.lingjun_replay(), replay.lingjun()
    trace = read_trace("lingjun")
    jobs = found.run.state.jobs
    assert len(jobs) == len(trace) == len(found.wait_s)
    assert recorded.left_out == {}
    assert (jobs["state"] == FINISHED).all()
    assert (jobs["recalls"] == 0).all()
    assert jobs["allocated_gpu_s"].sum() == (trace.run_s * trace.gpus).sum()
    assert (jobs["end_s"] - jobs["first_start_s"] == trace.run_s).all()
    assert found.gpus.sum() * 3600 == pytest.approx((trace.run_s * trace.gpus).sum())


@pytest.mark.slow
def test_lingjun_fills_its_cluster_as_if_nobody_waited():
    """The trace never asks for more than 1,667 of 2,016 GPUs at once, so every job starts when it is submitted."""
    found, jobs = replay.lingjun_replay(), replay.lingjun().jobs
    assert found.gpus == pytest.approx(replay.busy_by_hour(jobs, replay.LINGJUN_DAYS))
    assert (found.wait_s == 0).all()


@pytest.fixture(scope="module")
def philly():
    return {name: replay.philly_replay(name, DAYS) for name in ("ours", "no backfill", "no lending")}


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.xdist_group("philly")
def test_no_job_of_philly_is_lost(philly):
    """Every job has ended, runs or waits; recorded run times are kept, recalls aside."""
    jobs = replay.up_to(replay.philly().jobs, DAYS)
    for found in philly.values():
        state = found.run.state.jobs
        assert len(state) == len(jobs)
        assert np.isin(state["state"], [FINISHED, RUNNING, QUEUED]).all()
        done = (state["state"] == FINISHED) & (state["recalls"] == 0)
        assert done.sum() > 0.9 * len(jobs)
        assert (state["allocated_gpu_s"][done] == (jobs.work_s * jobs.gpus)[done]).all()
        finished = state["state"] == FINISHED
        useful = state["useful_gpu_s"][finished]
        assert useful == pytest.approx((jobs.work_s * jobs.gpus)[finished].astype(float))


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.xdist_group("philly")
def test_philly_is_as_busy_as_recorded(philly):
    """Trays with work over all trays against nodes at work over nodes in service, in October."""
    hours, active = replay.philly_recorded()
    month = hours < DAYS * 24
    ours = philly["ours"].trays[hours[month]]
    assert month.sum() > 600
    assert abs(ours.mean() - active[month].mean()) < 0.1
    assert np.corrcoef(ours, active[month])[0, 1] > 0.3


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.xdist_group("philly")
def test_lending_shortens_philly_waits(philly):
    """Of the jobs that start under every policy: mean waits more than double without lending; on a cluster with so much room
    backfill matters little, and does no harm."""
    both = np.all([found.wait_s >= 0 for found in philly.values()], axis=0)
    mean_s = {name: found.wait_s[both].mean() for name, found in philly.items()}
    assert mean_s["ours"] < 1.1 * mean_s["no backfill"]
    assert 2 * mean_s["ours"] < mean_s["no lending"]
