"""Around every request: its id, the size of its body, and an answer even when the program is at fault."""

from __future__ import annotations

import re
import secrets
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvandal.control.api.problems import Refusal, answer_of, fault

_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
LONGEST_TRACE = 8000
_log = structlog.get_logger("kvandal.api")


class _BodyTooLargeError(Exception):
    """More bytes came than are allowed."""


class Frame:
    """Pure ASGI: request ids, a limit of the body, faults as problems.

    Parameters
    ----------
    app
        What is framed.
    body_limit_bytes
        Largest body.
    repeatable
        Tells the parameters that a query may hold more than once; of the others nobody knows which one is meant.

    """

    def __init__(self, app: ASGIApp, body_limit_bytes: int, repeatable: Callable[[], frozenset[str]]) -> None:
        self.app, self.body_limit_bytes, self.repeatable = app, body_limit_bytes, repeatable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, length = "", 0
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
                request_id = value.decode("ascii")
            elif name == b"content-length":
                length = int(value) if value.isdigit() and len(value) < 19 else 1 << 62
        scope.setdefault("state", {})["request_id"] = request_id = request_id or secrets.token_hex(12)
        id_header = (b"x-request-id", request_id.encode("ascii"))
        started, taken = False, 0

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), id_header]
            await send(message)

        async def receive_bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.body_limit_bytes:
                raise _BodyTooLargeError
            return message

        try:
            if length > self.body_limit_bytes:
                raise _BodyTooLargeError  # noqa: TRY301  (both ways end alike)
            if b"&" in scope["query_string"] and (twice := self._twice(scope)):
                found = fault(f"query.{twice}", None, "given once")
                refusal = Refusal(422, f"query.{twice}: must be given once", errors=[found])
                await answer_of(refusal, scope)(scope, receive, send_with_id)
                return
            await self.app(scope, receive_bounded, send_with_id)
        except _BodyTooLargeError:
            if started:
                raise
            await answer_of(self._too_large(), scope)(scope, receive, send_with_id)
        except Exception as error:
            # As plain text: variables of the frames may hold what is nobody's business.
            trace = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
            _log.error("request failed", request_id=request_id, path=scope.get("path"), exception=trace)
            if started:
                raise
            refusal = Refusal(500, f"the server failed; its log tells more under {request_id}")
            await answer_of(refusal, scope)(scope, receive, send_with_id)

    def _twice(self, scope: Scope) -> str | None:
        if not scope["path"].startswith("/v1/"):
            return None
        names = [
            name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        ]
        several = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        return min(several - self.repeatable(), default=None) if several else None

    def _too_large(self) -> Refusal:
        found: dict[str, Any] = {
            "field": "body",
            "value": None,
            "allowed": f"at most {self.body_limit_bytes} bytes",
            "message": f"must be at most {self.body_limit_bytes} bytes",
        }
        return Refusal(
            413,
            f"the body must be at most {self.body_limit_bytes} bytes",
            errors=[found],
            headers={"connection": "close"},
        )
