"""Followers of the site who do not read hold up neither the loop nor others, nor the end of the server."""

from __future__ import annotations

import socket

import pytest
from servers import wait_for

pytestmark = pytest.mark.xdist_group("faults")


def follow(server):
    """Ask for the events of the site, and read nothing."""
    follower = socket.socket()
    follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    follower.connect(("127.0.0.1", server.port))
    follower.sendall(b"GET /v1/site/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return follower


def test_followers_who_do_not_read_hold_nobody_up(serve):
    server = serve(speed=3600.0)
    with server.start().is_up() as caller:
        followers = [follow(server) for _ in range(30)]
        job = caller.submit("startups", run_time_s=3000).json["id"]
        reached = caller.site()["version"] + 60
        wait_for(lambda: caller.site()["version"] >= reached)
        wait_for(lambda: caller.job(job)["state"] == "finished")
        reader = follow(server)
        with reader, reader.makefile("rb") as lines:
            seen = []
            while len(seen) < 5:
                line = lines.readline()
                if line.startswith(b"id: "):
                    seen.append(int(line[4:]))
        assert seen == sorted(set(seen))
        assert seen[0] >= reached
        assert server.stop() == 0
        for follower in followers:
            follower.close()
    assert not server.errors()
