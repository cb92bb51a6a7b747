"""The site, who gets, set-points, changes of the policy, records: each as it stands in the store."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from living_site import START, VIEW, populate, turn
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from kvandal.control.api.application import close, create_app
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant
from kvandal.control.store.tables.books import AUDIT
from kvandal.control.store.tables.loop import INBOX, JOBS


def commands(store: Any) -> list[tuple[str, Any]]:
    with store.read() as tx:
        return [tuple(row) for row in tx.execute(select(INBOX.c.kind, INBOX.c.body).order_by(INBOX.c.id))]


def trail(store: Any) -> list[tuple[str, str]]:
    with store.read() as tx:
        return [
            tuple(row) for row in tx.execute(select(AUDIT.c.what, AUDIT.c.subject).order_by(AUDIT.c.number))
        ]


def test_the_site_is_what_the_loop_saw_and_says_when_it_has_not_changed(ask: Any, store: Any) -> None:
    """Before the first turn it is not available; then the version is the ETag."""
    early = ask.get("/v1/site")
    turn(store, 7)
    now = ask.get("/v1/site")
    same = ask.get("/v1/site", headers={"If-None-Match": now.headers["etag"]})
    turn(store, 8, site_power_mw=1.5)
    later = ask.get("/v1/site", headers={"If-None-Match": now.headers["etag"]})

    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert now.json() == {"version": 7, **VIEW}
    assert (same.status_code, same.content) == (304, b"")
    assert (later.status_code, later.json()["version"], later.json()["site_power_mw"]) == (200, 8, 1.5)


def test_a_member_sees_its_own_tenant_of_the_site(ask: Any, store: Any, door: Any, member: Any) -> None:
    """The sums of the site are everybody's; what a tenant holds is its own."""
    populate(store)
    door.principal = member("uk")

    assert [tenant["name"] for tenant in ask.get("/v1/site").json()["tenants"]] == ["uk"]
    assert [tenant["name"] for tenant in ask.get("/v1/tenants").json()["items"]] == ["uk"]
    assert ask.get("/v1/tenants/offtaker").status_code == 404


def test_tenants_never_see_each_others_jobs(ask: Any, store: Any, door: Any, member: Any) -> None:
    """Lists are narrowed, and another's job is as if it were not there; a project sees its own alone."""
    ids = populate(store)
    door.principal = member("uk")
    for path in ("", "/why"):
        assert ask.get(f"/v1/jobs/{ids['uk']}{path}").status_code == 200
        assert ask.get(f"/v1/jobs/{ids['offtaker']}{path}").status_code == 404
    assert ask.write("POST", f"/v1/jobs/{ids['offtaker']}/cancel", {}).status_code == 404
    assert [job["tenant"] for job in ask.get("/v1/jobs").json()["items"]] == ["uk"]
    assert ask.get("/v1/jobs?tenant=offtaker").json()["items"] == []
    door.principal = member("uk", "another-project")
    assert ask.get("/v1/jobs").json()["items"] == []
    assert ask.get(f"/v1/jobs/{ids['uk']}").status_code == 404


def test_nobody_submits_for_another_tenant_or_project(ask: Any, door: Any, member: Any) -> None:
    """The refusal names what the caller may, and nothing of the others."""
    door.principal = member("norway-research", "arctic")
    assert ask.submit().status_code == 201
    for changes, field, allowed in (
        ({"tenant": "uk"}, "body.tenant", "one of norway-research"),
        ({"project": "ocean"}, "body.project", "one of arctic"),
    ):
        (found,) = ask.submit(**changes).json()["errors"]
        assert (found["field"], found["allowed"]) == (field, allowed)


def test_a_project_without_a_grant_cannot_submit(ask: Any, app: Any) -> None:
    """What the office says is missing is told."""
    app.state.parts = dataclasses.replace(
        app.state.parts, may_use=lambda *_: "the project has no grant in force"
    )

    answer = ask.submit()

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:kvandal:problem:no-grant")
    assert answer.json()["errors"][0]["message"] == "the project has no grant in force"
    assert ask.get("/v1/jobs").json()["items"] == []


