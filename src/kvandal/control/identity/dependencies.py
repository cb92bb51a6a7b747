"""What routes ask for: who is there, and whether he may.

A route declares its action with `require`, or `public` where nobody needs to be known::

    @router.get("/jobs/{job_id}")
    def job(job_id: str, principal: Annotated[Principal, require("job.read")]) -> Job: ...

`require` lets in whoever may do the action *somewhere*; the route then asks `principal.may(action, tenant, project)`
about the very thing, or narrows a list to `principal.places(action)`. What a tenant may not see is answered as if it
were not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Any, Protocol

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from kvandal.control.identity.permissions import PERMISSIONS, PUBLIC
from kvandal.control.identity.principal import LOCAL, Principal


class Gate(Protocol):
    """Knows who sends a request; stands at `app.state.identity`."""

    async def principal_of(self, request: Request) -> Principal | None:
        """Return who sends it, None where it does not say; raises HTTPException where it says something false."""
        ...


class LocalGate:
    """The gate of a site without identities: everybody on this machine may do everything."""

    async def principal_of(self, request: Request) -> Principal | None:
        """Return the local principal."""
        del request
        return LOCAL


_BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="A token of Kvandal: kvd_...")
_COOKIE = APIKeyCookie(
    name="kvandal_session",
    auto_error=False,
    scheme_name="session",
    description="The session of a browser after signing in; writing also takes the header X-CSRF-Token.",
)


async def current_principal(
    request: Request,
    # Both only describe themselves in the OpenAPI document; the gate reads the request.
    _token: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
    _session: Annotated[str | None, Security(_COOKIE)] = None,
) -> Principal:
    """Return who asks: by the bearer's token, else by the session, else the local one; else it is refused (401)."""
    gate: Gate = request.app.state.identity
    principal = await gate.principal_of(request)
    if principal is None:
        raise HTTPException(
            401,
            "Nobody is signed in: sign in at /v1/login, or send a token as Authorization: Bearer kvd_...",
            headers={"WWW-Authenticate": "Bearer"},
        )
    request.state.principal = principal
    return principal


@cache
def _permitted(action: str) -> Callable[[Principal], Awaitable[Principal]]:
    async def permitted(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
        if not principal.may_somewhere(action):
            raise HTTPException(
                403, f"{principal.name} may not do this: {action} is not among his permissions"
            )
        return principal

    permitted.action = action  # type: ignore[attr-defined]
    return permitted


def require(action: str) -> Any:
    """Return the dependency of a route that does an action: the principal, or a refusal (401, 403).

    Raises
    ------
    KeyError
        If there is no such action.

    """
    PERMISSIONS[action]
    return Security(_permitted(action), scopes=[action])


async def _public() -> None:
    """Ask for nobody."""


_public.action = PUBLIC  # type: ignore[attr-defined]
public = Depends(_public)
"""The dependency of a route that anybody may call: `@router.get("/healthz", dependencies=[public])`."""
