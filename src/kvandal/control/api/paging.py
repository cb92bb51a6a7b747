"""Pages of a list by the key of its order: nothing is told twice and nothing left out while others are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import Field
from starlette.requests import Request

MOST_ITEMS = 200
Cursor = Annotated[
    str,
    Field(pattern=r"^n[0-9]{1,18}$", description="Where a page begins, as the page before says in its next."),
]


def decoded(cursor: str) -> int:
    """Read the key of the order that a cursor names.

    >>> decoded("n17")
    17
    """
    return int(cursor[1:])


def paged(
    request: Request, rows: Sequence[Any], limit: int, key: str
) -> tuple[Sequence[Any], str | None, dict[str, str]]:
    """Cut `limit` + 1 rows to a page: its rows, the path of the next one, and the header that names it."""
    if len(rows) <= limit:
        return rows, None, {}
    rows = rows[:limit]
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = f"{request.url.path}?{urlencode([*others, ('cursor', f'n{getattr(rows[-1], key)}')])}"
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
