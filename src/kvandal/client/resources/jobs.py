"""Jobs: as they are submitted, as they stand, and what happened to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from kvandal.client.resources.base import Asked, Line, Name, Reason, Text, Told

JobState = Literal[
    "accepted",
    "queued",
    "running",
    "recalled",
    "finished",
    "failed",
    "cancelled",
    "timeout",
    "refused",
    "stopped",
]
ENDED: frozenset[str] = frozenset({"finished", "failed", "cancelled", "timeout", "refused", "stopped"})
"""States from which a job does not come back."""
LEAST_LIMIT_S = 60
MOST_LIMIT_S = 31_536_000
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class NewJob(Asked):
    """A job as somebody submits it.

    Attributes
    ----------
    tenant : who pays for it
    project : of the tenant
    name : what its owner calls it
    demand : class of work of the scenario that the tenant may submit
    gpus : GPUs of the gang
    limit_s : longest run time of one start [s]
    run_time_s : how long it is expected to work [s]; at most `limit_s`
    script : shell script that it runs
    environment : variables of that script

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant": "norway-research",
                    "project": "arctic-llm",
                    "name": "train 7b",
                    "demand": "research",
                    "gpus": 64,
                    "limit_s": 14_400,
                    "script": "srun python train.py",
                    "environment": {"SEED": "1"},
                }
            ]
        }
    )

    tenant: Name
    project: Name
    name: Annotated[Line, Field(max_length=200)] = "job"
    demand: Name
    gpus: Annotated[int, Field(ge=1, le=5_000_000, strict=True)]
    limit_s: Annotated[int, Field(ge=LEAST_LIMIT_S, le=MOST_LIMIT_S, strict=True)]
    run_time_s: Annotated[int, Field(ge=1, le=MOST_LIMIT_S, strict=True)] | None = None
    script: Annotated[Text, Field(max_length=262_144)] = ""
    environment: Annotated[dict[Variable, Annotated[Text, Field(max_length=4096)]], Field(max_length=100)] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _fits(self) -> NewJob:
        if self.run_time_s is not None and self.run_time_s > self.limit_s:
            raise ValueError(
                f"run_time_s must not exceed limit_s, got {self.run_time_s} above {self.limit_s}"
            )
        return self


class Cancellation(Asked):
    """Why a job is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "wrong data set"}]})

    reason: Reason = "asked by its owner"


class Share(Told):
    """GPUs of one node that a job holds."""

    node: str
    gpus: int


class Job(Told):
    """A job as it stands.

    Attributes
    ----------
    id : for ever
    number : order of acceptance
    state : *accepted* is acknowledged, *queued* waits, *recalled* runs until its notice ends
    reason_rule, reason : the rule that holds, started, stopped or refused it, and the same in words
    tier : of use while it runs: firm, assured or lent
    attempt : how often it was started
    shares : where it runs
    submitted_utc, started_utc, deadline_utc, ended_utc : the deadline is the end of its notice
    used_gpu_s, useful_gpu_s : GPU-seconds held, and those not lost
    energy_wh : drawn by its GPUs [Wh]
    recalls : how often it was called back
    version : grows with every change

    """

    id: str
    number: int
    tenant: str
    project: str
    person: str
    name: str
    demand: str
    gpus: int
    limit_s: int
    run_time_s: int | None = None
    state: JobState
    reason_rule: str = ""
    reason: str = ""
    tier: str = ""
    attempt: int = 0
    shares: list[Share] = Field(default_factory=list)
    submitted_utc: datetime
    started_utc: datetime | None = None
    deadline_utc: datetime | None = None
    ended_utc: datetime | None = None
    used_gpu_s: int = 0
    useful_gpu_s: int = 0
    energy_wh: float = 0.0
    recalls: int = 0
    version: int = 1


class JobInFull(Job):
    """A job with what it runs."""

    script: str = ""
    environment: dict[str, str] = Field(default_factory=dict)


class JobEvent(Told):
    """Something that happened to a job.

    Attributes
    ----------
    at_utc : when
    cycle : of the loop
    kind : accepted, queued, held, started, noticed, moved, promoted, demoted, taken, ended, refused
    rule, sentence : the rule that did it
    text : what happened, in words
    detail : the numbers behind it

    """

    at_utc: datetime
    cycle: int
    kind: str
    rule: str = ""
    sentence: str = ""
    text: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)


class Why(Told):
    """The life of a job in sentences, and the rules behind it.

    Attributes
    ----------
    job : its id
    state, reason_rule, reason : as it stands
    events : the last thousand, the oldest first
    rules : sentence of every rule that is named

    """

    job: str
    state: JobState
    reason_rule: str = ""
    reason: str = ""
    events: list[JobEvent]
    rules: dict[str, str]
