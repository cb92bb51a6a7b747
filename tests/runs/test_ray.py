"""A real Ray cluster of two nodes: the same bytes as here, also when a worker and then its whole node are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SMALL = str(ROOT / "tests" / "small.toml")
COMMAND = [sys.executable, "-m", "kvandal.cli.main"]
SWEEP = ["sweep", SMALL, "--days", "12", "--vary", "site.grid_mw=1.2,2.0,0.01", "--samples", "4"]
SEARCH = [
    "optimise", SMALL, "--days", "1", "--maximise", "gpu_hours", "--subject-to", "peak_mw < 1.0",
    "--over", "site.grid_mw=1.0..2.0", "--trials", "6", "--check", "1",
]  # fmt: skip
PATIENCE_S = 120


@pytest.fixture(scope="module")
def cluster():
    """Address of the head, and the processes that manage the two nodes (raylets)."""
    script = str(Path(__file__).parent / "ray_cluster.py")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        address, *raylets = process.stdout.readline().split()
        try:
            yield address, [int(raylet) for raylet in raylets]
        finally:
            process.stdin.close()
            process.stdout.read()


def working(raylet):
    """Processes of a node that simulate."""
    listed = subprocess.run(
        ["ps", "-ww", "--ppid", str(raylet), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    lines = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, args in lines if args.startswith("ray::_simulate")]


def until(condition, child):
    """Wait until something is so, while the program is at work."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_cluster_gives_the_same_bytes_although_a_worker_is_killed(small_run, cluster, tmp_path):
    """A worker process of the second node dies in the middle, then the node itself: nothing is lost, nothing differs."""
    address, (_, second) = cluster
    there, here = tmp_path / "there", tmp_path / "here"
    with subprocess.Popen(
        [*COMMAND, *SWEEP, "--ray", address, "--out", str(there)], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:  # fmt: skip
        (worker,) = until(lambda: working(second), child)
        until(lambda: list(there.glob("members/*")), child)
        os.kill(worker, signal.SIGKILL)
        (other,) = until(lambda: [pid for pid in working(second) if pid != worker], child)
        assert other != worker
        left = 12 - len(list(there.glob("members/member-*")))
        os.kill(second, signal.SIGKILL)
        out, err = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 0, err
    assert left > 0
    assert not working(second)
    assert "12 of 12 members" in err
    assert "Traceback" not in err
    assert "useful GPU-hours" in out
    subprocess.run(
        [*COMMAND, *SWEEP, "--out", str(here), "-q"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=300,
    )
    paths = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert len(paths) == 16
    for path in paths:
        assert (there / path).read_bytes() == (here / path).read_bytes(), path


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_search_on_a_cluster_is_the_same_too(small_run, cluster, tmp_path):
    """Also on what is left of it; a folder begun there goes on here."""
    address, _ = cluster
    there, here = tmp_path / "there", tmp_path / "here"
    for folder, more in ((there, ["--ray", address]), (here, [])):
        subprocess.run([*COMMAND, *SEARCH, *more, "--out", str(folder), "-q"], cwd=tmp_path, check=True, capture_output=True, timeout=300)  # fmt: skip
    for name in ("trials.parquet", "optimise.json", "optimise.html"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    again = subprocess.run([*COMMAND, "optimise", "--resume", str(there)], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=300)  # fmt: skip
    assert re.search(r"best: trial \d", again.stdout)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:9", "no Ray cluster answers there"), ("nowhere", "expected HOST:PORT, or auto"), ("127.0.0.1:x", "no Ray cluster answers there")],
)  # fmt: skip
def test_no_cluster_is_told_at_once(tmp_path, address, expected):
    """One line, exit code 2; what is asked for is kept, so that it can go on elsewhere."""
    outcome = subprocess.run(
        [*COMMAND, *SWEEP, "--ray", address, "--out", "X"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert outcome.returncode == 2
    (line,) = [
        one for one in outcome.stderr.splitlines() if one.startswith("kvandal: ") and "warning" not in one
    ]
    assert expected in line
    assert "Traceback" not in outcome.stderr
