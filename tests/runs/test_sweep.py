"""Sweeps: every member a run of its own, whatever the workers, whatever was killed on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kvandal as kv
from kvandal.errors import KvandalError, RunFolderError
from kvandal.report.sweep import render_sweep
from kvandal.runs import batch_folder, workers
from kvandal.runs.batch import Simulated, flat_numbers
from kvandal.runs.gathered import gather
from kvandal.runs.grid import plan_grid
from kvandal.runs.pareto import front
from kvandal.runs.sweep import OBJECTIVES, opened, run_sweep

ROOT = Path(__file__).parent.parent.parent
SMALL = ROOT / "tests" / "small.toml"
COMMAND = [sys.executable, "-m", "kvandal.cli.main"]
GRID, SUPPLY = "site.grid_mw", "cooling.tcs_supply_c"
VARY = {GRID: [1.0, 2.0, 0.01], SUPPLY: [35.0, 40.0]}
ARGUMENTS = [
    str(SMALL),
    "--days",
    "1",
    "--vary",
    f"{GRID}=1.0,2.0,0.01",
    f"{SUPPLY}=35.0,40.0",
    "--samples",
    "2",
]


def small_sweep(out, **more):
    return kv.sweep(SMALL, VARY, 2, changes={"run.days": 1}, out=out, **more)


@pytest.fixture(scope="module")
def swept(small_run, tmp_path_factory):
    """Six combinations, two of them impossible, with two seeds; from two workers."""
    return small_sweep(tmp_path_factory.mktemp("sweep") / "grid", workers=2)


def marks(folder):
    """What tells whether a file was written again."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (folder / "members").iterdir()
    }


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_member_is_a_run_of_its_own(swept):
    """All numbers of a row are those of the run with its values and its seed; all combinations have the same seeds."""
    table = swept.results
    assert table.height == 12
    assert table["seed"].to_list() == [1, 2] * 6
    assert table[GRID].to_list() == [1.0] * 4 + [2.0] * 4 + [0.01] * 4
    row = table.row(7, named=True)
    changes = {"run.days": 1, GRID: row[GRID], SUPPLY: row[SUPPLY], "run.seed": row["seed"]}
    run = kv.simulate(kv.load(SMALL, changes))
    flat = flat_numbers(run.summary, run.tables["jobs"])
    assert len(flat) > 200
    for name, value in flat.items():
        assert row[name] == value, name


def test_impossible_members_are_told_and_kept(swept):
    """They have a reason and no numbers; the page and the record count them."""
    refused = swept.results.filter(pl.col("status") == "refused")
    assert refused[GRID].unique().to_list() == [0.01]
    assert refused["reason"].null_count() == 0
    assert refused["pue"].null_count() == refused.height == 4
    assert not refused["front"].any()
    (told,) = swept.record["result"]["refused"]
    assert told["members"] == 4
    assert "allowed is at most 0.01 MW" in told["reason"]
    assert "4 of 12 members were refused" in (swept.folder / "sweep.html").read_text(encoding="utf-8")


def test_the_front_is_that_of_the_means(swept):
    """Reckoned again: combinations by their means over the seeds, in all four objectives and in each pair."""
    kept = swept.results.filter(pl.col("status") == "kept")
    keys, better = [one[0] for one in OBJECTIVES], [one[3] for one in OBJECTIVES]
    means = kept.group_by("point", maintain_order=True).agg(pl.col(key).mean() for key in keys)
    expected = front(means.select(keys).rows(), better)
    assert 0 < sum(expected) < len(expected)
    assert (
        kept.group_by("point", maintain_order=True).agg(pl.col("front").all())["front"].to_list() == expected
    )
    pairs = [name for name in swept.results.columns if name.startswith("front.")]
    assert len(pairs) == 6
    for name in pairs:
        one, other = name.removeprefix("front.").split(".")
        two = front(means.select(one, other).rows(), [better[keys.index(one)], better[keys.index(other)]])
        assert kept.group_by("point", maintain_order=True).agg(pl.col(name).all())[name].to_list() == two


