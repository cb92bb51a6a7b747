"""The answer: both sides beside each other, tenant by tenant, with intervals, and the headlines in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from kvandal.control.loop.site import LiveSite
from kvandal.control.whatif.asked import Question
from kvandal.control.whatif.measures import OF_SITE, OF_TENANTS, Before, Values
from kvandal.runs.metrics import Metric
from kvandal.runs.paired import is_sure, paired, signed_span, verdict
from kvandal.scenario.changes import split_key

Array = Any
Document = dict[str, Any]

SHIFT_S = 600
"""A queued job that starts earlier or later by more than this is told of [s]."""
MOST_JOBS = 200
"""Of these, the largest shifts are told one by one."""
DIGITS = 4


def changes_told(scenario: Any, question: Question) -> list[Document]:
    """Tell what is changed, from what to what."""
    return [
        {"key": key, "from": _value_at(scenario, split_key(key)), "to": value}
        for key, value in question.changes.items()
    ]


def _value_at(scenario: Any, steps: Sequence[str]) -> Any:
    """Value of a key in the scenario in force, with its defaults."""
    found: Any = scenario
    for step in steps:
        found = found.get(step) if isinstance(found, Mapping) else getattr(found, step, None)
        if found is None:
            break
    if isinstance(found, str | int | float | bool) or found is None:
        return found
    return list(found) if isinstance(found, tuple) else str(found)


def rows_of(base: Sequence[Values], changed: Sequence[Values]) -> list[Document]:
    """Compare the sides in every number, seed by seed: rows as :func:`kvandal.runs.paired.paired` gives them."""
    keys = list(base[0])
    return [
        {"tenant": tenant, "metric": metric}
        | paired([one[tenant, metric] for one in base], [one[tenant, metric] for one in changed])
        for tenant, metric in keys
    ]


def told_rows(rows: Sequence[Mapping[str, Any]], site: LiveSite) -> tuple[list[Document], Document]:
    """Tell the rows of each tenant and of the site."""
    tenants = site.scenario.tenants
    names = list(dict.fromkeys(row["tenant"] for row in rows if row["tenant"] is not None))
    by = {(row["tenant"], row["metric"]): row for row in rows}

    def measures(tenant: str | None, metrics: Sequence[Metric]) -> Document:
        return {
            one.key: {
                "base": _number(row["base"]),
                "changed": _number(row["variant"]),
                "difference": _number(row["difference"]),
                "low": _number(row["low"]),
                "high": _number(row["high"]),
            }
            for one in metrics
            if (row := by[tenant, one.key]) is not None
        }

    told = [
        {
            "tenant": name,
            "group": tenants[name].parent,
            "tier": tenants[name].tier,
            "measures": measures(name, OF_TENANTS),
        }
        for name in names
    ]
    return told, measures(None, OF_SITE)


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, DIGITS) + 0.0


def queued_told(
    site: LiveSite, earlier: Before, base: Sequence[Array], changed: Sequence[Array], until_s: int
) -> Document:
    """Tell which jobs that wait now start earlier or later: the middle shift of the futures, beyond the end counts as the end."""
    rows = np.flatnonzero(earlier.state == 1)
    at_s = site.now_s
    if not len(rows):
        return {"earlier": 0, "later": 0, "shift_s": SHIFT_S, "jobs": [], "left_off": 0}
    sides = [np.stack(side) for side in (base, changed)]
    within = [np.where(np.isnan(side), until_s, side) for side in sides]
    shift_s = np.median(within[1] - within[0], axis=0)
    jobs = site.state.jobs[rows]
    moved = np.flatnonzero(np.abs(shift_s) > SHIFT_S)
    moved = moved[np.argsort(-np.abs(shift_s[moved]), kind="stable")]

    def start(side: int, index: int) -> str | None:
        middle = float(np.median(within[side][:, index]))
        if middle >= until_s:
            return None
        return (site.scenario.run.start_utc + timedelta(seconds=round(middle))).isoformat()

    told = [
        {
            "job": site.ids[int(rows[index])],
            "tenant": earlier.tenants[int(jobs["tenant"][index])],
            "gpus": int(jobs["asked_gpus"][index]),
            "waited_s": at_s - int(jobs["submit_s"][index]),
            "base_start_utc": start(0, index),
            "changed_start_utc": start(1, index),
            "shift_s": round(float(shift_s[index])),
        }
        for index in moved[:MOST_JOBS].tolist()
    ]
    return {
        "earlier": int((shift_s < -SHIFT_S).sum()),
        "later": int((shift_s > SHIFT_S).sum()),
        "shift_s": SHIFT_S,
        "jobs": told,
        "left_off": max(0, len(moved) - MOST_JOBS),
    }


def headlines(
    rows: Sequence[Mapping[str, Any]], queued: Mapping[str, Any], seeds: int, days: float
) -> list[str]:
    """Say in a few sentences what comes of it."""
    if all(row["difference"] in (0, None) and row["base"] == row["variant"] for row in rows):
        return ["Nothing changes for anybody."]
    by = {row["metric"]: row for row in rows if row["tenant"] is None}
    told = verdict(rows, seeds)
    found = [told["gains_text"], told["loses_text"]]
    found += [
        sentence
        for sentence in (
            _site(by["power_mean_mw"], seeds, "Site power, mean", "MW"),
            _site(by["energy_cost_eur"], seeds, f"Energy over {days:g} day{'' if days == 1 else 's'}", "EUR"),
            _count(by["recalls_suffered"], seeds, "jobs recalled"),
            _count(by["jobs_refused"], seeds, "jobs refused or stopped by a rule"),
        )
        if sentence
    ]
    if queued["earlier"] or queued["later"]:
        found.append(
            f"Of the jobs that wait now, {queued['earlier']:,} start more than {SHIFT_S // 60} minutes earlier, "
            f"{queued['later']:,} later."
        )
    waits = by["wait_p95_s"]
    if is_sure(waits, seeds):
        found.append(f"P95 of all waits: {signed_span(waits['difference'])}.")
    return found


def _site(row: Mapping[str, Any], seeds: int, what: str, unit: str) -> str | None:
    digits = 0 if abs(row["base"]) >= 1000 else 3
    if not is_sure(row, seeds) or not round(row["difference"], digits):
        return None
    return f"{what}: {row['difference']:+,.{digits}f} {unit}, from {row['base']:,.{digits}f} {unit}."


def _count(row: Mapping[str, Any], seeds: int, what: str) -> str | None:
    if not is_sure(row, seeds):
        return None
    return f"{row['difference']:+,.1f} {what}, from {row['base']:,.1f}."


def metrics_told() -> list[Document]:
    """Tell what the numbers are."""
    return [
        {"of": of, "key": one.key, "label": one.label, "unit": one.unit, "better": one.better}
        for of, metrics in (("tenant", OF_TENANTS), ("site", OF_SITE))
        for one in metrics
    ]
