"""The access office over HTTP and by command: from an organisation's number to a grant, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app as commands
from kvandal.client.errors import RefusedError
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant
from kvandal.control.office.round import make_round
from kvandal.control.office.terms import terms_of
from kvandal.control.store.tables.loop import INBOX

NOW = datetime(2027, 2, 1, 8, tzinfo=UTC)
UIT = {"name": "UiT Norges arktiske universitet", "number": "970 422 528", "kind": "university"}
ADA = Principal("person_ada", "Ada")
BO = Principal("person_bo", "Bo", (RoleGrant("member", "norway-research", "other"),))
ROSA = Principal("person_rosa", "Rosa", (RoleGrant("reviewer"),))
ALMA = Principal("person_alma", "Alma", (RoleGrant("allocator"),))
DECLARED = {"civil_use": True, "sanctions_clear": True, "lawful_ai": True, "no_mining": True}
PROPOSAL = {"title": "Sami tokeniser", "gpu_hours": 4000, "months": 3, **DECLARED}
PROJECT = {"id": "arctic", "title": "Arctic", "tenant": "norway-research", "investigator": ADA.id}


@pytest.fixture
def parts(store: Any, scenario: kv.Scenario, door: Any) -> ServiceParts:
    """A service whose twin always sees the same effects, on the first of February."""
    make_round(store, terms_of(scenario), NOW)
    effects = {"tenants": [{"tenant": "uk", "wait_p95_s": {"before": 60, "after": 95}}]}
    return ServiceParts(
        store=store, scenario=scenario, identity=door, now=lambda: NOW, whatif=lambda **_: effects
    )


@pytest.fixture
def as_(door: Any, ask: Any) -> Callable[[Principal], Any]:
    def become(principal: Principal) -> Any:
        door.principal = principal
        return ask

    return become


@pytest.fixture
def known(as_: Any) -> str:
    """Register an organisation and a project; returns the organisation's id."""
    ask = as_(ADA)
    organisation = ask.write("POST", "/v1/organisations", UIT).json()["id"]
    answer = ask.write("POST", "/v1/projects", PROJECT | {"organisation": organisation})
    assert answer.status_code == 201, answer.text
    return organisation


