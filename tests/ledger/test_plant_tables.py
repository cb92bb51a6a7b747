"""Plant and faults in the books, checked from the Parquet files alone: nothing is shared with the code that wrote them."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

import kvandal as kv

HOUR_S = 3600
LEVEL_OF = {
    "grid_connection": "site", "curtailment": "site", "hv_transformer": "site", "heat_rejection": "hall", "hall_air": "hall",
    "power_block": "group", "cdu": "pod", "coolant_supply": "pod", "junction": "pod",
    "start_ramp": "site",
}  # fmt: skip


TROUBLED = Path(__file__).parent.parent / "troubled.toml"


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "troubled"
    kv.write_run(kv.simulate(kv.load(TROUBLED)), folder)
    tables = {path.stem: pl.read_parquet(path) for path in folder.glob("*.parquet")}
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return record, record["summary"], tables


def text(table, column):
    return table[column].cast(pl.String)


def near(values, rel=1e-9, absolute=1e-9):
    return pytest.approx(values.to_numpy(), rel=rel, abs=absolute)


def test_losses_and_cooling_are_the_sums_of_their_parts(books):
    """Mistake "losses twice": power shelves are inside IT power, the battery's loss is in neither."""
    _, _, tables = books
    site = tables["site"]
    assert (site["hv_loss_mw"] + site["block_loss_mw"] + site["busway_loss_mw"]).to_numpy() == near(
        site["losses_mw"]
    )
    pumps_and_fans = site["cdu_pump_mw"] + site["fws_pump_mw"] + site["rejection_mw"] + site["fan_wall_mw"]
    assert pumps_and_fans.to_numpy() == near(site["cooling_mw"])
    demand = site["it_power_mw"] + site["losses_mw"] + site["cooling_mw"] + site["misc_mw"]
    assert demand.to_numpy() == near(site["site_demand_mw"])
    assert (site["site_demand_mw"] - site["battery_mw"]).to_numpy() == near(site["site_power_mw"])
    assert (site["shelf_loss_mw"] > 0).all()
    assert (site["shelf_loss_mw"] < 0.1 * site["it_power_mw"]).all()


def test_what_power_cost_is_what_the_caps_took(books):
    """The order to draw less: time under caps, GPU-seconds of each tier and the speed under its cap give the GPU-hours.

    Speed under a cap p is ((p - 0.15) / 0.85) ^ 0.25 for services and batch work and ^ 0.5 for training (judgements of the
    registry), so what was lost lies between the two.
    """
    record, summary, tables = books
    site = tables["site"]
    least = most = 0.0
    for tier in ("firm", "assured", "lent"):
        cap = (site[f"cap_{tier}_fraction"] - 0.15) / 0.85
        least += (site[f"gpu_s_{tier}"] * (1 - cap**0.25)).sum() / HOUR_S
        most += (site[f"gpu_s_{tier}"] * (1 - cap**0.5)).sum() / HOUR_S
    lost = summary["gpu_hours_lost_to_power"]
    assert least > 0
    assert 0.98 * least <= lost["capped"] <= 1.02 * most
    prices = {
        name: float(tenant.get("price_usd_per_gpu_hour", 0))
        for name, tenant in record["scenario"]["tenants"].items()
    }
    cost = 0.0
    for job in tables["jobs"].iter_rows(named=True):
        cost += (job["gpu_s_capped"] + job["gpu_s_stopped"]) / HOUR_S * prices[str(job["tenant"])]
        stopped = job["gpu_s_lost_shed"] + job["gpu_s_lost_recall"]
        assert job["gpu_s_capped"] <= job["gpu_s_lost_shed"] + 1e-3
        assert job["gpu_s_capped"] + job["gpu_s_stopped"] <= stopped + 1e-3
    assert summary["shed_cost_usd"] == pytest.approx(cost)
    assert lost["capped"] + lost["stopped"] <= sum(
        summary["gpu_hours_lost"][cause] for cause in ("shed", "recall")
    )
    order = site.filter(pl.col("constraint").cast(pl.String) == "curtailment").height
    assert (
        summary["power_bound_time_fraction"]
        == site["at_envelope"].sum() / site.height
        <= 2 * order / site.height
    )


def test_the_battery_keeps_its_energy(books):
    """What it stores changes by what it takes, less what it loses."""
    record, summary, tables = books
    site, hours = tables["site"], record["tick_s"] / HOUR_S
    change_mwh = site["battery_mwh"].diff().drop_nulls()
    flow_mwh = -(site["battery_mw"] + site["battery_loss_mw"])[1:] * hours
    assert change_mwh.to_numpy() == near(flow_mwh, absolute=1e-12)
    power = record["scenario"]["power"]
    assert site["battery_mwh"].max() <= power["bess_energy_mwh"] * power["bess_soc_maximum"] + 1e-12
    assert site["battery_mwh"].min() >= power["bess_energy_mwh"] * power["bess_soc_minimum"] - 1e-12
    given = [mw * hours for mw in site["battery_mw"].to_list() if mw > 0]
    assert summary["battery_throughput_mwh"] == pytest.approx(sum(given), abs=1e-12)
    assert summary["battery_losses_mwh"] == pytest.approx(sum(site["battery_loss_mw"].to_list()) * hours)
    assert summary["battery_losses_mwh"] > 0


