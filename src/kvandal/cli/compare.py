"""`kvandal compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kvandal.cli.options import JsonOption, note, number, print_json, print_table


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders; all are compared with the first.")
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Every number of the summaries, by its key in run.json.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put runs side by side in access, money, heat, carbon and power, with the differences from the first."""
    from kvandal.runs.compare import compare_summaries
    from kvandal.runs.economics import side_by_side
    from kvandal.runs.folder import read_record

    if len(runs) < 2:
        raise typer.BadParameter(f"give at least two run folders, got {len(runs)}", param_hint="RUN")
    records = [read_record(folder) for folder in runs]
    for key in ("days", "start_utc", "seed"):
        values = [record[key] for record in records]
        if len(set(values)) > 1:
            note(f"kvandal: warning: the runs differ in {key}: {', '.join(map(str, values))}")
    if as_json:
        summaries = compare_summaries(*(record["summary"] for record in records))
        print_json(
            {"runs": [str(folder) for folder in runs], "rows": side_by_side(runs), "summary": summaries}
        )
    elif everything:
        _print(runs, compare_summaries(*(record["summary"] for record in records)))
    else:
        _print(runs, side_by_side(runs))


def _print(runs: list[Path], rows: list[dict[str, Any]]) -> None:
    """Print rows chapter by chapter: the first run, then each other with its difference."""
    columns = [("", "left"), ("", "left"), (str(runs[0]), "right")]
    for folder in runs[1:]:
        columns += [(str(folder), "right"), ("difference", "right"), ("", "right")]
    body, chapter = [], None
    for row in rows:
        if row.get("chapter") != chapter:
            chapter = row["chapter"]
            body += [("",) * len(columns), (chapter, *("",) * (len(columns) - 1))]
        cells = [row["name"], row.get("unit", ""), number(row["values"][0])]
        for value, difference, relative in zip(
            row["values"][1:], row["differences"][1:], row["relative"][1:], strict=True
        ):
            moved = f"{relative:+.1%}" if relative else ""
            cells += [number(value), number(difference) if difference else "", moved]
        body.append(tuple(cells))
    print_table("  against  ".join(map(str, runs)), columns, body)
