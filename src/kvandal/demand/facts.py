"""Statistics of traces and of the demand made from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.demand.jobs import Int32, Int64
from kvandal.demand.trace import Float64, Trace

PERCENTILES = (5, 25, 50, 75, 90, 95, 99)
SIZE_EDGES = (1, 2, 9, 65, 513, 4097)
"""Least GPUs of each class of size."""
SIZE_NAMES = ("1", "2-8", "9-64", "65-512", "513-4096", ">4096")

Row = dict[str, Any]


def mean_gpus_busy(submit_s: Int64, run_s: Int64, gpus: Int32, length_s: int) -> float:
    """GPUs busy on average in [0, length_s) if every job started when it was submitted."""
    inside_s = np.clip(length_s - submit_s, 0, run_s)
    return float((inside_s * gpus).sum(dtype=np.float64)) / length_s


def peak_gpus_busy(submit_s: Int64, run_s: Int64, gpus: Int32) -> int:
    """Return the most GPUs busy at one time if every job started when it was submitted."""
    time_s = np.concatenate([submit_s + run_s, submit_s])
    change = np.concatenate([-gpus.astype(np.int64), gpus.astype(np.int64)])
    order = np.argsort(time_s, kind="stable")  # at one time, ends come before starts
    return int(np.cumsum(change[order]).max())


def trace_facts(trace: Trace) -> dict[str, Any]:
    """Describe a trace in numbers, ready for JSON; what cannot be known is None.

    `mean_gpus` is the GPU-seconds of all jobs over the time from the first to the last submission: the GPUs busy on
    average in a cluster that has been fed like this for ever. It is None for traces of less than an hour.
    """
    hours_of_day, days_of_week = _arrival_shares(trace)
    size_class = np.searchsorted(SIZE_EDGES, trace.gpus, side="right") - 1
    gpu_s = (trace.run_s * trace.gpus).astype(np.float64)
    jobs_by_size = np.bincount(size_class, minlength=len(SIZE_NAMES)) / len(trace)
    gpu_hours_by_size = np.bincount(size_class, weights=gpu_s, minlength=len(SIZE_NAMES)) / gpu_s.sum()
    return {
        "name": trace.name,
        "source": trace.source,
        "licence": trace.licence,
        "credit": trace.credit,
        "sha256": trace.sha256,
        "rows_read": trace.rows_read,
        "refused": dict(trace.refused),
        "repaired": dict(trace.repaired),
        "notes": list(trace.notes),
        "start_utc": None if trace.start_utc is None else trace.start_utc.isoformat(),
        "jobs": len(trace),
        "span_days": trace.span_s / 86_400,
        "gpu_hours": trace.gpu_s / 3600,
        "mean_gpus": trace.gpu_s / trace.span_s if trace.span_s >= 3600 else None,
        "peak_gpus": peak_gpus_busy(trace.submit_s, trace.run_s, trace.gpus),
        "gpus": _percentiles(trace.gpus),
        "run_s": _percentiles(trace.run_s),
        "share_of_jobs_by_gpus": _named(jobs_by_size),
        "share_of_gpu_hours_by_gpus": _named(gpu_hours_by_size),
        "share_of_jobs_by_hour": hours_of_day,
        "share_of_jobs_by_day": days_of_week,
        "hours_and_days_counted_from": "first submission"
        if trace.start_utc is None
        else "midnight UTC, Monday",
    }


def statistics(
    trace: Trace, submit_s: Int64, run_s: Int64, gpus: Int32, *, days: int, mean_gpus: float
) -> list[Row]:
    """Put the trace as read and the demand made from it side by side.

    Parameters
    ----------
    trace : the trace as read
    submit_s, run_s, gpus : jobs submitted in the run
    days : length of the run [days]
    mean_gpus : GPUs busy on average in the run if every job started at once

    """
    before = _summary(trace.submit_s, trace.run_s, trace.gpus, max(trace.span_s, 3600) / 86_400)
    before["mean GPUs busy"] = trace.gpu_s / max(trace.span_s, 3600)
    after = _summary(submit_s, run_s, gpus, float(days))
    after["mean GPUs busy"] = mean_gpus
    return [
        {"statistic": name, "unit": _UNITS[name], "trace": before[name], "scaled": after[name]}
        for name in _UNITS
    ]


def synthetic_statistics(
    submit_s: Int64, run_s: Int64, gpus: Int32, *, days: int, mean_gpus: float
) -> list[Row]:
    """Describe synthetic demand in the same rows; there is no trace to compare with."""
    after = _summary(submit_s, run_s, gpus, float(days))
    after["mean GPUs busy"] = mean_gpus
    return [
        {"statistic": name, "unit": _UNITS[name], "trace": None, "scaled": after[name]} for name in _UNITS
    ]


_UNITS = {
    "jobs per day": "1/day",
    "GPU-hours per day": "h/day",
    "mean GPUs busy": "GPUs",
    "GPUs P50": "GPUs",
    "GPUs P90": "GPUs",
    "GPUs P99": "GPUs",
    "run time P50": "s",
    "run time P90": "s",
    "run time P99": "s",
    "share of jobs of up to 8 GPUs": "1",
    "share of GPU-hours of jobs of up to 8 GPUs": "1",
    "coefficient of variation of hourly arrivals": "1",
    "arrivals in the busiest hour of the day over the mean": "1",
}


def _summary(submit_s: Int64, run_s: Int64, gpus: Int32, days: float) -> dict[str, float | None]:
    summary: dict[str, float | None] = dict.fromkeys(_UNITS)
    summary["jobs per day"] = submit_s.shape[0] / days
    if not submit_s.shape[0]:
        return summary
    gpu_s = (run_s * gpus).astype(np.float64)
    small = gpus <= 8
    summary["GPU-hours per day"] = float(gpu_s.sum()) / 3600 / days
    for quantity, values in (("GPUs", gpus), ("run time", run_s)):
        for percentile, number in zip((50, 90, 99), np.percentile(values, (50, 90, 99)), strict=True):
            summary[f"{quantity} P{percentile}"] = float(number)
    summary["share of jobs of up to 8 GPUs"] = float(small.mean())
    summary["share of GPU-hours of jobs of up to 8 GPUs"] = float(gpu_s[small].sum() / gpu_s.sum())
    hourly = _hourly(submit_s, days)
    summary["coefficient of variation of hourly arrivals"] = float(hourly.std() / hourly.mean())
    by_hour = np.bincount(submit_s // 3600 % 24, minlength=24)
    summary["arrivals in the busiest hour of the day over the mean"] = float(by_hour.max() / by_hour.mean())
    return summary


def _hourly(submit_s: Int64, days: float) -> Float64:
    """Arrivals per hour; the trailing part of an hour is left out when there are whole hours."""
    whole_hours = min(max(int(days * 24), 1), 2_000_000)  # a span of centuries is not worth the memory
    hour = np.minimum(submit_s // 3600, whole_hours)
    return np.bincount(hour, minlength=whole_hours)[:whole_hours].astype(np.float64)


def _arrival_shares(trace: Trace) -> tuple[list[float], list[float]]:
    offset_s = 0
    if trace.start_utc is not None:
        start = trace.start_utc
        offset_s = ((start.weekday() * 24 + start.hour) * 60 + start.minute) * 60 + start.second
    time_s = trace.submit_s + offset_s
    hours = np.bincount(time_s // 3600 % 24, minlength=24) / len(trace)
    days = np.bincount(time_s // 86_400 % 7, minlength=7) / len(trace)
    return [float(share) for share in hours], [float(share) for share in days]


def _percentiles(values: Int32 | Int64) -> dict[str, float]:
    numbers = np.percentile(values, PERCENTILES)
    named = {f"p{percentile}": float(number) for percentile, number in zip(PERCENTILES, numbers, strict=True)}
    return named | {"mean": float(values.mean()), "max": float(values.max())}


def _named(shares: Float64) -> dict[str, float]:
    return {name: float(share) for name, share in zip(SIZE_NAMES, shares, strict=True)}
