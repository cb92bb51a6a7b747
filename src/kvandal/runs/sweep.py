"""A sweep: a scenario over a grid of values and seeds, resumable, as one table and a page of trade-offs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import RunFolderError
from kvandal.runs import grid as grids
from kvandal.runs.batch import Watch
from kvandal.runs.batch_folder import BatchFolder, files_of, read_batch, workers_for
from kvandal.runs.folder import next_folder, write_whole
from kvandal.runs.gathered import Gathered, column_of, gather, mean
from kvandal.runs.grid import Grid
from kvandal.runs.members import Progress
from kvandal.runs.pareto import front
from kvandal.scenario.model import Scenario

if TYPE_CHECKING:
    import polars as pl

OBJECTIVES = (
    ("gpu_hours_useful", "useful GPU-hours", "GPU-h", 1),
    ("wait_p95_s", "wait, P95 of all started jobs", "s", -1),
    ("site_energy_mwh", "site energy", "MWh", -1),
    ("energy_cost_eur", "energy cost", "EUR", -1),
)
"""What a sweep weighs against each other: name, label, unit, and 1 if more is better."""
SHOWN = (
    *OBJECTIVES,
    ("jobs_not_started", "jobs never started", "1", -1),
    ("peak_site_mw", "peak site power", "MW", -1),
    ("pue", "PUE", "1", -1),
    ("carbon_location_t", "CO2e, location-based, direct", "t", -1),
)
"""Numbers that the page shows for every value of a varied key."""
RESULTS = "results.parquet"
PAGE = "sweep.html"
PARENT = "sweeps"
"""Folder of the folders that were not named."""


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes
    ----------
    folder : where it lies
    record : contents of sweep.json
    results : one row per member (docs/sweeps.md)

    """

    folder: Path
    record: dict[str, Any]
    results: pl.DataFrame


