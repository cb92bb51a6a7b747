"""A run folder made by hand: every column holds a number of its own, so that no two can be swapped unseen."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from kvandal.scenario import load

START = datetime(2027, 3, 27, tzinfo=UTC)  # the clocks of Europe/Oslo change on the 28th
DAYS, TICK_S = 2, 600
TICKS, HOURS = DAYS * 86_400 // TICK_S, DAYS * 24
GPUS, RACKS = 288, 4
SITE = {
    "it_power_mw": 10.0, "losses_mw": 0.25, "cooling_mw": 0.5, "misc_mw": 0.125, "site_power_mw": 10.875, "envelope_mw": 12.0,
    "ambient_c": 3.0, "tcs_supply_c": 40.0, "tcs_return_c": 50.0, "fws_supply_c": 36.0, "fws_return_c": 45.0, "hall_air_c": 27.0,
    "heat_demand_mw": 2.0, "heat_export_mw": 1.5, "heat_rejected_mw": 9.0, "heat_building_mw": 0.375, "heat_stored_mw": 0.0,
    "water_l": 6.0, "cap_firm_fraction": 1.0, "cap_assured_fraction": 1.0, "cap_lent_fraction": 0.8, "balance_error_fraction": 1e-13,
    "hv_loss_mw": 0.0625, "block_loss_mw": 0.15, "busway_loss_mw": 0.0375, "cdu_pump_mw": 0.11, "fws_pump_mw": 0.12, "rejection_mw": 0.13,
    "fan_wall_mw": 0.14, "battery_mw": -0.02, "battery_loss_mw": 0.02, "battery_mwh": 1.7, "it_limit_mw": 10.5,
}  # fmt: skip
TIER_GPUS = {"firm": 150, "assured": 40, "lent": 30, "idle": 60, "broken": 8}
COUNTS = {"running_jobs": 11, "queued_jobs": 7, "queued_gpus": 70}
CUSTOMERS = {"greenhouse": (1.5, 1.25), "fish-farm": (0.5, 0.25)}


def _times(count, step_s):
    return pl.Series(
        [START + timedelta(seconds=i * step_s) for i in range(count)], dtype=pl.Datetime("us", "UTC")
    )


def _instants(hours):
    values = [None if h is None else START + timedelta(hours=h) for h in hours]
    return pl.Series(values, dtype=pl.Datetime("us", "UTC"))


def _money(value, count):
    return pl.Series([Decimal(value)] * count, dtype=pl.Decimal(38, 6))


def _site():
    columns = {name: [value] * TICKS for name, value in SITE.items()}
    columns["site_power_mw"] = [
        10.875 + (1.0 if i == 100 else 0.0) for i in range(TICKS)
    ]  # one peak, inside an hour
    for tier, gpus in TIER_GPUS.items():
        columns[f"gpu_s_{tier}"] = [gpus * TICK_S] * TICKS
    columns["gpu_s_installed"] = [GPUS * TICK_S] * TICKS
    columns["gpu_s_allocated"] = [220 * TICK_S] * TICKS
    columns |= {name: [value] * TICKS for name, value in COUNTS.items()}
    columns["constraint"] = ["curtailment" if i < 24 else "grid_connection" for i in range(TICKS)]
    return pl.DataFrame({"time_utc": _times(TICKS, TICK_S), **columns})


def _energy():
    hourly = {
        "site_mwh": 11.0, "it_mwh": 10.0, "spot_eur_per_mwh": 20.0, "ppa_mwh": 8.0, "spot_bought_mwh": 3.0, "ppa_sold_mwh": 0.5,
        "goo_mwh": 3.0, "carbon_free_mwh": 10.5, "carbon_location_direct_t": 0.165, "carbon_market_direct_t": 0.01,
        "carbon_location_lifecycle_t": 0.5, "carbon_market_lifecycle_t": 0.09,
    }  # fmt: skip
    money = {
        "cost_ppa_eur": "272.000001", "cost_spot_eur": "60", "income_sold_eur": "10", "cost_goo_eur": "2.1",
        "cost_tariff_capacity_eur": "27", "cost_tariff_energy_eur": "1", "cost_tariff_reactive_eur": "2", "cost_generator_eur": "4",
        "cost_heat_pump_eur": "3", "cost_deviation_eur": "1", "income_reserves_eur": "8", "cost_tax_eur": "5", "cost_eur": "359.100001", "income_heat_eur": "12",
    }  # fmt: skip
    columns = {name: [value] * HOURS for name, value in hourly.items()}
    return pl.DataFrame(
        {"time_utc": _times(HOURS, 3600), **columns, **{k: _money(v, HOURS) for k, v in money.items()}}
    )


def _jobs():
    waits = [0, 60, 120, None, 30]
    return pl.DataFrame(
        {
            "job": range(5), "demand": ["national"] * 4 + ["frontier"], "tenant": ["norway-research"] * 4 + ["offtaker"],
            "tier": ["assured"] * 4 + ["firm"], "gpus": [8] * 5, "submit_utc": _instants([1, 2, 3, 47, 5]),
            "start_utc": _instants([1, 2, 3, None, 5]), "end_utc": _instants([9, 9, 9, None, None]),
            "wait_s": pl.Series(waits, dtype=pl.Int64), "state": ["finished"] * 3 + ["queued", "running"],
            "gpu_s_allocated": [3600] * 3 + [0, 7200], "gpu_s_useful": [3000] * 3 + [0, 7000],
            "gpu_s_lost_failure": [200] * 3 + [0, 0], "gpu_s_lost_recall": [0] * 4 + [50], "gpu_s_lost_shed": [0] * 4 + [150],
            "gpu_s_lost_checkpoint": [100] * 3 + [0, 0], "gpu_s_lost_restart": [300] * 3 + [0, 0], "gpu_s_lost_expiry": [0] * 5,
            "gpu_s_restart_recall": [0, 0, 120, 0, 0], "starts": [2, 2, 3, 0, 2], "failures": [1, 1, 2, 0, 0],
            "recalls": [0, 0, 0, 0, 1], "sheds": [0] * 5, "failures_tray": [1, 0, 1, 0, 0], "failures_host": [0, 1, 0, 0, 0],
            "failures_network": [0, 0, 1, 0, 0], "failures_rack": [0] * 5, "failures_plant": [0] * 5,
            "gpu_s_capped": [360.0] * 3 + [0.0, 720.0], "gpu_s_stopped": [0.0] * 4 + [1800.0],
        }
    )  # fmt: skip


def _tenants():
    parts = []
    for tenant, tier, held, on_loan, lent_out in (
        ("offtaker", "firm", 150, 0, 20),
        ("norway-research", "assured", 40, 0, 4),
        ("uk", "lent", 30, 30, 0),
    ):
        parts.append(
            pl.DataFrame(
                {
                    "time_utc": _times(HOURS, 3600), "tenant": [tenant] * HOURS, "tier": [tier] * HOURS,
                    "gpus_held": [float(held)] * HOURS, "gpus_on_loan": [float(on_loan)] * HOURS, "gpus_lent_out": [float(lent_out)] * HOURS,
                    "queued_jobs": [7] * HOURS, "queued_gpus": [70] * HOURS,
                }
            )
        )  # fmt: skip
    return pl.concat(parts)


def _rest():
    loans = pl.DataFrame(
        {
            "loan": [0, 1], "lender": ["offtaker", "pool"], "borrower": ["uk", "uk"], "gpus": [20, 6], "start_utc": _instants([1, 2]),
            "noticed_utc": _instants([5, None]), "returned_utc": _instants([5.025, None]), "reason": ["recalled", None],
        }
    )  # fmt: skip
    racks = pl.DataFrame(
        {
            "rack": range(RACKS), "hall": [1, 1, 2, 2], "row": [1, 2, 1, 1], "position": [1, 1, 1, 2], "cdu": [0, 0, 1, 1],
            "model": ["gb300_nvl72"] * RACKS, "it_energy_mwh": [5.0] * RACKS, "mean_kw": [99.0, 66.0, 132.0, None],
            "peak_kw": [120.0] * RACKS, "tdp_kw": [132.0] * RACKS, "gpu_h_installed": [3456.0] * RACKS,
            "gpu_h_allocated": [3000.0] * RACKS, "gpu_h_broken": [0.0, 12.0, 0.0, 0.0], "failures": [0, 3, 0, 0],
        }
    )  # fmt: skip
    events = pl.DataFrame(
        {
            "time_utc": _instants([3, 4, 30]), "kind": ["failure", "repair", "envelope"], "rack": [1, 1, None], "tray": [2, 2, None],
            "job": [0, None, None], "gpus": [8, 4, None], "rule": ["F1", "F2", "P1"], "text": ["a tray failed", "repaired", "at the envelope"],
        }
    )  # fmt: skip
    heat = pl.concat(
        pl.DataFrame(
            {
                "time_utc": _times(HOURS, 3600), "customer": [name] * HOURS, "demand_mwh": [asked] * HOURS, "delivered_mwh": [given] * HOURS,
                "unmet_mwh": [asked - given] * HOURS, "source_mwh": [given * 0.8125] * HOURS, "heat_pump_mwh": [given * 0.25] * HOURS,
                "pipe_loss_mwh": [given * 0.0625] * HOURS, "store_in_mwh": [0.25] * HOURS, "store_out_mwh": [0.125] * HOURS,
                "store_mwh": [3.0] * HOURS,
            }
        )
        for name, (asked, given) in CUSTOMERS.items()
    )  # fmt: skip
    return {"loans": loans, "racks": racks, "events": events, "heat": heat}


def _nodes():
    rows = [
        ("site", "site", "grid_connection", 44, 0.0, 10.4, 0.5), ("site", "site", "curtailment", 4, 3.5, 9.75, 0.0),
        ("site", "site", "hv_transformer", 0, 0.0, None, None), ("hall-0", "hall", "hall_air", 48, 1.25, 4.5, 0.0),
        ("hall-1", "hall", "hall_air", 48, 7.5, 4.25, 0.0), ("group-0", "group", "power_block", 48, 0.0, 6.5, None),
        ("pod-0", "pod", "cdu", 48, 0.0, 7.25, 1.5), ("pod-1", "pod", "cdu", 48, 0.0, 7.5, 1.125),
        ("pod-0", "pod", "junction", 0, 0.0, None, None),
    ]  # fmt: skip
    names = [
        "node",
        "level",
        "constraint",
        "hours_tightest",
        "hours_bound",
        "lowest_limit_mw",
        "least_headroom_mw",
    ]
    return pl.DataFrame(rows, schema=names, orient="row")


def _pods():
    parts = [
        pl.DataFrame(
            {
                "time_utc": _times(HOURS, 3600), "pod": [pod] * HOURS, "hall": [pod] * HOURS, "heat_mw": [4.0 + pod] * HOURS,
                "supply_c": [supply_c] * HOURS, "junction_c": pl.Series([junction_c] * HOURS, dtype=pl.Float64),
            }
        )
        for pod, supply_c, junction_c in ((0, 40.5, 71.0), (1, 41.5, None))
    ]  # fmt: skip
    return pl.concat(parts)


def _faults():
    rows = [
        (0, "curtailment", "site", 1.0, 5.0, 1, 10.0, None, None, None, False, None, 0, None, None, 4.0, 0, 0.0, 12.5),
        (1, "cdu", "pod-1", 6.0, 9.0, 6, None, None, None, None, True, None, 2, 24.0, 330.0, 0.1, 3, 55.5, 1.25),
        (2, "grid_dip", "site", 20.0, 20.0003, 1, None, 0.4, None, 0.4, True, True, 0, None, None, 0.0, 0, 0.0, 0.0),
    ]  # fmt: skip
    names = [
        "fault", "kind", "place", "start_utc", "end_utc", "count", "limit_mw", "residual_voltage_pu", "warmer_k", "duration_s",
        "drawn", "ridden_through", "racks_tripped", "throttle_s", "trip_s", "hours_bound", "jobs_hit", "lost_gpu_h", "slowed_gpu_h",
    ]  # fmt: skip
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns |= {name: _instants(columns[name]) for name in ("start_utc", "end_utc")}
    columns["warmer_k"] = pl.Series(columns["warmer_k"], dtype=pl.Float64)
    return pl.DataFrame(columns)


def _fault_costs():
    return pl.DataFrame(
        {
            "fault": [0, 1, 1], "tenant": ["offtaker", "offtaker", "norway-research"], "jobs_hit": [0, 2, 1],
            "lost_gpu_h": [0.0, 40.5, 15.0], "slowed_gpu_h": [12.5, 0.0, 1.25],
        }
    )  # fmt: skip


def _contracts():
    return pl.DataFrame(
        {
            "time_utc": _times(HOURS, 3600), "contract": ["base-load"] * HOURS, "kind": ["baseload"] * HOURS,
            "seller": ["river & sons"] * HOURS, "buyer": pl.Series([None] * HOURS, dtype=pl.String), "delivered_mwh": [8.5] * HOURS, "used_mwh": [8.0] * HOURS,
            "sold_mwh": [0.5] * HOURS, "cost_eur": _money("272", HOURS),
        }
    )  # fmt: skip


def _plan():
    """Return a plan for the second day: a quarter of a MWh is drawn beyond it in every hour."""
    day = HOURS // 2
    columns = {
        "forecast_load_mwh": 11.125, "forecast_ambient_c": 4.5, "forecast_heat_mwh": 2.25, "planned_import_mwh": 10.5,
        "battery_planned_mwh": 1.5,
    }  # fmt: skip
    acts = {
        "deviation_mwh": 0.25, "battery_planned_mw": 0.5, "battery_activated_mw": 0.25, "battery_mw": 0.6875,
        "lent_shift_mwh": 0.125,
    }  # fmt: skip
    return pl.DataFrame(
        {
            "time_utc": _times(HOURS, 3600), "import_mwh": [11.0] * HOURS,
            "lent_cap_fraction": [1.0] * day + [0.8] * day,
            **{name: pl.Series([None] * day + [value] * day, dtype=pl.Float64) for name, value in columns.items()},
            **{name: [0.0] * day + [value] * day for name, value in acts.items()},
        }
    )  # fmt: skip


def _reserves():
    parts = [
        pl.DataFrame(
            {
                "time_utc": _times(HOURS, 3600), "product": [product] * HOURS, "offered_mw": [offered] * HOURS,
                "activated_mwh": [called] * HOURS, "income_capacity_eur": _money(ready, HOURS),
                "income_energy_eur": _money(energy, HOURS), "penalty_eur": _money(missed, HOURS),
            }
        )
        for product, offered, called, ready, energy, missed in (
            ("ffr", 2.0, 0.0, "30", "0", "0"), ("afrr_up", 1.0, 0.25, "10", "5", "2"),
        )
    ]  # fmt: skip
    return pl.concat(parts)


def _summary():
    hours = DAYS * 24
    site_mwh = 10.875 * hours + TICK_S / 3600
    return {
        "it_energy_mwh": 10.0 * hours, "site_energy_mwh": site_mwh, "losses_mwh": 12.0, "cooling_mwh": 24.0, "misc_mwh": 6.0,
        "peak_site_mw": 11.875, "mean_site_mw": site_mwh / hours, "pue": site_mwh / (10.0 * hours), "erf": 1.5 * hours / site_mwh, "ref": 1.0,
        "cue_kg_per_kwh": 0.0165, "cue_basis": "location-based, direct", "wue_l_per_kwh": 6.0 * TICKS / (10_000 * hours), "cer": 21.0,
        "cfe_score": 10.5 / 11.0, "gpu_hours_installed": 288.0 * hours, "gpu_hours_allocated": 220.0 * hours, "gpu_hours_idle": 60.0 * hours,
        "gpu_hours_broken": 8.0 * hours, "gpu_hours_useful": 16_000 / 3600, "gpu_hours_lost": {"failure": 100.0, "recall": 60.0},
        "allocation_share": 220 / 288, "jobs_submitted": 5, "jobs_started": 4, "jobs_finished": 3, "jobs_refused": 0,
        "wait_p50_s": {"norway-research": 60.0, "offtaker": 30.0}, "wait_p95_s": {"norway-research": 114.0, "offtaker": 30.0}, "loans": 2,
        "recalls": 1, "recall_latency_p50_s": 90.0, "recall_latency_p99_s": 90.0, "failures": 1, "heat_exported_mwh": 1.5 * hours,
        "heat_unmet_mwh": 24.0, "energy_cost_eur": 359.100001 * hours, "heat_income_eur": 12.0 * hours, "compute_income_usd": None,
        "carbon_location_t": 0.165 * hours, "carbon_location_basis": "direct", "carbon_market_t": 0.01 * hours, "carbon_market_basis": "direct, residual",
        "balance_error_max": 1e-13, "hours_at_envelope": 0.5, "junction_peak_c": 71.0, "tcs_supply_peak_c": 41.5,
        "battery_throughput_mwh": 0.0, "battery_losses_mwh": 0.96,
        "capped_time_fraction": {"firm": 0.0, "assured": 0.0, "lent": 1.0}, "power_bound_time_fraction": 0.0625,
        "shed_time_fraction": 0.03125, "jobs_shed": 13, "recalls_for_power": 17,
        "gpu_hours_lost_to_power": {"capped": 0.5, "stopped": 0.5}, "shed_cost_usd": 1.77,
        "hours_per_year_near_envelope": {"90_pct": 8760.0, "95_pct": 30.416667, "99_pct": 0.0},
    }  # fmt: skip


def _document():
    changes = {"run.days": DAYS, "run.tick_s": TICK_S, "plan.enabled": False, "supply.reserves": {}}
    scenario = load("stargate-norway", changes).model_dump(mode="json")
    statistics = [{"statistic": "jobs per day", "unit": "1/day", "trace": 812.5, "scaled": 55.25}]
    return {
        "schema_version": 1, "kvandal_version": "0.1.0", "scenario": scenario, "scenario_name": "stargate-norway", "title": "Stargate Norway",
        "seed": 7, "start_utc": START.isoformat(), "end_utc": (START + timedelta(days=DAYS)).isoformat(), "days": DAYS, "tick_s": TICK_S,
        "versions": {}, "warnings": ["something lies outside its range"], "tables": {"site.parquet": {"rows": TICKS, "sha256": "ab" * 32}},
        "inputs": [{"name": "prices", "kind": "price", "source": "generator", "licence": "Apache-2.0", "sha256": None, "synthetic": True, "rule": "generated", "notes": None}],
        "demand": {"national": {"source": "philly", "synthetic": False, "licence": "CC-BY-4.0", "credit": "Jeon et al.", "rows_read": 100, "refused": {"no GPUs": 3}, "repaired": {"merged": 2}, "statistics": statistics}},
        "summary": _summary(),
    }  # fmt: skip


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """Return a run folder of two days whose every number is known."""
    folder = tmp_path_factory.mktemp("report") / "run"
    folder.mkdir()
    tables = {"site": _site(), "energy": _energy(), "jobs": _jobs(), "tenants": _tenants(), **_rest()}
    tables |= {"contracts": _contracts(), "plan": _plan(), "reserves": _reserves()}
    tables |= {"nodes": _nodes(), "pods": _pods(), "faults": _faults(), "fault_costs": _fault_costs()}
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "run.json").write_text(json.dumps(_document()), encoding="utf-8")
    return folder


@pytest.fixture
def changed(made_run, tmp_path):
    """Return a function that copies the run and changes its run.json."""

    def change(edit):
        folder = tmp_path / "changed"
        shutil.copytree(made_run, folder)
        document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        edit(document)
        (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    return change
