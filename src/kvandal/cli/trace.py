"""`kvandal trace`: look at a job trace."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kvandal.cli.options import JsonOption, number, print_json, print_table


def info(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A .csv, .parquet or .swf file, or philly, or lingjun.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Print what a job trace holds, and which rows were refused or repaired and why."""
    from kvandal.demand.facts import trace_facts
    from kvandal.demand.readers import read_trace

    facts = trace_facts(read_trace(file))
    if as_json:
        print_json(facts)
        return
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        rows += _lines(key, value)
    print_table(file, [("", ""), ("", "")], rows)


def _lines(key: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        if not value:
            return [(key, "none")]
        return [line for inner, content in value.items() for line in _lines(f"{key}: {inner}", content)]
    if isinstance(value, list):
        joined = [number(entry) if isinstance(entry, int | float) else str(entry) for entry in value]
        return [(key, "; ".join(joined) or "none")]
    if isinstance(value, bool | str):
        return [(key, str(value))]
    return [(key, number(value))]
