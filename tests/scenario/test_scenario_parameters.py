"""The registry of parameters: each with value, unit, range, source and label; ranges warn, limits refuse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kvandal as kv
from kvandal.errors import ScenarioError
from kvandal.scenario import range_warnings, warnings_of
from kvandal.scenario.messages import known_keys
from kvandal.scenario.parameters import curve, parameters, value
from kvandal.scenario.tenants import LIMITS

UNITS = (
    "mw", "hz", "min", "kw", "w", "kwh", "mwh", "gwh", "s", "h", "days", "utc", "c", "k", "pct", "m", "deg", "gpus", "gpu",
    "trays", "row", "hall", "cdu", "rack", "crews", "failures", "month", "fraction", "share", "efficiency", "effectiveness", "maximum",
    "eur", "usd", "hour", "hours", "year", "interruption", "multiplier", "exponent", "weight", "duration", "seed", "local", "mw",
    "km", "l", "m2", "musd", "years", "months", "priority", "factor", "group", "transformers", "needed", "minimum", "pod", "place", "count", "pu", "depth", "reservations", "pb", "eb", "score",
)  # fmt: skip
"""Last words of keys that say what the number counts; efficiencies (eta), shares and counts have no unit."""


def test_every_parameter_is_complete() -> None:
    """A value inside its range, a unit, a known label, and a reference that is spelled out."""
    assert len(parameters()) > 80
    for entry in parameters().values():
        assert entry.minimum <= entry.value <= entry.maximum, entry.key
        assert entry.unit, entry.key
        assert entry.name, entry.key
        assert entry.label in {"sourced", "derived", "judgement"}, entry.key
        assert entry.reference, entry.key
        if entry.label == "sourced":
            assert re.search(r"\w\.\w", entry.reference), f"{entry.key}: sourced, but from where?"


def test_every_number_has_its_unit_in_its_key() -> None:
    """The last words of a numeric key are a unit, a count or a dimensionless word; efficiencies start with eta."""
    from pydantic import BaseModel

    from kvandal.scenario.messages import model_in

    unclear = []

    def walk(part: type[BaseModel]) -> None:
        for name, field in part.model_fields.items():
            below = model_in(field.annotation)
            if below is not None:
                walk(below)
            elif re.search(r"\b(int|float)\b", str(field.annotation)) and "dict" not in str(field.annotation):
                words = name.split("_")
                if words[0] != "eta" and words[-1] not in UNITS:
                    unclear.append(name)

    walk(kv.Scenario)
    assert unclear == []


def test_the_defaults_of_a_scenario_are_those_of_the_registry() -> None:
    """A field that is tied to a parameter starts at its value and unit."""
    scenario = kv.Scenario()
    assert scenario.cooling.tcs_supply_c == value("cooling.tcs_supply_c") == 40
    assert scenario.rack_models["gb300_nvl72"].rack_tdp_kw == value("rack.rack_tdp_kw") == 132
    assert scenario.site.grid_mw == 230
    assert warnings_of(scenario) == []
    assert len(curve("ups_eta_eco")) > 2


def test_a_value_outside_its_plausible_range_warns_and_names_the_source() -> None:
    """The run goes on; the warning has key, value, range and source."""
    scenario = kv.load("stargate-norway", {"cooling.tcs_supply_c": 46.0})
    (warning,) = range_warnings(scenario)
    assert str(warning).startswith(
        "cooling.tcs_supply_c = 46 degC lies outside the plausible range 30 to 45 degC (R31: "
    )


def test_an_impossible_value_is_refused() -> None:
    """Beyond the hard limit there is no warning but an end."""
    with pytest.raises(ScenarioError, match="must be at most 60, got 500"):
        kv.load("stargate-norway", {"cooling.tcs_supply_c": 500})


def test_other_racks_are_not_measured_by_the_ranges_of_the_gb300() -> None:
    """A Rubin rack of 190 kW is plausible for a Rubin rack."""
    assert warnings_of(kv.load("stargate-norway-520")) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"demand.national.replica_gpus": 4},
            "demand.national.replica_gpus has no effect with source = 'philly'",
        ),
        ({"demand.inference.size_multiplier": 2}, "demand.inference.size_multiplier has no effect"),
        ({"demand.surplus.sizes_gpus": [8]}, "demand.surplus.sizes_gpus has no effect"),
        (
            {"market.at_end": "repeat"},
            "market.at_end has no effect: generated prices last as long as the run",
        ),
        (
            {"market.prices": "p.csv", "market.spot_mean_eur_per_mwh": 30.0},
            "market.spot_mean_eur_per_mwh has no effect: prices come from a file",
        ),
        (
            {"demand.inference.checkpoint_s": 5.0, "demand.inference.checkpoint": False},
            "demand.inference.checkpoint_s has no effect with checkpoint = false",
        ),
        (
            {"reliability.spare_restart_s": 60.0},
            "reliability.spare_restart_s has no effect with policy.spare_trays_per_rack = 0",
        ),
        (
            {"reliability.tray_replacement_days": 7.0, "reliability.lemon_failures": 0},
            "reliability.tray_replacement_days has no effect with lemon_failures = 0",
        ),
        ({"rack_models.gb200_nvl72.rack_tdp_kw": 125.0}, "rack_models.gb200_nvl72 has no effect"),
    ],
)
def test_a_key_that_changes_nothing_is_said_to(changes: dict[str, object], expected: str) -> None:
    """No option is passed over in silence."""
    (warning,) = warnings_of(kv.load("stargate-norway", changes))
    assert expected in warning


def test_every_field_of_a_scenario_is_read_somewhere() -> None:
    """No silent no-op: the name of each field is used by the program, outside the models themselves."""
    package = Path(kv.__file__).parent
    program = "\n".join(
        path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
        if path.parent.name != "scenario" or path.name in {"plausibility.py", "reach.py", "tree.py"}
    )
    through = {
        "load_fraction": "rack_load_fraction",
        "curtailable": "may_be_curtailed",
        "gpu_hours": "gpu_s",
    }  # read by a property of its own part
    through |= {f"{limit}_{unit}": limit for limit in LIMITS for unit in ("share", "gpus")}
    unread = []
    for key in known_keys():
        name = key.rsplit(".", 1)[-1]
        if not re.search(rf"\.{through.get(name, name)}\b", program):
            unread.append(key)
    assert unread == []
