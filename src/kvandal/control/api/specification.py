"""The OpenAPI document: what FastAPI writes, with every problem that an operation can answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kvandal.client.resources.problem import Problem
from kvandal.control.api.problems import KINDS, PROBLEM_JSON, TITLES

ABOUT = """\
The control plane of an AI data centre: jobs, tenants, loans, the site now and lately, its policy and its books.

Errors are `application/problem+json` (RFC 9457); `errors` names each field at fault, its value and what is allowed.
Every write carries an `Idempotency-Key`: sent again with the same key it is answered again and not done again.
Lists come in pages; `next` is the path of the next one. Reads carry an `ETag` and answer `If-None-Match` with 304;
writes to what has a version take `If-Match`. Times are UTC.
"""
WRITES = ("post", "put", "patch", "delete")
_RETRY = {"Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "string"}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document; it is made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=ABOUT,
            routes=app.routes,
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        answers = components.setdefault("responses", {})
        for status in KINDS:
            answers[f"Problem{status}"] = _answer(status)
        for operations in document["paths"].values():
            for method, operation in operations.items():
                _complete(method, operation)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


def repeatable(app: FastAPI) -> frozenset[str]:
    """Names of the parameters that a query may hold more than once."""
    return frozenset(
        entry["name"]
        for operations in describe(app)["paths"].values()
        for operation in operations.values()
        for entry in operation.get("parameters", ())
        if entry["in"] == "query" and entry["schema"].get("type") == "array"
    )


def _answer(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": TITLES[status],
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == 422:
        answer["content"][PROBLEM_JSON]["example"] = {
            "type": "urn:kvandal:problem:not-valid",
            "title": TITLES[422],
            "status": 422,
            "detail": "body.gpus: must be 1 to 5,000, the most that norway-research may hold",
            "instance": "/v1/jobs",
            "request_id": "5f0c1d2e3b4a59687766554a",
            "errors": [
                {
                    "field": "body.gpus",
                    "value": 90000,
                    "allowed": "1 to 5,000, the most that norway-research may hold",
                    "message": "must be 1 to 5,000, the most that norway-research may hold",
                }
            ],
        }
    if status in {429, 503}:
        answer["headers"] = _RETRY
    return answer


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Name every status that an operation can answer with; a parameter that is not given is not null but absent."""
    for entry in operation.get("parameters", ()):
        kinds = [kind for kind in entry["schema"].get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del entry["schema"]["anyOf"]
            entry["schema"] |= kinds[0]
    found = operation["responses"]
    statuses = [404, 409, 429, 500, 503]
    if operation.get("security"):
        statuses += [401, 403]
    if operation.get("parameters") or "requestBody" in operation:
        statuses.append(422)
    if method in WRITES:
        statuses += [400, 412, 413, 415]
    elif method == "get" and "200" in found and "application/json" in found["200"].get("content", {}):
        found["304"] = {"description": "It has not changed: If-None-Match names the version there is."}
        found["200"].setdefault("headers", {})["ETag"] = {
            "description": "Version of what is told.",
            "schema": {"type": "string"},
        }
        operation.setdefault("parameters", []).append(
            _condition("If-None-Match", "What the caller has already.")
        )
    if method in WRITES and any(
        entry["name"] == "Idempotency-Key" for entry in operation.get("parameters", ())
    ):
        operation["parameters"].append(
            _condition("If-Match", "The version that is meant; refused (412) where there is another.")
        )
        for done in ("200", "201", "202"):
            if done in found:
                found[done].setdefault("headers", {})["Idempotency-Replayed"] = {
                    "description": "Present where the answer was given before.",
                    "schema": {"type": "string", "enum": ["true"]},
                }
    for status in statuses:
        if status == 422 or str(status) not in found:
            found[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}


def _condition(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }
