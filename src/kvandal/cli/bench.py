"""`kvandal bench`: how fast the twin is on this machine."""

from __future__ import annotations

import resource
import time
from typing import Annotated

import typer

from kvandal.cli.options import JsonOption, ScenarioArgument, SetOption, number, print_json, print_table, scenario_of


def bench(
    scenario: ScenarioArgument = "stargate-norway",
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of the run [days]. Default: the scenario's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time a run, warm: wall seconds by stage, peak memory, rack-ticks and jobs per second, size of the folder."""
    import tempfile
    from pathlib import Path

    from kvandal.runs.folder import write_run
    from kvandal.runs.run import simulate

    asked = scenario_of(scenario, changes, **{"run.days": days})
    simulate(asked.model_copy(update={"run": asked.run.model_copy(update={"days": 1})}))  # compile or load the kernels
    began = time.perf_counter()
    result = simulate(asked)
    simulated = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "run"
        write_run(result, target)
        written = time.perf_counter()
        size_mib = sum(path.stat().st_size for path in target.iterdir()) / 2**20
    ticks = asked.run.days * 86_400 // asked.run.tick_s
    jobs = int(result.summary["jobs_submitted"])
    wall_s = written - began
    figures = {
        "scenario": asked.name,
        "days": asked.run.days,
        "racks": asked.site.racks,
        "ticks": ticks,
        "jobs": jobs,
        "wall_s": round(wall_s, 3),
        "simulate_s": round(simulated - began, 3),
        "write_s": round(written - simulated, 3),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "rack_ticks_per_s": round(asked.site.racks * ticks / (simulated - began)),
        "jobs_per_s": round(jobs / (simulated - began)),
        "folder_mib": round(size_mib, 1),
    }
    if as_json:
        print_json(figures)
    else:
        print_table("bench", [("", ""), ("", "right")], [(k, v if isinstance(v, str) else number(v)) for k, v in figures.items()])
