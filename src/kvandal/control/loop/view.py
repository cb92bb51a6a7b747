"""The site now, as plain values for pages, the API and metrics."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from kvandal.control.loop.effects import caps_of
from kvandal.scenario.tenants import TIERS
from kvandal.scenario.tree import groups_of
from kvandal.twin.account import TICK_ASSURED, TICK_FIRM, TICK_LENT, TICK_QUEUED_GPUS
from kvandal.twin.plant_state import (
    CONSTRAINTS,
    FWS_RETURN_C,
    FWS_SUPPLY_C,
    HEAT_DEMAND_KW,
    HEAT_EXPORT_KW,
    IT_KW,
    SITE_KW,
    TCS_RETURN_C,
    TCS_SUPPLY_C,
)
from kvandal.twin.records import RUNNING

if TYPE_CHECKING:
    from kvandal.control.loop.site import Document, LiveSite

REASONS = {
    "grid_connection": "the grid connection",
    "curtailment": "a limit that was set",
    "hv_transformer": "the transformers",
    "start_ramp": "the ramp after a trip",
}
"""What the envelope of the site may be due to, in words."""


def _number(value: float, digits: int = 3) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def price_at(site: LiveSite, time_s: int) -> float | None:
    """Price of electricity at an instant, by the scenario's series [EUR/MWh]."""
    prices = site.start.prices
    index = time_s // prices.step_s
    return _number(prices.eur_per_mwh[index], 2) if index < len(prices.eur_per_mwh) else None


def view_of(site: LiveSite) -> Document:
    """Site, plant, tenants as they are; who runs the loop adds what it knows of engine and set-points."""
    state, tick = site.state, site.plant.tick
    tally = state.tally[0]
    used = [int(state.tiers["gpus"][index]) for index in range(4)]
    installed, broken = int(tally["installed_gpus"]), int(tally["broken_gpus"])
    it_kw, site_kw = float(tick[IT_KW]), float(tick[SITE_KW])
    recalled = int(tally["draining"])
    limit_kw = float(min(tally["meter_limit_kw"], tally["ramp_limit_kw"]))
    constraint = (
        "start_ramp"
        if tally["ramp_limit_kw"] < tally["meter_limit_kw"]
        else CONSTRAINTS[tally["meter_constraint"]]
    )
    return {
        "site_power_mw": _number(site_kw / 1000),
        "it_power_mw": _number(it_kw / 1000),
        "envelope_mw": _number(limit_kw / 1000),
        "envelope_reason": REASONS.get(constraint, constraint),
        "pue": _number(site_kw / it_kw, 4) if it_kw > 0 else None,
        "gpus": {
            "installed": installed,
            "broken": broken,
            "free": max(0, installed - broken - sum(used)),
            "firm": used[0] + used[3],
            "assured": used[1],
            "lent": used[2],
        },
        "jobs": {
            "running": int(tally["running_jobs"]),
            "queued": int(tally["queued_jobs"]),
            "queued_gpus": int(tally["queued_gpus"]),
            "recalled": recalled,
        },
        "caps": {tier: _number(cap, 4) for tier, cap in caps_of(state).items()},
        "water": {
            "tcs_supply_c": _number(tick[TCS_SUPPLY_C], 2),
            "tcs_return_c": _number(tick[TCS_RETURN_C], 2),
            "facility_supply_c": _number(tick[FWS_SUPPLY_C], 2),
            "facility_return_c": _number(tick[FWS_RETURN_C], 2),
        },
        "ambient_c": _number(
            np.interp(
                site.now_s / 3600, np.arange(len(site.start.inputs.ambient_c)), site.start.inputs.ambient_c
            ),
            2,
        ),
        "heat": {
            "wanted_mw": _number(tick[HEAT_DEMAND_KW] / 1000),
            "delivered_mw": _number(tick[HEAT_EXPORT_KW] / 1000),
            "customers": [
                {
                    "name": name,
                    "wanted_mw": _number(customer["wanted_kw"] / 1000),
                    "delivered_mw": _number(customer["taken_kw"] / 1000),
                }
                for name, customer in zip(site.scenario.heat.customers, site.plant.customers, strict=True)
            ],
        },
        "price_eur_per_mwh": price_at(site, site.now_s),
        "price_source": site.start.prices.name,
        "carbon_g_per_kwh": _number(site.scenario.carbon.location_direct_g_per_kwh, 2),
        "carbon_basis": "location-based, direct",
        "weather_source": site.start.weather.name,
        "tenants": _tenants(site),
    }


def _tenants(site: LiveSite) -> list[Document]:
    state, scenario = site.state, site.scenario
    groups = groups_of(scenario.tenants)
    jobs = state.jobs[: len(site.ids)]
    running = np.bincount(jobs["tenant"][jobs["state"] == RUNNING], minlength=len(scenario.tenants))
    queued: dict[int, list[int]] = {}
    for queue in state.queues:
        entry = queued.setdefault(int(queue["tenant"]), [0, 0])
        entry[0] += int(queue["jobs"])
        entry[1] += int(queue["gpus"])
    names = list(scenario.tenants)
    for index in sorted(
        range(len(names)), key=lambda row: -int(state.tenants["depth"][row])
    ):  # groups after their tenants
        above = scenario.tenants[names[index]].parent
        if above is not None:
            running[names.index(above)] += running[index]
            below, entry = queued.get(index, [0, 0]), queued.setdefault(names.index(above), [0, 0])
            entry[0], entry[1] = entry[0] + below[0], entry[1] + below[1]
    found = []
    for index, (name, tenant) in enumerate(scenario.tenants.items()):
        row = state.tenants[index]
        waiting = queued.get(index, [0, 0])
        found.append(
            {
                "name": name,
                "title": name.replace("-", " "),
                "group": tenant.parent,
                "is_group": name in groups,
                "tier": TIERS[int(row["tier"])],
                **{
                    key: int(row[key])
                    for key in ("guarantee", "deserved", "ceiling", "own", "on_loan", "lent_out")
                },
                "queued_jobs": waiting[0],
                "queued_gpus": waiting[1],
                "running_jobs": int(running[index]),
            }
        )
    return found


def ticks_of(site: LiveSite, count: int, epoch_utc: datetime) -> list[dict[str, Any]]:
    """Return rows of the recent past: the last `count` ticks that were closed."""
    tick_s = int(site.state.rules["tick_s"][0])
    last = int(site.state.tally["tick_start_s"][0]) // tick_s
    found = []
    for tick in range(max(0, last - count), last):
        real, counts = site.outputs.tick_real[tick], site.outputs.tick_count[tick]
        time_s = tick * tick_s
        found.append(
            {
                "time_s": time_s,
                "at_utc": epoch_utc + timedelta(seconds=time_s),
                "site_power_mw": round(float(real[SITE_KW]) / 1000, 6),
                "it_power_mw": round(float(real[IT_KW]) / 1000, 6),
                "envelope_mw": round(float(real[-1]) / 1000, 4),
                "heat_export_mw": round(float(real[HEAT_EXPORT_KW]) / 1000, 4),
                "facility_supply_c": round(float(real[FWS_SUPPLY_C]), 3),
                "price_eur_per_mwh": price_at(site, time_s),
                "carbon_g_per_kwh": round(site.scenario.carbon.location_direct_g_per_kwh, 2),
                "gpus_firm": int(counts[TICK_FIRM]) // tick_s,
                "gpus_assured": int(counts[TICK_ASSURED]) // tick_s,
                "gpus_lent": int(counts[TICK_LENT]) // tick_s,
                "queued_gpus": int(counts[TICK_QUEUED_GPUS]),
            }
        )
    return found
