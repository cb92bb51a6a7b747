"""A generator of requests, in a process of its own: ``python -m kvandal.bench.serving.generator`` reads a plan as JSON and prints figures.

Requests arrive at a rate that knows nothing of the answers (Poisson), and the clock of each starts when it was due: a server
that stands still for a second delays all that came in it, and every one of them counts. Plain HTTP/1.1 over connections
that are kept, so that the generator costs little beside the server.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

KINDS = ("site", "jobs", "job", "why", "submit", "cancel", "tenants")
ALL = "all"
EXPECTED = {200, 201, 202, 304}
FIRST_PAGE = "/v1/jobs?limit=50"
LAST_ANSWER_S = 60.0
"""Longest wait for the last answer [s]."""
PAGES = 20
"""Pages of the list of jobs, newest first, that are asked for one after the other before the first is again."""


@dataclass(slots=True)
class Plan:
    """What is to be asked for.

    Attributes
    ----------
    host, port : of the server
    rate : requests a second
    seconds : how long it is measured
    warm_up_s : how long requests are sent before that
    connections : kept to the server
    seed : of arrivals, kinds and subjects
    mix : share of each kind
    submissions : bodies of jobs to be submitted
    jobs : ids of jobs that are there
    """

    host: str
    port: int
    rate: float
    seconds: float
    warm_up_s: float
    connections: int
    seed: int
    mix: dict[str, float]
    submissions: list[dict[str, Any]]
    jobs: list[str]


@dataclass(slots=True)
class Request:
    """One request: when it was due, what it asks for, and whether it counts."""

    due_s: float
    kind: str
    head: str
    body: bytes = b""
    counts: bool = True
    sent_s: float = 0.0


@dataclass
class Figures:
    """What is gathered by kind of request."""

    latency_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    late_s: list[float] = field(default_factory=list)
    answered: int = 0
    last_s: float = 0.0


class Connection(asyncio.Protocol):
    """A kept connection: one request at a time.

    Parameters
    ----------
    done
        Told the connection, the status, the ETag and the body of an answer; status 0: the connection broke.

    """

    def __init__(self, done: Callable[[Connection, int, str, bytes], None]) -> None:
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self.request: Request | None = None
        self.tag = ""  # of the site, as this client saw it last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the server."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    @property
    def open(self) -> bool:
        """Whether it can be used."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: Request) -> None:
        """Send a request."""
        assert self._transport is not None
        self.request = request
        tag = f"If-None-Match: {self.tag}\r\n" if request.kind == "site" and self.tag else ""
        length = (
            f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n"
            if request.body
            else ""
        )
        self._transport.write(f"{request.head}{tag}{length}\r\n".encode("ascii") + request.body)

    def data_received(self, data: bytes) -> None:
        """Put the pieces of an answer together."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length, tag = 0, ""
        head = bytes(self._buffer[:end])
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"etag":
                tag = value.strip().decode("latin-1")
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        self._buffer.clear()
        self._done(self, int(head[9:12]), tag, body)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits for an answer that none comes."""
        del error
        self._transport = None
        if self.request is not None:
            self._done(self, 0, "", b"")

    def close(self) -> None:
        """Let go."""
        self.request = None
        if self._transport is not None:
            self._transport.close()


