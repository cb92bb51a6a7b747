"""`kvandal report`: render a run folder's page anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, print_json


def report(
    run: FolderArgument,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html in the run folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run: one page that opens offline."""
    from kvandal.report import render
    from kvandal.runs.folder import check_tables, refuse_unwritable_file, write_whole

    signals.hold()
    check_tables(run)  # refuses a damaged folder before anything is written
    target = out if out is not None else run / "report.html"
    refuse_unwritable_file(target)
    write_whole(render(run), target)
    if as_json:
        print_json({"report": str(target)})
    else:
        emit(str(target))
