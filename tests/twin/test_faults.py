"""Faults of the plant: what they limit, whom they hit, and that everything returns when they are over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, TRAINING, check_books, check_room, play, small_site, tenant, times

from kvandal.errors import ScenarioError
from kvandal.scenario.faults import Fault
from kvandal.twin import plant_state as plant
from kvandal.twin.records import COST_JOBS, COST_LOST_GPU_S, COST_SLOWED_GPU_S, EVENTS

WHO = {"firm": tenant("firm", 1.0)}
FULL = [(0, 72, 100_000, 0, BATCH)] * 8
"""Eight racks full of jobs that never save their state."""


def site(*faults, **overrides):
    """Eight racks in a hall: two rows of four, one power group, one pod of three CDUs with a spare."""
    scenario = small_site(WHO, racks=8)
    scenario = scenario.model_copy(update={"faults": tuple(Fault(**fault) for fault in faults)})
    for part, changes in overrides.items():
        scenario = scenario.model_copy(update={part: getattr(scenario, part).model_copy(update=changes)})
    return scenario


def kinds(run):
    events = run.state.events[: run.state.tally["events"][0]]
    return [(EVENTS[event["kind"]], int(event["time_s"])) for event in events]


def it_kw(run):
    return run.outputs.tick_real[:, plant.IT_KW]


def cost(run, column):
    return run.state.fault_cost[:, :, column].sum(axis=1).tolist()


def test_one_cdu_less_is_carried_by_the_others():
    """N+1: nobody notices, and the plant draws what it drew."""
    calm = play(site(), *FULL)
    run = play(site({"kind": "cdu", "after_h": 2.0, "duration_h": 3.0}), *FULL)

    assert times(run, "failures") == [0] * 8
    assert cost(run, COST_LOST_GPU_S) == [0.0]
    assert (it_kw(run) == it_kw(calm)).all()
    assert [kind for kind, _ in kinds(run)] == ["fault", "fault_over"]


def test_loss_of_all_coolant_throttles_and_trips_in_seconds():
    """Throttled 10 to 25 s after the pumps stop, off within minutes; back half an hour after the repair."""
    fault = {"kind": "cdu", "after_h": 2.0, "duration_h": 3.0, "count": 6}
    run = play(site(fault), *FULL)
    events = kinds(run)
    throttled = [time_s - 7200 for kind, time_s in events if kind == "throttle"]
    tripped = [time_s - 7200 for kind, time_s in events if kind == "trip"]

    assert len(throttled) == len(tripped) == 8
    assert 10 <= min(throttled) <= max(throttled) <= 25
    assert max(throttled) < min(tripped) <= max(tripped) <= 600
    assert times(run, "failures") == [1] * 8
    assert [time_s for kind, time_s in events if kind == "power_on"] == [7200 + 3 * 3600 + 1800] * 8
    assert cost(run, COST_JOBS) == [8]
    lost = run.state.lost_gpu_s[0].sum()
    assert cost(run, COST_LOST_GPU_S) == [pytest.approx(lost)]
    assert lost == pytest.approx(8 * 72 * 7200, rel=0.1)
    dark = it_kw(run)[7200 // 60 + 11 : 7200 // 60 + 180]
    assert dark.max() == pytest.approx(8 * 10.8)  # the network stays on


def test_short_loss_of_coolant_trips_nobody():
    """Back within a minute: hot, throttled, but not off."""
    run = play(site({"kind": "cdu", "after_h": 2.0, "duration_h": 1 / 60, "count": 6}), *FULL)

    assert [kind for kind, _ in kinds(run)].count("trip") == 0
    assert times(run, "failures") == [0] * 8


def test_two_of_four_power_blocks_slow_the_group_down():
    """With half the blocks the group may draw two thirds of its need and margin; its jobs slow down and nobody stops."""
    calm = play(site(), *FULL)
    run = play(site({"kind": "ups_block", "after_h": 2.0, "duration_h": 5.0, "count": 2}), *FULL)
    nodes = dict(zip(plant.node_names(run.site), run.outputs.bound_s, strict=True))
    limit_kw = 8 * (132 + 10.8) * 1.1 * 2 / 3
    during = slice(121, 419)

    assert it_kw(run)[during].max() == pytest.approx(limit_kw)
    assert it_kw(calm)[during].max() > limit_kw
    assert nodes["group-0"][plant.POWER_BLOCK] == pytest.approx(5 * 3600, abs=120)
    assert times(run, "failures") == [0] * 8
    slowed = cost(run, COST_SLOWED_GPU_S)[0]
    assert 0 < slowed < 8 * 72 * 5 * 3600
    assert run.state.lost_gpu_s[2].sum() == pytest.approx(slowed, rel=0.02)
    assert (np.array(times(run, "end_s")) == -1).sum() == 8 or min(times(run, "end_s")) > 100_000


def test_all_power_blocks_gone_is_a_blackout_of_the_group():
    run = play(site({"kind": "ups_block", "after_h": 2.0, "duration_h": 1.0, "count": 4}), *FULL)
    events = kinds(run)

    assert [time_s for kind, time_s in events if kind == "trip"] == [7200] * 8
    assert times(run, "starts") == [2] * 8


def test_dip_is_carried_by_the_ups_and_not_by_bare_shelves():
    """65 J per GPU carry 35 ms; a dip of 150 ms takes every rack down where there is no UPS."""
    dip = {"kind": "grid_dip", "after_h": 2.0, "residual_voltage_pu": 0.3, "duration_s": 0.15}
    eco = play(site(dip), *FULL)
    bare = play(site(dip, power={"ups_mode": "none"}), *FULL)
    short = play(site(dip | {"duration_s": 0.02}, power={"ups_mode": "none"}), *FULL)

    assert eco.state.faults["ridden_through"].all()
    assert times(eco, "failures") == times(short, "failures") == [0] * 8
    assert times(bare, "failures") == [1] * 8
    assert [time_s for kind, time_s in kinds(bare) if kind == "power_on"] == [7200 + 1 + 1800] * 8


def test_leak_takes_one_rack_for_a_day():
    run = play(site({"kind": "leak", "after_h": 2.0, "place": 3, "duration_h": 10.0}), *FULL)

    assert sum(times(run, "failures")) == 1
    assert run.state.racks["broken_gpu_s"].tolist() == [0, 0, 0, 72 * (10 * 3600 + 1800), 0, 0, 0, 0]
    assert run.outputs.tick_count[:, 1].sum() == run.state.racks["broken_gpu_s"].sum()


def test_curtailment_holds_the_meter_and_says_whom_it_cost():
    """An order of 0.9 MW for two hours on a site that draws more: caps hold it to the kilowatt."""
    order = {"kind": "curtailment", "after_h": 2.0, "duration_h": 2.0, "limit_mw": 0.9}
    scenario = site(order)
    scenario = scenario.model_copy(update={"site": scenario.site.model_copy(update={"grid_mw": 2.0})})
    run = play(scenario, *FULL)
    meter_kw = run.outputs.tick_real[:, plant.SITE_KW]

    assert meter_kw[:119].max() > 900
    assert meter_kw[120:240].max() <= 900 * (1 + 1e-9)
    assert meter_kw[241:].max() > 900
    assert cost(run, COST_SLOWED_GPU_S)[0] > 0
    assert run.outputs.bound_s[0, plant.CURTAILMENT] == pytest.approx(2 * 3600, abs=120)


def test_transformer_out_leaves_n_minus_one_for_the_whole_site():
    """Three transformers, one out: no limit. Two out: half of the connection."""
    one = play(site({"kind": "transformer", "after_h": 2.0, "duration_h": 2.0}), *FULL)
    two = play(site({"kind": "transformer", "after_h": 2.0, "duration_h": 2.0, "count": 2}), *FULL)

    assert not one.outputs.bound_s.any()
    assert two.outputs.bound_s[0, plant.HV_TRANSFORMER] > 7000
    rating_kw = 1.3 * 8 * (142 + 10.8) / 2
    assert two.outputs.tick_real[125:235, plant.SITE_KW].max() <= rating_kw * (1 + 1e-9)


def test_hot_week_is_hotter():
    calm = play(site(), *FULL)
    run = play(site({"kind": "hot_week", "after_h": 2.0, "duration_h": 4.0, "warmer_k": 12.0}), *FULL)
    difference = run.weather.temp_c - calm.weather.temp_c

    assert difference[2:7].tolist() == pytest.approx([12.0] * 5)
    assert difference[8:].max() == 0
    assert "hot weeks" in run.weather.name


def overloads(run):
    """Ticks in which an event says that the meter shows more than it may."""
    ticks = len(run.outputs.tick_real)
    told, since = np.zeros(ticks, bool), None
    for kind, time_s in [*kinds(run), ("overload_over", run.scenario.run.days * 86_400)]:
        if kind == "overload":
            since = time_s
        elif kind == "overload_over" and since is not None:
            told[since // run.scenario.run.tick_s : time_s // run.scenario.run.tick_s] = True
            since = None
    return told


def test_a_hall_without_coolers_switches_its_racks_off_before_anything_boils():
    """All eleven banks out for a day: racks throttle, then trip, and come back once the water is cool again."""
    run = play(site({"kind": "dry_cooler_bank", "after_h": 2.0, "duration_h": 6.0, "count": 11}), *FULL)
    real = run.outputs.tick_real

    assert real[:, plant.TCS_SUPPLY_C].max() < 100
    assert [kind for kind, _ in kinds(run)].count("power_on") == 8
    assert run.state.faults["racks_tripped"][0] == 8
    assert cost(run, COST_JOBS)[0] >= 8
    assert not run.state.racks["is_off"].any()
    assert real[-1, plant.TCS_SUPPLY_C] == pytest.approx(40.0, abs=1e-6)


def test_racks_return_when_their_coolant_does_whichever_fault_took_it():
    """Three of six CDUs from 2 h to 5 h, the other three from 4 h to 20 h: dry from 4 h to 5 h only."""
    first = {"kind": "cdu", "after_h": 2.0, "duration_h": 3.0, "count": 3}
    second = {"kind": "cdu", "after_h": 4.0, "duration_h": 16.0, "count": 3}
    run = play(site(first, second), *FULL)

    assert [time_s for kind, time_s in kinds(run) if kind == "power_on"] == [5 * 3600 + 1800] * 8


def test_without_any_transformer_every_rack_goes_dark():
    run = play(site({"kind": "transformer", "after_h": 2.0, "duration_h": 1.0, "count": 3}), *FULL)
    events = kinds(run)

    assert [time_s for kind, time_s in events if kind == "trip"] == [7200] * 8
    assert [time_s for kind, time_s in events if kind == "power_on"] == [3 * 3600 + 1800] * 8


def test_an_order_below_idle_power_sheds_everything_and_says_that_it_is_not_enough():
    order = {"kind": "curtailment", "after_h": 2.0, "duration_h": 2.0, "limit_mw": 0.1}
    run = play(site(order), *FULL)
    over = run.outputs.tick_real[:, plant.SITE_KW] > run.outputs.tick_real[:, -1] * (1 + 1e-9)

    assert over.sum() == pytest.approx(120, abs=2)
    assert over.tolist() == overloads(run).tolist()
    assert cost(run, COST_JOBS) == [8]
    assert (run.outputs.node_limit_kw >= 0).all()


def test_only_the_fault_behind_the_limit_pays_for_it():
    """Two orders at once: the tighter one binds. A transformer less binds nobody."""
    loose = {"kind": "curtailment", "after_h": 2.0, "duration_h": 4.0, "limit_mw": 1.1}
    tight = {"kind": "curtailment", "after_h": 2.0, "duration_h": 4.0, "limit_mw": 0.8}
    spare = {"kind": "transformer", "after_h": 2.0, "duration_h": 4.0}
    run = play(site(tight, loose, spare), *FULL)
    slowed = cost(run, COST_SLOWED_GPU_S)

    assert slowed[0] > 0
    assert slowed[1:] == [0.0, 0.0]
    assert run.state.faults["bound_s"].tolist() == [4 * 3600, 0, 0]


def test_air_cooled_racks_do_not_miss_their_coolant():
    scenario = site({"kind": "cdu", "after_h": 2.0, "duration_h": 3.0, "count": 6})
    models = {
        name: model.model_copy(update={"liquid_fraction": 0.0})
        for name, model in scenario.rack_models.items()
    }
    run = play(scenario.model_copy(update={"rack_models": models}), *FULL)

    assert times(run, "failures") == [0] * 8


def test_racks_delivered_into_a_fault_stay_off_until_it_is_over():
    scenario = small_site(WHO, racks=2, days=33, tick_s=3600, build_out=((0, 72), (1, 72)))
    fault = Fault(kind="cdu", after_h=31 * 24 - 2, duration_h=10.0, count=6)
    run = play(scenario.model_copy(update={"faults": (fault,)}), (0, 144, 100, 0, BATCH))

    assert run.state.racks["broken_gpu_s"][1] == 72 * (8 * 3600 + 1800)
    assert not run.state.racks["is_off"].any()


PLACES = {"cdu": 0, "cdu_pump": 0, "ups_block": 0, "leak": 7, "dry_cooler_bank": 0, "transformer": 0}
MOST = {"cdu": 6, "cdu_pump": 12, "ups_block": 4, "leak": 1, "dry_cooler_bank": 11, "transformer": 2}


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(PLACES)),
            st.floats(0.5, 9.0),
            st.floats(0.05, 5.0),
            st.floats(0, 1),
            st.floats(0, 1),
        ),
        max_size=5,
    ),
    st.sampled_from([60, 300]),
)
def test_any_faults_keep_the_books_and_leave_no_trace(drawn, tick_s):
    """Whatever fails together: energy balances, nobody is lost, ratings hold, and hours later the plant is as it was."""
    faults = [
        {
            "kind": kind, "after_h": start, "duration_h": length,
            "place": round(PLACES[kind] * where), "count": max(1, round(MOST[kind] * many)),
        }
        for kind, start, length, where, many in drawn
    ]  # fmt: skip
    jobs = [(600 * n, 36, 20_000, 0, TRAINING if n % 2 else BATCH) for n in range(12)]
    scenario = site(*faults, site={"grid_mw": 2.0})
    scenario = scenario.model_copy(update={"run": scenario.run.model_copy(update={"tick_s": tick_s})})
    calm = play(scenario.model_copy(update={"faults": ()}), *jobs)
    run = play(scenario, *jobs)
    real = run.outputs.tick_real

    assert real[:, plant.BALANCE_ERROR].max() <= 1e-9
    check_room(run.state)
    check_books(run.state)
    allocated = run.state.jobs["allocated_gpu_s"].sum()
    assert allocated == run.outputs.tick_count[:, 2:5].sum()
    assert run.state.jobs["useful_gpu_s"].sum() + run.state.lost_gpu_s.sum() == pytest.approx(allocated)
    assert run.outputs.tick_count[:, 1].sum() == run.state.racks["broken_gpu_s"].sum()
    meter = real[:, plant.SITE_KW]
    over = meter > real[:, -1] * (1 + 1e-9)
    assert (
        over.tolist() == overloads(run).tolist()
    )  # whatever exceeds a rating is told, when it begins and when it ends
    if not run.state.racks["is_off"].any():
        idle = [plant.TCS_SUPPLY_C, plant.FWS_SUPPLY_C, plant.HALL_AIR_C]
        assert real[-1, idle] == pytest.approx(calm.outputs.tick_real[-1, idle], abs=0.05)
        if (run.state.jobs["end_s"] >= 0).all() and (calm.state.jobs["end_s"] >= 0).all():
            assert real[-1, plant.IT_KW] == pytest.approx(calm.outputs.tick_real[-1, plant.IT_KW], rel=1e-9)


@pytest.mark.parametrize(
    ("fault", "key", "words"),
    [
        ({"kind": "cdu", "after_h": 900.0}, "faults[0].after_h", "outside the run"),
        ({"kind": "cdu", "after_h": 1.0, "place": 9}, "faults[0].place", "allowed are 0 to 0"),
        ({"kind": "leak", "after_h": 1.0, "place": 8}, "faults[0].place", "allowed are 0 to 7"),
        ({"kind": "cdu", "after_h": 1.0, "count": 7}, "faults[0].count", "6 of them"),
        (
            {"kind": "curtailment", "after_h": 1.0, "duration_h": 1.0, "limit_mw": 5000.0},
            "faults[0].limit_mw",
            "no curtailment",
        ),
        (
            {"kind": "curtailment", "after_h": 1.0, "duration_h": 0.01, "limit_mw": 0.5},
            "faults[0].duration_h",
            "shorter than a tick",
        ),
    ],
)
def test_faults_that_the_site_cannot_have_are_refused(fault, key, words):
    with pytest.raises(ScenarioError, match=words.replace("(", r"\(")) as refused:
        play(site(fault), *FULL)
    assert refused.value.key == key


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cdu"},
        {"kind": "cdu", "after_h": 1.0, "limit_mw": 3.0},
        {"kind": "grid_dip", "after_h": 1.0, "duration_s": 0.1},
        {"kind": "curtailment", "after_h": 1.0, "limit_mw": 3.0},
        {"kind": "transformer", "after_h": 1.0, "place": 1},
        {"kind": "hot_week", "after_h": 1.0},
        {"kind": "grid_dip", "after_h": 1.0, "duration_s": 0.1, "residual_voltage_pu": 0.1, "count": 2},
    ],
)
def test_faults_that_make_no_sense_are_refused(fault):
    with pytest.raises(ValueError, match=r"give either|has no|needs"):
        Fault(**fault)


def test_drawn_faults_come_at_their_published_rates():
    """Over ten years of the default site each kind comes as often as its rate says, within four standard deviations."""
    import kvandal as kv
    from kvandal.twin.fault_list import FAULT_KINDS, list_faults
    from kvandal.twin.site import build_site

    scenario = kv.load("stargate-norway", {"run.days": 3650})
    arrays = build_site(scenario)
    faults = list_faults(scenario, arrays)
    counts = dict(zip(FAULT_KINDS, np.bincount(faults["kind"], minlength=len(FAULT_KINDS)), strict=True))
    expected = {"cdu_pump": 10 * arrays.pods * 12 * 0.05, "leak": 10 * 1389 * 0.01, "grid_dip": 60}

    for kind, mean in expected.items():
        assert abs(counts[kind] - mean) < 4 * mean**0.5
    assert (np.diff(faults["start_s"]) >= 0).all()
    assert faults["drawn"].all()
