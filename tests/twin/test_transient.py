"""Seconds: what the criteria measure, what the mitigations do, and that no energy is lost."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvandal as kv
from kvandal.scenario.grid import GridRequirement
from kvandal.twin import criteria, swing, transient
from kvandal.twin.running import NEVER_S, Running
from kvandal.twin.swing import trapezoid

STEP_S = 0.02
LEAD = round(transient.LEAD_S / STEP_S)
SCENARIO = kv.load("stargate-norway")
REQUIREMENT = GridRequirement()


def window(gpus=(1024,), kinds=None, seconds=60, changes=None, **fields):
    """A window of jobs that run throughout, 1 kW above idle and 0.4 kW idle a GPU; `changes` are of the scenario."""
    count = len(gpus)
    sizes = np.array(gpus, np.int64)
    running = Running(
        job=np.arange(count, dtype=np.int64),
        kind=np.array(kinds if kinds is not None else [0] * count, np.int64),
        gpus=sizes,
        above_kw=1.0 * sizes,
        idle_kw=0.4 * sizes,
        peak_kw=2.0 * sizes,
        start_s=np.zeros(count),
        work_s=np.zeros(count),
        dump_s=np.full(count, 30.0),
        loan=np.full(count, -1),
        on_s=np.zeros(count),
        off_s=np.full(count, NEVER_S),
    )
    if fields:
        running = replace(running, **{name: np.array(values, float) for name, values in fields.items()})
    scenario = SCENARIO
    for part, values in (changes or {}).items():
        scenario = scenario.model_copy(update={part: getattr(scenario, part).model_copy(update=values)})
    return transient.Window(
        scenario=scenario,
        running=running,
        base_kw=0.4 * sizes.sum() + 100.0,
        loss_fraction=0.03,
        other_kw=50.0,
        start_s=3600.0,
        seconds=seconds,
        step_s=STEP_S,
        ticks_mw=0.0,
    )


def case(asked, name="none"):
    return transient.simulate_case(asked, transient.waves(asked), **transient.acts(name))


def figures(values):
    return criteria.figures(values, STEP_S, LEAD, REQUIREMENT)


# what is measured


@given(st.floats(0.5, 50), st.floats(0.15, 15))
def test_the_strongest_oscillation_of_a_sine_is_its_amplitude(amplitude_mw, frequency_hz):
    """On a bin or between two, within 2 %; all its energy is in the band."""
    times = np.arange(LEAD + 300 / STEP_S) * STEP_S
    found = figures(150 + amplitude_mw * np.sin(2 * np.pi * frequency_hz * times))

    assert found.line_mw == pytest.approx(amplitude_mw, rel=0.02)
    assert found.line_hz == pytest.approx(frequency_hz, abs=1 / 300)
    assert found.band_share == pytest.approx(1, abs=1e-3)
    assert found.band_rms_mw == pytest.approx(amplitude_mw / math.sqrt(2), rel=0.02)
    assert found.range_mw == pytest.approx(2 * amplitude_mw, rel=0.06)


def test_a_slow_sine_ramps_by_its_steepest_slope():
    """A MW at f Hz rise by 2πfA per second; a period of an hour is hardly bent within a minute."""
    amplitude_mw, frequency_hz = 40.0, 1 / 3600
    times = np.arange(3600 / STEP_S) * STEP_S
    found = criteria.figures(
        100 - amplitude_mw * np.cos(2 * np.pi * frequency_hz * times), STEP_S, LEAD, REQUIREMENT
    )

    assert found.ramp_up_mw_per_min == pytest.approx(2 * np.pi * frequency_hz * amplitude_mw * 60, rel=1e-3)
    assert found.steepest_mw_per_s == pytest.approx(2 * np.pi * frequency_hz * amplitude_mw, rel=1e-3)
    assert found.band_share == pytest.approx(0, abs=1e-4)


def test_a_steady_ramp_is_its_slope():
    """12 MW a minute, upwards: the fall is 0, the range that of ten seconds."""
    times = np.arange(LEAD + 120 / STEP_S) * STEP_S
    found = figures(100 + 0.2 * times)

    assert found.ramp_up_mw_per_min == pytest.approx(12)
    assert found.ramp_down_mw_per_min == 0
    assert found.range_mw == pytest.approx(2)
    assert criteria.verdict(found, REQUIREMENT)["ramp"] is False


def test_a_constant_keeps_every_requirement():
    """Nothing fluctuates: no share of energy is known, and nothing is broken."""
    found = figures(np.full(LEAD + 3000, 180.0))

    assert found.band_share is None
    assert all(criteria.verdict(found, REQUIREMENT).values())


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(0, 70))
def test_the_range_is_that_of_the_slow_way(values, steps):
    """Doubling windows find what looking at every pair finds."""
    array = np.array(values)
    slow = max(np.ptp(array[first : first + steps + 1]) for first in range(len(array)))

    assert criteria.range_within(array, steps) == pytest.approx(slow)


# the wave


@given(st.floats(0.2, 0.8), st.floats(0.01, 0.15))
def test_a_trapezoid_has_the_mean_of_its_compute_share(share, edge):
    """Its edges are symmetrical about the crossings of one half."""
    phases = (np.arange(20_000) + 0.5) / 20_000
    levels = [trapezoid(phase, share, edge) for phase in phases]

    assert np.mean(levels) == pytest.approx(share, abs=1e-3)
    assert min(levels) == 0
    assert max(levels) == 1


def test_one_swinging_job_shows_its_swing_at_its_frequency():
    """A trapezoid of swing S, compute share d has a first harmonic of (2 S / π) sin(π d), less by its edges' sinc."""
    asked = window(changes={"swing": {"noise_fraction": 0.0}}, seconds=300)
    (wave,) = transient.waves(asked)
    found = figures(case(asked).grid_mw)
    swing_mw = (wave["high_kw"] - wave["low_kw"]) / 1000 * 1.03
    first = 2 / math.pi * swing_mw * math.sin(math.pi * 0.7) * np.sinc(0.15 * wave["frequency_hz"])

    assert swing_mw == pytest.approx(0.35 * 1.4 * 1.024 * 1.03)
    assert found.line_hz == pytest.approx(wave["frequency_hz"], abs=1 / 300)
    assert found.line_mw == pytest.approx(first, rel=0.03)


