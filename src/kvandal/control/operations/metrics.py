"""Figures for Prometheus: one registry for each service, filled by the loop, by requests and by the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext

CONTENT_TYPE = CONTENT_TYPE_LATEST
CYCLE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
STATEMENT_BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
STEPS = ("observe", "envelope", "decide", "act", "account")
"""The five steps of a cycle."""


class Metrics:
    """Figures of one service.

    The loop says when a cycle is done, whether it leads and when it heard of the engine; ages are reckoned when the figures
    are read, so that a loop that stands still shows.

    Parameters
    ----------
    version
        Of the product.
    clock
        Seconds of a clock that never jumps.

    """

    def __init__(self, version: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began doubles them, and nobody asks for it
        self.registry = CollectorRegistry()
        self._clock = clock
        self._lock = threading.Lock()
        self._turned = self._heard = clock()
        self._leading = self._has_turned = False
        self._loop_figures()
        self._api_figures()
        self._store_figures()
        build = Gauge(
            "kvandal_build", "The version that runs; always 1.", ["version"], registry=self.registry
        )
        build.labels(version).set(1)
        ProcessCollector(registry=self.registry)

    def _loop_figures(self) -> None:
        own = self.registry
        self._cycles = Histogram(
            "kvandal_loop_cycle_seconds",
            "Time that a cycle of the loop took.",
            buckets=CYCLE_BUCKETS_S,
            registry=own,
        )
        self._steps = Counter(
            "kvandal_loop_step_seconds",
            "Time spent in each of the five steps of the cycle.",
            ["step"],
            registry=own,
        )
        for step in STEPS:
            self._steps.labels(step)
        self._decisions = Counter("kvandal_loop_decisions", "Actions that the loop decided.", registry=own)
        self._actions = Counter(
            "kvandal_loop_actions",
            "Actions that the loop decided, by the rule behind them.",
            ["rule"],
            registry=own,
        )
        self._failures = Counter(
            "kvandal_loop_failures", "Cycles that failed, by cause.", ["cause"], registry=own
        )
        for cause in ("engine", "store", "fault"):
            self._failures.labels(cause)
        self._intentions = Gauge(
            "kvandal_loop_open_intentions",
            "Orders that were written down and are not carried out yet.",
            registry=own,
        )
        leader = Gauge("kvandal_loop_is_leader", "1: this server turns the loop; 0: it waits.", registry=own)
        leader.set_function(lambda: float(self._leading))
        age = Gauge(
            "kvandal_loop_cycle_age_seconds",
            "Time since this server finished a cycle, or since it started.",
            registry=own,
        )
        age.set_function(self.cycle_age_s)
        heard = Gauge(
            "kvandal_loop_telemetry_age_seconds",
            "Time since the engine last answered, or since the start.",
            registry=own,
        )
        heard.set_function(self.telemetry_age_s)

    def _api_figures(self) -> None:
        self._requests = Counter(
            "kvandal_api_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "kvandal_api_request_seconds",
            "Time from the request to the start of its answer.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )
        self.requests_open = Gauge(
            "kvandal_api_requests_open",
            "Requests that are being answered, event streams included.",
            registry=self.registry,
        )

    def _store_figures(self) -> None:
        self._statements = Histogram(
            "kvandal_store_statement_seconds",
            "Time of one statement of the database.",
            ["kind"],
            buckets=STATEMENT_BUCKETS_S,
            registry=self.registry,
        )
        self._store_failures = Counter(
            "kvandal_store_failures",
            "Statements that the database failed or refused.",
            registry=self.registry,
        )

    def cycle_done(
        self,
        seconds: float,
        actions: Mapping[str, int] | None = None,
        *,
        open_intentions: int | None = None,
        steps: Mapping[str, float] | None = None,
    ) -> None:
        """Note a cycle of the loop that is done.

        Parameters
        ----------
        seconds : time that it took [s]
        actions : how many actions it decided, by id of their rule
        open_intentions : orders not carried out yet; None: as before
        steps : time of each of its steps [s]

        """
        self._cycles.observe(seconds)
        for step, time_s in (steps or {}).items():
            self._steps.labels(step).inc(time_s)
        for rule, count in (actions or {}).items():
            self._actions.labels(rule or "none").inc(count)
            self._decisions.inc(count)
        if open_intentions is not None:
            self._intentions.set(open_intentions)
        with self._lock:
            self._turned, self._has_turned = self._clock(), True

    def cycle_failed(self, cause: str) -> None:
        """Note a cycle that failed: because of the *engine*, the *store*, or a *fault* of the program."""
        self._failures.labels(cause).inc()

    def leads(self, leading: bool) -> None:
        """Note whether this server turns the loop."""
        with self._lock:
            if leading and not self._leading:
                self._turned = self._heard = self._clock()
                self._has_turned = False
            self._leading = leading

    def telemetry_seen(self) -> None:
        """Note that the engine has answered now."""
        with self._lock:
            self._heard = self._clock()

    @property
    def leading(self) -> bool:
        """Whether this server turns the loop."""
        return self._leading

    @property
    def has_turned(self) -> bool:
        """Whether it has finished a cycle since it leads."""
        return self._has_turned

    def cycle_age_s(self) -> float:
        """Time since the last cycle was done [s]."""
        return max(0.0, self._clock() - self._turned)

    def telemetry_age_s(self) -> float:
        """Time since the engine last answered [s]."""
        return max(0.0, self._clock() - self._heard)

    def request_done(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request: its route is the template, never the path itself."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def watch_store(self, engine: Engine) -> None:
        """Time every statement of a database from now on."""

        def before(connection: Connection, *_: object) -> None:
            connection.info["kvandal_started_s"] = time.perf_counter()

        def after(
            connection: Connection,
            _cursor: object,
            statement: str,
            _values: object,
            _context: ExecutionContext,
            _many: bool,
        ) -> None:
            started = connection.info.pop("kvandal_started_s", None)
            if started is not None:
                kind = "read" if statement[:6].upper() == "SELECT" else "write"
                self._statements.labels(kind).observe(time.perf_counter() - started)

        def failed(context: ExceptionContext) -> None:
            del context
            self._store_failures.inc()

        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        event.listen(engine, "handle_error", failed)

    def add(self, collector: Collector) -> None:
        """Add figures that are asked for when all are read."""
        self.registry.register(collector)

    def text(self) -> bytes:
        """Write all figures as Prometheus reads them."""
        return generate_latest(self.registry)
