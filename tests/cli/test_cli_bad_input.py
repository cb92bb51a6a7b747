"""Bad input ends as one clear message and exit code 2; nothing is half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def hourly(zone: str = "Z", *, skip: int | None = None, hours: int = 96) -> str:
    """Prices by the hour from the start of the run, with one row left out if asked."""
    start = datetime(2027, 1, 1, tzinfo=UTC)
    rows = [
        f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%M}{zone},25.0" for hour in range(hours) if hour != skip
    ]
    return "\n".join(["time_utc,eur_per_mwh", *rows]) + "\n"


def refused(outcome: Any, *expected: str) -> None:
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    (line,) = outcome.mistakes
    for part in expected:
        assert part in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["run", "stargate-norwey"],
            ["stargate-norwey: no such preset or file", "Did you mean 'stargate-norway'?"],
        ),
        (["show", "none.toml"], ["none.toml: no such file", "Presets: stargate-norway"]),
        (["run", "--days", "0"], ["--days: must be at least 1, got 0"]),
        (["run", "--days", "-1"], ["--days: must be at least 1, got -1"]),
        (["run", "--seed", "-1"], ["--seed: must be at least 0, got -1"]),
        (["run", "--set", "run.days=0"], ["--set run.days: must be at least 1, got 0"]),
        (["run", "--set", "site.grid_kw=230000"], ["--set site.grid_kw: unknown key", "'grid_mw'"]),
        (["run", "--set", "site.grid_mw=-5"], ["--set site.grid_mw: must be above 0, got -5", "[MW]"]),
        (["run", "--set", 'site.grid_mw="230"'], ["--set site.grid_mw: must be a number, got '230'"]),
        (["run", "--set", "site.grid_mw"], ["--set: expected key=value", "'site.grid_mw'"]),
        (["run", "--set", "run.days=1", "--set", "run.days=2"], ["--set run.days: is given twice"]),
        (["bench", "--serve", "--rate", "0"], ["--rate: = 0: must be above 0 and at most 100,000"]),
        (["bench", "--serve", "--minutes", "-1"], ["--minutes: = -1: must be from 0 to 100,000"]),
        (["bench", "--serve", "--days", "3"], ["--days: is not for --serve"]),
        (["bench", "--serve", "--scale"], ["--scale: is not for --serve"]),
        (["bench", "--cycles", "10"], ["--cycles: is for --serve; give both"]),
        (
            ["bench", "--serve", "--database", "sqlite:///x.db"],
            ["--database: measures SQLite in a temporary folder"],
        ),
        (["run", "--set", "run.days=1", "--days", "2"], ["--days: says the same as --set run.days"]),
        (
            ["run", "--set", "site.grid_mw=200", "--set", "site={}"],
            ["--set site: would undo --set site.grid_mw"],
        ),
        (
            ["run", "--set", "tenants.uk.deserved_share=0.1"],
            ["stargate-norway with --set tenants.uk.deserved_share: tenants.uk", "lives on loans", "got 0.1"],
        ),
        (["run", "--set", "climate.weather=none.epw"], ["none.epw: no such file"]),
        (
            ["run", "--set", "climate.weather=tromso"],
            ["climate.weather: no such weather", "'tromso-2021-era5'"],
        ),
        (["run", "--set", "market.prices=none.csv"], ["none.csv: no such file"]),
        (["run", "--set", "run.start_utc=1850-01-01T00:00:00Z"], ["must lie in the years 1900 to 2299"]),
        (["run", "--set", "site.grid_mw=30"], ["site.grid_mw: ", "while idle", "allowed are at least"]),
        (["params", "nonsense"], ["no parameter matches 'nonsense'"]),
        (["trace", "info", "none.csv"], ["none.csv: no such file", "philly, lingjun"]),
        (["trace", "info", "."], ["is a folder"]),
        (["compare", "none", "none"], ["none: no such run folder"]),
        (["report", "none"], ["none: no such run folder"]),
        (["show", "."], [".: is not a run folder (no run.json in it)"]),
    ],
    ids=lambda part: " ".join(part)[:60],
)
def test_bad_arguments(inside: Command, tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    """The message names the place, the key, the value and what is allowed; no folder appears."""
    if arguments[0] == "run":
        arguments = [*arguments, "--quiet"]
    refused(inside(*arguments), *expected)
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_a_file(inside: Command, tmp_path: Path) -> None:
    """The file, the key and the key that was meant."""
    (tmp_path / "site.toml").write_text(
        'extends = "stargate-norway"\n[site]\ngrid_mv = 200.0\n', encoding="utf-8"
    )
    refused(inside("run", "site.toml"), "site.toml: site.grid_mv: unknown key; did you mean 'grid_mw'?")


def test_a_truncated_or_unreadable_trace(inside: Command, tmp_path: Path, small: str) -> None:
    """Half a Parquet file, text that is no trace, a packed file."""
    whole = resources.files("kvandal.demand").joinpath("traces", "philly_2017.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "packed.csv").write_bytes(b"\x1f\x8b" + bytes(50))
    for name in ("half.parquet", "no.csv", "packed.csv"):
        refused(inside("trace", "info", name), name)
        demand = f'{{ source = "file", path = "{name}", tenants = {{ uk = 1 }} }}'
        refused(inside("run", small, "--set", f"demand.own={demand}", "--out", "x", "--json"), name)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (hourly(skip=30), "line 32: the row of 2027-01-02 06:00"),
        (hourly(""), "line 2, time_utc: '2027-01-01T00:00' has no time zone"),
        (hourly(hours=20), "but the day-ahead price"),
        ("", "the file is empty"),
        ("time_utc,eur_per_mwh\n", "at least 2 rows"),
        (hourly().replace(",25.0", ",cheap", 1), "'cheap' is not a number"),
        (hourly().replace("eur_per_mwh", "eur_per_kwh"), "no column eur_per_mwh"),
    ],
    ids=["gap", "local time", "too short", "empty", "no rows", "a word", "wrong unit"],
)
def test_a_price_series_that_cannot_be_used(
    inside: Command, tmp_path: Path, small: str, text: str, expected: str
) -> None:
    """The file and the row are named, before anything is simulated."""
    (tmp_path / "prices.csv").write_text(text, encoding="utf-8")
    refused(
        inside("run", small, "--set", "market.prices=prices.csv", "--out", "x", "-q"),
        "prices.csv",
        expected,
        "(market.prices)",
    )
    assert not (tmp_path / "x").exists()


PURCHASE = '[supply.purchases.{name}]\nkind = "{kind}"\nmw = {mw}\neur_per_mwh = 30.0\n{more}\n'


def purchase(name: str = "a", kind: str = "baseload", mw: float = 1.0, more: str = "") -> str:
    return PURCHASE.format(name=name, kind=kind, mw=mw, more=more)


@pytest.mark.parametrize(
    ("purchases", "expected"),
    [
        (
            purchase(more='plant = "Skjomen"') + purchase("b", more='plant = "Skjomen"'),
            ["own.toml: supply.purchases.b: overlaps with 'a'", "another plant"],
        ),
        (purchase(mw=99.0), ["own.toml: supply.purchases.a.mw: 99 MW make", "allowed is"]),
        (
            purchase(kind="pay_as_produced"),
            [
                "own.toml: supply.purchases.a: a pay_as_produced contract needs profile",
                "a CSV or Parquet file",
            ],
        ),
        (
            purchase(kind="pay_as_produced", more='profile = "windy"'),
            ["own.toml: supply.purchases.a: profile must be 'wind-north'", "got 'windy'"],
        ),
        (
            purchase(more='buyer = "nobody"'),
            ["own.toml: supply.purchases.a.buyer: no tenant 'nobody'; allowed is one of"],
        ),
        (
            purchase("base-load"),
            ["own.toml: supply.purchases.base-load: is what the tables call", "name it otherwise"],
        ),
    ],
    ids=["overlap", "too much", "no profile", "no such profile", "no such buyer", "a name that is taken"],
)
def test_a_contract_that_cannot_be(
    inside: Command, tmp_path: Path, small: str, purchases: str, expected: list[str]
) -> None:
    """The file, the key and what would be accepted."""
    (tmp_path / "own.toml").write_text(f'extends = "{small}"\n{purchases}', encoding="utf-8")
    refused(inside("run", "own.toml", "--out", "x", "-q"), *expected)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (hourly(""), ["line 2, time_utc: '2027-01-01T00:00' has no time zone", "write UTC with a Z"]),
        (hourly(skip=30), ["line 32: the row of 2027-01-02 06:00 UTC is missing; fill it"]),
        (hourly(hours=20), ["the run lasts from", "or give a profile of a whole year"]),
        (
            hourly().replace(",25.0", ",0.5").replace(",0.5", ",1.5", 1),
            ["line 2, fraction: ", "in 0 to 1, got 1.5"],
        ),
        (None, ["no such file"]),
    ],
    ids=["local time", "gap", "too short", "more than the plant has", "absent"],
)
def test_a_profile_that_cannot_be_used(
    inside: Command, tmp_path: Path, small: str, text: str | None, expected: list[str]
) -> None:
    """The file, which stands beside the scenario, its line, and the key that asked for it."""
    folder = tmp_path / "scenarios"
    folder.mkdir()
    if text is not None:
        (folder / "plant.csv").write_text(
            text.replace("eur_per_mwh", "fraction").replace(",25.0", ",0.5"), encoding="utf-8"
        )
    wind = purchase(kind="pay_as_produced", more='profile = "plant.csv"')
    (folder / "own.toml").write_text(f'extends = "{small}"\n{wind}', encoding="utf-8")
    outcome = inside("run", "scenarios/own.toml", "--out", "x", "-q")
    refused(outcome, "scenarios/plant.csv: ", "(supply.purchases.a.profile)", *expected)
    assert not (tmp_path / "x").exists()


def test_a_good_price_series_is_used(inside: Command, tmp_path: Path, small: str) -> None:
    """And named, with its checksum, in run.json."""
    (tmp_path / "prices.csv").write_text(hourly(), encoding="utf-8")
    outcome = inside("run", small, "--set", "market.prices=prices.csv", "--out", "x", "-q")
    assert outcome.code == 0, outcome.err
    inputs = json.loads((tmp_path / "x/run.json").read_text(encoding="utf-8"))["inputs"]
    (prices,) = (entry for entry in inputs if entry["kind"] == "prices")
    assert prices["name"] == "prices.csv#eur_per_mwh"
    assert prices["synthetic"] is False


def test_a_place_that_is_taken_or_cannot_be_written(inside: Command, tmp_path: Path, small: str) -> None:
    """Said before the run, not after it; what was there stays."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for place, expected in (
        ("file", "file: exists already; choose another --out"),
        ("folder", "folder: exists already"),
        (".", "exists already"),
        ("", "exists already"),
        ("link", "link: is a dangling link"),
        ("file/run", "file/run: cannot be written"),
        ("/proc/none/run", "/proc/none/run: cannot be written"),
        ("x" * 300, "File name too long"),
    ):
        refused(inside("run", small, "--out", place, "--json"), expected)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "link"}
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_parents_of_out_are_made(inside: Command, tmp_path: Path, small: str) -> None:
    """A missing parent is no error."""
    assert inside("run", small, "--days", "1", "--out", "a/b/c", "-q").code == 0
    assert (tmp_path / "a/b/c/run.json").exists()


