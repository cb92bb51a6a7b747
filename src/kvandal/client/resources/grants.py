"""Grants: GPU-hours that a project may use, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kvandal.client.resources.base import Asked, Text, Told
from kvandal.client.resources.calls import RungName

GrantState = Literal["planned", "active", "report_due", "reported", "expired"]


class Use(Told):
    """What jobs have used of a grant [GPU-seconds]: held, and the part of it that was not lost."""

    used_gpu_s: int = 0
    useful_gpu_s: int = 0


class Report(Told):
    """What came of it."""

    by: str
    at_utc: datetime
    text: str


class Grant(Told):
    """A grant as it stands.

    Attributes
    ----------
    gpu_hours : that hold now: granted, more by change requests, less by what was returned
    returned_gpu_hours : by use-it-or-lose-it
    looked_at_use : whether that look has been taken
    reminded : reminders that were sent
    report_due_utc : until when its report is due

    """

    id: str
    application: str
    project: str
    organisation: str
    tenant: str
    call: str
    rung: RungName
    gpu_hours: int
    months: int
    demand: list[str] = Field(default_factory=list)
    start_utc: datetime
    end_utc: datetime
    state: GrantState = "planned"
    returned_gpu_hours: int = 0
    looked_at_use: bool = False
    reminded: tuple[str, ...] = ()
    report_due_utc: datetime | None = None
    report: Report | None = None
    closes_utc: datetime | None = None
    ended_early: str | None = None
    granted_by: str
    granted_utc: datetime
    use: Use | None = None
    version: int = 1


class NewReport(Asked):
    """A report of what came of a grant."""

    text: Annotated[Text, Field(min_length=20, max_length=100_000)]


class Notice(Told):
    """Something that a project was told, and the rule behind it."""

    number: int
    project: str
    subject: str
    rule: str
    text: str
    at_utc: datetime
