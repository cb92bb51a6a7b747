"""A small site that is crowded: more is asked of it than it has, and two tenants wait."""

from __future__ import annotations

import pytest
from asking_whatifs import Asked
from living import Living


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowded")
    living = Living(f"sqlite:///{folder / 'kvandal.db'}", folder)
    for _ in range(17):
        living.submit("abroad", gpus=8, run_time_s=9000)
    living.run(60)
    for turn in range(40):
        living.submit("startups", gpus=8, run_time_s=3000, project="solar")
        living.submit("nordics", gpus=8, run_time_s=2000)
        if turn % 4 == 0:
            living.submit("research", gpus=16, run_time_s=4000, limit_s=8000)
        living.run(120, step=30)
    living.submit("nordics", gpus=8, run_time_s=2000)
    living.turn(1)  # the last cycle is now
    yield living
    living.down()


@pytest.fixture
def whatif(crowded):
    return Asked(crowded)