def test_a_working_folder_that_cannot_be_written(kvandal: Command, small: str) -> None:
    """The default place is below it; the message says which."""
    refused(kvandal("run", small, "-q", cwd="/proc"), "runs/small-1: cannot be written")


def test_a_working_folder_that_is_gone(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: str
) -> None:
    """With places that are given in full everything works; without, one message."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused(inside("run", small, "-q"), "cannot be written")
    assert inside("run", small, "-q", "--days", "1", "--out", str(tmp_path / "run")).code == 0


def test_a_damaged_run_folder(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """Every command that reads a run says what is wrong with it."""
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    good = str(small_run)
    table = run / "tenants.parquet"
    table.write_bytes(table.read_bytes()[:100])
    before = (run / "report.html").read_bytes()
    refused(inside("report", "run"), "run/tenants.parquet: does not match its checksum")
    assert (run / "report.html").read_bytes() == before
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for broken, expected in (
        ({**record, "schema_version": 2}, "run.json: schema_version: must be 1, got 2"),
        ({key: record[key] for key in record if key != "title"}, "run.json: title: this key is missing"),
        ({**record, "summary": {"pue": 1.1}}, "summary.it_energy_mwh: this key is missing"),
        (
            {**record, "summary": {**record["summary"], "pue": "low"}},
            'summary.pue: must be number or null, got "low"',
        ),
        ({**record, "tables": []}, "tables: must be object, got []"),
    ):
        (run / "run.json").write_text(json.dumps(broken), encoding="utf-8")
        for command in (
            ["show", "run"],
            ["compare", good, "run"],
            ["compare", "run", good],
            ["report", "run"],
        ):
            refused(inside(*command), expected)
            refused(inside(*command, "--json"), expected)
    (run / "run.json").write_text("{", encoding="utf-8")
    refused(inside("show", "run"), "run/run.json: not valid JSON")


def test_a_report_that_cannot_be_written(inside: Command, small_run: Path, tmp_path: Path) -> None:
    """To a folder, below nothing, to a device: refused, and nothing is left."""
    for place, expected in (
        (".", "is a folder; name a file"),
        ("none/own.html", "none is not a folder"),
        ("/dev/null", "/dev/null: is not a regular file"),
        ("x" * 300, "File name too long"),
    ):
        refused(inside("report", str(small_run), "--out", place), expected)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_time_zone_or_pattern_does_not_reach_the_run(inside: Command) -> None:
    """What can be known early is said early."""
    refused(
        inside("show", "stargate-norway", "--set", "site.time_zone=Mars/Base"),
        "unknown time zone 'Mars/Base'",
    )


def test_a_run_beyond_all_memory_is_refused(inside: Command) -> None:
    """A century of seconds is said to be too much before anything is reserved."""
    outcome = inside("run", "--set", "run.days=36600", "--set", "run.tick_s=1", "-q")
    refused(outcome, "allowed are 60,000,000", "longer tick_s")
