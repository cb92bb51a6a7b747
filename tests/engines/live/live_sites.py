"""Engines as the suite of the protocol drives them: the twin, whose time is ours, and a real Slurm."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slurm_site import call

from kvandal.engines.live.protocol import Engine, EngineEvent, EngineUnreachableError, JobNow, Order, Share
from kvandal.engines.live.slurm import SlurmEngine
from kvandal.engines.live.slurm_cluster import SlurmCluster
from kvandal.engines.live.twin import TwinEngine

START = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
PARITY_TENANTS = (
    "anchor", "startups", "research", "health", "ocean", "grid",
    "uk", "denmark", "sweden", "finland", "estonia", "iceland",
)  # fmt: skip
TENANTS = PARITY_TENANTS
KEYS = itertools.count(1)


class Site:
    """An engine, and what it has told."""

    engine: Engine
    nodes: tuple[str, ...]
    short_s: float
    """A job that ends while a test waits for it."""

    def __init__(self) -> None:
        self.told: list[EngineEvent] = []
        self.cursor = ""
        self.keys: set[str] = set()

    def make(self) -> Engine:
        raise NotImplementedError

    def pass_time(self) -> None:
        raise NotImplementedError

    def again(self) -> None:
        """Let the engine object go and make another: as after a crash of ours."""
        self.engine.close()
        self.engine = self.make()

    def order(self, name: str, gpus: int = 1, runs_s: int | None = None, **more: Any) -> Order:
        """Return a job of this test."""
        key = f"{name}-{os.getpid()}-{next(KEYS)}"
        self.keys.add(key)
        seconds = 600 if runs_s is None else runs_s
        script = f"#!/bin/bash\ntrap 'kill %1' TERM\nsleep {seconds} &\nwait %1\n"
        more = {"tenant": "startups", "script": script, "limit_s": 3600, "run_time_s": seconds} | more
        return Order(key, project="", tier="assured", name=name, gpus=gpus, **more)

    def tell(self) -> list[EngineEvent]:
        """Take what is new and return what was told of this test's jobs."""
        events, self.cursor = self.engine.events(self.cursor)
        self.told += events
        return [event for event in self.told if event.key in self.keys]

    def story(self, *orders: Order) -> list[tuple[str, int, str | None]]:
        """Return what was told of jobs: kinds, attempts, outcomes."""
        keys = {order.key for order in orders}
        return [(e.kind, e.attempt, e.outcome) for e in self.tell() if e.key in keys]

    def wait(self, check: Callable[[], Any], what: str, within_s: float = 30.0) -> Any:
        end = time.monotonic() + within_s
        while not (found := check()):
            assert time.monotonic() < end, f"{what}: not within {within_s:g} s; told: {self.tell()[-6:]}"
            self.pass_time()
        return found

    def wait_told(self, order: Order, kind: str, attempt: int) -> EngineEvent:
        return self.wait(
            lambda: next(
                (e for e in self.tell() if (e.key, e.kind, e.attempt) == (order.key, kind, attempt)), None
            ),
            f"{kind} {attempt} of {order.name}",
        )

    def started(self, order: Order, shares: Iterable[Share], attempt: int = 1) -> None:
        """Submit a job, start it, and wait until it runs."""
        self.engine.hold(order, 0)
        self.engine.start(order, attempt, list(shares))
        self.wait_told(order, "started", attempt)

    def job(self, order: Order) -> JobNow | None:
        return self.engine.observe().jobs.get(order.key)

    def state(self, order: Order) -> str:
        found = self.job(order)
        return "absent" if found is None else found.state

    def clear(self) -> None:
        """Cancel what is left."""
        for key in self.keys:
            self.engine.cancel(Order(key, "startups", "", "assured", key, 1, 60))


class TwinSite(Site):
    """The twin: time passes when the test lets it."""

    short_s = 3

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.nodes = tuple(f"r0001n{tray:02d}" for tray in range(1, 7))
        self.file, self.wall_s = folder / "twin.sqlite", 1000.0
        self.engine = self.make()

    def make(self) -> TwinEngine:
        return TwinEngine(self.nodes, file=self.file, start_utc=START, wall=lambda: self.wall_s)

    def pass_time(self) -> None:
        self.wall_s += 0.5