def test_swinging_leaves_the_mean_where_the_run_had_it():
    """So does every bound: the racks' peak, and nothing below idle."""
    for amplitude, peak_kw in ((0.35, 2.0), (0.6, 1.5), (1.0, 9.0)):
        asked = window(
            (512, 4096),
            changes={"swing": {"amplitude_fraction": amplitude}},
            peak_kw=[512 * peak_kw, 4096 * peak_kw],
        )
        levels = transient.waves(asked)
        mean_kw = 0.7 * levels["high_kw"] + 0.3 * levels["low_kw"]
        assert mean_kw == pytest.approx(asked.running.above_kw)
        assert (levels["low_kw"] >= 0).all()
        assert (levels["high_kw"] <= asked.running.peak_kw - asked.running.idle_kw + 1e-9).all()


def test_rhythms_are_of_the_job_alone():
    """Another job beside it changes neither its frequency nor its phase; larger jobs are slower on average."""
    alone, together = transient.waves(window((1024,))), transient.waves(window((1024, 8192)))
    assert alone[["frequency_hz", "phase"]][0] == together[["frequency_hz", "phase"]][0]
    small = transient.waves(window((8,) * 200))["frequency_hz"].mean()
    large = transient.waves(window((16_384,) * 200))["frequency_hz"].mean()
    assert large < 0.5 * small
    assert large >= transient.SLOWEST_HZ


def test_checkpoints_are_dips_of_their_length():
    """Every 600 s of work the job waits for its checkpoint at the level of communication."""
    asked = window(
        seconds=900,
        changes={"swing": {"noise_fraction": 0.0}, "reliability": {"checkpoint_s": 30.0}},
        work_s=[600.0],
    )
    (wave,) = transient.waves(asked)
    at_kw = case(asked).demanded_mw[LEAD:] * 1000 - asked.base_kw
    low_s = at_kw <= wave["low_kw"] + 1e-6
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], low_s.astype(int), [0]])))) * STEP_S

    assert runs[::2].max() == pytest.approx(30, abs=3)
    assert (runs[::2] > 20).sum() == 1 or (runs[::2] > 20).sum() == 2


# laws

JOBS = st.lists(st.sampled_from([8, 64, 512, 2048, 16_384]), min_size=1, max_size=6)


@settings(max_examples=25)
@given(
    JOBS, st.floats(0, 1), st.floats(0, 5000), st.floats(0, 30), st.sampled_from(transient.CASES), st.data()
)
def test_energy_is_conserved(gpus, floor, storage_j, battery_mw, name, data):
    """Grid = work + burned - put off + stored + lost, whatever starts, stops, burns and stores."""
    kinds = data.draw(st.lists(st.integers(0, 2), min_size=len(gpus), max_size=len(gpus)))
    asked = window(
        gpus,
        kinds,
        changes={
            "swing": {"floor_fraction": floor, "storage_j_per_gpu": storage_j},
            "power": {
                "bess_power_mw": battery_mw,
                "bess_energy_mwh": data.draw(st.sampled_from([0.001, 0.1, 20.0])),
            },
        },
        on_s=data.draw(
            st.lists(st.sampled_from([0.0, 3550.0, 3610.0]), min_size=len(gpus), max_size=len(gpus))
        ),
        off_s=data.draw(
            st.lists(st.sampled_from([NEVER_S, 3620.0, 3655.5]), min_size=len(gpus), max_size=len(gpus))
        ),
        work_s=[300.0] * len(gpus),
    )
    balance = transient.balance_mwh(asked, case(asked, name))

    assert balance["error"] < 1e-9


