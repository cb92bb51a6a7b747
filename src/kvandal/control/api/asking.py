"""What-ifs: a few at a time, the others wait or are told to come back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal, fault
from kvandal.control.identity.principal import Principal
from kvandal.errors import InputError, KvandalError

ASKED = ("days", "envelope_mw", "grants", "seeds")
"""Parts of a question beside its changes."""


def seen_by(caller: Principal, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without the ids of jobs that the caller may not see; their tenants and shifts stay."""
    queued = answer.get("queued")
    if not queued:
        return answer
    jobs = [one if caller.may("job.read", one["tenant"]) else {**one, "job": None} for one in queued["jobs"]]
    return {**answer, "queued": {**queued, "jobs": jobs}}


class WhatIfDesk:
    """Where what-ifs are asked: one for each caller at a time, a few in all.

    Parameters
    ----------
    parts
        Who answers, and how many at one time.

    """

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._pool: ThreadPoolExecutor | None = None
        self._asking: set[str] = set()
        self._count = 0

    @property
    def open(self) -> bool:
        """Whether this service answers what-ifs."""
        return self._parts.whatif is not None

    async def ask(
        self,
        caller: Principal,
        changes: Mapping[str, Any],
        grants: Sequence[Mapping[str, Any]] = (),
        envelope_mw: float | None = None,
        days: float = 1.0,
    ) -> dict[str, Any]:
        """Answer a what-if.

        Raises
        ------
        Refusal
            This service answers none (503), too many are asked (429 for the caller's own, 503 for all), or the question
            cannot be answered (422).

        """
        answering = self._parts.whatif
        if answering is None:
            raise Refusal(503, "this service answers no what-ifs", kind="no-what-ifs")
        if caller.id in self._asking and caller.kind != "local":
            raise Refusal(429, "your last what-if is not answered yet", headers={"retry-after": "10"})
        if self._count >= self._parts.whatifs_at_once + self._parts.whatifs_waiting:
            raise Refusal(
                503,
                "too many what-ifs are asked now",
                headers={"retry-after": "20"},
                kind="too-many-what-ifs",
            )
        self._count += 1
        self._asking.add(caller.id)

        def work() -> dict[str, Any]:
            return answering(changes=changes, grants=grants, envelope_mw=envelope_mw, days=days)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._parts.whatifs_at_once, thread_name_prefix="kvandal-whatif")
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except InputError as error:
            field, value = "body", None
            if error.key is not None and error.key.split(".")[0] in ASKED:
                field = f"body.{error.key}"
            elif error.key is not None:
                field, value = f"body.changes.{error.key}", changes.get(error.key)
            raise Refusal(
                422, str(error), errors=[fault(field, value, error.message, error.message)]
            ) from None
        except KvandalError as error:
            raise Refusal(422, " ".join(str(error).split())) from None
        finally:
            self._count -= 1
            self._asking.discard(caller.id)
        return seen_by(caller, answer)

    def close(self) -> None:
        """Let go of the threads; what runs is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
