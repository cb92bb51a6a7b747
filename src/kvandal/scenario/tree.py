"""The tree of tenants: effective limits, when they change, and what of them cannot hold together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from kvandal.scenario.tenants import INHERITED, LIMITS, LimitChange, Tenant

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as GPUs: a share of those installed and a fixed number."""

    share: float = 0.0
    gpus: int = 0

    def __add__(self, other: Limit) -> Limit:
        """Return both together."""
        return Limit(self.share + other.share, self.gpus + other.gpus)

    def of(self, installed_gpus: int) -> int:
        """Whole GPUs of those installed."""
        return int(self.share * installed_gpus + self.gpus + ROUNDING)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant is held to at one time."""

    guarantee: Limit
    deserved: Limit
    ceiling: Limit


ALL = Limit(share=1.0)


def inherited(given: Any) -> Any:
    """Lay what a group says under what its children leave out (keys of :data:`INHERITED`)."""
    if not isinstance(given, dict):
        return given
    tables = {name: dict(entry) if isinstance(entry, dict) else entry for name, entry in given.items()}
    for name, entry in tables.items():
        above, seen = _parent_of(entry), {name}
        while isinstance(entry, dict) and isinstance(above, str) and above in tables and above not in seen:
            parent = tables[above]
            for key in INHERITED:
                said = parent.get(key) if isinstance(parent, dict) else getattr(parent, key)
                if said is not None:
                    entry.setdefault(key, said)
            seen.add(above)
            above = _parent_of(parent)
    return tables


def _parent_of(entry: Any) -> Any:
    return entry.get("parent") if isinstance(entry, dict) else getattr(entry, "parent", None)


def children_of(tenants: Mapping[str, Tenant], group: str | None) -> list[str]:
    """Names of the tenants directly below a group (None: at the top), in order."""
    return [name for name, tenant in tenants.items() if tenant.parent == group]


def groups_of(tenants: Mapping[str, Tenant]) -> set[str]:
    """Names of the tenants that others name as their parent."""
    return {tenant.parent for tenant in tenants.values() if tenant.parent is not None}


def path_text(tenants: Mapping[str, Tenant], name: str) -> str:
    """Path of a tenant from the top: ``national/norway-research``."""
    steps = [name]
    while (above := tenants[steps[0]].parent) is not None:
        steps.insert(0, above)
    return "/".join(steps)


def limits_of(tenants: Mapping[str, Tenant], holding: Mapping[str, list[LimitChange]]) -> dict[str, Limits]:
    """Effective limits of every tenant while some changes hold.

    Parameters
    ----------
    tenants
        The tree.
    holding
        Entries of each tenant's schedule that hold, in order.

    """
    found: dict[str, Limits] = {}
    groups = groups_of(tenants)

    def ceiling(name: str | None) -> Limit:
        if name is None:
            return ALL
        return _said(tenants[name], holding.get(name, []), "ceiling") or ceiling(tenants[name].parent)

    def resolve(name: str) -> Limits:
        below = [resolve(child) for child in children_of(tenants, name)] if name in groups else []
        changes = holding.get(name, [])
        guarantee = _said(tenants[name], changes, "guarantee")
        deserved = _said(tenants[name], changes, "deserved")
        found[name] = Limits(
            sum((limits.guarantee for limits in below), Limit()) if guarantee is None else guarantee,
            sum((limits.deserved for limits in below), Limit()) if deserved is None else deserved,
            ceiling(name),
        )
        return found[name]

    for name in children_of(tenants, None):
        resolve(name)
    return {name: found[name] for name in tenants}


def _said(tenant: Tenant, changes: list[LimitChange], limit: str) -> Limit | None:
    for part in (*reversed(changes), tenant):
        share, gpus = getattr(part, f"{limit}_share"), getattr(part, f"{limit}_gpus")
        if share is not None or gpus is not None:
            return Limit(share or 0.0, gpus or 0)
    return None


def _holds_at(change: LimitChange, moment: datetime, zone: ZoneInfo) -> bool:
    if change.from_utc is not None and moment < change.from_utc:
        return False
    if change.until_utc is not None and moment >= change.until_utc:
        return False
    local = moment.astimezone(zone)
    if change.months and local.month not in change.months:
        return False
    if change.weekdays and WEEKDAYS[local.weekday()] not in change.weekdays:
        return False
    if not change.hours_local:
        return True
    start, end = change.hours_local
    return start <= local.hour < end if start < end else local.hour >= start or local.hour < end


def limit_steps(
    tenants: Mapping[str, Tenant], start_utc: datetime, days: int, time_zone: str
) -> list[tuple[int, dict[str, Limits]]]:
    """Limits of all tenants as a step function of time.

    Returns
    -------
    Pairs of the instant [s after the start] from which they hold, the first at 0, and the limits of every tenant.

    """
    scheduled = {name: tenant for name, tenant in tenants.items() if tenant.schedule}
    steps: list[tuple[int, dict[str, Limits]]] = []
    zone, before = ZoneInfo(time_zone), None
    for hour in range(days * 24 if scheduled else 1):
        moment = start_utc + timedelta(hours=hour)
        which = tuple(
            tuple(_holds_at(change, moment, zone) for change in tenant.schedule)
            for tenant in scheduled.values()
        )
        if which == before:
            continue
        before = which
        holding = {
            name: [change for change, holds in zip(tenant.schedule, held, strict=True) if holds]
            for (name, tenant), held in zip(scheduled.items(), which, strict=True)
        }
        limits = limits_of(tenants, holding)
        if not steps or limits != steps[-1][1]:
            steps.append((hour * 3600, limits))
    return steps


def refuse_loops(tenants: Mapping[str, Tenant]) -> None:
    """Refuse parents that do not exist and tenants that are their own ancestors."""
    for name, tenant in tenants.items():
        if tenant.parent is not None and tenant.parent not in tenants:
            known = ", ".join(other for other in tenants if other != name) or "none"
            raise ValueError(f"tenants.{name}.parent: no tenant {tenant.parent!r}; tenants are: {known}")
        seen, above = [name], tenant.parent
        while above is not None and above in tenants:
            if above in seen:
                raise ValueError(f"tenants.{name}.parent: {' > '.join([*seen, above])} is a circle")
            seen.append(above)
            above = tenants[above].parent


def refuse_unkeepable(
    tenants: Mapping[str, Tenant], limits: Mapping[str, Limits], racks: int, when: str = ""
) -> None:
    """Refuse limits that cannot be kept together: they do not rise, children above their parent, too much promised.

    Parameters
    ----------
    tenants, limits
        The tree and its limits at one time.
    racks
        Racks of the finished site.
    when
        Told with the refusal.

    """
    installed = racks * 72
    for name, own in limits.items():
        numbers = [getattr(own, limit).of(installed) for limit in LIMITS]
        if numbers != sorted(numbers):
            raise ValueError(
                f"tenants.{name}{when}: limits must rise: guarantee <= deserved <= ceiling, got "
                f"{', '.join(f'{number:,}' for number in numbers)} GPUs"
            )
    for group in (None, *groups_of(tenants)):
        below = children_of(tenants, group)
        for limit in ("guarantee", "deserved"):
            parts = {name: getattr(limits[name], limit) for name in below}
            total = sum(parts.values(), Limit())
            allowed = ALL if group is None else getattr(limits[group], limit)
            if (
                total.share * installed + total.gpus
                <= allowed.share * installed + allowed.gpus + ROUNDING * installed
            ):
                continue
            listed = " + ".join(f"{name} {_text(part)}" for name, part in parts.items() if part != Limit())
            place = "tenants" if group is None else f"tenants.{group}"
            most = "all that is installed" if group is None else f"the group's own {_text(allowed)}"
            raise ValueError(
                f"{place}{when}: {limit}_share sum to {_text(total)} ({listed}); they must not exceed {_text(allowed)}, {most}"
            )
        for name in below:
            if group is not None and limits[name].ceiling.of(installed) > limits[group].ceiling.of(installed):
                raise ValueError(
                    f"tenants.{name}{when}: ceiling {_text(limits[name].ceiling)} lies above {_text(limits[group].ceiling)}, "
                    f"the ceiling of its group {group}"
                )
    promised = sum(limits[name].guarantee.of(installed) for name in children_of(tenants, None))
    placeable = max(1, racks - 1) * 72
    if promised > placeable:
        raise ValueError(
            f"tenants{when}: guarantees sum to {promised:,} GPUs, but with one of {racks:,} racks out of service only "
            f"{placeable:,} can be placed: lower guarantees by {promised - placeable:,} GPUs"
        )


def _text(limit: Limit) -> str:
    if not limit.gpus:
        return f"{limit.share:g}"
    return f"{limit.gpus:,} GPUs" if not limit.share else f"{limit.share:g} and {limit.gpus:,} GPUs"
