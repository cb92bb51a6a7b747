"""Set-points: the short list of what may be set from outside, within ranges of the scenario in force."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Page, Reason
from kvandal.client.resources.site import NewSetPoint, SetPoint
from kvandal.control.api.answers import dumped, refuse_changed, told
from kvandal.control.api.force import InForce
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.inbox import ask_loop
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal, fault, not_found, not_valid
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.tables.loop import SET_POINTS

router = APIRouter(tags=["set-points"], route_class=ReadingRoute)

ENVELOPE = "envelope_mw"
ALLOWED = {ENVELOPE: "MW"}
"""The allow-list: names and units."""
LONGEST = timedelta(days=366)
PointName = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_]{0,99}$", description="Name of a set-point.", examples=[ENVELOPE])
]


@router.get("/set-points", response_model=Page[SetPoint])
async def list_set_points(
    request: Request, caller: Annotated[Principal, require("site.read")], read: Read
) -> Response:
    """List what may be set from outside, its range, and what is set."""
    del caller
    items = await read(lambda tx: [_stands(request, tx, name) for name in ALLOWED])
    return told(request, dumped({"items": items, "next": None}))


@router.get("/set-points/{name}", response_model=SetPoint)
async def get_set_point(
    request: Request, name: PointName, caller: Annotated[Principal, require("site.read")], read: Read
) -> Response:
    """Tell what is set, by whom, why and until when."""
    del caller
    if name not in ALLOWED:
        raise not_found("set-point", name)
    document = await read(lambda tx: _stands(request, tx, name))
    return told(request, dumped(document), f'"{document["version"]}"')


@router.put("/set-points/{name}", response_model=SetPoint)
async def set_set_point(
    request: Request,
    name: PointName,
    wanted: NewSetPoint,
    caller: Annotated[Principal, require("setpoint.write")],
    write: Once,
) -> Response:
    """Set a set-point; only those on the list, only within their range."""
    return await _write(request, name, wanted, wanted.reason, caller, write)


@router.delete("/set-points/{name}", response_model=SetPoint)
async def clear_set_point(
    request: Request,
    name: PointName,
    reason: Annotated[Reason, Query(description="For the audit trail.")],
    caller: Annotated[Principal, require("setpoint.write")],
    write: Once,
) -> Response:
    """Take back what was set: what the scenario says holds again."""
    return await _write(request, name, None, reason, caller, write)


async def _write(
    request: Request, name: str, wanted: NewSetPoint | None, reason: str, caller: Principal, write: Once
) -> Response:
    parts: ServiceParts = request.app.state.parts
    if not caller.may("setpoint.write"):
        raise Refusal(403, f"{caller.name} may not set anything of the whole site")
    allowed = [each for each in ALLOWED if each in getattr(parts.settings, "set_points", ALLOWED)]
    if name not in allowed:
        listed = f"one of {', '.join(allowed)}" if allowed else "none"
        found = fault("path.name", name, listed, f"is not on the list of what may be set: {listed}")
        raise Refusal(403, f"path.name: {found['message']}", errors=[found], kind="set-point-not-allowed")
    value = None if wanted is None else wanted.value
    until = None if wanted is None else wanted.until_utc

    def work(tx: Connection) -> Answer:
        before = _stands(request, tx, name)
        refuse_changed(request, f'"{before["version"]}"')
        now = parts.now()
        if value is not None and not before["minimum"] <= value <= before["maximum"]:
            raise not_valid(
                "body.value", value, f"{before['minimum']:g} to {before['maximum']:g} {before['unit']}"
            )
        if until is not None and not now < until <= now + LONGEST:
            raise not_valid(
                "body.until_utc", until.isoformat(), f"after {now.isoformat()} and within {LONGEST.days} days"
            )
        ends = None if until is None else until.isoformat()
        if name == ENVELOPE:
            body = {"envelope_mw": value, "until_utc": ends, "reason": reason}
        detail = {"value": value, "until_utc": ends, "reason": reason}
        what = "set_point.clear" if value is None else "set_point.set"
        ask_loop(tx, parts, caller, "envelope", body, what=what, subject=name, detail=detail)
        tx.execute(
            update(SET_POINTS).where(SET_POINTS.c.name == name, SET_POINTS.c.active).values(active=False)
        )
        row = {
            "name": name,
            "value": value,
            "until_utc": until,
            "reason": reason,
            "by": caller.id,
            "at_utc": now,
        }
        tx.execute(insert(SET_POINTS), {**row, "active": value is not None})
        after = _stands(request, tx, name)
        return Answer(200, after, {"etag": f'"{after["version"]}"'})

    return await write(work)


def _stands(request: Request, tx: Connection, name: str) -> dict[str, Any]:
    """Tell a set-point as it stands now."""
    force: InForce = request.app.state.force(tx)
    parts: ServiceParts = request.app.state.parts
    minimum, maximum = 0.0, force.scenario.site.grid_mw
    document: dict[str, Any] = {
        "name": name,
        "unit": ALLOWED[name],
        "minimum": minimum,
        "maximum": maximum,
        "value": None,
        "until_utc": None,
        "reason": None,
        "by": None,
        "at_utc": None,
        "version": 0,
    }
    last = tx.execute(
        select(SET_POINTS).where(SET_POINTS.c.name == name).order_by(SET_POINTS.c.id.desc()).limit(1)
    ).one_or_none()
    if last is None:
        return document
    document["version"] = last.id
    if last.active and (last.until_utc is None or last.until_utc > parts.now()):
        document |= {key: getattr(last, key) for key in ("value", "until_utc")}
    return document | {key: getattr(last, key) for key in ("reason", "by", "at_utc")}