def test_why_tells_events_in_order_with_the_sentences_of_their_rules(ask: Any, store: Any) -> None:
    """Each rule that is named is explained once."""
    ids = populate(store)

    why = ask.get(f"/v1/jobs/{ids['norway-research']}/why").json()

    assert [(event["kind"], event["rule"]) for event in why["events"]] == [
        ("accepted", ""),
        ("queued", ""),
        ("held", "K2"),
    ]
    assert why["events"][2]["sentence"] == why["rules"]["K2"]
    assert list(why["rules"]) == ["K2"]


def test_a_job_is_cancelled_once_and_not_after_its_end(ask: Any, store: Any) -> None:
    """The loop is asked, with the reason; a job that has ended is a conflict, another version than meant is refused."""
    ids = populate(store)

    done = ask.write("POST", f"/v1/jobs/{ids['uk']}/cancel", {"reason": "wrong data"})
    ended = ask.write("POST", f"/v1/jobs/{ids['offtaker']}/cancel", {})
    stale = ask.write("POST", f"/v1/jobs/{ids['uk']}/cancel", {}, If_Match='"99"')

    assert (done.status_code, ended.status_code, stale.status_code) == (202, 409, 412)
    assert stale.headers["etag"] == '"1"'
    assert commands(store) == [("cancel", {"job": ids["uk"], "reason": "wrong data"})]
    assert trail(store)[-1] == ("job.cancel", ids["uk"])


def test_the_envelope_is_set_within_its_range_until_its_end_and_cleared(
    ask: Any, app: Any, store: Any
) -> None:
    """The loop is asked, the row tells who, why and until when, and it ends by itself."""
    clock = [START]
    app.state.parts = dataclasses.replace(app.state.parts, now=lambda: clock[0])
    path, until = "/v1/set-points/envelope_mw", (START + timedelta(hours=6)).isoformat()
    told = {"value": 1.5, "until_utc": until, "reason": "asked by the grid"}

    done = ask.write("PUT", path, told)

    assert (done.status_code, done.json()["value"], done.json()["by"]) == (200, 1.5, "local")
    asked = {"envelope_mw": 1.5, "until_utc": until, "reason": "asked by the grid"}
    assert commands(store) == [("envelope", asked)]
    assert ask.get(path).json() == done.json()
    clock[0] += timedelta(hours=7)
    assert (ask.get(path).json()["value"], ask.get(path).json()["reason"]) == (None, "asked by the grid")
    stale = ask.write("DELETE", f"{path}?reason=repaired", If_Match='"0"')
    cleared = ask.write("DELETE", f"{path}?reason=repaired", If_Match=done.headers["etag"])
    assert (stale.status_code, cleared.status_code, cleared.json()["value"]) == (412, 200, None)
    assert commands(store)[-1] == ("envelope", {"envelope_mw": None, "until_utc": None, "reason": "repaired"})
    assert trail(store) == [("set_point.set", "envelope_mw"), ("set_point.clear", "envelope_mw")]


@pytest.mark.parametrize(
    ("name", "body", "status", "field", "allowed"),
    [
        ("envelope_mw", {"value": 2.5, "reason": "more"}, 422, "body.value", "0 to 2 MW"),
        ("envelope_mw", {"value": -1, "reason": "less"}, 422, "body.value", "0 to 2 MW"),
        ("envelope_mw", {"value": 1}, 422, "body.reason", "given"),
        ("tcs_supply_c", {"value": 20, "reason": "colder"}, 403, "path.name", "one of envelope_mw"),
    ],
)
def test_only_what_is_on_the_list_is_set_and_only_within_its_range(
    ask: Any, store: Any, name: str, body: dict[str, Any], status: int, field: str, allowed: str
) -> None:
    """The problem says what may be set, and nothing is asked of the loop."""
    answer = ask.write("PUT", f"/v1/set-points/{name}", body)

    assert answer.status_code == status
    (found,) = answer.json()["errors"]
    assert (found["field"], found["allowed"]) == (field, allowed)
    assert commands(store) == []


def test_an_end_in_the_past_is_refused(ask: Any) -> None:
    """By the clock of the site."""
    told = {"value": 1, "until_utc": "2020-01-01T00:00:00Z", "reason": "too late"}
    (found,) = ask.write("PUT", "/v1/set-points/envelope_mw", told).json()["errors"]
    assert (found["field"], found["value"]) == ("body.until_utc", "2020-01-01T00:00:00+00:00")


