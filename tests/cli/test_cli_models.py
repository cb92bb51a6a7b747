"""`kvandal models`: the models that a scenario can choose from, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

KEYS = {
    "power.loss_model": ("curves", "constant"),
    "power.ups_mode": ("double", "eco", "none"),
    "cooling.heat_rejection": ("dry_cooler", "seawater"),
    "cooling.dry_cooler_model": ("effectiveness", "temperature_difference"),
    "cooling.pump_model": ("system_curve", "affinity"),
    "cooling.exchanger_model": ("two_sided", "one_sided"),
    "heat.heat_pump_model": ("lorenz", "carnot"),
    "climate.wet_bulb_model": ("psychrometric", "stull"),
}


def test_models_are_shown_side_by_side(inside: Callable[..., Any]) -> None:
    """Each quantity has a table with equation, validity, source and a value of each model at each point."""
    outcome = inside("models")
    assert (outcome.code, outcome.err) == (0, "")
    for key, names in KEYS.items():
        assert key in outcome.out
        for name in names:
            assert f"\n{name} " in outcome.out
    assert "temperature_difference" not in inside("models", "pump").out


def test_models_as_json(inside: Callable[..., Any]) -> None:
    """One document; every key with its names, every model with as many values as there are points."""
    document = json.loads(inside("models", "--json").out)
    assert {quantity["key"]: tuple(m["name"] for m in quantity["models"]) for quantity in document} == KEYS
    for quantity in document:
        for model in quantity["models"]:
            assert len(model["values"]) == len(quantity["points"]) == 4
            assert all(math.isfinite(number) and number >= 0 for number in model["values"])
            assert model["equation"]
            assert model["validity"]
            assert model["reference"]
    assert json.loads(inside("models", "ups", "--json").out)[0]["quantity"] == "ups"


@pytest.mark.parametrize("quantity", ["electrical_losses", "dry_cooler", "pump", "exchanger"])
def test_models_agree_at_design(inside: Callable[..., Any], quantity: str) -> None:
    """Models of one quantity meet at full load and differ at part load."""
    (document,) = json.loads(inside("models", quantity, "--json").out)
    first, second = (model["values"] for model in document["models"])
    assert first[-1] == pytest.approx(second[-1], rel=0.03)
    assert first[0] != pytest.approx(second[0], rel=0.03)


def test_an_unknown_quantity_is_said_in_one_line(inside: Callable[..., Any]) -> None:
    """Exit code 2, and the names that there are."""
    outcome = inside("models", "xyz")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.mistakes == [outcome.err.strip()]
    assert "no quantity 'xyz'" in outcome.err
    assert "wet_bulb" in outcome.err
