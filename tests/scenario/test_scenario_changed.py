"""A scenario that is there already is changed: by files, by keys, and by groups that hand down what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario.loading import changed, from_json, load


def written(folder: Path, text: str, name: str = "change.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("preset", kv.presets())
def test_no_change_changes_nothing(preset: str) -> None:
    """A scenario, the same from its JSON, and the same with no change are equal."""
    scenario = load(preset)
    assert changed(scenario) == scenario
    assert from_json(scenario.model_dump(mode="json")) == scenario


def test_a_file_and_keys_are_laid_over(tmp_path: Path) -> None:
    """Tables merge, keys come last, instants and paths arrive; preset and scenario take the change alike."""
    jobs = written(tmp_path, "submit_s,run_s,gpus\n0,60,1\n", "jobs.csv")
    change = written(
        tmp_path,
        """
        [tenants.uk]
        weight = 3
        [demand.surplus]
        source = "file"
        path = "jobs.csv"
        [[faults]]
        kind = "grid_dip"
        at_utc = 2027-01-02T00:00:00Z
        residual_voltage_pu = 0.5
        duration_s = 0.2
        """,
    )
    one = changed(load("stargate-norway"), {"site.grid_mw": 200}, overlays=[change])
    other = load("stargate-norway", {"site.grid_mw": 200}, overlays=[change])
    assert one == other
    assert (one.tenants["uk"].weight, one.tenants["uk"].region, one.site.grid_mw) == (
        3,
        "United Kingdom",
        200,
    )
    assert one.demand["surplus"].path == str(jobs)
    assert len(one.faults) == 1
    later = written(tmp_path, "[tenants.uk]\nweight = 4\n", "later.toml")
    assert load("stargate-norway", overlays=[change, later]).tenants["uk"].weight == 4
    assert load("stargate-norway", overlays=[later, change]).tenants["uk"].weight == 3


def test_a_group_hands_its_change_down() -> None:
    """Who has the same notice as the group follows it; who has another keeps it."""
    base = load("stargate-norway", {"tenants.uk.notice_s": 300})
    for variant in (
        changed(base, {"tenants.surplus.notice_s": 900}),
        load("stargate-norway", {"tenants.uk.notice_s": 300, "tenants.surplus.notice_s": 900}),
    ):
        assert variant.tenants["nordics"].notice_s == 900
        assert variant.tenants["uk"].notice_s == 300
        assert variant.tenants["offtaker"].notice_s == base.tenants["offtaker"].notice_s


def test_a_scenario_that_extends_the_base_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chain of files only what lies above the base is taken."""
    assert load("stargate-norway", overlays=["stargate-norway-290"]) == load("stargate-norway-290")
    base = written(
        tmp_path, 'extends = "stargate-norway"\nname = "mine"\n[site]\ngrid_mw = 210.0\n', "base.toml"
    )
    change = written(tmp_path, 'extends = "base.toml"\n[site]\ntitle = "Changed"\n')
    found = load(base, {"site.title": "Mine"}, overlays=[change])
    assert (found.name, found.site.grid_mw, found.site.title) == ("mine", 210, "Mine")
    assert load(base, overlays=[change]).site.title == "Changed"
    monkeypatch.chdir(tmp_path)
    assert (
        load(base, overlays=["change.toml"]).site.title
        == load("base.toml", overlays=[change]).site.title
        == "Changed"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[site]\ngrid_mv = 3\n", "change.toml: site.grid_mv: unknown key; did you mean 'grid_mw'?"),
        ("[site]\ngrid_mw = -3\n", "change.toml: site.grid_mw: must be "),
        ("[site]\ngrid_mw = nan\n", "change.toml: site.grid_mw: must be a finite number"),
        ("site = 3\n", "change.toml: site: must be a table"),
        ("nonsense", "change.toml: not valid TOML"),
        ('extends = "stargate-norway-290"\n', "change.toml: extends: is a scenario on 'stargate-norway'"),
        ("[tenants.surplus]\nnotice_s = -1\n", "tenants.surplus.notice_s: must be at least 0, got -1"),
    ],
)
def test_a_bad_change_names_its_file(tmp_path: Path, text: str, expected: str) -> None:
    """Whether it is laid over a preset or over a scenario."""
    change = written(tmp_path, text)
    with pytest.raises(ScenarioError) as of_scenario:
        changed(load("stargate-norway-phase-1"), overlays=[change], name="runs/x")
    with pytest.raises(ScenarioError) as of_preset:
        load("stargate-norway-phase-1", overlays=[change])
    assert expected in str(of_scenario.value)
    assert expected in str(of_preset.value)


def test_what_is_no_change_is_refused(tmp_path: Path) -> None:
    """A file that is not there, a preset on something else, a change that another undoes."""
    for overlay, expected in (
        ("none.toml", "none.toml: no such file; a change is a TOML file, or --set KEY=VALUE"),
        ("", "'': no such file"),
        ("a\0b", "no such file"),
        (str(tmp_path), "is a folder"),
        ("stargate-norway", "is a scenario on nothing, not a change of 'stargate-norway-290'"),
    ):
        with pytest.raises(ScenarioError) as caught:
            load("stargate-norway-290", overlays=[overlay])
        assert expected in str(caught.value)
    with pytest.raises(ScenarioError, match=r"would undo site\.grid_mw"):
        changed(load("stargate-norway"), {"site.grid_mw": 3.0, "site": {}})
