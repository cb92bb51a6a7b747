"""`kvandal sweep` and `kvandal optimise`: what they print, what they refuse, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
PROGRAM = [sys.executable, "-m", "kvandal.cli.main"]
TWO = ["--vary", "site.grid_mw=1.5,2.0"]


def test_a_sweep_is_told_and_found_again(
    kvandal: Command, small: str, small_run: Path, tmp_path: Path
) -> None:
    """A table with the front, progress with the time left, JSON with the same, and nothing to do the second time."""
    arguments = ["sweep", small, "--days", "1", *TWO, "--samples", "2", "--out", "grid"]
    outcome = kvandal(*arguments)
    assert outcome.code == 0
    assert "4 members of 1 day: 2 combinations with 2 seeds" in outcome.err
    assert "left" in outcome.err
    assert "4 of 4 members" in outcome.err
    assert "useful GPU-hours [GPU-h]" in outcome.out
    assert "*" in outcome.out
    assert outcome.out.endswith("grid/sweep.html\n")
    document = json.loads(kvandal(*arguments, "--json").out)
    assert [one["values"] for one in document["points"]] == [{"site.grid_mw": 1.5}, {"site.grid_mw": 2.0}]
    assert document["members"] == 4
    again = kvandal("sweep", "--resume", "grid", "-q")
    assert (again.code, again.out, again.err) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} == {"grid"}


def test_the_command_of_the_issue_runs(kvandal: Command, small: str, small_run: Path, tmp_path: Path) -> None:
    """Two bounds after one option, a unit that is said and one that is not."""
    outcome = kvandal(
        "optimise", small, "--maximise", "gpu_hours", "--subject-to", "wait_p95_norway < 30 min", "peak_mw < 230",
        "--over", "site.grid_mw=1.5..2.0", "cooling.heat_rejection=dry_cooler,seawater", "--days", "1", "--trials", "4",
        "--check", "1", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert [one["limit"] for one in document["bounds"]] == [1800.0, 230.0]
    assert set(document["best"]["values"]) == {"site.grid_mw", "cooling.heat_rejection"}
    assert document["folder"] == "searches/small-1"
    assert (tmp_path / "searches" / "small-1" / "trials.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "SCENARIO: name a preset or a TOML file, or --resume FOLDER"),
        (["stargate-norway"], "--vary: give at least one key with its values"),
        (["nothing", *TWO], "nothing: no such preset or file"),
        (["stargate-norway", "--vary", "site.grid_mw"], "--vary: expected KEY=a,b,c"),
        (["stargate-norway", "--vary", "site.grid_mw=1,,2"], "--vary site.grid_mw: a value is empty in '1,,2'"),
        (["stargate-norway", "--vary", "site.grid_mw=150,150"], "--vary site.grid_mw: a value is given twice"),
        (["stargate-norway", *TWO, "--vary", "site.grid_mw=3"], "--vary site.grid_mw: is given twice"),
        (["stargate-norway", "--vary", "site.grid_mv=150,160"], "--vary site.grid_mv: "),
        (["stargate-norway", "--vary", "site.grid_mw=-1,many"], "--vary site.grid_mw: must be above 0, got -1"),
        (["stargate-norway", "--vary", "run.seed=1,2"], "--vary run.seed: seeds are varied by --samples N"),
        (["stargate-norway", *TWO, "--set", "site.grid_mw=3"], "--vary site.grid_mw: is varied, so it cannot be set too"),
        (["stargate-norway", *TWO, "--samples", "0"], "--samples: must be at least 1, got 0"),
        (["stargate-norway", *TWO, "--samples", "1", "--draw", "cooling.*"], "--samples: must be at least 2, got 1"),
        (["stargate-norway", *TWO, "--samples", "90000"], "--vary: 180,000 members are asked for, at most 100,000"),
        (["stargate-norway", *TWO, "--samples", "2", "--draw", "nonsense"], "--draw nonsense: no parameter with a range has this key"),
        (["stargate-norway", *TWO, "--samples", "2", "--draw", "site.grid_mw"], "--draw site.grid_mw: is varied, so it cannot be drawn too"),
        (["stargate-norway", *TWO, "--workers", "0"], "--workers: must be at least 1, got 0"),
        (["stargate-norway", *TWO, "--workers", "2", "--ray", "auto"], "--workers: the cluster has its own"),
        (["--resume", "nowhere"], "nowhere: no such folder"),
        (["--resume", "."], ".: is no folder of a sweep or a search"),
        (["stargate-norway", "--resume", "."], "--resume: the folder says all of that itself; leave out SCENARIO"),
        (["--resume", ".", "--samples", "3"], "--resume: the folder says all of that itself; leave out --samples"),
        (["stargate-norway", *TWO, "--out", "/proc/x"], "/proc/x: cannot be written"),
    ],
)  # fmt: skip
def test_bad_sweeps_are_refused(inside: Command, tmp_path: Path, arguments: list[str], expected: str) -> None:
    """One line with the key and what is allowed, exit code 2, before anything runs; nothing is left behind."""
    outcome = inside("sweep", *arguments, "-q")
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert expected in line
    assert list(tmp_path.iterdir()) == []


OVER = ["--over", "site.grid_mw=150..230"]
WELL = ["stargate-norway", "--maximise", "gpu_hours", *OVER]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "SCENARIO: name a preset or a TOML file, or --resume FOLDER"),
        (["stargate-norway", *OVER], "--maximise: say what is wanted, e.g. --maximise gpu_hours"),
        (["stargate-norway", "--maximise", "gpu_hours"], "--over: give at least one key with its range"),
        (["stargate-norway", *OVER, "--maximise", "gpu_hour"], "--maximise: no quantity 'gpu_hour'; did you mean gpu_hours"),
        (["stargate-norway", *OVER, "--minimise", "carbon_market_basis"], "--minimise: no quantity 'carbon_market_basis'"),
        ([*WELL, "--maximise", "gpu_hours_useful"], "--maximise: the same quantity is asked for twice"),
        ([*WELL, "--subject-to", "peak_mw < 30 min"], "peak_mw measures power, allowed: kW, MW, GW"),
        ([*WELL, "--subject-to", "wait_p95_norway < 30 min", "peak_mw < "], "--subject-to: expected NAME < NUMBER UNIT"),
        ([*WELL, "--over", "site.grid_mw=1..2"], "--over site.grid_mw: is given twice"),
        ([*WELL, "--over", "site.grid_mv=1..2"], "--over site.grid_mv: "),
        ([*WELL, "--over", "run.seed=1..2"], "--over run.seed: is chance, nothing to choose"),
        ([*WELL, "--over", "cooling.heat_rejection=1..2"], "--over cooling.heat_rejection: "),
        ([*WELL, "--set", "site.grid_mw=3"], "--over site.grid_mw: is searched, so it cannot be set too"),
        ([*WELL, "--trials", "1"], "--trials: must be from 2 to 100,000, got 1"),
        ([*WELL, "--samples", "0"], "--samples: must be from 1 to 1,000, got 0"),
        ([*WELL, "--check", "-1"], "--check: must be from 0 to 1,000, got -1"),
        (["--resume", ".", "--trials", "3"], "--resume: the folder says all of that itself; leave out --trials"),
    ],
)  # fmt: skip
def test_bad_searches_are_refused(
    inside: Command, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    """One line with what is allowed, exit code 2, before anything runs; nothing is left behind."""
    outcome = inside("optimise", *arguments, "-q")
    assert outcome.code == 2
    (line,) = outcome.mistakes
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(inside: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither Ray nor Optuna is part of the core: the line says what to install."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = inside("optimise", *WELL)
    assert (outcome.code, outcome.mistakes) == (2, ["kvandal: optimise: the package optuna is not installed; pip install 'kvandal[optimise]'"])  # fmt: skip
    outcome = inside("sweep", "stargate-norway", *TWO, "--ray", "auto", "--out", "X")
    assert (outcome.code, outcome.mistakes) == (2, ["kvandal: --ray: the package ray is not installed; pip install 'kvandal[ray]'"])  # fmt: skip


def test_neither_extra_is_imported_without_being_asked_for(
    small: str, small_run: Path, tmp_path: Path
) -> None:
    """A sweep on this machine knows nothing of Ray, nor of Optuna."""
    code = (
        "import sys\n"
        "from kvandal.cli.main import main\n"
        f"sys.argv = ['kvandal', 'sweep', {small!r}, '--days', '1', *{TWO!r}, '--out', 'X', '-q']\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        print(ended.code, [name for name in ('ray', 'optuna', 'sqlalchemy') if name in sys.modules])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    finished = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)  # fmt: skip
    assert finished.stdout == "0 []\n"


def test_an_interrupt_keeps_what_is_finished(small: str, small_run: Path, tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, one line that says how to go on, no half-written member, no worker left."""
    arguments = [small, "--days", "30", "--vary", "site.grid_mw=1.5,2.0", "--samples", "9", "--out", "X"]
    with subprocess.Popen(
        [*PROGRAM, "sweep", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:  # fmt: skip
        assert child.stderr is not None
        members, deadline = tmp_path / "X" / "members", time.monotonic() + 120
        while not list(members.glob("member-*")):
            assert time.monotonic() < deadline
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)
        rest = child.stderr.read()  # ends when the last process that writes there has ended
        assert child.wait(30) == 130
    assert rest.endswith(
        "\nkvandal: interrupted; finished members are kept; go on with kvandal sweep --resume X\n"
    ), rest
    assert "Traceback" not in rest
    names = [path.name for path in members.iterdir()]
    assert names
    assert all(
        name.startswith("member-") and json.loads((members / name).read_bytes())["summary"] for name in names
    )
