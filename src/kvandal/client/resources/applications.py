"""Applications for GPU-hours, from the draft to the decision."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kvandal.client.resources.base import WHOLE, Asked, Instant, Line, Name, Reason, Text, Told
from kvandal.client.resources.calls import RungName
from kvandal.client.resources.organisations import PersonId, Residency

State = Literal[
    "draft",
    "submitted",
    "technical_review",
    "scientific_review",
    "decision",
    "granted",
    "rejected",
    "withdrawn",
    "appealed",
]
Part = Literal["technical", "scientific"]
AidBasis = Literal["none", "de-minimis", "block-exemption", "market-price"]
Outcome = Literal["grant", "reject"]


class Proposal(Asked):
    """What is asked for, and what the applicant declares.

    Attributes
    ----------
    title, summary : what it is about
    gpu_hours : in all (a change request: more than now)
    months : term of the award (a change request: longer than now)
    start_utc : wished start; left out, when it is granted
    gpus_at_once : of its largest job
    demand : classes of work of the scenario; empty means all
    residency : where the data may be processed; left out, as the project says
    aid_basis : how the price below the list price is lawful: *none* (research that is no economic activity),
        *de-minimis*, *block-exemption* (GBER, a person of the office looks at it), *market-price* (no aid)
    evidence : of feasibility, where no earlier award proves it
    co_applicants : ids of people who apply together with the applicant
    members : ids of people that a change request adds to the project
    civil_use, sanctions_clear, lawful_ai, no_mining : declarations: civil purpose; nobody involved is under
        sanctions or export control; no practice that Article 5 of the AI Act prohibits; no mining of currencies

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "A tokeniser for the Sami languages",
                    "gpu_hours": 4000,
                    "months": 3,
                    "aid_basis": "none",
                    "civil_use": True,
                    "sanctions_clear": True,
                    "lawful_ai": True,
                    "no_mining": True,
                }
            ]
        }
    )

    title: Annotated[Line, Field(max_length=200)]
    summary: Annotated[Text, Field(max_length=20_000)] = ""
    gpu_hours: Annotated[int, Field(strict=True, ge=0, le=10**9), WHOLE]
    months: Annotated[int, Field(strict=True, ge=0, le=60), WHOLE]
    start_utc: Instant | None = None
    gpus_at_once: Annotated[int, Field(strict=True, ge=1, le=5_000_000), WHOLE] | None = None
    demand: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    residency: Residency | None = None
    aid_basis: AidBasis = "none"
    evidence: Annotated[Text, Field(max_length=20_000)] = ""
    co_applicants: Annotated[list[PersonId], Field(max_length=100)] = Field(default_factory=list)
    members: Annotated[list[PersonId], Field(max_length=100)] = Field(default_factory=list)
    civil_use: bool = False
    sanctions_clear: bool = False
    lawful_ai: bool = False
    no_mining: bool = False


class NewApplication(Asked):
    """An application as somebody writes it; it stays a draft until it is handed in.

    Attributes
    ----------
    project : that asks
    call : in which it asks; left out, the rolling call of its rung
    rung : of the ladder
    proposal : what it asks for
    grant : id of the grant that is to be changed; left out, a new award is asked for

    """

    project: Annotated[Line, Field(max_length=63)]
    call: Annotated[Line, Field(max_length=63)] | None = None
    rung: RungName | None = None
    proposal: Proposal
    grant: Annotated[Line, Field(max_length=100)] | None = None


class Gate(Told):
    """What became of one gate.

    Attributes
    ----------
    rule : its id
    passed : None: a person of the office must look
    sentence : why, with the numbers
    numbers : the same to reckon with
    confirmed_by : who of the office looked, where somebody had to

    """

    rule: str
    passed: bool | None
    sentence: str
    numbers: dict[str, Any] = Field(default_factory=dict)
    confirmed_by: str | None = None


class NewReview(Asked):
    """A review as somebody writes it."""

    part: Part
    score: Annotated[int, Field(strict=True, ge=1, le=5), WHOLE]
    recommends: Outcome
    gpu_hours: Annotated[int, Field(strict=True, ge=0, le=10**9), WHOLE] | None = None
    comment: Annotated[Text, Field(min_length=3, max_length=20_000)]