def test_the_envelope_is_that_of_the_tick(books):
    """The connection less its margin; in the hours of the order, what the order leaves; the meter never shows more."""
    record, _, tables = books
    site, scenario = tables["site"], record["scenario"]
    connection_mw = scenario["site"]["grid_mw"] * (1 - scenario["power"]["site_cap_margin_fraction"])
    start = datetime.fromisoformat(record["start_utc"])
    order = next(fault for fault in scenario["faults"] if fault["kind"] == "curtailment")
    first = start + timedelta(hours=order["after_h"])
    ordered = site["time_utc"].is_between(first, first + timedelta(hours=order["duration_h"]), closed="left")
    assert ordered.sum() == 240
    for inside, limit_mw, name in (
        (ordered, order["limit_mw"], "curtailment"),
        (~ordered, connection_mw, "grid_connection"),
    ):
        ticks = site.filter(inside)
        assert set(text(ticks, "constraint")) == {name}
        assert ticks["envelope_mw"].to_list() == pytest.approx([limit_mw] * ticks.height)
    assert (site["site_power_mw"] <= site["envelope_mw"] + 1e-9).all()


def test_pods_and_halls_share_the_heat(books):
    """Heat to the coolant is the same counted by pods and by halls; the highest junction is that of the site's ticks."""
    _, summary, tables = books
    pods, halls, site = tables["pods"], tables["halls"], tables["site"]
    assert pods["heat_mw"].sum() == pytest.approx(halls["liquid_heat_mw"].sum(), rel=1e-9)
    by_hall = pods.group_by("hall").agg(pl.col("heat_mw").sum()).sort("hall")["heat_mw"]
    halls_mw = halls.group_by("hall").agg(pl.col("liquid_heat_mw").sum()).sort("hall")["liquid_heat_mw"]
    assert by_hall.to_numpy() == near(halls_mw)
    assert summary["junction_peak_c"] == max(site["junction_c"].to_list())
    assert summary["tcs_supply_peak_c"] == max(pods["supply_c"].drop_nulls().to_list())
    assert pods["junction_c"].drop_nulls().min() > pods["supply_c"].min()
    dark = pods.filter(pl.col("junction_c").is_null())
    assert dark["heat_mw"].to_list() == pytest.approx([0.0] * dark.height, abs=1e-9)
    assert dark.height > 0
    assert summary["hot_day_hours"] == 0.0


def test_limits_are_runs_of_equal_hours(books):
    """Each row differs from the one before it at its node; the lowest limits are those of nodes.parquet."""
    record, _, tables = books
    limits, nodes = tables["limits"], tables["nodes"]
    start = datetime.fromisoformat(record["start_utc"])
    for (name,), part in (
        limits.with_columns(pl.col("node").cast(pl.String)).partition_by("node", as_dict=True).items()
    ):
        rows = part.select("time_utc", "limit_mw", pl.col("constraint").cast(pl.String)).rows()
        assert rows[0][0] == start
        for before, after in pairwise(rows):
            assert before[0] < after[0]
            assert before[1:] != after[1:]
        lowest = nodes.filter(pl.col("node").cast(pl.String) == name)["lowest_limit_mw"].min()
        assert lowest == pytest.approx(min(row[1] for row in rows if row[1] is not None), abs=1e-4)
        hours = nodes.filter(pl.col("node").cast(pl.String) == name)["hours_tightest"].sum()
        assert hours <= record["days"] * 24


def test_the_tree_has_all_its_nodes(books):
    """Site, halls, groups and pods with what can limit them; parents are the halls that racks stand in."""
    _, _, tables = books
    nodes, racks = tables["nodes"], tables["racks"]
    rows = list(zip(text(nodes, "constraint"), text(nodes, "level"), strict=True))
    assert all(LEVEL_OF[constraint] == level for constraint, level in rows)
    names = set(text(nodes, "node"))
    for level in ("hall", "group", "pod"):
        assert {f"{level}-{index}" for index in racks[level].to_list()} == {
            n for n in names if n.startswith(level)
        }
    parents = dict(zip(text(nodes, "node"), text(nodes, "parent"), strict=True))
    assert parents["site"] is None
    for rack in racks.to_dicts():
        assert parents[f"pod-{rack['pod']}"] == parents[f"group-{rack['group']}"] == f"hall-{rack['hall']}"


def test_hours_bound_are_those_of_the_worst_node(books):
    """The order of four hours binds, at the site; a limit that binds leaves no room and says when in the events."""
    _, summary, tables = books
    nodes, events = tables["nodes"], tables["events"]
    assert set(summary["hours_bound"]) == set(LEVEL_OF)
    for constraint, hours in summary["hours_bound"].items():
        assert hours == max(nodes.filter(pl.col("constraint") == constraint)["hours_bound"].to_list())
    assert 0 < summary["hours_bound"]["curtailment"] <= 4
    site = tables["site"]
    assert summary["hours_at_envelope"] == pytest.approx(site["at_envelope"].sum() / 60)
    bound = set(text(nodes.filter(pl.col("hours_bound") > 0), "node"))
    begun = events.filter(pl.col("kind") == "limit")
    assert set(text(begun, "node")) == bound
    assert events["time_utc"].is_sorted()


