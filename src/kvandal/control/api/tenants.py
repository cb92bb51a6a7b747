"""Tenants and their limits, rules of sharing, the policy in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Page
from kvandal.client.resources.policy import Policy, Rule, Tenant
from kvandal.control.api.answers import dumped, told
from kvandal.control.api.force import Force, InForce
from kvandal.control.api.problems import not_found
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Principal
from kvandal.control.store.tables.loop import SITE_NOW
from kvandal.policy.rules import RULES

router = APIRouter(tags=["policy"], route_class=ReadingRoute)

LIMITS = (
    "guarantee_share",
    "guarantee_gpus",
    "deserved_share",
    "deserved_gpus",
    "ceiling_share",
    "ceiling_gpus",
)
OF_TENANT = (*LIMITS, "weight", "notice_s", "minimum_run_s")
OF_POLICY = (
    "rest_after_recall_s",
    "recall",
    "backfill_depth",
    "reservations",
    "aging_h",
    "order",
    "half_life_h",
)
"""What a change of the policy may set while the site runs."""
CHANGEABLE = (*(f"tenants.*.{key}" for key in OF_TENANT), *(f"policy.{key}" for key in OF_POLICY))
TenantName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of a tenant.", examples=["uk"])
]
_VIEW = select(SITE_NOW.c.view).where(SITE_NOW.c.id == 1)


@router.get("/tenants", response_model=Page[Tenant])
async def list_tenants(
    request: Request, caller: Annotated[Principal, require("tenant.read")], read: Read
) -> Response:
    """List the tenants that the caller may see, groups and what stands below them in the order of the scenario."""
    force, now = await read(lambda tx: _known(request, tx))
    places = caller.places("tenant.read")
    items = [
        _told(force, name, now.get(name))
        for name in force.scenario.tenants
        if places.cover(name) or name in places.tenants
    ]
    return told(request, dumped({"items": items, "next": None}))


@router.get("/tenants/{tenant}", response_model=Tenant)
async def get_tenant(
    request: Request, tenant: TenantName, caller: Annotated[Principal, require("tenant.read")], read: Read
) -> Response:
    """Tell a tenant's limits, and what it holds and waits for."""
    force, now = await read(lambda tx: _known(request, tx))
    places = caller.places("tenant.read")
    if tenant not in force.scenario.tenants or not (places.cover(tenant) or tenant in places.tenants):
        raise not_found("tenant", tenant)
    return told(request, dumped(_told(force, tenant, now.get(tenant))))


@router.get("/policy", response_model=Policy)
async def get_policy(
    request: Request, caller: Annotated[Principal, require("policy.read")], read: Read
) -> Response:
    """Tell the policy in force, and which of its keys may be changed while the site runs."""
    del caller
    force: Force = request.app.state.force
    held = await read(force)
    document = {
        "version": held.version,
        "tenants": {name: tenant.model_dump(mode="json") for name, tenant in held.scenario.tenants.items()},
        "policy": held.scenario.policy.model_dump(mode="json"),
        "changeable": list(CHANGEABLE),
    }
    return told(request, dumped(document), f'"{held.version}"')


@router.get("/rules", response_model=Page[Rule])
async def list_rules(request: Request, caller: Annotated[Principal, require("policy.read")]) -> Response:
    """List the rules of sharing: every decision names the one that caused it."""
    del caller
    items = [
        {"id": rule, "sentence": sentence} for number, (rule, sentence) in sorted(RULES.items()) if number
    ]
    return told(request, dumped({"items": items, "next": None}))


def _known(request: Request, tx: Connection) -> tuple[InForce, dict[str, Any]]:
    view = tx.execute(_VIEW).scalar_one_or_none() or {}
    return request.app.state.force(tx), {entry["name"]: entry for entry in view.get("tenants") or ()}


def _told(force: InForce, name: str, now: Any) -> dict[str, Any]:
    tenant, limits, installed = force.scenario.tenants[name], force.limits[name], force.installed_gpus
    return {
        "name": name,
        "parent": tenant.parent,
        "group": name not in force.leaves,
        "tier": tenant.tier,
        "region": tenant.region,
        "residency": list(tenant.residency),
        "guarantee_gpus": limits.guarantee.of(installed),
        "deserved_gpus": limits.deserved.of(installed),
        "ceiling_gpus": limits.ceiling.of(installed),
        "notice_s": tenant.notice_s,
        "minimum_run_s": tenant.minimum_run_s,
        "weight": tenant.weight,
        "demand": list(force.classes_of(name)),
        "now": now,
    }
