"""The books of a run, checked from its Parquet files alone: nothing here is shared with the code that wrote them."""

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kvandal as kv
from kvandal.ledger.energy import COSTS, INCOMES

ROOT = Path(__file__).parent.parent.parent

SMALL_SITE = {
    "site.fleet.main.gpus": 216,
    "site.grid_mw": 1.0,
    "market.ppa_mw": 0.1,
    "run.days": 2,
    "demand_multiplier": 0.0015,
}
HOUR_S = 3600


@pytest.fixture(scope="module")
def books(small_run):
    tables = {path.stem: pl.read_parquet(path) for path in small_run.glob("*.parquet")}
    record = json.loads((small_run / "run.json").read_text())
    return record, record["summary"], tables


def test_energy_of_the_summary_is_the_energy_of_the_ticks(books):
    """Megawatt-hours are tick means times tick length; the parts less what the battery gave add up to the meter."""
    record, summary, tables = books
    site, tick_h = tables["site"], record["tick_s"] / HOUR_S
    for name, column in [
        ("it_energy_mwh", "it_power_mw"), ("site_energy_mwh", "site_power_mw"), ("losses_mwh", "losses_mw"),
        ("cooling_mwh", "cooling_mw"), ("misc_mwh", "misc_mw"), ("heat_exported_mwh", "heat_export_mw"),
    ]:  # fmt: skip
        assert summary[name] == pytest.approx(site[column].to_numpy().sum() * tick_h, rel=1e-12)
    parts = sum(summary[name] for name in ("it_energy_mwh", "losses_mwh", "cooling_mwh", "misc_mwh"))
    assert parts == pytest.approx(site["site_demand_mw"].to_numpy().sum() * tick_h, rel=1e-9)
    battery_mwh = site["battery_mw"].to_numpy().sum() * tick_h
    assert parts - battery_mwh == pytest.approx(summary["site_energy_mwh"], rel=1e-9)
    assert tables["energy"]["site_mwh"].sum() == pytest.approx(summary["site_energy_mwh"], rel=1e-9)
    assert tables["energy"]["it_mwh"].sum() == pytest.approx(summary["it_energy_mwh"], rel=1e-9)
    halls = tables["halls"]
    assert halls["it_power_mw"].sum() == pytest.approx(summary["it_energy_mwh"], rel=1e-9)
    assert (halls["liquid_heat_mw"] + halls["air_heat_mw"]).to_numpy() == pytest.approx(
        halls["it_power_mw"].to_numpy()
    )
    net_mwh = record["scenario"]["network"]["net_storage_kw_per_gpu"] * 0.072 * 24 * record["days"] * 10
    assert tables["racks"]["it_energy_mwh"].sum() + net_mwh == pytest.approx(
        summary["it_energy_mwh"], rel=1e-9
    )
    assert summary["peak_site_mw"] == site["site_power_mw"].max() <= site["envelope_mw"].max()
    assert summary["mean_site_mw"] == pytest.approx(summary["site_energy_mwh"] / 24 / record["days"])


def test_indicators_are_ratios_of_the_tables(books):
    """Mistake "units": PUE above 1, WUE between 0 and 5 L/kWh, all shares between 0 and 1, by their formulas."""
    _, summary, tables = books
    energy = tables["energy"]
    it, total = energy["it_mwh"].sum(), energy["site_mwh"].sum()
    expected = {
        "pue": total / it,
        "erf": summary["heat_exported_mwh"] / total,
        "ref": (energy["ppa_mwh"].sum() + energy["goo_mwh"].sum()) / total,
        "cue_kg_per_kwh": energy["carbon_location_direct_t"].sum() / it,
        "wue_l_per_kwh": tables["site"]["water_l"].sum() / (it * 1000),
        "cer": it / summary["cooling_mwh"],
        "cfe_score": energy["carbon_free_mwh"].sum() / total,
    }
    for name, value in expected.items():
        assert summary[name] == pytest.approx(value, rel=1e-9), name
    assert 1 < summary["pue"] < 2
    assert 0 <= summary["wue_l_per_kwh"] <= 5
    for name in ("erf", "ref", "cfe_score", "allocation_share"):
        assert 0 <= summary[name] <= 1 + 1e-12


