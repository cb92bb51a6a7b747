"""The site now, its recent past, and following it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kvandal.client.resources.base import Instant, Page
from kvandal.client.resources.site import Site, SiteTick
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.paging import Cursor, decoded, paged
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.api.watching import SiteWatch
from kvandal.control.identity.dependencies import Gate, require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.errors import StoreError
from kvandal.control.store.tables.loop import SITE_TICKS

router = APIRouter(tags=["site"], route_class=ReadingRoute)

BEAT_S = 15.0
"""A stream says something at least this often, so that proxies keep it open."""
_TICK = [SITE_TICKS.c[name] for name in SiteTick.model_fields]


class SiteQuery(BaseModel):
    """Whether to wait for something newer."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[float, Field(ge=0, le=60, description="Longest wait [s].")] = 0.0
    after: (
        Annotated[int, Field(ge=0, lt=2**63, description="Wait until the version is above this one.")] | None
    ) = None


class TickQuery(BaseModel):
    """Which ticks of the past are listed."""

    model_config = ConfigDict(extra="forbid")

    since_utc: Instant | None = None
    until_utc: Instant | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Field(ge=1, le=2000)] = 240
    cursor: Cursor | None = None


@router.get("/site", response_model=Site)
async def get_site(
    request: Request, query: Annotated[SiteQuery, Query()], caller: Annotated[Principal, require("site.read")]
) -> Response:
    """Tell the site now; with `wait` and `after`, as soon as it is newer than that (long poll)."""
    watch: SiteWatch = request.app.state.watch
    parts: ServiceParts = request.app.state.parts
    if query.wait and query.after is not None:
        seen = await watch.later(query.after, min(query.wait, parts.longest_wait_s))
    else:
        seen = await watch.now()
    places = caller.places("tenant.read")
    return told(request, seen.told_to(places), seen.tag_for(places))


@router.get(
    "/site/events",
    response_class=Response,
    responses={
        200: {
            "description": "Events named `site`; their data is what GET /v1/site tells, their id its version.",
            "content": {"text/event-stream": {"schema": {}}},
        }
    },
)
async def follow_site(
    request: Request,
    caller: Annotated[Principal, require("site.read")],
    last: Annotated[
        Annotated[str, Field(pattern=r"^[0-9]{1,18}$")] | None,
        Header(alias="Last-Event-ID", description="Version that is known already."),
    ] = None,
) -> Response:
    """Follow the site as server-sent events: at once, then at every change; it ends after an hour, to be asked again."""
    watch: SiteWatch = request.app.state.watch
    parts: ServiceParts = request.app.state.parts
    if watch.following >= parts.streams_at_once:
        raise Refusal(
            503, "too many follow the site already", headers={"retry-after": "30"}, kind="too-many-streams"
        )
    await watch.now()
    del caller  # whether he still may is asked at every event
    identity: Gate = request.app.state.identity
    known = -1 if last is None else int(last)

    async def events() -> AsyncIterator[bytes]:
        watch.following += 1
        try:
            version, loop = known, asyncio.get_running_loop()
            until = loop.time() + parts.longest_stream_s
            yield b"retry: 2000\n\n"
            while not watch.closed and (left := until - loop.time()) > 0:
                try:
                    seen = await watch.later(version, min(BEAT_S, left))
                    still = await identity.principal_of(request)
                except HTTPException:  # signed out or revoked meanwhile
                    return
                except (Refusal, StoreError, SQLAlchemyError):  # the store is gone for a while
                    await asyncio.sleep(min(1.0, left))
                    continue
                if still is None or not still.may_somewhere("site.read"):
                    return
                if seen.version > version:
                    version, places = seen.version, still.places("tenant.read")
                    yield b"id: %d\nevent: site\ndata: %b\n\n" % (version, seen.told_to(places))
                else:
                    yield b": still here\n\n"
        finally:
            watch.following -= 1

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


@router.get("/site/ticks", response_model=Page[SiteTick])
async def list_site_ticks(
    request: Request,
    query: Annotated[TickQuery, Query()],
    caller: Annotated[Principal, require("site.read")],
    read: Read,
) -> Response:
    """List the ticks of the recent past, page by page."""
    del caller
    newest, time_s = query.order == "newest", SITE_TICKS.c.time_s
    statement = select(*_TICK).order_by(time_s.desc() if newest else time_s).limit(query.limit + 1)
    if query.since_utc is not None:
        statement = statement.where(SITE_TICKS.c.at_utc >= query.since_utc)
    if query.until_utc is not None:
        statement = statement.where(SITE_TICKS.c.at_utc < query.until_utc)
    if query.cursor is not None:
        key = decoded(query.cursor)
        statement = statement.where(time_s < key if newest else time_s > key)
    rows = await read(lambda tx: tx.execute(statement).all())
    rows, following, headers = paged(request, rows, query.limit, "time_s")
    return told(
        request, dumped({"items": [row._asdict() for row in rows], "next": following}), headers=headers
    )
