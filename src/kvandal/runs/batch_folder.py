"""Folders of sweeps and searches: what was asked, and one file for each finished member, so that a killed one goes on.

A folder is made whole or not at all; a member's file is written under a temporary name and renamed. Nothing that depends
on the clock, the machine or the number of workers is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kvandal.errors import OutputError, RunFolderError
from kvandal.runs.batch import Base, Member, Simulated, Watch, Workers, sources_hash
from kvandal.runs.folder import refuse_existing, sha256_of, whole_folder, write_durably, write_whole_bytes
from kvandal.runs.members import Progress
from kvandal.scenario.changes import differences, input_files

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
MEMBERS = "members"
"""Folder of the members inside."""
KINDS = {"sweep": "sweep.json", "optimise": "optimise.json"}
"""Manifest by the command that writes the folder."""
LONGEST = 60
"""Longer values are cut in messages [characters]."""


class BatchFolder:
    """A folder of members, and what they are members of.

    Attributes
    ----------
    path : the folder
    record : contents of its manifest

    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @classmethod
    def opened(cls, path: Path, kind: str, asked: Mapping[str, Any], inputs: Iterable[str]) -> Self:
        """Make a folder, or go on in one that holds the same.

        Parameters
        ----------
        path
            The folder.
        kind
            A key of `KINDS`.
        asked
            All that the members depend on, as JSON values; `scenario` is the document of their base.
        inputs
            Files that they read.

        Raises
        ------
        RunFolderError
            If the folder holds something else, or was begun by another version or with other input files.
        OutputError
            If it cannot be written.

        """
        record = _record(kind, asked, inputs)
        if not _is_batch(path):
            refuse_existing(path)
            with whole_folder(path) as draft:
                (draft / MEMBERS).mkdir()
                write_durably(_text(record), draft / KINDS[kind])
            return cls(path, record)
        found = read_batch(path)
        _refuse_other(path, found, record)
        return cls(path, record | {"result": found.get("result")})

    def finished(self, name: str) -> bool:
        """Whether a member has been simulated, or refused."""
        return self._place(name).exists()

    def read(self, name: str) -> Simulated | None:
        """Return what became of a member; None if it is not finished, or its file is damaged."""
        try:
            found = json.loads(self._place(name).read_bytes())
            return Simulated(found["summary"], found["reason"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunFolderError(f"cannot be read: {error.strerror}", file=self._place(name)) from None
        except (ValueError, KeyError, TypeError):
            return None

    def write(self, member: Member, simulated: Simulated) -> None:
        """Write what became of a member."""
        document = {
            "member": member.name,
            "changes": member.changes,
            "draws": [[list(steps), value] for steps, value in member.draws],
            "reason": simulated.reason,
            "summary": simulated.summary,
        }
        write_whole_bytes(_text(document), self._place(member.name))

    def write_results(self, table: pl.DataFrame, file: str) -> None:
        """Write the table of what came out."""
        packed = io.BytesIO()
        table.write_parquet(packed, compression="zstd", compression_level=3, statistics=False)
        write_whole_bytes(packed.getvalue(), self.path / file)

    def finish(self, result: dict[str, Any]) -> None:
        """Write what came out into the manifest."""
        self.record = self.record | {"result": result}
        write_whole_bytes(_text(self.record), self.path / KINDS[self.record["kind"]])

    def simulate(
        self, members: Callable[[], Iterable[Member]], workers: Workers, progress: Progress | None = None
    ) -> None:
        """Simulate those members that are not finished, and write each as it is.

        Parameters
        ----------
        members
            Gives them in the order in which they shall begin; called twice, so that they need not all be kept.
        workers
            Who simulates.
        progress
            Called with members done and members to do, of those that were not finished.

        """
        missing = {member.name for member in members() if self.read(member.name) is None}
        if progress is not None:
            progress(0, len(missing))
        todo = (member for member in members() if member.name in missing)
        for done, (member, simulated) in enumerate(workers.run(todo), start=1):
            self.write(member, simulated)
            if progress is not None:
                progress(done, len(missing))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second program out of the folder, where the system has locks of files."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFolderError("another kvandal is at work in it", file=self.path) from None
            except OSError:  # a file system without locks
                pass
            yield
        finally:
            os.close(handle)

    def _place(self, name: str) -> Path:
        return self.path / MEMBERS / f"{name}.json"


def workers_for(base: Base, workers: int | None, ray: str | None, watch: Watch) -> Workers:
    """Return who simulates: processes of this machine, or those of a Ray cluster where an address is given."""
    if ray is not None:
        from kvandal.runs.ray_workers import RayWorkers

        return RayWorkers(base, ray, watch)
    from kvandal.runs.workers import LocalWorkers

    return LocalWorkers(base, workers, watch)


def read_batch(path: Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Raises
    ------
    RunFolderError
        If it is none of a sweep or a search, damaged, or of a version that this program does not know.

    """
    for name in KINDS.values():
        try:
            record = json.loads((path / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RunFolderError(f"cannot be read: {error.strerror}", file=path / name) from None
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"not valid JSON: {error}", file=path / name) from None
        version = record.get("schema_version") if isinstance(record, dict) else None
        if version != SCHEMA_VERSION:
            raise RunFolderError(
                f"must be {SCHEMA_VERSION}, got {version!r}: written by another version of kvandal, or damaged",
                file=path / name,
                key="schema_version",
            )
        found: dict[str, Any] = record
        return found
    what = f"is no folder of a sweep or a search (no {' or '.join(KINDS.values())} in it)"
    raise RunFolderError(what if path.exists() else "no such folder", file=path)


def files_of(document: Mapping[str, Any], changes: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """List the files that a scenario's document names, and those of changes to it (values by dotted key)."""
    found = dict.fromkeys(input_files(document))
    for one in changes:
        for key, value in one.items():
            nested = value
            for step in reversed(key.split(".")):
                nested = {step: nested}
            found |= dict.fromkeys(input_files(nested))
    return list(found)


def _record(kind: str, asked: Mapping[str, Any], inputs: Iterable[str]) -> dict[str, Any]:
    import kvandal
    from kvandal.runs.run import versions

    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "kvandal_version": kvandal.__version__,
        "sources_sha256": sources_hash(),
        "versions": {key: value for key, value in versions().items() if key != "python"},
        "asked_sha256": hashlib.sha256(_text(asked)).hexdigest(),
        "inputs": {name: _checksum(name) for name in inputs},
        "asked": json.loads(_text(asked)),
        "result": None,
    }


def _refuse_other(path: Path, found: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Refuse a folder whose members do not go with those of `record`, and say what differs."""
    another = "choose another --out"
    if found["kind"] != record["kind"]:
        raise RunFolderError(f"was written by kvandal {found['kind']}; {another}", file=path)
    if found["asked_sha256"] != record["asked_sha256"]:
        first = next(iter(differences(found["asked"], record["asked"])), None)
        what = (
            "" if first is None else f": {first[0]} is {_shown(first[1])} there and {_shown(first[2])} here"
        )
        name = "sweep" if record["kind"] == "sweep" else "search"
        raise RunFolderError(f"holds another {name}{what}; {another}", file=path)
    for key in ("kvandal_version", "sources_sha256", "versions"):
        if found[key] != record[key]:
            raise RunFolderError(
                f"was begun by another version of kvandal or of its libraries ({key} differs), whose numbers must not be "
                f"mixed with those of this one; {another}",
                file=path,
            )
    changed = [name for name in record["inputs"] if found["inputs"].get(name) != record["inputs"][name]]
    if changed:
        raise RunFolderError(f"was begun with another content of {changed[0]}; {another}", file=path)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _is_batch(path: Path) -> bool:
    try:
        return any((path / name).is_file() for name in KINDS.values())
    except (OSError, ValueError):
        return False


def _checksum(name: str) -> str | None:
    """Checksum of an input file; None for one that cannot be read, which is refused where it is used."""
    try:
        return sha256_of(Path(name))
    except (OSError, ValueError):
        return None


def _text(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
