"""What happened since a cursor: the difference between what was told and how the jobs stand.

The cursor itself says what was told: of every job that has begun and that Slurm still knows, the last attempt whose start was
told, the last whose end was told, and whether it waits for no further one; of the nodes, those out of use; and when Slurm
was looked at. So nothing is lost with our process, and the same cursor gives the same events again.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from kvandal.engines.live.protocol import EngineEvent, NodeNow
from kvandal.engines.live.slurm_standing import Standing

VERSION = "slurm1:"


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a job: attempts whose start and whose end; whether that was its last."""

    started: int = 0
    ended: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """All that was told.

    Attributes
    ----------
    looked_utc_s : when Slurm was looked at as it was written, as seconds since 1970; 0: never
    jobs : by their number in Slurm
    down : names of the nodes out of use

    """

    looked_utc_s: float = 0.0
    jobs: Mapping[int, Told] = field(default_factory=dict)
    down: frozenset[str] = frozenset()

    def text(self) -> str:
        """Return it as the loop keeps it."""
        rows, before = [], 0
        for number in sorted(self.jobs):
            told = self.jobs[number]
            rows.append([number - before, told.started, told.ended, int(told.final)])
            before = number
        packed = orjson.dumps([round(self.looked_utc_s, 3), rows, sorted(self.down)])
        return VERSION + base64.b64encode(zlib.compress(packed, 1)).decode("ascii")

    @staticmethod
    def read(text: str) -> Cursor:
        """Read what :meth:`text` wrote; what is not of ours counts as nothing told."""
        if not text.startswith(VERSION):
            return Cursor()
        try:
            looked, rows, down = orjson.loads(zlib.decompress(base64.b64decode(text[len(VERSION) :])))
        except (binascii.Error, zlib.error, ValueError):
            return Cursor()
        jobs, number = {}, 0
        for step, started, ended, final in rows:
            number += step
            jobs[number] = Told(started, ended, bool(final))
        return Cursor(looked, jobs, frozenset(down))


def job_events(
    told: Told, standing: Standing, looked_utc: datetime, earliest_utc: datetime | None
) -> tuple[list[EngineEvent], Told]:
    """Tell what happened to one job since it was told of last.

    Parameters
    ----------
    told : what was told
    standing : how it stands
    looked_utc : time of an event whose own is not known
    earliest_utc : when Slurm was looked at before; an event that nobody saw happened in between

    """
    events: list[EngineEvent] = []
    job, over = standing.job, standing.over
    key, attempt = job.key, job.attempt
    started, ended, final = told.started, told.ended, told.final
    began = job.started_utc or earliest_utc or looked_utc
    if attempt > started > ended:  # the one before ended, and the next was released, between two looks
        at = began if standing.ran else looked_utc
        events.append(EngineEvent("held", at, key, started, reason="seen only when it was released again"))
        ended = started
    if standing.ran and attempt > started:
        events.append(EngineEvent("started", began, key, attempt))
        started, ended, final = attempt, max(ended, attempt - 1), False
    if over is not None and (attempt > ended or (over.final and not final)):
        at = datetime.fromtimestamp(over.at_utc_s, UTC) if over.at_utc_s else looked_utc
        if events:
            at = max(at, events[-1].at_utc)
        kind, outcome = ("held", None) if over.outcome is None else ("ended", over.outcome)
        events.append(EngineEvent(kind, at, key, attempt, outcome=outcome, reason=over.reason))  # type: ignore[arg-type]
        ended, final = max(ended, attempt), over.final
    return events, Told(started, ended, final)


def node_events(
    down: frozenset[str], nodes: Iterable[NodeNow], looked_utc: datetime
) -> tuple[list[EngineEvent], frozenset[str]]:
    """Tell which nodes went out of use, drained or down, or came back."""
    nodes = list(nodes)
    now = frozenset(node.name for node in nodes if node.state != "up")
    reasons = {node.name: node.reason for node in nodes}
    events = [
        EngineEvent("node_down", looked_utc, node=name, reason=reasons[name]) for name in sorted(now - down)
    ]
    events += [
        EngineEvent("node_up", looked_utc, node=name) for name in sorted(down - now) if name in reasons
    ]
    return events, now | (down - reasons.keys())
