"""Requests under load: the service in one process, who asks in another."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvandal.bench.serving.generator import Plan
from kvandal.bench.serving.server import Served, room_in, serving
from kvandal.errors import KvandalError
from kvandal.scenario.model import Scenario
from kvandal.scenario.tree import groups_of

MIX = {"site": 0.55, "jobs": 0.20, "job": 0.10, "submit": 0.07, "why": 0.05, "cancel": 0.02, "tenants": 0.01}
"""Share of each kind of request: people watch the site and their jobs far more often than they submit any."""
WARM_UP_S = 3.0
CONNECTIONS = 64
LONGEST_IDLE_S = 1.0
"""About how long a connection may lie idle, however few requests there are: servers close it after some seconds [s]."""
PAGES_OF_JOBS = 10
SMALLEST, LARGEST = 4, 64
"""GPUs of submitted jobs, as far as their class and tenant allow."""
HOURS = 6
"""Longest run of submitted jobs, as far as their class allows [h]."""


def measured(
    scenario: Scenario,
    source: str,
    *,
    rate: float,
    seconds: float,
    speed: float,
    database: str | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """Ask a full site so often, and tell how long answers took.

    Parameters
    ----------
    scenario, source
        The site, and how `kvandal serve` is told it.
    rate
        Requests a second.
    seconds
        How long it is measured [s].
    speed
        Seconds of the site in a second of real time.
    database
        URL of PostgreSQL; None: SQLite.
    seed
        Of the requests.

    """
    with (
        tempfile.TemporaryDirectory(prefix="kvandal-bench-") as place,
        room_in(database) as room,
        serving(source, Path(place), database=room, speed=speed) as service,
    ):
        site = service.wait_until_full()
        plan = Plan(
            host=service.host,
            port=service.port,
            rate=rate,
            seconds=seconds,
            warm_up_s=min(WARM_UP_S, seconds),
            connections=max(1, min(CONNECTIONS, int(rate * LONGEST_IDLE_S))),
            seed=seed,
            mix=MIX,
            submissions=submissions(scenario),
            jobs=service.newest_jobs(PAGES_OF_JOBS),
        )
        figures = _generated(plan, service)
        after = service.get("/v1/site")[1]
        figures["site"] = {
            "trays": 18 * scenario.site.racks,
            "speed": speed,
            "store": "sqlite" if database is None else "postgresql",
            "jobs_before": site["jobs"]["running"] + site["jobs"]["queued"],
            "jobs_after": after["jobs"]["running"] + after["jobs"]["queued"],
            "cycles": after["cycle"] - site["cycle"],
        }
        figures["server_mib"] = service.memory_mib()
        return figures


def _generated(plan: Plan, service: Served) -> dict[str, Any]:
    words = [sys.executable, "-m", "kvandal.bench.serving.generator"]
    began_s, cpu_s = time.monotonic(), service.cpu_s()
    finished = subprocess.run(  # noqa: S603 - words of our own
        words,
        input=json.dumps(asdict(plan)).encode(),
        capture_output=True,
        check=False,
    )
    took_s, after_s = time.monotonic() - began_s, service.cpu_s()
    if finished.returncode:
        told = finished.stderr.decode(errors="replace").strip().splitlines()
        raise KvandalError(f"the generator of requests failed: {told[-1] if told else finished.returncode}")
    figures: dict[str, Any] = json.loads(finished.stdout)
    known = cpu_s is not None and after_s is not None
    figures["server_cpu"] = round((after_s - cpu_s) / took_s, 3) if known else None  # type: ignore[operator]
    return figures


def submissions(scenario: Scenario) -> list[dict[str, Any]]:
    """Jobs that people of this site could submit: for every tenant and class of work a small and a larger one."""
    from kvandal.control.api.force import InForce

    force, groups, found = InForce(0, scenario), groups_of(scenario.tenants), []
    for name, demand in scenario.demand.items():
        limit_s = int(3600 * min(HOURS, demand.time_limit_h or HOURS))
        for tenant in demand.tenants:
            if tenant in groups:
                continue
            most = force.most_gpus(tenant, name)
            found += [
                {
                    "tenant": tenant,
                    "project": "load",
                    "name": "load",
                    "demand": name,
                    "gpus": gpus,
                    "limit_s": limit_s,
                    "script": "srun python train.py",
                }
                for gpus in dict.fromkeys((min(SMALLEST, most), min(LARGEST, most)))
            ]
    return found
