"""Requests over the wire: pages, keys of writes, trying again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from kvandal.client.errors import KINDS, ClientError, RefusedError, UnreachableError
from kvandal.client.resources.problem import Problem
from kvandal.errors import InputError, KvandalError

try:
    import httpx
except ImportError:  # the extra `serve` is not installed
    raise KvandalError("asking a server needs the package httpx; pip install 'kvandal[serve]'") from None

Resource = TypeVar("Resource", bound=BaseModel)
AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request is sent again."""
LONGEST_PAUSE_S = 5.0


class Wire:
    """A connection to a server, over which resources are asked for.

    Parameters
    ----------
    server
        Its address, e.g. ``https://kvandal.example.org``.
    token
        Sent as a bearer's token; None: the server knows nobody, or everybody.
    patience_s
        How long a request is tried again while the server does not answer, or says that it cannot now [s].
    timeout_s
        How long one answer may take [s].
    transport
        Of httpx, for tests.

    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        patience_s: float = 15.0,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.patience_s, self.timeout_s = patience_s, timeout_s
        headers = {"user-agent": "kvandal", "accept": "application/json"}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token.strip():
                raise InputError("must be one line of printable characters", key="token")
            headers["authorization"] = f"Bearer {token.strip()}"
        try:
            url = httpx.URL(self.server)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise InputError(
                f"must be an address such as https://kvandal.example.org, got {server!r}", key="server"
            )
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def get(self, path: str, model: type[Resource], params: Mapping[str, Any] | None = None) -> Resource:
        """Ask for a resource."""
        return self._read(model, self.send("GET", path, params=params))

    def pages(
        self,
        path: str,
        model: type[Resource],
        params: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> Iterator[Resource]:
        """Go through a list, page by page; `most`: how many of it."""
        count, adapter = 0, TypeAdapter(list[model])  # type: ignore[valid-type]
        following: str | None = path
        while following is not None and (most is None or count < most):
            document = self._document(
                self.send("GET", following, params=params if following == path else None)
            )
            items = self._parsed(adapter, document.get("items"))
            for item in items:
                if most is not None and count >= most:
                    return
                count += 1
                yield item
            following = document.get("next")

    def write(
        self,
        method: str,
        path: str,
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        params: Mapping[str, Any] | None = None,
        version: str | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Write something, once: it is sent again with the same key if no answer comes. Returns the answer's document.

        Parameters
        ----------
        method, path, body, params
            The request.
        key
            Idempotency-Key; default: a new one.
        version
            If-Match: the version that is meant.
        timeout_s
            How long the answer may take, where that is unusual.

        """
        headers = {"idempotency-key": key or secrets.token_hex(16)}
        if version is not None:
            headers["if-match"] = version
        document = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, BaseModel) else body
        answer = self.send(method, path, json=document, params=params, headers=headers, timeout_s=timeout_s)
        return self._document(answer)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Send a request, again while the server does not answer; refusals are raised.

        Raises
        ------
        ClientError
            There is no answer, or the answer is a problem.

        """
        given = (
            None if params is None else {name: value for name, value in params.items() if value is not None}
        )
        until, pause_s = time.monotonic() + self.patience_s, 0.1
        while True:
            asked_again: float | None = None
            try:
                answer = self._http.request(
                    method,
                    path,
                    params=given,
                    json=json,
                    headers=dict(headers or {}),
                    timeout=self.timeout_s if timeout_s is None else timeout_s,
                )
            except httpx.TransportError as error:
                failure: ClientError = UnreachableError(
                    f"{self.server}: no answer: {str(error) or type(error).__name__}"
                )
            else:
                if answer.status_code < 400:
                    return answer
                failure = self._failure(answer)
                if answer.status_code not in AGAIN or answer.headers.get("retry-after") is None:
                    raise failure
                asked_again = _seconds(answer.headers["retry-after"])
            wait_s = min(max(pause_s, asked_again or 0.0), LONGEST_PAUSE_S)
            if time.monotonic() + wait_s > until:
                raise failure
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, 1.0)

    def _failure(self, answer: httpx.Response) -> ClientError:
        try:
            problem = Problem.model_validate_json(answer.content)
        except ValidationError:
            return RefusedError(
                f"{self.server}: answered {answer.status_code} {answer.reason_phrase}; is it a server of Kvandal?",
                status=answer.status_code,
            )
        kind = KINDS.get(answer.status_code, RefusedError)
        return kind(problem.detail or problem.title, status=answer.status_code, problem=problem)

    def _document(self, answer: httpx.Response) -> Any:
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise ClientError(f"{self.server}: its answer is not JSON; is it a server of Kvandal?") from None

    def _read(self, model: type[Resource], answer: httpx.Response) -> Resource:
        return self.parsed(model, self._document(answer))

    def parsed(self, model: type[Resource], document: Any) -> Resource:
        """Read a resource; one that this version does not know is an error."""
        found: Resource = self._parsed(TypeAdapter(model), document)
        return found

    def _parsed(self, adapter: TypeAdapter[Any], document: Any) -> Any:
        try:
            return adapter.validate_python(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise ClientError(
                f"{self.server}: its answer is not as this version expects it: {place}: {first['msg']}"
            ) from None


def _seconds(header: str) -> float:
    """Read Retry-After; a date is taken as the shortest pause.

    >>> _seconds("2"), _seconds("Fri, 01 Jan 2027 00:00:00 GMT")
    (2.0, 0.0)
    """
    return float(header) if header.isascii() and header.isdigit() else 0.0