def test_workers_change_no_byte(swept, tmp_path):
    """One worker writes what two wrote: table, record, page, members; nothing tells the time or the machine."""
    again = small_sweep(tmp_path / "grid", workers=1)
    assert contents(again.folder) == contents(swept.folder)
    for path in (swept.folder / "members").iterdir():
        assert (again.folder / "members" / path.name).read_bytes() == path.read_bytes()


def test_finished_members_are_never_simulated_again(swept, tmp_path):
    """The same command goes on where it was: members keep their files, a damaged and a missing one are made anew."""
    folder = Path(shutil.copytree(swept.folder, tmp_path / "grid"))
    before = marks(folder)
    (folder / "members" / "member-000002.json").write_text('{"member":', encoding="utf-8")
    (folder / "members" / "member-000005.json").unlink()
    (folder / "results.parquet").unlink()
    seen = []
    small_sweep(folder, workers=1, progress=lambda done, total: seen.append((done, total)))
    after = marks(folder)
    assert {name for name in before if before[name] != after[name]} == {
        "member-000002.json",
        "member-000005.json",
    }
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert contents(folder) == contents(swept.folder)
    small_sweep(folder, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert marks(folder) == after
    assert seen[-1] == (0, 0)


def test_a_killed_sweep_goes_on(swept, tmp_path):
    """SIGKILL in the middle: what was finished keeps its files, the rest follows, the result is that of one that was not killed."""
    folder = tmp_path / "grid"
    with subprocess.Popen(
        [*COMMAND, "sweep", *ARGUMENTS, "--out", str(folder), "--workers", "1", "-q"], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as child:  # fmt: skip
        deadline = time.monotonic() + 120
        while not list(folder.glob("members/member-*")):
            assert time.monotonic() < deadline
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        child.kill()
    before = {name: mark for name, mark in marks(folder).items() if name.startswith("member-")}
    assert 0 < len(before) < 12
    assert not (folder / "results.parquet").exists()
    finished = subprocess.run(
        [*COMMAND, "sweep", "--resume", str(folder)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )  # fmt: skip
    assert f"{12 - len(before)} of {12 - len(before)} members" in finished.stderr
    after = marks(folder)
    assert {name: after[name] for name in before} == before
    ours = contents(swept.folder)
    theirs = contents(folder)
    assert theirs["results.parquet"] == ours["results.parquet"]
    assert json.loads(theirs["sweep.json"])["result"] == json.loads(ours["sweep.json"])["result"]
    assert "useful GPU-hours" in finished.stdout


def test_a_worker_that_dies_is_replaced(swept, tmp_path, monkeypatch):
    """Once: its member is simulated again, and the results are the same; again and again: told in a line, what is finished is kept."""
    deaths = tmp_path / "deaths"
    monkeypatch.setenv("KVANDAL_TEST_DEATHS", str(deaths))
    deaths.write_text("x", encoding="utf-8")
    monkeypatch.setattr(workers, "_simulate", dying)
    again = small_sweep(tmp_path / "grid", workers=2)
    assert deaths.read_text(encoding="utf-8") == ""
    assert again.results.equals(swept.results)
    deaths.write_text("x" * 100, encoding="utf-8")
    with pytest.raises(KvandalError, match="worker processes died one after the other") as caught:
        small_sweep(tmp_path / "other", workers=2)
    assert "finished members are kept" in str(caught.value)
    assert len(deaths.read_text(encoding="utf-8")) > 90


def dying(member):
    """Simulate a member, or die as often as a file has letters."""
    place = Path(os.environ["KVANDAL_TEST_DEATHS"])
    left = place.read_text(encoding="utf-8")
    if left and member.name != "member-000000":
        place.write_text(left[1:], encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
    return workers._simulator[0].simulate(member)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"samples": 3}, "holds another sweep: samples is 2 there and 3 here; choose another --out"),
        ({"changes": {"run.days": 2}}, "holds another sweep: scenario.run.days is 1 there and 2 here; choose another --out"),
        ({"vary": {GRID: [1.0, 2.0]}}, 'holds another sweep: vary."site.grid_mw" is [1.0, 2.0, 0.01] there and [1.0, 2.0] here'),
    ],
)  # fmt: skip
def test_another_sweep_is_refused(swept, arguments, expected):
    """One line says what differs; the folder stays as it is."""
    before = contents(swept.folder)
    asked = {"vary": VARY, "samples": 2, "changes": {"run.days": 1}} | arguments
    with pytest.raises(RunFolderError) as caught:
        kv.sweep(SMALL, **asked, out=swept.folder)
    assert expected in str(caught.value)
    assert contents(swept.folder) == before


