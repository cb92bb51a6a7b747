"""What a turn is told: commands of people from the inbox, events of the engine, what telemetry says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from kvandal.control.loop.told import Told
from kvandal.control.store.tables.loop import INBOX, JOBS
from kvandal.engines.live.protocol import EngineEvent, Observation

MOST = 250
"""Rows of the inbox that one turn takes: with what they bring about, a turn stays short; the rest is for the next, at once."""
SUBMITTED = ("id", "tenant", "project", "demand", "gpus", "limit_s", "run_time_s")


def commands(tx: Connection, after: int) -> Sequence[Any]:
    """Return the next rows of the inbox."""
    return tx.execute(select(INBOX).where(INBOX.c.id > after).order_by(INBOX.c.id).limit(MOST)).all()


def submitted(tx: Connection, rows: Iterable[Any]) -> dict[str, Any]:
    """Return the jobs that rows of the inbox submit, by their ids."""
    ids = [row.body["job"] for row in rows if row.kind == "submit"]
    found: dict[str, Any] = {}
    columns = [JOBS.c[name] for name in SUBMITTED]
    for first in range(0, len(ids), 500):
        for row in tx.execute(select(*columns).where(JOBS.c.id.in_(ids[first : first + 500]))):
            found[row.id] = row
    return found


def told_by(
    rows: Sequence[Any], jobs: Mapping[str, Any], now_s: int, trays: Mapping[str, int], epoch_utc: datetime
) -> tuple[list[Told], list[dict[str, Any]]]:
    """Return what rows of the inbox tell the state, and the orders that they ask for directly.

    Parameters
    ----------
    rows, jobs : of the inbox, and the jobs that they submit
    now_s : now [s]
    trays : numbers of the trays by the engine's names
    epoch_utc : second 0 of the loop

    """
    told: list[Told] = []
    orders: list[dict[str, Any]] = []
    for row in rows:
        body = row.body
        if row.kind == "submit" and body["job"] in jobs:
            job = jobs[body["job"]]
            told.append(
                {"kind": "submit", "time_s": now_s, "job": job.id}
                | {name: getattr(job, name) for name in SUBMITTED[1:]}
            )
        elif row.kind == "cancel":
            told.append({"kind": "cancel", "time_s": now_s, "job": body["job"]})
        elif row.kind == "envelope":
            value = body["envelope_mw"]
            told.append(
                {"kind": "set_point", "time_s": now_s, "value_kw": None if value is None else value * 1000.0}
                | ({"until_utc": body["until_utc"]} if body.get("until_utc") else {})
            )
        elif row.kind == "grant":
            told.append(
                {"kind": "change", "time_s": now_s, "changes": {f'grants."{body["grant"]}"': as_grant(body)}}
            )
        elif row.kind == "grant_end":
            end_utc = epoch_utc.timestamp() + now_s
            end = datetime.fromtimestamp(end_utc, UTC).replace(microsecond=0).isoformat()
            told.append(
                {"kind": "change", "time_s": now_s, "changes": {f'grants."{body["grant"]}".end_utc': end}}
            )
        elif row.kind == "policy":
            told.append({"kind": "change", "time_s": now_s, "changes": body["changes"]})
        elif row.kind == "drain" and body["node"] in trays:
            drained = body["reason"] is not None
            tray = {"time_s": now_s, "tray": trays[body["node"]]}
            told.append(
                {"kind": "tray_down", "lost": False, **tray} if drained else {"kind": "tray_up", **tray}
            )
            orders.append({"kind": "drain", "job": None, "attempt": 0, "body": body})
    return told, orders


def as_grant(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a grant of the office as the scenario has grants."""
    keys = (
        "tenant",
        "project",
        "gpu_hours",
        "start_utc",
        "end_utc",
        "expiry",
        "carry_over_fraction",
        "demand",
    )
    return {key: body[key] for key in keys if body.get(key) not in (None, [], "")}


def told_by_engine(
    events: Iterable[EngineEvent], trays: Mapping[str, int], epoch_utc: datetime
) -> list[Told]:
    """Return what events of the engine tell the state.

    Parameters
    ----------
    events, trays, epoch_utc : of the engine, of its nodes, of the loop

    """
    told: list[Told] = []
    for event in events:
        time_s = math.ceil((event.at_utc - epoch_utc).total_seconds() - 1e-6)
        about = {"time_s": time_s, "job": event.key, "attempt": event.attempt}
        if event.kind == "ended":
            kinds = {"completed": "ended", "failed": "failed", "timeout": "timeout", "cancelled": "cancel"}
            told.append({"kind": kinds.get(event.outcome or "completed", "interrupted"), **about})
        elif event.kind == "held":
            told.append({"kind": "interrupted", **about})
        elif event.kind == "node_down" and event.node in trays:
            told.append({"kind": "tray_down", "time_s": time_s, "tray": trays[event.node], "lost": False})
        elif event.kind == "node_up" and event.node in trays:
            told.append({"kind": "tray_up", "time_s": time_s, "tray": trays[event.node]})
    return told


def differences(
    observation: Observation, down: Mapping[int, bool], trays: Mapping[str, int], now_s: int
) -> list[Told]:
    """Return what an observation of nodes tells beyond what is known: trays that are down or up again.

    Parameters
    ----------
    observation : all that the engine knows
    down : whether trays are known to be out of use, by number
    trays : numbers of trays by the engine's names
    now_s : now [s]

    """
    told: list[Told] = []
    for node in observation.nodes:
        tray = trays.get(node.name)
        if tray is None:
            continue
        if node.state != "up" and not down[tray]:
            told.append({"kind": "tray_down", "time_s": now_s, "tray": tray, "lost": node.state == "down"})
        elif node.state == "up" and down[tray]:
            told.append({"kind": "tray_up", "time_s": now_s, "tray": tray})
    return told
