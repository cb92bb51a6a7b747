"""Answers: JSON with an ETag, 304 where nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from kvandal.control.api.problems import Refusal

JSON = "application/json"
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def dumped(document: Any) -> bytes:
    """Write a document as JSON; instants in UTC with a Z."""
    return orjson.dumps(document, option=_OPTIONS)


def weak_tag(body: bytes) -> str:
    """Return the ETag of a body that has no version of its own."""
    return f'W/"{blake2b(body, digest_size=9).hexdigest()}"'


def told(
    request: Request, body: bytes, tag: str | None = None, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer a read: 304 where the caller has it already.

    Parameters
    ----------
    request
        Its If-None-Match is looked at.
    body
        JSON.
    tag
        Its ETag; default by its content.
    headers
        Further ones.

    """
    tag = tag or weak_tag(body)
    known = {"etag": tag, "cache-control": "private, no-cache", **(headers or {})}
    wanted = request.headers.get("if-none-match")
    if wanted is not None and matches(wanted, tag):
        return Response(status_code=304, headers=known)
    return Response(body, headers=known, media_type=JSON)


def matches(header: str, tag: str) -> bool:
    """Tell whether a list of ETags names one, weakly compared.

    >>> matches('"3", W/"4"', '"4"'), matches("*", '"4"'), matches('"3"', '"4"')
    (True, True, False)
    """
    own = tag.removeprefix("W/")
    return header.strip() == "*" or any(part.strip().removeprefix("W/") == own for part in header.split(","))


def refuse_changed(request: Request, tag: str) -> None:
    """Refuse a write whose If-Match names another version than there is (412)."""
    wanted = request.headers.get("if-match")
    if wanted is not None and not matches(wanted, tag):
        found = {
            "field": "header.If-Match",
            "value": wanted[:100],
            "allowed": tag,
            "message": f"must be {tag}, the version there is",
        }
        raise Refusal(
            412, f"it changed meanwhile: its version is {tag}", errors=[found], headers={"etag": tag}
        )
