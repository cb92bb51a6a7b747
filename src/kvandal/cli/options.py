"""Options and printing that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario

ScenarioArgument = Annotated[str, typer.Argument(metavar="SCENARIO", help="A preset's name or a TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any key of the scenario, e.g. site.grid_mw=290. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]
FolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def scenario_of(source: str, changes: Iterable[str] | None, **more: Any) -> Scenario:
    """Load a scenario with the changes of ``--set`` and other options; print warnings on standard error."""
    from kvandal.scenario.loading import load, parse_change, range_warnings

    parsed = dict(parse_change(text) for text in changes or ())
    parsed |= {key: value for key, value in more.items() if value is not None}
    scenario = load(source, parsed)
    for warning in range_warnings(scenario):
        print(f"kvandal: warning: {warning}", file=sys.stderr)
    return scenario


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1, ensure_ascii=False))


def print_table(title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; `columns` are (heading, "left" or "right")."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False, title_style="bold")
    for heading, justify in columns:
        table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)


def number(value: Any) -> str:
    """Write a number for people; None is "not known".

    >>> number(1234567.891), number(0.0123), number(None), number(17)
    ('1,234,568', '0.0123', 'not known', '17')
    """
    if value is None:
        return "not known"
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 100 else f"{value:,.1f}"