def test_gpu_hours_agree_between_site_jobs_racks_and_tenants(books):
    """Whoever counts the GPU-hours, the sums are equal, to the GPU-second."""
    _, summary, tables = books
    site, jobs = tables["site"], tables["jobs"]
    allocated = site["gpu_s_allocated"].sum()
    assert allocated == jobs["gpu_s_allocated"].sum()
    assert allocated == site["gpu_s_firm"].sum() + site["gpu_s_assured"].sum() + site["gpu_s_lent"].sum()
    assert allocated / HOUR_S == pytest.approx(tables["racks"]["gpu_h_allocated"].sum(), rel=1e-12)
    assert allocated / HOUR_S == pytest.approx(tables["tenants"]["gpus_held"].sum(), rel=1e-12)
    assert (
        site["gpu_s_allocated"] + site["gpu_s_idle"] + site["gpu_s_broken"] == site["gpu_s_installed"]
    ).all()
    for state in ("installed", "allocated", "idle", "broken"):
        assert summary[f"gpu_hours_{state}"] == pytest.approx(site[f"gpu_s_{state}"].sum() / HOUR_S)
    causes = summary["gpu_hours_lost"]
    assert sum(causes.values()) + summary["gpu_hours_useful"] == pytest.approx(summary["gpu_hours_allocated"])
    lost = [column for column in jobs.columns if column.startswith("gpu_s_lost_")]
    split = jobs.select(pl.sum_horizontal("gpu_s_useful", *lost)).to_series()
    assert split.to_numpy() == pytest.approx(jobs["gpu_s_allocated"].to_numpy(), rel=1e-9, abs=1e-6)
    by_tenant = summary["gpu_hours_lost_by_tenant"]
    for cause, hours in causes.items():
        assert sum(found[cause] for found in by_tenant.values()) == pytest.approx(hours)
        for tenant, found in by_tenant.items():
            mine = jobs.filter(pl.col("tenant").cast(pl.String) == tenant)
            assert found[cause] == pytest.approx(mine[f"gpu_s_lost_{cause}"].sum() / HOUR_S)
    assert summary["goodput"] == pytest.approx(summary["gpu_hours_useful"] / summary["gpu_hours_allocated"])
    assert 0 <= summary["gpu_hours_restart_recall"] <= causes["restart"]
    by_cause = dict(summary["interruptions"])
    assert by_cause.pop("recall") == jobs["recalls"].sum()
    assert by_cause.pop("shed") == jobs["sheds"].sum()
    assert sum(by_cause.values()) == jobs["failures"].sum()
    assert summary["allocation_share"] == pytest.approx(allocated / site["gpu_s_installed"].sum())


def test_jobs_and_waits_are_those_of_the_table(books):
    """Mistake "queue and running swapped": counts and waits recomputed by hand, and the last row of each series."""
    _, summary, tables = books
    jobs, site = tables["jobs"], tables["site"]
    states = jobs["state"].cast(pl.String).to_list()
    assert summary["jobs_submitted"] == len(states)
    assert summary["jobs_finished"] == states.count("finished")
    assert summary["jobs_refused"] == states.count("refused")
    assert summary["jobs_started"] == len(states) - jobs["start_utc"].null_count()
    assert site["running_jobs"][-1] >= states.count("running")
    assert site["queued_jobs"][-1] == states.count("queued") == tables["tenants"].tail(9)["queued_jobs"].sum()
    waits = (jobs["start_utc"] - jobs["submit_utc"]).dt.total_seconds()
    assert (waits.drop_nulls() == jobs["wait_s"].drop_nulls()).all()
    for tenant, printed in summary["wait_p95_s"].items():
        of_tenant = sorted(waits.filter(jobs["tenant"].cast(pl.String) == tenant).drop_nulls().to_list())
        if of_tenant:
            place = 0.95 * (len(of_tenant) - 1)
            assert printed in {of_tenant[math.floor(place)], of_tenant[math.ceil(place)]}
        else:
            assert printed is None


def test_loans_are_records(books):
    """A loan has a lender, a borrower, a notice and an end; latencies of recalls are the notices given."""
    _, summary, tables = books
    loans, jobs = tables["loans"], tables["jobs"]
    assert summary["loans"] == loans.height > 0
    assert summary["recalls"] == loans.height - loans["noticed_utc"].null_count()
    by_lender = summary["recall_latency_by_lender"]
    assert sum(row["recalls"] for row in by_lender.values()) == summary["recalls"]
    assert (loans["lender"].cast(pl.String) != loans["borrower"].cast(pl.String)).all()
    assert (loans["gpus"] <= jobs["gpus"].gather(loans["job"])).all()
    whole = (
        loans.filter(pl.col("reason") != "transferred").group_by("job", "start_utc").agg(pl.col("gpus").sum())
    )
    assert (whole["gpus"] <= jobs["gpus"].gather(whole["job"])).all()
    recalled = loans.filter(pl.col("reason") == "recalled")
    latency = (recalled["returned_utc"] - recalled["noticed_utc"]).dt.total_seconds()
    assert (latency == recalled["notice_s"]).all()
    assert jobs["recalls"].sum() == recalled.select("job", "returned_utc").unique().height
    if recalled.height:
        assert summary["recall_latency_p99_s"] == sorted(latency.to_list())[round(0.99 * (len(latency) - 1))]


