"""How a job stands: what Slurm says of it, what we asked of it, and what its last run left.

Slurm's own word is not enough: a controller that was killed within seconds of a start may call a run that completed *held*,
*failed* or never started (see :mod:`kvandal.engines.live.slurm_record`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from kvandal.engines.live.protocol import JobNow, JobState, Outcome, Share
from kvandal.engines.live.slurm_reading import Row, hosts_of
from kvandal.engines.live.slurm_record import SECOND_RUN, Record

RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"}
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
ENDED: dict[str, tuple[JobState, Outcome]] = {
    "COMPLETED": ("completed", "completed"),
    "CANCELLED": ("cancelled", "cancelled"),
    "REVOKED": ("cancelled", "cancelled"),
    "PREEMPTED": ("cancelled", "node_failed"),
    "TIMEOUT": ("timeout", "timeout"),
    "DEADLINE": ("timeout", "timeout"),
    "NODE_FAIL": ("failed", "node_failed"),
    "BOOT_FAIL": ("failed", "node_failed"),
    "LAUNCH_FAILED": ("failed", "node_failed"),
    "FAILED": ("failed", "failed"),
    "OUT_OF_MEMORY": ("failed", "failed"),
}
CUT = "the controller was away when it started, and lost it"
SETTLED_S = 30.0
"""How long a run that Slurm does not know of may go on: the node registers again within seconds, and it is taken off then."""


START_WITHIN_S = 180.0
"""How long a released job may wait for its nodes: they were free when they were chosen."""
Repair = Literal["", "hold", "finish", "withdraw"]


@dataclass(frozen=True, slots=True)
class Over:
    """An attempt that is over.

    Attributes
    ----------
    outcome : how it ended; None: it was taken off its nodes and waits
    at_utc_s : when; 0: not known
    reason : why
    final : the job waits for no further attempt

    """

    outcome: Outcome | None
    at_utc_s: float = 0.0
    reason: str = ""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """A job as it really stands.

    Attributes
    ----------
    job : for the loop
    ran : the attempt named there has begun at some time
    over : the attempt is over
    repair : what must be asked of Slurm: *hold* what it would start by itself; *finish* what it would run again; *withdraw*
        what it does not start although it was released

    """

    job: JobNow
    ran: bool = False
    over: Over | None = None
    repair: Repair = ""


RecordOf = Callable[[Row, int], Record | None]
"""Record of a run of a row: by its count of restarts."""


def moment(seconds: float) -> datetime | None:
    """Return seconds since 1970 as a time; None for 0."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def standing_of(row: Row, record_of: RecordOf | None, unknown_for_s: float, now_s: float) -> Standing:
    """Tell how a job stands.

    Parameters
    ----------
    row : what Slurm says
    record_of : records of its runs; None: none are kept
    unknown_for_s : how long the run that Slurm does not know of has been seen [s]
    now_s : seconds since 1970

    """
    if row.note.word in {"completed", "failed"}:
        return _finished(row)
    if row.state in WAITING:
        return _waiting(row, record_of, unknown_for_s, now_s)
    extra = max(0, row.restarts - row.note.restarts) if row.note.attempt else row.restarts
    attempt = max(1, row.note.attempt) + extra
    if row.state in ENDED:
        return _ended(row, attempt, record_of)
    started = moment(row.start_utc_s)
    if row.state == "COMPLETING":  # of a job that was requeued too: its start is the next one then
        last = max(1, row.note.attempt)
        return Standing(
            JobNow(row.note.key, last, "ending", _shares(row), None if extra else started), ran=not extra
        )
    if row.state == "CONFIGURING":
        return Standing(JobNow(row.note.key, attempt, "pending", _shares(row), reason="nodes boot"))
    if row.state in RUNNING:
        return Standing(JobNow(row.note.key, attempt, "running", _shares(row), started), ran=True)
    return Standing(JobNow(row.note.key, attempt, "unknown", reason=row.state.lower()))


def _shares(row: Row) -> tuple[Share, ...]:
    return tuple(Share(node, row.gpus_per_node) for node in hosts_of(row.nodes))


def _finished(row: Row) -> Standing:
    """Of a job that we ended ourselves, because Slurm did not know that its work is done."""
    note = row.note
    outcome: Literal["completed", "failed"] = "completed" if note.word == "completed" else "failed"
    over = Over(outcome, note.at_utc_s, CUT)
    job = JobNow(note.key, note.attempt, outcome, ended_utc=moment(note.at_utc_s), reason=CUT)
    return Standing(job, ran=True, over=over, repair="" if row.state in ENDED else "finish")


