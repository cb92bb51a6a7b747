"""What the loop needs of an engine, and no more: see what is there, start, recall, hold, cap, drain, and what happened since.

Every order names a job by the loop's own key and an attempt, and may be given again: an engine that has carried it out
already answers as if it did so now. An order that the engine cannot reach raises :class:`EngineUnreachableError`, and nobody
knows whether it was carried out; one that it will never carry out raises :class:`OrderRefusedError`.

An engine may also have `together()`, a context in which orders are carried out as one, all or none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

JobState = Literal[
    "held", "pending", "running", "ending", "completed", "failed", "cancelled", "timeout", "unknown"
]
"""What an engine knows of a job: *held* until it is started, *pending* once started until its nodes run it, *ending* while
they clean up; *unknown* where only the record of the node could tell (see each engine)."""
EventKind = Literal["started", "ended", "held", "node_down", "node_up"]
Outcome = Literal["completed", "failed", "cancelled", "timeout", "node_failed"]


class EngineUnreachableError(Exception):
    """The engine did not answer; whether it did what was asked is not known."""


class OrderRefusedError(Exception):
    """The engine understood the order and will not carry it out."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job as an engine is asked to run it.

    Attributes
    ----------
    key : the loop's own id of the job, unique for ever
    tenant, project : whose it is; an engine may map them to accounts
    tier : firm, assured or lent
    name : what its owner calls it
    gpus : GPUs of the gang
    limit_s : longest run time; the engine ends the job then
    run_time_s : how long it will really work, known to an emulated engine alone; None: until `limit_s`
    script : shell script that the job runs
    environment : of that script
    notice_s : how long before it loses its GPUs it is told

    """

    key: str
    tenant: str
    project: str
    tier: str
    name: str
    gpus: int
    limit_s: int
    run_time_s: int | None = None
    script: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    notice_s: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """GPUs of one node that a job gets."""

    node: str
    gpus: int


@dataclass(frozen=True, slots=True)
class NodeNow:
    """A node as the engine sees it: one tray.

    Attributes
    ----------
    name : the engine's name of it
    gpus : GPUs that it has
    state : *up* takes jobs; *draining* takes no new ones; *down* has none
    reason : why it is not up
    power_w : what its counter shows [W]; None: it has none

    """

    name: str
    gpus: int
    state: Literal["up", "draining", "down"]
    reason: str = ""
    power_w: float | None = None


@dataclass(frozen=True, slots=True)
class JobNow:
    """A job as the engine sees it.

    Attributes
    ----------
    key : the loop's id of the job
    attempt : how often it has been started, this time included; 0 before the first
    state : see :data:`JobState`
    shares : where it runs
    started_utc, ended_utc : of this attempt
    reason : why it waits, or how it ended

    """

    key: str
    attempt: int
    state: JobState
    shares: tuple[Share, ...] = ()
    started_utc: datetime | None = None
    ended_utc: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that an engine knows at one instant.

    Attributes
    ----------
    at_utc : when
    nodes : every node, in the engine's order
    jobs : every job that has not ended, by key; those that ended lately may be among them
    site_power_kw : what the site's meter shows [kW]; None: no meter, or it is silent
    has_meter : whether there is a meter that should show something

    """

    at_utc: datetime
    nodes: tuple[NodeNow, ...]
    jobs: Mapping[str, JobNow]
    site_power_kw: float | None = None
    has_meter: bool = False


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something that happened, in order of `at_utc`.

    Attributes
    ----------
    kind : *started* and *ended* are those of an attempt of a job; *held*: an attempt was taken off its nodes and waits
    at_utc : when it happened, not when it was seen
    key, attempt : the job; empty and 0 for nodes
    node : the node
    outcome : how an attempt ended
    reason : as the engine tells it

    """

    kind: EventKind
    at_utc: datetime
    key: str = ""
    attempt: int = 0
    node: str = ""
    outcome: Outcome | None = None
    reason: str = ""


class Engine(Protocol):
    """A cluster that runs jobs."""

    @property
    def name(self) -> str:
        """Kind of engine: *twin*, *slurm* or *recorded*."""
        ...

    def now(self) -> datetime:
        """Time at the site, UTC; real time but for an emulated engine that runs faster."""
        ...

    def observe(self) -> Observation:
        """All that is known now."""
        ...

    def events(self, cursor: str) -> tuple[Sequence[EngineEvent], str]:
        """Tell what happened since a cursor ("" at first), in order, and the cursor for the next call; nothing is told twice."""
        ...

    def hold(self, order: Order, attempt: int) -> None:
        """See to it that a job is known and waits.

        `attempt` 0: it is submitted, held, unless it is known already. Else that attempt is taken off its nodes (if it has
        not ended meanwhile) and the job waits, held, for the next.
        """
        ...

    def start(self, order: Order, attempt: int, shares: Sequence[Share]) -> None:
        """Start a held job on these nodes, as its `attempt`-th; never a second time."""
        ...

    def recall(self, order: Order, attempt: int, deadline_utc: datetime) -> None:
        """Tell a running job that it will lose its GPUs at the deadline; the loop then holds it."""
        ...

    def cancel(self, order: Order) -> None:
        """End a job for good, whether it waits or runs."""
        ...

    def cap(self, caps: Mapping[str, float]) -> None:
        """Power caps of the GPUs by tier of use, relative to their TDP; an engine without such caps ignores them."""
        ...

    def drain(self, node: str, reason: str | None) -> None:
        """Take a node out of use for new jobs; None: back into use."""
        ...

    def close(self) -> None:
        """Let go of connections; jobs run on."""
        ...
