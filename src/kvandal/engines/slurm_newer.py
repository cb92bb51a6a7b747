"""What only newer Slurm versions read: block topology (topology.yaml) and hierarchical resources (resources.yaml).

Written by the published syntax, slurm.schedmd.com/topology.yaml.html (from 25.05) and /resources.yaml.html and /hres.html
(HRES in beta from 25.05; layers with names and parents in the pages read for 26.11); not loaded into a Slurm here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvandal.engines.entitlements import Contract
from kvandal.engines.slurm import gpu_type, rack_name, rack_nodes
from kvandal.engines.yaml_text import yaml_text
from kvandal.scenario.parameters import value

TRAYS = 18
LARGEST_COUNT = 2**32 - 1
"""Largest count of a resource: Slurm holds it in 32 bits, and keeps the largest for itself."""
Layer = dict[str, Any]


def blocks_text(contract: Contract) -> str:
    """Write topology.yaml: a base block for each rack, and the blocks of 2, 4, 8 ... racks above it."""
    sizes = [TRAYS]
    while sizes[-1] * 2 <= contract.standing * TRAYS:
        sizes.append(sizes[-1] * 2)
    blocks = [
        {"block": rack_name(contract, rack), "nodes": rack_nodes(contract, [rack])}
        for rack in range(contract.standing)
    ]
    topology = [
        {"topology": "nvl72", "cluster_default": True, "block": {"block_sizes": sizes, "blocks": blocks}}
    ]
    head = (
        f"# topology.yaml of {contract.scenario.name}: an NVL72 rack of 18 trays is a base block.\n"
        "# NOT LOADED HERE: needs Slurm 25.05 or later; where this file lies, topology.conf is not read.\n"
        f"# Gangs larger than a rack: sbatch --segment={contract.scenario.policy.segment_trays}\n"
    )
    return head + yaml_text(topology)


def site_limit_w(contract: Contract) -> int:
    """Power that racks and network may draw on the design day [W]: the connection less its margin, over the PUE."""
    scenario = contract.scenario
    mw = scenario.site.grid_mw * (1 - scenario.power.site_cap_margin_fraction)
    return int(mw / value("cooling.pue_design_day") * 1e6)


def power_unit_w(contract: Contract) -> int:
    """Watts of one count: 1, or as many as it takes for the largest count to fit."""
    largest = max(site_limit_w(contract), sum(group_limits_w(contract).values()))
    unit = 1
    while largest // unit >= LARGEST_COUNT:
        unit *= 10
    return unit


def group_limits_w(contract: Contract) -> dict[int, int]:
    """Power that the blocks of each group of rows give to its racks and network [W]."""
    site, power = contract.site, contract.scenario.power
    standing = slice(0, contract.standing)
    load_kw = np.bincount(site.group[standing], (site.tdp_kw[site.model] + site.net_kw)[standing])
    whole = (1 + power.block_margin_fraction) * power.blocks_per_group / power.blocks_needed
    return {group: int(kw * whole * 1000) for group, kw in enumerate(load_kw.tolist()) if kw > 0}


def power_layers(contract: Contract) -> list[Layer]:
    """Limits as a tree of uniform depth: site, hall, group of rows, rack; parents before children.

    A rack's idle power and a group's network are `base`, so that a job asks for what it adds.
    """
    site, standing, unit = contract.site, contract.standing, power_unit_w(contract)
    groups = group_limits_w(contract)
    halls = sorted({int(site.group_hall[group]) for group in groups})
    layers: list[Layer] = [{"layer_name": "site", "count": site_limit_w(contract) // unit}]
    for hall in halls:
        within = sum(limit for group, limit in groups.items() if int(site.group_hall[group]) == hall)
        layers.append({"layer_name": f"hall{hall + 1:03d}", "parent_name": "site", "count": within // unit})
    members = np.bincount(site.group[:standing], minlength=site.groups)
    for group, limit in groups.items():
        net = -(-int(members[group] * site.net_kw * 1000) // unit)
        layers.append(
            {
                "layer_name": f"group{group + 1:04d}",
                "parent_name": f"hall{int(site.group_hall[group]) + 1:03d}",
                "count": limit // unit,
                **({"base": [{"name": "network", "value": net}]} if net else {}),
            }
        )
    for rack in range(standing):
        model = int(site.model[rack])
        idle = round(float(site.idle_kw[model]) * 1000 / unit)
        layers.append(
            {
                "layer_name": rack_name(contract, rack),
                "parent_name": f"group{int(site.group[rack]) + 1:04d}",
                "nodes": [rack_nodes(contract, [rack])],
                "count": round(float(site.tdp_kw[model]) * 1000 / unit),
                **({"base": [{"name": "idle", "value": idle}]} if idle else {}),
            }
        )
    return layers


def tray_demand(contract: Contract) -> dict[str, int]:
    """Power that a tray at full load adds to an idle rack, by the type of its GPUs, in counts: rounded down, so that all fit."""
    site, unit = contract.site, power_unit_w(contract)
    return {
        f"tray_{gpu_type(name)}": round(float(site.tdp_kw[index]) * 1000 / unit) // TRAYS
        - -(-round(float(site.idle_kw[index]) * 1000 / unit) // TRAYS)
        for index, name in enumerate(site.model_names)
        if name in contract.kinds
    }


def resources_text(contract: Contract) -> str:
    """Write resources.yaml: power as a hierarchical resource (rule S7 of Slurm's MODE_3)."""
    unit = power_unit_w(contract)
    resource = {
        "resource": "power",
        "mode": "MODE_3",
        "variables": [{"name": name, "value": count} for name, count in tray_demand(contract).items()],
        "layers": power_layers(contract),
    }
    head = (
        f"# resources.yaml of {contract.scenario.name}: power in a tree, one count is {unit} W.\n"
        "# NOT LOADED HERE: needs a Slurm with HRES MODE_3 (HRES: 25.05 or later, beta; syntax as published for 26.11).\n"
        f"# A job asks per node, e.g. sbatch --resources=power:{next(iter(tray_demand(contract)))}\n"
        "---\n"
    )
    return head + yaml_text([resource])
