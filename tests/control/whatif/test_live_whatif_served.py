"""What-ifs of a running service: over HTTP and by the commands, computed beside the loop, seen before anything is applied."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from asking_whatifs import Asked
from typer.testing import CliRunner

import kvandal
from kvandal.cli.main import app as commands
from kvandal.control.api.asking import seen_by
from kvandal.control.identity.principal import LOCAL, Principal, RoleGrant
from kvandal.control.whatif.process import WhatIfProcess
from kvandal.errors import InputError, KvandalError

SMALL = Path(__file__).parent.parent.parent / "small.toml"
CHANGE = {"tenants.uk.ceiling_share": 0.02}


def test_a_process_that_is_lost_or_too_slow_is_replaced(crowded):
    standing, question = Asked(crowded).standing(days=0.25)
    slow = WhatIfProcess(timeout_s=0.0)
    with pytest.raises(KvandalError, match="took longer than 0 s"):
        slow.ask(standing, question)
    assert slow.pid is None
    slow.close()
    process = WhatIfProcess()
    answer = process.ask(standing, question)
    assert answer == Asked(crowded)(days=0.25)
    first = process.pid
    os.kill(first, signal.SIGKILL)
    with contextlib.suppress(KvandalError):  # it may be found dead before or after it is asked
        process.ask(standing, question)
    assert process.ask(standing, question) == answer
    assert process.pid != first
    wrong = Asked(crowded).standing(changes={"policy.backfill_depth": -1})
    with pytest.raises(InputError) as refused:
        process.ask(*wrong)
    assert refused.value.key == "policy.backfill_depth"
    process.close()
    with pytest.raises(KvandalError, match="ending"):
        process.ask(standing, question)


def test_ids_of_jobs_are_told_to_those_who_may_see_them():
    jobs = [{"job": f"job_{name}", "tenant": name, "shift_s": 900} for name in ("uk", "nordics")]
    answer = {"headlines": ["x"], "queued": {"earlier": 0, "later": 2, "jobs": jobs}}
    reviewer = Principal("person_r", "R", (RoleGrant("reviewer"),))
    both = Principal("person_b", "B", (RoleGrant("reviewer"), RoleGrant("member", "uk", None)))
    assert seen_by(LOCAL, answer) == answer
    assert [one["job"] for one in seen_by(reviewer, answer)["queued"]["jobs"]] == [None, None]
    assert [one["shift_s"] for one in seen_by(reviewer, answer)["queued"]["jobs"]] == [900, 900]
    assert "job_nordics" not in json.dumps(seen_by(both, answer))
    assert answer["queued"]["jobs"] == jobs


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the address of a living site of ten racks, and the process that serves it."""
    folder = tmp_path_factory.mktemp("served")
    environment = os.environ | {"PYTHONPATH": str(Path(kvandal.__file__).parents[1])}
    command = [sys.executable, "-m", "kvandal.cli.main", "serve", str(SMALL), "--port", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--speed", "120", "--data-dir", str(folder / "data")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            cwd=folder,
        ) as service,
    ):
        line = service.stdout.readline()
        assert line.startswith("Kvandal serves http"), (folder / "log").read_text()
        address = line.split()[2]
        until(lambda: httpx.get(f"{address}/v1/site").json().get("cycle", 0) > 3, 240)
        yield address
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0


def at(instant):
    return datetime.fromisoformat(instant)


def until(holds, seconds=60):
    """Wait for something that the service does by itself."""
    last = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if holds():
                return
        assert time.monotonic() < last, "it has not happened in time"
        time.sleep(0.2)


@pytest.fixture
def run(served, monkeypatch):
    monkeypatch.setenv("KVANDAL_SERVER", served)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments):
        return CliRunner().invoke(commands, list(arguments))

    return command


def test_a_change_is_weighed_on_the_live_state_and_applied_by_who_has_seen_it(served, run):
    with httpx.Client(base_url=served, timeout=300) as http:
        asked = http.post("/v1/whatif", json={"changes": CHANGE, "envelope_mw": 0.9, "days": 0.25})
        answer = asked.json()
        assert asked.status_code == 200
        assert answer["changes"][0]["to"] == 0.02
        power = answer["site"]["power_mean_mw"]
        assert 0 < power["changed"] <= min(0.91, power["base"])
        assert {"uk", "offtaker"} <= {one["tenant"] for one in answer["tenants"]}
        assert answer["demand"]["jobs"] > 0
        went_on = http.get("/v1/site").json()["at_utc"]
        nothing = json.loads(run("site", "whatif", "--days", "0.25", "--json").stdout)
        assert nothing["headlines"] == ["Nothing changes for anybody."]
        assert at(answer["at_utc"]) < at(went_on) <= at(nothing["at_utc"])  # the loop went on meanwhile
        shown = run("site", "whatif", "--set", "tenants.uk.ceiling_share=0.02", "--envelope", "900kW", "--days", "0.25")  # fmt: skip
        assert "Loses most" in shown.stdout
        assert "share of the site" not in shown.stdout
        assert "Site power" in shown.stdout or "site power" in shown.stdout
        assert "synthetic" in shown.stdout

        refused = run("site", "whatif", "--set", "policy.nonsense=1")
        assert "policy.nonsense" in str(refused.exception)
        wrong = http.post("/v1/whatif", json={"envelope_mw": 50.0})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "body.envelope_mw")

        body = {"changes": CHANGE, "reason": "more room for research", "days": 0.25}
        one, other = (
            http.post(
                "/v1/policy-changes", json=body, headers={"Idempotency-Key": f"proposal-{number}"}
            ).json()
            for number in range(2)
        )
        assert one["whatif"]["tenants"]
        path = f"/v1/policy-changes/{one['id']}/apply"
        unseen = http.post(path, json={"confirmation": "0" * 16}, headers={"Idempotency-Key": "unseen-one"})
        assert unseen.status_code == 422
        applied = run("policy", "set", "tenants.uk.ceiling_share=0.03", "--reason", "a test", "--days", "0.25", "--yes")  # fmt: skip
        assert applied.stdout.splitlines()[-1].endswith("applied"), applied.exception
        assert "P95 wait" in applied.stdout
        until(lambda: http.get("/v1/policy").json()["tenants"]["uk"]["ceiling_share"] == 0.03)
        late = http.post(
            path, json={"confirmation": one["confirmation"]}, headers={"Idempotency-Key": "late-apply"}
        )
        assert (late.status_code, late.json()["type"].rsplit(":", 1)[-1]) == (409, "policy-changed")
        assert other["state"] == "proposed"
