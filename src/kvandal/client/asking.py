"""What is asked of a server: models built from fields, names as steps of a path."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from kvandal.client.wire import Resource
from kvandal.errors import InputError


def asked(model: type[Resource], **fields: Any) -> Resource:
    """Build what is asked; a field that cannot be right is refused before it is sent."""
    try:
        return model(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        told = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(f"{told}, got {first['input']!r}"[:300], key=place or None) from None


def step(name: str) -> str:
    """Write a name as a step of a path."""
    if not name or name in {".", ".."}:
        raise InputError(f"must be the name or id of something, got {name!r}")
    return quote(name, safe="")
