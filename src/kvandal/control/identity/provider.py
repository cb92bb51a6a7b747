"""The provider of identities: OpenID Connect by authorization code with PKCE, all that it tells is checked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from kvandal.control.settings import OidcSettings, is_loopback
from kvandal.errors import KvandalError

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Signatures that are accepted; none of them can be made with what is public."""
LEEWAY_S = 60
"""How far the provider's clock may be off [s]."""
METADATA_KEPT_S = 3600.0
KEYS_KEPT_S = 600.0
KEYS_AGAIN_S = 10.0
"""Least time between two looks for a key that is not known [s]."""


class ProviderUnavailableError(KvandalError):
    """The provider cannot be reached, or answers what it must not."""


class SignInRefusedError(KvandalError):
    """A sign-in that does not hold: the provider refused it, or what came back is not what was asked for."""


class _Auth(httpx.Auth, ClientAuth):  # type: ignore[misc]
    """How the service shows the provider who it is, for httpx."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        url, headers, body = self.prepare(
            request.method, str(request.url), request.headers, request.content.decode()
        )
        content = body.encode() if isinstance(body, str) else body
        headers["Content-Length"] = str(len(content))
        yield httpx.Request(request.method, url, headers=headers, content=content)


class _Client(OAuth2Client):  # type: ignore[misc]
    client_auth_class = _Auth


class Provider:
    """A provider of identities.

    Parameters
    ----------
    settings
        Its address, and how the service is registered there.
    redirect_uri
        Where it sends people back to.
    http
        How it is reached; None: as usual.

    """

    def __init__(self, settings: OidcSettings, redirect_uri: str, http: httpx.Client | None = None) -> None:
        self.settings, self.redirect_uri = settings, redirect_uri
        self.issuer = settings.issuer
        self._http = http or httpx.Client(timeout=10.0, follow_redirects=False)
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def metadata(self) -> dict[str, Any]:
        """Return what the provider says of itself (discovery).

        Raises
        ------
        ProviderUnavailableError
            If it cannot be had, or is another provider's.

        """
        with self._lock:
            if self._metadata is not None and time.monotonic() - self._metadata[0] < METADATA_KEPT_S:
                return self._metadata[1]
            found = self._json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise ProviderUnavailableError(
                    f"the provider at {self.issuer} calls itself {found.get('issuer')!r}; oidc.issuer must be that name"
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _safe(str(found.get(name, "")), name)
            self._metadata = time.monotonic(), found
            return found

    def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return where to send somebody to sign in."""
        client = self._client()
        url, _ = client.create_authorization_url(
            self.metadata()["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
        return str(url)

    def sign_out_url(self, back: str) -> str | None:
        """Return where to send somebody to sign out of the provider too; None where it has no such place."""
        try:
            place = self.metadata().get("end_session_endpoint")
        except ProviderUnavailableError:
            return None
        if not place:
            return None
        given = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return str(httpx.URL(str(place)).copy_merge_params(given))

    def claims(self, *, code: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """Exchange a code for what the provider tells of somebody, and check all of it.

        Raises
        ------
        SignInRefusedError
            If the provider refuses the code, or what it tells does not hold.
        ProviderUnavailableError
            If it cannot be reached.

        """
        try:
            answer = self._client().fetch_token(
                self.metadata()["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
            )
        except OAuth2Error as error:
            raise SignInRefusedError(f"the provider refused the code: {error.error}") from None
        except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
            raise ProviderUnavailableError(f"the provider gave no token: {type(error).__name__}") from None
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str):
            raise SignInRefusedError(
                "the provider told nothing of who signed in: there is no ID token in its answer"
            )
        claims = self._checked(id_token, nonce=nonce, access_token=access_token)
        missing = {"name", "email", self.settings.groups_claim} - claims.keys()
        place = self.metadata().get("userinfo_endpoint")
        if missing and place and isinstance(access_token, str):
            told = self._json(
                _safe(str(place), "userinfo_endpoint"), {"Authorization": f"Bearer {access_token}"}
            )
            if told.get("sub") != claims["sub"]:
                raise SignInRefusedError("the provider tells of somebody else than its ID token does")
            claims = {**told, **claims}
        return claims

    def _checked(self, id_token: str, *, nonce: str, access_token: str | None) -> dict[str, Any]:
        """Check the signature of an ID token, its issuer, audience, times and nonce."""
        supported = self.metadata().get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(
            algorithms=[name for name in ALGORITHMS if name in supported], strict_check_header=False
        )
        try:
            try:
                token = jwt.decode(id_token, self._key_set(), registry=registry)
            except (JoseError, ValueError):  # a new key may have come
                token = jwt.decode(id_token, self._key_set(again=True), registry=registry)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self.issuer},
                    "sub": {"essential": True},
                    "aud": {"essential": True, "value": self.settings.client_id},
                    "exp": {"essential": True},
                },
                {"nonce": nonce, "client_id": self.settings.client_id, "access_token": access_token},
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            said = str(error) if isinstance(error, JoseError) else type(error).__name__
            raise SignInRefusedError(f"the ID token does not hold: {said}") from None
        if not isinstance(claims["sub"], str) or not claims["sub"] or len(claims["sub"]) > 255:
            raise SignInRefusedError(
                "the ID token does not hold: sub must be a text of at most 255 characters"
            )
        return dict(claims)

    def _key_set(self, *, again: bool = False) -> KeySet:
        with self._lock:
            age = None if self._keys is None else time.monotonic() - self._keys[0]
            if self._keys is not None and age is not None and age < (KEYS_AGAIN_S if again else KEYS_KEPT_S):
                return self._keys[1]
        found = self._json(self.metadata()["jwks_uri"])
        try:
            keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError):
            raise ProviderUnavailableError("the provider's keys cannot be read") from None
        with self._lock:
            self._keys = time.monotonic(), keys
        return keys

    def _client(self) -> _Client:
        metadata = self.metadata()
        secret = self.settings.secret()
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = (
            "none"
            if not secret
            else next(
                (name for name in ("client_secret_basic", "client_secret_post") if name in methods),
                "client_secret_basic",
            )
        )
        return _Client(
            self._http,
            client_id=self.settings.client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method,
            scope=" ".join(self.settings.scopes),
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
        )

    def _json(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.get(url, headers=headers)
            answer.raise_for_status()
            found = answer.json()
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise ProviderUnavailableError(f"the provider answers {status} at {_place(url)}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderUnavailableError(
                f"the provider cannot be asked at {_place(url)}: {type(error).__name__}"
            ) from None
        if not isinstance(found, dict):
            raise ProviderUnavailableError(f"the provider answers no JSON object at {_place(url)}")
        return found


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _safe(url: str, name: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ProviderUnavailableError(f"the provider's {name} must begin with https://, got {url!r}")
    return url
