"""What became of each part of our policy in a target: written, written nearly, not to be said, or not asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kvandal.engines.entitlements import Contract, Party

Status = Literal["written", "nearly", "missing", "not asked"]

CONCEPTS = {
    "tree": "Tree of tenants",
    "tier": "Tiers",
    "deserved": "Deserved share",
    "guarantee": "Guarantee, never lent",
    "ceiling": "Ceiling",
    "borrowing": "Borrowing",
    "lent tier": "Tenants who live on loans",
    "recall": "Recall on demand",
    "notice": "Notice before a loan ends",
    "minimum run": "Minimum run of a loan",
    "fair share": "Order among borrowers",
    "backfill": "Backfill and reservations",
    "schedule": "Limits by calendar",
    "residency": "Where data may be processed",
    "budget": "Budgets of GPU-hours",
    "topology": "Racks, rows and halls",
    "rack kinds": "Several kinds of GPU",
    "build-out": "Racks that arrive later",
    "power demand": "Power of a job in a tree of limits",
    "power derate": "An envelope that falls",
    "power actuation": "Caps on racks",
    "reservation": "Maintenance and reservations ahead",
    "price": "Price",
    "audit": "Why a decision was made",
    "names": "Names",
}
"""Every part of the policy, in order of the mapping (docs/export.md); each target says something of each."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What a target makes of one part of the policy."""

    concept: str
    status: Status
    what: str
    """What is written, or what the target cannot say."""
    remedy: str = ""
    """What our controller, or a person, must do about it."""
    rule: str = ""
    """The rule of our policy that is at stake, if one is (`kvandal.policy.rules`)."""
    tenants: tuple[str, ...] = ()
    """Whom it concerns; empty: all."""

    @property
    def mismatch(self) -> bool:
        """Whether something of what was asked is lost."""
        return self.status in {"nearly", "missing"}

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "tenants": list(self.tenants)}


Maker = Callable[[Contract], Iterable[Expression]]


def expressions(contract: Contract, makers: Iterable[Maker]) -> list[Expression]:
    """All that a target's makers say, in order of :data:`CONCEPTS`."""
    found = [expression for make in makers for expression in make(contract)]
    order = list(CONCEPTS)
    return sorted(found, key=lambda each: order.index(each.concept))


def names_of(parties: Iterable[Party]) -> tuple[str, ...]:
    """Names as the scenario says them."""
    return tuple(party.name for party in parties)


def renamed(contract: Contract) -> Iterable[Expression]:
    """Say whose name had to change."""
    others = [party for party in contract.parties.values() if party.name != party.called]
    if not others:
        yield Expression("names", "written", "Every tenant keeps its name.")
        return
    listed = ", ".join(f"{party.name} is {party.called}" for party in others)
    yield Expression(
        "names",
        "nearly",
        f"Small letters, digits and dashes only: {listed}.",
        "Translate at the border; the ledger keeps the scenario's names.",
        tenants=names_of(others),
    )


def elsewhere(contract: Contract, written: str) -> Iterable[Expression]:
    """Say who may not be served at this site; `written` is how the target stops them."""
    policy = contract.scenario.tenants
    stopped = [party for party in contract.tenants if not party.served]
    named = [party for party in contract.tenants if policy[party.name].residency and party.served]
    if stopped:
        yield Expression(
            "residency",
            "nearly",
            f"Data of these tenants may not be processed at this site: {written} The target knows no regions.",
            "Route their jobs to a site where they may run.",
            tenants=names_of(stopped),
        )
    if named:
        yield Expression(
            "residency",
            "missing",
            "These tenants' data is bound to regions. This site lies in them, so nothing is written: the target knows no "
            "regions, and would run the jobs anywhere that it is told to.",
            "Check the residency before a job is passed on to another site.",
            tenants=names_of(named),
        )
    if not stopped and not named:
        yield Expression("residency", "not asked", "No tenant's data is bound to a region.")


def scheduled(contract: Contract, change: str) -> Iterable[Expression]:
    """Say whose limits change with the calendar."""
    with_schedule = [p for p in contract.parties.values() if contract.scenario.tenants[p.name].schedule]
    if not with_schedule:
        yield Expression("schedule", "not asked", "No limit changes with time.")
        return
    entries = sum(len(contract.scenario.tenants[p.name].schedule) for p in with_schedule)
    yield Expression(
        "schedule",
        "missing",
        f"{entries} {'entry' if entries == 1 else 'entries'} of schedules: the target's limits have no calendar. Written is "
        f"what holds at {contract.at_utc.isoformat()}.",
        f"At every change our controller must export again with --at and {change}; what runs above a lowered limit goes on, "
        "so it must recall it first.",
        tenants=names_of(with_schedule),
    )


def arriving(contract: Contract) -> Iterable[Expression]:
    """Say what does not stand yet."""
    later = contract.site.racks - contract.standing
    if not later:
        yield Expression("build-out", "written", f"All {contract.standing:,} racks stand.")
        return
    yield Expression(
        "build-out",
        "missing",
        f"{later:,} of {contract.site.racks:,} racks arrive after {contract.at_utc.isoformat()} and are in no file; shares "
        f"are of the {contract.installed:,} GPUs that stand.",
        "Export again with --at at every delivery.",
    )


def budgets(contract: Contract, missing: str, absent: str, instead: str) -> Expression:
    """Say that grants are not written (`missing` follows their number), or that there are none (`absent`)."""
    grants = contract.scenario.grants
    if not grants:
        return Expression("budget", "not asked", absent, instead)
    number = (
        f"{len(grants)} {'grant' if len(grants) == 1 else 'grants'} in GPU-hours: what they hold {missing}"
    )
    whose = {grant.tenant for grant in grants.values()}
    held = [party for party in contract.tenants if party.name in whose]
    return Expression("budget", "missing", number, instead, tenants=names_of(held))
