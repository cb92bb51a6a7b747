"""What-ifs: nothing changed is nothing found, a change has the effect worked out by hand, intervals are Student's."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.errors import InputError
from kvandal.runs.metrics import measure, tenants_of
from kvandal.runs.paired import interval, is_change, is_sure, paired, student_t, verdict
from kvandal.runs.run import TABLES
from kvandal.runs.whatif import write_whatif
from kvandal.scenario import validate
from kvandal.scenario.loading import changed

ROOT = Path(__file__).parent.parent.parent
T_975 = {
    1: 12.7062047362,
    2: 4.3026527299,
    3: 3.1824463053,
    4: 2.7764451052,
    9: 2.2621571629,
    30: 2.0422724563,
}
"""Quantiles of Student's t as tables print them."""


@pytest.fixture(scope="module")
def small() -> kv.Scenario:
    return kv.load(ROOT / "tests" / "small.toml", {"run.days": 1})


@pytest.fixture
def one_rack(tmp_path: Path) -> kv.Scenario:
    """One rack, two jobs that need it whole: 3,600 s from 0, 1,800 s from 600 s."""
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("submit_s,run_s,gpus\n0,3600,72\n600,1800,72\n", encoding="utf-8")
    return validate(
        {
            "run": {"days": 1},
            "site": {"fleet": {"main": {"model": "gb300_nvl72", "gpus": 72}}},
            "power": {"bess_power_mw": 0.0, "bess_energy_mwh": 0.0},
            "reliability": {"failures": False, "plant_faults": False},
            "tenants": {
                "a": {"tier": "firm", "deserved_share": 1.0, "price_usd_per_gpu_hour": 2.0},
                "b": {"tier": "lent"},
            },
            "demand": {
                "own": {"source": "file", "path": str(jobs), "tenants": {"a": 1.0}, "checkpoint": False}
            },
        }
    )


def found_in(result: kv.WhatIf) -> dict[tuple[str | None, str], dict[str, Any]]:
    return {(row["tenant"], row["metric"]): row for row in result.record["rows"]}


def test_nothing_changed_is_zero_everywhere_and_byte_for_byte(small: kv.Scenario, tmp_path: Path) -> None:
    """Every difference is 0, both runs are the same to the byte, nobody gains or loses."""
    result = kv.whatif(small, {"site.grid_mw": small.site.grid_mw})
    known = [row for row in result.record["rows"] if row["base"] is not None]
    assert len(known) > 150
    assert {row["difference"] for row in known} == {0.0}
    assert {row["relative"] for row in known} == {0.0}
    assert not any(is_change(row) for row in result.record["rows"])
    assert result.record["changes"] == []
    assert result.table["difference"].drop_nulls().unique().to_list() == [0.0]
    assert (result.record["gains_text"], result.record["loses_text"]) == ("Nobody gains.", "Nobody loses.")
    assert (result.record["gains"], result.record["loses"]) == ([], [])
    write_whatif(result, tmp_path / "null")
    base = sorted(path for path in (tmp_path / "null" / "base").rglob("*") if path.is_file())
    assert len([path for path in base if path.suffix == ".parquet"]) == len(TABLES)
    for path in base:
        other = tmp_path / "null" / "variant" / path.relative_to(tmp_path / "null" / "base")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_both_sides_are_the_runs_of_their_scenarios(small: kv.Scenario) -> None:
    """A what-if changes nothing about a run: each side is what `simulate` gives."""
    result = kv.whatif(small, {"site.grid_mw": 1.0})
    plain = kv.simulate(kv.load(ROOT / "tests" / "small.toml", {"run.days": 1, "site.grid_mw": 1.0}))
    assert result.variant.record == plain.record
    for name, table in plain.tables.items():
        assert table.equals(result.variant.tables[name]), name
    assert result.base.summary == kv.simulate(small).summary


