"""The plant alone, and two weeks of the whole twin: what several parts of the page look at."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

import kvandal as kv
from kvandal.twin import plant_state as columns
from kvandal.twin.plant import accept_tick, plant_tick
from kvandal.twin.plant_state import build_plant, deliver_to_plant, switch_rack
from kvandal.twin.site import build_site
from kvandal.twin.state import model_table

SMALL = {
    "site.fleet.main.gpus": 7200,
    "site.grid_mw": 50.0,
    "power.bess_power_mw": 0.0,
    "power.bess_energy_mwh": 0.0,
}
"""A hundred racks, without the battery."""
SEA_C, TICK_S = 6.5, 60.0
WEEKS = {"January": datetime(2027, 1, 11, tzinfo=UTC), "July": datetime(2027, 7, 12, tzinfo=UTC)}


class Plant:
    """A plant with all racks delivered, every rack at one share of its TDP."""

    def __init__(self, **choices: Any) -> None:
        changes = {**SMALL, **{key.replace("__", "."): choice for key, choice in choices.items()}}
        self.scenario = kv.load("stargate-norway", changes)
        self.site = build_site(self.scenario)
        self.models = model_table(self.site)
        self.plant = build_plant(self.scenario, self.site)
        self.tdp_kw, self.idle_kw = float(self.site.tdp_kw[0]), float(self.site.idle_kw[0])
        self.liquid = float(self.site.liquid_fraction[0])
        for pod, group in zip(self.site.pod.tolist(), self.site.group.tolist(), strict=True):
            deliver_to_plant(self.plant, pod, group, 0, self.tdp_kw, self.liquid)
            switch_rack(self.plant, pod, group, self.idle_kw, self.liquid, 1)

    def settle(self, share: float, ambient_c: float, ticks: int = 60) -> dict[str, float]:
        """Power of the parts over IT power after an hour at one load and weather."""
        site, plant, rack_kw = self.site, self.plant, share * self.tdp_kw
        cooling = self.scenario.cooling
        weather = (ambient_c, ambient_c - 5.0, SEA_C, float(cooling.tcs_supply_c), float(cooling.hall_air_c))
        for _ in range(ticks):
            plant.pods["heat_kw"] = np.bincount(site.pod) * rack_kw * self.liquid
            plant.pods["hottest_share"] = max(0.0, rack_kw - self.idle_kw) / (self.tdp_kw - self.idle_kw)
            plant.halls["air_kw"] = np.bincount(site.hall) * (rack_kw * (1 - self.liquid) + site.net_kw)
            plant.groups["it_kw"] = np.bincount(site.group) * (rack_kw + site.net_kw)
            plant_tick(plant, self.models, float(plant.groups["it_kw"].sum()), weather, 1e12, np.nan, TICK_S)
            accept_tick(plant)
        out = plant.tick
        it_kw = float(out[columns.IT_KW])
        parts = {
            "electrical": columns.LOSSES_KW,
            "CDU pumps": columns.CDU_PUMP_KW,
            "facility pumps": columns.FWS_PUMP_KW,
            "dry coolers": columns.REJECTION_KW,
            "air side": columns.FAN_WALL_KW,
            "building": columns.MISC_KW,
            "PUE": columns.SITE_KW,
        }
        return {name: float(out[column]) / it_kw for name, column in parts.items()}


@cache
def week(name: str) -> kv.Run:
    """Seven days of the default scenario in January or July."""
    return kv.simulate(kv.load("stargate-norway", {"run.days": 7, "run.start_utc": WEEKS[name]}))
