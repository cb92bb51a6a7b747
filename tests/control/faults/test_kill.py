"""kill -9 at any instant: no acknowledged request is lost, no job is started twice, no loan is forgotten."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from asking import Person
from servers import wait_for
from truth import check_all

INSTANTS = {"statement": 150, "commit": 20, "kept": 20, "twin": 120, "answer": 12}
"""Where a server kills itself, and up to the how-manieth time."""


def kill_again_and_again(server, count, seed, between=lambda _: None):
    """Start a server and have it killed, `count` times; return how often at which instant."""
    began = time.monotonic()
    server.start().is_up().close()
    # on a busy machine everything takes longer, and is to be met all the same
    awake_s = time.monotonic() - began
    server.kill()
    draw, killed = random.Random(seed), dict.fromkeys([*INSTANTS, "time"], 0)  # noqa: S311
    for number in range(count):
        at = draw.choice([*INSTANTS, "time", "time"])
        if at == "time":
            server.start()
            time.sleep(draw.random() * 3 * awake_s)
        else:
            server.start({"at": at, "count": draw.randint(1, INSTANTS[at])})
            until = time.monotonic() + 10 * awake_s  # who does not come to its instant is killed all the same
            while server.lives() and time.monotonic() < until:
                time.sleep(0.005)
            if server.lives():
                at = "time"
        server.kill()
        killed[at] += 1
        between(number)
    return killed


def end_in_peace(server, fast, people):
    """Let people get their last answers, take back what they have set, and let all jobs end."""
    server.start()
    for person in people:
        person.stop()
    server.stop()
    fast.start()
    caller = fast.is_up()
    people[0].caller.server = fast
    for method, path, body in [
        ("DELETE", "/v1/set-points/envelope_mw?reason=over", None),
        *[("POST", f"/v1/nodes/r0001n0{node}/undrain", {"reason": "over"}) for node in range(1, 7)],
    ]:
        assert people[0].insist(method, path, body).status in (200, 202)
    people[0].submit()  # when it has ended, all that was asked for before has been taken

    def open_jobs():
        states = "&".join(f"state={state}" for state in ("accepted", "queued", "running", "recalled"))
        return len(caller.get(f"/v1/jobs?{states}").json["items"])

    wait_for(open_jobs, seen=lambda count: count == 0, patience_s=120)
    wait_for(lambda: not any(tenant["on_loan"] for tenant in caller.site()["tenants"]))
    caller.close()
    people[0].caller.close()
    assert fast.stop() == 0


@pytest.fixture
def people():
    """Return a function that lets people begin to ask a server; they are stopped at the end."""
    asking = []

    def ask(server, *seeds):
        asking.extend(Person(server, seed) for seed in seeds)
        for person in asking:
            person.start()
        return asking

    yield ask
    for person in asking:
        person.give_up()


def outcomes_of(people):
    return sum((person.outcomes for person in people), Counter())


@pytest.mark.slow
@pytest.mark.xdist_group("kills")
def test_two_hundred_kills_lose_nothing_and_do_nothing_twice(serve, folder, people):
    server, fast = serve(), serve("fast", speed=1800.0)
    asking = people(server, 1, 2)
    killed = kill_again_and_again(server, 200, seed=7)
    end_in_peace(server, fast, asking)

    found, outcomes = check_all(f"sqlite:///{folder / 'kvandal.sqlite'}", folder, asking), outcomes_of(asking)
    assert not server.errors()
    met = killed, found, dict(outcomes)
    assert sum(killed.values()) == 200, met
    assert min(killed.values()) >= 5, met  # each kind of instant
    assert min(outcomes["unknown"], outcomes["again"], found["loans"], found["recalls"]) > 5, met
    assert found["starts"] > 100, met


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.xdist_group("kills")
def test_kills_of_the_server_and_of_postgres_lose_nothing_and_do_nothing_twice(
    serve, folder, people, postgres, postgres_url
):
    server, fast = (
        serve(name, speed=speed, database=postgres_url)
        for name, speed in (("server", 120.0), ("fast", 1800.0))
    )
    asking = people(server, 3, 4)

    def crash(number):
        if number == 9:
            server.start()
            server.is_up().close()
            postgres.stop("immediate")
            time.sleep(0.3)
            postgres.start()
            server.kill()

    killed = kill_again_and_again(server, 20, seed=8, between=crash)
    end_in_peace(server, fast, asking)

    found, outcomes = check_all(postgres_url, folder, asking), outcomes_of(asking)
    assert not server.errors()
    met = killed, found, dict(outcomes)
    assert sum(killed.values()) == 20, met
    assert min(outcomes["unknown"], found["starts"], found["loans"]) > 3, met
