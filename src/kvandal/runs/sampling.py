"""Which parameters of a scenario are uncertain, and draws of them: a Latin hypercube over their ranges.

Every parameter has a stream of its own (seed, key), so that one more parameter changes no draw of the others
(McKay, Beckman and Conover 1979, "A comparison of three methods for selecting values of input variables").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kvandal.errors import ScenarioError
from kvandal.randomness import stream
from kvandal.scenario.loading import validate
from kvandal.scenario.messages import key_text, shown
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import Parameter, parameters
from kvandal.scenario.plausibility import idle_keys
from kvandal.scenario.site import RackModelName

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

REGISTRY_RACK: RackModelName = "gb300_nvl72"
"""The ranges of the registry's rack parameters speak of this rack, not of the others."""

_CONTRACT = "a contract that somebody chooses: ask with --set"
_HOUSE_RULE = "a house rule that somebody chooses: ask with --set"
_SIZE = "a size that somebody chooses: ask with --set"
_PLACE = "a fact of the place"
DECISIONS = {
    "site.grid_mw": "announced and contracted: ask with --set",
    "site.latitude_deg": _PLACE,
    "site.elevation_m": _PLACE,
    "market.ppa_mw": _CONTRACT,
    "supply.conditional_hours_per_year": _CONTRACT,
    "supply.conditional_event_h": _CONTRACT,
    "supply.conditional_notice_min": _CONTRACT,
    "supply.generator_test_h_per_month": _HOUSE_RULE,
    "supply.generator_test_load_fraction": _HOUSE_RULE,
    "policy.rest_after_recall_s": _HOUSE_RULE,
    "power.site_cap_margin_fraction": _HOUSE_RULE,
    "power.bess_power_mw": _SIZE,
    "power.bess_energy_mwh": _SIZE,
    "power.bess_soc_minimum": _HOUSE_RULE,
    "power.bess_soc_maximum": _HOUSE_RULE,
    "power.block_margin_fraction": _SIZE,
    "power.ups_autonomy_min": _SIZE,
    "reliability.lemon_failures": _HOUSE_RULE,
    "reliability.lemon_window_days": _HOUSE_RULE,
    "reliability.repair_crews": _SIZE,
    "cooling.cdu_capacity_mw": _SIZE,
    "cooling.dew_point_margin_k": _HOUSE_RULE,
}
"""Keys that stay as they are although they have a range: what somebody chooses is no uncertainty.

Set-points and design temperatures are not among them: nobody has published those of this site.
"""
OFF: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("power.eta_ups_double", "power.ups_mode", ("eco", "none")),
    ("power.eta_ups_eco", "power.ups_mode", ("double", "none")),
    ("power.hv_*_fraction", "power.loss_model", ("constant",)),
    ("power.eta_[hm]v_transformer", "power.loss_model", ("curves",)),
    ("power.eta_ups_*", "power.loss_model", ("curves",)),
    ("power.bess_*", "power.bess_power_mw", (0,)),
    ("cooling.seawater_*", "cooling.heat_rejection", ("dry_cooler",)),
    ("cooling.drycooler_*", "cooling.heat_rejection", ("seawater",)),
    ("cooling.adiabatic_*", "cooling.heat_rejection", ("seawater",)),
    ("market.tax_reduced_ore_per_kwh", "market.tax_regime", ("full",)),
    ("market.tax_full_ore_per_kwh", "market.tax_regime", ("reduced",)),
    ("market.goo_eur_per_mwh", "market.goo_fraction", (0,)),
    ("market.ppa_eur_per_mwh", "market.ppa_mw", (0,)),
    ("heat.*", "heat.customers", ({},)),
    ("reliability.gpu_h_per_interruption", "reliability.failures", (False,)),
    ("reliability.*_per_year", "reliability.plant_faults", (False,)),
    *(
        (f"reliability.{key}", "reliability.failures", (False,))
        for key in (
            "tray_repair_h",
            "rack_repair_h",
            "sigma_log_repair_duration",
            "*_fault_share",
            "follow_*",
            "lemon_*",
        )
    ),
    ("reliability.tray_replacement_days", "reliability.failures", (False,)),
    ("reliability.tray_replacement_days", "reliability.lemon_failures", (0,)),
    ("reliability.lemon_factor", "reliability.lemon_share", (0,)),
    ("reliability.follow_h", "reliability.follow_share", (0,)),
    ("reliability.rack_repair_h", "reliability.rack_fault_share", (0,)),
    ("reliability.spare_restart_s", "policy.spare_trays_per_rack", (0,)),
)
"""Parameters (a pattern of keys) that nothing reads when another key has one of these values."""
TRANSIENT = ("grid.", "swing.")
"""Parts of a scenario that a run does not read, only the study of seconds within it."""
ORDERED = (
    ("cooling.tcs_supply_c", "cooling.tcs_supply_maximum_c"),
    ("cooling.hall_air_c", "cooling.hall_air_maximum_c"),
    ("power.bess_soc_minimum", "power.bess_soc_maximum"),
    *(
        (f"rack_models.{name}.rack_tdp_kw", f"rack_models.{name}.rack_peak_kw")
        for name in get_args(RackModelName)
    ),
    *(
        ("policy.perf_offset_fraction", f"rack_models.{name}.cap_minimum_fraction")
        for name in get_args(RackModelName)
    ),
)
"""Pairs of keys of which the first must not exceed the second."""
NO_EFFECT = "has no effect"
"""How a scenario's warnings speak of a key that nothing reads where it stands."""


