"""Ctrl-C, kill and a full disk in the middle of a run: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "kvandal.cli.main"]
READING, WRITING = "reading demand", "writing tables"


def stopped(
    arguments: list[str],
    folder: Path,
    *,
    after: str,
    wait_s: float,
    number: int = signal.SIGINT,
    times: int = 1,
) -> tuple[int, str]:
    """Start a run, send a signal some time after a line of its progress, and return exit code and standard error."""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        seen = ""
        for line in child.stderr:
            seen += line
            if after in line:
                break
        time.sleep(wait_s)
        for _ in range(times):
            if child.poll() is None:
                child.send_signal(number)
                time.sleep(0.002)
        seen += child.stderr.read()
        return child.wait(), seen


@pytest.mark.parametrize(
    ("after", "wait_s"), [(READING, 0.0), (READING, 0.15), (READING, 0.5), (READING, 1.2), (WRITING, 0.0), (WRITING, 0.12)]
)  # fmt: skip
def test_ctrl_c_leaves_nothing(small_run: Path, tmp_path: Path, after: str, wait_s: float) -> None:
    """While importing, reading, simulating or writing: exit code 130, one line, no folder, no draft."""
    code, err = stopped(
        ["run", "stargate-norway", "--days", "60", "--out", "new/X"], tmp_path, after=after, wait_s=wait_s
    )
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert code == 130, err
    assert err.endswith("\nkvandal: interrupted; nothing was kept\n")
    assert list(tmp_path.iterdir()) == []


def test_an_impatient_ctrl_c_leaves_nothing(small_run: Path, tmp_path: Path) -> None:
    """Ten times in a row, while the draft is being cleared away too."""
    arguments = ["run", "stargate-norway", "--days", "30", "--out", "new/X"]
    code, err = stopped(arguments, tmp_path, after=WRITING, wait_s=0.1, times=10)
    assert code == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_ends_clear_the_draft_away_too(small_run: Path, tmp_path: Path, number: int, code: int) -> None:
    """``kill`` and a closed terminal."""
    arguments = ["run", "stargate-norway", "--days", "30", "--out", "X"]
    ended, err = stopped(arguments, tmp_path, after=WRITING, wait_s=0.05, number=number)
    assert ended == code, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_was_swallowed_comes_again() -> None:
    """Where Python cannot raise (a destructor), the interrupt is raised again a moment later."""
    code = (
        "import os, signal, time\n"
        "from kvandal.cli import signals\n"
        "signals.listen()\n"
        "class Deaf:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.01)\n"
        "try:\n"
        "    Deaf()\n"
        "    time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    print('heard', signals.received())\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout == "heard 2\n"
    assert finished.stderr == ""


@pytest.mark.parametrize("bytes_allowed", [1_000, 60_000, 1_000_000])
def test_a_file_that_may_not_grow(
    kvandal: Callable[..., Any], small: str, small_run: Path, tmp_path: Path, bytes_allowed: int
) -> None:
    """The limit bites at the first table, at a later one, at the report: exit code 2, nothing is kept."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))

    outcome = kvandal("run", small, "--out", "new/run", "--json", preexec_fn=limit)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.mistakes == ["kvandal: new/run: cannot be written: File too large; nothing was kept"]
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_may_not_grow_leaves_the_old_one(
    kvandal: Callable[..., Any], small_run: Path, tmp_path: Path
) -> None:
    """The page that was there stays whole."""
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    before = {path.name: path.stat().st_size for path in run.iterdir()}
    outcome = kvandal(
        "report", "run", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
    )
    assert outcome.code == 2
    assert outcome.mistakes == [
        "kvandal: run/report.html: cannot be written: File too large; nothing was kept"
    ]
    assert {path.name: path.stat().st_size for path in run.iterdir()} == before


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 200 kB, where this machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    allowed = mount is not None and os.geteuid() == 0
    if allowed:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
        )
        allowed = made.returncode == 0
    if not allowed:
        pytest.skip("not run: this machine does not let us mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(kvandal: Callable[..., Any], small: str, small_run: Path, tiny_disk: Path) -> None:
    """A real file system without room."""
    outcome = kvandal("run", small, "--out", str(tiny_disk / "run"), "-q")
    assert outcome.code == 2
    assert outcome.mistakes == [
        f"kvandal: {tiny_disk / 'run'}: cannot be written: No space left on device; nothing was kept"
    ]
    assert list(tiny_disk.iterdir()) == []
