"""Run folders: written under a temporary name and renamed, so that one is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kvandal.errors import OutputError, RunFolderError
from kvandal.runs.run import SCHEMA_VERSION, TABLES, Run


def write_run(run: Run, folder: Path) -> None:
    """Write a run with its report.

    Parameters
    ----------
    run
        The run.
    folder
        Where it shall be; must not exist.

    Raises
    ------
    RunFolderError
        If the folder exists already, or its parent is not a folder.
    OutputError
        If it cannot be written (disk full, no permission); nothing is left behind.

    """
    from kvandal.report import render

    refuse_existing(folder)
    with whole_folder(folder) as draft:
        checksums = {}
        for name in TABLES:
            path = draft / f"{name}.parquet"
            run.tables[name].write_parquet(path, compression="zstd", compression_level=3, statistics=False)
            checksums[path.name] = {"rows": run.tables[name].height, "sha256": sha256_of(path)}
        record = {**run.record, "tables": checksums}
        (draft / "run.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (draft / "report.html").write_text(render(draft), encoding="utf-8")


def refuse_existing(folder: Path) -> None:
    """Refuse a place that is taken; called before a run starts, so that nobody waits for nothing."""
    if folder.exists() or folder.is_symlink():
        raise RunFolderError("exists already; choose another --out or remove it first", file=folder)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` and rename it at the end; on any failure remove it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}; nothing was kept") from None
    except Exception as error:
        if "os error" in str(error):  # polars wraps errors of the file system
            raise OutputError(f"{folder}: cannot be written: {error}; nothing was kept") from None
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_whole(text: str, path: Path) -> None:
    """Write a text file under a temporary name, then rename it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; nothing was kept") from None
    finally:
        draft.unlink(missing_ok=True)


def read_record(folder: Path) -> dict[str, Any]:
    """Read run.json of a run folder.

    Raises
    ------
    RunFolderError
        If it is absent, damaged or of a version that this program does not know.

    """
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a run folder (no run.json in it)" if folder.exists() else "no such run folder"
        raise RunFolderError(what, file=folder) from None
    except (ValueError, OSError) as error:
        raise RunFolderError(f"cannot be read: {error}", file=path) from None
    if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
        version = record.get("schema_version") if isinstance(record, dict) else None
        raise RunFolderError(f"schema_version must be {SCHEMA_VERSION}, got {version!r}", file=path)
    return record


def read_run(folder: Path) -> Run:
    """Read a run folder back; the tables are checked against the checksums in run.json."""
    import polars as pl

    record = read_record(folder)
    tables = {}
    for name in TABLES:
        path = folder / f"{name}.parquet"
        if not path.exists():
            raise RunFolderError("this table is missing", file=path)
        if sha256_of(path) != record["tables"].get(path.name, {}).get("sha256"):
            raise RunFolderError("does not match its checksum in run.json (changed or truncated)", file=path)
        tables[name] = pl.read_parquet(path)
    return Run(record=record, tables=tables)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