def test_free_room_is_what_nobody_holds(books):
    """Where the last tick of an hour and the first of the next idle alike, so does the instant between; trays and segments
    are part of it."""
    record, summary, tables = books
    room = tables["room"]
    assert (room["free_gpus"] >= room["free_tray_gpus"]).all()
    assert (room["free_tray_gpus"] >= room["free_segment_gpus"]).all()
    assert (room["free_tray_gpus"] % 4 == 0).all()
    free = room["free_gpus"].sum()
    for what in ("tray", "segment"):
        expected = 1 - room[f"free_{what}_gpus"].sum() / free
        assert summary[f"fragmentation_{what}s"] == pytest.approx(expected)
    per_hour = HOUR_S // record["tick_s"]
    idle = tables["site"]["gpu_s_idle"].to_numpy() / record["tick_s"]
    before, after = idle[per_hour - 1 : -1 : per_hour], idle[per_hour::per_hour]
    steady = (before == after) & (before % 1 == 0)
    assert steady.sum() > 20
    assert (before[steady] == room["free_gpus"].to_numpy()[:-1][steady]).all()


def test_carbon_is_metered_energy_times_factor_once(books):
    """Mistake "losses twice": grams are kilowatt-hours at the meter times the factor, nothing else."""
    record, summary, tables = books
    carbon, energy = record["scenario"]["carbon"], tables["energy"]
    metered_mwh = tables["site"]["site_power_mw"].sum() * record["tick_s"] / HOUR_S

    assert summary["carbon_location_t"] == pytest.approx(
        metered_mwh * carbon["location_direct_g_per_kwh"] / 1000
    )
    residual = energy["site_mwh"].sum() - energy["ppa_mwh"].sum() - energy["goo_mwh"].sum()
    assert summary["carbon_market_t"] == pytest.approx(
        residual * carbon["residual_direct_g_per_kwh"] / 1000, abs=1e-9
    )
    assert "location-based, direct" in summary["carbon_location_basis"]
    assert "market-based, direct" in summary["carbon_market_basis"]


def test_money_is_exact(books):
    """The cost of every hour is the sum of its parts to a millionth, and each part is its quantity times its price."""
    record, summary, tables = books
    market, energy = record["scenario"]["market"], tables["energy"]
    total = Decimal(0)
    for row in energy.iter_rows(named=True):
        parts = sum(row[name] for name in COSTS) - sum(row[name] for name in INCOMES)
        assert row["cost_eur"] == parts
        assert isinstance(parts, Decimal)
        total += parts
        assert row["ppa_mwh"] + row["spot_bought_mwh"] == pytest.approx(row["site_mwh"])
        assert row["ppa_mwh"] + row["ppa_sold_mwh"] == pytest.approx(market["ppa_mw"])
        assert float(row["cost_ppa_eur"]) == pytest.approx(
            market["ppa_mw"] * market["ppa_eur_per_mwh"], abs=1e-6
        )
        tax = row["site_mwh"] * 1000 * market["tax_reduced_ore_per_kwh"] / 100 / market["nok_per_eur"]
        assert float(row["cost_tax_eur"]) == pytest.approx(tax, abs=1e-6)
    assert summary["energy_cost_eur"] == pytest.approx(float(total), abs=1e-6)
    peak_kw = energy["site_mwh"].max() * 1000
    tariff = peak_kw * market["tariff_nok_per_kw_year"] * record["days"] / 365 / market["nok_per_eur"]
    assert float(energy["cost_tariff_capacity_eur"].sum()) == pytest.approx(tariff, abs=1e-3)


def test_heat_is_delivered_within_demand(books):
    """Delivered and unmet heat make the demand; what leaves the loop is what the site exports."""
    _, summary, tables = books
    heat = tables["heat"]
    assert (heat["delivered_mwh"] + heat["unmet_mwh"]).to_numpy() == pytest.approx(
        heat["demand_mwh"].to_numpy(), abs=1e-12
    )
    assert (heat["source_mwh"] + heat["heat_pump_mwh"]).to_numpy() == pytest.approx(
        (heat["delivered_mwh"] + heat["pipe_loss_mwh"]).to_numpy()
    )
    assert summary["heat_pump_energy_mwh"] == pytest.approx(heat["heat_pump_mwh"].sum())
    assert heat["source_mwh"].sum() == pytest.approx(summary["heat_exported_mwh"], rel=1e-9)
    assert summary["heat_unmet_mwh"] == pytest.approx(heat["unmet_mwh"].sum())


