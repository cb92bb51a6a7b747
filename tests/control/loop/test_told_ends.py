"""How a job has ended: as the engine says, whatever the loop had decided about it meanwhile."""

from __future__ import annotations

import pytest
from living import START, TENANTS
from small_sites import small_site

from kvandal.control.loop.opening import live_document
from kvandal.control.loop.site import LiveSite
from kvandal.scenario.loading import resolved

JOB = {"tenant": "abroad", "project": "p", "demand": "batch", "gpus": 8, "limit_s": 900, "run_time_s": 800}


@pytest.mark.parametrize(
    ("kind", "outcome"), [("ended", "finished"), ("timeout", "timeout"), ("failed", "failed")]
)
def test_a_job_that_ended_after_it_was_taken_off_its_nodes_in_the_same_turn_has_ended_as_the_engine_says(
    kind, outcome
):
    site = LiveSite(live_document(resolved(small_site(TENANTS, racks=2)), START))
    site.begin()
    site.turn(10, [{"kind": "submit", "time_s": 10, "job": "a", **JOB}])
    assert site.runs("a", 1)
    effects = site.turn(
        300,
        [
            {"kind": "telemetry", "time_s": 90, "lost": True},  # nothing new is lent: it waits
            {"kind": "interrupted", "time_s": 100, "job": "a", "attempt": 1},
            {"kind": kind, "time_s": 200, "job": "a", "attempt": 1},
        ],
    ).effects
    (end,) = [one for one in effects if one["do"] == "end"]
    assert (end["job"], end["attempt"], end["outcome"]) == ("a", 1, outcome)
    assert not [one for one in effects if one["do"] == "take"]
