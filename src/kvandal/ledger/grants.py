"""Tables of grants: every period's books, what was spent hour by hour, and what each job drew or why it was turned away."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger.columns import POOL, counted, every, known, named
from kvandal.ledger.told import Gathered
from kvandal.policy.rules import (
    GRANT_OVER,
    GRANT_TOO_SHORT,
    GRANT_TOO_SMALL,
    NEVER,
    RESIDENCY,
    RULES,
    TIME_LIMIT,
)
from kvandal.twin.columns import columns_of
from kvandal.twin.simulate import Trajectory

Array = Any

HOUR_S = 3600
REASONS = {
    NEVER: ("needs {needed:,} GPUs, at most {available:,} can be had", 1),
    GRANT_TOO_SMALL: ("needs {needed:,.2f} GPU-h, its grants have {available:,.2f} left", HOUR_S),
    GRANT_TOO_SHORT: ("may run {needed:,.2f} h, its grant ends in {available:,.2f} h", HOUR_S),
    RESIDENCY: ("its tenant's data may not be processed in any region of this site", 1),
    TIME_LIMIT: ("had {needed:,.2f} h of work left at its time limit of {available:,.2f} h", HOUR_S),
    GRANT_OVER: ("may need {needed:,.2f} GPU-h more, but its grant is over", HOUR_S),
}
"""What is said of a job that a rule turned away, and what its numbers are divided by."""


def rule_ids() -> list[str]:
    """Ids of the rules by number."""
    return [RULES[number][0] for number in range(len(RULES))]


def _left(periods: Array) -> Array:
    gone = sum(periods[name] for name in ("spent", "committed", "carried_out", "expired", "withdrawn"))
    return periods["granted"] + periods["carried_in"] - gone


def grants_table(run: Trajectory) -> pl.DataFrame:
    """One row per grant and period that has begun, in GPU-seconds."""
    grants, periods = run.state.grants, run.state.grant_periods
    names = list(run.scenario.grants) or [POOL]
    rows = np.arange(len(periods))
    periods = periods[rows <= grants["period"][periods["grant"]]]
    index = np.flatnonzero(rows <= grants["period"][run.state.grant_periods["grant"]])
    start_us = round(run.scenario.run.start_utc.timestamp() * 1_000_000)

    def instants(name: str) -> pl.Series:
        moments = pl.Series(periods[name] * 1_000_000 + start_us, dtype=pl.Int64)
        return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")

    return pl.DataFrame(
        {
            "grant": named(periods["grant"], names),
            "tenant": named(grants["tenant"][periods["grant"]], list(run.scenario.tenants) or [POOL]),
            "period": (index - grants["first"][periods["grant"]]).astype(np.int32),
            "start_utc": instants("start_s"),
            "end_utc": instants("end_s"),
            "gpu_s_granted": np.ascontiguousarray(periods["granted"]),
            "gpu_s_carried_in": np.ascontiguousarray(periods["carried_in"]),
            "gpu_s_spent": np.ascontiguousarray(periods["spent"]),
            "gpu_s_committed": np.ascontiguousarray(periods["committed"]),
            "gpu_s_left": _left(periods),
            "gpu_s_carried_out": np.ascontiguousarray(periods["carried_out"]),
            "gpu_s_committed_at_end": np.ascontiguousarray(periods["committed_at_end"]),
            "gpu_s_expired": np.ascontiguousarray(periods["expired"]),
            "gpu_s_withdrawn": np.ascontiguousarray(periods["withdrawn"]),
        }
    )


def grant_hours_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour and grant: GPU-seconds spent in it, committed and left at its end."""
    hours, count, _ = run.outputs.grant_hour.shape
    books = run.outputs.grant_hour.copy()
    grants, periods = run.state.grants, run.state.grant_periods
    for index, grant in enumerate(grants):  # what still ran was charged when the run was over
        if hours and grant["period"] >= 0:
            rows = periods[grant["first"] : grant["period"] + 1]
            books[-1, index] = rows["spent"].sum(), rows["committed"].sum(), _left(rows).sum()
    spent = np.diff(books[:, :, 0], axis=0, prepend=0)
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, hours if count else 0, HOUR_S, max(count, 1)),
            "grant": named(np.tile(np.arange(count), hours), list(run.scenario.grants) or [POOL]),
            "gpu_s_spent": spent.ravel(),
            "gpu_s_committed": books[:, :, 1].ravel(),
            "gpu_s_left": books[:, :, 2].ravel(),
        }
    )


def job_columns(run: Trajectory, jobs: dict[str, Array], rows: slice = slice(None)) -> dict[str, pl.Series]:
    """Columns of the table of jobs: the grant that each drew on, what it was charged, why it was turned away.

    `jobs` holds the column `refused_rule` of those jobs' records.
    """
    rule = jobs["refused_rule"]
    turned_away = rule > 0
    names = ("drew", "grant", "charged", "refused_needed", "refused_available")
    if run.scenario.grants or turned_away.any():
        mine = columns_of(run.state.job_grants[rows], names)
    else:  # nothing to read
        mine = {name: np.zeros(len(rule), run.state.job_grants.dtype[name]) for name in names}
    texts = []
    for job in np.flatnonzero(turned_away):
        text, unit = REASONS[int(rule[job])]
        needed, available = int(mine["refused_needed"][job]), int(mine["refused_available"][job])
        if unit == 1:
            texts.append(text.format(needed=needed, available=available))
        else:
            texts.append(text.format(needed=needed / unit, available=available / unit))
    which = counted(np.where(turned_away, np.cumsum(turned_away) - 1, -1)).cast(pl.UInt32)
    return {
        "grant": named(np.where(mine["drew"], mine["grant"], -1), list(run.scenario.grants) or [POOL]),
        "gpu_s_charged": known(mine["charged"], mine["drew"]),
        "refused_rule": named(np.where(turned_away, rule, -1), rule_ids()),
        "refused_needed": known(mine["refused_needed"], turned_away),
        "refused_available": known(mine["refused_available"], turned_away),
        "refused_text": pl.Series(texts, dtype=pl.String).gather(which),
    }


def grant_summary(grants: pl.DataFrame) -> dict[str, Any]:
    """Sum the books of all grants up: how many, and what part of what each was granted has been spent."""
    sums = grants.group_by("grant", maintain_order=True).agg(
        pl.col("gpu_s_spent").sum(), pl.col("gpu_s_granted").sum()
    )
    return {
        "grants": sums.height,
        "grant_utilisation": {
            str(name): spent / granted if granted else None for name, spent, granted in sums.iter_rows()
        },
    }


def refused_by_rule(jobs: pl.DataFrame | Gathered) -> dict[str, int]:
    """Count the refused jobs by the rule that refused them, with a zero for a rule that refused none."""
    refused = jobs.select("state", "refused_rule").filter(pl.col("state") == "refused")
    found = refused.group_by(pl.col("refused_rule").cast(pl.String)).len().sort("refused_rule")
    return {RULES[rule][0]: 0 for rule in REASONS} | dict(found.iter_rows())
