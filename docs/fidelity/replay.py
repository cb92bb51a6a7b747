"""Recorded jobs of two clusters, replayed on clusters of their own size: use and waits beside what was recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fidelity.figure import Figure, Panel, Series
from fidelity.heat_demand import shared_folder
from fidelity.row import Float64, Section, row
from kvandal.demand.jobs import JobTable
from kvandal.demand.readers import read_trace
from kvandal.scenario.demand import Demand
from kvandal.scenario.model import Run, Scenario
from kvandal.scenario.plant import Reliability
from kvandal.scenario.power import Power
from kvandal.scenario.site import Fleet, Site
from kvandal.scenario.tenants import Policy, Tenant
from kvandal.twin.account import TICK_FIRM, TICK_LENT
from kvandal.twin.records import REFUSED
from kvandal.twin.simulate import Trajectory, simulate_jobs
from kvandal.twin.state import State

Int64 = npt.NDArray[np.int64]

PHILLY_RACKS, PHILLY_DAYS = 35, 130
"""2,520 GPUs for the 2,490 of Philly (552 servers of 2 or 8); from the first submission to the last."""
PHILLY_START = datetime(2017, 8, 14, 23, tzinfo=UTC)
"""Hour of the first submission, in the trace's own local time."""
PHILLY_FIRST_S = 27 * 60
"""First submission, after the start of the run [s]."""
CUT_AFTER_S = 1_767_821
"""The cut with virtual clusters begins so long after the first submission [s]: 2017-09-04 10:30:41."""
SERVER_GPUS = 8
"""Every virtual cluster deserves one server at least."""
UNTIL_H = 2761
"""8 December: after it the trace thins out (88 submissions from 12 to 16 December), though nodes went on working [h]."""
LINGJUN_RACKS, LINGJUN_DAYS = 28, 24
"""2,016 GPUs for "more than 2,000"; until the last job has ended."""
TICK_S = 60
"""As in the default scenario: power is looked at every minute."""
CLASSES = {"1 GPU": (1, 1), "2 to 4": (2, 4), "5 to 8": (5, 8), "above 8": (9, 10**9)}
"""Classes of GPUs as in the analysis of Philly (Jeon et al., USENIX ATC 2019)."""


class Variant(NamedTuple):
    """The policy as it is, with one thing changed, or a cluster of another size."""

    racks: int = PHILLY_RACKS
    lending: bool = True
    backfill_depth: int = 16


VARIANTS = {
    "ours": Variant(),
    "no backfill": Variant(backfill_depth=0),
    "no lending": Variant(lending=False),
    "30 racks": Variant(racks=30),
    "26 racks": Variant(racks=26),
}
"""26 racks hold as large a part of Philly's GPUs as the nodes that were mostly recorded in service (420 of 552)."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Jobs of a cluster, and what of the trace was left out.

    `used_gpu_s` names all tenants with their recorded GPU time; `known` tells the jobs whose tenant was recorded.
    """

    jobs: JobTable
    used_gpu_s: dict[str, float]
    known: npt.NDArray[np.bool_]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Replay:
    """A run: GPUs held and share of trays with work by hour, and the wait of every job [s] (-1: never started)."""

    run: Trajectory
    gpus: Float64
    trays: Float64
    wait_s: Int64

    @property
    def refused(self) -> int:
        """Jobs that the site could never hold."""
        return int((self.run.state.jobs["state"] == REFUSED).sum())


