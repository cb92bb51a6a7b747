"""`kvandal doctor`: what is right is said to be, what is wrong is found, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from site_in_store import write_site
from sqlalchemy import text
from test_prometheus import free_port, serving

from kvandal.control.operations import diagnosis
from kvandal.control.operations.diagnosis import Finding, diagnose, nodes_fit, secret_file
from kvandal.control.operations.routes import operations_router
from kvandal.control.settings import Settings
from kvandal.control.settings_sources import load_settings
from kvandal.control.store.audit import record
from kvandal.control.store.database import open_store
from kvandal.control.store.leader import leadership_of
from kvandal.engines.live.protocol import EngineUnreachableError, NodeNow, Observation

SMALL = Path(__file__).parents[2] / "small.toml"


class Cluster:
    """A Slurm that has some nodes, or does not answer."""

    def __init__(self, nodes: int | None) -> None:
        self.nodes = nodes

    def observe(self) -> Observation:
        if self.nodes is None:
            raise EngineUnreachableError("connection refused")
        nodes = tuple(NodeNow(f"n{i}", 4, "up" if i else "down") for i in range(self.nodes))
        return Observation(datetime.now(UTC), nodes, {})

    def close(self) -> None:
        pass


def settings_of(tmp_path: Path, url: str, **changes: Any) -> Settings:
    values = {"scenario": str(SMALL), "data_dir": tmp_path, "database": url, "port": free_port()} | changes
    return load_settings(None, values, environment={})


def found(settings: Settings, cluster: Cluster | None = None) -> dict[str, Finding]:
    return {one.name: one for one in diagnose(settings, lambda _: cluster or Cluster(None))}


def test_a_sound_deployment_is_found_sound(tmp_path, store_url) -> None:
    with open_store(store_url) as store, store.begin() as tx:
        record(tx, "person_1", "envelope.set", "envelope_mw", {"value": 1.5})

    seen = found(settings_of(tmp_path, store_url))

    assert {one.name for one in seen.values() if one.verdict == "wrong"} == set()
    assert seen["append-only"].verdict == seen["audit"].verdict == seen["clock"].verdict == "ok"
    assert seen["audit"].words.startswith("1 rows hang together")
    assert seen["scenario"].words == "small: 10 racks"
    assert seen["leader"] == Finding(
        "leader",
        "note",
        "nobody leads: no server turns the loop",
        "kvandal serve, or systemctl start kvandal",
    )


def test_a_trigger_that_somebody_removed_is_missed(tmp_path, store_url) -> None:
    with open_store(store_url) as store, store.begin() as tx:
        name = "inbox_append_only ON inbox" if store.dialect == "postgresql" else "inbox_no_delete"
        tx.execute(text(f"DROP TRIGGER {name}"))

    missed = found(settings_of(tmp_path, store_url))["append-only"]
    assert missed.verdict == "wrong"
    assert missed.words == f"not enforced: {name.split(maxsplit=1)[0]}"


@pytest.mark.postgres
def test_a_trigger_that_is_switched_off_is_missed(tmp_path, postgres_url) -> None:
    with open_store(postgres_url) as store, store.begin() as tx:
        tx.execute(text("ALTER TABLE ledger DISABLE TRIGGER ledger_append_only"))

    assert (
        found(settings_of(tmp_path, postgres_url))["append-only"].words == "not enforced: ledger_append_only"
    )


def test_a_trail_that_was_tampered_with_is_found(tmp_path, sqlite_url) -> None:
    with open_store(sqlite_url) as store, store.begin() as tx:
        record(tx, "person_1", "envelope.set", "envelope_mw", {"value": 1.5})
        tx.execute(text("DROP TRIGGER audit_no_update"))
        tx.execute(text("UPDATE audit SET who = 'person_2'"))

    seen = found(settings_of(tmp_path, sqlite_url))
    assert seen["audit"].verdict == seen["append-only"].verdict == "wrong"
    assert "row 1 was changed" in seen["audit"].words


def test_a_database_that_is_not_there_is_wrong_and_is_not_made(tmp_path, sqlite_url) -> None:
    seen = found(settings_of(tmp_path, sqlite_url))

    assert seen["database"].verdict == "wrong"
    assert not (tmp_path / "kvandal.db").exists()
    gone = found(settings_of(tmp_path, f"postgresql://kvandal@127.0.0.1:{free_port()}/kvandal"))
    assert gone["database"].verdict == "wrong"


@pytest.mark.postgres
def test_a_clock_that_differs_is_wrong(tmp_path, postgres_url, monkeypatch) -> None:
    open_store(postgres_url).close()
    now = diagnosis.time.time
    monkeypatch.setattr(diagnosis, "time", SimpleNamespace(time=lambda: now() - 60, sleep=lambda _: None))

    clock = found(settings_of(tmp_path, postgres_url))["clock"]
    assert clock.verdict == "wrong"
    assert clock.words.startswith("the database's is +60.")


def test_the_leader_is_named_and_not_disturbed(tmp_path, store_url, monkeypatch) -> None:
    """Where the server itself cannot be asked, the loop is watched in the store for a while."""
    with open_store(store_url) as store:
        write_site(store)
        leader = leadership_of(store)
        assert leader.acquire()
        monkeypatch.setattr(diagnosis, "TURNING_S", 0.0)
        settings = settings_of(tmp_path, store_url, cycle_s=0.05)

        seen = found(settings)
        assert seen["leader"].verdict == "ok"
        assert seen["cycle"] == Finding(
            "cycle", "wrong", "the loop stands still at cycle 1", "see the log of the server that leads"
        )
        monkeypatch.setattr(diagnosis.time, "sleep", lambda _: write_site(store, 2))
        assert found(settings)["cycle"] == Finding("cycle", "ok", "the loop turns: cycle 2")

        assert leader.is_leader()
        leader.release()
        assert found(settings)["leader"].verdict == "note"


def test_a_server_that_answers_is_asked(tmp_path, store, watch, clock) -> None:
    write_site(store)
    app = FastAPI()
    watch.metrics.leads(True)
    with watch.cycle(1):
        pass
    with serving(app) as port:
        settings = settings_of(tmp_path, str(store.address), port=port)
        app.include_router(operations_router(watch, store, settings))
        leader = leadership_of(store)
        leader.acquire()

        seen = found(settings)
        assert seen["server"].words.endswith(f":{port}: ready")
        assert seen["cycle"].words == "turns: a cycle 0.0 s ago"
        clock.seconds += 100
        assert found(settings)["cycle"].verdict == "wrong"
        leader.release()


def test_a_full_disk_is_wrong(tmp_path, sqlite_url, monkeypatch) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(total=10**12, used=10**12, free=10**8)
    )

    assert found(settings_of(tmp_path, sqlite_url))["disk"].verdict == "wrong"


@pytest.mark.parametrize(
    ("content", "mode", "verdict", "said"),
    [
        ("hush", 0o600, "ok", "only its owner reads it"),
        ("hush", 0o400, "ok", "only its owner reads it"),
        ("hush", 0o640, "wrong", "others may read it (-rw-r-----)"),
        ("\n", 0o600, "wrong", "is empty"),
        (None, 0o600, "wrong", "No such file or directory"),
    ],
)
def test_files_of_secrets_are_looked_at(tmp_path, content, mode, verdict, said) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)

    one = secret_file("slurm.token_file", file)
    assert (one.verdict, one.words) == (verdict, f"{file}: {said}")


@pytest.mark.parametrize(
    ("nodes", "known", "verdict", "said"),
    [
        (180, None, "ok", "180, as the scenario has"),
        (181, None, "wrong", "181 nodes, the scenario has 180 trays in 10 racks"),
        (36, None, "note", "36 of 180 trays; the others count as out of use"),
        (0, None, "wrong", "0 nodes, the scenario has 180 trays in 10 racks"),
        (2, ["n0", "x1"], "wrong", "1 of the site's are gone, 1 are new, e.g. x1"),
    ],
)
def test_nodes_are_compared_with_the_racks_of_the_scenario(nodes, known, verdict, said) -> None:
    one = nodes_fit([(f"n{i}", 4) for i in range(nodes)], 10, known)

    assert (one.verdict, one.words) == (verdict, said)


def test_nodes_with_another_number_of_gpus_are_wrong() -> None:
    assert nodes_fit([("n0", 4), ("n1", 8)], 10, None).words == "1 nodes have not 4 GPUs, e.g. n1"


def test_slurm_is_asked(tmp_path, sqlite_url) -> None:
    open_store(sqlite_url).close()
    settings = settings_of(
        tmp_path, sqlite_url, engine="slurm", **{"slurm.rest_url": "http://127.0.0.1:6820"}
    )

    seen = found(settings, Cluster(36))
    assert seen["engine"].words == "Slurm answers: 36 nodes, 1 of them not up"
    assert seen["nodes"].verdict == "note"
    silent = found(settings, Cluster(None))
    assert silent["engine"].verdict == "wrong"
    assert "nodes" not in silent


def test_the_provider_of_identities_is_asked(tmp_path, sqlite_url) -> None:
    with serving(FastAPI()) as port:  # it answers, but tells nothing of how to sign in
        for where in (f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{port}"):
            settings = settings_of(tmp_path, sqlite_url, **{"oidc.issuer": where})
            assert found(settings)["identity"].verdict == "wrong"
    app = FastAPI()
    with serving(app) as port:
        issuer = f"http://127.0.0.1:{port}"

        @app.get("/.well-known/openid-configuration")
        def discovery() -> dict[str, str]:
            ends = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            return {"issuer": issuer} | {name: f"{issuer}/{name}" for name in ends}

        settings = settings_of(tmp_path, sqlite_url, **{"oidc.issuer": issuer})
        assert found(settings)["identity"] == Finding("identity", "ok", f"{issuer} tells how to sign in")


def test_a_collector_that_does_not_answer_is_wrong(tmp_path, sqlite_url) -> None:
    settings = settings_of(tmp_path, sqlite_url, otlp_endpoint=f"http://127.0.0.1:{free_port()}")
    assert found(settings)["traces"].verdict == "wrong"
