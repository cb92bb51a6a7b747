"""A site before anything runs: its racks, its tenants, and whether its GPUs fit its grid connection."""

from __future__ import annotations

from typing import Any

from kvandal.runs.redundancy import redundancy, ride_through
from kvandal.scenario.model import Scenario

UPPER_OPERATING_KW = 140.0
"""GB300 rack in sustained operation near its limit [kW] (judgement, between TDP and peak)."""
PUES = (1.06, 1.08, 1.10, 1.15)
"""Design-day PUEs that the cases are worked out for."""


def site_document(scenario: Scenario) -> dict[str, Any]:
    """Site, tenants and power budget as plain values."""
    from kvandal.physics.capacity import power_budget
    from kvandal.scenario.parameters import value
    from kvandal.twin.site import build_site

    standing = build_site(scenario)
    site, net_kw = scenario.site, scenario.network.net_storage_kw_per_gpu
    pue = value("cooling.pue_design_day")
    blocks: list[dict[str, Any]] = []
    it_mw = 0.0
    for name, block in site.fleet.items():
        model = scenario.rack_models[block.model]
        budget = power_budget(block.gpus, model.rack_tdp_kw, net_kw, pue, site.grid_mw)
        it_mw += budget.it_power_mw
        blocks.append(
            {
                "block": name,
                "model": block.model,
                "gpus": block.gpus,
                "racks": -(-block.gpus // model.gpus_per_rack),
                "trays_per_rack": model.trays_per_rack,
                "rack_tdp_kw": model.rack_tdp_kw,
                "it_power_mw": budget.it_power_mw,
            }
        )
    return {
        "scenario": scenario.name,
        "title": site.title,
        "latitude_deg": site.latitude_deg,
        "elevation_m": site.elevation_m,
        "time_zone": site.time_zone,
        "offtaker": site.offtaker,
        "owners": dict(site.owners),
        "gpus": site.gpus_asked,
        "racks": standing.racks,
        "trays": sum(block["racks"] * block["trays_per_rack"] for block in blocks),
        "rows": standing.rows,
        "halls": standing.halls,
        "cdus": standing.cdus,
        "build_out": [delivery.model_dump() for delivery in site.build_out],
        "grid_mw": site.grid_mw,
        "blocks": blocks,
        "net_storage_kw_per_gpu": net_kw,
        "it_power_mw": it_mw,
        "design_day_pue": pue,
        "site_power_mw": it_mw * pue,
        "headroom_mw": site.grid_mw - it_mw * pue,
        "maximum_pue": site.grid_mw / it_mw,
        "maximum_gpus": int(site.gpus_asked * site.grid_mw / (it_mw * pue)),
        "fits": it_mw * pue <= site.grid_mw,
        "cases": capacity_cases(scenario),
        "pods": standing.pods,
        "power_groups": standing.groups,
        "redundancy": redundancy(scenario),
        "ride_through": ride_through(scenario),
        "tenants": [{"tenant": name, **tenant.model_dump()} for name, tenant in scenario.tenants.items()],
        "heat_customers": [
            {"customer": name, **customer.model_dump()} for name, customer in scenario.heat.customers.items()
        ],
    }


def capacity_cases(scenario: Scenario) -> list[dict[str, Any]]:
    """Power budget of the same GPUs under other racks, network powers and PUEs."""
    from kvandal.physics.capacity import power_budget
    from kvandal.scenario.parameters import parameters

    rack, network = parameters()["rack.rack_tdp_kw"], parameters()["net.net_storage_kw_per_gpu"]
    peak_kw = parameters()["rack.rack_peak_kw"].value
    named = [
        ("GB200-like", rack.minimum, network.value),
        ("default GB300", rack.value, network.value),
        ("upper operating", UPPER_OPERATING_KW, network.value),
        ("peak nameplate", peak_kw, network.value),
        ("pessimistic", peak_kw, network.maximum),
    ]
    cases = []
    for name, rack_kw, net_kw in named:
        budgets = [
            power_budget(scenario.site.gpus_asked, rack_kw, net_kw, pue, scenario.site.grid_mw)
            for pue in PUES
        ]
        cases.append(
            {
                "case": name,
                "rack_kw": rack_kw,
                "net_kw_per_gpu": net_kw,
                "it_power_mw": budgets[0].it_power_mw,
                "site_power_mw_by_pue": {
                    f"{pue:.2f}": budget.site_power_mw for pue, budget in zip(PUES, budgets, strict=True)
                },
                "maximum_pue": budgets[0].maximum_pue,
            }
        )
    return cases
