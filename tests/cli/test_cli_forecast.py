"""`kvandal forecast` from end to end, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
AT = "2027-01-02T10:00:30Z"
JOB = "tenant=uk,gpus=16,hours=3,class=surplus"
FEW = ("--samples", "10", "--days", "1")


def test_a_forecast_is_told_in_a_table_and_a_sentence(
    inside: Command, small_run: Path, tmp_path: Path
) -> None:
    """P50 and P90, recalls, a histogram, one sentence; nothing is written anywhere."""
    before = {path: path.read_bytes() for path in sorted(small_run.rglob("*")) if path.is_file()}
    outcome = inside("forecast", str(small_run), "--job", JOB, "--at", AT, "--by", "2027-01-02T20:00Z", *FEW)
    assert (outcome.code, outcome.mistakes) == (0, [])
    for part in (
        "P50",
        "P90",
        "recalled before its end",
        "finished by 2027-01-02 20:00 UTC",
        "first start",
        "The job ",
    ):
        assert part in outcome.out
    assert "16 GPUs for 3 h, uk (surplus, batch), submitted 2027-01-02 10:00 UTC" in " ".join(
        outcome.out.split()
    )
    assert list(tmp_path.iterdir()) == []
    assert before == {path: path.read_bytes() for path in sorted(small_run.rglob("*")) if path.is_file()}


def test_json_holds_every_future(inside: Command, small_run: Path) -> None:
    """One document; its figures are those of its futures. From the end of the run the weather goes on."""
    outcome = inside(
        "forecast", str(small_run), "--job", JOB.replace("class=surplus", "kind=batch"), *FEW, "--json"
    )
    assert outcome.code == 0
    document = json.loads(outcome.out)
    assert document["at_utc"] == "2027-01-04T00:00:00+00:00"
    assert len(document["futures"]) == document["samples"] == 10
    assert document["job"]["class"] == "surplus"
    recalled = [one["recalls"] > 0 for one in document["futures"]]
    assert document["recall"]["probability"] == sum(recalled) / 10
    starts = sorted(one["start_s"] for one in document["futures"] if one["start_s"] is not None)
    assert document["start"]["p50_s"] == starts[5]
    ends = [one["end_s"] for one in document["futures"] if one["end_s"] is not None]
    assert min(ends) >= 3 * 3600


def test_a_refused_job_is_told_so(inside: Command, small_run: Path) -> None:
    """In words, not in quantiles of nothing."""
    outcome = inside(
        "forecast", str(small_run), "--job", "tenant=norway-public,gpus=64,hours=1", "--at", AT, *FEW
    )
    assert outcome.code == 0
    assert "refused" in outcome.out
    assert "P3: A job that its tenant's share, any loan" in outcome.out
    assert "P50" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--job", "uk,64"], "--job: must be like tenant=uk,gpus=64,hours=6,class=surplus, got 'uk,64'"),
        (["--job", ""], "--job: must be like tenant=uk"),
        (["--job", f"{JOB},gpus=3"], "--job: says something twice"),
        (["--job", f"{JOB},trays=3"], "--job: no such word 'trays'; allowed are tenant, gpus, hours, class, kind"),
        (["--job", "tenant=uk,gpus=4"], "--job: lacks hours"),
        (["--job", f"{JOB},kind=batch"], "--job: give class or kind, not both"),
        (["--job", "tenant=us,gpus=4,hours=1"], "--job tenant: no tenant 'us'; tenants are: offtaker, sovereign"),
        (["--job", "tenant=uk,gpus=4,hours=1,class=x"], "--job class: uk has no class 'x'; its classes are: surplus (batch)"),
        (["--job", "tenant=uk,gpus=4,hours=1,kind=training"], "--job kind: uk has no class of kind 'training'"),
        (["--job", "tenant=operations,gpus=4,hours=1"], "--job tenant: operations has no class; its classes are: none"),
        (["--job", "tenant=uk,gpus=0,hours=1"], "--job gpus: must be at least 1, got 0"),
        (["--job", "tenant=uk,gpus=4.5,hours=1"], "--job gpus: must be a whole number, got '4.5'"),
        (["--job", "tenant=uk,gpus=641,hours=1"], "--job gpus: 641 GPUs can never be placed"),
        (["--job", "tenant=uk,gpus=4,hours=-1"], "--job hours: must be above 0"),
        (["--job", "tenant=uk,gpus=4,hours=nan"], "--job hours: must be above 0"),
        (["--job", "tenant=uk,gpus=4,hours=long"], "--job hours: must be a number, got 'long'"),
        (["--job", JOB, "--at", "noon"], "--at: must be an ISO time with its offset"),
        (["--job", JOB, "--at", "2027-01-02T10:00"], "--at: must say its offset from UTC"),
        (["--job", JOB, "--at", "2026-12-31T23:00Z"], "--at: must lie in the run"),
        (["--job", JOB, "--at", "2027-01-05T00:00Z"], "--at: must lie in the run"),
        (["--job", JOB, "--at", AT, "--by", AT], "--by: must lie after the submission"),
        (["--job", JOB, "--samples", "9"], "--samples: must be 10 to 2,000, got 9"),
        (["--job", JOB, "--days", "0"], "--days: must be 1 to 366 (days), got 0"),
        (["--job", JOB, "--workers", "0"], "--workers: must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(inside: Command, small_run: Path, arguments: list[str], expected: str) -> None:
    """One line that names the option and the word, exit code 2, nothing on standard output."""
    outcome = inside("forecast", str(small_run), *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.mistakes
    assert expected in line


def test_folders_that_cannot_be_used_are_refused(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """No run, a run without its states, none from before the time, a damaged one, one of other jobs."""

    def refused(folder: Path, expected: str) -> None:
        outcome = inside("forecast", str(folder), "--job", JOB, "--at", AT, *FEW)
        assert outcome.code == 2
        (line,) = outcome.mistakes
        assert expected in line

    refused(tmp_path / "none", "no such run folder")
    old = tmp_path / "old"
    shutil.copytree(small_run, old, ignore=shutil.ignore_patterns("states"))
    refused(old, "states: has no saved state from before that time")
    shutil.copytree(small_run / "states", old / "states")
    (old / "states" / "state-00000000.npz").rename(old / "states" / "state-00004000.npz")
    refused(old, "states: has no saved state from before that time")
    damaged = tmp_path / "damaged"
    shutil.copytree(small_run, damaged)
    state = damaged / "states" / "state-00000000.npz"
    state.write_bytes(state.read_bytes()[:1000])
    refused(damaged, "state-00000000.npz: not a saved state, or damaged")
    other = tmp_path / "other"
    shutil.copytree(small_run, other)
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    record["scenario"]["demand_multiplier"] = 0.001
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    refused(other, "belongs to other jobs")
