"""Every write carries a key; sent again with the same key it is answered again and not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, Header
from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import Response

from kvandal.control.api.answers import JSON, dumped
from kvandal.control.api.parts import utc_now
from kvandal.control.api.problems import Refusal, fault
from kvandal.control.api.reading import Reader
from kvandal.control.api.writing import Writer
from kvandal.control.store.tables.books import IDEMPOTENCY

KEY = "Idempotency-Key"
REPLAYED = "idempotency-replayed"
Key = Annotated[
    str,
    Header(
        alias=KEY,
        min_length=8,
        max_length=100,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Chosen by the caller, new for every write and the same when a write is sent again: it is then "
        "answered as it was, and not done a second time.",
        examples=["0b5f4d7e-3c1d-4c39-9b0a-6f4f5c3a1e77"],
    ),
]
"""The header that every write needs."""
KEPT_FOR = timedelta(days=3)
"""How long an answer is kept."""
_KEPT = select(IDEMPOTENCY).where(
    IDEMPOTENCY.c.principal == bindparam("principal"), IDEMPOTENCY.c.key == bindparam("key")
)
_KEEP = insert(IDEMPOTENCY)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write is answered with, now and when it is sent again."""

    status: int
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that is done once: ``return await write(work)`` at the end of a route that writes."""

    key: str
    request: Request
    digest: str
    writer: Writer

    async def __call__(self, work: Callable[[Connection], Answer]) -> Response:
        """Do the work in a transaction and keep its answer in it; or answer as it was answered before.

        Parameters
        ----------
        work
            Writes, and says what is answered. A :class:`~kvandal.control.api.problems.Refusal` that it raises undoes
            what it wrote and is not kept: nothing was done.

        """
        try:
            return await self.writer.write(lambda tx: self._once(tx, work))
        except (
            IntegrityError
        ):  # another server answered the same key meanwhile; if not, the second try says so again
            return await self.writer.write(lambda tx: self._once(tx, work))

    async def again(self, read: Reader) -> Response | None:
        """Return the answer that was given before, if there is one: for writes that are long in the making."""
        asked = {"principal": self.request.state.principal.id, "key": self.key}
        kept = await read(lambda tx: tx.execute(_KEPT, asked).one_or_none())
        return None if kept is None else self._again(kept)

    def _once(self, tx: Connection, work: Callable[[Connection], Answer]) -> Response:
        principal = self.request.state.principal.id
        kept = tx.execute(_KEPT, {"principal": principal, "key": self.key}).one_or_none()
        if kept is not None:
            return self._again(kept)
        answer = work(tx)
        body = b"" if answer.document is None else dumped(answer.document)
        row = {
            "principal": principal,
            "key": self.key,
            "request_hash": self.digest,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": body,
            "expires_utc": utc_now() + KEPT_FOR,
        }
        tx.execute(_KEEP, row)
        return Response(body, answer.status, dict(answer.headers), media_type=JSON if body else None)

    def _again(self, kept: Any) -> Response:
        if kept.request_hash != self.digest:
            allowed = "a new key for another request"
            message = "was sent before with another request; give a new key"
            raise Refusal(
                422,
                f"header.{KEY}: {message}",
                errors=[fault(f"header.{KEY}", self.key, allowed, message)],
                kind="idempotency-key-reused",
            )
        headers = {**kept.headers, REPLAYED: "true"}
        return Response(kept.body, kept.status, headers, media_type=JSON if kept.body else None)


async def _only_json(request: Request) -> None:
    """Refuse a body that does not say that it is JSON (415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        kind != JSON
        and not (kind.startswith("application/") and kind.endswith("+json"))
        and await request.body()
    ):
        found = fault("header.Content-Type", kind or None, JSON)
        raise Refusal(415, f"header.Content-Type: must be {JSON}", errors=[found], headers={"accept": JSON})


refuse_other_media = Depends(_only_json)
"""The dependency of routes that take JSON and write nothing."""


async def once(request: Request, key: Key) -> Write:
    """Return the write that a request asks for."""
    await _only_json(request)
    body = await request.body()
    url = request.url
    digest = sha256(f"{request.method} {url.path}?{url.query}\n".encode() + body).hexdigest()
    return Write(key, request, digest, request.app.state.writer)


Once = Annotated[Write, Depends(once)]
"""What a route that writes asks for."""
