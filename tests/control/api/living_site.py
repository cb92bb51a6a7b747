"""A store that looks as if a loop had turned for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update

from kvandal.control.store.audit import record
from kvandal.control.store.database import Store
from kvandal.control.store.ledger import Posting, post
from kvandal.control.store.tables.loop import CYCLES, JOB_EVENTS, JOBS, LOANS, SITE_NOW, SITE_TICKS
from kvandal.control.store.tables.metadata import new_id

JOB = {
    "tenant": "norway-research",
    "project": "arctic",
    "demand": "national",
    "gpus": 8,
    "limit_s": 3600,
    "name": "first",
}
"""As somebody submits it."""
START = datetime(2027, 1, 1, tzinfo=UTC)
VIEW: dict[str, Any] = {
    "at_utc": "2027-01-01T00:02:00Z",
    "cycle": 2,
    "engine": {"name": "twin", "reachable": True, "observed_utc": "2027-01-01T00:02:00Z"},
    "fail_safe": None,
    "leader": "server-1",
    "site_power_mw": 1.25,
    "it_power_mw": 1.1,
    "envelope_mw": 2.0,
    "envelope_reason": "grid connection",
    "pue": 1.136,
    "gpus": {"installed": 720, "broken": 4, "free": 500, "firm": 100, "assured": 80, "lent": 36},
    "jobs": {"running": 12, "queued": 3, "queued_gpus": 24, "recalled": 1},
    "caps": {"firm": 1.0, "assured": 1.0, "lent": 0.8},
    "water": {
        "tcs_supply_c": 32.0,
        "tcs_return_c": 41.0,
        "facility_supply_c": 29.0,
        "facility_return_c": 38.0,
    },
    "ambient_c": -4.0,
    "heat": {
        "wanted_mw": 0.1,
        "delivered_mw": 0.1,
        "customers": [{"name": "greenhouse", "wanted_mw": 0.1, "delivered_mw": 0.1}],
    },
    "price_eur_per_mwh": 31.5,
    "carbon_g_per_kwh": None,
    "tenants": [
        {
            "name": name,
            "title": name,
            "group": None,
            "tier": "assured",
            "guarantee": 3,
            "deserved": 14,
            "ceiling": 36,
        }
        | {"own": 8, "on_loan": 0, "lent_out": 4, "queued_jobs": 1, "queued_gpus": 8, "running_jobs": 1}
        for name in ("norway-research", "uk", "offtaker")
    ],
    "nodes_down": [{"node": "tray-00003", "state": "down", "reason": "GPU fell off the bus"}],
}


def turn(store: Store, version: int, **changes: Any) -> None:
    """Tell the site anew, as a turn of the loop does."""
    with store.begin() as tx:
        row = {"version": version, "at_utc": START + timedelta(minutes=version), "view": VIEW | changes}
        if tx.execute(update(SITE_NOW).where(SITE_NOW.c.id == 1).values(**row)).rowcount == 0:
            tx.execute(insert(SITE_NOW).values(id=1, **row))


def job_row(tenant: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": new_id("job"),
        "tenant": tenant,
        "project": "arctic",
        "person": "person_1",
        "name": f"job of {tenant}",
        "demand": "national",
        "gpus": 8,
        "limit_s": 3600,
        "state": state,
        "submitted_utc": START,
        **more,
    }


def populate(store: Store) -> dict[str, str]:
    """Fill a store with jobs, loans, cycles, ticks and books; returns ids of jobs by tenant."""
    turn(store, 2)
    rows = [
        job_row("norway-research", "queued", reason_rule="K2", reason="no room in its share"),
        job_row(
            "uk",
            "running",
            tier="lent",
            attempt=1,
            started_utc=START,
            shares=[["tray-00001", 4], ["tray-00002", 4]],
        ),
        job_row("offtaker", "finished", ended_utc=START),
    ]
    with store.begin() as tx:
        tx.execute(insert(JOBS), rows[:1])
        tx.execute(insert(JOBS), rows[1:2])
        tx.execute(insert(JOBS), rows[2:])
        for at_s, kind, rule in ((0, "accepted", ""), (1, "queued", ""), (60, "held", "K2")):
            at = START + timedelta(seconds=at_s)
            row = {
                "job": rows[0]["id"],
                "at_utc": at,
                "cycle": 1,
                "kind": kind,
                "rule": rule,
                "detail": {"gpus": 8},
            }
            tx.execute(insert(JOB_EVENTS), row)
        loan = {"job": rows[1]["id"], "lender": "offtaker", "borrower": "uk", "gpus": 8, "state": "lent"}
        tx.execute(insert(LOANS), loan | {"started_utc": START})
        for number in (1, 2):
            cycle = {"number": number, "at_utc": START + timedelta(minutes=number), "time_s": 60 * number}
            content = {
                "inbox_to": 0,
                "cursor": "",
                "inputs": [["start", 1]],
                "actions": [["P1", 1]],
                "state_digest": "",
            }
            tx.execute(insert(CYCLES), cycle | content)
        for minute in range(5):
            tick = {"time_s": 60 * minute, "at_utc": START + timedelta(minutes=minute), "site_power_mw": 1.0}
            power = {"it_power_mw": 0.9, "envelope_mw": 2.0, "heat_export_mw": 0.1}
            gpus = {"gpus_firm": 1, "gpus_assured": 2, "gpus_lent": 3, "queued_gpus": 4}
            tx.execute(insert(SITE_TICKS), tick | power | gpus)
        for day in (0, 1):
            moved = [Posting("tenant:uk:use", "gpu_s", 3600), Posting("site:use", "gpu_s", -3600)]
            post(tx, START + timedelta(days=day), "use of an hour", moved)
        record(tx, "loop", "site.start", "site", {})
    return {row["tenant"]: row["id"] for row in rows}
