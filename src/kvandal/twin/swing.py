"""Power of jobs within a second: training that swings, GPU power floors, storage in the racks, a battery at the site.

Powers of jobs are above idle [kW]; times are seconds after the start of the run, so that a window that begins later
sees the same waves.
"""

from __future__ import annotations

import math

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.battery import battery_step

WAVE = np.dtype(
    [
        ("low_kw", "f8"), ("high_kw", "f8"),  # levels of communication and of computation
        ("floor_kw", "f8"),  # the GPU power floor
        ("frequency_hz", "f8"), ("phase", "f8"), ("compute_share", "f8"), ("edge_s", "f8"),
        ("begin_s", "f8"), ("work_s", "f8"), ("dump_s", "f8"),  # work_s between two checkpoints; 0: none
        ("on_s", "f8"), ("off_s", "f8"),
        ("rise_kw_per_s", "f8"), ("fall_kw_per_s", "f8"),  # programmed ramps after a start and after a stop
        ("storage_kj", "f8"), ("follow_s", "f8"),  # storage of its racks, and how slowly they follow it
    ],
    align=True,
)  # fmt: skip
"""A job as it draws power."""

DEMANDED_KW, DRAWN_KW, SUPPLIED_KW, STORED_KJ = range(4)
"""Columns of :func:`add_waves`: what the work asks for, what the GPUs draw under floor and ramps, what the racks draw
from the busway, and the energy in the racks' storage at the end of the step."""


@kernel
def trapezoid(phase: float, compute_share: float, edge: float) -> float:
    """Level of a periodic trapezoid between 0 and 1, whose mean is `compute_share`.

    Parameters
    ----------
    phase : place in the period, 0 to 1; it rises through one half at 0
    compute_share : share of the period above one half; it falls through one half there
    edge : length of an edge over the period

    Examples
    --------
    >>> [round(trapezoid(x, 0.7, 0.1), 2) for x in (0.0, 0.025, 0.3, 0.7, 0.9, 0.975)]
    [0.5, 0.75, 1.0, 0.5, 0.0, 0.25]

    """
    half = edge / 2.0
    place = phase - 1.0 if phase > 1.0 - half else phase
    if place < half:
        return (place + half) / edge
    if place <= compute_share - half:
        return 1.0
    if place < compute_share + half:
        return (compute_share + half - place) / edge
    return 0.0


@kernel
def wave_kw(wave, time_s):
    """Power above idle that a running job asks for at an instant [kW]."""
    if wave.high_kw <= wave.low_kw:
        return wave.high_kw
    turns = wave.frequency_hz * time_s + wave.phase
    edge = min(wave.edge_s * wave.frequency_hz, 0.8 * min(wave.compute_share, 1.0 - wave.compute_share))
    level = trapezoid(turns - math.floor(turns), wave.compute_share, edge)
    if wave.work_s > 0.0 and wave.dump_s > 0.0 and time_s > wave.begin_s:
        cycle_s = wave.work_s + wave.dump_s
        place_s = time_s - wave.begin_s - cycle_s * math.floor((time_s - wave.begin_s) / cycle_s)
        if place_s > wave.work_s:
            falling = 1.0 - (place_s - wave.work_s) / wave.edge_s
            rising = 1.0 - (cycle_s - place_s) / wave.edge_s
            level *= max(0.0, falling, rising)
    return wave.low_kw + (wave.high_kw - wave.low_kw) * level


