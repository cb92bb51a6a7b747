"""Power that each node of the plant has to spare for new jobs, and racks closed to them where there is none (rule E1)."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import bar_rack
from kvandal.twin.life import rack_above_idle_kw

NEAR = 0.9
"""From this part of its limit on, the power of a node is reckoned rack by rack."""
SMALLEST_KW = 0.5
"""A node with less to spare holds no further GPU at work [kW]."""


@large_kernel
def open_rooms(state, plant):
    """Renew what every hall, power group and pod has to spare below the limits of the tick just over."""
    tally, nodes, room_kw = state.tally[0], plant.nodes, state.node_room_kw
    near = False
    for index in range(1, nodes.shape[0]):
        room_kw[index] = nodes[index].limit_kw - nodes[index].it_kw
        near = near or nodes[index].it_kw > NEAR * nodes[index].limit_kw
    if not near:
        if tally.tight:
            tally.tight = 0
            tally.opened = 1
            tally.freed += 1
            for rack in range(state.racks.shape[0]):
                bar_rack(state.room, rack, False)
        return
    for index in range(1, nodes.shape[0]):
        room_kw[index] = nodes[index].limit_kw
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        if not rack.delivered or rack.is_off:
            continue
        kw = state.models[rack.model].idle_kw + rack_above_idle_kw(state, index)
        hall, group, pod = _nodes_above(state, rack)
        room_kw[hall] -= kw
        room_kw[group] -= kw
        room_kw[pod] -= kw
    tally.tight = 0
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        hall, group, pod = _nodes_above(state, rack)
        spare_kw = min(room_kw[hall], room_kw[group], room_kw[pod])
        barred = rack.delivered and spare_kw < SMALLEST_KW
        if barred:
            tally.tight = 1
        elif state.room.racks[index].barred:
            tally.opened = 1
            tally.freed += 1
        bar_rack(state.room, index, barred)


@kernel
def give_room(state, rack, kw):
    """Let the nodes above a new rack have so much more to spare [kW]."""
    hall, group, pod = _nodes_above(state, state.racks[rack])
    state.node_room_kw[hall] += kw
    state.node_room_kw[group] += kw
    state.node_room_kw[pod] += kw


@kernel
def _nodes_above(state, rack):
    """Return the nodes above a rack: hall, power group, pod."""
    halls, groups = state.rules[0].halls, state.rules[0].groups
    return 1 + rack.hall, 1 + halls + rack.group, 1 + halls + groups + rack.pod
