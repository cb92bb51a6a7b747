"""One tick of the electrical chain: busways, power blocks, HV transformers, and the battery of the site."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.battery import battery_step
from kvandal.physics.electrical import (
    busway_loss_kw,
    curve_loss_fraction,
    group_capacity_kw,
    shelf_loss_kw,
    transformer_loss_kw,
)
from kvandal.twin.plant_state import (
    BATTERY_KW,
    BATTERY_KWH,
    BATTERY_LOSS_KW,
    BLOCK_LOSS_KW,
    BUSWAY_LOSS_KW,
    DEMAND_KW,
    HV_LOSS_KW,
    LOSSES_KW,
    SHELF_LOSS_KW,
    SITE_KW,
)

SHELVES = 2.0
"""Power shelves of a rack over what carries it: 8 x 33 kW for 132 kW."""


@kernel
def block_rating_kw(design, group):
    """Rating of one block: with the redundant ones out, the others carry the group and a margin."""
    return group.design_kw * (1.0 + design.block_margin) / design.blocks_needed


@kernel
def working_blocks(design, group):
    """Power blocks of a group that work."""
    return max(0, design.blocks - group.blocks_out)


@kernel
def group_limit_kw(design, group):
    """Largest power that the working blocks of a group give to its racks and network [kW]."""
    return group_capacity_kw(working_blocks(design, group), block_rating_kw(design, group))


@kernel
def hv_limit_kw(design):
    """Largest power through the working HV transformers [kW]."""
    return max(0, design.hv_units - design.hv_out) * design.hv_rating_kw


@large_kernel
def _reckon_losses(design, group, curves):
    """Reckon the loss of busways and of blocks (MV transformer and UPS) of a group, and inside its power shelves [kW]."""
    load = group.it_kw
    group.known_kw, group.known_design_kw, group.known_out = load, group.design_kw, group.blocks_out
    group.shelf_kw = shelf_loss_kw(load, SHELVES * group.design_kw, curves.shelf_knots, curves.shelf_losses)
    group.block_kw = 0.0
    if not design.curves:
        group.busway_kw = load * (1.0 / design.eta_busway - 1.0)
        behind = load + group.busway_kw
        group.block_kw = behind * (1.0 / (design.eta_mv * design.eta_ups) - 1.0)
        return
    group.busway_kw = busway_loss_kw(load, group.design_kw, design.eta_busway)
    working = working_blocks(design, group)
    if working == 0:
        return
    rating = working * block_rating_kw(design, group)
    behind = load + group.busway_kw
    blocks = 0.0
    if design.has_ups:
        blocks = rating * curve_loss_fraction(behind / rating, curves.ups_knots, curves.ups_losses)
    behind += blocks
    blocks += rating * curve_loss_fraction(behind / rating, curves.mv_knots, curves.mv_losses)
    group.block_kw = blocks


@large_kernel
def electric_tick(plant, it_kw, auxiliary_kw, auxiliary_rating_kw, limit_kw, planned_kw, tick_s):
    """Losses from the racks to the meter, and the battery; fills its columns of the tick.

    Parameters
    ----------
    plant : `groups.it_kw` holds the loads; the state of charge is read, not changed
    it_kw : IT power of the site [kW]
    auxiliary_kw : pumps, fans and building services [kW], behind MV transformers of their own
    auxiliary_rating_kw : rating of those transformers [kW]
    limit_kw : power that the meter may show [kW]: above it the battery helps, below it the battery charges
    planned_kw : power that the battery shall have where the limit leaves it the choice, above 0 discharges; NaN: none [kW]
    tick_s : length of the tick [s]

    Returns
    -------
    Energy in the battery after the tick [kWh].

    """
    design, out, curves = plant.design[0], plant.tick, plant.curves
    busway_kw = 0.0
    block_kw = 0.0
    shelf_kw = 0.0
    groups = plant.groups
    for index in range(groups.shape[0]):
        group = groups[index]
        if group.design_kw <= 0.0:
            continue
        if (
            group.it_kw != group.known_kw
            or group.design_kw != group.known_design_kw
            or group.blocks_out != group.known_out
        ):
            _reckon_losses(design, group, curves)
        busway_kw += group.busway_kw
        block_kw += group.block_kw
        shelf_kw += group.shelf_kw
    if design.curves:
        load = auxiliary_kw / auxiliary_rating_kw if auxiliary_rating_kw > 0.0 else 0.0
        block_kw += auxiliary_rating_kw * curve_loss_fraction(load, curves.mv_knots, curves.mv_losses)
        behind = it_kw + auxiliary_kw + busway_kw + block_kw
        rating = hv_limit_kw(design)
        hv_kw = (
            transformer_loss_kw(behind, rating, design.hv_no_load, design.hv_load_loss)
            if rating > 0.0
            else 0.0
        )
    else:
        block_kw += auxiliary_kw * (1.0 / design.eta_mv - 1.0)
        behind = it_kw + auxiliary_kw + busway_kw + block_kw
        hv_kw = behind * (1.0 / design.eta_hv - 1.0)
    site_kw = behind + hv_kw
    hours = tick_s / 3600.0
    wanted_kw = site_kw + design.battery_standby_kw - limit_kw
    if not math.isnan(planned_kw):
        wanted_kw = max(wanted_kw, planned_kw)
    energy_kwh, delivered_kw, battery_loss_kw = battery_step(
        design.battery_kwh, wanted_kw, design.battery_kw,
        design.battery_capacity_kwh, design.soc_minimum, design.soc_maximum, design.battery_efficiency,
        design.battery_standby_kw, hours,
    )  # fmt: skip
    out[BUSWAY_LOSS_KW] = busway_kw
    out[BLOCK_LOSS_KW] = block_kw
    out[HV_LOSS_KW] = hv_kw
    out[SHELF_LOSS_KW] = shelf_kw
    out[LOSSES_KW] = busway_kw + block_kw + hv_kw
    out[BATTERY_LOSS_KW] = battery_loss_kw
    out[BATTERY_KW] = delivered_kw
    out[BATTERY_KWH] = energy_kwh
    out[DEMAND_KW] = site_kw
    out[SITE_KW] = site_kw - delivered_kw
    return energy_kwh
