"""Routes for machines that watch the service: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import secrets
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from kvandal.control.identity.dependencies import public
from kvandal.control.operations.health import checks, report
from kvandal.control.operations.metrics import CONTENT_TYPE
from kvandal.control.operations.reading import Reads
from kvandal.control.operations.watch import Watch
from kvandal.control.settings import Settings, is_loopback, read_secret

NO_STORE = {"cache-control": "no-store"}


def operations_router(watch: Watch, store: Reads, settings: Settings) -> APIRouter:
    """Return the routes of one service, to stand at its top.

    Parameters
    ----------
    watch : what it tells of itself
    store : its database
    settings : its settings

    """
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", dependencies=[public])
    async def healthz() -> JSONResponse:
        """Tell that the process lives."""
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    @router.get(
        "/readyz", dependencies=[public], responses={503: {"description": "It cannot serve requests now."}}
    )
    def readyz() -> JSONResponse:
        """Tell whether the store answers, the loop turns (or waits for the leader) and the engine is reached."""
        status, document = report(checks(store, watch.metrics, settings.cycle_s))
        return JSONResponse(document, status_code=status, headers=NO_STORE)

    @router.get(
        "/metrics",
        dependencies=[public],
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {}}},
            403: {"description": "Neither from this machine nor by the token."},
        },
    )
    def metrics(request: Request) -> Response:
        """Tell all figures as Prometheus reads them: to this machine, or to who knows the token."""
        if not may_scrape(request, settings.metrics_token_file):
            words = "figures are told to this machine, and to who sends the token of metrics_token_file\n"
            return Response(words, 403, NO_STORE, media_type="text/plain")
        return Response(watch.metrics.text(), headers={"content-type": CONTENT_TYPE} | NO_STORE)

    return router


def may_scrape(request: Request, token_file: Path | None) -> bool:
    """Say whether figures may be told: they name every tenant, so they are not for everybody.

    A request that a proxy passed on is not of this machine, whoever the proxy is.
    """
    passed_on = {"x-forwarded-for", "forwarded", "via", "x-real-ip"} & set(request.headers.keys())
    if request.client is not None and is_loopback(request.client.host) and not passed_on:
        return True
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if token_file is None or kind.lower() != "bearer":
        return False
    return secrets.compare_digest(
        given.strip().encode(), read_secret(token_file, "metrics_token_file").encode()
    )
