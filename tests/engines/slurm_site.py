"""A real Slurm controller at the size of a site, with what the export wrote: Debian's Slurm through slurm-sandbox."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvandal.engines.export import Export

ROOT = Path(__file__).parent.parent.parent
FIRST_PORT = 6000
"""Port of the first tray; each has its own on this one machine."""
QUICK = "sched_interval=1,bf_interval=1,bf_resolution=1,batch_sched_delay=0"
"""Decide every second: tests do not wait for half a minute."""


def sandbox() -> Path:
    """The tool: ``$KVANDAL_SLURM_SANDBOX``, else ``shared/tools/slurm-sandbox`` beside the checkout."""
    beside = ROOT.parent / "shared" / "tools" / "slurm-sandbox"
    return Path(os.environ.get("KVANDAL_SLURM_SANDBOX", beside))


def reason_not_to_run() -> str | None:
    """Why a real Slurm cannot be started here; None if it can."""
    if not sandbox().is_file():
        return f"not run: no slurm-sandbox at {sandbox()} (set KVANDAL_SLURM_SANDBOX)"
    if os.geteuid() != 0:
        return "not run: jobs of several tenants need root"
    return None


@dataclass(frozen=True)
class Cluster:
    """Slurm that runs; everything of it lies in one folder."""

    folder: Path

    def run(self, *command: str) -> str:
        """Run a Slurm command and return what it prints."""
        finished = subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, f"{' '.join(command)}: {finished.stdout}{finished.stderr}"
        return finished.stdout.strip()

    def submit(self, user: str, *options: str, script: str = "exec sleep 300") -> str:
        """Submit a job as somebody and return its number."""
        return self.run(
            "as", user, "sbatch", "--parsable", "-o", "/dev/null", "--mem=100", *options, "--wrap", script
        )

    def state(self, job: str) -> tuple[str, str]:
        """State of a job and the reason why it waits."""
        state, reason = self.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T|%r").split("|")
        return state, reason

    def wait(self, check: Callable[[], Any], what: str, within_s: float = 60) -> Any:
        """Poll until something is true."""
        end = time.monotonic() + within_s
        while not (found := check()):
            assert time.monotonic() < end, f"{what}: not within {within_s:g} s"
            time.sleep(0.1)
        return found

    def clear(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        for job in self.run("squeue", "-h", "-o", "%i").split():
            self.run("scancel", job)
        self.wait(lambda: not self.run("squeue", "-h", "-o", "%i"), "an empty queue")


def call(*arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, str(sandbox()), *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def start(exported: Export, users: dict[str, str]) -> Cluster:
    """Load an export: QOS and accounts first, then a controller with its nodes, partitions and topology.

    The trays are cloud nodes: a job wakes those that it is given, each a real slurmd on this machine.
    """
    assert exported.target == "slurm"
    folder = Path(tempfile.mkdtemp(prefix="kvandal-slurm-"))
    folder.chmod(0o755)
    cluster = Cluster(folder)
    try:
        _start(cluster, exported, users)
    except BaseException:
        stop(cluster)
        raise
    return cluster


def _start(cluster: Cluster, exported: Export, users: dict[str, str]) -> None:
    folder = cluster.folder
    settings = {
        "ResumeProgram": f"{folder}/bin/resume",
        "SuspendProgram": f"{folder}/bin/suspend",
        "SuspendTime": "3600",
        "SuspendTimeout": "15",
        "ResumeTimeout": "120",
        "ResumeRate": "0",
        "SuspendRate": "0",
        "SuspendExcNodes": "gpu001",
        "PrivateData": "cloud",
    }
    # the sandbox itself starts with one node of its own; slurmctld comes again below, with ours
    call(
        "up", str(folder), "--nodes", "1", "--gpu-type", "gb300", "--cluster", exported.contract.called,
        *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
    )  # fmt: skip
    written = folder / "export"
    written.mkdir()
    for name, text in exported.files.items():
        (written / name).write_text(text, encoding="utf-8")
    path = f"{folder}/bin{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", str(written / "qos.sh")], env={**os.environ, "PATH": path}, check=True, timeout=120)
    cluster.run("sacctmgr", "-i", "load", str(written / "accounts.cfg"))
    call("adduser", str(folder), *users)
    for user, account in users.items():
        cluster.run("sacctmgr", "-iQ", "add", "user", user, f"account={account}")
    call("down", str(folder), "--only", "slurmctld")
    _configure(folder, exported.files)
    # not by the sandbox, which then lists 25,000 nodes one by one and takes a minute for it
    start_controller = f'. "{folder}/env.sh"; exec "{folder}/bin/slurmctld" -i -f "{folder}/etc/slurm.conf"'
    with (folder / "log" / "slurmctld.out").open("ab") as log:
        subprocess.run(
            ["sh", "-c", start_controller],
            cwd=folder / "log",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=120,
        )
    ping = [str(folder / "bin" / "scontrol"), "ping"]  # ends with 1 until it is up
    cluster.wait(
        lambda: (
            " is UP" in subprocess.run(ping, capture_output=True, text=True, timeout=120, check=False).stdout
        ),
        "slurmctld",
        240,
    )


def _configure(folder: Path, files: dict[str, str]) -> None:
    """Put the exported parts into the sandbox's files: addresses on this machine, and its own node beside ours."""
    ours = files["slurm.conf.part"]
    keys = {line.split("=")[0] for line in ours.splitlines() if line[:1].isalpha()}
    own = (folder / "etc" / "slurm.conf").read_text(encoding="utf-8").splitlines()
    head = [line for line in own if line.split("=")[0] not in keys]
    node = [line for line in own if line.startswith("NodeName=")]
    ours = re.sub(r"^SchedulerParameters=.*$", rf"\g<0>,{QUICK}", ours, flags=re.MULTILINE)
    ports = iter(range(FIRST_PORT, 32_700, 18))

    def with_address(line: str) -> str:
        if not line.startswith("NodeName=r"):
            return line
        first = next(ports)
        return f"{line} NodeAddr=127.0.0.1 NodeHostname=localhost Port=[{first}-{first + 17}] State=CLOUD"

    text = [*head, *node, *map(with_address, ours.splitlines())]
    (folder / "etc" / "slurm.conf").write_text("\n".join(text) + "\n", encoding="utf-8")
    devices = files["gres.conf.part"].replace("/dev/nvidia", f"{folder}/dev/gpu")
    devices += f"NodeName=gpu001 Name=gpu Type=gb300 File={folder}/dev/gpu[0-3]\n"
    (folder / "etc" / "gres.conf").write_text(devices, encoding="utf-8")
    switches = files["topology.conf"].replace(
        "SwitchName=site Switches=", "SwitchName=own Nodes=gpu001\nSwitchName=site Switches=own,"
    )
    (folder / "etc" / "topology.conf").write_text(switches, encoding="utf-8")


def stop(cluster: Cluster) -> None:
    """End everything that was started, by its process number, and remove the folder."""
    number = cluster.folder / "run" / "slurmctld.pid"
    process = Path("/proc") / (number.read_text().strip() or "none") / "cmdline" if number.is_file() else None
    if process and process.is_file() and str(cluster.folder).encode() in process.read_bytes():
        os.kill(
            int(process.parent.name), signal.SIGKILL
        )  # its state is thrown away; a SIGTERM waits for a start to end
        cluster.wait(lambda: not process.is_file() or not process.read_bytes(), "the end of slurmctld")
    call("down", str(cluster.folder), "--purge")
