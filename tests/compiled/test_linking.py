"""Kernels on disk: compiled once, then loaded without the compiler; entries carry what lies below them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALL = """
import numba.core.event as event
compiled = []
class Listener(event.Listener):
    def on_start(self, happened):
        compiled.append(happened.data["dispatcher"].py_func.__qualname__)
    def on_end(self, happened):
        pass
event.register("numba:compile", Listener())
import numpy as np
"""


def in_a_process(cache: Path, code: str) -> tuple[list[str], list[str]]:
    """Run code with a cache of its own; return its lines and the names of what was compiled."""
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KVANDAL_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    *lines, last = finished.stdout.splitlines()
    word, *names = last.split()
    assert word == "COMPILED"
    return lines, names


SITE = """
import kvandal as kv
from kvandal.twin.simulate import prepare
from kvandal.demand.jobs import JobTable
scenario = kv.load({preset!r}, {{"run.days": 1, "site.fleet.main.gpus": 720, "site.grid_mw": 3.0}})
start = prepare(scenario, JobTable.empty())
print(repr(float(start.plant.tick.sum())), repr(float(start.state.rules["job_kw_maximum"][0]) if "job_kw_maximum" in start.state.rules.dtype.names else 0))
print("COMPILED", *compiled)
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_says_the_same(tmp_path: Path) -> None:
    """The kernels that make a site ready, most of the plant among them."""
    code = CALL + SITE.format(preset="stargate-norway")
    first, compiled = in_a_process(tmp_path, code)
    assert len(compiled) > 50
    again, none = in_a_process(tmp_path, code)
    assert none == []
    assert again == first


POLYNOMIAL = """
from kvandal.bench.machine import polynomial
points = np.array([0.25])
polynomial(points, 3)
print(repr(float(points[0])))
print("COMPILED", *compiled)
"""


def test_a_cache_that_lost_a_file_is_filled_again(tmp_path: Path) -> None:
    """Whatever file of the cache is missing, or cut off by a full disk: the result is the same."""
    first, compiled = in_a_process(tmp_path, CALL + POLYNOMIAL)
    assert compiled == ["polynomial__from_python", "polynomial"]
    for path in sorted(tmp_path.rglob("*.nb*")):
        path.unlink()
        again, renewed = in_a_process(tmp_path, CALL + POLYNOMIAL)
        assert again == first
        assert set(renewed) <= set(compiled)
    assert in_a_process(tmp_path, CALL + POLYNOMIAL) == (first, [])
