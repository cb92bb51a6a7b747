"""Faults of a run: those that the scenario gives, and those drawn at published rates, as one table in order of time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import numpy as np

from kvandal.errors import ScenarioError
from kvandal.randomness import stream
from kvandal.scenario.faults import PLACES, Fault, FaultKind
from kvandal.scenario.model import Scenario
from kvandal.twin.records import FAULT
from kvandal.twin.site import SiteArrays, banks_of_a_hall, cdus_in_a_pod

Array = Any

FAULT_KINDS: tuple[str, ...] = get_args(FaultKind)
HOT_WEEK_INDEX = FAULT_KINDS.index("hot_week")
HOT_WEEK_H = 168.0

DIP_VOLTAGES_PU = (0.85, 0.7, 0.4, 0.0)
"""Residual voltage of drawn dips: nearer faults are rarer."""
DIP_SHARES = (0.5, 0.3, 0.15, 0.05)
DIP_SECONDS = (0.1, 0.15, 0.4, 1.0)
"""Length of drawn dips: clearing times of the protection of a 132 kV net (judgement)."""


def _repair_h(scenario: Scenario, kind: str) -> float:
    reliability = scenario.reliability
    return {
        "cdu_pump": reliability.cdu_repair_h,
        "cdu": reliability.cdu_repair_h,
        "dry_cooler_bank": reliability.bank_repair_h,
        "transformer": reliability.transformer_repair_h,
        "ups_block": reliability.ups_block_repair_h,
        "leak": reliability.leak_repair_h,
        "hot_week": HOT_WEEK_H,
    }.get(kind, 0.0)


def _units(scenario: Scenario, site: SiteArrays) -> dict[str, tuple[int, int, float]]:
    """Places, units at each place and failures per unit and year of what can break."""
    cooling, power, rates = scenario.cooling, scenario.power, scenario.reliability
    sea = cooling.heat_rejection == "seawater"
    return {
        "cdu_pump": (site.pods, 2 * cdus_in_a_pod(scenario), rates.cdu_pump_per_year),
        "cdu": (site.pods, cdus_in_a_pod(scenario), rates.cdu_per_year),
        "dry_cooler_bank": (site.halls, 0 if sea else banks_of_a_hall(scenario), rates.bank_per_year),
        "transformer": (1, power.hv_transformers, rates.transformer_per_year),
        "ups_block": (site.groups, power.blocks_per_group, rates.ups_block_per_year),
        "grid_dip": (1, 1, rates.grid_dip_per_year),
        "leak": (site.racks, 1, rates.rack_leak_per_year),
    }


def _row(
    kind: str, start_s: int, length_s: float, place: int, count: int, amount: float, seconds: float
) -> Array:
    row = np.zeros(1, FAULT)
    row["kind"] = FAULT_KINDS.index(kind)
    row["start_s"] = start_s
    row["end_s"] = start_s + max(1, round(length_s))
    row["place"], row["count"], row["amount"], row["seconds"] = place, count, amount, seconds
    row["throttle_s"] = row["trip_s"] = -1.0
    return row


def _given(scenario: Scenario, site: SiteArrays, number: int, fault: Fault) -> Array:
    """Row of a fault that the scenario gives; refuses a time or a place that the run does not have."""
    run = scenario.run
    key = f"faults[{number}]"
    if fault.at_utc is not None:
        start_s = round((fault.at_utc - run.start_utc).total_seconds())
    else:
        start_s = round((fault.after_h or 0.0) * 3600)
    if not 0 <= start_s < run.days * 86_400:
        end_utc = run.start_utc + timedelta(days=run.days)
        raise ScenarioError(
            f"{fault.kind} begins outside the run, which lasts from {run.start_utc:%Y-%m-%dT%H:%MZ} to "
            f"{end_utc:%Y-%m-%dT%H:%MZ}",
            key=f"{key}.{'at_utc' if fault.at_utc is not None else 'after_h'}",
        )
    kind = fault.kind
    units = _units(scenario, site)
    places = units[kind][0] if kind in PLACES else 1
    if fault.place >= places:
        raise ScenarioError(
            f"there is no {PLACES[kind]} {fault.place}; allowed are 0 to {places - 1}", key=f"{key}.place"
        )
    if kind == "curtailment" and (fault.duration_h or 0.0) * 3600 < run.tick_s:
        raise ScenarioError(
            f"an order of {(fault.duration_h or 0.0) * 3600:g} s is shorter than a tick of {run.tick_s} s; give at least "
            f"{run.tick_s / 3600:.4g} h, or a shorter run.tick_s",
            key=f"{key}.duration_h",
        )
    if kind in units and fault.count > units[kind][1]:
        raise ScenarioError(
            f"{fault.count} units cannot fail: {PLACES.get(kind, 'the site')} has {units[kind][1]} of them",
            key=f"{key}.count",
        )
    if kind == "curtailment" and (fault.limit_mw or 0.0) >= scenario.site.grid_mw:
        raise ScenarioError(
            f"{fault.limit_mw:g} MW is no curtailment of a connection of {scenario.site.grid_mw:g} MW; give less",
            key=f"{key}.limit_mw",
        )
    length_s = fault.duration_s or 3600 * (fault.duration_h or _repair_h(scenario, kind))
    amount = fault.residual_voltage_pu or fault.warmer_k or 1000 * (fault.limit_mw or 0.0)
    return _row(kind, start_s, length_s, fault.place, fault.count, amount, fault.duration_s or 0.0)


def _drawn(scenario: Scenario, site: SiteArrays) -> list[Array]:
    """Draw every kind as a Poisson process, day by day, so that a shorter run sees the same faults."""
    rows = []
    for kind, (places, units, per_year) in _units(scenario, site).items():
        for day in range(scenario.run.days):
            random = stream(scenario.run.seed, "plant-faults", kind, day)
            for _ in range(int(random.poisson(places * units * per_year / 365))):
                start_s = day * 86_400 + int(random.integers(0, 86_400))
                place = int(random.integers(0, places))
                amount = seconds = 0.0
                length_s = 3600 * _repair_h(scenario, kind)
                if kind == "grid_dip":
                    amount = float(random.choice(DIP_VOLTAGES_PU, p=DIP_SHARES))
                    seconds = length_s = float(random.choice(DIP_SECONDS))
                row = _row(kind, start_s, length_s, place, 1, amount, seconds)
                row["drawn"] = True
                rows.append(row)
    return rows


def _called_off(scenario: Scenario) -> list[Array]:
    """Draw when the grid company calls the conditional part of the connection off: at most the contract's hours a year.

    Each day sees a call with the same probability, so that a shorter run sees the same calls; a year's calls together never
    exceed the contract. The limit binds when the notice is over.
    """
    supply, site, run = scenario.supply, scenario.site, scenario.run
    per_year = int(supply.conditional_hours_per_year / supply.conditional_event_h + 1e-9)
    rows: list[Array] = []
    if supply.conditional_mw <= 0 or per_year == 0:
        return rows
    called: dict[int, int] = {}
    for day in range(run.days):
        random = stream(run.seed, "plant-faults", "conditional", day)
        year = day // 365
        if random.random() >= per_year / 365 or called.get(year, 0) >= per_year:
            continue
        start_s = day * 86_400 + int(random.integers(0, 86_400)) + round(supply.conditional_notice_min * 60)
        if start_s >= run.days * 86_400:
            continue
        called[year] = called.get(year, 0) + 1
        limit_kw = 1000 * (site.grid_mw - supply.conditional_mw)
        row = _row("curtailment", start_s, 3600 * supply.conditional_event_h, 0, 1, limit_kw, 0.0)
        row["drawn"] = True
        rows.append(row)
    return rows


def list_faults(scenario: Scenario, site: SiteArrays) -> Array:
    """Return the FAULT table of a run in order of time: given faults, and drawn ones if `reliability.plant_faults`.

    Raises
    ------
    ScenarioError
        If a fault names a time, a place or a number of units that the site does not have.

    """
    rows = [_given(scenario, site, number, fault) for number, fault in enumerate(scenario.faults)]
    rows += _called_off(scenario)
    if scenario.reliability.plant_faults:
        rows += _drawn(scenario, site)
    table = np.concatenate([np.zeros(0, FAULT), *rows])
    return table[np.argsort(table["start_s"], kind="stable")]
