"""Jobs over the API: accepted once, found again, nobody else's business."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from kvandal.control.store.tables.books import AUDIT
from kvandal.control.store.tables.loop import INBOX, JOBS


def test_a_job_is_accepted_stored_and_asked_of_the_loop(ask: Any, store: Any) -> None:
    """The row, the command and the trail stand in the store when the answer comes."""
    answer = ask.submit()

    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["gpus"], job["person"]) == ("accepted", 8, "local")
    with store.read() as tx:
        assert tx.execute(select(JOBS.c.id, JOBS.c.state)).all() == [(job["id"], "accepted")]
        assert tx.execute(select(INBOX.c.kind, INBOX.c.body)).all() == [("submit", {"job": job["id"]})]
        assert tx.execute(select(AUDIT.c.who, AUDIT.c.what, AUDIT.c.subject)).all() == [
            ("local", "job.submit", job["id"])
        ]
    assert ask.get(f"/v1/jobs/{job['id']}").json() == job
    assert [row["id"] for row in ask.get("/v1/jobs").json()["items"]] == [job["id"]]


@pytest.mark.parametrize(
    ("changes", "field", "allowed"),
    [
        ({"gpus": 0}, "body.gpus", "at least 1"),
        ({"gpus": 100_000}, "body.gpus", "1 to 36, the most that norway-research may hold"),
        ({"gpus": "8"}, "body.gpus", "a whole number"),
        ({"demand": "frontier"}, "body.demand", "one of national"),
        ({"limit_s": 59}, "body.limit_s", "at least 60"),
        ({"run_time_s": 3601}, "body", "run_time_s must not exceed limit_s, got 3601 above 3600"),
        ({"name": "a\0b"}, "body.name", "one line of text, not blank, without control characters"),
        ({"colour": "red"}, "body.colour", "left out: it is not known"),
        ({"environment": {"1A": ""}}, "body.environment.1A.[key]", None),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_field_value_and_what_is_allowed(
    ask: Any, changes: dict[str, Any], field: str, allowed: str | None
) -> None:
    """One problem, one field, and nothing is stored."""
    answer = ask.submit(**changes)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (found,) = answer.json()["errors"]
    assert found["field"] == field
    if allowed is not None:
        assert found["allowed"] == allowed
    assert ask.get("/v1/jobs").json()["items"] == []


def test_a_tenant_must_be_one_that_submits_jobs(ask: Any) -> None:
    """Groups and strangers are refused with the tenants that there are."""
    for tenant in ("national", "nobody"):
        (found,) = ask.submit(tenant=tenant).json()["errors"]
        assert (found["field"], found["value"]) == ("body.tenant", tenant)
        assert "norway-research" in found["allowed"]
        assert "national" not in found["allowed"].split(", ")


def test_the_same_key_is_answered_again_and_done_once(ask: Any) -> None:
    """The same answer to the byte, marked; with another body the key is refused."""
    body = {"tenant": "uk", "project": "p", "demand": "surplus", "gpus": 4, "limit_s": 600}
    first = ask.write("POST", "/v1/jobs", body, key="the-same-key")
    again = ask.write("POST", "/v1/jobs", body, key="the-same-key")
    other = ask.write("POST", "/v1/jobs", body | {"gpus": 5}, key="the-same-key")

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert other.json()["type"] == "urn:kvandal:problem:idempotency-key-reused"
    assert len(ask.get("/v1/jobs").json()["items"]) == 1


def test_a_write_without_a_key_is_refused(ask: Any) -> None:
    """It says which header is missing."""
    answer = ask.request("POST", "/v1/jobs", json={})

    assert answer.status_code in {400, 422}
    assert "header.Idempotency-Key" in [found["field"] for found in answer.json()["errors"]]
