"""Routes that read, called straight.

FastAPI resolves the dependencies of a route anew for every request, which takes longer than most of our reads. What our
routes that read depend on is always of five kinds, so this is worked out once for each route; any other route, and any
application whose dependencies are overridden, goes through FastAPI as usual. The OpenAPI document is made from the same
signature either way.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from kvandal.control.api.reading import Reader
from kvandal.control.api.validation import refusal_of
from kvandal.control.identity.dependencies import current_principal

Step = Callable[[Request], Any]
"""Reads one argument of an endpoint from a request."""


class ReadingRoute(APIRoute):
    """A route that is called straight where that is possible."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        usual = super().get_route_handler()
        plan = _plan(self.endpoint) if self.methods == {"GET"} and not self.dependencies else None
        if plan is None:
            return usual
        endpoint, action, steps = self.endpoint, plan[0], plan[1]
        caller_name, permitted = action

        async def answer(request: Request) -> Response:
            if request.app.dependency_overrides:
                return await usual(request)
            given = {caller_name: await permitted(await current_principal(request))}
            for name, step in steps:
                given[name] = step(request)
            found: Response = await endpoint(**given)
            return found

        return answer


def _plan(
    endpoint: Callable[..., Any],
) -> tuple[tuple[str, Callable[[Any], Awaitable[Any]]], list[tuple[str, Step]]] | None:
    """Return how the caller and the other arguments are found; None where FastAPI has to do it."""
    hints = get_type_hints(endpoint, include_extras=True)
    caller: tuple[str, Callable[[Any], Awaitable[Any]]] | None = None
    steps: list[tuple[str, Step]] = []
    for name in inspect.signature(endpoint).parameters:
        kind = hints[name]
        if kind is Request:
            steps.append((name, lambda request: request))
            continue
        if get_origin(kind) is not Annotated:
            return None
        inner, marker, *more = get_args(kind)
        if more:
            return None
        if isinstance(marker, params.Depends):
            if marker.dependency is not None and hasattr(marker.dependency, "action") and caller is None:
                caller = (name, marker.dependency)
            elif inner is Reader:
                steps.append((name, lambda request: request.app.state.reader))
            else:
                return None
        elif isinstance(marker, params.Query) and isinstance(inner, type) and issubclass(inner, BaseModel):
            steps.append((name, _query(inner)))
        elif isinstance(marker, params.Path) and marker.alias in {None, name}:
            steps.append((name, _path(name, TypeAdapter(Annotated[inner, *marker.metadata]))))
        else:
            return None
    return None if caller is None else (caller, steps)


def _query(model: type[BaseModel]) -> Step:
    several = frozenset(
        name for name, field in model.model_fields.items() if get_origin(field.annotation) is list
    )
    nothing = model() if not any(field.is_required() for field in model.model_fields.values()) else None

    def read(request: Request) -> Any:
        if nothing is not None and not request.scope["query_string"]:
            return nothing
        given: dict[str, Any] = {}
        for name, value in request.query_params.multi_items():
            if name in several:
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
        return _validated(model.model_validate, given, "query")

    return read


def _path(name: str, adapter: TypeAdapter[Any]) -> Step:
    def read(request: Request) -> Any:
        return _validated(adapter.validate_python, request.path_params[name], "path", name)

    return read


def _validated(validate: Callable[[Any], Any], given: Mapping[str, Any] | str, *place: str) -> Any:
    try:
        return validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise refusal_of({**problem, "loc": (*place, *problem["loc"])} for problem in problems) from None
