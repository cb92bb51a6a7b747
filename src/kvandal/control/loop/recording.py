"""Writing a turn of the loop down: the decision with its inputs, what became of jobs and loans, what is to be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from kvandal.control.store.tables.loop import (
    CYCLES,
    INTENTIONS,
    JOB_EVENTS,
    JOBS,
    KEYFRAMES,
    LOANS,
    SITE_NOW,
    SITE_TICKS,
)
from kvandal.policy.rules import RULES

Document = dict[str, Any]
SENTENCES = dict(RULES.values())
ENDS = {"finished", "failed", "timeout", "cancelled", "stopped"}


@dataclass(slots=True)
class Record:
    """Everything that one turn writes, in one transaction.

    Attributes
    ----------
    number, at_utc, time_s : the cycle
    inbox_to, cursor : what of the inbox and of the engine's events it has taken
    inputs, effects : what was told, what changed
    written : whether the cycle is worth a row: something was told or changed
    view : the site now; None: as before
    ticks : rows of SITE_TICKS
    done : answers to intentions, by their id: (state, answer)
    keyframe : the state after a cycle: its number, the state, what belongs to it, the scenario then in force; None: not this time
    orders : intentions, in order
    tried : intentions that could not be given, to be tried again

    """

    number: int
    at_utc: datetime
    time_s: int
    inbox_to: int
    cursor: str
    inputs: list[Document]
    effects: list[Document]
    written: bool
    view: Document | None = None
    ticks: list[Document] = field(default_factory=list)
    done: dict[int, tuple[str, str]] = field(default_factory=dict)
    keyframe: tuple[int, bytes, Document, Document] | None = None
    orders: list[Document] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)

    @property
    def says_something(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.written or self.ticks or self.done or self.view is not None or self.tried or self.keyframe
        )


def write(tx: Connection, record: Record, epoch_utc: datetime, names: Sequence[str]) -> list[int]:
    """Write a turn down.

    Parameters
    ----------
    tx : transaction of the store
    record : the turn
    epoch_utc : second 0 of the loop
    names : the engine's names of the trays

    Returns
    -------
    Ids of the intentions, in the order of `record.orders`.

    """
    ids: list[int] = []
    if record.written:
        tx.execute(
            insert(CYCLES).values(
                number=record.number,
                at_utc=record.at_utc,
                time_s=record.time_s,
                inbox_to=record.inbox_to,
                cursor=record.cursor,
                inputs=record.inputs,
                actions=record.effects,
                state_digest="",
            )
        )
        _write_jobs(tx, record, epoch_utc, names)
        _write_loans(tx, record.effects, epoch_utc)
        if record.orders:
            rows = [{"cycle": record.number, "state": "open", **order} for order in record.orders]
            # numbered in this order; to be told each number takes far longer
            tx.execute(insert(INTENTIONS), rows)
            mine = INTENTIONS.c.state == "open", INTENTIONS.c.cycle == record.number
            ids = list(tx.scalars(select(INTENTIONS.c.id).where(*mine).order_by(INTENTIONS.c.id)))
    for state in {state for state, _ in record.done.values()}:
        answers = [
            {"row": row, "answer": answer} for row, (one, answer) in record.done.items() if one == state
        ]
        statement = update(INTENTIONS).where(INTENTIONS.c.id == bindparam("row"))
        tx.execute(statement.values(state=state, done_utc=record.at_utc, answer=bindparam("answer")), answers)
    if record.tried:
        tx.execute(
            update(INTENTIONS).where(INTENTIONS.c.id.in_(record.tried)).values(tries=INTENTIONS.c.tries + 1)
        )
    _write_ticks(tx, record.ticks)
    if record.keyframe is not None:
        cycle, content, extra, scenario = record.keyframe
        tx.execute(insert(KEYFRAMES).values(cycle=cycle, state=content, extra=extra, scenario=scenario))
    if record.view is not None:
        values = {"at_utc": record.at_utc, "view": record.view}
        newer = update(SITE_NOW).where(SITE_NOW.c.id == 1).values(version=SITE_NOW.c.version + 1, **values)
        if tx.execute(newer).rowcount == 0:
            tx.execute(insert(SITE_NOW).values(id=1, version=1, **values))
    return ids


def _write_ticks(tx: Connection, ticks: Sequence[Document]) -> None:
    """Write ticks down that are not there yet: a loop that comes back closes some a second time."""
    if not ticks:
        return
    time_s = SITE_TICKS.c.time_s
    there = set(tx.scalars(select(time_s).where(time_s.between(ticks[0]["time_s"], ticks[-1]["time_s"]))))
    if rows := [row for row in ticks if row["time_s"] not in there]:
        tx.execute(insert(SITE_TICKS), rows)


def _write_jobs(tx: Connection, record: Record, epoch_utc: datetime, names: Sequence[str]) -> None:
    changes: dict[str, Document] = {}
    events: list[Document] = []
    for effect in record.effects:
        if "job" not in effect or effect["do"] == "lend":
            continue
        change, event = _of_job(effect, record.at_utc, epoch_utc, names)
        row = changes.setdefault(effect["job"], {})
        row.update(change)
        if change.get("recalled"):
            row["recalls"] = row.get("recalls", 0) + 1
        row.pop("recalled", None)
        events.append({"job": effect["job"], "cycle": record.number, **event})
    groups: dict[tuple[str, ...], list[Document]] = {}
    for job, row in changes.items():
        groups.setdefault(tuple(sorted(row)), []).append(
            {"key": job, **{f"new_{name}": v for name, v in row.items()}}
        )
    for columns, rows in groups.items():
        values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=JOBS.c[name].type) for name in columns}
        if "recalls" in values:
            values["recalls"] = JOBS.c.recalls + values["recalls"]
        values["version"] = JOBS.c.version + 1
        tx.execute(update(JOBS).where(JOBS.c.id == bindparam("key")).values(**values), rows)
    if events:
        tx.execute(insert(JOB_EVENTS), events)


def _of_job(
    effect: Mapping[str, Any], now_utc: datetime, epoch_utc: datetime, names: Sequence[str]
) -> tuple[Document, Document]:
    """Return what an effect changes in the row of its job, and the event that tells it."""
    do, rule = effect["do"], effect["rule"]
    detail = {
        key: value for key, value in effect.items() if key not in ("do", "job", "rule", "shares", "time_s")
    }
    at_utc = epoch_utc + timedelta(seconds=effect["time_s"]) if "time_s" in effect else now_utc
    event = {"at_utc": at_utc, "kind": do, "rule": rule, "detail": detail}
    reason = {
        "reason_rule": rule if rule != "-" else "",
        "reason": SENTENCES.get(rule, "") if rule != "-" else "",
    }
    if do == "start":
        shares = [[names[tray], gpus] for tray, gpus in effect["shares"]]
        detail["shares"] = shares
        return {
            **reason,
            "state": "running",
            "tier": effect["tier"],
            "attempt": effect["attempt"],
            "shares": shares,
            "started_utc": at_utc,
            "deadline_utc": None,
        }, event
    if do == "notice":
        deadline_utc = epoch_utc + timedelta(seconds=effect["deadline_s"])
        detail["deadline_utc"] = deadline_utc.isoformat()
        return {**reason, "state": "recalled", "deadline_utc": deadline_utc}, event
    if do == "take":
        return {
            **reason,
            "state": "queued",
            "shares": [],
            "tier": "",
            "deadline_utc": None,
            "used_gpu_s": effect["used_gpu_s"],
            "useful_gpu_s": effect["useful_gpu_s"],
            "recalled": effect["cause"] == "recall",
        }, event
    if do == "end":
        return {
            **reason,
            "state": effect["outcome"],
            "shares": [],
            "ended_utc": now_utc,
            "deadline_utc": None,
            "used_gpu_s": effect["used_gpu_s"],
            "useful_gpu_s": effect["useful_gpu_s"],
        }, event
    if do == "refuse":
        text = _refusal(effect)
        return {"reason_rule": rule, "reason": text, "state": "refused", "ended_utc": now_utc}, event
    if do == "hold":
        return {**reason, "state": "queued"}, event
    return {**reason, "tier": effect["tier"]}, event


def _refusal(effect: Mapping[str, Any]) -> str:
    sentence = SENTENCES.get(effect["rule"], "")
    if not effect["needed"] and not effect["available"]:
        return sentence
    return f"{sentence} It needs {effect['needed']:,}; there are {effect['available']:,}."


def _write_loans(tx: Connection, effects: Iterable[Mapping[str, Any]], epoch_utc: datetime) -> None:
    def at(seconds: int) -> datetime:
        return epoch_utc + timedelta(seconds=seconds)

    lent = [
        {
            "id": one["loan"],
            "state": "lent",
            "started_utc": at(one["time_s"]),
            **{name: one[name] for name in ("job", "lender", "borrower", "gpus")},
        }
        for one in effects
        if one["do"] == "lend"
    ]
    if lent:
        tx.execute(insert(LOANS), lent)
    noticed = [
        {"loan": one["loan"], "noticed": at(one["time_s"]), "deadline": at(one["deadline_s"])}
        for one in effects
        if one["do"] == "loan_notice"
    ]
    returned = [
        {"loan": one["loan"], "returned": at(one["time_s"]), "why": one["reason"]}
        for one in effects
        if one["do"] == "loan_end"
    ]
    this = update(LOANS).where(LOANS.c.id == bindparam("loan"))
    if noticed:
        until: Any = bindparam("deadline")
        tx.execute(
            this.values(state="noticed", noticed_utc=bindparam("noticed"), deadline_utc=until), noticed
        )
    if returned:
        why: Any = bindparam("why")
        tx.execute(this.values(state="returned", returned_utc=bindparam("returned"), reason=why), returned)


def orders_of(
    effects: Iterable[Mapping[str, Any]], inputs: Iterable[Mapping[str, Any]], names: Sequence[str]
) -> list[Document]:
    """Return what an engine is to be told, in the order in which it must be told.

    What leaves its nodes goes first, so that they are free for who comes.
    """
    refused = {one["job"] for one in effects if one["do"] == "refuse"}
    told = {one["job"]: one["kind"] for one in inputs if "job" in one}

    def order(kind: str, one: Mapping[str, Any], **body: Any) -> Document:
        return {"kind": kind, "job": one["job"], "attempt": one.get("attempt", 0), "body": body}

    found = [order("submit", one) for one in inputs if one["kind"] == "submit" and one["job"] not in refused]
    later = []
    for one in effects:
        if one["do"] == "take":
            found.append(order("hold", one))
        elif (one["do"] == "end" and told.get(one["job"]) not in ("ended", "failed", "timeout")) or (
            one["do"] == "refuse" and told.get(one["job"]) != "submit"
        ):
            found.append(order("cancel", one))
        elif one["do"] == "notice":
            later.append(order("recall", one, deadline_s=one["deadline_s"]))
        elif one["do"] == "start":
            shares = [[names[tray], gpus] for tray, gpus in one["shares"]]
            later.append(order("start", one, tier=one["tier"], shares=shares))
        elif one["do"] == "cap":
            found.append({"kind": "cap", "job": None, "attempt": 0, "body": one["caps"]})
    return found + later
