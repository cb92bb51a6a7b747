"""Jobs: submit, list, look at, ask why, take back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, bindparam, insert, or_, select
from starlette.requests import Request
from starlette.responses import Response

from kvandal.client.resources.base import Name, Page
from kvandal.client.resources.jobs import ENDED, Cancellation, Job, JobInFull, JobState, NewJob, Why
from kvandal.control.api.answers import dumped, refuse_changed, told
from kvandal.control.api.force import Force, InForce
from kvandal.control.api.idempotency import Answer, Once
from kvandal.control.api.inbox import ask_loop
from kvandal.control.api.paging import MOST_ITEMS, Cursor, decoded, paged
from kvandal.control.api.parts import ServiceParts
from kvandal.control.api.problems import Refusal, fault, not_found, not_valid
from kvandal.control.api.reading import Read
from kvandal.control.api.reads import ReadingRoute
from kvandal.control.api.sight import seen
from kvandal.control.identity.dependencies import require
from kvandal.control.identity.principal import Places, Principal
from kvandal.control.store.tables.loop import JOB_EVENTS, JOBS
from kvandal.control.store.tables.metadata import new_id
from kvandal.policy.rules import RULES

router = APIRouter(tags=["jobs"], route_class=ReadingRoute)

MOST_EVENTS = 1000
SENTENCES = dict(RULES.values())
"""Sentence of every rule by its id."""
JobId = Annotated[
    str,
    Path(
        pattern=r"^job_[0-9a-z]{26}$", description="Id of a job.", examples=["job_01jzx6m3v0f8c2h5k7n9q1s4t6"]
    ),
]
_LISTED, _WHOLE = tuple(Job.model_fields), tuple(JobInFull.model_fields)
_ONE = select(*(JOBS.c[name] for name in _WHOLE)).where(JOBS.c.id == bindparam("job"))
_EVENTS = (
    select(JOB_EVENTS)
    .where(JOB_EVENTS.c.job == bindparam("job"))
    .order_by(JOB_EVENTS.c.id.desc())
    .limit(MOST_EVENTS)
)
_INSERT = insert(JOBS)
_NEW: dict[str, Any] = {
    "state": "accepted",
    "reason_rule": "",
    "reason": "",
    "tier": "",
    "attempt": 0,
    "shares": [],
}
_NEW |= {"started_utc": None, "deadline_utc": None, "ended_utc": None, "used_gpu_s": 0, "useful_gpu_s": 0}
_NEW |= {"energy_wh": 0.0, "recalls": 0, "version": 1}
"""A job that nothing has happened to yet."""


class JobQuery(BaseModel):
    """Which jobs are listed, and how."""

    model_config = ConfigDict(extra="forbid")

    tenant: Name | None = None
    project: Name | None = None
    state: Annotated[list[JobState], Field(max_length=10)] = Field(default_factory=list)
    demand: Name | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 50
    cursor: Cursor | None = None


@router.get("/jobs", response_model=Page[Job])
async def list_jobs(
    request: Request,
    query: Annotated[JobQuery, Query()],
    caller: Annotated[Principal, require("job.read")],
    read: Read,
) -> Response:
    """List jobs that the caller may see, page by page; each once, whatever is added meanwhile."""
    states = tuple(query.state)
    given = {
        name: wanted
        for name in ("tenant", "project", "demand")
        if (wanted := getattr(query, name)) is not None
    }
    statement = _listing(
        caller.places("job.read"), tuple(given), len(states), query.order, query.cursor is not None
    )
    given |= {f"state_{number}": state for number, state in enumerate(states)}
    given |= {"most": query.limit + 1, "key": 0 if query.cursor is None else decoded(query.cursor)}
    rows = await read(lambda tx: tx.execute(statement, given).all())
    rows, following, headers = paged(request, rows, query.limit, "number")
    return told(
        request, dumped({"items": [_told(_LISTED, row) for row in rows], "next": following}), headers=headers
    )


@lru_cache(maxsize=512)
def _listing(places: Places, named: tuple[str, ...], states: int, order: str, cursor: bool) -> Any:
    """Return the statement of a list; built once for each kind of question, so that it need not be analysed each time."""
    number = JOBS.c.number
    newest = order == "newest"
    statement = (
        select(*(JOBS.c[name] for name in _LISTED))
        .where(seen(places, JOBS.c.tenant, JOBS.c.project))
        .where(*(JOBS.c[name] == bindparam(name) for name in named))
        .order_by(number.desc() if newest else number)
        .limit(bindparam("most"))
    )
    if states:
        statement = statement.where(
            or_(*(JOBS.c.state == bindparam(f"state_{each}") for each in range(states)))
        )
    if cursor:
        statement = statement.where(number < bindparam("key") if newest else number > bindparam("key"))
    return statement


@router.post("/jobs", status_code=201, response_model=JobInFull)
async def submit_job(
    request: Request, job: NewJob, caller: Annotated[Principal, require("job.submit")], write: Once
) -> Response:
    """Submit a job: once this is answered it is accepted, and is not lost any more."""
    parts: ServiceParts = request.app.state.parts
    force: Force = request.app.state.force

    def work(tx: Connection) -> Answer:
        _check(caller, force(tx), job)
        _check_grant(parts, tx, job)
        row: dict[str, Any] = _NEW | job.model_dump()
        row |= {"id": new_id("job"), "person": caller.id, "submitted_utc": parts.now()}
        key = tx.execute(_INSERT, row).inserted_primary_key
        assert key is not None
        row["number"] = key[0]
        body = {"job": row["id"]}
        detail = {name: row[name] for name in ("tenant", "project", "demand", "gpus", "limit_s")}
        ask_loop(tx, parts, caller, "submit", body, what="job.submit", subject=row["id"], detail=detail)
        where = {"location": f"/v1/jobs/{row['id']}", "etag": f'"{row["version"]}"'}
        return Answer(201, {name: row[name] for name in _WHOLE}, where)

    return await write(work)


@router.get("/jobs/{job_id}", response_model=JobInFull)
async def get_job(
    request: Request, job_id: JobId, caller: Annotated[Principal, require("job.read")], read: Read
) -> Response:
    """Tell how a job stands, and what it runs."""
    row = await read(lambda tx: _visible(tx, caller, "job.read", job_id))
    return told(request, dumped(_told(_WHOLE, row)), f'"{row.version}"')


@router.get("/jobs/{job_id}/why", response_model=Why)
async def explain_job(
    request: Request, job_id: JobId, caller: Annotated[Principal, require("job.read")], read: Read
) -> Response:
    """Tell what happened to a job, by which rules, and what it waits for."""

    def work(tx: Connection) -> tuple[Any, list[Any]]:
        row = _visible(tx, caller, "job.read", job_id)
        return row, list(reversed(tx.execute(_EVENTS, {"job": job_id}).all()))

    row, events = await read(work)
    named = dict.fromkeys([*(event.rule for event in events), row.reason_rule])
    document = {
        "job": row.id,
        "state": row.state,
        "reason_rule": row.reason_rule,
        "reason": row.reason,
        "events": [
            {
                "at_utc": event.at_utc,
                "cycle": event.cycle,
                "kind": event.kind,
                "rule": event.rule,
                "sentence": SENTENCES.get(event.rule, ""),
                "text": str(event.detail.get("text", "")),
                "detail": event.detail,
            }
            for event in events
        ],
        "rules": {rule: SENTENCES[rule] for rule in named if rule in SENTENCES},
    }
    return told(request, dumped(document))


@router.post("/jobs/{job_id}/cancel", status_code=202, response_model=JobInFull)
async def cancel_job(
    request: Request,
    job_id: JobId,
    cancellation: Cancellation,
    caller: Annotated[Principal, require("job.cancel")],
    write: Once,
) -> Response:
    """Ask for a job to be taken back, whether it waits or runs; the loop does it in its next turn."""
    parts: ServiceParts = request.app.state.parts

    def work(tx: Connection) -> Answer:
        row = _visible(tx, caller, "job.read", job_id)
        if not caller.may("job.cancel", row.tenant, row.project):
            raise Refusal(403, f"{caller.name} may not cancel jobs of {row.tenant}/{row.project}")
        refuse_changed(request, f'"{row.version}"')
        if row.state in ENDED:
            raise Refusal(409, f"the job has ended already: it is {row.state}", kind="job-ended")
        body = {"job": job_id, "reason": cancellation.reason}
        detail = {"reason": cancellation.reason}
        ask_loop(tx, parts, caller, "cancel", body, what="job.cancel", subject=job_id, detail=detail)
        return Answer(202, _told(_WHOLE, row), {"etag": f'"{row.version}"'})

    return await write(work)


def _told(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    document: dict[str, Any] = dict(zip(names, row, strict=True))
    document["shares"] = [{"node": node, "gpus": gpus} for node, gpus in document["shares"]]
    return document


def _visible(tx: Connection, caller: Principal, action: str, job_id: str) -> Any:
    row = tx.execute(_ONE, {"job": job_id}).one_or_none()
    if row is None or not caller.may(action, row.tenant, row.project):
        raise not_found("job", job_id)
    return row


def _check(caller: Principal, force: InForce, job: NewJob) -> None:
    """Refuse what the scenario in force or the caller's roles do not allow; a tenant is told of its own alone."""
    mine = [
        name
        for name in force.leaves
        if caller.places("job.submit").cover(name) or name in caller.places("job.submit").tenants
    ]
    if job.tenant not in mine:
        if (
            job.tenant in force.scenario.tenants
            and job.tenant not in force.leaves
            and caller.may("job.submit")
        ):
            message = "is a group and submits no jobs"
            raise not_valid("body.tenant", job.tenant, f"one of {', '.join(mine)}", message)
        raise not_valid("body.tenant", job.tenant, f"one of {', '.join(mine) or 'none'}")
    if not caller.may("job.submit", job.tenant, job.project):
        projects = sorted(str(part) for name, part in caller.places("job.submit").some if name == job.tenant)
        raise not_valid("body.project", job.project, f"one of {', '.join(projects)}")
    classes = force.classes_of(job.tenant)
    faults = []
    if job.demand not in classes:
        faults.append(fault("body.demand", job.demand, f"one of {', '.join(classes) or 'none'}"))
    else:
        most = force.most_gpus(job.tenant, job.demand)
        if job.gpus > most:
            faults.append(fault("body.gpus", job.gpus, f"1 to {most:,}, the most that {job.tenant} may hold"))
        hours = force.scenario.demand[job.demand].time_limit_h
        if hours is not None and job.limit_s > hours * 3600:
            faults.append(fault("body.limit_s", job.limit_s, f"60 to {int(hours * 3600):,} for {job.demand}"))
    if faults:
        raise Refusal(422, f"{faults[0]['field']}: {faults[0]['message']}", errors=faults)


def _check_grant(parts: ServiceParts, tx: Connection, job: NewJob) -> None:
    missing = parts.may_use(tx, job.tenant, job.project, job.gpus, job.limit_s)
    if missing is not None:
        found = fault("body.project", job.project, "a project with a grant in force", missing)
        raise Refusal(409, f"body.project: {missing}", errors=[found], kind="no-grant")
