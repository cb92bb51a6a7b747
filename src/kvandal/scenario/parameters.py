"""The registry of parameters: every default number of the product with unit, range, label and source.

The numbers live in ``defaults.toml`` beside this file. A scenario field that is tied to a parameter takes its
default from here (:func:`parameter`) and warns when a scenario leaves the plausible range.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field

Label = Literal["sourced", "derived", "judgement"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One default number and what is known about it.

    Attributes
    ----------
    key : dotted name, e.g. ``cooling.tcs_supply_c``
    value, minimum, maximum : the default and its plausible range, in ``unit``
    unit : unit of the three numbers ("1" for dimensionless)
    symbol : symbol in formulas
    label : ``sourced`` (a text was read), ``derived`` (by stated arithmetic) or ``judgement``
    reference : where the number comes from, spelled out

    """

    key: str
    name: str
    value: float
    unit: str
    minimum: float
    maximum: float
    symbol: str
    label: Label
    reference: str


@cache
def _document() -> dict[str, Any]:
    text = resources.files("kvandal.scenario").joinpath("defaults.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def parameters() -> dict[str, Parameter]:
    """All parameters by key, in the order of ``defaults.toml``."""
    document = _document()
    references: dict[str, str] = document.get("reference", {})
    found: dict[str, Parameter] = {}
    for group, table in document.items():
        if not isinstance(table, dict):
            continue
        for name, entry in table.items():
            if not (isinstance(entry, dict) and "label" in entry):
                continue
            keys = [part.strip() for part in str(entry["ref"]).split(",")]
            reference = "; ".join(f"{key}: {references[key]}" for key in keys if key in references)
            found[f"{group}.{name}"] = Parameter(
                key=f"{group}.{name}",
                name=entry["name"],
                value=entry["value"],
                unit=entry["unit"],
                minimum=entry["min"],
                maximum=entry["max"],
                symbol=entry["symbol"],
                label=entry["label"],
                reference=reference or "engineering judgement",
            )
    return found


def curve(name: str) -> list[float]:
    """Return a curve or profile of ``defaults.toml`` (e.g. ``"ups_eta_eco"``)."""
    return [float(value) for value in _document()["curves"][name]]


def value(key: str) -> float:
    """Return the default of one parameter, e.g. ``value("rack.rack_tdp_kw")`` gives 132."""
    return parameters()[key].value


def parameter(key: str, **limits: Any) -> Any:
    """Build a scenario field whose default, description and range come from the registry.

    Parameters
    ----------
    key
        Key of the parameter.
    limits
        Hard limits (``gt``, ``ge``, ``lt``, ``le``): a value beyond them is impossible and is refused. The
        plausible range of the registry is narrower and only warns.

    """
    entry = parameters()[key]
    default = entry.value
    return Field(
        default=default,
        description=f"{entry.name} [{entry.unit}]",
        json_schema_extra={"parameter": key},
        **limits,
    )
