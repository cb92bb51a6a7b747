"""Loans: who lends to whom, and until when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import or_, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Name, Page
from kvandal.client.resources.site import Loan, LoanState
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.paging import MOST_ITEMS, Cursor, decoded, paged
from kvandal.control.api.problems import not_found
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.tables.loop import LOANS

router = APIRouter(tags=["loans"], route_class=ReadingRoute)


class LoanQuery(BaseModel):
    """Which loans are listed, and how."""

    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[Name, Field(description="That lends or borrows.")] | None = None
    state: Annotated[list[LoanState], Field(max_length=3)] = Field(default_factory=list)
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Cursor | None = None


@router.get("/loans", response_model=Page[Loan])
async def list_loans(
    request: Request,
    query: Annotated[LoanQuery, Query()],
    caller: Annotated[Principal, require("loan.read")],
    read: Read,
) -> Response:
    """List loans that a tenant of the caller gave or took, page by page."""
    newest = query.order == "newest"
    statement = select(LOANS).order_by(LOANS.c.id.desc() if newest else LOANS.c.id).limit(query.limit + 1)
    places = caller.places("loan.read")
    if not places.everywhere:
        mine = sorted(places.tenants)
        statement = statement.where(or_(LOANS.c.lender.in_(mine), LOANS.c.borrower.in_(mine)))
    if query.tenant is not None:
        statement = statement.where(or_(LOANS.c.lender == query.tenant, LOANS.c.borrower == query.tenant))
    if query.state:
        statement = statement.where(LOANS.c.state.in_(query.state))
    if query.cursor is not None:
        key = decoded(query.cursor)
        statement = statement.where(LOANS.c.id < key if newest else LOANS.c.id > key)
    rows = await read(lambda tx: tx.execute(statement).all())
    rows, following, headers = paged(request, rows, query.limit, "id")
    items = [_told(row, places.everywhere, places.tenants) for row in rows]
    return told(request, dumped({"items": items, "next": following}), headers=headers)


@router.get("/loans/{loan_id}", response_model=Loan)
async def get_loan(
    request: Request,
    loan_id: Annotated[int, Path(ge=1, lt=2**63, description="Number of a loan.")],
    caller: Annotated[Principal, require("loan.read")],
    read: Read,
) -> Response:
    """Tell how a loan stands."""
    row = await read(lambda tx: tx.execute(select(LOANS).where(LOANS.c.id == loan_id)).one_or_none())
    places = caller.places("loan.read")
    if row is None or not (places.everywhere or {row.lender, row.borrower} & places.tenants):
        raise not_found("loan", str(loan_id))
    return told(request, dumped(_told(row, places.everywhere, places.tenants)))


def _told(row: Any, everywhere: bool, tenants: frozenset[str]) -> dict[str, Any]:
    """Tell a loan; a lender is not told which job of another tenant holds its GPUs."""
    document: dict[str, Any] = row._asdict()
    if not everywhere and row.borrower not in tenants:
        document["job"] = ""
    return document
