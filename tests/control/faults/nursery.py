"""Real servers in tens of milliseconds: a process that has everything loaded, and forks one whenever it is told to.

It reads one JSON object a line and answers each with one. `make` builds a service for a store and a folder and listens at a
port of its own; `fork` lets a child of this process serve there, as `kvandal serve` does; `reap` waits for the end of one.
A child can be told to kill itself at a certain instant, as no signal from outside could: before its n-th statement, say.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import uvicorn.lifespan.on
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl  # noqa: F401  (so that no child has to)
from living import TENANTS
from small_sites import small_site
from sqlalchemy import event

from kvandal.control import service as services
from kvandal.control.api import watching
from kvandal.control.loop.loop import Loop
from kvandal.control.loop.opening import live_document
from kvandal.control.loop.ordering import Orders
from kvandal.control.loop.site import LiveSite
from kvandal.control.operations.logs import configure_logs
from kvandal.control.operations.serving import serve
from kvandal.control.settings import Settings
from kvandal.engines.live import twin
from kvandal.engines.live.protocol import EngineUnreachableError
from kvandal.engines.live.twin_book import TwinBook
from kvandal.physics import heat_demand
from kvandal.scenario.loading import resolved
from kvandal.twin import inputs

KEYFRAME_CYCLES = 30
"""So few, so that states are kept, and taken up again, all the time."""


def load() -> None:
    """Have everything in memory that a server needs, and no thread running."""
    watching.LOOK_S = 0.02  # followers are told of every turn
    document = resolved(small_site(TENANTS, racks=2))
    services.resolved = lambda _: document
    # what it leaves out of the search for garbage is left out below, once for all children
    services.settle = lambda: None
    services.open_loop = functools.partial(services.open_loop, keyframe_cycles=KEYFRAME_CYCLES)
    # The library behind the calendar has threads, which no fork survives: what it answered is remembered instead.
    remembered = functools.cache(heat_demand.local_hours)
    heat_demand.local_hours = inputs.local_hours = remembered
    job = {
        "tenant": "abroad",
        "project": "p",
        "demand": "batch",
        "gpus": 8,
        "limit_s": 600,
        "run_time_s": 500,
    }
    site = LiveSite(live_document(document, services.datetime(2027, 1, 1, tzinfo=services.UTC)))
    site.begin()
    site.turn(10, [{"kind": "submit", "time_s": 10, "job": "a", **job}])
    site.turn(200, [{"kind": "set_point", "time_s": 150, "value_kw": 50.0}])
    restored = LiveSite.restored(site.document, *site.kept())
    restored.turn(300, [{"kind": "cancel", "time_s": 300, "job": "a"}])
    gc.collect()
    gc.freeze()


class Nursery:
    """Services that are made, and which of their servers run."""

    def __init__(self) -> None:
        self.services: dict[str, tuple[services.Service, socket.socket, Path]] = {}
        self.children: set[int] = set()

    def make(self, name: str, settings: dict, log: str, demand: bool = False) -> dict:
        service = services.Service(Settings(scenario="test", **settings), demand=demand)
        service.loop._once()  # the site is made here, so that all that its calendar and prices need is remembered
        service.loop._leave()
        asyncio.run(asked(service.app, "/healthz"))
        service.store.close()
        assert threading.active_count() == 1
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # who does not read is felt soon
        self.services[name] = service, listener, Path(log)
        return {"port": listener.getsockname()[1]}

    def fork(self, name: str, die: dict | None = None) -> dict:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = self._serve(*self.services[name], die)
            finally:
                os._exit(status)
        self.children.add(child)
        return {"pid": child}

    def reap(self, pid: int) -> dict:
        _, status = os.waitpid(pid, 0)
        self.children.discard(pid)
        return {"status": os.waitstatus_to_exitcode(status)}

    def end(self) -> None:
        """Leave nobody behind."""
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    @staticmethod
    def _serve(service: services.Service, listener: socket.socket, log: Path, die: dict | None) -> int:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with log.open("ab", buffering=0) as file, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        configure_logs("info", "json")
        app = service.app
        if die is not None:
            app = arranged(service, **die)
        sys.setswitchinterval(services.SWITCH_S)
        service.loop.start()
        try:
            serve(
                app,
                service.settings,
                service.watch,
                listener=listener,
                on_stop=service.stop,
                has_failed=lambda: service.loop.failure is not None,
            )
        finally:
            service.close()
        return 0 if service.loop.failure is None else 71


async def asked(app, *paths: str) -> None:
    """Ask an application in this process, so that what it makes at its first request is made."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in paths:
            assert (await client.get(path)).status_code == 200


def arranged(service: services.Service, at: str, count: int = 1, send: int = signal.SIGKILL):
    """Let something happen to this process.

    It gets a signal at the `count`-th *statement*, *commit*, *kept* commit, statement of the *twin*, *answer*, turn that is
    *decided* and not written, or turn whose *order*s are written and not given; or its loop has a *fault* in its
    `count`-th turn; or its engine does not answer while there is a file *hang*.
    """
    left = [count]

    def pass_by(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), send)
            time.sleep(0.2)  # another thread may be the one that takes it: go no further until it has

    app, commit, opened = service.app, service.store._commit, TwinBook.__init__

    def around_commit(transaction) -> None:
        if at == "commit":
            pass_by()
        commit(transaction)
        if at == "kept":
            pass_by()

    def opened_traced(book, file) -> None:
        opened(book, file)
        book._file.set_trace_callback(pass_by)

    async def answering(scope, receive, send) -> None:
        async def answer(message) -> None:
            if message["type"] == "http.response.start":
                pass_by()
            await send(message)

        await app(scope, receive, answer)

    if at == "statement":
        event.listen(service.store.engine, "before_cursor_execute", pass_by)
    elif at in ("commit", "kept"):
        service.store._commit = around_commit
    elif at == "twin":
        twin.TwinBook.__init__ = opened_traced
    elif at == "decided":
        write = Loop._write
        Loop._write = lambda loop, record: (record.written and pass_by(), write(loop, record))[1]
    elif at == "order":
        give = Orders.give
        Orders.give = lambda orders, *arguments: (orders.open and pass_by(), give(orders, *arguments))[1]
    elif at == "fault":
        turn = Loop.turn
        Loop.turn = lambda loop: turn(loop) if left.append(0) or len(left) <= count else 1 / 0
    elif at == "hang":
        hanging(service.settings.data_dir / "hang")
    return answering if at == "answer" else app


def hanging(file: Path) -> None:
    """Let no call of the engine return while a file is there; who has waited learns that it did not answer."""
    for name in ("events", "observe", "hold", "start", "recall", "cancel", "cap", "drain"):
        setattr(twin.TwinEngine, name, held_up(getattr(twin.TwinEngine, name), file))


def held_up(call, file: Path):
    def waiting(engine, *arguments):
        waited = file.exists()
        while file.exists():
            time.sleep(0.01)
        if waited:
            raise EngineUnreachableError("timed out")
        return call(engine, *arguments)

    return waiting


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is logged goes elsewhere
    faulthandler.register(signal.SIGUSR1)  # tells where a child stands
    load()
    nursery = Nursery()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(getattr(nursery, asked.pop("do"))(**asked)), file=answers, flush=True)
    nursery.end()


if __name__ == "__main__":
    main()
