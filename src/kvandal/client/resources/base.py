"""What resources are made of: bounded words, whole numbers, pages."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Asked(BaseModel):
    """What somebody asks for; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """Refuse what databases and UTF-8 cannot hold."""
    if "\0" in text:
        raise ValueError("must not hold the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not hold half a character (a lone surrogate)")
    return text


def _printable(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must be one line without control characters")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Any text that can be stored."""
Line = Annotated[str, AfterValidator(_storable), AfterValidator(_printable)]
"""One line of text, not blank."""
Reason = Annotated[Line, Field(min_length=3, max_length=500)]
"""Why somebody changes something: it goes into the audit trail."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Name of a tenant, a project, a node or a class of work."""
