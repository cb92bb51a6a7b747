"""What the loop is told, as plain values that can be written down, and as the rows that the state takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kvandal.twin.live import (
    TOLD,
    TOLD_CANCEL,
    TOLD_ENDED,
    TOLD_INTERRUPTED,
    TOLD_LIMITS,
    TOLD_SET_POINT,
    TOLD_SUBMIT,
    TOLD_TELEMETRY,
    TOLD_TIMEOUT,
    TOLD_TRAY_DOWN,
    TOLD_TRAY_UP,
    TOLD_UNEXPLAINED,
)

Array = Any
Told = dict[str, Any]
"""One thing told: ``kind`` (a key of :data:`KINDS`), ``time_s``, and what the kind needs.

submit: job, tenant, project, demand, gpus, limit_s, run_time_s · ended, failed, timeout, interrupted, cancel: job, attempt ·
tray_down: tray, lost · tray_up: tray · change: changes · set_point: value_kw (None: back to the connection) ·
unexplained: value_kw · telemetry: lost
"""

KINDS = {
    "submit": TOLD_SUBMIT,
    "ended": TOLD_ENDED,
    "failed": TOLD_ENDED,
    "timeout": TOLD_TIMEOUT,
    "interrupted": TOLD_INTERRUPTED,
    "cancel": TOLD_CANCEL,
    "tray_down": TOLD_TRAY_DOWN,
    "tray_up": TOLD_TRAY_UP,
    "change": TOLD_LIMITS,
    "set_point": TOLD_SET_POINT,
    "unexplained": TOLD_UNEXPLAINED,
    "telemetry": TOLD_TELEMETRY,
}
ABOUT_JOBS = ("submit", "ended", "failed", "timeout", "interrupted", "cancel")


def rows_of(inputs: Sequence[Mapping[str, Any]], rows: Mapping[str, int], first_s: int, last_s: int) -> Array:
    """Return what was told as a TOLD table, in order of time, kind and place; times outside the turn are moved into it.

    Parameters
    ----------
    inputs : what was told
    rows : rows of jobs by their ids; what is told of other jobs is left out
    first_s, last_s : the turn [s]

    """
    found = []
    for place, one in enumerate(inputs):
        kind = KINDS[one["kind"]]
        if one["kind"] in ABOUT_JOBS:
            if one["job"] not in rows:
                continue
            subject = rows[one["job"]]
        else:
            subject = one.get("tray", one.get("step", 0))
        time_s = min(max(int(one["time_s"]), first_s), last_s)
        found.append((time_s, kind, place, subject, _number(one)))
    found.sort()
    table = np.zeros(len(found), TOLD)
    for row, (time_s, kind, _, subject, value) in zip(table, found, strict=True):
        row["time_s"], row["kind"], row["subject"], row["value"] = time_s, kind, subject, value
    return table


def _number(one: Mapping[str, Any]) -> float:
    if "value_kw" in one:
        return float("inf") if one["value_kw"] is None else float(one["value_kw"])
    return float(bool(one.get("lost", False)))
