"""Grants of a scenario as the tables that the loop keeps books in."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from kvandal.policy.budget import FAR, GRANT, GRANT_PERIOD, MILLION
from kvandal.scenario.grants import Grant, GrantPeriod, periods_of
from kvandal.scenario.model import Scenario

Array = Any


def grant_tables(scenario: Scenario) -> tuple[Array, Array]:
    """Grants and their periods in order of the scenario: GRANT and GRANT_PERIOD tables, nothing granted yet."""
    run, names = scenario.run, list(scenario.tenants)
    grants = np.zeros(len(scenario.grants), GRANT)
    rows: list[tuple[int, GrantPeriod]] = []
    for index, grant in enumerate(scenario.grants.values()):
        found = periods_of(grant, run.start_utc, run.days, scenario.site.time_zone)
        _fill(grants[index], scenario, grant, names.index(grant.tenant))
        grants[index]["first"], grants[index]["last"] = len(rows), len(rows) + len(found) - 1
        grants[index]["next_s"] = grants[index]["start_s"] = max(0, found[0].start_s) if found else FAR
        rows += [(index, period) for period in found]
    periods = np.zeros(len(rows), GRANT_PERIOD)
    for row, (index, period) in zip(periods, rows, strict=True):
        after = grants[index]["lose_after_millionths"]
        lose_s = period.start_s + math.ceil((period.end_s - period.start_s) * int(after) / MILLION)
        row["grant"], row["brings"] = index, period.gpu_s
        row["start_s"], row["end_s"] = period.start_s, period.end_s
        row["lose_s"] = lose_s if after and lose_s >= 0 else FAR
    return grants, periods


def project_number(name: str) -> int:
    """Return the number that stands for a project in the tables: 0 for no name, else 62 bits of its SHA-256.

    >>> project_number(""), project_number("a") == project_number("a")
    (0, True)
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 2 if name else 0


def _fill(row: Array, scenario: Scenario, grant: Grant, tenant: int) -> None:
    row["tenant"], row["period"], row["head"] = tenant, -1, -1
    row["project"] = project_number(grant.project)
    row["check_s"] = row["notice_s"] = row["end_s"] = FAR
    row["is_hard"] = grant.expiry == "hard" and grant.end_utc is not None
    row["carry_millionths"] = round(grant.carry_over_fraction * MILLION)
    row["lose_after_millionths"] = round((grant.lose_after_fraction or 0.0) * MILLION)
    row["lose_below_millionths"] = round((grant.lose_below_fraction or 0.0) * MILLION)
    if grant.end_utc is not None:
        row["end_s"] = int((grant.end_utc - scenario.run.start_utc).total_seconds())
        if row["is_hard"]:
            row["notice_s"] = row["end_s"] - scenario.tenants[grant.tenant].notice_s


def grant_order(scenario: Scenario, grants: Array) -> Array:
    """Grants that a job may draw on, in order of expiry: int64 (tenants, classes, most + 1), filled up with -1; read-only."""
    tenants, classes = list(scenario.tenants), list(scenario.demand)
    by_expiry = np.lexsort((np.arange(len(grants)), grants["end_s"])).tolist()
    entries = list(scenario.grants.values())
    order = np.full((max(len(tenants), 1), max(len(classes), 1), len(grants) + 1), -1, np.int64)
    for tenant, name in enumerate(tenants):
        for column, demand in enumerate(classes):
            mine = [g for g in by_expiry if entries[g].tenant == name and entries[g].binds(demand)]
            order[tenant, column, : len(mine)] = mine
    order.flags.writeable = False
    return order
