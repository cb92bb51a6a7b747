r"""What may still come, given what is known at an instant of a run: new jobs, and how long the unfinished ones will last.

Nothing is read from the run but its past. Each class of demand goes on as its own source would:

* *bootstrap of a trace*: blocks of the trace drawn anew (:func:`kvandal.demand.bootstrap.bootstrap`), in step with the
  run's weeks and days; jobs of the blocks that begin after the instant are new.
* *trace replayed as it is*: there is no second copy of the future, so days of the run's own past are drawn again (of the
  same weekday where there are four weeks of them; before a day has passed, days of the trace).
* *frontier*: each lane goes on: its job lasts as long as it may given its age, then the pause, then a fresh job.
* *diurnal*: the slow noise goes on from where it stands. A first-order autoregression given its value :math:`x_0` is
  any other path :math:`x` plus :math:`(x_0 - x(t_0))\rho^{|t - t_0|}`. Replicas that are on stay on as long as that curve says.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from kvandal.demand.bootstrap import CARRIED_SPREAD_S, block_length_s, bootstrap
from kvandal.demand.build import by_weight, named_tenants, placeable_gpus
from kvandal.demand.durations import Durations, Sample
from kvandal.demand.generators import (
    DAY_S,
    FIRST_START_S,
    GAP_S,
    NOISE_FRACTION,
    NOISE_MEMORY,
    SHORTEST_FRONTIER_S,
    STEP_S,
    WEEK_S,
    lanes,
    replicas,
    shape_of_steps,
    slow_noise,
)
from kvandal.demand.jobs import Int32, Int64, JobTable
from kvandal.demand.readers import read_trace
from kvandal.demand.trace import MAXIMUM_RUN_S, Bool, Float64, Trace
from kvandal.randomness import stream
from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Scenario

MOST_NOISE = 3.0 * NOISE_FRACTION
"""A number of replicas further from the mean than that is a queue, not noise."""
QUANTILES = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of a run's jobs at an instant; arrays of one length.

    Attributes
    ----------
    at_s : the instant [s after the start of the run]
    jobs : jobs submitted up to then; `work_s` means nothing where `open` holds
    open : the job waits or runs
    finished : the job has finished
    done_s : useful work that an open job is known to hold [s]

    """

    at_s: int
    jobs: JobTable
    open: Bool
    finished: Bool
    done_s: Float64


class Futures:
    """Draws what may still come.

    Parameters
    ----------
    scenario : the run's scenario
    known : what is known
    until_s : end of the future [s after the start of the run]
    only : classes of demand that are drawn; left out, all

    """

    def __init__(
        self, scenario: Scenario, known: Known, until_s: int, only: Collection[str] | None = None
    ) -> None:
        self._scenario, self._known, self._until_s = scenario, known, until_s
        self._classes = [
            _of_class(scenario, index, name, demand, known)
            for index, (name, demand) in enumerate(scenario.demand.items())
            if only is None or name in only
        ]

    def draw(self, seed: int) -> tuple[JobTable, Int64]:
        """Draw one future.

        Returns
        -------
        JobTable
            Jobs submitted after the instant and before `until_s`.
        int64 (jobs known,)
            Run times of the known jobs: those of open jobs are drawn, each longer than what the job has done.

        """
        work_s = self._known.jobs.work_s.copy()
        tables = []
        for one in self._classes:
            drawn = one.draw(seed, self._until_s)
            work_s[one.open_rows] = np.clip(
                np.ceil(drawn.open_work_s), np.floor(self._known.done_s[one.open_rows]) + 1, MAXIMUM_RUN_S
            ).astype(np.int64)
            inside = (drawn.submit_s > self._known.at_s) & (drawn.submit_s < self._until_s)
            order = np.flatnonzero(inside)[np.argsort(drawn.submit_s[inside], kind="stable")]
            tables.append(
                JobTable(
                    drawn.submit_s[order].astype(np.int64),
                    drawn.gpus[order].astype(np.int32),
                    np.clip(np.rint(drawn.work_s[order]), 1, MAXIMUM_RUN_S).astype(np.int64),
                    drawn.tenant[order].astype(np.int16),
                    np.full(order.shape[0], one.index, np.int16),
                )
            )
        return JobTable.merged(tables), work_s


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """New jobs in any order, and the run times of the open ones."""

    submit_s: Int64
    gpus: Int64
    work_s: Float64
    tenant: Int64
    open_work_s: Float64


