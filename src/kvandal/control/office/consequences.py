"""What granting an application would do to everybody: asked of the twin, shown, and kept with the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, insert, select

from kvandal.client.resources.applications import Application
from kvandal.client.resources.grants import Grant
from kvandal.control.office import applications, awards, steps
from kvandal.control.office.desk import Desk, plain
from kvandal.control.office.rules import NotThereError, RefusedByRule
from kvandal.control.office.working_days import after_months
from kvandal.control.store.tables.metadata import new_id
from kvandal.control.store.tables.office import LOOKS
from kvandal.scenario.parameters import value


class WhatIf(Protocol):
    """Forks the live state into the twin and says what a change would do to whom."""

    def __call__(
        self,
        *,
        changes: Mapping[str, Any],
        grants: Sequence[Mapping[str, Any]],
        envelope_mw: float | None,
        days: float,
    ) -> dict[str, Any]:
        """Answer tenant by tenant."""
        ...


def question(desk: Desk, key: str, gpu_hours: int | None = None) -> dict[str, Any]:
    """Return what the twin is to be asked, for somebody who judges the application.

    Parameters
    ----------
    desk
        Who asks; a transaction that reads is enough.
    key
        Id of the application.
    gpu_hours
        That would be granted; left out, all that is asked for.

    """
    found = applications.visible_application(desk, key)
    if not any(desk.who.may(applications.RIGHTS[right]) for right in applications.JUDGES):
        raise NotThereError(f"there is no application {key!r}")
    if found.state not in steps.STEPS_FROM["look"]:
        raise RefusedByRule("OS14", f"there is nothing to decide: the application is: {found.state}")
    hours = found.proposal.gpu_hours if gpu_hours is None else gpu_hours
    if hours > found.proposal.gpu_hours:
        raise RefusedByRule(
            "OS10", f"{hours:,} GPU-h are more than the {found.proposal.gpu_hours:,} asked for"
        )
    return {
        "changes": {},
        "grants": [awards.message(_as_if_granted(desk, found, hours))] if hours else [],
        "envelope_mw": None,
        "days": value("office.look_days"),
    }


def _as_if_granted(desk: Desk, found: Application, hours: int) -> Grant:
    proposal = found.proposal
    if found.grant is not None:
        grant = awards.grant(desk.tx, found.grant)
        end = after_months(grant.end_utc, proposal.months)
        return grant.model_copy(update={"gpu_hours": grant.gpu_hours + hours, "end_utc": end})
    wished = proposal.start_utc
    start = (desk.now_utc if wished is None else max(wished, desk.now_utc)).replace(microsecond=0)
    return Grant(
        id=found.id,
        application=found.id,
        project=found.project,
        organisation=found.organisation,
        tenant=found.tenant,
        call=found.call,
        rung=found.rung,
        gpu_hours=hours,
        months=proposal.months,
        demand=list(proposal.demand),
        start_utc=start,
        end_utc=after_months(start, proposal.months),
        granted_by=desk.who.id,
        granted_utc=desk.now_utc,
    )


def consequences(whatif: WhatIf, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the twin, outside of any transaction: it may take seconds."""
    return whatif(
        changes=asked["changes"], grants=asked["grants"], envelope_mw=asked["envelope_mw"], days=asked["days"]
    )


def keep_look(
    desk: Desk, key: str, asked: Mapping[str, Any], answer: Mapping[str, Any], gpu_hours: int | None = None
) -> tuple[str, Application]:
    """Keep what somebody was shown; a decision of the same hours may now be made on it. Returns its id too."""
    found = applications.application(desk.tx, key)
    hours = found.proposal.gpu_hours if gpu_hours is None else gpu_hours
    look = new_id("look")
    body = {"id": look, "gpu_hours": hours, "months": found.proposal.months}
    after = applications.take(desk, key, "look", body)
    desk.tx.execute(
        insert(LOOKS).values(
            id=look,
            application=key,
            by=desk.who.id,
            at_utc=desk.now_utc,
            question=plain(asked),
            answer=plain(answer),
        )
    )
    return look, after


def look(tx: Connection, key: str) -> dict[str, Any]:
    """Return what somebody was shown.

    Raises
    ------
    NotThereError
        If there is none of that id.

    """
    row = tx.execute(select(LOOKS).where(LOOKS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no look {key!r}")
    return {name: getattr(row, name) for name in ("id", "application", "by", "at_utc", "question", "answer")}
