"""What `kvandal doctor` looks at: is this deployment as it should be, point by point, each with words."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select, text

from kvandal.compiled import is_cached
from kvandal.control.identity.provider import Provider, ProviderUnavailableError
from kvandal.control.operations.reading import site_now
from kvandal.control.operations.schema import expected_triggers, triggers
from kvandal.control.settings import Settings, SlurmSettings
from kvandal.control.store import schema
from kvandal.control.store.database import Store, open_store
from kvandal.control.store.errors import StoreError
from kvandal.control.store.leader import who_leads
from kvandal.control.store.tables.loop import SITE
from kvandal.control.store.verification import verify
from kvandal.engines.live.protocol import Engine, EngineUnreachableError
from kvandal.errors import InputError, KvandalError
from kvandal.scenario.loading import from_resolved, load

Verdict = Literal["ok", "note", "wrong"]
LEAST_FREE_BYTES = 1 << 30
LEAST_FREE_SHARE = 0.02
"""Less room than this on the disk of the store is wrong."""
MOST_SKEW_S = 5.0
"""Clocks of this machine and of the database may differ by so much."""
ANSWER_S = 5.0
"""Longest wait for an answer over HTTP."""
TURNING_S = 3.0
"""How long the loop is watched, where the server cannot be asked."""
GPUS_PER_NODE, NODES_PER_RACK = 4, 18


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : what
    verdict : ok, note (not wrong, but to be known), wrong
    words : what was found
    remedy : what to do about it; empty where nothing is to be done

    """

    name: str
    verdict: Verdict
    words: str
    remedy: str = ""


def diagnose(settings: Settings, slurm: Callable[[SlurmSettings], Engine]) -> Iterator[Finding]:
    """Look at a deployment, point by point.

    Parameters
    ----------
    settings : of the service
    slurm : makes the engine of a Slurm cluster from the settings

    """
    yield Finding(
        "settings",
        "ok",
        f"engine {settings.engine}, {settings.base_url}, {'local mode' if settings.is_local else 'signed-in people'}",
    )
    yield from _secrets(settings)
    yield _disk(settings)
    yield _kernels()
    store: Store | None = None
    try:
        store = open_store(settings.database_url, create=False)
    except (StoreError, InputError) as error:
        yield Finding("database", "wrong", str(error), "kvandal serve makes a new one; see its log")
    try:
        yield from _scenario(settings, store)
        if store is not None:
            yield from _database(store)
            yield from _loop(settings, store)
        yield from _engine(settings, store, slurm)
    finally:
        if store is not None:
            store.close()
    yield from _provider(settings)
    if settings.otlp_endpoint is not None:
        yield _reached("traces", settings.otlp_endpoint)


def _secrets(settings: Settings) -> Iterator[Finding]:
    """See whether secrets are there and nobody else's to read."""
    oidc, slurm = settings.oidc, settings.slurm
    files = {
        "oidc.client_secret_file": oidc.client_secret_file if oidc is not None else None,
        "slurm.token_file": slurm.token_file if slurm is not None else None,
        "database_password_file": settings.database_password_file,
        "metrics_token_file": settings.metrics_token_file,
    }
    for key, file in files.items():
        if file is not None:
            yield secret_file(key, file)


def secret_file(key: str, file: Path) -> Finding:
    """Look at the file of a secret: it can be read, holds something, and only its owner may read it."""
    try:
        held, mode = file.read_text(encoding="utf-8").strip(), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "is not text"
        return Finding(key, "wrong", f"{file}: {told}", "write the secret there, readable by the service")
    if not held:
        return Finding(key, "wrong", f"{file}: is empty", "write the secret there")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(
            key, "wrong", f"{file}: others may read it ({stat.filemode(mode)})", f"chmod 600 {file}"
        )
    return Finding(key, "ok", f"{file}: only its owner reads it")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            "disk", "wrong", f"{there}: cannot be written to", "give it to the user of the service"
        )
    room = shutil.disk_usage(there)
    words = f"{there}: {room.free / 1e9:.1f} GB free of {room.total / 1e9:.1f}"
    if room.free < LEAST_FREE_BYTES or room.free < room.total * LEAST_FREE_SHARE:
        return Finding("disk", "wrong", words, "make room: with a full disk nothing is accepted")
    return Finding("disk", "ok", words)


