"""The database is gone for a while: requests are refused and told when to come again, nothing is done unwritten, all goes on."""

from __future__ import annotations

import contextlib
import time

import pytest
from asking import Person
from living import Living
from servers import wait_for
from truth import check_all, engine_events

from kvandal.control.store.errors import StoreUnavailableError

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.postgres]


def started(folder):
    return [one for one in engine_events(folder) if one["kind"] == "started"]


def is_refused_for_a_while(answer):
    """Whether an answer is a problem that says when to ask again."""
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json["type"] == "urn:kvandal:problem:store-unavailable"
    return int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_service_whose_database_is_away_for_a_while(serve, folder, postgres, postgres_url, mode):
    server = serve(database=postgres_url, speed=240.0)
    with server.start().is_up() as caller:
        person = Person(server, 5)
        person.start()
        try:
            wait_for(lambda: len(started(folder)) > 3)
            postgres.stop(mode)
            wait_for(lambda: caller.get("/v1/jobs").status == 503)
            time.sleep(0.3)  # what was written may still be ordered
            before = started(folder)
            for _ in range(5):
                assert is_refused_for_a_while(caller.get("/v1/jobs"))
                assert is_refused_for_a_while(caller.submit("startups"))
                time.sleep(0.1)
            assert caller.get("/healthz").status == 200
            ready = caller.get("/readyz")
            assert (ready.status, ready.json["status"]) == (503, "not ready")
            assert started(folder) == before
            postgres.start()
            wait_for(lambda: caller.get("/readyz").status == 200)
            wait_for(lambda: len(started(folder)) > len(before))
        finally:
            person.stop()
        ask = ("DELETE", "/v1/set-points/envelope_mw?reason=over", None)
        assert person.insist(*ask).status == 200
        for node in range(1, 7):
            assert person.insist("POST", f"/v1/nodes/r0001n0{node}/undrain", {"reason": "over"}).status == 202
        person.caller.close()
        states = "&".join(f"state={state}" for state in ("accepted", "queued", "running", "recalled"))
        wait_for(lambda: not caller.get(f"/v1/jobs?{states}").json["items"])
        wait_for(lambda: not any(tenant["on_loan"] for tenant in caller.site()["tenants"]))
        assert server.stop() == 0
    assert not server.errors()
    assert person.outcomes["unavailable"] + person.outcomes["unknown"] > 0
    check_all(postgres_url, folder, [person])


def test_a_turn_that_could_not_be_written_is_kept_and_done_only_when_it_stands(
    postgres, postgres_url, folder
):
    living = Living(postgres_url, folder)
    job = living.submit("startups", gpus=8, run_time_s=300)
    steps = []

    @contextlib.contextmanager
    def losing(step):
        steps.append(step)
        if step == "account" and postgres.running():
            postgres.stop("immediate")
        yield

    living.loop.step = losing
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            living.turn(1)
    assert steps == ["observe", "envelope", "decide", "account", "account", "account"]
    assert not living.engine.observe().jobs
    postgres.start()
    living.loop.step = contextlib.nullcontext
    living.turn(1)
    assert living.job(job).state == "running"
    living.run(600, step=20)
    assert living.job(job).state == "finished"
    living.down()
    assert check_all(postgres_url, folder, engine="engine.sqlite")["starts"] == 1


def test_an_hour_whose_energy_could_not_be_booked_is_booked_once(postgres, postgres_url, folder):
    living = Living(postgres_url, folder)
    living.submit("startups", gpus=8, run_time_s=3000)
    living.turn(1)
    living.run(3590, step=10)
    postgres.stop("immediate")
    with pytest.raises(StoreUnavailableError):
        living.turn(30)
    postgres.start()
    living.run(1200, step=20)
    living.down()
    found = check_all(postgres_url, folder, engine="engine.sqlite")
    assert found["booked_hours"] == 1
