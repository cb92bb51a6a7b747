"""Every endpoint is called as every role, and lets in whom the table of permissions lets in, no more and no fewer."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from kvandal.control.identity.matrix import endpoints, permissions_page
from kvandal.control.identity.permissions import GIVEN, PERMISSIONS, PUBLIC, TENANT_ROLES, Role
from kvandal.control.identity.principal import RoleGrant
from kvandal.control.store.tables.metadata import new_id

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "roles.md"
SOMEWHERE = {
    "job_id": "job_00000000000000000000000000",
    "token_id": "token_00000000000000000000000000",
    "person_id": "person_00000000000000000000000000",
    "role_id": "role_00000000000000000000000000",
    "name": "envelope_mw",
    "organisation_id": "organisation_00000000000000000000000000",
    "project_id": "arctic",
    "call_id": "spring",
    "application_id": "application_00000000000000000000000000",
    "look_id": "look_00000000000000000000000000",
    "grant_id": "grant_00000000000000000000000000",
    "tenant": "norway-research",
}


def test_every_endpoint_declares_what_it_does(whole) -> None:
    found = endpoints(whole.app)

    assert [one for one in found if one.action not in {PUBLIC, *PERMISSIONS}] == []
    assert len(found) >= 22


def test_every_operation_of_the_specification_is_in_the_matrix_with_its_action(whole) -> None:
    declared = {(one.method, one.path): one.action for one in endpoints(whole.app)}
    paths = whole.app.openapi()["paths"]

    for path, operations in paths.items():
        for method, operation in operations.items():
            action = declared[method.upper(), path]
            told = {
                scope for way in operation.get("security", []) for scopes in way.values() for scope in scopes
            }
            assert told == (set() if action == PUBLIC else {action}), (method, path)
    assert len(paths) >= 14


def test_the_page_of_roles_is_the_one_that_the_service_makes(whole) -> None:
    """To renew it: python docs/roles.py."""
    assert PAGE.read_text(encoding="utf-8") == permissions_page(whole.app)


async def answered(app, method: str, path: str, token: str | None) -> tuple[int, dict]:
    """Return the status of an answer, and the problem if it is one; streams are left at once."""
    headers = [(b"host", b"127.0.0.1:8440"), (b"idempotency-key", new_id("key").encode())]
    headers += [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"reason=because&email=ada@example.org&q=x",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.7", 5000),
        "server": ("127.0.0.1", 8440),
    }
    started: asyncio.Future = asyncio.get_running_loop().create_future()
    body, asked = b"", False

    async def receive() -> dict:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {
            "type": "http.request",
            "body": b"" if method in {"GET", "DELETE"} else b"{}",
            "more_body": False,
        }

    status, told = 0, {}

    async def send(message: dict) -> None:
        nonlocal body, status, told
        if message["type"] == "http.response.start":
            status, told = (
                message["status"],
                {name.decode(): text.decode() for name, text in message["headers"]},
            )
            if status < 400:
                started.set_result((status, told))
        elif not started.done():
            body += message.get("body", b"")
            if not message.get("more_body"):
                problem = json.loads(body) if "json" in told["content-type"] else {}
                started.set_result((status, told | problem))

    task = asyncio.get_running_loop().create_task(app(scope, receive, send))
    done, _ = await asyncio.wait([task, started], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert done, f"{method} {path} does not answer"
    if started in done and not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return started.result()


def filled(path: str) -> str:
    """Put something into a path that could be there, and is not."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: SOMEWHERE.get(found[1], "1"), path)


def is_refused(status: int, told: dict) -> bool:
    """Tell whether an answer refuses: as a problem, as a page, or by sending a browser to sign in."""
    if status == 303:
        return told["location"].startswith("/v1/login?")
    page = told.get("content-type", "").startswith("text/html")
    return status == 401 or (status == 403 and (page or told.get("type", "").endswith(":not-allowed")))


@pytest.mark.parametrize("role", [*Role, None], ids=lambda role: role or "nobody")
def test_every_endpoint_lets_in_whom_the_table_lets_in(whole, role) -> None:
    token = None
    if role is not None:
        tenant = "norway-research" if role in TENANT_ROLES else None
        roles = (RoleGrant(role, tenant),) if role in GIVEN else ()
        token = whole.token(whole.person("ada", *roles))

    async def all_answers() -> list[str]:
        wrong = []
        for one in endpoints(whole.app):
            status, problem = await answered(whole.app, one.method, filled(one.path), token)
            allowed = one.action == PUBLIC or (
                role is not None and bool({role, Role.ANYONE} & PERMISSIONS[one.action].keys())
            )
            assert "default-src 'self'" in problem["content-security-policy"], one
            refusals = {403} if token else {401, 303}
            if is_refused(status, problem) == allowed or (not allowed and status not in refusals):
                wrong.append(f"{one.method} {one.path} ({one.action}): {status} {problem.get('detail')}")
        return wrong

    assert whole.loop.run(all_answers()) == []


@pytest.mark.parametrize("action", ["site.read", "job.read", "me.read"])
def test_a_token_opens_the_endpoints_of_its_scopes_alone(whole, action) -> None:
    token = whole.token(whole.person("olga", *(RoleGrant(role) for role in GIVEN)), action)

    async def opened() -> set[str]:
        found = set()
        for one in endpoints(whole.app):
            if one.action != PUBLIC:
                answer = await answered(whole.app, one.method, filled(one.path), token)
                found |= set() if is_refused(*answer) else {one.action}
        return found

    assert whole.loop.run(opened()) == {action, "me.read"}
