"""Run folders: written under a temporary name and renamed, so that one is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import OutputError, RunFolderError
from kvandal.runs.contract import first_mistake, refuse_constant, without_nan
from kvandal.runs.parquet import write_table
from kvandal.runs.run import SAMPLES, SCHEMA_VERSION, TABLES, Run

if TYPE_CHECKING:
    import polars as pl

    from kvandal.ledger.told import Told

STATES = "states"
"""Folder of the saved states inside a run folder."""


def write_run(run: Run, folder: Path | str) -> None:
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
        If the folder exists already.
    OutputError
        If it cannot be written (disk full, no permission); nothing is left behind.

    """
    with run_folder(folder) as writer:
        writer.finish(run)


@contextmanager
def run_folder(folder: Path | str) -> Iterator[RunWriter]:
    """Write a run folder table by table, as they are made; it is there when the block ends, and only if it ends well.

    Raises
    ------
    RunFolderError
        If the folder exists already.
    OutputError
        If it cannot be written (disk full, no permission); nothing is left behind.

    """
    folder = Path(folder)
    refuse_existing(folder)
    with ExitStack() as stack:
        yield RunWriter(lambda: stack.enter_context(whole_folder(folder)))


class RunWriter:
    """Writes the files of a run into a draft that is made when the first of them comes."""

    def __init__(self, make_draft: Callable[[], Path]) -> None:
        self._make_draft = make_draft
        self._draft: Path | None = None
        self._checksums: dict[str, dict[str, Any]] = {}

    @property
    def has_begun(self) -> bool:
        """Whether anything has been written."""
        return self._draft is not None

    def take(self, name: str, table: pl.DataFrame | Told) -> None:
        """Write a table."""
        file = f"{name}.parquet"
        self._checksums[file] = {"rows": table.height, "sha256": write_table(table, self._folder() / file)}

    def finish(self, run: Run) -> None:
        """Write the tables that the run still holds, its states, its record and its report."""
        from kvandal.report import render

        for name, table in run.tables.items():
            self.take(name, table)
        draft = self._folder()
        if run.states:
            (draft / STATES).mkdir()
        for tick, state in run.states.items():
            write_durably(state, draft / STATES / state_name(tick))
        files = [f"{name}.parquet" for name in _names(SAMPLES in run.tables)]
        record = without_nan({**run.record, "tables": {file: self._checksums[file] for file in files}})
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_durably(text.encode("utf-8"), draft / "run.json")
        write_durably(render(draft).encode("utf-8"), draft / "report.html")

    def _folder(self) -> Path:
        if self._draft is None:
            self._draft = self._make_draft()
        return self._draft


def state_name(tick: int) -> str:
    """Name of the file of a saved state, by the ticks done."""
    return f"state-{tick:08d}.npz"


def next_folder(name: str, parent: str = "runs") -> Path:
    """First free folder PARENT/NAME-N."""
    index = 1
    while os.path.lexists(folder := Path(parent) / f"{name}-{index}"):
        index += 1
    return folder


def refuse_existing(folder: Path) -> None:
    """Refuse a place that is taken; called before a run starts, so that nobody waits for nothing."""
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise RunFolderError("is not the name of a folder", file=repr(str(folder))) from None
    what = "is a dangling link" if folder.is_symlink() and not folder.exists() else "exists already"
    raise RunFolderError(f"{what}; choose another --out or remove it first", file=folder)


