"""Requests that are watched: their figures, their id, their spans; health and readiness."""

from __future__ import annotations

import asyncio
import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, HTTPException
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from site_in_store import write_site
from test_metrics import figure, figures

from kvandal.control.operations.metrics import STEPS, Metrics
from kvandal.control.operations.routes import operations_router
from kvandal.control.operations.traces import Traces
from kvandal.control.operations.watch import RequestWatch, Watch
from kvandal.control.settings import Settings

TOKEN = "scrape-4711"


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    return Settings(metrics_token_file=tmp_path / "token")


@pytest.fixture
def app(watch, store, settings) -> FastAPI:
    app = FastAPI()
    app.include_router(operations_router(watch, store, settings))

    router = APIRouter()

    @router.get("/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        if job_id == "none":
            raise HTTPException(404)
        if job_id == "fault":
            raise RuntimeError("fault")
        return {"id": structlog.contextvars.get_contextvars().get("request_id")}

    app.include_router(router, prefix="/v1")
    return app


def ask(
    app: Any, path: str, *, client: str = "127.0.0.1", method: str = "GET", **headers: str
) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://kvandal.test") as asking:
            return await asking.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

    return asyncio.run(once())


def test_requests_are_counted_by_the_template_of_their_route(app, watch) -> None:
    """However many paths callers make up, there is one figure for each route."""
    watched = RequestWatch(app, watch)
    for name in ("a", "b", "none", "fault"):
        ask(watched, f"/v1/jobs/{name}")
    for number in range(3):
        ask(watched, f"/made/up/{number}")
    ask(watched, "/v1/jobs/a", method="BREW")

    counted = {
        key[1]: value for key, value in figures(watch).items() if key[0] == "kvandal_api_requests_total"
    }
    expected = {
        ("GET", "/v1/jobs/{job_id}", "200"): 2,
        ("GET", "/v1/jobs/{job_id}", "404"): 1,
        ("GET", "/v1/jobs/{job_id}", "500"): 1,
        ("GET", "(none)", "404"): 3,
        ("OTHER", "/v1/jobs/{job_id}", "405"): 1,
    }
    assert counted == {
        frozenset({("method", method), ("route", route), ("status", status)}): count
        for (method, route, status), count in expected.items()
    }
    assert figure(watch, "kvandal_api_request_seconds_count", method="GET", route="/v1/jobs/{job_id}") == 4
    assert figure(watch, "kvandal_api_requests_open") == 0


def test_the_id_of_a_request_stands_in_its_logs(app, watch) -> None:
    """The caller's own where it is one; else a new one."""
    watched = RequestWatch(app, watch)

    assert ask(watched, "/v1/jobs/a", x_request_id="mine-1").json() == {"id": "mine-1"}
    assert len(ask(watched, "/v1/jobs/a", x_request_id="not <one>").json()["id"]) == 24


def test_figures_are_told_to_this_machine_or_by_token(app) -> None:
    """They name every tenant; a request that a proxy passed on is not of this machine."""
    assert ask(app, "/metrics").status_code == 200
    assert ask(app, "/metrics", client="192.0.2.1").status_code == 403
    assert ask(app, "/metrics", x_forwarded_for="192.0.2.1").status_code == 403
    assert ask(app, "/metrics", client="192.0.2.1", authorization=f"Bearer {TOKEN}").status_code == 200
    assert ask(app, "/metrics", client="192.0.2.1", authorization=f"Bearer {TOKEN}x").status_code == 403


def readiness(app: Any) -> tuple[int, str, dict[str, str]]:
    answer = ask(app, "/readyz")
    document = answer.json()
    return (
        answer.status_code,
        document["status"],
        {check["name"]: check["words"] for check in document["checks"]},
    )


def test_a_leader_is_ready_while_its_loop_turns(app, watch, store, clock) -> None:
    write_site(store)
    watch.metrics.leads(True)
    with watch.cycle(1):
        pass
    clock.seconds += 3

    assert readiness(app) == (
        200,
        "ready",
        {"store": "answers", "loop": "turns: a cycle 3.0 s ago", "engine": "twin answers"},
    )
    clock.seconds += 60
    status, word, words = readiness(app)
    assert (status, word) == (503, "not ready")
    assert words["loop"] == "stands still: no cycle for 63 s, one should begin every 1 s"
    assert ask(app, "/healthz").status_code == 200


def test_before_its_first_cycle_a_leader_is_not_ready(app, watch, clock) -> None:
    watch.metrics.leads(True)
    clock.seconds += 45

    status, word, words = readiness(app)
    assert (status, word) == (503, "not ready")
    assert words["loop"] == "begins: no cycle yet, for 45 s"
    with watch.cycle(1):
        pass
    assert readiness(app)[0] == 200


def test_a_server_that_waits_is_ready(app, store, clock) -> None:
    write_site(store)
    clock.seconds += 3600

    assert readiness(app)[2]["loop"] == "waits: another server leads (server-1)"
    assert readiness(app)[0] == 200


def test_without_its_engine_it_serves_and_says_so(app, store) -> None:
    write_site(store, engine={"name": "slurm", "reachable": False, "observed_utc": "2027-01-04T11:59:00Z"})

    assert readiness(app)[:2] == (200, "degraded")
    assert readiness(app)[2]["engine"] == "slurm does not answer, last at 2027-01-04T11:59:00Z"


def test_without_its_store_it_is_not_ready(app, store) -> None:
    store.engine.dispose()
    store.file.unlink()
    store.file.mkdir()

    assert readiness(app)[:2] == (503, "not ready")
    assert readiness(app)[2]["store"].startswith("does not answer")
    assert ask(app, "/healthz").json() == {"status": "alive"}


def test_spans_of_requests_and_of_the_cycle_with_its_steps(app, store) -> None:
    """A request's span hangs below its caller's; a cycle holds its five steps."""
    exporter = InMemorySpanExporter()
    watch = Watch(Metrics(), Traces(exporter, "1.2.3"))
    caller = "0af7651916cd43dd8448eb211c80319c"
    ask(RequestWatch(app, watch), "/v1/jobs/a", traceparent=f"00-{caller}-b7ad6b7169203331-01")
    with watch.cycle(7) as turn:
        for step in STEPS:
            with turn.step(step):
                pass
    watch.traces.end()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans["GET /v1/jobs/{job_id}"]
    assert f"{request.context.trace_id:032x}" == caller
    assert request.attributes["http.response.status_code"] == 200
    cycle = spans["cycle"]
    assert cycle.attributes["kvandal.cycle"] == 7
    assert [
        name for name, span in spans.items() if span.parent and span.parent.span_id == cycle.context.span_id
    ] == list(STEPS)
    assert cycle.resource.attributes["service.name"] == "kvandal"


def test_a_step_that_is_none_is_refused() -> None:
    with (
        Watch().cycle(1) as turn,
        pytest.raises(ValueError, match="'think' is no step of the loop"),
        turn.step("think"),
    ):
        pass


def test_spans_reach_a_collector_over_http() -> None:
    """A small receiver of OTLP stands in for the collector; nothing is lost when the service ends."""
    received: list[tuple[str, ExportTraceServiceRequest]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        traces = Traces.to(f"http://127.0.0.1:{server.server_port}/")
        with Watch(Metrics(), traces).cycle(1) as turn, turn.step("decide"):
            pass
        traces.end()
        server.shutdown()
        thread.join()

    ((path, request),) = received
    assert path == "/v1/traces"
    names = [
        span.name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(names) == ["cycle", "decide"]


def test_without_a_collector_nothing_is_kept() -> None:
    assert not Traces.to(None).on
