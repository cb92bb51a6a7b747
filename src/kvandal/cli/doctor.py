"""`kvandal doctor`: whether a deployment is as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.cli.options import JsonOption, note, print_json, print_table
from kvandal.cli.serve import needs_serve

if TYPE_CHECKING:
    from kvandal.control.settings import SlurmSettings
    from kvandal.engines.live.protocol import Engine

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="File of settings (TOML).", metavar="FILE", show_default=False)
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What is kept on this machine.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a deployment: settings, secrets, disk, database, books, loop, engine, provider of identities. Changes nothing.

    Exit code 1: something is wrong.
    """
    needs_serve()
    from kvandal.control.operations.diagnosis import diagnose
    from kvandal.control.settings_sources import load_settings

    settings = load_settings(config, {"database": database, "data_dir": data_dir})
    found = list(diagnose(settings, _slurm))
    wrong = sum(one.verdict == "wrong" for one in found)
    if as_json:
        print_json(
            {
                "ok": not wrong,
                "findings": [
                    {"name": one.name, "verdict": one.verdict, "words": one.words, "remedy": one.remedy}
                    for one in found
                ],
            }
        )
    else:
        rows = [(MARKS[one.verdict], one.name, one.words, one.remedy) for one in found]
        print_table(
            "Deployment", [("", "left"), ("What", "left"), ("Found", "left"), ("To do", "left")], rows
        )
        note(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong." if wrong else "Nothing is wrong.")
    if wrong:
        raise typer.Exit(1)


def _slurm(settings: SlurmSettings) -> Engine:
    from kvandal.control.engines import slurm_engine
    from kvandal.control.loop.clock import SteadyClock

    engine = slurm_engine(settings, SteadyClock())
    engine.check()
    return engine
