"""What sweeps and searches are made of: jobs drawn once, summaries alone, quantities with units, fronts, grids."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.demand.build import build_demand
from kvandal.demand.jobs import JobTable
from kvandal.demand.reuse import DemandShelf, demand_mark
from kvandal.errors import ScenarioError
from kvandal.runs.batch import flat_numbers
from kvandal.runs.contract import schema
from kvandal.runs.grid import parse_vary, plan_grid
from kvandal.runs.pareto import front
from kvandal.runs.quantities import UNITS, bound, quantity, summary_names, unit_of
from kvandal.runs.run import simulate
from kvandal.runs.search import Range, parse_over
from kvandal.scenario.loading import from_resolved, load, resolved

ROOT = Path(__file__).parent.parent.parent
SMALL, TROUBLED = ROOT / "tests" / "small.toml", ROOT / "tests" / "troubled.toml"
OTHER_JOBS = (
    {"run.seed": 2},
    {"run.days": 2},
    {"run.start_utc": datetime(2027, 3, 1, tzinfo=UTC)},
    {"demand_multiplier": 0.008},
    {"demand.national.mean_gpus": 5000},
    {"demand.surplus.tenants": {"uk": 1}},
    {"site.time_zone": "America/New_York"},
    {"site.fleet.main.gpus": 360},
)
"""Changes with which other jobs are drawn."""
SAME_JOBS = (
    {"site.grid_mw": 1.5},
    {"cooling.tcs_supply_c": 35.0},
    {"market.spot_mean_eur_per_mwh": 60},
    {"tenants.uk.ceiling_share": 0.1},
)


def same(one, other):
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(JobTable))


def test_jobs_are_drawn_once_and_never_mixed_up():
    """Whatever was asked before, the shelf gives the jobs that the scenario draws alone; equal demand is not drawn again."""
    shelf = DemandShelf()
    base = load(SMALL, {"run.days": 1})
    variants = [load(SMALL, {"run.days": 1, **change}) for change in (*OTHER_JOBS, *SAME_JOBS)]
    marks = [demand_mark(one) for one in variants]
    assert len({demand_mark(base), *marks[: len(OTHER_JOBS)]}) == 1 + len(OTHER_JOBS)
    assert set(marks[len(OTHER_JOBS) :]) == {demand_mark(base)}
    for one in (base, *variants, *reversed(variants), base):
        jobs, reports = shelf.demand(one)
        alone, told = build_demand(one)
        assert same(jobs, alone)
        assert reports == told
    assert shelf.reused >= 2 * len(SAME_JOBS) - 1
    before = shelf.drawn
    for one in variants[len(OTHER_JOBS) :]:
        shelf.demand(one)
    assert shelf.drawn <= before + 1
    with pytest.raises(ValueError, match="read-only"):
        shelf.demand(base)[0].gpus[0] = 1


def test_a_trace_that_changes_on_disk_is_read_again(tmp_path):
    """The shelf tells files by their time and size."""
    trace = tmp_path / "jobs.csv"
    rows = [f"{60 * index},3600,8" for index in range(20)]
    trace.write_text("\n".join(["submit_s,run_s,gpus", *rows]), encoding="utf-8")
    changes = {"run.days": 1, "demand": {"own": {"source": "file", "path": str(trace), "tenants": {"uk": 1}}}}
    shelf = DemandShelf()
    assert len(shelf.demand(load(SMALL, changes))[0]) == 20
    trace.write_text("\n".join(["submit_s,run_s,gpus", *rows[:7]]), encoding="utf-8")
    os.utime(trace, ns=(1, 1))
    assert len(shelf.demand(load(SMALL, changes))[0]) == 7


def test_a_summary_alone_is_that_of_the_run(small_run):
    """Leaving out saved states and attribution changes no number."""
    scenario = load(SMALL, {"run.days": 2})
    whole, short = simulate(scenario), simulate(scenario, summary_only=True)
    assert short.summary == whole.summary
    assert whole.states
    assert not short.states
    assert "tenant_energy" in whole.tables
    assert "tenant_energy" not in short.tables


@pytest.mark.parametrize("source", [SMALL, TROUBLED], ids=["small", "troubled"])
def test_every_number_of_a_summary_can_be_asked_for(source, small_run):
    """The names that are allowed are those that a run gives, and the waits and starts of the whole site beside them."""
    scenario = load(source, {"run.days": 3})
    run = simulate(scenario, summary_only=True)
    flat = flat_numbers(run.summary, run.tables["jobs"])
    assert set(flat) == set(summary_names(scenario))
    jobs = run.tables["jobs"]
    assert flat["wait_p95_s"] == jobs["wait_s"].quantile(0.95, "nearest")
    assert flat["jobs_not_started"] == jobs["start_utc"].null_count()
    assert flat["jobs_not_started"] == sum(flat[f"jobs_not_started.{tenant}"] for tenant in scenario.tenants)


def test_units_are_those_of_the_contract():
    """Each number of the summary has the unit that the schema of run.json tells, in one spelling."""
    spelled = {
        "h": "h",
        "GPU.h": "GPU-h",
        "kg CO2e per kWh of IT energy": "kg/kWh",
        "L per kWh of IT energy": "L/kWh",
        "t CO2e": "t",
    }
    for name, rule in schema()["$defs"]["summary"]["properties"].items():
        told = re.search(r"\[([^\]]+)\]", rule["description"])
        below = f"{name}.uk.p50_s" if name == "recall_latency_by_lender" else name
        unit = "1" if told is None else spelled.get(told[1], told[1])
        if name.startswith("gpu_hours"):
            unit = "GPU-h"
        assert unit_of(below) == unit, name
        assert any(unit in units for units in UNITS.values())


@pytest.mark.parametrize(
    ("text", "columns", "limit"),
    [
        ("wait_p95_norway < 30 min", ["norway-research", "norway-startups", "norway-public"], 1800.0),
        ("wait_p95_national<0.5h", ["norway-research", "norway-startups", "norway-public"], 1800.0),
        ("wait_p95_s.national <= 1_800", ["norway-research", "norway-startups", "norway-public"], 1800.0),
        ("wait_p95_norway_public < 1 d", ["norway-public"], 86_400.0),
        ("wait_p95_s.uk < 90 s", ["uk"], 90.0),
    ],
)  # fmt: skip
def test_waits_of_tenants_are_asked_for_by_name(text, columns, limit):
    """By tenant, by group, by what several names begin with; the longest of theirs counts."""
    found = bound(text, kv.load("stargate-norway"))
    assert list(found.quantity.columns) == [f"wait_p95_s.{name}" for name in columns]
    assert found.limit == limit
    summary = {name: 10.0 * place for place, name in enumerate(found.quantity.columns, start=1)}
    assert found.quantity.value(summary) == 10.0 * len(columns)


@pytest.mark.parametrize(
    ("text", "name", "limit"),
    [
        ("peak_mw < 230", "peak_site_mw", 230.0),
        ("peak_mw < 0.23 GW", "peak_site_mw", 230.0),
        ("peak_mw < 230_000 kW", "peak_site_mw", 230.0),
        ("energy_mwh <= 1.5 TWh", "site_energy_mwh", 1_500_000.0),
        ("cost_eur <= 3 MEUR", "energy_cost_eur", 3e6),
        ("cost_eur <= 3e3 k EUR", "energy_cost_eur", 3e6),
        ("gpu_hours > 50 MGPU-h", "gpu_hours_useful", 5e7),
        ("allocation_share >= 60 %", "allocation_share", 0.6),
        ("pue<1.1", "pue", 1.1),
        ("carbon_t < 900 kg", "carbon_location_t", 0.9),
        ("junction_peak_c < 85 °C", "junction_peak_c", 85.0),
        ("hours_at_envelope < 30 min", "hours_at_envelope", 0.5),
        ("jobs_not_started <= 0", "jobs_not_started", 0.0),
    ],
)
def test_bounds_have_units(text, name, limit):
    """A bound is converted to the unit of its quantity."""
    found = bound(text, kv.load("stargate-norway"))
    assert found.quantity.columns == (name,)
    assert found.limit == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("peak_mw < 30 min", "min measures time; peak_mw measures power, allowed: kW, MW, GW"),
        ("wait_p95_uk < 3 MW", "MW measures power; wait_p95_uk measures time, allowed: s, min, h, d"),
        ("peak_mw < 3 horses", "no unit 'horses'; peak_mw measures power"),
        ("pue < 3 MW", "MW measures power; pue measures a number, allowed: none, %"),
        ("pek_mw < 230", "no quantity 'pek_mw'; did you mean peak_mw"),
        ("wait_p95_nobody < 3", "no quantity 'wait_p95_nobody'"),
        ("peak_mw = 230", "expected NAME < NUMBER UNIT"),
        ("peak_mw < lots", "expected NAME < NUMBER UNIT"),
        ("", "expected NAME < NUMBER UNIT"),
    ],
)
def test_a_bound_that_means_nothing_is_refused(text, expected):
    """With what is allowed instead."""
    with pytest.raises(ScenarioError) as caught:
        bound(text, kv.load("stargate-norway"))
    assert expected in str(caught.value)
    assert "--subject-to" in str(caught.value)


def test_a_wait_that_nobody_could_have_measured_is_not_known():
    """None of a tenant's jobs started: its wait is not known, and hides behind nobody's; without jobs it does not count."""
    scenario = kv.load("stargate-norway")
    found = bound("wait_p95_norway < 30 min", scenario)
    waits = {f"wait_p95_s.norway-{name}": 60.0 for name in ("research", "startups", "public")}
    assert found.holds(found.quantity.value(waits))
    silent = waits | {"wait_p95_s.norway-public": None, "jobs_not_started.norway-public": 0}
    assert found.quantity.value(silent) == 60.0
    stuck = silent | {"jobs_not_started.norway-public": 3}
    assert found.quantity.value(stuck) is None
    assert not found.holds(found.quantity.value(stuck))
    assert quantity("jobs_not_started_norway", scenario, "").value({f"jobs_not_started.norway-{name}": 2 for name in ("research", "startups", "public")}) == 6  # fmt: skip


def test_bounds_are_strict_where_they_say_so():
    """Equality keeps <= and breaks <; margins are positive inside; the worst of several seeds counts."""
    scenario = kv.load("stargate-norway")
    below, most = bound("peak_mw < 230", scenario), bound("peak_mw <= 230", scenario)
    above = bound("peak_mw >= 230", scenario)
    assert not below.holds(230.0)
    assert below.violation(230.0) > 0
    assert most.holds(230.0)
    assert most.violation(230.0) <= 0
    assert below.margin(200.0) == 30.0
    assert above.margin(200.0) == -30.0
    assert below.worst([200.0, 210.0]) == 210.0
    assert above.worst([200.0, 210.0]) == 200.0
    assert below.worst([200.0, None]) is None
    assert not below.holds(None)


values = st.lists(
    st.tuples(*[st.one_of(st.none(), st.integers(-3, 3).map(float))] * 3), max_size=12
)  # fmt: skip


@given(values, st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_the_front_is_what_nobody_beats(candidates, directions):
    """Against the definition, candidate by candidate."""

    def beats(one, other):
        goods = [(d * a, d * b) for d, a, b in zip(directions, one, other, strict=True)]
        return all(a >= b for a, b in goods) and any(a > b for a, b in goods)

    found = front(candidates, directions)
    known = [one for one in candidates if None not in one]
    for one, on in zip(candidates, found, strict=True):
        assert on == (None not in one and not any(beats(other, one) for other in known))
    assert any(found) == bool(known)


def test_values_of_the_command_line():
    """TOML values, words, lists and quoted texts; commas inside brackets do not part."""
    assert parse_vary(["a.b=1, 2.5", "c=full,reduced", "d=[1, 2], [3]", 'e="x,y",z']) == {
        "a.b": (1, 2.5), "c": ("full", "reduced"), "d": ([1, 2], [3]), "e": ("x,y", "z"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1..10", Range("a", 1, 10, None, True)),
        ("a=1..10:4", Range("a", 1, 9, 4, True)),
        ("a=1.0..10", Range("a", 1.0, 10, None, False)),
        ("a = 0.5 .. 2.5 : 0.5", Range("a", 0.5, 2.5, 0.5, False)),
        ("a=-5..5", Range("a", -5, 5, None, True)),
        ("a=x,y", Range("a", choices=("x", "y"))),
        ("a=1,2,4", Range("a", choices=(1, 2, 4))),
    ],
)
def test_ranges_of_the_command_line(text, expected):
    """Whole numbers stay whole; steps end where they reach."""
    assert parse_over([text]) == (expected,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "--over: expected KEY=lo..hi or KEY=a,b,c"),
        ("a=", "--over: expected KEY=lo..hi or KEY=a,b,c"),
        ("a=3", "--over a: expected lo..hi"),
        ("a=3..3", "--over a: must go from a lower to a higher number"),
        ("a=5..3", "--over a: must go from a lower to a higher number"),
        ("a=x..y", "--over a: expected a number, got 'x'"),
        ("a=1..inf", "--over a: expected a finite number"),
        ("a=1..9:0", "--over a: its step must lie above 0"),
        ("a=1..9:20", "--over a: its step must lie above 0"),
        ("a=x,x", "--over a: a choice is given twice"),
        ("a=[1],[2]", "--over a: expected lo..hi"),
    ],
)
def test_a_range_that_is_none_is_refused(text, expected):
    """With the option and the key."""
    with pytest.raises(ScenarioError) as caught:
        parse_over([text])
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("source", ["stargate-norway", "stargate-norway-phase-1", str(SMALL), str(TROUBLED)])
def test_a_document_is_the_scenario_it_came_from(source):
    """What a folder keeps builds the very scenario that loading its files would, changed alike, without the files."""
    changes = {"run.days": 3, "site.grid_mw": 150}
    document = json.loads(json.dumps(resolved(source)))
    assert from_resolved(document, changes) == load(source, changes)
    assert from_resolved(resolved(load(source)), {}) == load(source)


def test_a_grid_is_laid_out_lazily(small_run):
    """A hundred thousand members are numbers until they are asked for; each is where its number says."""
    vary = {"site.grid_mw": [1.0 + place / 100 for place in range(100)], "run.tick_s": [60, 300]}
    grid = plan_grid(str(SMALL), vary, 500)
    assert grid.size == 100_000
    members = grid.members()
    assert next(members).changes == {"site.grid_mw": 1.0, "run.tick_s": 60, "run.seed": 1}
    assert next(members).changes == {"site.grid_mw": 1.0, "run.tick_s": 300, "run.seed": 1}
    assert grid.member(3, 7).changes == {"site.grid_mw": 1.01, "run.tick_s": 300, "run.seed": 8}
    assert grid.member(3, 7).name == f"member-{3 * 500 + 7:06d}"
    with pytest.raises(ScenarioError, match="100,200 members are asked for"):
        plan_grid(str(SMALL), vary, 501)