def _kernels() -> Finding:
    if is_cached("live"):
        return Finding("kernels", "ok", "compiled")
    return Finding(
        "kernels",
        "note",
        "not compiled yet: the first start takes about half a minute longer",
        "kvandal run stargate-norway --days 1",
    )


def _scenario(settings: Settings, store: Store | None) -> Iterator[Finding]:
    try:
        wanted = load(settings.scenario)
    except KvandalError as error:
        yield Finding("scenario", "wrong", str(error), "correct scenario in the settings")
        return
    row = _site(store)
    if row is None or row.scenario_name == wanted.name:
        yield Finding("scenario", "ok", f"{wanted.name}: {wanted.site.racks:,} racks")
    else:
        words = (
            f"the store is that of {row.scenario_name}, the settings name {wanted.name}; the store's holds"
        )
        yield Finding("scenario", "note", words, "give a new site a database of its own")


def _site(store: Store | None) -> Any:
    if store is None:
        return None
    with suppress(StoreError), store.read() as tx:
        return tx.execute(select(SITE)).one_or_none()
    return None


def _database(store: Store) -> Iterator[Finding]:
    """See whether it answers, its tables are ours, it refuses to forget, its trail holds, its clock is ours."""
    try:
        with store.read() as tx:
            if store.dialect == "postgresql":
                version = tx.scalar(text("SHOW server_version"))
                skew = (
                    float(tx.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
                    - time.time()
                )
            else:
                version, skew = tx.scalar(text("SELECT sqlite_version()")), 0.0
            revision = schema.revision(tx)
            found = triggers(tx)
            verdict = verify(tx)
    except StoreError as error:
        yield Finding("database", "wrong", str(error), "see the log of the database")
        return
    yield Finding("database", "ok", f"{store.name}: {store.dialect} {version}, tables of version {revision}")
    missing = sorted(expected_triggers(store.dialect) - found)
    if missing:
        words = f"not enforced: {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        yield Finding(
            "append-only", "wrong", words, "somebody removed triggers; find out who, and restore a backup"
        )
    else:
        yield Finding("append-only", "ok", "the database refuses to change or remove what was written")
    if verdict.sound:
        words = f"{verdict.rows:,} rows hang together, the last is {verdict.head_hash[:12]}"
        yield Finding("audit", "ok", f"{words}; {verdict.transactions:,} postings add up")
    else:
        yield Finding("audit", "wrong", "; ".join(verdict.findings[:3]), "kvandal audit verify tells all")
    if store.dialect != "postgresql":
        yield Finding("clock", "ok", "the database is on this machine")
    elif abs(skew) > MOST_SKEW_S:
        yield Finding(
            "clock", "wrong", f"the database's is {skew:+.1f} s off", "let both follow the same time servers"
        )
    else:
        yield Finding("clock", "ok", f"the database's is {skew:+.1f} s off")


def _loop(settings: Settings, store: Store) -> Iterator[Finding]:
    """See whether somebody leads and the loop turns."""
    try:
        leader = who_leads(store)
    except StoreError as error:
        yield Finding("leader", "wrong", str(error))
        return
    ready = _readiness(settings)
    if leader is None:
        remedy = "kvandal serve, or systemctl start kvandal"
        yield Finding("leader", "note", "nobody leads: no server turns the loop", remedy)
    else:
        yield Finding("leader", "ok", leader)
    if ready is not None:
        checks = {one["name"]: one for one in ready["checks"]}
        loop = checks["loop"]
        yield Finding("server", "ok", f"{settings.base_url}: {ready['status']}")
        yield Finding(
            "cycle", "ok" if loop["ok"] else "wrong", loop["words"], "" if loop["ok"] else "see its log"
        )
        return
    yield Finding("server", "note" if leader is None else "ok", f"none answers at {settings.base_url}")
    if leader is not None:
        before = _version(store)
        time.sleep(max(TURNING_S, 2 * settings.cycle_s))
        after = _version(store)
        if before != after:
            yield Finding("cycle", "ok", f"the loop turns: cycle {after}")
        else:
            words = f"the loop stands still at cycle {after}"
            yield Finding("cycle", "wrong", words, "see the log of the server that leads")


def _version(store: Store) -> int | None:
    with store.read() as tx:
        now = site_now(tx)
    return None if now is None else now.version


