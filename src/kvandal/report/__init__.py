"""A run as one self-contained page: numbers, charts, tables and where each of them comes from."""

from __future__ import annotations

from pathlib import Path

__all__ = ["render"]


def render(folder: Path) -> str:
    """Render the run folder `folder` as one HTML page that needs no network and no other file.

    Equal run folders give equal pages.

    Raises
    ------
    RunFolderError
        If the folder is not a run folder, or a table or column of it is missing.

    """
    from kvandal.report.page import page

    return page(Path(folder))
