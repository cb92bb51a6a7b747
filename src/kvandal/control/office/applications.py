"""Applications in the store: written, handed in, judged; every step goes through the rules and into the history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from kvandal.client.resources.applications import Application, Gate, NewApplication, Proposal
from kvandal.client.resources.organisations import Project
from kvandal.control.office import awards, gates, steps
from kvandal.control.office.calls import call, rolling_call
from kvandal.control.office.conflicts import conflict
from kvandal.control.office.desk import Desk, history, plain
from kvandal.control.office.ladder import due, ladder
from kvandal.control.office.moves import moved
from kvandal.control.office.registry import (
    LOCAL,
    belongs,
    organisation,
    organisations_of,
    project,
    visible_project,
)
from kvandal.control.office.rules import NotThereError, RefusedByRule
from kvandal.control.store.tables.metadata import new_id
from kvandal.control.store.tables.office import APPLICATIONS, GRANTS
from kvandal.errors import InputError

RIGHTS = {
    "apply": "application.write",
    "appeal": "application.appeal",
    "assign": "application.assign",
    "review": "application.review",
    "decide": "application.decide",
    "run": "application.decide",
}
"""Rights of the rules, and the actions of the table of permissions that give them."""
JUDGES = ("review", "decide")


def write(desk: Desk, new: NewApplication) -> Application:
    """Write the draft of an application for an award, or for a change of one.

    Raises
    ------
    InputError
        If its call or rung do not fit, or the grant to be changed is none of the project's.

    """
    found = visible_project(desk, new.project)
    own = desk.who.id if belongs(desk.who.id, found) else None
    desk.demand("application.write", found.tenant, found.id, owner=own)
    _refuse_unknown_classes(desk, found.tenant, new.proposal)
    grant = None if new.grant is None else awards.visible_grant(desk, new.grant)
    if grant is not None:
        if grant.project != found.id:
            raise InputError(f"must be a grant of {found.id}, got one of {grant.project}", key="grant")
        rung, key = grant.rung, grant.call
        if new.rung not in {None, rung} or new.call not in {None, key}:
            raise InputError(f"a change keeps the rung and the call of its grant: {rung}, {key}", key="rung")
    elif new.rung is None:
        raise InputError(f"must be one of {', '.join(ladder())}", key="rung")
    else:
        rung, key = new.rung, new.call or rolling_call(new.rung, desk.now_utc)
        if ladder()[rung].needs_dates and new.call is None:
            raise InputError(f"{rung} is offered in calls: name one", key="call")
    try:
        call(desk.tx, key, desk.now_utc)
    except NotThereError as error:
        raise InputError(str(error), key="call") from None
    draft = Application(
        id=new_id("application"),
        kind="award" if grant is None else "change",
        grant=None if grant is None else grant.id,
        project=found.id,
        organisation=found.organisation,
        tenant=found.tenant,
        call=key,
        rung=rung,
        applicant=found.investigator if desk.who.kind == LOCAL else desk.who.id,
        proposal=new.proposal,
        created_utc=desk.now_utc,
    )
    desk.tx.execute(insert(APPLICATIONS).values(**_row(draft)))
    body = {"application": draft.model_dump(mode="json")}
    desk.remember(draft.id, "create", steps.RULE_OF["create"], draft.state, body)
    return draft


def _refuse_unknown_classes(desk: Desk, tenant: str, proposal: Proposal) -> None:
    known = desk.terms.tenants[tenant].classes if tenant in desk.terms.tenants else ()
    for name in proposal.demand:
        if name not in known:
            raise InputError(
                f"must be among the classes of work of {tenant}: {', '.join(known) or 'none'}; got {name!r}",
                key="proposal.demand",
            )


def _row(found: Application) -> dict[str, Any]:
    columns = (
        "id",
        "project",
        "organisation",
        "tenant",
        "call",
        "rung",
        "kind",
        "grant",
        "applicant",
        "state",
        "due_utc",
        "version",
    )
    return {
        **{name: getattr(found, name) for name in columns},
        "document": found.model_dump(mode="json"),
    }


def application(tx: Connection, key: str) -> Application:
    """Return an application, whoever asks.

    Raises
    ------
    NotThereError
        If there is none of that id.

    """
    row = tx.execute(select(APPLICATIONS).where(APPLICATIONS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no application {key!r}")
    return application_of(row)


def application_of(row: Row[Any]) -> Application:
    """Read an application from its row."""
    return Application.model_validate(row.document)


def replayed(tx: Connection, key: str) -> Application:
    """Follow the history of an application: what it must be."""
    first, *rest = history(tx, key)
    found = Application.model_validate(first.body["application"])
    rung = ladder()[found.rung]
    for event in rest:
        found = moved(found, steps.Step(event.kind, event.by, event.at_utc, event.body), rung)
    return found


def conflict_of(tx: Connection, person: str, found: Application, of: Project) -> tuple[str, str] | None:
    """Return the rule and the reason why somebody may not see or judge an application."""
    people = {person, *found.proposal.co_applicants}
    return conflict(person, found, of, organisations_of(tx, people))


def seen(desk: Desk, found: Application) -> Application | None:
    """Return an application as the caller may see it; None: not at all.

    Who applies sees it without who reviewed it, and the reviews once it is decided. Who judges sees all, unless there is a
    conflict of interest: then it is as if it were not there.
    """
    of, who = project(desk.tx, found.project), desk.who
    own = who.id == found.applicant or belongs(who.id, of)
    reaches = who.may("application.read", found.tenant, found.project, owner=who.id if own else None)
    if not reaches:
        return None
    judges = any(who.may(RIGHTS[right]) for right in JUDGES)
    if judges and not own:
        if conflict_of(desk.tx, who.id, found, of) is None:
            return found
        if not who.may("application.write", found.tenant, found.project):
            return None
    elif who.may("application.read") and not own:  # an auditor
        return found
    decided = found.state in {"granted", "rejected", "appealed"}
    reviews = tuple(
        review.model_copy(update={"by": "reviewer"}) for review in found.reviews if review.set_aside is None
    )
    return found.model_copy(
        update={
            "reviewers": (),
            "reviews": reviews if decided else (),
            "recusals": (),
            "looks": (),
            "took_part": (),
        }
    )


def visible_application(desk: Desk, key: str) -> Application:
    """Return an application as the caller may see it.

    Raises
    ------
    NotThereError
        If there is none of that id, or it is none of the caller's business.

    """
    found = seen(desk, application(desk.tx, key))
    if found is None:
        raise NotThereError(f"there is no application {key!r}")
    return found


def visible_history(desk: Desk, key: str) -> list[Any]:
    """Return the steps of an application; who applies is told neither reviews nor who judged."""
    found = visible_application(desk, key)
    events = history(desk.tx, key)
    whole = desk.who.may("application.read") and not (
        desk.who.id == found.applicant or belongs(desk.who.id, project(desk.tx, found.project))
    )
    if whole:
        return events
    hidden = {"review", "recuse", "look", "assign"}
    return [event.model_copy(update={"body": {}}) for event in events if event.kind not in hidden]


def facts(desk: Desk, found: Application, *, deciding: bool) -> gates.Facts:
    """Gather what the gates look at."""
    tx, of = desk.tx, project(desk.tx, found.project)
    owner = organisation(tx, found.organisation)
    beside = tx.execute(
        select(func.count())
        .select_from(APPLICATIONS)
        .where(
            APPLICATIONS.c.project == found.project,
            APPLICATIONS.c.rung == found.rung,
            APPLICATIONS.c.kind == found.kind,
            APPLICATIONS.c.state.in_(sorted(steps.OPEN)),
            APPLICATIONS.c.id != found.id,
        )
    ).scalar_one()
    rows = tx.execute(select(GRANTS).where(GRANTS.c.organisation == found.organisation))
    given = awards.with_uses(tx, [awards.grant_of(row) for row in rows], desk.now_utc)
    earlier = tuple(
        (grant, 0.0 if grant.use is None else grant.use.used_gpu_s / 3600 / max(grant.gpu_hours, 1))
        for grant in given
        if grant.state != "planned" and grant.id != found.grant
    )
    overdue = tuple(
        grant.id
        for grant in given
        if grant.project == found.project
        and grant.state == "report_due"
        and grant.report_due_utc is not None
        and grant.report_due_utc < desk.now_utc
    )
    return gates.Facts(
        organisation=owner,
        project=of,
        tenant=desk.terms.tenants.get(found.tenant),
        rung=ladder()[found.rung],
        call=call(tx, found.call, desk.now_utc),
        site_regions=desk.terms.regions,
        investigator_belongs=of.investigator in owner.people,
        open_beside=beside,
        earlier=earlier,
        overdue=overdue,
        aid_ueur_before=awards.aid_before(desk, found.organisation),
        grant=None if found.grant is None else awards.grant(tx, found.grant),
        deciding=deciding,
        now_utc=desk.now_utc,
    )


def _rights(desk: Desk, found: Application, of: Project) -> frozenset[str]:
    if desk.who.id == steps.OFFICE:
        return frozenset({"run"})
    own = desk.who.id if desk.who.id == found.applicant or belongs(desk.who.id, of) else None
    return frozenset(
        right
        for right, action in RIGHTS.items()
        if desk.who.may(action, found.tenant, found.project, owner=own)
        or (right in {"assign", "decide", "run", "review"} and desk.who.may(action))
    )


def take(desk: Desk, key: str, kind: str, body: dict[str, Any], *, refuse_if: Any = None) -> Application:
    """Take a step of an application.

    Parameters
    ----------
    desk
        Who takes it, when.
    key
        Id of the application.
    kind, body
        The step (:data:`~kvandal.control.office.steps.STEPS_FROM`) and what it says.
    refuse_if
        Called with the application before anything is done, to refuse (a version that changed).

    Raises
    ------
    RefusedByRule
        If the rules do not allow it.
    NotThereError
        If there is no such application, or the caller may not see it.

    """
    found = application(desk.tx, key)
    if seen(desk, found) is None:
        of = project(desk.tx, found.project)
        if kind not in steps.JUDGED or conflict_of(desk.tx, desk.who.id, found, of) is None:
            raise NotThereError(f"there is no application {key!r}")
        return _one_step(desk, found, kind, body)  # is refused, and by which conflict is said
    if refuse_if is not None:
        refuse_if(found)
    if kind == "revise":
        _refuse_unknown_classes(desk, found.tenant, Proposal.model_validate(body["proposal"]))
    if kind == "decide":
        found = _without_conflicts(desk, found)
    after = _one_step(desk, found, kind, body)
    if kind == "submit":
        after = _one_step(desk.itself(), after, "check", {})
    return after


def precheck(desk: Desk, key: str) -> tuple[Gate, ...]:
    """Check the gates of an application as they would be checked now, for whoever may see it; nothing is kept."""
    found = visible_application(desk, key)
    return gates.checked(found, facts(desk, found, deciding=False))


def _without_conflicts(desk: Desk, found: Application) -> Application:
    """Recuse reviewers who have come into a conflict of interest since they reviewed."""
    of = project(desk.tx, found.project)
    for person in dict.fromkeys(review.by for review in found.reviews if review.set_aside is None):
        against = conflict_of(desk.tx, person, found, of)
        if against is not None:
            body = {"person": person, "rule": against[0], "reason": against[1]}
            found = _one_step(desk.itself(), found, "recuse", body)
            if found.state not in steps.STEPS_FROM["decide"]:
                raise RefusedByRule(
                    against[0],
                    f"the review by {person}, who {against[1]}, does not count: recuse {person} and have it reviewed anew",
                )
    return found


def _one_step(desk: Desk, found: Application, kind: str, body: dict[str, Any]) -> Application:
    of, rung = project(desk.tx, found.project), ladder()[found.rung]
    said = _completed(desk, found, kind, body)
    judged = said.get("person", desk.who.id) if kind == "assign" else desk.who.id
    around = steps.Circumstances(
        rung=rung,
        call=call(desk.tx, found.call, desk.now_utc),
        rights=_rights(desk, found, of),
        gates=_gates_before(desk, found, kind, said),
        conflict=None if desk.who.id == steps.OFFICE else conflict_of(desk.tx, judged, found, of),
    )
    step = steps.Step(kind, desk.who.id, desk.now_utc, said)
    steps.refuse(found, step, around)
    if kind in {"check", "decide"}:
        said["gates"] = around.gates
    elif kind == "confirm":
        word = Gate(
            rule=said["rule"], passed=said["passed"], sentence=said["reason"], confirmed_by=desk.who.id
        )
        others = tuple(gate for gate in found.confirmations if gate.rule != word.rule)
        confirmed = found.model_copy(update={"confirmations": (*others, word)})
        said["gates"] = gates.checked(
            confirmed, facts(desk, confirmed, deciding=steps.grants_by_itself(found, rung))
        )
    written = plain(said)
    after = moved(found, steps.Step(kind, desk.who.id, desk.now_utc, written), rung)
    desk.tx.execute(update(APPLICATIONS).where(APPLICATIONS.c.id == found.id).values(**_row(after)))
    desk.remember(found.id, kind, _rule(kind, after), after.state, written, str(said.get("reason", "")))
    _afterwards(desk, found, after)
    return after


def _completed(desk: Desk, found: Application, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Add to what a step says what the office knows itself."""
    said = dict(body)
    if kind == "submit":
        of_call = call(desk.tx, found.call, desk.now_utc)
        said["due_utc"] = due(ladder()[found.rung], of_call, desk.now_utc).isoformat()
    elif kind == "recuse":
        said["person"] = said.get("person") or desk.who.id
        said.setdefault("rule", "OC4")
    return said


