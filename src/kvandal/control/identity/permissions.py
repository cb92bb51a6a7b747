"""The one table of permissions: who may do what, and how far. The page of roles and the tests are made from it."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """What somebody is at the site."""

    OPERATOR = "operator"
    ALLOCATOR = "allocator"
    REVIEWER = "reviewer"
    TENANT_ADMIN = "tenant_admin"
    MEMBER = "member"
    AUDITOR = "auditor"
    ANYONE = "anyone"
    """Whoever is signed in; nobody is given it, everybody has it."""


class Reach(StrEnum):
    """How far a permission reaches."""

    SITE = "site"
    """The site as a whole, or what belongs to no tenant."""
    TENANT = "tenant"
    """The tenants that the role was given for; all of them where it was given for the site."""
    PROJECT = "project"
    """The projects that the role was given for; all of the tenant's where it was given for the tenant."""
    OWN = "own"
    """What is one's own: one's tokens, one's applications."""


GIVEN = tuple(role for role in Role if role is not Role.ANYONE)
"""Roles that can be given."""
TENANT_ROLES = frozenset({Role.TENANT_ADMIN, Role.MEMBER})
"""Roles that are always given for a tenant."""
PUBLIC = "public"
"""The action of what needs no identity: signing in, health, the description of the interface."""

ALWAYS = "me.read"
"""What every token may do, whatever it is for: ask what it is."""

_COLUMNS = (
    Role.OPERATOR,
    Role.ALLOCATOR,
    Role.REVIEWER,
    Role.TENANT_ADMIN,
    Role.MEMBER,
    Role.AUDITOR,
    Role.ANYONE,
)
_REACH = {"S": Reach.SITE, "T": Reach.TENANT, "P": Reach.PROJECT, "O": Reach.OWN}
# The columns are the roles in the order above; a dot means no. What every member may do for the site (S) is
# reading what all share. Separation of duties: the allocator gives grants, the operator runs the site.
_TABLE = """
    site.read           S S S S S S .   the site now and lately: power, water, prices, nodes, set-points
    tenant.read         T T T T T T .   shares, use and queue of a tenant
    job.read            T T . T P T .   jobs, why they wait, their events
    job.submit          T . . T P . .   submitting a job
    job.cancel          T . . T P . .   cancelling a job
    loan.read           T T . T T T .   loans that a tenant gave or took
    policy.read         S S S S S S .   the policy in force
    policy.write        S . . . . . .   changing the policy
    setpoint.write      S . . . . . .   the set-points on the allow-list: the envelope
    node.drain          S . . . . . .   taking nodes out and putting them back
    whatif.run          S S S . . . .   asking the twin what a change would do to everybody
    grant.read          T T T T P T .   grants and what is used of them
    grant.write         . T . . . . .   giving, changing and ending grants
    ledger.read         T T . T . T .   the books of a tenant
    organisation.read   T T T T T T O   organisations
    organisation.write  T T . T . . O   registering and changing an organisation
    project.read        T T T T P T O   projects
    project.write       T T . T . . O   registering and changing a project
    call.read           S S S S S S S   calls and the ladder
    call.write          . S . . . . .   opening and closing calls
    application.read    T T T T P T O   applications and what became of them
    application.write   . . . T P . O   writing, handing in, changing and withdrawing an application; reports of use
    application.appeal  . . . T P . O   appealing against a decision
    application.review  . . S . . . .   technical and scientific review
    application.assign  . S . . . . .   choosing the reviewers
    application.decide  . S . . . . .   eligibility, decisions, decisions on appeals and change requests
    person.read         T . . T . T .   people and their roles
    person.write        S . . . . . .   locking people out
    role.write          T . . T . . .   giving and taking roles
    token.read          T . . . . T O   tokens, without their secret
    token.create        . . . . . . O   making a token for oneself
    token.revoke        T . . . . . O   revoking a token
    audit.read          S . . . . S .   the audit trail
    me.read             . . . . . . O   who one is and what one may do
"""


def _read(table: str) -> tuple[dict[str, Mapping[Role, Reach]], dict[str, str]]:
    reaches: dict[str, Mapping[Role, Reach]] = {}
    titles = {}
    for line in table.strip().splitlines():
        action, *letters = line.split(maxsplit=len(_COLUMNS) + 1)
        titles[action] = letters.pop()
        reaches[action] = MappingProxyType(
            {role: _REACH[letter] for role, letter in zip(_COLUMNS, letters, strict=True) if letter != "."}
        )
    return reaches, titles


_reaches, _titles = _read(_TABLE)
PERMISSIONS: Mapping[str, Mapping[Role, Reach]] = MappingProxyType(_reaches)
"""For each action the roles that may do it, and how far."""
TITLES: Mapping[str, str] = MappingProxyType(_titles)
"""Each action in words."""
SHARED = frozenset(action for action, who in PERMISSIONS.items() if who.get(Role.MEMBER) is Reach.SITE)
"""Actions on the site as a whole that every member may do: reading what all share."""
