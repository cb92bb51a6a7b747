"""Memory of the service over time: a site that lives at sixty times the speed, and what it holds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kvandal.bench.serving.server import serving
from kvandal.errors import KvandalError
from kvandal.scenario.model import Scenario

EVERY_S = 5.0
"""Time between two looks [s]."""
LEAST_EVERY_S = 0.01
WARM_UP = 1 / 6
"""Part of the time that is not measured: caches fill, tables reach their sizes."""
BLOCKS = 12
"""Means of so many stretches of time are what the line is laid through: looks seconds apart tell the same thing many times."""
LEAST_LOOKS = 3 * BLOCKS


def measured(
    scenario: Scenario,
    source: str,
    *,
    minutes: float,
    speed: float,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Let a site live for so many minutes, its simulated tenants at work, and tell how its memory grows.

    Parameters
    ----------
    scenario, source
        The site, and how `kvandal serve` is told it.
    minutes
        How long, in real time [min].
    speed
        Seconds of the site in a second of real time.
    progress
        Told now and then how it stands.

    """
    with (
        tempfile.TemporaryDirectory(prefix="kvandal-bench-") as place,
        serving(source, Path(place), database=None, speed=speed) as service,
    ):
        service.wait_until_full()
        first = service.get("/v1/site")[1]
        every_s = max(LEAST_EVERY_S, min(EVERY_S, 60 * minutes / (2 * LEAST_LOOKS)))
        looks: list[tuple[float, float]] = []
        began = told = time.monotonic()
        while (now := time.monotonic()) < began + 60 * minutes:
            memory = service.memory_mib()
            if memory is None:
                raise KvandalError("memory of another process is told by Linux alone; leave out --minutes")
            looks.append((now - began, memory))
            if now - told > 60:
                told = now
                progress(f"{(now - began) / 60:.0f} of {minutes:g} minutes: {memory:,.1f} MiB")
            time.sleep(every_s)
        last = service.get("/v1/site")[1]
        size_mib = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file()) / 2**20
    return growth(looks) | {
        "minutes": minutes,
        "speed": speed,
        "trays": 18 * scenario.site.racks,
        "jobs": last["jobs"]["running"] + last["jobs"]["queued"],
        "cycles": last["cycle"] - first["cycle"],
        "folder_mib": round(size_mib, 1),
    }


def growth(looks: list[tuple[float, float]]) -> dict[str, Any]:
    """Lay a line through what was seen after the warm-up.

    Parameters
    ----------
    looks : (time [s], memory [MiB]) each, in order

    Returns
    -------
    dict
        ``mib_per_h`` and ``mib_per_h_error`` (one standard error), ``first_mib``, ``last_mib``, ``most_mib``, ``looks``.

    Examples
    --------
    >>> found = growth([(60.0 * minute, 500.0 + minute) for minute in range(60)])
    >>> found["mib_per_h"], found["mib_per_h_error"]
    (60.0, 0.0)

    """
    times_s, memory_mib = (np.array(column) for column in zip(*looks, strict=True))
    kept = times_s >= times_s[-1] * WARM_UP
    blocks = min(BLOCKS, int(kept.sum()))
    hours = np.array([part.mean() for part in np.array_split(times_s[kept] / 3600, blocks)])
    means = np.array([part.mean() for part in np.array_split(memory_mib[kept], blocks)])
    away = hours - hours.mean()
    slope = float(away @ (means - means.mean()) / (away @ away))
    rest = means - means.mean() - slope * away
    error = float(np.sqrt(rest @ rest / (blocks - 2) / (away @ away)))
    return {
        "mib_per_h": round(slope, 2),
        "mib_per_h_error": round(error, 2),
        "first_mib": round(float(means[0]), 1),
        "last_mib": round(float(means[-1]), 1),
        "most_mib": round(float(memory_mib.max()), 1),
        "looks": int(kept.sum()),
    }
