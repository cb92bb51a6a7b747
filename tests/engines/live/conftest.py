"""One real Slurm for the tests of the live engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import live_sites
import pytest

SLURM_NODES = 36


@pytest.fixture(scope="session")
def slurm_folder() -> Iterator[Path]:
    """A Slurm of two racks, for the whole session."""
    folder = live_sites.start_slurm(SLURM_NODES)
    yield folder
    live_sites.stop_slurm(folder)


@pytest.fixture
def slurm(slurm_folder: Path) -> Iterator[live_sites.SlurmSite]:
    """The cluster without jobs, before and after."""
    site = live_sites.SlurmSite(slurm_folder, SLURM_NODES)
    site.tell()
    yield site
    site.clear()


@pytest.fixture(
    params=[
        "twin",
        pytest.param(
            "slurm", marks=[pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm-live")]
        ),
    ]
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[live_sites.Site]:
    """Each engine in turn."""
    if request.param == "slurm":
        yield request.getfixturevalue("slurm")
    else:
        twin = live_sites.TwinSite(tmp_path)
        yield twin
        twin.clear()
        twin.engine.close()
