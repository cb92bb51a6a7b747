"""The gate: tells who sends a request, by token, by session, or as the local principal."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from anyio import to_thread
from fastapi import HTTPException, Request
from sqlalchemy import Connection, RowMapping

from kvandal.control.identity import sessions, tokens
from kvandal.control.identity.guard import QUOTA, SAFE_METHODS
from kvandal.control.identity.kept_secrets import csrf_token, digest, prefix_of, same
from kvandal.control.identity.limits import Buckets
from kvandal.control.identity.principal import LOCAL, Principal
from kvandal.control.identity.provider import Provider
from kvandal.control.identity.sign_in import check_groups
from kvandal.control.settings import Settings
from kvandal.control.store.database import Store

CACHE_S = 3.0
"""How long somebody is known without a look into the store; revoked by another process, he is for so long [s]."""
MOST_KNOWN = 20_000
_log = structlog.get_logger("kvandal.identity")

Found = tuple[Principal, RowMapping]


def utc_now() -> datetime:
    """Time of the machine: sessions and tokens do not run faster with the site."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until_s: float
    expires_utc: datetime


class Identity:
    """Who is who at a service; stands at `app.state.identity`.

    Parameters
    ----------
    store
        Where people, tokens and sessions are kept.
    settings
        Of the service; without a provider of identities it is in local mode.
    now
        Time of the machine, UTC.
    clock
        Time that only grows [s].
    http
        How the provider is reached; None: as usual.

    Raises
    ------
    SettingsError
        If a group of the provider is given a role that there is not.

    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        http: httpx.Client | None = None,
    ) -> None:
        self.store, self.settings, self.now, self._clock = store, settings, now, clock
        self.base_url = settings.base_url
        self.provider: Provider | None = None
        self._idle = timedelta(hours=12)
        if settings.oidc is not None:
            check_groups(settings.oidc)
            self.provider = Provider(settings.oidc, f"{self.base_url}/v1/callback", http)
            self._idle = timedelta(hours=settings.oidc.session_idle_hours)
        self._own_origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.base_url)).lower()
        self._requests = Buckets(settings.limits.requests_per_second, settings.limits.burst, clock)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._generation = 0

    @property
    def local(self) -> bool:
        """Whether everybody on this machine may do everything."""
        return self.provider is None

    @property
    def guard_options(self) -> dict[str, Any]:
        """What the guard around the application needs to know."""
        return {
            "local": self.local,
            "base_url": self.base_url,
            "issuer": None if self.provider is None else self.provider.issuer,
            "limits": self.settings.limits,
        }

    @property
    def secure(self) -> bool:
        """Whether people reach the service by https, and cookies go only there."""
        return self._own_origin.startswith("https://")

    @property
    def cookie(self) -> str:
        """Name of the cookie of a session."""
        return "__Host-kvandal_session" if self.secure else "kvandal_session"

    @property
    def sign_in_cookie(self) -> str:
        """Name of the cookie of a sign-in under way."""
        return "__Host-kvandal_sign_in" if self.secure else "kvandal_sign_in"

    def close(self) -> None:
        """Let go of the connections to the provider."""
        if self.provider is not None:
            self.provider.close()

    def forget(self) -> None:
        """Look everybody up again: roles, tokens or sessions have changed."""
        self._generation += 1
        self._known.clear()

    async def principal_of(self, request: Request) -> Principal | None:
        """Return who sends a request.

        Raises
        ------
        HTTPException
            401 for a token that does not hold, 403 for a write that a page of ours did not send, 429 for too many.

        """
        header = request.headers.get("authorization")
        if header is not None:
            principal: Principal | None = await self._by_token(header)
        elif self.local:
            return LOCAL
        else:
            principal = await self._by_session(request)
        if principal is not None and not self.local:
            quota = self._requests.take(principal.id)
            request.scope[QUOTA] = quota
            if quota.retry_after_s:
                raise HTTPException(
                    429,
                    f"too many requests: {quota.limit} may come at once; ask again in {quota.retry_after_s} s",
                    headers=quota.headers(),
                )
        return principal

    async def _by_token(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and prefix_of(token) is not None:
            principal = await self._cached(token, self._token_in, self._note_token)
            if principal is not None:
                return principal
        _log.warning("token refused", prefix=prefix_of(token))
        raise HTTPException(
            401,
            "this token is not known, has expired or was revoked",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )

    async def _by_session(self, request: Request) -> Principal | None:
        secret = request.cookies.get(self.cookie)
        if not secret:
            return None
        principal = await self._cached(secret, self._session_in, self._note_session)
        if principal is None:
            return None
        wanted = csrf_token(secret)
        request.state.csrf_token = wanted
        if request.method not in SAFE_METHODS:
            await self._refuse_foreign(request, wanted)
        return principal

    async def _refuse_foreign(self, request: Request, wanted: str) -> None:
        """Refuse a write of a session that no page of ours has sent."""
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() != self._own_origin:
            raise HTTPException(403, f"writes of a session come from pages of {self._own_origin}")
        given = request.headers.get("x-csrf-token")
        kind = request.headers.get("content-type", "")
        if given is None and kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
            field = (await request.form()).get("csrf_token")
            given = field if isinstance(field, str) else None
        if given is None or not same(given, wanted):
            raise HTTPException(
                403,
                "writes of a session carry the csrf_token of /v1/me, as the header X-CSRF-Token or a field of the form",
            )

    async def _cached(
        self,
        secret: str,
        find: Callable[[Connection, str], Found | None],
        note: Callable[[Connection, str, RowMapping], None],
    ) -> Principal | None:
        key = digest(secret)
        known = self._known.get(key)
        if known is not None and self._clock() < known.until_s and self.now() < known.expires_utc:
            return known.principal
        generation = self._generation
        found = await to_thread.run_sync(self._looked_up, secret, find, note)
        if found is None:
            self._known.pop(key, None)
            return None
        principal, row = found
        if generation == self._generation:  # else it may have been revoked meanwhile: look again next time
            self._known[key] = _Known(principal, self._clock() + CACHE_S, row["expires_utc"])
            self._known.move_to_end(key)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return principal

    def _looked_up(
        self,
        secret: str,
        find: Callable[[Connection, str], Found | None],
        note: Callable[[Connection, str, RowMapping], None],
    ) -> Found | None:
        with self.store.read() as tx:
            found = find(tx, secret)
        if found is not None and self._long_ago(found[1]):
            with self.store.begin() as tx:
                note(tx, secret, found[1])
        return found

    def _long_ago(self, row: RowMapping) -> bool:
        used = row["used_utc"]
        return used is None or used + tokens.USE_NOTED <= self.now()

    def _token_in(self, tx: Connection, secret: str) -> Found | None:
        return tokens.principal_of_token(tx, secret, self.now(), local=self.local)

    def _note_token(self, tx: Connection, secret: str, row: RowMapping) -> None:
        del secret
        tokens.note_use(tx, row["id"], self.now())

    def _session_in(self, tx: Connection, secret: str) -> Found | None:
        return sessions.principal_of_session(tx, secret, self.now(), self._idle)

    def _note_session(self, tx: Connection, secret: str, row: RowMapping) -> None:
        del row
        sessions.note_use(tx, secret, self.now())
