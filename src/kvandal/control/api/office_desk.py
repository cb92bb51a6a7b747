"""The office behind the API: a desk for each request, and its refusals as problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Path
from pydantic import BaseModel
from sqlalchemy import Connection
from starlette.requests import Request

from kvandal.client.resources.calls import Call
from kvandal.client.resources.grants import Grant, Use
from kvandal.control.api.answers import refuse_changed
from kvandal.control.api.idempotency import Answer
from kvandal.control.api.problems import Refusal, fault, not_valid
from kvandal.control.identity.principal import Principal
from kvandal.control.office.desk import Desk
from kvandal.control.office.rules import RULES, NotAllowedError, NotThereError, RefusedByRule
from kvandal.control.office.terms import Terms, terms_of
from kvandal.errors import InputError

Result = TypeVar("Result")
OrganisationId = Annotated[
    str, Path(pattern=r"^organisation_[0-9a-z]{26}$", description="Id of an organisation.")
]
ProjectId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$", description="Name of a project.")]
CallId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$", description="Name of a call.")]
ApplicationId = Annotated[
    str, Path(pattern=r"^application_[0-9a-z]{26}$", description="Id of an application.")
]
GrantId = Annotated[str, Path(pattern=r"^grant_[0-9a-z]{26}$", description="Id of a grant.")]
LookId = Annotated[str, Path(pattern=r"^look_[0-9a-z]{26}$", description="Id of what somebody was shown.")]
PersonStep = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Id of a person.")]


def desk_of(request: Request, tx: Connection, caller: Principal) -> Desk:
    """Return the desk of a request: inside a transaction, with the terms of the scenario in force."""
    held = request.app.state.force(tx)
    known: tuple[int, Terms] | None = getattr(request.app.state, "office_terms", None)
    if known is None or known[0] != held.version:
        known = (held.version, terms_of(held.scenario))
        request.app.state.office_terms = known
    return Desk(tx, caller, known[1], request.app.state.parts.now())


def at_desk(
    request: Request, caller: Principal, work: Callable[[Desk], Result]
) -> Callable[[Connection], Result]:
    """Return work of a transaction that is done at a desk; what the office refuses is refused as a problem."""

    def done(tx: Connection) -> Result:
        try:
            return work(desk_of(request, tx, caller))
        except InputError as error:
            raise refusal_of(error) from None

    return done


def refusal_of(error: InputError) -> Refusal:
    """Return what the office refuses as a problem: by which rule, or which field, and what is allowed."""
    told = " ".join(str(error).split())
    if isinstance(error, NotThereError):
        return Refusal(404, told)
    if isinstance(error, NotAllowedError):
        return Refusal(403, told)
    if isinstance(error, RefusedByRule):
        found = fault("rule", error.rule, RULES[error.rule], error.what)
        return Refusal(409, told, errors=[found], kind="office-rule")
    if error.key is not None:
        return not_valid(f"body.{error.key}", None, error.message, error.message)
    return Refusal(409, told)


def tag_of(resource: Any) -> str:
    """Return the ETag of something that has a version, and may have sums that grow without one."""
    match resource:
        case Grant(use=Use(used_gpu_s=used)):
            return f'"{resource.version}-{used}"'
        case Call():
            return f'"{resource.version}-{resource.granted_gpu_hours}-{int(resource.open)}"'
        case _:
            return f'"{resource.version}"'


def answer(resource: BaseModel, *, status: int = 200, path: str | None = None) -> Answer:
    """Return a resource as the answer of a write."""
    headers: Mapping[str, str] = {} if path is None else {"location": path}
    return Answer(status, resource.model_dump(mode="json"), {**headers, "etag": tag_of(resource)})


def refuse_other_version(request: Request, resource: Any) -> None:
    """Refuse a write that means another version than there is (412)."""
    refuse_changed(request, tag_of(resource))
