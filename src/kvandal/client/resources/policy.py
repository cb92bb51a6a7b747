"""The policy: tenants and their limits, changes of it with their what-if, rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kvandal.client.resources.base import Asked, Instant, Name, Reason, Text, Told
from kvandal.client.resources.site import TenantNow

Key = Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9_.\"-]+$")]
Value = float | int | bool | Annotated[Text, Field(max_length=200)] | None
Changes = Annotated[dict[Key, Value], Field(max_length=50)]


class Rule(Told):
    """A rule of sharing, by the id that decisions name."""

    id: str
    sentence: str


class Tenant(Told):
    """A tenant, or a group of tenants, as the scenario in force has it.

    Attributes
    ----------
    name, parent : its place in the tree
    group : whether others stand below it; a group submits no jobs
    tier, region, residency : what it is
    guarantee_gpus, deserved_gpus, ceiling_gpus : its limits of the finished site
    notice_s, minimum_run_s : of its loans [s]
    weight : among borrowers
    demand : classes of work that it may submit
    now : what it holds and waits for; None: not known

    """

    name: str
    parent: str | None = None
    group: bool
    tier: str
    region: str
    residency: list[str] = Field(default_factory=list)
    guarantee_gpus: int
    deserved_gpus: int
    ceiling_gpus: int
    notice_s: int
    minimum_run_s: int
    weight: float
    demand: list[str] = Field(default_factory=list)
    now: TenantNow | None = None


class Policy(Told):
    """The policy in force.

    Attributes
    ----------
    version : number of the last change; 0: none
    tenants : as the scenario in force has them, by name
    policy : rules of placement, order and recall
    changeable : keys that a change may set; a star stands for the name of a tenant

    """

    version: int
    tenants: dict[str, dict[str, Any]]
    policy: dict[str, Any]
    changeable: list[str]


class NewPolicyChange(Asked):
    """A change of the policy that somebody thinks of.

    Attributes
    ----------
    changes : keys of the scenario and their new values
    reason : for the audit trail
    days : how far the what-if looks [days]

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "changes": {"tenants.uk.ceiling_share": 0.02},
                    "reason": "more room for research",
                    "days": 1.0,
                }
            ]
        }
    )

    changes: Annotated[Changes, Field(min_length=1)]
    reason: Reason
    days: Annotated[float, Field(gt=0, le=14)] = 1.0


class PolicyChange(Told):
    """A proposed change with what it would do to whom.

    Attributes
    ----------
    id, changes, reason, by, at_utc : what was proposed
    base_version : version of the policy that it was weighed against
    whatif : what it would do, tenant by tenant; None: this server cannot say
    confirmation : to be given back when it is applied: whoever applies it has seen the answer
    expires_utc : it must be proposed again after that
    state : proposed or applied
    applied_by, applied_utc : who applied it, and when

    """

    id: str
    changes: dict[str, Any]
    reason: str
    by: str
    at_utc: datetime
    base_version: int
    whatif: dict[str, Any] | None = None
    confirmation: str
    expires_utc: datetime
    state: Literal["proposed", "applied"]
    applied_by: str | None = None
    applied_utc: datetime | None = None


class Confirmation(Asked):
    """The confirmation of a proposed change, as the proposal told it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirmation": "c7a51f0e9d2b4c68"}]})

    confirmation: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class GrantThought(Asked):
    """A grant that somebody thinks of."""

    tenant: Name
    project: Name = "proposed"
    gpu_hours: Annotated[float, Field(gt=0, le=1e10)]
    start_utc: Instant
    end_utc: Instant
    expiry: Literal["hard", "soft"] = "hard"
    carry_over_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    demand: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)


class Question(Asked):
    """What would happen to everybody, if.

    Attributes
    ----------
    changes : keys of the scenario and their new values
    grants : that would be given
    envelope_mw : at which the site would be held [MW]
    days : how far to look

    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"changes": {"tenants.uk.ceiling_share": 0.02}, "days": 0.25}]}
    )

    changes: Changes = Field(default_factory=dict)
    grants: Annotated[list[GrantThought], Field(max_length=20)] = Field(default_factory=list)
    envelope_mw: Annotated[float, Field(ge=0, le=10_000)] | None = None
    days: Annotated[float, Field(gt=0, le=14)] = 1.0
