"""Who asks, and what may be done for whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from kvandal.control.identity.permissions import ALWAYS, GIVEN, PERMISSIONS, SHARED, Reach, Role

Kind = Literal["person", "token", "local"]


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role, for the site or for one tenant or project of it."""

    role: Role
    tenant: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        """Know the role by its name."""
        object.__setattr__(self, "role", Role(self.role))

    def within(self, tenant: str | None, project: str | None) -> RoleGrant | None:
        """Return what is left of it inside of a tenant or project; None where that is nothing."""
        if (tenant and self.tenant not in {None, tenant}) or (
            project and self.project not in {None, project}
        ):
            return None
        return RoleGrant(self.role, self.tenant or tenant, self.project or project)


@dataclass(frozen=True, slots=True)
class Places:
    """Where something is allowed: everywhere, or in some tenants and projects.

    Examples
    --------
    >>> Places(False, frozenset({("uk", None)})).cover("uk", "weather")
    True

    """

    everywhere: bool
    some: frozenset[tuple[str, str | None]]
    """Tenant and project; project None: all of the tenant's."""
    own: bool = False
    """What is one's own, wherever it is."""

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.some) or self.own

    @property
    def tenants(self) -> frozenset[str]:
        """Tenants that it reaches, in whole or in part."""
        return frozenset(tenant for tenant, _ in self.some)

    def cover(self, tenant: str | None, project: str | None = None) -> bool:
        """Return whether a tenant, or a project of it, lies inside."""
        return (
            self.everywhere
            or (tenant, None) in self.some
            or (project is not None and (tenant, project) in self.some)
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a person, one of his tokens, or whoever sits at a local site.

    Examples
    --------
    >>> ada = Principal("person_1", "Ada", (RoleGrant("member", "norway", "ocean"),))
    >>> ada.may("job.submit", "norway", "ocean"), ada.may("job.submit", "norway"), ada.may("site.read")
    (True, False, True)

    """

    id: str
    name: str
    roles: tuple[RoleGrant, ...] = ()
    scopes: frozenset[str] | None = None
    """Actions that a token is made for; None: all that its roles allow."""
    kind: Kind = "person"
    token: str | None = None
    """Id of the token that it came with."""
    limit: tuple[str | None, str | None] = (None, None)
    """Tenant and project that a token is made for."""

    def may(
        self, action: str, tenant: str | None = None, project: str | None = None, owner: str | None = None
    ) -> bool:
        """Return whether it may do something.

        Parameters
        ----------
        action
            One of :data:`~kvandal.control.identity.permissions.PERMISSIONS`.
        tenant, project
            Whose; without a tenant: for the whole site.
        owner
            Id of the person whose own it is, where that matters.

        Raises
        ------
        KeyError
            If there is no such action.

        """
        places = self.places(action)
        return places.cover(tenant, project) or (places.own and owner is not None and owner == self.id)

    def may_somewhere(self, action: str) -> bool:
        """Return whether there is anything on which it may do something."""
        return bool(self.places(action))

    def places(self, action: str) -> Places:
        """Return where it may do something: what lists are narrowed to."""
        who = PERMISSIONS[action]
        if self.scopes is not None and action not in self.scopes and action != ALWAYS:
            return Places(False, frozenset())
        everywhere = who.get(Role.ANYONE) is Reach.SITE
        some: set[tuple[str, str | None]] = set()
        for grant in self.roles:
            reach = who.get(grant.role)
            if reach is Reach.SITE:
                everywhere |= grant.tenant is None or action in SHARED
            elif reach is not None and grant.tenant is None:
                everywhere = True
            elif reach is Reach.TENANT and grant.tenant is not None and self.limit[1] is None:
                some.add((grant.tenant, None))
            elif reach is not None and grant.tenant is not None:
                some.add((grant.tenant, grant.project))
        return Places(everywhere, frozenset(some), who.get(Role.ANYONE) is Reach.OWN)

    def narrowed(
        self, token: str, scopes: frozenset[str], tenant: str | None = None, project: str | None = None
    ) -> Principal:
        """Return what is left of it when it comes with a token for some actions, a tenant, a project."""
        kept = (grant.within(tenant, project) for grant in self.roles)
        return replace(
            self,
            roles=tuple(grant for grant in kept if grant is not None),
            scopes=scopes if self.scopes is None else scopes & self.scopes,
            kind="token",
            token=token,
            limit=(tenant, project),
        )


LOCAL = Principal("local", "local", tuple(RoleGrant(role) for role in GIVEN), kind="local")
"""Whoever sits at a site without identities, which listens to its own machine alone."""
