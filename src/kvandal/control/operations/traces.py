"""Traces by OpenTelemetry: spans of requests and of the loop, sent only where a collector is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Tracer

LONGEST_END_MS = 3000
"""How long the end of the service waits for spans to leave [ms]."""


class Traces:
    """Spans of one service; without an exporter nothing is kept and nothing is sent.

    Parameters
    ----------
    exporter : where spans go; None: nowhere
    version : of the product

    """

    def __init__(self, exporter: SpanExporter | None = None, version: str = "") -> None:
        self._provider: TracerProvider | None = None
        self.tracer: Tracer = NoOpTracer()
        if exporter is not None:
            resource = Resource({"service.name": "kvandal", "service.version": version})
            self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, export_timeout_millis=LONGEST_END_MS)
            )
            self.tracer = self._provider.get_tracer("kvandal", version)

    @classmethod
    def to(cls, endpoint: str | None, version: str = "") -> Traces:
        """Send spans to a collector's base address by OTLP over HTTP; None: send nothing."""
        if endpoint is None:
            return cls()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return cls(
            OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=LONGEST_END_MS / 1000),
            version,
        )

    @property
    def on(self) -> bool:
        """Whether spans go anywhere."""
        return self._provider is not None

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> Iterator[Span]:
        """Open a span inside of the one that is open here; an exception that leaves it is noted."""
        with self.tracer.start_as_current_span(name, attributes=dict(attributes or {})) as span:
            yield span

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Span]:
        """Open the span of a request, below that of the caller where it names one (traceparent)."""
        with self.tracer.start_as_current_span(
            name, context=extract(headers), kind=SpanKind.SERVER, attributes=dict(attributes)
        ) as span:
            yield span

    def end(self) -> None:
        """Send what is left, then nothing any more."""
        if self._provider is not None:
            self._provider.force_flush(LONGEST_END_MS)
            self._provider.shutdown()
