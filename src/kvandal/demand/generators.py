"""Synthetic demand: frontier training and online inference. No trace of either is public; both are named synthetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from kvandal.demand.jobs import Int32, Int64
from kvandal.demand.trace import MAXIMUM_RUN_S, Float64
from kvandal.errors import ScenarioError
from kvandal.randomness import stream

DAY_S = 86_400
WEEK_S = 7 * DAY_S

GAP_S = 6 * 3600
"""Mean pause between two jobs of a frontier lane [s]; judgement: a team checks, plans and starts the next run."""
FIRST_START_S = 2 * 3600
"""The lanes' first jobs are submitted within this time [s]."""
SHORTEST_FRONTIER_S = 60
"""Run times drawn shorter than this are raised to it [s]; those above ten years are cut."""
MAXIMUM_ROUNDS = 500_000
"""Jobs one after the other in a lane that are worth drawing; more is taken for a mistake."""
MAXIMUM_JOBS = 50_000_000

STEP_S = 900
"""Step of the inference demand [s]."""
NOISE_FRACTION = 0.03
"""Standard deviation of the noise of inference demand, relative to the mean; judgement."""
NOISE_MEMORY = 0.98
"""Correlation of the noise from one step to the next; judgement (half-life of about 8.6 h)."""
WEEKEND_BLEND_H = 4.0
"""Weekday and weekend blend over this time around local midnight [h]."""


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """Synthetic jobs in order of submission; `tenant_draw` is a uniform number per job."""

    submit_s: Int64
    work_s: Int64
    gpus: Int32
    tenant_draw: Float64
    notes: tuple[str, ...] = ()


def lanes(
    mean_gpus: float, sizes_gpus: tuple[int, ...], mean_duration_s: float
) -> tuple[list[int], list[float]]:
    """Choose the sizes of the lanes and the share of time that each is busy.

    The sizes are gone through from the largest down, again and again, taking each that still fits; what remains is
    one more lane of the smallest size that is busy part of the time.

    Parameters
    ----------
    mean_gpus : GPUs busy on average [GPUs]
    sizes_gpus : sizes to choose from [GPUs]
    mean_duration_s : mean run time of a job [s]

    Examples
    --------
    >>> sizes, busy = lanes(39_000, (4096, 8192, 16384), 400 * 3600.0)
    >>> sizes, [round(share, 2) for share in busy]
    ([16384, 8192, 4096, 8192, 4096], [0.99, 0.99, 0.99, 0.99, 0.65])

    """
    full = mean_duration_s / (mean_duration_s + GAP_S)
    descending = sorted(set(sizes_gpus), reverse=True)
    smallest = descending[-1]
    chosen: list[int] = []
    rest = mean_gpus
    fitting = descending
    while fitting := [size for size in fitting if size * full <= rest]:
        if len(fitting) == 1:
            count = int(rest / (fitting[0] * full))
            chosen += [fitting[0]] * count
            rest -= count * fitting[0] * full
            break
        for size in fitting:
            if size * full <= rest:
                chosen.append(size)
                rest -= size * full
    busy = [full] * len(chosen)
    if rest > 1e-6 * mean_gpus:
        chosen.append(smallest)
        busy.append(rest / smallest)
    return chosen, busy


