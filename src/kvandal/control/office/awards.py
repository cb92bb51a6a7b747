"""Grants: given with the message to the loop in one transaction, looked at, changed, ended, reported on, closed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from kvandal.client.resources.applications import Application
from kvandal.client.resources.grants import Grant, NewReport, Use
from kvandal.client.resources.organisations import Project
from kvandal.control.identity.people import give_role
from kvandal.control.identity.permissions import Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.office import gates, life
from kvandal.control.office.desk import Desk, history
from kvandal.control.office.registry import add_members, belongs, project
from kvandal.control.office.rules import NotThereError, RefusedByRule
from kvandal.control.office.steps import OFFICE
from kvandal.control.office.usage import uses
from kvandal.control.office.working_days import after_months
from kvandal.control.store.ledger import Posting, post, statement
from kvandal.control.store.tables.identity import PEOPLE
from kvandal.control.store.tables.loop import INBOX
from kvandal.control.store.tables.metadata import new_id
from kvandal.control.store.tables.office import GRANTS
from kvandal.scenario.parameters import value


def give(desk: Desk, application: Application) -> Grant:
    """Give the grant of an application that was decided: its row, the loop's message, roles, aid, in this transaction."""
    decision = application.decision
    assert decision is not None
    wished = application.proposal.start_utc
    start = (desk.now_utc if wished is None else max(wished, desk.now_utc)).replace(microsecond=0)
    grant = Grant(
        id=new_id("grant"),
        application=application.id,
        project=application.project,
        organisation=application.organisation,
        tenant=application.tenant,
        call=application.call,
        rung=application.rung,
        gpu_hours=decision.gpu_hours,
        months=application.proposal.months,
        demand=list(application.proposal.demand),
        start_utc=start,
        end_utc=after_months(start, application.proposal.months),
        granted_by=decision.by,
        granted_utc=desk.now_utc,
    )
    desk.tx.execute(insert(GRANTS).values(**_row(grant)))
    desk.remember(
        grant.id, "give", life.RULE_OF["give"], grant.state, {"grant": grant.model_dump(mode="json")}
    )
    _message(desk, grant)
    grant = _begun(desk, grant)
    _book_aid(desk, application, grant, decision.gpu_hours)
    found = project(desk.tx, grant.project)
    _let_in(desk, found, grant)
    desk.tell(
        grant.project,
        grant.id,
        "OS9",
        f"{grant.gpu_hours:,} GPU-h are granted, {grant.start_utc:%Y-%m-%d} to {grant.end_utc:%Y-%m-%d}",
    )
    return grant


def _begun(desk: Desk, found: Grant) -> Grant:
    """Let a grant whose start has come be active, without waiting for the office's next round."""
    if found.state == "planned" and desk.now_utc >= found.start_utc:
        return _take(desk.itself(), found, "start", {})
    return found


def _row(grant: Grant) -> dict[str, Any]:
    columns = (
        "id",
        "application",
        "project",
        "organisation",
        "tenant",
        "call",
        "state",
        "gpu_hours",
        "start_utc",
        "end_utc",
        "version",
    )
    return {
        **{name: getattr(grant, name) for name in columns},
        "document": grant.model_dump(mode="json", exclude={"use"}),
    }


def message(grant: Grant) -> dict[str, Any]:
    """Return what the loop is told of a grant; the last message of a grant is what holds."""
    return {
        "grant": grant.id,
        "tenant": grant.tenant,
        "project": grant.project,
        "gpu_hours": float(grant.gpu_hours),
        "start_utc": grant.start_utc.isoformat(),
        "end_utc": grant.end_utc.isoformat(),
        "expiry": "soft",
        "carry_over_fraction": 0.0,
        "demand": list(grant.demand),
    }


def _message(desk: Desk, grant: Grant, reason: str = "") -> None:
    body = {**message(grant), "reason": reason} if reason else message(grant)
    desk.tx.execute(insert(INBOX).values(at_utc=desk.now_utc, by=desk.who.id, kind="grant", body=body))


