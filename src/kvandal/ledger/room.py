"""Room that is free, and how much of it is of use to large jobs: fragmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kvandal.ledger.columns import every
from kvandal.twin.simulate import Trajectory


def room_table(run: Trajectory) -> pl.DataFrame:
    """One row per hour: GPUs free at its end, in all, in wholly free trays, and in segments of large jobs."""
    free = run.outputs.room_hour
    names = ("free_gpus", "free_tray_gpus", "free_segment_gpus")
    return pl.DataFrame(
        {
            "time_utc": every(run.scenario.run.start_utc, len(free), 3600),
            **{name: np.ascontiguousarray(free[:, index]) for index, name in enumerate(names)},
        }
    )


def fragmentation(room: pl.DataFrame) -> dict[str, Any]:
    """Part of the free GPUs, on average over the run, that is not in whole trays, or in segments; None if none was free.

    >>> room = pl.DataFrame({"free_gpus": [8, 2], "free_tray_gpus": [8, 0], "free_segment_gpus": [0, 0]})
    >>> fragmentation(room)
    {'fragmentation_trays': 0.2, 'fragmentation_segments': 1.0}
    """
    free = int(room["free_gpus"].sum())
    return {
        f"fragmentation_{what}s": (free - int(room[f"free_{what}_gpus"].sum())) / free if free else None
        for what in ("tray", "segment")
    }
