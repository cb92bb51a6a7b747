"""One real Slurm for all tests that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import slurm_site

import kvandal as kv
from kvandal.engines.export import Export, export_policy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    reason = slurm_site.reason_not_to_run()
    for item in items:
        if reason is not None and "slurm" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def live_export() -> Export:
    """The default site, its surplus recalled without notice: no test waits for two minutes."""
    return export_policy(kv.load("stargate-norway", {"tenants.surplus.notice_s": 0}), "slurm")


@pytest.fixture(scope="session")
def cluster(live_export: Export) -> Iterator[slurm_site.Cluster]:
    """A controller of 25,002 trays with the exported policy, for the whole session."""
    started = slurm_site.start(
        live_export, {"asta": "norway-public", "rolf": "norway-research", "emma": "uk"}
    )
    yield started
    slurm_site.stop(started)
