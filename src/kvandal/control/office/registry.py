"""Organisations and projects: registered, confirmed by the office, changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from kvandal.client.resources.organisations import (
    NewOrganisation,
    NewProject,
    Organisation,
    OrganisationChange,
    Project,
)
from kvandal.control.office.desk import Desk
from kvandal.control.office.numbers import checked_number
from kvandal.control.office.rules import NotThereError
from kvandal.control.store.tables.metadata import new_id
from kvandal.control.store.tables.office import (
    GRANTS,
    ORGANISATION_PEOPLE,
    ORGANISATIONS,
    PROJECT_PEOPLE,
    PROJECTS,
)
from kvandal.errors import InputError

LOCAL = "local"
"""Kind of a caller who sits at a local site: he registers for others and belongs to nobody."""


def register_organisation(desk: Desk, new: NewOrganisation) -> Organisation:
    """Register an organisation; whoever does so belongs to it, unless he is of the office.

    Raises
    ------
    InputError
        If its number cannot be one of its country, or is registered already.

    """
    desk.demand("organisation.write", owner=desk.who.id)
    number = checked_number(new.country, new.number)
    taken = desk.tx.execute(
        select(ORGANISATIONS.c.id).where(
            ORGANISATIONS.c.country == new.country, ORGANISATIONS.c.register_number == number.number
        )
    ).scalar()
    if taken is not None:
        raise InputError(f"{number.number} ({new.country}) is registered already", key="number")
    key = new_id("organisation")
    found = Organisation.model_validate(
        {
            **new.model_dump(),
            "id": key,
            "number": number.number,
            "number_check": number.check,
            "register_name": number.register_name,
            "registered_by": desk.who.id,
            "created_utc": desk.now_utc,
        }
    )
    desk.tx.execute(
        insert(ORGANISATIONS).values(
            id=key, country=new.country, register_number=number.number, document=_kept(found), version=1
        )
    )
    if not _of_the_office(desk):
        _belong(desk.tx, key, desk.who.id)
    desk.audit(
        "organisation.register", key, {"country": new.country, "number": number.number, "name": new.name}
    )
    return organisation(desk.tx, key)


def _of_the_office(desk: Desk) -> bool:
    return desk.who.kind == LOCAL or desk.who.may("application.decide")


def organisation(tx: Connection, key: str) -> Organisation:
    """Return an organisation.

    Raises
    ------
    NotThereError
        If there is none of that id.

    """
    row = tx.execute(select(ORGANISATIONS).where(ORGANISATIONS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no organisation {key!r}")
    return organisation_of(tx, row)


def organisation_of(tx: Connection, row: Row[Any]) -> Organisation:
    """Read an organisation from its row."""
    people = tx.execute(
        select(ORGANISATION_PEOPLE.c.person)
        .where(ORGANISATION_PEOPLE.c.organisation == row.id)
        .order_by(ORGANISATION_PEOPLE.c.person)
    )
    return Organisation.model_validate(
        {**row.document, "people": list(people.scalars()), "version": row.version}
    )


def visible_organisation(desk: Desk, key: str) -> Organisation:
    """Return an organisation that the caller may see."""
    found = organisation(desk.tx, key)
    own = desk.who.id if desk.who.id in found.people or desk.who.id == found.registered_by else None
    if not desk.who.may("organisation.read", owner=own) and not _through_projects(desk, key):
        raise NotThereError(f"there is no organisation {key!r}")
    return found


def _through_projects(desk: Desk, key: str) -> bool:
    """Whether the caller may see a tenant of which the organisation has a project."""
    places = desk.who.places("organisation.read")
    tenants = desk.tx.execute(select(PROJECTS.c.tenant).where(PROJECTS.c.organisation == key).distinct())
    return any(places.cover(tenant) for tenant in tenants.scalars())


def _writable(desk: Desk, key: str) -> Organisation:
    found = visible_organisation(desk, key)
    own = desk.who.id if desk.who.id in found.people or desk.who.id == found.registered_by else None
    desk.demand("organisation.write", owner=own)
    return found


def change_organisation(desk: Desk, key: str, change: OrganisationChange) -> Organisation:
    """Change the particulars of an organisation; who of the office had confirmed them no longer counts."""
    found = _writable(desk, key)
    changes = change.model_dump(exclude_unset=True)
    return _keep(desk, found, {**changes, "approved_by": None}, "organisation.change", changes)


def approve_organisation(desk: Desk, key: str) -> Organisation:
    """Confirm the particulars of an organisation, as somebody of the office who does not belong to it."""
    found = visible_organisation(desk, key)
    desk.demand("application.decide")
    if desk.who.id in found.people:
        raise InputError(f"{desk.who.name} belongs to {found.name} and cannot confirm its particulars")
    return _keep(desk, found, {"approved_by": desk.who.id}, "organisation.approve", {})


def add_people(desk: Desk, key: str, people: Iterable[str]) -> Organisation:
    """Let people belong to an organisation."""
    found = _writable(desk, key)
    for person in people:
        if person not in found.people:
            _belong(desk.tx, key, person)
    return _keep(desk, found, {}, "organisation.people", {"added": list(people)})


def remove_person(desk: Desk, key: str, person: str) -> Organisation:
    """Let somebody no longer belong to an organisation."""
    found = _writable(desk, key)
    desk.tx.execute(
        delete(ORGANISATION_PEOPLE).where(
            ORGANISATION_PEOPLE.c.organisation == key, ORGANISATION_PEOPLE.c.person == person
        )
    )
    return _keep(desk, found, {}, "organisation.people", {"removed": [person]})


def _belong(tx: Connection, key: str, person: str) -> None:
    tx.execute(insert(ORGANISATION_PEOPLE).values(organisation=key, person=person))


def _keep(
    desk: Desk, found: Organisation, changes: dict[str, Any], what: str, detail: dict[str, Any]
) -> Organisation:
    after = Organisation.model_validate({**found.model_dump(), **changes})
    desk.tx.execute(
        update(ORGANISATIONS)
        .where(ORGANISATIONS.c.id == found.id)
        .values(document=_kept(after), version=found.version + 1)
    )
    desk.audit(what, found.id, detail)
    return organisation(desk.tx, found.id)


def _kept(found: Organisation | Project) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude={"people", "members", "version"})


def organisations_of(tx: Connection, people: Collection[str]) -> dict[str, set[str]]:
    """Return for each person the organisations that he belongs to."""
    found: dict[str, set[str]] = {person: set() for person in people}
    rows = tx.execute(select(ORGANISATION_PEOPLE).where(ORGANISATION_PEOPLE.c.person.in_(list(people))))
    for row in rows:
        found[row.person].add(row.organisation)
    return found


def register_project(desk: Desk, new: NewProject) -> Project:
    """Register a project of an organisation.

    Raises
    ------
    InputError
        If its name is taken, its tenant is none of the site, or its investigator does not belong to the organisation.

    """
    owner = visible_organisation(desk, new.organisation)
    own = desk.who.id if desk.who.id in owner.people else None
    desk.demand("project.write", new.tenant, new.id, owner=own)
    if new.tenant not in desk.terms.tenants:
        raise InputError(f"must be one of {', '.join(desk.terms.tenants)}, got {new.tenant!r}", key="tenant")
    if desk.tx.execute(select(PROJECTS.c.id).where(PROJECTS.c.id == new.id)).scalar() is not None:
        raise InputError(f"there is a project {new.id!r} already", key="id")
    if new.investigator not in owner.people:
        people = ", ".join(owner.people) or "nobody yet"
        raise InputError(
            f"must belong to {owner.name}, to which belong: {people}; got {new.investigator!r}",
            key="investigator",
        )
    found = Project.model_validate(
        {
            **new.model_dump(),
            "residency": new.residency or owner.residency,
            "registered_by": desk.who.id,
            "created_utc": desk.now_utc,
        }
    )
    desk.tx.execute(
        insert(PROJECTS).values(
            id=new.id, organisation=owner.id, tenant=new.tenant, document=_kept(found), version=1
        )
    )
    _take_part(desk.tx, new.id, new.investigator, "investigator")
    for person in dict.fromkeys(new.members):
        if person != new.investigator:
            _take_part(desk.tx, new.id, person, "member")
    desk.audit("project.register", new.id, {"organisation": owner.id, "tenant": new.tenant})
    return project(desk.tx, new.id)


def _take_part(tx: Connection, key: str, person: str, part: str) -> None:
    tx.execute(insert(PROJECT_PEOPLE).values(project=key, person=person, part=part))


def project(tx: Connection, key: str) -> Project:
    """Return a project.

    Raises
    ------
    NotThereError
        If there is none of that name.

    """
    row = tx.execute(select(PROJECTS).where(PROJECTS.c.id == key)).one_or_none()
    if row is None:
        raise NotThereError(f"there is no project {key!r}")
    return project_of(tx, row)


def project_of(tx: Connection, row: Row[Any]) -> Project:
    """Read a project from its row."""
    people = tx.execute(
        select(PROJECT_PEOPLE.c.person)
        .where(PROJECT_PEOPLE.c.project == row.id, PROJECT_PEOPLE.c.part == "member")
        .order_by(PROJECT_PEOPLE.c.person)
    )
    return Project.model_validate({**row.document, "members": list(people.scalars()), "version": row.version})


def belongs(who: str, found: Project) -> bool:
    """Whether somebody leads a project or is a member of it."""
    return who == found.investigator or who in found.members


def visible_project(desk: Desk, key: str) -> Project:
    """Return a project that the caller may see."""
    found = project(desk.tx, key)
    own = desk.who.id if belongs(desk.who.id, found) or desk.who.id == found.registered_by else None
    if not desk.who.may("project.read", found.tenant, found.id, owner=own):
        raise NotThereError(f"there is no project {key!r}")
    return found


def add_member(desk: Desk, key: str, person: str) -> Project:
    """Add somebody to a project that has no grant yet; later a change of the grant is asked for."""
    found = visible_project(desk, key)
    own = desk.who.id if desk.who.id in {found.investigator, found.registered_by} else None
    desk.demand("project.write", found.tenant, found.id, owner=own)
    held = desk.tx.execute(
        select(GRANTS.c.id).where(GRANTS.c.project == key, GRANTS.c.state.in_(("planned", "active"))).limit(1)
    ).scalar()
    if held is not None:
        raise InputError(f"the project has the grant {held}: apply for a change of it that adds the people")
    return add_members(desk, found, [person])


def add_members(desk: Desk, found: Project, people: Iterable[str]) -> Project:
    """Add people to a project."""
    new = [person for person in dict.fromkeys(people) if not belongs(person, found)]
    for person in new:
        _take_part(desk.tx, found.id, person, "member")
    desk.tx.execute(update(PROJECTS).where(PROJECTS.c.id == found.id).values(version=found.version + 1))
    desk.audit("project.members", found.id, {"added": new})
    return project(desk.tx, found.id)


def remove_member(desk: Desk, key: str, person: str) -> Project:
    """Take somebody out of a project."""
    found = visible_project(desk, key)
    own = desk.who.id if desk.who.id in {found.investigator, found.registered_by} else None
    desk.demand("project.write", found.tenant, found.id, owner=own)
    if person not in found.members:
        raise NotThereError(f"{person!r} is no member of {key}")
    desk.tx.execute(
        delete(PROJECT_PEOPLE).where(PROJECT_PEOPLE.c.project == key, PROJECT_PEOPLE.c.person == person)
    )
    desk.tx.execute(update(PROJECTS).where(PROJECTS.c.id == key).values(version=found.version + 1))
    desk.audit("project.members", key, {"removed": [person]})
    return project(desk.tx, key)
