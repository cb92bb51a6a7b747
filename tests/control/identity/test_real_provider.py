"""Signing in at a real provider, over HTTP, from the first request to the last; and nothing of it in the logs."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select, text

from kvandal.control.store.database import open_store
from kvandal.control.store.schema import complete_metadata
from kvandal.control.store.tables.books import AUDIT

HERE = Path(__file__).parent
SECRET = "the-secret-of-this-client-0123456789"
pytestmark = pytest.mark.xdist_group("real_provider")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stopped(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def provider(tmp_path_factory) -> Iterator[str]:
    """Return the address of oidc-provider-mock, which knows Ada and her groups."""
    port = free_port()
    ada = {
        "sub": "ada",
        "name": "Ada",
        "email": "ada@example.org",
        "email_verified": True,
        "groups": ["ocean"],
    }
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--host",
        "localhost",
        "--port",
        str(port),
    ]
    log = (tmp_path_factory.mktemp("provider") / "log").open("w")
    process = subprocess.Popen([*command, "--user-claims", json.dumps(ada)], stdout=log, stderr=log)
    issuer = f"http://localhost:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, "the provider has ended"
                assert time.monotonic() < until, "the provider does not start"
                time.sleep(0.1)
        yield issuer
    finally:
        stopped(process)
        log.close()


@pytest.fixture
def served(provider: str, tmp_path: Path) -> Iterator[tuple[str, Path, str]]:
    """Return the address of a service that asks the provider, its log, and its database."""
    secret_file, log = tmp_path / "secret", tmp_path / "log"
    secret_file.write_text(SECRET)
    database = f"sqlite:///{tmp_path / 'kvandal.db'}"
    told = {
        "database": database,
        "scenario": str(HERE.parent.parent / "small.toml"),
        "oidc": {
            "issuer": provider,
            "client_secret_file": str(secret_file),
            "operators": ["ada@example.org"],
            "groups": {"ocean": ["member:norway-research/arctic"]},
        },
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "signed_service.py"), json.dumps(told)],
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r'\{"port": (\d+)\}', log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{found[1]}", log, database
    finally:
        stopped(process)


def test_a_whole_session_at_a_real_provider_leaves_no_secret_behind(served) -> None:
    base, log, database = served
    secrets = {SECRET}
    with httpx.Client(base_url=base, timeout=30) as browser, httpx.Client(timeout=30) as elsewhere:
        assert browser.get("/v1/me").status_code == 401

        begun = browser.get("/v1/login", params={"return_to": "/v1/jobs"})
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        secrets |= {asked["state"][0], asked["nonce"][0], browser.cookies["kvandal_sign_in"]}
        consent = elsewhere.post(begun.headers["location"], data={"sub": "ada"})
        assert consent.status_code == 302
        secrets.add(parse_qs(urlsplit(consent.headers["location"]).query)["code"][0])
        back = browser.get(consent.headers["location"])
        assert (back.status_code, back.headers["location"]) == (303, "/v1/jobs")
        secrets.add(browser.cookies["kvandal_session"])

        me = browser.get("/v1/me").json()
        assert (me["name"], me["mode"]) == ("Ada", "identities")
        assert {(r["role"], r["tenant"], r["project"]) for r in me["roles"]} == {
            ("operator", None, None),
            ("member", "norway-research", "arctic"),
        }
        secrets.add(me["csrf_token"])
        assert browser.get(back.headers["location"]).json()["items"] == []

        wanted = {"name": "nightly", "scopes": ["job.read"], "days": 1}
        headers = {"X-CSRF-Token": me["csrf_token"], "Idempotency-Key": "key-00000001"}
        assert browser.post("/v1/tokens", json=wanted).status_code == 403
        made = browser.post("/v1/tokens", json=wanted, headers=headers).json()
        secrets.add(made["token"])
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert elsewhere.get(f"{base}/v1/jobs", headers=bearer).status_code == 200
        other = made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B")
        refused = elsewhere.get(f"{base}/v1/jobs", headers={"Authorization": f"Bearer {other}"})
        assert refused.status_code == 401
        assert elsewhere.get(f"{base}/v1/people", headers=bearer).status_code == 403
        wrong = elsewhere.post(f"{base}/v1/jobs", json={"token": made["token"]}, headers=bearer)
        assert wrong.status_code == 403
        headers["Idempotency-Key"] = "key-00000002"
        browser.delete(f"/v1/tokens/{made['id']}", headers=headers)
        assert elsewhere.get(f"{base}/v1/jobs", headers=bearer).status_code == 401

        signed_out = browser.post("/v1/logout", headers=headers).json()
        assert "/oauth2/end_session?" in signed_out["sign_out_url"]
        assert browser.get("/v1/me").status_code == 401
        stolen = browser.get(consent.headers["location"])  # the same answer of the provider again
        assert stolen.status_code == 403

    with open_store(database) as store, store.read() as tx:
        trail = [row.what for row in tx.execute(select(AUDIT).order_by(AUDIT.c.number))]
        kept = "".join(
            str(tx.execute(text(f"SELECT * FROM {table.name}")).all())
            for table in complete_metadata().sorted_tables
        )
    assert trail == [
        "person.add",
        "role.give",
        "role.give",
        "sign_in",
        "token.create",
        "token.revoke",
        "sign_out",
    ]
    logged = log.read_text()
    assert "signed in" in logged
    assert "sign-in refused" in logged
    assert min(len(secret) for secret in secrets) > 20
    assert [secret for secret in secrets if secret in logged] == []
    assert [secret for secret in secrets if secret in kept] == []


def test_an_answer_of_the_provider_to_somebody_else_is_refused(served, provider) -> None:
    base, _, _ = served
    with httpx.Client(base_url=base, timeout=30) as ada, httpx.Client(base_url=base, timeout=30) as eve:
        with httpx.Client(timeout=30) as elsewhere:
            begun = eve.get("/v1/login")
            consent = elsewhere.post(begun.headers["location"], data={"sub": "eve"})
        answer = ada.get(consent.headers["location"])  # Eve has Ada sign in as Eve

    assert answer.status_code == 403
    assert "kvandal_session" not in ada.cookies
