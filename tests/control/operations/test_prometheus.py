"""A real Prometheus scrapes the service, answers queries and fires the alerts; the dashboard asks for what exists."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from site_in_store import write_commands, write_site

from kvandal.control.operations.routes import operations_router
from kvandal.control.operations.watch import RequestWatch
from kvandal.control.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "kvandal.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "kvandal.json"
OF_PROMETHEUS = {"up"}
"""What Prometheus itself knows of each service."""


def names_in(expression: str) -> set[str]:
    """Metrics that an expression of PromQL names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|(?:by|on|without)\s*\([^)]*\)', " ", expression)
    return set(re.findall(r"\b(?:kvandal|process|up)[\w:]*", bare))


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return asked + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_every_expression_names_figures_that_are_told(watch, store) -> None:
    """Of the dashboard and of the rules; and no figure of ours is left without a place on the dashboard."""
    write_site(store)
    with watch.cycle(1) as turn:
        turn.actions = {"K3": 1}
    watch.metrics.request_done("GET", "/v1/jobs", 200, 0.01)
    text = watch.metrics.text().decode()
    told = set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))
    recorded = {
        rule["record"]
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    }

    asked = set().union(*map(names_in, expressions()))

    assert len(asked) > 30
    assert asked - told - recorded - OF_PROMETHEUS == set()
    families = set(re.findall(r"^# TYPE (kvandal_\w+?)(?:_total)? ", text, re.MULTILINE))
    shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked}
    assert families - shown == {"kvandal_build", "kvandal_gpus_installed"}


def test_panels_of_the_dashboard_do_not_lie_over_each_other() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


UNIT_TESTS: dict[str, Any] = {
    "rule_files": [str(RULES)],
    "evaluation_interval": "15s",
    "tests": [
        {
            "interval": "15s",
            "input_series": [{"series": series, "values": values} for series, values in (
                ('kvandal_fail_safe{instance="a"}', "0x4 1x20"),
                ('kvandal_fail_safe{instance="b"}', "0x4 1x20"),
                ('kvandal_loop_is_leader{instance="a"}', "1x24"),
                ('kvandal_loop_is_leader{instance="b"}', "0x24"),
                ('kvandal_loop_cycle_age_seconds{instance="a"}', "1x4 15+15x20"),
                ('kvandal_loop_cycle_age_seconds{instance="b"}', "0+15x24"),
                ('kvandal_site_power_watts{instance="a"}', "100x24"),
                ('kvandal_envelope_watts{instance="a"}', "110x24"),
            )],
            "alert_rule_test": [
                {"eval_time": when, "alertname": alert, "exp_alerts": [
                    {"exp_labels": {"severity": "critical"}, "exp_annotations": annotations}
                ] if annotations else []}
                for when, alert, annotations in (
                    ("1m", "KvandalFailSafe", None),
                    ("3m", "KvandalFailSafe", {
                        "summary": "Telemetry is lost; the loop fails safe.",
                        "description": "No new lent work starts and caps stay. Look at the engine first (kvandal doctor), "
                        "then at the network.",
                    }),
                    ("2m", "KvandalLoopStandsStill", None),  # the waiting server's age does not matter
                    ("5m", "KvandalLoopStandsStill", {
                        "summary": "The loop has not finished a cycle for 4m 0s.",
                        "description": "Nothing is started, recalled or capped meanwhile. Its log says in which step the "
                        "last cycle ended.",
                    }),
                    ("5m", "KvandalNobodyLeads", None),
                    ("5m", "KvandalEnvelopeExceeded", None),
                )
            ],
        }
    ],
}  # fmt: skip


@pytest.mark.prometheus
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """By Prometheus's own test of rules, over minutes that need not be waited for."""
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(UNIT_TESTS), encoding="utf-8")

    for command in (
        ["check", "rules", str(RULES)],
        ["check", "config", str(DEPLOY / "prometheus" / "prometheus.example.yml")],
        ["test", "rules", str(file)],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve an application in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What `look` finds in the end; it is asked until it finds something."""
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if found := look():
                return found
        assert time.monotonic() < end, "never came"
        time.sleep(0.2)


def asked(port: int, path: str, **query: str) -> Any:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    ) as answer:
        return json.load(answer)["data"]


@pytest.fixture
def prometheus(tmp_path: Path, watch, store) -> Iterator[int]:
    """A Prometheus of our own that scrapes a service every second; its port. Alerts fire without their usual delay."""
    app = FastAPI()
    app.include_router(operations_router(watch, store, Settings()))
    rules = re.sub(r"\bfor: \w+", "for: 1s", RULES.read_text(encoding="utf-8"))
    (tmp_path / "kvandal.rules.yml").write_text(rules, encoding="utf-8")
    with serving(RequestWatch(app, watch)) as target:
        example = (DEPLOY / "prometheus" / "prometheus.example.yml").read_text(encoding="utf-8")
        config = tmp_path / "prometheus.yml"
        config.write_text(
            example.replace("15s", "1s").replace("127.0.0.1:8440", f"127.0.0.1:{target}"), encoding="utf-8"
        )
        port = free_port()
        with (tmp_path / "log").open("wb") as log:
            started = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            eventually(lambda: asked(port, "query", query='up{job="kvandal"} == 1')["result"])
            yield port
        finally:
            started.terminate()
            started.wait()


@pytest.mark.prometheus
def test_a_real_prometheus_reads_the_figures_and_fires(prometheus: int, watch, store, clock) -> None:
    """It answers queries of the dashboard; then telemetry is lost and the loop stands still, and it says so."""
    write_site(store)
    write_commands(store, asked=5, taken=3)
    watch.metrics.leads(True)
    with watch.cycle(1) as turn:
        turn.actions = {"K3": 2}

    found = eventually(
        lambda: asked(prometheus, "query", query='kvandal_tenant_gpus{tenant="uk",kind="on_loan"}')["result"]
    )
    assert found[0]["value"][1] == "24"
    assert (
        asked(prometheus, "query", query="max(kvandal_site_power_watts)")["result"][0]["value"][1]
        == "1234000"
    )
    assert (
        asked(prometheus, "query", query='kvandal_loop_actions_total{rule="K3"}')["result"][0]["value"][1]
        == "2"
    )
    assert eventually(lambda: asked(prometheus, "query", query="kvandal:envelope_use:ratio")["result"])
    for expression in expressions():
        if "$__rate_interval" not in expression:
            asked(prometheus, "query", query=expression)  # one that it cannot read is answered with an error

    def firing() -> set[str]:
        alerts = asked(prometheus, "alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    assert not firing() & {"KvandalFailSafe", "KvandalLoopStandsStill", "KvandalDown"}
    write_site(store, 2, fail_safe="no telemetry for 31 s", engine={"name": "twin", "reachable": False})
    clock.seconds += 120

    wanted = {"KvandalFailSafe", "KvandalLoopStandsStill", "KvandalEngineUnreachable"}
    eventually(lambda: wanted <= firing())
