"""Slurm as an engine: jobs are submitted held and released by our admission, on the nodes that our policy chose.

Orders go through slurmrestd; what it cannot do (requeue and hold, drain) through scontrol; jobs and nodes are seen through
squeue and scontrol, which tell of ten thousand jobs in a twentieth of the time. See docs/slurm.md.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from kvandal.engines.live.slurm_command import SlurmCommands
from kvandal.engines.live.slurm_history import Cursor, Told, job_events, node_events
from kvandal.engines.live.slurm_reading import Note, Row, row_of_rest
from kvandal.engines.live.slurm_record import Records
from kvandal.engines.live.slurm_rest import NO_SUCH_JOB, RefusedError, SlurmRest
from kvandal.engines.live.slurm_settings import SlurmSettings
from kvandal.engines.live.slurm_standing import ENDED, Over, Standing
from kvandal.engines.live.slurm_view import Look, SlurmView

LOG = logging.getLogger("kvandal.engines.slurm")
SAME_LOOK_S = 0.25
"""Events are told from an observation just made, once, if nothing was ordered since."""
GAP_S = 60.0
"""After so long without a look, slurmctld may have forgotten jobs that ended: slurmdbd is asked."""
PAST_EVERY_S = 5.0
FORGOTTEN_S = 120.0
"""A job that neither slurmctld nor slurmdbd knows for so long is lost."""


class SlurmEngine:
    """A Slurm cluster.

    Parameters
    ----------
    settings : how to reach it and how jobs look there

    """

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._rest = SlurmRest(settings)
        self._commands = SlurmCommands(settings.commands, settings.timeout_s)
        self._records = None if settings.record_folder is None else Records(settings.record_folder)
        self._view = SlurmView(self._commands, self._records)
        self._numbers: dict[str, int] = {}
        self._sure = False
        self._last: tuple[float, Look] | None = None
        self._cursor: tuple[str, Cursor] = ("", Cursor())
        self._past_due = 0.0
        self._keys: dict[int, str] = {}
        self._forgotten_since: dict[int, float] = {}
        self._capped = False

    @property
    def name(self) -> str:
        """Kind of engine."""
        return "slurm"

    def now(self) -> datetime:
        """Real time, UTC."""
        return datetime.now(UTC)

    def close(self) -> None:
        """Let go of connections; jobs run on."""
        self._rest.close()

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
        earliest = datetime.fromtimestamp(before.looked_utc_s, UTC) if before.looked_utc_s else None
        events, down = node_events(before.down, (row.now for row in look.nodes), look.at_utc)
        told: dict[int, Told] = {}
        surplus = set(look.surplus)
        for number, standing in look.standings.items():
            earlier = before.jobs.get(number)
            if earlier is None and not standing.ran and standing.over is None:
                continue
            if number in surplus:
                continue
            happened, told[number] = job_events(earlier or Told(), standing, look.at_utc, earliest)
            events += happened
        gone = {n: t for n, t in before.jobs.items() if n not in look.rows and not t.final}
        kept = self._tell_gone(gone, before, look, events)
        told |= kept
        events.sort(key=lambda event: event.at_utc)
        after = Cursor(looked_utc_s, {n: t for n, t in told.items() if t != Told()}, down)
        text = after.text()
        self._cursor = (text, after)
        return events, text

    def _tell_gone(
        self, gone: Mapping[int, Told], before: Cursor, look: Look, events: list[EngineEvent]
    ) -> dict[int, Told]:
        """Tell how jobs ended that slurmctld has forgotten; those of which nothing is known yet are kept."""
        looked_utc_s = look.at_utc.timestamp()
        gap = before.looked_utc_s and looked_utc_s - before.looked_utc_s > GAP_S
        now = time.monotonic()
        for number in gone:
            self._forgotten_since.setdefault(number, now)
        self._forgotten_since = {n: since for n, since in self._forgotten_since.items() if n in gone}
        if not gone and not gap:
            return {}
        past: dict[int, Standing] = {}
        if gap or now >= self._past_due:
            self._past_due = now + PAST_EVERY_S
            try:
                past = self._view.past(gone) if gone else {}
                if gap:
                    past = self._view.past_since(before.looked_utc_s - GAP_S) | past
            except EngineUnreachableError:
                if gap:  # the cursor must not pass what was not asked for
                    raise
                LOG.warning("slurmdbd does not tell how %d jobs ended; it is asked again", len(gone))
                return dict(gone)
            past = self._lost(gone, now) | past
        for number, standing in past.items():
            if number in look.rows or (number in before.jobs and before.jobs[number].final):
                continue
            if standing.job.key in look.numbers:
                continue
            happened, _ = job_events(before.jobs.get(number, Told()), standing, look.at_utc, None)
            events += happened
        return {number: t for number, t in gone.items() if number not in past}

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
            if row.held and not row.note.attempt:
                LOG.warning("job %d is the same as %d: removed", number, look.numbers[row.note.key])
                self._rest.cancel(number)
            elif row.state not in ENDED:
                LOG.error("jobs %d and %d have one key and one runs", number, look.numbers[row.note.key])
        for number, standing in look.standings.items():
            if not standing.repair:
                continue
            row, over = look.rows[number], standing.over
            with self._if_it_is_there(number):
                if standing.repair == "hold":
                    LOG.warning("job %d would start by itself: held (%s)", number, row.reason)
                    self._rest.update(number, {"hold": True})
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
        note = replace(_with_restarts(row), attempt=attempt, word="hold", at_utc_s=int(time.time()))
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
            self._submit(order)
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
        elif job.state != "held":
            raise OrderRefusedError(f"job {order.key}: attempt {job.attempt} is {job.state}")
        if self._records is not None:
            self._records.forget(order.key, row.number, row.restarts)
        nodes = sorted({share.node for share in shares})
        changes: dict[str, Any] = {
            "nodelist": ",".join(nodes),
            "comment": Note(order.key, attempt, row.restarts).text(),
            "hold": False,
        }
        per_node = max(share.gpus for share in shares)
        shape = self._shape(order.gpus)
        if (len(nodes), per_node) != (shape["nodes"][0], self._per_node(order.gpus)):
            changes |= {"nodes": [len(nodes), len(nodes)], "tasks": len(nodes), "gres": self._gres(per_node)}
        self._rest.update(row.number, changes)

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
        # to the batch script alone: by the REST interface it would reach, and end, all that the job runs
        self._commands.run("scancel", "--batch", "--signal=USR1", str(row.number))
        at_utc_s = int(deadline_utc.timestamp())
        note = replace(_with_restarts(row), attempt=attempt, word="notice", at_utc_s=at_utc_s)
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

    def _submit(self, order: Order) -> None:
        user = (self._settings.user or self._settings.service_user).format(
            tenant=order.tenant, project=order.project
        )
        script = order.script or f"exec sleep {order.run_time_s or order.limit_s}\n"
        if self._records is not None:
            script = self._records.script(order.key, script)
        elif not script.startswith("#!"):
            script = "#!/bin/sh\n" + script
        try:
            number = self._rest.submit(user, self._description(order, user), script)
            if user != self._settings.service_user:
                self._rest.update(number, {"hold": True})  # held by the operator: its owner cannot release it
        except EngineUnreachableError:
            self._sure = False
            raise
        self._numbers[order.key] = number

    def _description(self, order: Order, user: str) -> dict[str, Any]:
        settings = self._settings

        def filled(pattern: str) -> str:
            return pattern.format(tenant=order.tenant, project=order.project, user=user)

        job: dict[str, Any] = {
            "name": order.name or order.key,
            "account": filled(settings.account),
            "comment": Note(order.key).text(),
            "hold": True,
            "requeue": True,
            "time_limit": max(1, -(-order.limit_s // 60)),
            "current_working_directory": filled(settings.working_directory),
            "environment": {
                **settings.environment, **order.environment, "KVANDAL_JOB": order.key, "KVANDAL_TENANT": order.tenant,
            },
            **self._shape(order.gpus),
        }  # fmt: skip
        for field, pattern in (
            ("partition", settings.partition.get(order.tier)),
            ("qos", settings.qos.get(order.tier)),
            ("standard_output", settings.output),
        ):
            if pattern:
                job[field] = filled(pattern)
        return job

    def _shape(self, gpus: int) -> dict[str, Any]:
        """Whole nodes for a job that fills one; a part of one node for a smaller job, with its part of the processors."""
        gpus_of_node, cpus = self._node_size()
        nodes = max(1, -(-gpus // gpus_of_node))
        shape: dict[str, Any] = {
            "nodes": [nodes, nodes],
            "tasks": nodes,
            "tasks_per_node": 1,
            "gres": self._gres(self._per_node(gpus)),
        }
        if cpus >= gpus_of_node:
            shape["cpus_per_task"] = self._per_node(gpus) * (cpus // gpus_of_node)
        return shape

    def _per_node(self, gpus: int) -> int:
        return min(gpus, self._node_size()[0])

    def _gres(self, per_node: int) -> str:
        kind = self._settings.gpu_type
        return f"gpu:{kind}:{per_node}" if kind else f"gpu:{per_node}"

    def _node_size(self) -> tuple[int, int]:
        """GPUs and processors of most nodes."""
        sizes = Counter((row.now.gpus, row.cpus) for row in self._view.nodes)
        if not sizes:
            raise EngineUnreachableError("Slurm shows no node with GPUs")
        return sizes.most_common(1)[0][0]


def _with_restarts(row: Row) -> Note:
    """Return the note of a job that runs; one that somebody else had released gets its count of restarts."""
    return row.note if row.note.attempt else replace(row.note, restarts=row.restarts)