def test_a_change_of_the_policy_is_weighed_then_confirmed_then_in_force(
    ask: Any, app: Any, store: Any
) -> None:
    """Only who gives back the confirmation of the answer applies it, once, against the policy that it was weighed against."""
    asked = []

    def whatif(**question: Any) -> dict[str, Any]:
        asked.append(question)
        return {"tenants": [{"name": "uk", "gpu_hours": -12.0}]}

    app.state.whatifs._parts = dataclasses.replace(app.state.parts, whatif=whatif)
    wanted = {"changes": {"tenants.uk.ceiling_share": 0.02}, "reason": "room for research", "days": 2}
    proposed = ask.write("POST", "/v1/policy-changes", wanted, key="proposed-once")
    again = ask.write("POST", "/v1/policy-changes", wanted, key="proposed-once")
    other = ask.write("POST", "/v1/policy-changes", wanted | {"changes": {"policy.recall": False}})
    change = proposed.json()
    path = f"/v1/policy-changes/{change['id']}/apply"

    assert (proposed.status_code, again.json()) == (201, change)
    assert change["whatif"] == {"tenants": [{"name": "uk", "gpu_hours": -12.0}]}
    assert [question["days"] for question in asked] == [2.0, 2.0]  # once for each proposal
    assert ask.get("/v1/policy").json()["tenants"]["uk"]["ceiling_share"] is None
    assert ask.write("POST", path, {"confirmation": "0" * 16}).status_code == 422
    applied = ask.write("POST", path, {"confirmation": change["confirmation"]})
    assert (applied.status_code, applied.json()["state"], applied.json()["applied_by"]) == (
        202,
        "applied",
        "local",
    )
    assert commands(store) == [("policy", {key: wanted[key] for key in ("changes", "reason")})]
    assert ask.get("/v1/policy").json()["tenants"]["uk"]["ceiling_share"] == 0.02
    assert (
        ask.write("POST", path, {"confirmation": change["confirmation"]})
        .json()["type"]
        .endswith("change-applied")
    )
    stale = other.json()
    old = ask.write(
        "POST", f"/v1/policy-changes/{stale['id']}/apply", {"confirmation": stale["confirmation"]}
    )
    assert (old.status_code, old.json()["type"]) == (409, "urn:kvandal:problem:policy-changed")
    # what is in force judges jobs from now on
    surplus = {"tenant": "uk", "demand": "surplus"}
    assert ask.submit(**surplus, gpus=14).status_code == 201
    (found,) = ask.submit(**surplus, gpus=15).json()["errors"]
    assert found["allowed"] == "1 to 14, the most that uk may hold"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"site.grid_mw": 300}, "body.changes.site.grid_mw"),
        ({"tenants.nobody.weight": 2}, "body.changes.tenants.nobody.weight"),
        ({"tenants.uk.ceiling_share": 1.5}, "body.changes.tenants.uk.ceiling_share"),
        ({"tenants.uk.deserved_share": 0.5}, "body.changes.tenants.uk"),
    ],
)
def test_what_cannot_be_changed_while_the_site_runs_is_refused(
    ask: Any, changes: dict[str, Any], field: str
) -> None:
    """The key, its value and what is allowed; what-ifs and proposals alike."""
    for path, body in (("/v1/policy-changes", {"reason": "just so"}), ("/v1/whatif", {})):
        answer = ask.write("POST", path, {"changes": changes, **body})
        assert answer.status_code == 422, answer.json()
        assert answer.json()["errors"][0]["field"].startswith(field)
        assert answer.json()["errors"][0]["allowed"]


def test_the_whole_policy_is_changed_by_nobody_of_a_tenant(ask: Any, door: Any, store: Any) -> None:
    """An operator of one tenant, if there were one, is not the site's."""
    door.principal = Principal("person_1", "Ada", (RoleGrant("operator", "uk"),))
    refused = [
        ask.write("PUT", "/v1/set-points/envelope_mw", {"value": 1, "reason": "mine"}).status_code,
        ask.write("POST", "/v1/nodes/tray-00001/drain", {"reason": "mine"}).status_code,
        ask.write(
            "POST", "/v1/policy-changes", {"changes": {"policy.recall": False}, "reason": "mine"}
        ).status_code,
    ]
    assert (refused, commands(store)) == ([403, 403, 403], [])


