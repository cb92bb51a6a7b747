"""Who one is, tokens, people and their roles, as they travel."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kvandal.client.resources.base import Asked, Line, Name, Reason, Told

RoleName = Literal["operator", "allocator", "reviewer", "tenant_admin", "member", "auditor"]
PersonKey = Annotated[str, Field(pattern=r"^(person_[0-9a-z]{26}|local)$")]
Action = Annotated[str, Field(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$")]


class Place(Told):
    """A tenant, or a project of it."""

    tenant: str
    project: str | None = None


class Permission(Told):
    """Where one may do an action.

    Attributes
    ----------
    action : what
    everywhere : for the whole site and all tenants
    own : for what is one's own
    places : tenants and projects, where it is not everywhere

    """

    action: str
    everywhere: bool
    own: bool
    places: list[Place]


class HeldRole(Told):
    """A role, and what it is held for; without a tenant: for the site."""

    role: RoleName
    tenant: str | None = None
    project: str | None = None


class Me(Told):
    """Who asks.

    Attributes
    ----------
    id : of the person
    name : of the person
    kind : how the service knows: by session, by token, or because the site is local
    mode : *local*: no identities, only this machine; *identities*: everybody signs in
    roles : what the person is, as far as the token reaches
    permissions : what may be done, and where
    token : id of the token that was sent
    csrf_token : to be sent back as X-CSRF-Token by pages that write; only in a session

    """

    id: str
    name: str
    kind: Literal["person", "token", "local"]
    mode: Literal["local", "identities"]
    roles: list[HeldRole]
    permissions: list[Permission]
    token: str | None = None
    csrf_token: str | None = None


class NewToken(Asked):
    """A token that is wanted.

    Attributes
    ----------
    name : what it is for
    scopes : actions that it may do, of those that one may do oneself
    tenant, project : for which alone
    days : how long it lives

    """

    name: Annotated[Line, Field(max_length=100)]
    scopes: Annotated[list[Action], Field(min_length=1, max_length=100)]
    tenant: Name | None = None
    project: Name | None = None
    days: Annotated[int, Field(ge=1, le=366)] = 90


class Token(Told):
    """A token, without its secret; `prefix` is how it begins."""

    id: str
    person: str
    name: str
    prefix: str
    scopes: list[str]
    tenant: str | None = None
    project: str | None = None
    state: Literal["valid", "expired", "revoked"]
    created_utc: datetime
    created_by: str
    expires_utc: datetime
    used_utc: datetime | None = None
    revoked_utc: datetime | None = None
    revoked_by: str | None = None


class TokenMade(Token):
    """A token, with its secret: the one time that it is told.

    Attributes
    ----------
    token : the secret; None where the request was sent again: it is kept nowhere

    """

    token: str | None = None


class NewRole(Asked):
    """A role that somebody is to be given."""

    person: PersonKey
    role: RoleName
    tenant: Name | None = None
    project: Name | None = None
    reason: Reason


class Role(HeldRole):
    """A role that somebody was given.

    Attributes
    ----------
    source : *given* by somebody, by the *provider*'s groups, or by the *settings* of the service

    """

    id: str
    person: str
    source: Literal["given", "provider", "settings"]
    by: str
    at_utc: datetime


class PersonFound(Told):
    """Somebody, as those see him who may give him a role."""

    id: str
    name: str


class Person(PersonFound):
    """Somebody and his roles, as far as the caller may know them."""

    email: str
    issuer: str
    disabled: bool
    created_utc: datetime
    signed_in_utc: datetime | None = None
    roles: list[Role]


class PersonChange(Asked):
    """Lock somebody out, or let him in again."""

    disabled: bool
    reason: Reason