def drafted(ask: Any, rung: str = "fast-lane", **asked: Any) -> str:
    body = {"project": "arctic", "rung": rung, "proposal": PROPOSAL | asked}
    answer = ask.write("POST", "/v1/applications", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_from_an_organisation_to_a_grant(as_: Any, known: str) -> None:
    """Every step answers with the application as whoever takes it may see it."""
    ask = as_(ADA)
    key = drafted(ask, gpu_hours=20_000)
    path = f"/v1/applications/{key}"
    assert {gate["passed"] for gate in ask.get(f"{path}/gates").json()["items"]} == {True}
    assert ask.write("POST", f"{path}/submit").json()["state"] == "technical_review"

    ask = as_(ROSA)
    review = {"part": "technical", "score": 4, "recommends": "grant", "comment": "it scales"}
    assert ask.write("POST", f"{path}/reviews", review).json()["state"] == "decision"

    ask = as_(ALMA)
    decision = {"outcome": "grant", "reason": "sound"}
    refused = ask.write("POST", f"{path}/decision", decision)
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:kvandal:problem:office-rule"
    assert refused.json()["errors"][0]["value"] == "OS8"
    look = ask.write("POST", f"{path}/looks", {}).json()
    assert look["answer"]["tenants"][0]["wait_p95_s"]["after"] == 95
    assert ask.get(f"{path}/looks/{look['id']}").json() == look
    assert ask.write("POST", f"{path}/decision", decision).json()["state"] == "granted"

    ask = as_(ADA)
    (grant,) = ask.get("/v1/grants").json()["items"]
    assert (grant["gpu_hours"], grant["project"], grant["use"]["used_gpu_s"]) == (20_000, "arctic", 0)
    steps = [step["kind"] for step in ask.get(f"{path}/history").json()["items"]]
    assert steps == ["create", "submit", "check", "decide"]
    assert ask.get(f"{path}/looks/{look['id']}").status_code == 404
    assert ask.get("/v1/notices?project=arctic").json()["items"][-1]["rule"] == "OS9"


def test_a_step_that_is_sent_twice_is_taken_once(as_: Any, known: str) -> None:
    """One grant, however often its application is handed in with the same key."""
    ask = as_(ADA)
    path = f"/v1/applications/{drafted(ask, 'playground')}/submit"
    first, second = (ask.write("POST", path, key="the-same-key") for _ in range(2))
    assert (first.json()["state"], first.json()) == ("granted", second.json())
    assert second.headers["idempotency-replayed"] == "true"
    assert ask.write("POST", path).json()["errors"][0]["value"] == "OS14"
    assert len(ask.get("/v1/grants").json()["items"]) == 1


def test_what_others_have_changed_is_not_changed_unseen(as_: Any, known: str) -> None:
    """If-Match names the version that is meant."""
    ask = as_(ADA)
    path = f"/v1/applications/{drafted(ask)}"
    tag = ask.get(path).headers["etag"]
    asked = PROPOSAL | {"gpu_hours": 10_000}
    assert ask.write("PUT", f"{path}/proposal", asked, If_Match=tag).status_code == 200
    assert ask.write("PUT", f"{path}/proposal", asked, If_Match=tag).status_code == 412
    assert ask.get(path).headers["etag"] != tag
    granted = f"/v1/applications/{drafted(ask, 'playground')}/submit"
    ask.write("POST", granted)
    (grant,) = ask.get("/v1/grants").json()["items"]
    tag = ask.get(f"/v1/grants/{grant['id']}").headers["etag"]
    ask = as_(ALMA)
    assert (
        ask.write("POST", f"/v1/grants/{grant['id']}/end", {"reason": "over"}, If_Match=tag).status_code
        == 200
    )


def test_others_see_nothing_of_an_application(as_: Any, known: str) -> None:
    """Neither members of other projects, nor reviewers of the same organisation, nor those with another conflict."""
    ask = as_(ADA)
    ask.write("PUT", f"/v1/organisations/{known}/people/{ROSA.id}")
    key = drafted(ask)
    ask.write("POST", f"/v1/applications/{key}/submit")
    for who in (BO, ROSA):
        ask = as_(who)
        assert ask.get(f"/v1/applications/{key}").status_code == 404
        assert ask.get("/v1/applications").json()["items"] == []
        assert ask.get("/v1/grants").json()["items"] == []
        assert ask.write("POST", f"/v1/applications/{key}/withdraw", {"reason": "mine"}).status_code == 404
    assert as_(ALMA).get(f"/v1/applications/{key}").status_code == 200


def test_whoever_recuses_himself_sees_it_no_more(as_: Any, known: str) -> None:
    key = drafted(as_(ADA))
    path = f"/v1/applications/{key}"
    as_(ADA).write("POST", f"{path}/submit")
    ask = as_(ROSA)
    assert ask.write("POST", f"{path}/recusals", {"reason": "we wrote a paper together"}).status_code == 204
    assert ask.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/organisations", UIT | {"number": "970 422 529"}, 422, "body.number"),
        ("/v1/organisations", UIT, 422, "body.number"),  # is registered already
        ("/v1/organisations", UIT | {"kind": "club"}, 422, "body.kind"),
        ("/v1/projects", PROJECT | {"id": "new", "tenant": "moon"}, 422, "body.tenant"),
        ("/v1/projects", PROJECT | {"id": "new", "investigator": "person_x"}, 422, "body.investigator"),
        ("/v1/projects", PROJECT, 422, "body.id"),
        ("/v1/applications", {"project": "arctic", "rung": "grand-challenge", "proposal": PROPOSAL}, 422, "body.call"),
        ("/v1/applications", {"project": "arctic", "proposal": PROPOSAL}, 422, "body.rung"),
        ("/v1/applications", {"project": "arctic", "rung": "playground", "call": "x1", "proposal": PROPOSAL}, 422, "body.call"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_the_field(
    as_: Any, known: str, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    """And with what is allowed."""
    if path == "/v1/projects":
        body = body | {"organisation": known}
    answer = as_(ADA).write("POST", path, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)
    assert answer.json()["errors"][0]["allowed"]


def test_calls_and_decisions_are_for_allocators(as_: Any, known: str) -> None:
    call = {
        "id": "spring", "title": "Spring", "rungs": ["grand-challenge"], "opens_utc": "2027-02-01T08:00:00Z",
        "closes_utc": "2027-03-01T12:00:00Z", "budget_gpu_hours": 1_000_000,
    }  # fmt: skip
    assert as_(ADA).write("POST", "/v1/calls", call).status_code == 403
    ask = as_(ALMA)
    assert ask.write("POST", "/v1/calls", call).json()["open"] is True
    assert ask.write("POST", "/v1/calls/spring/close").json()["open"] is False
    names = [found["id"] for found in as_(ADA).get("/v1/calls").json()["items"]]
    assert names == ["rolling-playground", "rolling-fast-lane", "rolling-innovator", "reserve-2027", "spring"]
    assert as_(ADA).get("/v1/ladder").json()["items"][0]["name"] == "playground"


@pytest.fixture
def run(parts: ServiceParts, served: Any, monkeypatch: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("KVANDAL_SERVER", served.url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Any:
        outcome = CliRunner().invoke(commands, [*arguments, "--json"], catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        return json.loads(outcome.stdout)

    return call


def test_the_whole_way_by_command_at_a_local_site(run: Callable[..., Any], tmp_path: Path) -> None:
    """Whoever sits at a local site registers for others, and plays every part."""
    office = ("office", "organisation", "UiT", "--kind", "university", "--number")
    with pytest.raises(RefusedError, match="970422529"):
        run(*office, "970422529")
    organisation = run(*office, "970422528", "--person", "person_ada")
    run(
        *("office", "project", "arctic", "--title", "Arctic", "--organisation", organisation["id"]),
        *("--tenant", "norway-research", "--investigator", "person_ada"),
    )
    declared = "".join(f"{name} = true\n" for name in DECLARED)
    text = f'project = "arctic"\nrung = "fast-lane"\n[proposal]\ntitle = "Sami"\ngpu_hours = 20000\nmonths = 6\n{declared}'
    (tmp_path / "application.toml").write_text(text)
    draft = run("grant", "apply", "application.toml")
    assert (draft["state"], len(draft["gates"])) == ("draft", 16)
    key = draft["id"]
    assert run("grant", "submit", key)["state"] == "technical_review"
    review = ("--part", "technical", "--score", "5", "--recommends", "grant", "--comment", "it scales")
    assert run("office", "review", key, *review)["state"] == "decision"
    assert run("office", "look", key)["answer"]["tenants"][0]["tenant"] == "uk"
    assert [one["id"] for one in run("office", "applications", "--state", "decision")] == [key]
    assert run("office", "decide", key, "grant", "--reason", "sound")["state"] == "granted"
    (grant,) = run("grant", "list", "--project", "arctic")
    assert [step["kind"] for step in run("grant", "show", grant["id"])["history"]] == ["give", "start"]
    assert run("grant", "end", grant["id"], "--reason", "the project is over")["state"] == "report_due"
    for arguments in (
        ("grant", "show", key),
        ("grant", "list"),
        ("grant", "ladder"),
        ("office", "applications"),
    ):
        told = CliRunner().invoke(commands, list(arguments), catch_exceptions=False)
        assert told.exit_code == 0
        assert "fast-lane" in told.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("project = 1 2", "application.toml: is not TOML"),
        ('project = "arctic"', "application.toml: proposal: must be given"),
        ('project = "arctic"\nrun = "x"\n[proposal]\n', "application.toml: run: is not known"),
        ('project = "arctic"\nrung = "top"\n[proposal]\ntitle = "x"\ngpu_hours = 1\nmonths = 1\n', "application.toml: rung: Input"),
        ('project = "arctic"\n[proposal]\ntitle = "x"\nmonths = 1\n', "application.toml: proposal.gpu_hours: Field required"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_said_in_a_line(
    served: Any, monkeypatch: Any, tmp_path: Path, text: str, told: str
) -> None:
    """With the file, the key and what is allowed."""
    monkeypatch.setenv("KVANDAL_SERVER", served.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "application.toml").write_text(text)
    with pytest.raises(kv.InputError, match=told) as caught:
        CliRunner().invoke(commands, ["grant", "apply", "application.toml"], catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_the_terms_of_the_office_follow_the_policy_in_force(store: Any, as_: Any) -> None:
    """A ceiling that fell makes hours unusable, from the next look at the gates on."""
    ask = as_(LOCAL)
    organisation = ask.write("POST", "/v1/organisations", UIT).json()["id"]
    ask.write("PUT", f"/v1/organisations/{organisation}/people/{ADA.id}")
    ask.write("POST", "/v1/projects", PROJECT | {"organisation": organisation})
    path = f"/v1/applications/{drafted(ask, 'playground')}/gates"

    def usable() -> bool:
        gates = {gate["rule"]: gate["passed"] for gate in ask.get(path).json()["items"]}
        return gates["OG15"]

    assert usable()
    limits = ("guarantee", "deserved", "ceiling")
    changes = {f"tenants.norway-research.{limit}_share": 0.0014 for limit in limits}
    body = {"changes": changes, "reason": "test"}
    with store.begin() as tx:
        tx.execute(insert(INBOX).values(at_utc=NOW, by="local", kind="policy", body=body))
    assert not usable()