class _Class:
    """One class of demand at the instant."""

    def __init__(self, scenario: Scenario, index: int, name: str, demand: Demand, known: Known) -> None:
        self.scenario, self.index, self.name, self.demand, self.known = scenario, index, name, demand, known
        jobs = known.jobs
        mine = jobs.demand == index
        self.rows = np.flatnonzero(mine)
        self.open_rows = np.flatnonzero(mine & known.open)
        self.maximum_gpus = min(demand.maximum_gpus, placeable_gpus(scenario))
        self.mean_gpus = (demand.mean_gpus or 0.0) * scenario.demand_multiplier

    def draw(self, seed: int, until_s: int) -> _Drawn:
        raise NotImplementedError

    def past(self, first_s: int) -> Sample:
        """Run times seen of the jobs submitted from `first_s` on."""
        jobs, known = self.known.jobs, self.known
        rows = self.rows[jobs.submit_s[self.rows] >= first_s]
        rows = rows[known.finished[rows] | known.open[rows]]
        ended = known.finished[rows]
        return Sample(
            np.where(ended, jobs.work_s[rows], known.done_s[rows]).astype(np.float64),
            jobs.gpus[rows].astype(np.int64),
            ended,
        )

    def open_work(self, random: np.random.Generator, durations: Durations, met_before_s: int) -> Float64:
        """Run times of the open jobs; those submitted before `met_before_s` started in the middle."""
        jobs, rows = self.known.jobs, self.open_rows
        gpus, age_s = jobs.gpus[rows], self.known.done_s[rows]
        work_s = durations.draw(random, gpus, age_s)
        met = np.flatnonzero(jobs.submit_s[rows] < met_before_s)
        if met.size:
            work_s[met] = durations.draw_met(random, gpus[met], age_s[met])
        return work_s


