"""`kvandal sweep`: a scenario over a grid of values and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import samples, signals
from kvandal.cli.options import (
    JsonOption,
    SetOption,
    changes_of,
    days_of,
    emit,
    note,
    note_compilation,
    number,
    print_json,
    print_table,
)
from kvandal.errors import ScenarioError

if TYPE_CHECKING:
    from kvandal.runs.grid import Grid
    from kvandal.runs.sweep import Sweep

ROWS_SHOWN = 24
"""Combinations that are printed; all of them are on the page."""

WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="Processes; results do not depend on them. Default: all cores, as far as free memory allows (the first member "
        "runs alone and shows how much one takes)."
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Simulate on this Ray cluster (HOST:PORT, or auto) instead; needs kvandal[ray], the same version on every "
        "machine. Results are the same to the byte.",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Go on in this folder with what it holds, e.g. after a kill; the same command with the same --out does so too.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.")]


def sweep(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", help="A preset's name or a TOML file; a preset goes first."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=a,b,c",
            help="Values of a key of the scenario, e.g. site.grid_mw=190,210,230. Repeatable: every combination is simulated.",
        ),
    ] = None,
    number_of_samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            help="Members of every combination, each with another seed of all randomness: the scenario's and those that follow. "
            "All combinations have the same seeds, so that they are compared over the same chance.",
        ),
    ] = 1,
    draw: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="Each sample also draws this parameter from its range, or those of a pattern such as 'cooling.*', as "
            "run --samples does; the same draws for every combination. Repeatable.",
        ),
    ] = None,
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of every run [days].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first sample.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write, or to go on in if it holds this sweep. Default: sweeps/NAME-N."),
    ] = None,
    resume: ResumeOption = None,
    workers: WorkersOption = None,
    ray: RayOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate every combination of values with N seeds, resumable, and show what trades off against what."""
    from kvandal.runs.sweep import opened, points_of, run_sweep

    refuse_workers(workers, ray)
    given = {
        "--vary": vary, "--draw": draw, "--set": changes, "--days": days, "--seed": seed, "--out": out,
    }  # fmt: skip
    if number_of_samples != 1:
        given["--samples"] = number_of_samples
    grid, folder = _asked(scenario, given, resume)
    silent = quiet or as_json
    signals.hold()
    place = opened(grid, folder).path
    signals.keep(f"finished members are kept; go on with kvandal sweep --resume {place}")
    if not silent:
        if ray is None:
            note_compilation()
        note(_told(grid, place))
    with shown(silent=silent) as progress:
        found = run_sweep(grid, place, workers=workers, ray=ray, progress=progress, watch=signals.check)
    signals.check()
    warn_refused(found.record["result"])
    if as_json:
        print_json({"folder": str(place), **found.record["result"], "points": points_of(found)})
    elif not quiet:
        _print(grid, found)
        emit(f"\n{place / 'sweep.html'}")


def refuse_workers(workers: int | None, ray: str | None) -> None:
    """Refuse a number of workers that is none, or one beside a Ray cluster."""
    if workers is not None and workers < 1:
        raise ScenarioError(f"must be at least 1, got {workers}", key="--workers")
    if workers is not None and ray is not None:
        raise ScenarioError("the cluster has its own; give --workers or --ray", key="--workers")


def refuse_beside_resume(scenario: str | None, given: dict[str, Any]) -> None:
    """Refuse what a folder that is resumed says itself."""
    named = [option for option, value in given.items() if value not in (None, [], ())]
    if scenario is not None or named:
        what = "SCENARIO" if scenario is not None else named[0]
        raise ScenarioError(f"the folder says all of that itself; leave out {what}", key="--resume")


def shown(*, silent: bool) -> Any:
    """Show members done and time left on standard error."""
    import contextlib

    return contextlib.nullcontext(signals.check) if silent else samples.shown_progress("members")


def warn_refused(result: dict[str, Any]) -> None:
    """Say so if members were refused."""
    refused = sum(one["members"] for one in result["refused"])
    if refused:
        note(
            f"kvandal: warning: {refused:,} of {result['members']:,} members were refused, e.g. {result['refused'][0]['reason']}"
        )


def _asked(scenario: str | None, given: dict[str, Any], resume: Path | None) -> tuple[Grid, Path | None]:
    """Lay out the sweep that is asked for, and where it shall be."""
    from kvandal.runs.grid import parse_vary, plan_grid
    from kvandal.runs.sweep import grid_in
    from kvandal.scenario.plausibility import warnings_of

    if resume is not None:
        refuse_beside_resume(scenario, given)
        return grid_in(resume), resume
    if scenario is None:
        raise ScenarioError("name a preset or a TOML file, or --resume FOLDER", key="SCENARIO")
    options = {"run.days": ("--days", given["--days"]), "run.seed": ("--seed", given["--seed"])}
    parsed, labels = changes_of(given["--set"], options)
    grid = plan_grid(
        scenario,
        parse_vary(given["--vary"] or []),
        given.get("--samples", 1),
        parsed,
        draw=[key.strip() for key in given["--draw"] or ()],
        labels=labels,
    )
    for warning in warnings_of(grid.scenario):
        note(f"kvandal: warning: {warning}")
    return grid, given["--out"]


def _told(grid: Grid, place: Path) -> str:
    """Say what will be simulated."""
    seeds = "seed" if grid.samples == 1 else "seeds"
    drawn = f", {len(grid.varied)} parameters drawn from their ranges" if grid.varied else ""
    return (
        f"{place}: {grid.size:,} members of {days_of(grid.scenario.run.days)}: {grid.points:,} combinations with "
        f"{grid.samples:,} {seeds}{drawn} ..."
    )


def _print(grid: Grid, found: Sweep) -> None:
    from kvandal.runs.sweep import OBJECTIVES, points_of

    points = points_of(found)
    rows = points if len(points) <= ROWS_SHOWN else [one for one in points if one["front"]][:ROWS_SHOWN]
    heads = [
        *((key, "right") for key in grid.vary),
        *((f"{label} [{unit}]", "right") for _, label, unit, _ in OBJECTIVES),
        ("front", ""),
    ]
    means = f"means over {grid.samples} seeds" if grid.samples > 1 else f"seed {grid.seed}"
    print_table(
        f"{grid.scenario.site.title}: {days_of(grid.scenario.run.days)}, {means}",
        heads,
        [
            (
                *(number(value) for value in one["values"].values()),
                *(number(value) if one["kept"] else "refused" for value in one["means"].values()),
                "*" if one["front"] else "",
            )
            for one in rows
        ],
    )
    if len(rows) < len(points):
        emit(f"{len(rows):,} of {len(points):,} combinations, all on the front; the others are on the page.")
    emit("* no other combination is at least as good in all four and better in one.")
