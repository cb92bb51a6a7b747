"""The site as the loop knows it: the twin's own tables, in which jobs are told to start, end and fail instead of doing so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from kvandal.control.loop import numbering
from kvandal.control.loop.effects import Before, effects_of
from kvandal.control.loop.in_force import changed, live_scenario
from kvandal.control.loop.past import Past
from kvandal.control.loop.told import Told, rows_of
from kvandal.demand.jobs import JobTable
from kvandal.policy.acting import ACTION
from kvandal.policy.placement import TRAY_HEALTHY
from kvandal.twin import kernel as kernels
from kvandal.twin import live as lives
from kvandal.twin.fork import Fork, forked, laid_out, to_be_packed
from kvandal.twin.grant_list import project_number
from kvandal.twin.heaps import PRIORITY_SHIFT
from kvandal.twin.plant_state import Plant
from kvandal.twin.records import DRAW_DOWN, FAULT, LIMITS, QUEUED, RUNNING
from kvandal.twin.reliability_state import FAILURE
from kvandal.twin.simulate import GROWTH, Start, checkpoint_intervals_s, new_outputs, new_scratch, prepare
from kvandal.twin.snapshot import packed, unpacked
from kvandal.twin.state import State, job_records, new_state, queue_tables

Array = Any
Document = dict[str, Any]
kernel: Any = kernels
live: Any = lives

CAPACITY = 4096
"""Rows of the table of jobs at first; it doubles where more are live."""
ENDS = ("ended", "failed", "timeout")
"""What is told of jobs that have ended for good."""


class Turn(NamedTuple):
    """What a turn of the loop came to.

    Attributes
    ----------
    happened : whether anything was told, due or decided; else there is nothing to write down
    effects : what changed, in order, as plain values (:mod:`kvandal.control.loop.effects`)
    ticks : ticks of the plant that were closed

    """

    happened: bool
    effects: list[Document]
    ticks: int


class SiteCopy(NamedTuple):
    """A live site at one instant, apart from it.

    Attributes
    ----------
    fork : what is in use of the tables of the twin
    state, plant : those tables; of what follows only shapes are read, and what never changes
    extra : what belongs to them: ids of jobs, numbers of loans
    document : the scenario that is in force

    """

    fork: Fork
    state: State
    plant: Plant
    extra: Document
    document: Document

    def packed(self) -> tuple[bytes, Document]:
        """Return it as it is kept in the store."""
        state, plant, room = to_be_packed(self.fork, self.state, self.plant)
        rows = np.arange(len(self.extra["jobs"]))
        mark = {"jobs": len(state.jobs), "crc32": 0}
        return packed(state, plant, 0, mark, rows, room), self.extra


class LiveSite:
    """State and plant of a live site, and the scenario in force.

    Parameters
    ----------
    document
        The scenario in force, as :func:`kvandal.scenario.loading.resolved` gives it. Its run starts at second 0 of the loop
        and is as long as the loop may run.

    Attributes
    ----------
    scenario : the scenario in force
    state, plant, outputs : tables of the twin
    ids : ids of the jobs, by their rows
    rows : rows of the jobs, by their ids
    loan_numbers : numbers of the loans, by their rows; no two loans ever have the same
    next_loan : number of the next one

    """

    def __init__(self, document: Mapping[str, Any], capacity: int = CAPACITY) -> None:
        self.document: Document = dict(document)
        self.scenario = live_scenario(document)
        self._start: Start = prepare(self.scenario, JobTable.empty(), np.zeros(0, FAILURE))
        self.state: State = _with_room(self._start.state, capacity)
        self.plant: Plant = self._start.plant
        self._past: Past | None = Past(new_outputs(self._start))
        self.outputs = self._past.outputs
        self._scratch = new_scratch(self._start.site, len(self.state.queues))
        self._decided = np.zeros(len(self.state.actions), ACTION)
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        self.loan_numbers: list[int] = []
        self.next_loan = 1
        self._index()

    # -- the site as it was built

    @property
    def start(self) -> Start:
        """What the scenario gives: site, series, prices."""
        return self._start

    @property
    def now_s(self) -> int:
        """Second up to which the loop has been turned."""
        return int(self.state.tally["now_s"][0])

    def begin(self) -> None:
        """Begin with an empty site."""
        delivered_s = self._start.site.delivered_s
        kernel.begin(self.state, self.plant, self._start.inputs, self._scratch, delivered_s)
        self.state.rules["told"] = True
        live.open_first_tick(self.state, self.plant, self._start.inputs)

    # -- a turn

    def turn(self, now_s: int, told: Iterable[Told]) -> Turn:
        """Turn the loop up to `now_s` and decide there.

        Parameters
        ----------
        now_s : now [s after the start], not before the last turn
        told : what happened since, in the order in which it became known

        Raises
        ------
        InputError
            If a change of the scenario is not possible; nothing has been changed then.

        """
        inputs = list(told)
        self._make_room(sum(one["kind"] == "submit" for one in inputs))
        self._add_jobs([one for one in inputs if one["kind"] == "submit"])
        for one in inputs:
            if one["kind"] == "change":
                one["step"] = self._change(one["changes"], now_s)
        table = rows_of(inputs, self.rows, self.now_s, now_s)
        before = Before(self.state, len(self.ids))
        count, happened, ticks = live.turn(
            self.state,
            self.plant,
            self._start.inputs,
            self.outputs,
            self._scratch,
            table,
            self._decided,
            now_s,
        )
        effects = effects_of(self, before, self._decided[:count], inputs) if happened or ticks else []
        self._forget_notes()
        if ticks and self._past is not None:
            self._past.forget(now_s, self.scenario.run.tick_s)
        return Turn(bool(happened) or bool(effects), effects, int(ticks))

    def _forget_notes(self) -> None:
        """Empty the lists of what was written down; the effects say it."""
        for name in ("events", "stints", "placements"):
            self.state.tally[name] = 0

    def _make_room(self, jobs: int) -> None:
        """See to it that tables hold what one turn can bring."""
        if len(self.ids) + jobs > len(self.state.jobs):
            self.compact(len(self.ids) + jobs)
        spare, more = int(self.state.rules["spare_records"][0]), {}
        for name, (used, fresh) in GROWTH.items():
            table = getattr(self.state, name)
            if len(table) - int(self.state.tally[used][0]) < spare:
                more[name] = fresh(2 * len(table))
                more[name][: len(table)] = table
        if more:
            self.state = self.state._replace(**more)

    def _add_jobs(self, submitted: list[Told]) -> None:
        """Write submitted jobs into the next rows."""
        if not submitted:
            return

        def column(name: str, kind: Any) -> Array:
            return np.array([one[name] for one in submitted], kind)

        limit_s = column("limit_s", np.int64)
        table = JobTable(
            np.full(len(submitted), self.now_s, np.int64),
            column("gpus", np.int32),
            np.array([one["run_time_s"] or one["limit_s"] for one in submitted], np.int64),
            np.array([self._tenants[one["tenant"]] for one in submitted], np.int16),
            np.array([self._classes[one["demand"]] for one in submitted], np.int16),
        )
        records = self.records_of(table)
        records["limit_s"], records["submit_s"] = limit_s, column("time_s", np.int64)
        rows = slice(len(self.ids), len(self.ids) + len(submitted))
        self.state.jobs[rows] = records
        self.state.job_grants["project"][rows] = [project_number(one["project"]) for one in submitted]
        self.state.room.first_piece[rows] = self.state.room.first_claim[rows] = -1
        for one in submitted:
            self.rows[one["job"]] = len(self.ids)
            self.ids.append(one["job"])

    def records_of(self, table: JobTable) -> Array:
        """Return records of jobs that may be submitted to the site."""
        interval_s = checkpoint_intervals_s(self.scenario, table)
        return job_records(self.scenario, table, self._queue_of, self.state.tenants, interval_s)

    def runs(self, job: str, attempt: int) -> bool:
        """Whether an attempt of a job is the one that runs now."""
        row = self.rows.get(job)
        if row is None:
            return False
        record = self.state.jobs[row]
        return bool(record["state"] == RUNNING and record["starts"] == attempt)

    def end_of(self, one: Told) -> Told | None:
        """Return what an engine tells of an attempt as the state is to be told; None: it says nothing new.

        An attempt may end of itself between the decision to take it off its nodes and the order to do so, or while nobody
        could give that order. It has ended then, whatever was decided.
        """
        row = self.rows.get(one["job"])
        if row is None:
            return None
        record = self.state.jobs[row]
        if record["state"] == RUNNING and record["starts"] == one["attempt"]:
            if record["draining"] and one["kind"] in ENDS:  # it ran on behind its deadline
                return {**one, "time_s": min(one["time_s"], max(int(record["deadline_s"]), self.now_s))}
            return one
        if one["kind"] not in ENDS or record["state"] not in (QUEUED, RUNNING):
            return None
        waits = record["state"] == QUEUED and record["starts"] == one["attempt"]
        return one if waits or (one["kind"] == "ended" and one["attempt"] < record["starts"]) else None

    def running(self) -> list[tuple[str, int, int]]:
        """List the jobs that run: id, attempt, start [s]."""
        jobs = self.state.jobs[: len(self.ids)]
        return [
            (self.ids[row], int(jobs["starts"][row]), int(jobs["start_s"][row]))
            for row in np.flatnonzero(jobs["state"] == RUNNING).tolist()
        ]

    def trays_down(self) -> dict[int, bool]:
        """Tell of every tray whether it is out of use."""
        return dict(enumerate((self.state.room.trays["state"] != TRAY_HEALTHY).tolist()))

    # -- changes

    def _change(self, changes: Mapping[str, Any], now_s: int) -> int:
        """Let a changed scenario be in force; return the step of its limits that holds now."""
        document, scenario = changed(self.document, changes)
        fresh = new_state(
            scenario,
            self._start.site,
            JobTable.empty(),
            np.zeros(0, np.int64),
            np.zeros(0, FAILURE),
            np.zeros(0, FAULT),
            float(self.state.rules["job_kw_maximum"][0]),
        )
        for name in ("weight", "notice_s", "minimum_run_s", "admitted", "largest_job"):
            self.state.tenants[name] = fresh.tenants[name]
        fresh.rules["told"] = True
        old_grants, old_periods = len(self.state.grants), len(self.state.grant_periods)
        fresh.grants[:old_grants] = self.state.grants
        fresh.grant_periods[:old_periods] = self.state.grant_periods
        for grant, (name, entry) in enumerate(list(scenario.grants.items())[:old_grants]):
            self._enlarge_grant(fresh, grant, entry.gpu_s - self.scenario.grants[name].gpu_s)
            if entry.end_utc is not None:
                self._end_grant(fresh, grant, int((entry.end_utc - scenario.run.start_utc).total_seconds()))
        self.state = self.state._replace(
            rules=fresh.rules,
            limit_steps=fresh.limit_steps,
            limit_steps_s=fresh.limit_steps_s,
            grants=fresh.grants,
            grant_periods=fresh.grant_periods,
            grant_order=fresh.grant_order,
        )
        self.outputs = self.outputs._replace(
            grant_hour=np.zeros((len(self.outputs.grant_hour), len(fresh.grants), 3), np.int64)
        )
        self._forget_limits()
        live.schedule_limits(self.state, now_s)
        self.document, self.scenario = document, scenario
        self._index()
        return int(np.searchsorted(fresh.limit_steps_s, now_s, side="right")) - 1

    @staticmethod
    def _enlarge_grant(state: State, grant: int, more_gpu_s: int) -> None:
        """Let a grant bring more, or less, than it was to: in the period that has begun, and in those to come."""
        row = state.grants[grant]
        now = int(row["period"])
        state.grant_periods["brings"][max(int(row["first"]), now) : int(row["last"]) + 1] += more_gpu_s
        if now >= 0 and not row["is_over"]:
            state.grant_periods["granted"][now] += more_gpu_s

    @staticmethod
    def _end_grant(state: State, grant: int, end_s: int) -> None:
        """Let a grant end at another instant than it was to."""
        row = state.grants[grant]
        if row["is_over"] or row["end_s"] == end_s:
            return
        row["end_s"] = row["next_s"] = end_s
        state.grant_periods["end_s"][row["last"]] = end_s

    def _forget_limits(self) -> None:
        """Drop from the agenda what the former limits would have brought."""
        tally = self.state.tally[0]
        entries = self.state.agenda[: tally["agenda_size"]].copy()
        entries = entries[~np.isin(entries["rank"] >> PRIORITY_SHIFT, (LIMITS, DRAW_DOWN))]
        entries = entries[np.lexsort((entries["rank"], entries["time_s"]))]
        self.state.agenda[: len(entries)] = entries
        tally["agenda_size"] = len(entries)

    def _index(self) -> None:
        self._tenants = {name: index for index, name in enumerate(self.scenario.tenants)}
        self._classes = {name: index for index, name in enumerate(self.scenario.demand)}
        _, self._queue_of = queue_tables(self.scenario, self.state.tenants)

    # -- keeping

    def compact(self, least: int = 0) -> None:
        """Forget jobs that are over; nothing else changes."""
        live_count = int(np.count_nonzero(np.isin(self.state.jobs["state"], (QUEUED, QUEUED + 1))))
        fresh = max(0, least - len(self.ids))
        capacity = CAPACITY
        while capacity < 2 * (live_count + fresh):
            capacity *= 2
        self.state, kept, kept_loans = numbering.renumbered(self.state, capacity)
        self.ids = [self.ids[row] for row in kept.tolist()]
        self.rows = {job: row for row, job in enumerate(self.ids)}
        self.loan_numbers = [self.loan_numbers[row] for row in kept_loans.tolist()]

    def number_loans(self) -> list[int]:
        """Give new records of loans their numbers; return the numbers of all records."""
        while len(self.loan_numbers) < int(self.state.tally["loans"][0]):
            self.loan_numbers.append(self.next_loan)
            self.next_loan += 1
        return self.loan_numbers

    def kept(self) -> tuple[bytes, Document]:
        """Return the state as it can be kept, and what belongs to it; jobs that are over are forgotten first."""
        return self.copy().packed()

    def copy(self) -> SiteCopy:
        """Return the state as it is now, to be kept or forked; jobs that are over are forgotten first."""
        self.compact()
        extra = {
            "jobs": list(self.ids),
            "loans": list(self.loan_numbers),
            "next_loan": self.next_loan,
            "capacity": len(self.state.jobs),
        }
        fork = forked(self.state, self.plant, len(self.state.jobs))
        return SiteCopy(fork, self.state, self.plant, extra, self.document)

    def forked(self) -> tuple[Fork, Document]:
        """Return what is in use now, and what belongs to it: in milliseconds, and nothing of the site changes."""
        extra = {"jobs": list(self.ids), "loans": list(self.loan_numbers), "next_loan": self.next_loan}
        return forked(self.state, self.plant, len(self.ids)), extra

    def at(self, fork: Fork, extra: Mapping[str, Any]) -> LiveSite:
        """Return a site of the scenario in force that stands where :meth:`forked` was called, apart from this one."""
        site = copy(self)
        site.stand(fork, extra)
        return site

    def stand(self, fork: Fork, extra: Mapping[str, Any]) -> None:
        """Stand where :meth:`forked` was called, with tables of one's own."""
        self.state, self.plant = laid_out(fork, self.state, self.plant)
        self._past, self.outputs = None, new_outputs(self._start)
        self._scratch = new_scratch(self._start.site, len(self.state.queues))
        self._decided = np.zeros(len(self.state.actions), ACTION)
        self.state.tally["all_racks"] = 1  # there is nothing in the scratch yet
        self.ids = list(extra["jobs"])
        self.rows = {job: row for row, job in enumerate(self.ids)}
        self.loan_numbers, self.next_loan = list(extra["loans"]), int(extra["next_loan"])

    @classmethod
    def restored(cls, document: Mapping[str, Any], content: bytes, extra: Mapping[str, Any]) -> LiveSite:
        """Return the site as :meth:`kept` has kept it.

        Parameters
        ----------
        document : the scenario that was in force
        content, extra : what was kept

        """
        site = cls(document, int(extra["capacity"]))
        mark = {"jobs": int(extra["capacity"]), "crc32": 0}
        site.state, site.plant, _ = unpacked(content, site.state, site.plant, mark)
        site.state.tally["all_racks"] = 1
        site.ids = list(extra["jobs"])
        site.rows = {job: row for row, job in enumerate(site.ids)}
        site.loan_numbers, site.next_loan = list(extra["loans"]), int(extra["next_loan"])
        return site


def _with_room(state: State, capacity: int) -> State:
    """Return an empty state with room for jobs."""
    return numbering.renumbered(state, capacity)[0]