def size_class(gpus: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the class of each number of GPUs, as an index into CLASSES."""
    return np.searchsorted([high for _, high in CLASSES.values()], gpus)


def virtual_clusters(submit_s: Int64, run_s: Int64, gpus: Iterable[int]) -> tuple[list[str | None], int]:
    """Name of each job's virtual cluster where the cut that keeps it holds the job, and rows of the cut not found."""
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for job, place in enumerate(zip(submit_s.tolist(), gpus, strict=True)):
        places[place].append(job)
    names: list[str | None] = [None] * len(submit_s)
    lost = 0
    frame = pl.read_parquet(shared_folder() / "jobs/philly_2017_with_vc.parquet")
    for since_s, ran_s, size, name in frame.select("submit_s", "duration_s", "num_gpus", "vc").iter_rows():
        here = places[since_s + CUT_AFTER_S, size]
        if not here:
            lost += 1
            continue
        job = min(here, key=lambda one: abs(float(run_s[one]) - ran_s))
        here.remove(job)
        names[job] = str(name)
    return names, lost


def deserved(gpu_s: dict[str, float], gpus: int) -> dict[str, int]:
    """Split a cluster's GPUs: one server each, the rest by recorded GPU time (largest remainders)."""
    rest, whole = gpus - SERVER_GPUS * len(gpu_s), sum(gpu_s.values())
    exact = {name: SERVER_GPUS + rest * used / whole for name, used in gpu_s.items()}
    found = {name: int(share) for name, share in exact.items()}
    by_rest = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in by_rest[: gpus - sum(found.values())]:
        found[name] += 1
    return found


@cache
def philly() -> Recorded:
    """Jobs of Philly; those whose virtual cluster was not kept are of the one whose job of their size came last before them."""
    trace = read_trace("philly")
    names, lost = virtual_clusters(trace.submit_s, trace.run_s, trace.gpus.tolist())
    frame = pl.DataFrame({"name": names, "size": size_class(trace.gpus), "gpu_s": trace.run_s * trace.gpus})
    filled = frame.with_columns(pl.col("name").forward_fill().backward_fill().over("size"))
    used = dict(filled.group_by("name").agg(pl.col("gpu_s").sum()).sort("name").iter_rows())
    number = {name: index for index, name in enumerate(used)}
    jobs = JobTable(
        trace.submit_s + PHILLY_FIRST_S,
        trace.gpus,
        trace.run_s,
        np.array([number[name] for name in filled["name"]], np.int16),
        np.zeros(len(trace), np.int16),
    )
    left_out = dict(trace.refused) | {"row of the cut with virtual clusters not found": lost}
    return Recorded(jobs, used, frame["name"].is_not_null().to_numpy(), left_out)


@cache
def lingjun() -> Recorded:
    """Jobs of Lingjun, of one tenant."""
    trace = read_trace("lingjun")
    none = np.zeros(len(trace), np.int16)
    jobs = JobTable(trace.submit_s, trace.gpus, trace.run_s, none, none)
    return Recorded(jobs, {"all": trace.gpu_s}, np.ones(len(trace), bool), dict(trace.refused))


def cluster(recorded: Recorded, variant: Variant, days: int, start: datetime) -> Scenario:
    """Build a cluster with power and cooling to spare where nothing fails: recorded run times hold failures already."""
    whole = 72 * variant.racks
    tenants = {
        name: Tenant(tier="assured", deserved_gpus=gpus, ceiling_gpus=whole if variant.lending else gpus)
        for name, gpus in deserved(recorded.used_gpu_s, whole).items()
    }
    work = Demand(
        source="frontier", tenants=dict.fromkeys(tenants, 1.0), mean_gpus=1.0, checkpoint_interval_s=1800, checkpoint_s=0.0
    )  # fmt: skip
    return Scenario(
        run=Run(start_utc=start, days=days, tick_s=TICK_S),
        site=Site(grid_mw=1000.0, fleet={"main": Fleet(gpus=whole)}),
        power=Power(bess_power_mw=0.0, bess_energy_mwh=0.0),
        policy=Policy(backfill_depth=variant.backfill_depth),
        reliability=Reliability(failures=False, plant_faults=False),
        tenants=tenants,
        demand={"training": work},
    )


def replay(scenario: Scenario, jobs: JobTable) -> Replay:
    """Run jobs through the twin."""
    trays: list[float] = []

    def watch(state: State, _: int) -> None:
        trays.append(float((state.room.trays["free"] < 4).mean()))

    run = simulate_jobs(scenario, jobs, watch=watch, watch_ticks=3600 // TICK_S)
    held_gpu_s = run.outputs.tick_count[:, TICK_FIRM : TICK_LENT + 1].sum(axis=1)
    held_gpu_s = held_gpu_s.reshape(-1, 3600 // TICK_S).sum(axis=1)
    first_s = run.state.jobs["first_start_s"][: len(jobs)]
    wait_s = np.where(first_s >= 0, first_s - jobs.submit_s, -1)
    return Replay(run, held_gpu_s / 3600, np.array(trays), wait_s)


@cache
def philly_replay(variant: str = "ours", days: int = PHILLY_DAYS) -> Replay:
    """Replay Philly's jobs of the first `days` days under a variant of the policy."""
    return replay(cluster(philly(), VARIANTS[variant], days, PHILLY_START), up_to(philly().jobs, days))


@cache
def lingjun_replay() -> Replay:
    """Replay Lingjun's jobs."""
    scenario = cluster(lingjun(), Variant(LINGJUN_RACKS), LINGJUN_DAYS, datetime(2023, 8, 1, tzinfo=UTC))
    return replay(scenario, lingjun().jobs)


def up_to(jobs: JobTable, days: int) -> JobTable:
    """Jobs submitted in the first days."""
    count = int(np.searchsorted(jobs.submit_s, days * 86_400))
    return JobTable(
        jobs.submit_s[:count], jobs.gpus[:count], jobs.work_s[:count], jobs.tenant[:count], jobs.demand[:count]
    )  # fmt: skip


def busy_by_hour(jobs: JobTable, days: int) -> Float64:
    """GPUs that jobs would hold in each hour, on average, if every one started when it was submitted."""
    edges_s = np.arange(days * 24 + 1) * 3600
    held_gpu_s = np.zeros(len(edges_s))
    order = [np.argsort(at, kind="stable") for at in (jobs.submit_s, jobs.submit_s + jobs.work_s)]
    for sign, at_s, sort in zip((1, -1), (jobs.submit_s, jobs.submit_s + jobs.work_s), order, strict=True):
        gpus, times_s = jobs.gpus[sort].astype(np.int64), at_s[sort]
        count = np.searchsorted(times_s, edges_s, side="right")
        so_far = np.concatenate(([0], np.cumsum(gpus)))[count]
        moments = np.concatenate(([0], np.cumsum(gpus * times_s)))[count]
        held_gpu_s += sign * (so_far * edges_s - moments)
    return np.diff(held_gpu_s) / 3600


def philly_recorded() -> tuple[Int64, Float64]:
    """Hours of Philly's run in which its nodes were recorded, and the share of those in service that worked."""
    frame = pl.read_parquet(shared_folder() / "jobs/philly_node_occupancy_1min.parquet")
    start = PHILLY_START.replace(tzinfo=None)
    hours = (
        frame.with_columns(
            hour=(pl.col("time_local") - start).dt.total_hours(),
            share=pl.col("active_nodes") / pl.col("total_nodes"),
        )
        .group_by("hour")
        .agg(pl.col("share").mean(), pl.len())
        .filter(pl.col("len") == 60)
        .sort("hour")
    )
    return hours["hour"].to_numpy(), hours["share"].to_numpy()


def waits(found: Replay, chosen: npt.NDArray[np.bool_] | None = None) -> Float64:
    """Return the waits of the jobs that started [s]."""
    started = found.wait_s >= 0
    kept = found.wait_s[started if chosen is None else started & chosen]
    return kept.astype(np.float64)


def of_class(jobs: JobTable, name: str) -> npt.NDArray[np.bool_]:
    """Jobs of one class of GPUs."""
    low, high = CLASSES[name]
    return (jobs.gpus >= low) & (jobs.gpus <= high)


def described(found: Replay, jobs: JobTable) -> str:
    """Tell the waits of each class."""
    parts = []
    for name in CLASSES:
        wait_s = waits(found, of_class(jobs, name))
        late = [100 * float((wait_s > limit_s).mean()) for limit_s in (60, 600)]
        parts.append(
            f"{name}: mean {wait_s.mean() / 60:.1f}, P90 {np.quantile(wait_s, 0.9) / 60:.1f}, P95 "
            f"{np.quantile(wait_s, 0.95) / 60:.1f} min, {late[0]:.1f} % above 1 and {late[1]:.1f} % above 10 min"
        )
    return "; ".join(parts)


def curve(wait_s: Float64) -> tuple[Sequence[float], Sequence[float]]:
    """Share of waits up to a number of seconds [%], over its logarithm from 1 s on."""
    grid = np.linspace(0.0, 6.0, 61)
    return grid.tolist(), [100 * float((wait_s <= 10**one).mean()) for one in grid]


def daily(hours: Int64, values: Float64) -> tuple[Sequence[float], Sequence[float]]:
    """Mean of each day over the day of the run."""
    days, place = np.unique(hours // 24, return_inverse=True)
    return days.tolist(), (np.bincount(place, weights=values) / np.bincount(place)).tolist()


def published() -> tuple[float, float]:
    """Mean and median wait of Philly's jobs, as the authors of Acme's trace reckoned them [s]."""
    frame = pl.read_csv(shared_folder() / "jobs/acme_cluster_summary_stats.csv")
    philly_row = frame.row(by_predicate=pl.col("id") == "Philly", named=True)
    return float(philly_row["avg_que_time_gpu"]), float(philly_row["med_que_time_gpu"])


@cache
def section() -> Section:
    """Compare the use and the waits of two replays, and what other policies and sizes make of the same jobs."""
    every_hour, every_active = philly_recorded()
    hours, active = every_hour[every_hour < UNTIL_H], every_active[every_hour < UNTIL_H]
    found = {variant: philly_replay(variant) for variant in VARIANTS}
    ours = found["ours"]
    use, trays = ours.gpus[hours] / (72 * PHILLY_RACKS), ours.trays[hours]
    wait_s, (mean_s, median_s) = waits(ours), published()
    alibaba, at_once = lingjun_replay(), busy_by_hour(lingjun().jobs, LINGJUN_DAYS)
    nodes, acme = "nodes at work over nodes in service (HeliosArtifact)", "summary of InternLM/AcmeTrace"
    where = f"3 October to 7 December, {len(hours)} hours"
    rows = (
        row(
            "philly_use", "Philly: part of the cluster in use", "simulate_jobs", nodes, where, "%", 100 * use.mean(), 100 * active.mean(),
            "a node counts in full with one of its GPUs at work", places=1,
        ),
        row(
            "philly_trays", "the same, trays with work", "simulate_jobs", nodes, where, "%", 100 * trays.mean(), 100 * active.mean(),
            "a tray has 4 GPUs, a node of Philly 2 or 8", places=1,
        ),
        row(
            "philly_hours", "the same, hour by hour", "simulate_jobs", nodes, where, "%", 100 * trays, 100 * active,
            "outages of nodes, and users who saw the queue, are not in the jobs", places=0,
        ),
        row(
            "philly_wait_mean", "Philly: mean wait", "simulate_jobs", acme, f"{len(wait_s):,} jobs", "min", wait_s.mean() / 60, mean_s / 60,
            "every GPU is in service, any rack will do, and idle shares are lent at once; Philly waited for GPUs of one server or switch", places=1,
        ),
        row(
            "philly_wait_median", "Philly: median wait", "simulate_jobs", acme, f"{len(wait_s):,} jobs", "min", float(np.median(wait_s)) / 60,
            median_s / 60, "where there is room our jobs start at once; what Philly's scheduler itself took is not modelled", places=1,
        ),
        row(
            "lingjun_hours", "Lingjun: GPUs in use, hour by hour", "simulate_jobs", "the trace, every job from its submission",
            f"{LINGJUN_DAYS} days", "GPUs", alibaba.gpus, at_once, "nobody waits", places=0, floor=100.0,
        ),
    )  # fmt: skip
    figure = Figure(
        "replay",
        "Philly in 2017: part of the cluster in use, day by day, recorded and replayed; and how long jobs wait in replays.",
        (
            Panel(
                "Philly: part of the cluster in use", "day after 14 August 2017", "% of the cluster",
                (
                    Series("nodes, recorded", *daily(every_hour, 100 * every_active), "reference"),
                    Series("trays, replayed", *daily(every_hour, 100 * ours.trays[every_hour])),
                    Series("GPUs, replayed", *daily(every_hour, ours.gpus[every_hour] / (0.72 * PHILLY_RACKS)), "ours", dashed=True),
                ),
                zero=True,
            ),
            Panel(
                "Philly: waits", "logarithm (base 10) of the wait [s]", "share of jobs up to it [%]",
                (
                    Series("35 racks", *curve(wait_s)),
                    Series("30 racks", *curve(waits(found["30 racks"])), "third"),
                    Series("26 racks", *curve(waits(found["26 racks"])), "grey"),
                    Series("35, no lending", *curve(waits(found["no lending"])), "second", dashed=True),
                    Series("median, recorded", [float(np.log10(median_s))], [50.0], "reference", marks=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    return Section(rows, figure, _text(philly(), found, use, trays, active, alibaba))


def _text(
    recorded: Recorded,
    found: dict[str, Replay],
    use: Float64,
    trays: Float64,
    active: Float64,
    alibaba: Replay,
) -> str:
    """Say how the replays were made and what they show."""
    jobs, ours = recorded.jobs, found["ours"]
    gpu_s = (jobs.work_s * jobs.gpus).astype(np.float64)
    recalls = int(ours.run.state.jobs["recalls"].sum())
    left_out = "; ".join(f"{count} ({why})" for why, count in recorded.left_out.items() if count)
    told = {
        name: f"{waits(one).mean() / 60:.1f} min, {100 * float((waits(one) > 600).mean()):.1f} % above 10 min"
        for name, one in found.items()
    }
    return (
        f"Philly has 2,490 GPUs in 552 servers of 2 or 8; ours is {PHILLY_RACKS} racks of 72, so that jobs of up to 72 GPUs stay in one NVLink "
        f"domain and servers leave no odd pairs of GPUs. All {len(jobs):,} jobs come at their recorded times and run as long as recorded, "
        f"without failures, on power and cooling to spare; left out: {left_out}; refused: {ours.refused}. {len(recorded.used_gpu_s)} virtual "
        f"clusters deserve a server of 8 GPUs each and the rest by their recorded GPU time. The cut of the trace that names them holds "
        f"{100 * recorded.known.mean():.0f} % of the jobs with {100 * gpu_s[recorded.known].sum() / gpu_s.sum():.0f} % of the GPU time; the others "
        f"are taken to be of the cluster whose job of their size came last before them. Idle shares are lent and recalled ({recalls:,} recalls). "
        f"By hour, trays and nodes at work correlate with {np.corrcoef(trays, active)[0, 1]:.2f}, GPUs and nodes with "
        f"{np.corrcoef(use, active)[0, 1]:.2f}; outages (nodes at work fell to none on 26 October) are not in the jobs, and after 7 "
        f"December the trace thins out. The trace has no start times; waits can only be compared with the mean and the median that the "
        f"authors of Acme's trace reckoned from the full log. Mean waits: ours {told['ours']}; without backfill {told['no backfill']}; without "
        f"lending between virtual clusters {told['no lending']}; ours on 30 racks {told['30 racks']}; on 26 racks, the part of the GPUs that the "
        f"nodes mostly recorded in service stand for, {told['26 racks']}. The published mean of {published()[0] / 60:.0f} min lies between lending and "
        f"none, and between {PHILLY_RACKS} and 26 racks: near saturation the size of the cluster in service decides the waits, and it is not known better. "
        f'Our waits by class: {described(ours, jobs)}; on 30 racks: {described(found["30 racks"], jobs)}. Lingjun: "more than 2,000 GPUs" are taken as '
        f"{LINGJUN_RACKS} racks; of {len(alibaba.wait_s):,} jobs {int((alibaba.wait_s > 0).sum())} wait; its trace holds no start times apart from "
        f"submission, so this only says that a cluster of that size holds the recorded jobs, each from its submission to its recorded end."
    )