def test_faults_are_told_and_their_costs_add_up(books):
    """Four given faults: an order, a leak, a dip that is ridden through, a pod without CDUs."""
    _, summary, tables = books
    faults, costs = tables["faults"], tables["fault_costs"]
    assert text(faults, "kind").to_list() == ["curtailment", "leak", "grid_dip", "cdu"]
    assert faults["place"].to_list() == ["site", "rack-7", "site", "pod-0"]
    assert not faults["drawn"].any()
    assert faults["limit_mw"].to_list() == [0.75, None, None, None]
    assert faults["residual_voltage_pu"].to_list() == [None, None, 0.4, None]
    assert faults["duration_s"].to_list() == [None, None, 0.4, None]
    assert faults["warmer_k"].null_count() == 4
    assert faults["ridden_through"].to_list() == [None, None, True, None]
    assert faults["racks_tripped"].to_list() == [0, 1, 0, 5]
    assert faults["trip_s"].to_list()[:3] == [None, 0.0, None]
    assert 0 < faults["throttle_s"][3] < faults["trip_s"][3] < 600
    for column in ("jobs_hit", "lost_gpu_h", "slowed_gpu_h"):
        by_fault = dict(costs.group_by("fault").agg(pl.col(column).sum()).rows())
        assert faults[column].to_list() == pytest.approx([by_fault.get(i, 0) for i in range(4)])
    assert faults["lost_gpu_h"][2] == faults["slowed_gpu_h"][2] == 0
    assert faults["slowed_gpu_h"][0] > 0
    assert (costs["jobs_hit"] + costs["lost_gpu_h"] + costs["slowed_gpu_h"] > 0).all()
    assert (summary["faults"], summary["racks_tripped"]) == (4, 6)
    assert summary["gpu_hours_lost_faults"] == pytest.approx(sum(costs["lost_gpu_h"].to_list()))
    assert summary["gpu_hours_slowed_faults"] == pytest.approx(sum(costs["slowed_gpu_h"].to_list()))
    assert summary["gpu_hours_lost_faults"] <= summary["gpu_hours_lost"]["failure"]


def test_events_name_fault_node_and_constraint(books):
    """Every fault begins; every stopped job is an event with its rack; the racks of the pod come back."""
    _, _, tables = books
    events, faults, racks = tables["events"], tables["faults"], tables["racks"]
    begun = events.filter(pl.col("kind") == "fault")
    assert begun["fault"].to_list() == [0, 1, 2, 3]
    assert begun["time_utc"].to_list() == faults["start_utc"].to_list()
    trips = events.filter((pl.col("kind") == "trip") & pl.col("job").is_not_null())
    hit = trips.group_by("fault").agg(pl.len().alias("jobs")).sort("fault")
    assert dict(hit.rows()) == {row["fault"]: row["jobs_hit"] for row in faults.to_dicts() if row["jobs_hit"]}
    in_pod = set(racks.filter(pl.col("pod") == 0)["rack"].to_list())
    assert set(trips.filter(pl.col("fault") == 3)["rack"].to_list()) <= in_pod
    back = events.filter(pl.col("kind") == "power_on")
    assert set(back["rack"].to_list()) == {*in_pod, 7}
    plain = events.filter(pl.col("kind").is_in(["failure", "recall", "repair"]))
    assert plain["fault"].null_count() == plain["node"].null_count() == plain.height


def test_what_does_not_stand_yet_is_not_known():
    """Pods and halls of a later delivery have no temperatures before it, and no limit."""
    changes = {
        "site.fleet.main.gpus": 288,
        "site.grid_mw": 2.0,
        "site.layout": {"racks_per_row": 1, "rows_per_hall": 2, "racks_per_cdu": 1},
        "site.build_out": [{"month": 0, "gpus": 144}, {"month": 1, "gpus": 144}],
        "market.ppa_mw": 0.1,
        "power.bess_power_mw": 0.0,
        "reliability.plant_faults": False,
        "run.days": 32,
        "run.tick_s": 3600,
        "demand_multiplier": 0.002,
    }
    run = kv.simulate(kv.load("stargate-norway", changes))
    later = run.pods.filter(pl.col("hall") == 1)
    assert later.head(31 * 24)["supply_c"].null_count() == 31 * 24
    assert later.tail(24)["junction_c"].null_count() == 0
    halls = run.halls.filter(pl.col("hall") == 1)
    assert halls["fws_supply_c"].null_count() == halls["hall_air_c"].null_count() == 31 * 24
    first = run.limits.filter(pl.col("node").cast(pl.String) == "hall-1").row(0, named=True)
    assert first["limit_mw"] is None
    assert first["constraint"] is None
    assert run.faults.is_empty()
    assert run.fault_costs.is_empty()
    assert run.summary["battery_losses_mwh"] == run.summary["faults"] == 0