@dataclass(frozen=True, slots=True)
class Varied:
    """A parameter that is drawn, and its range: the registry's, within what the scenario allows."""

    key: str
    steps: tuple[str | int, ...]
    base: float
    minimum: float
    maximum: float
    whole: bool
    parameter: Parameter


@dataclass(frozen=True, slots=True)
class Fixed:
    """A parameter with a range that is not drawn, and why."""

    key: str
    value: float
    reason: str
    idle: bool = False
    """Whether nothing reads this key where it stands."""


def choose(
    scenario: Scenario, wanted: Sequence[str] = (), *, humidity_known: bool = False
) -> tuple[list[Varied], list[Fixed]]:
    """Choose the parameters to draw.

    All that are tied to a range and left at their default, but neither decisions nor parts of a model that is off.

    Parameters
    ----------
    scenario
        What is asked.
    wanted
        Keys to restrict the choice to; ``*`` stands for anything. A key without a star is drawn even if it is a
        decision or was set by the scenario.
    humidity_known
        Whether the weather tells the humidity.

    Raises
    ------
    ScenarioError
        If something wanted matches nothing that can be drawn.

    """
    varied: list[Varied] = []
    fixed: list[Fixed] = []
    every = list(_tied(scenario, ()))
    for one, field in every:
        named = one.key in wanted
        low, high = _allowed(field, one.minimum, one.maximum)
        reason = None
        if not low < high:
            reason = "its range is one value"
        elif (off := _off(scenario, one.key, humidity_known=humidity_known)) is not None:
            reason = off
        elif (idle := _idle(scenario, one)) is not None:
            reason = idle
        elif one.key in DECISIONS and not named:
            reason = DECISIONS[one.key]
        elif one.base != one.parameter.value and not named:
            reason = f"set by the scenario (default {one.parameter.value:g})"
        elif wanted and not any(fnmatchcase(one.key, pattern) for pattern in wanted):
            reason = "not among --vary"
        if reason is None:
            varied.append(Varied(one.key, one.steps, one.base, low, high, one.whole, one.parameter))
        else:
            fixed.append(Fixed(one.key, one.base, reason, idle=reason.startswith(NO_EFFECT)))
    for pattern in wanted:
        if not any(fnmatchcase(one.key, pattern) for one in varied):
            raise _unmatched(pattern, [one.key for one, _ in every], fixed)
    if not varied:
        raise ScenarioError(
            "nothing is left to vary: every parameter is set by the scenario", key="--samples"
        )
    return varied, fixed


def latin_hypercube(seed: int, keys: Sequence[str], samples: int) -> dict[str, Floats]:
    """Draw positions in 0..1 by key: each key has one draw in each of `samples` equal strata, in random order.

    >>> sorted((latin_hypercube(1, ["a"], 4)["a"] * 4).astype(int).tolist())
    [0, 1, 2, 3]
    """
    drawn = {}
    for key in keys:
        chance = stream(seed, key, "latin hypercube")
        order = chance.permutation(samples)
        drawn[key] = (order + chance.random(samples)) / samples
    return drawn


def draws(scenario: Scenario, varied: Sequence[Varied], samples: int, seed: int) -> dict[str, list[float]]:
    """Draw `samples` values of every parameter, uniform over its range.

    Where one quantity must not exceed another (a rack's TDP and its peak), the range of the larger one starts at the
    value of the smaller; if only the smaller is drawn, its range ends at the larger.
    """
    positions = latin_hypercube(seed, [one.key for one in varied], samples)
    known = {one.key: one for one in varied}
    values: dict[str, Floats] = {}

    def value(one: Varied) -> Floats:
        if one.key in values:
            return values[one.key]
        low = np.full(samples, one.minimum)
        high = np.full(samples, one.maximum)
        for smaller, larger in ORDERED:
            if at(scenario, smaller) is None or at(scenario, larger) is None:
                continue
            if one.key == larger:
                low = np.maximum(low, value(known[smaller]) if smaller in known else at(scenario, smaller))
            elif one.key == smaller and larger not in known:
                high = np.minimum(high, at(scenario, larger))
        if (low > high).any():  # no order is possible: such members are refused, and counted
            low, high = np.full(samples, one.minimum), np.full(samples, one.maximum)
        values[one.key] = _spread(positions[one.key], low, high, whole=one.whole)
        return values[one.key]

    return {one.key: [float(number) for number in value(one)] for one in varied}


def member(
    scenario: Scenario, varied: Sequence[Varied], drawn: dict[str, list[float]], index: int
) -> Scenario:
    """Build the scenario of one member.

    Raises
    ------
    ScenarioError
        If its values do not hold together.

    """
    return with_values(scenario, {one.steps: _typed(one, drawn[one.key][index]) for one in varied})


