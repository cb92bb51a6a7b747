"""What an application comes to by a step that was allowed: what its history is followed by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kvandal.client.resources.applications import (
    Appeal,
    Application,
    Decision,
    Gate,
    Look,
    Proposal,
    Recusal,
    Review,
)
from kvandal.client.resources.calls import Rung
from kvandal.control.office.gates import failed, unanswered
from kvandal.control.office.steps import Step, grants_by_itself, waits_for


def moved(application: Application, step: Step, rung: Rung) -> Application:
    """Return what an application is after a step that was allowed: a function of the step alone."""
    changes = _MOVES[step.kind](application, step, rung)
    return application.model_copy(update={**changes, "version": application.version + 1})


def _revised(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del application, rung
    return {"proposal": Proposal.model_validate(step.body["proposal"]), "confirmations": ()}


def _submitted(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del application, rung
    due = step.body.get("due_utc")
    return {
        "state": "submitted",
        "submitted_utc": step.at_utc,
        "due_utc": None if due is None else datetime.fromisoformat(due),
        "gates": (),
        "looks": (),
    }


def _gates(step: Step) -> tuple[Gate, ...]:
    return tuple(Gate.model_validate(gate) for gate in step.body["gates"])


def _checked(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    gates = _gates(step)
    changes: dict[str, Any] = {"gates": gates}
    bad = failed(gates)
    if bad:
        reason = "; ".join(f"{gate.rule}: {gate.sentence}" for gate in bad)
        changes |= {"state": "rejected", "decision": _at_the_gates(step, gates, "reject", 0, reason)}
    elif not unanswered(gates):
        waits = waits_for(application, rung)
        changes["state"] = waits
        if waits == "decision" and grants_by_itself(application, rung):
            hours = application.proposal.gpu_hours
            changes |= {
                "state": "granted",
                "decision": _at_the_gates(step, gates, "grant", hours, "all gates are passed"),
            }
    return changes


def _at_the_gates(step: Step, gates: tuple[Gate, ...], outcome: str, hours: int, reason: str) -> Decision:
    return Decision.model_validate(
        {
            "outcome": outcome,
            "by": step.by,
            "gpu_hours": hours,
            "reason": reason,
            "at_utc": step.at_utc,
            "gates": gates,
        }
    )


def _confirmed(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    word = Gate(
        rule=step.body["rule"],
        passed=step.body["passed"],
        sentence=step.body["reason"],
        confirmed_by=step.by,
    )
    others = tuple(gate for gate in application.confirmations if gate.rule != word.rule)
    took = _with(application, step.by)
    return {
        **_checked(application, step, rung),
        "confirmations": (*others, word),
        "took_part": took,
    }


def _with(application: Application, person: str) -> tuple[str, ...]:
    return application.took_part if person in application.took_part else (*application.took_part, person)


def _reviewed(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    review = Review.model_validate({**step.body, "by": step.by, "at_utc": step.at_utc})
    reviews = (*application.reviews, review)
    after = application.model_copy(update={"reviews": reviews})
    return {"reviews": reviews, "took_part": _with(application, step.by), "state": waits_for(after, rung)}


def _recused(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    person, rule = step.body["person"], step.body["rule"]
    recusal = Recusal(person=person, rule=rule, reason=step.body["reason"], at_utc=step.at_utc)
    reviews = tuple(
        review.model_copy(update={"set_aside": rule})
        if review.by == person and review.set_aside is None
        else review
        for review in application.reviews
    )
    left = tuple(other for other in application.reviewers if other != person)
    changes: dict[str, Any] = {
        "reviewers": left,
        "recusals": (*application.recusals, recusal),
        "reviews": reviews,
    }
    changes["looks"] = tuple(look for look in application.looks if look.by != person)
    if application.state in {"technical_review", "scientific_review", "decision"}:
        changes["state"] = waits_for(application.model_copy(update={"reviews": reviews}), rung)
    return changes


def _returned(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del step, rung
    aside = tuple(
        review if review.set_aside else review.model_copy(update={"set_aside": "OS4"})
        for review in application.reviews
    )
    return {
        "state": "draft",
        "gates": (),
        "confirmations": (),
        "looks": (),
        "due_utc": None,
        "reviews": aside,
    }


def _looked(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del rung
    look = Look.model_validate({**step.body, "by": step.by, "at_utc": step.at_utc})
    return {"looks": (*(other for other in application.looks if other.by != step.by), look)}


def _decided(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del rung
    outcome, asked = step.body["outcome"], application.proposal.gpu_hours
    given = step.body.get("gpu_hours")
    look = next((look for look in application.looks if look.by == step.by), None)
    decision = Decision.model_validate(
        {
            "outcome": outcome,
            "by": step.by,
            "gpu_hours": 0 if outcome == "reject" else asked if given is None else given,
            "reason": step.body["reason"],
            "at_utc": step.at_utc,
            "gates": _gates(step),
            "look": None if look is None else look.id,
            "on_appeal": application.state == "appealed",
        }
    )
    return {
        "state": "granted" if outcome == "grant" else "rejected",
        "decision": decision,
        "gates": decision.gates and tuple(decision.gates),
        "took_part": _with(application, step.by),
    }


def _withdrawn(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del application, step, rung
    return {"state": "withdrawn"}


def _appealed(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del application, rung
    appeal = Appeal(by=step.by, reason=step.body["reason"], at_utc=step.at_utc)
    return {"state": "appealed", "appeal": appeal, "looks": ()}


def _assigned(application: Application, step: Step, rung: Rung) -> dict[str, Any]:
    del rung
    return {"reviewers": tuple(dict.fromkeys((*application.reviewers, step.body["person"])))}


_MOVES = {
    "revise": _revised,
    "submit": _submitted,
    "check": _checked,
    "confirm": _confirmed,
    "assign": _assigned,
    "review": _reviewed,
    "recuse": _recused,
    "return": _returned,
    "look": _looked,
    "decide": _decided,
    "withdraw": _withdrawn,
    "appeal": _appealed,
}