class SlurmSite(Site):
    """A real Slurm in one folder."""

    short_s = 1

    def __init__(self, folder: Path, nodes: int) -> None:
        super().__init__()
        self.folder = folder
        self.nodes = tuple(f"gpu{node:03d}" for node in range(1, nodes + 1))
        self.engine = self.make()

    def make(self, **changes: Any) -> SlurmEngine:
        return SlurmEngine(SlurmCluster(**(self.settings() | changes)))

    def settings(self) -> dict[str, Any]:
        token = (f"{self.folder}/bin/scontrol", "token", "username=root", "lifespan=3600")
        return {
            "rest_url": f"unix:{self.folder}/rest/rest.sock",
            "token_command": token,
            "commands": self.folder / "bin",
            "user": "u-{tenant}",
            "gpu_type": "gb200",
            "output": "/dev/null",
            "record_folder": self.folder / "runs",
            "timeout_s": 2.5,
        }

    def pass_time(self) -> None:
        time.sleep(0.03)

    def run(self, *command: str) -> str:
        ended = subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stdout}{ended.stderr}"
        return ended.stdout.strip()

    def numbers(self, order: Order) -> list[str]:
        """Return numbers of the jobs in Slurm with the key of an order that have not ended."""
        lines = self.run("squeue", "-h", "-O", "JobID:|,Comment:80").splitlines()
        return [line.split("|")[0] for line in lines if f"kvandal/{order.key}" in line]

    # -- faults

    def process(self, daemon: str) -> int:
        return int((self.folder / "run" / f"{daemon}.id").read_text().split()[0])

    def kill(self, daemon: str) -> None:
        call("down", str(self.folder), "--only", daemon, "--kill")

    def up(self) -> None:
        call("up", str(self.folder), "--no-install")

    def stop(self, daemon: str) -> None:
        os.kill(self.process(daemon), signal.SIGSTOP)

    def go_on(self, daemon: str) -> None:
        os.kill(self.process(daemon), signal.SIGCONT)

    def clear(self) -> None:
        """Cancel everything, wait until it is gone, take drained nodes back."""
        self.up()

        def is_empty() -> bool:
            jobs = self.run("squeue", "-h", "-O", "JobID:").split()
            if jobs:
                self.run("scancel", *jobs)
            return not jobs

        self.wait(is_empty, "an empty queue")
        for node in self.run("sinfo", "-h", "-N", "-t", "drain,down", "-o", "%N").split():
            self.run("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait(
            lambda: not self.run("sinfo", "-h", "-N", "-t", "drain,down,no_respond", "-o", "%N"), "nodes"
        )
        self.engine.close()


def start_slurm(nodes: int) -> Path:
    """Start a Slurm with an account and a user for each tenant; its own preemption is off."""
    folder = Path(tempfile.mkdtemp(prefix="kvandal-live-"))
    folder.chmod(0o755)
    try:
        call(
            "up", str(folder), "--nodes", str(nodes), "--requeue-delay", "5",
            "--conf", "PreemptType=preempt/none", "--conf", "PreemptMode=OFF", "--conf", "MaxJobCount=50000",
        )  # fmt: skip
        call("adduser", str(folder), *(f"u-{tenant}" for tenant in TENANTS))
        tree = ["Cluster - 'sandbox'", "Parent - 'root'", *(f"Account - '{t}':Fairshare=1" for t in TENANTS)]
        for tenant in TENANTS:
            tree += [f"Parent - '{tenant}'", f"User - 'u-{tenant}':DefaultAccount='{tenant}':Fairshare=1"]
        file = folder / "etc" / "tree.cfg"
        file.write_text("\n".join(tree) + "\n")
        load = [str(folder / "bin" / "sacctmgr"), "-i", "load", str(file)]
        subprocess.run(load, check=True, capture_output=True, timeout=60)
    except BaseException:
        stop_slurm(folder)
        raise
    return folder


def stop_slurm(folder: Path) -> None:
    """End all that runs there, what was stopped too."""
    for file in folder.glob("run/*.id"):
        process = int(file.read_text().split()[0])
        try:
            if str(folder).encode() in Path(f"/proc/{process}/environ").read_bytes():
                os.kill(process, signal.SIGCONT)
        except (OSError, ProcessLookupError):
            continue
    call("down", str(folder), "--purge")


def unreachable(call_engine: Callable[[], Any]) -> bool:
    """Tell whether the engine says that it cannot be reached."""
    try:
        call_engine()
    except EngineUnreachableError:
        return True
    return False


def answer(call_engine: Callable[[], Any]) -> Any:
    """Return what the engine answers; None: it cannot be reached."""
    try:
        return call_engine()
    except EngineUnreachableError:
        return None


def whole(nodes: Iterable[str]) -> list[Share]:
    return [Share(node, 4) for node in nodes]


def as_text(event: EngineEvent) -> str:
    return json.dumps(
        [event.kind, event.at_utc.isoformat(), event.key, event.attempt, event.node, event.outcome]
    )
