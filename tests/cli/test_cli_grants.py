"""Grants from the scenario file to the report: the example of docs/grants.md, and what is refused before a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

Command = Callable[..., Any]
PAGE = (Path(__file__).parent.parent.parent / "docs" / "grants.md").read_text(encoding="utf-8")
FILES = re.compile(r"^```\w+ (?P<name>[\w.-]+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def lay_out(folder: Path) -> None:
    """Write the files of the page."""
    for block in FILES.finditer(PAGE):
        (folder / block["name"]).write_text(block["body"], encoding="utf-8")


def by_hand() -> list[list[float]]:
    """Numbers of the page's table: granted, carried in, spent, carried out, expired, left in each month."""
    rows = re.findall(r"^\| 1 (?:January|February|March) \| (.*) \|$", PAGE, re.MULTILINE)
    return [[float(cell) for cell in row.split("|")] for row in rows]


def test_the_example_of_the_page_is_what_the_program_does(inside: Command, tmp_path: Path) -> None:
    """Every command of the page runs; the books are those worked by hand, in the tables, on screen and in the report."""
    lay_out(tmp_path)
    commands = re.findall(r"^\$ kvandal (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    outcomes = [inside(*command.split()) for command in commands]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]

    books = pl.read_parquet(tmp_path / "grants" / "grants.parquet")
    names = ("granted", "carried_in", "spent", "carried_out", "expired", "left")
    found = [[row[f"gpu_s_{name}"] / 3600 for name in names] for row in books.to_dicts()]
    assert found == by_hand()
    assert [moment.isoformat() for moment in books["start_utc"]] == [
        "2026-12-31T23:00:00+00:00", "2027-01-31T23:00:00+00:00", "2027-02-28T23:00:00+00:00"
    ]  # fmt: skip
    jobs = pl.read_parquet(tmp_path / "grants" / "jobs.parquet")
    assert [charged / 3600 for charged in jobs["gpu_s_charged"].drop_nulls()] == [20, 20, 60]
    (refused,) = jobs.filter(pl.col("refused_rule").is_not_null()).to_dicts()
    assert (refused["state"], refused["refused_rule"], refused["grant"]) == ("refused", "G2", None)
    assert (refused["refused_needed"], refused["refused_available"]) == (41 * 3600, 40 * 3600)
    hours = pl.read_parquet(tmp_path / "grants" / "grant_hours.parquet")
    assert hours.height == 62 * 24
    assert hours["gpu_s_spent"].sum() == 100 * 3600

    shown = outcomes[2].out
    assert "monthly" in shown
    assert "needs 41.00 GPU-h, its grants have 40.00 left" in shown
    document = json.loads(inside("show", "grants", "--grants", "--json").out)
    assert [row["left_gpu_h"] for row in document["grants"]] == [0, 0, 135]
    assert [row["job"] for row in document["turned_away"]] == [2]
    summary = json.loads((tmp_path / "grants" / "run.json").read_text(encoding="utf-8"))["summary"]
    assert summary["grants"] == 1
    assert summary["grant_utilisation"] == {"monthly": pytest.approx(100 / 300)}
    assert summary["jobs_refused_by_rule"] == {"P3": 0, "D2": 0, "T2": 0, "G2": 1, "G3": 0, "G4": 0}
    assert summary["jobs_stopped"] == 0
    report = (tmp_path / "grants" / "report.html").read_text(encoding="utf-8")
    section = report[report.index('<section id="grants">') :].split("</section>")[0]
    assert "1 grant brought 300 GPU-hours; 100 of them (33.3\u202f%) were spent".replace("\u202f", "") in (
        section.replace("\u202f", "").replace("\u00a0", "")
    )
    assert "figure-grant-0" in section


def test_grants_and_limits_of_the_plant_can_be_shown_together(inside: Command, small_run: Path) -> None:
    """A run without grants says so."""
    document = json.loads(inside("show", str(small_run), "--grants", "--faults", "--json").out)
    assert document["grants"] == document["faults"] == []
    assert "no grants" in inside("show", str(small_run), "--grants").out
    outcome = inside("show", "stargate-norway", "--grants")
    assert outcome.code == 2
    assert "--grants: belongs to a run folder" in outcome.err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("grants.monthly.tenant=nobody", "grants.monthly.tenant: no tenant 'nobody'; tenants are: research"),
        ('grants.monthly.demand=["x"]', "grants.monthly.demand: no class 'x'; its classes are: jobs"),
        ("grants.monthly.gpu_hours=-1", "must be above 0, got -1 (GPU-hours of each period)"),
        ("grants.monthly.period=week", "must be 'none', 'month', 'quarter' or 'year', got 'week'"),
        ("grants.monthly.lose_after_fraction=0.5", "lose_after_fraction and lose_below_fraction together"),
        ("grants.monthly.end_utc=2027-02-01", "must be an instant with its offset from UTC"),
        ("grants.monthly.hours=1", "unknown key"),
    ],
)
def test_a_bad_grant_ends_as_one_message(inside: Command, tmp_path: Path, change: str, expected: str) -> None:
    """The key, the value, what is allowed; exit code 2 and no folder."""
    lay_out(tmp_path)
    outcome = inside("run", "grants.toml", "--set", change, "--out", "x", "--json")

    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.mistakes
    assert expected in line
    assert not (tmp_path / "x").exists()


def test_a_grant_that_nobody_could_use_up_is_warned_of(inside: Command, tmp_path: Path) -> None:
    """72 GPUs give 53,568 GPU-h in January."""
    lay_out(tmp_path)
    outcome = inside("show", "grants.toml", "--set", "grants.monthly.gpu_hours=60_000")

    assert outcome.code == 0
    assert "60,000 GPU-h from 2026-12-31 are more than research could use" in outcome.err
    assert "its ceiling of 72 GPUs gives 53,568" in outcome.err
