"""The live service measured: figures are complete, and honest about a server that stands still or fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from kvandal.bench.serving import memory
from kvandal.bench.serving.generator import KINDS, Generator, Plan, spread
from kvandal.bench.serving.load import MIX, submissions
from kvandal.scenario.loading import load
from kvandal.scenario.tree import groups_of

SMALL = str(Path(__file__).parent.parent / "small.toml")
MINE = f"job_{'0' * 26}"


class Server:
    """A server that answers what a test says, after it has stood still as long as a test says."""

    def __init__(
        self, answer: Callable[[str], tuple[int, bytes] | None], still_s: float = 0.0, at: int = 10
    ) -> None:
        self.answer, self.still_s, self.at, self.asked = answer, still_s, at, 0
        self.requests: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            self.requests.append(head)
            if "Content-Length: " in head:
                await reader.readexactly(int(head.split("Content-Length: ")[1].split("\r\n")[0]))
            self.asked += 1
            if self.asked == self.at:
                time.sleep(self.still_s)  # noqa: ASYNC251 - all of it stands still, as a process whose one thread is busy
            told = self.answer(head.split("\r\n")[0])
            if told is None:
                writer.close()
                return
            status, body = told
            writer.write(
                f'HTTP/1.1 {status} X\r\nETag: "7"\r\nContent-Length: {len(body)}\r\n\r\n'.encode() + body
            )


def asked(server: Server, **changes: Any) -> dict[str, Any]:
    """Run a generator against a server in the same loop of events."""

    async def run() -> dict[str, Any]:
        listening = await asyncio.start_server(_quietly(server), "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        plan = {
            "host": "127.0.0.1", "port": port, "rate": 200.0, "seconds": 1.0, "warm_up_s": 0.0, "connections": 2, "seed": 5,
            "mix": {"site": 1.0}, "submissions": [{"gpus": 4}], "jobs": [MINE],
        } | changes  # fmt: skip
        try:
            return await Generator(Plan(**plan)).run()
        finally:
            listening.close()

    return asyncio.run(run())


def _quietly(server: Server) -> Callable[..., Any]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return handle


def test_who_came_while_the_server_stood_still_waited_for_it() -> None:
    """Two connections and one stop of 0.6 s: a generator that waits for answers would see it twice in 200 requests."""
    figures = asked(Server(lambda _: (200, b"{}"), still_s=0.6))
    assert figures["errors"] == 0
    assert figures["latency_ms"]["all"]["requests"] == figures["requests"] > 100
    assert figures["latency_ms"]["all"]["p95"] > 300
    assert figures["latency_ms"]["all"]["max"] > 500


def test_answers_that_are_wrong_and_those_that_do_not_come_are_errors_by_kind() -> None:
    """A site that fails, and a connection that breaks at every job."""
    figures = asked(
        Server(
            lambda line: (
                None if "/v1/jobs/" in line else (500, b"") if "/site" in line else (200, b'{"next": null}')
            )
        ),
        mix={"site": 0.4, "jobs": 0.3, "job": 0.3},
    )
    kinds = figures["latency_ms"]
    assert figures["errors_by_kind"] == {
        "site": {"500": kinds["site"]["requests"]},
        "job": {"no answer": kinds["job"]["requests"]},
    }
    assert figures["errors"] == kinds["site"]["requests"] + kinds["job"]["requests"] < figures["requests"]


def test_the_same_seed_asks_the_same() -> None:
    """Of everything that there is to ask for, as people do: a job is withdrawn by who submitted it, a page follows a page."""

    def answer(line: str) -> tuple[int, bytes]:
        if line.startswith("POST /v1/jobs "):
            return 201, json.dumps({"id": MINE}).encode()
        return (202 if line.startswith("POST") else 200), b'{"next": "/v1/jobs?limit=50&cursor=n9"}'

    first, second = Server(answer), Server(answer)
    figures, _ = asked(first, mix=MIX, rate=400.0), asked(second, mix=MIX, rate=400.0)
    assert set(figures["latency_ms"]) == {*KINDS, "all"}
    assert figures["errors"] == 0

    def sent(server: Server) -> list[str]:
        lines = [head.split("\r\n")[0] for head in server.requests]
        return sorted(line for line in lines if line.startswith("GET") and "/v1/jobs?" not in line)

    assert sent(first) == sent(second)
    assert len(first.requests) == len(second.requests)
    assert any("cursor=n9" in head for head in first.requests)
    writes = [head for head in first.requests if head.startswith("POST")]
    keys = [head.split("Idempotency-Key: ")[1].split("\r\n")[0] for head in writes]
    assert len(set(keys)) == len(keys) > 10
    assert any('If-None-Match: "7"' in head for head in first.requests)


def test_quantiles_are_values_that_were_seen() -> None:
    assert spread([0.003, 0.001, 0.002]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0}
    assert spread([]) == {}


def test_memory_that_grows_is_told_from_memory_that_wavers() -> None:
    """36 MiB an hour are found within their error; a saw tooth without growth is none."""
    saw = [(5.0 * look, 500.0 + 4.0 * (look % 7)) for look in range(720)]
    found = memory.growth(saw)
    assert abs(found["mib_per_h"]) < 3 * found["mib_per_h_error"] + 0.5
    grown = memory.growth([(time_s, mib + time_s / 100) for time_s, mib in saw])
    assert grown["mib_per_h"] == pytest.approx(36.0, abs=3 * grown["mib_per_h_error"] + 0.5)
    assert grown["last_mib"] > grown["first_mib"] + 25


def test_jobs_that_are_submitted_are_of_every_tenant_that_has_work() -> None:
    scenario = load("stargate-norway")
    found = submissions(scenario)
    groups = groups_of(scenario.tenants)
    expected = {
        (tenant, name)
        for name, one in scenario.demand.items()
        for tenant in one.tenants
        if tenant not in groups
    }
    assert {(one["tenant"], one["demand"]) for one in found} == expected
    assert {one["gpus"] for one in found} == {4, 64}


def test_the_command_runs_shortly_and_tells_all_figures(tmp_path: Path) -> None:
    """Load, cycle and memory of a small site, each figure that the page explains."""
    out = tmp_path / "figures.json"
    words = (
        f"bench --serve {SMALL} --rate 40 --seconds 2 --cycles 12 --minutes 0.02 --json --out {out}".split()
    )
    finished = subprocess.run(
        [sys.executable, "-m", "kvandal.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(finished.stdout)
    assert figures == json.loads(out.read_text("utf-8"))
    served, cycle, grown = figures["load"], figures["cycle"], figures["memory"]
    assert served["errors"] == 0, served["errors_by_kind"]
    assert served["requests"] > 20
    assert served["achieved_per_s"] > 0
    assert set(served["latency_ms"]["all"]) == {"requests", "p50", "p95", "p99", "max"}
    assert served["latency_ms"]["site"]["requests"] > 0
    assert served["server_cpu"] > 0
    assert served["generator_cpu"] > 0
    assert served["site"]["store"] == "sqlite"
    assert cycle["cycles"] == 12
    assert cycle["jobs_running"] > 0
    assert set(cycle["cycle_ms"]) == {"p50", "p95", "p99", "max"}
    assert set(cycle["step_ms"]) == {"observe", "envelope", "decide", "account", "act"}
    assert cycle["filling"]["cycles"] > 0
    assert grown["first_mib"] > 50
    assert {"mib_per_h", "mib_per_h_error", "looks"} <= set(grown)
