"""Tables are written block by block or whole: the same file, and nothing where it cannot be written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import kvandal as kv
from kvandal.errors import OutputError, RunFolderError
from kvandal.ledger import told
from kvandal.ledger.told import Told
from kvandal.runs.folder import check_tables, run_folder
from kvandal.runs.parquet import write_table
from kvandal.runs.run import TABLES

SMALL = Path(__file__).parent.parent / "small.toml"
FULL = Path("/dev/full")


def numbers(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"job": range(rows), "kwh": [row * 0.1 for row in range(rows)]}).with_columns(
        pl.when(pl.col("job") % 3 > 0).then(pl.col("kwh")),
        tier=pl.col("job")
        .mod(2)
        .cast(pl.String)
        .replace({"0": "firm", "1": "lent"})
        .cast(pl.Enum(["firm", "lent"])),
    )


def told_table(frame: pl.DataFrame, block: int) -> Told:
    return Told(frame.height, lambda rows: frame[rows.start : rows.stop], block)


@pytest.mark.parametrize("rows", [0, 1, told.BLOCK, told.BLOCK + 1, 3 * told.BLOCK + 17])
def test_a_table_is_the_same_file_however_it_comes(tmp_path: Path, rows: int) -> None:
    """As a frame or told in blocks; read back it is the frame, and the checksum is the file's."""
    frame = numbers(rows)
    checksums = {
        write_table(table, tmp_path / f"{number}.parquet")
        for number, table in enumerate(
            (frame, told_table(frame, told.BLOCK), told_table(frame, told.BLOCK // 8))
        )
    }
    assert len(checksums) == 1
    for number in range(3):
        raw = (tmp_path / f"{number}.parquet").read_bytes()
        assert hashlib.sha256(raw).hexdigest() in checksums
    assert pl.read_parquet(tmp_path / "1.parquet").equals(frame)


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("rows", [10, 3 * told.BLOCK])
def test_a_full_disk_is_an_error_of_the_system(rows: int) -> None:
    """Not one of the library that writes, which nobody would take for a full disk."""
    with pytest.raises(OSError, match="No space left on device"):
        write_table(told_table(numbers(rows), told.BLOCK), FULL)


def test_an_interrupt_while_a_table_is_made_is_an_interrupt(tmp_path: Path) -> None:
    """Also inside the library that asks for the blocks; the folder is not there."""

    def make(rows: slice) -> pl.DataFrame:
        if rows.start:
            raise KeyboardInterrupt
        return numbers(rows.stop)

    with pytest.raises(KeyboardInterrupt), run_folder(tmp_path / "run") as writer:
        writer.take("jobs", Told(3 * told.BLOCK, make))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tables_of_a_block() -> Iterator[None]:
    """Let all tables of more than a hundred rows be written block by block."""
    before, told.BLOCK = told.BLOCK, 100
    yield
    told.BLOCK = before


@pytest.mark.usefixtures("tables_of_a_block")
def test_a_run_told_into_its_folder_is_the_run(tmp_path: Path) -> None:
    """The same files, byte by byte, as of a run whose tables were kept; the run itself then holds none."""
    scenario = kv.load(SMALL, {"run.days": 1})
    kv.write_run(kept := kv.simulate(scenario), tmp_path / "kept")
    with run_folder(tmp_path / "told") as writer:
        assert list(tmp_path.iterdir()) == [tmp_path / "kept"]  # no draft before there is something to write
        run = kv.simulate(scenario, take=writer.take)
        assert writer.has_begun
        assert not (tmp_path / "told").exists()
        writer.finish(run)
    assert run.tables == {}
    assert run.record == kept.record
    files = sorted(path.relative_to(tmp_path / "kept") for path in (tmp_path / "kept").rglob("*.*"))
    assert len(files) > len(TABLES)
    for file in files:
        assert (tmp_path / "told" / file).read_bytes() == (tmp_path / "kept" / file).read_bytes(), file
    check_tables(tmp_path / "told")
    for name in TABLES:
        assert kv.read_run(tmp_path / "told").tables[name].equals(kept.tables[name]), name


def test_a_folder_that_is_there_is_refused_before_anything_is_told(tmp_path: Path) -> None:
    """And what is told into one that cannot be made leaves nothing."""
    (tmp_path / "run").mkdir()
    with pytest.raises(RunFolderError, match="exists already"), run_folder(tmp_path / "run"):
        pass
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        run_folder(tmp_path / "file" / "run") as writer,
    ):
        writer.take("jobs", numbers(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]
