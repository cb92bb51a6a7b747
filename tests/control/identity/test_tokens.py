"""Tokens of programs: shown once, kept hashed, never more than whoever made them, over when revoked."""

from __future__ import annotations

import string

import pytest
from sqlalchemy import select, text

from kvandal.control.identity.gate import CACHE_S
from kvandal.control.identity.permissions import Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.store.schema import complete_metadata
from kvandal.control.store.tables.books import AUDIT
from kvandal.control.store.tables.identity import TOKENS

NEW = {"name": "nightly", "scopes": ["job.read", "job.submit"], "days": 30}
TENANT, PROJECT = "norway-research", "arctic"


@pytest.fixture
def ada(service):
    """Return a member of a project, with a token for all that she may do."""
    person = service.person("ada", RoleGrant(Role.MEMBER, TENANT, PROJECT))
    return service.client(service.token(person))


def test_a_token_is_told_once_and_does_what_it_is_for(service, ada) -> None:
    made = ada.write("POST", "/v1/tokens", NEW)

    assert made.status_code == 201
    secret = made.json()["token"]
    assert made.headers["cache-control"] == "no-store"
    assert secret.startswith(made.json()["prefix"])
    assert set(secret[4:]) <= set(string.ascii_letters + string.digits)
    assert len(set(string.digits + string.ascii_letters) - set("IOl")) ** (len(secret) - 12) > 2**256
    token = service.client(secret)
    assert token.get("/v1/jobs").status_code == 200
    assert token.get("/v1/tokens").status_code == 403  # not among its scopes
    told = ada.get(made.headers["location"])
    assert "token" not in told.json()
    assert secret not in told.text + ada.get("/v1/tokens").text


def test_no_secret_stands_anywhere_in_the_store(service, ada) -> None:
    secret = ada.write("POST", "/v1/tokens", NEW).json()["token"]
    service.browser.sign_in()
    session = service.browser.http.cookies["kvandal_session"]

    with service.store.read() as tx:
        for table in complete_metadata().sorted_tables:
            kept = str(tx.execute(text(f"SELECT * FROM {table.name}")).all())
            for hidden in (secret, secret[12:], ada.token, session):
                assert hidden not in kept, table.name


def test_the_same_request_again_makes_no_second_token_and_tells_no_secret(service, ada) -> None:
    first = ada.write("POST", "/v1/tokens", NEW, **{"Idempotency-Key": "same-key-1"})
    again = ada.write("POST", "/v1/tokens", NEW, **{"Idempotency-Key": "same-key-1"})

    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["token"] is None


def test_a_token_holds_no_longer_than_it_should(service, ada) -> None:
    made = ada.write("POST", "/v1/tokens", NEW | {"days": 1}).json()
    token = service.client(made["token"])
    assert token.get("/v1/jobs").status_code == 200

    service.clock.pass_by(hours=24)

    assert token.get("/v1/jobs").status_code == 401
    for days in (0, 367):
        answer = ada.write("POST", "/v1/tokens", NEW | {"days": days})
        assert answer.status_code in {401, 422}


def test_a_revoked_token_is_over_at_once_here_and_soon_elsewhere(service, ada, make_service) -> None:
    made = ada.write("POST", "/v1/tokens", NEW).json()
    elsewhere = make_service()  # another process on the same store
    tokens = service.client(made["token"]), elsewhere.client(made["token"])
    assert [token.get("/v1/jobs").status_code for token in tokens] == [200, 200]

    revoked = ada.write("DELETE", f"/v1/tokens/{made['id']}?reason=lost")

    assert revoked.json()["state"] == "revoked"
    assert tokens[0].get("/v1/jobs").status_code == 401
    elsewhere.clock.pass_by(seconds=CACHE_S)
    assert tokens[1].get("/v1/jobs").status_code == 401
    with service.store.read() as tx:
        row = tx.execute(select(AUDIT).where(AUDIT.c.what == "token.revoke")).mappings().one()
    assert (row["subject"], row["detail"]["reason"]) == (made["id"], "lost")


