"""Which database a command means, and what it says when the extra for databases is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME. [default: that of kvandal serve, from its settings]",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings of kvandal serve. [default: $KVANDAL_CONFIG]")
]


@contextmanager
def serve_extra(command: str) -> Iterator[None]:
    """Say in one line what to install where the extra `serve` is missing.

    Raises
    ------
    KvandalError
        A package of it is not there.

    """
    from kvandal.errors import KvandalError

    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing == "kvandal":
            raise
        raise KvandalError(
            f"{command}: the package {missing} is not installed; pip install 'kvandal[serve]'"
        ) from None


def database_url(database: str | None, config: Path | None) -> str:
    """Return the URL that was given, else that of the settings; its password comes from the settings either way."""
    from kvandal.control.settings_sources import load_settings

    return load_settings(config, {"database": database}).database_url
