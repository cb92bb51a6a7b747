"""What a turn of the loop changed, told apart from the tables before and after it, as plain values with the ids of rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kvandal.policy.acting import DEMOTE, MOVE, PROMOTE, START
from kvandal.policy.placement import TRAYS_PER_RACK
from kvandal.policy.rules import RULES
from kvandal.scenario.tenants import TIERS
from kvandal.twin.records import FINISHED, LOAN_REASONS, LOSSES, QUEUED, REFUSED, RUNNING, STOPPED

if TYPE_CHECKING:
    from kvandal.control.loop.site import Document, LiveSite
    from kvandal.twin.state import State

Array = Any
OUTCOMES = {"ended": "finished", "failed": "failed", "timeout": "timeout", "cancel": "cancelled"}
"""How a job ended, by what was told of it."""
WATCHED = ("state", "starts", "deadline_s", "held_by")


class Before:
    """What is remembered of the tables before a turn."""

    def __init__(self, state: State, jobs: int) -> None:
        self.jobs = {name: state.jobs[name][:jobs].copy() for name in WATCHED}
        loans = int(state.tally["loans"][0])
        self.loans = {name: state.loans[name][:loans].copy() for name in ("noticed_s", "returned_s")}
        self.caps = state.tiers["cap"].copy()


def effects_of(site: LiveSite, before: Before, decided: Array, inputs: Sequence[Document]) -> list[Document]:
    """List what a turn changed: what ended, what was decided in the order of the decision, why others wait, loans, caps.

    Every effect has ``do`` and, where a job is concerned, ``job`` and ``attempt``:

    end: outcome, rule, used_gpu_s, useful_gpu_s · refuse: rule, needed, available · take: cause, rule · start: rule, tier,
    gpus, shares ([tray, GPUs], ...) · notice: rule, deadline_s, claimant · promote, demote, move: rule, tier ·
    hold: rule · lend: loan, lender, borrower, gpus, time_s · loan_notice, loan_end: loan, ... · cap: caps by tier
    """
    state = site.state
    jobs, earlier = state.jobs[: len(site.ids)], before.jobs
    was_running = earlier["state"] == RUNNING
    again = jobs["starts"] != earlier["starts"]
    status = jobs["state"]
    found: list[Document] = []
    left = np.flatnonzero(was_running & ((status != RUNNING) | again))
    found += [_left(site, row, earlier, inputs) for row in left.tolist()]
    over = np.flatnonzero(
        ~was_running & (status != earlier["state"]) & np.isin(status, (REFUSED, STOPPED, FINISHED))
    )
    found += [_refused(site, row, inputs) for row in over.tolist()]
    found += _decided(site, decided, again & (status == RUNNING))
    given = (jobs["deadline_s"] != earlier["deadline_s"]) & (jobs["deadline_s"] >= 0) & (status == RUNNING)
    found += [_noticed(site, row) for row in np.flatnonzero(given).tolist()]
    waits = (status == QUEUED) & ((jobs["held_by"] != earlier["held_by"]) | (earlier["state"] != QUEUED))
    found += [
        {
            "do": "hold",
            "job": site.ids[row],
            "attempt": int(jobs["starts"][row]),
            "rule": _rule(jobs["held_by"][row]),
        }
        for row in np.flatnonzero(waits).tolist()
    ]
    found += _loans(site, before)
    if (state.tiers["cap"] != before.caps).any():
        found.append({"do": "cap", "caps": caps_of(state)})
    return found


def caps_of(state: State) -> dict[str, float]:
    """Power caps by tier of use, relative to TDP."""
    return {tier: float(state.tiers["cap"][index]) for index, tier in enumerate(TIERS)}


def shares_of(state: State, row: int) -> list[list[int]]:
    """Trays of a running job and its GPUs in each, in order."""
    shares = []
    piece = int(state.room.first_piece[row])
    racks = []
    while piece >= 0:
        racks.append(int(state.room.pieces["rack"][piece]))
        piece = int(state.room.pieces["next"][piece])
    for rack in sorted(set(racks)):
        first = rack * TRAYS_PER_RACK
        counts = (state.room.slots[first : first + TRAYS_PER_RACK] == row).sum(axis=1)
        shares += [[first + int(tray), int(counts[tray])] for tray in np.flatnonzero(counts)]
    return shares


def _rule(number: int) -> str:
    return RULES[int(number)][0]


def _of(site: LiveSite, row: int, do: str) -> Document:
    return {"do": do, "job": site.ids[row], "attempt": int(site.state.jobs["starts"][row])}


def _used(site: LiveSite, row: int) -> Document:
    job = site.state.jobs[row]
    return {"used_gpu_s": int(job["allocated_gpu_s"]), "useful_gpu_s": int(job["useful_gpu_s"])}


def _outcome(job: str, inputs: Sequence[Document], otherwise: str) -> str:
    """Say how a job ended: as the engine told, or as it was cancelled; what was told first has happened."""
    for one in inputs:
        if one.get("job") == job and one["kind"] in OUTCOMES:
            return OUTCOMES[one["kind"]]
    return otherwise


def _left(site: LiveSite, row: int, earlier: dict[str, Array], inputs: Sequence[Document]) -> Document:
    """Tell how a run ended."""
    job, attempt = site.state.jobs[row], int(earlier["starts"][row])
    if job["state"] in (FINISHED, STOPPED):
        outcome = _outcome(site.ids[row], inputs, "stopped" if job["state"] == STOPPED else "finished")
        rule = {"stopped": _rule(job["refused_rule"]), "cancelled": "O1"}.get(outcome, "-")
        return {
            "do": "end",
            "job": site.ids[row],
            "attempt": attempt,
            "outcome": outcome,
            "rule": rule,
            **_used(site, row),
        }
    cause = LOSSES[int(job["last_loss"])]
    rule = {"recall": _rule(job["end_rule"]), "failure": "F1", "shed": "E2", "expiry": "G4"}.get(cause, "-")
    return {
        "do": "take",
        "job": site.ids[row],
        "attempt": attempt,
        "cause": cause,
        "rule": rule,
        **_used(site, row),
    }


def _refused(site: LiveSite, row: int, inputs: Sequence[Document]) -> Document:
    """Tell how a job that waited ended."""
    job, mine = site.state.jobs[row], site.state.job_grants[row]
    rule = _rule(job["refused_rule"])
    if rule == "O1":
        outcome = _outcome(site.ids[row], inputs, "cancelled")
        rule = rule if outcome == "cancelled" else "-"
        return {**_of(site, row, "end"), "outcome": outcome, "rule": rule, **_used(site, row)}
    return {
        **_of(site, row, "refuse"),
        "rule": rule,
        "needed": int(mine["refused_needed"]),
        "available": int(mine["refused_available"]),
    }


def _start(site: LiveSite, row: int) -> Document:
    state = site.state
    job = state.jobs[row]
    return {
        **_of(site, row, "start"),
        "rule": _rule(job["start_rule"]),
        "tier": TIERS[min(int(job["use_tier"]), 2)] if job["use_tier"] < 3 else "firm",
        "gpus": int(job["gpus"]),
        "time_s": int(job["start_s"]),
        "shares": shares_of(state, row),
    }


def _decided(site: LiveSite, decided: Array, started: Array) -> Iterator[Document]:
    """Tell starts and changes of tier, in the order in which they were decided."""
    told = set()
    for action in decided:
        row, kind = int(action["job"]), int(action["kind"])
        if kind == START and started[row] and row not in told:
            told.add(row)
            yield _start(site, row)
        elif kind in (PROMOTE, DEMOTE, MOVE) and site.state.jobs["state"][row] == RUNNING:
            do = {PROMOTE: "promote", DEMOTE: "demote", MOVE: "move"}[kind]
            yield {**_of(site, row, do), "rule": _rule(action["rule"]), "tier": TIERS[int(action["tier"])]}
    for row in np.flatnonzero(started).tolist():
        if row not in told:  # decided at an instant before the last
            yield _start(site, row)


def _noticed(site: LiveSite, row: int) -> Document:
    job = site.state.jobs[row]
    claimant = int(site.state.loans["claimant"][job["loan"]]) if job["loan"] >= 0 else -1
    return {
        **_of(site, row, "notice"),
        "rule": _rule(job["end_rule"]),
        "deadline_s": int(job["deadline_s"]),
        "claimant": site.ids[claimant] if claimant >= 0 else None,
    }


def _loans(site: LiveSite, before: Before) -> Iterator[Document]:
    """Tell loans that began, were noticed or ended."""
    loans, known = site.state.loans, len(before.loans["returned_s"])
    numbers, names = site.number_loans(), [*site.scenario.tenants, "the pool"]
    for row in range(known, len(numbers)):
        one = loans[row]
        yield {
            "do": "lend",
            "loan": numbers[row],
            "job": site.ids[int(one["job"])],
            "lender": names[int(one["lender"])],
            "borrower": names[int(one["borrower"])],
            "gpus": int(one["gpus"]),
            "time_s": int(one["start_s"]),
        }
    now = loans[: len(numbers)]
    noticed, returned = now["noticed_s"].copy(), now["returned_s"].copy()
    new_notice, new_return = noticed >= 0, returned >= 0
    new_notice[:known] &= before.loans["noticed_s"] < 0
    new_return[:known] &= before.loans["returned_s"] < 0
    for row in np.flatnonzero(new_notice).tolist():
        yield {
            "do": "loan_notice",
            "loan": numbers[row],
            "time_s": int(noticed[row]),
            "deadline_s": int(now["deadline_s"][row]),
        }
    for row in np.flatnonzero(new_return).tolist():
        reason = LOAN_REASONS[int(now["reason"][row])]
        yield {"do": "loan_end", "loan": numbers[row], "time_s": int(returned[row]), "reason": reason}