def refuse_unwritable(folder: Path) -> None:
    """Refuse a place that is taken or cannot be written; leaves nothing behind."""
    refuse_existing(folder)
    draft, made = _draft_beside(folder), list[Path]()
    try:
        _make(draft, made)
        with suppress(FileNotFoundError):  # but not the error of a name that is too long
            folder.lstat()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        _remove(draft, made)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` and rename it at the end; on any failure remove it."""
    draft, made = _draft_beside(folder), list[Path]()
    whole = False
    try:
        _make(draft, made)
        yield draft
        draft.rename(folder)
        whole = True
        _sync_folder(folder.parent)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written: {error.strerror or error}; nothing was kept"
        ) from None
    finally:
        if not whole:
            _remove(draft, made)


def _draft_beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name[:60]}.{secrets.token_hex(4)}")


def _make(draft: Path, made: list[Path]) -> None:
    """Make a draft folder and the parents that it lacks; `made` takes the names of those parents."""
    for parent in reversed([draft.parent, *draft.parent.parents]):
        if not parent.exists():
            made.append(parent)
            parent.mkdir(exist_ok=True)
    draft.mkdir()


def _remove(draft: Path, made: list[Path]) -> None:
    """Remove a draft and the folders made for it."""
    shutil.rmtree(draft, ignore_errors=True)
    for parent in reversed(made):
        try:
            parent.rmdir()
        except OSError:  # somebody else has put something there
            break


def write_durably(raw: bytes, path: Path) -> None:
    """Write a file and wait until it is on the disk, so that a full disk shows here and not later."""
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a system that cannot open folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def refuse_unwritable_file(path: Path) -> None:
    """Refuse a place for a file that is a folder or a device, or whose folder is not there."""
    try:
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; name a file")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path}: is not a regular file")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: cannot be written: {path.parent} is not a folder")
    except (OSError, ValueError) as error:
        raise OutputError(f"{str(path)!r}: cannot be written: {error}") from None


def write_whole(text: str, path: Path) -> None:
    """Write a text file under a temporary name, then rename it; a link is followed."""
    write_whole_bytes(text.encode("utf-8"), path)


def write_whole_bytes(raw: bytes, path: Path) -> None:
    """Write a file under a temporary name, then rename it; a link is followed."""
    draft = None
    try:
        target = path.resolve()
        draft = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}")
        write_durably(raw, draft)
        draft.replace(target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; nothing was kept") from None
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def read_record(folder: Path | str) -> dict[str, Any]:
    """Read run.json of a run folder.

    Raises
    ------
    RunFolderError
        If it is absent, damaged, lacks a key or is of a version that this program does not know.

    """
    folder = Path(folder)
    path = folder / "run.json"
    try:
        record = json.loads(path.read_bytes(), parse_constant=refuse_constant)
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a run folder (no run.json in it)" if folder.exists() else "no such run folder"
        raise RunFolderError(what, file=folder) from None
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror}", file=path) from None
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"not valid JSON: {error}", file=path) from None
    if not isinstance(record, dict):
        raise RunFolderError("must be a JSON object", file=path)
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunFolderError(
            f"must be {SCHEMA_VERSION}, got {version!r}: written by another version of kvandal, or damaged",
            file=path,
            key="schema_version",
        )
    mistake = first_mistake(record)
    if mistake is not None:
        raise RunFolderError(mistake.message, file=path, key=mistake.key)
    return record


def check_tables(folder: Path | str) -> dict[str, Any]:
    """Check that every table is there and matches its checksum; return run.json."""
    folder = Path(folder)
    record = read_record(folder)
    for name in _names("uncertainty" in record):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise RunFolderError("this table is missing", file=path)
        try:
            checksum = sha256_of(path)
        except OSError as error:
            raise RunFolderError(f"cannot be read: {error.strerror}", file=path) from None
        if checksum != record["tables"].get(path.name, {}).get("sha256"):
            raise RunFolderError("does not match its checksum in run.json (changed or cut short)", file=path)
    return record


def read_run(folder: Path | str, wanted: Mapping[str, list[str] | None] | None = None) -> Run:
    """Read a run folder back; all tables are checked against the checksums in run.json.

    Parameters
    ----------
    folder
        Run folder.
    wanted
        Tables to read, each with the columns to read (None: all); left out, everything.

    """
    import polars as pl

    folder = Path(folder)
    record = check_tables(folder)
    tables = {}
    every: dict[str, list[str] | None] = dict.fromkeys(_names("uncertainty" in record))
    for name, columns in (every if wanted is None else wanted).items():
        path = folder / f"{name}.parquet"
        try:
            tables[name] = pl.read_parquet(path, glob=False, columns=columns)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise RunFolderError(f"not a Parquet file: {error}", file=path) from None
    return Run(record=record, tables=tables)


def _names(sampled: bool) -> tuple[str, ...]:
    """Names of the tables of a run."""
    return (*TABLES, SAMPLES) if sampled else TABLES


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
