"""Slurm's own commands: squeue to see ten thousand jobs at once, scontrol for what the REST interface cannot, sacct for the past."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kvandal.engines.live.protocol import EngineUnreachableError, OrderRefusedError

QUIET_S = 1.0
"""After a failure nothing is tried for so long."""
AWAY = (
    "unable to contact",
    "connection refused",
    "socket timed out",
    "connect failure",
    "communication",
    "standby",
)
"""Words of a command that did not reach its daemon."""


class CommandFailedError(Exception):
    """A command ended with an error of its own."""


def run_command(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints.

    Raises
    ------
    EngineUnreachableError
        It did not end in time, or could not be run.
    CommandFailedError
        It ended with an error; the message is what it said.

    """
    try:
        ended = subprocess.run(  # noqa: S603 - the operator names the commands
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else {**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        raise EngineUnreachableError(f"{command[0]} does not answer within {timeout_s:g} s") from None
    except OSError as failed:
        raise EngineUnreachableError(f"{command[0]} cannot be run: {failed.strerror}") from None
    if ended.returncode:
        raise CommandFailedError((ended.stderr or ended.stdout).strip())
    return ended.stdout


class SlurmCommands:
    """Commands of one cluster.

    Parameters
    ----------
    folder : where they are; None: on the path
    timeout_s : longest wait for one
    conf : slurm.conf; None: where Slurm looks for it

    """

    def __init__(self, folder: Path | None, timeout_s: float, conf: Path | None = None) -> None:
        self._folder = folder
        self._environment = {"SLURM_TIME_FORMAT": "%s"} | ({"SLURM_CONF": str(conf)} if conf else {})
        self._timeout_s = timeout_s
        self._quiet_until: dict[str, float] = {}

    def run(self, *command: str) -> str:
        """Run a command; times are printed as seconds since 1970.

        Raises
        ------
        EngineUnreachableError
            The daemon behind it does not answer.
        OrderRefusedError
            It answered and refused.

        """
        name = command[0]
        daemon = "slurmdbd" if name == "sacct" else "slurmctld"
        if time.monotonic() < self._quiet_until.get(daemon, 0.0):
            raise EngineUnreachableError(f"{daemon} did not answer a moment ago")
        program = shutil.which(name) if self._folder is None else str(self._folder / name)
        try:
            return run_command([program or name, *command[1:]], self._timeout_s, self._environment)
        except EngineUnreachableError:
            self._quiet_until[daemon] = time.monotonic() + QUIET_S
            raise
        except CommandFailedError as failed:
            words = str(failed)
            if daemon == "slurmdbd" or any(sign in words.lower() for sign in AWAY):
                self._quiet_until[daemon] = time.monotonic() + QUIET_S
                raise EngineUnreachableError(f"{name}: {words}") from None
            raise OrderRefusedError(f"Slurm refuses: {words}") from None
