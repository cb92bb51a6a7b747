"""The round of the office: what time alone brings. The service makes it every minute; twice does no harm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from kvandal.control.office import awards, calls
from kvandal.control.office.desk import OFFICE_ITSELF, Desk
from kvandal.control.office.terms import Terms


class Store(Protocol):
    """The database, as the round needs it."""

    def begin(self) -> AbstractContextManager[Connection]:
        """Open a transaction that writes."""
        ...


def make_round(store: Store, terms: Terms, now_utc: datetime) -> int:
    """Open rolling calls that are missing, and take the steps of grants that are due; returns how many there were."""
    with store.begin() as tx:
        desk = Desk(tx, OFFICE_ITSELF, terms, now_utc)
        calls.ensure_rolling(desk)
        return awards.turn(desk)
