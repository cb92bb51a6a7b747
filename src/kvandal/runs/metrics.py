"""What a run came to, tenant by tenant and for the site, as a flat list of numbers: one table of definitions.

To report one more number of a tenant, add a line to `OF_TENANTS`; of the site, one to `OF_SITE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from kvandal.runs.compare import flatten
from kvandal.runs.run import Run

LOST = "gpu_s_lost_"
"""Columns of the jobs that hold lost GPU-seconds begin with this; the cause follows."""
Values = dict[tuple[str | None, str], float | None]
"""Numbers by tenant (None: the site) and metric; None is "not known"."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a run.

    Attributes
    ----------
    key, label, unit : its name, what people call it, its unit ("1": none)
    better : 1 if more is better for whom it concerns, -1 if less is, 0 if neither

    """

    key: str
    label: str
    unit: str
    better: int


@dataclass(frozen=True, slots=True)
class TenantMetric(Metric):
    """A number of each tenant, from one of the run's tables.

    Attributes
    ----------
    table, by : the table, and its column with the tenant
    value : the number, from the rows of a tenant
    absent : of a tenant without a row

    """

    table: str
    by: str
    value: pl.Expr
    absent: float | None = 0.0


@dataclass(frozen=True, slots=True)
class SiteMetric(Metric):
    """A number of the site, from the summary of the run."""

    value: Callable[[Mapping[str, Any]], Any]


def _hours(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Int64).sum() / 3600


def _share(part: str, whole: str) -> pl.Expr:
    total = pl.col(whole).cast(pl.Int64).sum()
    return pl.when(total > 0).then(pl.col(part).cast(pl.Int64).sum() / total)


def _wait(share: float) -> pl.Expr:
    return pl.col("wait_s").quantile(share, "nearest").cast(pl.Float64)


OF_TENANTS = (
    TenantMetric("wait_p50_s", "wait, P50 of started jobs", "s", -1, "jobs", "tenant", _wait(0.50), None),
    TenantMetric("wait_p95_s", "wait, P95 of started jobs", "s", -1, "jobs", "tenant", _wait(0.95), None),
    TenantMetric("jobs_submitted", "jobs submitted", "1", 0, "jobs", "tenant", pl.len()),
    TenantMetric("jobs_finished", "jobs finished", "1", 1, "jobs", "tenant", (pl.col("state") == "finished").sum()),
    TenantMetric("jobs_not_started", "jobs never started", "1", -1, "jobs", "tenant", pl.col("start_utc").is_null().sum()),
    TenantMetric("gpu_hours_allocated", "GPU-hours allocated", "GPU-h", 0, "jobs", "tenant", _hours("gpu_s_allocated")),
    TenantMetric("gpu_hours_useful", "GPU-hours useful", "GPU-h", 1, "jobs", "tenant", _hours("gpu_s_useful")),
    TenantMetric("goodput", "goodput", "1", 1, "jobs", "tenant", _share("gpu_s_useful", "gpu_s_allocated"), None),
    TenantMetric("loans_taken", "loans taken", "1", 0, "loans", "borrower", pl.len()),
    TenantMetric("gpu_hours_borrowed", "GPU-hours borrowed", "GPU-h", 0, "tenants", "tenant", pl.col("gpus_on_loan").sum()),
    TenantMetric("recalls_suffered", "loans recalled from it", "1", -1, "loans", "borrower", pl.col("noticed_utc").count()),
    TenantMetric("loans_given", "loans given", "1", 0, "loans", "lender", pl.len()),
    TenantMetric("gpu_hours_lent", "GPU-hours lent out", "GPU-h", 0, "tenants", "tenant", pl.col("gpus_lent_out").sum()),
    TenantMetric("recalls_made", "loans recalled for it", "1", 0, "loans", "lender", pl.col("noticed_utc").count()),
)  # fmt: skip
"""Numbers of a tenant; the lost GPU-hours by cause and its income come on top."""
INCOME = Metric("income_usd", "income from GPU-hours", "USD", 0)
OF_ENERGY = (
    Metric("power_share_mw", "share of the site's power, mean", "MW", 0),
    Metric("energy_share_mwh", "share of the site's energy", "MWh", 0),
    Metric("energy_cost_share_eur", "share of the energy cost", "EUR", -1),
)
"""What is attributed to a tenant of the energy of each hour, idle GPUs and overhead included."""

OF_SITE = (
    SiteMetric("mean_site_mw", "mean site power", "MW", 0, lambda s: s["mean_site_mw"]),
    SiteMetric("peak_site_mw", "peak site power", "MW", -1, lambda s: s["peak_site_mw"]),
    SiteMetric("site_energy_mwh", "site energy", "MWh", 0, lambda s: s["site_energy_mwh"]),
    SiteMetric("it_energy_mwh", "IT energy", "MWh", 0, lambda s: s["it_energy_mwh"]),
    SiteMetric("pue", "PUE", "1", -1, lambda s: s["pue"]),
    SiteMetric("energy_cost_eur", "energy cost", "EUR", -1, lambda s: s["energy_cost_eur"]),
    SiteMetric("heat_income_eur", "income from heat", "EUR", 1, lambda s: s["heat_income_eur"]),
    SiteMetric("compute_income_usd", "income from GPU-hours", "USD", 1, lambda s: s["compute_income_usd"] or None),
    SiteMetric("carbon_location_t", "CO2e, location-based, direct", "t", -1, lambda s: s["carbon_location_t"]),
    SiteMetric("carbon_market_t", "CO2e, market-based, direct", "t", -1, lambda s: s["carbon_market_t"]),
    SiteMetric("cfe_score", "CFE score", "1", 1, lambda s: s["cfe_score"]),
    SiteMetric("heat_exported_mwh", "heat exported", "MWh", 1, lambda s: s["heat_exported_mwh"]),
    SiteMetric("heat_unmet_mwh", "heat unmet", "MWh", -1, lambda s: s["heat_unmet_mwh"]),
    SiteMetric("wue_l_per_kwh", "WUE", "L/kWh", -1, lambda s: s["wue_l_per_kwh"]),
    SiteMetric("gpu_hours_installed", "GPU-hours installed", "GPU-h", 0, lambda s: s["gpu_hours_installed"]),
    SiteMetric("gpu_hours_broken", "GPU-hours broken", "GPU-h", -1, lambda s: s["gpu_hours_broken"]),
    SiteMetric("gpu_hours_slowed_faults", "GPU-hours slowed by faults", "GPU-h", -1, lambda s: s["gpu_hours_slowed_faults"]),
    SiteMetric("loans", "loans", "1", 0, lambda s: s["loans"]),
    SiteMetric("recalls", "loans recalled", "1", -1, lambda s: s["recalls"]),
    SiteMetric("recall_latency_p99_s", "recall latency, P99", "s", -1, lambda s: s["recall_latency_p99_s"]),
    SiteMetric("hours_at_envelope", "time at the envelope", "h", -1, lambda s: s["hours_at_envelope"]),
)  # fmt: skip
"""Numbers of the site from its summary; those that tenants have from their jobs come before them."""


def tenants_of(run: Run) -> dict[str, str]:
    """Tier of every tenant of a run by its name, in the scenario's order; groups submit no jobs and are left out."""
    tenants: dict[str, dict[str, Any]] = run.record["scenario"]["tenants"]
    groups = {entry.get("parent") for entry in tenants.values()}
    return {name: str(entry["tier"]) for name, entry in tenants.items() if name not in groups}


