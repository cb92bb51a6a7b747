"""Slurm as an engine: jobs are submitted held and released by our admission, on the nodes that our policy chose.

Orders go through slurmrestd; what it cannot do (requeue and hold, drain) through scontrol; jobs and nodes are seen through
squeue and scontrol, which tell of ten thousand jobs in a twentieth of the time. See docs/slurm.md.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from kvandal.engines.live.protocol import (
    EngineEvent,
    EngineUnreachableError,
    JobNow,
    Observation,
    Order,
    OrderRefusedError,
    Share,
)
from kvandal.engines.live.slurm_cluster import SlurmCluster
from kvandal.engines.live.slurm_command import SlurmCommands
from kvandal.engines.live.slurm_description import description_of, node_size, reshaped
from kvandal.engines.live.slurm_history import Cursor, Told, job_events, node_events
from kvandal.engines.live.slurm_reading import Note, Row, Word, row_of_rest
from kvandal.engines.live.slurm_record import Records
from kvandal.engines.live.slurm_rest import NO_SUCH_JOB, RefusedError, SlurmRest
from kvandal.engines.live.slurm_standing import ENDED, Over, Standing
from kvandal.engines.live.slurm_view import Look, SlurmView

LOG = logging.getLogger("kvandal.engines.slurm")
SAME_LOOK_S = 0.25
"""Events are told from an observation just made, once, if nothing was ordered since."""
GAP_S = 60.0
"""After so long without a look, slurmctld may have forgotten jobs that ended: slurmdbd is asked."""
PAST_EVERY_S = 5.0
LATE_S = 60.0
"""How long what ended in such a time is asked for: slurmctld sends its records late when slurmdbd was away."""
LISTENS_AFTER_S = 2.0
"""A batch script that began less long ago may not listen yet, and would die of the signal."""
FORGOTTEN_S = 120.0
"""A job that neither slurmctld nor slurmdbd knows for so long is lost."""


@dataclass(slots=True)
class Gap:
    """A time in which nobody looked.

    Attributes
    ----------
    since_utc_s : when Slurm was looked at before, as seconds since 1970
    answered : when slurmdbd first told what ended in it, by the steady clock [s]; 0: not yet

    """

    since_utc_s: float
    answered: float = 0.0


class SlurmEngine:
    """A Slurm cluster.

    Parameters
    ----------
    cluster : how to reach it and how jobs look there
    clock : real time, as seconds since 1970

    """

    def __init__(self, cluster: SlurmCluster, clock: Callable[[], float] = time.time) -> None:
        self._cluster, self._clock = cluster, clock
        self._rest = SlurmRest(cluster)
        self._commands = SlurmCommands(cluster.commands, cluster.timeout_s, cluster.conf)
        self._records = None if cluster.record_folder is None else Records(cluster.record_folder)
        self._view = SlurmView(self._commands, self._records)
        self._numbers: dict[str, int] = {}
        self._sure = False
        self._last: tuple[float, Look] | None = None
        self._cursor: tuple[str, Cursor] = ("", Cursor())
        self._past_due, self._past_away = 0.0, False
        self._told_utc_s = 0.0
        self._gap: Gap | None = None
        self._keys: dict[int, str] = {}
        self._forgotten_since: dict[int, float] = {}
        self._notices: dict[str, tuple[Order, int, datetime]] = {}
        self._capped = False

    @property
    def name(self) -> str:
        """Kind of engine."""
        return "slurm"

    def now(self) -> datetime:
        """Real time, UTC."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def close(self) -> None:
        """Let go of connections; jobs run on."""
        self._rest.close()

    def check(self) -> None:
        """See whether slurmrestd answers and takes the token, which seeing jobs and nodes does not need.

        Raises
        ------
        EngineUnreachableError
            It does not.

        """
        self._rest.ping()

    # -- seeing

    def observe(self) -> Observation:
        """All that is known now."""
        look = self._look()
        self._last = (time.monotonic(), look)
        jobs = {key: look.standings[number].job for key, number in look.numbers.items()}
        return Observation(look.at_utc, tuple(row.now for row in look.nodes), jobs)

    def events(self, cursor: str) -> tuple[Sequence[EngineEvent], str]:
        """Tell what happened since a cursor, and the cursor for the next call."""
        last, self._last = self._last, None
        look = last[1] if last and time.monotonic() - last[0] < SAME_LOOK_S else self._look()
        before = self._cursor[1] if self._cursor[0] == cursor else Cursor.read(cursor)
        looked_utc_s = look.at_utc.timestamp()
        since_utc_s = self._told_utc_s or before.looked_utc_s
        if self._gap is None and since_utc_s and looked_utc_s - since_utc_s > GAP_S:
            self._gap = Gap(since_utc_s)
        self._told_utc_s = looked_utc_s
        earliest = datetime.fromtimestamp(since_utc_s, UTC) if since_utc_s else None
        events, down = node_events(before.down, (row.now for row in look.nodes), look.at_utc)
        told: dict[int, Told] = {}
        surplus = set(look.surplus)
        for number, standing in look.standings.items():
            earlier = before.jobs.get(number)
            if number in surplus or (earlier is None and not standing.ran and standing.over is None):
                continue
            happened, told[number] = job_events(earlier or Told(), standing, look.at_utc, earliest)
            events += happened
        gone = {n: t for n, t in before.jobs.items() if n not in look.rows}
        told |= {n: t for n, t in gone.items() if not t.final or self._gap is not None}
        for number, standing in self._past({n: t for n, t in gone.items() if not t.final}).items():
            earlier = before.jobs.get(number, Told())
            if number not in look.rows and not earlier.final and standing.job.key not in look.numbers:
                happened, told[number] = job_events(earlier, standing, look.at_utc, None)
                events += happened
        events.sort(key=lambda event: event.at_utc)
        jobs = {number: t for number, t in told.items() if t != Told()}
        over = {number: t for number, t in before.jobs.items() if t.final}
        if cursor and not events and down == before.down and over | jobs == before.jobs:
            self._cursor = (cursor, before)
            return [], cursor
        after = Cursor(looked_utc_s if self._gap is None else self._gap.since_utc_s, jobs, down)
        text = after.text()
        self._cursor = (text, after)
        return events, text

    def _past(self, gone: Mapping[int, Told]) -> dict[int, Standing]:
        """Ask slurmdbd now and then for jobs that slurmctld has forgotten, and for all that ended in a gap."""
        now, gap = time.monotonic(), self._gap
        self._forgotten_since = {n: self._forgotten_since.get(n, now) for n in gone}
        if now < self._past_due or (gap is None and not gone):
            return {}
        self._past_due = now + PAST_EVERY_S
        try:
            found = self._view.past(gone) if gone else {}
            if gap is not None:
                found = self._view.past_since(gap.since_utc_s - GAP_S) | found
        except EngineUnreachableError as away:
            if not self._past_away:
                LOG.warning("what ended and is forgotten by slurmctld will be told later: %s", away)
            self._past_away = True
            return {}
        self._past_away = False
        if gap is not None:
            gap.answered = gap.answered or now
            if now - gap.answered >= LATE_S:
                self._gap = None
        return self._lost(gone, now) | found

    def _lost(self, gone: Mapping[int, Told], now: float) -> dict[int, Standing]:
        """Jobs of which slurmdbd knew nothing for long either."""
        lost = {}
        for number, since in self._forgotten_since.items():
            if now - since > FORGOTTEN_S:
                words = "neither slurmctld nor slurmdbd know it"
                LOG.error("job %d of Slurm is lost: %s", number, words)
                attempt = gone[number].started
                job = JobNow(self._keys.get(number, ""), attempt, "failed", reason=words)
                lost[number] = Standing(job, ran=True, over=Over("node_failed", 0.0, words))
        return lost

    def _look(self) -> Look:
        look = self._view.look()
        self._keys |= {number: key for key, number in look.numbers.items()}
        self._numbers = dict(look.numbers)
        self._sure = True
        with contextlib.suppress(EngineUnreachableError):  # the next look finds the same to mend
            self._mend(look)
        return look

    def _mend(self, look: Look) -> None:
        """Hold what Slurm would start by itself, end what it would repeat although it is done, remove what was sent twice."""
        for number in look.surplus:
            row = look.rows[number]
            if row.state == "PENDING" and not row.note.attempt:
                LOG.warning("job %d is the same as %d: removed", number, look.numbers[row.note.key])
                self._rest.cancel(number)
            elif row.state not in ENDED:
                LOG.error("jobs %d and %d have one key and one runs", number, look.numbers[row.note.key])
        notices, self._notices = self._notices, {}
        for order, attempt, deadline_utc in notices.values():
            self.recall(order, attempt, deadline_utc)
        for number, standing in look.standings.items():
            if not standing.repair:
                continue
            row, over = look.rows[number], standing.over
            with self._if_it_is_there(number):
                if standing.repair == "hold":
                    LOG.warning("job %d would start by itself: held (%s)", number, row.reason)
                    self._rest.update(number, {"hold": True})
                elif standing.repair == "withdraw":
                    LOG.warning("job %d was not started on its nodes: held (%s)", number, row.reason)
                    self._rest.update(number, {"hold": True, "comment": self._note(row, "hold").text()})
                elif over is not None:
                    LOG.warning("job %d is %s, which Slurm does not know: ended", number, over.outcome)
                    word: Literal["completed", "failed"] = (
                        "completed" if over.outcome == "completed" else "failed"
                    )
                    note = Note(row.note.key, standing.job.attempt, row.restarts, word, int(over.at_utc_s))
                    self._rest.update(number, {"comment": note.text()})
                    self._rest.cancel(number)

    @contextlib.contextmanager
    def _if_it_is_there(self, number: int) -> Any:
        try:
            yield
        except RefusedError as refused:
            if refused.number != NO_SUCH_JOB:
                LOG.warning("job %d: %s", number, refused)

    # -- ordering

    def hold(self, order: Order, attempt: int) -> None:
        """Submit a job, held; or take an attempt off its nodes, to wait held for the next."""
        self._last = None
        if not attempt:
            if self._number(order.key) is None:
                self._submit(order)
            return
        row, standing = self._now(order.key)
        if row is None or standing is None or standing.job.attempt != attempt or standing.over is not None:
            return
        note = self._note(row, "hold", attempt)
        if standing.job.state == "pending" and row.state == "PENDING":
            self._rest.update(row.number, {"comment": note.text(), "hold": True})
        elif standing.job.state in {"running", "pending"}:
            self._rest.update(row.number, {"comment": note.text()})
            self._commands.run("scontrol", "requeuehold", "Incomplete", str(row.number))

    def start(self, order: Order, attempt: int, shares: Sequence[Share]) -> None:
        """Pin a held job to these nodes and release it."""
        self._last = None
        row, standing = self._now(order.key)
        if row is None or standing is None:  # slurmctld has lost it, or has forgotten an attempt that failed
            if self._submit_again(order, attempt):
                return
            row, standing = self._now(order.key)
            if row is None or standing is None:
                raise EngineUnreachableError(f"job {order.key} was submitted and is not seen")
        job = standing.job
        if job.attempt >= attempt:
            return  # it runs, or has run
        if job.state == "unknown":
            raise EngineUnreachableError(f"job {order.key}: how attempt {job.attempt} ended is not known yet")
        if standing.over is not None and standing.over.final:
            row = self._again(row, standing.over)
        elif job.state != "held" and not (job.state == "ending" and row.held):  # requeued, its nodes clean up
            self.hold(order, job.attempt)
            raise EngineUnreachableError(f"job {order.key}: attempt {job.attempt} is still {job.state}")
        if self._records is not None:
            self._records.forget(order.key, row.number, row.restarts)
        changes: dict[str, Any] = {
            "nodelist": ",".join(sorted({share.node for share in shares})),
            "comment": Note(order.key, attempt, row.restarts, "start", int(time.time())).text(),
            "hold": False,
            **reshaped(order.gpus, shares, self._cluster, node_size(self._view.nodes)),
        }
        self._rest.update(row.number, changes)

    def _submit_again(self, order: Order, attempt: int) -> bool:
        """Submit a job that slurmctld does not know; tell whether an earlier run of it has done its work.

        Then what is submitted never runs: it is there so that the end of the job is told like any other.
        """
        note = Note(order.key)
        if self._records is not None:
            self._records.refresh()
            done = [record for record in self._records.all_of(order.key) if record.code == 0]
            if done:
                note = Note(order.key, attempt, 0, "completed", int(done[0].ended_utc_s))
            else:
                self._records.forget_all(order.key)
        self._submit(order, note)
        return bool(note.word)

    def _again(self, row: Row, over: Over) -> Row:
        """Bring a job back that ended without having done its work."""
        if over.outcome not in {"failed", "timeout", "node_failed"}:
            raise OrderRefusedError(f"job {row.note.key} has ended: {over.outcome}")
        self._commands.run("scontrol", "requeuehold", str(row.number))
        again, _ = self._now(row.note.key)
        if again is None or not again.held:
            raise EngineUnreachableError(f"job {row.note.key} is not held yet after it {over.outcome}")
        return again

    def recall(self, order: Order, attempt: int, deadline_utc: datetime) -> None:
        """Send USR1 to a running job, once; its comment then says until when it has its nodes."""
        self._last = None
        row, standing = self._now(order.key)
        if row is None or standing is None or row.note.word in {"notice", "hold"}:
            return
        if standing.job.attempt != attempt or standing.job.state != "running":
            return
        if time.time() - row.start_utc_s < LISTENS_AFTER_S:
            self._notices[order.key] = (order, attempt, deadline_utc)  # with a look after a moment
            return
        # to the batch script alone: by the REST interface it would reach, and end, all that the job runs
        self._commands.run("scancel", "--batch", "--signal=USR1", str(row.number))
        note = replace(self._note(row, "notice", attempt), at_utc_s=int(deadline_utc.timestamp()))
        self._rest.update(row.number, {"comment": note.text()})

    def cancel(self, order: Order) -> None:
        """End a job for good, whether it waits or runs."""
        self._last = None
        number = self._number(order.key)
        if number is not None:
            self._rest.cancel(number)

    def cap(self, caps: Mapping[str, float]) -> None:
        """Slurm sets no caps of GPUs: said once, then ignored."""
        if caps and not self._capped:
            self._capped = True
            LOG.warning("Slurm cannot cap the power of GPUs: caps are not set on this cluster")

    def drain(self, node: str, reason: str | None) -> None:
        """Drain a node, or take it back into use if it is drained."""
        self._last = None
        if reason is not None:
            words = " ".join(reason.split()) or "drained"
            self._commands.run("scontrol", "update", f"nodename={node}", "state=drain", f"reason={words}")
        else:
            there = {row.now.name: row for row in self._view.look_at_nodes()}
            if node not in there:
                raise OrderRefusedError(f"Slurm has no node {node}")
            if there[node].drained:
                self._commands.run("scontrol", "update", f"nodename={node}", "state=resume")
        self._view.look_at_nodes()

    # -- a job

    def _note(self, row: Row, word: Word, attempt: int | None = None) -> Note:
        """Return the note of a job with something done to it; one that somebody else released gets its count of restarts."""
        restarts = row.note.restarts if row.note.attempt else row.restarts
        return Note(row.note.key, attempt or row.note.attempt, restarts, word, int(time.time()))

    def _number(self, key: str) -> int | None:
        """Return the number of a job in Slurm; looked up anew when an answer may have been lost."""
        if not self._sure:
            self._look()
        return self._numbers.get(key)

    def _now(self, key: str) -> tuple[Row, Standing] | tuple[None, None]:
        """Look at one job as it is at this moment."""
        number = self._number(key)
        found = None if number is None else self._rest.job(number)
        row = None if found is None else row_of_rest(found)
        if row is None or row.note.key != key:
            self._numbers.pop(key, None)
            return None, None
        self._view.refresh_records()
        return row, self._view.standing(row)

    def _submit(self, order: Order, note: Note | None = None) -> None:
        user = (self._cluster.user or self._cluster.service_user).format(
            tenant=order.tenant, project=order.project
        )
        script = order.script or f"exec sleep {order.run_time_s or order.limit_s}\n"
        if self._records is not None:
            script = self._records.script(order.key, script)
        elif not script.startswith("#!"):
            script = "#!/bin/sh\n" + script
        try:
            size = node_size(self._view.nodes)
            job = description_of(order, self._cluster, user, note or Note(order.key), size)
            number = self._rest.submit(user, job, script)
            if user != self._cluster.service_user:
                self._rest.update(number, {"hold": True})  # held by the operator: its owner cannot release it
        except EngineUnreachableError:
            self._sure = False
            raise
        self._numbers[order.key] = number