def _ended(row: Row, attempt: int, record_of: RecordOf | None) -> Standing:
    note = row.note
    state, outcome = ENDED[row.state]
    never = not row.nodes  # cancelled while it waited
    if never:
        attempt = note.attempt
    reason = row.state.lower()
    if row.state == "FAILED":
        state, outcome, reason = _failed(row, record_of)
    over = Over(outcome, row.end_utc_s, reason)
    job = JobNow(
        note.key, attempt, state, _shares(row), None if never else moment(row.start_utc_s), moment(row.end_utc_s), reason
    )  # fmt: skip
    return Standing(job, ran=not never, over=over)


def _failed(row: Row, record_of: RecordOf | None) -> tuple[JobState, Outcome, str]:
    """Slurm calls a run failed that it took off a node by mistake, or that it sent twice."""
    code, signal = row.status >> 8, row.status & 127
    words = f"signal {signal}" if signal else f"exit code {code}"
    if record_of is None:
        return "failed", "failed", words
    record = record_of(row, row.restarts)
    if record is not None and record.code is not None and code in {1, SECOND_RUN}:
        done: Literal["completed", "failed"] = "completed" if record.code == 0 else "failed"
        return done, done, f"exit code {record.code}"
    if code == SECOND_RUN or (code == 1 and (record is None or record.code is None)):
        return "failed", "node_failed", CUT
    return "failed", "failed", words


def _waiting(row: Row, record_of: RecordOf | None, unknown_for_s: float, now_s: float) -> Standing:
    note = row.note
    runs = [record_of(row, run) for run in range(row.restarts + 1)] if record_of is not None else []
    done = next((record for record in runs if record is not None and record.code == 0), None)
    now = runs[row.restarts] if runs else None  # a run of which Slurm knows nothing
    requeued = row.restarts > note.restarts or (not note.attempt and row.restarts > 0)
    attempt = max(1, note.attempt)
    if now is not None and row.held and (requeued or not note.attempt):
        attempt = note.attempt + 1  # its release was lost with the controller, and with it the note
    if done is not None:
        return _done(row, attempt, "completed", done)
    if now is not None:
        if not row.held or (now.code is None and unknown_for_s < SETTLED_S):
            return Standing(JobNow(note.key, attempt, "unknown", reason=CUT))
        if now.code is not None and now.code < 128:
            return _done(row, attempt, "failed", now)
        return _cut(row, attempt)
    repair: Repair = "" if row.held else "hold"
    if requeued:
        if note.word == "hold":
            over = Over(None, note.at_utc_s, final=False)
            return Standing(JobNow(note.key, attempt, "held"), ran=True, over=over, repair=repair)
        last = runs[row.restarts - 1] if runs else None
        if last is not None and last.code is not None and last.code < 128 and "launch" in row.reason:
            return _done(row, attempt, "failed", last)
        return _cut(row, attempt, row.reason.replace("_", " "))
    if row.held:
        off = Over(None, note.at_utc_s, final=False) if note.attempt else None
        return Standing(JobNow(note.key, note.attempt, "held"), over=off)
    if not note.attempt:  # not by us: somebody else has released it
        return Standing(JobNow(note.key, 0, "held"), repair="hold")
    late = note.word == "start" and now_s - note.at_utc_s > START_WITHIN_S and row.reason != "BeginTime"
    job = JobNow(note.key, note.attempt, "pending", reason=row.reason)
    return Standing(job, repair="withdraw" if late else "")


def _done(row: Row, attempt: int, outcome: Literal["completed", "failed"], record: Record) -> Standing:
    job = JobNow(
        row.note.key, attempt, outcome, (), moment(record.began_utc_s), moment(record.ended_utc_s), CUT
    )  # fmt: skip
    return Standing(job, ran=True, over=Over(outcome, record.ended_utc_s, CUT), repair="finish")


def _cut(row: Row, attempt: int, reason: str = CUT) -> Standing:
    """Of an attempt that Slurm itself ended and would repeat: a node or the controller failed."""
    over = Over("node_failed", 0.0, reason or CUT, final=False)
    return Standing(
        JobNow(row.note.key, attempt, "held", reason=reason or CUT),
        ran=True,
        over=over,
        repair="" if row.held else "hold",
    )
