"""Calls: opened by an allocator; rolling ones for the lower rungs of the ladder are always there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from kvandal.client.resources.calls import Call, NewCall, RungName
from kvandal.control.office.desk import Desk
from kvandal.control.office.ladder import ladder
from kvandal.control.office.rules import NotThereError
from kvandal.control.office.working_days import OSLO
from kvandal.control.store.tables.office import CALLS, GRANTS
from kvandal.errors import InputError

RESERVE: RungName = "reserve"


def rolling_call(rung: RungName, now_utc: datetime) -> str:
    """Return the id of the call in which a rung is always offered; the director's reserve has one for each year."""
    return f"reserve-{now_utc.astimezone(OSLO).year}" if rung == RESERVE else f"rolling-{rung}"


def open_call(desk: Desk, new: NewCall) -> Call:
    """Open a call."""
    desk.demand("call.write")
    if desk.tx.execute(select(CALLS.c.id).where(CALLS.c.id == new.id)).scalar() is not None:
        raise InputError(f"there is a call {new.id!r} already", key="id")
    for name in new.tenants:
        if name not in desk.terms.tenants:
            raise InputError(f"must be among {', '.join(desk.terms.tenants)}, got {name!r}", key="tenants")
    rungs = ladder()
    for rung in new.rungs:
        if rungs[rung].needs_dates and new.closes_utc is None:
            raise InputError(f"a call for {rung} needs a closing date", key="closes_utc")
    _insert(desk, new)
    desk.audit("call.open", new.id, new.model_dump(mode="json"))
    return call(desk.tx, new.id, desk.now_utc)


def _insert(desk: Desk, new: NewCall) -> None:
    desk.tx.execute(insert(CALLS).values(id=new.id, document=new.model_dump(mode="json"), version=1))


def close_call(desk: Desk, key: str) -> Call:
    """Close a call for new applications now; those that were handed in are decided."""
    desk.demand("call.write")
    found = call(desk.tx, key, desk.now_utc)
    if not found.open:
        raise InputError(f"{key} takes no applications now")
    document = {
        **found.model_dump(mode="json", include=set(NewCall.model_fields)),
        "closes_utc": desk.now_utc.isoformat(),
        "decides_utc": None,
    }
    desk.tx.execute(
        update(CALLS).where(CALLS.c.id == key).values(document=document, version=found.version + 1)
    )
    desk.audit("call.close", key, {})
    return call(desk.tx, key, desk.now_utc)


def ensure_rolling(desk: Desk) -> None:
    """Have the rolling calls, and the director's reserve of this year with its budget."""
    known = set(desk.tx.execute(select(CALLS.c.id)).scalars())
    year = desk.now_utc.astimezone(OSLO).year
    for rung in ladder().values():
        key = rolling_call(rung.name, desk.now_utc)
        if key in known or rung.needs_dates:
            continue
        reserve = rung.name == RESERVE
        if reserve and not desk.terms.reserve_gpu_hours:
            continue
        start, end = (datetime(each, 1, 1, tzinfo=OSLO) for each in (year, year + 1))
        new = NewCall(
            id=key,
            title=f"{rung.title} {year}" if reserve else f"{rung.title}, always open",
            rungs=[rung.name],
            opens_utc=start if reserve else desk.now_utc,
            closes_utc=end if reserve else None,
            budget_gpu_hours=desk.terms.reserve_gpu_hours if reserve else None,
        )
        _insert(desk, new)
        desk.audit("call.open", key, new.model_dump(mode="json"))


def call(tx: Connection, key: str, now_utc: datetime) -> Call:
    """Return a call, with what it has granted so far.

    Raises
    ------
    NotThereError
        If there is none of that name.

    """
    row = tx.execute(select(CALLS).where(CALLS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no call {key!r}")
    return call_of(tx, row, now_utc)


def call_of(tx: Connection, row: Row[Any], now_utc: datetime) -> Call:
    """Read a call from its row; hours that were returned are granted no more."""
    granted = tx.execute(
        select(func.coalesce(func.sum(GRANTS.c.gpu_hours), 0)).where(GRANTS.c.call == row.id)
    ).scalar_one()
    found = Call.model_validate({**row.document, "granted_gpu_hours": int(granted), "version": row.version})
    left = None if found.budget_gpu_hours is None else found.budget_gpu_hours - found.granted_gpu_hours
    is_open = found.opens_utc <= now_utc and (found.closes_utc is None or now_utc < found.closes_utc)
    return found.model_copy(update={"left_gpu_hours": left, "open": is_open})
