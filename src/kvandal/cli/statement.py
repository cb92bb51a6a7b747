"""`kvandal statement`: what a tenant, the off-taker, the owners, a heat customer, the public and the region are told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, number, print_json, print_table
from kvandal.errors import InputError

LEFT, RIGHT = "left", "right"
Asked = Literal["tenant", "offtaker", "owners", "heat", "transparency", "regional", "all"]


def statement(
    run: FolderArgument,
    kind: Annotated[Asked, typer.Argument(help="Which statement; `all` writes every one of every month.")],
    name: Annotated[str | None, typer.Argument(help="Whose: a tenant or a heat customer.")] = None,
    month: Annotated[
        str | None, typer.Option(help="Month of UTC, e.g. 2027-01. Default: the whole run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write: .html, .csv or .parquet. Of `all`: a new folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write up what is owed and what was given, from a run folder alone."""
    from kvandal.runs.books import opened
    from kvandal.runs.folder import refuse_unwritable, refuse_unwritable_file, write_whole_bytes
    from kvandal.runs.statements import asked_statement, statement_file, write_all

    signals.hold()
    if kind == "all":
        if name is not None or month is not None:
            raise InputError("writes every statement; leave the name and --month out", key="all")
        target = out if out is not None else run / "statements"
        refuse_unwritable(target)
        written = write_all(opened(run), target)
        if as_json:
            print_json({"folder": str(target), "statements": written})
        else:
            emit(f"{target}: {written} statements; index.html, statements.csv, statements.parquet")
        return
    if out is not None:
        refuse_unwritable_file(out)
    found = asked_statement(opened(run), run, kind, name, month)
    if out is not None:
        write_whole_bytes(statement_file(found, out), out)
    if as_json:
        print_json(found.as_dict())
        return
    print_table(
        f"{found.site}: {found.title}, {found.period}",
        [("", LEFT), ("", LEFT), ("amount", RIGHT), ("unit", LEFT), ("range", LEFT), ("", LEFT)],
        [
            (
                item.chapter,
                item.what,
                number(item.amount),
                item.unit,
                ""
                if item.low is None or item.low == item.high
                else f"{number(item.low)} to {number(item.high)}",
                item.note,
            )
            for item in found.items
        ],
    )
