"""What tests of the control plane share: both databases, a store in each."""

from __future__ import annotations

import pytest
from postgres_server import PostgresServer

from kvandal.control.store.database import open_store


@pytest.fixture(scope="session")
def postgres_server():
    """Return a real PostgreSQL, for this process of the test run alone."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.purge()


@pytest.fixture
def postgres(postgres_server):
    """Return the same server, running, before and after each test that may have stopped it."""
    if not postgres_server.running():
        postgres_server.start()
    yield postgres_server
    if not postgres_server.running():
        postgres_server.start()


@pytest.fixture
def postgres_url(postgres):
    """Return the URL of an empty database in PostgreSQL."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


@pytest.fixture
def sqlite_url(tmp_path):
    """Return the URL of an SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'kvandal.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request):
    """Return the URL of an empty database, of both kinds in turn."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def store(store_url):
    """Return an empty store, of both kinds in turn."""
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def sqlite_store(sqlite_url):
    """Return an empty store on SQLite, where the kind of database does not matter."""
    with open_store(sqlite_url) as opened:
        yield opened
