"""A run, timed stage by stage beside what the machine can do."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numba

import kvandal
from kvandal import report
from kvandal.bench import machine
from kvandal.bench.stopwatch import Stopwatch, timing
from kvandal.demand import build as demands
from kvandal.ledger import attribution
from kvandal.runs import folder as folders
from kvandal.runs import run as runs
from kvandal.runs.members import peak_bytes
from kvandal.scenario.model import Scenario
from kvandal.twin import kernel
from kvandal.twin import simulate as twin
from kvandal.twin.planning import Planner
from kvandal.twin.snapshot import Recorder

STAGES: dict[str, tuple[tuple[Any, str], ...]] = {
    "demand": ((demands, "build_demand"),),
    "prepare": ((twin, "prepare"),),
    "planning": ((Planner, "plan_day"), (Planner, "finish")),
    "loop": ((kernel, "advance"), (kernel, "end_run")),
    "saved states": ((Recorder, "take"),),
    "attribution": ((attribution, "attribute"), (attribution, "tenant_energy_table"), (attribution, "job_amounts")),
    "ledger": ((runs, "simulate"),),
    "writing": ((folders.RunWriter, "take"), (folders.RunWriter, "finish")),
    "report": ((report, "render"),),
}  # fmt: skip
"""Stages of a run and the functions that are them; what a function calls that is a stage of its own counts there."""


def simulated_and_written(scenario: Scenario) -> tuple[dict[str, Any], Stopwatch, float]:
    """Run a scenario into a temporary folder; return its summary, the times of its stages and the folder's size [MiB]."""
    points = tuple((stage, owner, name) for stage, places in STAGES.items() for owner, name in places)
    with tempfile.TemporaryDirectory(prefix="kvandal-bench-") as place, timing(points) as watch:
        target = Path(place) / "run"
        with folders.run_folder(target) as writer:
            result = runs.simulate(scenario, take=writer.take)
            writer.finish(result)
        size_mib = sum(path.stat().st_size for path in target.rglob("*")) / 2**20
        return dict(result.summary), watch, size_mib


def warmed_up(scenario: Scenario) -> float:
    """Simulate and write one day, so that everything is compiled and loaded; return how long it took [s]."""
    began = time.perf_counter()
    simulated_and_written(scenario.model_copy(update={"run": scenario.run.model_copy(update={"days": 1})}))
    return time.perf_counter() - began


def measured(scenario: Scenario, *, machine_too: bool = True) -> dict[str, Any]:
    """Run a scenario twice, a day to warm up and then in full, and time the second.

    Parameters
    ----------
    scenario
        What is run.
    machine_too
        Also measure memory, arithmetic and the bare sweep (some seconds).

    Returns
    -------
    dict
        ``wall_s``, ``cpu_s`` (simulating and writing), ``stages`` (wall and processor time of each), sizes, speeds,
        ``peak_mib``; ``calibration_s`` (before and after the run, the mean) and the run divided by it; and of the machine,
        ``machine`` with ``loop_over_floor``: the loop over the bare sweep of as many racks and ticks.

    """
    warm_s = warmed_up(scenario)
    before_s = machine.calibration_s()
    began, cpu_began = time.perf_counter(), time.process_time()
    summary, watch, size_mib = simulated_and_written(scenario)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    peak = peak_mib()
    calibration_s = (before_s + machine.calibration_s()) / 2
    racks, jobs = scenario.site.racks, int(summary["jobs_submitted"])
    ticks = scenario.run.days * 86_400 // scenario.run.tick_s
    write_s = watch.wall_s["writing"] + watch.wall_s["report"]
    loop_s = watch.cpu_s["loop"]
    figures: dict[str, Any] = {
        "scenario": scenario.name,
        "days": scenario.run.days,
        "racks": racks,
        "ticks": ticks,
        "jobs": jobs,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "simulate_s": round(wall_s - write_s, 3),
        "write_s": round(write_s, 3),
        "warm_up_s": round(warm_s, 3),
        "calibration_s": round(calibration_s, 4),
        "wall_over_calibration": round(wall_s / calibration_s, 2),
        "cpu_over_calibration": round(cpu_s / calibration_s, 2),
        "stages": {
            stage: {"wall_s": round(watch.wall_s[stage], 3), "cpu_s": round(watch.cpu_s[stage], 3)}
            for stage in STAGES
            if stage in watch.wall_s
        },
        "peak_mib": peak,
        "rack_ticks_per_s": round(racks * ticks / (wall_s - write_s)),
        "jobs_per_s": round(jobs / (wall_s - write_s)),
        "loop_ns_per_rack_tick": round(loop_s / (racks * ticks) * 1e9, 3),
        "folder_mib": round(size_mib, 1),
    }
    if machine_too:
        figures["machine"] = roofline(racks, ticks, loop_s)
    return figures


def roofline(racks: int, ticks: int, loop_s: float) -> dict[str, Any]:
    """Measure what the machine can do, and how far a loop over so many racks and ticks is from the bare sweep of them."""
    least_s = machine.floor_s(racks, ticks)
    return {
        "bandwidth_gb_per_s": round(machine.bandwidth_gb_per_s(), 1),
        "arithmetic_gflop_per_s": round(machine.arithmetic_gflop_per_s(), 2),
        "floor_s": round(least_s, 4),
        "floor_ns_per_rack_tick": round(least_s / (racks * ticks) * 1e9, 3),
        "floor_bytes_per_rack_tick": machine.FLOOR_BYTES,
        "floor_flops_per_rack_tick": machine.FLOOR_FLOPS,
        "loop_over_floor": round(loop_s / least_s, 1),
    }


def versions() -> dict[str, str]:
    """Versions that figures depend on."""
    return {
        "kvandal_version": kvandal.__version__,
        "python_version": runs.versions()["python"],
        "numba_version": numba.__version__,
    }


def peak_mib() -> float | None:
    """Largest memory of this process [MiB]; None where the system does not tell."""
    peak = peak_bytes()
    return None if peak is None else round(peak / 2**20, 1)
