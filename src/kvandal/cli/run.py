"""`kvandal run`: simulate a scenario into a run folder."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.cli import samples, signals
from kvandal.cli.options import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    days_of,
    emit,
    note,
    note_compilation,
    number,
    print_json,
    print_table,
    scenario_of,
)
from kvandal.cli.samples import SamplesOption, VaryOption, WorkersOption

if TYPE_CHECKING:
    import polars as pl

    from kvandal.demand.build import DemandReport
    from kvandal.demand.jobs import JobTable
    from kvandal.ledger.told import Told
    from kvandal.runs.run import Run
    from kvandal.runs.telling import Take
    from kvandal.scenario.model import Scenario

    Demand = tuple[JobTable, list[DemandReport]]

HEADLINES = (
    ("peak_site_mw", "peak site power", "MW"),
    ("site_energy_mwh", "energy", "MWh"),
    ("pue", "PUE", ""),
    ("allocation_share", "GPUs allocated, share of installed", ""),
    ("gpu_hours_useful", "useful GPU-hours", ""),
    ("jobs_finished", "jobs finished", ""),
    ("recalls", "loans recalled", ""),
    ("heat_exported_mwh", "heat exported", "MWh"),
    ("erf", "ERF", ""),
    ("energy_cost_eur", "energy cost", "EUR"),
    ("carbon_location_t", "CO2e, location-based, direct", "t"),
    ("cfe_score", "CFE score", ""),
    ("balance_error_max", "largest energy-balance error", ""),
)


def run(
    scenario: ScenarioArgument = "stargate-norway",
    out: Annotated[
        Path | None, typer.Option(help="Run folder to write; must not exist. Default: runs/NAME-N.")
    ] = None,
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of the run [days].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.")
    ] = False,
    number_of_samples: SamplesOption = None,
    vary: VaryOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario and write its run folder with report.html."""
    from kvandal.runs.folder import next_folder, refuse_unwritable, run_folder

    asked = scenario_of(scenario, changes, {"run.days": ("--days", days), "run.seed": ("--seed", seed)})
    planned = samples.planned(asked, number_of_samples, vary, workers)
    folder = out if out is not None else next_folder(asked.name)
    refuse_unwritable(folder)  # before anybody waits for nothing
    silent = quiet or as_json
    began = time.perf_counter()
    with run_folder(folder) as writer:

        def take(name: str, table: pl.DataFrame | Told) -> None:
            if not (writer.has_begun or silent):
                note("writing tables and report ...")
            signals.check()
            writer.take(name, table)

        result = simulate_shown(asked, silent=silent, take=take)
        if planned is not None:
            result = samples.simulated(result, planned, workers, silent=silent)
        writer.finish(result)
    if as_json:
        known = {} if planned is None else {"uncertainty": result.record["uncertainty"]}
        print_json({"folder": str(folder), "summary": result.summary, **known})
    elif not quiet:
        rows = [(label, number(result.summary[key]), unit) for key, label, unit in HEADLINES]
        print_table(
            f"{asked.site.title}: {days_of(asked.run.days)}", [("", ""), ("", "right"), ("", "")], rows
        )
        if planned is not None:
            samples.print_bands(result, HEADLINES)
        emit(f"\n{folder / 'report.html'}  ({time.perf_counter() - began:.1f} s)")


def simulate_shown(
    scenario: Scenario, *, silent: bool, demand: Demand | None = None, take: Take | None = None
) -> Run:
    """Simulate with a progress bar on standard error; first-time compilation is announced."""
    if not silent:
        note("reading demand, weather and prices ..." if demand is None else "reading weather and prices ...")
    from kvandal import compiled
    from kvandal.runs.run import simulate

    signals.hold()
    if not silent:
        note_compilation()
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if terminal and not silent:
        result = _with_bar(scenario, demand, take)
    else:
        result = simulate(scenario, signals.check, demand=demand, take=take)
    signals.check()
    compiled.mark_cached()
    return result


def _with_bar(scenario: Scenario, demand: Demand | None, take: Take | None) -> Run:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from kvandal.runs.run import simulate

    first: list[
        tuple[float, int]
    ] = []  # the first report, so that reading and compiling do not count as speed
    tick_s = scenario.run.tick_s
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=5,
    ) as bar:
        task = bar.add_task(f"{scenario.run.start_utc:%Y-%m-%d}", total=None, speed="")

        def shown(done: int, total: int) -> None:
            signals.check()
            now = time.perf_counter()
            if not first:
                first.append((now, done))
            began, already = first[0]
            date = scenario.run.start_utc + timedelta(seconds=done * tick_s)
            simulated_days = (done - already) * tick_s / 86_400
            speed = f"{simulated_days / (now - began):,.0f} days/s" if simulated_days and now > began else ""
            bar.update(task, completed=done, total=total, description=f"{date:%Y-%m-%d}", speed=speed)

        return simulate(scenario, shown, demand=demand, take=take)