def test_members_of_other_versions_or_inputs_are_not_mixed(swept, tmp_path, monkeypatch):
    """Neither other sources, nor an input file that has changed since."""
    monkeypatch.setattr(batch_folder, "sources_hash", lambda: "others")
    with pytest.raises(RunFolderError, match="begun by another version of kvandal"):
        small_sweep(swept.folder)
    monkeypatch.undo()
    prices = tmp_path / "prices.csv"
    rows = [f"2027-01-01T{hour:02d}:00:00Z,{20 + hour}" for hour in range(24)]
    prices.write_text("\n".join(["time_utc,eur_per_mwh", *rows]), encoding="utf-8")
    asked = {
        "vary": {"market.prices": [str(prices), "synthetic-no4"]},
        "changes": {"run.days": 1, "market.at_end": "repeat"},
    }
    first = kv.sweep(SMALL, **asked, out=tmp_path / "priced", workers=1)
    assert first.results["status"].to_list() == ["kept", "kept"], first.results["reason"].to_list()
    assert first.results["energy_cost_eur"].n_unique() == 2
    prices.write_text("\n".join(["time_utc,eur_per_mwh", *reversed(rows)]), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"begun with another content of .*prices\.csv"):
        kv.sweep(SMALL, **asked, out=tmp_path / "priced", workers=1)


def test_two_at_once_do_not_share_a_folder(swept):
    """The second says so."""
    grid = plan_grid(SMALL, VARY, 2, {"run.days": 1})
    folder = batch_folder.BatchFolder(swept.folder, swept.record)
    with folder.locked(), pytest.raises(RunFolderError, match="another kvandal is at work in it"):
        run_sweep(grid, swept.folder)


class Copies:
    """Workers that give every member the same numbers."""

    def __init__(self, text):
        self.text = text

    def run(self, members):
        for member in members:
            yield member, Simulated(json.loads(self.text)["summary"])


def test_the_parent_keeps_nothing_of_members(swept, tmp_path):
    """Ten times the members take no more memory while they are simulated; gathered, they take their numbers."""
    text = (swept.folder / "members" / "member-000000.json").read_text(encoding="utf-8")
    peaks = {}
    for samples in (
        40,
        400,
    ) * 3:  # other threads of this process may ask for memory too: the least of three counts
        grid = plan_grid(SMALL, {GRID: [1.5]}, samples, {"run.days": 1})
        folder = opened(grid, tmp_path / f"{samples}-{len(list(tmp_path.iterdir()))}")
        tracemalloc.start()
        folder.simulate(grid.members, Copies(text))
        peak = tracemalloc.get_traced_memory()[1]
        found = gather(folder, [member.name for member in grid.members()])
        whole = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.reasons) == samples
        peaks[samples] = min((peak, whole), peaks.get(samples, (peak, whole)))
    assert peaks[400][0] < peaks[40][0] + 200_000
    assert peaks[400][1] < peaks[400][0] + 400 * len(found.numbers) * 8 + 500_000


