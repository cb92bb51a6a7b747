"""`kvandal policy export`: a folder that is whole, one JSON document, one message for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
SLURM = {
    "README.md", "accounts.cfg", "gres.conf.part", "qos.sh", "resources.yaml", "slurm.conf.part", "topology.conf", "topology.yaml",
}  # fmt: skip
KUEUE = {
    "README.md", "cluster-queues.yaml", "cohorts.yaml", "kueue-config.part.yaml", "local-queues.yaml", "namespaces.yaml",
    "priority-classes.yaml", "resource-flavors.yaml", "topology.yaml",
}  # fmt: skip


@pytest.mark.parametrize(("target", "files"), [("slurm", SLURM), ("kueue", KUEUE)])
def test_the_folder_holds_what_is_listed(
    inside: Command, tmp_path: Path, small: str, target: str, files: set[str]
) -> None:
    """JSON names every file that is written, and every mismatch with what to do."""
    outcome = inside("policy", "export", "--to", target, small, "--out", "there/written", "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    folder = tmp_path / "there" / "written"
    assert {path.name for path in folder.iterdir()} == {*document["files"]} == files
    assert document["gpus"] == 720
    assert document["at_utc"] == "2027-01-01T00:00:00+00:00"
    for each in document["mismatches"]:
        assert each["status"] in {"nearly", "missing"}
        assert each["what"] in (folder / "README.md").read_text(encoding="utf-8")
        assert each["remedy"]
    assert {each["status"] for each in document["others"]} <= {"written", "not asked"}


def test_the_same_scenario_gives_the_same_bytes(inside: Command, tmp_path: Path, small: str) -> None:
    """No clock, no chance; without --out the folder is the next that is free."""
    for _ in range(2):
        assert inside("policy", "export", "--to", "kueue", small, "--at", "2027-01-02T06:00+01:00").code == 0
    first, second = tmp_path / "policies" / "small-kueue-1", tmp_path / "policies" / "small-kueue-2"
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_table_for_people(inside: Command, small: str) -> None:
    """What cannot be said, and where the files are."""
    outcome = inside("policy", "export", "--to", "slurm", small, "--out", "x")
    assert "what it cannot say" in outcome.out
    assert "8 files in x" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--to", "pbs"], "--to: must be slurm or kueue, got 'pbs'"),
        (["--to", "slurm", "--at", "noon"], "--at: must be an ISO time"),
        (["--to", "slurm", "--at", "2027-01-02T06:00"], "--at: must say its offset from UTC"),
        (["--to", "slurm", "--at", "2031-01-02T06:00Z"], "--at: must lie in the run"),
        (["--to", "kueue", "--set", "site.grid_kw=1"], "--set site.grid_kw: unknown key"),
        (
            [
                "--to",
                "kueue",
                "--set",
                "demand={}",
                "--set",
                "tenants={}",
                "--set",
                'finance.offtaker_tenant=""',
            ],
            "tenants: the scenario has none",
        ),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_bad_input_is_one_message(
    inside: Command, tmp_path: Path, small: str, arguments: list[str], expected: str
) -> None:
    """Exit code 2, no traceback, nothing written."""
    outcome = inside("policy", "export", small, "--out", "x", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert [line for line in outcome.mistakes if expected in line] == outcome.mistakes
    assert len(outcome.mistakes) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_kept(inside: Command, tmp_path: Path, small: str) -> None:
    """It is refused, and stays as it was."""
    (tmp_path / "x").mkdir()
    outcome = inside("policy", "export", "--to", "slurm", small, "--out", "x")
    assert outcome.code == 2
    assert "x: exists already; choose another --out" in outcome.err
    assert list((tmp_path / "x").iterdir()) == []
