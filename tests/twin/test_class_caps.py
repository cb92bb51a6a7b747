"""Power caps per GPU as a class of demand sets them: less power, slower work, nothing else."""

import numpy as np
import pytest
from small_sites import BATCH, TRAINING, play, small_site, tenant, times

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.twin import plant_state as plant


def capped(cap, **changes):
    scenario = small_site({"firm": tenant("firm", 1.0)}, racks=1)
    classes = {
        name: demand.model_copy(update={"gpu_cap_fraction": cap, **changes})
        for name, demand in scenario.demand.items()
    }
    return scenario.model_copy(update={"demand": classes})


@pytest.mark.parametrize(
    ("kind", "changes", "speed"),
    [
        (TRAINING, {}, (0.65 / 0.85) ** 0.5),
        (BATCH, {}, (0.65 / 0.85) ** 0.25),
        (BATCH, {"perf_exponent": 0.13}, 0.9657),
    ],
)
def test_a_cap_of_80_percent_slows_each_kind_of_work_by_its_own_curve(kind, changes, speed):
    """((p - 0.15) / 0.85)^beta: training loses 13 %, inference-like work 6 %, tuned profiles 3 %."""
    full, less = (
        play(capped(1.0), (0, 72, 10_000, 0, kind)),
        play(capped(0.8, **changes), (0, 72, 10_000, 0, kind)),
    )
    ran_s = np.array(times(full, "end_s"))[0]

    assert times(less, "end_s")[0] == pytest.approx(ran_s / speed, rel=1e-4)
    assert less.state.jobs["useful_gpu_s"][0] == full.state.jobs["useful_gpu_s"][0]


def test_power_falls_by_what_the_gpus_give_up():
    """80 % of 100.8 kW is 20.16 kW less at full load; in proportion at the load of the class."""
    row = (0, 72, 10_000, 0, BATCH)
    full, less, idle = (
        run.outputs.tick_real[30, plant.IT_KW]
        for run in (play(capped(1.0), row), play(capped(0.8), row), play(capped(1.0)))
    )

    assert (less - idle) / (full - idle) == pytest.approx((105 - 20.16) / 105, rel=1e-6)


def test_a_cap_at_the_offset_is_refused():
    with pytest.raises(ScenarioError, match=r"does no work; nearest possible value 0\.16"):
        kv.load("stargate-norway", {"demand.national.gpu_cap_fraction": 0.15})
