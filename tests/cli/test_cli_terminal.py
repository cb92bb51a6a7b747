"""Terminals, pipes and encodings: a bar while it runs, quiet ends, no failure for lack of a letter."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "kvandal.cli.main"]
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def on_terminal(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Exit code, standard output (a pipe), and what a terminal on standard error saw."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=theirs) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the terminal is gone: the child has ended
                break
            if not part:
                break
            seen += part
        assert child.stdout is not None
        out = child.stdout.read()
        code = child.wait()
    os.close(ours)
    return code, out.decode(), seen.decode(errors="replace")


def test_a_bar_with_date_and_speed_moves_while_it_runs(tmp_path: Path, small: str) -> None:
    """On a terminal: the simulated date, a share, days per second; the cursor comes back."""
    code, out, seen = on_terminal("run", small, "--set", "run.days=40", "--out", "x", cwd=tmp_path)
    assert code == 0
    assert re.search(r"2027-0[12]-\d\d", seen)
    assert re.search(r"\d+ %", seen)
    assert re.search(r"[\d,]+ days/s", seen)
    assert seen.count("\x1b[?25h") == seen.count("\x1b[?25l")
    assert "days/s" not in out
    assert "PUE" in out


def test_a_what_if_has_one_bar_after_the_other(tmp_path: Path, small: str) -> None:
    """Each side of the first seed, then all the other seeds together; the cursor comes back."""
    arguments = ["--days", "1", "--set", "site.grid_mw=1.0", "--seeds", "2", "--workers", "1", "--out", "x"]
    code, out, seen = on_terminal("whatif", small, *arguments, cwd=tmp_path)
    assert code == 0
    places = [
        seen.index(text)
        for text in ("variant:", "base:", "simulations of the other seeds", "2/2", "writing tables")
    ]
    assert places == sorted(places)
    assert seen.count("\x1b[?25h") == seen.count("\x1b[?25l")
    assert out.startswith("changed: site.grid_mw")


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_scripts_see_no_bar(tmp_path: Path, small: str, option: str) -> None:
    """With --quiet or --json only warnings reach standard error."""
    code, out, seen = on_terminal("run", small, "--days", "1", "--out", "x", option, cwd=tmp_path)
    assert code == 0
    assert all(line.startswith("kvandal: warning: ") for line in seen.splitlines())
    if option == "--json":
        assert json.loads(out)["folder"] == "x"
    else:
        assert out == ""


def test_a_reader_that_has_gone_away_is_no_error(tmp_path: Path) -> None:
    """``kvandal params | head -1`` ends quietly, whatever the output is."""
    for arguments in (["params"], ["params", "--json"], ["show", "stargate-norway"]):
        with subprocess.Popen(
            [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait() == 0


def test_standard_output_on_a_full_disk(kvandal: Callable[..., Any]) -> None:
    """Said, with exit code 2."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        finished = subprocess.run(
            [*COMMAND, "params"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert finished.returncode == 2
    assert finished.stderr == "kvandal: standard output: cannot be written: No space left on device\n"


def test_closed_standard_streams_are_no_error(tmp_path: Path) -> None:
    """``>&-`` and ``2>&-``: what goes to one does not come out of the other."""
    command = " ".join(COMMAND)
    script = f"{command} show tests.toml --json 2>&- ; {command} params site.grid >&- 2>&1"
    (tmp_path / "tests.toml").write_text(
        'extends = "stargate-norway"\nsite.grid_mw = 900.0\n', encoding="utf-8"
    )
    finished = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(finished.stdout)["grid_mw"] == 900.0
    assert "Traceback" not in finished.stderr


def test_a_terminal_without_utf8(kvandal: Callable[..., Any], small_run: Path, tmp_path: Path) -> None:
    """Letters that it lacks become question marks; JSON is escaped and loses nothing."""
    assert kvandal("show", "stargate-norway", environment=ASCII).code == 0
    assert kvandal("params", environment=ASCII).code == 0
    (tmp_path / "site.toml").write_text('site.title = "Bjørkåsen ☃"\nname = "x"\n', encoding="utf-8")
    document = json.loads(kvandal("show", "site.toml", "--json", environment=ASCII).out)
    assert document["title"] == "Bjørkåsen ☃"
    outcome = kvandal("show", "måne.toml", environment=ASCII)
    assert outcome.code == 2
    assert "no such file" in outcome.err
