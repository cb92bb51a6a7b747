"""Statistics of a trace, checked by hand and against published figures."""

import json

import numpy as np
import pytest

from kvandal.demand.facts import mean_gpus_busy, peak_gpus_busy, trace_facts
from kvandal.demand.readers import read_trace


def test_three_jobs_by_hand(tmp_path):
    path = tmp_path / "three.csv"
    path.write_text("submit_s,run_s,gpus\n0,3600,1\n3600,7200,8\n7200,3600,64\n")
    facts = trace_facts(read_trace(path))

    assert facts["jobs"] == 3
    assert facts["span_days"] == 7200 / 86_400
    assert facts["gpu_hours"] == 1 + 16 + 64
    assert facts["mean_gpus"] == 81 / 2
    assert facts["peak_gpus"] == 72
    assert facts["gpus"]["p50"] == 8
    assert facts["run_s"]["max"] == 7200
    assert facts["share_of_jobs_by_gpus"] == {
        "1": 1 / 3,
        "2-8": 1 / 3,
        "9-64": 1 / 3,
        "65-512": 0,
        "513-4096": 0,
        ">4096": 0,
    }
    assert facts["share_of_gpu_hours_by_gpus"]["9-64"] == 64 / 81
    assert facts["share_of_jobs_by_hour"][:4] == [1 / 3, 1 / 3, 1 / 3, 0]
    assert facts["share_of_jobs_by_day"][0] == 1
    assert facts["hours_and_days_counted_from"] == "first submission"


def test_hours_and_days_are_of_utc_where_the_instant_is_known(tmp_path):
    path = tmp_path / "saturday.csv"
    path.write_text("submit_utc,run_s,gpus\n2027-01-02T15:30:00+01:00,60,1\n")
    facts = trace_facts(read_trace(path))

    assert facts["share_of_jobs_by_hour"][14] == 1
    assert facts["share_of_jobs_by_day"][5] == 1
    assert facts["mean_gpus"] is None  # a span of zero has no mean


def test_lingjun_agrees_with_the_published_shape():
    facts = trace_facts(read_trace("lingjun"))

    assert facts["mean_gpus"] == pytest.approx(820, abs=1)
    assert facts["peak_gpus"] == pytest.approx(1667, rel=0.01)
    assert facts["gpus"]["max"] == 744
    assert facts["span_days"] == pytest.approx(15.92, abs=0.01)
    assert sum(facts["share_of_jobs_by_hour"]) == pytest.approx(1)
    assert sum(facts["share_of_gpu_hours_by_gpus"].values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["philly", "lingjun"])
def test_facts_are_json(name):
    facts = trace_facts(read_trace(name))

    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_back_to_back_jobs_do_not_count_twice_in_the_peak():
    submit_s, run_s = np.array([0, 100]), np.array([100, 100])

    assert peak_gpus_busy(submit_s, run_s, np.array([8, 8], dtype=np.int32)) == 8


def test_busy_gpus_end_with_the_run():
    submit_s, run_s, gpus = np.array([0, 50]), np.array([10, 1000]), np.array([10, 4], dtype=np.int32)

    assert mean_gpus_busy(submit_s, run_s, gpus, 100) == (10 * 10 + 4 * 50) / 100
