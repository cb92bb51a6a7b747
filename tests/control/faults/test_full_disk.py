"""A full disk: writes are refused, reads go on, nothing is half-written; with room again everything goes on."""

from __future__ import annotations

import errno
import resource
import subprocess
import time

import pytest
from servers import wait_for
from truth import check_all, engine_events

pytestmark = pytest.mark.xdist_group("faults")


class Limited:
    """No file may grow: what a quota does."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self, server):
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def make_room(self, server):
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Small:
    """A file system that others have filled."""

    def __init__(self, folder):
        self.folder = folder / "small"
        self.ballast = self.folder / "ballast"
        self.folder.mkdir()
        mounted = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(self.folder)]
        if subprocess.run(mounted, capture_output=True, check=False).returncode != 0:
            pytest.skip("not run: no file system may be mounted here")

    def fill(self, _server):
        with self.ballast.open("ab", buffering=0) as file:
            for block in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * block)
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017

    def make_room(self, _server):
        self.ballast.unlink()


@pytest.fixture(params=[Limited, Small])
def disk(request, folder):
    made = request.param(folder)
    yield made
    if made.folder != folder:
        subprocess.run(["umount", "-l", str(made.folder)], check=True)


def test_a_full_disk_stops_writes_alone_and_only_while_it_is_full(serve, disk):
    server = serve(speed=240.0, data_dir=str(disk.folder), telemetry_timeout_s=1.0)
    with server.start().is_up() as caller:
        lent = caller.submit("abroad", run_time_s=2000, gpus=8).json["id"]
        own = caller.submit("startups", run_time_s=100, gpus=8).json["id"]
        wait_for(lambda: caller.job(lent)["state"] == "running")
        disk.fill(server)
        key = "the-same-key-again"
        refused = wait_for(lambda: caller.submit("startups", key=key), lambda answer: answer.status == 503)
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        before = engine_events(disk.folder)
        for _ in range(10):
            assert caller.submit("startups", key=key).status == 503
            for path in ("/v1/site", "/v1/jobs", f"/v1/jobs/{own}", "/healthz", "/"):
                assert caller.get(path).status == 200
            time.sleep(0.05)
        assert engine_events(disk.folder) == before
        assert server.lives()
        disk.make_room(server)
        after = wait_for(
            lambda: caller.submit("startups", run_time_s=100, key=key), lambda answer: answer.status == 201
        )
        for job in (own, lent, after.json["id"]):
            wait_for(lambda job=job: caller.job(job)["state"] == "finished")
        assert caller.site()["fail_safe"] is None
        wait_for(lambda: not any(tenant["on_loan"] for tenant in caller.site()["tenants"]))
        assert server.stop() == 0
    found = check_all(f"sqlite:///{disk.folder / 'kvandal.sqlite'}", disk.folder)
    assert (found["jobs"], found["starts"]) == (3, 3)


def test_a_server_that_is_started_on_a_full_disk_waits_for_room(serve, disk):
    server = serve(speed=240.0, data_dir=str(disk.folder))
    with server.start().is_up() as caller:
        job = caller.submit("startups", run_time_s=100).json["id"]
        server.kill()
        server.start()
        disk.fill(server)
        wait_for(lambda: caller.get(f"/v1/jobs/{job}").status == 200)
        time.sleep(0.5)
        assert server.lives()
        disk.make_room(server)
        wait_for(lambda: caller.job(job)["state"] == "finished")
        assert server.stop() == 0
