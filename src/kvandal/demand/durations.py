"""How long jobs last that have run so long already, from what was seen of jobs like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kvandal.demand.jobs import Int32, Int64
from kvandal.demand.trace import Bool, Float64

ENOUGH = 30
"""So many finished jobs of its class and size that lasted longer speak for a job; with fewer its class's own does."""
POINTS = 4000
"""Points that a distribution is kept with."""
STRETCH = 0.1
"""A job older than every job known lasts so much longer than it has, relative."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Run times of jobs and their sizes; where `ended` is false the job still ran at that time (censored)."""

    work_s: Float64
    gpus: Int64
    ended: Bool


def size_class(gpus: Int64 | Int32) -> Int64:
    """Class of sizes: powers of two.

    Examples
    --------
    >>> size_class(np.array([1, 2, 3, 4, 72])).tolist()
    [0, 1, 1, 2, 6]

    """
    return np.floor(np.log2(np.maximum(gpus, 1)) + 1e-12).astype(np.int64)


class Durations:
    """Run times of the jobs of a class of demand, by size.

    A job of a size of which enough jobs have finished draws from those, by the product-limit estimate of Kaplan and
    Meier [1]_: jobs that still run count as long as they have run, so that the long ones are not forgotten because they
    have not ended yet. Other jobs draw from the class's own distribution (of its trace, or of its generator).

    Parameters
    ----------
    own : the class's own run times
    past : what has been seen of its jobs

    References
    ----------
    .. [1] E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations", Journal of the American
       Statistical Association 53 (1958) 457-481, doi:10.1080/01621459.1958.10501452.

    """

    def __init__(self, own: Sample, past: Sample) -> None:
        self._all = _thinned(own.work_s)
        own_size, past_size = size_class(own.gpus), size_class(past.gpus)
        self._own: dict[int, Float64] = {}
        for size in np.unique(own_size).tolist():
            chosen = own.work_s[own_size == size]
            if chosen.size >= ENOUGH:
                self._own[size] = _thinned(chosen)
        self._past: dict[int, tuple[Float64, Float64]] = {
            int(size): product_limit(past.work_s[past_size == size], past.ended[past_size == size])
            for size in np.unique(past_size).tolist()
        }

    def draw(self, random: np.random.Generator, gpus: Int64 | Int32, age_s: Float64) -> Float64:
        """Draw the run times of jobs that have worked for `age_s` and have not finished [s]; each is above its age."""
        work_s = np.zeros(gpus.shape[0])
        sizes = size_class(gpus)
        chance = random.random(len(gpus))
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            own = self._own.get(size, self._all)
            if size in self._past:
                times_s, left = self._past[size]
                longer = times_s.size - np.searchsorted(times_s, age_s[rows], side="right")
                seen = longer >= ENOUGH
                work_s[rows[seen]] = _from_past(times_s, left, own, chance[rows[seen]], age_s[rows[seen]])
                rows = rows[~seen]
            work_s[rows] = _beyond(own, chance[rows], age_s[rows])
        return work_s

    def draw_met(self, random: np.random.Generator, gpus: Int64 | Int32, age_s: Float64) -> Float64:
        """Draw run times from a start in the middle, of jobs met at random [s]; each is above its age.

        A job met at random has length-biased total length, and its rest is uniform in it; given that the rest exceeds
        the age d, lengths L weigh (L - d) and the rest is uniform in (d, L).
        """
        work_s = np.zeros(gpus.shape[0])
        chance = random.random((2, gpus.shape[0]))
        for row, size in enumerate(size_class(gpus).tolist()):
            own = self._own.get(size, self._all)
            weight = np.cumsum(np.maximum(own - age_s[row], 0.0))
            if weight[-1] <= 0.0:
                work_s[row] = age_s[row] * (1 + STRETCH) + 1
                continue
            length_s = own[np.searchsorted(weight, chance[0, row] * weight[-1], side="right")]
            work_s[row] = age_s[row] + chance[1, row] * (length_s - age_s[row])
        return work_s


def product_limit(work_s: Float64, ended: Bool) -> tuple[Float64, Float64]:
    """Estimate which share of jobs lasts longer than each run time that was seen to its end.

    Examples
    --------
    Freireich's patients under 6-mercaptopurine, the textbook example of the estimate:

    >>> weeks = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0])
    >>> seen = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
    >>> times, left = product_limit(weeks, seen)
    >>> [round(float(left[times == week][-1]), 3) for week in (6, 7, 10, 13, 16, 22, 23)]
    [0.857, 0.807, 0.753, 0.69, 0.627, 0.538, 0.448]

    """
    order = np.lexsort(
        (~ended, work_s)
    )  # who ends at a time was at risk with those who are lost sight of then
    at_risk = work_s.size - np.arange(work_s.size)
    left = np.cumprod(np.where(ended[order], 1 - 1 / np.maximum(at_risk, 1), 1.0))
    shown = ended[order]
    return work_s[order][shown], left[shown].astype(np.float64)


def _from_past(times_s: Float64, left: Float64, own: Float64, chance: Float64, age_s: Float64) -> Float64:
    """Invert the estimate beyond an age; what it leaves open at its end is drawn from the class's own."""
    before = np.searchsorted(times_s, age_s, side="right")
    still = np.where(before > 0, left[np.maximum(before - 1, 0)], 1.0)
    wanted = chance * still
    place = np.searchsorted(-left, -wanted, side="right")
    known = place < times_s.size
    work_s = times_s[np.minimum(place, times_s.size - 1)]
    if not known.all():
        open_end = ~known
        rest = chance[open_end] / left[-1]  # uniform again, given that the estimate did not reach it
        work_s[open_end] = _beyond(own, rest * still[open_end], np.maximum(age_s[open_end], times_s[-1]))
    return np.maximum(work_s, age_s)


def _beyond(own: Float64, chance: Float64, age_s: Float64) -> Float64:
    """Draw among the sorted run times above an age."""
    first = np.searchsorted(own, age_s, side="right")
    place = first + np.floor(chance * (own.size - first)).astype(np.int64)
    known = first < own.size
    return np.where(known, own[np.minimum(place, own.size - 1)], age_s * (1 + STRETCH) + 1)


def _thinned(work_s: Float64) -> Float64:
    """Sorted run times; of many, evenly spaced quantiles."""
    ordered = np.sort(work_s)
    if ordered.size <= POINTS:
        return ordered
    return ordered[((np.arange(POINTS) + 0.5) * ordered.size / POINTS).astype(np.int64)]
