"""Power of racks is reckoned where something happened: the sums are those of all racks, in every tick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sites import BATCH, play, small_site, table, tenant

from kvandal.scenario.faults import Fault
from kvandal.twin import plant_state as plant
from kvandal.twin.records import POWER_TIERS
from kvandal.twin.simulate import go_on, new_outputs, prepare, simulate_jobs
from kvandal.twin.snapshot import Recorder, jobs_mark, unpacked

WHO = {"a": tenant("firm", 0.5), "b": tenant("assured", 0.3), "c": tenant("lent", notice_s=30)}
FAULTS = (
    Fault(kind="cdu", after_h=3.0, duration_h=2.0, count=5),
    Fault(kind="cdu", after_h=8.0, duration_h=1.0, count=6),
    Fault(kind="ups_block", after_h=10.0, duration_h=2.0, count=2),
    Fault(kind="curtailment", after_h=14.0, duration_h=3.0, limit_mw=0.5),
)
"""Too little coolant, none at all, too few power blocks, an order to draw less: limits, trips, returns and caps."""


def busy_site(racks=8, tick_s=60, grid_mw=1000.0, faults=FAULTS):
    return small_site(WHO, racks=racks, tick_s=tick_s, grid_mw=grid_mw).model_copy(update={"faults": faults})


def jobs_of(seed, count=150):
    random = np.random.default_rng(seed)
    return table(
        *(
            (
                int(random.integers(0, 80_000)),
                int(random.integers(1, 145)),
                int(random.integers(10, 20_000)),
                int(random.integers(0, 3)),
                BATCH,
            )
            for _ in range(count)
        )
    )


def in_pieces(scenario, jobs, step):
    """Turn the loop `step` ticks at a time: each call reckons all racks anew."""
    start = prepare(scenario, jobs)
    run = simulate_jobs(scenario, jobs, recorder=(recorder := Recorder(scenario, jobs, every_days=1)))
    state, plant_state, _ = unpacked(recorder.snapshots[0], start.state, start.plant, jobs_mark(jobs))
    outputs = new_outputs(start)
    ticks = len(outputs.tick_real)
    for tick in range(0, ticks, step):
        state = go_on(start, state, plant_state, outputs, tick, min(ticks, tick + step))
    return run, state, outputs


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([1, 7]), st.sampled_from([60, 300]), st.sampled_from([1000.0, 0.7])
)
def test_reckoning_all_racks_in_every_tick_gives_the_same_bits(seed, step, tick_s, grid_mw):
    """Through limits, trips, caps and returns: a rack in which nothing happened draws what it drew."""
    run, state, outputs = in_pieces(busy_site(tick_s=tick_s, grid_mw=grid_mw), jobs_of(seed), step)

    for name in ("tick_real", "hall_hour", "pod_hour", "rack_hour", "node_limit_kw"):
        assert getattr(outputs, name).tobytes() == getattr(run.outputs, name).tobytes(), name
    assert state.racks["energy_kwh"].tobytes() == run.state.racks["energy_kwh"].tobytes()
    assert state.racks["peak_kw"].tobytes() == run.state.racks["peak_kw"].tobytes()


def test_the_story_above_meets_every_case():
    """Something is limited, tripped and capped in it, or the law would say little."""
    run = play(busy_site(), *zip(*_rows(jobs_of(3)), strict=True))
    constraints = set(run.outputs.node_constraint[run.outputs.node_constraint >= 0].tolist())

    assert {plant.CDU_RATING, plant.POWER_BLOCK, plant.CURTAILMENT} <= constraints
    assert run.outputs.bound_s[:, [plant.CDU_RATING, plant.POWER_BLOCK]].sum() > 0
    assert (run.state.faults["racks_tripped"] > 0).any()


def _rows(jobs):
    return (jobs.submit_s, jobs.gpus, jobs.work_s, jobs.tenant, jobs.demand)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_sums_of_nodes_are_those_of_their_racks(seed):
    """Whole milliwatts come and go a thousand times and leave nothing behind."""
    scenario, jobs = busy_site(), jobs_of(seed)
    looked = []

    def look(state, _tick):
        for name, above in (("pod_mw", state.racks["pod"]), ("group_mw", state.racks["group"])):
            sums = getattr(state, name)
            expected = np.zeros_like(sums)
            for tier in range(POWER_TIERS):
                np.add.at(expected[:, tier], (above, state.racks["model"]), state.rack_tiers["mw"][:, tier])
            assert (sums == expected).all()
        looked.append(int(state.rack_tiers["mw"].sum()))

    simulate_jobs(scenario, jobs, watch=look, watch_ticks=60)

    assert max(looked) > 0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([60, 300, 3600]))
def test_energy_of_racks_is_that_of_the_ticks(seed, tick_s):
    """Energy counted at changes is the sum over ticks to 1e-12, by hour and in all; single precision holds an hour."""
    scenario = busy_site(tick_s=tick_s)
    run = simulate_jobs(scenario, jobs_of(seed))
    racks = run.state.racks
    net_kw = run.site.net_kw * len(racks)
    ticks_kwh = (run.outputs.tick_real[:, plant.IT_KW] - net_kw) * tick_s / 3600
    hours_kwh = ticks_kwh.reshape(24, -1).sum(axis=1)

    assert racks["energy_kwh"].sum() == pytest.approx(ticks_kwh.sum(), rel=1e-12)
    assert run.outputs.rack_hour.sum(axis=1, dtype=np.float64) == pytest.approx(hours_kwh, rel=1e-7)
    assert racks["energy_kwh"] == pytest.approx(racks["counted_kwh"], rel=1e-15)
