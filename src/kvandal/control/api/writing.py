"""Writes: one thread makes them, several in one transaction where several wait; acknowledged once they are committed."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from kvandal.control.api.parts import Store
from kvandal.control.api.problems import Refusal

Result = TypeVar("Result")
MOST_AT_ONCE = 64
"""Writes that share a transaction."""


class Writer:
    """The one thread of this process that writes for the API.

    A write is a function of a transaction. What waits while one transaction is committed shares the next, each behind a
    savepoint of its own: one that is refused takes nothing with it.

    Parameters
    ----------
    store
        Where to.
    forget
        Called when a transaction was not kept: what was read in it may never have been.

    """

    def __init__(self, store: Store, forget: Callable[[], None] = lambda: None) -> None:
        self._store, self._forget = store, forget
        self._waiting: queue.SimpleQueue[tuple[Callable[[Connection], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do a piece of work in a transaction; returns after its commit."""
        future: Future[Result] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kvandal-api-writer", daemon=True)
                self._thread.start()
            self._waiting.put((work, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what waits and end the thread; a later write starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ended = [first], False
            while len(batch) < MOST_AT_ONCE:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ended = True
                    break
                batch.append(following)
            self._commit([entry for entry in batch if entry[1].set_running_or_notify_cancel()])
            if ended:
                return

    def _commit(self, batch: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        """Do all of a batch in one transaction and tell each how it went."""
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._store.begin() as tx:
                for work, future in batch:
                    try:
                        with tx.begin_nested() if len(batch) > 1 else nullcontext():
                            outcomes.append((future, work(tx), None))
                    except Exception as error:
                        # An error of the database may have ended the whole transaction: nobody's work is kept then.
                        if len(batch) == 1:
                            raise
                        if isinstance(error, SQLAlchemyError) and not isinstance(
                            error, IntegrityError | DataError
                        ):
                            raise
                        outcomes.append((future, None, error))
        except Exception as error:  # noqa: BLE001  (nothing was written: all are told so)
            if not isinstance(error, Refusal):
                self._forget()
            for _, future in batch:
                future.set_exception(error)
            return
        for future, result, failure in outcomes:
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
