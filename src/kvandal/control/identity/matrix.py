"""Who may call what: the actions that the routes of an application declare, beside the table of permissions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, routing

from kvandal.control.identity.permissions import GIVEN, PERMISSIONS, PUBLIC, TITLES, Reach, Role

WORDS = {Reach.SITE: "site", Reach.TENANT: "tenant", Reach.PROJECT: "project", Reach.OWN: "own"}


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A method of a path, and the action that it declares; None: it declares none."""

    path: str
    method: str
    action: str | None


def endpoints(app: FastAPI) -> list[Endpoint]:
    """Return all that an application answers, with the action that each declares."""
    found = []
    for route in _routes(app):
        actions = sorted(set(_actions(getattr(route, "dependant", None))))
        methods = sorted(set(getattr(route, "methods", None) or {"*"}) - {"HEAD"})
        if not actions and route.path == app.openapi_url:
            actions = [PUBLIC]
        found += [Endpoint(route.path, method, " ".join(actions) or None) for method in methods]
    return sorted(found, key=lambda one: (one.path, one.method))


def permissions_page(app: FastAPI) -> str:
    """Return the page of roles in Markdown: what each may do, and which endpoints that is."""
    listed = [one for one in endpoints(app) if one.action is not None]
    columns = [role.value for role in (*GIVEN, Role.ANYONE)]
    head = f"| action | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"
    lines = [_HEAD, "## Actions\n\n", head]
    for action, who in PERMISSIONS.items():
        lines.append(f"| `{action}` {TITLES[action]} | {_cells(who)} |\n")
    lines += [
        "\n## Endpoints\n\n",
        head.replace("| action |", "| endpoint | action |", 1).replace("|---|", "|---|---|", 1),
    ]
    for one in listed:
        assert one.action is not None
        if one.action == PUBLIC:
            lines.append(
                f"| `{one.method} {one.path}` | anybody | {' | '.join(['public'] * len(columns))} |\n"
            )
        else:
            lines.append(
                f"| `{one.method} {one.path}` | `{one.action}` | {_cells(PERMISSIONS[one.action])} |\n"
            )
    return "".join(lines)


def _cells(who: Any) -> str:
    return " | ".join(WORDS[who[role]] if role in who else "-" for role in (*GIVEN, Role.ANYONE))


def _routes(app: FastAPI) -> Iterator[Any]:
    """Return the routes of an application; newer versions of FastAPI keep routers in it as they are."""
    contexts = getattr(routing, "iter_route_contexts", None)
    for route in app.routes if contexts is None else contexts(app.routes):
        if getattr(route, "path", None) is not None:
            yield route


def _actions(dependant: Any) -> Iterator[str]:
    for inner in getattr(dependant, "dependencies", ()):
        action = getattr(inner.call, "action", None)
        if action is not None:
            yield action
        yield from _actions(inner)


_HEAD = """# Roles

Who may do what at a site that Kvandal runs. This page is made from the table in
`src/kvandal/control/identity/permissions.py` and from the endpoints that the service answers; a test fails where it, the
table or what the service really does differ.

- *site*: for the site as a whole. *tenant*: for the tenants that the role was given for. *project*: for the projects that
  it was given for; all of the tenant's where it was given for the tenant. *own*: for what is one's own. -: not at all.
- `operator`, `allocator`, `reviewer` and `auditor` are roles of the site; an auditor may also be given for a tenant.
  `tenant_admin` and `member` are always given for a tenant, `member` also for one project of it. `anyone` is whoever is
  signed in, with or without a role.
- Duties are apart: operators run the site and give no grants; allocators give grants and run nothing. Operators give any
  role, administrators of a tenant those of their tenant (`tenant_admin`, `member`, `auditor`); every change is in the audit
  trail with its reason.
- What belongs to another tenant is answered as if it were not there (404). What somebody may see but not do is refused (403).
- A token of a program may do what it was made for (its scopes), for the tenant or project that it was made for, and never
  more than the person in whose name it was made may do at that moment.
- In local mode (no provider of identities) the service listens to its own machine alone, and whoever is there may do all of
  this.

"""