def test_a_second_rack_ends_the_wait(one_rack: kv.Scenario) -> None:
    """By hand: the second job waits 3,000 s for the first, and not at all beside it; the work stays the same."""
    result = kv.whatif(one_rack, {"site.fleet.main.gpus": 144})
    rows = found_in(result)
    assert (rows["a", "wait_p95_s"]["base"], rows["a", "wait_p95_s"]["variant"]) == (3000, 0)
    assert rows["a", "wait_p95_s"]["difference"] == -3000
    assert rows["a", "wait_p95_s"]["relative"] == -1
    for metric in ("gpu_hours_allocated", "gpu_hours_useful"):
        assert (rows["a", metric]["base"], rows["a", metric]["difference"]) == (72 * 1.5, 0)
    assert (rows["a", "goodput"]["base"], rows["a", "jobs_finished"]["base"]) == (1, 2)
    assert rows["b", "jobs_submitted"]["base"] == 0
    assert rows["b", "wait_p95_s"]["base"] is None
    assert rows["b", "goodput"]["difference"] is None
    assert rows[None, "wait_p95_s"]["difference"] == -3000
    assert rows[None, "gpu_hours_installed"]["difference"] == 72 * 24
    assert rows[None, "site_energy_mwh"]["difference"] > 0
    assert result.record["gains"] == ["a"]
    assert result.record["gains_text"] == "Gains most: a, P95 of its waits -50 min."
    assert result.record["loses_text"] == "Nobody loses."
    shared = result.record["shared"]
    assert (shared["jobs"], shared["demand_differs"], shared["failures"], shared["weather"]) == (
        2,
        [],
        False,
        True,
    )


def test_a_price_changes_income_and_nothing_else(one_rack: kv.Scenario) -> None:
    """By hand: 108 GPU-hours at one dollar more."""
    result = kv.whatif(one_rack, {"tenants.a.price_usd_per_gpu_hour": 3.0})
    moved = {
        (row["tenant"], row["metric"]): row["difference"] for row in result.record["rows"] if is_change(row)
    }
    assert moved == {("a", "income_usd"): 108, (None, "compute_income_usd"): 108}
    assert result.record["changes"] == [
        {"key": "tenants.a.price_usd_per_gpu_hour", "base": 2.0, "variant": 3.0}
    ]


def test_a_tenant_that_appears_is_compared_with_nothing(one_rack: kv.Scenario) -> None:
    """What a side does not have is not known there, and no difference."""
    result = kv.whatif(one_rack, {"tenants.c": {"tier": "lent"}})
    row = found_in(result)["c", "gpu_hours_useful"]
    assert (row["base"], row["variant"], row["difference"]) == (None, 0, None)
    assert [one["name"] for one in result.record["tenants"]] == ["a", "b", "c"]


def test_a_job_that_the_changed_site_cannot_place_is_refused_there(
    one_rack: kv.Scenario, tmp_path: Path
) -> None:
    """By hand: 128 GPUs fit two racks; one rack alone would cut that job to its 72, and with it the work."""
    (tmp_path / "jobs.csv").write_text("submit_s,run_s,gpus\n0,3600,128\n0,3600,8\n", encoding="utf-8")
    two_racks = changed(one_rack, {"site.fleet.main.gpus": 144})
    result = kv.whatif(two_racks, {"site.fleet.main.gpus": 72})
    assert kv.simulate(one_rack).tables["jobs"]["gpus"].to_list() == [72, 8]
    assert result.record["shared"]["demand_held"] == ["own"]
    assert result.record["shared"]["demand_differs"] == []
    assert result.base.tables["jobs"]["gpus"].to_list() == [128, 8]
    assert result.variant.tables["jobs"]["gpus"].to_list() == [128, 8]
    assert result.base.tables["jobs"]["state"].to_list() == ["finished", "finished"]
    assert result.variant.tables["jobs"]["state"].to_list() == ["refused", "finished"]
    rows = found_in(result)
    assert rows["a", "gpu_hours_useful"]["difference"] == -128
    assert rows["a", "jobs_not_started"]["difference"] == 1
    assert result.record["loses_text"] == "Loses most: a, -128 useful GPU-hours (-94.1 %)."


@pytest.fixture(scope="module")
def seeded(small: kv.Scenario) -> kv.WhatIf:
    return kv.whatif(small, {"site.grid_mw": 1.0}, seeds=3, workers=2)


