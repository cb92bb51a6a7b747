"""How the cost of a run grows with the site, its racks, its jobs and the time simulated.

Every member of a series is a run in a process of its own, so that each has its own peak of memory. Its cost is the
processor time of simulating, accounting and writing, once everything is compiled and loaded.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kvandal.errors import KvandalError
from kvandal.scenario.loading import load

LIMIT = 1.1
"""Largest exponent that counts as growth in proportion."""
MEMORY_LIMIT_MIB = 16 * 1024
"""What a year of a million GPUs may take."""
PRESET = "stargate-norway"
PRESET_GPUS = 100_000
SITES_GPUS = (1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the site; the last is the whole announced Stargate."""
SMALL_WORK_GPUS = 1_000
"""Where only racks grow, all sites get the work of a site of so many GPUs."""
SIZES = (32, 16, 8, 4, 2, 1)
"""Where only jobs grow: by how much traced jobs are enlarged, and half the GPUs of a replica. The same work then comes in
fewer or in more jobs."""
DAYS = (14, 28, 56, 112)
"""Where only time grows."""
SITE_DAYS = 7
"""Length of all other runs."""
YEAR_DAYS = 365
SCALED = (
    "site.grid_mw",
    "power.bess_power_mw",
    "power.bess_energy_mwh",
    "supply.reserves.ffr.mw",
    "supply.reserves.fcr_d_up.mw",
    "supply.reserves.fcr_d_down.mw",
)
"""What of the preset grows with the site."""
TRACED = ("fine-tuning", "rollouts", "sovereign-training", "national", "surplus")
"""Classes of the preset whose jobs come from traces."""
REPLICAS = "inference"
"""Its class of replicas."""

Progress = Callable[[str], None]
"""Told what runs now."""


@dataclass(frozen=True)
class Member:
    """One run: the series it belongs to, its name there, and what differs from the preset."""

    series: str
    name: str
    changes: dict[str, Any]


def site_changes(gpus: int, days: int, work_gpus: int | None = None) -> dict[str, Any]:
    """Return what makes Stargate Norway a site with another number of GPUs, everything in proportion.

    Parameters
    ----------
    gpus
        GPUs of the site; connection, battery and reserves grow with them.
    days
        Length of the run.
    work_gpus
        Demand is that of a site of so many GPUs; `gpus` when None. Jobs of a small site are smaller; those of a large one
        are as large as the preset's, and more.

    """
    preset = load(PRESET).model_dump()
    times, work = gpus / PRESET_GPUS, (work_gpus or gpus) / PRESET_GPUS
    changes: dict[str, Any] = {key: _rounded(_at(preset, key) * times) for key in SCALED}
    changes |= {
        "site.fleet.main.gpus": gpus,
        "demand_multiplier": _rounded(work),
        "run.days": days,
    }
    if work < 1:
        sizes = preset["demand"]["frontier"]["sizes_gpus"]
        changes["demand.frontier.sizes_gpus"] = [math.ceil(size * work) for size in sizes]
        for name in TRACED:
            changes[f"demand.{name}.maximum_gpus"] = math.ceil(preset["demand"][name]["maximum_gpus"] * work)
    return changes


def members() -> list[Member]:
    """Return the runs of all series."""
    sites = [Member("site", f"{gpus:,} GPUs", site_changes(gpus, SITE_DAYS)) for gpus in SITES_GPUS]
    racks = [
        Member("racks", f"{gpus:,} GPUs", site_changes(gpus, SITE_DAYS, SMALL_WORK_GPUS))
        for gpus in SITES_GPUS
    ]
    jobs = [
        Member(
            "jobs",
            f"traced jobs times {size}",
            {"run.days": SITE_DAYS, f"demand.{REPLICAS}.replica_gpus": 2 * size}
            | {f"demand.{name}.size_multiplier": size for name in TRACED},
        )
        for size in SIZES
    ]
    ticks = [Member("ticks", f"{days} days", {"run.days": days}) for days in DAYS]
    return [*sites, *racks, *jobs, *ticks]


