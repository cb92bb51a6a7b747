"""Random interruptions, drawn before the run so that nothing else changes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.randomness import stream
from kvandal.twin.state import FAILURE

Array = Any


def draw_failures(seed: int, days: int, gpus: int, gpu_h_per_interruption: float) -> Array:
    """Draw a Poisson process of failing GPUs, day by day, so that a shorter run sees the same ones.

    Parameters
    ----------
    seed : seed of the run
    days : length of the run [days]
    gpus : GPUs of the finished site; failures of GPUs not yet delivered are ignored by the loop
    gpu_h_per_interruption : mean GPU-hours between two interruptions

    Returns
    -------
    FAILURE table, in order of time.

    """
    drawn = [np.zeros(0, FAILURE)]
    for day in range(days):
        random = stream(seed, "failures", "gpu", day)
        count = int(random.poisson(gpus * 24 / gpu_h_per_interruption))
        failures = np.zeros(count, FAILURE)
        failures["time_s"] = np.sort(random.integers(0, 86_400, count)) + day * 86_400
        failures["gpu"] = random.integers(0, gpus, count)
        drawn.append(failures)
    return np.concatenate(drawn)