def test_intervals_are_those_of_the_paired_differences(seeded: kv.WhatIf) -> None:
    """Worked out again from the rows of the seeds: mean of the differences, t times their spread over sqrt(n)."""
    assert seeded.record["seeds"] == [1, 2, 3]
    checked = 0
    for row in seeded.record["rows"]:
        seeds = seeded.table.filter(
            pl.col("tenant").eq_missing(pl.lit(row["tenant"])),
            pl.col("metric") == row["metric"],
            pl.col("seed").is_not_null(),
        )
        assert seeds["seed"].to_list() == [1, 2, 3]
        both = seeds.drop_nulls(["base", "variant"])
        gaps = [b - a for a, b in zip(both["base"], both["variant"], strict=True)]
        assert both["difference"].to_list() == gaps
        assert row["seeds"] == len(gaps)
        if len(gaps) < 3:
            continue
        mean = sum(gaps) / 3
        half = T_975[2] * math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / 2) / math.sqrt(3)
        assert row["difference"] == pytest.approx(mean, rel=1e-12, abs=1e-15)
        assert row["low"] == pytest.approx(mean - half, rel=1e-9, abs=1e-12)
        assert row["high"] == pytest.approx(mean + half, rel=1e-9, abs=1e-12)
        checked += 1
    assert checked > 150


def test_each_seed_is_a_what_if_of_its_own_whatever_the_workers(
    seeded: kv.WhatIf, small: kv.Scenario
) -> None:
    """Seed 3 alone gives the rows of seed 3; one worker gives the table of two."""
    alone = kv.whatif(
        small.model_copy(update={"run": small.run.model_copy(update={"seed": 3})}), {"site.grid_mw": 1.0}
    )
    assert alone.table.filter(pl.col("seed") == 3).equals(seeded.table.filter(pl.col("seed") == 3))
    again = kv.whatif(small, {"site.grid_mw": 1.0}, seeds=3, workers=1)
    assert again.table.equals(seeded.table)
    assert again.record == seeded.record


def test_what_cannot_be_compared_is_refused(small: kv.Scenario) -> None:
    """Other times, another seed, too many or no seeds, a side that cannot run."""
    for changes, seeds, expected in (
        ({"run.days": 2}, 1, "run.days: both sides have the same time and seed"),
        ({"run.seed": 5}, 1, "for both sides give --seed 5"),
        ({"site.grid_mw": 1.0}, 0, "--seeds: must be from 1 to 1,000, got 0"),
        ({"site.grid_mw": 1.0}, 1001, "--seeds: must be from 1 to 1,000, got 1,001"),
        ({"site.grid_mw": 0.1, "market.ppa_mw": 0.0}, 1, "while idle"),
        ({"site.grid_mv": 0.1}, 1, "unknown key"),
    ):
        with pytest.raises(InputError) as caught:
            kv.whatif(small, changes, seeds=seeds)
        assert expected in str(caught.value)
    last = small.model_copy(update={"run": small.run.model_copy(update={"seed": 2**63 - 2})})
    with pytest.raises(InputError, match="leaves no room for 3 seeds"):
        kv.whatif(last, {}, seeds=3)


@pytest.mark.parametrize(("degrees", "expected"), T_975.items())
def test_students_t_is_that_of_the_tables(degrees: int, expected: float) -> None:
    """Two-sided 95 %, odd and even degrees of freedom; with many it is the normal distribution's 1.96."""
    assert student_t(0.95, degrees) == pytest.approx(expected, rel=1e-9)
    assert student_t(0.95, 10_000) == pytest.approx(1.9602, abs=1e-4)


