"""An engine that hangs, or whose answers are lost: the service goes on, and each order is carried out once."""

from __future__ import annotations

import random
import time

import pytest
from living import Living
from servers import wait_for
from truth import check_all, engine_events

from kvandal.engines.live.protocol import EngineUnreachableError


@pytest.mark.xdist_group("faults")
def test_an_engine_that_hangs_holds_nobody_up_who_asks_and_gets_each_order_once(serve, folder):
    server = serve(speed=240.0)
    server.start({"at": "hang"})
    with server.is_up() as caller:
        runs = caller.submit("startups", run_time_s=2000).json["id"]
        wait_for(lambda: caller.job(runs)["state"] == "running")
        (folder / "hang").touch()
        jobs = [caller.submit("research", gpus=4, run_time_s=100).json["id"] for _ in range(5)]
        assert (
            caller.ask("POST", f"/v1/jobs/{runs}/cancel", {"reason": "too long"}, "cancel-it-once").status
            == 202
        )
        time.sleep(0.5)
        assert caller.get("/v1/site").status == 200
        assert caller.get("/v1/jobs").status == 200
        assert len(engine_events(folder)) == 1
        (folder / "hang").unlink()
        for job in jobs:
            wait_for(lambda job=job: caller.job(job)["state"] == "finished")
        assert caller.job(runs)["state"] == "cancelled"
        assert server.stop() == 0
    found = check_all(f"sqlite:///{folder / 'kvandal.sqlite'}", folder)
    assert found["starts"] == 6


class Unsure:
    """An engine of whose answers some are lost: before the order was carried out, or after."""

    def __init__(self, engine, seed, lost=0.4):
        self._engine, self._random, self._lost = engine, random.Random(seed), lost  # noqa: S311
        self.name, self.now, self.lost = engine.name, engine.now, 0

    def __getattr__(self, name):
        def call(*arguments):
            drawn = self._random.random()
            if drawn < self._lost / 2:
                self.lost += 1
                raise EngineUnreachableError("no way there")
            answer = getattr(self._engine, name)(*arguments)
            if drawn < self._lost:
                self.lost += 1
                raise EngineUnreachableError("no way back")
            return answer

        return call


@pytest.mark.parametrize("seed", range(3))
def test_orders_whose_answers_are_lost_are_carried_out_once(sqlite_url, tmp_path, seed):
    living = Living(sqlite_url, tmp_path)
    plain, draw = living.engine, random.Random(seed)  # noqa: S311
    living.loop.close()
    living.down()
    living.engine = Unsure(plain, seed, lost=0.0)
    living.up()
    living.engine._lost = 0.4
    for wave in range(12):
        for _ in range(3):
            living.submit(draw.choice(["abroad", "nordics"]), gpus=24, run_time_s=draw.randrange(200, 900))
        jobs = [
            living.submit(draw.choice(["startups", "anchor"]), gpus=16, run_time_s=draw.randrange(100, 300))
            for _ in range(2)
        ]
        if wave % 3 == 0:
            living.ask("cancel", job=jobs[0], reason="test")
        living.run(240, step=8)
    living.engine._lost = 0.1
    living.run(12_000, step=60)
    living.down()
    assert living.engine.lost > 100
    found = check_all(sqlite_url, tmp_path, engine="engine.sqlite")
    assert found["starts"] > 60
    assert found["recalls"] > 5