def test_too_many_what_ifs_are_told_to_come_back(parts: Any, store: Any) -> None:
    """None is computed for whom no room is left; each caller has one at a time."""
    import asyncio
    import threading

    release = threading.Event()
    app = create_app(
        dataclasses.replace(
            parts, whatifs_at_once=1, whatifs_waiting=1, whatif=lambda **_: {"waited": release.wait(20)}
        )
    )
    desk = app.state.whatifs

    async def crowd() -> list[Any]:
        people = [Principal(f"person_{number}", "x") for number in (1, 2, 1, 3)]
        asked = [asyncio.create_task(desk.ask(person, {})) for person in people]
        await asyncio.wait(asked[2:])
        release.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, same, many = asyncio.run(crowd())
    close(app)

    assert (first, second) == ({"waited": True}, {"waited": True})
    assert (same.status, many.status) == (429, 503)
    assert "retry-after" in many.headers


def test_nodes_are_drained_and_put_back_by_the_loop(ask: Any, app: Any, store: Any) -> None:
    """With the reason on the trail; one that the engine does not have is not found."""
    populate(store)
    app.state.parts = dataclasses.replace(app.state.parts, knows_node=lambda name: name == "tray-00001")
    out = ask.write("POST", "/v1/nodes/tray-00001/drain", {"reason": "leak"})
    back = ask.write("POST", "/v1/nodes/tray-00001/undrain", {"reason": "dry"})
    assert (out.status_code, back.status_code) == (202, 202)
    assert out.json()["inbox"] + 1 == back.json()["inbox"]
    assert ask.write("POST", "/v1/nodes/elsewhere/drain", {"reason": "leak"}).status_code == 404
    drains = [("drain", {"node": "tray-00001", "reason": reason}) for reason in ("leak", None)]
    assert commands(store) == drains
    assert [node["node"] for node in ask.get("/v1/nodes").json()["items"]] == ["tray-00003"]


def test_records_are_told_as_they_stand(ask: Any, store: Any, door: Any, member: Any) -> None:
    """Cycles with inputs and actions, the trail with its hashes, a tenant's books; for whom they are meant."""
    ids = populate(store)
    assert [cycle["number"] for cycle in ask.get("/v1/cycles").json()["items"]] == [2, 1]
    assert ask.get("/v1/cycles/2").json()["actions"] == [["P1", 1]]
    first, *_ = ask.get("/v1/audit?order=oldest").json()["items"]
    assert (first["who"], first["what"], first["previous_hash"]) == ("loop", "site.start", "0" * 64)
    assert ask.get("/v1/audit?what=nothing").json()["items"] == []
    assert [tick["time_s"] for tick in ask.get("/v1/site/ticks?limit=2").json()["items"]] == [240, 180]
    since = "/v1/site/ticks?since_utc=2027-01-01T00:01:00Z&until_utc=2027-01-01T00:03:00Z&order=oldest"
    assert [tick["time_s"] for tick in ask.get(since).json()["items"]] == [60, 120]
    period = "from_utc=2027-01-02T00:00:00Z&until_utc=2027-01-03T00:00:00Z"
    door.principal = member("uk", role="tenant_admin")
    (line,) = ask.get(f"/v1/ledger/statements/uk?{period}").json()["lines"]
    assert line == {
        "account": "tenant:uk:use",
        "unit": "gpu_s",
        "opening": 3600,
        "turnover": 3600,
        "closing": 7200,
    }
    assert [
        row["amount"] for row in ask.get("/v1/ledger/postings?account=tenant:uk:use").json()["items"]
    ] == [3600] * 2
    for path in (
        f"/v1/ledger/statements/offtaker?{period}",
        "/v1/ledger/postings?account=tenant:offtaker:use",
    ):
        assert ask.get(path).status_code == 404
    assert ask.get("/v1/ledger/postings?account=site:use").status_code == 404
    assert {ask.get(path).status_code for path in ("/v1/cycles", "/v1/audit")} == {403}
    (loan,) = ask.get("/v1/loans").json()["items"]
    assert (loan["lender"], loan["job"]) == ("offtaker", ids["uk"])
    door.principal = member("offtaker")
    assert (
        ask.get(f"/v1/loans/{loan['id']}").json()["job"] == ""
    )  # whose job holds its GPUs is not the lender's business
    door.principal = member("nordics")
    assert ask.get("/v1/loans").json()["items"] == []
    assert ask.get(f"/v1/loans/{loan['id']}").status_code == 404


