"""Serving until told to stop: no new requests, open ones are finished, event streams end, then the server leaves with 0."""

from __future__ import annotations

import contextlib
import math
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from kvandal.control.operations.watch import RequestWatch, Watch
from kvandal.control.settings import Settings
from kvandal.errors import SettingsError

BACKLOG = 2048
_log = structlog.get_logger("kvandal")


def bound_socket(settings: Settings) -> socket.socket:
    """Take the address to listen at; with port 0 any that is free.

    Raises
    ------
    SettingsError
        If it is taken, not this machine's, or not allowed.

    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror or error}", key="port"
        ) from None


def serve(
    app: ASGIApp,
    settings: Settings,
    watch: Watch,
    *,
    listener: socket.socket,
    on_stop: Callable[[], None] = lambda: None,
    has_failed: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGTERM or SIGINT; returns once the last request is answered.

    Parameters
    ----------
    app
        What is served.
    settings
        Of the service.
    watch
        What it tells of itself; traces are sent off at the end.
    listener
        Where it listens, see :func:`bound_socket`.
    on_stop
        Called once, before open requests are waited for: tell the loop to stop after its cycle. It must not wait; wait for
        the loop when this function has returned.
    has_failed
        Asked all the time; once it says so, the server ends as if told to stop: who supervises the process starts another.

    """
    config = uvicorn.Config(
        RequestWatch(app, watch),
        log_config=None,  # see configure_logs
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=",".join(settings.trusted_proxies) or None,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_s),
        backlog=BACKLOG,
    )
    server = _Server(config, watch, on_stop, has_failed)
    try:
        server.run(sockets=[listener])
    finally:
        watch.traces.end()


class _Server(uvicorn.Server):
    """uvicorn that ends its event streams and leaves quietly when it is told to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        watch: Watch,
        on_stop: Callable[[], None],
        has_failed: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._watch, self._on_stop, self._has_failed = watch, on_stop, has_failed
        self._signal = ""

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end, some ten times a second."""
        return await super().on_tick(counter) or self._has_failed()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second signal does not wait any longer.

        It comes in the middle of anything, so no more is done here than to remember it: the log, for one, may be locked by
        the very line that it interrupts.
        """
        del frame
        self.force_exit = self.should_exit
        self.should_exit, self._signal = True, signal.Signals(sig).name

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals while serving; unlike uvicorn's, they are not sent again afterwards, which would not end with 0."""
        before = {each: signal.signal(each, self.handle_exit) for each in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would go on for ever, then wait for the rest."""
        _log.info("stopping", signal=self._signal)
        self._on_stop()
        self._watch.streams.end()
        await super().shutdown(sockets)