class Generator:
    """Sends what a plan says.

    Parameters
    ----------
    plan
        The plan.

    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.figures = plan, Figures()
        # Arrivals and kinds do not depend on answers, which come in another order every time.
        self._arrivals, self._kinds, self._chance, self._place = (
            random.Random(f"{plan.seed} {name}")  # noqa: S311 - nothing is kept secret by it
            for name in ("arrivals", "kinds", "subjects", "places")
        )
        self._jobs = list(plan.jobs)
        self._own: deque[str] = deque()
        self._idle: deque[Connection] = deque()  # each in its turn: a server closes what has long been idle
        self._all: list[Connection] = []
        self._waiting: deque[Request] = deque()
        self._open_requests = 0
        self._sent_all = False
        self._end = asyncio.Event()
        self._following: str | None = None
        self._page = 0

    async def run(self) -> dict[str, Any]:
        """Send everything and return the figures."""
        for _ in range(self.plan.connections):
            await self._connect()
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        from_s, due_s = began_s + self.plan.warm_up_s, began_s
        until_s = from_s + self.plan.seconds
        kinds, weights = list(self.plan.mix), list(self.plan.mix.values())
        while True:
            due_s += self._arrivals.expovariate(self.plan.rate)
            if due_s >= until_s:
                break
            kind = self._kinds.choices(kinds, weights)[0]
            wait_s = due_s - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._start(self._request(kind, due_s, counts=due_s >= from_s))
        self._sent_all = True
        if self._open_requests:
            await asyncio.wait_for(self._end.wait(), LAST_ANSWER_S)
        took_s = time.perf_counter() - began_s
        for one in self._all:
            one.close()
        measured_s = max(until_s, self.figures.last_s) - from_s
        return self._told(measured_s, (time.process_time() - began_cpu_s) / took_s)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._answered), self.plan.host, self.plan.port
        )
        self._all.append(connection)
        self._give(connection)

    def _request(self, kind: str, due_s: float, *, counts: bool) -> Request:
        plan, body = self.plan, b""
        if kind == "cancel" and not self._own:
            kind = "submit"
        method, path, more = "GET", "", ""
        if kind == "site":
            path = "/v1/site"
        elif kind == "tenants":
            path = "/v1/tenants"
        elif kind == "jobs":
            path = self._following or FIRST_PAGE
        elif kind in ("job", "why"):
            path = f"/v1/jobs/{self._chance.choice(self._jobs)}" + ("/why" if kind == "why" else "")
        else:
            method, more = "POST", f"Idempotency-Key: bench-{self._chance.getrandbits(96):024x}\r\n"
            if kind == "submit":
                path, body = "/v1/jobs", json.dumps(self._chance.choice(plan.submissions)).encode()
            else:
                path, body = f"/v1/jobs/{self._own.popleft()}/cancel", b'{"reason": "load"}'
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nAccept: application/json\r\n{more}"
        )
        return Request(due_s, kind, head, body, counts)

    def _start(self, request: Request) -> None:
        self._open_requests += 1
        request.sent_s = time.perf_counter()
        if request.counts:
            self.figures.late_s.append(request.sent_s - request.due_s)
        while self._idle:
            connection = self._idle.popleft()
            if connection.open:
                connection.send(request)
                return
        self._waiting.append(request)

    def _answered(self, connection: Connection, status: int, tag: str, body: bytes) -> None:
        now_s, request = time.perf_counter(), connection.request
        connection.request = None
        assert request is not None
        if request.counts:
            figures = self.figures
            figures.latency_s[request.kind].append(now_s - request.due_s)
            figures.statuses[request.kind][str(status) if status else "no answer"] += 1
            figures.answered += 1
            figures.last_s = now_s
        self._learn(connection, request.kind, status, tag, body)
        if status:
            self._give(connection)
        else:
            self._reconnecting = asyncio.ensure_future(self._connect())
        self._open_requests -= 1
        if self._sent_all and not self._open_requests:
            self._end.set()

    def _learn(self, connection: Connection, kind: str, status: int, tag: str, body: bytes) -> None:
        if kind == "site" and tag:
            connection.tag = tag
        elif kind == "submit" and status == 201:
            job = json.loads(body)["id"]
            self._own.append(job)
            self._jobs[self._place.randrange(len(self._jobs))] = job
        elif kind == "jobs" and status == 200:
            self._page += 1
            self._following = None if self._page % PAGES == 0 else json.loads(body)["next"]

    def _give(self, connection: Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _told(self, measured_s: float, cpu: float) -> dict[str, Any]:
        figures = self.figures
        everything = [one for some in figures.latency_s.values() for one in some]
        wrong = {
            kind: {status: count for status, count in statuses.items() if status not in map(str, EXPECTED)}
            for kind, statuses in figures.statuses.items()
        }
        return {
            "asked_per_s": self.plan.rate,
            "achieved_per_s": round(figures.answered / measured_s, 2),
            "requests": figures.answered,
            "errors": sum(sum(some.values()) for some in wrong.values()),
            "errors_by_kind": {kind: some for kind, some in wrong.items() if some},
            "statuses": {kind: dict(sorted(some.items())) for kind, some in figures.statuses.items() if some},
            "generator_cpu": round(cpu, 3),
            "generator_late_ms": spread(figures.late_s),
            "latency_ms": {
                kind: {"requests": len(some), **spread(some)}
                for kind, some in {**figures.latency_s, ALL: everything}.items()
                if some
            },
        }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Quantiles in milliseconds: the smallest value that so many are not above.

    >>> spread([0.001 * value for value in range(1, 101)])
    {'p50': 50.0, 'p95': 95.0, 'p99': 99.0, 'max': 100.0}
    """
    if not seconds:
        return {}
    ordered = sorted(seconds)

    def quantile(share: float) -> float:
        return round(1000.0 * ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)

    return {
        "p50": quantile(0.5),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
        "max": round(1000.0 * ordered[-1], 2),
    }


def _give_up(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End at a fault of the generator itself: what it has measured is not to be trusted."""
    print(context.get("exception") or context["message"], file=sys.stderr, flush=True)
    os._exit(1)


def main() -> None:
    """Read a plan, follow it, print the figures."""
    import gc

    plan = Plan(**json.load(sys.stdin))
    gc.freeze()
    run: Callable[..., Any] = asyncio.run
    try:
        import uvloop

        run = uvloop.run
    except ImportError:
        pass

    async def go() -> dict[str, Any]:
        asyncio.get_running_loop().set_exception_handler(_give_up)
        return await Generator(plan).run()

    json.dump(run(go()), sys.stdout)


if __name__ == "__main__":
    main()
