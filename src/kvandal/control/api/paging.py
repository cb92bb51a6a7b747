"""Pages of a list by the key of its order: nothing is told twice and nothing left out while others are added."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from kvandal.control.api.problems import not_valid

MOST_ITEMS = 200


def encoded(key: int) -> str:
    """Write a key of the order as a cursor.

    >>> encoded(17), decoded(encoded(17))
    ('bjE3', 17)
    """
    return base64.urlsafe_b64encode(f"n{key}".encode()).decode("ascii").rstrip("=")


def decoded(cursor: str) -> int:
    """Read a cursor; one that no page gave is refused (422)."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        number = int(text[1:]) if text[:1] == "n" and text[1:].isdigit() and len(text) < 20 else None
    except (binascii.Error, ValueError, UnicodeError):
        number = None
    if number is None:
        raise not_valid("query.cursor", cursor, "the cursor of a page, as its next has it")
    return number


def paged(
    request: Request, rows: Sequence[Any], limit: int, key: str
) -> tuple[Sequence[Any], str | None, dict[str, str]]:
    """Cut `limit` + 1 rows to a page: its rows, the path of the next one, and the header that names it."""
    if len(rows) <= limit:
        return rows, None, {}
    rows = rows[:limit]
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = f"{request.url.path}?{urlencode([*others, ('cursor', encoded(getattr(rows[-1], key)))])}"
    return rows, path, {"link": f'<{path}>; rel="next"'}


def paged_by_id(
    request: Request, rows: Sequence[Any], limit: int
) -> tuple[Sequence[Any], str | None, dict[str, str]]:
    """Cut `limit` + 1 rows to a page where their ids are the order, and the cursor."""
    if len(rows) <= limit:
        return rows, None, {}
    rows = rows[:limit]
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = f"{request.url.path}?{urlencode([*others, ('cursor', rows[-1].id)])}"
    return rows, path, {"link": f'<{path}>; rel="next"'}