def _readiness(settings: Settings) -> dict[str, Any] | None:
    """Ask the server of these settings whether it is ready; None: nobody answers there."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        answer = httpx.get(f"http://{host}:{settings.port}/readyz", timeout=ANSWER_S)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, dict) and "checks" in found else None


def _engine(
    settings: Settings, store: Store | None, slurm: Callable[[SlurmSettings], Engine]
) -> Iterator[Finding]:
    """See whether it answers and has the nodes that the site was made with."""
    row = _site(store)
    if row is not None and row.engine != settings.engine:
        words = f"the store's site runs on {row.engine}, the settings say {settings.engine}"
        yield Finding("engine", "wrong", words, "give a site on another engine a database of its own")
        return
    if settings.engine == "twin" or settings.slurm is None:
        pace = "in real time" if settings.speed == 1 else f"{settings.speed:g} times as fast as time"
        yield Finding("engine", "ok", f"the twin, {pace}")
        return
    try:
        engine = slurm(settings.slurm)
        try:
            seen = engine.observe()
        finally:
            engine.close()
    except (EngineUnreachableError, KvandalError) as error:
        yield Finding(
            "engine",
            "wrong",
            f"Slurm does not answer: {error}",
            "look at slurmctld, slurmrestd and the token",
        )
        return
    down = [node for node in seen.nodes if node.state != "up"]
    yield Finding("engine", "ok", f"Slurm answers: {len(seen.nodes):,} nodes, {len(down):,} of them not up")
    yield nodes_fit(
        [(node.name, node.gpus) for node in seen.nodes],
        _racks(settings, row),
        None if row is None else row.nodes,
    )


def _racks(settings: Settings, row: Any) -> int:
    scenario = load(settings.scenario) if row is None else from_resolved(row.scenario)
    return scenario.site.racks


def nodes_fit(nodes: list[tuple[str, int]], racks: int, known: list[str] | None) -> Finding:
    """Compare the engine's nodes (name and GPUs) with the racks of the scenario and with those that the site was made with."""
    remedy = "correct the nodes in slurm.conf, or site.racks of the scenario"
    trays, odd = racks * NODES_PER_RACK, [name for name, gpus in nodes if gpus != GPUS_PER_NODE]
    if not nodes or len(nodes) > trays:
        return Finding(
            "nodes",
            "wrong",
            f"{len(nodes):,} nodes, the scenario has {trays:,} trays in {racks:,} racks",
            remedy,
        )
    if odd:
        return Finding(
            "nodes", "wrong", f"{len(odd):,} nodes have not {GPUS_PER_NODE} GPUs, e.g. {odd[0]}", remedy
        )
    if known is not None:
        gone, new = (
            sorted(set(known) - {name for name, _ in nodes}),
            sorted({name for name, _ in nodes} - set(known)),
        )
        if gone or new:
            words = f"{len(gone):,} of the site's are gone, {len(new):,} are new, e.g. {(gone + new)[0]}"
            return Finding("nodes", "wrong", words, remedy)
    if len(nodes) < trays:
        return Finding("nodes", "note", f"{len(nodes):,} of {trays:,} trays; the others count as out of use")
    return Finding("nodes", "ok", f"{len(nodes):,}, as the scenario has")


def _provider(settings: Settings) -> Iterator[Finding]:
    if settings.oidc is None:
        yield Finding(
            "identity",
            "note",
            "local mode: everybody at this machine may do everything",
            "a table [oidc] in the settings",
        )
        return
    provider = Provider(settings.oidc, f"{settings.base_url}/v1/callback")
    try:
        provider.metadata()
    except (ProviderUnavailableError, KvandalError) as error:
        yield Finding("identity", "wrong", str(error), "correct oidc.issuer, or look at the provider")
    else:
        yield Finding("identity", "ok", f"{settings.oidc.issuer} tells how to sign in")
    finally:
        provider.close()


def _reached(name: str, url: str) -> Finding:
    parts = urlsplit(url)
    try:
        httpx.head(f"{parts.scheme}://{parts.netloc}", timeout=ANSWER_S)
    except httpx.HTTPError as error:
        return Finding(
            name,
            "wrong",
            f"{url}: does not answer ({type(error).__name__})",
            "start the collector, or take otlp_endpoint out",
        )
    return Finding(name, "ok", f"{url} answers")
