"""Problems as answers: what is wrong, where, and what would be right (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"
LONGEST_SHOWN = 200
"""Longer values are cut where a problem repeats them [characters]."""
TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not valid",
    428: "A condition is needed",
    429: "Too many requests",
    500: "A fault of the server",
    503: "Not available now",
}
KINDS = {
    400: "bad-request",
    401: "not-signed-in",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    412: "changed-meanwhile",
    413: "too-large",
    415: "unsupported-media-type",
    422: "not-valid",
    428: "condition-needed",
    429: "too-many-requests",
    500: "server-fault",
    503: "not-available",
}


class Refusal(Exception):  # noqa: N818  (a refused request is no error of the program)
    """A request that is answered with a problem.

    Parameters
    ----------
    status
        The status of HTTP.
    detail
        What happened and what would be right.
    errors
        Fields at fault, see :func:`fault`.
    kind
        Last word of the problem's type; default by status.
    headers
        Of the answer.

    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, list(errors)
        self.kind, self.headers = kind or KINDS.get(status, "problem"), dict(headers or {})


def fault(field: str, value: Any, allowed: str, message: str | None = None) -> dict[str, Any]:
    """Describe one field that is not right: where, what was given, what is allowed."""
    return {
        "field": field,
        "value": shown(value),
        "allowed": allowed,
        "message": message or f"must be {allowed}",
    }


def not_valid(field: str, value: Any, allowed: str, message: str | None = None) -> Refusal:
    """Return the refusal of one field of a request."""
    found = fault(field, value, allowed, message)
    return Refusal(422, f"{field}: {found['message']}", errors=[found])


def not_found(what: str, name: str) -> Refusal:
    """Return the refusal of something that is not there, or that is none of the caller's business."""
    return Refusal(404, f"there is no {what} {shown(name)!r}")


def shown(value: Any) -> Any:
    """Cut a value to what an answer can repeat."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else "a number of many digits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple | set):
        return "a list"
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def document_of(refusal: Refusal, *, instance: str, request_id: str) -> dict[str, Any]:
    """Return the problem that a refusal is told as."""
    document: dict[str, Any] = {
        "type": f"urn:kvandal:problem:{refusal.kind}",
        "title": TITLES.get(refusal.status, "Problem"),
        "status": refusal.status,
        "detail": refusal.detail.encode("utf-8", "replace").decode("utf-8"),
        "instance": instance,
        "request_id": request_id,
    }
    if refusal.errors:
        document["errors"] = refusal.errors
    return document


def answer_of(refusal: Refusal, scope: Mapping[str, Any]) -> Response:
    """Return the answer that tells a refusal."""
    path = str(scope.get("path", "")).encode("utf-8", "replace").decode("utf-8")
    request_id = str(scope.get("state", {}).get("request_id", ""))
    document = document_of(refusal, instance=path[:LONGEST_SHOWN], request_id=request_id)
    headers = {"cache-control": "no-store", **refusal.headers}
    return Response(orjson.dumps(document), refusal.status, headers, media_type=PROBLEM_JSON)
