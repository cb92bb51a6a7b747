"""Reads: short transactions, inline where the database is a file, on a few threads where it is a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

from fastapi import Depends
from sqlalchemy import Connection
from starlette.requests import Request

from kvandal.control.api.parts import Store

Result = TypeVar("Result")
THREADS = 4


class Reader:
    """Reads of this process.

    A read of SQLite takes a fraction of a millisecond, less than a thread takes to be woken; a server may be gone for a
    minute, and must not stop everything else meanwhile.
    """

    def __init__(self, store: Store, *, inline: bool) -> None:
        self._store, self._inline = store, inline
        self._pool: ThreadPoolExecutor | None = None

    async def __call__(self, work: Callable[[Connection], Result]) -> Result:
        """Do a piece of reading in a transaction."""
        if self._inline:
            return self._read(work)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="kvandal-api-reader")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        with self._store.read() as tx:
            return work(tx)

    def close(self) -> None:
        """Let go of the threads; a later read starts others."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


async def _reader(request: Request) -> Reader:
    found: Reader = request.app.state.reader
    return found


Read = Annotated[Reader, Depends(_reader)]
"""What a route that reads asks for."""
