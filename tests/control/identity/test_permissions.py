"""What roles may do, and how far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvandal.control.identity.permissions import GIVEN, PERMISSIONS, SHARED, TENANT_ROLES, Reach, Role
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant

PLACES = st.sampled_from([None, "norway", "uk"])
PROJECTS = st.sampled_from([None, "ocean", "weather"])
ACTIONS = st.sampled_from(sorted(PERMISSIONS))


@st.composite
def grants(draw: st.DrawFn) -> RoleGrant:
    role = draw(st.sampled_from(GIVEN))
    tenant = draw(st.sampled_from(["norway", "uk"]) if role in TENANT_ROLES else PLACES)
    return RoleGrant(role, tenant, draw(PROJECTS) if tenant else None)


principals = st.builds(
    Principal, st.just("person_1"), st.just("Ada"), st.lists(grants(), max_size=4).map(tuple)
)


@pytest.mark.parametrize(
    ("role", "place", "action", "asked", "answer"),
    [
        ("member", ("norway", "ocean"), "job.submit", ("norway", "ocean"), True),
        ("member", ("norway", "ocean"), "job.submit", ("norway", "weather"), False),
        ("member", ("norway", "ocean"), "job.submit", ("norway", None), False),
        ("member", ("norway", None), "job.submit", ("norway", "weather"), True),
        ("member", ("norway", None), "job.read", ("uk", None), False),
        ("member", ("norway", None), "site.read", (None, None), True),
        ("member", ("norway", None), "setpoint.write", (None, None), False),
        ("tenant_admin", ("norway", None), "role.write", ("norway", None), True),
        ("tenant_admin", ("norway", None), "role.write", ("uk", None), False),
        ("tenant_admin", ("norway", None), "role.write", (None, None), False),
        ("operator", (None, None), "job.cancel", ("uk", "x"), True),
        ("operator", (None, None), "setpoint.write", (None, None), True),
        ("operator", (None, None), "grant.write", ("uk", None), False),
        ("operator", ("uk", None), "setpoint.write", (None, None), False),
        ("allocator", (None, None), "grant.write", ("uk", None), True),
        ("auditor", (None, None), "audit.read", (None, None), True),
        ("auditor", (None, None), "job.cancel", ("uk", None), False),
        ("auditor", ("uk", None), "ledger.read", ("uk", None), True),
        ("auditor", ("uk", None), "audit.read", (None, None), False),
    ],
)
def test_roles_reach_as_far_as_the_table_says(role, place, action, asked, answer) -> None:
    principal = Principal("person_1", "Ada", (RoleGrant(role, *place),))

    assert principal.may(action, *asked) is answer


def test_nobody_without_a_role_sees_the_site_but_his_own() -> None:
    stranger = Principal("person_1", "Ada")

    assert not stranger.may("site.read")
    assert stranger.may("call.read")
    assert stranger.may("application.read", owner="person_1")
    assert not stranger.may("application.read", owner="person_2")
    assert not stranger.may("application.read", "norway")


def test_the_local_principal_may_everything() -> None:
    assert [a for a in PERMISSIONS if not LOCAL.may(a, "uk", "x", owner="local")] == []


def test_what_all_share_is_reading() -> None:
    assert {a for a in SHARED if not a.endswith(".read")} == set()
    assert {a for a, who in PERMISSIONS.items() if who.get(Role.TENANT_ADMIN) is Reach.SITE} == SHARED


@given(principals, ACTIONS, PLACES, PROJECTS)
def test_permissions_are_those_of_the_roles_together(principal, action, tenant, project) -> None:
    """No two roles allow together what neither allows alone."""
    alone = [Principal("person_1", "Ada", (grant,)).may(action, tenant, project) for grant in principal.roles]
    nobody = Principal("person_1", "Ada").may(action, tenant, project)

    assert principal.may(action, tenant, project) == (any(alone) or nobody)


@given(principals, st.frozensets(ACTIONS), PLACES, PROJECTS, ACTIONS, PLACES, PROJECTS)
def test_a_token_never_allows_more_than_its_owner(
    principal, scopes, tenant, project, action, other, part
) -> None:
    """Neither outside of its scopes, nor outside of its tenant, nor what its owner may not."""
    project = project if tenant else None
    token = principal.narrowed("token_1", scopes, tenant, project)

    if token.may(action, other, part):
        assert principal.may(action, other, part)
        assert action in scopes | {"me.read"}
        if tenant and action not in SHARED:
            assert other == tenant or PERMISSIONS[action].get(Role.ANYONE) is Reach.SITE
            assert project is None or part == project


def test_lists_are_narrowed_to_places() -> None:
    ada = Principal(
        "person_1", "Ada", (RoleGrant("member", "norway", "ocean"), RoleGrant("tenant_admin", "uk"))
    )

    assert ada.places("job.read").some == {("norway", "ocean"), ("uk", None)}
    assert not ada.places("job.read").everywhere
    assert not ada.places("audit.read")