def sweep(
    source: str | Path | Scenario,
    vary: Mapping[str, Sequence[Any]],
    samples: int = 1,
    *,
    changes: Mapping[str, Any] | None = None,
    draw: Sequence[str] = (),
    out: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Simulate every combination of values, each with the same seeds.

    Parameters
    ----------
    source, changes
        As for :func:`kvandal.load`.
    vary
        Values by key, e.g. ``{"site.grid_mw": [150, 190, 230]}``.
    samples
        Seeds for every combination: the scenario's and those that follow it.
    draw
        Parameters that every sample draws from their ranges: keys or patterns such as ``"cooling.*"``.
    out
        Folder to write, or to go on in; None: the first free one under ``sweeps/``.
    workers
        Processes; None: as many as cores and memory allow. The result does not depend on it.
    ray
        Address of a Ray cluster to simulate on instead.
    progress
        Called with members done and members to do.

    Raises
    ------
    InputError
        If a key is unknown, no value of it is possible, or the folder holds something else.
    KvandalError
        If the workers died again and again; finished members are kept.

    """
    grid = grids.plan_grid(source, vary, samples, changes, draw=draw)
    return run_sweep(
        grid, Path(out) if out is not None else None, workers=workers, ray=ray, progress=progress
    )


def run_sweep(
    grid: Grid,
    out: Path | None,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
    watch: Watch = lambda: None,
) -> Sweep:
    """Simulate a grid into a folder; see :func:`sweep`.

    Parameters
    ----------
    grid
        What :func:`kvandal.runs.grid.plan_grid` gave.
    out, workers, ray, progress
        As there.
    watch
        See :data:`kvandal.runs.batch.Watch`.

    """
    folder = opened(grid, out)
    with folder.locked():
        with workers_for(grid.base, workers, ray, watch) as at_work:
            folder.simulate(grid.members, at_work, progress)
        return finished(grid, folder)


def opened(grid: Grid, out: Path | None) -> BatchFolder:
    """Make the folder of a sweep, or open the one that holds it already."""
    path = out if out is not None else next_folder(grid.scenario.name, PARENT)
    values = [{key: value} for key, values in grid.vary.items() for value in values]
    return BatchFolder.opened(path, "sweep", grid.asked(), files_of(grid.base.document, values))


def grid_in(folder: Path) -> Grid:
    """Lay out again the sweep that a folder holds.

    Raises
    ------
    RunFolderError
        If it holds none.

    """
    record = read_batch(folder)
    if record["kind"] != "sweep":
        raise RunFolderError("holds a search of kvandal optimise, no sweep", file=folder)
    return grids.grid_of(record["asked"])


def finished(grid: Grid, folder: BatchFolder) -> Sweep:
    """Gather all members into the table and the page."""
    from kvandal.report.sweep import render_sweep

    found = gather(folder, [grids.member_name(number) for number in range(grid.size)])
    fronts = _fronts(grid, found)
    table = _table(grid, found, fronts)
    folder.write_results(table, RESULTS)
    folder.finish(
        {
            "title": grid.scenario.site.title,
            "days": grid.scenario.run.days,
            "start_utc": grid.scenario.run.start_utc.isoformat(),
            "members": grid.size,
            "refused": found.refused(),
            "objectives": [_described(one) for one in OBJECTIVES],
            "shown": [_described(one) for one in SHOWN],
            "drawn": [
                {"key": one.key, "name": one.parameter.name, "unit": one.parameter.unit, "minimum": one.minimum, "maximum": one.maximum}
                for one in grid.varied
            ],
            "fronts": {name: [point for point, on in enumerate(front) if on] for name, front in fronts.items()},
        }
    )  # fmt: skip
    write_whole(render_sweep(folder.path), folder.path / PAGE)
    return Sweep(folder.path, folder.record, table)


def _described(one: tuple[str, str, str, int]) -> dict[str, Any]:
    return dict(zip(("key", "label", "unit", "better"), one, strict=True))


def _fronts(grid: Grid, found: Gathered) -> dict[str, list[bool]]:
    """Tell for all objectives together and for each pair which combinations lie on the front, by their means over samples."""
    keys, better = [one[0] for one in OBJECTIVES], [one[3] for one in OBJECTIVES]
    means = []
    for point in range(grid.points):
        rows = range(grid.number(point, 0), grid.number(point + 1, 0))
        kept = [row for row in rows if found.reasons[row] is None]
        means.append([mean(found.known(key, kept)) for key in keys])
    fronts = {"front": front(means, better)}
    for one, other in combinations(range(len(keys)), 2):
        pairs = [(row[one], row[other]) for row in means]
        fronts[f"front.{keys[one]}.{keys[other]}"] = front(pairs, (better[one], better[other]))
    return fronts


def _table(grid: Grid, found: Gathered, fronts: Mapping[str, Sequence[bool]]) -> pl.DataFrame:
    """One row per member: what it changed, and what came of it."""
    import polars as pl

    points = [number // grid.samples for number in range(grid.size)]
    samples = [number % grid.samples for number in range(grid.size)]
    values = [grid.point(point) for point in points]
    columns = [
        pl.Series("member", range(grid.size), dtype=pl.Int32),
        pl.Series("point", points, dtype=pl.Int32),
        pl.Series("sample", samples, dtype=pl.Int32),
        pl.Series("seed", [grid.seed + sample for sample in samples], dtype=pl.Int64),
        *(column_of(key, [one[key] for one in values]) for key in grid.vary),
        *(
            pl.Series(one.key, [grid.drawn[one.key][sample] for sample in samples], dtype=pl.Float64)
            for one in grid.varied
        ),
        *found.status(),
        *(
            pl.Series(
                name,
                [on[point] and found.reasons[row] is None for row, point in enumerate(points)],
                dtype=pl.Boolean,
            )
            for name, on in fronts.items()
        ),
        *found.columns(),
    ]
    return pl.DataFrame(columns)


def points_of(found: Sweep) -> list[dict[str, Any]]:
    """List the combinations of a sweep: their values, the members kept, the means of the objectives, the fronts they are on."""
    import polars as pl

    keys = list(found.record["asked"]["vary"])
    rows = []
    for (point,), part in found.results.group_by(["point"], maintain_order=True):
        kept = part.filter(pl.col("status") == "kept")
        first = part.row(0, named=True)
        rows.append(
            {
                "point": point,
                "values": {key: first[key] for key in keys},
                "kept": kept.height,
                "means": {
                    key: mean(kept[key].to_list()) if key in kept.columns else None for key, *_ in OBJECTIVES
                },
                "front": bool(part["front"].any()),
            }
        )
    return rows
