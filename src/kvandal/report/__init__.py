"""A run as one self-contained page: numbers, charts, tables and where each of them comes from."""

from __future__ import annotations

from pathlib import Path

__all__ = ["render", "write_report"]


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


def write_report(folder: Path, target: Path) -> None:
    """Render `folder` and write the page to `target`: under a temporary name beside it, then renamed.

    Raises
    ------
    RunFolderError
        If the folder is not a run folder, or a table or column of it is missing.
    OutputError
        If the page cannot be written.

    """
    import os
    import tempfile

    from kvandal.errors import OutputError

    text = render(folder)
    target = Path(target)
    draft: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        draft = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: the report cannot be written: {error.strerror or error}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
