"""`kvandal bench`: how fast the twin is on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    note_compilation,
    number,
    print_json,
    print_table,
    scenario_of,
)


def bench(
    scenario: ScenarioArgument = "stargate-norway",
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of the run [days].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time a run, warm, by stage, its memory and its folder; and one decision with thousands of jobs running and queued."""
    from kvandal import compiled

    asked = scenario_of(scenario, changes, {"run.days": ("--days", days), "run.seed": ("--seed", seed)})
    signals.hold()
    cached = compiled.is_cached()
    note_compilation()
    figures = measured(asked, cached=cached)
    if as_json:
        print_json(figures)
    else:
        rows = [(key, value if isinstance(value, str) else number(value)) for key, value in figures.items()]
        print_table("bench", [("", ""), ("", "right")], rows)


def measured(scenario: Any, *, cached: bool) -> dict[str, Any]:
    """Run a scenario twice, a day to warm up and then in full, and time the second."""
    import tempfile

    import numba

    import kvandal
    from kvandal import compiled
    from kvandal.runs.decision_time import decision_times
    from kvandal.runs.folder import run_folder
    from kvandal.runs.run import simulate, versions

    warm = scenario.model_copy(update={"run": scenario.run.model_copy(update={"days": 1})})
    began = time.perf_counter()
    simulate(warm)
    compiled.mark_cached()
    warmed = time.perf_counter()
    written = [0.0]
    with tempfile.TemporaryDirectory(prefix="kvandal-bench-") as folder:
        target = Path(folder) / "run"
        with run_folder(target) as writer:

            def take(name: str, table: Any) -> None:
                start = time.perf_counter()
                writer.take(name, table)
                written[0] += time.perf_counter() - start

            result = simulate(scenario, take=take)
            start = time.perf_counter()
            writer.finish(result)
            written[0] += time.perf_counter() - start
        ended = time.perf_counter()
        size_mib = sum(path.stat().st_size for path in target.rglob("*")) / 2**20
    peak_mib, simulate_s = _peak_mib(), ended - warmed - written[0]
    ticks = scenario.run.days * 86_400 // scenario.run.tick_s
    jobs = int(result.summary["jobs_submitted"])
    return {
        "scenario": scenario.name,
        "days": scenario.run.days,
        "racks": scenario.site.racks,
        "ticks": ticks,
        "jobs": jobs,
        "wall_s": round(ended - warmed, 3),
        "simulate_s": round(simulate_s, 3),
        "write_s": round(written[0], 3),
        "warm_up_s": round(warmed - began, 3),
        "kernels_cached": cached,
        "peak_mib": peak_mib,
        "rack_ticks_per_s": round(scenario.site.racks * ticks / simulate_s),
        "jobs_per_s": round(jobs / simulate_s),
        "folder_mib": round(size_mib, 1),
        **decision_times(scenario),
        "kvandal_version": kvandal.__version__,
        "python_version": versions()["python"],
        "numba_version": numba.__version__,
    }


def _peak_mib() -> float | None:
    """Largest memory of this process [MiB]; None where the system does not tell."""
    import sys

    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
