"""The sentences of a job's life, in order of time (:func:`kvandal.why`)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from kvandal.policy.rules import HOLDS, RULES
from kvandal.runs.breakage import what_broke
from kvandal.runs.holding import changes, holding, purpose
from kvandal.runs.phrases import Clock, counted, duration, gpu_hours, gpus, listed
from kvandal.runs.story import Records, Row, Sentence, Why

SENTENCES = dict(RULES.values())
"""Sentence of every rule by its id."""
HOLD_IDS = tuple(RULES[rule][0] for rule in HOLDS)
LONGEST_REST = 24
"""Most times the rest after one recall that a job rests (rule L3)."""
REASONS = {
    "Q1": "because earlier jobs of its tenant and class stood before it",
    "K1": "because its tenant, or a group above it, was at its ceiling",
    "K2": "because neither its tenant's own share nor any lender's idle share had room for it",
    "T1": "because too few whole trays were free together",
    "B1": "because racks or shares that it needed were reserved, for it or for a job before it",
    "R1": "because borrowers under notice had still to leave the racks that it claimed",
    "E1": "because the power envelope had no room for it",
    "L3": "because it had to rest after a recall",
    "F1": "because it had lost its GPUs to a failure",
}
"""What a rule that holds a job back means for it."""
LOST = {
    "failure": "failures",
    "recall": "recalls",
    "shed": "power caps and load shedding",
    "checkpoint": "checkpoints",
    "restart": "restarts",
    "expiry": "the end of its grant",
}


def tell(record: Row, records: Records) -> Why:
    """Tell the life of a job.

    Parameters
    ----------
    record : run.json
    records : what the tables hold of the job

    """
    life = _Life(record, records)
    life.tell()
    cited = list(dict.fromkeys(rule for sentence in life.sentences for rule in sentence.rules))
    return Why(
        job=int(records.job["job"]),
        title=str(record["title"]),
        time_zone=life.time_zone,
        sentences=tuple(life.sentences),
        waits_s=life.waits_s,
        rules={rule: SENTENCES[rule] for rule in cited},
    )


class _Life:
    """A job's records, and the sentences told of it so far."""

    def __init__(self, record: Row, records: Records) -> None:
        self.records, self.job = records, records.job
        scenario = record["scenario"]
        self.time_zone = str(scenario["site"]["time_zone"])
        self.clock = Clock(self.time_zone)
        self.over_utc = datetime.fromisoformat(record["end_utc"])
        self.demand: Row = scenario["demand"][self.job["demand"]]
        self.lent_tier = scenario["tenants"][self.job["tenant"]]["tier"] == "lent"
        own_s = self.demand["checkpoint_s"]
        self.checkpoint_s = round(scenario["reliability"]["checkpoint_s"] if own_s is None else own_s)
        self.rest_s = round(scenario["policy"]["rest_after_recall_s"])
        self.waits_s = {rule: int(self.job[f"wait_{rule.lower()}_s"]) for rule in HOLD_IDS}
        self.waits_s = {rule: wait_s for rule, wait_s in self.waits_s.items() if wait_s}
        self.sentences: list[Sentence] = []
        self.runs = self._runs()
        self.left_utc = self._left_utc()
        self.gaps = self._gaps()
        self.rests = self._rests()

    def say(self, time_utc: datetime, text: str, *rules: str) -> None:
        """Add a sentence."""
        self.sentences.append(Sentence(time_utc, text, tuple(dict.fromkeys(rules))))

    def _runs(self) -> list[Row]:
        """All runs of the job; the last one, unless it was interrupted, has no cause."""
        job, runs = self.job, [dict(run) for run in self.records.runs]
        if job["starts"] > len(runs):
            end_utc = self.over_utc if job["state"] == "running" else job["end_utc"]
            last = {"start_utc": job["last_start_utc"], "end_utc": end_utc, "gpus": job["last_gpus"]}
            runs.append({**last, "cause": None, "start_rule": job["start_rule"], "racks": job["racks"]})
        return runs

    def _left_utc(self) -> datetime:
        """When the job finished, was turned away, or the run was over."""
        job = self.job
        if job["end_utc"] is not None:
            return _instant(job["end_utc"])
        if job["state"] == "refused":  # nothing happened to it but waiting
            return _instant(job["submit_utc"]) + timedelta(seconds=sum(self.waits_s.values()))
        return self.over_utc

    def _gaps(self) -> list[timedelta]:
        """List the times in which it did not run: before each of its runs, and after the last."""
        edges = [self.job["submit_utc"]]
        for run in self.runs:
            edges += [run["start_utc"], run["end_utc"]]
        edges.append(self.left_utc)
        return [after - before for before, after in zip(edges[::2], edges[1::2], strict=True)]

    def _rests(self) -> dict[int, int]:
        """Rest before a run, by its number [s]: longer after each recall (L3); none if they do not sum to what it rested."""
        rests: dict[int, int] = {}
        recalls = 0
        for index, run in enumerate(self.runs):
            if run["cause"] == "recall":
                recalls += 1
                gap_s = round(self.gaps[index + 1].total_seconds())
                rests[index + 1] = min(self.rest_s * min(recalls, LONGEST_REST), gap_s)
        return rests if self.lent_tier and sum(rests.values()) == self.waits_s.get("L3", 0) else {}

    def tell(self) -> None:
        """Tell it from the submission to the end."""
        self._submission()
        if self.job["state"] == "refused":
            self._refusal()
            return
        for index, run in enumerate(self.runs):
            self._start(index, run)
            self.sentences += changes(self.records, run, self.clock)
            self._end(index, run)
        self._outcome()
        if self.runs:
            self._sum()

    def _submission(self) -> None:
        job = self.job
        kind = self.demand["kind"]
        text = f"Submitted {self.clock.at(job['submit_utc'])} by {job['tenant']} ({job['tier']}): {gpus(job['gpus'])}, "
        text += f"{kind} of the class {job['demand']}, "
        timed = self.demand.get("time_limit_h") is not None
        limit = duration(job["limit_s"])
        text += f"may run {limit} (T2)" if timed else f"asks for {limit}"
        due_utc = self._due_utc()
        if due_utc is not None:
            text += f", to be done by {self.clock.at(due_utc)} (D1)"
        self.say(
            job["submit_utc"],
            text + ".",
            *(["T2"] if timed else []),
            *(["D1"] if due_utc is not None else []),
        )

    def _due_utc(self) -> datetime | None:
        deadline_h = self.demand.get("deadline_h")
        if deadline_h is None:
            return None
        return _instant(self.job["submit_utc"]) + timedelta(seconds=round(deadline_h * 3600))

    def _refusal(self) -> None:
        job, rule = self.job, str(self.job["refused_rule"])
        if self.waits_s:
            self._wait(self.gaps[0], self.job["submit_utc"])
            self.say(
                self.left_utc,
                f"Refused {self.clock.at(self.left_utc)} while it waited ({rule}): {job['refused_text']}.",
                rule,
            )
        else:
            self.say(self.left_utc, f"Refused at once ({rule}): {job['refused_text']}.", rule)

    def _split(self, without: str = "") -> tuple[str, list[str]]:
        """Say what all of its waiting was for, but for what the rule `without` made it wait; and the rules."""
        order = sorted(self.waits_s, key=lambda rule: (-self.waits_s[rule], HOLD_IDS.index(rule)))
        order = [rule for rule in order if rule != without]
        if len(order) == 1:
            return f" {REASONS[order[0]]} ({order[0]})", order
        parts = [f"{duration(self.waits_s[rule])} {REASONS[rule]} ({rule})" for rule in order]
        return ": " + ", ".join(parts), order

    def _waited_once(self) -> bool:
        """Whether it waited a single time, so that all it waited for belongs there."""
        return sum(1 for gap in self.gaps if gap) == 1

    def _wait(self, gap: timedelta, since_utc: datetime) -> None:
        """Say how long it waited before its first start; for what, if it never waited again."""
        if gap:
            split, rules = self._split() if self._waited_once() else ("", [])
            self.say(since_utc, f"Waited {duration(gap)}{split}.", *rules)

    def _wait_again(self, index: int) -> None:
        """Say how long it rested and waited between two runs, or after its last; for what, if it never waited else."""
        gap, since_utc = self.gaps[index], self.runs[index - 1]["end_utc"]
        rest = timedelta(seconds=self.rests.get(index, 0))
        if rest:
            self.say(since_utc, f"Rested {duration(rest)} before it could borrow again (L3).", "L3")
        if gap > rest:
            split, rules = self._split("L3" if rest else "") if self._waited_once() else ("", [])
            then = "Then waited" if rest else "Waited"
            self.say(since_utc + rest, f"{then} {duration(gap - rest)}{split}.", *rules)

    def _start(self, index: int, run: Row) -> None:
        if index == 0:
            self._wait(self.gaps[0], self.job["submit_utc"])
            text = f"Started {self.clock.at(run['start_utc'])}"
        elif self.gaps[index]:
            self._wait_again(index)
            text = f"Started again {self.clock.at(run['start_utc'])}"
        else:
            text = "Started again at once"
        rules = []
        if run["gpus"] < self.job["gpus"]:
            text += f" with {run['gpus']:,} of the {gpus(self.job['gpus'])} that it asked for (M1)"
            rules.append("M1")
        told, more = holding(self.records, run)
        text += told
        if "racks" in run:
            text += f", in {counted(run['racks'], 'rack')}"
        self.say(run["start_utc"], f"{text}.", *rules, *more)

    def _end(self, index: int, run: Row) -> None:
        """Say what ended a run before the job did."""
        cause, after = run["cause"], duration(run["end_utc"] - run["start_utc"])
        if cause == "recall":
            self._recall(run)
        elif cause == "failure":
            at = self.clock.at(run["end_utc"])
            broken = what_broke(self.records, run, self.clock)
            self.say(run["end_utc"], f"Lost its GPUs {at} after {after}: {broken}.", "F1")
        elif cause == "shed":
            at = self.clock.at(run["end_utc"])
            self.say(
                run["end_utc"],
                f"Shed {at} after {after}, for caps alone could not hold the power envelope (E2).",
                "E2",
            )
        elif cause == "expiry":
            at = self.clock.at(run["end_utc"])
            self.say(run["end_utc"], f"Lost its GPUs {at} after {after}, for its grant ended (G4).", "G4")
        else:
            self._spared(run)
            return
        same = sum(1 for one in self.runs if one["cause"] == cause)
        if same == 1 and cause != "shed":  # what caps took is counted with what sheds took
            self._cost(index, run, self.job[f"gpu_s_lost_{cause}"])

    def _cost(self, index: int, run: Row, lost_gpu_s: float) -> None:
        """Say what an interruption lost, if its cause struck no other time."""
        if lost_gpu_s:
            lost_s = lost_gpu_s / run["gpus"]
            last = run["cause"] == "recall" and lost_s == self.checkpoint_s
            why = " for a last checkpoint" if last else ""
            what = f"{gpus(run['gpus'])} for {duration(lost_s)}"
            self.say(run["end_utc"], f"That lost {gpu_hours(lost_gpu_s)}{why}: {what}.")
        elif index + 1 < len(self.runs):
            self.say(run["end_utc"], "No work was lost.")

    def _notice(self, run: Row) -> Row | None:
        """Last notice that was given to a run, if any."""
        given = [one for one in self.records.notices if run["start_utc"] <= one["time_utc"] <= run["end_utc"]]
        return given[-1] if given else None

    def _spared(self, run: Row) -> None:
        """Say that a run was under notice when it ended by itself, or when the simulated time was over."""
        notice = self._notice(run)
        if notice is None:
            return
        since, rule = self.clock.at(notice["time_utc"]), str(notice["rule"])
        over = "" if self.job["state"] == "running" else ", but ended before it was over"
        text = f"Was under notice from {since}{purpose(self.records, run, rule)}{over}."
        self.say(notice["time_utc"], text, rule)

    def _recall(self, run: Row) -> None:
        notice, rule = self._notice(run), str(run["end_rule"])
        noticed_utc = notice["time_utc"] if notice is not None else run["end_utc"]
        at = self.clock.at(noticed_utc)
        text = f"Recalled {at} after {duration(noticed_utc - run['start_utc'])}{purpose(self.records, run, rule)}"
        left = f"left {self.clock.at(run['end_utc'])}" if noticed_utc < run["end_utc"] else "left at once"
        self.say(noticed_utc, f"{text}; {left}.", rule)

    def _outcome(self) -> None:
        """Say how it ended, or how it stood at the end of the run."""
        job, left_utc = self.job, self.left_utc
        last = self.runs[-1] if self.runs else None
        ran = duration(left_utc - last["start_utc"]) if last is not None else ""
        at = "" if self.gaps[-1] else self.clock.at(left_utc)
        if job["state"] == "finished":
            self.say(left_utc, f"Finished {at} after {ran}{self._punctual(left_utc)}.")
        elif job["state"] == "running":
            self.say(left_utc, f"Still ran when the run ended, {at}, after {ran}.")
        elif job["state"] == "stopped":
            rule = str(job["refused_rule"])
            ran_then = last is not None and last["cause"] is None
            if self.gaps[-1]:
                self._wait_again(len(self.runs))
                at = self.clock.at(left_utc)
            when = f"after {ran}" if ran_then else "while it waited" if self.gaps[-1] else "for good"
            self.say(left_utc, f"Stopped {at} {when} ({rule}): {job['refused_text']}.", rule)
        else:
            self._still_queued()

    def _punctual(self, left_utc: datetime) -> str:
        due_utc = self._due_utc()
        if due_utc is None:
            return ""
        late = left_utc - due_utc
        return ", in time" if late <= timedelta(0) else f", {duration(late)} late"

    def _still_queued(self) -> None:
        job = self.job
        if self.runs:
            self._wait_again(len(self.runs))
        else:
            self._wait(self.gaps[-1], job["submit_utc"])
        held = str(job["held_rule"])
        at = self.clock.at(self.left_utc)
        why = "" if list(self.waits_s) == [held] else f", in the end {REASONS[held]}"
        text = f"Still queued when the run ended, {at}{why} ({held})."
        self.say(self.left_utc, text, held)

    def _sum(self) -> None:
        """Sum up its waiting, its runs and its GPU-hours."""
        job = self.job
        waited = sum(self.gaps, timedelta(0))
        ran = sum((run["end_utc"] - run["start_utc"] for run in self.runs), timedelta(0))
        split, rules = ("", []) if self._waited_once() or not waited else self._split()
        how_long = f"waited {duration(waited)}" if waited else "never waited"
        text = f"In all: {how_long}{split}{';' if rules else ','} ran {duration(ran)}"
        hit = [
            counted(job[name], noun)
            for name, noun in (("recalls", "recall"), ("failures", "failure"), ("sheds", "shed"))
            if job[name]
        ]
        expiries = sum(1 for run in self.runs if run["cause"] == "expiry")
        hit += [counted(expiries, "expired grant")] if expiries else []
        text += f", was interrupted by {listed(hit)}" if hit else ", was never interrupted"
        text += f"; held {gpu_hours(job['gpu_s_allocated'])}, {gpu_hours(job['gpu_s_useful'])} of them useful"
        lost = {what: job[f"gpu_s_lost_{cause}"] for cause, what in LOST.items()}
        parts = [f"{gpu_hours(gpu_s)} to {what}" for what, gpu_s in lost.items() if gpu_s]
        text += f"; lost {listed(parts)}" if parts else ""
        self.say(self.left_utc, f"{text}.", *rules)


def _instant(value: Any) -> datetime:
    found: datetime = value
    return found
