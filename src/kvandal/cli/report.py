"""`kvandal report`: render a run folder's page anew, or fill a statutory form from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, print_json
from kvandal.errors import InputError


def report(
    run: FolderArgument,
    form: Annotated[
        Literal["eed", "en50600", "heat-cba", "nkom"] | None,
        typer.Option(help="Fill a statutory form instead of rendering the page."),
    ] = None,
    kind: Annotated[
        Literal["html", "csv", "json"], typer.Option("--format", help="Of a form: how it is written.")
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Default: report.html, or the form's name, in the run folder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a run, or a statutory form: one page that opens offline."""
    from kvandal.report import render
    from kvandal.runs.folder import check_tables, refuse_unwritable_file, write_whole

    signals.hold()
    if form is None and kind != "html":
        raise InputError("belongs to a form; give --form as well", key="--format")
    check_tables(run)  # refuses a damaged folder before anything is written
    if form is None:
        target = out if out is not None else run / "report.html"
        refuse_unwritable_file(target)
        write_whole(render(run), target)
        document = {"report": str(target)}
    else:
        from kvandal.runs.forms import form_document, rendered

        target = out if out is not None else run / f"{form}.{kind}"
        refuse_unwritable_file(target)
        document = form_document(run, form)
        write_whole(rendered(document, kind), target)
        document = {"report": str(target), **document}
    if as_json:
        print_json(document)
        return
    emit(str(target))
    if form is not None:
        absent = ", ".join(document["missing"]) or "nothing"
        emit(f"missing, and said so: {absent}")
