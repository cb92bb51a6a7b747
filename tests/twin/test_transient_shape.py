"""The swing against measured power: one node of eight H100 training a GPT, 100 ms, seven runs of 11.6 minutes.

The data's licence is not stated: it is read here and nothing of it is shipped. nvidia-smi reports the mean of the last
second on an H100, so the model is looked at through the same second. `docs/transients.md` carries the table that
:func:`test_the_documentation_carries_these_figures` computes.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kvandal.scenario.grid import Swing
from kvandal.twin.swing import trapezoid

pytestmark = pytest.mark.shared_data

FILE = "unclear-licence/power/h100_8gpu_llm_training_power_100ms.parquet"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "transients.md"
STEP_S = 0.1
MEMORY_S = 1.0
"""Over which nvidia-smi averages the power of an H100 [s]."""
CALM_S = 60
"""Left out at either end of a run: start and end of the program [s]."""
ALTERNATING = ("ckpt50", "ckpt100", "run_2025-07-26-23-32-09")
"""Runs with at least five changes between two clear levels."""


@pytest.fixture(scope="module")
def measured(shared_data):
    """Power on a grid of 100 ms, by run."""
    table = pl.read_parquet(shared_data / FILE)
    found = {}
    for (run,), part in table.group_by("run", maintain_order=True):
        times, watts = part["t_s"].to_numpy(), part["total_8gpu_w"].to_numpy().astype(float)
        grid = np.arange(times[0] + CALM_S, times[-1] - CALM_S, STEP_S)
        found[str(run)] = np.interp(grid, times, watts)
    return found


def shape(watts):
    """Normalised figures of a series of two levels."""
    low, high = np.percentile(watts, [5, 95])
    place = (watts - low) / (high - low)
    energies = np.abs(np.fft.rfft((watts - watts.mean()) * np.hanning(len(watts)))) ** 2
    hz = np.fft.rfftfreq(len(watts), STEP_S)
    upper = place > 0.5
    return {
        "depth": (high - low) / high,
        "top": (place > 0.8).mean(),
        "bottom": (place < 0.2).mean(),
        "duty": upper.mean(),
        "alternations_hz": (np.diff(upper.astype(int)) == 1).sum() / (len(watts) * STEP_S),
        "edge_s": np.median(edges_s(place)) if len(edges_s(place)) else np.nan,
        "above_0.1_hz": energies[hz >= 0.1].sum() / energies[1:].sum(),
        "ripple": watts[place > 0.8].std() / watts[place > 0.8].mean(),
    }


def edges_s(place):
    """Times from 10 to 90 % and back [s]."""
    clear = np.flatnonzero((place <= 0.1) | (place >= 0.9))
    level = place[clear] >= 0.9
    changes = np.flatnonzero(level[1:] != level[:-1])
    return (clear[changes + 1] - clear[changes]) * STEP_S


def modelled(frequency_hz, duty, low, high, seconds, *, memory_s=MEMORY_S):
    """The generator's wave, seen through an instrument that averages; 10 ms inside."""
    fine = 0.01
    times = np.arange(0, seconds + memory_s, fine)
    edge = min(Swing().edge_s * frequency_hz, 0.8 * min(duty, 1 - duty))
    levels = np.array([trapezoid((t * frequency_hz) % 1.0, duty, edge) for t in times])
    watts = low + (high - low) * levels
    kernel = np.ones(round(memory_s / fine)) / round(memory_s / fine)
    return np.convolve(watts, kernel, "valid")[:: round(STEP_S / fine)]


def like(watts):
    """The generator set to a run's frequency, duty and levels."""
    found = shape(watts)
    low, high = np.percentile(watts, [5, 95])
    return shape(modelled(found["alternations_hz"], found["duty"], low, high, len(watts) * STEP_S))


@pytest.mark.parametrize("run", ALTERNATING)
def test_a_run_of_two_levels_has_the_shape_of_the_wave(measured, run):
    """Set to its rhythm and levels, the trapezoid spends as much time on them and crosses as fast."""
    real, model = shape(measured[run]), like(measured[run])

    assert real["top"] == pytest.approx(model["top"], abs=0.05)
    assert real["bottom"] == pytest.approx(model["bottom"], abs=0.05)
    assert real["edge_s"] == pytest.approx(model["edge_s"], abs=0.35)
    assert real["depth"] == pytest.approx(model["depth"], abs=0.01)


def test_edges_are_as_fast_as_the_instrument_can_tell(measured):
    """A step seen through a mean of one second takes 0.8 s from 10 to 90 %; the measured ones take little longer."""
    for run in ALTERNATING:
        edges = edges_s(
            (measured[run] - np.percentile(measured[run], 5)) / np.ptp(np.percentile(measured[run], [5, 95]))
        )
        assert 0.8 <= np.median(edges) <= 1.4


def default_node():
    """A node of eight GPUs with the scenario's defaults: it swings as the smallest jobs do, at 1.7 Hz."""
    swing = Swing()
    frequency_hz = swing.frequency_hz * (8 / 1024) ** -0.25
    high = 1 + (1 - swing.compute_share) * swing.amplitude_fraction
    low = 1 - swing.compute_share * swing.amplitude_fraction
    raw = modelled(frequency_hz, swing.compute_share, low, high, 300, memory_s=0.01)
    seen = modelled(frequency_hz, swing.compute_share, low, high, 300)
    return frequency_hz, (high - low) / high, seen.std() / seen.mean(), raw.std() / raw.mean()


def test_swings_within_a_step_are_hidden_from_this_instrument(measured):
    """What the default swing leaves of itself after a second's mean is of the size of the ripple that was measured."""
    _, _, seen, raw = default_node()
    ripples = [shape(measured[run])["ripple"] for run in ALTERNATING]

    assert raw > 5 * seen
    assert max(ripples) < 0.03
    assert seen < 0.03


def rows(measured):
    """Lines of the table in docs/transients.md."""
    for run in ("ckpt1", "ckpt10", "ckpt50", "ckpt100", "ckpt500", "ckpt1000", "run_2025-07-26-23-32-09"):
        real = shape(measured[run])
        model = like(measured[run])
        edge = "-" if np.isnan(real["edge_s"]) else f"{real['edge_s']:.1f} / {model['edge_s']:.1f}"
        yield (
            f"| {run[:14]} | {real['depth']:.2f} | {real['alternations_hz']:.3f} | {real['top']:.2f} / {model['top']:.2f} | "
            f"{real['bottom']:.2f} / {model['bottom']:.2f} | {edge} | "
            f"{real['above_0.1_hz']:.2f} / {model['above_0.1_hz']:.2f} | {real['ripple']:.3f} |"
        )


def test_the_documentation_carries_these_figures(measured):
    """The page's table is computed, not copied; where the model is off it says by how much."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for row in rows(measured):
        assert row in text
    frequency_hz, depth, seen, raw = default_node()
    assert f"{frequency_hz:.1f} Hz, depth {depth:.2f}" in text
    assert f"ripple of {seen:.1%} (unfiltered {raw:.0%})" in text
