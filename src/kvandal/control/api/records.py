"""Records: turns of the loop with what they were told and decided, the audit trail, the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Table, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Instant, Page, Text
from kvandal.client.resources.books import AuditEntry, Posting, Statement
from kvandal.client.resources.site import Cycle, CycleInFull
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.paging import MOST_ITEMS, Cursor, decoded, paged
from kvandal.control.api.problems import not_found, not_valid
from kvandal.control.api.reading import Read, Reader
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.api.tenants import TenantName
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.ledger import balances, turnover
from kvandal.control.store.tables.books import AUDIT, LEDGER
from kvandal.control.store.tables.loop import CYCLES

router = APIRouter(tags=["records"], route_class=ReadingRoute)

END = datetime(9999, 12, 31, tzinfo=UTC)
Number = Annotated[int, Path(ge=0, lt=2**63)]
_CYCLE = [CYCLES.c[name] for name in Cycle.model_fields]


class RecordQuery(BaseModel):
    """Which page of a list of records."""

    model_config = ConfigDict(extra="forbid")

    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Cursor | None = None


class AuditQuery(RecordQuery):
    """Which rows of the audit trail."""

    who: Annotated[Text, Field(max_length=200)] | None = None
    what: Annotated[Text, Field(max_length=200)] | None = None
    subject: Annotated[Text, Field(max_length=200)] | None = None


class PostingQuery(RecordQuery):
    """Which postings."""

    account: Annotated[Text, Field(max_length=200, examples=["tenant:uk:use"])]


class PeriodQuery(BaseModel):
    """Which period; the end is not included."""

    model_config = ConfigDict(extra="forbid")

    from_utc: Instant
    until_utc: Instant


@router.get("/cycles", response_model=Page[Cycle])
async def list_cycles(
    request: Request,
    query: Annotated[RecordQuery, Query()],
    caller: Annotated[Principal, require("audit.read")],
    read: Read,
) -> Response:
    """List the turns of the loop that changed or decided something, page by page."""
    del caller
    return await _listed(request, read, query, select(*_CYCLE), CYCLES, "number")


@router.get("/cycles/{number}", response_model=CycleInFull)
async def get_cycle(
    request: Request, number: Number, caller: Annotated[Principal, require("audit.read")], read: Read
) -> Response:
    """Tell all that a turn of the loop was told and all that it decided, each with its rule."""
    del caller
    row = await read(lambda tx: tx.execute(select(CYCLES).where(CYCLES.c.number == number)).one_or_none())
    if row is None:
        raise not_found("cycle", str(number))
    return told(request, dumped(row._asdict()))


@router.get("/audit", response_model=Page[AuditEntry])
async def list_audit(
    request: Request,
    query: Annotated[AuditQuery, Query()],
    caller: Annotated[Principal, require("audit.read")],
    read: Read,
) -> Response:
    """List who did what, page by page; each row is bound to the one before by its hash."""
    del caller
    statement = select(AUDIT)
    for name in ("who", "what", "subject"):
        if (wanted := getattr(query, name)) is not None:
            statement = statement.where(AUDIT.c[name] == wanted)
    return await _listed(request, read, query, statement, AUDIT, "number")


@router.get("/ledger/postings", response_model=Page[Posting])
async def list_postings(
    request: Request,
    query: Annotated[PostingQuery, Query()],
    caller: Annotated[Principal, require("ledger.read")],
    read: Read,
) -> Response:
    """List the postings of an account, page by page; accounts of a tenant are `tenant:NAME:...`."""
    _, _, rest = query.account.partition("tenant:")
    if not caller.may("ledger.read", rest.partition(":")[0] or None):
        raise not_found("account", query.account)
    return await _listed(
        request, read, query, select(LEDGER).where(LEDGER.c.account == query.account), LEDGER, "id"
    )


@router.get("/ledger/statements/{tenant}", response_model=Statement)
async def get_statement(
    request: Request,
    tenant: TenantName,
    period: Annotated[PeriodQuery, Query()],
    caller: Annotated[Principal, require("ledger.read")],
    read: Read,
) -> Response:
    """Tell what a tenant's accounts held before a period, what came and went, and what they held after."""
    if not caller.may("ledger.read", tenant):
        raise not_found("tenant", tenant)
    if period.until_utc <= period.from_utc:
        raise not_valid(
            "query.until_utc", period.until_utc.isoformat(), f"after {period.from_utc.isoformat()}"
        )
    prefix = f"tenant:{tenant}:"

    def work(tx: Connection) -> list[dict[str, Any]]:
        if tenant not in request.app.state.force(tx).scenario.tenants:
            raise not_found("tenant", tenant)
        during = turnover(tx, prefix, period.from_utc, period.until_utc)
        after = turnover(tx, prefix, period.until_utc, END)
        lines = []
        for account, units in balances(tx, prefix).items():
            for unit, amount in units.items():
                closing = amount - after.get(account, {}).get(unit, 0)
                moved = during.get(account, {}).get(unit, 0)
                lines.append(
                    {
                        "account": account,
                        "unit": unit,
                        "opening": closing - moved,
                        "turnover": moved,
                        "closing": closing,
                    }
                )
        return lines

    lines = await read(work)
    return told(
        request,
        dumped(
            {"tenant": tenant, "from_utc": period.from_utc, "until_utc": period.until_utc, "lines": lines}
        ),
    )


async def _listed(
    request: Request, read: Reader, query: RecordQuery, statement: Any, table: Table, key: str
) -> Response:
    """Answer with a page of a table in the order of its key."""
    newest, column = query.order == "newest", table.c[key]
    statement = statement.order_by(column.desc() if newest else column).limit(query.limit + 1)
    if query.cursor is not None:
        after = decoded(query.cursor)
        statement = statement.where(column < after if newest else column > after)
    rows = await read(lambda tx: tx.execute(statement).all())
    rows, following, headers = paged(request, rows, query.limit, key)
    return told(
        request, dumped({"items": [row._asdict() for row in rows], "next": following}), headers=headers
    )
