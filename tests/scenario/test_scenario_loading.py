"""From a preset or a TOML file to a scenario: what is found, merged, overridden and refused."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario import parse_change, warnings_of
from kvandal.scenario.changes import split_key

PRESETS = [
    "stargate-norway",
    "stargate-norway-2026",
    "stargate-norway-290",
    "stargate-norway-520",
    "stargate-norway-build-out",
    "stargate-norway-phase-1",
]


def written(folder: Path, text: str, name: str = "site.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(source: str | Path, changes: dict[str, Any] | None = None) -> str:
    with pytest.raises(ScenarioError) as caught:
        kv.load(source, changes)
    text = str(caught.value)
    assert "\n" not in text
    assert "pydantic" not in text
    return text


def test_the_presets_are_these_and_each_loads_without_a_warning() -> None:
    """Six presets ship; each is valid as it stands and stays within the plausible ranges."""
    assert kv.presets() == PRESETS
    for name in PRESETS:
        scenario = kv.load(name)
        assert scenario.name == name
        assert scenario.description
        assert warnings_of(scenario) == []


@pytest.mark.parametrize(
    ("preset", "gpus", "grid_mw", "racks"),
    [
        ("stargate-norway", 100_000, 230, 1389),
        ("stargate-norway-phase-1", 9_144, 20, 127),
        ("stargate-norway-290", 132_900, 290, 1846),
        ("stargate-norway-520", 190_000, 520, 2639),
        ("stargate-norway-2026", 82_000, 230, 1140),
        ("stargate-norway-build-out", 100_000, 230, 1389),
    ],
)
def test_a_preset_is_the_site_that_was_announced(preset: str, gpus: int, grid_mw: float, racks: int) -> None:
    """GPUs, megawatts and racks of each preset."""
    site = kv.load(preset).site
    assert (site.gpus_asked, site.grid_mw, site.racks) == (gpus, grid_mw, racks)


def test_the_build_out_brings_racks_by_month_until_all_gpus_stand() -> None:
    """Deliveries rise by month and sum to 100,000 GPUs."""
    deliveries = kv.load("stargate-norway-build-out").site.build_out
    assert sum(delivery.gpus for delivery in deliveries) == 100_000
    assert [delivery.month for delivery in deliveries] == [0, 2, 4, 6, 8, 10]


def test_an_empty_file_is_the_default_site_without_demand(tmp_path: Path) -> None:
    """Everything has a default; nobody asks for GPUs."""
    scenario = kv.load(written(tmp_path, ""))
    assert scenario.site.racks == 1389
    assert scenario.demand == {}


def test_a_file_holds_only_what_differs_from_what_it_extends(tmp_path: Path) -> None:
    """Tables merge key by key, through two files and a preset."""
    written(tmp_path, 'extends = "stargate-norway"\n[site]\ngrid_mw = 200.0\n[run]\ndays = 5\n', "low.toml")
    top = written(tmp_path, 'extends = "low.toml"\n[run]\nseed = 9\n', "sub/../top.toml")
    scenario = kv.load(top)
    assert (scenario.site.grid_mw, scenario.run.days, scenario.run.seed) == (200.0, 5, 9)
    assert "uk" in scenario.tenants


def test_changes_come_last_and_replace_whole_tables() -> None:
    """A change of a key changes that key; a change of a table replaces the table."""
    changed = kv.load("stargate-norway", {"site.grid_mw": 290, "heat.customers": {}, "run.days": 3})
    assert (changed.site.grid_mw, changed.run.days) == (290.0, 3)
    assert changed.heat.customers == {}
    assert changed.site.offtaker == "OpenAI"


def test_a_name_with_a_dot_stands_in_quotes() -> None:
    """Quotes hold a name together; without them the dot separates."""
    assert split_key('tenants."a.b".weight') == ("tenants", "a.b", "weight")
    tenant = {"tier": "lent"}
    scenario = kv.load("stargate-norway", {'tenants."a.b"': tenant, 'tenants."a.b".weight': 2})
    assert scenario.tenants["a.b"].weight == 2.0
    assert refusal("stargate-norway", {'tenants."a.b".weight': 2}).endswith(
        'tenants."a.b".tier: this key is missing: neither this tenant nor a group above it has one; is the tenant\'s name right?'
    )


def test_a_rack_model_keeps_what_is_known_of_it() -> None:
    """Changing one number of a rack leaves its other numbers those of that rack, not of another."""
    before = kv.load("stargate-norway-520").rack_models
    after = kv.load("stargate-norway-520", {"rack_models.rubin_nvl72.rack_tdp_kw": 200.0}).rack_models
    assert after["rubin_nvl72"].rack_tdp_kw == 200.0
    assert after["rubin_nvl72"].gpu_tdp_w == before["rubin_nvl72"].gpu_tdp_w == 1800.0
    assert set(after) == set(before)


def test_the_start_is_kept_in_utc(tmp_path: Path) -> None:
    """An instant with another offset is the same instant."""
    scenario = kv.load(written(tmp_path, "[run]\nstart_utc = 2027-03-01T01:00:00+01:00\n"))
    assert scenario.run.start_utc == datetime(2027, 3, 1, tzinfo=UTC)
    assert scenario.run.start_utc.isoformat() == "2027-03-01T00:00:00+00:00"


def test_a_scenario_can_be_written_as_json_and_read_back() -> None:
    """What run.json holds is the scenario in full."""
    scenario = kv.load("stargate-norway-build-out")
    assert kv.Scenario.model_validate_json(scenario.model_dump_json()) == scenario


# ---- paths


def test_paths_in_a_file_are_relative_to_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of a chain names its own neighbours, wherever the program is started."""
    written(
        tmp_path,
        '[climate]\nweather = "w.csv"\n[market]\nprices = "p.parquet#NO4_eur_per_mwh"\n',
        "base/low.toml",
    )
    demand = (
        '[tenants.a]\ntier = "firm"\n[demand.d]\nsource = "file"\ntenants = { a = 1 }\npath = "jobs.csv"\n'
    )
    top = written(tmp_path, f'extends = "../base/low.toml"\n{demand}', "top/top.toml")
    monkeypatch.chdir("/")
    scenario = kv.load(top)
    assert os.path.normpath(scenario.climate.weather) == str(tmp_path / "base" / "w.csv")
    assert os.path.normpath(scenario.market.prices) == str(tmp_path / "base" / "p.parquet#NO4_eur_per_mwh")
    assert scenario.demand["d"].path == str(tmp_path / "top" / "jobs.csv")


