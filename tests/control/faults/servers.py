"""Servers that are started, stopped and killed by tests, and who talks to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE_S = 60.0
"""Longest wait for anything that must come; nothing is judged by how long it took."""


class Nursery:
    """The process that forks servers (nursery.py)."""

    def __init__(self, log: Path) -> None:
        paths = [HERE.parent, HERE.parent.parent / "twin", *filter(None, sys.path)]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "nursery.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            )
        self._lock = threading.Lock()
        self._answer()

    def ask(self, do, **more):
        with self._lock:
            self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        assert line, "the nursery has ended"
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()


class Server:
    """A place at which a service is served, again and again.

    Attributes
    ----------
    port : where
    pid : of who serves there now; None: nobody does

    """

    def __init__(self, nursery, folder, name="server", **settings):
        self.nursery, self.name, self.pid = nursery, f"{folder}/{name}", None
        self.log = Path(folder) / f"{name}.log"
        settings = {"data_dir": str(folder), "cycle_s": 0.05, "speed": 120.0, "shutdown_s": 5.0, **settings}
        self.port = nursery.ask("make", name=self.name, settings=settings, log=str(self.log))["port"]

    def start(self, die=None):
        assert self.pid is None
        self.pid = self.nursery.ask("fork", name=self.name, die=die)["pid"]
        return self

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """Kill it as kill -9 does."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def ended(self):
        """Wait for its end; return its status."""
        pid, self.pid = self.pid, None
        return self.nursery.ask("reap", pid=pid)["status"]

    def lives(self):
        """Whether it has not ended of itself."""
        return self._state() not in ("Z", "")

    def _state(self):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        return ""

    def is_stopped(self):
        """Whether it was stopped, and may go on."""
        return self._state() == "T"

    def stop(self):
        """Tell it to stop; return its status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def is_up(self):
        """Wait until it tells of the site; return a caller."""
        caller = Caller(self)
        wait_for(lambda: caller.get("/v1/site").status == 200)
        return caller

    def errors(self):
        """Lines of its log that tell of a fault of the program."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [
            line
            for line in lines
            if '"level": "error"' in line or '"level":"error"' in line or "Traceback" in line
        ]


class Answer:
    """What a server answered: status, headers, document."""

    def __init__(self, answer, body):
        self.status, self.headers = answer.status, answer.headers
        self.json = json.loads(body) if body and "json" in answer.headers["content-type"] else None


class Caller:
    """Somebody who asks a server over one connection at a time, and sends again what got no answer."""

    def __init__(self, server, timeout_s=20.0):
        self.server, self.timeout_s = server, timeout_s
        self._connection = None

    def ask(self, method, path, body=None, key=None):
        """Ask once; raises OSError or HTTPException where no answer comes."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self.server.port, timeout=self.timeout_s
            )
        headers = {} if key is None else {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            return Answer(answer, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def get(self, path):
        return self.ask("GET", path)

    def submit(self, tenant, gpus=8, run_time_s=600, key=None, **more):
        """Submit a job and return what was answered."""
        body = {
            "tenant": tenant, "project": "p", "demand": "batch", "gpus": gpus, "run_time_s": run_time_s,
            "limit_s": max(60, run_time_s + 60), **more,
        }  # fmt: skip
        return self.ask("POST", "/v1/jobs", body, key or new_key())

    def job(self, job):
        return self.get(f"/v1/jobs/{job}").json

    def site(self):
        return self.get("/v1/site").json

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def new_key():
    return uuid.uuid4().hex


def wait_for(
    what, seen=lambda answer: answer, patience_s=PATIENCE_S, unless=(OSError, http.client.HTTPException)
):
    """Ask again and again until what is asked gives what is wanted; return that."""
    until = time.monotonic() + patience_s
    while True:
        try:
            found = what()
            if seen(found):
                return found
        except unless as error:
            found = error
        assert time.monotonic() < until, f"did not come: {found!r}"
        time.sleep(0.02)
