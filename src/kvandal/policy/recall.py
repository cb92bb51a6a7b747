"""Which loans to recall so that a claim can be placed, and none when it cannot (rules R1 and R2)."""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel
from kvandal.policy.placement import (
    GPUS_PER_RACK,
    GPUS_PER_TRAY,
    TRAY_HEALTHY,
    TRAYS_PER_RACK,
    segments_for,
    trays_for,
)


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


@kernel
def choose_racks(room, jobs, racks, gpus, segment_trays, chosen):
    """Choose the racks that a claim shall have, those with the fewest trays to recall first.

    Parameters
    ----------
    room : where everybody sits
    jobs : table of jobs; `recallable` says that a running job is on loan
    racks : table of racks; `lent_gpus` counts the GPUs on loan in each
    gpus : size of the claim
    segment_trays : trays per rack of a gang larger than a rack
    chosen : int32 (racks,), filled with the chosen racks

    Returns
    -------
    Number of racks chosen, or 0 when the claim could not be placed even after every recall (rule R2).

    """
    count = room.racks.shape[0]
    segments = segments_for(gpus, segment_trays)
    needed = trays_for(gpus) if gpus <= GPUS_PER_RACK else segment_trays
    found = 0
    for deficit in range(needed + 1):
        for rack in range(count):
            if room.racks[rack].claim >= 0 or max(0, needed - room.racks[rack].whole) != deficit:
                continue
            if deficit > 0:
                if racks[rack].lent_gpus < deficit:
                    continue
                if obtainable_trays(room, jobs, rack) < needed:
                    continue
            chosen[found] = rack
            found += 1
            if found == segments:
                return found
    return 0


@kernel
def choose_victims(room, jobs, rack, needed, victims, count):
    """Choose the jobs to recall in a rack so that `needed` trays become free, least lost GPU-seconds first.

    Jobs under notice and jobs already named for this claim count as leaving.

    Parameters
    ----------
    room : where everybody sits
    jobs : table of jobs; `recallable` and `draining` say who is on loan and under notice, `recall_cost` what a recall
        would lose [GPU-seconds]; `named` is set for each chosen job
    rack : the rack
    needed : trays to obtain
    victims : int32, filled from `count` on

    Returns
    -------
    New number of victims.

    """
    first = rack * TRAYS_PER_RACK
    while True:
        obtained = 0
        best, best_cost = -1, np.inf
        for tray in range(first, first + TRAYS_PER_RACK):
            if room.trays[tray].state != TRAY_HEALTHY:
                continue
            leaving, possible = True, True
            tray_best, tray_cost = -1, np.inf
            for slot in range(GPUS_PER_TRAY):
                job = room.slots[tray, slot]
                if job < 0 or jobs[job].draining or jobs[job].named:
                    continue
                leaving = False
                if not jobs[job].recallable:
                    possible = False
                    break
                if jobs[job].recall_cost < tray_cost:
                    tray_best, tray_cost = job, jobs[job].recall_cost
            if leaving:
                obtained += 1
            elif possible and tray_cost < best_cost:
                best, best_cost = tray_best, tray_cost
        if obtained >= needed or best < 0:
            return count
        victims[count] = best
        jobs[best].named = True
        count += 1
