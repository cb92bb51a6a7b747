"""Ctrl-C, and the signals that ask a program to end: cleaned up after, one line said, the right exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, NoReturn

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN_S = 0.05

PATIENCE_S = 5.0

_received: list[int] = []
_kept: list[str] = []
_raised_at: list[float] = []


def listen() -> None:
    """Let every ending signal raise KeyboardInterrupt wherever the program is."""
    _received.clear()
    _kept.clear()
    _raised_at.clear()
    for each in ENDING:
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(each, _stop)
    sys.unraisablehook = _raise_again


def hold() -> None:
    """Take the signals back from polars, whose handler lets a second Ctrl-C kill before the draft is cleared away."""
    import polars as pl  # noqa: F401 - its handler is set when it is imported

    for each in ENDING:
        if signal.getsignal(each) is _stop:
            signal.signal(each, _stop)


def received() -> int | None:
    """Return the ending signal that arrived, if any."""
    return _received[0] if _received else None


def check(*_progress: object) -> None:
    """Interrupt the program now if a signal arrived that some library swallowed; called once per simulated day."""
    if _received:
        raise KeyboardInterrupt


def keep(text: str) -> None:
    """Say from now on, if the program is interrupted, what was kept."""
    _kept[:] = [text]


def kept() -> str:
    """Return what an interrupted program leaves behind, in words."""
    return _kept[0] if _kept else "nothing was kept"


def ignore() -> None:
    """Take no further notice of ending signals: the program is ending."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def leave(code: int) -> NoReturn:
    """End the program with this exit code after a signal, when everything has been cleared away.

    Python would end itself by the signal instead wherever the interrupt had passed through code that an extension runs.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _stop(number: int, _frame: FrameType | None) -> None:
    """Interrupt the program; not twice within `PATIENCE_S`, so that impatience does not disturb the clearing away."""
    now = time.monotonic()
    if _received and number in ENDING and now - _raised_at[-1] < PATIENCE_S:
        return
    _received.append(number)
    _raised_at.append(now)
    raise KeyboardInterrupt


def _raise_again(unraisable: Any) -> None:
    """Raise an interrupt anew that fell into a place where Python cannot raise (a destructor, a callback)."""
    if _received and unraisable.exc_type is KeyboardInterrupt and hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)
