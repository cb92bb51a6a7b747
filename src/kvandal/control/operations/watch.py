"""Watching the service: each request and each cycle is timed, traced and logged in one place."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from opentelemetry.trace import Span, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvandal.control.operations.metrics import STEPS, Metrics
from kvandal.control.operations.traces import Traces

_log = structlog.get_logger("kvandal")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
EVENT_STREAM = b"text/event-stream"
NO_ROUTE = "(none)"
"""Route of a request that fits none: its path could be anything."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that machines ask all the time: logged only with log_level debug."""


@dataclass(slots=True)
class Turn:
    """A cycle of the loop while it turns."""

    number: int
    _traces: Traces
    steps: dict[str, float] = field(default_factory=dict)
    actions: Mapping[str, int] = field(default_factory=dict)
    open_intentions: int | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Span]:
        """Time and trace one of the five steps."""
        if name not in STEPS:
            raise ValueError(f"{name!r} is no step of the loop; there are {', '.join(STEPS)}")
        started = time.perf_counter()
        try:
            with self._traces.span(name) as span:
                yield span
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + time.perf_counter() - started


Task = asyncio.Task[Any]


@dataclass(slots=True)
class Streams:
    """Answers without end that are being sent: event streams."""

    open: set[Task] = field(default_factory=set)
    ending: bool = False

    def end(self) -> None:
        """End all of them; to be called in their event loop."""
        self.ending = True
        for task in list(self.open):
            task.cancel()

    def ended(self, task: Task) -> bool:
        """Say whether a task was cancelled because its stream ends, and take the cancellation back."""
        if not self.ending or task not in self.open:
            return False
        task.uncancel()
        return True


@dataclass(frozen=True, slots=True)
class Watch:
    """What the loop and the server tell of themselves."""

    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    streams: Streams = field(default_factory=Streams)

    @contextmanager
    def cycle(self, number: int) -> Iterator[Turn]:
        """Watch one cycle of the loop; its number stands in all that is logged meanwhile.

        A cycle that raises is not counted as done; whoever catches the exception says why by `metrics.cycle_failed`.

        Examples
        --------
        >>> watch = Watch()
        >>> with watch.cycle(7) as turn:
        ...     with turn.step("observe"):
        ...         watch.metrics.telemetry_seen()
        ...     with turn.step("decide"):
        ...         turn.actions = {"K3": 2}

        """
        started = time.perf_counter()
        turn = Turn(number, self.traces)
        with (
            structlog.contextvars.bound_contextvars(cycle=number),
            self.traces.span("cycle", {"kvandal.cycle": number}) as span,
        ):
            yield turn
            seconds = time.perf_counter() - started
            span.set_attribute("kvandal.actions", sum(turn.actions.values()))
            _log.debug("cycle", seconds=round(seconds, 4), actions=dict(turn.actions))
        self.metrics.cycle_done(seconds, turn.actions, open_intentions=turn.open_intentions, steps=turn.steps)


class RequestWatch:
    """Pure ASGI, outermost: times, traces and logs every request, and gives it its id.

    Parameters
    ----------
    app : what is watched
    watch : where it is told

    """

    def __init__(self, app: ASGIApp, watch: Watch) -> None:
        self.app, self.watch = app, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        metrics, traces, streams = self.watch.metrics, self.watch.traces, self.watch.streams
        request_id = _request_id(scope)
        started, task = time.perf_counter(), asyncio.current_task()
        assert task is not None
        status, seconds = 500, None

        async def noting(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - started
                if dict(message.get("headers", ())).get(b"content-type", b"").startswith(EVENT_STREAM):
                    streams.open.add(task)  # the answer itself may be sent by a task below this one
            await send(message)

        metrics.requests_open.inc()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                if not traces.on:
                    await self.app(scope, receive, noting)
                else:
                    headers = {
                        name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
                    }
                    with traces.request(scope["method"], headers, {"kvandal.request_id": request_id}) as span:
                        await self.app(scope, receive, noting)
                        _tell_span(span, scope, status)
        except asyncio.CancelledError:
            if not streams.ended(task):
                raise
            await send({"type": "http.response.body", "body": b""})
        finally:
            streams.open.discard(task)
            metrics.requests_open.dec()
            taken = time.perf_counter() - started if seconds is None else seconds
            method, route = method_of(scope), route_of(scope)
            metrics.request_done(method, route, status, taken)
            tell = _log.debug if route in QUIET_ROUTES and status < 500 else _log.info
            tell(
                "request",
                request_id=request_id,
                method=method,
                route=route,
                path=scope["path"][:200],
                status=status,
                seconds=round(taken, 4),
                principal=getattr(scope.get("state", {}).get("principal"), "id", None),
            )


def _request_id(scope: Scope) -> str:
    """Return the id that the caller gives, if it is one; else give the request an id, as if it had come with it."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return str(value.decode("ascii"))
    new = secrets.token_hex(12)
    kept = [(name, value) for name, value in scope["headers"] if name != b"x-request-id"]
    scope["headers"] = [*kept, (b"x-request-id", new.encode("ascii"))]
    return new


def method_of(scope: Scope) -> str:
    """Return the method of a request, or OTHER: callers can make up any word."""
    return scope["method"] if scope["method"] in METHODS else "OTHER"


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, e.g. ``/v1/jobs/{job_id}``.

    A route knows its path below the router that holds it; the rest of the path is what that router was put at.
    """
    template = getattr(scope.get("route"), "path", None)
    if not template:
        return NO_ROUTE
    above = scope["path"].split("/")[: scope["path"].count("/") - template.count("/") + 1]
    return "/".join(above) + str(template)


def _tell_span(span: Span, scope: Scope, status: int) -> None:
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
