"""`kvandal bench --serve`: how fast the live service is on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kvandal.cli.options import emit, note, note_compilation, number, print_table, scenario_of
from kvandal.cli.serve import needs_serve
from kvandal.errors import ScenarioError

DEFAULTS = {"--rate": 500.0, "--seconds": 30.0, "--cycles": 300, "--minutes": 3.0, "--speed": 60.0}
MOST = {"--rate": 100_000, "--seconds": 86_400, "--cycles": 1_000_000, "--minutes": 100_000, "--speed": 3600}
POSITIVE = ("--rate", "--speed")
COLUMNS = ("p50", "p95", "p99", "max")


def measured(source: str, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Measure what is asked for: load, cycles and memory.

    Parameters
    ----------
    source
        Scenario of the site, as `kvandal serve` takes it.
    seed
        Of requests and jobs; None: 1.
    given
        Options by their names; None where one was not given.

    """
    needs_serve()
    from kvandal import __version__, compiled
    from kvandal.bench.serving import cycles, load, memory, server

    asked = {option: DEFAULTS[option] if given[option] is None else given[option] for option in DEFAULTS}
    for option, value in asked.items():
        above = option in POSITIVE
        if not (math.isfinite(value) and 0 <= value <= MOST[option]) or (above and value == 0):
            words = "above 0 and at most" if above else "from 0 to"
            raise ScenarioError(f"= {value:g}: must be {words} {MOST[option]:,}", key=option)
    database, seed = given["--database"], 1 if seed is None else seed
    scenario, speed = scenario_of(source, None), float(asked["--speed"])
    with server.room_in(database):
        pass  # says at once whether it can be used
    note_compilation("live")
    figures: dict[str, Any] = {"scenario": scenario.name, "seed": seed, "kvandal_version": __version__}
    figures |= {"processors": server.processors(), "load_average_before": server.load_average()}
    if asked["--seconds"]:
        note(f"asking {asked['--rate']:g} times a second for {asked['--seconds']:g} s ...")
        figures["load"] = load.measured(
            scenario, source, rate=float(asked["--rate"]), seconds=float(asked["--seconds"]), speed=speed,
            database=database, seed=seed,
        )  # fmt: skip
    if asked["--cycles"]:
        figures["cycle"] = cycles.measured(
            scenario, cycles=int(asked["--cycles"]), speed=speed, database=database, seed=seed, progress=note
        )
    compiled.mark_cached("live")
    if asked["--minutes"]:
        note(f"watching memory for {asked['--minutes']:g} minutes ...")
        figures["memory"] = memory.measured(
            scenario, source, minutes=float(asked["--minutes"]), speed=speed, progress=note
        )
    figures["load_average_after"] = server.load_average()
    return figures


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print what was measured."""
    if load := figures.get("load"):
        emit(
            f"{figures['scenario']}: {load['achieved_per_s']:,.0f} requests/s of {load['asked_per_s']:,.0f} asked, "
            f"{load['errors']:,} errors; from when each was due to its answer, ms"
        )
        rows = [
            (kind, number(one["requests"]), *(f"{one[name]:,.1f}" for name in COLUMNS))
            for kind, one in load["latency_ms"].items()
        ]
        print_table(
            "",
            [("", ""), ("requests", "right"), *((name, "right") for name in COLUMNS)],
            rows,
        )
        late = load["generator_late_ms"]
        print_table(
            "",
            [("", ""), ("", "right")],
            [
                ("processors, server", number(load["server_cpu"])),
                ("processors, generator", number(load["generator_cpu"])),
                ("requests sent late, p99 ms", number(late["p99"])),
                ("memory of the server, MiB", number(load["server_mib"])),
                *((key.replace("_", " "), number(value)) for key, value in load["site"].items()),
            ],
        )
        for kind, wrong in load["errors_by_kind"].items():
            note(
                f"errors of {kind}: "
                + ", ".join(f"{count:,} times {status}" for status, count in wrong.items())
            )
    if cycle := figures.get("cycle"):
        tables = {
            "a cycle": cycle["cycle_ms"],
            "its processor time": cycle["cycle_cpu_ms"],
            **{f"  {step}": one for step, one in cycle["step_ms"].items()},
            "a cycle while the site fills": cycle["filling"]["cycle_ms"],
            "its processor time ": cycle["filling"]["cycle_cpu_ms"],
        }
        emit(
            f"\n{cycle['trays']:,} trays, {cycle['jobs_running']:,} jobs running, {cycle['jobs_queued']:,} queued; "
            f"{cycle['cycles']:,} cycles with {cycle['jobs_started']:,} starts, {cycle['jobs_ended']:,} ends and "
            f"{cycle['keyframes']:,} kept states, {cycle['store']}; ms"
        )
        print_table(
            "",
            [("", ""), *((name, "right") for name in COLUMNS)],
            [(name, *(f"{one[column]:,.1f}" for column in COLUMNS)) for name, one in tables.items()],
        )
    if memory := figures.get("memory"):
        emit(f"\nmemory over {memory['minutes']:g} minutes at {memory['speed']:g} times the speed")
        print_table(
            "",
            [("", ""), ("", "right")],
            [
                ("grows by, MiB/h", f"{memory['mib_per_h']:,.2f} ± {memory['mib_per_h_error']:,.2f}"),
                *(
                    (key.replace("_", " "), number(memory[key]))
                    for key in ("first_mib", "last_mib", "most_mib")
                ),
                *(
                    (key.replace("_", " "), number(memory[key]))
                    for key in ("looks", "jobs", "cycles", "folder_mib")
                ),
            ],
        )
