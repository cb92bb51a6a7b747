"""Headline numbers, each with the way to its source and a second reckoning from the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from kvandal.report.chart import Section
from kvandal.report.folder import RunFolder
from kvandal.report.inputs import tied_parameters
from kvandal.report.text import (
    DASH,
    NOT_KNOWN,
    SPACE,
    amount,
    duration,
    escape,
    number,
    percent,
    quantity,
    significant,
    stamp,
    table,
)
from kvandal.report.text import formula as write_formula
from kvandal.report.ticks import Site

AGREES = 1e-6
"""Largest relative difference between run.json and the tables that still counts as equal."""


@dataclass(frozen=True, slots=True)
class Headline:
    """One number of the head of the page and where it comes from."""

    key: str
    label: str
    shown: str
    note: str
    formula: str
    columns: str
    standard: str = ""
    parameters: tuple[str, ...] = ()
    stated: float | None = None
    again: float | None = None
    unit: str = ""


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _table_sums(folder: RunFolder) -> dict[str, float | None]:
    """Sum what the headline numbers need from the hourly and job tables."""
    energy = folder.table(
        "energy",
        [
            "it_mwh",
            "site_mwh",
            "carbon_free_mwh",
            "carbon_location_direct_t",
            "carbon_market_direct_t",
            "cost_eur",
        ],
    )
    out: dict[str, float | None] = {
        name: float(energy[name].cast(pl.Float64).sum())
        if energy[name].null_count() < max(1, energy.height)
        else None
        for name in energy.columns
    }
    jobs = folder.scan("jobs", ["state", "tier", "wait_s", "gpu_s_useful"], texts=False)
    national = pl.col("wait_s").cast(pl.Float64).filter(pl.col("tier") == "assured")
    row = jobs.select(
        submitted=pl.len(),
        finished=(pl.col("state") == "finished").sum(),
        useful=pl.col("gpu_s_useful").cast(pl.Int64).sum() / 3600,
        national_p50=national.quantile(0.5, "linear"),
        national_p95=national.quantile(0.95, "linear"),
        national_jobs=(pl.col("tier") == "assured").sum(),
        national_started=national.count(),
    ).collect()
    out.update(row.row(0, named=True))
    return out


def _recalls(folder: RunFolder) -> float:
    """Count the loans that were given notice."""
    frame = folder.scan("loans", ["noticed_utc"])
    return float(frame.select(pl.col("noticed_utc").count()).collect().item() or 0)


def headlines(folder: RunFolder, site: Site) -> list[Headline]:
    """Build the headline numbers in the order of the page."""
    s, totals, sums = folder.summary, site.totals, _table_sums(folder)
    connection = folder.scenario.get("site", {}).get("grid_mw")
    peak, average = s.get("peak_site_mw"), s.get("mean_site_mw")
    national = [
        name for name, tenant in folder.scenario.get("tenants", {}).items() if tenant.get("tier") == "assured"
    ]
    cost, energy = _money(s.get("energy_cost_eur")), s.get("site_energy_mwh")
    useful = s.get("gpu_hours_useful")
    it = totals["it_power_mw"]
    market_note = str(s.get("carbon_market_basis") or "")
    location_note = str(s.get("carbon_location_basis") or "")
    national_note = f"{number(sums['national_started'])} of {number(sums['national_jobs'])} jobs of {len(national)} tenants had started"
    ticks = f"tick means of {duration(folder.tick_s)}"
    return [
        Headline("peak", "Peak site power", amount(peak, "MW"), f"{percent(_ratio(peak, connection))} of {quantity(connection, 'MW')}; {stamp(site.peak_time)} UTC", f"largest tick of the site power ({ticks})", "site.parquet: site_power_mw", "", ("site.grid_mw",), peak, site.peak_mw, "MW"),
        Headline("mean", "Mean site power", amount(average, "MW"), f"{percent(_ratio(average, connection))} of the connection", "mean of the site power over all ticks", "site.parquet: site_power_mw", "", (), average, site.mean_mw, "MW"),
        Headline("energy", "Site energy", amount(None if energy is None else energy / 1000, "GWh"), f"IT {amount(None if s.get('it_energy_mwh') is None else s['it_energy_mwh'] / 1000, 'GWh')}", "Σ site power \u00d7 tick", "site.parquet: site_power_mw", "", (), energy, totals["site_power_mw"], "MWh"),
        Headline("pue", "PUE", number(s.get("pue"), 3), "site energy over IT energy", "E_site / E_IT", "site.parquet: site_power_mw, it_power_mw", "ISO/IEC 30134-2", ("power.eta_hv_transformer", "power.eta_mv_transformer", "power.eta_ups_eco", "power.eta_ups_double", "power.eta_busway", "power.misc_fraction", "cooling.cdu_pump_w_per_kw", "cooling.fws_pump_w_per_kw", "cooling.drycooler_fan_kw_per_mw", "cooling.air_fan_w_per_kw", "cooling.minimum_flow_fraction", "cooling.minimum_airflow_fraction"), s.get("pue"), _ratio(totals["site_power_mw"], it)),
        Headline("allocated", "GPUs allocated", percent(s.get("allocation_share")), f"of {quantity(_in_millions(s.get('gpu_hours_installed')), 'million GPU-hours', 1)} installed", "Σ GPU-s allocated / Σ GPU-s installed", "site.parquet: gpu_s_allocated, gpu_s_installed", "ISO/IEC 30134-5, by allocation", (), s.get("allocation_share"), _ratio(totals["gpu_s_allocated"], totals["gpu_s_installed"])),
        Headline("useful", "Useful GPU-hours", quantity(_in_millions(useful), "million", 2), f"{percent(_ratio(useful, s.get('gpu_hours_allocated')))} of those allocated", "Σ GPU-s of work that was not lost or spent on checkpoints and restarts", "jobs.parquet: gpu_s_useful", "", ("reliability.gpu_h_per_interruption", "reliability.checkpoint_s", "reliability.restart_s"), useful, sums["useful"], "h"),
        Headline("jobs", "Jobs finished", number(s.get("jobs_finished")), f"of {number(s.get('jobs_submitted'))} submitted", "jobs whose state at the end is finished", "jobs.parquet: state", "", (), s.get("jobs_finished"), sums["finished"]),
        Headline("wait50", "National wait, median", duration(sums["national_p50"]), national_note, "median of the waits of all started jobs of tier assured", "jobs.parquet: wait_s, tier", "", (), None, sums["national_p50"], "s"),
        Headline("wait95", "National wait, P95", duration(sums["national_p95"]), ", ".join(escape(n) for n in national) or "no tenant of tier assured", "95th percentile of the same waits", "jobs.parquet: wait_s, tier", "", (), None, sums["national_p95"], "s"),
        Headline("heat", "Heat exported", amount(None if s.get("heat_exported_mwh") is None else s["heat_exported_mwh"] / 1000, "GWh"), f"{amount(None if s.get('heat_unmet_mwh') is None else s['heat_unmet_mwh'] / 1000, 'GWh')} of demand not met", "Σ heat exported \u00d7 tick", "site.parquet: heat_export_mw", "", ("heat.lorenz_efficiency", "heat.cop_maximum"), s.get("heat_exported_mwh"), totals["heat_export_mw"], "MWh"),
        Headline("erf", "ERF", percent(s.get("erf"), 1), "heat reused over site energy", "E_reuse / E_site", "site.parquet: heat_export_mw, site_power_mw", "ISO/IEC 30134-6", (), s.get("erf"), _ratio(totals["heat_export_mw"], totals["site_power_mw"])),
        Headline("cost", "Energy cost", quantity(_in_millions(cost), "million EUR", 2), f"{quantity(_ratio(cost, energy), 'EUR/MWh', 2)}, with grid tariff and tax", "Σ cost over the hours", "energy.parquet: cost_eur", "", ("market.ppa_mw", "market.ppa_eur_per_mwh", "market.spot_mean_eur_per_mwh", "market.goo_eur_per_mwh", "market.tariff_nok_per_kw_year", "market.tax_reduced_ore_per_kwh", "market.nok_per_eur"), cost, sums["cost_eur"], "EUR"),
        Headline("location", "CO<sub>2</sub>, location-based", quantity(s.get("carbon_location_t"), "t"), escape(location_note) or NOT_KNOWN, "Σ energy \u00d7 factor of the grid", "energy.parquet: carbon_location_direct_t", "ISO/IEC 30134-8", ("carbon.location_direct_g_per_kwh",), s.get("carbon_location_t"), sums["carbon_location_direct_t"], "t"),
        Headline("market", "CO<sub>2</sub>, market-based", quantity(s.get("carbon_market_t"), "t"), escape(market_note) or NOT_KNOWN, "Σ energy without contract or guarantee of origin \u00d7 factor of the residual mix", "energy.parquet: carbon_market_direct_t", "ISO/IEC 30134-8", ("carbon.residual_direct_g_per_kwh",), s.get("carbon_market_t"), sums["carbon_market_direct_t"], "t"),
        Headline("cfe", "CFE score", percent(s.get("cfe_score")), "matched hour by hour", "Σ carbon-free energy matched in the hour / Σ site energy", "energy.parquet: carbon_free_mwh, site_mwh", "24/7 carbon-free energy", ("carbon.grid_carbon_free_share",), s.get("cfe_score"), _ratio(sums["carbon_free_mwh"], sums["site_mwh"])),
        Headline("wue", "WUE", f"{significant(s.get('wue_l_per_kwh'), 3)}{'' if s.get('wue_l_per_kwh') is None else f'{SPACE}L/kWh'}", f"{quantity(float(totals['water_l'] or 0) / 1000, 'm³')} of water", "V_water / E_IT", "site.parquet: water_l, it_power_mw", "ISO/IEC 30134-9", ("cooling.adiabatic_on_c", "cooling.adiabatic_water_l_per_kwh"), s.get("wue_l_per_kwh"), _ratio(float(totals["water_l"] or 0), it * 1000 if it else None), "L/kWh"),
        Headline("recalls", "Recalls", number(s.get("recalls")), f"P99 {duration(s.get('recall_latency_p99_s'))} to give back; {number(s.get('loans'))} loans", "loans that were given notice; their return is timed from the notice", "loans.parquet: noticed_utc", "", (), s.get("recalls"), _recalls(folder)),
        Headline("balance", "Balance error", significant(s.get("balance_error_max"), 2), "largest of any tick, relative", "largest |electricity in \u2212 heat out \u2212 heat stored| / electricity in", "site.parquet: balance_error_fraction", "", (), s.get("balance_error_max"), site.balance_error),
    ]  # fmt: skip


def _in_millions(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _money(value: Any) -> float | None:
    return None if value is None else float(value)


def cards(found: Sequence[Headline]) -> str:
    """Write the headline numbers, each linked to the row that says where it comes from."""
    out = [
        f'<a class="card" href="#source-{h.key}" title="Where this number comes from"><span class="label">{h.label}</span>'
        f'<span class="figure">{_small_unit(h.shown)}</span><span class="note">{h.note}</span></a>'
        for h in found
    ]
    return f'<div class="cards">{"".join(out)}</div>'


def _small_unit(shown: str) -> str:
    value, space, unit = shown.partition(SPACE)
    return f'{value}<span class="unit">{space}{unit}</span>' if unit else shown


def verdict(headline: Headline) -> str:
    """Say whether the tables give the number that run.json states."""
    stated, again = headline.stated, headline.again
    if stated is None and again is None:
        return DASH
    if stated is None:
        return "from the tables only"
    if again is None:
        return '<span class="bad">tables do not know it</span>'
    if math.isclose(stated, again, rel_tol=AGREES, abs_tol=1e-9):
        return '<span class="good">agrees</span>'
    relative = abs(again - stated) / max(abs(stated), abs(again))
    return f'<span class="bad">differs by {percent(relative, 4 if relative < 1e-3 else 2)}</span>'


def _with_unit(value: float, unit: str, digits: int) -> str:
    return f"{significant(value, digits)}{SPACE}{escape(unit)}".rstrip(SPACE)


def sources_section(folder: RunFolder, found: Sequence[Headline], *, digits: int = 6) -> Section:
    """Tabulate formula, file, columns, standard, parameters and the second reckoning of every headline number."""
    tied = {key: (value, entry) for key, value, entry in tied_parameters(folder.scenario) or []}
    rows = []
    for h in found:
        used = []
        for key in h.parameters:
            if key in tied:
                value, entry = tied[key]
                unit = "" if entry.unit == "1" else f" {entry.unit}"
                used.append(
                    f'<code>{escape(key)}</code> = {value:g}{escape(unit)} <span class="tag {escape(entry.label)}" title="{escape(entry.reference)}">{escape(entry.label)}</span>'
                )
        file, _, columns = h.columns.partition(": ")
        rows.append(
            [
                f'<b id="source-{h.key}">{h.label}</b>',
                f"{write_formula(h.formula)}{f'<br><small>{escape(h.standard)}</small>' if h.standard else ''}",
                f"<code>{escape(file)}</code><br><small>{escape(columns)}</small>",
                _with_unit(h.stated, h.unit, digits)
                if h.stated is not None
                else NOT_KNOWN
                if h.again is None
                else DASH,
                _with_unit(h.again, h.unit, digits) if h.again is not None else DASH,
                verdict(h),
                "<br>".join(used) or DASH,
            ]
        )
    checked = [h for h in found if h.stated is not None and h.again is not None]
    good = sum("good" in verdict(h) for h in checked)
    lead = (
        f"Headline numbers were reckoned a second time for this page, from the tables of the run folder alone. "
        f"{number(good)} of {number(len(checked))} agree with <code>run.json</code> within one part in a million."
    )
    heads = ["number", "formula", "from", "run.json", "from tables", "check", "parameters"]
    return Section(
        "sources",
        "Where the numbers come from",
        lead=lead,
        parts=[table(heads, rows, right=(3, 4), kind="sources")],
    )
