"""`kvandal run --samples`: bands and what matters, whatever the workers; refused input; an end that leaves nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest

import kvandal as kv
from kvandal.cli.run import HEADLINES
from kvandal.runs.compare import flatten
from kvandal.runs.contract import first_mistake, schema
from kvandal.runs.members import Outcome, simulate_members, workers_that_fit

Command = Callable[..., Any]
ROOT = Path(__file__).parent.parent.parent
PUMP, FACTOR = "cooling.cdu_pump_w_per_kw", "carbon.location_direct_g_per_kwh"
TWO = ["--vary", PUMP, "--vary", FACTOR]
RUN = [sys.executable, "-m", "kvandal.cli.main", "run"]


@pytest.fixture(scope="module")
def sampled(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of the small site over a day with six members of two parameters, from two workers."""
    place = tmp_path_factory.mktemp("samples")
    small = str(ROOT / "tests" / "small.toml")
    arguments = [small, "--days", "1", "--samples", "6", *TWO, "--workers", "2", "--out", "run", "-q"]
    subprocess.run([*RUN, *arguments], cwd=place, check=True, timeout=300)
    return place / "run"


def test_a_folder_with_members_keeps_the_contract(sampled: Path) -> None:
    """run.json keeps its schema strictly, the folder reads back, and without members nothing is different."""
    record = json.loads((sampled / "run.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema()).validate(record)
    assert first_mistake(record) is None
    run = kv.read_run(sampled)
    assert run.samples.height == record["tables"]["samples.parquet"]["rows"] == 6
    plain = kv.simulate(kv.load(ROOT / "tests" / "small.toml", {"run.days": 1}))
    assert {key: value for key, value in record.items() if key not in {"uncertainty", "tables"}} == {
        key: value for key, value in plain.record.items() if key != "tables"
    }
    assert "uncertainty" not in plain.record
    for name, table in plain.tables.items():
        assert table.equals(run.tables[name])


def test_every_number_has_its_band(sampled: Path) -> None:
    """Reckoned again from samples.parquet: quantiles by sorting, for every number of the summary."""
    record = json.loads((sampled / "run.json").read_text(encoding="utf-8"))
    frame, bands = pl.read_parquet(sampled / "samples.parquet"), record["uncertainty"]["bands"]
    known = {k: v for k, v in flatten(record["summary"]).items() if not isinstance(v, str)}
    assert set(bands) == set(known)
    assert {key for key, _, _ in HEADLINES} <= set(bands)
    for name, band in bands.items():
        assert band["base"] == known[name]
        values = sorted(frame[name].drop_nulls().to_list())
        if len(values) < 2:
            assert band["p10"] is band["p90"] is None
            continue
        for share, quantile in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90")):
            place = share * (len(values) - 1)
            low = int(place)
            high = min(low + 1, len(values) - 1)
            expected = values[low] + (place - low) * (values[high] - values[low])
            assert band[quantile] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_known_effects_show(sampled: Path) -> None:
    """Pumps raise the energy of cooling and the PUE and nothing else moves them; carbon follows its factor."""
    section = json.loads((sampled / "run.json").read_text(encoding="utf-8"))["uncertainty"]
    strongest = {
        name: (found[0]["key"], round(found[0]["rho"], 9), found[0]["matters"])
        for name, found in section["rank_correlation"].items()
        if found
    }
    for name in ("cooling_mwh", "pue", "site_energy_mwh", "peak_site_mw"):
        assert strongest[name] == (PUMP, 1.0, True), name
    assert strongest["cer"] == (PUMP, -1.0, True)
    assert strongest["carbon_location_t"] == strongest["cue_kg_per_kwh"] == (FACTOR, 1.0, True)
    assert section["rank_correlation"]["gpu_hours_installed"] == []
    assert section["bands"]["gpu_hours_installed"]["p10"] == section["bands"]["gpu_hours_installed"]["base"]
    assert [one["key"] for one in section["varied"]] == [PUMP, FACTOR]
    assert {one["key"]: one["reason"] for one in section["fixed"]}["site.grid_mw"].startswith("announced")


def test_a_member_is_a_run_of_its_own(sampled: Path) -> None:
    """The row of a member is what `kvandal run` gives with the member's values."""
    frame = pl.read_parquet(sampled / "samples.parquet")
    row = frame.row(3, named=True)
    changes = {"run.days": 1, PUMP: row[PUMP], FACTOR: row[FACTOR]}
    summary = flatten(kv.simulate(kv.load(ROOT / "tests" / "small.toml", changes)).summary)
    for name in frame.columns[5:]:
        assert row[name] == summary[name], name
    assert frame["status"].to_list() == ["kept"] * 6
    strata = np.floor((frame[PUMP].to_numpy() - 7) / 8 * 6).astype(int)
    assert sorted(strata.tolist()) == list(range(6))


def test_workers_change_nothing(kvandal: Command, small: str, sampled: Path, tmp_path: Path) -> None:
    """One worker gives the bytes of two; the table of a person and JSON say the same."""
    arguments = [small, "--days", "1", "--samples", "6", *TWO, "--workers", "1"]
    outcome = kvandal("run", *arguments, "--out", "run")
    assert outcome.code == 0
    for path in sorted(path for path in sampled.rglob("*") if path.is_file()):
        name = path.relative_to(sampled)
        assert (tmp_path / "run" / name).read_bytes() == path.read_bytes(), name
    assert "6 members, 2 parameters drawn from their ranges" in outcome.out
    assert f"{PUMP} +1.00" in outcome.out
    assert "warning: 6 samples tell little" in outcome.err
    assert "simulating 6 members with draws of 2 parameters" in outcome.err
    assert "6 of 6 members" in outcome.err
    document = json.loads(kvandal("run", *arguments, "--out", "again", "--json").out)
    record = json.loads((sampled / "run.json").read_text(encoding="utf-8"))
    assert document["uncertainty"] == record["uncertainty"]


def test_the_report_is_rebuilt_from_the_folder(inside: Command, sampled: Path, tmp_path: Path) -> None:
    """And a folder whose members were changed afterwards is refused."""
    run = Path(shutil.copytree(sampled, tmp_path / "run"))
    page = (run / "report.html").read_bytes()
    assert b"How sure are we?" in page
    (run / "report.html").unlink()
    assert inside("report", "run").code == 0
    assert (run / "report.html").read_bytes() == page
    (run / "samples.parquet").write_bytes((run / "heat.parquet").read_bytes())
    outcome = inside("report", "run")
    assert outcome.code == 2
    assert "samples.parquet: does not match its checksum" in outcome.err
    (run / "samples.parquet").unlink()
    assert "samples.parquet: this table is missing" in inside("report", "run").err


def test_columns_of_the_members_are_documented(sampled: Path) -> None:
    """Fixed columns by name; those of parameters and numbers by their rule."""
    text = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    paragraph = re.search(r"\*\*samples\.parquet\*\*.*?\n\n", text, re.DOTALL)
    assert paragraph is not None
    frame = pl.read_parquet(sampled / "samples.parquet")
    assert frame.columns[:5] == ["member", "status", "reason", PUMP, FACTOR]
    for name in frame.columns[:3]:
        assert f"`{name}`" in paragraph[0]
    keys = set(schema()["$defs"]["uncertainty"]["properties"]) | set(schema()["$defs"]["band"]["properties"])
    assert keys - set(re.findall(r"`([a-z0-9_]+)`", text)) == set()


def test_refused_members_are_counted(inside: Command, small: str, tmp_path: Path) -> None:
    """Values that do not hold together refuse a member, not the run; the folder says which and why."""
    gpu, rack = "rack_models.gb300_nvl72.gpu_tdp_w", "rack_models.gb300_nvl72.rack_tdp_kw"
    changes = ["--set", f"{gpu}=1100.0", "--set", f"{rack}=85.0"]
    outcome = inside("run", small, "--days", "1", *changes, "--samples", "5", "--vary", gpu, "--out", "run")
    assert outcome.code == 0
    assert "members were refused, e.g. rack_models.gb300_nvl72: 72 GPUs of gpu_tdp_w" in outcome.err
    frame = pl.read_parquet(tmp_path / "run" / "samples.parquet")
    refused = frame.filter(pl.col("status") == "refused")
    assert 0 < refused.height < 4
    assert refused["reason"].null_count() == 0
    assert refused["pue"].null_count() == refused.height
    assert (refused[gpu] > 85_000 / 72).all()
    section = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["uncertainty"]
    assert sum(one["members"] for one in section["refused"]) == refused.height == 5 - section["kept"]
    assert "members were refused:" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_batch_without_members_is_refused(inside: Command, small: str, tmp_path: Path) -> None:
    """If every draw contradicts the scenario there is nothing to tell, and nobody waits for it."""
    rack = "rack_models.gb300_nvl72"
    changes = ["--set", f"{rack}.gpu_tdp_w=900.0", "--set", f"{rack}.rack_tdp_kw=70.0"]
    outcome = inside("run", small, *changes, "--samples", "3", "--vary", f"{rack}.gpu_tdp_w", "-q")
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert "--samples: 3 members were drawn and fewer than 2 can be simulated; the first: " in line
    assert "more than rack_tdp_kw = 70" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--samples", "0"], "--samples: must be from 2 to 10,000 members, got 0"),
        (["--samples", "-3"], "--samples: must be from 2 to 10,000 members, got -3"),
        (["--samples", "1"], "--samples: must be from 2 to 10,000 members, got 1"),
        (["--samples", "1000000"], "--samples: must be from 2 to 10,000 members, got 1,000,000"),
        (["--samples", "4", "--workers", "0"], "--workers: must be at least 1, got 0"),
        (["--samples", "4", "--workers", "-2"], "--workers: must be at least 1, got -2"),
        (["--workers", "2"], "--workers: belongs to --samples N"),
        (["--workers", "0"], "--workers: belongs to --samples N"),
        (["--vary", "cooling.*"], "--vary: belongs to --samples N"),
        (["--samples", "4", "--vary", "nonsense"], "--vary nonsense: no parameter with a range has this key"),
        (["--samples", "4", "--vary", "cooling.tcs_suply_c"], "did you mean 'cooling.tcs_supply_c'?"),
        (["--samples", "4", "--vary", "run.days"], "--vary run.days: no parameter with a range has this key"),
        (["--samples", "4", "--vary", ""], "no parameter with a range has this key"),
    ],
)
def test_bad_options(inside: Command, tmp_path: Path, arguments: list[str], expected: str) -> None:
    """One line, exit code 2, before anything runs."""
    outcome = inside("run", *arguments, "--quiet")
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert expected in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "wait_s", "everybody"),
    [(signal.SIGINT, 0.0, True), (signal.SIGINT, 0.3, True), (signal.SIGINT, 2.5, True), (signal.SIGTERM, 2.5, False)],
)  # fmt: skip
def test_an_interrupt_ends_the_workers(
    small_run: Path, small: str, tmp_path: Path, number: int, wait_s: float, everybody: bool
) -> None:
    """Ctrl-C reaches all processes, kill only the parent: one line, the right code, no folder, no worker left."""
    arguments = [small, "--days", "300", "--samples", "50", "--workers", "2", "--out", "X"]
    with subprocess.Popen(
        [*RUN, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:  # fmt: skip
        assert child.stderr is not None
        for line in child.stderr:
            if "simulating 50 members" in line:
                break
        time.sleep(wait_s)
        os.killpg(child.pid, number) if everybody else child.send_signal(number)
        rest = child.stderr.read()  # ends when the last process that writes there has ended
        assert child.wait(30) == 128 + number
    assert rest.endswith("\nkvandal: interrupted; nothing was kept\n"), rest
    assert "Traceback" not in rest
    assert "leaked" not in rest
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_is_told(small_run: Path, small: str, tmp_path: Path) -> None:
    """As when memory runs out: exit code 2, one line, nothing kept."""
    arguments = [small, "--days", "300", "--samples", "50", "--workers", "2", "--out", "X"]
    with subprocess.Popen(
        [*RUN, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "simulating 50 members" in line:
                break
        worker, deadline = None, time.monotonic() + 30
        while worker is None:
            assert time.monotonic() < deadline, child.stderr.read()
            found = subprocess.run(
                ["ps", "-ww", "--ppid", str(child.pid), "-o", "pid=,args="],
                capture_output=True,
                text=True,
                check=False,
            )
            lines = [line for line in found.stdout.splitlines() if "spawn_main" in line]
            worker = int(lines[0].split()[0]) if lines else None
        time.sleep(1)
        os.kill(worker, signal.SIGKILL)
        rest = child.stderr.read()
        assert child.wait(30) == 2
    assert "kvandal: --workers: a worker process died, probably for want of memory; nothing was kept" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_what_progress_raises_ends_the_workers(small_run: Path) -> None:
    """Within seconds, in this process too."""

    class EnoughError(Exception):
        pass

    def progress(_done: int, _total: int) -> None:
        raise EnoughError

    scenario = kv.load(ROOT / "tests" / "small.toml", {"run.days": 60})
    with pytest.raises(EnoughError):
        simulate_members([scenario] * 20, 2, progress)
    assert multiprocessing.active_children() == []


def test_members_that_fail_keep_their_place(small_run: Path) -> None:
    """A member that cannot idle behind its connection is refused with its reason; one that is none stays none."""
    good = kv.load(ROOT / "tests" / "small.toml", {"run.days": 1})
    bad = kv.load(ROOT / "tests" / "small.toml", {"run.days": 1, "site.grid_mw": 0.1, "market.ppa_mw": 0.0})
    first, second, third = simulate_members([good, bad, None], 1)
    assert isinstance(first, Outcome)
    assert first.summary is not None
    assert isinstance(second, Outcome)
    assert second.summary is None
    assert "while idle" in str(second.reason)
    assert third is None


def test_workers_fit_cores_samples_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than members, never fewer than one."""
    from kvandal.runs import members

    assert workers_that_fit(1) == 1
    monkeypatch.setattr(members, "free_bytes", lambda: 10)
    assert workers_that_fit(50) == 1
    monkeypatch.setattr(members, "free_bytes", lambda: None)
    assert 1 <= workers_that_fit(50) <= (os.cpu_count() or 1)
