"""What a scenario may not say, and the sentence that meets it: key, what is allowed, what was given."""

from __future__ import annotations

from typing import Any

import pytest

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario import validate
from kvandal.scenario.messages import LONGEST_SHOWN, known_keys

INSTANT = "2027-01-01T00:00:00Z"

CASES = [
    # wrong kinds
    ("site.grid_mw", '"230"', "must be a number, got '230' (Initial grid capacity [MW])"),
    ("site.grid_mw", '"230 MW"', "must be a number, got '230 MW'"),
    ("site.grid_mw", "true", "must be a number, got true"),
    ("site.grid_mw", "2027-01-01", "must be a number, got 2027-01-01"),
    ("site.grid_mw", "12:30:00", "must be a number, got 12:30:00"),
    ("site.grid_mw", "[230]", "must be a number, got a list"),
    ("site.grid_mw", "{ mw = 230 }", "must be a number, got a table"),
    ("run.days", "1.5", "must be a whole number, got 1.5"),
    ("run.days", "7.0", "must be a whole number, got 7.0"),
    ("run.days", "false", "must be a whole number, got false"),
    ("policy.recall", "1", "must be true or false, got 1"),
    ("policy.recall", '"yes"', "must be true or false, got 'yes'"),
    ("site.title", "3", 'must be text "in quotes", got 3'),
    ("site", "3", "must be a table, got 3"),
    ("site", "[1]", "must be a table, got a list"),
    ("tenants", "[]", "must be a table, got a list"),
    ("tenants", '"uk"', "must be a table, got 'uk'"),
    ("rack_models", "3", "must be a table, got 3"),
    ("rack_models.gb300_nvl72", "3", "must be a table, got 3"),
    ("site.build_out", "3", "must be a [list], got 3"),
    ("site.build_out", "{}", "must be a [list], got a table"),
    ("demand.frontier.sizes_gpus", '"big"', "must be a [list], got 'big'"),
    ("demand.frontier.sizes_gpus", '[1, "a"]', "[1]: must be a whole number, got 'a'"),
    ("run.start_utc", "2027-01-01", "must be an instant with its offset from UTC"),
    ("run.start_utc", f'"{INSTANT}"', f"without quotes, e.g. {INSTANT}, got '{INSTANT}'"),
    ("run.start_utc", "2027-01-01T00:00:00", f"must say its offset from UTC, e.g. {INSTANT}"),
    ("run.start_utc", "1700", "must be an instant with its offset from UTC"),
    # bounds
    ("run.days", "0", "must be at least 1, got 0 (Length of the run [days of 24 h])"),
    ("run.days", "40000", "must be at most 36,600, got 40000"),
    ("run.seed", "-1", "must be at least 0, got -1"),
    ("run.seed", "9223372036854775808", "must be below 9,223,372,036,854,775,808"),
    ("site.grid_mw", "-230", "must be above 0, got -230"),
    ("site.grid_mw", "nan", "must be a finite number, got nan"),
    ("site.grid_mw", "inf", "must be a finite number, got inf"),
    ("site.grid_mw", "1e999", "must be a finite number, got inf"),
    ("site.grid_mw", "9" * 400, "must be "),
    ("run.seed", "0x" + "f" * 9000, "got a number of thousands of digits"),
    ("power.eta_ups_eco", "1.2", "must be at most 1, got 1.2"),
    ("policy.perf_offset_fraction", "0.43", "must be below 0.43, got 0.43"),
    ("climate.at_end", '"never"', "must be 'refuse' or 'repeat', got 'never'"),
    ("tenants.uk.tier", '"gold"', "must be 'firm', 'assured' or 'lent', got 'gold'"),
    ("tenants.pool", '{ tier = "lent" }', "is what the tables call GPUs that nobody is entitled to"),
    ("demand.surplus.tenants", "{}", "must hold at least one entry"),
    ("name", '"Big Site"', "is not allowed, got 'Big Site' (Short name: lower-case letters"),
    ("name", f'"{"a" * 300}"', "at most 100 characters"),
    # keys
    ("site.grid_kw", "230000", "unknown key; did you mean 'grid_mw'?"),
    ("site.grid", "230", "unknown key; did you mean 'grid_mw'?"),
    ("grid_mw", "230", "unknown key; did you mean 'site.grid_mw'?"),
    ("run.speed_of_light", "1", "unknown key; allowed are: start_utc, days, tick_s, seed"),
    ("tenants.uk.cieling_share", "0.5", "unknown key; did you mean 'ceiling_share'?"),
    ("site.fleet.main.gpu", "3", "unknown key; did you mean 'gpus'?"),
    (
        "rack_models.gb999_nvl72",
        "{}",
        "unknown name; allowed are 'gb200_nvl72', 'gb300_nvl72' or 'rubin_nvl72'",
    ),
    # what does not go together
    ("run.start_utc", "2027-01-01T00:30:00Z", "must be a whole hour of UTC"),
    ("run.start_utc", "1899-12-31T23:00:00Z", "must lie in the years 1900 to 2299"),
    ("run.start_utc", "2300-01-01T00:00:00Z", "must lie in the years 1900 to 2299"),
    ("run.start_utc", "0001-01-01T00:00:00+05:00", "must lie in the years 1900 to 2299"),
    ("run.start_utc", "1900-01-01T00:00:00+02:00", "the run must lie in the years 1900 to 2299"),
    ("run.start_utc", "2299-12-01T00:00:00Z", "365 days from 2299-12-01"),
    ("run.tick_s", "7", "tick_s must divide an hour (3600 s), got 7"),
    ("run", "{ days = 36600, tick_s = 1 }", "allowed are 60,000,000"),
    ("tenants.uk.curtailable", "false", "only a firm contract can rule curtailment out"),
    ("tenants.uk.deserved_share", "0.1", "tier lent has no entitlement and lives on loans"),
    ("tenants.offtaker.guarantee_share", "0.9", "shares must rise"),
    ("tenants.sovereign.deserved_share", "0.15", "deserved_share sum to 1.02"),
    ("demand.surplus.tenants.france", "1", "no tenant 'france'; tenants are: offtaker"),
    ("demand.surplus.path", '"x.csv"', 'path belongs to source = "file", not to source = "lingjun"'),
    ("demand.surplus.source", '"file"', 'source = "file" needs a path'),
    ("site.fleet", "{}", "fleet must hold at least one block of GPUs"),
    ("site.owners.Aker", "0.6", "owners' shares must sum to 1, got 1.1"),
    ("site.time_zone", '"Mars/Base"', "unknown time zone 'Mars/Base'; give an IANA name such as Europe/Oslo"),
    ("site.time_zone", '"../etc/passwd"', "unknown time zone"),
    ("site.build_out", "[{ month = 0, gpus = 5 }]", "build_out delivers 5 GPUs but fleet asks for 100,000"),
    ("rack_models.gb300_nvl72.rack_idle_kw", "140", "rack powers must rise"),
    ("rack_models.gb300_nvl72.gpu_tdp_w", "5000", "72 GPUs of gpu_tdp_w = 5000 draw 360 kW"),
    ("rack_models.gb300_nvl72.cap_minimum_fraction", "0.15", "a GPU capped to its offset does no work"),
    ("heat.customers.drying.return_c", "90", "return_c (90) must lie below supply_c (55)"),
    ("heat.customers.drying.annual_gwh", "9000", "9000 GWh a year need at least"),
]