def test_rules_are_those_of_the_program(ask: Any) -> None:
    """Each with its sentence."""
    from kvandal.policy.rules import RULES

    told = [(rule["id"], rule["sentence"]) for rule in ask.get("/v1/rules").json()["items"]]
    assert told == [rule for number, rule in sorted(RULES.items()) if number]


def test_nobody_is_nobody(ask: Any, door: Any) -> None:
    """Without a principal every resource is closed, and says how to come in."""
    door.principal = None
    for path in ("/v1/site", "/v1/jobs", "/v1/audit", "/v1/policy"):
        answer = ask.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        (("GET", "/v1/nothing", {}), 404, "not-found"),
        (("PATCH", "/v1/jobs", {}), 405, "method-not-allowed"),
        (
            ("POST", "/v1/jobs", {"content": b"a=1", "headers": {"content-type": "text/plain"}}),
            415,
            "unsupported-media-type",
        ),
        (("POST", "/v1/jobs", {"content": b"x" * (1 << 20) + b"x"}), 413, "too-large"),
        (
            ("POST", "/v1/jobs", {"content": b"{", "headers": {"content-type": "application/json"}}),
            400,
            "not-json",
        ),
        (("GET", "/v1/jobs?limit=0", {}), 422, "not-valid"),
        (("GET", "/v1/jobs?colour=red", {}), 422, "not-valid"),
        (("GET", "/v1/jobs?tenant=uk&tenant=nordics", {}), 422, "not-valid"),
        (("GET", "/v1/jobs?cursor=tomorrow", {}), 422, "not-valid"),
        (("GET", "/v1/jobs/job_1", {}), 422, "not-valid"),
        (("POST", "/v1/jobs", {"json": {}}), 400, "idempotency-key-missing"),
    ],
)
def test_every_mistake_is_a_problem_with_the_id_of_its_request(
    ask: Any, request_: tuple[str, str, dict[str, Any]], status: int, kind: str
) -> None:
    """RFC 9457, with a stable type; the id is the caller's where it gives one."""
    method, path, more = request_
    headers = {"x-request-id": "my-request", "idempotency-key": "12345678"} | more.pop("headers", {})
    if kind == "idempotency-key-missing":
        del headers["idempotency-key"]
    answer = ask.request(method, path, headers=headers, **more)

    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["type"]) == (
        status,
        status,
        f"urn:kvandal:problem:{kind}",
    )
    assert problem["request_id"] == answer.headers["x-request-id"] == "my-request"
    assert problem["title"]
    assert problem["detail"]
    if status == 422:
        assert all(found["field"] and found["allowed"] for found in problem["errors"])


def test_a_fault_of_the_server_says_nothing_of_its_inside(ask: Any, app: Any) -> None:
    """Only the id by which the log tells more."""
    app.state.force = None
    with capture_logs() as logged:
        answer = ask.get("/v1/policy")
    (entry,) = [entry for entry in logged if entry["event"] == "request failed"]
    assert entry["request_id"] == answer.json()["request_id"]
    assert "NoneType" in entry["exception"]
    assert (answer.status_code, answer.json()["title"]) == (500, "A fault of the server")
    assert "NoneType" not in answer.text
    assert answer.json()["request_id"] in answer.json()["detail"]


def test_lists_of_jobs_are_narrowed_by_what_is_asked(ask: Any, store: Any) -> None:
    """By tenant, project, class and several states."""
    populate(store)
    with store.begin() as tx:
        tx.execute(insert(JOBS), {"id": "job_x", "tenant": "uk", "project": "other", "person": "p", "name": "n"} | {
            "demand": "surplus", "gpus": 1, "limit_s": 60, "state": "queued", "submitted_utc": START})  # fmt: skip
    names = {
        query: [job["tenant"] for job in ask.get(f"/v1/jobs?order=oldest&{query}").json()["items"]]
        for query in (
            "state=queued&state=running",
            "project=other",
            "demand=surplus&state=finished",
            "tenant=offtaker",
        )
    }
    assert list(names.values()) == [["norway-research", "uk", "uk"], ["uk"], [], ["offtaker"]]


def test_local_is_everybody() -> None:
    """The principal of these tests may do what they do."""
    assert LOCAL.may("audit.read")
