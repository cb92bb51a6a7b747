"""An office over an empty store."""

from __future__ import annotations

import pytest
from office_site import Site


@pytest.fixture
def site(sqlite_store):
    return Site(sqlite_store)


@pytest.fixture
def site_on_both(store):
    return Site(store)
