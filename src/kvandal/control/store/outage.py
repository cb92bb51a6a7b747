"""Writing through an outage of the database: the same work again until it stands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from kvandal.control.store.database import Store
from kvandal.control.store.errors import StoreUnavailableError

T = TypeVar("T")
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0


def keep_writing(
    store: Store,
    work: Callable[[Connection], T],
    *,
    stopped: threading.Event,
    done: Callable[[Connection], T | None] | None = None,
    waiting: Callable[[StoreUnavailableError, float], None] | None = None,
) -> T:
    """Do some work in one transaction, again and again while the database is gone, busy or full.

    Parameters
    ----------
    store
        Where to.
    work
        Writes, and returns what it likes; it may be called several times, each time after nothing of it was kept.
    stopped
        Ends the waiting: the last error is raised then.
    done
        Finds out whether the work was kept although no answer to its commit came, and returns what it returned; None: it
        was not. Asked in the next transaction, when the first one has certainly ended. Not given: the work is done again.
    waiting
        Told of each failure, and for how long we wait now [s].

    Raises
    ------
    StoreUnavailableError
        The database was still gone when `stopped` was set.

    """
    wait_s = FIRST_WAIT_S
    in_doubt = False
    while True:
        try:
            with store.begin() as tx:
                found = done(tx) if in_doubt and done is not None else None
                return work(tx) if found is None else found
        except StoreUnavailableError as error:
            in_doubt = in_doubt or error.in_doubt
            if waiting is not None:
                waiting(error, wait_s)
            if stopped.wait(wait_s):
                raise
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