def test_the_balance_closes(books):
    """Mistake "balance": electricity in equals heat out and stored, to 1e-9, recomputed from the columns."""
    _, summary, tables = books
    site = tables["site"]
    out = (
        site["heat_rejected_mw"] + site["heat_export_mw"] + site["heat_building_mw"] + site["heat_stored_mw"]
    )
    assert out.to_numpy() == pytest.approx(site["site_power_mw"].to_numpy(), rel=1e-9)
    assert summary["balance_error_max"] <= 1e-9


def test_heat_income_is_the_hand_over_times_its_price(books):
    """The site sells what leaves its loop, not what the customers' own heat pumps add."""
    record, summary, tables = books
    customers = record["scenario"]["heat"]["customers"]
    sold = (
        tables["heat"]
        .with_columns(pl.col("customer").cast(pl.String))
        .group_by("customer")
        .agg(pl.col("source_mwh").sum())
    )
    income = sum(mwh * customers[name]["price_eur_per_mwh"] for name, mwh in sold.iter_rows())
    assert summary["heat_income_eur"] == pytest.approx(income, abs=1e-3)
    assert summary["heat_exported_mwh"] == pytest.approx(tables["heat"]["source_mwh"].sum(), rel=1e-9)
    assert tables["heat"]["heat_pump_mwh"].sum() > 0


def test_a_recalled_borrower_rests_before_it_borrows_again(books):
    """Lending loops of others: a lent-tier job rests 900 s times its recalls, at most 24 of them, before its next loan."""
    record, _, tables = books
    rest_s = record["scenario"]["policy"]["rest_after_recall_s"]
    lent = [name for name, tenant in record["scenario"]["tenants"].items() if tenant["tier"] == "lent"]
    loans = tables["loans"].filter(pl.col("borrower").cast(pl.String).is_in(lent)).sort("job", "loan")
    recalls, again = {}, 0
    for job, start, returned, reason in loans.select(
        "job", "start_utc", "returned_utc", "reason"
    ).iter_rows():
        if job in recalls and recalls[job][1] is not None:
            count, since = recalls[job]
            assert (start - since).total_seconds() >= rest_s * min(count, 24)
            again += 1
        count = recalls.get(job, (0, None))[0] + (reason == "recalled")
        recalls[job] = (count, returned if reason == "recalled" else None)
    assert again > 0


def test_every_column_is_documented(books):
    """docs/run-folder.md names every column of every table."""
    _, _, tables = books
    text = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    missing = [
        f"{name}.{column}"
        for name, table in tables.items()
        for column in table.columns
        if f"`{column}`" not in text
    ]
    assert missing == []


@pytest.mark.parametrize(("tick_s", "price_step_s"), [(60, 900), (3600, 900), (900, 3600)])
def test_prices_of_a_quarter_hour(tmp_path, tick_s, price_step_s):
    """Price step and tick need not agree: a long tick is spread evenly over the prices inside it."""
    steps = 2 * 86_400 // price_step_s
    prices = 10.0 + 40.0 * (np.arange(steps) % 4)
    times = pl.datetime_range(
        pl.datetime(2027, 1, 1),
        pl.datetime(2027, 1, 3),
        interval=f"{price_step_s}s",
        closed="left",
        eager=True,
    )
    path = tmp_path / "prices.csv"
    pl.DataFrame({"time_utc": times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "eur_per_mwh": prices}).write_csv(path)
    run = kv.simulate(
        kv.load("stargate-norway", SMALL_SITE | {"run.tick_s": tick_s, "market.prices": str(path)})
    )
    power_mw = run.site["site_power_mw"].to_numpy()
    per_step = np.repeat(power_mw, tick_s // 60).reshape(steps, -1).mean(axis=1) * price_step_s / HOUR_S
    contract = 0.1 * price_step_s / HOUR_S
    bought = np.maximum(0.0, per_step - contract)
    sold = np.maximum(0.0, contract - per_step)

    assert float(run.energy["cost_spot_eur"].sum()) == pytest.approx((bought * prices).sum(), abs=1e-3)
    assert float(run.energy["income_sold_eur"].sum()) == pytest.approx((sold * prices).sum(), abs=1e-3)
    assert run.energy.height == 48
