"""Options and printing that several commands share."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.errors import OutputError, ScenarioError

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A preset's name or a TOML file; a preset goes first.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change any key of the scenario, e.g. site.grid_mw=290; a whole table is replaced. Repeatable.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")
]
FolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]

PIPED_WIDTH = 140
"""Width of a table that does not go to a terminal [characters]."""


def scenario_of(
    source: str, changes: Iterable[str] | None, options: Mapping[str, tuple[str, Any]] | None = None
) -> Scenario:
    """Load a scenario with the changes of ``--set`` and of other options; print warnings on standard error.

    Parameters
    ----------
    source
        As given.
    changes
        ``key=value``, each.
    options
        Keys that have an option of their own: its name and its value (None: not given).

    """
    from kvandal.scenario.loading import load
    from kvandal.scenario.plausibility import warnings_of

    parsed, labels = changes_of(changes, options)
    scenario = load(source, parsed, labels=labels)
    for warning in warnings_of(scenario):
        note(f"kvandal: warning: {warning}")
    return scenario


def changes_of(
    changes: Iterable[str] | None, options: Mapping[str, tuple[str, Any]] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the changes of ``--set`` and of other options: new values by key, and what errors call them."""
    from kvandal.scenario.changes import parse_change

    parsed: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for key, value in (parse_change(text) for text in changes or ()):
        if key in parsed:
            raise ScenarioError("is given twice", key=f"--set {key}")
        parsed[key], labels[key] = value, f"--set {key}"
    for key, (option, value) in (options or {}).items():
        if value is not None:
            if key in parsed:
                raise ScenarioError(f"says the same as --set {key}; give one of the two", key=option)
            parsed[key], labels[key] = value, option
    return parsed, labels


def note(text: str) -> None:
    """Print a line on standard error."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


def note_compilation(loop: str = "complete") -> None:
    """Say that the kernels of a loop are compiled now, if they are: it happens once and takes a while."""
    from kvandal import compiled

    if not compiled.is_cached(loop):
        note("compiling the kernels: once on this machine, about half a minute ...")


def emit(text: str) -> None:
    """Print on standard output. A reader that has gone away (``| head``) is no error."""
    if sys.stdout is None:
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        raise typer.Exit from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from None


def print_json(document: Any) -> None:
    """Print one JSON document; as plain ASCII where standard output cannot take more."""
    from kvandal.runs.contract import without_nan

    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    emit(json.dumps(without_nan(document), indent=1, ensure_ascii=encoding != "utf8", allow_nan=False))


def print_table(title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; `columns` are (heading, "left" or "right")."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title),
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        title_style="bold",
        show_header=any(heading for heading, _ in columns),
    )
    for heading, justify in columns:
        table.add_column(Text(heading), justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    terminal = sys.stdout is not None and sys.stdout.isatty()
    drawn = io.StringIO()
    Console(
        file=drawn, force_terminal=terminal, width=None if terminal else PIPED_WIDTH, highlight=False
    ).print(table)
    emit("\n".join(line.rstrip() for line in drawn.getvalue().splitlines()))


def days_of(days: int) -> str:
    """Write a number of days for people.

    >>> days_of(1), days_of(365)
    ('1 day', '365 days')
    """
    return f"{days:,} day" if days == 1 else f"{days:,} days"


def number(value: Any) -> str:
    """Write a number for people; None is "not known", text stays as it is.

    >>> number(1234567.891), number(0.0123), number(None), number(17)
    ('1,234,568', '0.0123', 'not known', '17')
    """
    if value is None:
        return "not known"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "not known"
    if value == 0 or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 100 else f"{value:,.1f}"
