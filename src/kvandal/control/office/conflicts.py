"""Conflicts of interest, declared or derived from who belongs where."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kvandal.client.resources.applications import Application
from kvandal.client.resources.organisations import Project


def conflict(
    person: str,
    application: Application,
    project: Project,
    organisations: Mapping[str, Collection[str]],
) -> tuple[str, str] | None:
    """Return the rule and the reason why somebody may not see or judge an application; None where nothing stands against it.

    Parameters
    ----------
    person
        Id of the person.
    application, project
        What is to be judged.
    organisations
        For the person and every co-applicant: ids of the organisations that they belong to.

    """
    for recusal in application.recusals:
        if recusal.person == person:
            return recusal.rule, recusal.reason
    own = set(organisations.get(person, ()))
    if application.organisation in own:
        return "OC1", "belongs to the applying organisation"
    if person in {
        application.applicant,
        project.investigator,
        *project.members,
        *application.proposal.members,
    }:
        return "OC2", "applies for, leads or belongs to the project"
    others = application.proposal.co_applicants
    if person in others:
        return "OC3", "is a co-applicant"
    for other in others:
        if own & set(organisations.get(other, ())):
            return "OC3", f"belongs to the organisation of the co-applicant {other}"
    return None
