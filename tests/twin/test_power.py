"""Who gives power up, in which order and when; and how a site comes back after a trip. Figures worked by hand.

A full rack of these sites draws 112.2 kW (0.85 of TDP), 85.2 kW of them above idle, and at the lowest cap of 0.43 still
38.6 kW above idle: 85.2 * (132 - 27 - 100.8 * 0.57) / (132 - 27). Idle racks with their network draw 37.8 kW.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, INFERENCE, TRAINING, check_books, check_room, play, small_site, tenant, times
from test_laws import sites

from kvandal.policy.rules import RULES
from kvandal.scenario.faults import Fault
from kvandal.twin import account
from kvandal.twin import plant_state as plant
from kvandal.twin.records import EVENTS, LOAN_REASONS, PART_CAPPED, PART_CUT
from kvandal.twin.simulate import simulate_jobs

ORDER_S, LIFTED_S, NOTICE_S = 7200, 18_000, 600
LENT, ASSURED, FIRM = 2, 1, 0


def ordered(limit_mw, who, *rows, racks=4, **options):
    """A site that is told after two hours to draw no more than `limit_mw` for three hours."""
    scenario = small_site(who, racks=racks, grid_mw=2.0, **options)
    order = Fault(kind="curtailment", after_h=2.0, duration_h=3.0, limit_mw=limit_mw)
    return play(scenario.model_copy(update={"faults": (order,)}), *rows)


def happened(run, *kinds):
    """Time, kind, job and rule of the events of some kinds."""
    events = run.state.events[: run.state.tally["events"][0]]
    return [
        (int(event["time_s"]), EVENTS[event["kind"]], int(event["job"]), RULES[int(event["rule"])][0])
        for event in events
        if EVENTS[event["kind"]] in kinds
    ]


def caps(run, tier, from_s, until_s):
    return run.outputs.tick_real[from_s // 60 : until_s // 60, account.CAP_COLUMN + tier]


def meter_kw(run, from_s=0, until_s=86_400):
    return run.outputs.tick_real[from_s // 60 : until_s // 60, plant.SITE_KW]


WHO = {
    "owner": tenant("firm", 0.25),
    "lab": tenant("assured", 0.25),
    "uk": tenant("lent", notice_s=NOTICE_S),
}
ROWS = [
    (0, 72, 90_000, 0, BATCH),
    (0, 72, 90_000, 1, BATCH),
    (0, 36, 90_000, 2, BATCH),
    (1800, 36, 90_000, 2, BATCH),
    (3600, 36, 90_000, 2, BATCH),
    (5400, 36, 90_000, 2, BATCH),
]
"""Four full racks draw 492 kW of IT, 520 kW at the meter; 399 kW of IT with lent work at its lowest cap, 352 kW with
assured work too, 305 kW with all."""


def test_a_little_less_power_caps_lent_work_only():
    run = ordered(0.45, WHO, *ROWS)

    assert happened(run, "recall", "shed") == []
    assert meter_kw(run, 5500, ORDER_S).min() > 500
    assert meter_kw(run, ORDER_S, LIFTED_S).max() <= 450 * (1 + 1e-9)
    assert caps(run, LENT, ORDER_S, LIFTED_S).max() < 1
    assert caps(run, ASSURED, 0, 86_400).min() == caps(run, FIRM, 0, 86_400).min() == 1
    assert caps(run, LENT, LIFTED_S + 60, 86_400).min() == 1


def test_then_assured_work_is_capped_and_still_nobody_is_recalled():
    run = ordered(0.40, WHO, *ROWS)

    assert happened(run, "recall", "shed") == []
    assert meter_kw(run, ORDER_S, LIFTED_S).max() <= 400 * (1 + 1e-9)
    assert caps(run, LENT, ORDER_S, LIFTED_S) == pytest.approx(0.43)
    assert caps(run, ASSURED, ORDER_S, LIFTED_S).max() < 1
    assert caps(run, FIRM, 0, 86_400).min() == 1


def test_a_cap_on_firm_work_lasts_as_long_as_the_notice_of_one_loan():
    """160 kW less at the meter are 152 kW of IT; caps on lent and assured work give 140. Half a rack of lent work is enough:
    it frees 19 kW.

    The newest loan loses least: it has no checkpoints and has run for half an hour. Firm work is capped within the tick,
    and for ten minutes only.
    """
    run = ordered(0.36, WHO, *ROWS)

    assert happened(run, "recall", "shed") == [(ORDER_S, "recall", 5, "E3")]
    loans = run.state.loans[: run.state.tally["loans"][0]]
    assert loans["returned_s"][loans["job"] == 5].tolist() == [ORDER_S + NOTICE_S, -1][: len(loans) - 3]
    assert meter_kw(run, ORDER_S, LIFTED_S).max() <= 360 * (1 + 1e-9)
    assert caps(run, FIRM, ORDER_S, ORDER_S + NOTICE_S).max() < 1
    assert caps(run, FIRM, ORDER_S + NOTICE_S + 60, 86_400).min() == 1
    assert times(run, "recalls") == [0, 0, 0, 0, 0, 1]


def test_what_no_cap_can_hold_is_shed_at_once_and_the_rest_recalled():
    """The 200 kW that the meter must fall are more than the 187 kW that all caps give: half a rack goes at once.

    Lent and assured caps give 117 kW of the 147 kW of IT that then remain to be freed: two half racks get notice, not three.
    """
    run = ordered(0.32, WHO, *ROWS)

    assert happened(run, "recall", "shed") == [
        (ORDER_S, "shed", 5, "E2"),
        (ORDER_S, "recall", 3, "E3"),
        (ORDER_S, "recall", 4, "E3"),
    ]
    assert meter_kw(run, ORDER_S, LIFTED_S).max() <= 320 * (1 + 1e-9)
    assert caps(run, FIRM, ORDER_S, ORDER_S + NOTICE_S).max() < 0.7
    assert caps(run, FIRM, ORDER_S + NOTICE_S + 60, 86_400).min() == 1
    cut_h = run.state.part_gpu_s[PART_CUT] / 3600
    assert cut_h[[2, 5]].tolist() == [0.0, 36 * 0.5]  # the shed job had run for half an hour
    assert cut_h[3:5] == pytest.approx(run.state.lost_gpu_s[1, 3:5] / 3600)


def test_services_go_before_work_that_would_be_lost():
    """Services lose a restart only, training that saves its state little more, work without checkpoints all of it."""
    rows = [*ROWS[:2], *((0, 36, 90_000, 2, kind) for kind in (BATCH, TRAINING, BATCH, INFERENCE))]
    services = ordered(0.32, WHO, *rows)
    training = ordered(0.35, WHO, *rows[:-1])

    assert happened(services, "shed") == [(ORDER_S, "shed", 5, "E2")]
    assert happened(training, "recall") == [(ORDER_S, "recall", 3, "E3")]


def test_assured_tenants_give_in_proportion():
    """From 429 kW to 260: caps give 140 of 169, two half racks must go: one of each lab, first of the one that holds all that it deserves, its newer job first."""
    who = {
        "owner": tenant("firm", 0.25),
        "full": tenant("assured", 0.25),
        "half": tenant("assured", 0.40),
    }
    rows = [
        (0, 72, 90_000, 0, BATCH),
        (0, 36, 90_000, 1, BATCH),
        (60, 36, 90_000, 1, BATCH),
        (120, 36, 90_000, 2, BATCH),
        (180, 36, 90_000, 2, BATCH),
    ]
    run = ordered(0.26, who, *rows)

    assert happened(run, "recall", "shed") == [(ORDER_S, "shed", 2, "E2"), (ORDER_S, "shed", 4, "E2")]
    assert meter_kw(run, ORDER_S, LIFTED_S).max() <= 260 * (1 + 1e-9)


def test_a_contract_without_the_clause_gives_last():
    """Of two firm tenants the curtailable one is capped, and then shed, before the other notices anything."""
    who = {
        "open": tenant("firm", 0.5).model_copy(update={"curtailable": True}),
        "held": tenant("firm", 0.5),
    }
    rows = [(0, 72, 90_000, 0, BATCH), (0, 72, 90_000, 1, BATCH)]
    mild = ordered(0.30, who, *rows)
    hard = ordered(0.22, who, *rows)

    assert happened(mild, "shed") == []
    assert mild.state.part_gpu_s[PART_CAPPED][0] > 3600 * 72 * 0.1
    assert mild.state.part_gpu_s[PART_CAPPED][1] == 0
    assert [job for _, _, job, _ in happened(hard, "shed")] == [0]
    assert times(hard, "sheds") == [1, 0]


def test_power_is_lost_by_the_hour_and_the_cap():
    """A service of four racks under a steady cap p works at ((p - 0.15) / 0.85)^0.25 of its speed."""
    run = ordered(0.32, {"uk": tenant("lent")}, (0, 256, 90_000, 0, INFERENCE))
    p = caps(run, LENT, ORDER_S, LIFTED_S)
    lost_s = 256 * 60 * (1 - ((p - 0.15) / 0.85) ** 0.25).sum()

    assert lost_s > 0
    assert run.state.part_gpu_s[PART_CAPPED].tolist() == [pytest.approx(lost_s, rel=5e-3)]
    assert run.state.part_gpu_s[PART_CUT].tolist() == [0.0]


@settings(max_examples=40)
@given(sites(failures=False), st.floats(0.05, 0.9), st.floats(1.0, 8.0))
@pytest.mark.slow
def test_any_order_is_kept_and_in_the_order_of_the_rules(asked, part, length_h):
    """The meter holds while anything can give; nobody is shed while a loan still runs; books and room are right."""
    scenario, jobs = asked
    racks = scenario.site.racks
    limit_mw = racks * (0.0455 + part * 0.12)
    order = Fault(kind="curtailment", after_h=5.0, duration_h=length_h, limit_mw=limit_mw)
    site = scenario.site.model_copy(update={"grid_mw": 1000.0})
    run = simulate_jobs(scenario.model_copy(update={"faults": (order,), "site": site}), jobs)
    real, count = run.outputs.tick_real, run.outputs.tick_count

    check_room(run.state)
    check_books(run.state)
    over = real[:, plant.SITE_KW] > real[:, account.METER_LIMIT_COLUMN] * (1 + 1e-9)
    floor = scenario.rack_models["gb300_nvl72"].cap_minimum_fraction
    held = count[:, account.TICK_FIRM : account.TICK_LENT + 1]
    low = real[:, account.CAP_COLUMN : account.CAP_COLUMN + 3]
    assert (np.where(held[over] > 0, low[over], floor) <= floor + 1e-9).all()
    assert run.state.lost_gpu_s[2] == pytest.approx(
        run.state.lost_gpu_s[2].clip(min=run.state.part_gpu_s[PART_CAPPED]), abs=1e-3
    )
    loans = run.state.loans[: run.state.tally["loans"][0]]
    shed_reason = LOAN_REASONS.index("shed")
    for time_s, _, job, _ in happened(run, "shed"):
        mine = (loans["job"] == job) & (loans["returned_s"] == time_s) & (loans["reason"] == shed_reason)
        if not mine.any():
            after = (loans["returned_s"] < 0) | (loans["returned_s"] > time_s)
            assert not (after & (loans["start_s"] < time_s)).any()


def dipped(ramp_mw_per_min, *rows):
    """Eight racks without UPS that a voltage dip takes down after two hours."""
    scenario = small_site({"firm": tenant("firm", 1.0)}, racks=8, grid_mw=2.0)
    dip = Fault(kind="grid_dip", after_h=2.0, residual_voltage_pu=0.3, duration_s=0.15)
    changes = {
        "faults": (dip,),
        "power": scenario.power.model_copy(update={"ups_mode": "none"}),
        "grid": scenario.grid.model_copy(update={"start_ramp_mw_per_min": ramp_mw_per_min}),
    }
    return play(scenario.model_copy(update=changes), *rows)


SMALL_JOBS = [(0, 8, 100_000, 0, BATCH)] * 72


def test_after_a_trip_the_site_comes_back_along_the_ramp():
    """From 103 to 1,029 kW at 50 kW a minute: 18 and a half minutes after the first rack is back, minute by minute."""
    run = dipped(0.05, *SMALL_JOBS)
    kw = meter_kw(run)
    before, after = kw[119], kw[121]
    back_on = [time_s for time_s, *_ in happened(run, "power_on")]
    first_s = 7200 + 1 + 1800

    assert (before, after) == (pytest.approx(1029, abs=2), pytest.approx(103, abs=1))
    assert back_on[0] == first_s
    steps_s = np.diff(back_on)  # 27 kW idle with 30 % overhead every 42.1 s
    assert steps_s == pytest.approx(27 * 1.3 / 50 * 60, abs=1)
    back = np.flatnonzero(kw[121:] >= before * 0.999)[0] + 121
    assert np.diff(kw[121 : back + 1]).max() <= 50 * (1 + 1e-3)
    minutes = (before - after) / 50
    assert minutes <= back - first_s // 60 <= minutes + 2
    assert happened(run, "recovery", "recovery_over") == [
        (first_s, "recovery", -1, "E4"),
        ((back + 1) * 60, "recovery_over", -1, "E4"),
    ]
    assert happened(run, "shed", "recall") == []
    assert run.outputs.bound_s[0, plant.START_RAMP] > 0


def test_without_a_ramp_everything_returns_at_once():
    run = dipped(0.0, *SMALL_JOBS)
    kw = meter_kw(run)

    assert {time_s for time_s, *_ in happened(run, "power_on")} == {9001}
    assert kw[151] - kw[149] > 900
    assert happened(run, "recovery", "recovery_over") == []


def test_a_job_larger_than_the_ramp_waits_its_turn_and_is_not_forgotten():
    """Half the site each: at the lowest cap, with 45 % of their power, they still step by more than 50 kW a minute.

    Between such steps caps lift along the ramp.
    """
    run = dipped(0.05, *[(0, 256, 100_000, 0, BATCH)] * 2)
    kw = meter_kw(run)
    idle_kw = kw[157]
    rises = np.sort(np.diff(kw[121:]))

    assert idle_kw == pytest.approx(8 * 37.8 * 1.06, rel=0.01)
    assert times(run, "starts") == [2, 2]
    assert 50 < rises[-1] < 0.46 * (kw[119] - idle_kw)
    assert rises[-3] <= 50 * (1 + 1e-3)
    assert [kind for _, kind, *_ in happened(run, "recovery", "recovery_over")] == [
        "recovery",
        "recovery_over",
    ]


def test_a_few_racks_do_not_make_a_trip_of_the_site():
    """The ramp of 10 MW a minute is more than eight racks can draw."""
    run = dipped(10.0, *SMALL_JOBS)

    assert happened(run, "recovery") == []
    assert {time_s for time_s, *_ in happened(run, "power_on")} == {9001}
