"""`kvandal bench`: how fast the twin is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    note,
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
    scale: Annotated[
        bool,
        typer.Option(
            "--scale", help="Instead: how cost grows with site, racks, jobs and ticks (some minutes)."
        ),
    ] = False,
    year: Annotated[
        bool, typer.Option("--year", help="With --scale: also a year of a million GPUs (many minutes).")
    ] = False,
    decision: Annotated[
        bool, typer.Option(help="Also time one decision with thousands of jobs running and queued.")
    ] = True,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Instead: the live service; requests under load, the cycle of a full site, memory over time.",
        ),
    ] = False,
    rate: Annotated[
        float | None, typer.Option(metavar="X", help="With --serve: requests a second; default 500.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="With --serve: how long requests are sent; default 30.")
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --serve: turns of the loop that are timed; default 300."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="With --serve: how long memory is watched; default 3. 0 leaves a part out."
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="With --serve: seconds of the site in a second of real time; default 60."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --serve: a database of PostgreSQL, in a schema of its own; else SQLite."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this file, as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time a run, warm, by stage, beside what the machine can do; its memory and folder; and one decision on a full site.

    With --serve the live service is measured instead.
    """
    from kvandal import compiled
    from kvandal.errors import ScenarioError
    from kvandal.runs.folder import refuse_unwritable_file, write_whole

    if out is not None:
        refuse_unwritable_file(out)
    if year and not scale:
        raise ScenarioError("is the year of a million GPUs of --scale; give both", key="--year")
    of_serving = {
        "--rate": rate, "--seconds": seconds, "--cycles": cycles, "--minutes": minutes, "--speed": speed, "--database": database,
    }  # fmt: skip
    if serve:
        given = {"--set": changes, "--days": days, "--scale": scale or None}
        for option, value in given.items():
            if value is not None and value != []:
                raise ScenarioError("is not for --serve", key=option)
        from kvandal.cli import bench_serve

        figures = bench_serve.measured(scenario, seed, of_serving)
    elif used := [option for option, value in of_serving.items() if value is not None]:
        raise ScenarioError("is for --serve; give both", key=used[0])
    elif scale:
        given = {"--set": changes, "--days": days, "--seed": seed}
        for option, value in given.items():
            if value is not None and value != []:
                raise ScenarioError("is not for --scale, which chooses its own runs", key=option)
        figures = _growth(year)
    else:
        asked = scenario_of(scenario, changes, {"run.days": ("--days", days), "run.seed": ("--seed", seed)})
        signals.hold()
        cached = compiled.is_cached()
        note_compilation()
        from kvandal.bench import stages

        figures = stages.measured(asked)
        compiled.mark_cached()
        figures["kernels_cached"] = cached
        if decision:
            from kvandal.runs.decision_time import decision_times

            figures |= decision_times(asked)
        figures |= stages.versions()
    if out is not None:
        write_whole(json.dumps(figures, indent=1) + "\n", out)
    if as_json:
        print_json(figures)
    elif serve:
        bench_serve.print_figures(figures)
    elif scale:
        _print_growth(figures)
    else:
        _print_run(figures)


def _growth(year: bool) -> dict[str, Any]:
    """Run all series, saying on standard error which member runs."""
    from kvandal.bench import growth, stages

    signals.hold()
    note_compilation()
    return growth.growth(year=year, progress=note) | stages.versions()


def _print_run(figures: dict[str, Any]) -> None:
    """Print what a run took, its stages, and the rest."""
    stages = figures["stages"]
    print_table(
        f"{figures['scenario']}: {figures['days']:,} days",
        [("stage", ""), ("wall s", "right"), ("CPU s", "right"), ("of the CPU", "right")],
        [
            *(
                (
                    name,
                    f"{one['wall_s']:.3f}",
                    f"{one['cpu_s']:.3f}",
                    f"{one['cpu_s'] / figures['cpu_s']:.0%}",
                )
                for name, one in stages.items()
            ),
            ("in all", f"{figures['wall_s']:.3f}", f"{figures['cpu_s']:.3f}", ""),
        ],
    )
    flat = {key: value for key, value in figures.items() if not isinstance(value, dict)}
    for title, values in (("bench", flat), ("machine", figures["machine"])):
        rows = [(key, value if isinstance(value, str) else number(value)) for key, value in values.items()]
        print_table(f"\n{title}", [("", ""), ("", "right")], rows)


def _print_growth(figures: dict[str, Any]) -> None:
    """Print the runs, and the exponent of each series."""
    print_table(
        "runs",
        [("series", ""), ("", ""), *((name, "right") for name in ("racks", "jobs", "ticks", "CPU s", "peak MiB"))],
        [
            (run["series"], run["name"], *(number(run[key]) for key in ("racks", "jobs", "ticks")), f"{run['cpu_s']:.2f}",
             number(run["peak_mib"]))
            for run in figures["runs"]
        ],
    )  # fmt: skip
    print_table(
        f"\nCPU time grows with the power of (at most {figures['limit']:g} is in proportion)",
        [("series", ""), ("counted in", ""), ("exponent", "right"), ("last step alone", "right"), ("", "")],
        [
            (name, one["counted"], f"{one['exponent']:.3f}", f"{one['last_exponent']:.3f}",
             "in proportion" if one["in_proportion"] else "more than in proportion")
            for name, one in figures["series"].items()
        ],
    )  # fmt: skip
    if "year" in figures:
        one = figures["year"]
        print_table(
            "\na year of a million GPUs",
            [("", ""), ("", "right")],
            [(key, number(value)) for key, value in one.items() if not isinstance(value, dict)],
        )