@pytest.mark.parametrize(("key", "value", "expected"), CASES, ids=lambda part: str(part)[:40])
def test_a_wrong_value_is_met_with_one_clear_sentence(key: str, value: str, expected: str) -> None:
    """The sentence names the key, what is allowed and what was given."""
    from kvandal.scenario import parse_change

    _, parsed = parse_change(f"{key}={value}")
    with pytest.raises(ScenarioError) as caught:
        kv.load("stargate-norway", {key: parsed}, labels={key: f"--set {key}"})
    text = str(caught.value)
    assert expected in text
    assert key.split(".", maxsplit=1)[0] in text
    assert "\n" not in text
    assert len(text) < 400
    assert "Value error" not in text
    assert "Input should" not in text


def test_further_mistakes_are_counted() -> None:
    """The first mistake is named, the others counted."""
    with pytest.raises(ScenarioError, match=r"run\.days: must be at least 1.*\(and 2 more\)"):
        validate({"run": {"days": 0, "seed": -1}, "nonsense": 3})


def test_long_keys_and_values_are_cut() -> None:
    """A message stays readable whatever was typed."""
    with pytest.raises(ScenarioError) as caught:
        validate({"site": {"title": "x", "q" * 10_000: 1}})
    assert len(str(caught.value)) < 400
    with pytest.raises(ScenarioError) as caught:
        validate({"site": {"grid_mw": "x" * 10_000}})
    assert len(str(caught.value)) < 200 + LONGEST_SHOWN


def test_a_tenant_may_be_called_like_a_key() -> None:
    """Names that the scenario chooses do not confuse the suggestions."""
    with pytest.raises(ScenarioError, match=r"tenants\.tier\.wieght: unknown key; did you mean 'weight'\?"):
        validate({"tenants": {"tier": {"tier": "lent", "wieght": 3}}})


def test_every_key_has_a_meaning_that_can_be_shown() -> None:
    """Each field of each part carries a description, with its unit where it is a number."""
    from pydantic import BaseModel

    from kvandal.scenario.base import described
    from kvandal.scenario.messages import model_in

    keys = list(known_keys())
    assert len(keys) == len(set(keys))
    assert {"site.grid_mw", "tenants.*.weight", "demand.*.sizes_gpus", "site.build_out.*.month"} <= set(keys)

    def walk(part: type[BaseModel], prefix: str) -> list[str]:
        missing = []
        for name, field in described(part).items():
            below: Any = model_in(field.annotation)
            if below is not None:
                missing += walk(below, f"{prefix}{name}.")
            elif not field.description:
                missing.append(f"{prefix}{name}")
        return missing

    assert walk(kv.Scenario, "") == []
