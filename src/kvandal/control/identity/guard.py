"""Before the application: where a request may come from, how often, and what browsers are told to be careful about.

Pure ASGI: a handful of dictionary look-ups for each request.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvandal.control.identity.limits import Buckets, Quota
from kvandal.control.settings import LimitSettings

SIGN_IN_PATHS = frozenset({"/v1/login", "/v1/callback"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MOST_KNOWN = 20_000
QUOTA = "kvandal.quota"
"""Where the quota of a request's principal stands in its scope."""

Headers = list[tuple[bytes, bytes]]


def content_policy(*, sign_out_at: str | None = None, nonce: str | None = None) -> str:
    """Return the policy for the contents of pages: all from here; an inline script or style needs the answer's nonce."""
    inline = f" 'nonce-{nonce}'" if nonce else ""
    # Chromium holds the redirect after a form to the same list: signing out leads to the provider.
    forms = "'self'" + (f" {sign_out_at}" if sign_out_at else "")
    return (
        f"default-src 'self'; script-src 'self'{inline}; style-src 'self'{inline}; img-src 'self' data:; "
        f"object-src 'none'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    )


class Guard:
    """Stands around an application: addresses, limits, headers.

    Parameters
    ----------
    app
        What is guarded.
    local
        Whether the site knows no identities: then only names of this machine are answered, and no limits hold, since
        there is nobody to be fair to.
    base_url
        Address for people.
    issuer
        Of the provider of identities.
    limits
        How much one caller may ask for.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        local: bool,
        base_url: str,
        issuer: str | None = None,
        limits: LimitSettings | None = None,
    ) -> None:
        limits = limits or LimitSettings()
        self.app, self.local = app, local
        self._requests = Buckets(limits.requests_per_second, limits.burst)
        per_minute = limits.sign_ins_per_minute
        self._sign_ins = Buckets(per_minute / 60.0, max(1, int(per_minute)))
        self._known: OrderedDict[int, None] = OrderedDict()
        parts = urlsplit(issuer or "")
        self._issuer = f"{parts.scheme}://{parts.netloc}" if parts.netloc else None
        self._plain = content_policy(sign_out_at=self._issuer).encode()
        self._always: Headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]
        if urlsplit(base_url).scheme == "https":
            self._always.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["csp_nonce"] = nonce
        told = dict(scope["headers"])
        key, address = self._credential(told), (scope.get("client") or ("",))[0]
        failed = False

        async def send_guarded(message: Message) -> None:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] == 401
                message["headers"] = self._with_headers(scope, message.get("headers", ()), nonce)
            await send(message)

        refused = self._refused_place(scope, told) if self.local else self._refused_quota(scope, key, address)
        if refused is not None:
            await _answer(scope, send_guarded, *refused)
            return
        await self.app(scope, receive, send_guarded)
        if key is not None and not self.local:
            self._learn(key, address, failed=failed)

    def _refused_place(self, scope: Scope, told: dict[bytes, bytes]) -> tuple[int, str, Quota | None] | None:
        """Refuse what another site's page sends to this machine (DNS rebinding, cross-site writes)."""
        host = told.get(b"host", b"").decode("latin-1").lower()
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        server = scope.get("server") or ("", None)
        own_port = str(server[1] or 80)
        if name not in LOCAL_NAMES or (port or "80") != own_port:
            allowed = ", ".join(f"{name}:{own_port}" for name in sorted(LOCAL_NAMES))
            return 403, f"local mode answers only under its own names: {allowed}", None
        if scope["method"] in SAFE_METHODS:
            return None
        origin = told.get(b"origin")
        if (
            origin is not None
            and origin.decode("latin-1").lower() != f"{scope.get('scheme', 'http')}://{host}"
        ):
            return 403, "local mode takes writes only from its own pages and from programs", None
        if told.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
            return 403, "local mode takes writes only from its own pages and from programs", None
        return None

    def _refused_quota(
        self, scope: Scope, key: int | None, address: str
    ) -> tuple[int, str, Quota | None] | None:
        if scope["path"] in SIGN_IN_PATHS:
            quota = self._sign_ins.take(address)
        elif key is None:
            quota = self._requests.take(address)
        elif (
            key not in self._known
        ):  # of somebody whom we have not seen yet: as long as not too many of his were wrong
            quota = self._sign_ins.look(address)
            if not quota.retry_after_s:
                return None
        else:
            return None
        scope[QUOTA] = quota
        return (429, _too_often(quota), quota) if quota.retry_after_s else None

    def _learn(self, key: int, address: str, *, failed: bool) -> None:
        """Count wrong tokens and sessions against the address that they come from."""
        if failed:
            self._known.pop(key, None)
            self._sign_ins.take(address)
            return
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    @staticmethod
    def _credential(told: dict[bytes, bytes]) -> int | None:
        found = told.get(b"authorization")
        if found is None and b"kvandal_session=" in (cookie := told.get(b"cookie", b"")):
            found = cookie
        return None if found is None else hash(found)

    def _with_headers(self, scope: Scope, given: Any, nonce: str) -> Headers:
        headers: Headers = list(given)
        names = {name.lower() for name, _ in headers}
        page = any(
            name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers
        )
        policy = content_policy(sign_out_at=self._issuer, nonce=nonce).encode() if page else self._plain
        for name, value in (*self._always, (b"content-security-policy", policy)):
            if name not in names:
                headers.append((name, value))
        if (
            b"etag" not in names
            and b"cache-control" not in names
            and (page or scope["path"].startswith("/v1"))
        ):
            headers.append((b"cache-control", b"no-store"))
        quota = scope.get(QUOTA)
        if quota is not None:
            headers += [
                (name.encode(), value.encode())
                for name, value in quota.headers().items()
                if name.encode() not in names
            ]
        return headers


def _too_often(quota: Quota) -> str:
    return f"too many requests: {quota.limit} may come at once; ask again in {quota.retry_after_s} s"


async def _answer(scope: Scope, send: Send, status: int, detail: str, quota: Quota | None) -> None:
    """Answer with a problem, as the interface does."""
    del quota
    kind, title = {403: ("not-allowed", "Not allowed"), 429: ("too-many-requests", "Too many requests")}[
        status
    ]
    document = {
        "type": f"urn:kvandal:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": str(scope.get("path", ""))[:200].encode("utf-8", "replace").decode(),
        "request_id": str(scope["state"].get("request_id", "")),
    }
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