def frontier(
    *,
    mean_gpus: float,
    sizes_gpus: tuple[int, ...],
    median_duration_h: float,
    sigma_log_duration: float,
    days: int,
    seed: int,
    name: str,
) -> Synthetic:
    r"""Draw few, very large training jobs: a renewal process per lane.

    A lane holds one job of its size after another. Run times are log-normal; a full lane pauses 6 h on average
    (exponential) between two jobs, the last lane in proportion to the job before, so that it is busy its share of the
    time. The run starts in the middle of things: a lane's first job has the residual life of a job met at random
    (length-biased: :math:`\ln T \sim N(\mu + \sigma^2, \sigma^2)`, times a uniform number) and is submitted in the
    first two hours.

    Parameters
    ----------
    mean_gpus : GPUs busy on average if every job started at once [GPUs]
    sizes_gpus : sizes of jobs [GPUs]
    median_duration_h : median run time [h]
    sigma_log_duration : standard deviation of the natural logarithm of the run time
    days : length of the run [days]
    seed : seed of the run
    name : name of the demand class (names the random streams)

    Raises
    ------
    ScenarioError
        If run times are so short that there would be millions of jobs.

    """
    log_median = math.log(median_duration_h * 3600)
    mean_s = max(math.exp(log_median + sigma_log_duration**2 / 2), SHORTEST_FRONTIER_S)
    length_s = days * DAY_S
    lane_estimate = mean_gpus / min(sizes_gpus)
    if length_s / mean_s > MAXIMUM_ROUNDS or lane_estimate * max(length_s / mean_s, 1) > MAXIMUM_JOBS:
        raise ScenarioError(
            f"would take more than {MAXIMUM_JOBS:,} jobs, or {MAXIMUM_ROUNDS:,} one after the other: raise it, or the sizes",
            key=f"demand.{name}.median_duration_h",
        )
    chosen, shares = lanes(mean_gpus, sizes_gpus, mean_s)
    sizes, busy = np.array(chosen, dtype=np.int32), np.array(shares)
    full = mean_s / (mean_s + GAP_S)
    proportional = busy < full * (1 - 1e-9)

    first = stream(seed, name, "first")
    staggered_s = first.random(sizes.shape[0]) * FIRST_START_S
    residual = first.random(sizes.shape[0])
    met_s = np.exp(first.normal(log_median + sigma_log_duration**2, sigma_log_duration, sizes.shape[0]))
    duration_s = residual * met_s
    # a proportional lane is met at a random point of job and pause
    point_s = first.random(sizes.shape[0]) * met_s / busy
    pausing = proportional & (point_s >= met_s)
    start_s = np.where(pausing, met_s / busy - point_s, staggered_s)
    draws = stream(seed, name, "rounds")
    fresh_s = np.exp(draws.normal(log_median, sigma_log_duration, sizes.shape[0]))
    duration_s = np.where(pausing, fresh_s, duration_s)

    submit, work, lane = [], [], []
    numbers = np.arange(sizes.shape[0])
    while (start_s < length_s).any():
        work_s = np.clip(np.rint(duration_s), SHORTEST_FRONTIER_S, MAXIMUM_RUN_S)
        running = start_s < length_s
        submit.append(start_s[running].astype(np.int64))
        work.append(work_s[running].astype(np.int64))
        lane.append(numbers[running])
        pause_s = np.where(proportional, work_s * (1 / busy - 1), draws.exponential(GAP_S, sizes.shape[0]))
        start_s = start_s + work_s + pause_s
        duration_s = np.exp(draws.normal(log_median, sigma_log_duration, sizes.shape[0]))
    if not submit:
        return _sorted(np.empty(0), np.empty(0), np.empty(0), seed, name, ())
    lane_of_job = np.concatenate(lane)
    counted = ", ".join(f"{chosen.count(size)} x {size:,}" for size in sorted(set(chosen), reverse=True))
    note = f"{len(chosen)} lanes: {counted} GPUs; the last is busy {shares[-1]:.0%} of the time"
    return _sorted(np.concatenate(submit), np.concatenate(work), sizes[lane_of_job], seed, name, (note,))