SIZE_OF = {"site": "racks", "racks": "racks", "jobs": "jobs", "ticks": "ticks"}
"""What is counted in each series."""


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fit the exponent b of cost = a · size^b: least squares of the logarithms.

    >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0]), 6)
    1.0

    Raises
    ------
    ValueError
        If there are not two different sizes, or something is not above zero.

    """
    if len(set(sizes)) < 2 or min(*sizes, *costs) <= 0:
        raise ValueError("an exponent needs two different sizes or more, and all sizes and costs above zero")
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return rise / sum((a - middle_x) ** 2 for a in x)


def growth(
    wanted: Sequence[Member] | None = None, *, year: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Run all members one after another and fit an exponent to each series.

    Parameters
    ----------
    wanted
        The runs; :func:`members` when None.
    year
        Also simulate a year of a million GPUs (many minutes).
    progress
        Told what runs now.

    Returns
    -------
    dict
        ``runs``: one entry per member, with its racks, jobs, ticks, ``cpu_s``, ``loop_cpu_s`` and ``peak_mib``;
        ``series``: for each its ``exponent`` over all members, that of the last step alone (``last_exponent``: where fixed
        costs hide growth least), and whether the fit is at most ``limit``; ``year`` if asked for.

    """
    tell = progress if progress is not None else lambda _: None
    runs = []
    for member in members() if wanted is None else wanted:
        tell(f"{member.series}: {member.name}")
        runs.append({"series": member.series, "name": member.name, **_in_a_process(member.changes)})
    series = {}
    for name in dict.fromkeys(run["series"] for run in runs):
        mine = [run for run in runs if run["series"] == name]
        sizes, costs = [run[SIZE_OF[name]] for run in mine], [run["cpu_s"] for run in mine]
        fitted = exponent(sizes, costs)
        series[name] = {
            "counted": SIZE_OF[name],
            "exponent": round(fitted, 3),
            "last_exponent": round(exponent(sizes[-2:], costs[-2:]), 3),
            "in_proportion": fitted <= LIMIT,
        }
    found: dict[str, Any] = {"limit": LIMIT, "series": series, "runs": runs}
    if year:
        gpus = SITES_GPUS[-1]
        tell(f"a year of {gpus:,} GPUs")
        found["year"] = _in_a_process(site_changes(gpus, YEAR_DAYS))
        found["year"]["limit_mib"] = MEMORY_LIMIT_MIB
        found["year"]["fits"] = found["year"]["peak_mib"] <= MEMORY_LIMIT_MIB
    return found


def _in_a_process(changes: dict[str, Any]) -> dict[str, Any]:
    """Run one member in a process of its own."""
    finished = subprocess.run(  # noqa: S603 - this Python, and this module
        [sys.executable, "-m", __name__],
        input=json.dumps(changes),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        last = (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise KvandalError(
            f"the run of {changes.get('site.fleet.main.gpus', PRESET_GPUS):,} GPUs for {changes['run.days']} days ended "
            f"with code {finished.returncode}: {last}"
        )
    figures: dict[str, Any] = json.loads(finished.stdout)
    return figures


def _measure(changes: dict[str, Any]) -> dict[str, Any]:
    """Run a scenario and return what it cost; called in the member's own process."""
    from kvandal.bench import stages

    scenario = load(PRESET, changes)
    stages.warmed_up(load(PRESET, site_changes(SITES_GPUS[0], 1)))
    summary, watch, _ = stages.simulated_and_written(scenario)
    return {
        "racks": scenario.site.racks,
        "jobs": int(summary["jobs_submitted"]),
        "ticks": scenario.run.days * 86_400 // scenario.run.tick_s,
        "cpu_s": round(sum(watch.cpu_s.values()), 3),
        "wall_s": round(sum(watch.wall_s.values()), 3),
        "loop_cpu_s": round(watch.cpu_s["loop"], 3),
        "stages_cpu_s": {stage: round(cpu_s, 3) for stage, cpu_s in watch.cpu_s.items()},
        "peak_mib": stages.peak_mib(),
    }


def _at(document: dict[str, Any], key: str) -> float:
    """Read a number of a scenario by its dotted key."""
    value: Any = document
    for step in key.split("."):
        value = value[step]
    return float(value)


def _rounded(number: float) -> float:
    """Round to six digits, so that scenarios can be read."""
    return float(f"{number:.6g}")


if __name__ == "__main__":
    json.dump(_measure(json.load(sys.stdin)), sys.stdout)
