"""A process of its own that answers what-ifs: the twin's kernels hold the interpreter while they run, and the loop must not wait.

It is started with the first question and stays, so that the next one finds kernels and site at hand.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError, KvandalError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from kvandal.control.whatif.asked import Document, Question, Standing

TIMEOUT_S = 300.0
"""How long an answer may take; the first one after an installation also compiles [s]."""
LESS_URGENT = 5
"""Steps of niceness below the loop and the API."""


class WhatIfProcess:
    """The process, and the one question at a time that it is asked.

    Parameters
    ----------
    timeout_s
        After which a question is given up and the process ended [s].

    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._one = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = False

    def ask(self, standing: Standing, question: Question) -> Document:
        """Answer a question; others wait until it is answered.

        Raises
        ------
        InputError
            The question cannot be asked of this site.
        KvandalError
            The answer took too long, or the process ended.

        """
        with self._one:
            connection = self._opened()
            try:
                connection.send((standing, question))
                if not connection.poll(self._timeout_s):
                    self._end()
                    raise KvandalError(
                        f"the what-if took longer than {self._timeout_s:g} s and was given up; ask for fewer days"
                    )
                kind, found, key = connection.recv()
            except (EOFError, OSError):
                self._end()
                raise KvandalError(
                    "the process that answers what-ifs has ended, perhaps for want of memory; ask again"
                ) from None
        if kind == "refused":
            raise InputError(found, key=key)
        if kind == "failed":
            raise KvandalError(f"the what-if cannot be answered: {found}")
        answer: Document = found
        return answer

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def _opened(self) -> Connection[Any, Any]:
        if self._closed:
            raise KvandalError("the service is ending")
        if self._process is not None and not self._process.is_alive():
            self._end()
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=answer_questions, args=(theirs,), name="kvandal-whatif", daemon=True
            )
            self._process.start()
            theirs.close()
        return self._connection

    def _end(self) -> None:
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.join(10)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # who waits for its answer learns that it has ended
        with self._one:
            self._end()


def answer_questions(connection: Connection[Any, Any]) -> None:
    """Answer questions until nobody is there to ask them."""
    from kvandal.control.whatif.answering import Answerer
    from kvandal.runs.members import begin_worker
    from kvandal.twin.memory import give_back_freed

    begin_worker()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(LESS_URGENT)
    answerer = Answerer()
    while True:
        try:
            standing, question = connection.recv()
        except (EOFError, OSError):
            return
        reply: tuple[str, Any, str | None]
        try:
            reply = ("answer", answerer.answer(standing, question), None)
        except InputError as error:
            reply = ("refused", error.message, error.key)
        except KvandalError as error:
            reply = ("failed", str(error), None)
        except Exception as error:  # noqa: BLE001 - told to who asked; the process goes on
            reply = ("failed", f"{type(error).__name__}: {error}", None)
        try:
            connection.send(reply)
        except OSError:
            return
        del standing, reply
        give_back_freed()
