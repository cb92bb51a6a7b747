"""The whole application over a store with a site in it, as it is served; who visits is whoever a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from site_in_store import write_day, write_jobs, write_site

import kvandal as kv
from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.guard import Guard
from kvandal.control.identity.principal import LOCAL, Principal
from kvandal.control.pages.routes import router
from kvandal.control.store.database import Store, open_store

SMALL = Path(__file__).parents[2] / "small.toml"


class Door:
    """Tells who visits."""

    def __init__(self) -> None:
        self.visitor: Principal | None = LOCAL
        self.local = True

    async def principal_of(self, request: Any) -> Principal | None:
        del request
        return self.visitor


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'kvandal.sqlite'}") as opened:
        yield opened


@pytest.fixture
def jobs(store: Store) -> dict[str, str]:
    """A site with a day behind it; ids of its jobs by name."""
    write_site(store)
    write_day(store)
    return write_jobs(store)


@pytest.fixture(scope="session")
def small_scenario() -> kv.Scenario:
    return kv.load(SMALL)


@pytest.fixture
def app(store: Store, door: Door, small_scenario: kv.Scenario) -> Iterator[FastAPI]:
    made = create_app(ServiceParts(store=store, scenario=small_scenario, identity=door), pages=[router])
    yield made
    close(made)


@pytest.fixture
def get(app: FastAPI) -> Callable[..., httpx.Response]:
    """Ask for a page in this process."""

    def once(path: str, **headers: str) -> httpx.Response:
        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(Guard(app, local=False, base_url="http://kvandal.test"))
            async with httpx.AsyncClient(transport=transport, base_url="http://kvandal.test") as client:
                return await client.get(
                    path, headers={name.replace("_", "-"): value for name, value in headers.items()}
                )

        return asyncio.run(asking())

    return once
