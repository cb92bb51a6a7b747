"""The states of an application: which step somebody may take now, and what it comes to.

::

    draft ─submit─► submitted ─check─► technical_review ─► scientific_review ─► decision ─decide─► granted | rejected
      ▲                │  │                   │                    │               │                        │
      └────return──────┴──┼───────────────────┴────────────────────┴───────────────┘                      appeal
                          └─ a gate failed: rejected        all but the decided: withdraw ─► withdrawn       ▼
                                                                                       granted | rejected ◄─decide─ appealed

:func:`refuse` says whether a step is allowed, :func:`kvandal.control.office.moves.moved` what it comes to. The history
holds the steps alone: following them again gives the same application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kvandal.client.resources.applications import Application, Gate, State
from kvandal.client.resources.calls import Call, Rung
from kvandal.control.office.gates import unanswered
from kvandal.control.office.rules import RefusedByRule
from kvandal.scenario.parameters import value

OPEN: frozenset[State] = frozenset(
    {"submitted", "technical_review", "scientific_review", "decision", "appealed"}
)
"""Handed in and not decided."""
OFFICE = "office"
"""Who acts where a rule acts by itself."""
STEPS_FROM: dict[str, frozenset[State]] = {
    "revise": frozenset({"draft"}),
    "submit": frozenset({"draft"}),
    "check": frozenset({"submitted"}),
    "confirm": frozenset({"submitted"}),
    "assign": frozenset({"submitted", "technical_review", "scientific_review"}),
    "review": frozenset({"technical_review", "scientific_review"}),
    "recuse": OPEN,
    "return": OPEN - {"appealed"},
    "look": OPEN - {"submitted"},
    "decide": frozenset({"decision", "appealed"}),
    "withdraw": OPEN | {"draft"},
    "appeal": frozenset({"rejected"}),
}
"""States from which each step may be taken."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that somebody wants to take.

    Attributes
    ----------
    kind : one of :data:`STEPS_FROM`
    by : id of the person, or :data:`OFFICE`
    at_utc : when
    body : what it says

    """

    kind: str
    by: str
    at_utc: datetime
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the rules look at beside the application.

    Attributes
    ----------
    rung, call : of the application
    gates : as they stand at this instant (for check, confirm and decide)
    conflict : rule and reason why whoever takes the step (or is assigned by it) may not judge
    rights : what whoever takes the step may do: apply, appeal, assign, review, decide, run

    """

    rung: Rung
    call: Call
    rights: frozenset[str]
    gates: tuple[Gate, ...] = ()
    conflict: tuple[str, str] | None = None


JUDGED = frozenset({"confirm", "return", "assign", "review", "look", "decide"})
"""Steps by which an application is judged: a conflict of interest bars them."""
RIGHT_FOR = {
    "revise": "apply",
    "submit": "apply",
    "withdraw": "apply",
    "appeal": "appeal",
    "check": "run",
    "confirm": "decide",
    "return": "decide",
    "decide": "decide",
    "assign": "assign",
    "review": "review",
}
"""What somebody must be allowed to do for a step; everybody who judges may look and recuse himself."""
RULE_OF = {
    "create": "OS1",
    "revise": "OS1",
    "submit": "OS1",
    "check": "OS2",
    "confirm": "OS3",
    "return": "OS4",
    "assign": "OS5",
    "review": "OS5",
    "recuse": "OS7",
    "look": "OS8",
    "decide": "OS9",
    "withdraw": "OS12",
    "appeal": "OS13",
}
"""The rule by which a step is taken."""


def counted(application: Application, part: str) -> int:
    """Reviews of a part that count."""
    return sum(review.part == part and review.set_aside is None for review in application.reviews)


def _needed(rung: Rung, kind: str) -> tuple[int, int]:
    """Technical and scientific reviews that an application needs; a change of a grant needs none."""
    return (0, 0) if kind == "change" else (rung.technical_reviews, rung.scientific_reviews)


def waits_for(application: Application, rung: Rung) -> State:
    """Return the state in which an application waits: for reviews that are missing, else for its decision."""
    technical, scientific = _needed(rung, application.kind)
    if counted(application, "technical") < technical:
        return "technical_review"
    return "scientific_review" if counted(application, "scientific") < scientific else "decision"


def _only_people(application: Application) -> bool:
    proposal = application.proposal
    return application.kind == "change" and not proposal.gpu_hours and not proposal.months


def grants_by_itself(application: Application, rung: Rung) -> bool:
    """Whether the office grants an application without a person once its gates are passed (OS11)."""
    return rung.path == "automatic" and application.kind == "award"


def refuse(application: Application, step: Step, around: Circumstances) -> None:
    """Refuse a step that the rules do not allow.

    Raises
    ------
    RefusedByRule
        With the rule, and what would be right.

    """
    allowed = STEPS_FROM[step.kind]
    if application.state not in allowed:
        raise RefusedByRule(
            "OS14",
            f"{step.kind} is a step from {', '.join(sorted(allowed))}; the application is: {application.state}",
            state=application.state,
        )
    right = RIGHT_FOR.get(step.kind)
    if right is not None and right not in around.rights:
        raise RefusedByRule(RULE_OF[step.kind], f"{step.by} may not {step.kind} this application")
    if step.kind in JUDGED and around.conflict is not None:
        raise RefusedByRule(around.conflict[0], f"{step.body.get('person', step.by)} {around.conflict[1]}")
    refusal = _REFUSALS.get(step.kind)
    if refusal is not None:
        refusal(application, step, around)