def test_a_token_loses_what_its_owner_loses(service, ada) -> None:
    operator = service.client(service.token(service.person("olga", RoleGrant(Role.OPERATOR))))
    assert ada.get("/v1/jobs").status_code == 200
    (person,) = operator.get("/v1/people", params={"email": "ada@example.org"}).json()["items"]

    operator.write("DELETE", f"/v1/roles/{person['roles'][0]['id']}?reason=left+the+project")

    assert ada.get("/v1/jobs").status_code == 403
    operator.write("PATCH", f"/v1/people/{person['id']}", {"disabled": True, "reason": "left"})
    assert ada.get("/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": ["setpoint.write"]}, "body.scopes.0"),
        ({"scopes": ["job.read", "no.such"]}, "body.scopes.1"),
        ({"scopes": []}, "body.scopes"),
        ({"tenant": "uk-nowhere"}, "body.tenant"),
        ({"project": "arctic"}, "body.project"),
        ({"days": 400}, "body.days"),
        ({"name": "two\nlines"}, "body.name"),
    ],
)
def test_tokens_that_may_more_than_their_maker_are_refused_with_what_is_allowed(ada, changes, field) -> None:
    answer = ada.write("POST", "/v1/tokens", NEW | changes)

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["allowed"]


def test_a_token_makes_no_token_that_may_more_or_lives_longer(service, ada) -> None:
    person = service.person("eve", RoleGrant(Role.TENANT_ADMIN, TENANT))
    narrow = service.client(
        service.token(person, "token.create", "job.read", days=2, tenant=TENANT, project=PROJECT)
    )

    assert narrow.write("POST", "/v1/tokens", NEW).status_code == 422  # job.submit is not its own
    wider = NEW | {"scopes": ["job.read"], "tenant": TENANT, "project": "other"}
    assert narrow.write("POST", "/v1/tokens", wider).status_code == 422
    made = narrow.write("POST", "/v1/tokens", NEW | {"scopes": ["job.read"]}).json()

    assert (made["tenant"], made["project"]) == (TENANT, PROJECT)
    service.clock.pass_by(days=2)
    assert service.client(made["token"]).get("/v1/jobs").status_code == 401


def test_one_sees_and_revokes_ones_own_tokens(service, ada) -> None:
    other = service.member(TENANT, PROJECT)
    auditor = service.client(service.token(service.person("kari", RoleGrant(Role.AUDITOR))))
    operator = service.client(service.token(service.person("olga", RoleGrant(Role.OPERATOR))))
    made = ada.write("POST", "/v1/tokens", NEW).json()
    place = f"/v1/tokens/{made['id']}"

    assert [who.get(place).status_code for who in (ada, other, auditor, operator)] == [200, 404, 200, 200]
    assert made["id"] not in other.get("/v1/tokens").text
    assert made["id"] in auditor.get("/v1/tokens").text
    assert other.write("DELETE", place).status_code == 404
    assert auditor.write("DELETE", place).status_code == 404
    assert operator.write("DELETE", place).status_code == 200


def test_lists_of_tokens_come_in_pages(service, ada) -> None:
    made = [ada.write("POST", "/v1/tokens", NEW).json()["id"] for _ in range(5)]
    found, path = [], "/v1/tokens?limit=2"
    while path is not None:
        page = ada.get(path).json()
        found += [token["id"] for token in page["items"]]
        path = page["next"]

    assert found[1:] == made  # the first is the one that asks


@pytest.mark.parametrize(
    "header",
    [
        "Bearer kvd_" + "A" * 52,
        "Bearer nonsense",
        "Bearer",
        "Bearer  ",
        "Basic YTpi",
        "kvd_" + "A" * 52,
        "Bearer " + "x" * 9000,
        "Bearer kvd_" + "é" * 52,
    ],
)
def test_tokens_that_are_none_are_refused(service, header) -> None:
    answer = service.client().get("/v1/me", headers={"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "urn:kvandal:problem:not-signed-in"


def test_the_right_beginning_with_a_wrong_end_is_refused(service, ada) -> None:
    wrong = ada.token[:-1] + ("A" if ada.token[-1] != "A" else "B")

    assert service.client(wrong).get("/v1/me").status_code == 401


def test_the_last_use_is_kept_to_the_minute(service, ada) -> None:
    def used() -> list:
        with service.store.read() as tx:
            return list(tx.execute(select(TOKENS.c.used_utc)).scalars())

    assert used() == [None]
    ada.get("/v1/me")
    first = used()
    assert first == [service.clock.now]
    service.clock.pass_by(seconds=30)
    ada.get("/v1/me")
    assert used() == first
    service.clock.pass_by(seconds=31)
    ada.get("/v1/me")
    assert used() == [service.clock.now]


def test_a_token_needs_no_look_into_the_store_for_some_seconds(service, ada, monkeypatch) -> None:
    looks, looked_up = [], service.identity._looked_up
    monkeypatch.setattr(service.identity, "_looked_up", lambda *given: looks.append(1) or looked_up(*given))
    for _ in range(20):
        assert ada.get("/v1/me").status_code == 200

    assert len(looks) == 1
    service.clock.pass_by(seconds=CACHE_S)
    ada.get("/v1/me")
    assert len(looks) == 2