class Review(Told):
    """A review.

    Attributes
    ----------
    set_aside : the rule by which it does not count: its author turned out to have a conflict of interest

    """

    part: Part
    by: str
    score: int
    recommends: Outcome
    gpu_hours: int | None = None
    comment: str
    at_utc: datetime
    set_aside: str | None = None


class Recusal(Told):
    """Somebody who may not see or judge an application, and why."""

    person: str
    rule: str
    reason: str
    at_utc: datetime


class Look(Told):
    """What somebody was shown of the consequences before deciding: kept whole under its id."""

    id: str
    by: str
    at_utc: datetime
    gpu_hours: int
    months: int


class LookWanted(Asked):
    """Which consequences are to be shown: of granting so many hours; left out, all that is asked for."""

    gpu_hours: Annotated[int, Field(strict=True, ge=1, le=10**9), WHOLE] | None = None


class Consequences(Told):
    """What somebody was shown before deciding.

    Attributes
    ----------
    question : that the twin was asked
    answer : tenant by tenant

    """

    id: str
    application: str
    by: str
    at_utc: datetime
    question: dict[str, Any]
    answer: dict[str, Any]


class Confirmation(Asked):
    """The word of somebody of the office on a gate that needs a person."""

    rule: Annotated[str, Field(pattern=r"^OG[0-9]{1,2}$")]
    passed: Annotated[bool, Field(strict=True)]
    reason: Reason


class NewRecusal(Asked):
    """Somebody stands back, or is made to, from judging an application."""

    person: PersonId | None = None
    reason: Reason


class Assignment(Asked):
    """Somebody is chosen to review an application."""

    person: PersonId


class WithReason(Asked):
    """A step of which only the reason is told: withdrawing, sending back, appealing, ending early."""

    reason: Reason


class NewDecision(Asked):
    """A decision as somebody makes it.

    Attributes
    ----------
    outcome : grant or reject
    gpu_hours : granted; left out, all that was asked for
    reason : that the applicant reads

    """

    outcome: Outcome
    gpu_hours: Annotated[int, Field(strict=True, ge=1, le=10**9), WHOLE] | None = None
    reason: Reason


class Decision(Told):
    """A decision: every gate as it stood then, and what its author had been shown."""

    outcome: Outcome
    by: str
    gpu_hours: int
    reason: str
    at_utc: datetime
    gates: list[Gate] = Field(default_factory=list)
    look: str | None = None
    on_appeal: bool = False


class Appeal(Told):
    """An appeal against a rejection."""

    by: str
    reason: str
    at_utc: datetime


class Application(Told):
    """An application as it stands.

    Attributes
    ----------
    kind : a new award or a change of one
    confirmations : gates that a person of the office has looked at
    reviewers : people who were chosen to review it; empty: whoever may
    took_part : people who reviewed it or decided on it first: none of them decides on an appeal
    looks : what people were shown of the consequences, the last of each
    due_utc : until when it is to be answered
    version : grows with every event

    """

    id: str
    kind: Literal["award", "change"] = "award"
    grant: str | None = None
    project: str
    organisation: str
    tenant: str
    call: str
    rung: RungName
    applicant: str
    proposal: Proposal
    state: State = "draft"
    gates: tuple[Gate, ...] = ()
    confirmations: tuple[Gate, ...] = ()
    reviewers: tuple[str, ...] = ()
    reviews: tuple[Review, ...] = ()
    recusals: tuple[Recusal, ...] = ()
    looks: tuple[Look, ...] = ()
    decision: Decision | None = None
    appeal: Appeal | None = None
    took_part: tuple[str, ...] = ()
    created_utc: datetime
    submitted_utc: datetime | None = None
    due_utc: datetime | None = None
    version: int = 1


class OfficeEvent(Told):
    """One line of the history of an application or a grant: what was done, by whom, why, by which rule."""

    number: int
    subject: str
    kind: str
    by: str
    at_utc: datetime
    rule: str
    reason: str = ""
    state: str
    body: dict[str, Any] = Field(default_factory=dict)
