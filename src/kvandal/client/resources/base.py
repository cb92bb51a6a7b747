"""What resources are made of: bounded words, whole numbers, pages."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

Item = TypeVar("Item")


class Asked(BaseModel):
    """What somebody asks for; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, given: Any) -> Any:
        """Take 8.0 for 8, as JSON does."""
        if not isinstance(given, dict) or not any(isinstance(value, float) for value in given.values()):
            return given
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in given.items()
        }


class Told(BaseModel):
    """What a server tells; a newer one may tell more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Told, Generic[Item]):
    """A page of a list.

    Attributes
    ----------
    items : in a stable order
    next : path of the next page; None: this was the last

    """

    items: list[Item]
    next: str | None = None


def _storable(text: str) -> str:
    # Not as a pattern: programs that make requests from our description are slow with patterns over long texts.
    if "\0" in text:
        raise ValueError("must be text without the character NUL")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Any text that can be stored."""
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")]
"""One line of text, not blank."""


def _written_as_instant(given: Any) -> Any:
    if isinstance(given, datetime):
        return given
    if isinstance(given, str) and _INSTANT.fullmatch(given):
        return given
    raise ValueError("must be an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z")


_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
Instant = Annotated[AwareDatetime, BeforeValidator(_written_as_instant)]
"""An instant as text with its offset from UTC; a number is none."""


def _whole(given: Any) -> Any:
    """Take 3.0 for 3, as JSON does, but neither true nor "3"."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given


WHOLE = BeforeValidator(_whole)
"""Beside `Field(strict=True, ...)`: a whole number as JSON has it."""
Reason = Annotated[Line, Field(min_length=3, max_length=500)]
"""Why somebody changes something: it goes into the audit trail."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Name of a tenant, a project, a node or a class of work."""