def _spread(position: Floats, low: Floats, high: Floats, *, whole: bool) -> Floats:
    if whole:
        return np.minimum(high, np.floor(low + position * (high - low + 1)))
    return np.asarray(np.minimum(high, low + position * (high - low)))


def _typed(one: Varied, value: float) -> float | int:
    return int(value) if one.whole else value


def at(scenario: Scenario, key: str) -> Any:
    """Return what stands at a key; None where this scenario has no such key."""
    part: Any = scenario
    for step in key.split("."):
        part = part.get(step) if isinstance(part, dict) else getattr(part, step, None)
    return part


def with_values(scenario: Scenario, changes: Mapping[tuple[str | int, ...], float]) -> Scenario:
    """Build a scenario with other numbers at some of its keys, given by their steps.

    Raises
    ------
    ScenarioError
        If they do not hold together.

    """
    document = scenario.model_dump()
    table: Any
    for steps, value in changes.items():
        table = document
        for step in steps[:-1]:
            table = table[step]
        table[steps[-1]] = value
    return validate(document)


def _tied(part: BaseModel, above: tuple[str | int, ...]) -> Iterator[tuple[Varied, FieldInfo]]:
    """Every field below `part` that is tied to a parameter of the registry."""
    foreign = above[:1] == ("rack_models",) and above[1:] != (REGISTRY_RACK,)
    for name, field in type(part).model_fields.items():
        steps, content = (*above, name), getattr(part, name)
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "parameter" in extra:
            if not foreign and content is not None:
                entry = parameters()[str(extra["parameter"])]
                whole = field.annotation is int  # a registry default may be 15 where 15.5 is allowed too
                base = float(content)
                yield Varied(key_text(steps), steps, base, entry.minimum, entry.maximum, whole, entry), field
        elif isinstance(content, BaseModel):
            yield from _tied(content, steps)
        elif isinstance(content, dict):
            for entry_name, below in content.items():
                if isinstance(below, BaseModel):
                    yield from _tied(below, (*steps, str(entry_name)))
        elif isinstance(content, tuple):
            for index, below in enumerate(content):
                if isinstance(below, BaseModel):
                    yield from _tied(below, (*steps, index))


def _allowed(field: FieldInfo, low: float, high: float) -> tuple[float, float]:
    """Cut a range to the hard limits of the scenario's field."""
    for limit in field.metadata:
        for name in ("ge", "gt"):
            if (bound := getattr(limit, name, None)) is not None:
                low = max(low, float(bound) if name == "ge" else math.nextafter(bound, math.inf))
        for name in ("le", "lt"):
            if (bound := getattr(limit, name, None)) is not None:
                high = min(high, float(bound) if name == "le" else math.nextafter(bound, -math.inf))
    return float(low), float(high)


def _idle(scenario: Scenario, one: Varied) -> str | None:
    """Ask the scenario's own warnings whether another value at this key would have an effect."""
    other = one.maximum if one.base != one.maximum else one.minimum
    try:
        changed = with_values(scenario, {one.steps: _typed(one, other)})
    except ScenarioError:
        return None
    for line in idle_keys(changed):
        key, told, reason = line.partition(f" {NO_EFFECT}")
        if told and (one.key == key or one.key.startswith(f"{key}.")):
            return f"{NO_EFFECT}{reason}"
    return None


def _off(scenario: Scenario, key: str, *, humidity_known: bool) -> str | None:
    """Say why nothing reads this parameter in this scenario; None if something does."""
    if key.startswith(TRANSIENT):
        return "only kvandal transient reads it"
    for pattern, switch, values in OFF:
        if switch != key and fnmatchcase(key, pattern) and (state := at(scenario, switch)) in values:
            return "there is no heat customer" if state == {} else f"{switch} is {shown(state)}"
    kinds = {demand.kind for demand in scenario.demand.values()}
    if key == "policy.inference_perf_exponent" and "inference" not in kinds:
        return "there is no inference"
    if key == "policy.training_perf_exponent" and not kinds - {"inference"}:
        return "there is no training"
    if key == "climate.relative_humidity_pct" and humidity_known:
        return "the weather tells the humidity"
    racks = {block.model for block in scenario.site.fleet.values()}
    if key.startswith("rack_models.") and REGISTRY_RACK not in racks:
        return "no block of site.fleet has this model"
    return None


def _unmatched(pattern: str, keys: list[str], fixed: list[Fixed]) -> ScenarioError:
    """Say why a wish of ``--vary`` selects nothing."""
    for one in fixed:
        if fnmatchcase(one.key, pattern):
            return ScenarioError(f"{one.key} cannot vary here: {one.reason}", key=f"--vary {pattern}")
    import difflib

    near = difflib.get_close_matches(pattern, keys, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ScenarioError(
        f"no parameter with a range has this key{hint}; give a key of the scenario such as "
        "cooling.cdu_pump_w_per_kw, or a pattern such as cooling.*",
        key=f"--vary {pattern}",
    )
