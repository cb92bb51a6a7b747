"""What the API is given by the service, and what it stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from kvandal.scenario.model import Scenario


class Store(Protocol):
    """The database, as the API needs it."""

    def begin(self) -> AbstractContextManager[Connection]:
        """Open a transaction that writes."""
        ...

    def read(self) -> AbstractContextManager[Connection]:
        """Open a transaction that reads."""
        ...


def utc_now() -> datetime:
    """Time of the machine, UTC."""
    return datetime.now(UTC)


class WhatIf(Protocol):
    """Forks the live state into the twin and says what changes would do to whom."""

    def __call__(
        self,
        *,
        changes: Mapping[str, Any],
        grants: Sequence[Mapping[str, Any]],
        envelope_mw: float | None,
        days: float,
    ) -> dict[str, Any]:
        """Answer tenant by tenant; raises KvandalError where the question cannot be answered."""
        ...


MayUse = Callable[[Connection, str, str, int, int], str | None]
"""Whether a project has a grant for a job (transaction, tenant, project, GPUs, limit in seconds); what is missing, or None."""


def _no_grants_needed(tx: Connection, tenant: str, project: str, gpus: int, limit_s: int) -> str | None:
    del tx, tenant, project, gpus, limit_s
    return None


@dataclass(frozen=True)
class ServiceParts:
    """What the API stands on.

    Attributes
    ----------
    store : the database
    settings : of the service, as the other parts read them; None: defaults
    identity : whatever tells who asks (`control/identity`); None: nobody may
    scenario : of the site as it stood when its store was made; None: it is read there
    now : time at the site, UTC; an emulated engine's runs faster than the machine's
    may_use : what a project lacks to submit a job
    whatif : answers what-ifs; None: this service cannot
    whatifs_at_once, whatifs_waiting : what-ifs that are computed, and that may wait, at one time
    body_limit_bytes : largest body of a request
    streams_at_once : connections that may follow the site at one time
    longest_wait_s, longest_stream_s : of a long poll and of a stream; they are asked again then
    site_fresh_s : the site is told again without a look at the store when it was seen so short a time ago [s]
    knows_node : whether the engine has a node of that name; None: any name goes to the loop

    """

    store: Store
    settings: Any = None
    identity: Any = None
    scenario: Scenario | None = None
    now: Callable[[], datetime] = utc_now
    may_use: MayUse = _no_grants_needed
    whatif: WhatIf | None = None
    whatifs_at_once: int = 1
    whatifs_waiting: int = 3
    body_limit_bytes: int = 1 << 20
    streams_at_once: int = 200
    longest_wait_s: float = 60.0
    longest_stream_s: float = 3600.0
    site_fresh_s: float = 0.0
    knows_node: Callable[[str], bool] | None = None
