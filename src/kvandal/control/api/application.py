"""The application: routers, problems, the frame around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kvandal import __version__
from kvandal.control.api import (
    identity,
    jobs,
    loans,
    nodes,
    office_applications,
    office_grants,
    office_registry,
    people,
    proposals,
    records,
    setpoints,
    site,
    tenants,
    tokens,
    whatif,
)
from kvandal.control.api.asking import WhatIfDesk
from kvandal.control.api.force import Force
from kvandal.control.api.frame import Frame
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import TITLES, Refusal, answer_of
from kvandal.control.api.reading import Reader
from kvandal.control.api.specification import describe, repeatable
from kvandal.control.api.validation import refusal_of
from kvandal.control.api.watching import SiteWatch
from kvandal.control.api.writing import Writer
from kvandal.control.identity.dependencies import LocalGate
from kvandal.control.identity.gate import Identity
from kvandal.control.identity.guard import Guard
from kvandal.control.store.errors import StoreUnavailableError

RETRY_S = "2"
ROUTERS = (
    jobs.router,
    site.router,
    tenants.router,
    loans.router,
    nodes.router,
    setpoints.router,
    proposals.router,
    whatif.router,
    records.router,
    identity.router,
    tokens.router,
    people.router,
    office_registry.router,
    office_applications.router,
    office_grants.router,
)
_log = structlog.get_logger("kvandal.api")


def create_app(
    parts: ServiceParts, routers: Sequence[APIRouter] = (), pages: Sequence[APIRouter] = ()
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    parts
        What it stands on; also at `app.state.parts`.
    routers
        Of other parts of the service, under /v1.
    pages
        Routers that stand at the top.

    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.watch.closed = False
        describe(app)  # takes a moment, in which no request should have to wait
        try:
            yield
        finally:
            close(app)

    app = FastAPI(
        title="Kvandal",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # pages of the API come from no other site
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    state = app.state
    state.parts, state.identity = parts, parts.identity or LocalGate()
    state.reader, state.force = _reader(parts), Force(parts.scenario)
    state.writer = Writer(parts.store, state.force.forget)
    state.watch, state.whatifs = SiteWatch(state.reader, parts.site_fresh_s), WhatIfDesk(parts)
    for router in (*ROUTERS, *routers):
        app.include_router(router, prefix="/v1")
    for router in pages:
        app.include_router(router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    for kind in (StoreUnavailableError, OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(kind, _no_store)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    if isinstance(parts.identity, Identity):
        app.add_middleware(Guard, **parts.identity.guard_options)
    app.add_middleware(Frame, body_limit_bytes=parts.body_limit_bytes, repeatable=partial(repeatable, app))
    return app


def close(app: FastAPI) -> None:
    """Let followers go, finish what is being written, let go of threads."""
    app.state.watch.close()
    app.state.whatifs.close()
    app.state.writer.close()
    app.state.reader.close()


def close_streams(app: FastAPI) -> None:
    """Let those go who follow the site; a server that ends calls this first, from any thread, and then waits for the rest."""
    app.state.watch.close()


def _reader(parts: ServiceParts) -> Reader:
    return Reader(parts.store, inline=getattr(parts.store, "dialect", "sqlite") == "sqlite")


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return answer_of(error, request.scope)


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer_of(refusal_of(error.errors()), request.scope)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = "there is nothing at this path"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not possible here; allowed: {allowed}"
    refusal = Refusal(error.status_code, detail or TITLES.get(error.status_code, ""), headers=error.headers)
    return answer_of(refusal, request.scope)


async def _no_store(request: Request, error: Exception) -> Response:
    _log.warning("the store does not answer", path=request.url.path, error=_first_line(error))
    refusal = Refusal(
        503,
        "the store does not answer now; send it again, a write with the same Idempotency-Key: it is done once",
        headers={"retry-after": RETRY_S},
        kind="store-unavailable",
    )
    return answer_of(refusal, request.scope)


def _first_line(error: Any) -> str:
    told = str(error.orig if isinstance(error, DBAPIError) else error)
    return told.splitlines()[0][:300] if told else type(error).__name__
