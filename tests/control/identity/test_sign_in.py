"""Signing in by OpenID Connect: what holds is let in, everything else is refused and said so."""

from __future__ import annotations

import time

import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select

from kvandal.control.store.tables.books import AUDIT
from kvandal.control.store.tables.identity import PEOPLE, SESSIONS, SIGN_INS

OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"})


def audited(service, what: str) -> list:
    with service.store.read() as tx:
        return list(tx.execute(select(AUDIT).where(AUDIT.c.what == what)).mappings())


def test_signing_in_asks_with_pkce_state_and_nonce(service) -> None:
    asked = service.browser.begin()

    assert asked["response_type"] == "code"
    assert asked["client_id"] == "kvandal"
    assert asked["redirect_uri"] == "http://127.0.0.1:8440/v1/callback"
    assert asked["code_challenge_method"] == "S256"
    assert set(asked["scope"].split()) == {"openid", "profile", "email"}
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43


def test_who_signs_in_has_a_session_until_he_signs_out(service) -> None:
    answer = service.browser.sign_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    me = service.browser.get("/v1/me").json()
    assert (me["name"], me["kind"], me["mode"], me["roles"]) == ("Ada", "person", "identities", [])
    session = service.browser.http.cookies["kvandal_session"]

    signed_out = service.browser.request("POST", "/v1/logout", headers={"X-CSRF-Token": me["csrf_token"]})

    place = signed_out.json()["sign_out_url"]
    assert place.startswith("http://127.0.0.1:9400/end?client_id=kvandal&post_logout_redirect_uri=http")
    assert "kvandal_session" not in service.browser.http.cookies
    assert service.client(Cookie=f"kvandal_session={session}").get("/v1/me").status_code == 401
    assert [len(audited(service, what)) for what in ("sign_in", "sign_out")] == [1, 1]


def test_cookies_are_kept_from_scripts_and_other_sites(service) -> None:
    cookies = service.browser.sign_in().headers.get_list("set-cookie")

    session = next(cookie for cookie in cookies if cookie.startswith("kvandal_session="))
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(session.split("; "))
    assert "Secure" not in session  # plain http on this machine


def test_cookies_of_https_go_nowhere_else(make_service) -> None:
    service = make_service(public_url="https://kvandal.example")

    answer = service.browser.get("/v1/login")

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-kvandal_sign_in=")
    assert "; Secure" in cookie
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"iss": "http://127.0.0.1:9401"}, "iss"),
        ({"aud": "somebody-else"}, "aud"),
        ({"aud": ["kvandal", "somebody-else"], "azp": "somebody-else"}, "azp"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"nbf": int(time.time()) + 3600}, "not yet valid"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
    ],
)
def test_what_the_provider_tells_must_hold(service, claims, why) -> None:
    service.provider.claims |= claims

    answer = service.browser.sign_in()

    refused(service, answer)
    assert why in answer.json()["detail"]


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (OTHER_KEY, {"alg": "RS256", "kid": "one"}),
        (OTHER_KEY, {"alg": "RS256", "kid": "two"}),
        (OctKey.import_key("a-secret-that-everybody-knows-or-guesses"), {"alg": "HS256", "kid": "one"}),
        (None, {"alg": "none"}),
    ],
    ids=["forged", "unknown key", "symmetric", "unsigned"],
)
def test_only_the_providers_signature_counts(service, key, header) -> None:
    service.provider.key, service.provider.header = key, header
    service.provider.metadata = {"id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]}

    refused(service, service.browser.sign_in())


def test_the_public_key_is_no_secret_to_sign_with(service) -> None:
    service.provider.key = service.provider.key.as_pem(private=False)
    service.provider.header = {"alg": "HS256", "kid": "one"}
    service.provider.metadata = {"id_token_signing_alg_values_supported": ["RS256", "HS256"]}

    refused(service, service.browser.sign_in())


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "bad-code"},
        {"code": ""},
        {"state": "another"},
        {"error": "access_denied", "code": None},
        {"iss": "http://127.0.0.1:9401"},
    ],
    ids=["code", "no code", "state", "denied", "other provider"],
)
def test_answers_that_were_not_asked_for_are_refused(service, changes) -> None:
    refused(service, service.browser.sign_in(**changes))


def test_an_answer_counts_once_in_the_browser_that_asked_in_time(service) -> None:
    asked = service.browser.begin()
    answer = {"code": "good-code", "state": asked["state"]}
    stolen = service.client().get("/v1/callback", params=answer)
    refused(service, stolen)

    refused(service, service.browser.get("/v1/callback", params=answer))  # its state is used up

    asked = service.browser.begin()
    service.clock.pass_by(minutes=11)
    refused(service, service.browser.get("/v1/callback", params=answer | {"state": asked["state"]}))

    asked = service.browser.begin()
    answer["state"] = asked["state"]
    assert service.browser.get("/v1/callback", params=answer).status_code == 303
    again = service.browser.get("/v1/callback", params=answer)
    assert (again.status_code, again.json()["type"]) == (403, "urn:kvandal:problem:sign-in-refused")


