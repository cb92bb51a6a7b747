"""A service without a loop: the API over a store of its own, asked in this process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from living_site import JOB

import kvandal as kv
from kvandal.control.api.application import close, close_streams, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant
from kvandal.control.store.database import Store, open_store

SMALL = Path(__file__).parent.parent.parent / "small.toml"


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


class Served:
    """A real server on a free port, in a thread of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app, self.socket = app, socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.005)

    def stop(self) -> None:
        close_streams(self.app)
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def served(app: FastAPI) -> Iterator[Served]:
    server = Served(app)
    yield server
    server.stop()


@pytest.fixture
def member() -> Callable[..., Principal]:
    def made(tenant: str, project: str | None = None, role: str = "member") -> Principal:
        return Principal(f"person_{tenant}", tenant, (RoleGrant(role, tenant, project),))

    return made
