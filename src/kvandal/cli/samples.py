"""`kvandal run --samples`: how sure the numbers of a run are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.cli import signals
from kvandal.cli.options import emit, note, number, print_table

if TYPE_CHECKING:
    from kvandal.runs.members import Progress
    from kvandal.runs.run import Run
    from kvandal.runs.uncertainty import Plan
    from kvandal.scenario.model import Scenario

SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="N",
        help="Besides the run, simulate N more with parameters drawn from their ranges, and report P10, P50 and P90 of "
        "every number and which parameters matter.",
    ),
]
VaryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY",
        help="With --samples: draw this parameter only, or those of a pattern such as 'cooling.*'. Repeatable.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="With --samples: processes; results do not depend on them. Each holds a whole run in memory (the default "
        "year about 1.4 GiB). Default: all cores, as far as free memory allows.",
    ),
]
NAMED = 3
"""Parameters named beside a number."""
LINES = 10
"""Lines of progress where there is no terminal."""


def planned(
    scenario: Scenario, samples: int | None, vary: Sequence[str] | None, workers: int | None
) -> Plan | None:
    """Draw the members; None if none were asked for."""
    from kvandal.errors import ScenarioError

    for option, value in (("--vary", vary), ("--workers", workers)):
        if samples is None and value not in (None, []):
            raise ScenarioError("belongs to --samples N; give that too", key=option)
    if samples is None:
        return None
    if workers is not None and workers < 1:
        raise ScenarioError(f"must be at least 1, got {workers}", key="--workers")
    from kvandal.runs.uncertainty import FEW, plan

    found = plan(scenario, samples, [key.strip() for key in vary or ()])
    if samples < FEW:
        note(
            f"kvandal: warning: {samples} samples tell little: P10 and P90 are close to the extremes, and few "
            f"correlations can be told from chance; give at least {FEW}, better 100"
        )
    return found


def simulated(run: Run, plan: Plan, workers: int | None, *, silent: bool) -> Run:
    """Simulate the members with progress on standard error."""
    from kvandal.runs.uncertainty import sampled

    if silent:
        return sampled(run, plan, workers, signals.check)
    drawn = "1 parameter" if len(plan.varied) == 1 else f"{len(plan.varied)} parameters"
    note(f"simulating {plan.samples:,} members with draws of {drawn} ...")
    with shown_progress("members") as progress:
        found = sampled(run, plan, workers, progress)
    refused = plan.samples - found.record["uncertainty"]["kept"]
    if refused:
        reason = found.record["uncertainty"]["refused"][0]["reason"]
        note(f"kvandal: warning: {refused:,} of {plan.samples:,} members were refused, e.g. {reason}")
    return found


def print_bands(run: Run, headlines: Sequence[tuple[str, str, str]]) -> None:
    """Print the bands of the headline numbers and what they depend on."""
    section = run.record["uncertainty"]
    rows = []
    for key, label, unit in headlines:
        band = section["bands"][key]
        correlations = [one for one in section["rank_correlation"][key] if one["matters"]]
        named = ", ".join(f"{one['key']} {one['rho']:+.2f}" for one in correlations[:NAMED])
        rows.append((label, *(number(band[name]) for name in ("base", "p10", "p50", "p90")), unit, named))
    emit("")
    heads = ("", "as asked", "P10", "P50", "P90")
    print_table(
        f"{section['kept']:,} members, {len(section['varied'])} parameters drawn from their ranges",
        [*((head, "right" if head else "") for head in heads), ("", ""), ("matters (rank correlation)", "")],
        rows,
    )


@contextmanager
def shown_progress(what: str) -> Iterator[Progress]:
    """Show tasks done and time left: as a bar on a terminal, else as a line now and then; `what` they are."""
    if not (sys.stderr is not None and sys.stderr.isatty()):
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=5,
    ) as bar:
        task = bar.add_task(what, total=None)

        def shown(done: int, total: int) -> None:
            signals.check()
            bar.update(task, completed=done, total=total)

        yield shown


def _lines(what: str) -> Progress:
    began, told = time.monotonic(), [0]

    def shown(done: int, total: int) -> None:
        signals.check()
        if done == told[0] or (done < total and (done - told[0]) * LINES < total):
            return
        told[0] = done
        left_s = (time.monotonic() - began) / done * (total - done)
        note(f"  {done:,} of {total:,} {what}" + (f", about {_span(left_s)} left" if done < total else ""))

    return shown


def _span(seconds: float) -> str:
    """Write a time for people.

    >>> _span(12), _span(600), _span(9000)
    ('12 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
