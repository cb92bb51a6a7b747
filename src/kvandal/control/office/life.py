"""The life of a grant: active, looked at after two thirds, ended, reported, closed.

::

    planned ─start─► active ─end─► report_due ─report─► reported ─expire─► expired
                       │ look_at_use, remind, change    ◄─send_back─┘
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kvandal.client.resources.grants import Grant, GrantState, Report, Use
from kvandal.control.office.rules import RefusedByRule
from kvandal.control.office.working_days import after_months
from kvandal.scenario.parameters import value

REPORT_REMINDER = timedelta(days=7)
"""Before a report is due."""
STEPS_FROM: dict[str, frozenset[GrantState]] = {
    "start": frozenset({"planned"}),
    "look_at_use": frozenset({"active"}),
    "remind": frozenset({"active", "report_due"}),
    "end": frozenset({"active"}),
    "end_early": frozenset({"planned", "active"}),
    "change": frozenset({"planned", "active"}),
    "report": frozenset({"report_due"}),
    "send_back": frozenset({"reported"}),
    "expire": frozenset({"reported"}),
}
"""States from which each step of a grant may be taken."""
RULE_OF = {
    "give": "OS9",
    "start": "OU1",
    "look_at_use": "OU2",
    "remind": "OU3",
    "end": "OU4",
    "end_early": "OU9",
    "report": "OU5",
    "send_back": "OU6",
    "expire": "OU7",
    "change": "OU8",
}


@dataclass(frozen=True, slots=True)
class GrantStep:
    """A step of a grant: what, by whom, when, and what it says."""

    kind: str
    by: str
    at_utc: datetime
    body: Mapping[str, Any] = field(default_factory=dict)


def refuse(grant: Grant, step: GrantStep) -> None:
    """Refuse a step that the grant's state does not allow."""
    allowed = STEPS_FROM[step.kind]
    if grant.state not in allowed:
        raise RefusedByRule(
            RULE_OF[step.kind],
            f"{step.kind} is a step from {', '.join(sorted(allowed))}; {grant.id} is: {grant.state}",
            state=grant.state,
        )


def next_step(grant: Grant, use: Use, now_utc: datetime, by: str) -> GrantStep | None:
    """Return the step that time alone brings now, the earliest first; None where none is due."""
    if grant.state == "planned" and now_utc >= grant.start_utc:
        return GrantStep("start", by, now_utc)
    if grant.state == "active":
        return _while_active(grant, use, now_utc, by)
    if grant.state == "report_due" and grant.report_due_utc is not None:
        for about, at in (
            ("report", grant.report_due_utc - REPORT_REMINDER),
            ("overdue", grant.report_due_utc),
        ):
            if now_utc >= at and about not in grant.reminded:
                return GrantStep("remind", by, now_utc, {"about": about})
    if grant.state == "reported" and grant.closes_utc is not None and now_utc >= grant.closes_utc:
        return GrantStep("expire", by, now_utc)
    return None


def _while_active(grant: Grant, use: Use, now_utc: datetime, by: str) -> GrantStep | None:
    if now_utc >= grant.end_utc:
        due = grant.end_utc + timedelta(days=value("office.report_days"))
        return GrantStep("end", by, now_utc, {"report_due_utc": due.isoformat()})
    term = grant.end_utc - grant.start_utc
    if not grant.looked_at_use and now_utc >= grant.start_utc + term * value("office.lose_after"):
        return GrantStep("look_at_use", by, now_utc, returned(grant, use))
    remind = min(timedelta(days=value("office.remind_days")), term / 2)
    if now_utc >= grant.end_utc - remind and "end" not in grant.reminded:
        return GrantStep("remind", by, now_utc, {"about": "end"})
    return None


def returned(grant: Grant, use: Use) -> dict[str, Any]:
    """Say what use-it-or-lose-it takes back: half of what is unused, in whole GPU-hours, if less than 60 % is used.

    900 GPU-h of which 300 are used: 33 % is below 60 %, 600 are unused, 300 are returned.
    """
    used_h = min(use.used_gpu_s / 3600, grant.gpu_hours)
    fraction = used_h / grant.gpu_hours if grant.gpu_hours else 1.0
    below = fraction < value("office.lose_below")
    hours = int((grant.gpu_hours - used_h) * value("office.lose_return")) if below else 0
    return {"used_gpu_s": use.used_gpu_s, "used_fraction": round(fraction, 6), "returned_gpu_hours": hours}


def moved(grant: Grant, step: GrantStep) -> Grant:
    """Return what a grant is after a step that was allowed: a function of the step alone."""
    changes: dict[str, Any]
    body, at = step.body, step.at_utc
    match step.kind:
        case "start":
            changes = {"state": "active"}
        case "look_at_use":
            hours = body["returned_gpu_hours"]
            changes = {
                "looked_at_use": True,
                "gpu_hours": grant.gpu_hours - hours,
                "returned_gpu_hours": grant.returned_gpu_hours + hours,
            }
        case "remind":
            changes = {"reminded": (*grant.reminded, body["about"])}
        case "end":
            changes = {
                "state": "report_due",
                "report_due_utc": datetime.fromisoformat(body["report_due_utc"]),
            }
        case "end_early":
            unused = grant.state == "planned"
            due = at + timedelta(days=value("office.report_days"))
            changes = {
                "state": "expired" if unused else "report_due",
                "ended_early": body["reason"],
                "end_utc": max(min(grant.end_utc, at), grant.start_utc),
                "report_due_utc": None if unused else due,
            }
        case "report":
            changes = {
                "state": "reported",
                "report": Report(by=step.by, at_utc=at, text=body["text"]),
                "closes_utc": at + timedelta(days=value("office.close_days")),
            }
        case "send_back":
            changes = {
                "state": "report_due",
                "closes_utc": None,
                "report_due_utc": at + timedelta(days=value("office.report_days")),
                "reminded": tuple(about for about in grant.reminded if about not in {"report", "overdue"}),
            }
        case "expire":
            changes = {"state": "expired"}
        case "change":
            changes = {
                "gpu_hours": grant.gpu_hours + body["gpu_hours"],
                "months": grant.months + body["months"],
                "end_utc": after_months(grant.end_utc, body["months"]),
            }
        case _:
            raise AssertionError(step.kind)
    return grant.model_copy(update={**changes, "version": grant.version + 1})