def test_paths_of_a_change_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed on the command line is meant from where it is typed, also inside a whole table."""
    scenario = written(tmp_path, 'extends = "stargate-norway"\n', "there/site.toml")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    loaded = kv.load(scenario, {"market.prices": "p.csv", "climate": {"weather": "w.epw"}})
    assert loaded.market.prices == str(tmp_path / "here" / "p.csv")
    assert loaded.climate.weather == str(tmp_path / "here" / "w.epw")


def test_names_of_shipped_series_are_not_paths() -> None:
    """The defaults stay names."""
    scenario = kv.load("stargate-norway", {"climate.weather": "tromso-2021-era5"})
    assert (scenario.climate.weather, scenario.market.prices) == ("tromso-2021-era5", "synthetic-no4")


# ---- refusals of files


def test_an_unknown_preset_names_the_nearest_and_all() -> None:
    """A slip of the pen is met with the name that was meant."""
    text = refusal("stargate-norwey")
    assert text.startswith("stargate-norwey: no such preset or file. Did you mean 'stargate-norway'?")
    assert "stargate-norway-phase-1" in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    assert refusal(tmp_path / "none.toml").startswith(f"{tmp_path / 'none.toml'}: no such file.")


def test_what_is_no_scenario_file_is_refused(tmp_path: Path) -> None:
    """A folder, binary data, a huge file, a NUL in the name, a name beyond all length, bad TOML."""
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"a = 1\n\xff\xfe\x00")
    assert "not text in UTF-8 (line 2)" in refusal(tmp_path / "b.toml")
    (tmp_path / "nul.toml").write_bytes(b"name = 'a'\n\x00")
    assert "not valid TOML" in refusal(tmp_path / "nul.toml")
    (tmp_path / "huge.toml").write_bytes(b"# x\n" * 300_000)
    assert "larger than 1 MiB" in refusal(tmp_path / "huge.toml")
    assert "larger than 1 MiB" in refusal("/dev/zero")
    assert "cannot be read" in refusal("a\0b.toml")
    assert "cannot be read" in refusal("a" * 5000)
    assert "line 2" in refusal(written(tmp_path, "[run]\ndays = = 3\n"))
    assert "not valid TOML" in refusal(written(tmp_path, "[run]\ndays = 3\ndays = 4\n"))


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{a=" * 3000 + "1" + "}" * 3000,
        ".".join(["a"] * 3000) + " = 1",
        "[" + ".".join(["run"] * 5000) + "]\ndays = 3",
        "x = " + "[" * 40 + "]" * 40,
    ],
)
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    """A document nested beyond reason ends in one sentence, however it is nested."""
    assert "nested deeper than 16" in refusal(written(tmp_path, text))


def test_extends_that_goes_in_a_circle_is_named(tmp_path: Path) -> None:
    """The circle is written out; a file that extends itself is one too."""
    written(tmp_path, 'extends = "b.toml"\n', "a.toml")
    written(tmp_path, 'extends = "./a.toml"\n', "b.toml")
    assert "goes in a circle" in refusal(tmp_path / "a.toml")
    written(tmp_path, 'extends = "self.toml"\n', "self.toml")
    assert "goes in a circle" in refusal(tmp_path / "self.toml")


def test_extends_must_be_a_name_and_lead_somewhere(tmp_path: Path) -> None:
    """A number, an empty name, a missing file: the file that says so and the key are named."""
    top = written(tmp_path, "extends = 3\n")
    assert refusal(top) == f"{top}: extends: must be a preset's name or a path, got 3"
    top = written(tmp_path, 'extends = ""\n')
    assert "extends: must be a preset's name or a path, got ''" in refusal(top)
    top = written(tmp_path, 'extends = "none.toml"\n')
    assert refusal(top).startswith(f"{top}: extends: no such file 'none.toml'.")


def test_a_long_chain_of_extends_is_refused(tmp_path: Path) -> None:
    """Nine files deep is more than anybody can follow."""
    for index in range(12):
        written(tmp_path, f'extends = "{index + 1}.toml"\n', f"{index}.toml")
    written(tmp_path, "", "12.toml")
    assert "goes deeper than 8 files" in refusal(tmp_path / "0.toml")
    assert kv.load(tmp_path / "5.toml").name == "scenario"


def test_the_file_that_holds_the_mistake_is_named(tmp_path: Path) -> None:
    """A mistake in the extended file is not blamed on the file that extends it."""
    low = written(tmp_path, "[run]\ndays = -3\n", "low.toml")
    top = written(tmp_path, 'extends = "low.toml"\n[site]\ngrid_mw = 20.0\n', "top.toml")
    assert refusal(top) == f"{low}: run.days: must be at least 1, got -3 (Length of the run [days of 24 h])"


# ---- refusals of changes


def test_a_change_is_read_as_toml_or_else_as_a_word() -> None:
    """Numbers, truth, lists and instants are TOML; anything else is a word."""
    assert parse_change("run.days=7") == ("run.days", 7)
    assert parse_change(" site.grid_mw = 2.5 ") == ("site.grid_mw", 2.5)
    assert parse_change("policy.recall=false") == ("policy.recall", False)
    assert parse_change("site.time_zone=Europe/Oslo") == ("site.time_zone", "Europe/Oslo")
    assert parse_change('name="a=b"') == ("name", "a=b")
    assert parse_change("run.days=7\nseed = 3") == ("run.days", "7\nseed = 3")


@pytest.mark.parametrize("text", ["", "=", "run.days", "run.days=", "=3", "  "])
def test_a_change_without_key_or_value_is_refused(text: str) -> None:
    """The message shows what a change looks like."""
    with pytest.raises(ScenarioError, match=r"expected key=value, e\.g\. site\.grid_mw=290"):
        parse_change(text)


@pytest.mark.parametrize("key", ["site..grid_mw", ".", "site.", "'site", '"a" b', "'a'=1\nx"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """Empty steps and open quotes."""
    assert "expected a dotted key" in refusal("stargate-norway", {key: 3})


def test_a_change_that_undoes_another_is_refused() -> None:
    """Nothing that was asked for disappears without a word."""
    assert "would undo site.grid_mw" in refusal("stargate-norway", {"site.grid_mw": 200, "site": {}})
    assert kv.load("stargate-norway", {"site.layout": {}, "site.layout.racks_per_row": 9}).site.racks == 1389


def test_a_key_below_a_value_is_refused() -> None:
    """A number has no keys."""
    assert "'grid_mw' is not a table" in refusal("stargate-norway", {"site.grid_mw.x": 3})
    deep = ".".join(["site"] + ["x"] * 3000)
    assert "unknown key" in refusal("stargate-norway", {deep: 3})


def test_a_mistake_of_a_change_names_the_change() -> None:
    """The label of the change takes the place of the file."""
    with pytest.raises(ScenarioError) as caught:
        kv.load("stargate-norway", {"run.days": -1}, labels={"run.days": "--days"})
    assert str(caught.value) == "--days: must be at least 1, got -1 (Length of the run [days of 24 h])"
    assert refusal("stargate-norway", {"site.build_out": [{"month": 0, "gpus": 0}]}).startswith(
        "site.build_out: [0].gpus: must be at least 1, got 0"
    )
    assert refusal("stargate-norway", {"site.owners": {"A": 0.3}}) == (
        "stargate-norway with site.owners: site: owners' shares must sum to 1, got 0.3"
    )


def test_a_working_folder_that_is_gone_is_no_riddle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets still load; a relative path says why it cannot be meant."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert kv.load("stargate-norway", {"run.days": 2}).run.days == 2
    assert "working folder that is gone" in refusal("stargate-norway", {"market.prices": "p.csv"})
    assert "no such file" in refusal("site.toml")
