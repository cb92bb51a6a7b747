"""Nodes that take no new jobs; taking one out of use and putting it back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Page
from kvandal.client.resources.site import Asking, Drain, NodeDown
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.inbox import ask_loop
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal, not_found
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.api.watching import SiteWatch
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal

router = APIRouter(tags=["nodes"], route_class=ReadingRoute)

NodeName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of a node.", examples=["tray-00017"]
    ),
]


@router.get("/nodes", response_model=Page[NodeDown])
async def list_nodes(request: Request, caller: Annotated[Principal, require("site.read")]) -> Response:
    """List the nodes that take no new jobs, and why; all others do."""
    del caller
    watch: SiteWatch = request.app.state.watch
    seen = await watch.now()
    return told(request, dumped({"items": seen.view.get("nodes_down") or [], "next": None}))


@router.post("/nodes/{node}/drain", status_code=202, response_model=Asking)
async def drain_node(
    request: Request,
    node: NodeName,
    drain: Drain,
    caller: Annotated[Principal, require("node.drain")],
    write: Once,
) -> Response:
    """Take a node out of use: what runs there ends, nothing new starts."""
    return await _ask(request, node, drain, caller, write, out=True)


@router.post("/nodes/{node}/undrain", status_code=202, response_model=Asking)
async def undrain_node(
    request: Request,
    node: NodeName,
    drain: Drain,
    caller: Annotated[Principal, require("node.drain")],
    write: Once,
) -> Response:
    """Put a node back into use."""
    return await _ask(request, node, drain, caller, write, out=False)


async def _ask(
    request: Request, node: str, drain: Drain, caller: Principal, write: Once, *, out: bool
) -> Response:
    parts: ServiceParts = request.app.state.parts
    if not caller.may("node.drain"):
        raise Refusal(403, f"{caller.name} may not drain nodes of the whole site")
    if parts.knows_node is not None and not parts.knows_node(node):
        raise not_found("node", node)
    what = "node.drain" if out else "node.undrain"

    def work(tx: Connection) -> Answer:
        body = {"node": node, "reason": drain.reason if out else None}
        number = ask_loop(
            tx, parts, caller, "drain", body, what=what, subject=node, detail={"reason": drain.reason}
        )
        return Answer(202, {"inbox": number})

    return await write(work)
