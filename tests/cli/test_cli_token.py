"""`kvandal token`: the first operator of a site gets his token on the database itself."""

from __future__ import annotations

import json

import pytest

from kvandal.control.identity.tokens import principal_of_token
from kvandal.control.store.database import open_store
from kvandal.control.store.tables.identity import TOKENS

SITE = ("--database", "sqlite:///site.db")
FIRST = ("token", "create", "first", "--person", "olga@example.org", *SITE)


def test_the_first_operator_is_made_on_the_database(inside, tmp_path) -> None:
    from sqlalchemy import select

    made = inside(*FIRST, "--role", "operator", "--role", "member:norway-research")
    token = made.out.strip()
    assert (made.code, made.out.count("\n")) == (0, 1)  # it alone, to be piped on
    assert token not in made.err

    with open_store(f"sqlite:///{tmp_path}/site.db") as store, store.read() as tx:
        row = tx.execute(select(TOKENS)).mappings().one()
        found = principal_of_token(tx, token, row["created_utc"])
    assert found is not None
    assert found[0].name == "olga@example.org"
    assert found[0].may("setpoint.write")
    assert found[0].may("job.submit", "norway-research")
    assert not found[0].may("grant.write", "norway-research")


def test_tokens_are_listed_without_secrets_and_revoked_by_their_beginning(inside, tmp_path) -> None:
    token = inside(*FIRST, "--role", "operator").out.strip()
    narrow = json.loads(inside(*FIRST, "--scope", "site.read", "--tenant", "uk", "--days", "3", "--json").out)
    assert (narrow["scopes"], narrow["tenant"], narrow["state"]) == (["site.read"], "uk", "valid")

    listed = inside("token", "list", *SITE).out
    assert token[:12] in listed
    assert token not in listed
    assert token not in inside("token", "list", "--json", *SITE).out

    revoked = inside("token", "revoke", token, "--reason", "lost", *SITE)  # the whole of it will do
    assert revoked.code == 0
    assert token not in revoked.out
    states = [row["state"] for row in json.loads(inside("token", "list", "--json", *SITE).out)]
    assert states == ["valid", "revoked"]
    trail = json.loads(inside("audit", "list", "--json", *SITE).out)
    assert [row["what"] for row in trail][-1] == "token.revoke"
    assert token not in str(trail)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*FIRST, "--role", "king"), "--role: must be ROLE, ROLE:TENANT or ROLE:TENANT/PROJECT"),
        ((*FIRST, "--role", "member"), "--role: tenant must be one of the site's tenants"),
        (FIRST, "--person: there is nobody called 'olga@example.org'; give --role"),
        ((*FIRST, "--role", "auditor", "--scope", "setpoint.write"), "--scope: must be one of site.read"),
        ((*FIRST, "--role", "auditor", "--days", "400"), "--days: must be 1 to 366, got 400"),
        ((*FIRST, "--role", "auditor", "--project", "x"), "--project: needs --tenant"),
    ],
)
def test_wrong_options_end_in_one_line_and_make_nothing(inside, arguments, says) -> None:
    outcome = inside(*arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert [line.startswith(f"kvandal: {says}") for line in outcome.mistakes] == [True]
    assert json.loads(inside("token", "list", "--json", *SITE).out) == []


def test_a_token_that_is_not_there_is_not_revoked_nor_told(inside) -> None:
    inside(*FIRST, "--role", "operator")

    outcome = inside("token", "revoke", "kvd_" + "A" * 52, *SITE)

    assert outcome.code == 2
    assert outcome.mistakes == [
        "kvandal: TOKEN: there is no token 'kvd_AAAAAAAA...'; see: kvandal token list"
    ]
