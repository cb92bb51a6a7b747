"""What each run of a job leaves behind: that it began, and how it ended.

slurmctld saves its state only every few seconds. Killed within that time of a start, it has forgotten the start when it
comes back: it may take the run off its node, send the job a second time, or hold it as never started although it has
completed, and neither it nor slurmdbd can tell afterwards. So the batch script that is submitted begins with a few lines of
ours: they create a file, named by the job, its number in Slurm and its count of restarts, in a folder that all nodes share,
or end at once if it is there already; then they run the script of the job and write its exit code into that file.

The folder belongs to the service and has mode 1733: jobs create files in it, and can neither list nor remove those of
others, whose names they cannot guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

SECOND_RUN = 114
"""Exit code of a run that was sent twice."""
MARK = "# -- the script of the job --"

PRELUDE = """#!/bin/sh
# Lines of Kvandal: a start runs once, even if the controller sends it twice, and leaves how it ended.
child=
notice() {{ # only to a script that listens: USR1 would end another
    case $(sed -n 's/^SigCgt:.*\\(.\\)..$/\\1/p' "/proc/$child/status" 2>/dev/null) in
    [2367abefABEF]) kill -USR1 "$child" ;;
    esac
}}
trap notice USR1
record={record}."$SLURM_JOB_ID.${{SLURM_RESTART_COUNT:-0}}"
(umask 022; set -C; : >"$record") 2>/dev/null || exit {second}
script=$(mktemp "${{TMPDIR:-/tmp}}/kvandal.XXXXXX") || exit 115
sed '1,/^{mark}$/d' "$0" >"$script"
trap 'kill -TERM "$child" 2>/dev/null' TERM
{interpreter} "$script" &
child=$!
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
done
rm -f "$script"
echo "$code" >"$record"
exit "$code"
{mark}
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What a run left.

    Attributes
    ----------
    code : exit code; None: it has not ended, or was killed
    began_utc_s, ended_utc_s : when, as seconds since 1970; without a code the second says nothing

    """

    code: int | None
    began_utc_s: float
    ended_utc_s: float


class Records:
    """Records of all runs in one folder.

    Parameters
    ----------
    folder : shared by all nodes; created if it is not there

    Raises
    ------
    OSError
        The folder cannot be created or read.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o1733)
        secret = folder / ".secret"
        if not secret.exists():
            ours = folder / f".secret.{secrets.token_hex(8)}"
            ours.touch(0o600)
            ours.write_bytes(secrets.token_bytes(32))
            try:
                os.link(ours, secret)  # the first of several servers wins
            except FileExistsError:
                pass
            finally:
                ours.unlink()
        self._secret = secret.read_bytes()
        self._present: set[str] = set()
        self._tokens: dict[str, str] = {}

    def refresh(self) -> None:
        """Look which records there are."""
        self._present = {entry.name for entry in os.scandir(self._folder)}

    def script(self, key: str, script: str) -> str:
        """Return the batch script that runs a script and leaves a record."""
        first = script.split("\n", 1)[0]
        interpreter = first.removeprefix("#!").strip() if first.startswith("#!") else "/bin/sh"
        prelude = PRELUDE.format(
            record=shlex.quote(str(self._folder / self._token(key))),
            second=SECOND_RUN,
            mark=MARK,
            interpreter=interpreter,
        )
        return prelude + script + ("" if script.endswith("\n") else "\n")

    def of(self, key: str, number: int, restarts: int) -> Record | None:
        """Return the record of a run: of a job's number in Slurm and its count of restarts."""
        name = f"{self._token(key)}.{number}.{restarts}"
        if name not in self._present:
            return None
        path = self._folder / name
        try:
            text, times = path.read_text(encoding="ascii"), path.stat()
        except (OSError, UnicodeDecodeError):
            return None
        code = int(text) if text.strip().isdigit() else None
        return Record(code, times.st_ctime if code is None else times.st_mtime, times.st_mtime)

    def present(self, key: str, number: int, restarts: int) -> bool:
        """Tell whether a run has left a record."""
        return f"{self._token(key)}.{number}.{restarts}" in self._present

    def all_of(self, key: str) -> list[Record]:
        """Return the records of all runs of a job, under whatever numbers Slurm gave it."""
        runs = [name.split(".") for name in self._present if name.startswith(f"{self._token(key)}.")]
        return [record for _, number, run in runs if (record := self.of(key, int(number), int(run)))]

    def forget(self, key: str, number: int, restarts: int) -> None:
        """Remove the record of a run that was lost, so that the next may run under the same count of restarts."""
        self._remove(f"{self._token(key)}.{number}.{restarts}")

    def forget_all(self, key: str) -> None:
        """Remove the records of all runs of a job."""
        for name in [name for name in self._present if name.startswith(f"{self._token(key)}.")]:
            self._remove(name)

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._present.discard(name)

    def sweep(self, known: Container[int], before_utc_s: float) -> None:
        """Remove old records of jobs that Slurm no longer knows."""
        for name in list(self._present):
            number = name.split(".")[1]
            if not number.isdigit() or int(number) in known:
                continue
            with contextlib.suppress(OSError):
                if (self._folder / name).stat().st_mtime < before_utc_s:
                    (self._folder / name).unlink()

    def _token(self, key: str) -> str:
        token = self._tokens.get(key)
        if token is None:
            token = hashlib.blake2s(key.encode(), key=self._secret, digest_size=12).hexdigest()
            self._tokens[key] = token
        return token
