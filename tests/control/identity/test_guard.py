"""How often one may ask, what browsers are told, and what a local site answers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.gate import Identity
from kvandal.control.identity.guard import Guard
from kvandal.control.identity.limits import MOST_CALLERS, Buckets
from kvandal.control.identity.permissions import Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.settings import LimitSettings, Settings

FEW = LimitSettings(requests_per_second=0.01, burst=5, sign_ins_per_minute=3.0)


def test_a_bucket_fills_again_with_time() -> None:
    now = [0.0]
    buckets = Buckets(per_second=2.0, burst=3, clock=lambda: now[0])

    assert [buckets.take("ada").retry_after_s for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take("eve").remaining == 2
    now[0] = 0.5
    assert [buckets.take("ada").retry_after_s for _ in range(2)] == [0, 1]
    now[0] = 1000.0
    assert buckets.take("ada").remaining == 2


def test_buckets_of_many_callers_do_not_grow_without_end() -> None:
    buckets = Buckets(per_second=1.0, burst=3, clock=lambda: 0.0)
    for caller in range(MOST_CALLERS + 100):
        buckets.take(caller)

    assert len(buckets._kept) == MOST_CALLERS


def test_a_person_may_ask_so_often_with_all_his_tokens_together(make_service) -> None:
    service = make_service(limits=FEW)
    ada, eve = (service.person(name, RoleGrant(Role.MEMBER, "uk")) for name in ("ada", "eve"))
    clients = [service.client(service.token(ada)) for _ in range(2)]

    answers = [clients[turn % 2].get("/v1/me") for turn in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-limit"] == "5"
    assert [int(answer.headers["ratelimit-remaining"]) for answer in answers[:5]] == [4, 3, 2, 1, 0]
    assert int(answers[-1].headers["retry-after"]) == 100
    assert answers[-1].json()["type"] == "urn:kvandal:problem:too-many-requests"
    assert service.client(service.token(eve)).get("/v1/me").status_code == 200
    service.clock.pass_by(seconds=100)
    assert clients[0].get("/v1/me").status_code == 200


def test_wrong_tokens_are_counted_against_the_address_they_come_from(make_service) -> None:
    service = make_service(limits=FEW)
    ada = service.client(service.token(service.person("ada")))
    assert ada.get("/v1/me").status_code == 200

    guesses = [service.client("kvd_" + "A" * 51 + letter).get("/v1/me").status_code for letter in "ABCDE"]

    assert guesses == [401, 401, 401, 429, 429]
    assert ada.get("/v1/me").status_code == 200  # known already: one guesser shuts nobody out who is inside


def test_signing_in_is_tried_so_often_from_one_address(make_service) -> None:
    service = make_service(limits=FEW)

    answers = [service.client().get("/v1/login") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [303, 303, 303, 429]
    assert answers[-1].headers["content-type"] == "application/problem+json"
    assert int(answers[-1].headers["retry-after"]) in range(1, 21)


def test_who_is_nobody_may_ask_so_often_from_one_address(make_service) -> None:
    service = make_service(limits=FEW)

    statuses = [service.client().get("/v1/openapi.json").status_code for _ in range(6)]

    assert statuses == [200] * 5 + [429]


@pytest.mark.parametrize("path", ["/v1/me", "/v1/jobs", "/v1/nothing", "/v1/openapi.json", "/v1/login"])
def test_browsers_are_told_to_be_careful_with_every_answer(service, path) -> None:
    headers = service.client().get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert "strict-transport-security" not in headers


def test_answers_about_people_are_kept_by_nobody_else(service) -> None:
    ada = service.client(service.token(service.person("ada", RoleGrant(Role.MEMBER, "uk"))))

    assert ada.get("/v1/me").headers["cache-control"] == "no-store"
    listed = ada.get("/v1/tokens").headers
    assert "private" in listed["cache-control"]
    assert listed["etag"]
    assert service.client().get("/v1/me").headers["cache-control"] == "no-store"


def test_pages_get_a_nonce_of_their_own(service) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await HTMLResponse(scope["state"]["csp_nonce"])(scope, receive, send)

    async def ask(path: str) -> httpx.Response:
        guard = Guard(page, local=False, base_url="https://kvandal.example")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://a") as client:
            return await client.get(path)

    first, second = (service.loop.run(ask("/")) for _ in range(2))

    assert f"'nonce-{first.text}'" in first.headers["content-security-policy"]
    assert first.text != second.text
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["strict-transport-security"] == "max-age=31536000"


@pytest.fixture
def local(service) -> Iterator[object]:
    """Return a site without identities, asked as a test wants."""
    identity = Identity(service.store, Settings(port=8440), now=service.clock, clock=service.clock.monotonic)
    app = create_app(
        ServiceParts(store=service.store, scenario=service.app.state.parts.scenario, identity=identity)
    )

    def ask(method: str, path: str, host: str = "127.0.0.1:8440", **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8440") as client:
                given = {"Host": host, "Idempotency-Key": f"key-of-{len(str(headers)):06}"} | headers
                body = {"name": "x", "scopes": ["job.read"]} if method == "POST" else None
                return await client.request(method, path, headers=given, json=body)

        return service.loop.run(asked())

    yield ask
    close(app)


def test_a_local_site_says_so_and_lets_its_machine_do_everything(local) -> None:
    me = local("GET", "/v1/me").json()

    assert (me["id"], me["mode"], me["kind"]) == ("local", "local", "local")
    assert {role["role"] for role in me["roles"]} == set(Role) - {"anyone"}
    assert all(permission["everywhere"] or permission["own"] for permission in me["permissions"])
    for method, path in (("GET", "/v1/login"), ("GET", "/v1/callback")):
        assert local(method, path).json()["type"] == "urn:kvandal:problem:local-mode"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8440", True),
        ("localhost:8440", True),
        ("LOCALHOST:8440", True),
        ("[::1]:8440", True),
        ("127.0.0.1", False),
        ("127.0.0.1:80", False),
        ("evil.example:8440", False),
        ("localhost.evil.example:8440", False),
        ("localhost:8440.evil.example", False),
        ("", False),
    ],
)
def test_a_local_site_answers_under_its_own_names_alone(local, host, allowed) -> None:
    """A page of another site whose name was bent to this machine (DNS rebinding) sends its own name."""
    assert local("GET", "/v1/me", host).status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8440", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost:8440"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_local_site_takes_no_writes_from_other_sites(local, headers, allowed) -> None:
    assert local("POST", "/v1/tokens", **headers).status_code == (201 if allowed else 403)


def test_tokens_of_a_local_site_hold_there_alone(service, local) -> None:
    """Once the site knows identities, what whoever was local has left behind opens nothing."""
    token = local("POST", "/v1/tokens").json()["token"]
    header = {"Authorization": f"Bearer {token}"}

    assert local("GET", "/v1/me", **header).json()["kind"] == "token"
    assert local("GET", "/v1/jobs", **header).status_code == 200
    assert local("GET", "/v1/site", **header).status_code == 403  # beyond its scope
    assert local("GET", "/v1/me", Authorization="Bearer kvd_wrong").status_code == 401
    assert service.client(token).get("/v1/me").status_code == 401


def test_requests_without_limits_pass_the_guard_unchanged(service) -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(
            "here", headers={"Content-Security-Policy": "mine", "Cache-Control": "public"}
        )(scope, receive, send)

    async def ask() -> httpx.Response:
        guard = Guard(plain, local=False, base_url="http://a")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://a") as client:
            return await client.get("/static/a.css")

    answer = service.loop.run(ask())

    assert answer.headers.get_list("content-security-policy") == ["mine"]
    assert answer.headers.get_list("cache-control") == ["public"]
