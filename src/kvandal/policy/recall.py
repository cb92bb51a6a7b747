"""Which loans to recall so that a claim can be placed, and none when it cannot (rules R1 and R2)."""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.placement import (
    GPUS_PER_TRAY,
    TRAY_HEALTHY,
    TRAYS_PER_RACK,
    segment_trays_for,
    segments_for,
    spares_kept,
)

INFERENCE = 2
"""Kind of work that renders its service as it runs: nothing of it is lost at an interruption."""


@kernel
def obtainable_trays(room, jobs, rack):
    """Trays of a rack that are free, or would be if every recallable job left."""
    trays = 0
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        if room.trays[tray].state != TRAY_HEALTHY:
            continue
        obtainable = True
        for slot in range(GPUS_PER_TRAY):
            job = room.slots[tray, slot]
            if job >= 0 and not jobs[job].recallable:
                obtainable = False
                break
        if obtainable:
            trays += 1
    return trays


@large_kernel
def choose_racks(room, jobs, racks, gpus, segment_trays, chosen, spare_trays=0):
    """Choose the racks that a claim shall have, those with the fewest trays to recall first.

    Parameters
    ----------
    room : where everybody sits
    jobs : table of jobs; `recallable` says that a running job is on loan
    racks : table of racks; `lent_gpus` counts the GPUs on loan in each
    gpus : size of the claim
    segment_trays : trays per rack of a gang larger than a rack
    chosen : int64 (2 racks,), filled with the chosen racks; its second half holds those that might do
    spare_trays : wholly free trays that stay free in each rack

    Returns
    -------
    Number of racks chosen, or 0 when the claim could not be placed even after every recall (rule R2).

    """
    count = room.racks.shape[0]
    segments = segments_for(gpus, segment_trays)
    needed = segment_trays_for(gpus, segment_trays) + spares_kept(gpus, spare_trays)
    # racks that might do, with power to spare above them; the set of their deficits, as bits
    possible, deficits = 0, 0
    for rack in range(count):
        deficit = max(0, needed + room.racks[rack].promised - room.racks[rack].whole)
        if racks[rack].lent_gpus >= deficit and deficit <= TRAYS_PER_RACK and not room.racks[rack].barred:
            chosen[count + possible] = rack
            possible += 1
            deficits |= 1 << deficit
    if possible < segments:
        return 0
    found = 0
    for deficit in range(TRAYS_PER_RACK + 1):
        if not deficits & (1 << deficit):
            continue
        for index in range(possible):
            rack = chosen[count + index]
            wanted = needed + room.racks[rack].promised
            if max(0, wanted - room.racks[rack].whole) != deficit:
                continue
            if deficit > 0 and obtainable_trays(room, jobs, rack) < wanted:
                continue
            chosen[found] = rack
            found += 1
            if found == segments:
                return found
    return 0


@kernel
def _freed_trays(room, jobs, rack):
    """Trays of a rack that are empty, or will be when everybody under notice or named has left."""
    trays = 0
    for tray in range(rack * TRAYS_PER_RACK, (rack + 1) * TRAYS_PER_RACK):
        freed = room.trays[tray].state == TRAY_HEALTHY
        for slot in range(GPUS_PER_TRAY):
            job = room.slots[tray, slot]
            if job >= 0 and not jobs[job].draining and not jobs[job].named:
                freed = False
        if freed:
            trays += 1
    return trays


@kernel
def _tray_cost(room, jobs, tray):
    """Least that emptying a tray would lose [GPU-seconds]; infinite where it cannot be emptied, -1 where it will be."""
    if room.trays[tray].state != TRAY_HEALTHY:
        return np.inf
    cost, last = -1.0, -1
    for slot in range(GPUS_PER_TRAY):
        job = room.slots[tray, slot]
        if job < 0 or jobs[job].draining or jobs[job].named:
            continue
        if not jobs[job].recallable:
            return np.inf
        if job != last:
            cost = max(cost, 0.0) + jobs[job].recall_cost
            last = job
    return cost


@large_kernel
def choose_victims(room, jobs, rack, needed, victims, count):
    """Choose the jobs to recall in a rack so that `needed` trays become free, least lost GPU-seconds first.

    Trays are named whole, the cheapest first; then, from the last named to the first, whoever is not needed is put
    back. Jobs under notice and jobs already named for this claim count as leaving.

    Parameters
    ----------
    room : where everybody sits
    jobs : table of jobs; `recallable` and `draining` say who is on loan and under notice, `recall_cost` what a recall
        would lose [GPU-seconds]; `named` is set for each chosen job
    rack : the rack
    needed : trays to obtain
    victims : int64, filled from `count` on

    Returns
    -------
    New number of victims.

    """
    first, named = rack * TRAYS_PER_RACK, count
    while _freed_trays(room, jobs, rack) < needed:
        best, best_cost = -1, np.inf
        for tray in range(first, first + TRAYS_PER_RACK):
            cost = _tray_cost(room, jobs, tray)
            if 0.0 <= cost < best_cost:
                best, best_cost = tray, cost
        if best < 0:
            break
        for slot in range(GPUS_PER_TRAY):
            job = room.slots[best, slot]
            if job >= 0 and not jobs[job].draining and not jobs[job].named:
                jobs[job].named = True
                victims[named] = job
                named += 1
    kept = named
    for index in range(named - 1, count - 1, -1):
        jobs[victims[index]].named = False
        if _freed_trays(room, jobs, rack) >= needed:
            kept -= 1
            victims[index] = victims[kept]
        else:
            jobs[victims[index]].named = True
    return kept


@kernel
def recall_cost_gpu_s(state, job, time_s):
    """GPU-seconds that a recall now would lose of a job on loan: its last checkpoint or unsaved work, and the restart."""
    return leaving_cost_gpu_s(state, job, state.tenants[state.jobs[job].tenant].notice_s, time_s)


@kernel
def leaving_cost_gpu_s(state, job, notice_s, time_s):
    """GPU-seconds that a running job would lose if it got notice now: its last checkpoint or unsaved work, the restart."""
    jobs, demand = state.jobs, state.demands[state.jobs[job].demand]
    ran_s = time_s + notice_s - jobs[job].start_s
    interval_s = jobs[job].interval_s
    lost_s = demand.restart_s
    if interval_s == 0:
        lost_s += 0 if demand.kind == INFERENCE else ran_s
    elif notice_s >= demand.checkpoint_s:
        lost_s += demand.checkpoint_s
    else:
        lost_s += ran_s % (interval_s + demand.checkpoint_s)
    return float(jobs[job].gpus * lost_s)