def test_draws_are_the_same_for_every_combination(small_run, tmp_path):
    """Each sample has one draw, one for each stratum; a drawn value is that of the run."""
    pump = "cooling.cdu_pump_w_per_kw"
    found = kv.sweep(
        SMALL,
        {GRID: [1.5, 2.0]},
        4,
        changes={"run.days": 1},
        draw=["cooling.cdu_*"],
        out=tmp_path / "drawn",
        workers=1,
    )
    table = found.results
    one, other = (table.filter(pl.col("point") == point) for point in (0, 1))
    assert one[pump].to_list() == other[pump].to_list()
    (drawn,) = (each for each in found.record["result"]["drawn"] if each["key"] == pump)
    strata = np.floor(
        (one[pump].to_numpy() - drawn["minimum"]) / (drawn["maximum"] - drawn["minimum"]) * 4
    ).astype(int)
    assert sorted(strata.tolist()) == [0, 1, 2, 3]
    row = table.row(5, named=True)
    keys = [each["key"] for each in found.record["result"]["drawn"]]
    changes = {"run.days": 1, GRID: row[GRID], "run.seed": row["seed"]} | {key: row[key] for key in keys}
    assert kv.simulate(kv.load(SMALL, changes)).summary["cooling_mwh"] == row["cooling_mwh"]
    page = (found.folder / "sweep.html").read_text(encoding="utf-8")
    assert f"{len(keys)} parameters from their ranges" in page


def test_the_page_escapes_what_it_tells(swept, tmp_path):
    """Names, values and reasons are text; nothing of it is markup."""
    folder = Path(shutil.copytree(swept.folder, tmp_path / "grid"))
    hostile = "<script>alert(1)</script>"
    record = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    record["result"]["title"] = record["asked"]["name"] = record["result"]["refused"][0]["reason"] = hostile
    record["asked"]["vary"] = {hostile: [hostile], SUPPLY: VARY[SUPPLY]}
    (folder / "sweep.json").write_text(json.dumps(record), encoding="utf-8")
    table = swept.results.with_columns(pl.lit(hostile).alias(hostile))
    table.write_parquet(folder / "results.parquet")
    page = render_sweep(folder)
    assert "<script>alert" not in page
    assert page.count("</script>") == 4
    assert "default-src 'none'" in page


def charts(page):
    found = re.search(r'<script type="application/json" id="kvandal-charts">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def test_charts_hold_the_numbers_of_the_table(swept):
    """Points are means over seeds, single members stand beside them, panels have mean and band of each value."""
    specs = charts((swept.folder / "sweep.html").read_text(encoding="utf-8"))
    kept = swept.results.filter(pl.col("status") == "kept")
    pair = specs["front-gpu_hours_useful-energy_cost_eur"]
    assert len(pair["points"]) == 4
    assert len(pair["cloud"]) == 8
    means = kept.group_by("point", maintain_order=True).agg(
        pl.col("gpu_hours_useful", "energy_cost_eur").mean()
    )
    assert [(one["x"], one["y"]) for one in pair["points"]] == [
        (pytest.approx(x), pytest.approx(y)) for _, x, y in means.iter_rows()
    ]
    marked = [one["series"] == "on the front" for one in pair["points"]]
    assert marked == kept.group_by("point", maintain_order=True).agg(pl.col("front.gpu_hours_useful.energy_cost_eur").all()).to_series(1).to_list()  # fmt: skip
    panels = {one["name"]: one for one in specs["key-0"]["panels"]}
    assert specs["key-0"]["places"] == [1.0, 2.0]
    expected = [kept.filter(pl.col(GRID) == value)["pue"] for value in (1.0, 2.0)]
    assert panels["PUE"]["mean"] == pytest.approx([one.mean() for one in expected])
    assert panels["PUE"]["p10"] == pytest.approx([one.quantile(0.1, "linear") for one in expected])


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_page_is_drawn(swept, drawn, width, scheme):
    """Every chart, without errors, requests or a page wider than its window."""
    with drawn(swept.folder / "sweep.html", width, scheme) as (_, charts):
        assert len(charts) == 8
        assert all(done == "true" and canvases for _, done, canvases in charts)
