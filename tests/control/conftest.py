"""What tests of the control plane share: both databases, a store in each."""

from __future__ import annotations

import shutil

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


def wants_tables(request):
    """Say whether the test opens a store: then its tables are there already, copied from a template."""
    return not {"store", "sqlite_store"}.isdisjoint(request.fixturenames)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """Return a file of an empty store."""
    file = tmp_path_factory.mktemp("template") / "kvandal.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """Return the name of a database of an empty store."""
    url = postgres_server.new_database()
    open_store(url).close()
    return url.rsplit("/", 1)[1]


@pytest.fixture
def postgres_url(request, postgres):
    """Return the URL of a database in PostgreSQL: empty, or with the tables of `store` if the test asks for that too."""
    template = request.getfixturevalue("postgres_template") if wants_tables(request) else None
    url = postgres.new_database(template)
    yield url
    postgres.drop(url)


@pytest.fixture
def sqlite_url(request, tmp_path):
    """Return the URL of an SQLite database: not there yet, or with the tables of `store` if the test asks for that too."""
    file = tmp_path / "kvandal.db"
    if wants_tables(request):
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
    return f"sqlite:///{file}"


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
