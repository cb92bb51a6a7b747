"""The access office as methods of a client: `client.office`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kvandal.client.asking import asked, step
from kvandal.client.resources.applications import (
    Application,
    Assignment,
    Confirmation,
    Consequences,
    Gate,
    LookWanted,
    NewApplication,
    NewDecision,
    NewRecusal,
    NewReview,
    OfficeEvent,
    Proposal,
    WithReason,
)
from kvandal.client.resources.calls import Call, NewCall, Rung
from kvandal.client.resources.grants import Grant, NewReport, Notice
from kvandal.client.resources.organisations import (
    NewOrganisation,
    NewProject,
    Organisation,
    OrganisationChange,
    Project,
)
from kvandal.client.resources.policy import Rule
from kvandal.client.wire import Resource, Wire

WEIGHING_S = 600.0
"""How long the twin may take to answer [s]."""


class OfficeClient:
    """The access office of a server.

    Examples
    --------
    >>> from kvandal.client.client import Client
    >>> Client().office.application("")
    Traceback (most recent call last):
    kvandal.errors.InputError: must be the name or id of something, got ''

    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    # organisations and projects

    def organisations(self) -> Iterator[Organisation]:
        """Go through organisations."""
        return self.wire.pages("/v1/organisations", Organisation)

    def organisation(self, key: str) -> Organisation:
        """Tell the particulars of an organisation."""
        return self.wire.get(f"/v1/organisations/{step(key)}", Organisation)

    def register_organisation(self, **particulars: Any) -> Organisation:
        """Register an organisation; fields as in :class:`NewOrganisation`."""
        return self._write(Organisation, "/v1/organisations", NewOrganisation, particulars)

    def change_organisation(self, key: str, **changes: Any) -> Organisation:
        """Change the particulars of an organisation."""
        body = asked(OrganisationChange, **changes).model_dump(mode="json", exclude_unset=True)
        document = self.wire.write("PATCH", f"/v1/organisations/{step(key)}", body)
        return self.wire.parsed(Organisation, document)

    def approve_organisation(self, key: str) -> Organisation:
        """Confirm the particulars of an organisation."""
        return self._write(Organisation, f"/v1/organisations/{step(key)}/approve")

    def add_person(self, organisation: str, person: str) -> Organisation:
        """Let somebody belong to an organisation."""
        path = f"/v1/organisations/{step(organisation)}/people/{step(person)}"
        return self.wire.parsed(Organisation, self.wire.write("PUT", path))

    def remove_person(self, organisation: str, person: str) -> Organisation:
        """Let somebody no longer belong to an organisation."""
        path = f"/v1/organisations/{step(organisation)}/people/{step(person)}"
        return self.wire.parsed(Organisation, self.wire.write("DELETE", path))

    def projects(self, *, tenant: str | None = None) -> Iterator[Project]:
        """Go through projects."""
        return self.wire.pages("/v1/projects", Project, {"tenant": tenant})

    def project(self, key: str) -> Project:
        """Tell how a project stands."""
        return self.wire.get(f"/v1/projects/{step(key)}", Project)

    def register_project(self, **particulars: Any) -> Project:
        """Register a project; fields as in :class:`NewProject`."""
        return self._write(Project, "/v1/projects", NewProject, particulars)

    def add_member(self, project: str, person: str) -> Project:
        """Add somebody to a project that has no grant yet."""
        path = f"/v1/projects/{step(project)}/members/{step(person)}"
        return self.wire.parsed(Project, self.wire.write("PUT", path))

    def remove_member(self, project: str, person: str) -> Project:
        """Take somebody out of a project."""
        path = f"/v1/projects/{step(project)}/members/{step(person)}"
        return self.wire.parsed(Project, self.wire.write("DELETE", path))

    # calls

    def ladder(self) -> Iterator[Rung]:
        """Go through the rungs of the ladder, the lowest first."""
        return self.wire.pages("/v1/ladder", Rung)

    def rules(self) -> Iterator[Rule]:
        """Go through the rules of the office."""
        return self.wire.pages("/v1/office-rules", Rule)

    def calls(self) -> Iterator[Call]:
        """Go through calls."""
        return self.wire.pages("/v1/calls", Call)

    def call(self, key: str) -> Call:
        """Tell how a call stands."""
        return self.wire.get(f"/v1/calls/{step(key)}", Call)

    def open_call(self, **particulars: Any) -> Call:
        """Open a call; fields as in :class:`NewCall`."""
        return self._write(Call, "/v1/calls", NewCall, particulars)

    def close_call(self, key: str) -> Call:
        """Close a call for new applications now."""
        return self._write(Call, f"/v1/calls/{step(key)}/close")

    # applications

    def applications(
        self,
        *,
        state: Iterable[str] = (),
        tenant: str | None = None,
        project: str | None = None,
        call: str | None = None,
        most: int | None = None,
    ) -> Iterator[Application]:
        """Go through applications, the oldest first."""
        params = {"state": list(state) or None, "tenant": tenant, "project": project, "call": call}
        return self.wire.pages("/v1/applications", Application, params, most)

    def application(self, key: str) -> Application:
        """Tell how an application stands."""
        return self.wire.get(f"/v1/applications/{step(key)}", Application)

    def history(self, key: str) -> Iterator[OfficeEvent]:
        """Go through the steps of an application, or of a grant."""
        kind = "grants" if key.startswith("grant_") else "applications"
        return self.wire.pages(f"/v1/{kind}/{step(key)}/history", OfficeEvent)

    def gates(self, key: str) -> Iterator[Gate]:
        """Go through the gates of an application as they would be checked now."""
        return self.wire.pages(f"/v1/applications/{step(key)}/gates", Gate)

    def write_application(
        self,
        project: str,
        proposal: Mapping[str, Any],
        *,
        rung: str | None = None,
        call: str | None = None,
        grant: str | None = None,
    ) -> Application:
        """Write a draft; `grant`: a change of that grant is asked for. Fields of it as in :class:`Proposal`."""
        given = {"project": project, "rung": rung, "call": call, "grant": grant, "proposal": proposal}
        return self._write(Application, "/v1/applications", NewApplication, given)

    def revise_application(self, key: str, proposal: Mapping[str, Any]) -> Application:
        """Change what a draft asks for."""
        body = asked(Proposal, **proposal)
        document = self.wire.write("PUT", f"/v1/applications/{step(key)}/proposal", body)
        return self.wire.parsed(Application, document)

    def submit_application(self, key: str) -> Application:
        """Hand an application in."""
        return self._write(Application, f"/v1/applications/{step(key)}/submit")

    def withdraw_application(self, key: str, reason: str) -> Application:
        """Withdraw an application that is not decided yet."""
        return self._said(key, "withdraw", WithReason, reason=reason)

    def appeal(self, key: str, reason: str) -> Application:
        """Appeal against a rejection."""
        return self._said(key, "appeal", WithReason, reason=reason)

    def return_application(self, key: str, reason: str) -> Application:
        """Send an application back to be improved."""
        return self._said(key, "return", WithReason, reason=reason)

    def confirm_gate(self, key: str, rule: str, *, passed: bool, reason: str) -> Application:
        """Say whether a gate that needs a person is passed."""
        return self._said(key, "confirm", Confirmation, rule=rule, passed=passed, reason=reason)

    def assign_reviewer(self, key: str, person: str) -> Application:
        """Choose somebody to review an application."""
        return self._said(key, "reviewers", Assignment, person=person)

    def review_application(
        self, key: str, *, part: str, score: int, recommends: str, comment: str, gpu_hours: int | None = None
    ) -> Application:
        """Review an application."""
        return self._said(
            key,
            "reviews",
            NewReview,
            part=part,
            score=score,
            recommends=recommends,
            comment=comment,
            gpu_hours=gpu_hours,
        )

    def recuse(self, key: str, reason: str, *, person: str | None = None) -> None:
        """Declare a conflict of interest; whoever recuses himself sees the application no more."""
        body = asked(NewRecusal, person=person, reason=reason)
        self.wire.write("POST", f"/v1/applications/{step(key)}/recusals", body)

    def look(self, key: str, *, gpu_hours: int | None = None) -> Consequences:
        """Ask the twin what granting an application would do to everybody."""
        body = asked(LookWanted, gpu_hours=gpu_hours)
        document = self.wire.write("POST", f"/v1/applications/{step(key)}/looks", body, timeout_s=WEIGHING_S)
        return self.wire.parsed(Consequences, document)

    def decide_application(
        self, key: str, outcome: str, *, reason: str, gpu_hours: int | None = None
    ) -> Application:
        """Decide an application, or an appeal."""
        return self._said(key, "decision", NewDecision, outcome=outcome, reason=reason, gpu_hours=gpu_hours)

    # grants

    def grants(
        self,
        *,
        state: Iterable[str] = (),
        tenant: str | None = None,
        project: str | None = None,
        most: int | None = None,
    ) -> Iterator[Grant]:
        """Go through grants, the oldest first."""
        params = {"state": list(state) or None, "tenant": tenant, "project": project}
        return self.wire.pages("/v1/grants", Grant, params, most)

    def grant(self, key: str) -> Grant:
        """Tell how a grant stands, and what was used of it."""
        return self.wire.get(f"/v1/grants/{step(key)}", Grant)

    def report_on_grant(self, key: str, text: str) -> Grant:
        """Hand in the report of a grant."""
        return self._write(Grant, f"/v1/grants/{step(key)}/report", NewReport, {"text": text})

    def send_report_back(self, key: str, reason: str) -> Grant:
        """Send the report of a grant back."""
        return self._write(Grant, f"/v1/grants/{step(key)}/send-back", WithReason, {"reason": reason})

    def end_grant(self, key: str, reason: str) -> Grant:
        """End a grant before its term."""
        return self._write(Grant, f"/v1/grants/{step(key)}/end", WithReason, {"reason": reason})

    def notices(self, *, project: str | None = None) -> Iterator[Notice]:
        """Go through what projects were told."""
        return self.wire.pages("/v1/notices", Notice, {"project": project})

    def _said(self, key: str, kind: str, model: type[Resource], **fields: Any) -> Application:
        return self._write(Application, f"/v1/applications/{step(key)}/{kind}", model, fields)

    def _write(
        self,
        answer: type[Resource],
        path: str,
        model: type[Any] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Resource:
        body = None if model is None else asked(model, **(fields or {}))
        return self.wire.parsed(answer, self.wire.write("POST", path, body))
