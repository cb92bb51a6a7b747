"""The end of the service: told to stop, it answers what it was asked, finishes its cycle, ends streams, and leaves with 0."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

import kvandal
from kvandal.control.operations.serving import bound_socket
from kvandal.control.settings import Settings
from kvandal.errors import SettingsError

SERVICE = """
import asyncio, os, signal, sys, threading, time
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from kvandal.control.operations.serving import bound_socket, serve
from kvandal.control.operations.logs import configure_logs
from kvandal.control.operations.watch import Watch
from kvandal.control.settings import Settings

class Log:  # told to stop in the middle of the line that tells of a request, as the chance of a full machine has it
    isatty = flush = staticmethod(lambda: False)

    def write(self, text):
        if '"/log"' in text:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        sys.stderr.write(text)

configure_logs("info", "json", Log())
settings, watch, stop = Settings(port=0, shutdown_s=20), Watch(), threading.Event()
app = FastAPI()

@app.get("/slow")
async def slow():
    print("asked", flush=True)
    while not stop.is_set():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    return "done"

@app.get("/log")
async def log():
    return "told"

@app.get("/events")
async def events():
    async def forever():
        while True:
            yield b": beat\\n\\n"
            await asyncio.sleep(0.05)
    return StreamingResponse(forever(), media_type="text/event-stream")

def loop():
    number = 0
    while not stop.is_set():
        number += 1
        with watch.cycle(number):
            stop.wait(0.2)
            time.sleep(0.1)
    print("cycle finished", flush=True)

listener = bound_socket(settings)
print(listener.getsockname()[1], flush=True)
thread = threading.Thread(target=loop)
thread.start()
serve(app, settings, watch, listener=listener, on_stop=stop.set)
thread.join()
print("left", flush=True)
"""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], IO[str], int]]:
    """Run the service in a process of its own; gives that, what it says, and its port."""
    environment = os.environ | {"PYTHONPATH": str(Path(kvandal.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as service:
        assert service.stdout is not None
        try:
            yield service, service.stdout, int(service.stdout.readline())
        finally:
            service.kill()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_what_it_began(sent: signal.Signals) -> None:
    with serving() as (service, said, port):
        with (
            closing(http.client.HTTPConnection("127.0.0.1", port)) as stream,
            closing(http.client.HTTPConnection("127.0.0.1", port)) as slow,
        ):
            stream.request("GET", "/events")
            events = stream.getresponse()
            assert events.readline() == b": beat\n"
            slow.request("GET", "/slow")
            assert said.readline() == "asked\n"

            service.send_signal(sent)

            answer = slow.getresponse()
            assert (answer.status, answer.read()) == (200, b'"done"')
            # It ends as streams end, it is not broken off.
            assert events.read().replace(b": beat\n\n", b"").strip() == b""
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
        out, log = service.communicate(timeout=60)
    assert (out, service.returncode) == ("cycle finished\nleft\n", 0), log
    assert f'"signal":"{sent.name}"' in log
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log


def test_told_to_stop_in_the_middle_of_a_line_of_its_log_it_leaves_all_the_same() -> None:
    with serving() as (service, _, port):
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as caller:
            caller.request("GET", "/log")
            assert caller.getresponse().read() == b'"told"'
        out, log = service.communicate(timeout=60)
    assert (out, service.returncode) == ("cycle finished\nleft\n", 0), log
    assert '"signal":"SIGTERM"' in log


def test_an_address_that_is_taken_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SettingsError, match=f"port: cannot listen at 127.0.0.1 port {port}: Address already in use"
        ):
            bound_socket(Settings(port=port))
