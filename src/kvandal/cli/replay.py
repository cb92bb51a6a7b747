"""`kvandal replay`: decide again what was decided, and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kvandal.cli.options import JsonOption, emit, note, note_compilation, print_json
from kvandal.cli.serve import needs_serve

DIFFERENT = 1
"""Exit code of a replay that decides otherwise."""


def replay(
    config: Annotated[
        Path | None, typer.Option(help="File of settings (TOML).", metavar="FILE", show_default=False)
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What the service keeps.", show_default=False)
    ] = None,
    first: Annotated[
        int | None,
        typer.Option("--from", metavar="CYCLE", help="First cycle to compare; default: the oldest."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="CYCLE", help="Last cycle to compare; default: the newest.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide again what a live site has decided, from its kept states and recorded inputs, and compare."""
    needs_serve()
    from kvandal.control.loop.replay import replay as replayed
    from kvandal.control.settings_sources import load_settings
    from kvandal.control.store.database import open_store

    settings = load_settings(config, {"database": database, "data_dir": data_dir})
    note_compilation("live")
    with open_store(settings.database_url, create=False) as store:
        result = replayed(store, first, last)
    different = result.difference
    if as_json:
        document: dict[str, Any] = {
            "first": result.first, "last": result.last, "cycles": result.cycles, "effects": result.effects,
            "starts": result.starts, "recalls": result.recalls, "same": different is None,
            "difference": None if different is None else {
                "cycle": different.cycle, "recorded": different.recorded, "replayed": different.replayed
            },
        }  # fmt: skip
        print_json(document)
    elif different is None:
        emit(
            f"{result.cycles:,} cycles ({result.first} to {result.last}) decide again what they decided: "
            f"{result.starts:,} starts, {result.recalls:,} recalls, {result.effects:,} effects."
        )
    else:
        note(f"cycle {different.cycle} decides otherwise:")
        emit(f"recorded: {json.dumps(different.recorded)}")
        emit(f"replayed: {json.dumps(different.replayed)}")
    if different is not None:
        raise typer.Exit(DIFFERENT)
