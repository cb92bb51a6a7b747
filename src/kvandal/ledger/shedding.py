"""How often power held work back, and what that cost: what oversubscribing a connection is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger.site_sums import SiteSums
from kvandal.ledger.told import Gathered
from kvandal.policy.rules import POWER_RECALL, RULES


def shedding_summary(
    site: SiteSums,
    jobs: pl.DataFrame | Gathered,
    tables: Mapping[str, pl.DataFrame],
    tick_s: int,
    prices: dict[str, float],
) -> dict[str, Any]:
    """Summarise what power caps, recalls for power and sheds did.

    Parameters
    ----------
    site : sums over the ticks
    jobs : the table of jobs, or some of its columns
    tables : tables `loans`, `events` of docs/run-folder.md
    tick_s : length of a tick [s]
    prices : price of an allocated GPU-hour [USD] by tenant

    Returns
    -------
    Keys of the summary as documented in docs/run-folder.md.

    """
    events = tables["events"]
    power_recalls = events.filter(
        (pl.col("kind") == "recall") & (pl.col("rule") == RULES[POWER_RECALL][0])
    ).select("job", pl.col("time_utc").alias("noticed_utc"))
    sheds = events.filter(pl.col("kind") == "shed")
    wanted = jobs.select("tenant", "gpu_s_capped", "gpu_s_stopped")
    lost = wanted.group_by("tenant").agg(pl.col("gpu_s_capped").sum(), pl.col("gpu_s_stopped").sum())
    by_tenant = {
        str(tenant): (capped / 3600, stopped / 3600) for tenant, capped, stopped in sorted(lost.iter_rows())
    }
    return {
        "capped_time_fraction": site.capped_time_fraction,
        "power_bound_time_fraction": site.bound_time_fraction,
        "shed_time_fraction": _giving_way(site, tables["loans"], power_recalls, sheds, tick_s),
        "jobs_shed": sheds.height,
        "recalls_for_power": power_recalls.height,
        "gpu_hours_lost_to_power": {
            "capped": sum(capped for capped, _ in by_tenant.values()),
            "stopped": sum(stopped for _, stopped in by_tenant.values()),
        },
        "shed_cost_usd": sum(
            (capped + stopped) * prices.get(name, 0.0) for name, (capped, stopped) in by_tenant.items()
        ),
        "hours_per_year_near_envelope": site.near_envelope_h,
    }


def _giving_way(
    site: SiteSums, loans: pl.DataFrame, power_recalls: pl.DataFrame, sheds: pl.DataFrame, tick_s: int
) -> float:
    """Share of ticks in which a job was shed or a loan was under notice for power."""
    ticks, start = site.ticks, site.start_utc
    open_loans = loans.join(power_recalls, on=["job", "noticed_utc"], how="semi")

    def tick_of(times: pl.Series) -> Any:
        seconds = (times - start).dt.total_seconds().fill_null(ticks * tick_s - 1)
        return np.minimum(seconds.to_numpy() // tick_s, ticks - 1)

    change = np.zeros(ticks + 1, np.int64)
    for first, last in ((open_loans["noticed_utc"], open_loans["returned_utc"]), (sheds["time_utc"],) * 2):
        np.add.at(change, tick_of(first), 1)
        np.add.at(change, tick_of(last) + 1, -1)
    return float(np.mean(np.cumsum(change)[:-1] > 0))
