"""A site in a store as the loop leaves it, for tests of what only reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update

from kvandal.control.store.database import Store
from kvandal.control.store.tables.loop import CYCLES, INBOX, JOB_EVENTS, JOBS, LOANS, SITE_NOW, SITE_TICKS
from kvandal.control.store.tables.metadata import new_id

NOW = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
TENANTS = (
    ("offtaker", "Off-taker", None, "firm", 400, 400, 400, 390, 0, 0, 0, 0, 4),
    ("norway-startups", "Norwegian startups", "norway", "assured", 80, 160, 240, 96, 0, 24, 2, 24, 3),
    ("norway-research", "Norwegian research", "norway", "assured", 60, 120, 200, 72, 8, 0, 1, 8, 2),
    ("uk", "United Kingdom", None, "lent", 0, 0, 96, 0, 24, 0, 3, 48, 1),
)
NUMBERS = (
    "guarantee",
    "deserved",
    "ceiling",
    "own",
    "on_loan",
    "lent_out",
    "queued_jobs",
    "queued_gpus",
    "running_jobs",
)
HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>"


def view_of(**changes: Any) -> dict[str, Any]:
    """The site now."""
    return {
        "at_utc": NOW.isoformat(),
        "cycle": 4711,
        "engine": {"name": "twin", "reachable": True, "observed_utc": NOW.isoformat()},
        "fail_safe": None,
        "leader": "server-1",
        "site_power_mw": 1.234,
        "it_power_mw": 1.1,
        "envelope_mw": 1.5,
        "envelope_reason": "grid connection",
        "pue": 1.122,
        "gpus": {"installed": 720, "broken": 8, "free": 122, "firm": 390, "assured": 176, "lent": 24},
        "jobs": {"running": 10, "queued": 6, "queued_gpus": 80, "recalled": 1},
        "caps": {"firm": 1.0, "assured": 1.0, "lent": 0.8},
        "water": {
            "tcs_supply_c": 35.1,
            "tcs_return_c": 46.2,
            "facility_supply_c": 31.0,
            "facility_return_c": None,
        },
        "ambient_c": -3.5,
        "heat": {
            "wanted_mw": 0.9,
            "delivered_mw": 0.7,
            "customers": [{"name": "district", "wanted_mw": 0.9, "delivered_mw": 0.7}],
        },
        "price_eur_per_mwh": 41.5,
        "carbon_g_per_kwh": 18.0,
        "tenants": [
            {"name": name, "title": title, "group": group, "tier": tier}
            | dict(zip(NUMBERS, numbers, strict=True))
            for name, title, group, tier, *numbers in TENANTS
        ],
        "nodes_down": [{"node": "r1n03", "state": "down", "reason": "leak"}],
    } | changes


def write_site(store: Store, version: int = 1, **changes: Any) -> None:
    """Write the site as it is now, as the loop does: one row, a new version each time."""
    row = {"version": version, "at_utc": NOW + timedelta(seconds=version), "view": view_of(**changes)}
    with store.begin() as tx:
        if tx.execute(update(SITE_NOW).where(SITE_NOW.c.id == 1).values(**row)).rowcount == 0:
            tx.execute(insert(SITE_NOW).values(id=1, **row))


def job_row(tenant: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    """One job."""
    return {
        "id": new_id("job"),
        "tenant": tenant,
        "project": f"{tenant}-project",
        "person": f"person_{tenant}",
        "name": name,
        "demand": "national",
        "gpus": 8,
        "limit_s": 3600,
        "state": state,
        "reason_rule": "",
        "reason": "",
        "tier": "assured" if state == "running" else "",
        "shares": [["r1n01", 4], ["r1n02", 4]] if state == "running" else [],
        "submitted_utc": NOW - timedelta(minutes=30),
        "started_utc": NOW - timedelta(minutes=10) if state == "running" else None,
    } | more


def write_jobs(store: Store) -> dict[str, str]:
    """Jobs of three tenants, with their history and a loan; ids by name."""
    rows = [
        job_row("norway-startups", "runs", "running"),
        job_row(
            "norway-startups",
            HOSTILE,
            "queued",
            reason_rule="Q1",
            reason="no tray is free for 8 GPUs <b>now</b>",
        ),
        job_row("norway-research", "waits", "queued", reason_rule="Q1", reason="32 GPUs asked, 8 free"),
        job_row("uk", "secret-of-uk", "queued", reason_rule="Q1", reason="nothing to lend"),
        job_row("uk", "borrows", "running", tier="lent"),
    ]
    with store.begin() as tx:
        for row in rows:
            tx.execute(insert(JOBS).values(**row))
        runs, hostile, waits, _, borrows = (row["id"] for row in rows)
        for job, kind, rule, text, minutes in (
            (runs, "accepted", "", "", 30),
            (runs, "started", "S1", "8 GPUs on 2 trays", 10),
            (hostile, "accepted", "", "", 30),
            (hostile, "held", "Q1", "waits <i>still</i>", 20),
            (waits, "accepted", "", "", 30),
        ):
            at = NOW - timedelta(minutes=minutes)
            tx.execute(
                insert(JOB_EVENTS).values(
                    job=job, at_utc=at, cycle=1, kind=kind, rule=rule, detail={"text": text}
                )
            )
        tx.execute(
            insert(LOANS).values(
                job=borrows, lender="norway-startups", borrower="uk", gpus=8, state="lent", started_utc=NOW
            )
        )
    return {row["name"]: row["id"] for row in rows}


def write_day(store: Store) -> None:
    """A day of ticks, one every ten minutes."""
    with store.begin() as tx:
        for tick in range(144):
            at = NOW - timedelta(minutes=10 * (144 - tick))
            tx.execute(
                insert(SITE_TICKS).values(
                    time_s=tick * 600, at_utc=at, site_power_mw=1.0 + 0.2 * (tick % 7) / 7, it_power_mw=0.9,
                    envelope_mw=1.5 if tick < 100 else 1.3, heat_export_mw=0.5, facility_supply_c=31.0,
                    price_eur_per_mwh=40.0, carbon_g_per_kwh=18.0, gpus_firm=390, gpus_assured=150 + tick % 20,
                    gpus_lent=24, queued_gpus=80,
                )
            )  # fmt: skip


def write_commands(store: Store, asked: int, taken: int) -> None:
    """Commands in the inbox, of which the loop has taken some."""
    with store.begin() as tx:
        for _ in range(asked):
            tx.execute(insert(INBOX).values(at_utc=NOW, by="person_x", kind="envelope", body={}))
        tx.execute(
            insert(CYCLES).values(
                number=1,
                at_utc=NOW,
                time_s=0,
                inbox_to=taken,
                cursor="",
                inputs=[],
                actions=[],
                state_digest="",
            )
        )
