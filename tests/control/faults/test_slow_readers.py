"""Followers of the site who do not read hold up neither the loop nor others, nor the end of the server."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest
from servers import Caller, wait_for

pytestmark = pytest.mark.xdist_group("faults")


def follow(server):
    """Ask for the events of the site, and read nothing."""
    follower = socket.socket()
    follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    follower.connect(("127.0.0.1", server.port))
    follower.sendall(b"GET /v1/site/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port)
    return follower


def versions(follower, enough):
    """Read versions of the site until there are enough."""
    seen = []
    with follower.makefile("rb") as lines:
        assert lines.readline().startswith(b"HTTP/1.1 200")
        while not enough(seen):
            line = lines.readline()
            if line.startswith(b"id: "):
                seen.append(int(line[4:]))
    return seen


def has_a_gap(seen):
    return any(after - before > 20 for before, after in itertools.pairwise(seen))


def test_followers_who_do_not_read_hold_nobody_up(serve):
    server = serve(speed=3600.0, shutdown_s=1.0)
    with server.start().is_up() as caller:
        followers = [follow(server) for _ in range(20)]
        job = caller.submit("startups", run_time_s=3000).json["id"]
        reached = caller.site()["version"] + 90
        wait_for(lambda: caller.site()["version"] >= reached)
        assert caller.job(job)["state"] == "finished"
        with follow(server) as reader:
            seen = versions(reader, lambda seen: len(seen) >= 5)
        assert seen == sorted(set(seen))
        assert seen[0] >= reached
        late = versions(
            followers[0], has_a_gap
        )  # nobody but itself was held up, and it is told what is so now
        assert late == sorted(set(late))
        assert not server.errors()
        assert server.stop() == 0  # they are cut off when the time to end is over
        for follower in followers:
            follower.close()


def test_a_follower_is_told_at_once_although_others_ask_all_the_time(serve):
    server = serve(speed=3600.0)
    enough = threading.Event()

    def ask():
        with Caller(server) as other:
            while not enough.is_set():
                other.site()

    with server.start().is_up() as caller, follow(server) as reader:
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            seen = versions(reader, lambda seen: len(seen) >= 8)
        finally:
            enough.set()
            thread.join()
        assert caller.get("/healthz").status == 200
    assert max(after - before for before, after in itertools.pairwise(seen)) < 100
