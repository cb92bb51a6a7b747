"""A few minutes of a run at 20 to 100 ms: training swings, starts and stops, and what smooths them at the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kvandal.randomness import stream
from kvandal.scenario.model import Scenario
from kvandal.twin import swing
from kvandal.twin.plant_state import DEMAND_KW, IT_KW, LOSSES_KW, Plant
from kvandal.twin.running import NEVER_S, Running, joined, running_jobs
from kvandal.twin.simulate import Start, go_on, new_outputs
from kvandal.twin.state import State

Array = Any

LEAD_S = 120
"""Simulated before the window so that lags have settled and the first minute's ramps are known [s]."""
REFERENCE_GPUS = 1024
"""A job of this size swings at the scenario's frequency; a larger one more slowly."""
SIZE_EXPONENT = 0.25
"""Frequency falls with the size of a job to this power (judgement: larger jobs take longer steps)."""
FREQUENCY_SPREAD = 0.25
"""Standard deviation of the logarithm of a job's frequency (judgement)."""
SLOWEST_HZ, FASTEST_HZ = 0.2, 3.0
"""Frequencies of synchronous training (arXiv 2508.14318) [Hz]; the scenario's own frequency may lie outside."""
NOISE_MEMORY_S = 2.0
"""Time over which the power of batch and inference jobs remembers [s] (judgement)."""
LONGEST_FOLLOW_S = 10.0
"""Slowest that the racks' storage follows the load [s]."""
RAMP_USE = 0.9
"""Share of the ramp limit that programmed ramps and the battery's target use."""
CASES = ("none", "floor", "storage", "battery", "all")
"""No mitigation, each alone, all together."""


@dataclass(frozen=True)
class Window:
    """What a window starts from.

    Attributes
    ----------
    scenario : the run's, with the requirement and mitigations asked for
    running : jobs at some time of the window or of the lead before it
    base_kw : racks idle, network, storage, management [kW]
    loss_fraction : losses over IT power, held
    other_kw : cooling and everything else that does not follow within seconds [kW]
    start_s : start of the window [s after the start of the run]
    seconds : its length [s]
    step_s : length of a step [s]
    ticks_mw : what the run's ticks say of the window: mean site power

    """

    scenario: Scenario
    running: Running
    base_kw: float
    loss_fraction: float
    other_kw: float
    start_s: float
    seconds: int
    step_s: float
    ticks_mw: float


@dataclass(frozen=True)
class Series:
    """One case over lead and window, float64 (steps,): MW, MWh.

    Attributes
    ----------
    demanded_mw : IT power that the work asks for
    drawn_mw : IT power of the GPUs under floor and ramps
    supplied_mw : IT power drawn from the busways
    rack_storage_mwh : energy in the racks' storage, at the end of each step
    load_mw : site power without battery
    grid_mw : at the meter
    battery_mw, battery_mwh, battery_loss_mw : delivered, stored at the end of each step, lost

    """

    demanded_mw: Array
    drawn_mw: Array
    supplied_mw: Array
    rack_storage_mwh: Array
    load_mw: Array
    grid_mw: Array
    battery_mw: Array
    battery_mwh: Array
    battery_loss_mw: Array


def open_window(
    start: Start, state: State, plant: Plant, tick: int, begin_s: float, seconds: int, step_s: float
) -> Window:
    """Bring a saved state to the window and take from it who draws what.

    Parameters
    ----------
    start : the run as it started
    state, plant, tick : a saved state and its ticks done; they are used up
    begin_s : start of the window [s after the start of the run]
    seconds, step_s : length of the window and of a step [s]

    """
    scenario = start.scenario
    tick_s = scenario.run.tick_s
    outputs = new_outputs(start)
    first = max(tick, math.floor((begin_s - LEAD_S) / tick_s))
    last = math.ceil((begin_s + seconds) / tick_s)
    state = go_on(start, state, plant, outputs, tick, first)
    running = running_jobs(state, start.site.peak_kw)
    base_kw = float(state.tally["base_kw"][0])
    it_kw, losses_kw, site_kw = (float(plant.tick[column]) for column in (IT_KW, LOSSES_KW, DEMAND_KW))
    for done in range(first, last):
        events = int(state.tally["events"][0])
        state = go_on(start, state, plant, outputs, done, done + 1)
        now = running_jobs(state, start.site.peak_kw)
        running = joined(running, state, now, (done + 1.0) * tick_s, events)
    shown = slice(math.floor(begin_s / tick_s), last)
    return Window(
        scenario=scenario,
        running=running,
        base_kw=base_kw,
        loss_fraction=losses_kw / it_kw if it_kw > 0 else 0.0,
        other_kw=site_kw - it_kw - losses_kw,
        start_s=begin_s,
        seconds=seconds,
        step_s=step_s,
        ticks_mw=float(outputs.tick_real[shown, DEMAND_KW].mean()) / 1000,
    )


