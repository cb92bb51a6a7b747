"""A service without a loop: the API over a store of its own, asked in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import kvandal as kv
from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant
from kvandal.control.store.database import Store, open_store

SMALL = Path(__file__).parent.parent.parent / "small.toml"
JOB = {
    "tenant": "norway-research",
    "project": "arctic",
    "demand": "national",
    "gpus": 8,
    "limit_s": 3600,
    "name": "first",
}


@pytest.fixture(scope="session")
def scenario() -> kv.Scenario:
    return kv.load(SMALL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'kvandal.db'}") as opened:
        yield opened


class Door:
    """Tells who asks: whoever a test puts there."""

    def __init__(self) -> None:
        self.principal: Principal | None = LOCAL

    async def principal_of(self, request: Any) -> Principal | None:
        del request
        return self.principal


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def parts(store: Store, scenario: kv.Scenario, door: Door) -> ServiceParts:
    return ServiceParts(store=store, scenario=scenario, identity=door)


@pytest.fixture
def app(parts: ServiceParts) -> FastAPI:
    return create_app(parts)


class Caller:
    """Asks the API; every write has a key of its own unless one is given."""

    def __init__(self, app: FastAPI) -> None:
        self.loop, self.count = asyncio.Runner(), 0
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://kvandal.test")

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.loop.run(self.client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def write(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        self.count += 1
        headers = {"Idempotency-Key": key or f"key-{self.count:08}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.request(method, path, json=body, headers=headers)

    def submit(self, **changes: Any) -> httpx.Response:
        return self.write("POST", "/v1/jobs", JOB | changes)

    def close(self) -> None:
        self.loop.run(self.client.aclose())
        self.loop.close()


@pytest.fixture
def ask(app: FastAPI) -> Iterator[Caller]:
    caller = Caller(app)
    yield caller
    caller.close()
    close(app)


@pytest.fixture
def member() -> Callable[..., Principal]:
    def made(tenant: str, project: str | None = None, role: str = "member") -> Principal:
        return Principal(f"person_{tenant}", tenant, (RoleGrant(role, tenant, project),))

    return made