def utc_offsets_s(start_utc: datetime, step_s: int, steps: int, time_zone: str) -> Int64:
    """Return local time minus UTC at every step [s]; right on the days when the clocks change."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScenarioError(
            f"no time zone {time_zone!r}; give an IANA name like Europe/Oslo", key="site.time_zone"
        ) from None
    first = int(start_utc.timestamp())

    def offset_s(second: int) -> int:
        offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())

    return np.fromiter(
        (offset_s(first + step * step_s) for step in range(steps)), dtype=np.int64, count=steps
    )


def diurnal_shape(
    local_s: Int64 | Float64, *, amplitude_fraction: float, peak_hour_local: float, weekend_fraction: float
) -> Float64:
    r"""Demand over its mean at local times [s after a Monday midnight].

    .. math:: s(t) = w(t)\,\bigl(1 + a\cos(2\pi (h - h_{peak})/24)\bigr) \Big/ \frac{5 + 2w_{we}}{7}

    with *w* 1 on weekdays and :math:`w_{we}` on Saturday and Sunday, blended over four hours around midnight.
    The mean over a week is 1.

    Examples
    --------
    >>> wednesday_15h = np.array([(2 * 24 + 15) * 3600])
    >>> shape = diurnal_shape(wednesday_15h, amplitude_fraction=0.35, peak_hour_local=15, weekend_fraction=0.8)
    >>> round(float(shape[0]), 4)
    1.4318

    """
    hour_of_week = np.asarray(local_s, dtype=np.float64) / 3600 % 168
    half = WEEKEND_BLEND_H / 2
    knots = [0, half, 120 - half, 120 + half, 168 - half, 168]
    middle = (1 + weekend_fraction) / 2
    day_factor = np.interp(hour_of_week, knots, [middle, 1, 1, weekend_fraction, weekend_fraction, middle])
    swing = 1 + amplitude_fraction * np.cos(2 * np.pi * (hour_of_week - peak_hour_local) / 24)
    return day_factor * swing / ((5 + 2 * weekend_fraction) / 7)


def diurnal(
    *,
    mean_gpus: float,
    replica_gpus: int,
    amplitude_fraction: float,
    peak_hour_local: float,
    weekend_fraction: float,
    time_zone: str,
    start_utc: datetime,
    days: int,
    seed: int,
    name: str,
) -> Synthetic:
    """Draw the replicas of an inference service that follows the hours of the day.

    The replicas needed are `mean_gpus / replica_gpus` times :func:`diurnal_shape` times a slow noise (3 %, every
    15 min, linear between). Replica *k* runs whenever at least *k* - ½ are needed: each such interval is a job. A
    replica is renewed weekly, each at its own time, so that no job is longer than seven days.

    Parameters
    ----------
    mean_gpus : GPUs busy on average if every job started at once [GPUs]
    replica_gpus : GPUs of one replica
    amplitude_fraction : half the swing over the day, relative to the mean
    peak_hour_local : hour of the day (local) of the highest demand
    weekend_fraction : Saturday and Sunday over a weekday
    time_zone : IANA name
    start_utc : start of the run
    days : length of the run [days]
    seed : seed of the run
    name : name of the demand class (names the random streams)

    Raises
    ------
    ScenarioError
        If the time zone is unknown or there would be tens of millions of jobs.

    """
    mean_replicas = mean_gpus / replica_gpus
    if mean_replicas * days * 2 > MAXIMUM_JOBS:
        raise ScenarioError(
            f"would take tens of millions of replica jobs ({mean_replicas:,.0f} replicas of {replica_gpus} GPUs, {days} days); raise it",
            key=f"demand.{name}.replica_gpus",
        )
    # eight days more, so that every interval that begins in the run has its own end
    steps = (days + 8) * DAY_S // STEP_S + 1
    noise = slow_noise(stream(seed, name, "noise"), steps)
    shape = shape_of_steps(
        steps,
        start_utc,
        time_zone,
        amplitude_fraction=amplitude_fraction,
        peak_hour_local=peak_hour_local,
        weekend_fraction=weekend_fraction,
    )
    start_s, work_s = replicas(mean_replicas * shape * (1 + noise))
    inside = start_s < days * DAY_S
    submit_s, work_s = start_s[inside], work_s[inside]
    notes: tuple[str, ...] = ()
    if not submit_s.shape[0]:
        notes = (f"no jobs: the need never reaches half a replica of {replica_gpus} GPUs",)
    return _sorted(submit_s, work_s, np.full(submit_s.shape[0], replica_gpus), seed, name, notes)


def shape_of_steps(
    steps: int,
    start_utc: datetime,
    time_zone: str,
    *,
    amplitude_fraction: float,
    peak_hour_local: float,
    weekend_fraction: float,
) -> Float64:
    """Demand over its mean at every step after an instant, see :func:`diurnal_shape`."""
    time_s = np.arange(steps, dtype=np.int64) * STEP_S
    start_of_week_s = (start_utc.astimezone(UTC).weekday() * 24 + start_utc.astimezone(UTC).hour) * 3600
    return diurnal_shape(
        start_of_week_s + time_s + utc_offsets_s(start_utc, STEP_S, steps, time_zone),
        amplitude_fraction=amplitude_fraction,
        peak_hour_local=peak_hour_local,
        weekend_fraction=weekend_fraction,
    )


def replicas(needed: Float64) -> tuple[Int64, Int64]:
    """Start and length of the jobs that serve a curve of needed replicas, one value per step [s]."""
    return _renewed(*_intervals(np.maximum(needed, 0.0)))


def slow_noise(draws: np.random.Generator, steps: int) -> Float64:
    """First-order autoregressive noise of standard deviation `NOISE_FRACTION`."""
    shocks = draws.normal(0.0, NOISE_FRACTION, steps)
    shocks[1:] *= math.sqrt(1 - NOISE_MEMORY**2)
    return np.fromiter(
        accumulate(shocks.tolist(), lambda before, shock: NOISE_MEMORY * before + shock),
        dtype=np.float64,
        count=steps,
    )


def _intervals(needed: Float64) -> tuple[Int64, Int64, Int64]:
    """Cut a curve of needed replicas (one value per step, linear between) into intervals per level.

    Level k (from 1) is on while the curve is at or above k - 1/2. Returns level, start [s] and end [s], ordered by
    level and start; what is on at the end of the curve ends there.
    """
    count = np.floor(needed + 0.5).astype(np.int64)
    up_level, up_s = _crossings(needed, count, rising=True)
    down_level, down_s = _crossings(needed, count, rising=False)
    at_start = np.arange(1, count[0] + 1)
    at_end = np.arange(1, count[-1] + 1)
    up_level = np.concatenate([at_start, up_level])
    up_s = np.concatenate([np.zeros(at_start.shape[0], dtype=np.int64), up_s])
    down_level = np.concatenate([down_level, at_end])
    down_s = np.concatenate([down_s, np.full(at_end.shape[0], (needed.shape[0] - 1) * STEP_S)])
    ups = np.argsort(up_level, kind="stable")
    downs = np.argsort(down_level, kind="stable")
    return up_level[ups], up_s[ups], down_s[downs]


def _crossings(needed: Float64, count: Int64, *, rising: bool) -> tuple[Int64, Int64]:
    """Levels crossed in each step and when [s], in order of time for each level."""
    before, after = (count[:-1], count[1:]) if rising else (count[1:], count[:-1])
    crossed = np.maximum(after - before, 0)
    step = np.repeat(np.arange(crossed.shape[0]), crossed)
    first = np.cumsum(crossed) - crossed
    level = before[step] + 1 + (np.arange(step.shape[0]) - first[step])
    fraction = (level - 0.5 - needed[step]) / (needed[step + 1] - needed[step])
    return level, step * STEP_S + (np.clip(fraction, 0, 1) * STEP_S).astype(np.int64)


def _renewed(level: Int64, start_s: Int64, end_s: Int64) -> tuple[Int64, Int64]:
    """Cut intervals at each level's weekly renewal; returns start and length [s], none shorter than 1 s."""
    phase_s = (level * 0.6180339887498949 % 1 * WEEK_S).astype(
        np.int64
    )  # golden section: spread evenly over the week
    week = (start_s - phase_s) // WEEK_S
    pieces = (end_s - 1 - phase_s) // WEEK_S - week + 1
    pieces = np.maximum(pieces, 1)
    source = np.repeat(np.arange(level.shape[0]), pieces)
    piece = np.arange(source.shape[0]) - (np.cumsum(pieces) - pieces)[source]
    boundary_s = phase_s[source] + (week[source] + piece) * WEEK_S
    piece_start_s = np.maximum(start_s[source], boundary_s)
    piece_end_s = np.minimum(end_s[source], boundary_s + WEEK_S)
    return piece_start_s, np.maximum(piece_end_s - piece_start_s, 1)


def _sorted(
    submit_s: np.ndarray[tuple[int], np.dtype[np.generic]],
    work_s: np.ndarray[tuple[int], np.dtype[np.generic]],
    gpus: np.ndarray[tuple[int], np.dtype[np.generic]],
    seed: int,
    name: str,
    notes: tuple[str, ...],
) -> Synthetic:
    order = np.argsort(submit_s, kind="stable")
    tenant_draw: Float64 = stream(seed, name, "tenant").random(order.size)
    return Synthetic(
        submit_s[order].astype(np.int64),
        work_s[order].astype(np.int64),
        gpus[order].astype(np.int32),
        tenant_draw,
        notes,
    )
