"""Pages from templates; what goes wrong is a page too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from kvandal import __version__
from kvandal.control.api.problems import TITLES, Refusal
from kvandal.control.api.validation import refusal_of
from kvandal.control.pages import words
from kvandal.control.store.errors import StoreUnavailableError
from kvandal.policy.rules import RULES

ASSETS: Mapping[str, tuple[str, str]] = {
    "report.css": ("kvandal.report", "text/css; charset=utf-8"),
    "pages.css": ("kvandal.control.pages", "text/css; charset=utf-8"),
    "pages.js": ("kvandal.control.pages", "text/javascript; charset=utf-8"),
}
"""Files that pages ask for: the package that ships each, and its kind. The first is the style of run reports."""
SENTENCES = dict(RULES.values())
"""Sentence of every rule by its id."""


@cache
def asset(name: str) -> tuple[bytes, str]:
    """Return a file that pages ask for, and the tag of its contents."""
    content = resources.files(ASSETS[name][0]).joinpath("assets", name).read_bytes()
    return content, blake2b(content, digest_size=8).hexdigest()


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kvandal.control.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "quantity": words.quantity,
        "percent": words.percent,
        "span": words.span,
        "hours": words.hours,
        "happening": words.happening,
        "query": lambda values: urlencode(
            {key: value for key, value in values.items() if value not in {None, ""}}
        ),
    }
    environment.globals |= {
        "asset": lambda name: f"/assets/{name}?{asset(name)[1]}",
        "version": __version__,
        "sentences": SENTENCES,
        "states": words.STATES,
        "water_names": words.WATER,
    }
    return environment


def page(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """Render a page; browsers are told to ask again each time. What they may load is the guard's to say."""
    known = {
        "visitor": getattr(request.state, "principal", None),
        "local": bool(getattr(request.app.state.identity, "local", True)),
        "csrf_token": getattr(request.state, "csrf_token", None),
        "path": request.url.path,
    }
    text = _templates().get_template(template).render(known | dict(values))
    return HTMLResponse(text, status, {"cache-control": "no-store"})


class PageRoute(APIRoute):
    """A route whose refusals are pages, and that sends who is not signed in to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap what answers."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException as error:
                refusal = Refusal(error.status_code, str(error.detail), headers=error.headers)
            except Refusal as error:
                refusal = error
            except RequestValidationError as error:
                refusal = refusal_of(error.errors())
            except StoreUnavailableError:
                refusal = Refusal(
                    503, "The database does not answer now. This page is asked for again by itself."
                )
            if refusal.status == 401 and "authorization" not in request.headers:
                there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(
                    f"/v1/login?return_to={quote(there)}", 303, {"cache-control": "no-store"}
                )
            values = {
                "status": refusal.status,
                "title": TITLES.get(refusal.status, "Problem"),
                "detail": refusal.detail,
            }
            found = page(request, "problem.html", values, refusal.status)
            found.headers.update(
                {name: value for name, value in refusal.headers.items() if name.lower() != "content-length"}
            )
            return found

        return answered
