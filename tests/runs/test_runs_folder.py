"""A run folder is there whole or not at all, holds what it says, and equal runs are equal byte by byte."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

import kvandal as kv
from kvandal.errors import OutputError, RunFolderError
from kvandal.runs.compare import compare_summaries
from kvandal.runs.folder import (
    check_tables,
    next_folder,
    refuse_unwritable,
    sha256_of,
    whole_folder,
    write_whole,
)
from kvandal.runs.run import TABLES

ROOT = Path(__file__).parent.parent.parent
SMALL = ROOT / "tests" / "small.toml"


@pytest.fixture(scope="module")
def run(small_run: Path) -> kv.Run:
    return kv.read_run(small_run)


def test_a_run_folder_holds_its_tables_record_and_report(small_run: Path) -> None:
    """Its tables, run.json, report.html, a saved state, and nothing else, not even beside it."""
    expected = {f"{name}.parquet" for name in TABLES} | {"run.json", "report.html", "states"}
    assert {path.name for path in small_run.iterdir()} == expected
    assert [path.name for path in (small_run / "states").iterdir()] == ["state-00000000.npz"]
    assert [path.name for path in small_run.parent.iterdir()] == ["small"]


def test_the_record_counts_and_signs_its_tables(small_run: Path) -> None:
    """Rows and SHA-256 of each file are those in run.json."""
    tables = json.loads((small_run / "run.json").read_text(encoding="utf-8"))["tables"]
    for name in TABLES:
        path = small_run / f"{name}.parquet"
        assert tables[path.name] == {"rows": pl.read_parquet(path).height, "sha256": sha256_of(path)}


def test_a_run_that_is_read_back_is_the_run_that_was_written(run: kv.Run) -> None:
    """Summary, tables and their names survive."""
    again = kv.simulate(kv.load(SMALL))
    assert again.summary == run.summary
    assert again.name == run.name == "small"
    for name in TABLES:
        assert again.tables[name].equals(run.tables[name]), name
    assert run.site.height == 3 * 1440
    assert "tenant" in run.queues.columns
    assert run.queues["jobs"].sum() == run.jobs.height
    with pytest.raises(AttributeError):
        _ = run.nothing


def test_equal_runs_are_equal_byte_by_byte(small_run: Path, tmp_path: Path) -> None:
    """The same scenario and seed give the same files, the report included; another seed gives other jobs."""
    kv.write_run(kv.simulate(kv.load(SMALL)), tmp_path / "again")
    for path in sorted(path for path in small_run.rglob("*") if path.is_file()):
        name = path.relative_to(small_run)
        assert (tmp_path / "again" / name).read_bytes() == path.read_bytes(), name
    kv.write_run(kv.simulate(kv.load(SMALL, {"run.seed": 2})), tmp_path / "other")
    for name in ("jobs.parquet", "site.parquet", "energy.parquet", "run.json"):
        assert (tmp_path / "other" / name).read_bytes() != (small_run / name).read_bytes(), name


def test_demand_of_a_shorter_run_is_the_start_of_the_longer(run: kv.Run) -> None:
    """Fewer days of the same scenario are the same jobs, up to the earlier end."""
    short = kv.simulate(kv.load(SMALL, {"run.days": 2})).jobs
    columns = ["demand", "tenant", "gpus", "submit_utc", "work_s"]
    end = pl.lit(run.record["start_utc"]).str.to_datetime(time_zone="UTC") + pl.duration(days=2)
    long = run.jobs.filter(pl.col("submit_utc") < end)
    order = ["submit_utc", "demand", "tenant", "gpus", "work_s"]
    as_text = [pl.col(name).cast(pl.String) for name in ("demand", "tenant")]
    assert short.height > 100
    assert (
        short.select(columns)
        .with_columns(as_text)
        .sort(order)
        .equals(long.select(columns).with_columns(as_text).sort(order))
    )


def test_a_run_against_itself_differs_by_zero(run: kv.Run) -> None:
    """Every known number: no difference, absolute or relative."""
    rows = kv.compare(run, run)
    assert {"pue", "wait_p50_s.offtaker", "gpu_hours_lost.failure"} <= {row["name"] for row in rows}
    for row in rows:
        assert row["values"][0] == row["values"][1]
        if row["values"][0] is None:
            assert row["differences"] == row["relative"] == [None, None]
        else:
            assert (row["differences"], row["relative"]) == ([0, 0], [0.0, 0.0]), row["name"]


def test_compare_says_none_where_a_side_does_not_know() -> None:
    """Null against a number, a number against zero, a name that only one side has."""
    rows = compare_summaries(
        {"a": None, "b": 0, "c": 2.0, "basis": "x", "w": {"uk": 1.0}},
        {"a": 1.0, "b": 3, "d": 4, "basis": "y", "w": {"uk": 3.0}},
    )
    assert [(row["name"], row["differences"][1], row["relative"][1]) for row in rows] == [
        ("a", None, None),
        ("b", 3, None),
        ("c", None, None),
        ("w.uk", 2.0, 2.0),
        ("d", None, None),
    ]


# ---- damage


@pytest.fixture
def damaged(small_run: Path, tmp_path: Path) -> Path:
    """Return a copy of the small run, to be damaged."""
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def test_a_table_that_is_cut_short_missing_or_changed_is_refused(damaged: Path) -> None:
    """Before anything is read from it; the message names the file."""
    table = damaged / "jobs.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFolderError, match=r"jobs\.parquet: does not match its checksum"):
        kv.read_run(damaged)
    table.unlink()
    with pytest.raises(RunFolderError, match=r"jobs\.parquet: this table is missing"):
        check_tables(damaged)
    table.write_bytes(b"not a table")
    record = json.loads((damaged / "run.json").read_text(encoding="utf-8"))
    record["tables"]["jobs.parquet"]["sha256"] = sha256_of(table)
    (damaged / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"jobs\.parquet: not a Parquet file"):
        kv.read_run(damaged)


# ---- writing


def test_an_existing_place_is_refused(tmp_path: Path, run: kv.Run) -> None:
    """A folder, a file, a dangling link, the folder itself: nothing is written over."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "file", "."):
        with pytest.raises(RunFolderError, match="exists already; choose another --out"):
            kv.write_run(run, tmp_path / name)
    with pytest.raises(RunFolderError, match="is a dangling link"):
        kv.write_run(run, tmp_path / "link")
    with pytest.raises(RunFolderError, match="exists already"):
        refuse_unwritable(tmp_path / "folder" / "..")
    with pytest.raises(RunFolderError, match="is not the name of a folder"):
        refuse_unwritable(Path("a\0b"))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_place_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    """Below a file, below /proc, a name too long: said at once, nothing left behind."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for place in (tmp_path / "file" / "run", Path("/proc/run"), tmp_path / "new" / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            refuse_unwritable(place)
    refuse_unwritable(tmp_path / "a" / "b" / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    """Whatever goes wrong: no folder, no draft, no parents that were made for it."""

    def fill(error: BaseException) -> None:
        with whole_folder(tmp_path / "a" / "b" / "run") as draft:
            (draft / "x").write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(OutputError, match="No space left on device; nothing was kept"):
        fill(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(KeyboardInterrupt):
        fill(KeyboardInterrupt())
    with pytest.raises(ZeroDivisionError):
        fill(ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Another program's folder of the same name stays as it is."""
    place = tmp_path / "run"

    def meanwhile() -> None:
        with whole_folder(place):
            place.mkdir()
            (place / "mine").write_text("x", encoding="utf-8")

    with pytest.raises(OutputError, match="nothing was kept"):
        meanwhile()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in place.iterdir()] == ["mine"]


def test_a_run_folder_has_ordinary_permissions(tmp_path: Path) -> None:
    """The user's umask decides who may read it."""
    before = os.umask(0o027)
    try:
        with whole_folder(tmp_path / "run") as draft:
            (draft / "x").write_text("x", encoding="utf-8")
    finally:
        os.umask(before)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o750


def test_folders_are_counted_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first free number; a dangling link takes its number too."""
    monkeypatch.chdir(tmp_path)
    assert next_folder("site") == Path("runs/site-1")
    (tmp_path / "runs" / "site-1").mkdir(parents=True)
    (tmp_path / "runs" / "site-2").symlink_to("nowhere")
    assert next_folder("site") == Path("runs/site-3")


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the old file is still there; a link is followed."""
    target = tmp_path / "report.html"
    target.write_text("old", encoding="utf-8")
    (tmp_path / "link.html").symlink_to(target)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device; nothing was kept"):
            write_whole("new", target)
    assert target.read_text(encoding="utf-8") == "old"
    write_whole("new", tmp_path / "link.html")
    assert target.read_text(encoding="utf-8") == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "link.html"}
