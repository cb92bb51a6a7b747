"""What operations and pages read of the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select

from kvandal.control.store.tables.loop import SITE_NOW


class Reads(Protocol):
    """A database that can be read."""

    def read(self) -> AbstractContextManager[Connection]:
        """Open a transaction that reads."""
        ...


@dataclass(frozen=True, slots=True)
class SiteNow:
    """The site as the loop last saw it.

    Attributes
    ----------
    version : grows with every change
    at_utc : when it was so
    view : all of it

    """

    version: int
    at_utc: datetime
    view: Mapping[str, Any]


def site_now(tx: Connection) -> SiteNow | None:
    """Return the site as the loop last saw it; None before its first cycle."""
    row = tx.execute(
        select(SITE_NOW.c.version, SITE_NOW.c.at_utc, SITE_NOW.c.view).where(SITE_NOW.c.id == 1)
    ).one_or_none()
    return None if row is None else SiteNow(row.version, row.at_utc, row.view)
