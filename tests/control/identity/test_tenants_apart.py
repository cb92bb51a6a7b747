"""Tenants never see each other's jobs: what belongs to another is answered exactly as what is not there."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from kvandal.control.api.setpoints import ALLOWED
from kvandal.control.identity.matrix import endpoints
from kvandal.control.identity.permissions import GIVEN, TENANT_ROLES, Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.store.tables.identity import TOKENS
from kvandal.control.store.tables.loop import INBOX, LOANS, SITE_NOW

OURS, THEIRS = ("norway-research", "arctic"), ("uk", "albion")
NOWHERE = "job_00000000000000000000000000"


@pytest.fixture
def jobs(service):
    """Return a job of two tenants each, and a loan from the one to the other."""
    mine = service.job(*OURS, name="our secret plan")
    theirs = service.job(*THEIRS, name="their secret plan")
    third = service.job("anchor", "titan", name="third secret plan")
    with service.store.begin() as tx:
        for job, lender, borrower in ((theirs, OURS[0], THEIRS[0]), (third, THEIRS[0], "anchor")):
            tx.execute(
                insert(LOANS).values(
                    job=job,
                    lender=lender,
                    borrower=borrower,
                    gpus=8,
                    state="lent",
                    started_utc=service.clock(),
                )
            )
        tenants = [{"name": name, "title": name, "own": 1} for name in (OURS[0], THEIRS[0], "anchor")]
        tx.execute(
            insert(SITE_NOW).values(
                id=1, version=1, at_utc=service.clock(), view={"tenants": tenants, "cycle": 1}
            )
        )
    return {"mine": mine, "theirs": theirs, "third": third}


def shape(answer, job: str) -> tuple:
    """Return all of an answer but what names the job and the request."""
    text = answer.text.replace(job, "JOB")
    return answer.status_code, re.sub(r'"request_id":"[^"]*"', "", text)


BODIES = {"POST": {"reason": "because"}, "PUT": {"reason": "because"}, "PATCH": {"reason": "because"}}


def test_a_job_of_another_tenant_is_as_if_it_were_not_there(service, jobs) -> None:
    """Whatever is asked about it, by whatever endpoint there is."""
    member, admin = service.member(*OURS), service.member(OURS[0], role="tenant_admin")
    asked = [one for one in endpoints(service.app) if "{job_id}" in one.path]
    assert len(asked) >= 3

    for one in asked:
        for who in (member, admin):
            theirs, nowhere = (
                who.write(one.method, one.path.replace("{job_id}", job), BODIES.get(one.method))
                for job in (jobs["theirs"], NOWHERE)
            )
            assert nowhere.status_code == 404, (one, nowhere.text)
            assert shape(theirs, jobs["theirs"]) == shape(nowhere, NOWHERE), one
    with service.store.read() as tx:
        assert tx.execute(select(INBOX)).all() == []


def test_every_list_is_narrowed_to_ones_tenant(service, jobs) -> None:
    """All that can be read without naming a thing, looked through for what is not ours."""
    for who in (service.member(*OURS), service.member(OURS[0], role="tenant_admin")):
        for one in endpoints(service.app):
            if one.method == "GET" and "{" not in one.path and "events" not in one.path:
                answer = who.get(one.path)
                for hidden in (
                    jobs["theirs"],
                    jobs["third"],
                    "their secret plan",
                    "third secret plan",
                    "albion",
                    "titan",
                ):
                    assert hidden not in answer.text, (one, hidden)
        assert [job["id"] for job in who.get("/v1/jobs").json()["items"]] == [jobs["mine"]]
        assert [(loan["lender"], loan["job"]) for loan in who.get("/v1/loans").json()["items"]] == [
            (OURS[0], "")
        ]
        assert [tenant["name"] for tenant in who.get("/v1/site").json()["tenants"]] == [OURS[0]]


def test_questions_cannot_be_asked_about_others(service, jobs) -> None:
    who = service.member(*OURS)

    for question in ("tenant=uk", "project=albion", "tenant=uk&project=albion", "tenant=anchor"):
        assert who.get(f"/v1/jobs?{question}").json()["items"] == []
    cursor = "bjk5OTk5"  # behind all jobs
    assert jobs["theirs"] not in who.get(f"/v1/jobs?cursor={cursor}").text
    body = {
        "demand": "national",
        "gpus": 8,
        "limit_s": 3600,
        "name": "x",
        "tenant": THEIRS[0],
        "project": "albion",
    }
    answer = who.write("POST", "/v1/jobs", body)
    assert answer.status_code == 422
    assert THEIRS[0] not in str([error["allowed"] for error in answer.json()["errors"]])


def test_members_of_a_project_do_not_see_the_others_of_their_tenant(service, jobs) -> None:
    other = service.job(OURS[0], "fjord", name="other project")

    assert service.member(*OURS).get(f"/v1/jobs/{other}").status_code == 404
    assert service.member(OURS[0], "fjord").get(f"/v1/jobs/{other}").status_code == 200
    assert service.member(OURS[0]).get(f"/v1/jobs/{other}").status_code == 200
    assert service.member(OURS[0], role="tenant_admin").get(f"/v1/jobs/{other}").status_code == 200


class Stream:
    """Follows the site, in the loop that runs."""

    def __init__(self, service, token: str) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/site/events",
            "raw_path": b"/v1/site/events",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": ("192.0.2.7", 5000),
            "server": ("127.0.0.1", 8440),
        }
        self.events: asyncio.Queue[dict | None] = asyncio.Queue()
        self.task = asyncio.get_running_loop().create_task(service.app(scope, self._receive, self._send))

    async def _receive(self) -> dict:
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: dict) -> None:
        for data in re.findall(rb"data: (.*)\n\n", message.get("body", b"")):
            self.events.put_nowait(json.loads(data))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.events.put_nowait(None)

    async def next(self) -> dict | None:
        """Return what is told next; None: the stream has ended."""
        return await asyncio.wait_for(self.events.get(), 30)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_who_follows_the_site_is_told_of_his_own_tenant_for_as_long_as_he_may(service, jobs) -> None:
    member = service.member(*OURS)

    async def told() -> list[dict | None]:
        stream = Stream(service, member.token)
        try:
            first = await stream.next()
            with service.store.begin() as tx:
                tx.execute(update(TOKENS).values(revoked_utc=service.clock()))
                tx.execute(update(SITE_NOW).values(version=2))
            service.identity.forget()
            return [first, await stream.next()]
        finally:
            await stream.leave()

    first, then = service.loop.run(told())
    assert [tenant["name"] for tenant in first["tenants"]] == [OURS[0]]
    assert then is None


places = st.tuples(
    st.sampled_from(["norway-research", "uk", "anchor"]), st.sampled_from(["arctic", "albion", "titan"])
)


@st.composite
def grants(draw: st.DrawFn) -> RoleGrant:
    role = draw(st.sampled_from(GIVEN))
    tenant, project = draw(places)
    if role not in TENANT_ROLES:
        return RoleGrant(role)
    return RoleGrant(role, tenant, project if role is Role.MEMBER and draw(st.booleans()) else None)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    roles=st.lists(grants(), max_size=3, unique=True),
    jobs=st.lists(places, min_size=1, max_size=5),
    limit=st.one_of(st.none(), places),
)
def test_lists_of_jobs_hold_exactly_those_that_can_be_opened(service, roles, jobs, limit) -> None:
    """And those are the jobs for which the table of permissions says so."""
    person = service.person(f"p{service.count}", *roles)
    service.count += 1
    limits = {} if limit is None else {"tenant": limit[0], "project": limit[1]}
    made = {service.job(*place): place for place in jobs}
    token = service.client(service.token(person, "job.read", **limits))
    principal = service.loop.run(service.identity._by_token(f"Bearer {token.token}"))

    expected = {job for job, place in made.items() if principal.may("job.read", *place)}

    opened = {job for job in made if token.get(f"/v1/jobs/{job}").status_code == 200}
    assert opened == expected
    if principal.may_somewhere("job.read"):
        listed, path = set(), "/v1/jobs?limit=200"
        while path is not None:
            page = token.get(path).json()
            listed |= {job["id"] for job in page["items"]}
            path = page["next"]
        assert listed & made.keys() == expected
    else:
        assert token.get("/v1/jobs").status_code == 403


@pytest.mark.parametrize("role", [*GIVEN, None], ids=lambda role: role or "nobody")
def test_set_points_that_are_not_on_the_list_are_refused_to_everybody(service, role) -> None:
    assert set(ALLOWED) == {"envelope_mw"}
    roles = () if role is None else (RoleGrant(role, "uk" if role in TENANT_ROLES else None),)
    who = service.client(service.token(service.person("ada", *roles)))

    for name in ("tcs_supply_c", "pump_speed", "price", "envelope_kw", "breaker_12"):
        written = who.write("PUT", f"/v1/set-points/{name}", {"value": 1.0, "reason": "because"})
        cleared = who.write("DELETE", f"/v1/set-points/{name}?reason=because")
        assert {written.status_code, cleared.status_code} == {403}, name
    with service.store.read() as tx:
        assert tx.execute(select(INBOX)).all() == []
