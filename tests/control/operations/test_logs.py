"""Logs: one JSON object a line with its fields, and no secret in any of them."""

from __future__ import annotations

import doctest
import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from kvandal.control.operations import health, logs
from kvandal.control.operations.logs import configure_logs
from kvandal.control.operations.watch import Watch

SECRET = "hushhush4711"


@pytest.fixture
def told() -> Iterator[Callable[..., list[dict[str, object]]]]:
    """Set logs up as JSON into a buffer; what was told so far. Everything is as it was afterwards."""
    root, kept = logging.getLogger(), {}
    before = root.handlers, root.level
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", *logs.QUIET):
        logger = logging.getLogger(name)
        kept[logger] = logger.handlers, logger.level, logger.propagate
    out = io.StringIO()
    configure_logs("info", "json", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.handlers, root.level = before
    for logger, (handlers, level, propagate) in kept.items():
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate
    structlog.reset_defaults()


def test_events_are_objects_with_time_and_level(told) -> None:
    structlog.get_logger("kvandal").info("loan returned", job="job_1", gpus=8)

    (event,) = told()
    assert event.pop("at_utc").endswith("Z")
    assert event == {"event": "loan returned", "level": "info", "job": "job_1", "gpus": 8}


def test_libraries_speak_the_same_way(told) -> None:
    logging.getLogger("sqlalchemy").warning("slow %s", "query")
    logging.getLogger("uvicorn.access").info("GET /v1/jobs")  # requests are told once, by the service

    (event,) = told()
    assert (event["event"], event["level"], event["logger"]) == ("slow query", "warning", "sqlalchemy")


def test_a_fault_is_told_with_its_traceback_in_one_line(told) -> None:
    try:
        int("no such tray")
    except ValueError:
        structlog.get_logger("kvandal").exception("cycle failed")

    (event,) = told()
    assert "ValueError: invalid literal" in str(event["exception"])


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_tells_no_values_of_variables_nor_secrets_in_the_message(told, form: str) -> None:
    out = io.StringIO()
    configure_logs("info", form, out)
    variable = SECRET.upper()
    try:
        int(f"://ada:{SECRET}@db")
    except ValueError:
        structlog.get_logger("kvandal").exception("cycle failed")

    assert "ValueError: invalid literal for int() with base 10: '://ada:***@db'" in out.getvalue()
    assert variable not in out.getvalue()
    assert SECRET not in out.getvalue()


def test_the_number_of_the_cycle_stands_in_all_that_happens_in_it(told) -> None:
    with Watch().cycle(4711):
        structlog.get_logger("kvandal").info("recalled")
    structlog.get_logger("kvandal").info("later")

    assert [event.get("cycle") for event in told()] == [4711, None]


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"client_secret": SECRET},
        {"token": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}", "Cookie": f"kvandal_session={SECRET}"}},
        {"x": f"Authorization: Bearer {SECRET}"},
        {"x": f"kvd_{SECRET}"},
        {"x": [f"postgresql://kvandal:{SECRET}@db.example/kvandal"]},
        {"path": f"/v1/callback?state=x&code={SECRET}&y=1"},
        {"x": {"inside": {"api_key": SECRET}}},
        {"x": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.{SECRET}"},
    ],
    ids=str,
)
def test_secrets_are_blotted_out_by_name_and_by_shape(told, fields: dict[str, object]) -> None:
    structlog.get_logger("kvandal").info("something", **fields)
    logging.getLogger("library").error("said %s", fields, extra=dict(fields))

    assert len(told()) == 2
    assert SECRET not in json.dumps(told()[0])
    assert SECRET not in json.dumps({key: value for key, value in told()[1].items() if key != "event"})


def test_what_only_sounds_like_a_secret_is_told(told) -> None:
    structlog.get_logger("kvandal").info("made", token_id="tok_1", job="job_1", scopes=["job.read"])

    assert told()[0]["token_id"] == "tok_1"


def test_examples() -> None:
    for module in (health, logs):
        assert doctest.testmod(module).failed == 0
