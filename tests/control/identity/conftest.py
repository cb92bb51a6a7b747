"""A service with identities over a store of its own, and a provider that can lie."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import insert

import kvandal as kv
from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.gate import Identity, utc_now
from kvandal.control.identity.people import give_role, make_person
from kvandal.control.identity.permissions import PERMISSIONS
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.identity.tokens import create_token
from kvandal.control.pages.routes import router as pages_router
from kvandal.control.service import Service as LiveService
from kvandal.control.settings import LimitSettings, OidcSettings, Settings
from kvandal.control.store.database import Store, open_store
from kvandal.control.store.tables.loop import JOBS
from kvandal.control.store.tables.metadata import new_id

SMALL = Path(__file__).parent.parent.parent / "small.toml"
BASE = "http://127.0.0.1:8440"
ISSUER = "http://127.0.0.1:9400"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
NO_LIMITS = LimitSettings(requests_per_second=100_000.0, burst=1_000_000, sign_ins_per_minute=10_000.0)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


class Clock:
    """The time of the machine, as far as identities know."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, **how_long: float) -> None:
        step = timedelta(**how_long)
        self.now += step
        self.seconds += step.total_seconds()


class FalseProvider:
    """A provider of identities that tells what a test wants it to, signed as a test wants."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "ada", "name": "Ada", "email": "ada@example.org"}
        self.key: RSAKey | OctKey | bytes | None = KEY
        self.header = {"alg": "RS256", "kid": "one"}
        self.metadata: dict[str, Any] = {}
        self.asked: dict[str, str] = {}
        self.down = False
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                places = {
                    "authorization_endpoint": "authorize",
                    "token_endpoint": "token",
                    "jwks_uri": "keys",
                    "end_session_endpoint": "end",
                }
                known = {name: f"{ISSUER}/{path}" for name, path in places.items()}
                return httpx.Response(200, json={"issuer": ISSUER, **known, **self.metadata})
            case "/keys":
                return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
            case "/token":
                return self._token(request)
        return httpx.Response(404)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode()))
        challenge = base64url(hashlib.sha256(form["code_verifier"].encode()).digest())
        if form["code"] != "good-code" or challenge != self.asked["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        told = {"iss": ISSUER, "aud": "kvandal", "iat": now, "exp": now + 300, "nonce": self.asked["nonce"]}
        told = {name: value for name, value in (told | self.claims).items() if value is not None}
        answer = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.signed(told)}
        return httpx.Response(200, json=answer)

    def signed(self, claims: dict[str, Any]) -> str:
        if not isinstance(self.key, RSAKey | OctKey):  # what no library would sign
            told = f"{base64url(json.dumps(self.header).encode())}.{base64url(json.dumps(claims).encode())}"
            return f"{told}.{base64url(hmac.digest(self.key, told.encode(), 'sha256')) if self.key else ''}"
        return jwt.encode(self.header, claims, self.key, algorithms=[self.header["alg"]])


class People:
    """People of a store, and their tokens."""

    store: Store
    clock: Callable[[], datetime]

    def person(self, name: str, *roles: RoleGrant) -> str:
        with self.store.begin() as tx:
            key = make_person(
                tx,
                issuer=ISSUER,
                subject=name,
                name=name,
                email=f"{name}@example.org",
                by="test",
                now=self.clock(),
            )["id"]
            for role in roles:
                give_role(tx, key, role, by="test", now=self.clock())
        return key

    def token(self, person: str, *scopes: str, days: float = 1, **limit: str) -> str:
        with self.store.begin() as tx:
            return create_token(
                tx,
                person=person,
                name="test",
                scopes=scopes or tuple(PERMISSIONS),
                expires_utc=self.clock() + timedelta(days=days),
                by="test",
                now=self.clock(),
                **limit,
            )[1]


class Service(People):
    """A service with identities, asked in this process."""

    def __init__(self, store: Store, scenario: kv.Scenario, **settings: Any) -> None:
        self.store, self.clock, self.provider = store, Clock(), FalseProvider()
        oidc = {"issuer": ISSUER, **settings.pop("oidc", {})}
        settings = {"limits": NO_LIMITS, "oidc": OidcSettings(**oidc), **settings}
        self.settings = Settings(**settings)
        http = httpx.Client(transport=httpx.MockTransport(self.provider))
        self.identity = Identity(store, self.settings, now=self.clock, clock=self.clock.monotonic, http=http)
        parts = ServiceParts(store=store, scenario=scenario, identity=self.identity)
        self.app: FastAPI = create_app(parts, pages=[pages_router])
        self.loop, self.count = asyncio.Runner(), 0
        self.browser = self.client()

    def client(self, token: str | None = None, **headers: str) -> Client:
        return Client(self, token, headers)

    def member(self, tenant: str, project: str | None = None, role: str = "member") -> Client:
        person = self.person(f"{role}-{tenant}-{project}-{self.count}", RoleGrant(role, tenant, project))
        return self.client(self.token(person))

    def job(self, tenant: str, project: str, **values: Any) -> str:
        row = {
            "id": new_id("job"),
            "tenant": tenant,
            "project": project,
            "person": "person_x",
            "name": f"of {tenant}",
            "demand": "national",
            "gpus": 8,
            "limit_s": 3600,
            "state": "queued",
            "submitted_utc": self.clock(),
        }
        with self.store.begin() as tx:
            tx.execute(insert(JOBS).values(**row | values))
        return row["id"]

    def close(self) -> None:
        self.browser.close()
        self.loop.close()
        self.identity.close()
        close(self.app)


class Client:
    """Asks a service: with a token, or with the cookies that it was given."""

    def __init__(self, service: Service, token: str | None, headers: dict[str, str]) -> None:
        self.service, self.token = service, token
        if token is not None:
            headers = {"Authorization": f"Bearer {token}", **headers}
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False, client=("192.0.2.7", 5000))
        self.http = httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.service.loop.run(self.http.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def write(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        self.service.count += 1
        headers = {"Idempotency-Key": f"key-{self.service.count:08}"} | headers
        return self.request(method, path, json=body, headers=headers)

    def begin(self, return_to: str = "/jobs") -> dict[str, str]:
        """Begin to sign in; returns what the provider is asked."""
        answer = self.get("/v1/login", params={"return_to": return_to})
        assert answer.status_code == 303, answer.text
        asked = {
            name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()
        }
        self.service.provider.asked = asked
        return asked

    def sign_in(self, **changes: Any) -> httpx.Response:
        """Sign in, with the answer of the provider changed in some way."""
        asked = self.begin()
        return self.get("/v1/callback", params={"code": "good-code", "state": asked["state"], **changes})

    def close(self) -> None:
        self.service.loop.run(self.http.aclose())


@pytest.fixture(scope="session")
def scenario() -> kv.Scenario:
    return kv.load(SMALL)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty store, to be copied: making its tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "kvandal.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Store]:
    shutil.copy(empty_store, tmp_path / "kvandal.db")
    with open_store(f"sqlite:///{tmp_path / 'kvandal.db'}") as opened:
        yield opened


@pytest.fixture
def service(store: Store, scenario: kv.Scenario) -> Iterator[Service]:
    made = Service(store, scenario)
    yield made
    made.close()


class Whole(People):
    """All that `kvandal serve` answers, with identities, without its loop."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, port=8440, oidc=OidcSettings(issuer=ISSUER), limits=NO_LIMITS)
        self.live, self.loop, self.clock = LiveService(settings, demand=False), asyncio.Runner(), utc_now
        self.store, self.app = self.live.store, self.live.app

    def close(self) -> None:
        self.loop.close()
        close(self.app)
        self.live.close()


@pytest.fixture
def whole(tmp_path: Path, empty_store: Path) -> Iterator[Whole]:
    shutil.copy(empty_store, tmp_path / "kvandal.sqlite")
    made = Whole(tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_service(store: Store, scenario: kv.Scenario) -> Iterator[Any]:
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        made.append(Service(store, scenario, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