def test_a_floor_of_one_removes_all_swing():
    """The GPUs burn at their peak throughout; what that costs is accounted."""
    asked = window((1024, 64), changes={"swing": {"floor_fraction": 1.0}})
    series = case(asked, "floor")

    assert np.ptp(series.grid_mw) < 1e-9
    assert transient.balance_mwh(asked, series)["burned"] > 0


def test_without_amplitude_nothing_swings():
    """Nor with a floor of zero, nor with storage."""
    asked = window((1024, 64), changes={"swing": {"amplitude_fraction": 0.0, "floor_fraction": 0.0}})
    for name in transient.CASES:
        assert np.ptp(case(asked, name).grid_mw) < 1e-9


@settings(max_examples=20)
@given(JOBS, st.lists(st.floats(0, 8), min_size=2, max_size=2))
def test_more_battery_never_widens_the_range(gpus, powers):
    """A battery that answers at once and holds enough energy only ever moves the grid towards its target."""
    asked = window(gpus, changes={"swing": {"battery_response_s": 0.0}})
    less, more = (
        case(
            replace(
                asked,
                scenario=asked.scenario.model_copy(
                    update={"power": asked.scenario.power.model_copy(update={"bess_power_mw": power})}
                ),
            ),
            "battery",
        ).grid_mw
        for power in sorted(powers)
    )

    assert np.ptp(more) <= np.ptp(less) + 1e-9


@given(st.floats(10, 2000))
def test_rack_storage_never_adds_to_a_swing(storage_j):
    """It follows the load more slowly, within the energy that it has."""
    asked = window((1024,), changes={"swing": {"storage_j_per_gpu": storage_j}}, seconds=20)
    series = case(asked, "storage")

    assert series.supplied_mw.max() <= series.drawn_mw.max() + 1e-9
    assert series.supplied_mw.min() >= series.drawn_mw.min() - 1e-9
    assert series.rack_storage_mwh.min() >= 0
    assert series.rack_storage_mwh.max() <= 1024 * storage_j / 3.6e9 + 1e-15


def test_storage_of_65_joules_filters_only_what_is_fast():
    """A rack's 4.7 kJ are 35 ms at 132 kW: half a hertz passes, twenty hertz hardly."""
    storage_s = 72 * 65 / 132_000
    assert storage_s == pytest.approx(0.035, abs=0.001)
    asked = window((1024,), changes={"swing": {"storage_j_per_gpu": 65.0}}, seconds=300)
    hz, before, _ = criteria.spectrum(case(asked).grid_mw[LEAD:], STEP_S)
    _, after, _ = criteria.spectrum(case(asked, "storage").grid_mw[LEAD:], STEP_S)
    slow, fast = (hz > 0.2) & (hz < 1), (hz > 5) & (hz < 20)

    assert after[slow].max() > 0.85 * before[slow].max()
    assert after[fast].max() < 0.4 * before[fast].max()


# stops


def test_a_stop_of_everything_falls_within_a_second_and_is_ramped_by_the_floor():
    """Unmitigated the whole power above idle goes at once; programmed ramps take it down at nine tenths of the limit."""
    asked = window((16_384,) * 4, seconds=120, changes={"swing": {"floor_fraction": 1.0}})
    stopped, gpus = transient.stopped(asked, at_s=40, largest_only=False)
    assert gpus == 4 * 16_384
    bare, ramped = figures(case(stopped).grid_mw), figures(case(stopped, "floor").grid_mw)

    assert bare.steepest_mw_per_s > 40
    assert bare.ramp_down_mw_per_min > 50
    assert ramped.ramp_down_mw_per_min == pytest.approx(9, rel=0.01)
    held = figures(case(stopped, "all").grid_mw)
    assert held.ramp_down_mw_per_min < 10


def test_only_the_largest_job_is_stopped():
    """Of two, the one with more GPUs; nothing is stopped where nothing runs."""
    asked = window((64, 4096))
    stopped, gpus = transient.stopped(asked, at_s=10, largest_only=True)
    assert gpus == 4096
    assert (stopped.running.off_s == 3610).tolist() == [False, True]
    _, none = transient.stopped(window((64,), on_s=[3700.0]), at_s=10, largest_only=True)
    assert none == 0


def test_a_start_is_ramped_and_put_off():
    """Programmed ramps hold back what a starting job asks for; that energy is put off, not lost from sight."""
    asked = window((16_384,), on_s=[3620.0], seconds=100)
    bare, ramped = case(asked), case(asked, "floor")

    assert figures(bare.grid_mw).ramp_up_mw_per_min > 15
    assert figures(ramped.grid_mw).ramp_up_mw_per_min < 9.1
    assert transient.balance_mwh(asked, ramped)["put_off"] < -0.1


def test_noise_has_its_deviation():
    """Jobs are independent: deviations add in squares."""
    white = np.random.default_rng(1).standard_normal(400_000)
    swing.correlated_noise(white, STEP_S, 2.0)
    assert white.std() == pytest.approx(1, abs=0.05)
    asked = window((1000,) * 100, [2] * 100, seconds=900)
    series = case(asked).demanded_mw

    assert series.std() == pytest.approx(0.03 * 1.0 * math.sqrt(100), rel=0.2)
