"""Roles are given by operators, and by a tenant's administrators inside of it; every change is audited."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from kvandal.control.identity.permissions import GIVEN, Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.store.tables.books import AUDIT

OWN, OTHER = "norway-research", "uk"


@pytest.fixture
def people(service):
    """Return an operator, an administrator of a tenant, and Ada, who is nothing yet."""
    operator = service.person("olga", RoleGrant(Role.OPERATOR))
    admin = service.person("per", RoleGrant(Role.TENANT_ADMIN, OWN))
    return {
        "operator": service.client(service.token(operator)),
        "admin": service.client(service.token(admin)),
        "ada": service.person("ada"),
    }


def wanted(people, role: str, tenant: str | None = None, project: str | None = None) -> dict:
    return {"person": people["ada"], "role": role, "tenant": tenant, "project": project, "reason": "joins us"}


@pytest.mark.parametrize("role", GIVEN)
@pytest.mark.parametrize("tenant", [None, OWN, OTHER])
def test_who_may_give_which_role(people, role, tenant) -> None:
    makes_sense = {
        Role.TENANT_ADMIN: tenant is not None,
        Role.MEMBER: tenant is not None,
        Role.AUDITOR: True,
    }.get(role, tenant is None)
    inside = tenant == OWN and role in {Role.TENANT_ADMIN, Role.MEMBER, Role.AUDITOR}

    by_admin = people["admin"].write("POST", "/v1/roles", wanted(people, role, tenant))
    by_operator = people["operator"].write("POST", "/v1/roles", wanted(people, role, tenant))

    assert by_operator.status_code == (201 if makes_sense else 422)
    assert (by_admin.status_code == 201) == (makes_sense and inside)
    assert by_admin.status_code in {201, 403, 422}


def test_a_role_holds_from_the_next_request_on_and_is_audited(service, people) -> None:
    ada = service.client(service.token(people["ada"]))
    assert ada.get("/v1/jobs").status_code == 403

    given = people["admin"].write("POST", "/v1/roles", wanted(people, "member", OWN, "arctic"))

    assert ada.get("/v1/jobs").status_code == 200
    taken = people["admin"].write("DELETE", f"{given.headers['location']}?reason=left+us")
    assert taken.status_code == 204
    assert ada.get("/v1/jobs").status_code == 403
    with service.store.read() as tx:
        rows = tx.execute(select(AUDIT).where(AUDIT.c.subject == people["ada"])).mappings().all()
    told = [(row["what"], row["detail"].get("role"), row["detail"].get("reason")) for row in rows]
    assert told[1:] == [("role.give", "member", "joins us"), ("role.take", "member", "left us")]


def test_an_administrator_neither_sees_nor_changes_what_is_not_his_tenants(service, people) -> None:
    elsewhere = people["operator"].write("POST", "/v1/roles", wanted(people, "member", OTHER)).json()
    site = people["operator"].write("POST", "/v1/roles", wanted(people, "auditor")).json()
    admin = people["admin"]

    for role in (elsewhere, site):
        assert admin.get(f"/v1/roles/{role['id']}").status_code == 404
        assert admin.write("DELETE", f"/v1/roles/{role['id']}?reason=because").status_code == 404
    assert people["ada"] not in admin.get("/v1/people").text + admin.get("/v1/roles").text
    assert admin.get(f"/v1/people/{people['ada']}").status_code == 404
    found = admin.get("/v1/people/find", params={"email": "ada@example.org"}).json()
    assert found == {"id": people["ada"], "name": "ada"}  # enough to give her a role
    admin.write("POST", "/v1/roles", wanted(people, "member", OWN))
    seen = admin.get(f"/v1/people/{people['ada']}").json()
    assert [role["tenant"] for role in seen["roles"]] == [OWN]


def test_a_role_of_the_settings_cannot_be_taken_by_an_administrator(service, people) -> None:
    roles = people["operator"].get("/v1/roles").json()["items"]
    (of_operator,) = [role for role in roles if role["role"] == "operator"]

    assert people["admin"].write("DELETE", f"/v1/roles/{of_operator['id']}?reason=coup").status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role": "king"}, "body.role"),
        ({"tenant": "nowhere"}, "body.tenant"),
        ({"role": "auditor", "project": "arctic"}, "body.project"),
        ({"person": "person_00000000000000000000000000"}, "body.person"),
        ({"reason": ""}, "body.reason"),
        ({"colour": "red"}, "body.colour"),
    ],
)
def test_wrong_roles_are_refused_with_what_is_allowed(people, changes, field) -> None:
    body = wanted(people, "member", OWN) | changes

    answer = people["operator"].write("POST", "/v1/roles", body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_who_is_locked_out_has_neither_session_nor_sign_in(service, people) -> None:
    service.browser.sign_in()
    me = service.browser.get("/v1/me").json()
    lock = {"disabled": True, "reason": "lost her laptop"}
    assert people["admin"].write("PATCH", f"/v1/people/{me['id']}", lock).status_code == 403

    people["operator"].write("PATCH", f"/v1/people/{me['id']}", lock)

    assert service.browser.get("/v1/me").status_code == 401
    assert service.browser.sign_in().status_code == 403
    people["operator"].write("PATCH", f"/v1/people/{me['id']}", {"disabled": False, "reason": "found it"})
    assert service.browser.sign_in().status_code == 303
