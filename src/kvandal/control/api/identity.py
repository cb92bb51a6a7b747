"""Signing in and out, and who one is."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kvandal.client.resources.identity import Me
from kvandal.control.api.answers import JSON, dumped
from kvandal.control.api.problems import PROBLEM_JSON, Refusal
from kvandal.control.identity import sign_in
from kvandal.control.identity.dependencies import public, require
from kvandal.control.identity.gate import Identity
from kvandal.control.identity.permissions import PERMISSIONS
from kvandal.control.identity.principal import Principal
from kvandal.control.identity.provider import Provider, ProviderUnavailableError, SignInRefusedError
from kvandal.control.identity.sessions import end_session
from kvandal.control.identity.sign_in import TIME_TO_SIGN_IN
from kvandal.control.store.audit import record

router = APIRouter(tags=["identity"])

LONGEST_PARAMETER = 4000


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


LOCAL: dict[int | str, dict[str, Any]] = {409: _problem("The site is local: nobody signs in.")}
REFUSED: dict[int | str, dict[str, Any]] = {403: _problem("What the provider sent does not hold."), **LOCAL}
_log = structlog.get_logger("kvandal.identity")


@router.get("/login", status_code=303, response_class=Response, responses={**LOCAL}, dependencies=[public])
def login(request: Request, return_to: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """Send a browser to the provider of identities; it comes back to /v1/callback, and then to `return_to` here."""
    identity, provider = _with_provider(request)
    try:
        begun = sign_in.begin(identity.store, provider, return_to, identity.now())
    except ProviderUnavailableError as error:
        raise _unavailable(error) from None
    answer = RedirectResponse(begun.url, 303, {"cache-control": "no-store"})
    _set(answer, identity, identity.sign_in_cookie, begun.browser, int(TIME_TO_SIGN_IN.total_seconds()))
    return answer


@router.get(
    "/callback", status_code=303, response_class=Response, responses={**REFUSED}, dependencies=[public]
)
def callback(request: Request) -> Response:
    """Take a browser back from the provider: its session begins if all that the provider tells holds."""
    identity, provider = _with_provider(request)
    told = {name: value for name, value in request.query_params.items() if len(value) <= LONGEST_PARAMETER}
    try:
        finished = sign_in.finish(
            identity.store,
            provider,
            told,
            browser=request.cookies.get(identity.sign_in_cookie),
            earlier_session=request.cookies.get(identity.cookie),
            now=identity.now(),
        )
    except SignInRefusedError as error:
        _log.warning("sign-in refused", reason=str(error))
        raise Refusal(403, str(error), kind="sign-in-refused", headers=_forget_sign_in(identity)) from None
    except ProviderUnavailableError as error:
        raise _unavailable(error) from None
    identity.forget()  # his roles may have changed
    _log.info("signed in", person=finished.person)
    answer = RedirectResponse(finished.return_to, 303, {"cache-control": "no-store"})
    assert identity.settings.oidc is not None
    _set(
        answer, identity, identity.cookie, finished.session, int(identity.settings.oidc.session_hours * 3600)
    )
    _drop(answer, identity, identity.sign_in_cookie)
    return answer


@router.post(
    "/logout",
    response_class=Response,
    responses={
        200: {"description": "sign_out_url: where to sign out of the provider too.", "content": {JSON: {}}},
        303: {"description": "A page is sent on."},
    },
)
def logout(request: Request, caller: Annotated[Principal, require("me.read")]) -> Response:
    """End the session of this browser; a page is sent on to the provider, to sign out there too."""
    identity = _identity(request)
    secret, place = request.cookies.get(identity.cookie), None
    if secret is not None and caller.kind == "person":
        with identity.store.begin() as tx:
            end_session(tx, secret)
            record(tx, caller.id, "sign_out", caller.id, {})
        identity.forget()
        if identity.provider is not None:
            place = identity.provider.sign_out_url(f"{identity.base_url}/")
    if "text/html" in request.headers.get("accept", ""):
        answer: Response = RedirectResponse(place or "/", 303, {"cache-control": "no-store"})
    else:
        answer = Response(
            dumped({"sign_out_url": place}), headers={"cache-control": "no-store"}, media_type=JSON
        )
    _drop(answer, identity, identity.cookie)
    return answer


@router.get("/me", response_model=Me)
async def me(request: Request, caller: Annotated[Principal, require("me.read")]) -> Response:
    """Tell who asks, and what may be done."""
    permissions = []
    for action in PERMISSIONS:
        places = caller.places(action)
        if places:
            permissions.append(
                {
                    "action": action,
                    "everywhere": places.everywhere,
                    "own": places.own,
                    "places": [
                        {"tenant": tenant, "project": project}
                        for tenant, project in sorted(
                            places.some, key=lambda place: (place[0], place[1] or "")
                        )
                        if not places.everywhere
                    ],
                }
            )
    identity: Any = request.app.state.identity
    document = {
        "id": caller.id,
        "name": caller.name,
        "kind": caller.kind,
        "mode": "local" if getattr(identity, "local", True) else "identities",
        "roles": [
            {"role": held.role.value, "tenant": held.tenant, "project": held.project} for held in caller.roles
        ],
        "permissions": permissions,
        "token": caller.token,
        "csrf_token": getattr(request.state, "csrf_token", None),
    }
    return Response(dumped(document), headers={"cache-control": "no-store"}, media_type=JSON)


def _identity(request: Request) -> Identity:
    identity = request.app.state.identity
    if not isinstance(identity, Identity):
        raise Refusal(409, "this service knows no identities: nobody signs in or out", kind="local-mode")
    return identity


def _with_provider(request: Request) -> tuple[Identity, Provider]:
    identity = _identity(request)
    if identity.provider is None:
        raise Refusal(
            409,
            "local mode: nobody signs in, whoever is at this machine may do everything",
            kind="local-mode",
        )
    return identity, identity.provider


def _unavailable(error: ProviderUnavailableError) -> Refusal:
    _log.error("provider of identities does not answer", error=str(error))
    return Refusal(
        503, "the provider of identities does not answer now; try again", kind="provider-unavailable",
        headers={"retry-after": "10"},
    )  # fmt: skip


def _set(answer: Response, identity: Identity, name: str, value: str, life_s: int) -> None:
    answer.set_cookie(name, value, life_s, path="/", secure=identity.secure, httponly=True, samesite="lax")


def _drop(answer: Response, identity: Identity, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=identity.secure, httponly=True, samesite="lax")


def _forget_sign_in(identity: Identity) -> dict[str, str]:
    answer = Response()
    _drop(answer, identity, identity.sign_in_cookie)
    return {"set-cookie": answer.headers["set-cookie"]}
