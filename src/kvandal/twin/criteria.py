"""What a grid sees in a series of power: ramps, range, spectrum. Each figure is defined here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvandal.scenario.grid import GridRequirement

Array = Any

RAMP_S = 60
"""A ramp is a change over this time [s]."""
RANGE_S = 10
"""The dynamic power range is taken within this time [s]: one period of the slowest regulated oscillation."""


@dataclass(frozen=True)
class Figures:
    """What is measured in one series.

    Attributes
    ----------
    mean_mw, lowest_mw, highest_mw : over the window, of the steps
    ramp_up_mw_per_min, ramp_down_mw_per_min : largest rise and fall of the 1-s mean over 60 s, both >= 0
    steepest_mw_per_s : largest change of the 1-s mean from one second to the next
    range_mw : largest difference of two steps within 10 s
    band_share : energy of the fluctuation within the regulated band over that of all fluctuation; None without any
    band_rms_mw : root mean square of the fluctuation in the band
    line_mw, line_hz : amplitude and frequency of the strongest oscillation in the band

    """

    mean_mw: float
    lowest_mw: float
    highest_mw: float
    ramp_up_mw_per_min: float
    ramp_down_mw_per_min: float
    steepest_mw_per_s: float
    range_mw: float
    band_share: float | None
    band_rms_mw: float
    line_mw: float
    line_hz: float


def second_means(values: Array, step_s: float) -> Array:
    """Means over whole seconds; `step_s` divides a second."""
    steps = round(1 / step_s)
    whole = len(values) // steps * steps
    return values[:whole].reshape(-1, steps).mean(axis=1)


def ramps_mw_per_min(means: Array) -> tuple[float, float]:
    """Largest rise and largest fall of 1-s means over a minute; 0 where there is none."""
    change = means[RAMP_S:] - means[:-RAMP_S]
    if not change.size:
        return 0.0, 0.0
    return max(0.0, float(change.max())), max(0.0, float(-change.min()))


def range_within(values: Array, steps: int) -> float:
    """Largest difference of two values at most `steps` apart."""
    width = min(steps + 1, len(values))
    highest, lowest = values.copy(), values.copy()
    reach = 1
    while reach < width:  # windows of doubling width, the last ones overlapping
        shift = min(reach, width - reach)
        highest = np.maximum(highest[:-shift], highest[shift:])
        lowest = np.minimum(lowest[:-shift], lowest[shift:])
        reach += shift
    return float((highest - lowest).max())


def spectrum(values: Array, step_s: float) -> tuple[Array, Array, Array]:
    r"""Amplitude and energy spectrum of the fluctuation about the mean, through a Hann window.

    .. math:: A_k = 2 |X_k| / \sum w, \qquad E_k = 2 |X_k|^2 / (N \sum w^2), \qquad X = \mathrm{FFT}(w\,(x - \bar x))

    :math:`A_k` of a sinusoid on a bin is its amplitude (15 % less half-way between two bins); the sum of the
    :math:`E_k` is the mean square of the fluctuation. After F. J. Harris, "On the use of windows for harmonic analysis
    with the discrete Fourier transform", Proc. IEEE 66, 1978.

    Returns
    -------
    Frequencies [Hz], amplitudes and mean squares by frequency.

    """
    count = len(values)
    window = np.sin(np.pi * np.arange(count) / count) ** 2
    raw = np.abs(np.fft.rfft((values - values.mean()) * window))
    amplitudes = 2 * raw / window.sum()
    energies = 2 * raw**2 / (count * (window**2).sum())
    energies[0] = 0.0
    return np.fft.rfftfreq(count, step_s), amplitudes, energies


def figures(values: Array, step_s: float, lead: int, requirement: GridRequirement) -> Figures:
    """Measure a series.

    Parameters
    ----------
    values : power of the steps [MW]; the first `lead` of them lie before the window and serve the ramps only
    step_s : length of a step [s]
    lead : steps, whole seconds of them
    requirement : says which band is regulated

    """
    window = values[lead:]
    means = second_means(values, step_s)
    first = max(0, round(lead * step_s) - RAMP_S)
    rise, fall = ramps_mw_per_min(means[first:])
    frequencies, _, energies = spectrum(window, step_s)
    band = (frequencies >= requirement.band_low_hz) & (frequencies <= requirement.band_high_hz)
    total, inside = float(energies.sum()), float(energies[band].sum())
    line_mw, line_hz = strongest_line(frequencies, energies, band)
    still = total <= (1e-9 * abs(float(window.mean()))) ** 2
    return Figures(
        mean_mw=float(window.mean()),
        lowest_mw=float(window.min()),
        highest_mw=float(window.max()),
        ramp_up_mw_per_min=rise,
        ramp_down_mw_per_min=fall,
        steepest_mw_per_s=float(np.abs(np.diff(second_means(window, step_s))).max(initial=0.0)),
        range_mw=range_within(window, round(RANGE_S / step_s)),
        band_share=None if still else inside / total,
        band_rms_mw=math.sqrt(inside),
        line_mw=line_mw,
        line_hz=line_hz,
    )


def strongest_line(frequencies: Array, energies: Array, band: Array) -> tuple[float, float]:
    """Amplitude and frequency of the strongest oscillation in a band: the energy within two bins of the highest one."""
    if not band.any():
        return 0.0, 0.0
    peak = int(np.argmax(np.where(band, energies, -1.0)))
    around = energies[max(1, peak - 2) : peak + 3]
    return math.sqrt(2 * float(around.sum())), float(frequencies[peak])


def verdict(found: Figures, requirement: GridRequirement) -> dict[str, bool]:
    """Whether each requirement holds."""
    share_holds = (
        found.band_share is None
        or found.band_rms_mw < requirement.negligible_fraction * abs(found.mean_mw)
        or found.band_share <= requirement.band_energy_fraction
    )
    return {
        "ramp": max(found.ramp_up_mw_per_min, found.ramp_down_mw_per_min)
        <= requirement.ramp_limit_mw_per_min,
        "range": found.range_mw <= requirement.range_limit_mw,
        "spectral_share": share_holds,
        "band_amplitude": found.line_mw <= requirement.band_limit_mw,
    }
