"""Searches: the best under bounds, the same whatever the workers or what was killed, and how sure it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import kvandal as kv
from kvandal.errors import RunFolderError
from kvandal.report.optimise import render_optimise
from kvandal.runs.batch import Simulated
from kvandal.runs.batch_folder import BatchFolder
from kvandal.runs.pareto import front
from kvandal.runs.search import parse_over, plan_search
from kvandal.runs.trials import run_trials

ROOT = Path(__file__).parent.parent.parent
SMALL = ROOT / "tests" / "small.toml"
COMMAND = [sys.executable, "-m", "kvandal.cli.main"]
CAP = "demand.frontier.gpu_cap_fraction"
ASKED = {
    "maximise": ["gpu_hours"],
    "subject_to": ["peak_mw < 1.0 MW", "wait_p95_norway < 30 min"],
    "trials": 12,
    "check": 2,
    "changes": {"run.days": 1},
}
OVER = [f"{CAP}=0.4..1.0", "cooling.tcs_supply_c=30,35,40"]


def search(out, over=OVER, **more):
    return kv.optimise(SMALL, over, out=out, **(ASKED | more))


@pytest.fixture(scope="module")
def found(small_run, tmp_path_factory):
    """Twelve trials of a day over two keys, under two bounds, from two workers."""
    return search(tmp_path_factory.mktemp("search") / "found", workers=2)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_best_keeps_its_bounds_and_no_other_trial_is_better(found):
    """Reckoned again from the table and from a run of its own."""
    table, best = found.trials, found.best
    assert table.height == 12
    feasible = table.filter(pl.col("peak_site_mw") < 1.0)
    assert feasible["status"].unique().to_list() == ["feasible"]
    assert set(table.filter(pl.col("peak_site_mw") >= 1.0)["status"]) <= {"beyond a bound"}
    assert 0 < feasible.height < 12
    assert best["objectives"]["gpu_hours"] == feasible["gpu_hours_useful"].max()
    run = kv.simulate(kv.load(SMALL, {"run.days": 1, **best["values"]}))
    assert run.summary["gpu_hours_useful"] == best["objectives"]["gpu_hours"]
    assert run.summary["peak_site_mw"] == best["bounds"][0]["value"]
    assert best["bounds"][0]["margin"] == pytest.approx(1.0 - run.summary["peak_site_mw"])
    assert best["bounds"][0]["holds"]
    assert best["status"] == "feasible"


def test_the_scenario_as_it_is_comes_first(found):
    """So that everybody sees what the search gains; where a key of it lies outside its range, it does not."""
    first = found.record["result"]["as_it_is"]
    assert first["values"] == {CAP: 1.0, "cooling.tcs_supply_c": 40}
    assert first["trial"] == 0
    assert first["status"] == "beyond a bound"
    assert plan_search(SMALL, parse_over([f"{CAP}=0.4..0.9"]), maximise=["gpu_hours"]).as_it_is() is None


def test_the_best_is_tried_with_seeds_that_the_search_did_not_know(found):
    """Each of them a run of its own; the share that keeps the bounds is counted."""
    (check,) = found.record["result"]["checks"]
    assert check["trial"] == found.best["trial"]
    assert check["seeds"] == [2, 3]
    runs = [
        kv.simulate(kv.load(SMALL, {"run.days": 1, "run.seed": seed, **check["values"]})) for seed in (2, 3)
    ]
    assert check["objectives"]["gpu_hours"] == [run.summary["gpu_hours_useful"] for run in runs]
    peaks = [run.summary["peak_site_mw"] for run in runs]
    assert check["bounds"][0]["values"] == peaks
    assert check["bounds"][0]["holds"] == sum(peak < 1.0 for peak in peaks)


def test_the_front_shows_what_a_bound_costs(found):
    """With one objective: nobody has more of it with less of what is bounded; also beyond the bounds."""
    table = found.trials.filter(pl.col("trial") == pl.col("same_as"))
    columns = ["objective.gpu_hours", "bound.0.worst", "bound.1.worst"]
    assert table["front"].to_list() == front(table.select(columns).rows(), [1, -1, -1])
    assert found.record["result"]["front"] == table.filter("front")["trial"].to_list()


def test_workers_change_no_byte(found, tmp_path):
    """One worker proposes, simulates and writes what two do."""
    again = search(tmp_path / "again", workers=1)
    assert contents(again.folder) == contents(found.folder)


def test_a_killed_search_goes_on(found, tmp_path):
    """SIGKILL in the middle: finished trials keep their files, and the result is that of a search that was not killed."""
    folder = tmp_path / "killed"
    arguments = [
        str(SMALL), "--days", "1", "--maximise", "gpu_hours", "--subject-to", *ASKED["subject_to"],
        "--over", *OVER, "--trials", "12", "--check", "2",
    ]  # fmt: skip
    with subprocess.Popen(
        [*COMMAND, "optimise", *arguments, "--out", str(folder), "--workers", "1", "-q"], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as child:  # fmt: skip
        deadline = time.monotonic() + 120
        while len(list(folder.glob("members/trial-*"))) < 2:
            assert time.monotonic() < deadline
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        child.kill()
    before = {path: path.stat().st_ino for path in folder.glob("members/trial-*")}
    assert 0 < len(before) < 14
    command = [*COMMAND, "optimise", "--resume", str(folder)]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert {path: path.stat().st_ino for path in before} == before
    assert contents(folder)["trials.parquet"] == contents(found.folder)["trials.parquet"]
    assert json.loads(contents(folder)["optimise.json"])["result"] == found.record["result"]
    assert f"best: trial {found.best['trial']}" in outcome.stdout
    assert "seeds that the search did not know" in outcome.stdout


class Formula:
    """Workers that reckon with a formula instead of simulating."""

    def __init__(self, formula):
        self.formula, self.asked = formula, []

    def run(self, members):
        for member in members:
            self.asked.append(member)
            yield (
                member,
                self.formula(**{key.rpartition(".")[2]: value for key, value in member.changes.items()}),
            )


def reckoned(tmp_path, formula, source=SMALL, **asked):
    wanted = plan_search(source, parse_over(asked.pop("over")), **asked)
    folder = BatchFolder.opened(tmp_path / "search", "optimise", wanted.asked(), [])
    workers = Formula(formula)
    return wanted, run_trials(wanted, folder, workers), workers


def test_it_finds_the_top_of_a_hill_behind_a_bound(tmp_path):
    """x + y is largest where 2 x + y meets its bound at x = 0.5: near 2.0 of a possible 2.0 after sixty trials, 0 to start with."""

    def formula(gpu_cap_fraction, grid_mw, seed):
        return Simulated(
            {"gpu_hours_useful": gpu_cap_fraction + grid_mw, "peak_site_mw": 2 * gpu_cap_fraction + grid_mw}
        )

    over = [f"{CAP}=0.2..1.0", "site.grid_mw=1.0..2.0"]
    wanted, trials, _ = reckoned(
        tmp_path, formula, over=over, maximise=["gpu_hours"], subject_to=["peak_mw < 2.5"], trials=60
    )
    feasible = [one for one in trials if one.status == "feasible"]
    assert all(
        (2 * one.values[CAP] + one.values["site.grid_mw"] < 2.5) == (one.status == "feasible")
        for one in trials
    )
    best = max(one.objectives[0] for one in feasible)
    assert 2.1 < best < 2.25  # the bound meets grid_mw = 2 at a cap of 0.25: 2.25
    assert all(one.violation(wanted) > 0 for one in trials if one.status == "beyond a bound")


@pytest.mark.parametrize("seed", range(6))
def test_it_comes_close_to_the_best_of_a_smooth_site(tmp_path, seed):
    """GPUs and a cap against a bound of power, as the example of docs/sweeps.md: within 1.5 % of the best, found on a fine grid."""

    def hours(gpus, cap):
        return (gpus / 1e5) ** 0.9 * (0.75 + 0.25 * cap)

    def power_mw(gpus, cap):
        return 166.4 * gpus / 1e5 * (0.55 + 0.45 * cap)

    def formula(gpus, gpu_cap_fraction, seed):
        return Simulated(
            {
                "gpu_hours_useful": hours(gpus, gpu_cap_fraction),
                "peak_site_mw": power_mw(gpus, gpu_cap_fraction),
            }
        )

    over = ["site.fleet.main.gpus=72000..108000", f"{CAP}=0.6..1.0"]
    changes = {"run.seed": seed, "site.grid_mw": 300.0}
    _, trials, _ = reckoned(
        tmp_path,
        formula,
        source="stargate-norway",
        over=over,
        maximise=["gpu_hours"],
        subject_to=["peak_mw < 140"],
        changes=changes,
    )
    best = max(one.objectives[0] for one in trials if one.status == "feasible")
    grid = [(gpus, cap / 400) for gpus in range(72_000, 108_001, 100) for cap in range(240, 401)]
    optimum = max(hours(gpus, cap) for gpus, cap in grid if power_mw(gpus, cap) < 140)
    assert 0.985 * optimum < best < 1.001 * optimum


def test_equal_values_are_simulated_once(tmp_path):
    """Three choices, thirty trials: three simulations with each seed; the others are the same as those."""

    def formula(tcs_supply_c, seed):
        return Simulated({"pue": tcs_supply_c + seed / 10})

    wanted, trials, workers = reckoned(
        tmp_path, formula, over=["cooling.tcs_supply_c=30,35,40"], minimise=["pue"], trials=30, samples=2
    )
    assert len(workers.asked) == 6
    assert len({one.same_as for one in trials}) == 3
    assert min(one.objectives[0] for one in trials) == pytest.approx(30.15)
    assert {member.changes["run.seed"] for member in workers.asked} == {wanted.seed, wanted.seed + 1}


def test_refused_and_unknown_trials_are_told_and_never_best(tmp_path):
    """What cannot be simulated, and what has no number, counts as no solution; the search goes on."""

    def formula(grid_mw, seed):
        if grid_mw < 1.3:
            return Simulated(None, "too small")
        return Simulated({"gpu_hours_useful": None if grid_mw < 1.6 else -grid_mw, "peak_site_mw": grid_mw})

    _, trials, _ = reckoned(
        tmp_path,
        formula,
        over=["site.grid_mw=1.0..2.0"],
        maximise=["gpu_hours"],
        subject_to=["peak_mw < 1.9"],
        trials=40,
    )
    statuses = {one.status for one in trials}
    assert statuses == {"refused", "not known", "feasible", "beyond a bound"}
    assert {one.reason for one in trials} == {None, "too small"}
    best = max((one for one in trials if one.status == "feasible"), key=lambda one: one.objectives[0])
    assert 1.6 <= best.values["site.grid_mw"] < 1.7


def test_bounds_hold_with_every_seed(tmp_path):
    """The worst of the samples counts, the objective is their mean."""

    def formula(grid_mw, seed):
        return Simulated({"gpu_hours_useful": grid_mw * seed, "peak_site_mw": grid_mw + 0.1 * (seed - 1)})

    wanted, trials, _ = reckoned(
        tmp_path, formula, over=["site.grid_mw=1.0..2.0"], maximise=["gpu_hours"], subject_to=["peak_mw < 1.7"],
        trials=20, samples=3,
    )  # fmt: skip
    assert wanted.seed == 1
    for one in trials:
        assert one.objectives[0] == pytest.approx(2 * one.values["site.grid_mw"])
        assert one.bounded[0] == pytest.approx(one.values["site.grid_mw"] + 0.2)
        assert (one.status == "feasible") == (one.values["site.grid_mw"] + 0.2 < 1.7)


def test_nothing_found_is_said_plainly(small_run, tmp_path):
    """Which trial lies least beyond its bounds, and by how much; no best is named."""
    folder = tmp_path / "none"
    command = [
        *COMMAND, "optimise", str(SMALL), "--days", "1", "--maximise", "gpu_hours", "--subject-to", "peak_mw < 1 kW",
        "--over", "cooling.tcs_supply_c=30,40", "--trials", "4", "--check", "0", "--out", str(folder),
    ]  # fmt: skip
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert "No trial keeps all bounds; shown is the one that lies least beyond them." in outcome.stdout
    assert "does not hold" in outcome.stdout
    result = json.loads((folder / "optimise.json").read_text(encoding="utf-8"))["result"]
    assert result["best"] is None
    table = pl.read_parquet(folder / "trials.parquet")
    assert result["nearest"]["trial"] == table.sort("violation", "trial")["trial"][0]
    assert result["nearest"]["bounds"][0]["margin"] < 0
    assert "No trial keeps all bounds." in (folder / "optimise.html").read_text(encoding="utf-8")


def test_several_objectives_give_a_front(small_run, tmp_path):
    """Feasible trials that no other beats in all objectives; those that are tried again are among them."""
    outcome = search(tmp_path / "front", minimise=["energy_mwh"], trials=8, check=1, workers=2)
    table = outcome.trials.filter(pl.col("status") == "feasible")
    on = front(table.select("objective.gpu_hours", "objective.energy_mwh").rows(), [1, -1])
    assert table.filter(pl.Series(on))["trial"].to_list() == outcome.record["result"]["front"]
    assert len(outcome.record["result"]["front"]) > 1
    assert {one["trial"] for one in outcome.record["result"]["checks"]} <= set(
        outcome.record["result"]["front"]
    )


def test_a_folder_of_something_else_is_refused(found, tmp_path):
    """Another search, and a sweep, say what they are."""
    with pytest.raises(RunFolderError, match="holds another search: trials is 12 there and 13 here"):
        search(found.folder, trials=13)
    with pytest.raises(RunFolderError, match="was written by kvandal optimise"):
        kv.sweep(SMALL, {"site.grid_mw": [1.5]}, out=found.folder)


def test_the_page_escapes_what_it_tells(found, tmp_path):
    """Names, bounds and reasons are text."""
    folder = Path(shutil.copytree(found.folder, tmp_path / "search"))
    hostile = "<script>alert(1)</script>"
    record = json.loads((folder / "optimise.json").read_text(encoding="utf-8"))
    record["result"]["title"] = record["asked"]["name"] = hostile
    for part in ("best", "as_it_is"):
        record["result"][part]["bounds"][0]["text"] = hostile
    record["result"]["bounds"][0]["text"] = record["result"]["checks"][0]["bounds"][0]["text"] = hostile
    record["result"]["refused"] = {"members": 1, "reason": hostile}
    (folder / "optimise.json").write_text(json.dumps(record), encoding="utf-8")
    page = render_optimise(folder)
    assert "<script>alert" not in page
    assert page.count("</script>") == 4


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (360, "light")])
def test_the_page_is_drawn(found, drawn, width, scheme):
    """Every chart, without errors, requests or a page wider than its window."""
    with drawn(found.folder / "optimise.html", width, scheme) as (_, charts):
        assert len(charts) == 5
        assert all(done == "true" and canvases for _, done, canvases in charts)
