"""`kvandal why` and `kvandal show RUN --loans` on a run folder, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import kvandal as kv

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def recalled(small_run: Path) -> int:
    """Return the number of a job whose loan was recalled."""
    loans = pl.read_parquet(small_run / "loans.parquet").filter(pl.col("reason") == "recalled")
    return int(loans["job"][0])


def test_why_tells_a_life_as_text_and_as_json(inside: Command, small_run: Path, recalled: int) -> None:
    """The same sentences on screen, as JSON and from Python; every rule that is cited is explained."""
    told = kv.why(small_run, recalled)
    shown = inside("why", str(small_run), str(recalled))
    assert shown.code == 0
    head, *lines = shown.out.splitlines()
    assert head == f"Job {recalled} of Small site (times of Europe/Oslo)"
    assert [sentence.text for sentence in told.sentences] == lines[1 : 1 + len(told.sentences)]
    assert lines[-len(told.rules) :] == [f"  {rule}  {text}" for rule, text in told.rules.items()]
    assert any(line.startswith("Recalled ") for line in lines)
    document = json.loads(inside("why", str(small_run), str(recalled), "--json").out)
    assert document == told.as_dict()
    assert document["rules"]["L1"].startswith("A borrower runs on a loan")


def test_a_run_in_memory_tells_the_same_as_its_folder(small_run: Path, recalled: int) -> None:
    run = kv.read_run(small_run)
    assert kv.why(run, recalled) == kv.why(small_run, recalled)


def test_every_job_has_a_life(small_run: Path) -> None:
    """Of all jobs of a run: first the submission, last the sum, and the waits are those of the table."""
    run = kv.read_run(small_run)
    waits = [column for column in run.jobs.columns if column.startswith("wait_") and column != "wait_s"]
    for row in run.jobs.to_dicts():
        told = kv.why(run, row["job"])
        assert told.sentences[0].text.startswith("Submitted ")
        assert told.sentences[0].time_utc == row["submit_utc"]
        assert told.sentences[-1].text.startswith("In all: ") == (row["starts"] > 0)
        started = sum(sentence.text.startswith("Started") for sentence in told.sentences)
        assert started == row["starts"]
        assert sum(told.waits_s.values()) == sum(row[column] for column in waits)


def test_a_job_or_run_that_is_not_there_ends_as_one_message(
    inside: Command, small_run: Path, tmp_path: Path
) -> None:
    """The job and the range, or the folder; exit code 2."""
    count = pl.scan_parquet(small_run / "jobs.parquet").select(pl.len()).collect().item()
    outcome = inside("why", str(small_run), "999999")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.mistakes
    assert line == (f"kvandal: {small_run}: JOB: this run has no job 999999; its jobs are 0 to {count - 1:,}")
    outcome = inside("why", str(tmp_path / "none"), "1")
    assert outcome.code == 2
    assert "no such run folder" in outcome.err
    assert inside("why", str(small_run), "first").code == 2


def test_a_damaged_table_ends_as_one_message(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """A table that is missing, no Parquet, or of another version."""
    folder = tmp_path / "run"
    shutil.copytree(small_run, folder)
    jobs = pl.read_parquet(folder / "jobs.parquet")
    jobs.drop("wait_k1_s").write_parquet(folder / "jobs.parquet")
    outcome = inside("why", str(folder), "1")
    assert outcome.code == 2
    assert outcome.mistakes == [f"kvandal: {folder}/jobs.parquet: wait_k1_s: the table lacks this column"]
    (folder / "jobs.parquet").write_bytes(b"no table")
    outcome = inside("why", str(folder), "1")
    assert (outcome.code, len(outcome.mistakes)) == (2, 1)
    assert "not a Parquet file" in outcome.err
    (folder / "jobs.parquet").unlink()
    assert "this table is missing" in inside("why", str(folder), "1").err


def test_loans_are_shown_by_lender_and_borrower(inside: Command, small_run: Path) -> None:
    """Counts, GPU-hours and latencies as summed up by hand from the table; the reasons make up the loans."""
    loans = pl.read_parquet(small_run / "loans.parquet").to_dicts()
    record = json.loads((small_run / "run.json").read_text(encoding="utf-8"))
    end_utc = pl.Series([record["end_utc"]]).str.to_datetime(time_zone="UTC")[0]
    document = json.loads(inside("show", str(small_run), "--loans", "--json").out)
    assert sum(row["loans"] for row in document["loans"]) == len(loans) == record["summary"]["loans"]
    assert document["recall_latency"] == record["summary"]["recall_latency_by_lender"]
    ends = ("finished", "recalled", "failure", "shed", "expired", "transferred", "promoted", "still_lent")
    for row in document["loans"]:
        mine = [
            loan for loan in loans if (loan["lender"], loan["borrower"]) == (row["lender"], row["borrower"])
        ]
        held = [
            loan["gpus"] * ((loan["returned_utc"] or end_utc) - loan["start_utc"]).total_seconds()
            for loan in mine
        ]
        assert row["gpu_hours"] == pytest.approx(sum(held) / 3600)
        assert row["recalls"] == sum(loan["noticed_utc"] is not None for loan in mine)
        assert sum(row[end] for end in ends) == row["loans"] == len(mine)
    by_lender = record["summary"]["recall_latency_by_lender"]
    assert sum(row["recalls"] for row in by_lender.values()) == record["summary"]["recalls"] > 0
    shown = inside("show", str(small_run), "--loans", "--grants").out
    assert "loans by lender and borrower" in shown
    assert "no grants" in shown
    outcome = inside("show", "stargate-norway", "--loans")
    assert outcome.code == 2
    assert "--loans: belongs to a run folder" in outcome.err
