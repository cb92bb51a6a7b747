"""`kvandal serve`: the control plane, live."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from kvandal.cli.options import emit, note, note_compilation
from kvandal.errors import InputError

MISSING = "the control plane needs packages that are not installed ({name}); install them: pip install 'kvandal[serve]'"


def needs_serve() -> None:
    """Say in one line what to install where the extra is missing."""
    for name in ("fastapi", "sqlalchemy", "structlog", "uvicorn"):
        if find_spec(name) is None:
            raise InputError(MISSING.format(name=name))


def serve(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENARIO]",
            help="A preset's name or a TOML file; for a new site. Default: stargate-norway.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="File of settings (TOML).", metavar="FILE", show_default=False)
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="twin|slurm", help="Where jobs run.")] = None,
    speed: Annotated[
        float | None, typer.Option(metavar="X", help="Seconds of the twin in a second of real time.")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen at.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="NUMBER", help="Port to listen at; 0: any free one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What is kept on this machine.", show_default=False)
    ] = None,
    demand: Annotated[
        bool,
        typer.Option(
            "--demand/--no-demand", help="Let simulated tenants submit the scenario's demand to the twin."
        ),
    ] = True,
) -> None:
    """Run the live site: the loop, the API and the pages."""
    needs_serve()
    from kvandal.control.operations.logs import configure_logs
    from kvandal.control.settings_sources import load_settings

    settings = load_settings(
        config,
        {
            "scenario": scenario, "database": database, "engine": engine, "speed": speed, "host": host, "port": port,
            "data_dir": data_dir,
        },
    )  # fmt: skip
    configure_logs(settings.log_level, settings.log_format)
    from kvandal.control import service

    note_compilation("live")

    def ready(address: str) -> None:
        where = (
            "local mode: only this machine can reach it, and may do everything"
            if settings.is_local
            else "signed-in people only"
        )
        emit(f"Kvandal serves {settings.base_url if settings.public_url else address} ({where})")
        note(f"Store: {settings.database_name}. Engine: {settings.engine}. Ctrl-C ends it.")

    service.run(settings, demand=demand, ready=ready)
