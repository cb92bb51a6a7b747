"""`kvandal transient` from end to end, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Command = Callable[..., Any]
AT = "2027-01-02T13:00:30Z"


def test_a_window_is_simulated_measured_and_drawn(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """Verdicts on standard output; a folder with the page, the series and the figures; the run is left as it was."""
    before = {path: path.read_bytes() for path in sorted(small_run.rglob("*")) if path.is_file()}
    outcome = inside("transient", str(small_run), "--at", AT, "--seconds", "60", "--stop-largest", "20")
    assert (outcome.code, outcome.mistakes) == (0, [])
    assert "holds" in outcome.out
    assert "transients/small-1/transient.html" in outcome.out
    folder = tmp_path / "transients" / "small-1"
    assert {path.name for path in folder.iterdir()} == {
        "transient.json", "transient.html", "transient.parquet", "seconds.parquet", "spectrum.parquet",
    }  # fmt: skip
    document = json.loads((folder / "transient.json").read_text(encoding="utf-8"))
    assert [case["case"] for case in document["cases"]] == ["none", "floor", "storage", "battery", "all"]
    assert max(case["energy_mwh"]["error"] for case in document["cases"]) < 1e-9
    assert document["stop"]["gpus"] == document["jobs"]["largest_gpus"]
    assert document["saved_state_utc"] == "2027-01-01T00:00:00+00:00"
    series = pl.read_parquet(folder / "transient.parquet")
    assert series.height == 60 * 50
    assert series["grid_none_mw"].mean() == pytest.approx(document["cases"][0]["mean_mw"])
    assert before == {path: path.read_bytes() for path in sorted(small_run.rglob("*")) if path.is_file()}


def test_without_swing_the_window_is_what_the_run_says(inside: Command, small_run: Path) -> None:
    """Flat, the mean of the window is that of the run's ticks, starts and stops included."""
    outcome = inside(
        "transient", str(small_run), "--at", "2027-01-02T13:00Z", "--seconds", "600", "--step-ms", "100",
        "--set", "swing.amplitude_fraction=0", "--set", "swing.noise_fraction=0", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    document = json.loads(outcome.out)
    assert document["cases"][0]["mean_mw"] == pytest.approx(document["run_ticks_mean_mw"], rel=2e-3)
    site = pl.read_parquet(small_run / "site.parquet")["site_demand_mw"]
    minutes = (24 + 13) * 60
    assert document["run_ticks_mean_mw"] == pytest.approx(
        float(site[minutes : minutes + 10].mean()), rel=1e-12
    )


def test_options_reach_the_window(inside: Command, small_run: Path) -> None:
    """Requirement and mitigations are those asked for, and a coarse step says what it cannot see."""
    outcome = inside(
        "transient", str(small_run), "--at", AT, "--seconds", "30", "--step-ms", "50", "--floor", "1", "--storage-j", "0",
        "--battery-mw", "0", "--ramp-limit", "0.001", "--range-limit-mw", "0.001", "--spectral-limit", "0.01",
        "--band-limit-mw", "0.0001", "--stop-all", "5", "--out", "here",
    )  # fmt: skip
    assert outcome.code == 0
    assert "see up to 10 Hz" in outcome.err
    document = json.loads(Path("here/transient.json").read_text(encoding="utf-8"))
    assert document["band_resolved"] is False
    assert document["swing"]["floor_fraction"] == 1
    assert document["requirement"]["ramp_limit_mw_per_min"] == 0.001
    none = document["cases"][0]
    assert set(none["holds"].values()) == {False}
    assert document["cases"][3]["battery"] is None
    assert document["cases"][3]["mean_mw"] == pytest.approx(none["mean_mw"])
    assert document["cases"][1]["energy_mwh"]["burned"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--at", "noon"], "--at: must be an ISO time with its offset"),
        (["--at", "2027-01-02T13:00:30"], "--at: must say its offset from UTC"),
        (["--at", "2026-12-31T23:59Z"], "--at: the window must lie in the run"),
        (["--at", "2027-01-03T23:58Z"], "--at: the window must lie in the run"),
        (["--at", "0001-01-01T00:00+14:00"], "--at: the window must lie in the run"),
        (["--at", AT, "--seconds", "5"], "--seconds: must be 20 to 3600 (s), got 5"),
        (["--at", AT, "--seconds", "86400"], "--seconds: must be 20 to 3600"),
        (["--at", AT, "--step-ms", "30"], "--step-ms: must be one of 20, 25, 40, 50, 100 (ms), got 30"),
        (["--at", AT, "--stop-all", "301"], "--stop-all: must lie in the window"),
        (["--at", AT, "--stop-largest", "nan"], "--stop-largest: must lie in the window"),
        (["--at", AT, "--floor", "1.5"], "--floor: must be at most 1"),
        (["--at", AT, "--battery-mw", "-1"], "--battery-mw: must be at least 0"),
        (["--at", AT, "--ramp-limit", "inf"], "--ramp-limit: "),
        (["--at", AT, "--set", "site.grid_mw=3"], "--set site.grid_mw: only keys of grid, swing"),
        (["--at", AT, "--set", "swing.amplitude=1"], "--set swing.amplitude: "),
        (["--at", AT, "--set", "swing=3"], "--set swing: "),
        (["--at", AT, "--floor", "1", "--set", "swing.floor_fraction=1"], "--floor: says the same as"),
        (["--at", AT, "--set", "grid.band_low_hz=1", "--set", "grid.band_low_hz=1"], "is given twice"),
    ],
)
def test_bad_input_is_refused(
    inside: Command, small_run: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    """One line that names the option, exit code 2, nothing written."""
    outcome = inside("transient", str(small_run), *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.mistakes
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_used_are_refused(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """No run, a run of an older version, a damaged state, a place that is taken."""

    def refused(folder: Path, expected: str, *more: str) -> None:
        outcome = inside("transient", str(folder), "--at", AT, *more)
        assert outcome.code == 2
        (line,) = outcome.mistakes
        assert expected in line

    refused(tmp_path / "none", "no such run folder")
    old = tmp_path / "old"
    shutil.copytree(small_run, old, ignore=shutil.ignore_patterns("states"))
    refused(old, "has no saved state")
    damaged = tmp_path / "damaged"
    shutil.copytree(small_run, damaged)
    state = damaged / "states" / "state-00000000.npz"
    state.write_bytes(state.read_bytes()[:1000])
    refused(damaged, "state-00000000.npz: not a saved state, or damaged")
    other = tmp_path / "other"
    shutil.copytree(small_run, other)
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    record["scenario"]["demand_multiplier"] = 0.001
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    refused(other, "belongs to other jobs")
    record["scenario"]["nonsense"] = 1
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    refused(other, "is not one of this version of kvandal")
    refused(small_run, "exists already", "--out", str(other))
