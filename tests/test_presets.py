"""Every shipped preset runs and keeps the laws of the house."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import kvandal as kv


@pytest.mark.slow
@pytest.mark.parametrize("preset", kv.presets())
def test_preset_runs_a_day(preset: str):
    """One day of each preset: the balance closes, GPU-seconds are conserved, the envelope holds, nothing is lost."""
    scenario = kv.load(preset, {"run.days": 1})
    run = kv.simulate(scenario)
    site = run.site
    assert site.height == 1440
    assert site["balance_error_fraction"].max() < 1e-9
    conserved = pl.col("gpu_s_allocated") + pl.col("gpu_s_idle") + pl.col("gpu_s_broken") == pl.col(
        "gpu_s_installed"
    )
    assert site.select(conserved.all()).item()
    assert site["gpu_s_idle"].min() >= 0
    assert site["gpu_s_allocated"].sum() == run.jobs["gpu_s_allocated"].sum()
    assert (site["site_power_mw"] <= site["envelope_mw"] + 1e-9).all()
    states = dict(run.jobs.group_by("state").len().iter_rows())
    assert sum(states.values()) == run.summary["jobs_submitted"] > 0
    assert run.summary["jobs_started"] > 0
    json.dumps(run.record)


def test_build_out_racks_arrive_by_month():
    """The build-out begins with 127 racks and ends with all 1,389, and only racks that stand draw power."""
    scenario = kv.load(
        "stargate-norway-build-out", {"run.days": 62, "demand_multiplier": 0.001, "run.tick_s": 3600}
    )
    run = kv.simulate(scenario)
    installed = run.site["gpu_s_installed"] // 3600
    assert installed[0] == 127 * 72
    assert installed[-1] == (9_144 + 12_960) // 72 * 72
    arrived = run.events.filter(pl.col("kind") == "delivery")
    assert arrived.height == 12_960 // 72
    assert arrived["time_utc"].unique().dt.strftime("%Y-%m-%d").to_list() == ["2027-03-01"]


@pytest.mark.slow
def test_default_year_is_large_and_busy():
    """A year of the default preset asks for over a million jobs and 0.7 to 0.95 of the GPUs (facts of the field)."""
    from kvandal.demand.build import build_demand

    scenario = kv.load("stargate-norway")
    jobs, reports = build_demand(scenario)
    assert len(jobs) >= 1_000_000
    asked = sum(report.mean_gpus_asked for report in reports) / scenario.site.gpus_asked
    assert 0.7 <= asked <= 0.95
    assert {report.synthetic for report in reports} == {True, False}


def test_small_site_of_the_tests_loads():
    """The scenario that other tests use is a preset's child."""
    assert kv.load(Path(__file__).parent / "small.toml").site.racks == 10
