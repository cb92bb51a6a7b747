"""Organisations and their projects: who may ask the access office for GPU-hours."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kvandal.client.resources.base import WHOLE, Asked, Line, Name, Text, Told

Kind = Literal["university", "institute", "hospital", "startup", "sme", "enterprise", "public", "offtaker"]
Residency = Literal["NO", "EEA", "any"]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
PersonId = Annotated[Line, Field(max_length=100)]


class NewOrganisation(Asked):
    """An organisation as somebody registers it.

    Attributes
    ----------
    name : legal name
    country : where it is registered, ISO 3166-1 alpha-2
    number : in that country's register
    kind : what it is
    staff : people who work there, as full-time equivalents
    turnover_eur : of the last full year [EUR]
    eea_control : whether it is controlled from within the European Economic Area
    beneficial_owner : who owns or controls it in the end
    residency : where its data may be processed, unless a project says it more narrowly

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Equinor ASA",
                    "country": "NO",
                    "number": "923 609 016",
                    "kind": "enterprise",
                    "staff": 25000,
                    "eea_control": True,
                    "beneficial_owner": "The Norwegian state",
                    "residency": "EEA",
                }
            ]
        }
    )

    name: Annotated[Line, Field(max_length=200)]
    country: Country = "NO"
    number: Annotated[Line, Field(max_length=40)]
    kind: Kind
    staff: Annotated[int, Field(strict=True, ge=0, le=10_000_000), WHOLE] | None = None
    turnover_eur: Annotated[int, Field(strict=True, ge=0, le=10**13), WHOLE] | None = None
    eea_control: bool | None = None
    beneficial_owner: Annotated[Line, Field(max_length=300)] | None = None
    residency: Residency = "any"


class Organisation(Told):
    """An organisation as it stands.

    Attributes
    ----------
    number_check : *valid* by the check digits of its register, or *unchecked* where no rule is known for the country
    register : the register that the number belongs to
    approved_by : who of the office has confirmed its particulars; None: nobody yet
    people : ids of the people who belong to it
    version : grows with every change

    """

    id: str
    name: str
    country: str
    number: str
    kind: Kind
    staff: int | None = None
    turnover_eur: int | None = None
    eea_control: bool | None = None
    beneficial_owner: str | None = None
    residency: Residency = "any"
    number_check: Literal["valid", "unchecked"]
    register_name: str = ""
    registered_by: str
    approved_by: str | None = None
    people: list[str] = Field(default_factory=list)
    created_utc: datetime
    version: int = 1


class OrganisationChange(Asked):
    """What is to be changed of an organisation; what is left out stays. A change takes its approval away."""

    name: Annotated[Line, Field(max_length=200)] | None = None
    kind: Kind | None = None
    staff: Annotated[int, Field(strict=True, ge=0, le=10_000_000), WHOLE] | None = None
    turnover_eur: Annotated[int, Field(strict=True, ge=0, le=10**13), WHOLE] | None = None
    eea_control: bool | None = None
    beneficial_owner: Annotated[Line, Field(max_length=300)] | None = None
    residency: Residency | None = None


class NewProject(Asked):
    """A project as somebody registers it.

    Attributes
    ----------
    id : short name under which its jobs run
    organisation : id of the organisation that answers for it
    tenant : tenant of the site whose share it uses
    investigator : id of the person who leads it
    members : ids of the people who may use it
    residency : where its data may be processed; left out, as its organisation says

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "arctic-llm",
                    "title": "Language models for the High North",
                    "organisation": "org_0k3",
                    "tenant": "norway-research",
                    "investigator": "person_0k4",
                }
            ]
        }
    )

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
    title: Annotated[Line, Field(max_length=200)]
    organisation: Annotated[Line, Field(max_length=100)]
    tenant: Name
    investigator: PersonId
    members: Annotated[list[PersonId], Field(max_length=1000)] = Field(default_factory=list)
    residency: Residency | None = None
    summary: Annotated[Text, Field(max_length=5000)] = ""


class Project(Told):
    """A project as it stands; `version` grows with every change."""

    id: str
    title: str
    organisation: str
    tenant: str
    investigator: str
    members: list[str] = Field(default_factory=list)
    residency: Residency
    summary: str = ""
    registered_by: str
    created_utc: datetime
    version: int = 1
