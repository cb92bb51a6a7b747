r"""Scale a trace to a site: a superposed block bootstrap.

The trace is cut into :math:`B` blocks of whole days (a week where it spans four weeks or more, else a day; whole
hours where it spans less than a day). The run is covered by blocks of the same length. For each of them :math:`k`
blocks of the trace are drawn and laid over each other,

.. math:: k = \frac{G}{\sum_i g_i r_i / (B\,b)}

with :math:`G` the GPUs to be busy on average, :math:`g_i` and :math:`r_i` the GPUs (after `size_multiplier` and the cut
at `maximum_gpus`) and run time of job :math:`i` and :math:`b` the length of a block. The fraction of :math:`k` is one
more block whose jobs are kept with that probability. The draw is balanced: each of the k copies goes through all
:math:`B` blocks in random order before it draws one again, so that the few giant jobs that hold much of a trace's
GPU-hours come as often as they should and not as luck has it. Submissions are moved by 0 to 299 s so that copies of one job
do not coincide.

Preserved, in expectation: sizes, run times and how they go together; the shares of jobs and of GPU-hours by size;
the hour of the day (and for weekly blocks the day of the week) of arrivals, counted from the trace's first submission
or, where the trace states its instant, in UTC; bursts within a block of the trace.
Not preserved: who submitted what, the order of blocks, correlation across copies, hence part of the burstiness of
the sum (k independent copies are smoother than one: the coefficient of variation falls as :math:`1/\sqrt k`), and the
feedback of the origin's queue on its users.

The run starts in the middle of things: jobs drawn for the time before the start that would still be running then
are submitted in the first hour with the rest of their work. Without them a trace whose jobs run for weeks would take
weeks to reach `mean_gpus`. They are counted apart (`carried_over`).

References
----------
.. [1] H. R. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17
   (1989) 1217-1241, doi:10.1214/aos/1176347265.
.. [2] A. C. Davison, D. V. Hinkley, E. Schechtman, "Efficient bootstrap simulation", Biometrika 73 (1986) 555-566,
   doi:10.1093/biomet/73.3.555.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from kvandal.demand.jobs import Int32, Int64
from kvandal.demand.trace import Bool, Float64, Trace
from kvandal.errors import ScenarioError
from kvandal.randomness import stream

DAY_S = 86_400
JITTER_S = 300
"""Submissions are moved forward by less than this [s]."""
CARRIED_SPREAD_S = 3600
"""Jobs under way at the start are submitted within this time [s]."""
HISTORY_S = 366 * DAY_S
"""Time before the start that jobs under way are drawn from [s]."""
MAXIMUM_JOBS = 50_000_000
"""Jobs of one class that are worth drawing; more is taken for a mistake."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Jobs of one class, in order of submission.

    `tenant_draw` is a uniform number per job from which its tenant is chosen; `tenant` the trace's own (-1 = not
    stated); `carried` marks jobs under way at the start.
    """

    submit_s: Int64
    work_s: Int64
    gpus: Int32
    tenant_draw: Float64
    tenant: Int32
    carried: Bool


def block_length_s(trace: Trace) -> int:
    """Length of the blocks that the trace is cut into [s].

    Examples
    --------
    >>> from kvandal.demand.readers import read_trace
    >>> block_length_s(read_trace("philly")) // 86_400, block_length_s(read_trace("lingjun")) // 86_400
    (7, 1)

    """
    if trace.span_s >= 28 * DAY_S:
        return 7 * DAY_S
    if trace.span_s >= DAY_S:
        return DAY_S
    return 3600 * max(1, math.ceil((trace.span_s + 1) / 3600))


def bootstrap(
    trace: Trace,
    *,
    mean_gpus: float,
    days: int,
    seed: int,
    name: str,
    size_multiplier: int = 1,
    maximum_gpus: int = 5_000_000,
    start_utc: datetime | None = None,
    carry: bool = True,
) -> Drawn:
    """Draw jobs like those of a trace until `mean_gpus` are busy on average.

    The first days of a longer run hold the same jobs, and the jobs of a smaller `mean_gpus` are among those of a
    larger one.

    Parameters
    ----------
    trace : jobs to draw from
    mean_gpus : GPUs busy on average if every job started at once [GPUs]
    days : length of the run [days]
    seed : seed of the run
    name : name of the demand class (names the random streams)
    size_multiplier : multiplies every job's GPUs
    maximum_gpus : larger jobs are cut to this size [GPUs]
    start_utc : start of the run; aligns hours and weekdays where the trace states its own start
    carry : also draw the jobs that are under way at the start

    Raises
    ------
    ScenarioError
        If that would take more than 50 million jobs.

    """
    block_s = block_length_s(trace)
    shift_s = 0
    if trace.start_utc is not None and start_utc is not None:
        shift_s = math.floor((trace.start_utc - start_utc).total_seconds()) % block_s
    position_s = trace.submit_s + shift_s
    gpus = np.minimum(trace.gpus.astype(np.int64) * size_multiplier, maximum_gpus).astype(np.int32)
    blocks = int(position_s[-1]) // block_s + 1
    copies = mean_gpus * blocks * block_s / float((trace.run_s * gpus).sum(dtype=np.float64))
    expected = copies * len(trace) / blocks * days * DAY_S / block_s
    if max(expected, copies * blocks) > MAXIMUM_JOBS:
        raise ScenarioError(
            f"would take {max(expected, copies * blocks):,.0f} jobs of the trace {trace.name!r} in {days} days; "
            f"at most {MAXIMUM_JOBS:,} are drawn: lower mean_gpus or raise size_multiplier",
            key=f"demand.{name}.mean_gpus",
        )
    start = np.searchsorted(position_s, np.arange(blocks + 1) * block_s)
    within_s = position_s % block_s
    history = math.ceil(min(int(trace.run_s.max()), HISTORY_S) / block_s) if carry else 0
    last = math.ceil(days * DAY_S / block_s)
    parts = []
    order_of_cycle: dict[int, Int64] = {}
    for block in range(-history, last):
        cycle, turn = divmod(block, blocks)
        if cycle not in order_of_cycle:
            order_of_cycle = {cycle: _shuffled(blocks, math.ceil(copies), seed, name, cycle)}
        picks = order_of_cycle[cycle][:, turn]
        row, jitter_s, tenant_draw = _draw_block(start, picks, copies, seed, name, block)
        submit_s = block * block_s + within_s[row] + jitter_s
        if block < 0:  # most of these jobs have ended before the start
            kept = submit_s + trace.run_s[row] > 0
            row, submit_s, jitter_s, tenant_draw = (
                row[kept],
                submit_s[kept],
                jitter_s[kept],
                tenant_draw[kept],
            )
        parts.append((row, submit_s, jitter_s, tenant_draw))
    row, submit_s, jitter_s, tenant_draw = (np.concatenate(column) for column in zip(*parts, strict=True))
    carried = submit_s < 0
    work_s = np.where(carried, submit_s + trace.run_s[row], trace.run_s[row])
    submit_s = np.where(carried, jitter_s * (CARRIED_SPREAD_S // JITTER_S), submit_s)
    inside = np.flatnonzero(submit_s < days * DAY_S)
    order = inside[np.argsort(submit_s[inside], kind="stable")]
    tenant = (
        np.full(order.shape[0], -1, dtype=np.int32)
        if trace.tenant is None
        else trace.tenant[row[order]].astype(np.int32)
    )
    return Drawn(submit_s[order], work_s[order], gpus[row[order]], tenant_draw[order], tenant, carried[order])


def _shuffled(blocks: int, copies: int, seed: int, name: str, cycle: int) -> Int64:
    """Order in which each copy (row) goes through the blocks of the trace; more copies only append rows."""
    return np.argsort(stream(seed, name, "picks", cycle).random((copies, blocks)), axis=1)


def _draw_block(
    start: Int64, picks: Int64, copies: float, seed: int, name: str, block: int
) -> tuple[Int64, Int64, Float64]:
    """Draw one block of the run: rows of the trace, their jitter [s] and a uniform number for the tenant.

    All numbers are drawn copy by copy, so that more copies only append.
    """
    counts = start[picks + 1] - start[picks]
    ends = np.cumsum(counts)
    jobs = int(ends[-1])
    row = np.repeat(start[picks] - (ends - counts), counts) + np.arange(jobs)
    jitter_s = (stream(seed, name, "jitter", block).random(jobs) * JITTER_S).astype(np.int64)
    tenant_draw = stream(seed, name, "tenant", block).random(jobs)
    partial = copies % 1.0
    if partial:
        kept = np.ones(jobs, dtype=np.bool_)
        tail = jobs - int(counts[-1])
        kept[tail:] = stream(seed, name, "thinning", block).random(jobs)[tail:] < partial
        row, jitter_s, tenant_draw = row[kept], jitter_s[kept], tenant_draw[kept]
    return row, jitter_s, tenant_draw
