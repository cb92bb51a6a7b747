"""Following the site: one look at the store for all who wait, however many they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from kvandal.control.api.answers import dumped
from kvandal.control.api.problems import Refusal
from kvandal.control.api.reading import Reader
from kvandal.control.identity.principal import Places
from kvandal.control.store.errors import StoreError
from kvandal.control.store.tables.loop import SITE_NOW

LOOK_S = 0.25
"""How often the store is looked at while somebody waits."""
_VERSION = select(SITE_NOW.c.version).where(SITE_NOW.c.id == 1)
_WHOLE = select(SITE_NOW.c.version, SITE_NOW.c.at_utc, SITE_NOW.c.view).where(SITE_NOW.c.id == 1)


@dataclass
class Seen:
    """The site as the store had it: its version, and how it is told to whom."""

    version: int
    view: dict[str, Any]
    _told: dict[frozenset[str] | None, bytes] = field(default_factory=dict)

    def told_to(self, places: Places) -> bytes:
        """Return it as JSON with the tenants of some places alone; written once for all who see the same."""
        mine = None if places.everywhere else places.tenants
        body = self._told.get(mine)
        if body is None:
            view = {"version": self.version, **self.view}
            if mine is not None:
                view["tenants"] = [entry for entry in view.get("tenants") or () if entry.get("name") in mine]
            body = self._told[mine] = dumped(view)
        return body

    def tag_for(self, places: Places) -> str:
        """Return the ETag of what is told."""
        if places.everywhere:
            return f'"{self.version}"'
        return f'"{self.version}-{"+".join(sorted(places.tenants)) or "none"}"'.encode(
            "ascii", "replace"
        ).decode()


class SiteWatch:
    """What is known of the site now, and who waits for something newer.

    Parameters
    ----------
    reader
        Of the store.
    fresh_s
        What was seen so short a time ago is told again without a look [s].

    """

    def __init__(self, reader: Reader, fresh_s: float = 0.0) -> None:
        self._reader, self._fresh_s, self._looked_s = reader, fresh_s, float("-inf")
        self._seen: Seen | None = None
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None
        self._changed: asyncio.Event | None = None
        self.following = 0
        self.closed = False

    async def now(self) -> Seen:
        """Return the site now; refused while there is none (503)."""
        now_s = time.monotonic()
        if self._seen is not None and now_s - self._looked_s < self._fresh_s:
            return self._seen
        seen = await self._reader(self._look)
        self._looked_s = now_s
        if seen is None:
            raise Refusal(
                503, "the loop has not turned yet", headers={"retry-after": "1"}, kind="no-site-yet"
            )
        return seen

    async def later(self, version: int, wait_s: float) -> Seen:
        """Return the site once it is newer than a version, or as it is when the time is up."""
        seen = await self.now()
        if seen.version > version and seen.version >= 0:
            return seen
        until = asyncio.get_running_loop().time() + wait_s
        self._waiting += 1
        try:
            while not self.closed:
                left = until - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                changed = self._look_on()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await changed.wait()
                if self._seen is not None and self._seen.version > version:
                    return self._seen
        finally:
            self._waiting -= 1
        return await self.now()

    def close(self) -> None:
        """Let all who wait go: the service ends. From any thread; they are gone within moments."""
        self.closed = True

    def _look(self, tx: Connection) -> Seen | None:
        version = tx.execute(_VERSION).scalar_one_or_none()
        seen = self._seen
        if version is None or (seen is not None and seen.version == version):
            return None if version is None else seen
        row = tx.execute(_WHOLE).one()
        self._seen = Seen(row.version, {"at_utc": row.at_utc, **row.view})
        return self._seen

    def _look_on(self) -> asyncio.Event:
        """Return what is set at the next change; somebody looks for it from now on."""
        if self._changed is None or self._changed.is_set():
            self._changed = asyncio.Event()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_while_somebody_waits())
        return self._changed

    async def _look_while_somebody_waits(self) -> None:
        told = self._seen
        while self._waiting and not self.closed:
            with contextlib.suppress(
                StoreError, SQLAlchemyError
            ):  # gone for a while: those who wait go on waiting
                await self._reader(self._look)
            if (self._seen is not told or self.closed) and self._changed is not None:
                self._changed.set()  # whoever saw it first: a request that asked in between as well
                self._changed, told = None, self._seen
            await asyncio.sleep(LOOK_S)
        if self._changed is not None:
            self._changed.set()
