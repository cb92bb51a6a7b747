"""What a weather forecast would have said: the run's own weather with a drawn error; synthetic, and named so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kvandal.randomness import stream

Array = Any
RELAXATION_H = 12.0
"""Time in which the error of a forecast forgets itself; judgement."""
DAY_AHEAD_H = 24
"""Hours ahead up to which the error is that of a day ahead."""


def temperature_error_k(seed: int, day: int, hours: int, rmse_k: float) -> Array:
    r"""Error of the temperatures that a forecast issued at the start of a day gives for its hours [K].

    Mean-reverting, :math:`e_h = s_h z_h` with :math:`z_h = \varphi z_{h-1} + \sqrt{1 - \varphi^2}\, n_h`,
    :math:`\varphi = e^{-1\,\mathrm{h}/\tau}` and normal :math:`n_h`: its root mean square is `rmse_k` in each of the first 24 hours
    and grows as the root of the lead time after them, :math:`s_h = r \sqrt{\max(1, h / 24)}`. Each day has a stream of its own, so that
    a shorter run or horizon sees the same errors.

    Parameters
    ----------
    seed : seed of the run
    day : day of the run at whose start the forecast is issued
    hours : hours ahead, 1 to 168
    rmse_k : root mean square of a day ahead, 0 to 3 K (judgement: national services report 1.5 to 2 K for the air at 2 m)

    Returns
    -------
    Error of each hour, float64 (hours,).

    Examples
    --------
    >>> two_days, one_day = temperature_error_k(1, 5, 48, 1.5), temperature_error_k(1, 5, 24, 1.5)
    >>> bool((two_days[:24] == one_day).all())
    True

    """
    drawn = stream(seed, "weather forecast", "error", day).standard_normal(hours)
    keeps = math.exp(-1.0 / RELAXATION_H)
    spread = math.sqrt(1.0 - keeps**2)
    error = np.empty(hours)
    last = float(drawn[0]) if hours else 0.0
    for hour in range(hours):
        if hour:
            last = keeps * last + spread * float(drawn[hour])
        error[hour] = last
    grown: Array = error * rmse_k * np.sqrt(np.maximum(1.0, (np.arange(hours) + 1) / DAY_AHEAD_H))
    return grown
