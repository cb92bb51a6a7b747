"""What is lost when one unit fails: the spare capacity of a site's plant, by arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import value


def redundancy(scenario: Scenario) -> list[dict[str, Any]]:
    """List the units of the plant that come in numbers, on the finished site at TDP.

    Returns
    -------
    For each: what it is and what it serves, units there and needed, rating of one [MW], the load that the fullest place
    asks for [MW], and what that place loses with one and with two units out [MW].

    """
    from kvandal.twin.site import banks_of_a_hall, build_site, cdus_in_a_pod, connection_kw

    site = build_site(scenario)
    cooling, power = scenario.cooling, scenario.power
    rack_kw, liquid_kw = site.tdp_kw[site.model], (site.tdp_kw * site.liquid_fraction)[site.model]
    group_mw = np.bincount(site.group, rack_kw + site.net_kw).max() / 1000
    pod_mw = np.bincount(site.pod, liquid_kw).max() / 1000
    hall_mw = np.bincount(site.hall, liquid_kw).max() / 1000
    it_mw = float((rack_kw + site.net_kw).sum()) / 1000
    site_mw = it_mw * value("cooling.pue_design_day")
    transformer_mw = connection_kw(scenario, site) / 1000 / (power.hv_transformers - 1)
    block_mw = group_mw * (1 + power.block_margin_fraction) / power.blocks_needed
    rows = [
        ("HV transformer", "site", power.hv_transformers, power.hv_transformers - 1, transformer_mw, site_mw),
        ("power block", "group of rows", power.blocks_per_group, power.blocks_needed, block_mw, group_mw),
        ("CDU", "pod", cdus_in_a_pod(scenario), cooling.cdus_per_pod, cooling.cdu_capacity_mw, pod_mw),
    ]
    if cooling.heat_rejection == "dry_cooler":
        needed = cooling.banks_per_hall
        rows.append(
            (
                "dry-cooler bank, design day",
                "hall",
                banks_of_a_hall(scenario),
                needed,
                hall_mw / needed,
                hall_mw,
            )
        )
    return [
        {
            "unit": unit,
            "serves": serves,
            "units": units,
            "needed": needed,
            "rating_mw": float(rating_mw),
            "load_mw": float(load_mw),
            "lost_with_one_out_mw": _lost_mw(load_mw, (units - 1) * rating_mw),
            "lost_with_two_out_mw": _lost_mw(load_mw, (units - 2) * rating_mw),
        }
        for unit, serves, units, needed, rating_mw, load_mw in rows
    ]


def _lost_mw(load_mw: float, left_mw: float) -> float:
    lost_mw = max(0.0, float(load_mw) - max(0.0, float(left_mw)))
    return lost_mw if lost_mw > 1e-9 * load_mw else 0.0


def ride_through(scenario: Scenario) -> list[dict[str, Any]]:
    """List what carries which load through a loss of the grid, and for how long [s]."""
    power = scenario.power
    autonomy_s = power.ups_autonomy_min * 60
    shelves_s = 72 * value("power.psu_storage_j_per_gpu") / 1000 / value("rack.rack_tdp_kw")
    battery_s = 0.0
    if power.bess_power_mw > 0:
        usable_mwh = power.bess_energy_mwh * (power.bess_soc_maximum - power.bess_soc_minimum)
        battery_s = usable_mwh * math.sqrt(power.bess_round_trip_efficiency) / power.bess_power_mw * 3600
    racks = (
        ("racks and network", "power shelves of the racks", shelves_s)
        if power.ups_mode == "none"
        else ("racks and network", f"UPS of the power blocks ({power.ups_mode})", autonomy_s)
    )
    return [
        {"load": load, "carried_by": carrier, "seconds": seconds}
        for load, carrier, seconds in (
            racks,
            (f"{power.bess_power_mw:g} MW of the site", "site battery, full", battery_s),
            ("dry coolers and facility-water pumps", "nothing: they stop and start again", 0.0),
        )
    ]