def test_refused_sign_ins_that_were_begun_here_are_audited(service) -> None:
    service.provider.claims["nonce"] = "another"
    service.browser.sign_in()
    service.browser.get("/v1/callback", params={"code": "x", "state": "not begun here"})

    (row,) = audited(service, "sign_in.refuse")

    assert "nonce" in row["detail"]["reason"]
    with service.store.read() as tx:
        assert tx.execute(select(SIGN_INS)).all() == []


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_nobody_is_sent_on_to_another_site(service, place) -> None:
    asked = service.browser.begin(place)

    answer = service.browser.get("/v1/callback", params={"code": "good-code", "state": asked["state"]})

    assert answer.headers["location"] == "/"


def test_a_new_session_begins_with_each_sign_in_and_ends_the_one_before(service) -> None:
    service.browser.sign_in()
    first = service.browser.http.cookies["kvandal_session"]
    service.browser.sign_in()
    second = service.browser.http.cookies["kvandal_session"]

    assert first != second
    assert service.client(Cookie=f"kvandal_session={first}").get("/v1/me").status_code == 401
    with service.store.read() as tx:
        rows = tx.execute(select(SESSIONS)).mappings().all()
    assert len(rows) == 1
    assert second not in str(rows)


def test_sessions_end_when_idle_and_in_any_case(service) -> None:
    service.browser.sign_in()
    for _ in range(3):
        service.clock.pass_by(hours=3.5)
        assert service.browser.get("/v1/me").status_code == 200
    service.clock.pass_by(hours=2)
    assert service.browser.get("/v1/me").status_code == 401  # twelve hours are over

    service.browser.sign_in()
    service.clock.pass_by(hours=4.1)
    assert service.browser.get("/v1/me").status_code == 401


def test_writes_of_a_session_come_from_our_own_pages(service) -> None:
    service.browser.sign_in()
    token = service.browser.get("/v1/me").json()["csrf_token"]
    right = {"X-CSRF-Token": token}
    form = {"content-type": "application/x-www-form-urlencoded"}
    wrong = [
        {"headers": {}},
        {"headers": {"X-CSRF-Token": "0" * 43}},
        {"headers": right | {"Origin": "https://evil.example"}},
        {"headers": right | {"Origin": "null"}},
        {"headers": form, "content": "csrf_token=guess"},
        {"headers": {"X-CSRF-Token": "\u00e9".encode("latin-1")}},
    ]

    for request in wrong:
        assert service.browser.request("POST", "/v1/logout", **request).status_code == 403, request
    assert service.browser.get("/v1/me").status_code == 200
    form_of_ours = service.browser.request(
        "POST",
        "/v1/logout",
        data={"csrf_token": token},
        headers={"Origin": "http://127.0.0.1:8440", "Accept": "text/html"},
    )
    assert form_of_ours.status_code == 303
    assert form_of_ours.headers["location"].startswith("http://127.0.0.1:9400/end")


def test_groups_of_the_provider_and_names_of_the_settings_give_roles(make_service) -> None:
    service = make_service(
        oidc={
            "operators": ("ada@example.org",),
            "groups": {"ocean": ("member:norway-research/arctic",), "watch": ("auditor",)},
        }
    )
    service.provider.claims |= {"groups": ["ocean", "watch", "chess"], "email_verified": True}
    service.browser.sign_in()
    roles = {(r["role"], r["tenant"], r["project"]) for r in service.browser.get("/v1/me").json()["roles"]}
    assert roles == {
        ("operator", None, None),
        ("auditor", None, None),
        ("member", "norway-research", "arctic"),
    }

    service.provider.claims |= {"groups": "watch", "email_verified": False}  # told again at each sign-in
    service.browser.sign_in()

    assert [r["role"] for r in service.browser.get("/v1/me").json()["roles"]] == ["auditor"]
    assert [row["who"] for row in audited(service, "role.take")].count("settings") == 1


def test_people_are_known_by_provider_and_subject_not_by_address(service) -> None:
    service.browser.sign_in()
    service.provider.claims |= {"sub": "eve", "name": "Eve", "email": "ada@example.org"}
    service.browser.sign_in()

    with service.store.read() as tx:
        rows = tx.execute(select(PEOPLE.c.subject).order_by(PEOPLE.c.id)).scalars().all()
    assert rows == ["ada", "eve"]


def test_a_provider_that_does_not_answer_is_not_the_fault_of_who_signs_in(service) -> None:
    service.provider.down = True

    answer = service.browser.get("/v1/login")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json()["type"] == "urn:kvandal:problem:provider-unavailable"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "http://127.0.0.1:9401"},
        {"token_endpoint": "http://provider.example/token"},
        {"jwks_uri": ""},
    ],
)
def test_a_provider_that_is_another_or_speaks_in_the_open_is_not_asked(service, metadata) -> None:
    service.provider.metadata = metadata

    assert service.browser.get("/v1/login").status_code == 503


def refused(service, answer: httpx.Response) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.json()["type"] == "urn:kvandal:problem:sign-in-refused"
    assert "kvandal_session" not in service.browser.http.cookies
    assert service.browser.get("/v1/me").status_code == 401
    with service.store.read() as tx:
        assert tx.execute(select(SESSIONS)).all() == []
        assert tx.execute(select(PEOPLE)).all() == []
