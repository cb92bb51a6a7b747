"""The ladder of access and the calls in which its rungs are offered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from kvandal.client.resources.base import WHOLE, Asked, Instant, Line, Name, Told

RungName = Literal["playground", "fast-lane", "innovator", "grand-challenge", "reserve"]
Path = Literal["automatic", "technical", "panel", "committee", "director"]


class Rung(Told):
    """One rung of the ladder.

    Attributes
    ----------
    most_gpu_hours, most_months : of one award
    path : how it is decided
    technical_reviews, scientific_reviews : that must be in before it is decided
    working_days : until an application is answered; None: at the date of its panel or call
    needs_earlier_award : whether an earlier award must have shown that it can be done
    needs_dates : whether it is offered in calls with a closing date only

    """

    name: RungName
    title: str
    most_gpu_hours: int
    most_months: int
    path: Path
    technical_reviews: int
    scientific_reviews: int
    working_days: int | None
    needs_earlier_award: bool
    needs_dates: bool


class NewCall(Asked):
    """A call as the office opens it; without a closing date it is a rolling one.

    Attributes
    ----------
    id : short name
    rungs : that may be applied for
    tenants : that it is for; empty means all
    opens_utc, closes_utc : when applications are taken; the end is not in it
    decides_utc : until when it is decided
    budget_gpu_hours : that it may grant in all; None: no limit but those of the tenants

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "spring-2027",
                    "title": "Grand challenges, spring 2027",
                    "rungs": ["grand-challenge"],
                    "opens_utc": "2027-01-04T08:00:00Z",
                    "closes_utc": "2027-02-01T13:00:00Z",
                    "decides_utc": "2027-03-25T12:00:00Z",
                    "budget_gpu_hours": 10_000_000,
                }
            ]
        }
    )

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
    title: Annotated[Line, Field(max_length=200)]
    rungs: Annotated[list[RungName], Field(min_length=1, max_length=5)]
    tenants: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    opens_utc: Instant
    closes_utc: Instant | None = None
    decides_utc: Instant | None = None
    budget_gpu_hours: Annotated[int, Field(strict=True, ge=1, le=10**12), WHOLE] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> NewCall:
        if self.closes_utc is not None and self.closes_utc <= self.opens_utc:
            raise ValueError(
                f"closes_utc ({self.closes_utc.isoformat()}) must come after opens_utc ({self.opens_utc.isoformat()})"
            )
        if self.closes_utc is not None and self.budget_gpu_hours is None:
            raise ValueError("a call with a closing date needs budget_gpu_hours")
        if self.closes_utc is None and self.decides_utc is not None:
            raise ValueError("decides_utc needs closes_utc: a rolling call has no date of decision")
        if (
            self.closes_utc is not None
            and self.decides_utc is not None
            and self.decides_utc < self.closes_utc
        ):
            raise ValueError(
                f"decides_utc ({self.decides_utc.isoformat()}) must not come before closes_utc "
                f"({self.closes_utc.isoformat()})"
            )
        return self


class Call(Told):
    """A call as it stands.

    Attributes
    ----------
    granted_gpu_hours : granted from it so far
    left_gpu_hours : of its budget; None: it has none
    open : whether it takes applications now

    """

    id: str
    title: str
    rungs: list[RungName]
    tenants: list[str] = Field(default_factory=list)
    opens_utc: datetime
    closes_utc: datetime | None = None
    decides_utc: datetime | None = None
    budget_gpu_hours: int | None = None
    granted_gpu_hours: int = 0
    left_gpu_hours: int | None = None
    open: bool = False
    version: int = 1