def _refuse_submit(application: Application, step: Step, around: Circumstances) -> None:
    call = around.call
    if application.kind == "change":
        return
    if step.at_utc < call.opens_utc or (call.closes_utc is not None and step.at_utc >= call.closes_utc):
        closes = "" if call.closes_utc is None else f" to {call.closes_utc:%Y-%m-%d %H:%M}"
        raise RefusedByRule(
            "OS1", f"{call.id} takes applications from {call.opens_utc:%Y-%m-%d %H:%M}{closes} UTC"
        )


def _refuse_confirm(application: Application, step: Step, around: Circumstances) -> None:
    del application
    waiting = [gate.rule for gate in unanswered(around.gates)]
    if step.body["rule"] not in waiting:
        raise RefusedByRule(
            "OS3",
            f"{step.body['rule']} does not wait for a person; waiting are: {', '.join(waiting) or 'none'}",
        )


def _refuse_review(application: Application, step: Step, around: Circumstances) -> None:
    del around
    part = step.body["part"]
    if application.state != f"{part}_review":
        raise RefusedByRule(
            "OS5", f"a {part} review is not wanted now: the application is: {application.state}"
        )
    if application.reviewers and step.by not in application.reviewers:
        raise RefusedByRule("OS5", f"others were chosen to review it: {', '.join(application.reviewers)}")
    if any(
        review.by == step.by and review.part == part and review.set_aside is None
        for review in application.reviews
    ):
        raise RefusedByRule("OS5", f"{step.by} has written a {part} review already")


def _refuse_recuse(application: Application, step: Step, around: Circumstances) -> None:
    person = step.body["person"]
    if step.by != OFFICE and not around.rights & {"decide", "review"}:
        raise RefusedByRule("OS7", f"{step.by} does not judge applications")
    if step.by not in {person, OFFICE} and "decide" not in around.rights:
        raise RefusedByRule("OS7", f"{step.by} may recuse himself, not {person}")
    if any(recusal.person == person for recusal in application.recusals):
        raise RefusedByRule("OS7", f"{person} is recused already")


def _refuse_look(application: Application, step: Step, around: Circumstances) -> None:
    del application
    if not around.rights & {"decide", "review"}:
        raise RefusedByRule("OS8", f"{step.by} does not judge applications")


def _refuse_decide(application: Application, step: Step, around: Circumstances) -> None:
    rung, call, at = around.rung, around.call, step.at_utc
    appealed = application.state == "appealed"
    if appealed and step.by in application.took_part:
        raise RefusedByRule("OC5", f"{step.by} took part in the first decision")
    if not appealed and waits_for(application, rung) != "decision":
        raise RefusedByRule("OS6", f"the application waits for its {waits_for(application, rung)}")
    if rung.needs_dates and call.closes_utc is not None and at < call.closes_utc:
        raise RefusedByRule(
            "OS9", f"{call.id} closes at {call.closes_utc:%Y-%m-%d %H:%M} UTC; nothing is decided before"
        )
    hours = step.body.get("gpu_hours")
    hours = application.proposal.gpu_hours if hours is None else hours
    grants = step.body["outcome"] == "grant"
    if not _only_people(application):
        _refuse_unseen(application, step, hours if grants else None)
    if not grants:
        return
    missing = [gate for gate in around.gates if gate.passed is not True]
    if missing:
        first = missing[0]
        raise RefusedByRule(
            first.rule if first.passed is False else "OS3",
            f"{first.rule} is not passed: {first.sentence}",
            **first.numbers,
        )
    if hours > application.proposal.gpu_hours:
        raise RefusedByRule(
            "OS10", f"{hours:,} GPU-h are more than the {application.proposal.gpu_hours:,} asked for"
        )


def _refuse_unseen(application: Application, step: Step, hours: int | None) -> None:
    look = next((look for look in application.looks if look.by == step.by), None)
    if look is None:
        raise RefusedByRule("OS8", f"{step.by} has not looked at the consequences")
    most = timedelta(hours=value("office.look_hours"))
    if step.at_utc - look.at_utc > most:
        raise RefusedByRule(
            "OS8",
            f"the look of {look.at_utc:%Y-%m-%d %H:%M} UTC is older than {value('office.look_hours'):g} h",
        )
    if hours is not None and hours != look.gpu_hours:
        raise RefusedByRule("OS8", f"the look was at {look.gpu_hours:,} GPU-h, not at {hours:,}")


def _refuse_appeal(application: Application, step: Step, around: Circumstances) -> None:
    del around
    decision = application.decision
    assert decision is not None
    if application.appeal is not None:
        raise RefusedByRule("OS13", "the decision on the appeal is final")
    last = decision.at_utc + timedelta(days=value("office.appeal_days"))
    if step.at_utc > last:
        raise RefusedByRule("OS13", f"the time to appeal ended at {last:%Y-%m-%d %H:%M} UTC")


_REFUSALS = {
    "submit": _refuse_submit,
    "confirm": _refuse_confirm,
    "review": _refuse_review,
    "recuse": _refuse_recuse,
    "look": _refuse_look,
    "decide": _refuse_decide,
    "appeal": _refuse_appeal,
}