def test_paired_numbers_by_hand() -> None:
    """One seed has no interval, an unknown number no difference, equal differences an interval of one point."""
    one = paired([8.0], [6.0])
    assert (one["difference"], one["relative"], one["low"], one["high"]) == (-2, -0.25, None, None)
    three = paired([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    assert (three["difference"], three["low"], three["high"]) == (1, 1, 1)
    assert is_sure(three, 3)
    unknown = paired([None, 4.0], [3.0, None])
    assert (unknown["base"], unknown["variant"], unknown["difference"], unknown["seeds"]) == (4, 3, None, 0)
    half = paired([None, 4.0], [3.0, 6.0])
    assert (half["base"], half["variant"], half["difference"], half["seeds"], half["low"]) == (
        4,
        6,
        2,
        1,
        None,
    )
    assert not is_sure(half, 2)
    assert is_sure(half, 1)
    assert paired([0.0], [0.0])["relative"] == 0
    assert paired([0.0], [1.0])["relative"] is None
    assert is_change(paired([None], [1.0]))
    assert not is_change(paired([None], [None]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12), st.floats(-1e3, 1e3))
def test_intervals_hold_the_mean_and_move_with_it(gaps: list[float], by: float) -> None:
    """Law: the mean lies inside; what all seeds gain moves the interval and leaves its width."""
    found, moved = interval(gaps), interval([gap + by for gap in gaps])
    assert found is not None
    assert moved is not None
    mean = math.fsum(gaps) / len(gaps)
    assert found[0] <= mean + 1e-9 * abs(mean)
    assert found[1] >= mean - 1e-9 * abs(mean)
    assert moved[0] - found[0] == pytest.approx(by, abs=1e-4)
    assert moved[1] - moved[0] == pytest.approx(found[1] - found[0], rel=1e-6, abs=1e-4)


def test_who_gains_and_who_loses() -> None:
    """By useful GPU-hours, the largest first; by the wait where those say nothing; not by what may be chance."""

    def rows(tenant: str, useful: float, wait_s: float, low: float | None = None) -> list[dict[str, Any]]:
        high = None if low is None else 2 * useful - low
        return [
            {"tenant": tenant, "metric": "gpu_hours_useful", "difference": useful, "relative": useful / 1000, "low": low, "high": high},
            {"tenant": tenant, "metric": "wait_p95_s", "difference": wait_s, "relative": None, "low": low and 0.0, "high": low and 0.0},
        ]  # fmt: skip

    single = verdict(
        [*rows("a", 10, 0), *rows("b", 2500, 7200), *rows("c", -5, 0), *rows("d", 0, 60), *rows("e", 0, 0)], 1
    )
    assert (single["gains"], single["loses"]) == (["b", "a"], ["c", "d"])
    assert single["gains_text"] == (
        "Gains most: b, +2,500 useful GPU-hours (+250.0 %), P95 of its waits +2 h; then a, +10 useful GPU-hours (+1.0 %)."
    )
    assert (
        single["loses_text"] == "Loses most: c, -5 useful GPU-hours (-0.5 %); then d, P95 of its waits +60 s."
    )
    several = verdict([*rows("a", 10, 0, low=-1.0), *rows("b", 20, 0, low=1.0)], 3)
    assert several["gains"] == ["b"]
    assert several["loses_text"] == "Nobody loses beyond chance."
    many = verdict([row for name in "abcde" for row in rows(name, -1, 0)], 1)
    assert many["loses_text"].endswith("; and 2 more.")


def test_the_folder_is_documented(seeded: kv.WhatIf) -> None:
    """Every column of whatif.parquet, every key of whatif.json and every metric stands in docs/whatif.md."""
    text = (ROOT / "docs" / "whatif.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    record = seeded.record
    keys = {
        *record,
        *record["shared"],
        *record["metrics"][0],
        *record["tenants"][0],
        *record["changes"][0],
        *record["rows"][0],
    }
    assert keys - named == set()
    assert set(seeded.table.columns) - named == set()
    metrics = {one["key"] for one in record["metrics"]}
    assert {key for key in metrics if not key.startswith("gpu_hours_lost_")} - named == set()


def test_what_falls_to_tenants_of_energy_and_cost_sums_to_the_site(small: kv.Scenario) -> None:
    """Every hour in which somebody holds GPUs is shared out in full, and who holds more bears more."""
    run = kv.simulate(small)
    values = measure(run)
    names = [name for name in tenants_of(run) if values[name, "gpu_hours_allocated"]]
    held = run.tables["tenants"].group_by("time_utc").agg(pl.col("gpus_held").sum())
    busy = run.tables["energy"].join(held.filter(pl.col("gpus_held") > 0), on="time_utc")
    energy_mwh = [values[name, "energy_share_mwh"] or 0.0 for name in names]
    assert sum(energy_mwh) == pytest.approx(busy["site_mwh"].sum())
    assert sum(values[name, "energy_cost_share_eur"] or 0.0 for name in names) == pytest.approx(
        float(busy["cost_eur"].sum()), abs=0.01
    )  # whole cents
    hours = run.tables["energy"].height
    assert [values[name, "power_share_mw"] for name in names] == pytest.approx(
        [one / hours for one in energy_mwh]
    )
    most = max(names, key=lambda name: values[name, "gpu_hours_allocated"] or 0.0)
    assert values[most, "energy_share_mwh"] == max(energy_mwh) > 0