class _Traced(_Class):
    """A class that comes from a trace."""

    def __init__(self, scenario: Scenario, index: int, name: str, demand: Demand, known: Known) -> None:
        super().__init__(scenario, index, name, demand, known)
        path = demand.path if demand.source == "file" and demand.path is not None else demand.source
        self.trace: Trace = read_trace(path)
        self.trace_gpus = np.minimum(
            self.trace.gpus.astype(np.int64) * demand.size_multiplier, self.maximum_gpus
        )
        self.met_before_s = 0 if demand.mean_gpus is None else CARRIED_SPREAD_S
        own = Sample(
            self.trace.run_s.astype(np.float64), self.trace_gpus, np.ones(len(self.trace), dtype=np.bool_)
        )
        self.durations = Durations(own, self.past(self.met_before_s))

    def draw(self, seed: int, until_s: int) -> _Drawn:
        random = stream(seed, self.name, "open")
        open_work_s = self.open_work(random, self.durations, self.met_before_s)
        if self.demand.mean_gpus is None:
            return self._again(seed, until_s, open_work_s)
        block_s = block_length_s(self.trace)
        offset_s = self.known.at_s // block_s * block_s
        drawn = bootstrap(
            self.trace,
            mean_gpus=self.mean_gpus,
            days=math.ceil((until_s - offset_s) / DAY_S),
            seed=seed,
            name=self.name,
            size_multiplier=self.demand.size_multiplier,
            maximum_gpus=self.maximum_gpus,
            start_utc=self.scenario.run.start_utc + timedelta(seconds=offset_s),
            carry=False,
        )
        tenant = self._tenants(drawn.tenant_draw, drawn.tenant)
        return _Drawn(
            drawn.submit_s + offset_s,
            drawn.gpus.astype(np.int64),
            drawn.work_s.astype(np.float64),
            tenant,
            open_work_s,
        )

    def _tenants(self, draw: Float64, code: Int32) -> Int64:
        tenant = by_weight(self.scenario, self.demand, draw).astype(np.int64)
        if self.trace.tenant is not None:
            named, _ = named_tenants(self.scenario, self.demand, self.trace, code)
            tenant = np.where(named >= 0, named, tenant)
        return tenant

    def _again(self, seed: int, until_s: int, open_work_s: Float64) -> _Drawn:
        """Days of the past once more."""
        jobs, at_s = self.known.jobs, self.known.at_s
        random = stream(seed, self.name, "days")
        past_days = at_s // DAY_S
        if past_days:
            submit_s, gpus = jobs.submit_s[self.rows], jobs.gpus[self.rows].astype(np.int64)
            work_s = jobs.work_s[self.rows].astype(np.float64)
            work_s[np.searchsorted(self.rows, self.open_rows)] = open_work_s
            tenant = jobs.tenant[self.rows].astype(np.int64)
        else:
            submit_s, gpus, work_s = self.trace.submit_s, self.trace_gpus, self.trace.run_s.astype(np.float64)
            code = (
                np.full(len(self.trace), -1, np.int32)
                if self.trace.tenant is None
                else self.trace.tenant.astype(np.int32)
            )
            tenant = self._tenants(random.random(len(self.trace)), code)
            past_days = math.ceil((self.trace.span_s + 1) / DAY_S)
        bounds = np.searchsorted(submit_s, np.arange(past_days + 1) * DAY_S)
        rows, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for day in range(at_s // DAY_S, math.ceil(until_s / DAY_S)):
            alike = np.arange(day % 7, past_days, 7) if past_days >= 28 else np.arange(past_days)
            source = int(random.choice(alike))
            chosen = np.arange(bounds[source], bounds[source + 1])
            rows.append(chosen)
            shifts.append(np.full(chosen.shape[0], (day - source) * DAY_S))
        row, shift = np.concatenate(rows), np.concatenate(shifts)
        return _Drawn(submit_s[row] + shift, gpus[row], work_s[row], tenant[row], open_work_s)


class _Frontier(_Class):
    """Lanes of very large jobs."""

    def __init__(self, scenario: Scenario, index: int, name: str, demand: Demand, known: Known) -> None:
        super().__init__(scenario, index, name, demand, known)
        chance = (np.arange(QUANTILES) + 0.5) / QUANTILES
        self.log_median = math.log(demand.median_duration_h * 3600)
        self.sigma = demand.sigma_log_duration
        own_s = np.exp(self.log_median + self.sigma * _normal_quantiles(chance))
        own = Sample(
            np.maximum(own_s, SHORTEST_FRONTIER_S),
            np.ones(QUANTILES, np.int64),
            np.ones(QUANTILES, dtype=np.bool_),
        )
        self.durations = Durations(own, self.past(FIRST_START_S))
        mean_s = max(math.exp(self.log_median + self.sigma**2 / 2), SHORTEST_FRONTIER_S)
        sizes = tuple(min(size, self.maximum_gpus) for size in demand.sizes_gpus)
        self.sizes, self.busy = lanes(self.mean_gpus, sizes, mean_s)
        self.full = mean_s / (mean_s + GAP_S)

    def draw(self, seed: int, until_s: int) -> _Drawn:
        random = stream(seed, self.name, "lanes")
        open_work_s = self.open_work(random, self.durations, FIRST_START_S)
        jobs, known = self.known.jobs, self.known
        lasts_s = jobs.work_s.astype(np.float64)
        lasts_s[self.open_rows] = open_work_s
        submit, gpus, work = [], [], []
        for size in sorted(set(self.sizes)):
            shares = [share for lane, share in zip(self.sizes, self.busy, strict=True) if lane == size]
            mine = self.rows[jobs.gpus[self.rows] == size]
            latest = mine[np.lexsort((-jobs.submit_s[mine], ~known.open[mine]))][: len(shares)]
            random.shuffle(latest)
            for lane, share in enumerate(shares):
                job = int(latest[lane]) if lane < latest.shape[0] else -1
                next_s = max(self._next_s(random, share, job, lasts_s), known.at_s + 1.0)
                while next_s < until_s:
                    work_s = self._fresh_s(random)
                    submit.append(int(next_s))
                    gpus.append(size)
                    work.append(work_s)
                    next_s += work_s + self._pause_s(random, share, work_s)
        tenant = by_weight(self.scenario, self.demand, random.random(len(submit))).astype(np.int64)
        return _Drawn(
            np.array(submit, np.int64),
            np.array(gpus, np.int64),
            np.array(work, np.float64),
            tenant,
            open_work_s,
        )

    def _next_s(self, random: np.random.Generator, share: float, job: int, lasts_s: Float64) -> float:
        """When a lane submits its next job; `job` is its last one, -1: it has had none."""
        known = self.known
        if job < 0:  # somewhere in its first pause
            return known.at_s + float(random.random()) * self._pause_s(random, share, self._fresh_s(random))
        if share >= self.full * (1 - 1e-9) and not known.open[job]:
            return known.at_s + float(
                random.exponential(GAP_S)
            )  # a pause that forgets how long it has lasted
        return (
            float(known.jobs.submit_s[job])
            + float(lasts_s[job])
            + self._pause_s(random, share, float(lasts_s[job]))
        )

    def _fresh_s(self, random: np.random.Generator) -> float:
        return max(float(np.exp(random.normal(self.log_median, self.sigma))), SHORTEST_FRONTIER_S)

    def _pause_s(self, random: np.random.Generator, share: float, work_s: float) -> float:
        """Pause after a job, by the rule of :func:`kvandal.demand.generators.frontier`."""
        if share < self.full * (1 - 1e-9):
            return work_s * (1 / share - 1)
        return float(random.exponential(GAP_S))


class _Diurnal(_Class):
    """Replicas that follow the hours of the day."""

    def __init__(self, scenario: Scenario, index: int, name: str, demand: Demand, known: Known) -> None:
        super().__init__(scenario, index, name, demand, known)
        self.replica_gpus = min(demand.replica_gpus, self.maximum_gpus)
        # whole weeks, so that the weekly renewals fall as in the run; eight days back, so that all that is on has begun
        self.offset_s = max(0, (known.at_s - 8 * DAY_S) // WEEK_S * WEEK_S)
        self._shape: Float64 | None = None

    def draw(self, seed: int, until_s: int) -> _Drawn:
        known, jobs = self.known, self.known.jobs
        random = stream(seed, self.name, "noise")
        steps = math.ceil((until_s - self.offset_s) / STEP_S) + 8 * DAY_S // STEP_S + 1
        shape = self._shape_of(steps)
        now = (known.at_s - self.offset_s) // STEP_S
        mean_replicas = self.mean_gpus / self.replica_gpus
        seen = self.open_rows.size / (mean_replicas * shape[now]) - 1
        noise = slow_noise(random, steps)
        shift = float(np.clip(seen, -MOST_NOISE, MOST_NOISE)) - noise[now]
        noise = noise + shift * NOISE_MEMORY ** np.abs(np.arange(steps) - now)
        start_s, work_s = replicas(mean_replicas * shape * (1 + noise))
        start_s = start_s + self.offset_s
        on = (start_s <= known.at_s) & (start_s + work_s > known.at_s)
        # the oldest replica of the run is that of the lowest level, and so is the oldest of the curve
        end_s = (start_s + work_s)[on][np.argsort(start_s[on], kind="stable")]
        submit_s = jobs.submit_s[self.open_rows]  # in order already
        both = min(end_s.size, submit_s.size)
        open_work_s = np.empty(submit_s.size)
        open_work_s[:both] = end_s[:both] - submit_s[:both]
        # more wait or run than the curve asks for: late ones, which last as any does
        late = work_s[random.integers(0, work_s.size, submit_s.size - both)] if work_s.size else np.zeros(0)
        open_work_s[both:] = late if late.size else 1.0
        tenant = by_weight(self.scenario, self.demand, random.random(start_s.size)).astype(np.int64)
        return _Drawn(
            start_s,
            np.full(start_s.size, self.replica_gpus, np.int64),
            work_s.astype(np.float64),
            tenant,
            open_work_s,
        )

    def _shape_of(self, steps: int) -> Float64:
        """Shape of the curve; it is the same in every future."""
        if self._shape is None or self._shape.size != steps:
            self._shape = shape_of_steps(
                steps,
                self.scenario.run.start_utc + timedelta(seconds=self.offset_s),
                self.scenario.site.time_zone,
                amplitude_fraction=self.demand.diurnal_amplitude_fraction,
                peak_hour_local=self.demand.peak_hour_local,
                weekend_fraction=self.demand.weekend_fraction,
            )
        return self._shape


def _of_class(scenario: Scenario, index: int, name: str, demand: Demand, known: Known) -> _Class:
    kinds: dict[str, type[_Class]] = {"frontier": _Frontier, "diurnal": _Diurnal}
    return kinds.get(demand.source, _Traced)(scenario, index, name, demand, known)


def _normal_quantiles(chance: Float64) -> Float64:
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(one) for one in chance.tolist()])
