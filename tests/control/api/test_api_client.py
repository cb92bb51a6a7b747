"""The client and the commands against a real server, and a client that others generate from the description."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from living_site import JOB, START, populate
from typer.testing import CliRunner, Result

import kvandal as kv
from kvandal.cli.main import app as commands
from kvandal.client.errors import (
    NotAllowedError,
    NotFoundError,
    NotSignedInError,
    RefusedError,
    UnreachableError,
)

SUBMIT = [
    "job",
    "submit",
    "--tenant",
    "norway-research",
    "--project",
    "arctic",
    "--class",
    "national",
    "--gpus",
    "8",
]


@pytest.fixture
def site(served: Any, app: Any, store: Any) -> dict[str, str]:
    """A site that has lived for two minutes, whose clock stands still since."""
    app.state.parts = dataclasses.replace(app.state.parts, now=lambda: START + timedelta(minutes=2))
    return populate(store)


@pytest.fixture
def client(served: Any) -> Any:
    with kv.Client(served.url, patience_s=2) as opened:
        yield opened


@pytest.fixture
def run(served: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("KVANDAL_SERVER", served.url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, **more: Any) -> Result:
        return CliRunner().invoke(commands, list(arguments), **more)

    return call


def test_a_client_submits_lists_explains_and_cancels(client: kv.Client, site: dict[str, str]) -> None:
    """What it returns are resources with types."""
    job = client.submit_job(**{**JOB, "environment": {"SEED": "1"}, "script": "srun python train.py"})
    again = client.submit_job(**JOB, key="one-of-my-own")

    assert (job.state, job.gpus, job.environment, job.script) == (
        "accepted",
        8,
        {"SEED": "1"},
        "srun python train.py",
    )
    assert client.submit_job(**JOB, key="one-of-my-own") == again
    assert client.job(job.id) == job
    assert [found.id for found in client.jobs(most=2)] == [again.id, job.id]
    assert [found.id for found in client.jobs(state="queued")] == [site["norway-research"]]
    assert len(list(client.jobs())) == 5
    assert client.why(site["norway-research"]).events[-1].rule == "K2"
    assert client.cancel_job(job.id, "changed my mind").id == job.id


def test_a_client_knows_the_site_and_its_policy(client: kv.Client, site: dict[str, str], app: Any) -> None:
    """Everything that the API tells has a method."""
    assert client.site().site_power_mw == 1.25
    assert [tick.time_s for tick in client.site_ticks(since_utc=START, most=2)] == [240, 180]
    assert {tenant.name for tenant in client.tenants()} >= {"uk", "national"}
    assert client.tenant("uk").demand == ["surplus"]
    assert [loan.job for loan in client.loans(state="lent")] == [site["uk"]]
    assert [node.node for node in client.nodes()] == ["tray-00003"]
    assert client.drain_node("tray-00001", "leak").inbox < client.undrain_node("tray-00001", "dry").inbox
    assert client.set_envelope(1.5, reason="asked by the grid").value == client.envelope().value == 1.5
    assert client.clear_envelope(reason="repaired").value is None
    assert [point.name for point in client.set_points()] == ["envelope_mw"]
    change = client.propose_policy_change({"tenants.uk.ceiling_share": 0.02}, reason="room for research")
    assert client.apply_policy_change(change).state == "applied"
    assert client.policy().version > 0
    assert next(client.policy_changes()).applied_by == "local"
    assert next(client.rules()).id == "P1"
    assert client.cycle(2).actions == [["P1", 1]]
    assert [cycle.number for cycle in client.cycles(most=1)] == [2]
    assert next(client.audit(what="site.start")).who == "loop"
    assert sum(row.amount for row in client.postings("tenant:uk:use")) == 7200
    statement = client.statement("uk", START, datetime(2027, 2, 1, tzinfo=UTC))
    assert statement.lines[0].closing == 7200
    with pytest.raises(RefusedError, match="answers no what-ifs"):
        client.whatif({"policy.recall": False})
    assert client.me().id == "local"


def test_a_client_says_what_is_wrong(client: kv.Client, door: Any, member: Any, site: dict[str, str]) -> None:
    """One error for each question that its caller asks, with the problem in it."""
    with pytest.raises(RefusedError, match=r"body.gpus: must be 1 to 36") as refused:
        client.submit_job(**{**JOB, "gpus": 500})
    assert (refused.value.status, refused.value.errors[0].value) == (422, 500)
    with pytest.raises(kv.InputError, match="gpus: Input should be greater than or equal to 1"):
        client.submit_job(**{**JOB, "gpus": 0})
    with pytest.raises(NotFoundError):
        client.job("job_" + "0" * 26)
    door.principal = member("uk")
    with pytest.raises(NotAllowedError):
        client.set_envelope(1.0, reason="mine")
    door.principal = None
    with pytest.raises(NotSignedInError):
        client.site()
    with pytest.raises(kv.InputError, match="server: must be an address"):
        kv.Client("kvandal.example.org")


def test_a_client_sends_a_write_again_with_the_same_key() -> None:
    """A lost answer, a server that is not there yet, one that says when to come back: it is one write."""
    keys, outcomes = [], [httpx.ConnectError("no"), httpx.ReadError("cut"), 503, 429, 202]

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        outcome = outcomes[len(keys) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return httpx.Response(outcome, json={"inbox": 7}, headers={"retry-after": "0"})

    client = kv.Client("http://kvandal.test", "kvd_secret", transport=httpx.MockTransport(answer))
    assert client.drain_node("tray-1", "leak").inbox == 7
    assert (len(keys), len(set(keys))) == (5, 1)


def test_a_client_gives_up_in_time_and_tells_no_secret() -> None:
    """The address stands in the error, the token does not; something else than a server of Kvandal is told so."""

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    client = kv.Client(
        "http://kvandal.test", "kvd_secret", patience_s=0, transport=httpx.MockTransport(nobody)
    )
    with pytest.raises(UnreachableError) as lost:
        client.site()
    assert str(lost.value) == "http://kvandal.test: no answer: connection refused"
    other = kv.Client(
        "http://kvandal.test", transport=httpx.MockTransport(lambda _: httpx.Response(404, text="<html>"))
    )
    with pytest.raises(RefusedError, match="is it a server of Kvandal"):
        other.site()


def test_the_commands_of_jobs(run: Callable[..., Result], site: dict[str, str], tmp_path: Path) -> None:
    """Submit, list, show, why, cancel: for people, and as JSON."""
    (tmp_path / "train.sh").write_text("srun python train.py\n")
    told = run(*SUBMIT, "--limit", "4h", "--env", "SEED=1", "train.sh", "--json")
    job = json.loads(told.stdout)
    assert (job["name"], job["limit_s"], job["environment"]) == ("train.sh", 14_400, {"SEED": "1"})
    assert run(*SUBMIT, "--limit", "600").stdout.split()[1:] == [
        "accepted:",
        "8",
        "GPUs",
        "for",
        "norway-research/arctic",
    ]
    assert [
        row["tenant"] for row in json.loads(run("job", "list", "--state", "running", "--json").stdout)
    ] == ["uk"]
    assert "no room in its share" in run("job", "list").stdout
    assert "tray-00001:4, tray-00002:4" in run("job", "show", site["uk"]).stdout
    assert json.loads(run("job", "show", site["uk"], "--json").stdout)["state"] == "running"
    why = run("job", "why", site["norway-research"]).stdout
    assert "held      K2" in why
    assert "K2  A job waits until" in why
    assert "will be cancelled" in run("job", "cancel", job["id"], "--reason", "wrong data").stdout


def test_the_commands_of_the_site(run: Callable[..., Result], site: dict[str, str]) -> None:
    """The site now, the envelope by hand, a change of the policy that asks first."""
    assert "1.25 of 2 MW (grid connection)" in run("site").stdout
    assert json.loads(run("site", "--json").stdout)["gpus"]["lent"] == 36
    until = ["--until", "6h", "--reason", "asked by the grid"]
    assert json.loads(run("envelope", "set", "1.5MW", *until, "--json").stdout)["value"] == 1.5
    told = "1.5 MW until 2027-01-01 06:02Z, set by local: asked by the grid\n"  # six hours by the clock of the site
    assert run("envelope", "set", "1500 kW", *until).stdout == told
    assert "no envelope is set" in run("envelope", "clear", "--reason", "repaired").stdout
    assert "no envelope is set" in run("envelope", "show").stdout
    refused = run("policy", "set", "policy.recall=false", "--reason", "a test")
    assert "--yes" in str(refused.exception)
    applied = run("policy", "set", "policy.recall=false", "--reason", "a test", "--yes")
    assert applied.stdout.splitlines()[-1].endswith("applied")


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["site"], {"KVANDAL_SERVER": "http://127.0.0.1:9"}, "http://127.0.0.1:9: no answer"),
        (["site", "--server", "nowhere"], {}, "server: must be an address such as"),
        (["site", "--token-file", "absent"], {}, "absent: --token-file: cannot be read"),
        (["envelope", "set", "much", "--reason", "a test"], {}, "POWER: must be a power such as 180MW"),
        (
            ["envelope", "set", "1MW", "--until", "noon", "--reason", "a test"],
            {},
            "--until: must be an instant",
        ),
        ([*SUBMIT, "--limit", "soon"], {}, "--limit: must be a duration such as 4h"),
        ([*SUBMIT, "--limit", "1h", "--env", "A"], {}, "--env: must be NAME=VALUE, got 'A'"),
        ([*SUBMIT, "--limit", "1s"], {}, "limit_s: "),
        ([*SUBMIT[:-1], "999", "--limit", "1h"], {}, "body.gpus: must be 1 to 36"),
    ],
)
def test_commands_say_in_one_line_what_is_wrong(
    run: Callable[..., Result],
    site: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    message: str,
) -> None:
    """Exit code 2, the file, key and value, and what is allowed."""
    from kvandal.cli.main import main

    monkeypatch.setattr("kvandal.cli.server.PATIENCE_S", 0.0)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["kvandal", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert message in told.err.splitlines()[-1]
    assert told.err.splitlines()[-1].startswith("kvandal: ")


def test_the_commands_say_what_to_install_where_the_extra_is_missing(tmp_path: Path) -> None:
    """One line, exit code 2."""
    code = "import sys; sys.modules['httpx'] = None; sys.argv = ['kvandal', 'site']; from kvandal.cli.main import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 2
    assert (
        finished.stderr == "kvandal: asking a server needs the package httpx; pip install 'kvandal[serve]'\n"
    )


def test_a_token_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option before the variables; a file with more than a token in it is refused."""
    from kvandal.cli.server import connected

    def sent(token_file: Path | None = None) -> str | None:
        return connected(None, token_file).wire._http.headers.get("authorization")

    assert sent() is None
    (tmp_path / "token").write_text("kvd_file\n")
    monkeypatch.setenv("KVANDAL_TOKEN_FILE", str(tmp_path / "token"))
    assert sent() == "Bearer kvd_file"
    monkeypatch.setenv("KVANDAL_TOKEN", "kvd_variable")
    assert sent() == "Bearer kvd_variable"
    assert sent(tmp_path / "token") == "Bearer kvd_file"
    (tmp_path / "token").write_text("two words")
    with pytest.raises(kv.InputError, match="must hold one token and nothing else, got 2 words"):
        sent(tmp_path / "token")


def test_a_generated_client_lists_jobs(
    served: Any, site: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The description makes a client without a warning; it imports, and reads what the server tells."""
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{served.url}/v1/openapi.json").content)
    (tmp_path / "config.yml").write_text(
        yaml.safe_dump({"post_hooks": [], "package_name_override": "generated_kvandal"})
    )
    program = [
        str(Path(sys.executable).parent / "openapi-python-client"),
        "generate",
        "--path",
        "openapi.json",
    ]
    made = subprocess.run(
        [*program, "--meta", "none", "--config", "config.yml", "--output-path", "generated_kvandal"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "WARNING" not in made.stdout.replace("text/event-stream", ""), made.stdout
    monkeypatch.syspath_prepend(tmp_path)
    with importlib.import_module("generated_kvandal").Client(base_url=served.url) as client:
        listed = importlib.import_module("generated_kvandal.api.jobs.list_jobs").sync(client=client)
        site_now = importlib.import_module("generated_kvandal.api.site.get_site").sync(client=client)
    assert [job.tenant for job in listed.items] == ["offtaker", "uk", "norway-research"]
    assert listed.items[1].shares[0].node == "tray-00001"
    assert site_now.water.tcs_supply_c == 32.0
