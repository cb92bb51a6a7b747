"""What tests of faults share: the process that forks servers, and a folder for what they keep."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from servers import Nursery, Server


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """Return the process that forks servers, one for each process of the test run."""
    made = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield made
    made.close()


@pytest.fixture
def folder():
    """Return a folder in memory where there is one: a killed process loses nothing that it has handed to the system."""
    memory = Path("/dev/shm")  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix="kvandal-", dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def serve(nursery, folder):
    """Return a function that makes servers; those that run at the end are killed."""
    made = []

    def make(name="server", **settings):
        made.append(Server(nursery, folder, name, **settings))
        return made[-1]

    yield make
    for server in made:
        if server.pid is not None:
            server.kill()
