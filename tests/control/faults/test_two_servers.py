"""Two servers started on one store by mistake: one leads, the other waits and takes over; who leads no more does nothing."""

from __future__ import annotations

import signal

import psycopg
import pytest
from servers import wait_for
from truth import check_all

from kvandal.control.store.connections import LEADER_LOCK

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, folder):
    """Return the URL of the store that both servers are given."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{folder / 'kvandal.sqlite'}"


@pytest.fixture
def two(serve, url):
    return [serve(name, database=url, speed=240.0) for name in ("one", "two")]


def loop_of(caller):
    """What a server says of its loop."""
    return next(check["words"] for check in caller.get("/readyz").json["checks"] if check["name"] == "loop")


def leads(caller):
    return wait_for(lambda: loop_of(caller), lambda words: words.startswith("turns"))


def waits(caller):
    return wait_for(lambda: loop_of(caller), lambda words: words == "waits: another server leads")


def runs_to_its_end(caller, job):
    wait_for(lambda: caller.job(job)["state"], lambda state: state == "finished")


def test_one_leads_the_other_waits_and_takes_over_when_it_is_killed(two, url, folder):
    one, two = two
    with one.start().is_up() as first, two.start().is_up() as second:
        leads(first)
        waits(second)
        job = second.submit("startups", run_time_s=300).json["id"]  # who waits takes requests as well
        wait_for(lambda: first.job(job)["state"] == "running")
        one.kill()
        leads(second)
        runs_to_its_end(second, job)
        one.start()
        waits(first)
        assert one.stop() == two.stop() == 0
    found = check_all(url, folder)
    assert (found["jobs"], found["starts"]) == (1, 1)


def take_the_lead_away(url, folder):
    """Do what a cut connection does, or somebody who clears up."""
    if url.startswith("sqlite"):
        (folder / "kvandal.sqlite.leader").unlink()
        return
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(ended, (LEADER_LOCK,)).fetchall() == [(True,)]


@pytest.mark.parametrize("at", ["decided", "order"])
def test_a_leader_that_was_stopped_does_nothing_when_it_goes_on(two, url, folder, at):
    """It stops with a turn that is decided and not written, or written and not ordered; the other goes on from there."""
    one, two = two
    one.start({"at": at, "count": 2 if at == "decided" else 1, "send": signal.SIGSTOP})
    with one.is_up() as first, two.start().is_up() as second:
        waits(second)
        jobs = [second.submit("abroad", run_time_s=200).json["id"] for _ in range(3)]
        wait_for(one.is_stopped)
        take_the_lead_away(url, folder)
        leads(second)
        jobs += [second.submit("startups", run_time_s=200).json["id"] for _ in range(3)]
        runs_to_its_end(second, jobs[0])
        one.signal(signal.SIGCONT)
        waits(first)
        for job in jobs:
            runs_to_its_end(second, job)
        assert two.stop() == 0
        leads(first)
        jobs.append(first.submit("anchor", run_time_s=100).json["id"])
        runs_to_its_end(first, jobs[-1])
        assert one.stop() == 0
    assert not one.errors()
    assert not two.errors()
    found = check_all(url, folder)
    assert (found["jobs"], found["starts"]) == (7, 7)


def test_a_server_whose_loop_has_a_fault_ends_so_that_another_is_started(serve, folder):
    server = serve()
    server.start({"at": "fault", "count": 5})
    assert server.ended() == 71
    assert any("the loop has failed" in line for line in server.errors())
