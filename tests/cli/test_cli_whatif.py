"""`kvandal whatif` from end to end, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import kvandal as kv

Command = Callable[..., Any]
LESS = ["--set", "site.grid_mw=1.0"]


def test_a_change_is_printed_and_written(inside: Command, small: str, tmp_path: Path) -> None:
    """What is changed, what is shared, only what moved, a sentence each; a folder that reads back."""
    outcome = inside("whatif", small, "--days", "1", *LESS, "--out", "less")
    assert (outcome.code, outcome.mistakes) == (0, [])
    lines = outcome.out.splitlines()
    assert lines[0] == "changed: site.grid_mw  2.0 -> 1.0"
    assert lines[1].startswith("the same on both sides: ")
    assert lines[1].endswith("jobs, failures, faults of the plant, weather, prices")
    assert "peak site power [MW]" in outcome.out
    assert "jobs submitted" not in outcome.out  # the same on both sides
    assert "Loses most: " in outcome.out
    assert "--seeds 5 gives intervals" in outcome.out
    assert lines[-1] == "less/whatif.html"
    folder = tmp_path / "less"
    assert {path.name for path in folder.iterdir()} == {
        "base",
        "variant",
        "whatif.json",
        "whatif.html",
        "whatif.parquet",
    }
    record = json.loads((folder / "whatif.json").read_text(encoding="utf-8"))
    base, variant = (kv.read_run(folder / side) for side in ("base", "variant"))
    rows = {(row["tenant"], row["metric"]): row for row in record["rows"]}
    peak = rows[None, "peak_site_mw"]
    assert peak["difference"] == variant.summary["peak_site_mw"] - base.summary["peak_site_mw"] < 0
    for name, wait_s in base.summary["wait_p95_s"].items():
        if (name, "wait_p95_s") in rows:
            assert rows[name, "wait_p95_s"]["base"] == wait_s
            assert rows[name, "wait_p95_s"]["variant"] == variant.summary["wait_p95_s"][name]
    frame = pl.read_parquet(folder / "whatif.parquet")
    assert frame.filter(pl.col("seed") == 1)["difference"].to_list() == [
        row["difference"] for row in record["rows"]
    ]
    everything = inside("whatif", small, "--days", "1", *LESS, "--all")
    assert "jobs submitted" in everything.out
    assert "What is not listed" not in everything.out
    assert "whatif/small-1/whatif.html" in everything.out


def test_a_file_over_a_run_folder(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """The scenario of the run is the base; the document is all there is on standard output; seeds give intervals."""
    (tmp_path / "less.toml").write_text('name = "less-power"\n[site]\ngrid_mw = 1.0\n', encoding="utf-8")
    arguments = ["whatif", str(small_run), "less.toml", "--days", "1"]
    outcome = inside(*arguments, "--json")
    assert outcome.code == 0
    document = json.loads(outcome.out)
    folder = tmp_path / "whatif" / "less-power-1"
    assert document.pop("folder") == "whatif/less-power-1"
    assert document == json.loads((folder / "whatif.json").read_text(encoding="utf-8"))
    assert (document["base"], document["variant"], document["seeds"]) == ("small", "less-power", [1])
    assert document["changes"] == [{"key": "site.grid_mw", "base": 2.0, "variant": 1.0}]
    again = inside(*arguments, "--seeds", "2", "--workers", "1", "--out", "again")
    assert again.code == 0
    assert "95 % interval" in again.out
    assert "means over 2 seeds" in again.out
    assert "2 of 2 simulations of the other seeds" in again.err
    for path in sorted(
        path for side in ("base", "variant") for path in (folder / side).rglob("*") if path.is_file()
    ):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), path.name


def test_a_base_that_comes_out_otherwise_is_told(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """A run of other inputs is no base to be silent about; the run as it is passes without a word."""
    outcome = inside("whatif", str(small_run), "--set", "policy.recall=false", "--out", "a")
    assert outcome.code == 0
    assert "comes out otherwise" not in outcome.err
    old = tmp_path / "old"
    shutil.copytree(small_run, old)
    record = json.loads((old / "run.json").read_text(encoding="utf-8"))
    record["summary"]["recalls"] += 1
    (old / "run.json").write_text(json.dumps(record), encoding="utf-8")
    outcome = inside("whatif", str(old), "--set", "policy.recall=false", "--out", "b")
    assert "the base comes out otherwise than in this run" in outcome.err


def test_nothing_changed_is_said(inside: Command, small: str) -> None:
    """A warning, zeros, and nobody who gains or loses."""
    outcome = inside("whatif", small, "--days", "1", "--set", "site.grid_mw=2.0")
    assert outcome.code == 0
    assert "nothing is changed: both sides are the same scenario" in outcome.err
    assert "Nothing changed: every difference is 0" in outcome.out
    assert "Nobody gains." in outcome.out
    listed = inside("whatif", small, "--days", "1", "--set", "site.grid_mw=2.0", "--all")
    rows = [line.split() for line in listed.out.splitlines() if "GPU-hours useful" in line]
    assert len(rows) > 5
    assert {row[-1] for row in rows} == {"0"}


def test_changed_demand_is_one_line(inside: Command, small: str) -> None:
    """It names the class; held demand is told as well."""
    outcome = inside("whatif", small, "--days", "1", "--set", "demand.national.mean_gpus=8000")
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("demand differs: ")]
    assert line.startswith("demand differs: national: ")
    assert "jobs," not in outcome.out.splitlines()[1]
    outcome = inside("whatif", small, "--days", "1", "--set", "site.fleet.main.gpus=360")
    assert "demand held to that of the base: " in outcome.out
    assert "drawn otherwise, because the change concerns them: failures" in outcome.out
    window = inside("transient", "whatif/small-2/variant", "--at", "2027-01-01T13:00Z", "--seconds", "30")
    assert window.code == 2
    assert "belongs to other jobs" in window.mistakes[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nonsense"], "nonsense: no such preset or file"),
        (
            ["stargate-norway", "none.toml"],
            "none.toml: no such file; a change is a TOML file, or --set KEY=VALUE",
        ),
        (["stargate-norway", "typo.toml"], "typo.toml: site.grid_mv: unknown key; did you mean 'grid_mw'?"),
        (
            ["stargate-norway", "--set", "site.grid_mv=3"],
            "--set site.grid_mv: unknown key; did you mean 'grid_mw'?",
        ),
        (["stargate-norway", "--set", "site.grid_mw"], "--set: expected key=value"),
        (["stargate-norway", "--set", "site.grid_mw=3", "--set", "site.grid_mw=4"], "is given twice"),
        (["stargate-norway", "--set", "tenants.uk.deserved_share=0.5"], "tenants.uk: a tenant of tier lent"),
        (
            ["stargate-norway", "--set", "run.days=3"],
            "run.days: both sides have the same time and seed, but the base has 365",
        ),
        (["stargate-norway", "--set", "run.seed=3"], "for both sides give --seed 3"),
        (
            ["stargate-norway", "--days", "3", "--set", "run.days=3"],
            "--days: says the same as --set run.days",
        ),
        (["stargate-norway", "--days", "0"], "--days: must be at least 1, got 0"),
        (["stargate-norway", "--seeds", "0"], "--seeds: must be from 1 to 1,000, got 0"),
        (["stargate-norway", "--seeds", "-3"], "--seeds: must be from 1 to 1,000, got -3"),
        (["stargate-norway", "--workers", "0"], "--workers: must be at least 1, got 0"),
        (
            ["stargate-norway-290", "stargate-norway"],
            "is a scenario on nothing, not a change of 'stargate-norway-290'",
        ),
        (["empty"], "empty: is not a run folder (no run.json in it)"),
        (["stargate-norway", "--out", "empty"], "empty: exists already"),
        (["stargate-norway", "--out", "typo.toml/x"], "typo.toml/x: cannot be written"),
        (["stargate-norway", "empty"], "empty: is a folder; a scenario is a TOML file or a preset"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    inside: Command, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    """One line, exit code 2, nothing written."""
    (tmp_path / "typo.toml").write_text("[site]\ngrid_mv = 3\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    outcome = inside("whatif", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.mistakes
    assert expected in line
    assert "reading" not in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "typo.toml"]


def test_a_run_that_cannot_be_a_base_is_refused(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """One of another version, a change that extends something."""
    other = tmp_path / "other"
    shutil.copytree(small_run, other)
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    record["scenario"]["nonsense"] = 1
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    outcome = inside("whatif", str(other), *LESS)
    assert outcome.code == 2
    assert "scenario: is not one of this version of kvandal: nonsense: unknown key" in outcome.mistakes[0]
    outcome = inside("whatif", str(small_run), "stargate-norway-290")
    assert outcome.code == 2
    assert "a change holds only what differs, and does not say extends" in outcome.mistakes[0]


def test_a_side_that_cannot_run_leaves_nothing(inside: Command, small: str, tmp_path: Path) -> None:
    """A change that is found impossible only when its site is built."""
    outcome = inside("whatif", small, "--days", "1", "--set", "site.grid_mw=0.1", "--set", "market.ppa_mw=0")
    assert outcome.code == 2
    assert "while idle" in outcome.mistakes[0]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_the_other_seeds(small_run: Path, small: str, tmp_path: Path) -> None:
    """One line, the right code, no folder, no worker left."""
    arguments = ["whatif", small, "--days", "30", *LESS, "--seeds", "10", "--workers", "2", "--out", "X"]
    with subprocess.Popen(
        [sys.executable, "-m", "kvandal.cli.main", *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        for line in child.stderr:
            if " of 18 simulations of the other seeds" in line:
                break
        child.send_signal(signal.SIGTERM)
        rest = child.stderr.read()  # ends when the last process that writes there has ended
        assert child.wait(30) == 128 + signal.SIGTERM
    assert rest.endswith("\nkvandal: interrupted; nothing was kept\n"), rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