def metrics_of(run: Run) -> tuple[list[Metric], list[Metric]]:
    """Metrics of each tenant and of the site, in order; the causes of losses are those that the run knows."""
    tenant = _tenant_metrics(run)
    site = [one for one in tenant if one.table == "jobs"]
    return [*tenant, INCOME, *OF_ENERGY], [*site, *OF_SITE]


def measure(run: Run) -> Values:
    """Measure a run.

    Returns
    -------
    Every metric of every tenant (:func:`tenants_of`) and of the site.

    """
    names, values = tenants_of(run), Values()
    by_tenant, _ = metrics_of(run)
    for metric in by_tenant:
        if isinstance(metric, TenantMetric):
            found = _by_tenant(run, metric)
            values |= {(name, metric.key): found.get(name, metric.absent) for name in names}
            if metric.table == "jobs":
                values[None, metric.key] = _number(run.tables["jobs"].select(metric.value).item())
    tenants = run.record["scenario"]["tenants"]
    prices = {name: float(tenants[name]["price_usd_per_gpu_hour"]) for name in names}
    for name, price in prices.items():
        used = values[name, "gpu_hours_allocated"]
        known = used is not None and any(
            prices.values()
        )  # a site that asks no price of anybody knows no income
        values[name, INCOME.key] = price * used if known and used is not None else None
    values |= _energy_shares(run, names)
    flat = flatten(run.summary)
    return values | {(None, metric.key): _number(metric.value(flat)) for metric in OF_SITE}


def _tenant_metrics(run: Run) -> list[TenantMetric]:
    lost = [
        TenantMetric(
            f"gpu_hours_lost_{cause}", f"GPU-hours lost: {cause.replace('_', ' ')}", "GPU-h", -1, "jobs", "tenant", _hours(LOST + cause)
        )
        for cause in (name.removeprefix(LOST) for name in run.tables["jobs"].columns if name.startswith(LOST))
    ]  # fmt: skip
    place = [one.key for one in OF_TENANTS].index("goodput") + 1
    return [*OF_TENANTS[:place], *lost, *OF_TENANTS[place:]]


def _energy_shares(run: Run, names: Mapping[str, str]) -> Values:
    """Energy, mean power and energy cost attributed to each tenant (docs/attribution.md)."""
    table = run.tables["tenant_energy"]
    found = table.group_by("tenant").agg(pl.col("site_wh").sum(), pl.col("cost_cents").sum())
    rows = {row["tenant"]: row for row in found.to_dicts()}
    hours, values = table["time_utc"].n_unique(), Values()
    for name in names:
        mwh, eur = rows[name]["site_wh"] / 1e6, rows[name]["cost_cents"] / 100
        numbers = (mwh / hours, mwh, eur)
        values |= {(name, metric.key): value for metric, value in zip(OF_ENERGY, numbers, strict=True)}
    return values


def _by_tenant(run: Run, metric: TenantMetric) -> dict[str, float | None]:
    found = run.tables[metric.table].group_by(metric.by).agg(metric.value.alias("value"))
    names = found[metric.by].cast(pl.String).to_list()
    return {name: _number(value) for name, value in zip(names, found["value"].to_list(), strict=True)}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