def _gates_before(desk: Desk, found: Application, kind: str, said: dict[str, Any]) -> tuple[Gate, ...]:
    if kind not in {"check", "confirm", "decide"}:
        return ()
    judged = found
    if kind == "decide" and said.get("gpu_hours") is not None:
        judged = found.model_copy(
            update={"proposal": found.proposal.model_copy(update={"gpu_hours": said["gpu_hours"]})}
        )
    deciding = kind == "decide" or steps.grants_by_itself(found, ladder()[found.rung])
    return gates.checked(judged, facts(desk, judged, deciding=deciding))


def _rule(kind: str, after: Application) -> str:
    by_itself = after.decision is not None and after.decision.by == steps.OFFICE
    return (
        "OS11"
        if kind in {"check", "confirm"} and after.state == "granted" and by_itself
        else steps.RULE_OF[kind]
    )


def _afterwards(desk: Desk, before: Application, after: Application) -> None:
    if after.state == before.state:
        return
    if after.state == "granted":
        (awards.give if after.kind == "award" else awards.change)(desk, after)
    elif after.state == "rejected" and after.decision is not None:
        desk.tell(after.project, after.id, "OS9", f"the application is rejected: {after.decision.reason}")
    elif after.state == "draft":
        desk.tell(after.project, after.id, "OS4", "the application comes back to be improved")


def overdue(tx: Connection, desk: Desk) -> Iterable[Application]:
    """Return applications whose answer is overdue, the longest first."""
    rows = tx.execute(
        select(APPLICATIONS)
        .where(APPLICATIONS.c.state.in_(sorted(steps.OPEN)), APPLICATIONS.c.due_utc < desk.now_utc)
        .order_by(APPLICATIONS.c.due_utc)
    )
    return [application_of(row) for row in rows]