def stopped(window: Window, *, at_s: float, largest_only: bool) -> tuple[Window, int]:
    """Stop the largest job, or all training, `at_s` seconds into the window; also return how many GPUs stop."""
    running = window.running
    stop_s = window.start_s + at_s
    there = (running.on_s <= stop_s) & (running.off_s > stop_s)
    if largest_only:
        chosen = np.zeros(len(running), bool)
        if there.any():
            chosen[int(np.argmax(np.where(there, running.gpus, -1)))] = True
    else:
        chosen = there & (running.kind == 0)
    off_s = np.where(chosen, stop_s, running.off_s)
    return replace(window, running=replace(running, off_s=off_s)), int(running.gpus[chosen].sum())


def waves(window: Window) -> Array:
    r"""Return the jobs of a window as they draw power: WAVE (jobs,), powers above idle.

    A training job of mean power :math:`P` (idle share included) and compute share :math:`d` swings between
    :math:`P + (1 - d)\,a P` and :math:`P - d\,a P`; the racks' 1-s peak and idle power bound it, and the mean stays.
    """
    scenario, running = window.scenario, window.running
    asked, trains = scenario.swing, running.kind == 0
    found = np.zeros(len(running), swing.WAVE)
    share = float(asked.compute_share)
    swing_kw = np.where(trains, asked.amplitude_fraction * (running.above_kw + running.idle_kw), 0.0)
    high_kw = np.minimum(
        running.above_kw + (1 - share) * swing_kw,
        np.maximum(running.above_kw, running.peak_kw - running.idle_kw),
    )
    low_kw = (running.above_kw - share * high_kw) / (1 - share)
    high_kw = np.where(trains, np.where(low_kw < 0, running.above_kw / share, high_kw), running.above_kw)
    low_kw = np.where(trains, np.maximum(low_kw, 0.0), running.above_kw)
    found["high_kw"], found["low_kw"] = high_kw, low_kw
    floor_kw = np.maximum(asked.floor_fraction * (high_kw + running.idle_kw) - running.idle_kw, 0.0)
    found["floor_kw"] = np.where(trains, floor_kw, 0.0)
    frequency_hz, phase = _rhythm(scenario, running)
    found["frequency_hz"], found["phase"] = frequency_hz, phase
    found["compute_share"], found["edge_s"] = share, asked.edge_s
    found["begin_s"] = running.start_s
    found["work_s"] = np.where(trains, running.work_s, 0.0)
    found["dump_s"] = running.dump_s
    found["on_s"], found["off_s"] = running.on_s, running.off_s
    ramp_kw_per_s = scenario.grid.ramp_limit_mw_per_min * RAMP_USE * 1000 / 60 / (1 + window.loss_fraction)
    found["rise_kw_per_s"] = _shares(running.on_s, running.above_kw) * ramp_kw_per_s
    found["fall_kw_per_s"] = _shares(running.off_s, running.above_kw) * ramp_kw_per_s
    found["storage_kj"] = asked.storage_j_per_gpu * running.gpus / 1000
    return found


def _rhythm(scenario: Scenario, running: Running) -> tuple[Array, Array]:
    """Frequency [Hz] and phase of each training job: its own, whoever else runs."""
    asked_hz = float(scenario.swing.frequency_hz)
    slowest, fastest = min(SLOWEST_HZ, asked_hz), max(FASTEST_HZ, asked_hz)
    frequency_hz, phase = np.ones(len(running)), np.zeros(len(running))
    for index in np.flatnonzero(running.kind == 0).tolist():
        random = stream(scenario.run.seed, "swing", "rhythm", int(running.job[index]))
        slower = (float(running.gpus[index]) / REFERENCE_GPUS) ** -SIZE_EXPONENT
        drawn_hz = asked_hz * slower * math.exp(FREQUENCY_SPREAD * random.standard_normal())
        frequency_hz[index] = min(fastest, max(slowest, drawn_hz))
        phase[index] = random.random()
    return frequency_hz, phase


def _shares(time_s: Array, above_kw: Array) -> Array:
    """Share of each job in the power that starts, or stops, at its instant."""
    _, which = np.unique(time_s, return_inverse=True)
    total = np.bincount(which, above_kw)
    return np.where(total[which] > 0, above_kw / np.maximum(total[which], 1e-12), 0.0)