@large_kernel
def add_waves(waves, first_s, step_s, has_floor, has_storage, out):
    """Add the power of jobs to the columns of a window.

    Parameters
    ----------
    waves : WAVE (jobs,)
    first_s : start of the window [s]
    step_s : length of a step [s]; a job's power at the middle of a step stands for the step
    has_floor : whether GPUs hold their power floor and the programmed ramps
    has_storage : whether the racks' storage smooths
    out : float64 (steps, 4), added to

    """
    steps = out.shape[0]
    for index in range(waves.shape[0]):
        wave = waves[index]
        last_kw = 0.0
        supplied_kw = -1.0
        stored_kj = 0.0
        share = 0.0
        if has_storage and wave.storage_kj > 0.0 and wave.follow_s > 0.0:
            share = 1.0 - math.exp(-step_s / wave.follow_s)
        for step in range(steps):
            time_s = first_s + (step + 0.5) * step_s
            demanded_kw = 0.0
            drawn_kw = 0.0
            if time_s >= wave.on_s and time_s < wave.off_s:
                demanded_kw = wave_kw(wave, time_s)
                drawn_kw = demanded_kw
                if has_floor:
                    drawn_kw = max(demanded_kw, wave.floor_kw)
                    if wave.rise_kw_per_s > 0.0:
                        drawn_kw = min(drawn_kw, wave.rise_kw_per_s * (time_s - wave.on_s))
            elif time_s >= wave.off_s and has_floor and wave.fall_kw_per_s > 0.0:
                drawn_kw = max(0.0, last_kw - wave.fall_kw_per_s * step_s)
            last_kw = drawn_kw
            out[step, DEMANDED_KW] += demanded_kw
            out[step, DRAWN_KW] += drawn_kw
            if share <= 0.0:
                out[step, SUPPLIED_KW] += drawn_kw
                continue
            if supplied_kw < 0.0:
                supplied_kw = drawn_kw
                swing_kw = wave.high_kw - wave.low_kw
                level = (drawn_kw - wave.low_kw) / swing_kw if swing_kw > 0.0 else 1.0
                stored_kj = wave.storage_kj * (1.0 - min(1.0, max(0.0, level)))
            supplied_kw += (drawn_kw - supplied_kw) * share
            after_kj = stored_kj + (supplied_kw - drawn_kw) * step_s
            if after_kj < 0.0 or after_kj > wave.storage_kj:
                after_kj = min(wave.storage_kj, max(0.0, after_kj))
                supplied_kw = drawn_kw + (after_kj - stored_kj) / step_s
            stored_kj = after_kj
            out[step, SUPPLIED_KW] += supplied_kw
            out[step, STORED_KJ] += stored_kj


@large_kernel
def correlated_noise(white, step_s, memory_s):
    """Turn white noise into noise that remembers: first-order autoregression of unit variance, in place."""
    kept = math.exp(-step_s / memory_s)
    fresh = math.sqrt(1.0 - kept * kept)
    for step in range(1, white.shape[0]):
        white[step] = kept * white[step - 1] + fresh * white[step]


GRID_MW, BATTERY_MW, ENERGY_MWH, LOSS_MW = range(4)
"""Columns of :func:`smooth`: at the grid, delivered by the battery (above 0), stored at the end of the step, lost."""


@large_kernel
def smooth(
    load_mw, step_s, power_mw, capacity_mwh, soc_start, soc_minimum, soc_maximum, efficiency, response_s,
    smoothing_s, ramp_mw_per_s, out,
):  # fmt: skip
    """Let a battery hold the grid's power near a target that follows the load slowly and within a ramp.

    The target is the load through a first-order low-pass of `smoothing_s`, moved by at most `ramp_mw_per_s`. The
    battery follows the difference with the lag `response_s`, within its power and its energy. The controller feeds
    forward only: it knows the load up to now and nothing of what comes.

    Parameters
    ----------
    load_mw : float64 (steps,), the site without battery
    step_s : length of a step [s]
    power_mw, capacity_mwh : rating of the battery
    soc_start, soc_minimum, soc_maximum : state of charge at the start, and what operation uses
    efficiency : of a round trip
    response_s, smoothing_s, ramp_mw_per_s : see above
    out : float64 (steps, 4), written

    """
    slow_mw = load_mw[0]
    target_mw = load_mw[0]
    energy_mwh = soc_start * capacity_mwh
    battery_mw = 0.0
    slow_share = 1.0 - math.exp(-step_s / smoothing_s)
    fast_share = 1.0 - math.exp(-step_s / response_s) if response_s > 0.0 else 1.0
    most_mw = ramp_mw_per_s * step_s
    for step in range(load_mw.shape[0]):
        slow_mw += (load_mw[step] - slow_mw) * slow_share
        target_mw += min(most_mw, max(-most_mw, slow_mw - target_mw))
        wanted_mw = min(power_mw, max(-power_mw, load_mw[step] - target_mw))
        wanted_mw = battery_mw + (wanted_mw - battery_mw) * fast_share
        energy_mwh, battery_mw, loss_mw = battery_step(
            energy_mwh, wanted_mw, power_mw, capacity_mwh, soc_minimum, soc_maximum, efficiency, 0.0, step_s / 3600.0
        )  # fmt: skip
        out[step, GRID_MW] = load_mw[step] - battery_mw
        out[step, BATTERY_MW] = battery_mw
        out[step, ENERGY_MWH] = energy_mwh
        out[step, LOSS_MW] = loss_mw