def _book_aid(desk: Desk, application: Application, grant: Grant, gpu_hours: int) -> None:
    """Enter de minimis aid into the ledger, in millionths of a euro."""
    ueur = gates.aid_ueur(application, desk.terms.tenants.get(application.tenant), gpu_hours)
    account = f"aid:{application.organisation}"
    post(
        desk.tx,
        desk.now_utc,
        f"de minimis aid by {grant.id}",
        [Posting(account, "ueur", ueur), Posting("site:aid", "ueur", -ueur)],
    )


def _let_in(desk: Desk, found: Project, grant: Grant) -> None:
    """Make the people of a project its members at the site, those that the site knows."""
    people = {found.investigator, *found.members}
    known = desk.tx.execute(select(PEOPLE.c.id).where(PEOPLE.c.id.in_(sorted(people)))).scalars()
    for person in sorted(known):
        give_role(
            desk.tx,
            person,
            RoleGrant(Role.MEMBER, found.tenant, found.id),
            by=desk.who.id,
            now=desk.now_utc,
            reason=grant.id,
        )


def grant(tx: Connection, key: str) -> Grant:
    """Return a grant.

    Raises
    ------
    NotThereError
        If there is none of that id.

    """
    row = tx.execute(select(GRANTS).where(GRANTS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no grant {key!r}")
    return grant_of(row)


def grant_of(row: Row[Any]) -> Grant:
    """Read a grant from its row."""
    return Grant.model_validate(row.document)


def with_uses(tx: Connection, grants: Iterable[Grant], now_utc: datetime | None = None) -> list[Grant]:
    """Return grants with what was used of them: all grants of their projects share the jobs.

    Parameters
    ----------
    tx, grants
        Any transaction; the grants.
    now_utc
        Up to which what jobs hold now is counted; left out, the time at which the loop last told the site.

    """
    wanted = list(grants)
    projects = sorted({grant.project for grant in wanted})
    beside = [grant_of(row) for row in tx.execute(select(GRANTS).where(GRANTS.c.project.in_(projects)))]
    found = uses(tx, beside, now_utc)
    return [grant.model_copy(update={"use": found.get(grant.id, Use())}) for grant in wanted]


def visible_grant(desk: Desk, key: str) -> Grant:
    """Return a grant that the caller may see."""
    found = grant(desk.tx, key)
    if not desk.who.may("grant.read", found.tenant, found.project) and not belongs(
        desk.who.id, project(desk.tx, found.project)
    ):
        raise NotThereError(f"there is no grant {key!r}")
    return with_uses(desk.tx, [found], desk.now_utc)[0]


def _take(desk: Desk, found: Grant, kind: str, body: dict[str, Any], reason: str = "") -> Grant:
    step = life.GrantStep(kind, desk.who.id, desk.now_utc, body)
    life.refuse(found, step)
    after = life.moved(found, step)
    desk.tx.execute(update(GRANTS).where(GRANTS.c.id == found.id).values(**_row(after)))
    desk.remember(found.id, kind, life.RULE_OF[kind], after.state, body, reason)
    return after


def replayed(tx: Connection, key: str) -> Grant:
    """Follow the history of a grant: what it must be."""
    first, *rest = history(tx, key)
    found = Grant.model_validate(first.body["grant"])
    for event in rest:
        found = life.moved(found, life.GrantStep(event.kind, event.by, event.at_utc, event.body))
    return found


def change(desk: Desk, application: Application) -> Grant:
    """Change a grant as a change request was decided."""
    decision, proposal = application.decision, application.proposal
    assert decision is not None
    assert application.grant is not None
    found = _begun(desk, grant(desk.tx, application.grant))
    hours = decision.gpu_hours
    members = list(proposal.members)
    body = {"gpu_hours": hours, "months": proposal.months, "members": members, "application": application.id}
    after = _take(desk, found, "change", body, decision.reason)
    if hours or proposal.months:
        _message(desk, after, decision.reason)
        _book_aid(desk, application, after, hours)
    if members:
        _let_in(desk, add_members(desk, project(desk.tx, found.project), members), after)
    desk.tell(
        found.project,
        found.id,
        "OU8",
        f"the grant is changed: {after.gpu_hours:,} GPU-h to {after.end_utc:%Y-%m-%d}",
    )
    return after


def end_early(desk: Desk, key: str, reason: str) -> Grant:
    """End a grant before its term, for a reason that its project is told."""
    found = visible_grant(desk, key)
    desk.demand("grant.write", found.tenant, found.project)
    if belongs(desk.who.id, project(desk.tx, found.project)):
        raise RefusedByRule("OC2", f"{desk.who.name} belongs to the project")
    found = _begun(desk, found)
    after = _take(desk, found, "end_early", {"reason": reason}, reason)
    if found.start_utc <= desk.now_utc - timedelta(seconds=1):
        body = {"grant": key, "reason": reason}
        desk.tx.execute(
            insert(INBOX).values(at_utc=desk.now_utc, by=desk.who.id, kind="grant_end", body=body)
        )
    else:  # it has not begun, and cannot end before that: it is told again as one that is over
        over = desk.now_utc.replace(microsecond=0)
        _message(
            desk, after.model_copy(update={"start_utc": over - timedelta(seconds=1), "end_utc": over}), reason
        )
    desk.tell(found.project, key, "OU4", f"the grant is ended early: {reason}")
    return after


def report(desk: Desk, key: str, new: NewReport) -> Grant:
    """Take the report of a grant."""
    found = visible_grant(desk, key)
    if not belongs(desk.who.id, project(desk.tx, found.project)):
        desk.demand("application.write", found.tenant, found.project)
    return _take(desk, found, "report", {"text": new.text})


def send_back(desk: Desk, key: str, reason: str) -> Grant:
    """Send the report of a grant back."""
    found = visible_grant(desk, key)
    desk.demand("grant.write", found.tenant, found.project)
    after = _take(desk, found, "send_back", {"reason": reason}, reason)
    desk.tell(found.project, key, "OU6", f"the report is sent back: {reason}")
    return after


def turn(desk: Desk) -> int:
    """Do what time alone brings to all grants; returns the number of steps. Doing it again at once does nothing."""
    office, count = desk.itself(), 0
    rows = desk.tx.execute(select(GRANTS).where(GRANTS.c.state != "expired").order_by(GRANTS.c.number)).all()
    soon = [found for found in map(grant_of, rows) if _may_be_due(desk, found)]
    for found in with_uses(desk.tx, soon, desk.now_utc):
        current = found
        while (step := life.next_step(current, found.use or Use(), desk.now_utc, OFFICE)) is not None:
            current = _take(office, current, step.kind, dict(step.body))
            _after_turn(office, current, step)
            count += 1
    return count


def _may_be_due(desk: Desk, found: Grant) -> bool:
    """Whether a step is due whatever was used: looking at the jobs of all grants each time would be slow."""
    return life.next_step(found, Use(), desk.now_utc, OFFICE) is not None


def _after_turn(desk: Desk, found: Grant, step: life.GrantStep) -> None:
    body = step.body
    match step.kind:
        case "look_at_use" if body["returned_gpu_hours"]:
            said = f"{body['used_fraction']:.0%} was used after {value('office.lose_after'):.0%} of the term"
            _message(desk, found, said)
            desk.tell(
                found.project, found.id, "OU2", f"{said}: {body['returned_gpu_hours']:,} GPU-h are returned"
            )
        case "remind":
            due = f"{found.report_due_utc or found.end_utc:%Y-%m-%d}"
            text = {
                "end": f"the grant ends at {found.end_utc:%Y-%m-%d}",
                "report": f"the report is due at {due}",
                "overdue": f"the report was due at {due}: until it is in, nothing new is granted",
            }[body["about"]]
            desk.tell(found.project, found.id, "OU3", text)
        case "end":
            desk.tell(
                found.project,
                found.id,
                "OU4",
                f"the grant is over; its report is due at {found.report_due_utc:%Y-%m-%d}",
            )
        case _:
            pass


def aid_before(desk: Desk, organisation: str) -> int:
    """De minimis aid to an organisation in the period that ends now [millionths of a euro]."""
    start = after_months(desk.now_utc, -12 * int(value("office.de_minimis_years")))
    end = desk.now_utc + timedelta(microseconds=1)
    rows = statement(desk.tx, f"aid:{organisation}", start, end)
    found: int = sum(row.amount for row in rows if row.unit == "ueur")
    return found