def simulate_case(window: Window, table: Array, *, floor: bool, storage: bool, battery: bool) -> Series:
    """Simulate one case: which of the mitigations act.

    Parameters
    ----------
    window : what it starts from
    table : see :func:`waves`
    floor, storage, battery : whether GPU power floor and ramps, the racks' storage and the site battery act

    """
    scenario, step_s = window.scenario, window.step_s
    steps = round((LEAD_S + window.seconds) / step_s)
    table = table.copy()
    floors = scenario.swing.floor_fraction if floor else 0.0
    lowest_kw = np.maximum(table["low_kw"], table["floor_kw"] if floors > 0 else 0.0)
    swing_kw = table["high_kw"] - lowest_kw
    follow_s = table["storage_kj"] / np.maximum(swing_kw, 1e-9)
    table["follow_s"] = np.where(
        table["high_kw"] > table["low_kw"], np.minimum(follow_s, LONGEST_FOLLOW_S), 0.0
    )
    columns = np.zeros((steps, 4))
    first_s = window.start_s - LEAD_S
    steady = (table["high_kw"] <= table["low_kw"]) & (table["on_s"] <= first_s) & (table["off_s"] >= NEVER_S)
    columns[:, :3] += table["high_kw"][steady].sum()
    swing.add_waves(table[~steady], first_s, step_s, floors > 0, storage, columns)
    columns[:, :3] += _noise_kw(window, steps)[:, None] + window.base_kw
    demanded_mw, drawn_mw, supplied_mw = (columns[:, column] / 1000 for column in range(3))
    load_mw = supplied_mw * (1 + window.loss_fraction) + window.other_kw / 1000
    power = scenario.power
    found = np.zeros((steps, 4))
    swing.smooth(
        load_mw,
        step_s,
        float(power.bess_power_mw) if battery else 0.0,
        float(power.bess_energy_mwh) if battery else 0.0,
        (power.bess_soc_minimum + power.bess_soc_maximum) / 2,
        float(power.bess_soc_minimum),
        float(power.bess_soc_maximum),
        float(power.bess_round_trip_efficiency),
        float(scenario.swing.battery_response_s),
        float(scenario.swing.battery_smoothing_s),
        scenario.grid.ramp_limit_mw_per_min * RAMP_USE / 60,
        found,
    )
    return Series(
        demanded_mw=demanded_mw,
        drawn_mw=drawn_mw,
        supplied_mw=supplied_mw,
        rack_storage_mwh=columns[:, swing.STORED_KJ] / 3.6e6,
        load_mw=load_mw,
        grid_mw=found[:, swing.GRID_MW],
        battery_mw=found[:, swing.BATTERY_MW],
        battery_mwh=found[:, swing.ENERGY_MWH],
        battery_loss_mw=found[:, swing.LOSS_MW],
    )


def _noise_kw(window: Window, steps: int) -> Array:
    """Fluctuation of all batch and inference jobs together [kW]: independent of each other."""
    scenario, running = window.scenario, window.running
    there = (running.kind != 0) & (running.on_s <= window.start_s) & (running.off_s > window.start_s)
    sigma_kw = scenario.swing.noise_fraction * math.sqrt(float((running.above_kw[there] ** 2).sum()))
    random = stream(scenario.run.seed, "swing", "noise", round(window.start_s))
    white: Array = random.standard_normal(steps)
    swing.correlated_noise(white, window.step_s, NOISE_MEMORY_S)
    return white * sigma_kw


def acts(case: str) -> dict[str, bool]:
    """Which mitigations act in a case."""
    return {name: case in {name, "all"} for name in ("floor", "storage", "battery")}


def balance_mwh(window: Window, series: Series) -> dict[str, float]:
    """Where the window's energy went [MWh].

    The grid's energy is what the work asked for, what floor and ramps burned less what a ramp put off, what went into
    the racks' storage, losses of the chain, the rest of the site, and what went into the battery and was lost there.
    ``error`` is the difference, relative to the grid's energy.
    """
    lead = round(LEAD_S / window.step_s)
    hours = window.step_s / 3600

    def energy(values: Array) -> float:
        return float(values[lead:].sum()) * hours

    extra = series.drawn_mw - series.demanded_mw
    parts = {
        "work": energy(series.demanded_mw),
        "burned": energy(np.maximum(extra, 0.0)),
        "put_off": energy(np.minimum(extra, 0.0)),
        "into_rack_storage": float(series.rack_storage_mwh[-1] - series.rack_storage_mwh[lead - 1]),
        "chain_losses": energy(series.supplied_mw) * window.loss_fraction,
        "cooling_and_rest": window.other_kw / 1000 * window.seconds / 3600,
        "into_battery": float(series.battery_mwh[-1] - series.battery_mwh[lead - 1]),
        "battery_losses": energy(series.battery_loss_mw),
    }
    grid = energy(series.grid_mw)
    error = abs(grid - sum(parts.values())) / abs(grid) if grid else 0.0
    return {"grid": grid, **parts, "error": error}
